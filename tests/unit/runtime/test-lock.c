/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "fixture.h"

static struct fixture f;

enum {
	THREADS = 4,
	ROUNDS = 20000
};

static struct abi_lock *lock_of(uint32_t index)
{
	return (struct abi_lock *)(void *)((char *)f.session + ABI_GLOBALS_OFFSET) +
	       index;
}

static int64_t shared_a, shared_b; /* equal whenever nobody writes */

static void *work(void *data)
{
	struct abi_context *c = data;
	for (int i = 0; i < ROUNDS; i++) {
		bool write = (i + (int)c->slot) % 3 != 0;
		if (!rt_enter(c, NULL, 0, 0, 0))
			return (void *)(uintptr_t) "refused";
		if (!rt_lock(c, 3, write) || !rt_lock(c, 7, false))
			return (void *)(uintptr_t) "not locked";
		if (shared_a != shared_b)
			return (void *)(uintptr_t) "torn";
		if (write) {
			shared_a++;
			shared_b++;
		}
		rt_leave(c);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	const char *failure = NULL;
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, fixture_context(&f, i + 1));
	for (uint32_t i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		failure = result ? result : failure;
	}
	tap_is_string(failure, NULL, "writers exclude, readers see whole updates");
	int64_t expected = 0;
	for (int t = 1; t <= THREADS; t++)
		for (int i = 0; i < ROUNDS; i++)
			expected += (i + t) % 3 != 0;
	tap_is_long(shared_a, expected, "no update lost");
	tap_is_long(lock_of(3)->value, 0, "free in the end");
	tap_is_long(lock_of(7)->value, 0, "free in the end");
}

static void test_table(void)
{
	struct abi_context *a = fixture_context(&f, 1), *b = fixture_context(&f, 2);
	f.session->max_trylock = 2;
	tap_ok(rt_lock(a, 0, false) && rt_lock(b, 0, false), "two readers");
	tap_is_long(lock_of(0)->value, 2, "counted");
	rt_unlock_all(a);
	tap_ok(!rt_lock(a, 0, true), "a writer waits for a reader, not for ever");
	tap_is_long(
		(long long)f.sites[a->site].skipped, 1, "the hit is counted as skipped");
	tap_is_long(a->locks_held, 0, "holds nothing");
	f.session->state = ABI_STATE_RUNNING;
	f.session->skipped_count = 0;
	f.session->max_skipped = 1;
	tap_ok(!rt_lock(a, 0, true) && f.session->state == ABI_STATE_RUNNING,
		"as many as MAXSKIPPED may be skipped");
	f.session->flags |= ABI_FLAG_SUPPRESS_ERRORS;
	tap_ok(!rt_lock(a, 0, true) && f.session->state == ABI_STATE_RUNNING,
		"and more where errors do not end the run");
	f.session->flags &= ~(uint32_t)ABI_FLAG_SUPPRESS_ERRORS;
	tap_ok(!rt_lock(a, 0, true) && f.session->state == ABI_STATE_ERROR,
		"one more ends the run");
	f.session->state = ABI_STATE_RUNNING;
	f.session->max_skipped = 100;
	rt_unlock_all(b);
	tap_ok(rt_lock(a, 0, true), "a writer");
	tap_is_long(lock_of(0)->value, 0x80000001u, "named in the lock");
	tap_ok(!rt_lock(b, 0, false), "a reader waits for a writer");
	rt_unlock_all(b);
	tap_is_long(lock_of(0)->value, 0x80000001u, "which goes on holding it");
	rt_unlock_all(a);
	tap_is_long(lock_of(0)->value, 0, "until it leaves");
}

static void test_recovery(void)
{
	struct abi_context *a = fixture_context(&f, 1), *b = fixture_context(&f, 2);
	rt_lock(a, 1, true);
	rt_lock(a, 2, false);
	rt_lock(b, 2, false);
	rt_recover_locks(f.session, 1);
	tap_is_long(lock_of(1)->value, 0, "a dead writer's lock is free again");
	tap_is_long(lock_of(2)->value, 1, "a dead reader is no longer counted");
	rt_unlock_all(b);
	/* killed after it wrote its entry and before it had the lock */
	rt_lock(b, 1, true);
	a->held[0] = 1 | ABI_HELD_WRITING;
	a->locks_held = 1;
	rt_recover_locks(f.session, 1);
	tap_is_long(lock_of(1)->value, 0x80000002u, "nobody else's lock is touched");
	rt_unlock_all(b);
	a->held[0] = 0x7fff;
	a->locks_held = 0xffffffff;
	rt_recover_locks(f.session, 1);
	rt_recover_locks(f.session, 99);
	a->locks_held = 0xffffffff;
	rt_unlock_all(a);
	tap_is_long(a->locks_held, 0, "scribbled entries do no harm");
	rt_context_release(f.session, 2);
	tap_ok(!b->claimed && !b->self && f.session->context_hint == 2,
		"a context is given back");
}

static void test_too_many(void)
{
	struct abi_context *a = fixture_context(&f, 1);
	bool good = true;
	for (uint32_t i = 0; i < ABI_CONTEXT_LOCKS; i++)
		good = good && rt_lock(a, 5, false);
	tap_ok(good, "as many as fit");
	tap_ok(!rt_lock(a, 6, true) && a->error == 2, "one more is an error");
	rt_unlock_all(a);
	tap_is_long(lock_of(5)->value, 0, "all free again");
}

int main(void)
{
	fixture_init(&f);
	f.session->max_trylock = 100000;
	test_threads();
	test_table();
	test_recovery();
	test_too_many();
	return tap_done();
}
