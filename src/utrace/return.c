/* SPDX-License-Identifier: MIT */
/*
 * Back into a call, past a filter that was not there when it began.
 *
 * A thread that waits in a call is not looked at by a seccomp filter that another thread puts on for all.  One
 * that we have taken out of its call makes it again, and is.  The kernel takes note of whether there are
 * filters before the entry-stop, and asks them after it, so nothing that is done there helps; but it can be told not
 * to ask (PTRACE_O_SUSPEND_SECCOMP).  That holds until the exit-stop of this one call.
 */
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "utrace/internal.h"
#include "utrace/options.h"

enum {
	RESTARTSYS = 512, /* and three more, to 514 */
	RESTARTNOHAND = 514,
	RESTART_RESTARTBLOCK = 516,
	STOPS_MAX = 64 /* on the way to an entry-stop */
};

#define BIT(signal) (1ull << ((signal)-1))
/* Raised by the thread's own instructions; forcing a blocked one would reset its action. */
#define SYNCHRONOUS                                                              \
	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | \
		BIT(SIGSYS))

int utrace_task_suspend_filters(struct utrace_task *task, bool suspend)
{
	/* a program that was launched with a filter of ours has other options, and needs this not */
	if (task->filtered)
		return -EINVAL;
	return ptrace_set_options(task->tid,
		UTRACE_PTRACE_OPTIONS | (suspend ? PTRACE_O_SUSPEND_SECCOMP : 0));
}

/* What the call makes would have its filters suspended, too. */
static bool makes_tasks(uint64_t number)
{
	switch (number) {
	case SYS_clone:
	case SYS_clone3:
	case SYS_fork:
	case SYS_vfork:
	case SYS_execve:
	case SYS_execveat:
		return true;
	default:
		return false;
	}
}

static bool is_out_of_call(
	const struct utrace_task *task, const struct user_regs_struct *regs)
{
	const struct rewound_call *call = &task->rewound;
	int64_t code = -(int64_t)regs->rax;

	if ((int64_t)regs->orig_rax < 0)
		return call->active && regs->rip == call->rip &&
		       regs->rax == call->number && !makes_tasks(call->number);
	return ((code >= RESTARTSYS && code <= RESTARTNOHAND) ||
		       code == RESTART_RESTARTBLOCK) &&
	       !makes_tasks(regs->orig_rax);
}

static bool is_filtered(struct utrace_task *task)
{
	struct proc_status status;

	return task->utrace->backend->read_status(task->tid, &status) == 0 &&
	       status.seccomp;
}

static int run_to_entry(struct utrace_task *task)
{
	struct ptrace_event event;

	for (int i = 0; i < STOPS_MAX; i++) {
		int r = utrace_task_run(task, UTRACE_RUN_SYSCALL, &event);
		if (r < 0)
			return r;
		if (event.stop == PTRACE_STOP_SYSCALL)
			return 0;
		if (event.stop != PTRACE_STOP_INTERRUPT)
			break; /* what has come is dealt with first */
	}
	return -EINTR;
}

/* With signals blocked: each would end the call before it has begun. */
static int enter(struct utrace_task *task)
{
	uint64_t mask;
	int r = ptrace_get_sigmask(task->tid, &mask);

	if (r == 0)
		r = ptrace_set_sigmask(task->tid, mask | ~SYNCHRONOUS);
	if (r < 0)
		return r;
	r = run_to_entry(task);
	int back = r == -ESRCH ? 0 : ptrace_set_sigmask(task->tid, mask);
	return r < 0 ? r : back;
}

static uint32_t end_call(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct utrace_task *task = utrace_engine_task(engine);

	if (!task)
		return UTRACE_DETACH;
	task->is_returned = false;
	/* -ESRCH: killed, and makes no more calls */
	(void)!utrace_task_suspend_filters(task, false);
	return UTRACE_DETACH;
}

static int watch_end(struct utrace_task *task)
{
	static const struct utrace_engine_ops ops = {.report_syscall_exit = end_call};
	struct utrace_engine *engine;
	int r = utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine);

	if (r < 0)
		return r;
	r = utrace_set_events(task, engine, UTRACE_EVENT(SYSCALL_EXIT));
	if (r < 0)
		(void)!utrace_control(task, engine, UTRACE_DETACH);
	utrace_engine_put(engine);
	return r;
}

/* Of calls that engines hear of both ends are reported when they are made again. */
static bool may_return(struct utrace_task *task, bool filter_may_come)
{
	struct user_regs_struct regs;

	return utrace_task_stop(task) == PTRACE_STOP_INTERRUPT &&
	       utrace_get_regs(task, &regs) == 0 && is_out_of_call(task, &regs) &&
	       (is_filtered(task) || (filter_may_come && !utrace_is_wanted(task,
								 UTRACE_EVENT_SYSCALL)));
}

int utrace_task_return_to_call(struct utrace_task *task, bool filter_may_come)
{
	if (!may_return(task, filter_may_come))
		return 0;
	int r = utrace_task_suspend_filters(task, true);
	if (r < 0)
		return r;
	r = enter(task);
	bool is_past = r == 0 && !is_filtered(task); /* one that comes now is too late */
	if (r == 0 && !is_past)
		r = watch_end(task);
	if (r < 0 || is_past)
		(void)!utrace_task_suspend_filters(task, false);
	if (r < 0)
		return r;
	task->is_returned = !is_past;
	return 1;
}

bool utrace_task_is_returned(const struct utrace_task *task)
{
	return task->is_returned && task->state == TASK_RUNNING;
}
