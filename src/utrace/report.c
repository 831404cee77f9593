/* SPDX-License-Identifier: MIT */
/*
 * From stops to callbacks.
 *
 * Each stop becomes one event.  Engines are called in attach order; the smallest resume
 * action wins; a STOP return stays with its engine until that engine says otherwise.
 * Callbacks may dispatch (utrace_wait_stopped(), inject/), so reports nest: engines are
 * unlinked only when the outermost report of their task is over, and at its end the task
 * is resumed from the stop it is in by then, which need not be the one the report began
 * with.
 */
#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>

#include "utrace/internal.h"

#define BIT(signal) (1ull << ((signal)-1))

struct report {
	struct utrace_task *task;
	unsigned long event; /* bit; 0: about to return to user mode */
	uint32_t action;     /* smallest resume action so far */
};

static void begin_report(
	struct report *report, struct utrace_task *task, unsigned long event)
{
	*report = (struct report){.task = task, .event = event, .action = UTRACE_RESUME};
	task->references++;
	task->reporting++;
}

static void end_report(struct report *report)
{
	struct utrace_task *task = report->task;
	if (report->action < task->resume)
		task->resume =
			report->action == UTRACE_STOP ? task->resume : report->action;
	if (--task->reporting == 0)
		utrace_engines_purge(task);
	utrace_task_unref(task);
}

static void apply(struct report *report, struct utrace_engine *engine, uint32_t answer)
{
	uint32_t action = answer & UTRACE_RESUME_MASK;
	if (action == UTRACE_DETACH) {
		engine->detached = true;
		engine->stop = false;
		return;
	}
	engine->stop = action == UTRACE_STOP;
	if (action < report->action)
		report->action = action;
}

/* Is the engine to be called for this event?  Asks its report_quiesce() first, which may
 * say DETACH or change its events. */
static bool prepare(struct report *report, struct utrace_engine *engine)
{
	if (engine->detached || engine->fresh)
		return false;
	if (engine->stop)
		report->action = UTRACE_STOP;
	if (engine->events & UTRACE_EVENT(QUIESCE) && engine->ops->report_quiesce)
		apply(report, engine,
			engine->ops->report_quiesce(
				report->action, engine, report->event));
	return !engine->detached && engine->events & report->event;
}

static bool is_wanted(const struct utrace_task *task, unsigned long events)
{
	const struct utrace_engine *engine;
	DL_FOREACH(task->engines, engine)
	{
		if (!engine->detached && !engine->fresh && engine->events & events)
			return true;
	}
	return false;
}

static void report_quiesce(struct utrace_task *task)
{
	struct report report;
	struct utrace_engine *engine;
	task->resume = UTRACE_RESUME;
	begin_report(&report, task, 0);
	DL_FOREACH(task->engines, engine)
	prepare(&report, engine);
	end_report(&report);
}

/* ---- signals
 * ------------------------------------------------------------------------------------ */

struct disposition {
	unsigned long event;
	uint32_t action;
};

static struct disposition classify(pid_t tid, int signal)
{
	const uint64_t ignored_default =
		BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH);
	const uint64_t stop_default = BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
	const uint64_t core_default =
		BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) |
		BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGXCPU) | BIT(SIGXFSZ) | BIT(SIGSYS);
	struct proc_status status = {0};
	uint64_t bit = BIT(signal);
	if (proc_read_status(tid, &status, NULL) < 0) /* dying */
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_TERM), UTRACE_SIGNAL_TERM};
	if (status.sig_caught & bit)
		return (struct disposition){UTRACE_EVENT(SIGNAL), UTRACE_SIGNAL_DELIVER};
	if ((status.sig_ignored | ignored_default) & bit)
		return (struct disposition){UTRACE_EVENT(SIGNAL_IGN), UTRACE_SIGNAL_IGN};
	if (signal == SIGSTOP)
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_STOP), UTRACE_SIGNAL_STOP};
	if (stop_default & bit)
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_STOP), UTRACE_SIGNAL_TSTP};
	if (core_default & bit)
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_CORE), UTRACE_SIGNAL_CORE};
	return (struct disposition){UTRACE_EVENT(SIGNAL_TERM), UTRACE_SIGNAL_TERM};
}

