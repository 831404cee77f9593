/* SPDX-License-Identifier: MIT */
/* Choosing the bytes to replace around one instruction. */
#pragma once

#include "arch/x86_64/flow.h"

/* Why a window was refused: kept as data, formatted only when nothing else fits. */
struct window_reason {
	const char *rule;
	uint64_t at; /* the instruction or branch that broke it */
};

/**
 * window_build() - a window of at least @size bytes that begins at @head and displaces
 * @probe
 * Fills address, one point, window, insn_*, original, has_call.
 * Return: false: @reason says which rule was broken
 */
bool window_build(const struct flow *flow, uint64_t head, uint64_t probe,
	unsigned int size, const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

/**
 * window_wide() - a 5-byte jump at @head over all that branches to what it displaces
 * Goes on behind jumps, and past @probe to a branch that leads back into it: those are relocated with the
 * rest, and lead to the copy.
 */
bool window_wide(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

/** window_long() - a 5-byte jump at @head */
bool window_long(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

/** window_short() - a 2-byte jump at @head to padding nearby */
bool window_short(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

/** window_breakpoint() - int3 at @probe */
bool window_breakpoint(const struct flow *flow, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

/** window_note() - keep in a breakpoint's plan why it is none of a jump, where one was wanted */
void window_note(struct arch_plan *plan, const struct arch_plan_options *options,
	const struct window_reason *no_jump);
