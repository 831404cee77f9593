/* SPDX-License-Identifier: MIT */
#include "cache/memo.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/strbuf.h"

enum {
	SIZE_LIMIT = 8 << 20 /* then the answers of this run start anew */
};

struct pair {
	uint32_t question_size, answer_size;
	/* the question and the answer come behind it */
};

struct item {
	const uint8_t *question;
	size_t question_size, answer_size;
	UT_hash_handle hh;
};

struct cache_memo {
	struct cache *cache;
	char *key;
	struct cache_blob blob;
	struct item *items;
	struct strbuf added; /* pairs */
};

static void memo_index(
	struct cache_memo *memo, const uint8_t *question, const struct pair *pair)
{
	struct item *item;
	HASH_FIND(hh, memo->items, question, pair->question_size, item);
	if (item)
		return;
	item = calloc(1, sizeof(*item));
	if (!item)
		abort();
	item->question = question;
	item->question_size = pair->question_size;
	item->answer_size = pair->answer_size;
	HASH_ADD_KEYPTR(hh, memo->items, question, pair->question_size, item);
}

/* Pairs until the first that is none: parts of blobs are filled up with zeros. */
static void memo_index_all(struct cache_memo *memo, const uint8_t *bytes, size_t size)
{
	struct pair pair;
	while (size >= sizeof(pair)) {
		memcpy(&pair, bytes, sizeof(pair));
		bytes += sizeof(pair);
		size -= sizeof(pair);
		if (pair.question_size == 0 || pair.question_size > size ||
			pair.answer_size > size - pair.question_size)
			return;
		memo_index(memo, bytes, &pair);
		bytes += pair.question_size + pair.answer_size;
		size -= pair.question_size + pair.answer_size;
	}
}

struct cache_memo *cache_memo_open(struct cache *cache, const char *key)
{
	if (!cache)
		return NULL;
	struct cache_memo *memo = calloc(1, sizeof(*memo));
	if (!memo)
		abort();
	memo->cache = cache;
	memo->key = strdup(key);
	if (!memo->key)
		abort();
	strbuf_init(&memo->added);
	if (cache_get(cache, key, &memo->blob))
		memo_index_all(memo, memo->blob.bytes, memo->blob.size);
	return memo;
}

const void *cache_memo_find(struct cache_memo *memo, const void *question,
	size_t question_size, size_t *ret_size)
{
	struct item *item;
	if (!memo)
		return NULL;
	HASH_FIND(hh, memo->items, question, question_size, item);
	if (!item)
		return NULL;
	*ret_size = item->answer_size;
	return item->question + item->question_size;
}

void cache_memo_add(struct cache_memo *memo, const void *question, size_t question_size,
	const void *answer, size_t answer_size)
{
	if (!memo || question_size == 0 || question_size > SIZE_LIMIT / 2 ||
		answer_size > SIZE_LIMIT / 2)
		return;
	struct pair pair = {(uint32_t)question_size, (uint32_t)answer_size};
	strbuf_append(&memo->added, &pair, sizeof(pair));
	strbuf_append(&memo->added, question, question_size);
	strbuf_append(&memo->added, answer, answer_size);
}

static void memo_save(struct cache_memo *memo)
{
	struct cache_blob now = {0};
	struct cache_part part = {memo->added.data, memo->added.size};
	/* other runs may have added theirs */
	if (cache_get(memo->cache, memo->key, &now) &&
		now.size + memo->added.size <= SIZE_LIMIT)
		strbuf_append(&memo->added, now.bytes, now.size);
	part.bytes = memo->added.data;
	part.size = memo->added.size;
	if (part.size <= SIZE_LIMIT)
		cache_put(memo->cache, memo->key, &part, 1);
	cache_blob_release(&now);
}

void cache_memo_close(struct cache_memo *memo)
{
	struct item *item, *next;
	if (!memo)
		return;
	if (memo->added.size)
		memo_save(memo);
	HASH_ITER(hh, memo->items, item, next)
	{
		HASH_DEL(memo->items, item);
		free(item);
	}
	cache_blob_release(&memo->blob);
	strbuf_deinit(&memo->added);
	free(memo->key);
	free(memo);
}
