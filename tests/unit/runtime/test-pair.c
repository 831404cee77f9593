/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static struct fixture f;

static unsigned char *pairs(void)
{
	return (unsigned char *)f.c + f.session->pair_offset;
}

static void push(uint32_t group, uint64_t sp, uint64_t value)
{
	*(uint64_t *)rt_pair_push(f.c, group, sp, 8) = value;
}

static long long pop(uint32_t group, uint64_t sp)
{
	uint64_t *v = rt_pair_pop(f.c, group, sp);
	return v ? (long long)*v : -1;
}

static void test_simple(void)
{
	push(1, 0x9000, 10);
	push(2, 0x9000, 20);
	push(1, 0x8000, 11);
	tap_is_long(pop(1, 0x8000), 11, "recursion: the inner value");
	tap_is_long(pop(1, 0x9000), 10, "not on top: found");
	tap_is_long(pop(1, 0x9000), -1, "only once");
	tap_is_long(pop(2, 0x9000), 20, "the other group's");
	tap_is_long(pop(2, 0x9000), -1, "empty");
	push(1, 0x9000, 1);
	tap_is_long(f.c->pair_top, 24, "room is used again");
	tap_is_long(pop(1, 0x9000), 1, "value");
}

static long long find(uint32_t group, uint64_t sp)
{
	const uint64_t *v = rt_pair_find(f.c, group, sp);
	return v ? (long long)*v : -1;
}

/* Those that are looked at, and not popped. */
static void test_found(void)
{
	enum {
		ENTERED = 7
	};
	f.c->pair_top = 0;
	push(ENTERED, 0x9000, 1);
	push(1, 0x8800, 2);
	push(ENTERED, 0x8000, 3);
	push(ENTERED, 0x7000, 4);
	tap_is_long(find(ENTERED, 0x9000), 1, "found below others");
	tap_is_long(find(ENTERED, 0x9000), 1, "and still there");
	tap_is_long(find(1, 0x9000), -1, "of its group only");
	rt_pair_drop_left(f.c, ENTERED, 0x8000);
	tap_is_long(find(ENTERED, 0x7000), -1, "a frame further in is gone");
	tap_is_long(find(ENTERED, 0x8000), 3, "the frame itself is not");
	rt_pair_drop_left(f.c, ENTERED, 0x9800);
	tap_is_long(find(ENTERED, 0x8000), -1, "those on top go");
	tap_is_long(pop(1, 0x8800), 2, "what waits for a return does not");
	tap_is_long(find(ENTERED, 0x9000), 1, "nor what is below it");
	rt_pair_drop_left(f.c, ENTERED, 0x9000 + (1 << 20));
	tap_is_long(find(ENTERED, 0x9000), 1, "another stack's stay");
	rt_pair_drop_left(f.c, ENTERED, 0x9800);
	tap_is_long(f.c->pair_top, 0, "nothing is left");
}

static void test_left_frames(void)
{
	f.c->pair_top = 0;
	push(1, 0x9000, 1);
	for (int i = 0; i < 100000; i++)
		push(2, 0x8000, (uint64_t)i); /* its frames are left by exceptions */
	tap_ok(f.c->pair_top < 200, "a frame entered again takes no more room");
	tap_is_long(pop(2, 0x8000), 99999, "the latest value");
	tap_is_long(pop(1, 0x9000), 1, "the outer frame is still there");
	f.c->pair_top = 0;
	push(1, 0x900000, 7);
	for (uint64_t i = 0; i < 100000; i++)
		push(2, 0x100000 + i % 4096 * 16, i); /* left, each at another depth */
	tap_is_long(pop(1, 0x900000), 7, "stale frames go before a live one");
}

