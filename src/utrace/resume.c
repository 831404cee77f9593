/* SPDX-License-Identifier: MIT */
/* Setting stopped tasks in motion, and letting them go. */
#include <errno.h>
#include <signal.h>

#include "utrace/internal.h"

void utrace_kick(struct utrace_task *task)
{
	if (task->interrupting || task->state == TASK_STOPPED ||
		task->state == TASK_EXITING)
		return;
	/* -ESRCH: dying; its exit is reported instead of a stop */
	if (ptrace_interrupt(task->tid) == 0)
		task->interrupting = true;
}

static int set_in_motion(struct utrace_task *task, enum utrace_resume_action how)
{
	int signal = task->signal;
	task->signal = 0;
	switch (how) {
	case UTRACE_SINGLESTEP:
		return ptrace_singlestep(task->tid, signal);
	case UTRACE_BLOCKSTEP:
		if (ptrace_singleblock(task->tid, signal) == 0)
			return 0;
		return ptrace_singlestep(task->tid, signal); /* no branch tracing here */
	case UTRACE_STOP:
	case UTRACE_INTERRUPT:
	case UTRACE_REPORT:
	case UTRACE_RESUME:
	case UTRACE_DETACH:
	case UTRACE_RESUME_MAX:
	default:
		return ptrace_cont(task->tid, signal);
	}
}

void utrace_resume(struct utrace_task *task)
{
	enum utrace_resume_action how = task->resume;
	if (task->detaching) {
		utrace_detach_stopped(task);
		return;
	}
	if (task->stop.stop == PTRACE_STOP_GROUP) {
		/* Job control goes on as if nobody traced: only SIGCONT lets it run. */
		task->state =
			ptrace_listen(task->tid) == 0 ? TASK_LISTENING : TASK_RUNNING;
		return;
	}
	bool interrupt = how == UTRACE_INTERRUPT;
	/* A request for a report at the next natural stop stays until that stop. */
	if (how != UTRACE_REPORT)
		task->resume = UTRACE_RESUME;
	task->state = task->stop.stop == PTRACE_STOP_EXIT ? TASK_EXITING : TASK_RUNNING;
	if (interrupt && task->state == TASK_RUNNING)
		utrace_kick(task);
	/* -ESRCH: SIGKILL took it out of its stop; the exit is on its way */
	(void)set_in_motion(task, how);
}

void utrace_settle(struct utrace_task *task)
{
	if (task->state != TASK_STOPPED || task->reporting || task->deferred ||
		task->embryo)
		return;
	if (!task->detaching && utrace_wants_stop(task))
		return;
	utrace_resume(task);
}

/* Signals that would run a handler as soon as the thread goes on. */
static bool has_handler_pending(pid_t tid)
{
	struct proc_status status;
	if (proc_read_status(tid, &status, NULL) < 0)
		return false;
	return status.sig_pending & ~status.sig_blocked & status.sig_caught;
}

/*
 * The kernel undoes the rest: a group-stopped thread stays stopped, a pending interrupt
 * is dropped. A rewound call with a handler due runs on to the signal-delivery-stop,
 * which un-rewinds and comes back here.
 */
void utrace_detach_stopped(struct utrace_task *task)
{
	if (task->rewound.active && task->stop.stop == PTRACE_STOP_INTERRUPT &&
		has_handler_pending(task->tid) && ptrace_cont(task->tid, 0) == 0) {
		task->state = TASK_RUNNING;
		return;
	}
	int signal = task->stop.stop == PTRACE_STOP_SIGNAL ? task->signal : 0;
	if (ptrace_detach(task->tid, signal) == 0)
		utrace_task_remove(task);
	else
		task->state = TASK_EXITING;
}

/* ---- for inject/
 * ------------------------------------------------------------------------------- */

static int defer(struct utrace_task *task, const struct ptrace_event *event)
{
	vec_append(&task->utrace->deferred, *event);
	task->deferred = true;
	raise(SIGCHLD); /* blocked: makes utrace_fd() readable */
	return -ESRCH;
}

int utrace_task_run(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret)
{
	if (task->state != TASK_STOPPED || task->deferred)
		return -ESRCH;
	if (how == UTRACE_RUN_INTERRUPT) {
		int r = ptrace_interrupt(task->tid);
		if (r < 0)
			return r;
	}
	int signal = task->signal;
	task->signal = 0;
	int r = how == UTRACE_RUN_SYSCALL ? ptrace_syscall(task->tid, signal)
					  : ptrace_cont(task->tid, signal);
	if (r < 0)
		return r;
	task->state = TASK_RUNNING;
	r = ptrace_wait(task->tid, true, ret);
	if (r < 0)
		return r == -ECHILD ? -ESRCH : r;
	if (ret->stop == PTRACE_STOP_EXITED || ret->stop == PTRACE_STOP_KILLED)
		return defer(task, ret);
	task->state = TASK_STOPPED;
	task->stop = *ret;
	if (ret->stop == PTRACE_STOP_INTERRUPT || ret->stop == PTRACE_STOP_GROUP) {
		task->interrupting = false;
		task->group_stopped = ret->stop == PTRACE_STOP_GROUP;
	}
	if (ret->stop == PTRACE_STOP_SIGNAL)
		task->signal = ret->value;
	if (ret->stop == PTRACE_STOP_EXIT)
		return defer(task, ret);
	return 0;
}

void utrace_drop_signal(struct utrace_task *task)
{
	task->signal = 0;
}

enum ptrace_stop utrace_task_stop(const struct utrace_task *task)
{
	return task->stop.stop;
}

int utrace_task_go(struct utrace_task *task, struct utrace_engine *engine)
{
	if (task->state != TASK_STOPPED || task->deferred)
		return -ESRCH;
	if (engine)
		engine->stop = false;
	task->held = false;
	utrace_resume(task);
	return 0;
}
