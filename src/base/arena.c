/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) unsigned char data[];
};

enum {
	ARENA_BLOCK_SIZE = 64 * 1024 - sizeof(struct arena_block)
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){0};
}

void arena_deinit(struct arena *arena)
{
	struct arena_block *block = arena->head;
	while (block) {
		struct arena_block *next = block->next;
		free(block);
		block = next;
	}
	*arena = (struct arena){0};
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (!arena->head || arena->head->size - arena->used < size) {
		size_t want = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
		struct arena_block *block = calloc(1, sizeof(*block) + want);
		if (!block)
			abort();
		block->size = want;
		block->next = arena->head;
		arena->head = block;
		arena->used = 0;
	}
	void *memory = arena->head->data + arena->used;
	arena->used += size;
	return memory;
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);
	memcpy(copy, text, size);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int size = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (size < 0)
		abort();
	char *text = arena_alloc(arena, (size_t)size + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)size + 1, fmt, ap);
	va_end(ap);
	return text;
}
