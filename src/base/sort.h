/* SPDX-License-Identifier: MIT */
/* Sorting by numbers, without comparisons: tables of large programs have millions of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** sort_words() - ascending */
void sort_words(uint64_t *items, size_t count);

/**
 * sort_by_word() - ascending by the uint64_t at @key_offset of each item; items with the same key stay in
 * order
 */
void sort_by_word(void *items, size_t count, size_t item_size, size_t key_offset);
