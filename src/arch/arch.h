/* SPDX-License-Identifier: MIT */
/*
 * Planning patches: pure functions, bytes in, bytes out.  Nothing here touches a process.
 *
 * A *site* is an instruction to probe.  A *plan* says how its text is replaced: by a
 * 5-byte jump over one long instruction, over a clean window of several (padding after a
 * short function included), or by a breakpoint instruction.  A *trampoline* saves state,
 * calls the handlers, runs the displaced instructions and jumps back.  All addresses are
 * link-time addresses of the module unless named runtime_*.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/error.h"

enum {
	ARCH_MAX_WINDOW = 48,
	ARCH_JUMP_SIZE = 5,
	ARCH_MAX_INSNS = 14,
	ARCH_MAX_POINTS = 8,
	ARCH_MAX_HANDLERS = 160,
	ARCH_TRAMPOLINE_MAX =
		16384, /* holds so many calls of handlers, on a stack of their own, too */
	ARCH_CALL_STUB_MAX = 192
};

/* ---- what is known of a module's text ---- */

struct arch_text_segment {
	uint64_t address;
	const uint8_t *bytes; /* borrowed; lives as long as the struct arch_text */
	size_t size;
	/* not executable, only read for jump tables; without the module's read-only data
	 * functions with a switch are patched less well */
	bool is_data;
};

struct arch_text; /* branch-target knowledge over a module's executable segments */

/**
 * arch_text_create() - index a module
 * @function_starts: sorted addresses known to begin a function (symbols, FDEs); none is
 * inside a window unless it is the site itself
 * @indirect_targets: further addresses control may arrive at (LSDA landing pads, code
 * addresses in relocations and .init_array), sorted; may be NULL
 *
 * The segments array and the address lists are copied.  The byte-wise scan for anything
 * that could encode a direct branch is done lazily.  Planning keeps caches in the object:
 * one thread at a time.
 */
struct arch_text *arch_text_create(const struct arch_text_segment *segments,
	size_t segment_count, const uint64_t *function_starts,
	size_t function_start_count, const uint64_t *indirect_targets,
	size_t indirect_target_count);
void arch_text_destroy(struct arch_text *text);

/**
 * arch_text_set_parts() - starts that may be no entries
 * @parts: sorted; foo.cold, which only foo jumps to, and what only unwind tables know.  Those that are used
 * like a function count as one.  Copied
 */
void arch_text_set_parts(struct arch_text *text, const uint64_t *parts, size_t count);

/* What the scan for branches finds: it takes the longest, and depends on the text alone. */
struct arch_text_scan {
	const uint64_t *refs;
	size_t count;
};

/** arch_text_get_scan() - the result of the scan; false: none was made here so far */
bool arch_text_get_scan(const struct arch_text *text, struct arch_text_scan *ret);
/**
 * arch_text_set_scan() - the result of an earlier one, of the same bytes and function starts
 * @scan: checked to be in order; the array is borrowed, and lives as long as @text
 */
void arch_text_set_scan(struct arch_text *text, const struct arch_text_scan *scan);

/* Padding that has been given away. */
struct arch_text_slot {
	uint64_t address, owner; /* the probe that has it */
};
/** arch_text_slots() - what planning has given away so far; borrowed until it goes on */
const struct arch_text_slot *arch_text_slots(
	const struct arch_text *text, uint64_t *ret_count);
/** arch_text_set_slots() - as after an earlier planning; they are copied */
void arch_text_set_slots(
	struct arch_text *text, const struct arch_text_slot *slots, uint64_t count);

/* A direct call, or a jump that has the place of one. */
struct arch_call {
	uint64_t target, address;
	uint64_t behind; /* where it returns to; 0: a jump */
};

/**
 * arch_text_calls() - everything that directly calls or jumps into [low, high) from elsewhere
 * @ret: malloc'ed, by target and then by address
 */
size_t arch_text_calls(
	struct arch_text *text, uint64_t low, uint64_t high, struct arch_call **ret);

