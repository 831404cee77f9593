/* SPDX-License-Identifier: MIT */
/*
 * Stacks of the traced program.  Everything that scripts see of a stack goes through rt_unwind().
 * Frames are found once for each run of a handler: here (walk.c), or by the tracer, which follows the
 * call frame information itself where the tables do not tell, and for handlers that run in it.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	SAVED = 6, /* rbx rbp r12..r15 */
	RBP = 1,
	ALL_BUT_RBP = 0x3d,
};

static uint32_t frame_limit(const struct abi_context *c)
{
	uint32_t limit = rt_session(c)->max_backtrace;
	return limit < ABI_CONTEXT_FRAMES ? limit : ABI_CONTEXT_FRAMES;
}

static void ask_frames(struct abi_context *c, const struct rt_walk_start *start)
{
	for (uint32_t i = 0; i < SAVED * sizeof(*start->saved); i++)
		c->ask.text[i] = ((const char *)start->saved)[i];
	bool found = rt_ask(c, ABI_ASK_UNWIND, (int64_t)start->pc, (int64_t)start->sp,
		frame_limit(c));
	int64_t count = found ? c->ask.result : 0;
	if (count < 0 || count > ABI_CONTEXT_FRAMES)
		count = 0;
	const uint64_t *frames = (const uint64_t *)(const void *)c->ask.text;
	for (int64_t i = 0; i < count; i++)
		c->frames[i] = frames[i];
	c->frames[0] = start->pc;
	c->frame_count = count ? (uint32_t)count : 1;
}

static bool is_edge(const struct abi_context *c)
{
	const struct abi_session *s = rt_session(c);
	if (c->site >= s->site_count)
		return false;
	const struct abi_site *sites =
		(const struct abi_site *)(const void *)((const char *)s + s->site_offset);
	return sites[c->site].flags & ABI_SITE_EDGE;
}

static RT_NOINLINE void find_frames(struct abi_context *c, bool may_walk)
{
	const struct abi_regs *regs = (const struct abi_regs *)(uintptr_t)c->regs;
	const uint64_t saved[SAVED] = {
		regs->rbx, regs->rbp, regs->r12, regs->r13, regs->r14, regs->r15};
	const struct rt_walk_start start = {.pc = c->probe_ip,
		.sp = c->probe_sp,
		.saved = saved,
		.is_edge = is_edge(c)};
	if (!may_walk || rt_is_tracer(c) || !rt_walk(c, &start, frame_limit(c)))
		ask_frames(c, &start);
}

uint64_t rt_unwind(struct abi_context *c, uint32_t depth)
{
	if (depth == 0 || !c->regs)
		return depth == 0 ? c->probe_ip : 0;
	if (!c->frame_count)
		find_frames(c, true);
	return depth < c->frame_count ? c->frames[depth] : 0;
}

int64_t rt_fn_frame(struct abi_context *c, int64_t depth)
{
	if (depth < 0 || depth >= rt_session(c)->max_backtrace)
		return 0;
	return (int64_t)rt_unwind(c, (uint32_t)depth);
}

/* What the tracer says, to compare with what was found here. */
int64_t rt_fn_frame_asked(struct abi_context *c, int64_t depth)
{
	if (depth < 0 || depth >= frame_limit(c) || !c->regs)
		return 0;
	find_frames(c, false);
	uint64_t frame = depth < c->frame_count ? c->frames[depth] : 0;
	c->frame_count = 0;
	return (int64_t)frame;
}

/* Addresses with a blank behind each; whole ones only. */
void rt_fn_backtrace(struct abi_context *c, char *dst)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	if (!c->frame_count && c->regs)
		find_frames(c, true);
	for (uint32_t i = 0; i < c->frame_count; i++) {
		rt_text_hex(&t, c->frames[i]);
		rt_text_char(&t, ' ');
	}
	rt_text_close(&t);
}

/* ---- printing ------------------------------------------------------------ */

/* Addresses only: what they are the tracer finds when it prints them. */
static void print_addresses(
	struct abi_context *c, int64_t style, const uint64_t *addresses, uint32_t count)
{
	uint32_t *payload = rt_record_reserve(c, ABI_RECORD_STACK, c->site,
		(uint32_t)(2 * sizeof(uint32_t) + count * sizeof(*addresses)));
	if (!payload)
		return;
	payload[0] = (uint32_t)style;
	payload[1] = c->pid;
	uint64_t *to = (uint64_t *)(void *)(payload + 2);
	for (uint32_t i = 0; i < count; i++)
		to[i] = addresses[i];
	rt_record_commit(c);
}

void rt_fn_print_stack(struct abi_context *c, int64_t style)
{
	if (!c->frame_count && c->regs)
		find_frames(c, true);
	print_addresses(c, style, c->frames, c->frame_count);
}

void rt_fn_print_stack_from(
	struct abi_context *c, int64_t style, int64_t pc, int64_t sp, int64_t fp)
{
	const uint64_t saved[SAVED] = {[RBP] = (uint64_t)fp};
	const struct rt_walk_start start = {.pc = (uint64_t)pc,
		.sp = (uint64_t)sp,
		.saved = saved,
		.lost = ALL_BUT_RBP};
	if (rt_is_tracer(c) || !rt_walk(c, &start, frame_limit(c)))
		ask_frames(c, &start);
	print_addresses(c, style, c->frames, c->frame_count);
	c->frame_count = 0; /* they are not those of the probe */
}

void rt_fn_print_symbol(struct abi_context *c, int64_t address, int64_t style)
{
	const uint64_t one = (uint64_t)address;
	print_addresses(c, style, &one, 1);
}
