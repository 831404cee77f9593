/* SPDX-License-Identifier: MIT */
/* Setting stopped tasks in motion, and letting them go. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "utrace/internal.h"

enum {
	WAIT_SLICE_MS = 10
};

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

static void wait_for_child_signal(struct utrace *utrace, bool *ret_drained)
{
	struct signalfd_siginfo info;
	struct pollfd fd = {.fd = utrace->signal_fd, .events = POLLIN};
	/* In slices: the signal may have told of an event that came before. */
	if (poll(&fd, 1, WAIT_SLICE_MS) > 0 &&
		read(utrace->signal_fd, &info, sizeof(info)) > 0)
		*ret_drained = true;
}

/*
 * Not a blocking waitpid(): the status of a leader that dies before its threads is held back
 * until these are reaped, and nobody does that while we are in here.
 */
static int wait_for_stop(struct utrace_task *task, struct ptrace_event *ret)
{
	bool drained = false, is_zombie = false;
	int r;
	while ((r = ptrace_wait(task->tid, false, ret)) == 0 && !is_zombie) {
		struct proc_stat stat;
		wait_for_child_signal(task->utrace, &drained);
		r = ptrace_wait(task->tid, false, ret);
		if (r != 0)
			break;
		is_zombie = proc_read_stat(task->tid, &stat) < 0 || stat.state == 'Z';
	}
	if (drained)
		raise(SIGCHLD); /* blocked: utrace_fd() tells of the others still */
	return r;
}

int utrace_task_run(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret)
{
	if (task->state != TASK_STOPPED || task->deferred ||
		task->stop.stop == PTRACE_STOP_EXIT)
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
	r = wait_for_stop(task, ret);
	if (r == 0)
		task->state = TASK_EXITING;
	if (r <= 0)
		return r == 0 || r == -ECHILD ? -ESRCH : r;
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
