/* SPDX-License-Identifier: MIT */
/*
 * From stops to callbacks.
 *
 * Each stop becomes one event, and each event one pass over the engines, in attach order; the smallest
 * resume action wins; a STOP return stays with its engine until that engine says otherwise.  What was
 * asked for before the thread goes on in user mode becomes one more pass, for event 0, made in the
 * same ptrace-stop.
 *
 * Callbacks may dispatch (utrace_wait_stopped(), inject/), so reports nest: engines are unlinked only
 * when the outermost report of their task is over, and at its end the task is resumed from the stop it
 * is in by then, which need not be the one the report began with.
 */
#include <errno.h>

#include "utrace/internal.h"

/* ---- one pass ----------------------------------------------------------------------------------- */

void utrace_report_begin(
	struct report *report, struct utrace_task *task, unsigned long event)
{
	*report = (struct report){.task = task,
		.event = event,
		.number = ++task->utrace->reports,
		.action = UTRACE_RESUME,
		.resume_action = UTRACE_RESUME};
	task->references++;
	task->reporting++;
	/* As in the kernel: what was asked for is this, or is to be asked for in it again.  Signals are
	 * reported besides. */
	if (event & ~UTRACE_EVENT_SIGNAL_ALL && task->resume > UTRACE_INTERRUPT)
		task->resume = UTRACE_RESUME;
}

void utrace_report_end(struct report *report, bool will_stop)
{
	struct utrace_task *task = report->task;
	uint32_t action = report->action;
	if (action == UTRACE_STOP)
		action = will_stop ? report->resume_action : UTRACE_REPORT;
	if (action < task->resume)
		task->resume = action;
	if (--task->reporting == 0)
		utrace_engines_purge(task);
	utrace_task_unref(task);
}

bool utrace_report_reaches(
	const struct report *report, const struct utrace_engine *engine)
{
	return !engine->detached && engine->attached_at < report->number;
}

void utrace_call_begin(struct report *report, struct utrace_engine *engine)
{
	struct utrace *utrace = report->task->utrace;
	report->outer = utrace->current;
	utrace->current = report->task;
	engine->running++;
	utrace_unlock(utrace);
}

static void take_answer(
	struct report *report, struct utrace_engine *engine, uint32_t answer)
{
	uint32_t action = answer & UTRACE_RESUME_MASK;
	if (action >= UTRACE_DETACH) {
		engine->detached = true;
		engine->stop = false;
		return;
	}
	if (report->is_last && (action == UTRACE_INTERRUPT || action == UTRACE_REPORT))
		action = UTRACE_RESUME;
	engine->stop = action == UTRACE_STOP || (report->by_hand && engine->stop);
	if (action < report->action)
		report->action = action;
	if (action != UTRACE_STOP && action < report->resume_action)
		report->resume_action = action;
}

void utrace_call_end(struct report *report, struct utrace_engine *engine, uint32_t answer)
{
	struct utrace *utrace = report->task->utrace;
	utrace_lock(utrace);
	engine->running--;
	utrace->current = report->outer;
	utrace_pass_regs_flush(report->task);
	/* detached by somebody meanwhile: what it says does not count any more */
	if (!engine->detached)
		take_answer(report, engine, answer);
}

static uint32_t call_quiesce(struct report *report, struct utrace_engine *engine)
{
	utrace_call_begin(report, engine);
	uint32_t answer =
		engine->ops->report_quiesce(report->action, engine, report->event);
	utrace_call_end(report, engine, answer);
	return answer;
}

bool utrace_report_prepare(struct report *report, struct utrace_engine *engine)
{
	if (!utrace_report_reaches(report, engine))
		return false;
	if (engine->events & UTRACE_EVENT(QUIESCE) && engine->ops->report_quiesce)
		call_quiesce(report, engine);
	if (engine->detached)
		return false;
	if (engine->stop)
		report->action = UTRACE_STOP;
	return engine->events & report->event;
}

/* ---- job control, interrupts -------------------------------------------------------------------- */

