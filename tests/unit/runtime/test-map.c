/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static struct fixture f;
static struct abi_map *m;

enum {
	KEYS = 3,
	MODEL_MAX = 64
};

static void make(uint32_t key_count, uint32_t strings, uint32_t type, uint32_t size,
	uint32_t max, bool wrap, bool sized)
{
	m = (struct abi_map *)(void *)f.globals;
	uint64_t total =
		rt_map_size(key_count, strings, type, size, max, FIXTURE_MAX_STRING);
	memset(m, 0, total);
	rt_map_init(
		m, key_count, strings, type, size, max, FIXTURE_MAX_STRING, wrap, sized);
	if (m->total_size != total || total > FIXTURE_GLOBALS_SIZE)
		abort();
}

/* ---- the model: an array in insertion order ---------------------------------------- */

struct model_entry {
	uint64_t key[KEYS];
	int64_t value;
};

static struct model_entry model[MODEL_MAX];
static uint32_t model_count, model_keys;
static char texts[64][8]; /* string keys: one address per text here, others in the map */

static uint64_t random_state = 88172645463325252u;
static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % n;
}

static int model_find(const uint64_t *key)
{
	for (uint32_t i = 0; i < model_count; i++)
		if (memcmp(model[i].key, key, model_keys * sizeof(*key)) == 0)
			return (int)i;
	return -1;
}

static void model_remove(uint32_t i)
{
	memmove(model + i, model + i + 1, (model_count - i - 1) * sizeof(*model));
	model_count--;
}

static bool model_key_matches(uint32_t i, const uint64_t *key, uint32_t wild)
{
	for (uint32_t k = 0; k < model_keys; k++)
		if (!(wild >> k & 1) && model[i].key[k] != key[k])
			return false;
	return true;
}

static int64_t model_rank(const struct model_entry *e, uint32_t by)
{
	return by == RT_SORT_VALUE ? e->value : (int64_t)e->key[by];
}

static void model_sort(uint32_t by, bool descending) /* insertion sort: stable */
{
	for (uint32_t i = 1; i < model_count; i++) {
		struct model_entry e = model[i];
		int64_t rank = model_rank(&e, by);
		uint32_t j = i;
		for (; j; j--) {
			int64_t other = model_rank(&model[j - 1], by);
			if (descending ? other >= rank : other <= rank)
				break;
			model[j] = model[j - 1];
		}
		model[j] = e;
	}
}

static bool same_key(uint32_t entry, const uint64_t *key)
{
	for (uint32_t k = 0; k < model_keys; k++) {
		uint64_t stored = rt_map_key(m, entry, k);
		if (m->key_strings >> k & 1) {
			if (strcmp((char *)(uintptr_t)stored,
				    (char *)(uintptr_t)key[k]) != 0)
				return false;
		} else if (stored != key[k]) {
			return false;
		}
	}
	return true;
}

static bool equals_model(void)
{
	uint32_t i = 0, e = rt_map_first(m);
	for (; e != ABI_MAP_NONE && i < model_count; e = rt_map_next(m, e), i++)
		if (!same_key(e, model[i].key) ||
			*(int64_t *)rt_map_value(m, e) != model[i].value)
			return false;
	if (i != model_count || e != ABI_MAP_NONE || m->count != model_count)
		return false;
	for (i = 0; i < model_count; i++) {
		int64_t *v = rt_map_find(f.c, m, model[i].key);
		if (!v || *v != model[i].value)
			return false;
	}
	return true;
}

static void make_key(uint64_t *key)
{
	for (uint32_t k = 0; k < model_keys; k++)
		key[k] = m->key_strings >> k & 1
				 ? (uint64_t)(uintptr_t)texts[random_below(12)]
				 : random_below(6) - 2u;
}

