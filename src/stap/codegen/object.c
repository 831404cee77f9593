/* SPDX-License-Identifier: MIT */
/*
 * Loading LLVM, optimising and selecting instructions takes most of the time of a compilation, and the same
 * calls of LLVM give the same object.  So objects are kept under a hash of the calls (record.c); the calls
 * themselves are kept beside and compared, so that no hash has to be trusted.
 *
 *   struct kept | calls | object
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stap/codegen/emit.h"

struct kept {
	uint64_t calls_size;
	uint64_t object_size; /* 0: it has to be lean */
};

enum {
	KEY_SIZE = 64
};

static uint64_t mix(uint64_t hash, const struct emit_blob *calls)
{
	const unsigned char *bytes = calls->bytes;
	size_t size = calls->size;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, bytes + i,
			size - i < sizeof(word) ? size - i : sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash;
}

/* The passes differ, too. */
static void object_key(
	const struct emit *e, const struct emit_blob *calls, char ret[KEY_SIZE])
{
	snprintf(ret, KEY_SIZE, "object-%s-%016llx%016llx", e->is_lean ? "lean" : "fast",
		(unsigned long long)mix(1, calls), (unsigned long long)mix(2, calls));
}

/* What was kept is of these calls, and whole. */
static bool is_of(
	const char *bytes, size_t size, const struct emit_blob *calls, struct kept *ret)
{
	if (!bytes || size < sizeof(*ret))
		return false;
	memcpy(ret, bytes, sizeof(*ret));
	size -= sizeof(*ret);
	return ret->calls_size == calls->size && ret->calls_size <= size &&
	       ret->object_size <= size - ret->calls_size &&
	       memcmp(bytes + sizeof(*ret), calls->bytes, ret->calls_size) == 0;
}

int emit_object_find(struct emit *e, const struct emit_blob *calls, struct emit_blob *ret)
{
	const struct codegen_cache *cache = e->options->cache;
	char key[KEY_SIZE];
	struct kept kept;
	size_t size = 0;

	object_key(e, calls, key);
	char *bytes = cache->find(cache->data, key, &size);
	int r = is_of(bytes, size, calls, &kept) ? 0 : 1;
	if (r == 0 && !kept.object_size)
		r = -EAGAIN;
	if (r == 0) {
		memmove(bytes, bytes + sizeof(kept) + kept.calls_size, kept.object_size);
		*ret = (struct emit_blob){bytes, kept.object_size};
		return 0;
	}
	free(bytes);
	return r;
}

void emit_object_keep(
	struct emit *e, const struct emit_blob *calls, const struct emit_blob *object)
{
	const struct codegen_cache *cache = e->options->cache;
	struct kept kept = {calls->size, object->size};
	size_t size = sizeof(kept) + calls->size + object->size;
	char key[KEY_SIZE], *bytes = malloc(size);

	if (!bytes)
		return;
	object_key(e, calls, key);
	memcpy(bytes, &kept, sizeof(kept));
	memcpy(bytes + sizeof(kept), calls->bytes, calls->size);
	if (object->size)
		memcpy(bytes + sizeof(kept) + calls->size, object->bytes, object->size);
	cache->keep(cache->data, key, bytes, size);
	free(bytes);
}
