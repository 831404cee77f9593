/* SPDX-License-Identifier: MIT */
/* Setting stopped tasks in motion, and letting them go. */
#include <errno.h>

#include "utrace/internal.h"

/* ---- interrupting ------------------------------------------------------------------------------- */

void utrace_kick(struct utrace_task *task)
{
	if (task->interrupting ||
		(task->state != TASK_RUNNING && task->state != TASK_LISTENING))
		return;
	if (!utrace_is_tracer(task->utrace)) {
		task->kick_due = true;
		utrace_queue(task);
		return;
	}
	/* -ESRCH: dying; its exit is reported instead of a stop */
	if (task->utrace->backend->interrupt(task->tid) == 0)
		task->interrupting = true;
}

void utrace_nudge(struct utrace_task *task)
{
	struct proc_syscall call;
	if (task->state == TASK_RUNNING &&
		task->utrace->backend->read_syscall(task->pid, task->tid, &call) == 0 &&
		call.running)
		utrace_kick(task);
}

/* ---- setting in motion -------------------------------------------------------------------------- */

static bool is_at_syscall_instruction(struct utrace_task *task)
{
	struct user_regs_struct regs;
	uint8_t code[2];
	if (utrace_regs_get(task, &regs) < 0 ||
		task->utrace->backend->read_memory(task->tid, regs.rip, code, 2) < 0)
		return false;
	return (code[0] == 0x0f &&
		       (code[1] == 0x05 || code[1] == 0x34)) || /* syscall, sysenter */
	       (code[0] == 0xcd && code[1] == 0x80);
}

static bool is_step(enum utrace_resume_action action)
{
	return action == UTRACE_SINGLESTEP || action == UTRACE_BLOCKSTEP;
}

/* A stepped thread does not stop at system calls: where an engine wants these, a step over one is a run
 * to its exit-stop. */
static enum utrace_motion pick_motion(struct utrace_task *task)
{
	bool at_entry = utrace_is_at_entry(task);
	bool traced = utrace_is_wanted(task, UTRACE_EVENT_SYSCALL);
	bool step = is_step(task->resume) || task->step_goes_on;
	if (task->filtered) /* its entry-stop was a seccomp-stop */
		traced = at_entry && utrace_is_wanted(task, UTRACE_EVENT(SYSCALL_EXIT));
	/* The report that was asked for comes at the end of the call. */
	if (at_entry && (task->resume == UTRACE_REPORT || task->call.disturbed))
		traced = true;
	task->step_over = step && traced && (at_entry || is_at_syscall_instruction(task));
	task->stepping = step;
	task->call_traced = traced;
	if (!step || task->step_over)
		return traced ? UTRACE_MOTION_SYSCALL : UTRACE_MOTION_CONT;
	task->call_traced = false;
	return task->resume == UTRACE_BLOCKSTEP ? UTRACE_MOTION_BLOCK
						: UTRACE_MOTION_STEP;
}

static int set_in_motion(struct utrace_task *task, enum utrace_motion how)
{
	int signal = task->signal;
	task->signal = 0;
	int r = utrace_move(task, how, signal);
	if (r < 0 && r != -ESRCH &&
		how == UTRACE_MOTION_BLOCK) /* no branch tracing here */
		r = utrace_move(task, UTRACE_MOTION_STEP, signal);
	return r;
}

/* The signal comes first, the stop after it: at the first instruction of its handler, or before the
 * next of the program. */
static enum utrace_motion pick_motion_for_signal(struct utrace_task *task)
{
	const struct utrace_backend_ops *backend = task->utrace->backend;
	struct proc_status status;
	uint64_t bit = 1ull << (task->signal - 1);
	task->act_first = false;
	task->step_over = false;
	task->call_traced = false;
	task->stepping =
		backend->read_status(task->tid, &status) == 0 && status.sig_caught & bit;
	return task->stepping ? UTRACE_MOTION_STEP : UTRACE_MOTION_CONT;
}

/* SIGKILL has brought it from the stop that we know of to its exit-stop, which would be passed over. */
static bool is_exit_unseen(const struct utrace_task *task)
{
	struct ptrace_event event;
	return task->stop.stop != PTRACE_STOP_EXIT &&
	       utrace_is_wanted(task, UTRACE_EVENT(EXIT)) &&
	       task->utrace->backend->peek_stop(task->tid, &event) > 0 &&
	       event.stop == PTRACE_STOP_EXIT;
}

