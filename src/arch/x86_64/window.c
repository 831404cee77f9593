/* SPDX-License-Identifier: MIT */
/*
 * A window is a run of whole instructions that will be overwritten and executed
 * elsewhere.  It is clean when nothing can arrive inside it:
 *
 *  - no function start, landing pad, relocated code address or jump table target behind
 * its head
 *  - no direct branch from outside (text_find_branch()); one from inside leads to the
 * copy
 *  - a call only as the last instruction: its return address lies behind the window
 *  - when an indirect jump of the function is not understood: only one instruction
 *
 * A window may run into filler behind an instruction that never falls through.  Filler is
 * not displaced, and nobody is ever inside it.
 */
#include "arch/x86_64/window.h"

#include <string.h>

#include "arch/x86_64/relocate.h"

static bool refuse(struct window_reason *reason, const char *rule, uint64_t at)
{
	*reason = (struct window_reason){.rule = rule, .at = at};
	return false;
}

struct window {
	const struct flow *flow;
	const struct arch_plan_options *options;
	uint64_t head, end; /* of the displaced instructions */
	struct insn insns[ARCH_MAX_INSNS];
	unsigned int count;
	bool ended; /* nothing falls through the last one */
	bool called;
	bool wide; /* may go on behind a jump */
};

static bool add_insn(struct window *w, struct window_reason *reason)
{
	struct insn *insn = &w->insns[w->count];
	if (w->called)
		return refuse(reason, "the window would go on behind a call", w->end);
	if (w->count == ARCH_MAX_INSNS)
		return refuse(reason, "too many instructions in the window", w->end);
	if (!(flow_mark(w->flow, w->end) & FLOW_INSN) ||
		!text_decode(w->flow->text, w->end, insn))
		return refuse(
			reason, "no instruction of the function begins there", w->end);
	const char *rule = relocate_check(insn, w->options->shadow_stack);
	if (rule)
		return refuse(reason, rule, w->end);
	w->count++;
	w->end += insn->length;
	w->ended = insn_ends_flow(insn);
	w->called = insn->kind == INSN_CALL || insn->kind == INSN_CALL_INDIRECT;
	return true;
}

static bool is_filler(const struct flow *flow, uint64_t from, uint64_t to)
{
	struct insn insn;
	for (uint64_t pc = from; pc < to; pc += insn.length)
		if (!text_decode(flow->text, pc, &insn) || !insn_is_padding(&insn))
			return false;
	for (uint64_t pc = from; pc < to; pc++)
		if (flow_mark(flow, pc) & FLOW_COVERED)
			return false;
	return true;
}

static bool starts_insn(const struct window *w, uint64_t address)
{
	for (unsigned int i = 0; i < w->count; i++)
		if (w->insns[i].address == address)
			return true;
	return false;
}

/* Branches of the window's own instructions. */
static bool check_own_branches(const struct window *w, struct window_reason *reason)
{
	for (unsigned int i = 0; i < w->count; i++) {
		const struct insn *insn = &w->insns[i];
		if (!insn->has_target || insn->target <= w->head ||
			insn->target >= w->end)
			continue;
		if (insn->kind == INSN_CALL || !starts_insn(w, insn->target))
			return refuse(
				reason, "it branches into its own window", insn->address);
	}
	return true;
}

/* Go's goexit is a nop and a call, and every goroutine returns to the call.  Nops in a row are room
 * for a patch. */
static bool is_return_address(const struct window *w)
{
	return w->head == w->flow->start && w->count > 1 && w->insns[0].length == 1 &&
	       w->insns[0].kind == INSN_NOP && w->insns[1].kind != INSN_NOP;
}

static bool check_interior(
	const struct window *w, uint64_t end, struct window_reason *reason)
{
	struct arch_text *text = w->flow->text;
	uint64_t source;
	if (text_has_function_start(text, w->head + 1, end))
		return refuse(
			reason, "another function begins inside the window", w->head);
	if (text_has_indirect_target(text, w->head + 1, end))
		return refuse(reason,
			"a landing pad or relocated address is inside the window",
			w->head);
	for (uint64_t pc = w->head + 1; pc < end; pc++)
		if (flow_mark(w->flow, pc) & FLOW_TABLE_TARGET)
			return refuse(reason, "a jump table leads inside the window", pc);
	if (w->count > 1 && w->flow->has_unknown_targets)
		return refuse(reason,
			"an indirect jump of the function is not understood",
			w->flow->unknown_at);
	if (is_return_address(w))
		return refuse(reason,
			"the instruction behind the first nop may be a return address",
			w->insns[1].address);
	if (!check_own_branches(w, reason))
		return false;
	if (text_find_branch(text, w->head + 1, end, w->head, w->end, &source))
		return refuse(reason, "a branch leads inside the window", source);
	return true;
}