/* Each engine sees and replaces its predecessor's signal action; the last one wins. */
static uint32_t ask_about_signal(struct utrace_task *task, struct disposition disposition,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct report report;
	struct utrace_engine *engine;
	uint32_t signal_action = disposition.action;
	begin_report(&report, task, disposition.event);
	DL_FOREACH(task->engines, engine)
	{
		bool wanted =
			engine->events & (disposition.event | UTRACE_EVENT(QUIESCE));
		if (engine->detached || engine->fresh || !wanted)
			continue;
		if (!engine->ops->report_signal) {
			prepare(&report, engine);
			continue;
		}
		uint32_t answer = engine->ops->report_signal(
			signal_action | report.action, engine, regs, info);
		signal_action = answer & UTRACE_SIGNAL_MASK;
		apply(&report, engine, answer);
	}
	/* As in the kernel: a report or an interrupt at each signal would never let it
	 * run. */
	if (report.action == UTRACE_REPORT || report.action == UTRACE_INTERRUPT)
		report.action = UTRACE_RESUME;
	end_report(&report);
	return signal_action;
}

static void handle_signal(struct utrace_task *task, int signal)
{
	struct user_regs_struct regs, old_regs;
	siginfo_t info, old_info;
	task->signal = signal;
	if (ptrace_get_regs(task->tid, &regs) < 0 ||
		ptrace_get_siginfo(task->tid, &info) < 0)
		return; /* killed in its stop */
	old_regs = regs;
	old_info = info;
	/* Only an engine that wants some kinds of signals and not others, and an
	 * interrupted call, make it worth reading the disposition: breakpoint hits come
	 * this way. */
	bool interrupted = (int64_t)regs.rax == -EINTR || task->rewound.active;
	bool wanted = is_wanted(task, UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(QUIESCE));
	struct disposition disposition = {UTRACE_EVENT(SIGNAL), UTRACE_SIGNAL_DELIVER};
	if (interrupted || (wanted && info.si_code <= 0))
		disposition = classify(task->tid, signal);
	else if (wanted && signal != SIGTRAP)
		disposition = classify(task->tid, signal);
	uint32_t action = disposition.action;
	if (wanted)
		action = ask_about_signal(task, disposition, &regs, &info);
	bool same_stop =
		task->state == TASK_STOPPED && task->stop.stop == PTRACE_STOP_SIGNAL;
	if (!same_stop)
		return; /* a callback ran it; the signal was delivered on that way */
	bool ignored = action == UTRACE_SIGNAL_IGN;
	if (ignored || disposition.action == UTRACE_SIGNAL_IGN)
		utrace_rewind_ignored_signal(task, &regs);
	else
		utrace_unwind_for_handler(task, &regs);
	/* The kernel ignores by itself what the program ignores; it must keep seeing it
	 * happen. */
	bool dropped = ignored && disposition.action != UTRACE_SIGNAL_IGN;
	task->signal = dropped ? 0 : info.si_signo;
	if (memcmp(&regs, &old_regs, sizeof(regs)) != 0)
		(void)!ptrace_set_regs(task->tid, &regs);
	if (task->signal && memcmp(&info, &old_info, sizeof(info)) != 0)
		(void)!ptrace_set_siginfo(task->tid, &info);
}

/* ---- job control, interrupts
 * ---------------------------------------------------------------------- */

static void report_jctl(struct utrace_task *task, int type)
{
	struct report report;
	struct utrace_engine *engine;
	if (!is_wanted(task, UTRACE_EVENT(JCTL)))
		return;
	begin_report(&report, task, UTRACE_EVENT(JCTL));
	DL_FOREACH(task->engines, engine)
	{
		if (prepare(&report, engine) && engine->ops->report_jctl)
			apply(&report, engine,
				engine->ops->report_jctl(
					report.action, engine, type, type));
	}
	end_report(&report);
}

static void handle_event_stop(struct utrace_task *task, bool group)
{
	bool ours = task->interrupting;
	bool was_group = task->group_stopped;
	task->interrupting = false;
	task->group_stopped = group;
	if (group && !was_group)
		report_jctl(task, CLD_STOPPED);
	else if (!group && was_group)
		report_jctl(task, CLD_CONTINUED);
	else if (!group && ours)
		utrace_rewind_after_interrupt(task);
	if (ours)
		report_quiesce(task);
}

/* ---- new tasks
 * -------------------------------------------------------------------------------------
 */

static unsigned long read_clone_flags(const struct utrace_task *parent,
	const struct ptrace_event *event, const struct utrace_task *child)
{
	struct user_regs_struct regs;
	unsigned long guess =
		child->pid == parent->pid
			? CLONE_VM | CLONE_THREAD | CLONE_SIGHAND
			: (event->stop == PTRACE_STOP_VFORK ? CLONE_VM | CLONE_VFORK : 0);
	if (ptrace_get_regs(parent->tid, &regs) < 0)
		return guess;
	if (regs.orig_rax == SYS_clone)
		return regs.rdi;
	if (regs.orig_rax == SYS_fork)
		return SIGCHLD;
	if (regs.orig_rax == SYS_vfork)
		return CLONE_VM | CLONE_VFORK | SIGCHLD;
	if (regs.orig_rax != SYS_clone3)
		return guess;
	uint64_t flags; /* first member of struct clone_args */
	int fd = remote_memory_open(parent->tid, NULL);
	if (fd < 0)
		return guess;
	int r = remote_memory_read(fd, regs.rdi, &flags, sizeof(flags));
	close(fd);
	return r < 0 ? guess : flags;
}

