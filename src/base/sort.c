/* SPDX-License-Identifier: MIT */
/* Least significant digit first, over the digits in which the keys differ. */
#include "base/sort.h"

#include <stdlib.h>
#include <string.h>

enum {
	DIGIT_BITS = 11,
	DIGITS = 1 << DIGIT_BITS,
	SMALL = 64 /* below this, counting digits costs more than it saves */
};

struct pair {
	uint64_t key;
	size_t index;
};

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);
	if (!memory)
		abort();
	return memory;
}

static void insert_words(uint64_t *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t item = items[i];
		size_t at = i;
		for (; at > 0 && items[at - 1] > item; at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

/* Where items with each digit begin. */
static void sum_up(size_t position[DIGITS])
{
	size_t sum = 0;
	for (size_t i = 0; i < DIGITS; i++) {
		size_t here = position[i];
		position[i] = sum;
		sum += here;
	}
}

void sort_words(uint64_t *items, size_t count)
{
	if (count < SMALL) {
		insert_words(items, count);
		return;
	}
	uint64_t differ = 0;
	for (size_t i = 1; i < count; i++)
		differ |= items[i] ^ items[0];
	uint64_t *other = allocate(count, sizeof(*other)), *from = items, *to = other;
	size_t *position = allocate(DIGITS, sizeof(*position));
	for (unsigned int shift = 0; shift < 64; shift += DIGIT_BITS) {
		if (!(differ >> shift & (DIGITS - 1)))
			continue;
		memset(position, 0, DIGITS * sizeof(*position));
		for (size_t i = 0; i < count; i++)
			position[from[i] >> shift & (DIGITS - 1)]++;
		sum_up(position);
		for (size_t i = 0; i < count; i++)
			to[position[from[i] >> shift & (DIGITS - 1)]++] = from[i];
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, count * sizeof(*items));
	free(position);
	free(other);
}

static struct pair *sort_pairs(struct pair *pairs, struct pair *other, size_t count)
{
	uint64_t differ = 0;
	size_t *position = allocate(DIGITS, sizeof(*position));
	for (size_t i = 1; i < count; i++)
		differ |= pairs[i].key ^ pairs[0].key;
	for (unsigned int shift = 0; shift < 64; shift += DIGIT_BITS) {
		if (!(differ >> shift & (DIGITS - 1)))
			continue;
		memset(position, 0, DIGITS * sizeof(*position));
		for (size_t i = 0; i < count; i++)
			position[pairs[i].key >> shift & (DIGITS - 1)]++;
		sum_up(position);
		for (size_t i = 0; i < count; i++)
			other[position[pairs[i].key >> shift & (DIGITS - 1)]++] =
				pairs[i];
		struct pair *swap = pairs;
		pairs = other;
		other = swap;
	}
	free(position);
	return pairs;
}

void sort_by_word(void *items, size_t count, size_t item_size, size_t key_offset)
{
	char *bytes = items;
	if (count < 2)
		return;
	struct pair *pairs = allocate(2 * count, sizeof(*pairs));
	for (size_t i = 0; i < count; i++) {
		memcpy(&pairs[i].key, bytes + i * item_size + key_offset,
			sizeof(pairs[i].key));
		pairs[i].index = i;
	}
	const struct pair *sorted = sort_pairs(pairs, pairs + count, count);
	char *copy = allocate(count, item_size);
	for (size_t i = 0; i < count; i++)
		memcpy(copy + i * item_size, bytes + sorted[i].index * item_size,
			item_size);
	memcpy(items, copy, count * item_size);
	free(copy);
	free(pairs);
}
