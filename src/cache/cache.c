/* SPDX-License-Identifier: MIT */
/*
 * One file for each key: a header, the key, and the payload from a multiple of 64 bytes on.  The
 * stamp in the header is the identity of the utrace that wrote it: what another build found out may
 * have another form, or be wrong in a way that this one is not.
 */
#include "cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cache/internal.h"

enum {
	FORMAT = 1,
	ALIGNMENT = 64,
	KEY_MAX = 4096
};

static const char magic[8] = "utcache";

struct header {
	char magic[8];
	uint32_t format, key_size;
	uint64_t stamp[4];
	uint64_t payload_size;
	uint64_t checksum; /* of the key and the payload */
};

struct cache {
	int directory;
	struct cache_options options;
	uint64_t stamp[4];
	unsigned found, missed;
	bool has_grown;
};

/* ---- checksum ----------------------------------------------------------------------------------------- */

/* Against damage, not against enemies: those cannot write here.  Four lanes, to be as fast as memory. */
struct sum {
	uint64_t lane[4];
	uint64_t size;
};

static const uint64_t multiplier = 0x9e3779b97f4a7c15u;

static uint64_t mix(uint64_t lane, uint64_t word)
{
	lane = (lane ^ word) * multiplier;
	return lane ^ lane >> 29;
}

/* All but the last call for one sum take a multiple of 32 bytes. */
static void sum_add(struct sum *sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t words[4];
	sum->size += size;
	for (; size >= sizeof(words); size -= sizeof(words), at += sizeof(words)) {
		memcpy(words, at, sizeof(words));
		for (int i = 0; i < 4; i++)
			sum->lane[i] = mix(sum->lane[i], words[i]);
	}
	memset(words, 0, sizeof(words));
	if (size)
		memcpy(words, at, size);
	for (int i = 0; i < 4 && size; i++)
		sum->lane[i] = mix(sum->lane[i], words[i]);
}

static uint64_t sum_end(const struct sum *sum)
{
	uint64_t value = sum->size;
	for (int i = 0; i < 4; i++)
		value = mix(value + (uint64_t)i, sum->lane[i]);
	return value;
}

static uint64_t checksum(
	const char *key, size_t key_size, const void *payload, size_t size)
{
	struct sum head = {{1, 2, 3, 4}, 0}, body = {{5, 6, 7, 8}, 0};
	sum_add(&head, key, key_size);
	sum_add(&body, payload, size);
	return sum_end(&head) * 31 + sum_end(&body);
}

static void file_name(const char *key, char ret[CACHE_NAME_SIZE])
{
	struct sum a = {{1, 2, 3, 4}, 0}, b = {{11, 12, 13, 14}, 0};
	sum_add(&a, key, strlen(key));
	sum_add(&b, key, strlen(key));
	snprintf(ret, CACHE_NAME_SIZE, "%016llx%016llx", (unsigned long long)sum_end(&a),
		(unsigned long long)sum_end(&b));
}

/* ---- life cycle ---------------------------------------------------------------------------------------- */

/* Which utrace this is: a rebuilt one is another. */
static bool read_stamp(uint64_t ret[4])
{
	struct stat st;
	if (stat("/proc/self/exe", &st) < 0)
		return false;
	ret[0] = (uint64_t)st.st_size;
	ret[1] = (uint64_t)st.st_mtim.tv_sec;
	ret[2] = (uint64_t)st.st_mtim.tv_nsec;
	ret[3] = (uint64_t)st.st_ino;
	return true;
}

struct cache *cache_open(const struct cache_options *options, struct error *err)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		abort();
	cache->options = *options;
	cache->directory = cache_directory_open(true, err);
	if (cache->directory >= 0 && read_stamp(cache->stamp))
		return cache;
	if (cache->directory >= 0) {
		close(cache->directory);
		error_set(err, -ENOENT, "/proc/self/exe is not there");
	}
	free(cache);
	return NULL;
}

void cache_close(struct cache *cache)
{
	if (!cache)
		return;
	if (cache->has_grown)
		cache_directory_prune(cache->directory, cache_directory_limit());
	close(cache->directory);
	free(cache);
}

