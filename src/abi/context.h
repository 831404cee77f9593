/* SPDX-License-Identifier: MIT */
/*
 * A context: everything the runtime keeps for one traced thread.  Slot 0 is the tracer's
 * own, for begin/end/timer handlers.  A thread finds its context through GS:
 *
 *     mov %gs:NULL_CONTEXT, %rdi      NULL_CONTEXT: a page mapped read-only at a fixed
 * low address
 *
 * gs_base is 0 in a thread that has none, so the load reads the null page: 0, "register
 * me". Registering sets gs_base = (address of the context) - NULL_CONTEXT; the load then
 * reads `self`. Ending the session stores 0 to every `self`: no other test is needed on
 * the hit path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/ask.h"
#include "abi/record.h"
#include "abi/unwind.h"

/* General registers as a trampoline pushes them; the handler gets a pointer to it.  The
 * last six are there only for handlers that ask for them
 * (STAP_HANDLER_NEEDS_CALLEE_SAVED). */
struct abi_regs {
	uint64_t flags; /* unspecified unless the trampoline saved them */
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t rbx, rbp, r12, r13, r14, r15;
};

enum {
	ABI_CONTEXT_SCRATCH_SIZE = 96 * 1024, /* string temporaries and script frames */
	/* entry values waiting for their return probe: room for recursion 10^5 deep, where the
	 * address space is not limited; only pages that were used exist */
	ABI_CONTEXT_PAIR_MAX = 4 << 20,
	ABI_CONTEXT_PAIR_MIN = 128 * 1024,
	ABI_CONTEXT_STACK_SIZE =
		16 *
		1024, /* for code of ours that the program's stack may have no room for */
	ABI_ERROR_SIZE = 256,
	ABI_CONTEXT_FRAMES = 64, /* of a stack */
	ABI_CONTEXT_PAGES = 64,
	ABI_CONTEXT_WALK = 24,
	ABI_CONTEXT_LOCKS = 256, /* one handler may hold */
	ABI_HELD_WRITING = 0x8000,
};

struct abi_context {
	/* written by the owning thread, at registration */
	uint64_t self; /* address in the owning process; 0: not in use, or session stopped
			*/
	uint64_t session; /* address of struct abi_session in the owning process */
	uint32_t slot;
	uint32_t claimed; /* atomic: 0 free, 1 taken */
	uint32_t pid, tid, ppid, uid, euid, gid, egid;
	uint32_t pgrp, sid; /* for handlers that run in the tracer only */
	uint32_t cpu_hint;
	char comm[16];

	/* handler state */
	uint32_t depth; /* 1 while a handler runs: nested hits are counted and skipped */
	uint32_t site;  /* site id of the running handler */
	/* 1 while a trampoline is on stack[], which is longer than depth: a hit in a signal handler must not use it
	 * then, and the frames there cannot have been left by longjmp */
	uint32_t stack_used, reserved;
	uint64_t depth_sp; /* stack pointer of that handler: tells a frame left by longjmp
			    */
	uint64_t stamp;    /* TSC of the first record of this handler run; 0 = none yet */
	uint64_t regs; /* struct abi_regs * of the running handler, address in the process
			*/
	uint64_t probe_sp; /* stack pointer of the program at the probe */
	uint64_t probe_ip; /* address of the probed instruction */
	uint64_t entered;  /* -t: TSC at the handler's start */

	uint32_t error; /* nonzero: error_text holds a script error nobody caught yet */
	uint32_t location;    /* index of the statement being run, for error messages */
	uint32_t scratch_top; /* bytes of scratch in use by script frames */
	uint32_t nesting;
	int64_t action_budget; /* statements left */
	uint32_t locks_held;   /* number of entries in held[] */
	uint32_t pair_top;
	uint32_t pair_limit;     /* beyond it the pairs are swept */
	uint32_t pair_dropped;   /* frames that may still return were thrown away */
	uint32_t pair_go_popped; /* index + 1 in the table of goroutines */
	uint32_t pair_reserved;
	uint16_t held[ABI_CONTEXT_LOCKS]; /* lock indexes, | ABI_HELD_WRITING */
	uint64_t call_argument;           /* of a call of the tracer: abi/call.h */

	char error_text[ABI_ERROR_SIZE];
	/* calls of script functions that the error has come through, the innermost first; none but
	 * while there is an error */
	uint32_t error_caller_count;
	uint32_t error_callers[ABI_RECORD_CALLERS]; /* as location */
	uint64_t tokenize_offset; /* tokenize(): position in tokenize_text */
	char tokenize_text[4096];
	/* the last =~ of scripts that ask for its groups: where each is in match_text */
	uint32_t match_groups; /* 0: it failed */
	uint16_t match_bounds[64];
	char match_text[4096];
	int64_t indent_depth; /* thread_indent() */
	int64_t indent_start; /* microseconds at its outermost call */
	uint64_t random_state;
	uint64_t drain; /* slot 0 only: void (*)(void) in the tracer, called when the ring
			   is full */

	struct abi_ask ask;
	uint32_t
		frame_count; /* of frames[], for this run of the handler; 0: not asked yet */
	uint64_t frames[ABI_CONTEXT_FRAMES];
	/* pages of the program that could be read, each at its number modulo their count: its address + 1 */
	uint64_t pages[ABI_CONTEXT_PAGES];
	struct abi_unwind_memo memos[ABI_UNWIND_MEMOS];
	uint64_t walk
		[ABI_CONTEXT_WALK]; /* of runtime/walk.c: the program's stack has little room */

	/* ring producer: only the owning thread writes; the consumer reads head with
	 * acquire */
	_Alignas(64) uint64_t ring_head;
	uint64_t ring_lost; /* records dropped because the ring was full */
	uint64_t ring_cached_tail;
	uint64_t ring_next; /* ring_head after the commit of the reserved record */
	_Alignas(64) uint64_t ring_tail; /* consumer */

	_Alignas(64) unsigned char stack[ABI_CONTEXT_STACK_SIZE];
	_Alignas(64) unsigned char scratch[ABI_CONTEXT_SCRATCH_SIZE];
	/* sharded counters and statistics follow; codegen gives their offsets from here. Behind
	 * them, at the session's pair_offset: entry values waiting for their return probe */
	_Alignas(64) unsigned char shards[];
};

/* top of the stack; the highest word is where the program's stack pointer waits */
#define ABI_CONTEXT_STACK_TOP \
	(offsetof(struct abi_context, stack) + ABI_CONTEXT_STACK_SIZE)
#define ABI_CONTEXT_SHARDS offsetof(struct abi_context, shards)
