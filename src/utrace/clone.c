/* SPDX-License-Identifier: MIT */
/*
 * New tasks.  The kernel seizes them by itself.  A new one starts with an event-stop, which may be seen
 * before the event of its creator: until then it is an embryo, and waits.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "utrace/internal.h"

enum {
	ORPHAN_MS = 2000 /* until a report that has not come is not waited for */
};

void utrace_add_embryo(struct utrace *utrace, const struct ptrace_event *event)
{
	struct proc_status status = {.tgid = event->tid};
	/* Killed before its first instruction: nobody is told of it.  Its creator may be dead, too, and as a
	 * thread of the same process would hold it up for ever. */
	if (event->stop == PTRACE_STOP_EXIT) {
		if (utrace->backend->move(event->tid, UTRACE_MOTION_CONT, 0) == 0 &&
			utrace->peeked.tid == event->tid)
			utrace->peeked.tid = 0;
		return;
	}
	if (utrace->backend->read_status(event->tid, &status) < 0)
		status.tgid = event->tid;
	pid_t pid = status.tgid;
	struct utrace_task *task = utrace_task_create(utrace, event->tid, pid);
	task->embryo = true;
	task->born_to = status.ppid;
	task->born_at = utrace_now_ms();
	utrace->orphans_due = task->born_at + ORPHAN_MS + 1;
	task->state = TASK_STOPPED;
	task->stop = *event;
	task->stops = 1;
}

static unsigned long read_clone_flags(
	struct utrace_task *parent, const struct utrace_task *child)
{
	struct user_regs_struct regs;
	bool is_vfork = parent->stop.stop == PTRACE_STOP_VFORK;
	unsigned long guess = child->pid == parent->pid
				      ? CLONE_VM | CLONE_THREAD | CLONE_SIGHAND
				      : SIGCHLD | (is_vfork ? CLONE_VM | CLONE_VFORK : 0);
	if (utrace_regs_get(parent, &regs) < 0)
		return guess;
	if (regs.orig_rax == SYS_clone)
		return regs.rdi;
	if (regs.orig_rax == SYS_fork)
		return SIGCHLD;
	if (regs.orig_rax == SYS_vfork)
		return CLONE_VM | CLONE_VFORK | SIGCHLD;
	if (regs.orig_rax != SYS_clone3)
		return guess;
	struct clone_args args;
	size_t known = offsetof(struct clone_args, stack);
	if (parent->utrace->backend->read_memory(parent->tid, regs.rdi, &args, known) < 0)
		return guess;
	return args.flags | args.exit_signal;
}

static struct utrace_task *find_child(struct utrace_task *parent, pid_t tid)
{
	struct utrace *utrace = parent->utrace;
	struct utrace_task *child = utrace_lookup(utrace, tid);
	if (child)
		return child;
	struct ptrace_event event;
	if (utrace->backend->wait(tid, true, &event) < 0)
		return NULL;
	if (event.stop == PTRACE_STOP_EXITED || event.stop == PTRACE_STOP_KILLED)
		return NULL; /* killed before it was ever reported */
	utrace_handle_stop(utrace, &event);
	return utrace_lookup(utrace, tid);
}

static void report_clone(
	struct utrace_task *parent, struct utrace_task *child, unsigned long flags)
{
	struct report report;
	struct utrace_engine *engine;
	bool is_vfork = parent->stop.stop == PTRACE_STOP_VFORK;
	if (!utrace_is_wanted(parent, UTRACE_EVENT(CLONE)))
		return;
	utrace_report_begin(&report, parent, UTRACE_EVENT(CLONE));
	DL_FOREACH(parent->engines, engine)
	{
		if (!utrace_report_prepare(&report, engine) || !engine->ops->report_clone)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t answer =
			engine->ops->report_clone(report.action, engine, flags, child);
		utrace_call_end(&report, engine, answer);
	}
	utrace_report_end(&report, is_vfork);
}

static void announce(
	struct utrace_task *task, struct utrace_task *parent, unsigned long flags)
{
	struct utrace *utrace = task->utrace;
	if (!utrace->new_task)
		return;
	utrace_unlock(utrace);
	utrace->new_task(task, parent, flags, utrace->new_task_data);
	utrace_lock(utrace);
}

void utrace_handle_clone(struct utrace_task *parent)
{
	const struct utrace_backend_ops *backend = parent->utrace->backend;
	unsigned long tid;
	if (backend->get_event_message(parent->tid, &tid) < 0)
		return;
	struct utrace_task *child = find_child(parent, (pid_t)tid);
	if (!child)
		return;
	if (!child->embryo)
		return; /* adopted before: cannot be told from a seized one */
	unsigned long flags = read_clone_flags(parent, child);
	child->references++;
	child->detaching = parent->detaching;
	child->filtered = parent->filtered;
	child->exit_signal = (int)(flags & CSIGNAL);
	if (!child->detaching) {
		announce(child, parent, flags);
		report_clone(parent, child, flags);
	}
	child->embryo = false;
	if (child->stop.stop == PTRACE_STOP_GROUP)
		child->group_stopped = true;
	if (child->state != TASK_DEAD)
		utrace_settle(child);
	utrace_task_unref(child);
}

static void announce_orphan(struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	announce(task, NULL, 0);
	if (!utrace->orphan || task->state == TASK_DEAD)
		return;
	utrace_unlock(utrace);
	utrace->orphan(task, utrace->orphan_data);
	utrace_lock(utrace);
}

/* Of a process whose parent is another by now, or is not traced, nobody will tell.  A thread's creator is of the same
 * process: when it is killed the thread is, too. */
static bool is_orphan(const struct utrace_task *task, int64_t now)
{
	struct utrace *utrace = task->utrace;
	struct proc_status status;
	if (!task->embryo || task->tid != task->pid ||
		utrace->backend->read_status(task->tid, &status) < 0)
		return false;
	return status.ppid != task->born_to || !utrace_first(utrace, status.ppid) ||
	       now - task->born_at > ORPHAN_MS;
}

static struct utrace_task *find_orphan(struct utrace *utrace)
{
	struct utrace_task *task, *next;
	int64_t now = utrace_now_ms();
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if (is_orphan(task, now))
			return task;
	}
	return NULL;
}

/*
 * A creator that is killed right after creating reports nothing; its child then waits in its first stop.
 * Looked for when a whole process has died.  One that was first seen when it had been given to another parent, which
 * is traced as well, shows by nothing but that its report does not come.
 */
void utrace_adopt_orphans(struct utrace *utrace)
{
	struct utrace_task *task;
	while ((task = find_orphan(utrace))) {
		task->embryo = false;
		task->references++;
		announce_orphan(task);
		if (task->state != TASK_DEAD)
			utrace_settle(task);
		utrace_task_unref(task);
	}
}