/* The parent is told when the last thread stops, and when the first continues. */
static bool are_others_stopped(const struct utrace_task *task)
{
	struct utrace_task *other = utrace_first(task->utrace, task->pid);
	for (; other; other = utrace_next(other, task->pid)) {
		if (other != task && !other->group_stopped &&
			other->state != TASK_EXITING)
			return false;
	}
	return true;
}

static void report_jctl(struct utrace_task *task, int type)
{
	struct report report;
	struct utrace_engine *engine;
	if (!utrace_is_wanted(task, UTRACE_EVENT(JCTL)))
		return;
	int notify = are_others_stopped(task) ? type : 0;
	utrace_report_begin(&report, task, UTRACE_EVENT(JCTL));
	DL_FOREACH(task->engines, engine)
	{
		if (!utrace_report_prepare(&report, engine) || !engine->ops->report_jctl)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t answer =
			engine->ops->report_jctl(report.action, engine, type, notify);
		utrace_call_end(&report, engine, answer);
	}
	utrace_report_end(&report, false);
}

static void handle_event_stop(struct utrace_task *task)
{
	bool group = task->stop.stop == PTRACE_STOP_GROUP;
	bool was_group = task->group_stopped;
	task->call.inside = false;
	task->group_stopped = group;
	if (group && !was_group)
		report_jctl(task, CLD_STOPPED);
	else if (!group && was_group)
		report_jctl(task, CLD_CONTINUED);
	else if (!group) /* ours, or for a SIGCONT that found it running */
		utrace_rewind_after_interrupt(task);
}

/* ---- exit, death -------------------------------------------------------------------------------- */

static void handle_exit_stop(struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	struct report report;
	struct utrace_engine *engine;
	struct proc_stat stat;
	unsigned long message = 0;
	if (utrace->backend->get_event_message(task->tid, &message) < 0)
		return;
	task->is_killed = (message & 0x7f) == SIGKILL;
	if (task->tid == task->pid && utrace_is_wanted(task, UTRACE_EVENT(DEATH)) &&
		utrace->backend->read_stat(task->tid, &stat) == 0)
		task->exit_signal = stat.exit_signal;
	if (!utrace_is_wanted(task, UTRACE_EVENT(EXIT)))
		return;
	long code = (long)message;
	utrace_report_begin(&report, task, UTRACE_EVENT(EXIT));
	DL_FOREACH(task->engines, engine)
	{
		if (!utrace_report_prepare(&report, engine) || !engine->ops->report_exit)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t answer = engine->ops->report_exit(
			report.action, engine, (long)message, &code);
		utrace_call_end(&report, engine, answer);
	}
	utrace_report_end(&report, true);
}

static void report_death(struct report *report, bool group_dead)
{
	struct utrace_task *task = report->task;
	struct utrace_engine *engine;
	int signal = task->tid == task->pid ? task->exit_signal : -1;
	DL_FOREACH(task->engines, engine)
	{
		if (!(engine->events & UTRACE_DEATH_EVENTS) ||
			!utrace_report_prepare(report, engine) ||
			!engine->ops->report_death)
			continue;
		utrace_call_begin(report, engine);
		uint32_t answer = engine->ops->report_death(engine, group_dead, signal);
		utrace_call_end(report, engine,
			(answer & UTRACE_RESUME_MASK) == UTRACE_DETACH ? UTRACE_DETACH
								       : UTRACE_RESUME);
	}
}

static void report_reap(struct report *report)
{
	struct utrace_task *task = report->task;
	struct utrace_engine *engine;
	task->is_reaped = true;
	DL_FOREACH(task->engines, engine)
	{
		if (engine->detached || !(engine->events & UTRACE_EVENT(REAP)) ||
			!engine->ops->report_reap)
			continue;
		utrace_call_begin(report, engine);
		engine->ops->report_reap(engine, task);
		utrace_call_end(report, engine, UTRACE_DETACH);
	}
}

