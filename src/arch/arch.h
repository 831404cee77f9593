/* SPDX-License-Identifier: MIT */
/*
 * Planning patches: pure functions, bytes in, bytes out.  Nothing here touches a process.
 *
 * A *site* is an instruction to probe.  A *plan* says how its text is replaced: by a 5-byte jump over
 * one long instruction, over a clean window of several (padding after a short function included), or
 * by a breakpoint instruction.  A *trampoline* saves state, calls the handlers, runs the displaced
 * instructions and jumps back.  All addresses are link-time addresses of the module unless named
 * runtime_*.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ARCH_MAX_WINDOW = 32, ARCH_JUMP_SIZE = 5, ARCH_MAX_HANDLERS = 16, ARCH_TRAMPOLINE_MAX = 1536 };

/* ---- what is known of a module's text -------------------------------------------------------- */

struct arch_text_segment {
	uint64_t address;
	const uint8_t *bytes; /* borrowed; lives as long as the struct arch_text */
	size_t size;
};

struct arch_text; /* branch-target knowledge over a module's executable segments */

/**
 * arch_text_create() - index a module
 * @function_starts: sorted addresses known to begin a function (symbols, FDEs); none is inside a
 *                   window unless it is the site itself
 * @landing_pads, @indirect_targets: further addresses control may arrive at (LSDA landing pads, code
 *                   addresses in relocations and .init_array), sorted; may be NULL
 * The byte-wise scan for anything that could encode a direct branch is done lazily.
 */
struct arch_text *arch_text_create(const struct arch_text_segment *segments, size_t segment_count,
	const uint64_t *function_starts, size_t function_start_count,
	const uint64_t *indirect_targets, size_t indirect_target_count);
void arch_text_destroy(struct arch_text *text);

/* ---- plans ----------------------------------------------------------------------------------- */

enum arch_patch_form {
	ARCH_PATCH_JUMP_SINGLE, /* one instruction of >= 5 bytes: no interior */
	ARCH_PATCH_JUMP_WINDOW, /* several instructions, none of them a branch target but the first */
	ARCH_PATCH_JUMP_SHORT,  /* 2-byte jump to 5 bytes of padding holding the long jump */
	ARCH_PATCH_BREAKPOINT,  /* int3 */
};

struct arch_plan {
	uint64_t address;
	enum arch_patch_form form;
	uint8_t size;                 /* bytes of text replaced at address: 5, 2 (SHORT) or 1 */
	uint8_t window;               /* bytes of whole instructions displaced (>= size) */
	uint8_t insn_count;
	uint8_t insn_offset[8];       /* start of each displaced instruction from address */
	uint8_t original[ARCH_MAX_WINDOW]; /* text at address; the first `window` bytes count */
	uint64_t padding_address;     /* SHORT: where the 5-byte jump goes; 5 bytes of padding, original below */
	uint8_t padding_original[8];
	bool mid_function;            /* red zone below rsp may be live */
	bool flags_live;              /* status flags must be preserved */
	bool is_exit;                 /* the site is a ret or a jump out of the function */
	bool is_tail_call;            /* exit by a jump: no return value yet */
	bool has_call;                /* the window ends with a call (never under a shadow stack) */
};

struct arch_plan_options {
	bool no_jumps;       /* only breakpoints (testing) */
	bool no_breakpoints; /* refuse instead */
	bool shadow_stack;   /* the process runs with SHSTK: no call in a window */
	bool trust_abi_flags; /* function comes from a compiler (has a DWARF unit): status flags are dead
			       * at entry and exit as the psABI says */
};

/**
 * arch_plan_entry() - plan a probe at an instruction
 * @start, @end: the function containing it
 * Return: 0; negative with the rule that refused in @err ("instruction at 0x1234: int3 in text").
 */
must_check int arch_plan_site(struct arch_text *text, uint64_t address, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, struct arch_plan *ret, struct error *err);

/**
 * arch_plan_exits() - every way out of [start, end): ret in all forms, direct and conditional jumps
 * that leave it, indirect jumps that are not resolved jump tables
 * @ret: malloc'ed array, free() it; a function without exits (noreturn) gives 0 plans
 * Jumps back to `start` are loops, not exits.  Conditional jumps out are planned as exits whose
 * trampoline fires only when the branch is taken.
 */
must_check int arch_plan_exits(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, struct arch_plan **ret, size_t *ret_count,
	struct error *err);

/** two plans whose replaced bytes overlap cannot both be applied */
bool arch_plans_overlap(const struct arch_plan *a, const struct arch_plan *b);

/* ---- trampolines --------------------------------------------------------------------------------
 * Layout of what it does (entry; the numbers are for the common case):
 *   [lea -128(%rsp),%rsp]             mid_function only
 *   push registers as struct abi_regs (callee-saved ones only when a handler needs them);
 *   [lahf; seto]                      flags_live only
 *   mov %gs:null_context,%rdi; test; jz slow     slow: call register_address -> context or 0
 *   for each handler: rdi=context rsi=regs rdx=sp of the program rcx=site address r8d=site id; call
 *   restore; displaced instructions; jmp back
 * Inline counts do only: push %rax; mov %gs:null_context,%rax; test; jz slow; add; pop.
 */

struct arch_handler_call {
	uint64_t runtime_address; /* of the handler; within +-2 GiB of the trampoline */
	uint32_t site;            /* site id */
	bool needs_callee_saved;
	bool is_inline_count;
	uint32_t inline_shard_offset; /* from the start of struct abi_context */
	int32_t inline_increment;
};

struct arch_trampoline_request {
	const struct arch_plan *plan;
	uint64_t bias;                     /* runtime address - link-time address */
	uint64_t runtime_address;          /* of the trampoline */
	uint64_t runtime_register;         /* rt_register_thread(): slow path; SysV, returns context or 0 */
	int32_t null_context;              /* low address: displacement after %gs: */
	const struct arch_handler_call *handlers;
	size_t handler_count;
};

struct arch_pc_map_entry {
	uint16_t trampoline_offset; /* where the copy of an original instruction starts */
	uint16_t original_offset;   /* that instruction's offset in the window */
};

struct arch_trampoline {
	uint8_t bytes[ARCH_TRAMPOLINE_MAX];
	uint16_t size;
	uint16_t displaced_offset; /* state is the program's own again from here on */
	struct arch_pc_map_entry map[8]; /* copies of displaced instructions; a thread found at an
					  * interior instruction of the window continues there */
	uint8_t map_count;
};

/** arch_trampoline_emit() - -ERANGE: something the window refers to is out of reach of the arena */
must_check int arch_trampoline_emit(const struct arch_trampoline_request *request,
	struct arch_trampoline *ret, struct error *err);

/**
 * arch_arena_bounds() - where an arena serving these sites may lie: within +-2 GiB (less a margin) of
 * every site and of every RIP-relative operand of its window
 */
void arch_arena_bounds(const struct arch_plan *plans, size_t count, uint64_t bias, uint64_t *ret_low,
	uint64_t *ret_high);

/** arch_jump_bytes() - the replacement text: jmp rel32 (or the short jump) from a site */
must_check int arch_patch_bytes(const struct arch_plan *plan, uint64_t bias, uint64_t runtime_trampoline,
	uint8_t ret[ARCH_MAX_WINDOW]);

const char *arch_patch_form_name(enum arch_patch_form form); /* "jump", "jump-window", ... */