/* Instructions until @size bytes and @probe are in. */
static bool collect(
	struct window *w, uint64_t probe, unsigned int size, struct window_reason *reason)
{
	while (w->end - w->head < size || w->end <= probe) {
		bool enough = w->ended && w->end > probe;
		if (enough && (!w->wide || !(flow_mark(w->flow, w->end) & FLOW_INSN)))
			break;
		if (w->ended && !w->wide)
			return refuse(
				reason, "the window would go on behind a jump", w->end);
		if (!add_insn(w, reason))
			return false;
	}
	return true;
}

static bool check_bytes(const struct window *w, uint64_t probe, uint64_t end,
	struct window_reason *reason)
{
	size_t left;
	const uint8_t *bytes = text_bytes(w->flow->text, w->head, false, &left);
	if (end > w->end && !is_filler(w->flow, w->end, end))
		return refuse(
			reason, "too short, and what follows is no padding", w->end);
	if (!bytes || end - w->head > left || end - w->head > ARCH_MAX_WINDOW)
		return refuse(reason, "the window leaves the text segment", w->head);
	if (!starts_insn(w, probe))
		return refuse(reason, "no instruction begins there", probe);
	return true;
}

static void fill_plan(const struct window *w, uint64_t probe, unsigned int size,
	uint64_t end, struct arch_plan *ret)
{
	size_t left;
	*ret = (struct arch_plan){.address = w->head,
		.points = {{.address = probe, .offset = (uint8_t)(probe - w->head)}},
		.point_count = 1,
		.size = (uint8_t)size,
		.window = (uint8_t)(end - w->head),
		.insn_count = (uint8_t)w->count,
		.has_call = w->called};
	for (unsigned int i = 0; i < w->count; i++)
		ret->insn_offset[i] = (uint8_t)(w->insns[i].address - w->head);
	memcpy(ret->original, text_bytes(w->flow->text, w->head, false, &left),
		end - w->head);
}

static uint64_t end_of(const struct window *w, unsigned int size)
{
	return w->end - w->head < size ? w->head + size : w->end;
}

bool window_build(const struct flow *flow, uint64_t head, uint64_t probe,
	unsigned int size, const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	struct window w = {.flow = flow, .options = options, .head = head, .end = head};
	if (!collect(&w, probe, size, reason))
		return false;
	uint64_t end = end_of(&w, size);
	/* an int3 changes no byte behind its own */
	if (!check_bytes(&w, probe, end, reason) ||
		(size > 1 && !check_interior(&w, end, reason)))
		return false;
	fill_plan(&w, probe, size, end, ret);
	return true;
}

bool window_wide(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	struct window w = {.flow = flow,
		.options = options,
		.head = head,
		.end = head,
		.wide = true};
	if (!collect(&w, probe, ARCH_JUMP_SIZE, reason))
		return false;
	for (;;) {
		uint64_t end = end_of(&w, ARCH_JUMP_SIZE);
		if (!check_bytes(&w, probe, end, reason))
			return false;
		if (check_interior(&w, end, reason))
			break;
		/* a branch that comes soon after: take it in */
		uint64_t source = reason->at;
		if (source < w.end || source - head >= ARCH_MAX_WINDOW)
			return false;
		while (w.end <= source)
			if (!add_insn(&w, reason))
				return false;
	}
	fill_plan(&w, probe, ARCH_JUMP_SIZE, end_of(&w, ARCH_JUMP_SIZE), ret);
	ret->form = ARCH_PATCH_JUMP_WINDOW;
	return true;
}

bool window_long(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	if (!window_build(flow, head, probe, ARCH_JUMP_SIZE, options, ret, reason))
		return false;
	ret->form =
		ret->insn_count == 1 ? ARCH_PATCH_JUMP_SINGLE : ARCH_PATCH_JUMP_WINDOW;
	return true;
}

bool window_short(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	struct arch_plan plan;
	size_t size;
	if (!window_build(flow, head, probe, 2, options, &plan, reason))
		return false;
	plan.form = ARCH_PATCH_JUMP_SHORT;
	if (!text_find_padding(flow->text, head + 2 - 128, head + 2 + 127, probe,
		    &plan.padding_address))
		return refuse(
			reason, "no free padding within reach of a short jump", head);
	const uint8_t *bytes = text_bytes(flow->text, plan.padding_address, false, &size);
	if (!bytes || size < ARCH_JUMP_SIZE)
		return refuse(
			reason, "no free padding within reach of a short jump", head);
	memcpy(plan.padding_original, bytes, ARCH_JUMP_SIZE);
	*ret = plan;
	return true;
}

bool window_breakpoint(const struct flow *flow, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	if (!window_build(flow, probe, probe, 1, options, ret, reason))
		return false;
	ret->form = ARCH_PATCH_BREAKPOINT;
	return true;
}

void window_note(struct arch_plan *plan, const struct arch_plan_options *options,
	const struct window_reason *no_jump)
{
	if (options->no_jumps)
		return;
	plan->no_jump = no_jump->rule;
	plan->no_jump_at = no_jump->at;
}