/* A process that was not seized as a whole may have threads that are not in the table. */
static bool is_group_dead(const struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	struct proc_tids list;
	if (utrace_first(utrace, task->pid))
		return false;
	if (task->tid == task->pid || utrace->backend->list_tasks(task->pid, &list) < 0)
		return true;
	bool is_dead = true;
	for (size_t i = 0; i < list.tids.count && is_dead; i++) {
		struct proc_stat stat;
		is_dead = utrace->backend->read_stat(list.tids.items[i], &stat) < 0 ||
			  stat.state == 'Z' || stat.state == 'X';
	}
	vec_free(&list.tids);
	return is_dead;
}

void utrace_handle_exit(struct utrace_task *task, const struct ptrace_event *event)
{
	struct utrace *utrace = task->utrace;
	struct report report;
	if (task->state == TASK_DEAD)
		return;
	task->state = TASK_DEAD;
	task->stop = *event;
	task->references++;
	HASH_DEL(utrace->tasks, task); /* the tid may be used again from now on */
	bool group_dead = is_group_dead(task);
	utrace_report_begin(&report, task, UTRACE_EVENT(DEATH));
	report_death(&report, group_dead);
	report_reap(&report);
	utrace_report_end(&report, true);
	utrace_task_remove(task);
	utrace_task_unref(task);
	if (group_dead)
		utrace_adopt_orphans(utrace);
}

static void enter_stop(struct utrace_task *task, const struct ptrace_event *event)
{
	/* A step that led into the kernel is not over. */
	task->step_goes_on = task->stepping && event->stop != PTRACE_STOP_SIGNAL &&
			     event->stop != PTRACE_STOP_INTERRUPT &&
			     event->stop != PTRACE_STOP_GROUP;
	task->state = TASK_STOPPED;
	task->stop = *event;
	task->stops++;
	/* Whatever it stops for ends an interruption that is on its way, unless that came later: the
	 * kernel does not tell (kernel/signal.c, ptrace_stop(): "any trap clears pending STOP trap").
	 * A second event-stop does no harm. */
	task->was_interrupting = task->interrupting;
	task->interrupting = false;
	task->signal = 0;
	task->deferred = false;
	task->direction_known = false;
	task->signal_due = false;
	task->in_delivery = false;
	task->parked = false;
	task->act_first = false;
}

/* ---- exec --------------------------------------------------------------------------------------- */

/* The thread that calls exec becomes the leader and takes its tid; the old leader vanishes without a
 * status of its own. */
static void take_leader_tid(struct utrace_task *leader, pid_t former_tid)
{
	struct utrace *utrace = leader->utrace;
	struct utrace_task *caller = utrace_lookup(utrace, former_tid);
	if (!caller || caller == leader)
		return;
	struct ptrace_event stop = leader->stop;
	struct ptrace_event gone = {.tid = leader->tid, .stop = PTRACE_STOP_EXITED};
	caller->references++;
	leader->exit_signal = -1; /* nobody is told */
	utrace_handle_exit(leader, &gone);
	if (caller->state != TASK_DEAD) {
		HASH_DEL(utrace->tasks, caller);
		caller->tid = stop.tid;
		caller->pid = stop.tid;
		enter_stop(caller, &stop);
		HASH_ADD(hh, utrace->tasks, tid, sizeof(caller->tid), caller);
	}
	utrace_task_unref(caller);
}

static void report_exec(struct utrace_task *task, pid_t former_tid)
{
	struct report report;
	struct utrace_engine *engine;
	if (!utrace_is_wanted(task, UTRACE_EVENT(EXEC)))
		return;
	utrace_report_begin(&report, task, UTRACE_EVENT(EXEC));
	DL_FOREACH(task->engines, engine)
	{
		if (!utrace_report_prepare(&report, engine) || !engine->ops->report_exec)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t answer =
			engine->ops->report_exec(report.action, engine, former_tid);
		utrace_call_end(&report, engine, answer);
	}
	utrace_report_end(&report, false);
}

/* Return: the task that goes on under this tid; NULL: none. */
static struct utrace_task *handle_exec(struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	unsigned long former = 0;
	pid_t tid = task->tid;
	if (utrace->backend->get_event_message(tid, &former) == 0 && former &&
		(pid_t)former != tid) {
		take_leader_tid(task, (pid_t)former);
		task = utrace_lookup(utrace, tid);
		if (!task || task->state != TASK_STOPPED)
			return NULL;
	}
	task->rewound.active = false;
	task->references++;
	report_exec(task, (pid_t)former);
	return task;
}

