/* SPDX-License-Identifier: MIT */
/*
 * What compiled handlers call.  Freestanding C: no libc, no heap, no static writable
 * data, general registers only; the same code runs inside traced processes (as part of
 * the agent image) and in the tracer (context 0).  `c` is the running thread's context,
 * an address in this process.
 *
 * Strings are NUL-terminated, at most max_string-1 bytes; a `dst` has room for max_string
 * bytes and may equal a source only where said.  Longer results are cut silently, as in
 * SystemTap.
 *
 * Errors: a function that fails calls rt_error*(), which sets c->error and the text; the
 * generated code tests c->error after every call marked FALLIBLE and goes to the
 * innermost catch.  Results are 0 / "" then.
 *
 * Stack: every function keeps its frame small (<= 96 bytes; the whole chain from a
 * handler <= 256). Big buffers live in c->scratch (rt_scratch) or are the caller's dst.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/context.h"
#include "abi/data.h"
#include "abi/record.h"
#include "abi/session.h"
#include "runtime/format.h"

/* Exported from the agent image; everything else is hidden. */
#define RT_EXPORT __attribute__((visibility("default")))

/* In the image the session comes from the arena, which the traced program cannot write.
 */
#ifdef UTRACE_AGENT_IMAGE
extern const struct agent_arena agent_arena_block __attribute__((visibility("hidden")));

static inline struct abi_session *rt_session(const struct abi_context *c)
{
	const uint64_t *session = (const uint64_t *)(const void *)&agent_arena_block;
	return (struct abi_session *)(uintptr_t)*session;
}
#else
static inline struct abi_session *rt_session(const struct abi_context *c)
{
	return (struct abi_session *)(uintptr_t)c->session;
}
#endif

/* ---- handler frame ------------------------------------------------------- */
/*
 * Generated handler:
 *   void HANDLER(struct abi_context *c, struct abi_regs *regs, uint64_t sp, uint64_t ip,
 *                uint32_t site)
 *   if (rt_enter(c, regs, sp, ip, site)) { [rt_lock...] body; rt_leave(c); }
 * Generated code does the usual course of both inline (stap/codegen/fast.c) and calls them for the rest.
 * rt_enter refuses (false) when the session is not RUNNING (the tracer excepted) or the thread
 * is inside a handler already; it counts the latter.  rt_leave releases locks, reports an
 * uncaught error as an ERROR record, clears depth and stamp.
 */
RT_EXPORT bool rt_enter(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site);
RT_EXPORT void rt_leave(struct abi_context *c);
/* The same for -t, which counts and times each run. */
RT_EXPORT bool rt_enter_timed(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site);
RT_EXPORT void rt_leave_timed(struct abi_context *c);

/* Take a global's lock; false: not free within max_trylock rounds, hit counted as
 * skipped, the handler goes to its end.  Handlers take locks in ascending index order
 * before their body. */
RT_EXPORT bool rt_lock(struct abi_context *c, uint32_t index, bool for_writing);
RT_EXPORT void rt_unlock_all(struct abi_context *c);
void rt_unlock_last(struct abi_context *c); /* the one that was taken last */

/* ---- errors -------------------------------------------------------------- */
RT_EXPORT void rt_error(struct abi_context *c, const char *text); /* text copied */
RT_EXPORT void rt_error_value(
	struct abi_context *c, const char *text, uint64_t value); /* text%#x */
/* for catch (v): copy the text to dst (max_string bytes) when dst, and clear the error */
RT_EXPORT void rt_catch(struct abi_context *c, char *dst);
/* MAXACTION used up or abort(): not catchable; c->error is 2 then (an ordinary error is
 * 1) */
RT_EXPORT void rt_error_uncatchable(struct abi_context *c, const char *text);
/** a script function has come back with an error; @location: of the call */
RT_EXPORT void rt_error_caller(struct abi_context *c, uint32_t location);

/* ---- ring ---------------------------------------------------------------- */
/*
 * reserve: `size` payload bytes after the header (made a multiple of 8); NULL: ring full,
 * counted.  In the tracer a full ring is drained (agent_arena.tracer_drain) and tried again.
 */
RT_EXPORT void *rt_record_reserve(
	struct abi_context *c, uint32_t kind, uint32_t id, uint32_t size);
RT_EXPORT void rt_record_commit(struct abi_context *c);
RT_EXPORT void rt_histogram_text(struct abi_context *c, char *dst,
	const struct abi_stat *stat, const struct abi_stat_desc *desc, int32_t width,
	int32_t elision);
/** bytes of the process for %m and %M, as hexadecimal text; dst has twice max_string */
RT_EXPORT void rt_memory_hex(
	struct abi_context *c, char *dst, uint64_t address, int64_t size);
RT_EXPORT uint32_t rt_record_string_size(const char *s); /* bytes the string will take */
RT_EXPORT void *rt_record_string(
	void *at, const char *s); /* returns the place after it */
RT_EXPORT void *rt_record_bytes(void *at, const void *bytes, uint32_t size);

