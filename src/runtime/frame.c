/* SPDX-License-Identifier: MIT */
/*
 * The frame around every handler run, and the way out of it: errors, exit(), the end of
 * the run.
 *
 * A context belongs to one thread, but a signal may interrupt a handler and the program's
 * own signal handler may hit a probe, or leave by siglongjmp().  `depth` tells: it is the
 * first thing set and the last thing cleared, and with depth_sp it tells a frame that was
 * left from one that is still there.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	STACK_SPAN = 8 << 20,
	SITE_TEXT_MAX = 4096
};

static struct abi_site *site_at(struct abi_session *s, uint32_t site)
{
	if (site >= s->site_count)
		return NULL;
	return (struct abi_site *)(void *)((char *)s + s->site_offset) + site;
}

struct abi_site *rt_site(const struct abi_context *c)
{
	return site_at(rt_session(c), c->site);
}

const char *rt_text(const struct abi_context *c, uint32_t offset)
{
	struct abi_session *s = rt_session(c);
	uint64_t place = s->string_offset + offset;
	return place < s->total_size ? (char *)s + place : "";
}

static void count_missed(struct abi_session *s, uint32_t site)
{
	struct abi_site *at = site_at(s, site);
	if (at)
		__atomic_fetch_add(&at->missed, 1, __ATOMIC_RELAXED);
}

static inline void begin(struct abi_context *c, const struct abi_session *s,
	struct abi_regs *regs, uint64_t sp, uint64_t ip, uint32_t site)
{
	c->depth_sp = sp;
	c->depth = 1;
	rt_signal_fence();
	c->site = site;
	c->regs = (uint64_t)(uintptr_t)regs;
	c->probe_sp = sp;
	c->probe_ip = ip;
	c->stamp = 0;
	c->error = 0;
	c->location = 0;
	c->scratch_top = 0;
	c->nesting = 0;
	c->frame_count = 0;
	c->locks_held = 0;
	c->action_budget = s->max_action;
}

/*
 * The session is not running, or a handler of this thread seems to run already.  If the
 * program's stack is now at or above where it was then, that handler's frame is gone: a
 * signal handler left it by longjmp().  (A signal handler's own frames are below, or on
 * another stack, out of the span.)
 */
static RT_NOINLINE bool enter_slowly(struct abi_context *c, struct abi_regs *regs,
	uint64_t sp, uint64_t ip, uint32_t site)
{
	struct abi_session *s = rt_session(c);
	bool tracer = rt_is_tracer(c);
	if (rt_state(s) != ABI_STATE_RUNNING && !tracer)
		return false;
	if (c->depth && (tracer || c->stack_used || sp - c->depth_sp >= STACK_SPAN)) {
		count_missed(s, site);
		return false;
	}
	if (c->depth)
		rt_unlock_all(c);
	begin(c, s, regs, sp, ip, site);
	return true;
}

bool rt_enter(struct abi_context *c, struct abi_regs *regs, uint64_t sp, uint64_t ip,
	uint32_t site)
{
	const struct abi_session *s = rt_session(c);
	if (RT_UNLIKELY(rt_state(s) != ABI_STATE_RUNNING || c->depth))
		return enter_slowly(c, regs, sp, ip, site);
	begin(c, s, regs, sp, ip, site);
	return true;
}

static RT_NOINLINE void report_error(struct abi_context *c)
{
	struct abi_session *s = rt_session(c);
	bool silent = c->error == 2 && !c->error_text[0]; /* abort() */
	struct abi_error_place place = {
		.location = c->location, .caller_count = c->error_caller_count};
	for (uint32_t i = 0; i < ABI_RECORD_CALLERS; i++)
		place.callers[i] = c->error_callers[i];
	c->error = c->location = c->error_caller_count = 0;
	if (silent)
		return;
	c->error_text[ABI_ERROR_SIZE - 1] = '\0';
	uint32_t size = (uint32_t)sizeof(place) + rt_record_string_size(c->error_text);
	struct abi_error_place *payload =
		rt_record_reserve(c, ABI_RECORD_ERROR, c->site, size);
	if (payload) {
		*payload = place;
		rt_record_string(payload + 1, c->error_text);
		rt_record_commit(c);
	}
	uint32_t count = __atomic_add_fetch(&s->error_count, 1, __ATOMIC_RELAXED);
	if (count > s->max_errors && !(s->flags & ABI_FLAG_SUPPRESS_ERRORS))
		rt_request_stop(c, ABI_STATE_ERROR);
}

static inline void finish(struct abi_context *c)
{
	c->stamp = 0;
	rt_signal_fence();
	c->depth = 0;
}

/* The usual case, one global written, without the loop. */
static inline void leave_locked(struct abi_context *c)
{
	uint32_t held = c->held[0];

	if (c->locks_held == 1 && held & ABI_HELD_WRITING)
		rt_unlock_writer(c, held & (ABI_HELD_WRITING - 1u));
	else
		rt_unlock_all(c);
	finish(c);
}