/* ---- passes that were asked for ----------------------------------------------------------------- */

/* Stops from which the thread goes back to user mode. */
static bool is_boundary(const struct utrace_task *task)
{
	switch (task->stop.stop) {
	case PTRACE_STOP_SIGNAL:
	case PTRACE_STOP_GROUP:
	case PTRACE_STOP_INTERRUPT:
	case PTRACE_STOP_CLONE:
	case PTRACE_STOP_FORK:
	case PTRACE_STOP_EXEC:
		return true;
	case PTRACE_STOP_SYSCALL:
		return !task->call.inside;
	case PTRACE_STOP_EXITED:
	case PTRACE_STOP_KILLED:
	case PTRACE_STOP_EXIT:
	case PTRACE_STOP_VFORK: /* it waits for its child first */
	case PTRACE_STOP_VFORK_DONE:
	case PTRACE_STOP_SECCOMP:
	case PTRACE_STOP_UNKNOWN:
	default:
		return false;
	}
}

bool utrace_is_pass_due(const struct utrace_task *task)
{
	if (task->detaching)
		return false;
	if (task->signal_due)
		return true;
	if (task->resume > UTRACE_REPORT)
		return false;
	/* From here it goes nowhere before SIGCONT; who wants to hold it here is asked. */
	if (task->stop.stop == PTRACE_STOP_GROUP && !utrace_wants_stop(task))
		return false;
	return utrace_is_at_entry(task) ? task->call.held : is_boundary(task);
}

void utrace_make_pass(struct utrace_task *task)
{
	if (task->signal_due)
		utrace_handle_signal(task);
	else if (utrace_is_at_entry(task))
		utrace_repeat_entry(task);
	else
		utrace_boundary_pass(task,
			task->resume == UTRACE_INTERRUPT ? PASS_REPORT : PASS_QUIESCE);
}

/* ---- one stop ----------------------------------------------------------------------------------- */

static void report_stop(struct utrace_task *task)
{
	switch (task->stop.stop) {
	case PTRACE_STOP_SIGNAL:
		utrace_handle_signal(task);
		break;
	case PTRACE_STOP_GROUP:
	case PTRACE_STOP_INTERRUPT:
		handle_event_stop(task);
		break;
	case PTRACE_STOP_CLONE:
	case PTRACE_STOP_FORK:
	case PTRACE_STOP_VFORK:
		utrace_handle_clone(task);
		break;
	case PTRACE_STOP_EXIT:
		handle_exit_stop(task);
		break;
	case PTRACE_STOP_SYSCALL:
		utrace_handle_syscall(task);
		break;
	case PTRACE_STOP_SECCOMP:
		utrace_handle_seccomp(task);
		break;
	case PTRACE_STOP_EXEC:
	case PTRACE_STOP_EXITED:
	case PTRACE_STOP_KILLED:
	case PTRACE_STOP_VFORK_DONE:
	case PTRACE_STOP_UNKNOWN:
		break;
	}
}

void utrace_handle_stop(struct utrace *utrace, const struct ptrace_event *event)
{
	struct utrace_task *task = utrace_lookup(utrace, event->tid);
	if (!task) {
		utrace_add_embryo(utrace, event);
		return;
	}
	/* the same a moment later (utrace_add_embryo()) */
	if (event->stop == PTRACE_STOP_EXIT)
		task->embryo = false;
	enter_stop(task, event);
	uint64_t stop = task->stops;
	if (event->stop == PTRACE_STOP_EXEC && !task->detaching) {
		task = handle_exec(task);
		if (!task)
			return;
		stop = task->stops;
	} else {
		task->references++;
		report_stop(task);
	}
	/* One pass here; what that asks for has its turn in the next dispatch. */
	if (task->state == TASK_STOPPED && task->stops == stop && !task->signal_due &&
		!task->act_first && !utrace_is_at_entry(task) && utrace_is_pass_due(task))
		utrace_make_pass(task);
	utrace_settle(task);
	utrace_task_unref(task);
}
