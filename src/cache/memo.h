/* SPDX-License-Identifier: MIT */
/* Answers to questions about one thing, such as an ELF file: all of them are one blob of the cache. */
#pragma once

#include "cache/cache.h"

struct cache_memo;

/** cache_memo_open() - the answers kept for @key; NULL without a cache */
struct cache_memo *cache_memo_open(struct cache *cache, const char *key);
/** cache_memo_close() - keeps what was added, next to what other runs added meanwhile */
void cache_memo_close(struct cache_memo *memo);

/** cache_memo_find() - the answer, borrowed and not aligned; NULL: never asked */
const void *cache_memo_find(struct cache_memo *memo, const void *question,
	size_t question_size, size_t *ret_size);
/** cache_memo_add() - both are copied */
void cache_memo_add(struct cache_memo *memo, const void *question, size_t question_size,
	const void *answer, size_t answer_size);
