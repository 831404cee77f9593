/* SPDX-License-Identifier: MIT */
/*
 * Stacks of the traced program.  Everything that scripts see of a stack goes through
 * rt_unwind().  The tracer follows the call frame information, once for each run of a handler.
 */
#include <stddef.h>

#include "runtime/internal.h"

static void ask_frames(struct abi_context *c)
{
	const struct abi_regs *regs = (const struct abi_regs *)(uintptr_t)c->regs;
	const uint64_t saved[] = {
		regs->rbx, regs->rbp, regs->r12, regs->r13, regs->r14, regs->r15};
	for (uint32_t i = 0; i < sizeof(saved); i++)
		c->ask.text[i] = ((const char *)saved)[i];
	bool found = rt_ask(c, ABI_ASK_UNWIND, (int64_t)c->probe_ip, (int64_t)c->probe_sp,
		rt_session(c)->max_backtrace);
	int64_t count = found ? c->ask.result : 0;
	if (count < 0 || count > ABI_CONTEXT_FRAMES)
		count = 0;
	const uint64_t *frames = (const uint64_t *)(const void *)c->ask.text;
	for (int64_t i = 0; i < count; i++)
		c->frames[i] = frames[i];
	c->frames[0] = c->probe_ip;
	c->frame_count = count ? (uint32_t)count : 1;
}

uint64_t rt_unwind(struct abi_context *c, uint32_t depth)
{
	if (depth == 0 || !c->regs)
		return depth == 0 ? c->probe_ip : 0;
	if (!c->frame_count)
		ask_frames(c);
	return depth < c->frame_count ? c->frames[depth] : 0;
}

int64_t rt_fn_frame(struct abi_context *c, int64_t depth)
{
	if (depth < 0 || depth >= rt_session(c)->max_backtrace)
		return 0;
	return (int64_t)rt_unwind(c, (uint32_t)depth);
}
