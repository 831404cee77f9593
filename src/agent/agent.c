/* SPDX-License-Identifier: MIT */
/*
 * What only the image in the target has: finding its arena, registering threads, and the
 * signal front.  No libc, no data of its own; x86-64 Linux.
 */
#include "agent/agent.h"

#include <stddef.h>

#include "abi/call.h"
#include "abi/watch.h"
#include "runtime/internal.h"

enum {
	VECTOR_HALVES = 32 /* of xmm0..xmm15 */
};

static inline const struct agent_arena *arena(void)
{
	return &agent_arena_block; /* image.ld */
}

bool agent_call_tracer(struct abi_context *c, uint64_t kind);

/* ---- what the runtime asks ----------------------------------------------- */

bool rt_is_tracer(const struct abi_context *c)
{
	return arena()->tracer_drain != 0;
}

bool rt_drain(const struct abi_context *c)
{
	uint64_t drain = arena()->tracer_drain;
	if (!drain)
		return false;
	((void (*)(void))(uintptr_t)drain)();
	return true;
}

bool rt_ask_here(struct abi_context *c)
{
	uint64_t answer = arena()->tracer_answer;
	return answer && ((bool (*)(struct abi_context *))(uintptr_t)answer)(c);
}

bool rt_is_silent(void)
{
	return __atomic_load_n(&arena()->makes_no_calls, __ATOMIC_RELAXED) != 0;
}

bool rt_ask_page(struct abi_context *c, uint64_t page, bool for_writing)
{
	c->call_argument = page;
	return agent_call_tracer(c, for_writing ? ABI_CALL_WRITABLE : ABI_CALL_READABLE);
}

typedef bool (*tracer_access_fn)(uint64_t address, uint32_t size, uint64_t *value);

struct rt_read rt_tracer_read(uint64_t address, uint32_t size)
{
	tracer_access_fn read = (tracer_access_fn)(uintptr_t)arena()->tracer_read;
	struct rt_read ret = {.fault = 1};
	if (read && read(address, size, &ret.value))
		ret.fault = 0;
	return ret;
}

bool rt_tracer_write(uint64_t address, uint64_t value, uint32_t size)
{
	tracer_access_fn write = (tracer_access_fn)(uintptr_t)arena()->tracer_write;
	return write && write(address, size, &value);
}

void rt_tracer_identity(void)
{
	uint64_t identity = arena()->tracer_identity;
	if (identity)
		((void (*)(void))(uintptr_t)identity)();
}

struct abi_regs *rt_tracer_regs(void)
{
	uint64_t regs = arena()->tracer_regs;
	return regs ? ((struct abi_regs * (*)(void))(uintptr_t)regs)() : NULL;
}

typedef bool (*tracer_state_fn)(uint32_t what, uint32_t number, uint64_t *value);

struct rt_read rt_tracer_state(enum rt_tracer_state what, uint32_t number)
{
	tracer_state_fn state = (tracer_state_fn)(uintptr_t)arena()->tracer_state;
	struct rt_read ret = {.fault = 1};
	if (state && state(what, number, &ret.value))
		ret.fault = 0;
	return ret;
}

uint64_t agent_vector_read(uint64_t number);

uint64_t rt_vector_here(uint32_t number)
{
	return agent_vector_read(number % VECTOR_HALVES);
}

struct rt_read agent_read_thread(uint64_t offset);

struct rt_read rt_thread_word_here(int64_t offset)
{
	struct rt_read low = agent_read_thread((uint64_t)offset),
		       high = agent_read_thread((uint64_t)offset + 4);
	return (struct rt_read){low.value | high.value << 32, low.fault | high.fault};
}

/* The ABI has the thread control block begin with its own address. */
struct rt_read rt_thread_pointer_here(void)
{
	return rt_thread_word_here(0);
}

struct rt_read agent_read_1(uint64_t address);
struct rt_read agent_read_2(uint64_t address);
struct rt_read agent_read_4(uint64_t address);
struct rt_read agent_read_8(uint64_t address);

