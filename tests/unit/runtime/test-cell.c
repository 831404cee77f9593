/* SPDX-License-Identifier: MIT */
/* Arrays counted in cells: against a plain model, and by threads while a tracer reads and deletes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

enum {
	ENTRIES = 600,
	THREADS = 4,
	ROUNDS = 200000,
	KEYS = 700, /* more than cells, more than entries */
	LOCK = 5,
};

static struct fixture f;

struct array {
	struct abi_map *map;
	struct abi_cells_desc desc;
};

static uint32_t round_up(uint32_t value, uint32_t to)
{
	return (value + to - 1) / to * to;
}

static struct array make_array(
	uint32_t at, uint32_t shard, uint32_t keys, uint32_t strings, uint32_t entries)
{
	uint32_t words = 0;
	for (uint32_t i = 0; i < keys; i++)
		words += strings >> i & 1 ? ABI_CELL_TEXT / 8 : 1;
	struct array array = {.map = (struct abi_map *)(void *)(f.globals + at),
		.desc = {.map_offset = FIXTURE_GLOBALS + at,
			.shard_offset = (uint32_t)ABI_CONTEXT_SHARDS + shard,
			.cell_size = round_up(
				(uint32_t)sizeof(struct abi_cell) + 8 * words, 64),
			.lock = LOCK,
			.key_count = keys,
			.key_strings = strings}};
	rt_map_init(array.map, keys, strings, ABI_VALUE_LONG, sizeof(int64_t), entries,
		FIXTURE_MAX_STRING, false, false);
	return array;
}

/* As handlers of the tracer begin and end. */
static void look(const struct array *a)
{
	if (!rt_enter(f.tracer, NULL, 0, 0, 0) || !rt_lock(f.tracer, LOCK, true))
		abort();
	rt_cells_collect(f.tracer, &a->desc);
}

static void clear(const struct array *a)
{
	rt_cells_unlink(f.tracer, &a->desc);
	rt_map_clear(f.tracer, a->map);
}

static int64_t value_of(const struct array *a, const uint64_t *key)
{
	const int64_t *value = rt_map_find(f.tracer, a->map, key);
	return value ? *value : 0;
}

/* ---- one after the other -------------------------------------------------- */

static char texts[KEYS][80];

static void fill_texts(void)
{
	for (int i = 0; i < KEYS; i++)
		snprintf(texts[i], sizeof(texts[i]), i % 3 ? "k%d" : "%060d", i);
}

static void model_key(uint32_t strings, uint32_t k, uint64_t ret[2])
{
	ret[0] = strings & 1 ? (uint64_t)(uintptr_t)texts[k] : k * 977u;
	ret[1] = strings & 2 ? (uint64_t)(uintptr_t)texts[k] : k % 13;
}

static bool step_model(
	const struct array *a, uint32_t strings, int64_t model[KEYS], uint32_t *random)
{
	uint64_t key[2];
	*random = *random * 1664525 + 1013904223;
	uint32_t r = *random >> 8, k = r % 500;
	model_key(strings, k, key);
	if (r % 5000 == 1) {
		look(a);
		clear(a);
		rt_leave(f.tracer);
		memset(model, 0, sizeof(int64_t) * KEYS);
	} else if (r % 1000 == 2) {
		look(a);
		rt_cells_unlink(f.tracer, &a->desc);
		rt_map_delete(f.tracer, a->map, key);
		rt_leave(f.tracer);
		model[k] = 0;
	} else if (r % 500 == 3) {
		bool same = true;
		look(a);
		for (uint32_t i = 0; i < 500; i++) {
			model_key(strings, i, key);
			same &= value_of(a, key) == model[i];
		}
		rt_leave(f.tracer);
		return same;
	} else {
		struct abi_context *c = fixture_context(&f, 1 + r % 3);
		uint64_t by = r % 7;
		model[k] += (int64_t)by;
		return rt_cell_add(c, &a->desc, key, by);
	}
	return true;
}

static void test_model(const char *name, uint32_t keys, uint32_t strings)
{
	static uint32_t seed;
	struct array a = make_array(0, 0, keys, strings, ENTRIES);
	int64_t model[KEYS] = {0};
	uint32_t random = ++seed;
	bool same = true;
	memset(f.globals, 0, FIXTURE_GLOBALS_SIZE);
	a = make_array(0, 0, keys, strings, ENTRIES);
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++)
		memset((char *)fixture_context(&f, i) + ABI_CONTEXT_SHARDS, 0,
			FIXTURE_SHARDS);
	for (int i = 0; i < ROUNDS && same; i++)
		same = step_model(&a, strings, model, &random);
	tap_ok(same, "%s: as a plain array", name);
}