void cache_hits(const struct cache *cache, unsigned *ret_found, unsigned *ret_missed)
{
	*ret_found = cache ? cache->found : 0;
	*ret_missed = cache ? cache->missed : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static size_t payload_offset(size_t key_size)
{
	return (sizeof(struct header) + key_size + ALIGNMENT - 1) &
	       ~(size_t)(ALIGNMENT - 1);
}

static bool is_valid(
	const struct cache *cache, const char *key, const void *map, size_t size)
{
	struct header header;
	size_t key_size = strlen(key), offset = payload_offset(key_size);
	if (size < offset)
		return false;
	memcpy(&header, map, sizeof(header));
	if (memcmp(header.magic, magic, sizeof(magic)) != 0 || header.format != FORMAT ||
		memcmp(header.stamp, cache->stamp, sizeof(header.stamp)) != 0 ||
		header.key_size != key_size || header.payload_size != size - offset ||
		memcmp((const char *)map + sizeof(header), key, key_size) != 0)
		return false;
	return header.checksum ==
	       checksum(key, key_size, (const char *)map + offset, size - offset);
}

static bool map_file(const struct cache *cache, const char *name, struct cache_blob *ret)
{
	struct stat st;
	CLEANUP(cleanup_fd)
	int fd = openat(
		cache->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
		st.st_size < (off_t)sizeof(struct header))
		return false;
	ret->map_size = (size_t)st.st_size;
	ret->map =
		mmap(NULL, ret->map_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (ret->map == MAP_FAILED)
		return false;
	/* the time of its last use: old ones go first */
	(void)!futimens(fd, NULL);
	return true;
}

bool cache_get(struct cache *cache, const char *key, struct cache_blob *ret)
{
	char name[CACHE_NAME_SIZE];
	struct cache_blob blob = {0};
	if (!cache || cache->options.is_write_only || strlen(key) > KEY_MAX)
		return false;
	file_name(key, name);
	cache->missed++;
	if (!map_file(cache, name, &blob))
		return false;
	if (!is_valid(cache, key, blob.map, blob.map_size)) {
		cache_blob_release(&blob);
		return false;
	}
	size_t offset = payload_offset(strlen(key));
	blob.bytes = (const uint8_t *)blob.map + offset;
	blob.size = blob.map_size - offset;
	cache->missed--;
	cache->found++;
	*ret = blob;
	return true;
}

void cache_blob_release(struct cache_blob *blob)
{
	if (blob->map)
		munmap(blob->map, blob->map_size);
	*blob = (struct cache_blob){0};
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static uint8_t *build_file(const struct cache *cache, const char *key,
	const struct cache_part *parts, size_t count, size_t *ret_size)
{
	size_t key_size = strlen(key), offset = payload_offset(key_size), size = 0;
	for (size_t i = 0; i < count; i++)
		size += (parts[i].size + 7) & ~(size_t)7;
	uint8_t *file = calloc(1, offset + size);
	if (!file)
		return NULL;
	uint8_t *at = file + offset;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(at, parts[i].bytes, parts[i].size);
		at += (parts[i].size + 7) & ~(size_t)7;
	}
	struct header header = {.format = FORMAT,
		.key_size = (uint32_t)key_size,
		.payload_size = size,
		.checksum = checksum(key, key_size, file + offset, size)};
	memcpy(header.magic, magic, sizeof(magic));
	memcpy(header.stamp, cache->stamp, sizeof(header.stamp));
	memcpy(file, &header, sizeof(header));
	memcpy(file + sizeof(header), key, key_size);
	*ret_size = offset + size;
	return file;
}

void cache_put(struct cache *cache, const char *key, const struct cache_part *parts,
	size_t count)
{
	char name[CACHE_NAME_SIZE], temporary[CACHE_NAME_SIZE];
	size_t size;
	uint32_t random;
	if (!cache || strlen(key) > KEY_MAX ||
		getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	CLEANUP(cleanup_free) uint8_t *file = build_file(cache, key, parts, count, &size);
	/* half of the room for one file would push out all others */
	if (!file || size > cache_directory_limit() / 2)
		return;
	file_name(key, name);
	snprintf(temporary, sizeof(temporary), "%.32s.new%08x", name, random);
	int fd = openat(cache->directory, temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return;
	int r = fd_write_all(fd, file, size);
	r = close(fd) < 0 ? -1 : r;
	if (r < 0 || renameat(cache->directory, temporary, cache->directory, name) < 0)
		unlinkat(cache->directory, temporary, 0);
	else
		cache->has_grown = true;
}
