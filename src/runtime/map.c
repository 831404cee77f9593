/* SPDX-License-Identifier: MIT */
/*
 * Arrays of scripts: a chained hash over preallocated entries, and a list that keeps the
 * order entries were made in (abi/data.h).
 *
 * The traced process may have scribbled on all of it.  Every index read from memory is
 * compared with max_entries before use, and every walk takes at most max_entries steps.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	MAP_MAGIC = 0x70614d75,
	KEYS_OFFSET = sizeof(struct abi_map_entry)
};

static inline uint32_t *bucket_at(const struct abi_map *m, uint32_t hash)
{
	uint32_t *buckets = (uint32_t *)((uintptr_t)m + m->buckets_offset);
	return buckets + (hash & (m->bucket_count - 1));
}

static inline struct abi_map_entry *entry_at(const struct abi_map *m, uint32_t index)
{
	uintptr_t entries = (uintptr_t)m + m->entries_offset;
	return (struct abi_map_entry *)(entries + (uint64_t)index * m->entry_size);
}

/* The entry a link leads to; NULL at the end. */
static inline struct abi_map_entry *follow(const struct abi_map *m, uint32_t link)
{
	return link - 1 < m->max_entries ? entry_at(m, link - 1) : NULL;
}

static inline uint64_t *key_at(
	const struct abi_map *m, struct abi_map_entry *e, uint32_t key)
{
	return (uint64_t *)(void *)((char *)e + m->key_offset[key]);
}

static inline void *value_at(const struct abi_map *m, struct abi_map_entry *e)
{
	return (char *)e + m->value_offset;
}

static inline bool key_is_string(const struct abi_map *m, uint32_t key)
{
	return m->key_strings >> key & 1;
}

static inline uint32_t key_count(const struct abi_map *m)
{
	return m->key_count < ABI_MAP_MAX_KEYS ? m->key_count : ABI_MAP_MAX_KEYS;
}

/* ---- hashing ------------------------------------------------------------- */

#define HASH_FACTOR \
	0x9e3779b97f4a7c15u /* 2^64 / golden ratio: spreads consecutive keys */

static inline uint32_t hash_long(uint64_t key)
{
	return (uint32_t)((key * HASH_FACTOR) >> 32);
}

/* The first `size` bytes of a word. */
static inline uint64_t word_head(uint64_t word, uint32_t size)
{
	return size >= RT_WORD ? word : word & ((1ull << (8 * size)) - 1);
}

static uint64_t hash_string(uint64_t hash, const char *s, uint32_t limit)
{
	for (uint32_t i = 0; i < limit; i += RT_WORD) {
		uint64_t word = word_head(rt_word(s + i), limit - i);
		hash = (hash ^ word) * HASH_FACTOR;
		hash ^= hash >> 32;
		if (rt_word_ends(word))
			break;
	}
	return hash;
}

static uint32_t hash_key(const struct abi_map *m, const uint64_t *key)
{
	uint32_t count = key_count(m);
	if (count == 1 && !m->key_strings)
		return hash_long(key[0]);
	uint64_t hash = 0xcbf29ce484222325u;
	for (uint32_t i = 0; i < count; i++) {
		if (key_is_string(m, i))
			hash = hash_string(
				hash, (const char *)(uintptr_t)key[i], m->max_string - 1);
		else
			hash = (hash ^ key[i]) * HASH_FACTOR;
		hash ^= hash >> 29;
	}
	return (uint32_t)((hash * HASH_FACTOR) >> 32);
}

/* A stored key is cut at max_string, so one that is looked up is compared only so far. */
static bool string_is_key(const struct abi_map *m, const char *stored, const char *s)
{
	uint32_t limit = m->max_string - 1;
	for (uint32_t i = 0; i < limit; i += RT_WORD) {
		uint64_t a = word_head(rt_word(stored + i), limit - i);
		if (a != word_head(rt_word(s + i), limit - i))
			return false;
		if (rt_word_ends(a))
			break;
	}
	return true;
}

