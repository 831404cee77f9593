/* SPDX-License-Identifier: MIT */
/* The ring, and what the handler frame writes to it. */
#include <pthread.h>

#include "fixture.h"

static struct fixture f;

static bool put(uint64_t value, uint32_t extra)
{
	uint64_t *payload =
		rt_record_reserve(f.c, ABI_RECORD_PRINT, (uint32_t)value, 8 + extra);
	if (!payload)
		return false;
	payload[0] = value;
	rt_record_commit(f.c);
	return true;
}

static void test_wrap(void)
{
	uint64_t next = 0, expected = 0;
	bool good = true;
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < round % 7; i++, next++)
			good = good && put(next, (uint32_t)(next * 13 % 200));
		struct abi_record *r;
		while ((r = fixture_record(&f, f.c))) {
			good = good && r->kind == ABI_RECORD_PRINT &&
			       r->id == (uint32_t)expected &&
			       *(uint64_t *)(void *)(r + 1) == expected &&
			       r->size % 8 == 0;
			expected++;
		}
	}
	tap_ok(good && expected == next,
		"every record arrives, in order, around the ring's end");
	tap_is_long((long long)f.c->ring_lost, 0, "none lost");
}

static void test_full(void)
{
	uint64_t n = 0;
	while (put(n, 40) && n < 1000)
		n++;
	tap_ok(n >= FIXTURE_RING / 72 - 1 && n < 1000, "the ring fills up");
	tap_is_long((long long)f.c->ring_lost, 1, "a lost record is counted");
	fixture_record(&f, f.c);
	tap_ok(put(n, 40) || put(n, 40), "room again after the consumer went on");
	while (fixture_record(&f, f.c))
		;
	tap_ok(!rt_record_reserve(f.c, 1, 1, FIXTURE_RING), "larger than the ring");
	f.c->ring_lost = 0;
}

static void test_stamps(void)
{
	rt_enter(f.c, NULL, 0, 0, 0);
	put(1, 0);
	put(2, 0);
	rt_leave(f.c);
	rt_enter(f.c, NULL, 0, 0, 0);
	put(3, 0);
	rt_leave(f.c);
	uint64_t a = fixture_record(&f, f.c)->stamp, b = fixture_record(&f, f.c)->stamp;
	uint64_t c = fixture_record(&f, f.c)->stamp;
	tap_ok(a && a == b && c > a, "one stamp per handler run");
}

static void test_strings(void)
{
	rt_fn_warn(f.c, "careful");
	struct abi_record *r = fixture_record(&f, f.c);
	tap_is_long(r->kind, ABI_RECORD_WARN, "a warning");
	tap_is_string(fixture_record_text(r, 0), "careful", "its text");
	rt_fn_log(f.c, "");
	r = fixture_record(&f, f.c);
	tap_is_long(r->kind, ABI_RECORD_LOG, "a log line");
	tap_is_string(fixture_record_text(r, 0), "", "empty");
	rt_fn_system(f.c, "echo 1");
	tap_is_string(
		fixture_record_text(fixture_record(&f, f.c), 0), "echo 1", "a command");
	char at[64];
	memset(at, 'Z', sizeof(at));
	char *end = rt_record_bytes(at, "abcde", 5);
	tap_ok(end == at + 8 && memcmp(at, "abcde\0\0\0Z", 9) == 0, "bytes are padded");
}

static void test_errors(void)
{
	f.session->max_errors = 1;
	rt_enter(f.c, NULL, 0, 0, 3);
	f.c->location = 42;
	rt_error(f.c, "division by 0");
	for (uint32_t i = 0; i < ABI_RECORD_CALLERS + 2; i++)
		rt_error_caller(f.c, 50 + i);
	rt_leave(f.c);
	struct abi_record *r = fixture_record(&f, f.c);
	const struct abi_error_place *place = (const void *)(r + 1);
	tap_ok(r && r->kind == ABI_RECORD_ERROR && r->id == 3,
		"an uncaught error is reported");
	tap_is_long(place->location, 42, "with its place");
	tap_ok(place->caller_count == ABI_RECORD_CALLERS && place->callers[0] == 50 &&
			place->callers[ABI_RECORD_CALLERS - 1] ==
				50 + ABI_RECORD_CALLERS - 1,
		"the calls it came through, not more than there is room for");
	tap_is_string(
		fixture_record_text(r, sizeof(*place)), "division by 0", "and text");
	tap_is_long(f.session->error_count, 1, "counted");
	tap_is_long(f.session->state, ABI_STATE_RUNNING, "one is allowed");

	char text[FIXTURE_MAX_STRING];
	rt_enter(f.c, NULL, 0, 0, 3);
	rt_error_value(f.c, "at ", 0xff);
	rt_catch(f.c, text);
	rt_leave(f.c);
	tap_is_string(text, "at 0xff", "a caught error's text");
	tap_ok(!fixture_record(&f, f.c), "a caught error is not reported");

	rt_enter(f.c, NULL, 0, 0, 3);
	rt_error(f.c, "first");
	rt_error_uncatchable(f.c, "MAXACTION exceeded");
	tap_is_long(f.c->error, 2, "not to be caught");
	rt_leave(f.c);
	tap_is_string(fixture_record_text(fixture_record(&f, f.c), sizeof(*place)),
		"MAXACTION exceeded", "text");
	tap_is_long(f.session->state, ABI_STATE_ERROR, "too many errors end the session");
	tap_ok(fixture_context(&f, 5)->self == 0 && f.tracer->self != 0,
		"no context but the tracer's runs a handler any more");
	tap_ok(!rt_enter(f.c, NULL, 0, 0, 0), "nor does ours");
	tap_ok(rt_enter(f.tracer, NULL, 0, 0, 0), "the tracer's does");
	rt_leave(f.tracer);

	f.session->state = ABI_STATE_RUNNING;
	f.session->flags = ABI_FLAG_SUPPRESS_ERRORS;
	rt_enter(f.c, NULL, 0, 0, 3);
	rt_error(f.c, "x");
	rt_leave(f.c);
	tap_is_long(f.session->state, ABI_STATE_RUNNING, "unless errors are suppressed");
	f.session->flags = 0;
	while (fixture_record(&f, f.c))
		;
}

