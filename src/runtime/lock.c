/* SPDX-License-Identifier: MIT */
/*
 * Locks of the script's globals, in session memory, shared by processes that do not trust
 * each other to go on living.
 *
 * A writer's lock names its owner, so that the tracer can take it back exactly when that
 * thread was killed: its entry in held[] is there before the lock is taken.  A reader's
 * entry is there after it; in between a killed thread leaves a count that only
 * rt_recover_all_locks() clears.
 *
 * Memory: taking a lock is an acquire that pairs with the release in unlock_one().
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	SPIN_FIRST = 100,
	SPIN_ROUND = 64,
	ROUND_NS = 10000,
	ROUND_TICKS = 30000
};
enum {
	SYSCALL_SCHED_YIELD = 24
};
#define LOCK_WRITER 0x80000000u

static inline struct abi_lock *lock_at(struct abi_session *s, uint32_t index)
{
	return (struct abi_lock *)(void *)((char *)s + ABI_GLOBALS_OFFSET) + index;
}

static inline bool try_lock(struct abi_lock *lock, uint32_t slot, bool for_writing)
{
	uint32_t value = 0, next = LOCK_WRITER | slot;
	if (!for_writing) {
		value = __atomic_load_n(&lock->value, __ATOMIC_RELAXED);
		if (value & LOCK_WRITER)
			return false;
		next = value + 1;
	}
	return __atomic_compare_exchange_n(
		&lock->value, &value, next, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void unlock_one(struct abi_session *s, uint32_t slot, uint32_t held)
{
	struct abi_lock *lock = lock_at(s, held & (ABI_HELD_WRITING - 1u));
	if (held & ABI_HELD_WRITING) {
		/* not ours if the thread left between its entry and the lock itself */
		if (__atomic_load_n(&lock->value, __ATOMIC_RELAXED) ==
			(LOCK_WRITER | slot))
			__atomic_store_n(&lock->value, 0, __ATOMIC_RELEASE);
		return;
	}
	uint32_t value = __atomic_load_n(&lock->value, __ATOMIC_RELAXED);
	while (value && !(value & LOCK_WRITER))
		if (__atomic_compare_exchange_n(&lock->value, &value, value - 1, true,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			break;
}

static uint64_t round_ticks(const struct abi_session *s)
{
	uint64_t mult = s->clock.mult;
	return mult >> 20 ? ((uint64_t)ROUND_NS << 32) / mult : ROUND_TICKS;
}

static bool wait_for_lock(struct abi_context *c, struct abi_lock *lock, bool for_writing)
{
	struct abi_session *s = rt_session(c);
	for (int i = 0; i < SPIN_FIRST; i++) {
		rt_pause();
		if (try_lock(lock, c->slot, for_writing))
			return true;
	}
	__atomic_fetch_add(&lock->contended, 1, __ATOMIC_RELAXED);
	uint64_t span = round_ticks(s);
	for (uint32_t round = 0; round < s->max_trylock; round++) {
		if (rt_may_call(c))
			rt_syscall(SYSCALL_SCHED_YIELD, 0, 0, 0, 0);
		uint64_t start = rt_tsc();
		do {
			if (try_lock(lock, c->slot, for_writing))
				return true;
			for (int i = 0; i < SPIN_ROUND; i++)
				rt_pause();
		} while (rt_tsc() - start < span);
	}
	return false;
}

static inline void note_held(struct abi_context *c, uint32_t n, uint32_t held)
{
	c->held[n] = (uint16_t)held;
	rt_signal_fence();
	c->locks_held = n + 1;
	rt_signal_fence();
}

/* Not free at the first look.  A writer's entry is in held[] already. */
static RT_NOINLINE bool lock_slowly(
	struct abi_context *c, uint32_t index, bool for_writing)
{
	if (wait_for_lock(c, lock_at(rt_session(c), index), for_writing)) {
		if (!for_writing)
			note_held(c, c->locks_held, index);
		return true;
	}
	if (for_writing)
		c->locks_held--;
	struct abi_session *s = rt_session(c);
	struct abi_site *site = rt_site(c);
	if (site)
		__atomic_fetch_add(&site->skipped, 1, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&s->skipped_count, 1, __ATOMIC_RELAXED) > s->max_skipped &&
		!(s->flags & ABI_FLAG_SUPPRESS_ERRORS))
		rt_request_stop(c, ABI_STATE_ERROR);
	return false;
}

static RT_NOINLINE bool too_many_locks(struct abi_context *c)
{
	rt_error_uncatchable(c, "too many global variables in one handler");
	return false;
}

bool rt_lock(struct abi_context *c, uint32_t index, bool for_writing)
{
	struct abi_lock *lock = lock_at(rt_session(c), index);
	uint32_t n = c->locks_held;
	if (RT_UNLIKELY(n >= ABI_CONTEXT_LOCKS))
		return too_many_locks(c);
	if (for_writing)
		note_held(c, n, index | ABI_HELD_WRITING);
	if (RT_UNLIKELY(!try_lock(lock, c->slot, for_writing)))
		return lock_slowly(c, index, for_writing);
	if (!for_writing)
		note_held(c, n, index);
	return true;
}

void rt_unlock_last(struct abi_context *c)
{
	struct abi_session *s = rt_session(c);
	uint32_t n = c->locks_held - 1;
	if (n >= ABI_CONTEXT_LOCKS)
		return;
	uint32_t held = c->held[n];
	c->locks_held = n;
	rt_signal_fence();
	if ((held & (ABI_HELD_WRITING - 1u)) < s->lock_count)
		unlock_one(s, c->slot, held);
}

void rt_unlock_all(struct abi_context *c)
{
	struct abi_session *s = rt_session(c);
	uint32_t n = c->locks_held;
	if (n > ABI_CONTEXT_LOCKS)
		n = ABI_CONTEXT_LOCKS;
	while (n--) {
		uint32_t held = c->held[n];
		c->locks_held = n;
		rt_signal_fence();
		if ((held & (ABI_HELD_WRITING - 1u)) < s->lock_count)
			unlock_one(s, c->slot, held);
	}
	c->locks_held = 0;
}

/* ---- for the tracer ------------------------------------------------------ */

void rt_recover_locks(struct abi_session *s, uint32_t slot)
{
	if (slot >= s->context_count)
		return;
	struct abi_context *c = rt_context(s, slot);
	for (uint32_t i = 0; i < s->lock_count; i++) {
		uint32_t value = LOCK_WRITER | slot;
		__atomic_compare_exchange_n(&lock_at(s, i)->value, &value, 0, false,
			__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	uint32_t n =
		c->locks_held < ABI_CONTEXT_LOCKS ? c->locks_held : ABI_CONTEXT_LOCKS;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t held = c->held[i];
		if (!(held & ABI_HELD_WRITING) && held < s->lock_count)
			unlock_one(s, slot, held);
	}
	c->locks_held = 0;
}

void rt_context_release(struct abi_session *s, uint32_t slot)
{
	if (!slot || slot >= s->context_count)
		return;
	struct abi_context *c = rt_context(s, slot);
	rt_recover_locks(s, slot);
	__atomic_store_n(&c->self, 0, __ATOMIC_RELAXED);
	c->depth = 0;
	__atomic_store_n(&c->claimed, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->context_hint, slot, __ATOMIC_RELAXED);
}
