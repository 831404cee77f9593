/* SPDX-License-Identifier: MIT */
/* What scripts ask about the running thread, its probe and the session. */
#include <stddef.h>

#include "runtime/internal.h"

/* x86-64 */
enum {
	SYSCALL_GETUID = 102,
	SYSCALL_GETGID = 104,
	SYSCALL_GETEUID = 107,
	SYSCALL_GETEGID = 108,
	SYSCALL_GETPPID = 110,
	SYSCALL_GETPGRP = 111,
	SYSCALL_GETSID = 124,
	SYSCALL_PRCTL = 157,
	SYSCALL_TGKILL = 234,
	PRCTL_GET_NAME = 16,
	CPU_BITS = 12,
};

int64_t rt_fn_pid(struct abi_context *c)
{
	return c->pid;
}

int64_t rt_fn_tid(struct abi_context *c)
{
	return c->tid;
}

/* What may change while a thread lives is asked for each time: a daemon changes its user,
 * an orphan its parent.  A system call costs less than a wrong line in a log. */
static int64_t identity(
	const struct abi_context *c, int64_t number, const uint32_t *known)
{
	if (rt_is_remote(c))
		rt_tracer_identity();
	else if (rt_may_call(c))
		return rt_syscall(number, 0, 0, 0, 0);
	return *known;
}

#define IDENTITY_FUNCTION(name, number)                 \
	int64_t rt_fn_##name(struct abi_context *c)     \
	{                                               \
		return identity(c, (number), &c->name); \
	}
IDENTITY_FUNCTION(ppid, SYSCALL_GETPPID)
IDENTITY_FUNCTION(uid, SYSCALL_GETUID)
IDENTITY_FUNCTION(euid, SYSCALL_GETEUID)
IDENTITY_FUNCTION(gid, SYSCALL_GETGID)
IDENTITY_FUNCTION(egid, SYSCALL_GETEGID)
IDENTITY_FUNCTION(pgrp, SYSCALL_GETPGRP)
IDENTITY_FUNCTION(sid, SYSCALL_GETSID)

/* Guru mode: a signal to the running thread. */
void rt_fn_raise(struct abi_context *c, int64_t number)
{
	if (rt_may_call(c))
		rt_syscall(SYSCALL_TGKILL, c->pid, c->tid, (uint64_t)number, 0);
}

int64_t rt_fn_is_myproc(struct abi_context *c)
{
	return rt_fn_uid(c) == rt_session(c)->tracer_uid;
}

int64_t rt_fn_target(struct abi_context *c)
{
	return rt_session(c)->target_pid;
}

int64_t rt_fn_stp_pid(struct abi_context *c)
{
	return rt_session(c)->tracer_pid;
}

void rt_fn_module_name(struct abi_context *c, char *dst)
{
	rt_string_copy(c, dst, rt_text(c, rt_session(c)->module_name));
}

int64_t rt_fn_max_string(struct abi_context *c)
{
	return rt_session(c)->max_string;
}

/* The kernel keeps the processor's number in TSC_AUX (bits 0 to 11), the node above it.
 */
static uint32_t tsc_aux(void)
{
	uint32_t low, high, aux;
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	return aux;
}

int64_t rt_fn_cpu(struct abi_context *c)
{
	return tsc_aux() & ((1u << CPU_BITS) - 1);
}

int64_t rt_fn_numa_node(struct abi_context *c)
{
	return tsc_aux() >> CPU_BITS;
}

static void refresh_name(struct abi_context *c)
{
	if (rt_is_remote(c))
		rt_tracer_identity();
	else if (rt_may_call(c))
		rt_syscall(SYSCALL_PRCTL, PRCTL_GET_NAME, (uint64_t)(uintptr_t)c->comm, 0,
			0);
}

void rt_fn_execname(struct abi_context *c, char *dst)
{
	uint32_t capacity = rt_session(c)->max_string;
	uint32_t size = (uint32_t)sizeof(c->comm);
	refresh_name(c);
	rt_put(dst, capacity < size ? capacity : size, c->comm);
}

