/* SPDX-License-Identifier: MIT */
/*
 * For inject/: driving a held task by hand.  Not part of libutrace's interface.  Tracer thread only.
 */
#pragma once

#include "base/error.h"
#include "ptrace/ptrace.h"
#include "utrace/utrace.h"

enum utrace_run {
	UTRACE_RUN_SYSCALL,   /* to the next syscall-entry or -exit-stop */
	UTRACE_RUN_INTERRUPT, /* to an event-stop before the next user instruction */
	UTRACE_RUN_STEP,      /* one instruction, also where a group-stop would go on */
};

/**
 * utrace_task_run() - resume a stopped task and wait for its next stop
 * Engines hear nothing of it, but of the end of an exec on the way to an event-stop, and the caller puts the
 * registers back.  Its death (also the exit-stop) is
 * left for the next utrace_dispatch() and gives -ESRCH.
 */
must_check int utrace_task_run(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret);

/** the signal a task in signal-delivery-stop would be resumed with is forgotten */
void utrace_drop_signal(struct utrace_task *task);

/** the kind of stop of a stopped task */
enum ptrace_stop utrace_task_stop(const struct utrace_task *task);

/** detaching does not wait for it nor wake it: the kernel lets go of it when the tracer's thread ends */
void utrace_task_leave(struct utrace_task *task);

/** in the entry-stop of a system call, which has not been made yet */
bool utrace_task_is_at_call(const struct utrace_task *task);

/** let a task run now, even from inside one of its callbacks; the calling engine holds it no more */
must_check int utrace_task_go(struct utrace_task *task, struct utrace_engine *engine);

/**
 * utrace_task_suspend_filters() - the seccomp filters of a stopped task are not asked, or are again
 * The kernel lets a tracer do so that has CAP_SYS_ADMIN and no filter itself (PTRACE_O_SUSPEND_SECCOMP), and
 * for no longer than it lives.  To be taken back before the program makes a call of its own.
 */
must_check int utrace_task_suspend_filters(struct utrace_task *task, bool suspend);

/**
 * utrace_task_return_to_call() - lead a stopped task back into the call that its stop has taken it out of
 * It makes that call again when it goes on.  A filter that has been put on meanwhile would be asked then, but
 * for us it would not have been: it is suspended until the call ends.
 * @filter_may_come: also without one, which could be put on before the task gets as far as its call
 * Return: 1: it is in the call, about to wait; 0: there is no such call, or no filter; negative: it cannot be done
 */
must_check int utrace_task_return_to_call(struct utrace_task *task, bool filter_may_come);
/** it was led there, goes on, and has not come out; it may not have begun to wait yet */
bool utrace_task_is_returned(const struct utrace_task *task);

/**
 * utrace_repair_interrupted_syscall() - undo an interruption that the program must not see
 * When PTRACE_INTERRUPT made a call return -EINTR that would not have (epoll_wait, semtimedop,
 * sigtimedwait, recv with a timeout, ...), rewind so that it is issued again.  The core does it at
 * every stop it caused.
 */
bool utrace_repair_interrupted_syscall(struct user_regs_struct *regs);