/* ---- plans ---- */

enum arch_patch_form {
	ARCH_PATCH_JUMP_SINGLE, /* one instruction, then maybe padding: no interior */
	ARCH_PATCH_JUMP_WINDOW, /* several, only the first may be a branch target */
	ARCH_PATCH_JUMP_SHORT,  /* 2-byte jump to padding that holds the long jump */
	ARCH_PATCH_BREAKPOINT,  /* int3 */
};

/* An event in a window: handlers run just before an instruction of it. */
struct arch_point {
	/* The instruction asked for.  An endbr64 there stays in place: offset is then that of
	 * the instruction after it; and of filler that nothing falls into, that of the one
	 * behind it. */
	uint64_t address;
	uint8_t offset;      /* of the instruction in the window */
	bool mid_function;   /* red zone below rsp may be live */
	bool flags_live;     /* status flags must be preserved */
	bool is_exit;        /* a ret or a jump out of the function */
	bool is_tail_call;   /* exit by a jump: no return value yet */
	bool is_conditional; /* exit by a conditional jump: handlers run when it is taken
			      */
	/* of an exit: its function can be left by it without having been entered (arch_find_entrance()) */
	bool is_shared;
};

struct arch_plan {
	uint64_t address; /* where text is replaced */
	/* Planned one at a time; those of windows that would overlap are joined. */
	struct arch_point points[ARCH_MAX_POINTS];
	uint8_t point_count;
	enum arch_patch_form form;
	uint8_t size; /* bytes of text replaced at address: 5, 2 (SHORT) or 1; 10 of a host */
	/* bytes of whole instructions displaced (>= size); padding that the patch runs
	 * into is counted, but is no instruction */
	uint8_t window;
	uint8_t insn_count;
	/* start of each displaced instruction from address */
	uint8_t insn_offset[ARCH_MAX_INSNS];
	uint8_t original[ARCH_MAX_WINDOW]; /* text at address; `window` bytes count */
	/* SHORT: the 5 bytes of padding where the long jump goes */
	uint64_t padding_address;
	uint8_t padding_original[ARCH_JUMP_SIZE];
	bool is_lodged; /* ... which is no padding but inside the window of a host */
	bool has_call;  /* the window ends with a call (never under a shadow stack) */
	/* BREAKPOINT: the rule that refused a jump, and where it was broken; NULL: none was
	 * wanted */
	const char *no_jump;
	uint64_t no_jump_at;
};

struct arch_plan_options {
	bool no_jumps;        /* only breakpoints (testing) */
	bool no_long_jumps;   /* a 2-byte jump to padding, else a breakpoint: for a site
			       * whose   5-byte window would overlap another one's */
	bool no_breakpoints;  /* refuse instead */
	bool shadow_stack;    /* the process runs with SHSTK: no call in a window */
	bool trust_abi_flags; /* function comes from a compiler (has a DWARF unit): status
			       * flags are dead at entry and exit as the psABI says */
};

/**
 * arch_plan_site() - plan a probe at an instruction
 * @start, @end: the function containing it
 * 5 bytes of padding are given to one probe address only, however often it is planned.
 * Return: 0; negative with the rule that refused in @err ("instruction at 0x1234: int3 in
 * text").
 */
must_check int arch_plan_site(struct arch_text *text, uint64_t address, uint64_t start,
	uint64_t end, const struct arch_plan_options *options, struct arch_plan *ret,
	struct error *err);

/**
 * arch_plan_exits() - every way out of [start, end): ret in all forms, direct and
 * conditional jumps that leave it, indirect jumps that are not resolved jump tables
 * @ret: malloc'ed array, free() it; a function without exits (noreturn) gives 0 plans
 * Jumps back to `start` are loops, not exits.  Conditional jumps out are planned as exits
 * whose trampoline fires only when the branch is taken.
 */
must_check int arch_plan_exits(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, struct arch_plan **ret,
	size_t *ret_count, struct error *err);