/* The child starts with an event-stop, which may have been seen already. */
static struct utrace_task *find_child(struct utrace_task *parent, pid_t tid)
{
	struct utrace *utrace = parent->utrace;
	struct utrace_task *child = utrace_find_task(utrace, tid);
	if (child)
		return child;
	struct ptrace_event event;
	if (ptrace_wait(tid, true, &event) < 0)
		return NULL;
	if (event.stop == PTRACE_STOP_EXITED || event.stop == PTRACE_STOP_KILLED)
		return NULL; /* killed before it was ever reported */
	utrace_handle_stop(utrace, &event);
	return utrace_find_task(utrace, tid);
}

static void report_clone(
	struct utrace_task *parent, struct utrace_task *child, unsigned long flags)
{
	struct report report;
	struct utrace_engine *engine;
	if (!is_wanted(parent, UTRACE_EVENT(CLONE)))
		return;
	begin_report(&report, parent, UTRACE_EVENT(CLONE));
	DL_FOREACH(parent->engines, engine)
	{
		if (prepare(&report, engine) && engine->ops->report_clone)
			apply(&report, engine,
				engine->ops->report_clone(
					report.action, engine, flags, child));
	}
	end_report(&report);
}

static void handle_clone(struct utrace_task *parent, const struct ptrace_event *event)
{
	struct utrace *utrace = parent->utrace;
	unsigned long tid;
	if (ptrace_get_event_message(parent->tid, &tid) < 0)
		return;
	struct utrace_task *child = find_child(parent, (pid_t)tid);
	if (!child)
		return;
	if (!child->embryo)
		return; /* adopted before: cannot be told from a seized one */
	unsigned long flags = read_clone_flags(parent, event, child);
	child->references++;
	child->detaching = parent->detaching;
	if (!child->detaching) {
		if (utrace->new_task)
			utrace->new_task(child, parent, flags, utrace->new_task_data);
		report_clone(parent, child, flags);
	}
	child->embryo = false;
	if (child->stop.stop == PTRACE_STOP_GROUP)
		child->group_stopped = true;
	if (child->state != TASK_DEAD)
		utrace_settle(child);
	utrace_task_unref(child);
}

/*
 * A creator that is killed right after creating reports nothing; its child then waits in
 * its first stop.  Looked for when a whole process has died.
 */
static void adopt_orphans(struct utrace *utrace)
{
	struct utrace_task *task, *next;
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		struct proc_status status;
		if (!task->embryo || proc_read_status(task->tid, &status, NULL) < 0)
			continue;
		if (utrace_first_task(utrace, status.ppid))
			continue; /* may report yet */
		task->embryo = false;
		if (utrace->new_task)
			utrace->new_task(task, NULL, 0, utrace->new_task_data);
		utrace_settle(task);
		return; /* callbacks may have changed the table; the next death looks
			   again */
	}
}

/* ---- exec, exit
 * ------------------------------------------------------------------------------------ */

static void report_end(struct utrace_task *task, bool group_dead)
{
	struct report report;
	struct utrace_engine *engine;
	unsigned long events = UTRACE_EVENT(DEATH) | UTRACE_EVENT(QUIESCE);
	begin_report(&report, task, UTRACE_EVENT(DEATH));
	DL_FOREACH(task->engines, engine)
	{
		if (engine->detached || !(engine->events & events) ||
			!engine->ops->report_death)
			continue;
		uint32_t answer = engine->ops->report_death(
			engine, group_dead, group_dead ? SIGCHLD : -1);
		if ((answer & UTRACE_RESUME_MASK) == UTRACE_DETACH)
			engine->detached = true;
	}
	DL_FOREACH(task->engines, engine)
	{
		if (!engine->detached && engine->events & UTRACE_EVENT(REAP) &&
			engine->ops->report_reap)
			engine->ops->report_reap(engine, task);
	}
	end_report(&report);
}

void utrace_handle_exit(struct utrace_task *task, const struct ptrace_event *event)
{
	struct utrace *utrace = task->utrace;
	pid_t pid = task->pid;
	if (task->state == TASK_DEAD)
		return;
	task->state = TASK_DEAD;
	task->stop = *event;
	task->references++;
	HASH_DEL(utrace->tasks, task); /* the tid may be used again from now on */
	bool group_dead = utrace_first_task(utrace, pid) == NULL;
	report_end(task, group_dead);
	utrace_task_remove(task);
	utrace_task_unref(task);
	if (group_dead)
		adopt_orphans(utrace);
}