static bool entry_matches(const struct abi_map *m, struct abi_map_entry *e,
	const uint64_t *key, uint32_t wild)
{
	uint32_t count = key_count(m);
	for (uint32_t i = 0; i < count; i++) {
		if (wild >> i & 1)
			continue;
		const uint64_t *stored = key_at(m, e, i);
		if (key_is_string(m, i)) {
			const char *s = (const char *)(uintptr_t)key[i];
			if (!string_is_key(m, (const char *)stored, s))
				return false;
		} else if (*stored != key[i]) {
			return false;
		}
	}
	return true;
}

static struct abi_map_entry *find_entry(
	const struct abi_map *m, const uint64_t *key, uint32_t hash)
{
	uint32_t left = m->max_entries;
	struct abi_map_entry *e = follow(m, *bucket_at(m, hash));
	for (; e && left--; e = follow(m, e->chain))
		if (e->hash == hash && entry_matches(m, e, key, 0))
			return e;
	return NULL;
}

/* ---- one entry in, one entry out ----------------------------------------- */

static uint32_t link_to(const struct abi_map *m, const struct abi_map_entry *e)
{
	return (uint32_t)(((uintptr_t)e - (uintptr_t)entry_at(m, 0)) / m->entry_size) + 1;
}

uint32_t rt_map_link(const struct abi_map *m, const void *value)
{
	uintptr_t e = (uintptr_t)value - m->value_offset;
	return link_to(m, (const struct abi_map_entry *)e);
}

void *rt_map_linked(struct abi_map *m, uint32_t link)
{
	struct abi_map_entry *e = follow(m, link);
	return e ? value_at(m, e) : NULL;
}

static void unchain(struct abi_map *m, uint32_t link, struct abi_map_entry *e)
{
	uint32_t *at = bucket_at(m, e->hash), left = m->max_entries;
	while (*at != link && left--) {
		struct abi_map_entry *other = follow(m, *at);
		if (!other)
			return;
		at = &other->chain;
	}
	if (*at == link)
		*at = e->chain;
}

/* Its `next` stays as it is: a foreach may stand on it. */
static RT_NOINLINE void remove_entry(struct abi_map *m, uint32_t link)
{
	struct abi_map_entry *e = follow(m, link);
	if (!e)
		return;
	struct abi_map_entry *prev = follow(m, e->prev), *next = follow(m, e->next);
	unchain(m, link, e);
	*(prev ? &prev->next : &m->head) = e->next;
	*(next ? &next->prev : &m->tail) = e->prev;
	e->chain = m->free;
	m->free = link;
	m->count--;
}

static uint32_t take_free(struct abi_map *m)
{
	struct abi_map_entry *e = follow(m, m->free);
	if (e) {
		uint32_t link = m->free;
		m->free = e->chain;
		return link;
	}
	return m->fresh < m->max_entries ? ++m->fresh : 0;
}

static RT_NOINLINE void *overflow(struct abi_context *c, const struct abi_map *m)
{
	if (c->error)
		return NULL;
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	if (m->sized) {
		rt_text_string(&t, "Array overflow, check size limit (");
		rt_text_decimal(&t, m->max_entries, 1);
		rt_text_char(&t, ')');
	} else {
		rt_text_string(&t, "Array overflow, check MAXMAPENTRIES");
	}
	rt_text_close(&t);
	c->error = 1;
	return NULL;
}

static void store_keys(struct abi_map *m, struct abi_map_entry *e, const uint64_t *key)
{
	uint32_t count = key_count(m);
	for (uint32_t i = 0; i < count; i++) {
		if (key_is_string(m, i))
			rt_put((char *)key_at(m, e, i), m->max_string,
				(const char *)(uintptr_t)key[i]);
		else
			*key_at(m, e, i) = key[i];
	}
}