struct rt_read rt_read(uint64_t address, uint32_t size)
{
	switch (size) {
	case 1:
		return agent_read_1(address);
	case 2:
		return agent_read_2(address);
	case 4:
		return agent_read_4(address);
	default:
		return agent_read_8(address);
	}
}

struct rt_read agent_write_1(uint64_t address, uint64_t value);
struct rt_read agent_write_2(uint64_t address, uint64_t value);
struct rt_read agent_write_4(uint64_t address, uint64_t value);
struct rt_read agent_write_8(uint64_t address, uint64_t value);

bool rt_write(uint64_t address, uint64_t value, uint32_t size)
{
	switch (size) {
	case 1:
		return !agent_write_1(address, value).fault;
	case 2:
		return !agent_write_2(address, value).fault;
	case 4:
		return !agent_write_4(address, value).fault;
	default:
		return !agent_write_8(address, value).fault;
	}
}

/* ---- threads ------------------------------------------------------------- */

enum {
	SYSCALL_RT_SIGACTION = 13,
	SYSCALL_RT_SIGPROCMASK = 14,
	SYSCALL_NANOSLEEP = 35,
	SYSCALL_GETPID = 39,
	SYSCALL_GETUID = 102,
	SYSCALL_GETGID = 104,
	SYSCALL_GETEUID = 107,
	SYSCALL_GETEGID = 108,
	SYSCALL_GETPPID = 110,
	SYSCALL_PRCTL = 157,
	SYSCALL_ARCH_PRCTL = 158,
	SYSCALL_GETTID = 186,
	SYSCALL_RT_TGSIGQUEUEINFO = 297,
	PRCTL_GET_NAME = 16,
	ARCH_SET_GS = 0x1001,
};

static uint32_t ask(int64_t number)
{
	return (uint32_t)rt_syscall(number, 0, 0, 0, 0);
}

