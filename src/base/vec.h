/* SPDX-License-Identifier: MIT */
/*
 * A typed growing array: `struct { T *items; size_t count, capacity; }` declared with
 * VEC(T). Out of memory aborts.  For hash tables and lists use uthash/utlist.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VEC(type)                       \
	struct {                        \
		type *items;            \
		size_t count, capacity; \
	}

/** vec_push() - append a zeroed item and return a pointer to it, valid until the next
 * push */
#define vec_push(vec)                                                                  \
	((vec)->items = vec_grow_(                                                     \
		 (vec)->items, (vec)->count, &(vec)->capacity, sizeof(*(vec)->items)), \
		&(vec)->items[(vec)->count++])

#define vec_append(vec, value) (*vec_push(vec) = (value))

#define vec_free(vec)                               \
	do {                                        \
		free((vec)->items);                 \
		(vec)->items = NULL;                \
		(vec)->count = (vec)->capacity = 0; \
	} while (0)

static inline void *vec_grow_(
	void *items, size_t count, size_t *capacity, size_t item_size)
{
	if (count == *capacity) {
		*capacity = count ? count * 2 : 8;
		items = realloc(items, *capacity * item_size);
		if (!items)
			abort();
	}
	memset((char *)items + count * item_size, 0, item_size);
	return items;
}
