/* SPDX-License-Identifier: MIT */
/* What the runtime's own files share.  Freestanding; see runtime.h for the rules. */
#pragma once

#include "runtime/functions.h"
#include "runtime/runtime.h"

#define RT_LIKELY(x)   __builtin_expect(!!(x), 1)
#define RT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RT_NOINLINE    __attribute__((noinline))

/* Handlers may be interrupted by a signal whose handler hits another probe on the same
 * context; this orders our own stores as such a handler sees them. */
#define rt_signal_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Nothing of ours is a string of any length: bounds the walk over bytes that the traced
 * program may have scribbled on. */
enum {
	RT_STRING_LIMIT = 1 << 16
};

/* ---- processor and kernel ------------------------------------------------ */

static inline uint64_t rt_tsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void rt_pause(void)
{
	__asm__ volatile("pause");
}

static inline int64_t rt_syscall(
	int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	int64_t ret;
	register uint64_t r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

/* ---- session memory ------------------------------------------------------ */

/* In the tracer: this process owns context 0 and may be attacked through the context. */
bool rt_is_tracer(const struct abi_context *c);
/* In the tracer: empty all rings.  false: cannot. */
bool rt_drain(const struct abi_context *c);
/* In the tracer: answer the question in a context.  false: cannot. */
bool rt_ask_here(struct abi_context *c);
/* In the target: the program has put a seccomp filter on, which may end it for a call of ours. */
bool rt_is_silent(void);
/* There: have the tracer say whether a page of the program can be read or written to. */
bool rt_ask_page(struct abi_context *c, uint64_t page, bool for_writing);

static inline uint32_t rt_state(const struct abi_session *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_RELAXED);
}

static inline bool rt_may_call(const struct abi_context *c)
{
	return rt_is_tracer(c) ||
	       (!(rt_session(c)->flags & ABI_FLAG_NO_SYSCALLS) && !rt_is_silent());
}

/* In the tracer, for a stopped thread: what the kernel says of us is not true of that thread. */
static inline bool rt_is_remote(const struct abi_context *c)
{
	return rt_is_tracer(c) && c->slot != 0;
}

static inline struct abi_context *rt_context(struct abi_session *s, uint32_t slot)
{
	uint64_t offset = s->context_offset + (uint64_t)slot * s->context_size;
	return (struct abi_context *)(void *)((char *)s + offset);
}

/* Contexts that may ever have been used. */
static inline uint32_t rt_context_high(const struct abi_session *s)
{
	uint32_t high = __atomic_load_n(&s->context_high, __ATOMIC_ACQUIRE);
	return high > s->context_count ? s->context_count : high < 1 ? 1 : high;
}

/* The running handler's site; NULL: none such. */
struct abi_site *rt_site(const struct abi_context *c);
/* A text that a site refers to. */
const char *rt_text(const struct abi_context *c, uint32_t offset);

/* Room above the script's frames for `size` bytes, until the runtime function returns.
 * NULL: the script uses it all. */
static inline char *rt_scratch(struct abi_context *c, uint32_t size)
{
	uint32_t top = (c->scratch_top + 15u) & ~15u;
	if (top > ABI_CONTEXT_SCRATCH_SIZE || size > ABI_CONTEXT_SCRATCH_SIZE - top)
		return NULL;
	return (char *)c->scratch + top;
}

/* ---- bytes --------------------------------------------------------------- */

enum {
	RT_WORD = 8,
	RT_PAGE_SIZE = 4096
};

typedef uint64_t __attribute__((aligned(1), may_alias)) rt_unaligned;