static bool insert_both(const uint64_t *key, uint32_t max)
{
	int at = model_find(key);
	int64_t *v = model_keys == 1 && !m->key_strings ? rt_map_insert1(f.c, m, key[0])
							: rt_map_insert(f.c, m, key);
	if (at < 0 && model_count == max && !m->wrap) {
		bool good = !v && f.c->error == 1;
		f.c->error = 0;
		return good;
	}
	if (!v)
		return false;
	if (at < 0) {
		if (*v != 0)
			return false;
		if (model_count == max)
			model_remove(0);
		at = (int)model_count++;
		memset(&model[at], 0, sizeof(model[at]));
		memcpy(model[at].key, key, model_keys * sizeof(*key));
	}
	*v += random_below(5);
	model[at].value = *v;
	return true;
}

static bool one_step(uint32_t max)
{
	uint64_t key[KEYS];
	make_key(key);
	uint32_t what = random_below(100), wild = random_below(1u << model_keys);
	if (what < 60)
		return insert_both(key, max);
	if (what < 80) {
		int at = model_find(key);
		rt_map_delete(f.c, m, key);
		if (at >= 0)
			model_remove((uint32_t)at);
	} else if (what < 84) {
		rt_map_delete_slice(f.c, m, key, wild);
		for (uint32_t i = model_count; i--;)
			if (model_key_matches(i, key, wild))
				model_remove(i);
	} else if (what < 88) {
		bool any = false;
		for (uint32_t i = 0; i < model_count; i++)
			any = any || model_key_matches(i, key, wild);
		return rt_map_contains_slice(f.c, m, key, wild) == any;
	} else if (what < 99) {
		uint32_t by = random_below(2) ? RT_SORT_VALUE : 0;
		bool descending = random_below(2);
		if (by == 0 && m->key_strings & 1)
			by = RT_SORT_VALUE;
		rt_map_sort(f.c, m, by, descending);
		model_sort(by, descending);
	} else {
		rt_map_clear(f.c, m);
		model_count = 0;
	}
	return true;
}

static const struct {
	const char *name;
	uint32_t keys, strings, max;
	bool wrap;
} shapes[] = {
	{"one long key", 1, 0, 40, false},
	{"one long key, small", 1, 0, 3, false},
	{"one long key, wrapping", 1, 0, 4, true},
	{"one string key", 1, 1, 40, false},
	{"one string key, wrapping", 1, 1, 5, true},
	{"long and string", 2, 2, 30, false},
	{"three keys", 3, 5, 60, true},
	{"one entry", 1, 0, 1, true},
};

static void test_model(void)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		make(shapes[i].keys, shapes[i].strings, ABI_VALUE_LONG, 8, shapes[i].max,
			shapes[i].wrap, false);
		model_count = 0;
		model_keys = shapes[i].keys;
		bool good = true;
		int step = 0;
		for (; step < 20000 && good; step++)
			good = one_step(shapes[i].max) && equals_model();
		tap_ok(good, "%s behaves as the model (%d steps)", shapes[i].name, step);
	}
}

static void test_overflow(void)
{
	make(1, 0, ABI_VALUE_LONG, 8, 2, false, false);
	for (uint64_t i = 0; i < 3; i++)
		rt_map_insert1(f.c, m, i);
	tap_is_string(f.c->error_text, "Array overflow, check MAXMAPENTRIES", "overflow");
	f.c->error = 0;
	make(1, 0, ABI_VALUE_LONG, 8, 2, false, true);
	for (uint64_t i = 0; i < 3; i++)
		rt_map_insert1(f.c, m, i);
	tap_is_string(f.c->error_text, "Array overflow, check size limit (2)",
		"overflow, sized");
	f.c->error = 0;
}