/* The thread that calls exec becomes the leader and takes its tid; the old leader
 * vanishes without a status of its own. */
static void take_leader_tid(struct utrace_task *leader, pid_t former_tid)
{
	struct utrace *utrace = leader->utrace;
	struct utrace_task *caller = utrace_find_task(utrace, former_tid);
	if (!caller || caller == leader)
		return;
	struct ptrace_event stop = leader->stop;
	pid_t tid = leader->tid;
	struct ptrace_event gone = {.tid = tid, .stop = PTRACE_STOP_EXITED};
	utrace_handle_exit(leader, &gone);
	HASH_DEL(utrace->tasks, caller);
	caller->tid = tid;
	caller->pid = tid;
	caller->state = TASK_STOPPED;
	caller->stop = stop;
	HASH_ADD(hh, utrace->tasks, tid, sizeof(caller->tid), caller);
}

static void handle_exec(struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	unsigned long former = 0;
	pid_t tid = task->tid;
	if (ptrace_get_event_message(tid, &former) == 0 && former &&
		(pid_t)former != tid) {
		take_leader_tid(task, (pid_t)former);
		task = utrace_find_task(utrace, tid);
		if (!task)
			return;
	}
	task->rewound.active = false;
	if (is_wanted(task, UTRACE_EVENT(EXEC))) {
		struct report report;
		struct utrace_engine *engine;
		begin_report(&report, task, UTRACE_EVENT(EXEC));
		DL_FOREACH(task->engines, engine)
		{
			if (prepare(&report, engine) && engine->ops->report_exec)
				apply(&report, engine,
					engine->ops->report_exec(
						report.action, engine, (pid_t)former));
		}
		end_report(&report);
	}
	utrace_settle(task);
}

static void handle_exit_stop(struct utrace_task *task)
{
	struct report report;
	struct utrace_engine *engine;
	unsigned long message = 0;
	if (ptrace_get_event_message(task->tid, &message) < 0)
		return;
	if (!is_wanted(task, UTRACE_EVENT(EXIT)))
		return;
	long code = (long)message;
	begin_report(&report, task, UTRACE_EVENT(EXIT));
	DL_FOREACH(task->engines, engine)
	{
		if (prepare(&report, engine) && engine->ops->report_exit)
			apply(&report, engine,
				engine->ops->report_exit(
					report.action, engine, (long)message, &code));
	}
	end_report(&report);
}

/* ---- one stop
 * ----------------------------------------------------------------------------------------
 */

static void add_embryo(struct utrace *utrace, const struct ptrace_event *event)
{
	struct proc_status status;
	pid_t pid = event->tid;
	if (proc_read_status(event->tid, &status, NULL) == 0)
		pid = status.tgid;
	struct utrace_task *task = utrace_task_create(utrace, event->tid, pid);
	task->embryo = true;
	task->state = TASK_STOPPED;
	task->stop = *event;
}

static void report_stop(struct utrace_task *task, const struct ptrace_event *event)
{
	switch (event->stop) {
	case PTRACE_STOP_SIGNAL:
		handle_signal(task, event->value);
		break;
	case PTRACE_STOP_GROUP:
	case PTRACE_STOP_INTERRUPT:
		handle_event_stop(task, event->stop == PTRACE_STOP_GROUP);
		break;
	case PTRACE_STOP_CLONE:
	case PTRACE_STOP_FORK:
	case PTRACE_STOP_VFORK:
		handle_clone(task, event);
		break;
	case PTRACE_STOP_EXIT:
		handle_exit_stop(task);
		break;
	case PTRACE_STOP_EXEC:
	case PTRACE_STOP_EXITED:
	case PTRACE_STOP_KILLED:
	case PTRACE_STOP_SYSCALL:
	case PTRACE_STOP_VFORK_DONE:
	case PTRACE_STOP_SECCOMP:
	case PTRACE_STOP_UNKNOWN:
		break;
	}
}

void utrace_handle_stop(struct utrace *utrace, const struct ptrace_event *event)
{
	struct utrace_task *task = utrace_find_task(utrace, event->tid);
	if (!task) {
		add_embryo(utrace, event);
		return;
	}
	task->state = TASK_STOPPED;
	task->stop = *event;
	task->signal = 0;
	task->deferred = false;
	if (event->stop == PTRACE_STOP_EXEC && !task->detaching) {
		handle_exec(task);
		return;
	}
	task->references++;
	bool report_due =
		task->resume <= UTRACE_REPORT && event->stop != PTRACE_STOP_EXIT;
	report_stop(task, event);
	if (report_due && task->state == TASK_STOPPED && task->resume <= UTRACE_REPORT)
		report_quiesce(task);
	utrace_settle(task);
	utrace_task_unref(task);
}