enum site_text {
	SITE_PP,
	SITE_PN,
	SITE_PPFUNC
};

static void site_text(struct abi_context *c, char *dst, enum site_text which)
{
	const struct abi_site *site = rt_site(c);
	uint32_t offset = !site              ? 0
			  : which == SITE_PP ? site->pp
			  : which == SITE_PN ? site->pn
					     : site->ppfunc;
	rt_string_copy(c, dst, site ? rt_text(c, offset) : "");
}

void rt_fn_pp(struct abi_context *c, char *dst)
{
	site_text(c, dst, SITE_PP);
}

void rt_fn_pn(struct abi_context *c, char *dst)
{
	site_text(c, dst, SITE_PN);
}

void rt_fn_ppfunc(struct abi_context *c, char *dst)
{
	site_text(c, dst, SITE_PPFUNC);
}

/* label("X") in a name as the script gave it */
void rt_fn_pnlabel(struct abi_context *c, char *dst)
{
	const struct abi_site *site = rt_site(c);
	const char *at = site ? rt_find(rt_text(c, site->pn), "label(\"") : NULL;
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	for (at = at ? at + 7 : ""; *at && *at != '"'; at++)
		rt_text_char(&t, *at);
	rt_text_close(&t);
}

void rt_fn_probe_type(struct abi_context *c, char *dst)
{
	static const char names[ABI_SITE_TYPES][32] = {"begin_end", "timer", "hrtimer",
		"profile_timer", "uprobe", "uretprobe", "utrace", "utrace_syscall",
		"procfs", "perf_event", "hardware_data_breakpoint"};
	const struct abi_site *site = rt_site(c);
	uint32_t type = site ? site->flags >> ABI_SITE_TYPE_SHIFT : 0;
	rt_string_copy(c, dst, names[type < ABI_SITE_TYPES ? type : 0]);
}

int64_t rt_fn_randint(struct abi_context *c, int64_t limit)
{
	enum {
		LIMIT_MAX = 1 << 20
	};
	if ((uint64_t)limit > LIMIT_MAX) {
		rt_error(c, "range too wide");
		return 0;
	}
	uint64_t x = c->random_state;
	if (!x)
		x = rt_tsc() * 0x9e3779b97f4a7c15u ^ ((uint64_t)c->tid << 32) ^ 1;
	/* xorshift64*: Marsaglia's shifts, the upper half of a product as the result */
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->random_state = x;
	uint64_t value = (x * 0x2545f4914f6cdd1du) >> 32;
	return (int64_t)(value * (uint64_t)limit >> 32);
}

/* ---- indentation --------------------------------------------------------- */

/* A level more counts at once, a level less from the next line on. */
static int64_t indent(struct abi_context *c, int64_t delta)
{
	int64_t depth = c->indent_depth + (delta > 0 ? delta : 0);
	c->indent_depth += delta;
	return depth > 0 ? depth - 1 : 0;
}

int64_t rt_fn_thread_indent_depth(struct abi_context *c, int64_t delta)
{
	return indent(c, delta);
}

/* "%6d %s(%d):%-*s": time since the outermost call, thread, blanks. */
void rt_fn_thread_indent(struct abi_context *c, char *dst, int64_t now, int64_t delta)
{
	enum {
		NUMBER_WIDTH = 6
	};
	char number[24];
	if (!c->indent_depth)
		c->indent_start = now;
	int64_t depth = indent(c, delta);
	refresh_name(c);

	struct rt_text n = rt_text_open(number, sizeof(number));
	rt_text_decimal(&n, now - c->indent_start, 1);
	rt_text_close(&n);
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	rt_text_fill(&t, ' ', NUMBER_WIDTH - (n.at - number));
	rt_text_string(&t, number);
	rt_text_char(&t, ' ');
	for (uint32_t i = 0; i < sizeof(c->comm) && c->comm[i]; i++)
		rt_text_char(&t, c->comm[i]);
	rt_text_char(&t, '(');
	rt_text_decimal(&t, c->tid, 1);
	rt_text_string(&t, "):");
	rt_text_fill(&t, ' ', depth);
	rt_text_close(&t);
}
