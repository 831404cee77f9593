/* SPDX-License-Identifier: MIT */
/*
 * Registers as they were when a function was entered, for variables of which compilers say no more than that
 * (DW_OP_entry_value).  Blocks of pair.c that nobody pops: they are looked at while the frame is there, and go when a
 * function is entered further out, or when room is short.
 *
 * What is found counts only for the function that is asked for, and the call that the frame is of: nobody saw a frame
 * entered that was there before the probe, and its place may be that of an earlier one.
 */
#include "runtime/internal.h"

enum {
	ARGUMENTS = 6
};

struct entered {
	uint64_t function, from; /* its first instruction, and where it returns to */
	uint64_t arguments[ARGUMENTS];
};

void rt_entered(struct abi_context *c, struct abi_regs *regs, uint64_t sp, uint64_t ip,
	uint32_t site)
{
	if (!rt_enter(c, regs, sp, ip, site))
		return;
	struct rt_read from = rt_read_user(c, sp, sizeof(uint64_t));
	rt_pair_drop_left(c, RT_PAIR_ENTERED, sp);
	struct entered *e = rt_pair_push(c, RT_PAIR_ENTERED, sp, sizeof(*e));
	*e = (struct entered){.function = from.fault ? 0 : ip,
		.from = from.value,
		.arguments = {
			regs->rdi, regs->rsi, regs->rdx, regs->rcx, regs->r8, regs->r9}};
	rt_leave(c);
}

/* DWARF's numbers, in the order of arguments */
static int argument_of(uint32_t number)
{
	static const uint8_t numbers[ARGUMENTS] = {5, 4, 1, 2, 8, 9};
	for (int i = 0; i < ARGUMENTS; i++)
		if (numbers[i] == number)
			return i;
	return -1;
}

uint64_t rt_entry_register(
	struct abi_context *c, uint64_t function, uint64_t sp, uint32_t number)
{
	const struct entered *e = rt_pair_find(c, RT_PAIR_ENTERED, sp);
	struct rt_read from = rt_read_user(c, sp, sizeof(uint64_t));
	int argument = argument_of(number);
	if (e && e->function == function && !from.fault && e->from == from.value &&
		argument >= 0)
		return e->arguments[argument];
	rt_error(c,
		"a value from the function's entry is not known: it was entered before it was probed");
	return 0;
}