void utrace_resume(struct utrace_task *task)
{
	enum utrace_motion how;
	if (task->detaching) {
		utrace_detach_stopped(task);
		return;
	}
	if (is_exit_unseen(task)) {
		utrace_wake(task->utrace);
		return;
	}
	utrace_pass_regs_flush(task);
	utrace_apply_abort(task);
	if (task->signal_due)
		utrace_hold_signal(task);
	if (task->stop.stop == PTRACE_STOP_GROUP) {
		/* Job control goes on as if nobody traced: only SIGCONT lets it run. */
		task->state = utrace_move(task, UTRACE_MOTION_LISTEN, 0) == 0
				      ? TASK_LISTENING
				      : TASK_RUNNING;
		return;
	}
	bool kick =
		task->resume == UTRACE_INTERRUPT ||
		(task->resume == UTRACE_REPORT && task->stop.stop == PTRACE_STOP_VFORK);
	if (task->act_first) {
		how = pick_motion_for_signal(task);
		kick = kick || how == UTRACE_MOTION_CONT;
	} else {
		how = pick_motion(task);
	}
	/* A report that was asked for stays so until it is made. */
	if (task->resume > UTRACE_REPORT)
		task->resume = UTRACE_RESUME;
	task->state = task->stop.stop == PTRACE_STOP_EXIT ? TASK_EXITING : TASK_RUNNING;
	if (kick)
		utrace_kick(task);
	/* -ESRCH: SIGKILL took it out of its stop; the exit is on its way */
	(void)set_in_motion(task, how);
	task->alternates = task->direction_known && how == UTRACE_MOTION_SYSCALL;
}

void utrace_settle(struct utrace_task *task)
{
	if (task->state != TASK_STOPPED || task->reporting || task->deferred ||
		task->embryo)
		return;
	if (!task->detaching && !task->act_first && !task->is_killed &&
		utrace_wants_stop(task))
		return;
	if (!utrace_is_tracer(task->utrace) ||
		(!task->act_first && utrace_is_pass_due(task)))
		utrace_queue(task);
	else
		utrace_resume(task);
}

/* Signals that would run a handler as soon as the thread goes on. */
static bool has_handler_pending(const struct utrace_task *task)
{
	struct proc_status status;
	if (task->utrace->backend->read_status(task->tid, &status) < 0)
		return false;
	return status.sig_pending & ~status.sig_blocked & status.sig_caught;
}

/*
 * The kernel undoes the rest: a group-stopped thread stays stopped, a pending interrupt is dropped.  A
 * rewound call with a handler due runs on to the signal-delivery-stop, which un-rewinds and comes back
 * here.  A call that is about to end because we interrupted it runs to its end, to be repaired there.
 */
void utrace_detach_stopped(struct utrace_task *task)
{
	utrace_apply_abort(task);
	if (task->rewound.active &&
		(task->stop.stop == PTRACE_STOP_INTERRUPT ||
			task->stop.stop == PTRACE_STOP_SYSCALL) &&
		has_handler_pending(task) &&
		utrace_move(task, UTRACE_MOTION_CONT, 0) == 0) {
		task->state = TASK_RUNNING;
		return;
	}
	if (utrace_is_at_entry(task) && task->call.disturbed &&
		utrace_move(task, UTRACE_MOTION_SYSCALL, 0) == 0) {
		task->state = TASK_RUNNING;
		return;
	}
	if (task->signal_due)
		task->signal = task->info.si_signo;
	int signal = task->in_delivery ? task->signal : 0;
	if (task->filtered) { /* killed: to be reaped */
		(void)utrace_move(task, UTRACE_MOTION_CONT, 0);
		task->state =
			task->stop.stop == PTRACE_STOP_EXIT ? TASK_EXITING : TASK_RUNNING;
		return;
	}
	if (utrace_move(task, UTRACE_MOTION_DETACH, signal) == 0)
		utrace_task_remove(task);
	else
		task->state = TASK_EXITING;
}
