/* SPDX-License-Identifier: MIT */
/*
 * What the engine core needs of the world below: requests on threads, statuses, a few files of /proc.
 * The rules of combination are tested over a simulated one (tests/unit/utrace/).
 */
#pragma once

#include "ptrace/ptrace.h"

enum utrace_motion {
	UTRACE_MOTION_CONT,
	UTRACE_MOTION_SYSCALL, /* to the next syscall-stop */
	UTRACE_MOTION_STEP,
	UTRACE_MOTION_BLOCK,
	UTRACE_MOTION_LISTEN, /* from a group-stop, which goes on */
	UTRACE_MOTION_DETACH,
};

/* Results are those of ptrace/ptrace.h.  -ESRCH: the thread is not stopped, which means killed. */
struct utrace_backend_ops {
	int (*seize)(pid_t tid, unsigned long options, struct error *err);
	int (*interrupt)(pid_t tid);
	int (*move)(pid_t tid, enum utrace_motion how, int signal);

	int (*wait)(pid_t tid, bool block, struct ptrace_event *ret);
	int (*peek_stop)(pid_t tid, struct ptrace_event *ret); /* 0: any */
	int (*take_stop)(pid_t tid, struct ptrace_event *ret);
	int (*peek)(bool block, struct ptrace_event *ret); /* tid 0: an exit */
	int (*peek_exit)(pid_t *ret_tid);

	int (*get_regs)(pid_t tid, struct user_regs_struct *ret);
	int (*set_regs)(pid_t tid, const struct user_regs_struct *regs);
	int (*get_siginfo)(pid_t tid, siginfo_t *ret);
	int (*set_siginfo)(pid_t tid, const siginfo_t *info);
	int (*get_sigmask)(pid_t tid, uint64_t *ret);
	int (*set_sigmask)(pid_t tid, uint64_t mask);
	int (*get_event_message)(pid_t tid, unsigned long *ret);
	int (*get_syscall_arch)(pid_t tid, uint32_t *ret);
	int (*get_regset)(pid_t tid, unsigned type, void *buffer, size_t *size);
	int (*set_regset)(pid_t tid, unsigned type, const void *buffer, size_t size);

	int (*read_memory)(pid_t tid, uint64_t address, void *bytes, size_t size);
	int (*write_memory)(pid_t tid, uint64_t address, const void *bytes, size_t size);
	int (*read_status)(pid_t tid, struct proc_status *ret);
	int (*read_stat)(pid_t tid, struct proc_stat *ret);
	int (*read_syscall)(pid_t pid, pid_t tid, struct proc_syscall *ret);
	int (*list_tasks)(pid_t pid, struct proc_tids *ret);
	int (*list_processes)(struct proc_tids *ret);
	bool (*is_thread)(pid_t pid, pid_t tid); /* is this a thread of that process? */
	/* info: si_signo and si_value are what arrives */
	int (*send_signal)(pid_t pid, pid_t tid, const siginfo_t *info);
};

extern const struct utrace_backend_ops utrace_ptrace_backend;