/**
 * arch_find_entrance() - can an exit of [start, end) be reached without passing its first instruction?
 * Another function begins in what it runs through, or code elsewhere jumps into it.  All its exits are then
 * planned with is_shared: what was left there tells only together with what was entered.
 * @ret: where the other way begins
 */
bool arch_find_entrance(
	struct arch_text *text, uint64_t start, uint64_t end, uint64_t *ret);

/**
 * arch_plan_breakpoint() - a breakpoint on an instruction nothing else is known of
 * @bytes: what is at @address, up to 16 of them
 * The plan has no point: nothing but the displaced instruction is in its trampoline.
 */
must_check int arch_plan_breakpoint(const uint8_t *bytes, size_t size, uint64_t address,
	struct arch_plan *ret, struct error *err);

/** may the bytes [low, high) be displaced, for all that is planned elsewhere? */
typedef bool (*arch_is_free_fn)(void *data, uint64_t low, uint64_t high);

/**
 * arch_plan_lodge() - a short jump instead of a breakpoint, to a long one in other instructions' window
 * @plan:       a breakpoint with one point
 * @ret_lodger: takes its place
 * @ret_host:   has no points; to be inserted together with the lodger, which does not work without it
 * Return: false: there is no such place; nothing is written
 */
bool arch_plan_lodge(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, const struct arch_plan *plan,
	arch_is_free_fn is_free, void *data, struct arch_plan *ret_lodger,
	struct arch_plan *ret_host);

/** two plans whose replaced bytes overlap cannot both be applied */
bool arch_plans_overlap(const struct arch_plan *a, const struct arch_plan *b);

/**
 * arch_plans_join() - one plan with the points of two of the same function
 * The points of @a come first, then those of @b that @a does not have.
 * Return: false: no window holds them all; *ret is untouched
 */
bool arch_plans_join(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, const struct arch_plan *a,
	const struct arch_plan *b, struct arch_plan *ret);

/** arch_plan_find_point() - index of the same event; -1: not among them */
int arch_plan_find_point(const struct arch_plan *plan, const struct arch_point *point);

/* ---- trampolines ---- */

/*
 * What a trampoline does (brackets: where the plan asks for it):
 *
 *   - the copies of window instructions before the point
 *   - [lea -128(%rsp),%rsp]: mid_function only
 *   - push registers as struct abi_regs, callee-saved ones only when a handler wants them
 *   - [lahf; seto]: flags_live, or callee-saved ones pushed; abi_regs.flags then has SF ZF AF PF CF in
 * bits 15..8, ordered as in bits 7..0 of RFLAGS, and OF in bit 0
 *   - mov %gs:null_context,%rdi; test; jz slow (calls runtime_register -> context or 0)
 *   - per handler: rdi=context rsi=regs rdx=sp of the program rcx=runtime address of the
 *     probed instruction r8d=site id; call
 *   - restore; the remaining copies, with further points likewise; jmp back
 *
 * Where all handlers are inline counts: push %rax; mov %gs:null_context,%rax; test; jz
 * slow; add; pop.
 */

struct arch_handler_call {
	uint64_t runtime_address; /* of the handler; within +-2 GiB of the trampoline */
	uint32_t site;            /* site id */
	uint8_t point;            /* of the plan */
	bool needs_callee_saved;
	bool is_inline_count;
	uint32_t inline_shard_offset; /* from the start of struct abi_context */
	int32_t inline_increment;
};

struct arch_trampoline_request {
	const struct arch_plan *plan;
	uint64_t bias;             /* runtime address - link-time address */
	uint64_t runtime_address;  /* of the trampoline */
	uint64_t runtime_register; /* rt_register_thread(): SysV, returns context or 0 */
	int32_t null_context;      /* low address: displacement after %gs: */
	/* run handlers on the context's stack: the program's has no room (Go) */
	bool own_stack;
	const struct arch_handler_call *handlers;
	size_t handler_count;
};