static void test_exit(void)
{
	f.session->state = ABI_STATE_RUNNING;
	f.c->self = 1;
	rt_enter(f.c, NULL, 0, 0, 0);
	rt_fn_exit(f.c);
	tap_ok(put(5, 0), "the handler that called exit() runs on");
	rt_leave(f.c);
	tap_is_long(f.session->state, ABI_STATE_STOPPING, "exit() ends the session");
	tap_is_long((long long)f.c->self, 0, "and its own thread's handlers");
	f.session->state = ABI_STATE_ERROR;
	rt_fn_exit(f.c);
	tap_is_long(f.session->state, ABI_STATE_ERROR, "but does not undo an error");
	f.session->state = ABI_STATE_RUNNING;
	while (fixture_record(&f, f.c))
		;
	uint32_t errors = f.session->error_count;
	rt_enter(f.c, NULL, 0, 0, 0);
	rt_fn_abort(f.c);
	rt_leave(f.c);
	tap_ok(!fixture_record(&f, f.c) && f.session->error_count == errors,
		"abort() is no error");
	f.session->state = ABI_STATE_RUNNING;
}

static void test_nesting(void)
{
	tap_ok(rt_enter(f.c, NULL, 0x10000, 0, 0), "enter");
	rt_lock(f.c, 5, true);
	tap_ok(!rt_enter(f.c, NULL, 0xf000, 0, 1), "a nested hit is refused");
	tap_is_long((long long)f.sites[1].missed, 1, "and counted at its own site");
	tap_ok(!rt_enter(f.c, NULL, 0x10000 + (9 << 20), 0, 1),
		"so is one on another stack");
	tap_ok(rt_enter(f.c, NULL, 0x10000, 0, 1),
		"the frame is gone: same place entered again");
	struct abi_lock *locks =
		(struct abi_lock *)(void *)((char *)f.session + ABI_GLOBALS_OFFSET);
	tap_is_long(locks[5].value, 0, "its locks are free");
	tap_ok(rt_enter(f.c, NULL, 0x11000, 0, 1), "the frame is gone: left by longjmp");
	rt_leave(f.c);
	tap_is_long(f.c->depth, 0, "leave");
	tap_is_long(f.c->action_budget, 1000, "MAXACTION");
}

/* ---- one producer, one consumer -------------------------------------------------------- */

enum {
	MESSAGES = 200000
};

static void *produce(void *unused)
{
	for (uint64_t i = 0; i < MESSAGES;)
		if (put(i, (uint32_t)(i % 5) * 8))
			i++;
	return unused;
}

static void test_threads(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, produce, NULL);
	uint64_t expected = 0;
	bool good = true;
	uint64_t size = f.session->ring_size;
	char *ring = (char *)f.session + f.session->ring_offset + f.c->slot * size;
	while (expected < MESSAGES) {
		uint64_t head = __atomic_load_n(&f.c->ring_head, __ATOMIC_ACQUIRE);
		uint64_t tail = f.c->ring_tail;
		for (; tail < head;) {
			struct abi_record *r =
				(struct abi_record *)(void *)(ring + tail % size);
			if (r->kind != ABI_RECORD_PAD) {
				uint64_t *payload = (uint64_t *)(void *)(r + 1);
				good = good && *payload == expected;
				expected++;
			}
			tail += r->size;
		}
		__atomic_store_n(&f.c->ring_tail, tail, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	tap_ok(good, "a consumer in another thread sees whole records in order");
}

/* Each length up to a few words: the bytes, zeros up to the next argument, and no byte more. */
static void test_string_lengths(void)
{
	bool fits = true;
	for (uint32_t length = 0; length <= 40; length++) {
		char text[48] = "", record[80];
		memset(text, 'x', length);
		memset(record, 0x55, sizeof(record));
		char *end = rt_record_string(record, text);
		uint32_t size = (uint32_t)(end - record), stored;
		memcpy(&stored, record, sizeof(stored));
		fits &= size == rt_record_string_size(text) && stored == length &&
			memcmp(record + 4, text, length) == 0;
		for (uint32_t i = 4 + length; i < sizeof(record); i++)
			fits &= record[i] == (i < size ? 0 : 0x55);
	}
	tap_ok(fits, "strings of each length");
}

int main(void)
{
	fixture_init(&f);
	test_wrap();
	test_full();
	test_stamps();
	test_strings();
	test_errors();
	test_exit();
	test_nesting();
	test_threads();
	test_string_lengths();
	return tap_done();
}
