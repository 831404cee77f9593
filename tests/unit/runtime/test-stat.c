/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static struct fixture f;

static const struct {
	int64_t value;
	uint32_t bucket;
} logs[] = {
	{0, 64},
	{1, 65},
	{2, 66},
	{3, 66},
	{4, 67},
	{7, 67},
	{8, 68},
	{1023, 74},
	{1024, 75},
	{INT64_MAX, 127},
	{-1, 63},
	{-2, 62},
	{-3, 62},
	{-4, 61},
	{-7, 61},
	{-8, 60},
	{INT64_MIN, 0},
	{INT64_MIN + 1, 1},
};

/* low 2, high 11, width 3: below, 2.., 5.., 8.., 11.., above */
static const struct {
	int64_t value;
	uint32_t bucket;
} linears[] = {
	{INT64_MIN, 0},
	{1, 0},
	{2, 1},
	{4, 1},
	{5, 2},
	{8, 3},
	{10, 3},
	{11, 4},
	{13, 4},
	{14, 5},
	{INT64_MAX, 5},
};

static uint32_t only_bucket(const struct abi_stat *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (s->buckets[i])
			return i;
	return 9999;
}

static union {
	struct abi_stat s;
	char bytes[2048];
} u;

static void test_histograms(void)
{
	struct abi_stat_desc log = {.size = sizeof(struct abi_stat) + 128 * 8,
		.hist = ABI_HIST_LOG,
		.bucket_count = 128};
	struct abi_stat_desc linear = {.size = sizeof(struct abi_stat) + 6 * 8,
		.hist = ABI_HIST_LINEAR,
		.low = 2,
		.high = 11,
		.width = 3,
		.bucket_count = 6};
	for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++) {
		memset(&u, 0, sizeof(u));
		rt_stat_add(&u.s, &log, logs[i].value);
		tap_is_long(only_bucket(&u.s, 128), logs[i].bucket, "log bucket");
	}
	for (size_t i = 0; i < sizeof(linears) / sizeof(*linears); i++) {
		memset(&u, 0, sizeof(u));
		rt_stat_add(&u.s, &linear, linears[i].value);
		tap_is_long(only_bucket(&u.s, 6), linears[i].bucket, "linear bucket");
	}
	tap_is_long(rt_hist_read(f.c, &u.s, &linear, 5), 1, "reading a bucket");
	rt_hist_read(f.c, &u.s, &linear, 6);
	tap_is_string(f.c->error_text, "histogram index out of range", "one too far");
	f.c->error = 0;
	rt_hist_read(f.c, &u.s, &linear, -1);
	tap_is_long(f.c->error, 1, "negative");
	f.c->error = 0;
}

static int64_t merged_variance(uint32_t shift, uint32_t threads)
{
	struct abi_stat_desc d = {
		.size = sizeof(struct abi_stat), .variance_shift = shift};
	struct abi_shared_stat *v = (struct abi_shared_stat *)(void *)f.globals;
	uint32_t offset = ABI_CONTEXT_SHARDS;
	rt_stat_clear_shards(f.c, v);
	for (uint32_t i = 0; i < 5; i++)
		rt_stat_add_shard(
			fixture_context(&f, 1 + i % threads), v, offset, &d, i + 1);
	rt_stat_merge(f.c, v, offset, &d, &u.s);
	return rt_stat_read(f.c, &u.s, RT_STAT_VARIANCE);
}

static void test_variance(void)
{
	tap_is_long(merged_variance(0, 1), 12, "variance of 1..5, unshifted");
	tap_is_long(merged_variance(1, 1), 2, "variance of 1..5, shift 1");
	tap_is_long(merged_variance(10, 1), 2, "variance of 1..5, shift 10");
	tap_is_long(merged_variance(10, 2), 2, "variance of 1..5 on two threads");
	struct abi_stat_desc d = {.size = sizeof(struct abi_stat), .variance_shift = 20};
	memset(&u, 0, sizeof(u));
	rt_stat_add(&u.s, &d, 7);
	tap_is_long(
		rt_stat_read(f.c, &u.s, RT_STAT_VARIANCE), 0, "variance of one value");
}

static void test_extractors(void)
{
	struct abi_stat_desc d = {.size = sizeof(struct abi_stat)};
	memset(&u, 0, sizeof(u));
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_COUNT), 0, "count of nothing");
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_SUM), 0, "sum of nothing");
	tap_is_long(f.c->error, 0, "which is no error");
	rt_stat_read(f.c, &u.s, RT_STAT_AVG);
	tap_is_string(f.c->error_text, "empty aggregate", "average of nothing");
	f.c->error = 0;
	static const int64_t values[] = {5, -8, 3, -8};
	for (int i = 0; i < 4; i++)
		rt_stat_add(&u.s, &d, values[i]);
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_COUNT), 4, "count");
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_SUM), -8, "sum");
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_MIN), -8, "min");
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_MAX), 5, "max");
	tap_is_long(rt_stat_read(f.c, &u.s, RT_STAT_AVG), -2, "avg");
}

static void test_shards(void)
{
	struct abi_stat_desc d = {.size = sizeof(struct abi_stat) + 128 * 8,
		.hist = ABI_HIST_LOG,
		.bucket_count = 128};
	struct abi_shared_stat *v = (struct abi_shared_stat *)(void *)(f.globals + 64);
	uint32_t offset = ABI_CONTEXT_SHARDS + 256;
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++)
		rt_stat_add_shard(fixture_context(&f, i), v, offset, &d, (int64_t)i);
	rt_stat_merge(f.c, v, offset, &d, &u.s);
	tap_is_long(u.s.count, 8, "all shards are counted");
	tap_is_long(u.s.sum, 28, "and summed");
	tap_is_long(u.s.min, 0, "min of all");
	tap_is_long(u.s.max, 7, "max of all");
	tap_is_long((long long)u.s.buckets[67], 4, "buckets added");
	rt_stat_clear_shards(f.c, v);
	rt_stat_merge(f.c, v, offset, &d, &u.s);
	tap_is_long(u.s.count, 0, "empty after a clear");
	rt_stat_add_shard(f.c, v, offset, &d, 5);
	rt_stat_merge(f.c, v, offset, &d, &u.s);
	tap_is_long(u.s.count + (long long)u.s.buckets[67], 2, "old values are gone");

	struct abi_shared_counter *n =
		(struct abi_shared_counter *)(void *)(f.globals + 128);
	uint32_t place = ABI_CONTEXT_SHARDS + 4096;
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++)
		*(int64_t *)(void *)((char *)fixture_context(&f, i) + place) = 10;
	tap_is_long(rt_counter_read(f.c, n, place), 80, "counter");
	rt_counter_write(f.c, n, place, -3);
	tap_is_long(rt_counter_read(f.c, n, place), -3, "counter after an assignment");
}

int main(void)
{
	fixture_init(&f);
	test_histograms();
	test_variance();
	test_extractors();
	test_shards();
	return tap_done();
}
