/* SPDX-License-Identifier: MIT */
/*
 * Interrupted system calls.
 *
 * PTRACE_INTERRUPT wakes a blocked thread like a signal.  Most calls return one of the
 * kernel's -ERESTART codes, which the kernel resolves when the thread goes on: nothing to
 * do.  Some return plain -EINTR (signal(7), "Interruption of system calls ... by stop
 * signals"): there the call is rewound by hand to be issued again.
 *
 * A traced thread is also woken by signals that it ignores, which the kernel would have
 * thrown away at the source for an untraced one; those need the same repair.
 *
 * The other way round, a rewound call must not hide a real signal: when a handler is
 * about to run and the thread still stands where it was rewound to, the rewinding is
 * undone, so that the handler interrupts the call and the call returns -EINTR, as without
 * us.  (When the thread did run in between and came back to the very instruction, this
 * says the signal came a moment later than it did, which the program cannot tell.)
 */
#include <errno.h>
#include <sys/syscall.h>

#include "utrace/internal.h"

/* Calls that can return -EINTR to be issued again with the same arguments without loss:
 * they do so only if nothing has been transferred, submitted or taken yet.  Not close(),
 * not futex or nanosleep (the kernel restarts these). */
static bool is_reissuable(uint64_t number)
{
	switch (number) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read: /* inotify; sockets with a timeout */
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	case SYS_poll: /* these restart by themselves today; older kernels gave EINTR */
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_clock_nanosleep:
	case SYS_nanosleep:
		return true;
	default:
		return false;
	}
}

bool utrace_repair_interrupted_syscall(struct user_regs_struct *regs)
{
	if ((int64_t)regs->rax != -EINTR || (int64_t)regs->orig_rax < 0)
		return false;
	if (!is_reissuable(regs->orig_rax))
		return false;
	regs->rip -= 2; /* syscall: 0f 05 */
	regs->rax = regs->orig_rax;
	regs->orig_rax = UINT64_MAX;
	return true;
}

static bool rewind_call(struct utrace_task *task, struct user_regs_struct *regs)
{
	if (!utrace_repair_interrupted_syscall(regs))
		return false;
	task->rewound = (struct rewound_call){
		.active = true,
		.rip = regs->rip,
		.number = regs->rax,
	};
	return true;
}

void utrace_rewind_after_interrupt(struct utrace_task *task)
{
	struct user_regs_struct regs;
	if (ptrace_get_regs(task->tid, &regs) < 0)
		return;
	if (rewind_call(task, &regs) && ptrace_set_regs(task->tid, &regs) < 0)
		task->rewound.active = false; /* killed meanwhile */
}

void utrace_rewind_ignored_signal(struct utrace_task *task, struct user_regs_struct *regs)
{
	rewind_call(task, regs);
}

void utrace_unwind_for_handler(struct utrace_task *task, struct user_regs_struct *regs)
{
	const struct rewound_call *call = &task->rewound;
	if (!call->active)
		return;
	if (regs->rip == call->rip && regs->rax == call->number &&
		(int64_t)regs->orig_rax == -1) {
		regs->rip += 2;
		regs->orig_rax = regs->rax;
		regs->rax = (uint64_t)-EINTR;
	}
	task->rewound.active = false;
}
