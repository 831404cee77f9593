/* SPDX-License-Identifier: MIT */
/*
 * The control flow of one function: where instructions begin, where it is left, and
 * whether all its indirect jumps are understood.
 */
#pragma once

#include "arch/x86_64/text.h"

enum {
	FLOW_INSN = 1u << 0,         /* an instruction starts here */
	FLOW_COVERED = 1u << 1,      /* byte of an instruction */
	FLOW_TABLE_TARGET = 1u << 2, /* a jump table sends control here */
};

enum {
	FLOW_MAX_PARTS = 16
};

/* Height of the stack above what it was at entry; these stand for more than plain
 * numbers. */
enum {
	FLOW_DEPTH_UNKNOWN = -(1 << 30),
	FLOW_DEPTH_ALIGNED =
		1 << 24, /* rsp was rounded down: deep, nobody knows how much */
};

/* A contiguous piece of the function: [start, end) itself, then pieces found by jumps
 * (.cold). */
struct flow_part {
	uint64_t start, end;
	uint8_t *mark;
	int32_t *depth; /* at FLOW_INSN bytes */
};

enum flow_exit_kind {
	FLOW_EXIT_RET,
	FLOW_EXIT_JUMP,
	FLOW_EXIT_CONDITIONAL,
	FLOW_EXIT_INDIRECT,
	FLOW_EXIT_FALL, /* padding that runs into another function */
};

struct flow_exit {
	uint64_t address, target;
	enum flow_exit_kind kind;
	int32_t depth;
};

struct flow_item {
	uint64_t address;
	int32_t depth;
};

struct flow {
	struct arch_text *text;
	uint64_t start, end;
	VEC(struct flow_part) parts; /* items[0] is [start, end) */
	VEC(struct flow_exit) exits; /* in order of address once complete */
	VEC(struct flow_item) work;
	VEC(struct flow_item) leaving;  /* direct jumps to an outside not yet judged */
	VEC(struct flow_item) indirect; /* indirect jumps not yet judged */
	VEC(uint64_t) constants;        /* operands of lea disp(%rip) and mov $address */
	int32_t frame_depth;            /* depth at the `mov %rsp,%rbp` seen last */
	bool loops_to_start; /* the entry is a loop head: its red zone may be in use */
	bool has_unknown_targets; /* an indirect jump inside goes nobody knows where */
	uint64_t unknown_at;
	bool has_data; /* bytes nothing leads to and that are no code */
	uint64_t data_at;
};

/**
 * flow_get() - analyse the function [start, end); borrowed, valid until the next call for
 * this text Return: 0; -EINVAL: not in executable text
 */
must_check int flow_get(struct arch_text *text, uint64_t start, uint64_t end,
	const struct flow **ret, struct error *err);
void flow_destroy(struct flow *flow);

/** flow_mark() - FLOW_* bits of an address; 0 outside the function */
uint8_t flow_mark(const struct flow *flow, uint64_t address);
bool flow_contains(const struct flow *flow, uint64_t address);

/** flow_previous() - the instruction that ends where `address` begins; false: none */
bool flow_previous(const struct flow *flow, uint64_t address, struct insn *ret);

/** flow_walk() - follow code from the items in flow->work until nothing is left */
void flow_walk(struct flow *flow);
void flow_push(struct flow *flow, uint64_t address, int32_t depth);
struct flow_part *flow_part(const struct flow *flow, uint64_t address);

/** jump_table_resolve() - tables.c: the indirect jump is inside (true) or leaves the
 * function */
bool jump_table_resolve(struct flow *flow, const struct insn *jump, int32_t depth);

/**
 * flow_branch_at() - what a linear decode does not know: the instruction that covers @source on some way through the
 * function it lies in; false: none does
 */
bool flow_branch_at(struct arch_text *text, uint64_t source, struct insn *ret);

/** flow_find_entrance() - entrance.c: can an exit be reached past the function's entry?  From where? */
bool flow_find_entrance(const struct flow *flow, uint64_t *ret);