static bool try_claim(struct abi_session *s, uint32_t slot)
{
	if (!slot || slot >= s->context_count)
		return false;
	uint32_t *claimed = &rt_context(s, slot)->claimed, free = 0;
	return __atomic_compare_exchange_n(
		claimed, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void raise_high(struct abi_session *s, uint32_t high)
{
	uint32_t old = __atomic_load_n(&s->context_high, __ATOMIC_RELAXED);
	while (old < high)
		if (__atomic_compare_exchange_n(&s->context_high, &old, high, true,
			    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			break;
}

/* A released slot, a fresh one, or any: session memory that was never touched costs
 * nothing. */
static uint32_t claim_slot(struct abi_session *s)
{
	uint32_t hint = __atomic_exchange_n(&s->context_hint, 0, __ATOMIC_RELAXED);
	if (try_claim(s, hint))
		return hint;
	uint32_t high = rt_context_high(s);
	for (uint32_t slot = high; slot < s->context_count; slot++)
		if (try_claim(s, slot))
			return slot;
	for (uint32_t slot = 1; slot < high; slot++)
		if (try_claim(s, slot))
			return slot;
	return 0;
}

/* Everything of an earlier owner but its ring, its shards and its place in the file. */
static void reset_context(struct abi_context *c, struct abi_session *s, uint32_t slot)
{
	c->session = (uint64_t)(uintptr_t)s;
	c->slot = slot;
	c->depth = c->stack_used = c->error = c->locks_held = c->scratch_top = 0;
	c->error_caller_count = 0;
	c->nesting = c->location = c->frame_count = 0;
	c->pair_top = c->pair_limit = c->pair_dropped = 0;
	c->stamp = c->regs = c->random_state = c->tokenize_offset = 0;
	c->indent_depth = 0;
	rt_zero(c->memos, sizeof(c->memos)); /* of another process, maybe */
	rt_zero(c->pages, sizeof(c->pages));
	c->match_groups = 0;
	c->ask.state = ABI_ASK_IDLE;
	c->tokenize_text[0] = '\0';
	c->pid = c->tid = c->ppid = c->uid = c->euid = c->gid = c->egid = 0;
	rt_zero(c->comm, sizeof(c->comm));
}

struct abi_context *agent_context(void)
{
	uint64_t self;
	__asm__ volatile("mov %%gs:(%1), %0" : "=r"(self) : "r"(arena()->null_context));
	return (struct abi_context *)(uintptr_t)self;
}

static void fill_identity(struct abi_context *c)
{
	c->pid = ask(SYSCALL_GETPID);
	c->tid = ask(SYSCALL_GETTID);
	c->ppid = ask(SYSCALL_GETPPID);
	c->uid = ask(SYSCALL_GETUID);
	c->euid = ask(SYSCALL_GETEUID);
	c->gid = ask(SYSCALL_GETGID);
	c->egid = ask(SYSCALL_GETEGID);
	rt_syscall(SYSCALL_PRCTL, PRCTL_GET_NAME, (uint64_t)(uintptr_t)c->comm, 0, 0);
}

/*
 * Without the tracer.  A breakpoint that a thread has blocked the signal of ends the process when no tracer
 * takes it, whatever the front is; a system call does so only under a filter.
 */
static bool register_by_itself(struct abi_context *c)
{
	fill_identity(c);
	if (agent_context())
		return true; /* a signal handler's hit was first */
	uint64_t base = (uint64_t)(uintptr_t)c - arena()->null_context;
	__atomic_store_n(&c->self, (uint64_t)(uintptr_t)c, __ATOMIC_SEQ_CST);
	return rt_syscall(SYSCALL_ARCH_PRCTL, ARCH_SET_GS, base, 0, 0) == 0;
}

static bool enrol(const struct abi_session *s, struct abi_context *c)
{
	if (arena()->registers_by_itself && !arena()->makes_no_calls &&
		!(s->flags & ABI_FLAG_NO_SYSCALLS))
		return register_by_itself(c);
	/* The tracer says who we are, and sets the gs base. */
	return agent_call_tracer(c, ABI_CALL_REGISTER);
}

/*
 * Registration is in three parts, so that most of it runs on the stack of the context claimed by the
 * first (agent_register_thread() in front.S).
 */
struct claim {
	struct abi_context *context; /* NULL: none */
	unsigned char *stack_top;
};
struct claim agent_claim_context(void);

struct claim agent_claim_context(void)
{
	struct abi_session *s = (struct abi_session *)(uintptr_t)arena()->session;
	if (rt_state(s) != ABI_STATE_RUNNING)
		return (struct claim){0};
	uint32_t slot = claim_slot(s);
	if (!slot) {
		__atomic_fetch_add(&s->register_failures, 1, __ATOMIC_RELAXED);
		return (struct claim){0};
	}
	struct abi_context *c = rt_context(s, slot);
	c->slot = slot;
	return (struct claim){c, c->stack + ABI_CONTEXT_STACK_SIZE};
}

struct registration {
	struct abi_context *context; /* the thread's, to go on with; NULL: none */
	bool release;                /* the claimed one was not needed */
};
struct registration agent_fill_context(struct abi_context *c);

struct registration agent_fill_context(struct abi_context *c)
{
	struct abi_session *s = (struct abi_session *)(uintptr_t)arena()->session;
	raise_high(s, c->slot + 1);
	reset_context(c, s, c->slot);
	bool answered = enrol(s, c);
	/* A signal handler may have registered this very thread in the meantime. */
	struct abi_context *now = agent_context();
	if (now != c) {
		if (!answered)
			__atomic_fetch_add(&s->register_failures, 1, __ATOMIC_RELAXED);
		return (struct registration){now, true};
	}
	/* rt_session_stop() sets the state, then empties every `self`: one of us sees the
	 * other. The slot stays ours: the GS base points to it. */
	if (__atomic_load_n(&s->state, __ATOMIC_SEQ_CST) != ABI_STATE_RUNNING) {
		__atomic_store_n(&c->self, 0, __ATOMIC_RELAXED);
		return (struct registration){NULL, false};
	}
	return (struct registration){c, false};
}

/* Back on the program's stack: from here on the context's may be somebody else's. */
struct abi_context *agent_release_context(
	struct abi_context *c, struct abi_context *result);

struct abi_context *agent_release_context(
	struct abi_context *c, struct abi_context *result)
{
	__atomic_store_n(&c->self, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->claimed, 0, __ATOMIC_RELEASE);
	return result;
}

/* ---- signals ------------------------------------------------------------- */

/* Only what we look at, as the kernel lays it out
 * (include/uapi/asm/{siginfo,ucontext,sigcontext}.h) */
struct signal_info {
	int32_t signal, error, code, pad;
	uint64_t address;
};

struct signal_context {
	uint64_t flags, link, stack[3];
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip,
		status;
};

enum {
	SIGNAL_TRAP = 5,
	TRAP_OF_STEP = 2, /* TRAP_TRACE */
	STEP_FLAG = 0x100,
	SIGNAL_BUS = 7,
	SIGNAL_SEGV = 11,
	ACTION_DEFAULT = 0,
	ACTION_IGNORE = 1,
	LOAD_SIZE = 3, /* KEEP IN SYNC: read signature (front.S) */
	LOAD_ALIGNMENT = 16,
	CALL_ALIGNMENT = 16, /* KEEP IN SYNC: call signature (front.S) */
	BREAKPOINT_SIZE = 1,
	BREAKPOINT = 0xcc,
	SIGSET_SIZE = 8,
	DEATH_TRIES = 100,
	DEATH_PAUSE_NS = 10000000,
	SIGNAL_BLOCK = 0, /* SIG_BLOCK */
};
#define ACTION_RESETHAND 0x80000000u

extern const char agent_read_fixup[];

/*
 * Whether the fault is that of a load in agent_read_N(), of this or another copy of the
 * image. The instruction itself can be read, unless fetching it is what failed; being at
 * a multiple of 16 it cannot reach the end of its page.
 */
static bool is_safe_read(
	const struct signal_info *info, const struct signal_context *context)
{
	static const unsigned char signature[] = {0x0f, 0x1f, 0x80, 'U', 'T', 'R', 'C'};
	uint64_t ip = context->ip;
	if (info->code <= 0 || ip % LOAD_ALIGNMENT || info->address == ip)
		return false;
	const unsigned char *after = (const unsigned char *)(uintptr_t)ip + LOAD_SIZE;
	for (uint32_t i = 0; i < sizeof(signature); i++)
		if (after[i] != signature[i])
			return false;
	return true;
}

/* The trampoline of the breakpoint at an address; 0: none of ours. */
static uint64_t find_trampoline(uint64_t address)
{
	const struct agent_arena *a = arena();
	const struct agent_site_entry *entries =
		(const struct agent_site_entry *)(uintptr_t)a->breakpoints;
	uint64_t low = 0, high = entries ? a->breakpoint_count : 0;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (entries[middle].address == address)
			return entries[middle].trampoline;
		if (entries[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/*
 * The tracer was killed after it had moved the thread and before it let it run: the thread is where it
 * should be.  The program's own int3 just before a probed instruction looks alike, but for its byte.
 */
static bool was_moved(uint64_t ip)
{
	const struct agent_arena *a = arena();
	const struct agent_site_entry *entries =
		(const struct agent_site_entry *)(uintptr_t)a->breakpoints;
	for (uint64_t i = 0; entries && i < a->breakpoint_count; i++) {
		if (entries[i].trampoline == ip)
			return true;
		if (entries[i].address == ip)
			return *(const unsigned char *)(uintptr_t)(ip -
								   BREAKPOINT_SIZE) !=
			       BREAKPOINT;
	}
	return false;
}

/* No tracer has answered a call of ours: it fails. */
static bool is_call(uint64_t ip)
{
	static const unsigned char signature[] = {
		BREAKPOINT, 0x0f, 0x1f, 0x80, 'U', 'T', 'C', 'A'};
	const unsigned char *bytes = (const unsigned char *)(uintptr_t)(ip - 1);

	if (ip % CALL_ALIGNMENT)
		return false;
	for (uint32_t i = 0; i < sizeof(signature); i++)
		if (bytes[i] != signature[i])
			return false;
	return true;
}

static bool resolve(
	uint32_t signal, const struct signal_info *info, struct signal_context *context)
{
	if (signal == SIGNAL_SEGV || signal == SIGNAL_BUS) {
		if (!is_safe_read(info, context))
			return false;
		context->ip = (uint64_t)(uintptr_t)agent_read_fixup;
		return true;
	}
	if (signal != SIGNAL_TRAP || info->code <= 0)
		return false;
	if (abi_watch_is_ours((const struct abi_watch_info *)info))
		return true;
	/* of a tracer that was killed while it stepped us: its flag is off by now, a program's own is not */
	if (info->code == TRAP_OF_STEP && !(context->status & STEP_FLAG))
		return true;
	uint64_t trampoline = find_trampoline(context->ip - BREAKPOINT_SIZE);
	if (trampoline)
		context->ip = trampoline;
	return trampoline || was_moved(context->ip) || is_call(context->ip);
}

/*
 * A tracer that is killed between PTRACE_SETSIGINFO and PTRACE_CONT, about to hand over another signal at
 * the end of a step, leaves a SIGTRAP that seems to come from our parent.  Its guardian soon says that it
 * is dead.  Only asked where the signal would end the program, which a moment later is early enough for.
 */
static bool is_of_killed_tracer(const struct signal_info *info)
{
	const struct abi_session *s =
		(const struct abi_session *)(uintptr_t)arena()->session;
	const uint64_t pause[2] = {0, DEATH_PAUSE_NS};

	if (info->code != 0 || (uint32_t)info->address != (uint32_t)ask(SYSCALL_GETPPID))
		return false;
	for (int i = 0; i < DEATH_TRIES; i++) {
		if (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == ABI_STATE_DEAD)
			return true;
		rt_syscall(SYSCALL_NANOSLEEP, (uint64_t)(uintptr_t)pause, 0, 0, 0);
	}
	return false;
}

static void reset_action(uint32_t signal)
{
	const struct agent_sigaction standard = {0};
	if (rt_syscall(SYSCALL_RT_SIGACTION, signal, (uint64_t)(uintptr_t)&standard, 0,
		    SIGSET_SIZE) < 0)
		__asm__ volatile("hlt"); /* the signal would come again for ever */
}

/*
 * The default action, now: of a fault by its instruction running again, else by the signal
 * sent again.  It is blocked until we return, so that it arrives where the first one did.
 */
static void take_default(uint32_t signal, const struct signal_info *info)
{
	const uint64_t set = 1ull << (signal - 1);
	reset_action(signal);
	if (info->code > 0 && signal != SIGNAL_TRAP)
		return;
	rt_syscall(SYSCALL_RT_SIGPROCMASK, SIGNAL_BLOCK, (uint64_t)(uintptr_t)&set, 0,
		SIGSET_SIZE);
	rt_syscall(SYSCALL_RT_TGSIGQUEUEINFO, ask(SYSCALL_GETPID), ask(SYSCALL_GETTID),
		signal, (uint64_t)(uintptr_t)info);
}

/* The default action without a call: the signal is blocked here, and the kernel takes no handler then. */
static void raise_blocked(uint32_t signal)
{
	if (signal == SIGNAL_TRAP)
		__asm__ volatile("int3");
	else
		__asm__ volatile("hlt");
}

/* Called by agent_signal_front.  Return: the handler to go on with; 0: done. */
uint64_t agent_signal_decide(
	uint32_t signal, const struct signal_info *info, struct signal_context *context);

uint64_t agent_signal_decide(
	uint32_t signal, const struct signal_info *info, struct signal_context *context)
{
	if (resolve(signal, info, context) || signal >= AGENT_SIGNALS)
		return 0;
	const struct agent_sigaction *old = &arena()->old_actions[signal];
	/* the kernel does not let a fault be ignored either */
	if (old->handler == ACTION_IGNORE && info->code <= 0)
		return 0;
	if (old->handler == ACTION_DEFAULT || old->handler == ACTION_IGNORE) {
		if (arena()->makes_no_calls)
			raise_blocked(signal);
		if (signal == SIGNAL_TRAP && is_of_killed_tracer(info))
			return 0;
		take_default(signal, info);
		return 0;
	}
	if (old->flags & ACTION_RESETHAND)
		reset_action(signal);
	return old->handler;
}