static RT_NOINLINE void *add_entry(
	struct abi_context *c, struct abi_map *m, const uint64_t *key, uint32_t hash)
{
	uint32_t link = take_free(m);
	if (!link && m->wrap) {
		remove_entry(m, m->head);
		link = take_free(m);
	}
	struct abi_map_entry *e = follow(m, link);
	if (!e)
		return overflow(c, m);
	e->hash = hash;
	store_keys(m, e, key);
	rt_zero(value_at(m, e), m->value_size);
	e->chain = *bucket_at(m, hash);
	*bucket_at(m, hash) = link;
	e->next = 0;
	e->prev = m->tail;
	struct abi_map_entry *last = follow(m, m->tail);
	*(last ? &last->next : &m->head) = link;
	m->tail = link;
	m->count++;
	return value_at(m, e);
}

/* ---- lookup -------------------------------------------------------------- */

void *rt_map_find(struct abi_context *c, struct abi_map *m, const uint64_t *key)
{
	struct abi_map_entry *e = find_entry(m, key, hash_key(m, key));
	return e ? value_at(m, e) : NULL;
}

void *rt_map_insert(struct abi_context *c, struct abi_map *m, const uint64_t *key)
{
	uint32_t hash = hash_key(m, key);
	struct abi_map_entry *e = find_entry(m, key, hash);
	return RT_LIKELY(e != NULL) ? value_at(m, e) : add_entry(c, m, key, hash);
}

/* One long key always stands right after the entry's header. */
static inline struct abi_map_entry *find_entry1(
	const struct abi_map *m, uint64_t key, uint32_t hash)
{
	uint32_t left = m->max_entries;
	struct abi_map_entry *e = follow(m, *bucket_at(m, hash));
	for (; e && left--; e = follow(m, e->chain))
		if (RT_LIKELY(*(const uint64_t *)(const void *)(e + 1) == key))
			return e;
	return NULL;
}

void *rt_map_find1(struct abi_context *c, struct abi_map *m, uint64_t key)
{
	struct abi_map_entry *e = find_entry1(m, key, hash_long(key));
	return e ? value_at(m, e) : NULL;
}

static RT_NOINLINE void *add_entry1(
	struct abi_context *c, struct abi_map *m, uint64_t key)
{
	return add_entry(c, m, &key, hash_long(key));
}

void *rt_map_insert1(struct abi_context *c, struct abi_map *m, uint64_t key)
{
	struct abi_map_entry *e = find_entry1(m, key, hash_long(key));
	return RT_LIKELY(e != NULL) ? value_at(m, e) : add_entry1(c, m, key);
}

void rt_map_delete(struct abi_context *c, struct abi_map *m, const uint64_t *key)
{
	struct abi_map_entry *e = find_entry(m, key, hash_key(m, key));
	if (e)
		remove_entry(m, link_to(m, e));
}

void rt_map_clear(struct abi_context *c, struct abi_map *m)
{
	enum {
		SPARSE = 8
	};
	if (m->count < m->bucket_count / SPARSE) {
		uint32_t left = m->max_entries;
		struct abi_map_entry *e = follow(m, m->head);
		for (; e && left--; e = follow(m, e->next))
			*bucket_at(m, e->hash) = 0;
	} else {
		rt_zero(bucket_at(m, 0), (uint64_t)m->bucket_count * sizeof(uint32_t));
	}
	m->count = m->head = m->tail = m->free = m->fresh = 0;
}

/* ---- slices and iteration ------------------------------------------------ */

bool rt_map_match(struct abi_context *c, struct abi_map *m, uint32_t entry,
	const uint64_t *key, uint32_t wild)
{
	return entry < m->max_entries && entry_matches(m, entry_at(m, entry), key, wild);
}

void rt_map_delete_slice(
	struct abi_context *c, struct abi_map *m, const uint64_t *key, uint32_t wild)
{
	uint32_t left = m->max_entries, link = m->head;
	for (struct abi_map_entry *e = follow(m, link); e && left--;
		e = follow(m, link)) {
		uint32_t next = e->next;
		if (entry_matches(m, e, key, wild))
			remove_entry(m, link);
		link = next;
	}
}

