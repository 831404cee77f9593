/* SPDX-License-Identifier: MIT */
/*
 * Entry points of the agent image: freestanding code that runs in the target next to the
 * runtime. The image (agent + runtime + the script's code) is copied into each arena; its
 * first bytes after the ELF headers are irrelevant to callers, who find symbols by name
 * through codegen_symbol().
 */
#pragma once

#include <stdint.h>

#include "abi/context.h"

/*
 * Every arena begins with this block; the image follows at ABI_ARENA_IMAGE.  It is
 * written by the tracer and read-only in the target, so code finds it by a RIP-relative
 * reference to agent_arena_block (linked ABI_ARENA_IMAGE bytes below the image start).
 */
enum {
	AGENT_ARENA_IMAGE = 4096,
	AGENT_SIGNALS = 65
};

struct agent_sigaction { /* as rt_sigaction(2) has it on x86-64 */
	uint64_t handler, flags, restorer, mask;
};

struct agent_site_entry { /* int3 sites of this process, sorted by address */
	uint64_t address, trampoline;
};

struct agent_arena {
	uint64_t session;           /* address of struct abi_session in this process */
	uint64_t null_context;      /* address of the null page */
	uint64_t image, image_size; /* this arena's image: faults in it are ours */
	uint64_t breakpoints;       /* struct agent_site_entry[breakpoint_count] */
	uint64_t breakpoint_count;
	uint64_t makes_no_calls; /* a seccomp filter might end the process for one */
	/* Threads block SIGTRAP: with the tracer killed, they would not survive to call it. */
	uint64_t registers_by_itself;
	/* Nonzero only in the tracer's own copy of the image: void (*)(void) that empties
	 * the rings.  Here and not in session memory, which the traced processes can
	 * write. */
	uint64_t tracer_drain;
	uint64_t
		tracer_answer; /* bool (*)(struct abi_context *): answers c->ask; likewise */
	/* bool (*)(uint64_t address, uint32_t size, uint64_t *value): memory of the thread whose
	 * handler the tracer runs; likewise */
	uint64_t tracer_read, tracer_write;
	uint64_t
		tracer_identity; /* void (*)(void): fill its context with who it is now; likewise */
	uint64_t tracer_regs; /* struct abi_regs *(*)(void): of that thread; likewise */
	/* bool (*)(uint32_t what, uint32_t number, uint64_t *value): its other registers; likewise */
	uint64_t tracer_state;
	struct agent_sigaction
		old_actions[AGENT_SIGNALS]; /* what the program had installed */
};

/**
 * agent_register_thread() - slow path of every trampoline
 * Claims a context; the tracer fills in who the thread is and sets its gs base (abi/call.h), or system calls
 * do.  Needs little of the program's stack: the rest runs on the context's.
 * Return: NULL: the session is not running, or no context is free (counted)
 */
struct abi_context *agent_register_thread(void);

/** that of the running thread; NULL: it has none, or the run is ending */
struct abi_context *agent_context(void);

/**
 * agent_call_native() - a handler that is not made from a script: calls the function of its site
 * As trampolines call handlers (arch/arch.h); the function gets what <utrace/uprobe-native.h> says.
 */
void agent_call_native(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site);

/** agent_signal_front - handler for SIGSEGV, SIGBUS, SIGTRAP: a fault of a safe read
 * continues at its fixup, a breakpoint of ours at its trampoline; everything else goes on
 * to the program's own action */