/* Reading past the end of a string within its page is harmless, but the sanitizers rightly
 * cannot know. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RT_SANITIZED 1
#elif defined(__has_feature) /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RT_SANITIZED 1
#endif
#endif

static inline bool rt_word_is_readable(const char *s)
{
#ifdef RT_SANITIZED
	return false;
#else
	return ((uintptr_t)s & (RT_PAGE_SIZE - 1)) <= RT_PAGE_SIZE - RT_WORD;
#endif
}

/* The next eight bytes of a string, lowest first; zeros from its end on. */
static inline uint64_t rt_word(const char *s)
{
	uint64_t word = 0;
	if (RT_LIKELY(rt_word_is_readable(s))) {
		word = *(const rt_unaligned *)(const void *)s;
		/* bit 7 of the lowest byte set is in the first zero byte */
		uint64_t zero =
			(word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
		return zero ? word & (((zero & -zero) >> 7) - 1) : word;
	}
	for (uint32_t i = 0; i < RT_WORD && s[i]; i++)
		word |= (uint64_t)(unsigned char)s[i] << (8 * i);
	return word;
}

static inline bool rt_word_ends(uint64_t word)
{
	return !(word >> 56);
}

static inline uint32_t rt_word_length(uint64_t word)
{
	return word ? (71 - (uint32_t)__builtin_clzll(word)) / 8 : 0;
}

void rt_copy(
	void *dst, const void *src, uint64_t size); /* regions apart, or dst below src */
void rt_zero(void *dst, uint64_t size);
uint32_t rt_length(const char *s, uint32_t limit);
/* Copy at most capacity-1 bytes and a NUL; returns the length copied. */
uint32_t rt_put(char *dst, uint32_t capacity, const char *src);
/* First occurrence; NULL: none. */
const char *rt_find(const char *s, const char *what);

/* A string being written: silently cut at the end. */
struct rt_text {
	char *at, *end; /* end: place of the NUL at the latest */
};

static inline struct rt_text rt_text_open(char *dst, uint64_t capacity)
{
	return (struct rt_text){.at = dst, .end = dst + (capacity ? capacity - 1 : 0)};
}

static inline void rt_text_char(struct rt_text *t, char c)
{
	if (t->at < t->end)
		*t->at++ = c;
}

void rt_text_string(struct rt_text *t, const char *s);
void rt_text_fill(struct rt_text *t, char c, int64_t count);
void rt_text_decimal(struct rt_text *t, int64_t value, int width); /* zero-padded */
void rt_text_hex(struct rt_text *t, uint64_t value);               /* 0x... */

static inline void rt_text_close(struct rt_text *t)
{
	*t->at = '\0';
}

/* Escape and perhaps quote `size` bytes; 0 < limit < max_string: longest result.  Without
 * @raw the text also ends at a NUL. */
struct rt_quoting {
	const char *text;
	uint32_t size, limit;
	bool quoted, raw;
};
void rt_quote(struct abi_context *c, char *dst, const struct rt_quoting *how);

/* all that src has into dst, but what only the variance needs */
void rt_stat_absorb(
	const struct abi_stat_desc *d, struct abi_stat *dst, const struct abi_stat *src);
int64_t rt_stat_average(const struct abi_stat *s);
int64_t rt_stat_variance(const struct abi_stat *s);

/* ---- reads that may fault ------------------------------------------------ */

struct rt_read {
	uint64_t value;
	uint64_t fault; /* nonzero: the address cannot be read */
};
/* size 1, 2, 4 or 8; in the tracer's library every address faults */
struct rt_read rt_read(uint64_t address, uint32_t size);
/* the same for the program a handler in the tracer runs for; faults when it runs for none */
struct rt_read rt_tracer_read(uint64_t address, uint32_t size);
bool rt_tracer_write(uint64_t address, uint64_t value, uint32_t size);
void rt_tracer_identity(void);         /* look again who that thread is */
struct abi_regs *rt_tracer_regs(void); /* its registers; NULL: it runs for none */
/* the thread's own, in the target: of its xmm registers, and of the memory at %fs */
uint64_t rt_vector_here(uint32_t number);
struct rt_read rt_thread_pointer_here(void);
/* the 8 bytes at an offset from it */
struct rt_read rt_thread_word_here(int64_t offset);
/* of the thread a handler in the tracer runs for */
struct rt_read rt_tracer_state(enum rt_tracer_state what, uint32_t number);
/* memory of the program, wherever the handler runs */
struct rt_read rt_read_user(struct abi_context *c, uint64_t address, uint32_t size);
/* in the target, without a fault wherever the kernel may be asked */
struct rt_read rt_read_here(struct abi_context *c, uint64_t address, uint32_t size);
/* Up to size-1 bytes until a NUL, and a NUL.  false: fault */
bool rt_read_string(struct abi_context *c, char *dst, uint64_t address, uint32_t size);

/* ---- writes that may fault ----------------------------------------------- */

/* size 1, 2, 4 or 8; false: the address cannot be written (none can in the tracer) */
bool rt_write(uint64_t address, uint64_t value, uint32_t size);
bool rt_write_user(
	struct abi_context *c, uint64_t address, uint64_t value, uint32_t size);

/* ---- the tracer's knowledge ---------------------------------------------- */

/* Ask the tracer (abi/ask.h); c->ask.text is part of the question and of the answer,
 * c->ask.result the number in it.  false: no answer, or there is no such thing. */
bool rt_ask(struct abi_context *c, uint32_t kind, int64_t first, int64_t second,
	int64_t third);
void rt_ask_text(struct abi_context *c, const char *text);
/* What an address is, as text; the address itself where nobody knows. */
void rt_symbol(struct abi_context *c, char *dst, uint64_t address, uint32_t style);
/* The program counter of a frame of the probed thread, 0 the probe's own (in a return
 * probe: where it returns to); 0: no such frame. */
uint64_t rt_unwind(struct abi_context *c, uint32_t depth);

/* Where a stack is walked from. */
struct rt_walk_start {
	uint64_t pc, sp;
	const uint64_t *saved; /* rbx rbp r12..r15 */
	uint32_t lost;         /* bit N: saved[N] is not known */
	bool is_edge; /* the function has just been entered or is about to be left */
};
/* Fills c->frames by the tables of the tracer.  false: they do not tell, the tracer has to be asked. */
bool rt_walk(struct abi_context *c, const struct rt_walk_start *start, uint32_t limit);

/* ---- messages ------------------------------------------------------------ */

void rt_message(struct abi_context *c, uint32_t kind, const char *text);
/* The end of the run, or its failure: no handler starts after this, in any process. */
/* Give back the one lock that is held, for writing; what was scribbled over is not a lock. */
static inline void rt_unlock_writer(struct abi_context *c, uint32_t index)
{
	struct abi_session *s = rt_session(c);
	struct abi_lock *lock =
		(struct abi_lock *)(void *)((char *)s + ABI_GLOBALS_OFFSET) + index;

	c->locks_held = 0;
	rt_signal_fence();
	/* not ours if the thread left between its entry and the lock itself */
	if (RT_LIKELY(index < s->lock_count) &&
		__atomic_load_n(&lock->value, __ATOMIC_RELAXED) ==
			(0x80000000u | c->slot))
		__atomic_store_n(&lock->value, 0, __ATOMIC_RELEASE);
}

void rt_request_stop(struct abi_context *c, uint32_t state);
uint64_t rt_clock_mono(const struct abi_context *c);
uint64_t rt_clock_wall(const struct abi_context *c);
/* Time stamp of a record: TSC, or monotonic nanoseconds where that is of no use. */
uint64_t rt_stamp(const struct abi_context *c);