bool rt_map_contains_slice(
	struct abi_context *c, struct abi_map *m, const uint64_t *key, uint32_t wild)
{
	uint32_t left = m->max_entries;
	struct abi_map_entry *e = follow(m, m->head);
	for (; e && left--; e = follow(m, e->next))
		if (entry_matches(m, e, key, wild))
			return true;
	return false;
}

static uint32_t index_of(const struct abi_map *m, uint32_t link)
{
	return link - 1 < m->max_entries ? link - 1 : ABI_MAP_NONE;
}

uint32_t rt_map_first(struct abi_map *m)
{
	return index_of(m, m->head);
}

uint32_t rt_map_next(struct abi_map *m, uint32_t entry)
{
	/* nothing is left of an array that was deleted in a loop over it */
	return entry < m->max_entries && m->count ? index_of(m, entry_at(m, entry)->next)
						  : ABI_MAP_NONE;
}

uint64_t rt_map_key(struct abi_map *m, uint32_t entry, uint32_t key)
{
	if (entry >= m->max_entries || key >= key_count(m))
		return 0;
	uint64_t *stored = key_at(m, entry_at(m, entry), key);
	if (!key_is_string(m, key))
		return *stored;
	((char *)stored)[m->max_string - 1] =
		'\0'; /* nothing else ends a scribbled one */
	return (uint64_t)(uintptr_t)stored;
}

void *rt_map_value(struct abi_map *m, uint32_t entry)
{
	return entry < m->max_entries ? value_at(m, entry_at(m, entry)) : NULL;
}

/* ---- sorting ------------------------------------------------------------- */

struct map_order {
	struct abi_map *m;
	uint32_t by;
	bool descending;
	uint32_t left; /* steps until we give up on a scribbled list */
};

static int64_t stat_rank(const struct abi_stat *s, uint32_t op)
{
	switch (op) {
	case RT_STAT_SUM:
		return s->sum;
	case RT_STAT_MIN:
		return s->min;
	case RT_STAT_MAX:
		return s->max;
	case RT_STAT_AVG:
		return rt_stat_average(s);
	case RT_STAT_VARIANCE:
		return rt_stat_variance(s);
	default:
		return s->count;
	}
}