/* ---- strings ------------------------------------------------------------- */
RT_EXPORT void rt_string_copy(
	struct abi_context *c, char *dst, const char *src); /* may be equal */
RT_EXPORT void rt_string_concat(
	struct abi_context *c, char *dst, const char *a, const char *b);
RT_EXPORT void rt_string_append(
	struct abi_context *c, char *dst, const char *src); /* dst .= src */
RT_EXPORT int32_t rt_string_compare(const char *a, const char *b);
struct rt_regex;
/* does a part of s match; FALLIBLE */
RT_EXPORT int64_t rt_regex_match(
	struct abi_context *c, const struct rt_regex *regex, const char *s);
/* sprintf: args as in the PRINT payload but strings as pointers; parts: runtime/format.h
 */
RT_EXPORT void rt_sprintf(struct abi_context *c, char *dst, const struct format *format,
	const uint64_t *args);

/* ---- maps: `key` holds one uint64 per key, a string key as its address --- */
RT_EXPORT void *rt_map_find(
	struct abi_context *c, struct abi_map *m, const uint64_t *key);
RT_EXPORT void *rt_map_insert(
	struct abi_context *c, struct abi_map *m, const uint64_t *key); /* FALLIBLE */
RT_EXPORT void *rt_map_find1(
	struct abi_context *c, struct abi_map *m, uint64_t key); /* one long */
RT_EXPORT void *rt_map_insert1(
	struct abi_context *c, struct abi_map *m, uint64_t key); /* FALLIBLE */
RT_EXPORT void rt_map_delete(
	struct abi_context *c, struct abi_map *m, const uint64_t *key);
RT_EXPORT void rt_map_clear(struct abi_context *c, struct abi_map *m);
/* slices: bit i of wild: key i matches anything */
RT_EXPORT bool rt_map_match(struct abi_context *c, struct abi_map *m, uint32_t entry,
	const uint64_t *key, uint32_t wild);
RT_EXPORT void rt_map_delete_slice(
	struct abi_context *c, struct abi_map *m, const uint64_t *key, uint32_t wild);
RT_EXPORT bool rt_map_contains_slice(
	struct abi_context *c, struct abi_map *m, const uint64_t *key, uint32_t wild);
/* entry: index of an entry, ABI_MAP_NONE at the end */
RT_EXPORT uint32_t rt_map_first(struct abi_map *m);
RT_EXPORT uint32_t rt_map_next(struct abi_map *m, uint32_t entry);
RT_EXPORT uint64_t rt_map_key(
	struct abi_map *m, uint32_t entry, uint32_t key); /* long or address */
RT_EXPORT void *rt_map_value(struct abi_map *m, uint32_t entry);

/* An entry's link (abi/data.h) from its value, and back; NULL: there is no such entry */
uint32_t rt_map_link(const struct abi_map *m, const void *value);
void *rt_map_linked(struct abi_map *m, uint32_t link);

/* ---- arrays that handlers only count up: cell.c; none of them needs the array's lock --- */
/* x[key] += by; false: c->error is set */
RT_EXPORT bool rt_cell_add(struct abi_context *c, const struct abi_cells_desc *d,
	const uint64_t *key, uint64_t by);
RT_EXPORT bool rt_cell_add1(
	struct abi_context *c, const struct abi_cells_desc *d, uint64_t key, uint64_t by);
RT_EXPORT bool rt_cell_add2(struct abi_context *c, const struct abi_cells_desc *d,
	uint64_t first, uint64_t second, uint64_t by);
/* x[key] <<< value */
RT_EXPORT bool rt_cell_accumulate(struct abi_context *c, const struct abi_cells_desc *d,
	const uint64_t *key, int64_t value);
/* With the lock held, before the array is looked at: it gets what all threads have counted. */
RT_EXPORT void rt_cells_collect(struct abi_context *c, const struct abi_cells_desc *d);
/* With the lock held, before elements are deleted. */
RT_EXPORT void rt_cells_unlink(struct abi_context *c, const struct abi_cells_desc *d);

enum rt_sort_by {
	RT_SORT_KEY0 = 0, /* + key number */
	RT_SORT_VALUE = 16,
	RT_SORT_STAT = 32 /* + enum rt_stat_op */
};
/* stable, in place: later unsorted walks see the sorted order */
RT_EXPORT void rt_map_sort(
	struct abi_context *c, struct abi_map *m, uint32_t by, bool descending);

/* Lay out an empty map over zeroed memory. */
void rt_map_init(struct abi_map *m, uint32_t key_count, uint32_t key_strings,
	uint32_t value_type, uint32_t value_size, uint32_t max_entries,
	uint32_t max_string, bool wrap, bool sized);
uint64_t rt_map_size(uint32_t key_count, uint32_t key_strings, uint32_t value_type,
	uint32_t value_size, uint32_t max_entries, uint32_t max_string);