struct arch_pc_map_entry {
	uint16_t
		arrival_offset; /* where a thread goes that is at an original instruction:
				     * to its handlers, if it has any */
	uint16_t trampoline_offset; /* where the copy of the instruction starts */
	uint16_t original_offset;   /* that instruction's offset in the window */
	/* of an indirect call: where its jump faults, with 8 bytes pushed already; 0: none */
	uint16_t pushed_offset;
};

struct arch_trampoline {
	uint8_t bytes[ARCH_TRAMPOLINE_MAX];
	uint16_t size;
	/* copies of displaced instructions; a thread found at an interior instruction of
	 * the window continues there */
	struct arch_pc_map_entry map[ARCH_MAX_INSNS];
	uint8_t map_count;
};

/** arch_trampoline_emit() - -ERANGE: something the window refers to is out of reach of
 * the arena */
must_check int arch_trampoline_emit(const struct arch_trampoline_request *request,
	struct arch_trampoline *ret, struct error *err);

/**
 * arch_arena_bounds() - where an arena serving these sites may lie: within +-2 GiB (less
 * a margin) of every site and of every RIP-relative operand of its window
 */
void arch_arena_bounds(const struct arch_plan *plans, size_t count, uint64_t bias,
	uint64_t *ret_low, uint64_t *ret_high);

/**
 * arch_patch_bytes() - the replacement of the plan->size bytes at plan->address (of a host the first five,
 * the others are traps): jmp
 * rel32 to the trampoline, the short jump to the padding, or int3.  -ERANGE: out of
 * reach.
 */
must_check int arch_patch_bytes(const struct arch_plan *plan, uint64_t bias,
	uint64_t runtime_trampoline, uint8_t ret[ARCH_MAX_WINDOW]);

/** arch_padding_bytes() - SHORT only: the jump to put at plan->padding_address before the
 * site's */
must_check int arch_padding_bytes(const struct arch_plan *plan, uint64_t bias,
	uint64_t runtime_trampoline, uint8_t ret[ARCH_JUMP_SIZE]);

/** "jump", "jump-window", "jump-short", "breakpoint" */
const char *arch_patch_form_name(enum arch_patch_form form);

/* ---- remote calls ---- */

/* Where a thread was when it was taken to make system calls for a tracer. */
struct arch_call_home {
	uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rip;
	uint64_t signal_mask;
};

/**
 * arch_call_stub() - code for a thread that makes system calls for a tracer
 * Begins with a `syscall`.  A tracer that is alive takes the thread back when that returns; when it
 * has died the thread goes on: its signal mask and the registers a system call needs are set as they
 * were, and it is where it was.  Position-independent; uses no stack and no memory but its own.
 * Return: size in bytes
 */
size_t arch_call_stub(const struct arch_call_home *home, uint8_t ret[ARCH_CALL_STUB_MAX]);
/** is this a stub, and where does it lead? */
bool arch_call_stub_home(
	const uint8_t bytes[ARCH_CALL_STUB_MAX], struct arch_call_home *ret);

/* ---- code of others ---- */

/**
 * arch_check_guest() - may code run inside a program, called by a trampoline?
 * Every instruction is looked at: general registers only, no system calls.  -ENOEXEC: no
 */
must_check int arch_check_guest(const uint8_t *bytes, size_t size, struct error *err);

/* ---- emulation ---- */

/* Memory of the program whose instructions are emulated; 0 or negative. */
struct arch_memory {
	int (*read)(void *data, uint64_t address, void *bytes, size_t size);
	int (*write)(void *data, uint64_t address, const void *bytes, size_t size);
	void *data;
};

/**
 * arch_emulate() - do what one instruction does
 * Knows those of function entries and exits: moves, pushes and pops, simple arithmetic, branches.
 * @regs:      changed as the instruction would, rip included
 * @ret_taken: a conditional branch was taken
 * Return: false: not one it knows, or memory that cannot be accessed; nothing has changed
 */
bool arch_emulate(const uint8_t *bytes, size_t size, uint64_t address,
	const struct arch_memory *memory, struct user_regs_struct *regs, bool *ret_taken);
