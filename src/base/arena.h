/* SPDX-License-Identifier: MIT */
/*
 * Bump allocation for things that die together (a compilation, a module's symbol table).
 * Memory comes zeroed; out of memory aborts the program: only host tools use arenas,
 * never the agent. One thread at a time.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used; /* in the head block */
};

void arena_init(struct arena *arena);
void arena_deinit(struct arena *arena);

/** arena_alloc() - zeroed memory, 16-byte aligned, owned by the arena */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t size);
char *arena_printf(struct arena *arena, const char *fmt, ...) printf_like(2, 3);

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, type, count) \
	((type *)arena_alloc((arena), sizeof(type) * (count)))