/* ---- statistics ---------------------------------------------------------- */
enum rt_stat_op {
	RT_STAT_COUNT,
	RT_STAT_SUM,
	RT_STAT_MIN,
	RT_STAT_MAX,
	RT_STAT_AVG,
	RT_STAT_VARIANCE
};

RT_EXPORT void rt_stat_add(
	struct abi_stat *s, const struct abi_stat_desc *d, int64_t value);
/* shard at c + shard_offset; cleared first when its epoch is not the variable's */
RT_EXPORT void rt_stat_add_shard(struct abi_context *c, struct abi_shared_stat *v,
	uint32_t shard_offset, const struct abi_stat_desc *d, int64_t value);
/* sum of all shards into dst (d->size bytes) */
RT_EXPORT void rt_stat_merge(struct abi_context *c, struct abi_shared_stat *v,
	uint32_t shard_offset, const struct abi_stat_desc *d, struct abi_stat *dst);
RT_EXPORT void rt_stat_clear_shards(struct abi_context *c, struct abi_shared_stat *v);
RT_EXPORT int64_t rt_stat_read(struct abi_context *c, const struct abi_stat *s,
	uint32_t op); /* FALLIBLE: empty aggregate */
RT_EXPORT int64_t rt_hist_read(struct abi_context *c, const struct abi_stat *s,
	const struct abi_stat_desc *d, int64_t index); /* FALLIBLE */

/* sharded counters */
RT_EXPORT int64_t rt_counter_read(
	struct abi_context *c, struct abi_shared_counter *v, uint32_t shard_offset);
RT_EXPORT void rt_counter_write(struct abi_context *c, struct abi_shared_counter *v,
	uint32_t shard_offset, int64_t value);

/* ---- entry values for return probes -------------------------------------- */
/* returns room for `size` bytes kept until rt_pair_pop() of the same group and frame;
 * never NULL: the oldest frames go when room is short */
RT_EXPORT void *rt_pair_push(
	struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size);
RT_EXPORT void *rt_pair_pop(
	struct abi_context *c, uint32_t group, uint64_t sp); /* NULL: no such entry */
/* the same, and it stays */
void *rt_pair_find(struct abi_context *c, uint32_t group, uint64_t sp);
/* those on top go whose frames are further in than `sp` */
void rt_pair_drop_left(struct abi_context *c, uint32_t group, uint64_t sp);
/* the same for functions of Go, by the goroutine; at most RT_PAIR_GO_MAX bytes are kept */
enum {
	RT_PAIR_GO_MAX = 232
};
#define RT_PAIR_NOBODY 0xfffffffeu /* a group that is never popped */
#define RT_PAIR_ENTERED \
	0xfffffffdu /* ... and looked at while the frame is there (entered.c) */
RT_EXPORT void *rt_pair_push_go(
	struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size);
RT_EXPORT void *rt_pair_pop_go(struct abi_context *c, uint32_t group, uint64_t sp);

/* a handler at the entry of functions: keeps the registers that arguments are in */
RT_EXPORT void rt_entered(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site);
RT_EXPORT uint64_t rt_entry_register(struct abi_context *c, uint64_t function,
	uint64_t sp, uint32_t number); /* FALLIBLE: nobody saw the function entered */

/* ---- target memory ------------------------------------------------------- */
RT_EXPORT uint64_t rt_user_read(struct abi_context *c, uint64_t address,
	uint32_t size); /* FALLIBLE: read fault; zero-extended */

/* ---- other state of the probed thread ------------------------------------- */
/* xmm0..xmm15: low half of number / 2, or with odd numbers the high half */
RT_EXPORT uint64_t rt_vector_read(struct abi_context *c, uint32_t number);
/* where its thread-local variables are; FALLIBLE: it has none yet */
RT_EXPORT uint64_t rt_thread_pointer(struct abi_context *c);
/* runtime less link-time addresses of a file that is mapped; FALLIBLE: it is not */
RT_EXPORT uint64_t rt_module_bias(struct abi_context *c, const char *path);
/* Where functions find the registers that handlers are given. */
RT_EXPORT struct abi_regs *rt_regs(struct abi_context *c);
/* what of them a handler that runs in the tracer asks it for */
enum rt_tracer_state {
	RT_STATE_VECTOR, /* number: as of rt_vector_read() */
	RT_STATE_THREAD_POINTER
};

RT_EXPORT void rt_user_write(struct abi_context *c, uint64_t address, uint64_t value,
	uint32_t size); /* FALLIBLE: write fault */

/* ---- for the tracer (not exported from the agent) ------------------------ */

/* End the run: sets the state unless it is further already, and empties every `self`, so
 * that no handler starts any more. */
void rt_session_stop(struct abi_session *s, uint32_t state);
/* Give back what the thread of a context held.  Only once that thread is gone for good.
 */
void rt_recover_locks(struct abi_session *s, uint32_t slot);
/* The same, and let the next new thread have the context.  Its ring must be drained. */
void rt_context_release(struct abi_session *s, uint32_t slot);

/* Script functions: stap/intrinsics.h lists them, runtime/functions.h declares them. */