static void test_sort_strings(void)
{
	static const char *const words[] = {"pear", "fig", "apple", "plum", "", "figs"};
	static const char *const sorted[] = {"", "apple", "fig", "figs", "pear", "plum"};
	make(1, 1, ABI_VALUE_STRING, FIXTURE_MAX_STRING, 100, false, false);
	for (size_t i = 0; i < 6; i++) {
		uint64_t key = (uint64_t)(uintptr_t)words[i];
		strcpy(rt_map_insert(f.c, m, &key), words[5 - i]);
	}
	rt_map_sort(f.c, m, RT_SORT_KEY0, false);
	uint32_t e = rt_map_first(m);
	for (size_t i = 0; i < 6; i++, e = rt_map_next(m, e))
		tap_is_string((char *)(uintptr_t)rt_map_key(m, e, 0), sorted[i],
			"sorted by string key");
	rt_map_sort(f.c, m, RT_SORT_VALUE, true);
	e = rt_map_first(m);
	for (size_t i = 0; i < 6; i++, e = rt_map_next(m, e))
		tap_is_string(
			rt_map_value(m, e), sorted[5 - i], "by string value, descending");
}

static void test_sort_stats(void)
{
	struct abi_stat_desc d = {.size = sizeof(struct abi_stat)};
	make(1, 0, ABI_VALUE_STAT, d.size, 100, false, false);
	for (uint64_t k = 0; k < 5; k++) {
		struct abi_stat *s = rt_map_insert1(f.c, m, k);
		for (uint64_t n = 0; n <= k * 7 % 5; n++)
			rt_stat_add(s, &d, (int64_t)k);
	}
	rt_map_sort(f.c, m, RT_SORT_STAT + RT_STAT_COUNT, true);
	int64_t last = INT64_MAX;
	bool good = true;
	for (uint32_t e = rt_map_first(m); e != ABI_MAP_NONE; e = rt_map_next(m, e)) {
		struct abi_stat *s = rt_map_value(m, e);
		good = good && s->count <= last;
		last = s->count;
	}
	tap_ok(good && m->count == 5, "statistics sorted by count");
}

static void test_long_keys(void)
{
	char text[700];
	memset(text, 'k', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	make(1, 1, ABI_VALUE_LONG, 8, 10, false, false);
	uint64_t key = (uint64_t)(uintptr_t)text;
	*(int64_t *)rt_map_insert(f.c, m, &key) = 5;
	int64_t *v = rt_map_find(f.c, m, &key);
	tap_ok(v && *v == 5, "a key longer than a string can be is cut, and found again");
}

/* Whatever a traced process writes into the map, walks end and stay inside. */
static void test_scribbled(void)
{
	for (int round = 0; round < 300; round++) {
		make(1, 0, ABI_VALUE_LONG, 8, 50, false, false);
		for (uint64_t i = 0; i < 40; i++)
			*(int64_t *)rt_map_insert1(f.c, m, i * 7) = (int64_t)i;
		char *from = (char *)m + m->buckets_offset;
		for (int i = 0; i < 40; i++) {
			uint32_t at = random_below(
				(uint32_t)(m->total_size - m->buckets_offset) / 4);
			((uint32_t *)(void *)from)[at] =
				random_below(4) ? random_below(60) : 0xfffffff0u;
		}
		for (uint64_t i = 0; i < 60; i++) {
			rt_map_insert1(f.c, m, i * 5);
			rt_map_delete(f.c, m, &i);
		}
		uint64_t key = 3;
		rt_map_sort(f.c, m, RT_SORT_VALUE, round & 1);
		rt_map_contains_slice(f.c, m, &key, 0);
		rt_map_delete_slice(f.c, m, &key, 1);
		uint32_t left = 1000;
		for (uint32_t e = rt_map_first(m); e != ABI_MAP_NONE && left;
			e = rt_map_next(m, e))
			left--;
		rt_map_clear(f.c, m);
		f.c->error = 0;
	}
	tap_ok(true, "a scribbled map neither hangs nor crashes");
}

int main(void)
{
	fixture_init(&f);
	for (int i = 0; i < 64; i++)
		snprintf(texts[i], sizeof(texts[i]), "t%d", i * i);
	test_model();
	test_overflow();
	test_sort_strings();
	test_sort_stats();
	test_long_keys();
	test_scribbled();
	return tap_done();
}
