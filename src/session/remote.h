/* SPDX-License-Identifier: MIT */
/*
 * Handlers that run in the tracer for a stopped thread: the same code as in the target, on a context
 * that stands for the thread, with its registers, its identity and (remotely) its memory.
 */
#pragma once

#include "elf/unwind.h"
#include "session/internal.h"

struct remote_probe {
	uint32_t site;
	pid_t pid, tid;
	struct abi_regs *regs; /* NULL: not known; guru scripts may change them */
	bool is_over; /* what /proc says of the thread is true no more, or of another program */
	uint64_t sp, ip;
	const struct elf_unwind_stack
		*stack; /* the thread runs on, but this was its stack; or NULL */
};

/** give a thread its context now, while /proc still knows the thread */
void session_remote_prepare(struct session *s, pid_t pid, pid_t tid);
void session_remote_call(struct session *s, const struct remote_probe *probe);
/** what was noted of the stack of the thread whose handler runs; NULL: its memory is as it was */
const struct elf_unwind_stack *session_remote_stack(void);
/* A thread at a breakpoint whose notice is a struct session_patch. */
struct remote_hit {
	struct uprobe_space *space;
	const struct session_patch *patch;
	const struct session_process *process;
	pid_t tid;
	struct user_regs_struct *regs;
};
/** run the handlers of the points that are there; they may change the registers */
void session_remote_hit(struct session *s, const struct remote_hit *hit);
/** the thread is gone, and what it said has been read */
void session_remote_forget(struct session *s, pid_t tid);
void session_remote_free(struct session *s);
/** registers as handlers see them */
void session_remote_regs(const struct user_regs_struct *from, struct abi_regs *ret);
/** and back, as a handler may have changed them */
void session_remote_set_regs(const struct abi_regs *from, struct user_regs_struct *ret);