static void test_deep(void)
{
	enum {
		DEEP = 100 * 1000,
		TOO_DEEP = 400 * 1000
	};
	f.c->pair_top = 0;
	bool good = true;
	for (uint64_t i = 0; i < DEEP; i++)
		push(1, 0x10000000 - i * 64, i);
	for (uint64_t i = DEEP; i-- > 0;)
		good = good && pop(1, 0x10000000 - i * 64) == (long long)i;
	tap_ok(good, "recursion 10^5 deep keeps all frames");
	tap_is_long(pop(1, 0x10000000), -1, "a return without an entry");
	tap_is_long((long)f.session->pairs_lost, 0, "... is none that was lost");

	for (uint64_t i = 0; i < TOO_DEEP; i++)
		push(1, 0x10000000 - i * 64, i);
	long lost = 0;
	for (uint64_t i = TOO_DEEP; i-- > 0;) {
		long long v = pop(1, 0x10000000 - i * 64);
		lost += v == -1;
		good = good &&
		       (v == -1 ? i < TOO_DEEP / 2 + TOO_DEEP / 4 : v == (long long)i);
	}
	tap_ok(good && lost > 0, "deeper than there is room: the innermost frames");
	tap_is_long((long)f.session->pairs_lost, lost,
		"... and each that was lost is counted");
	f.c->pair_dropped = 0;
}

/* Frames alive in many coroutines whose stacks lie next to each other: none is taken for one that
 * longjmp left, however many came and went. */
static void test_many_coroutines(void)
{
	enum {
		FIBERS = 200,
		ROUNDS = 300
	};
	f.c->pair_top = f.c->pair_limit = 0;
	bool good = true;
	for (uint64_t round = 0; round < ROUNDS; round++)
		for (uint64_t i = 0; i < FIBERS; i++) {
			uint64_t sp = 0x1000000 + i * 65536;
			good = good &&
			       (!round || pop(1, sp) == (long long)(round * FIBERS + i));
			push(1, sp, (round + 1) * FIBERS + i);
		}
	tap_ok(good, "all values of many coroutines");
	tap_ok(f.c->pair_top < 64 * 1024, "... in little room");
}

/* Values popped out of order leave holes, which go before any live value does. */
static void test_holes(void)
{
	enum {
		COUNT = 600
	}; /* of 24 bytes: nearly all the room */
	f.c->pair_top = 0;
	bool good = true;
	for (uint64_t i = 0; i < COUNT; i++)
		push(1, 0x1000000 - i * 64, i);
	for (uint64_t i = 1; i < COUNT; i += 2)
		good = good && pop(1, 0x1000000 - i * 64) == (long long)i;
	for (uint64_t i = COUNT; i < COUNT + 300; i++)
		push(1, 0x1000000 - i * 64, i);
	for (uint64_t i = 0; i < COUNT; i += 2)
		good = good && pop(1, 0x1000000 - i * 64) == (long long)i;
	tap_ok(good, "holes are squeezed out before live values go");
}

static void test_coroutines(void)
{
	f.c->pair_top = 0;
	push(1, 0x7000, 1); /* main stack: resume() */
	push(2, 0x3000, 2); /* the coroutine's stack, below */
	tap_is_long(pop(1, 0x7000), 1, "main stack returns first");
	push(1, 0x7000, 3);
	tap_is_long(pop(2, 0x3000), 2, "the coroutine's value was kept");
	tap_is_long(pop(1, 0x7000), 3, "both found");
}

static void test_scribbled(void)
{
	uint32_t x = 12345;
	for (int round = 0; round < 20000; round++) {
		((uint32_t *)(void *)pairs())[(uint32_t)round * 7 % 4096] = 0;
		x = x * 1664525 + 1013904223;
		((uint32_t *)(void *)pairs())[x >> 20] = x;
		if (round % 50 == 0)
			f.c->pair_top = x, f.c->pair_limit = x ^ 0x55555555;
		push(x >> 30, x & 0xfff0, 1);
		pop(x >> 29 & 3, x >> 8 & 0xfff0);
		if (f.c->pair_top > ABI_CONTEXT_PAIR_MAX)
			break;
	}
	tap_ok(f.c->pair_top <= ABI_CONTEXT_PAIR_MAX, "scribbled pairs stay inside");
	tap_ok(rt_pair_push(f.c, 1, 1, 0x7fffffff) == pairs(), "more than there is");
	f.c->pair_top = 0;
}

int main(void)
{
	fixture_init(&f);
	test_simple();
	test_found();
	test_left_frames();
	test_deep();
	test_holes();
	test_coroutines();
	test_many_coroutines();
	test_scribbled();
	return tap_done();
}
