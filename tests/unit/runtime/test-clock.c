/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <time.h>

#include "fixture.h"
#include "runtime/internal.h"

static struct fixture f;

__extension__ typedef unsigned __int128 wide_uint;

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void calibrate(void)
{
	struct abi_clock *clock = &f.session->clock;
	uint64_t t0 = rt_tsc();
	int64_t n0 = clock_ns(CLOCK_MONOTONIC);
	while (clock_ns(CLOCK_MONOTONIC) - n0 < 20000000)
		;
	uint64_t ticks = rt_tsc() - t0;
	uint64_t ns = (uint64_t)(clock_ns(CLOCK_MONOTONIC) - n0);
	clock->mult = (ns << 32) / ticks;
	clock->tsc_base = rt_tsc();
	clock->mono_base = (uint64_t)clock_ns(CLOCK_MONOTONIC);
	clock->wall_base = (uint64_t)clock_ns(CLOCK_REALTIME);
}

static void near(int64_t got, int64_t want, int64_t tolerance, const char *name)
{
	int64_t off = got > want ? got - want : want - got;
	if (!tap_ok(off <= tolerance, "%s", name))
		printf("# off by %lld\n", (long long)off);
}

static void test_units(void)
{
	near(rt_fn_gettimeofday_ns(f.c), clock_ns(CLOCK_REALTIME), 5000000, "wall clock");
	near(rt_fn_local_clock_ns(f.c), clock_ns(CLOCK_MONOTONIC), 5000000,
		"monotonic clock");
	near(rt_fn_gettimeofday_s(f.c), rt_fn_gettimeofday_ns(f.c) / 1000000000, 1,
		"seconds");
	near(rt_fn_gettimeofday_ms(f.c), rt_fn_gettimeofday_ns(f.c) / 1000000, 5,
		"milliseconds");
	near(rt_fn_gettimeofday_us(f.c), rt_fn_gettimeofday_ns(f.c) / 1000, 5000,
		"microseconds");
	near(rt_fn_jiffies(f.c), rt_fn_local_clock_ms(f.c), 5, "jiffies at 1000 Hz");
	f.session->hertz = 0;
	tap_is_long(rt_fn_jiffies(f.c), 0, "no rate known");
	f.session->flags = ABI_FLAG_TSC_UNUSABLE;
	near(rt_fn_gettimeofday_ns(f.c), clock_ns(CLOCK_REALTIME), 5000000,
		"wall clock, by a call");
	near((int64_t)rt_stamp(f.c), clock_ns(CLOCK_MONOTONIC), 5000000,
		"stamp, by a call");
	f.session->flags = 0;
	f.session->clock.tsc_base += 1ull << 40;
	tap_is_long(rt_fn_local_clock_ns(f.c), (long long)f.session->clock.mono_base,
		"a base in the future does not turn into the far future");
	f.session->clock.sequence = 1;
	near(rt_fn_local_clock_ns(f.c), clock_ns(CLOCK_MONOTONIC), 5000000,
		"a writer that died in the middle does not hang readers");
	f.session->clock.sequence = 0;
}

/* ---- a tracer that refreshes the conversion all the time --------------------------------- */

static uint32_t stop, flips;

/* Flips between two conversions that agree, a second apart; halves of both do not agree. */
static void *refresh(void *unused)
{
	struct abi_clock *c = &f.session->clock;
	uint64_t ticks = (1000000000ull << 32) / c->mult;
	uint64_t ns = (uint64_t)(((wide_uint)ticks * c->mult) >> 32);
	for (int back = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); back = !back) {
		uint32_t sequence = c->sequence;
		__atomic_store_n(&c->sequence, sequence + 1, __ATOMIC_SEQ_CST);
		uint64_t mono = back ? c->mono_base - ns : c->mono_base + ns;
		uint64_t tsc = back ? c->tsc_base - ticks : c->tsc_base + ticks;
		__atomic_store_n(&c->mono_base, mono, __ATOMIC_RELAXED);
		__atomic_store_n(&c->tsc_base, tsc, __ATOMIC_RELAXED);
		__atomic_store_n(&c->sequence, sequence + 2, __ATOMIC_RELEASE);
		__atomic_fetch_add(&flips, 1, __ATOMIC_RELAXED);
		for (int i = 0; i < 20; i++)
			rt_pause();
	}
	return unused;
}

static void test_sequence(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, refresh, NULL);
	int64_t last = 0, back = 0;
	int64_t end = clock_ns(CLOCK_MONOTONIC) + 5000000000;
	while (__atomic_load_n(&flips, __ATOMIC_RELAXED) < 20000 && last < end) {
		int64_t now = rt_fn_local_clock_ns(f.c);
		if (last - now > back)
			back = last - now;
		last = now;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (!tap_ok(back < 1000000, "no torn conversion is seen"))
		printf("# went back by %lld ns\n", (long long)back);
}

int main(void)
{
	fixture_init(&f);
	calibrate();
	test_units();
	calibrate();
	test_sequence();
	return tap_done();
}