static int32_t compare_longs(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int32_t compare_entries(
	const struct map_order *o, struct abi_map_entry *a, struct abi_map_entry *b)
{
	const struct abi_map *m = o->m;
	const void *x, *y;
	bool strings = false;
	if (o->by >= RT_SORT_STAT)
		return compare_longs(stat_rank(value_at(m, a), o->by - RT_SORT_STAT),
			stat_rank(value_at(m, b), o->by - RT_SORT_STAT));
	if (o->by >= RT_SORT_VALUE) {
		x = value_at(m, a);
		y = value_at(m, b);
		strings = m->value_type == ABI_VALUE_STRING;
	} else {
		uint32_t key = o->by < key_count(m) ? o->by : 0;
		x = key_at(m, a, key);
		y = key_at(m, b, key);
		strings = key_is_string(m, key);
	}
	if (strings)
		return rt_string_compare(x, y);
	return compare_longs(*(const int64_t *)x, *(const int64_t *)y);
}

static void append(struct abi_map *m, uint32_t link)
{
	struct abi_map_entry *last = follow(m, m->tail);
	*(last ? &last->next : &m->head) = link;
	m->tail = link;
}

/* Up to `run` steps from `link`; returns where that leads and how many there were. */
static uint32_t skip_run(
	struct map_order *o, uint32_t link, uint32_t run, uint32_t *ret_size)
{
	uint32_t size = 0;
	for (struct abi_map_entry *e = follow(o->m, link); e && size < run;
		e = follow(o->m, link)) {
		link = e->next;
		size++;
	}
	*ret_size = size;
	return link;
}

/* Merge the run at p with the run at q into the list being built; returns what follows
 * q's. */
static uint32_t merge_runs(
	struct map_order *o, uint32_t p, uint32_t q, uint32_t p_size, uint32_t q_size)
{
	struct abi_map *m = o->m;
	struct abi_map_entry *a = follow(m, p), *b = follow(m, q);
	while (((p_size && a) || (q_size && b)) && o->left) {
		bool from_p = p_size && a;
		if (from_p && q_size && b) {
			int32_t order = compare_entries(o, a, b);
			from_p = o->descending ? order >= 0 : order <= 0;
		}
		o->left--;
		if (from_p) {
			append(m, p);
			p = a->next;
			a = follow(m, p);
			p_size--;
		} else {
			append(m, q);
			q = b->next;
			b = follow(m, q);
			q_size--;
		}
	}
	return q;
}

/* Bottom-up merge sort of the `next` list: runs of 1, 2, 4, ... entries; no memory, no
 * recursion. */
void rt_map_sort(struct abi_context *c, struct abi_map *m, uint32_t by, bool descending)
{
	struct map_order o = {.m = m, .by = by, .descending = descending};
	for (uint32_t run = 1; run && run < m->max_entries; run *= 2) {
		uint32_t link = m->head, merges = 0;
		o.left = m->max_entries;
		m->head = m->tail = 0;
		while (follow(m, link) && o.left) {
			uint32_t p_size;
			uint32_t q = skip_run(&o, link, run, &p_size);
			link = merge_runs(&o, link, q, p_size, run);
			merges++;
		}
		struct abi_map_entry *last = follow(m, m->tail);
		if (last)
			last->next = 0;
		if (merges <= 1)
			break;
	}
	uint32_t prev = 0, left = m->max_entries, link = m->head;
	for (struct abi_map_entry *e = follow(m, link); e && left--;
		e = follow(m, link)) {
		e->prev = prev;
		prev = link;
		link = e->next;
	}
	m->tail = prev;
}

/* ---- layout -------------------------------------------------------------- */

static uint64_t align8(uint64_t size)
{
	return (size + 7) & ~7ull;
}

static uint32_t bucket_count_for(uint32_t max_entries)
{
	uint32_t count = 8;
	while (count < max_entries && count < 1u << 30)
		count *= 2;
	return count;
}

static void lay_out(struct abi_map *m)
{
	uint64_t at = KEYS_OFFSET;
	for (uint32_t i = 0; i < key_count(m); i++) {
		m->key_offset[i] = (uint32_t)at;
		at += key_is_string(m, i) ? align8(m->max_string) : sizeof(uint64_t);
	}
	m->value_offset = (uint32_t)at;
	m->entry_size = (uint32_t)(at + align8(m->value_size));
	m->bucket_count = bucket_count_for(m->max_entries);
	m->buckets_offset = sizeof(struct abi_map);
	m->entries_offset =
		m->buckets_offset + m->bucket_count * (uint32_t)sizeof(uint32_t);
	m->total_size = m->entries_offset + (uint64_t)m->max_entries * m->entry_size;
}

void rt_map_init(struct abi_map *m, uint32_t key_count, uint32_t key_strings,
	uint32_t value_type, uint32_t value_size, uint32_t max_entries,
	uint32_t max_string, bool wrap, bool sized)
{
	*m = (struct abi_map){.magic = MAP_MAGIC,
		.key_count = key_count,
		.key_strings = key_strings,
		.value_type = value_type,
		.value_size = value_size,
		.max_string = max_string,
		.max_entries = max_entries,
		.wrap = wrap,
		.sized = sized};
	lay_out(m);
}

uint64_t rt_map_size(uint32_t key_count, uint32_t key_strings, uint32_t value_type,
	uint32_t value_size, uint32_t max_entries, uint32_t max_string)
{
	struct abi_map m;
	rt_map_init(&m, key_count, key_strings, value_type, value_size, max_entries,
		max_string, false, false);
	return m.total_size;
}