/* ---- overflow, order -------------------------------------------------------- */

static void test_overflow(void)
{
	struct array a = make_array(0, 32768, 1, 0, 2);
	bool ok = true;
	memset(f.globals, 0, 4096);
	a = make_array(0, 32768, 1, 0, 2);
	ok &= rt_cell_add1(f.c, &a.desc, 7, 1) && rt_cell_add1(f.c, &a.desc, 3, 1) &&
	      rt_cell_add1(f.c, &a.desc, 7, 1);
	tap_ok(ok, "room for two");
	tap_ok(!rt_cell_add1(f.c, &a.desc, 8, 1) && f.c->error, "none for a third");
	f.c->error = 0;
	look(&a);
	uint32_t first = rt_map_first(a.map);
	tap_is_long((int64_t)rt_map_key(a.map, first, 0), 7, "the first one is first");
	tap_is_long(*(int64_t *)rt_map_value(a.map, first), 2, "counted twice");
	rt_leave(f.tracer);
	tap_is_long(f.c->locks_held, 0, "no lock is left");
}

/* ---- together ---------------------------------------------------------------- */

static struct array shared;
static int running; /* threads */
static bool text_keys;

static void *count_up(void *data)
{
	struct abi_context *c = data;
	uint32_t random = c->slot;
	for (int i = 0; i < ROUNDS; i++) {
		random = random * 1664525 + 1013904223;
		uint32_t k = (random >> 8) % 100; /* mostly hits, some conflicts */
		uint64_t key = text_keys ? (uint64_t)(uintptr_t)texts[k] : k;
		if (!rt_cell_add(c, &shared.desc, &key, 1)) {
			__atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
			return (void *)(uintptr_t) "not counted";
		}
	}
	__atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* What is there goes; how much was it? */
static int64_t take_all(bool one_by_one)
{
	int64_t sum = 0;
	look(&shared);
	for (uint32_t e = rt_map_first(shared.map); e != ABI_MAP_NONE;
		e = rt_map_next(shared.map, e))
		sum += *(int64_t *)rt_map_value(shared.map, e);
	while (one_by_one && rt_map_first(shared.map) != ABI_MAP_NONE) {
		uint64_t key = rt_map_key(shared.map, rt_map_first(shared.map), 0);
		rt_cells_unlink(f.tracer, &shared.desc);
		rt_map_delete(f.tracer, shared.map, &key);
	}
	clear(&shared);
	rt_leave(f.tracer);
	return sum;
}

static void test_threads(const char *name, bool text)
{
	pthread_t threads[THREADS];
	const char *failure = NULL;
	int64_t sum = 0;
	memset(f.globals, 0, FIXTURE_GLOBALS_SIZE);
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++)
		memset((char *)fixture_context(&f, i) + ABI_CONTEXT_SHARDS, 0,
			FIXTURE_SHARDS);
	text_keys = text;
	f.session->max_trylock = 1000000;
	shared = make_array(0, 0, 1, text, ENTRIES);
	running = THREADS;
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count_up, fixture_context(&f, i + 1));
	for (int i = 0; __atomic_load_n(&running, __ATOMIC_ACQUIRE); i++)
		sum += take_all(i & 1);
	for (uint32_t i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		failure = result ? result : failure;
	}
	sum += take_all(false);
	tap_ok(!failure, "%s: threads count", name);
	tap_ok(sum == (int64_t)THREADS * ROUNDS,
		"%s: %lld of %lld were read, or deleted after that", name, (long long)sum,
		(long long)THREADS * ROUNDS);
}

/* ---- statistics --------------------------------------------------------------- */

