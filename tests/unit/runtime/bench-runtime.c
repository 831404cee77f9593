/* SPDX-License-Identifier: MIT */
/* Costs of what handlers call, in nanoseconds; run by hand: the least of several rounds. */
#include <time.h>

#include "fixture.h"

static struct fixture f;
static volatile int64_t sink;

static double now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

#define BENCH(name, body)                                       \
	do {                                                    \
		double best = 1e9;                              \
		for (int round = 0; round < 100; round++) {     \
			double start = now_ns();                \
			for (uint64_t i = 0; i < 50000; i++) {  \
				body;                           \
			}                                       \
			double each = (now_ns() - start) / 5e4; \
			best = each < best ? each : best;       \
		}                                               \
		printf("%-42s %6.2f ns\n", name, best);         \
	} while (0)

static void record(uint64_t i)
{
	uint64_t *payload = rt_record_reserve(f.c, ABI_RECORD_PRINT, 1, 16);
	payload[0] = i;
	payload[1] = i;
	rt_record_commit(f.c);
	f.c->ring_tail = f.c->ring_head;
}

static __attribute__((noinline)) void nothing(uint64_t i)
{
	__asm__ volatile("" : : "r"(i));
}

int main(void)
{
	fixture_init(&f);
	struct abi_context *c = f.c;
	struct abi_map *m = (struct abi_map *)(void *)f.globals;
	rt_map_init(m, 1, 0, ABI_VALUE_LONG, 8, 2048, FIXTURE_MAX_STRING, false, false);
	for (uint64_t k = 0; k < 1000; k++)
		rt_map_insert1(c, m, k);
	struct abi_map *strings = (struct abi_map *)(void *)(f.globals + (1 << 19));
	rt_map_init(
		strings, 1, 1, ABI_VALUE_LONG, 8, 500, FIXTURE_MAX_STRING, false, false);
	uint64_t name = (uint64_t)(uintptr_t) "a_function_name";
	struct abi_stat_desc plain = {
		.size = sizeof(struct abi_stat), .variance_shift = ABI_STAT_NO_VARIANCE};
	struct abi_stat_desc variance = {.size = sizeof(struct abi_stat)};
	struct abi_stat_desc log = {.size = sizeof(struct abi_stat) + 128 * 8,
		.hist = ABI_HIST_LOG,
		.bucket_count = 128,
		.variance_shift = ABI_STAT_NO_VARIANCE};
	struct abi_shared_stat *v =
		(struct abi_shared_stat *)(void *)(f.globals + (1 << 18));
	char dst[FIXTURE_MAX_STRING];

	BENCH("two calls of nothing", nothing(i); nothing(i));
	BENCH("rt_enter + rt_leave", rt_enter(c, NULL, i, 0, 0); rt_leave(c));
	BENCH("rt_enter + rt_lock(write) + rt_leave", rt_enter(c, NULL, i, 0, 0);
		rt_lock(c, 1, true); rt_leave(c));
	BENCH("rt_lock(write) + rt_unlock_all", rt_lock(c, 1, true); rt_unlock_all(c));
	BENCH("rt_lock(read) + rt_unlock_all", rt_lock(c, 1, false); rt_unlock_all(c));
	BENCH("rt_map_insert1, hit", ++*(int64_t *)rt_map_insert1(c, m, i % 1000));
	BENCH("rt_map_insert, hit, short string key",
		++*(int64_t *)rt_map_insert(c, strings, &name));
	c->stamp = 1;
	BENCH("record of 2 longs, stamp taken", record(i));
	BENCH("record of 2 longs and rdtsc", c->stamp = 0; record(i));
	BENCH("rt_stat_add_shard",
		rt_stat_add_shard(c, v, ABI_CONTEXT_SHARDS, &plain, (int64_t)i));
	BENCH("rt_stat_add_shard, variance",
		rt_stat_add_shard(c, v, ABI_CONTEXT_SHARDS + 128, &variance, (int64_t)i));
	BENCH("rt_stat_add_shard, log histogram",
		rt_stat_add_shard(c, v, ABI_CONTEXT_SHARDS + 256, &log, (int64_t)i));
	BENCH("rt_pair_push + rt_pair_pop", rt_pair_push(c, 1, 0x7000 - (i & 63), 8);
		rt_pair_pop(c, 1, 0x7000 - (i & 63)));
	BENCH("gettimeofday_us", sink = rt_fn_gettimeofday_us(c));
	BENCH("rt_string_copy, 15 bytes", rt_string_copy(c, dst, "a_function_name"));
	return 0;
}
