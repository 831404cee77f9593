/* SPDX-License-Identifier: MIT */
/* What scripts ask about the running thread, its probe and the session. */
#include <stddef.h>

#include "runtime/errno_table.h"
#include "runtime/internal.h"

#define CONTEXT_FUNCTIONS(X) X(pid) X(tid) X(ppid) X(uid) X(euid) X(gid) X(egid)
#define CONTEXT_FUNCTION(field)                      \
	int64_t rt_fn_##field(struct abi_context *c) \
	{                                            \
		return c->field;                     \
	}
CONTEXT_FUNCTIONS(CONTEXT_FUNCTION)

int64_t rt_fn_target(struct abi_context *c)
{
	return rt_session(c)->target_pid;
}

/* The kernel keeps the processor's number in TSC_AUX (bits 0 to 11), the node above it.
 */
int64_t rt_fn_cpu(struct abi_context *c)
{
	uint32_t low, high, aux;
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	return aux & 0xfff;
}

void rt_fn_execname(struct abi_context *c, char *dst)
{
	uint32_t capacity = rt_session(c)->max_string;
	uint32_t size = (uint32_t)sizeof(c->comm);
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

void rt_fn_errno_str(struct abi_context *c, char *dst, int64_t number)
{
	enum {
		NAME_COUNT = sizeof(errno_names) / sizeof(errno_names[0])
	};
	uint64_t index = number < 0 ? -(uint64_t)number : (uint64_t)number;
	rt_string_copy(c, dst, index < NAME_COUNT ? errno_names[index] : "");
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

/* "%6d %s(%d):%-*s": microseconds since the outermost call, thread, blanks. */
void rt_fn_thread_indent(struct abi_context *c, char *dst, int64_t delta)
{
	enum {
		NUMBER_WIDTH = 6
	};
	char number[24];
	int64_t now = rt_fn_gettimeofday_us(c);
	if (!c->indent_depth)
		c->indent_start = now;
	int64_t depth = c->indent_depth + (delta > 0 ? delta : 0);
	c->indent_depth += delta;

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
	rt_text_fill(&t, ' ', depth > 0 ? depth - 1 : 0);
	rt_text_close(&t);
}
