/* SPDX-License-Identifier: MIT */
/* Driving a held task by hand. */
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "utrace/internal.h"

enum {
	WAIT_SLICE_MS = 10
};

static int defer(struct utrace_task *task, const struct ptrace_event *event)
{
	utrace_defer(task, event);
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
 * Not a blocking waitpid(): the status of a leader that dies before its threads is held back until these
 * are reaped, and nobody does that while we are in here.
 */
static int wait_for_stop(struct utrace_task *task, struct ptrace_event *ret)
{
	const struct utrace_backend_ops *backend = task->utrace->backend;
	bool drained = false, is_zombie = false;
	int r;
	while ((r = backend->wait(task->tid, false, ret)) == 0 && !is_zombie) {
		struct proc_stat stat;
		wait_for_child_signal(task->utrace, &drained);
		r = backend->wait(task->tid, false, ret);
		if (r != 0)
			break;
		is_zombie = backend->read_stat(task->tid, &stat) < 0 || stat.state == 'Z';
	}
	if (drained) { /* it tells of the others still */
		utrace_wake(task->utrace);
		utrace_wake_siblings(task->utrace);
	}
	return r;
}

/* The stop that came is the task's now.  -ESRCH: it is the end, to be reported. */
static int take_stop(struct utrace_task *task, const struct ptrace_event *event)
{
	if (event->stop == PTRACE_STOP_EXITED || event->stop == PTRACE_STOP_KILLED)
		return defer(task, event);
	task->state = TASK_STOPPED;
	task->stop = *event;
	task->stops++;
	task->call.inside = false;
	task->direction_known = false;
	task->signal_due = false;
	task->in_delivery = event->stop == PTRACE_STOP_SIGNAL;
	task->interrupting = false;
	if (event->stop == PTRACE_STOP_INTERRUPT || event->stop == PTRACE_STOP_GROUP)
		task->group_stopped = event->stop == PTRACE_STOP_GROUP;
	if (event->stop == PTRACE_STOP_SIGNAL)
		task->signal = event->value;
	return event->stop == PTRACE_STOP_EXIT ? defer(task, event) : 0;
}

/* From its exec on, to an event-stop: the end of that call lies in between, and is reported. */
static bool is_exec_to_end(const struct utrace_task *task, enum utrace_run how)
{
	return how == UTRACE_RUN_INTERRUPT && task->stop.stop == PTRACE_STOP_EXEC &&
	       utrace_is_wanted(task, UTRACE_EVENT(SYSCALL_EXIT)) &&
	       (!task->filtered || task->call_traced);
}

static enum utrace_motion pick_motion(enum utrace_run how, bool to_end)
{
	if (how == UTRACE_RUN_STEP)
		return UTRACE_MOTION_STEP;
	return how == UTRACE_RUN_SYSCALL || to_end ? UTRACE_MOTION_SYSCALL
						   : UTRACE_MOTION_CONT;
}

int utrace_run_locked(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret)
{
	bool again, to_end = is_exec_to_end(task, how);
	const struct utrace_backend_ops *backend = task->utrace->backend;
	if (task->state != TASK_STOPPED || task->deferred ||
		task->stop.stop == PTRACE_STOP_EXIT)
		return -ESRCH;
	utrace_pass_regs_flush(task);
	utrace_apply_abort(task);
	if (task->signal_due)
		utrace_hold_signal(task);
	int r;
	do {
		r = how == UTRACE_RUN_INTERRUPT ? backend->interrupt(task->tid) : 0;
		if (r < 0)
			return r;
		int signal = task->signal;
		task->signal = 0;
		r = utrace_move(task, pick_motion(how, to_end), signal);
		if (r < 0)
			return r;
		task->state = TASK_RUNNING;
		r = wait_for_stop(task, ret);
		if (r == 0)
			task->state = TASK_EXITING;
		if (r <= 0)
			return r == 0 || r == -ECHILD ? -ESRCH : r;
		r = take_stop(task, ret);
		/* The filter that the program was launched with stops for our calls too. */
		again = task->filtered && ret->stop == PTRACE_STOP_SECCOMP;
		if (r == 0 && to_end && ret->stop == PTRACE_STOP_SYSCALL) {
			again = true;
			r = utrace_report_end_of_exec(task);
		}
		to_end = false;
	} while (r == 0 && again);
	utrace_pass_regs_reread(task);
	return r;
}

int utrace_task_run(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret)
{
	struct utrace *utrace = task->utrace;
	utrace_lock(utrace);
	int r = utrace_run_locked(task, how, ret);
	utrace_unlock(utrace);
	return r;
}

void utrace_drop_signal(struct utrace_task *task)
{
	task->signal = 0;
}

enum ptrace_stop utrace_task_stop(const struct utrace_task *task)
{
	return task->stop.stop;
}

bool utrace_task_is_at_call(const struct utrace_task *task)
{
	return task->state == TASK_STOPPED && utrace_is_at_entry(task);
}

int utrace_task_go(struct utrace_task *task, struct utrace_engine *engine)
{
	struct utrace *utrace = task->utrace;
	int r = -ESRCH;
	utrace_lock(utrace);
	if (task->state == TASK_STOPPED && !task->deferred) {
		if (engine)
			engine->stop = false;
		task->held = false;
		task->act_first = false;
		utrace_resume(task);
		r = 0;
	}
	utrace_unlock(utrace);
	return r;
}

/* It re-traps at once: in its group-stop, or past it when SIGCONT came first, which is to be reported. */
void utrace_hold_listening(struct utrace_task *task)
{
	struct ptrace_event event;
	if (task->utrace->backend->interrupt(task->tid) < 0)
		return;
	task->interrupting = true;
	if (wait_for_stop(task, &event) <= 0)
		return;
	bool group = event.stop == PTRACE_STOP_GROUP;
	if (event.stop == PTRACE_STOP_EXITED || event.stop == PTRACE_STOP_KILLED) {
		utrace_defer(task, &event);
		return;
	}
	bool was_group = task->group_stopped;
	(void)!take_stop(task, &event);
	task->group_stopped = was_group;
	if (!group && event.stop != PTRACE_STOP_EXIT)
		utrace_defer(task, &event);
}