static RT_NOINLINE void leave_slowly(struct abi_context *c)
{
	rt_unlock_all(c);
	if (c->error)
		report_error(c);
	finish(c);
}

void rt_leave(struct abi_context *c)
{
	if (RT_UNLIKELY(c->error))
		leave_slowly(c);
	else if (c->locks_held)
		leave_locked(c);
	else
		finish(c);
}

/* ---- -t ------------------------------------------------------------------ */

bool rt_enter_timed(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site)
{
	const struct abi_site *at = site_at(rt_session(c), site);
	if (at && __atomic_load_n(&at->flags, __ATOMIC_RELAXED) & ABI_SITE_OFF)
		return false;
	bool entered = rt_enter(c, regs, sp, ip, site);
	if (entered)
		c->entered = rt_tsc();
	return entered;
}

static void lower_to(uint64_t *least, uint64_t value)
{
	uint64_t old = __atomic_load_n(least, __ATOMIC_RELAXED);
	while ((!old || value < old) && !__atomic_compare_exchange_n(least, &old, value,
						true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void raise_to(uint64_t *most, uint64_t value)
{
	uint64_t old = __atomic_load_n(most, __ATOMIC_RELAXED);
	while (value > old && !__atomic_compare_exchange_n(most, &old, value, true,
				      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

__extension__ typedef unsigned __int128 wide;

/* The carry is added later: only who reads at the end sees a whole sum. */
static inline void add_square(struct abi_site *site, uint64_t cycles)
{
	wide square = (wide)cycles * cycles;
	uint64_t low = (uint64_t)square, high = (uint64_t)(square >> 64);
	uint64_t before = __atomic_fetch_add(&site->squares_low, low, __ATOMIC_RELAXED);
	high += before + low < before;
	if (high)
		__atomic_fetch_add(&site->squares_high, high, __ATOMIC_RELAXED);
}

void rt_leave_timed(struct abi_context *c)
{
	struct abi_site *site = rt_site(c);
	uint64_t cycles = rt_tsc() - c->entered;
	rt_leave(c);
	if (!site)
		return;
	__atomic_fetch_add(&site->hits, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&site->cycles, cycles, __ATOMIC_RELAXED);
	lower_to(&site->cycles_min, cycles ? cycles : 1);
	raise_to(&site->cycles_max, cycles);
	add_square(site, cycles);
}

/* ---- errors -------------------------------------------------------------- */

void rt_error(struct abi_context *c, const char *text)
{
	if (c->error)
		return;
	rt_put(c->error_text, ABI_ERROR_SIZE, text);
	c->error = 1;
}

void rt_error_value(struct abi_context *c, const char *text, uint64_t value)
{
	if (c->error)
		return;
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, text);
	rt_text_hex(&t, value);
	rt_text_close(&t);
	c->error = 1;
}

void rt_error_uncatchable(struct abi_context *c, const char *text)
{
	rt_put(c->error_text, ABI_ERROR_SIZE, text);
	c->error = 2;
}

void rt_catch(struct abi_context *c, char *dst)
{
	if (dst)
		rt_put(dst, rt_session(c)->max_string, c->error_text);
	c->error = c->location = c->error_caller_count = 0;
}

void rt_error_caller(struct abi_context *c, uint32_t location)
{
	if (c->error_caller_count < ABI_RECORD_CALLERS)
		c->error_callers[c->error_caller_count++] = location;
}

/* ---- the end of the run -------------------------------------------------- */

void rt_session_stop(struct abi_session *s, uint32_t state)
{
	uint32_t old = rt_state(s);
	while (old < state)
		if (__atomic_compare_exchange_n(&s->state, &old, state, false,
			    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			break;
	/* Registration publishes `self` and then looks at the state again: one of us sees
	 * the other. */
	uint32_t high = rt_context_high(s);
	for (uint32_t slot = 1; slot < high; slot++) {
		struct abi_context *c = rt_context(s, slot);
		__atomic_store_n(&c->self, 0, __ATOMIC_RELAXED);
	}
}

void rt_request_stop(struct abi_context *c, uint32_t state)
{
	rt_session_stop(rt_session(c), state);
}

void rt_fn_exit(struct abi_context *c)
{
	rt_request_stop(c, ABI_STATE_STOPPING);
}

void rt_fn_abort(struct abi_context *c)
{
	rt_request_stop(c, ABI_STATE_STOPPING);
	rt_error_uncatchable(c, "");
}

void rt_fn_error(struct abi_context *c, const char *text)
{
	rt_error(c, text);
}

void rt_fn_assert(struct abi_context *c, int64_t value)
{
	if (!value)
		rt_error(c, "Assertion failed");
}

void rt_fn_assert_text(struct abi_context *c, int64_t value, const char *text)
{
	if (!value)
		rt_error(c, text);
}