static void make_stats(uint32_t hist)
{
	struct abi_stat_desc stat = {.size = sizeof(struct abi_stat) + hist * 8,
		.hist = hist ? ABI_HIST_LOG : ABI_HIST_NONE,
		.bucket_count = hist,
		.variance_shift = ABI_STAT_NO_VARIANCE};
	memset(f.globals, 0, FIXTURE_GLOBALS_SIZE);
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++)
		memset((char *)fixture_context(&f, i) + ABI_CONTEXT_SHARDS, 0,
			FIXTURE_SHARDS);
	shared = make_array(0, 0, 1, 0, 100);
	shared.desc.stat = stat;
	shared.desc.stat_offset = shared.desc.cell_size;
	shared.desc.cell_size = round_up(shared.desc.cell_size + stat.size, 64);
	rt_map_init(shared.map, 1, 0, ABI_VALUE_STAT, stat.size, 100, FIXTURE_MAX_STRING,
		false, false);
}

static void *accumulate(void *data)
{
	struct abi_context *c = data;
	uint32_t random = c->slot;
	int64_t sum = 0;
	for (int i = 0; i < ROUNDS; i++) {
		random = random * 1664525 + 1013904223;
		uint64_t key = (random >> 8) % 20;
		int64_t value = 1 + (random >> 16) % 1000;
		if (!rt_cell_accumulate(c, &shared.desc, &key, value))
			break;
		sum += value;
	}
	__atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
	return (void *)(intptr_t)sum;
}

static bool is_sound(const struct abi_stat *s)
{
	uint64_t buckets = 0;
	for (int i = 0; i < ABI_HIST_LOG_BUCKETS; i++)
		buckets += s->buckets[i];
	return s->count > 0 && s->min >= 1 && s->max <= 1000 && s->min <= s->max &&
	       s->sum >= s->count * s->min && s->sum <= s->count * s->max &&
	       buckets == (uint64_t)s->count;
}

static bool take_stats(int64_t *count, int64_t *sum)
{
	bool sound = true;
	look(&shared);
	for (uint32_t e = rt_map_first(shared.map); e != ABI_MAP_NONE;
		e = rt_map_next(shared.map, e)) {
		const struct abi_stat *s = rt_map_value(shared.map, e);
		sound &= is_sound(s);
		*count += s->count;
		*sum += s->sum;
	}
	clear(&shared);
	rt_leave(f.tracer);
	return sound;
}

static void test_stat_threads(void)
{
	pthread_t threads[THREADS];
	int64_t count = 0, sum = 0, expected = 0;
	bool sound = true;
	make_stats(ABI_HIST_LOG_BUCKETS);
	running = THREADS;
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, accumulate, fixture_context(&f, i + 1));
	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE))
		sound &= take_stats(&count, &sum);
	for (uint32_t i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		expected += (intptr_t)result;
	}
	sound &= take_stats(&count, &sum);
	tap_ok(sound, "statistics: each that was read is one of values that there were");
	tap_is_long(count, (int64_t)THREADS * ROUNDS, "statistics: all values");
	tap_is_long(sum, expected, "statistics: their sum");
}

/* What was taken does not come back: least and most are those of the values since. */
static void test_stat_periods(void)
{
	uint64_t key = 1;
	make_stats(0);
	rt_cell_accumulate(f.c, &shared.desc, &key, 5);
	rt_cell_accumulate(f.c, &shared.desc, &key, 500);
	look(&shared);
	struct abi_stat *s = rt_map_find(f.tracer, shared.map, &key);
	tap_ok(s && s->count == 2 && s->min == 5 && s->max == 500, "two values");
	clear(&shared);
	rt_leave(f.tracer);
	rt_cell_accumulate(f.c, &shared.desc, &key, 50);
	rt_cell_accumulate(f.c, &shared.desc, &key, 60);
	look(&shared);
	s = rt_map_find(f.tracer, shared.map, &key);
	tap_ok(s && s->count == 2 && s->min == 50 && s->max == 60 && s->sum == 110,
		"two others after those were deleted");
	rt_leave(f.tracer);
	rt_cell_accumulate(f.c, &shared.desc, &key, 1);
	look(&shared);
	s = rt_map_find(f.tracer, shared.map, &key);
	tap_ok(s && s->count == 3 && s->min == 1 && s->sum == 111, "one more");
	rt_leave(f.tracer);
}

int main(void)
{
	fixture_init(&f);
	fill_texts();
	test_model("one number", 1, 0);
	test_model("two numbers", 2, 0);
	test_model("a text", 1, 1);
	test_model("a text and a number", 2, 1);
	test_model("two texts", 2, 3);
	test_overflow();
	test_threads("numbers", false);
	test_threads("texts", true);
	test_stat_periods();
	test_stat_threads();
	return tap_done();
}
