/* SPDX-License-Identifier: MIT */
/*
 * Signals.
 *
 * A signal-delivery-stop becomes one pass, in which each engine sees and replaces what its predecessor
 * wanted done with the signal.  What is decided is done by the kernel when the thread is resumed, except
 * what it cannot do for a tracer: see force.c for signals that shall kill in spite of a handler, and
 * struct sent_signal for signals that engines made up or held back.
 *
 * A signal that acts comes before a stop that was asked for in its report: the thread is stepped to the
 * first instruction of the handler, where a second pass (UTRACE_SIGNAL_HANDLER) is made, or runs to the
 * boundary of user mode.  A stop that was wanted before stays where it is, with the decision made; but a signal
 * that stops the process does so for all of its threads, also when the one that has taken it is held.
 */
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "utrace/internal.h"

#define BIT(signal) (1ull << ((signal)-1))

struct disposition {
	unsigned long event;
	uint32_t action;
};

/* ---- what the program does with a signal -------------------------------------------------------- */

static int read_actions(const struct utrace_task *task, int signal, uint64_t *ret_caught,
	uint64_t *ret_ignored)
{
	const struct utrace_backend_ops *backend = task->utrace->backend;
	struct proc_status status;
	struct proc_stat stat;
	int r;
	if (signal < 32) { /* the cheaper file has these */
		r = backend->read_stat(task->tid, &stat);
		if (r == 0)
			*ret_caught = stat.sig_caught, *ret_ignored = stat.sig_ignored;
		return r;
	}
	r = backend->read_status(task->tid, &status);
	if (r == 0)
		*ret_caught = status.sig_caught, *ret_ignored = status.sig_ignored;
	return r;
}

static struct disposition classify(const struct utrace_task *task, int signal)
{
	const uint64_t ignored_default =
		BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH);
	const uint64_t stop_default = BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
	const uint64_t core_default =
		BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) |
		BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGXCPU) | BIT(SIGXFSZ) | BIT(SIGSYS);
	uint64_t bit = BIT(signal), caught = 0, ignored = 0;
	if (read_actions(task, signal, &caught, &ignored) < 0) /* dying */
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_TERM), UTRACE_SIGNAL_TERM};
	if (caught & bit)
		return (struct disposition){UTRACE_EVENT(SIGNAL), UTRACE_SIGNAL_DELIVER};
	if ((ignored | ignored_default) & bit)
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

/* The end of a step that an engine asked for: no signal of the program's. */
static bool is_step_trap(const struct utrace_task *task, const siginfo_t *info)
{
	return task->stepping && info->si_signo == SIGTRAP && info->si_code > 0 &&
	       info->si_code != SI_KERNEL;
}

/* Reading what the program does with a signal costs as much as the stop itself, so it is done only when
 * somebody needs to know.  Breakpoint hits are left out: that SIGTRAP dumps core unless the program has
 * a handler, and engines that want all signals are told the former in either case. */
static struct disposition find_disposition(
	const struct utrace_task *task, const siginfo_t *info, bool wanted)
{
	const struct utrace_engine *engine;
	bool own_trap = info->si_signo == SIGTRAP && info->si_code > 0;
	bool all_want_all = true;
	if (is_step_trap(task, info))
		return (struct disposition){UTRACE_EVENT(SIGNAL_IGN), UTRACE_SIGNAL_IGN};
	DL_FOREACH(task->engines, engine)
	{
		unsigned long events = engine->events & UTRACE_EVENT_SIGNAL_ALL;
		if (events && events != UTRACE_EVENT_SIGNAL_ALL)
			all_want_all = false;
	}
	if (own_trap && all_want_all)
		return (struct disposition){
			UTRACE_EVENT(SIGNAL_CORE), UTRACE_SIGNAL_CORE};
	bool interrupted = task->rewound.active || (int64_t)task->regs->now.rax == -EINTR;
	if (wanted || interrupted)
		return classify(task, info->si_signo);
	return (struct disposition){UTRACE_EVENT(SIGNAL), UTRACE_SIGNAL_DELIVER};
}

/* ---- asking ------------------------------------------------------------------------------------- */

struct decision {
	struct disposition before;
	uint32_t action; /* with UTRACE_SIGNAL_HOLD */
	int signal;      /* the number that came */
	bool was_held;
	bool stop; /* an engine wants the task stopped */
	bool park; /* the one that dropped the signal did so to deal with it in that stop */
};

static void ask(struct utrace_task *task, struct decision *decision)
{
	struct report report;
	struct utrace_engine *engine;
	unsigned long event = decision->before.event;
	uint32_t action = decision->before.action;
	utrace_report_begin(&report, task, event);
	report.is_last = true;
	DL_FOREACH(task->engines, engine)
	{
		unsigned long wanted = event | UTRACE_EVENT(QUIESCE);
		if (!utrace_report_reaches(&report, engine))
			continue;
		if (!(engine->events & wanted) || !engine->ops->report_signal) {
			utrace_report_prepare(&report, engine);
			continue;
		}
		utrace_call_begin(&report, engine);
		uint32_t answer = engine->ops->report_signal(
			(action & UTRACE_SIGNAL_MASK) | report.action, engine,
			&task->regs->now, &task->info);
		utrace_call_end(&report, engine, answer);
		action = answer & (UTRACE_SIGNAL_MASK | UTRACE_SIGNAL_HOLD);
		decision->park = utrace_signal_action(answer) == UTRACE_SIGNAL_IGN &&
				 utrace_resume_action(answer) == UTRACE_STOP;
	}
	decision->action = action;
	decision->stop = report.action == UTRACE_STOP;
	bool ignored = utrace_signal_action(action) == UTRACE_SIGNAL_IGN;
	utrace_report_end(&report, decision->was_held || ignored);
}

/* ---- doing -------------------------------------------------------------------------------------- */

/* Have the signal in task->info sent, to be known again by the task's address in its value. */
static void send(struct utrace_task *task, uint32_t action)
{
	siginfo_t info = {.si_signo = task->info.si_signo, .si_code = SI_QUEUE};
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = task;
	task->sent = (struct sent_signal){true, action, task->info};
	if (task->utrace->backend->send_signal(task->pid, task->tid, &info) < 0)
		task->sent.active = false;
}

void utrace_hold_signal(struct utrace_task *task)
{
	task->signal_due = false;
	send(task, UTRACE_SIGNAL_REPORT);
}

static bool is_sent(const struct utrace_task *task, const siginfo_t *info)
{
	return task->sent.active && info->si_code == SI_QUEUE &&
	       info->si_value.sival_ptr == task && info->si_pid == getpid() &&
	       info->si_signo == task->sent.info.si_signo;
}

static void deliver(struct utrace_task *task)
{
	if (!task->in_delivery) {
		send(task, UTRACE_SIGNAL_DELIVER);
		return;
	}
	task->signal = task->info.si_signo;
	/* -ESRCH: killed meanwhile */
	if (task->info_changed)
		(void)!task->utrace->backend->set_siginfo(task->tid, &task->info);
	task->info_changed = false;
}

static void change_signal(struct utrace_task *task, int signal)
{
	task->info.si_signo = signal;
	task->info_changed = true;
}

/* The process dies of the signal, whatever its handler and mask. */
static void terminate(struct utrace_task *task)
{
	const struct utrace_backend_ops *backend = task->utrace->backend;
	const uint64_t never_fatal = BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) |
				     BIT(SIGWINCH) | BIT(SIGSTOP) | BIT(SIGTSTP) |
				     BIT(SIGTTIN) | BIT(SIGTTOU);
	int signal = task->info.si_signo;
	uint64_t caught = 0, ignored = 0, mask;
	if (never_fatal & BIT(signal)) {
		signal = SIGKILL;
		change_signal(task, signal);
	}
	if (read_actions(task, signal, &caught, &ignored) == 0 &&
		(caught | ignored) & BIT(signal))
		utrace_force_default(task, signal);
	if (backend->get_sigmask(task->tid, &mask) == 0 && mask & BIT(signal))
		(void)!backend->set_sigmask(task->tid, mask & ~BIT(signal));
	deliver(task);
}

static void stop_process(struct utrace_task *task, bool unless_orphaned)
{
	const uint64_t terminal = BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
	uint64_t caught = 0, ignored = 0, bit = BIT(task->info.si_signo);
	bool is_default =
		read_actions(task, task->info.si_signo, &caught, &ignored) == 0 &&
		!((caught | ignored) & bit);
	/* The kernel looks at the process group for its own stop signals only. */
	if (!unless_orphaned || !(bit & terminal) || !is_default)
		change_signal(task, SIGSTOP);
	deliver(task);
}

static void act(struct utrace_task *task, uint32_t action)
{
	int signal = task->info.si_signo;
	if (signal < 1 || signal > 64) /* with 0x80 it would read as a core dump */
		change_signal(task, SIGTRAP);
	switch (utrace_signal_action(action)) {
	case UTRACE_SIGNAL_IGN:
	case UTRACE_SIGNAL_REPORT:
	case UTRACE_SIGNAL_HANDLER:
		task->signal = 0;
		break;
	case UTRACE_SIGNAL_DELIVER:
		deliver(task);
		break;
	case UTRACE_SIGNAL_TERM:
	case UTRACE_SIGNAL_CORE:
		terminate(task);
		break;
	case UTRACE_SIGNAL_STOP:
	case UTRACE_SIGNAL_TSTP:
		stop_process(task, action == UTRACE_SIGNAL_TSTP);
		break;
	}
}

/* ---- one signal --------------------------------------------------------------------------------- */

static void act_on_decision(struct utrace_task *task, const struct decision *decision)
{
	uint32_t action = decision->action & UTRACE_SIGNAL_MASK;
	bool ignored = action == UTRACE_SIGNAL_IGN;
	if (ignored || decision->before.action == UTRACE_SIGNAL_IGN)
		utrace_rewind_ignored_signal(task, &task->regs->now);
	else
		utrace_unwind_for_handler(task, &task->regs->now);
	utrace_pass_regs_flush(task);
	/* The kernel does by itself what the program wants; it must keep seeing what is ignored
	 * happen.  A step's trap was never the program's. */
	bool as_it_was = action == decision->before.action &&
			 task->info.si_signo == decision->signal;
	if (as_it_was && !is_step_trap(task, &task->info))
		deliver(task);
	else
		act(task, action);
	task->parked = ignored && decision->park;
	if (decision->action & UTRACE_SIGNAL_HOLD && ignored) {
		task->signal = 0;
		task->signal_due = true;
	} else if (decision->action & UTRACE_SIGNAL_HOLD) {
		send(task, UTRACE_SIGNAL_REPORT);
	}
	bool stops_process = action == UTRACE_SIGNAL_STOP || action == UTRACE_SIGNAL_TSTP;
	task->act_first = task->signal && !ignored &&
			  (decision->was_held ? stops_process : decision->stop);
}

static void decide(struct utrace_task *task)
{
	uint64_t stop = task->stops;
	bool wanted =
		utrace_is_wanted(task, UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(QUIESCE));
	bool held = utrace_wants_stop(task);
	struct decision decision = {
		.before = find_disposition(task, &task->info, wanted || held),
		.signal = task->info.si_signo,
		.was_held = held,
	};
	siginfo_t came = task->info;
	decision.action = decision.before.action;
	if (wanted)
		ask(task, &decision);
	if (memcmp(&came, &task->info, sizeof(came)) != 0)
		task->info_changed = true;
	/* When a callback ran it, the signal was delivered on that way. */
	if (task->state == TASK_STOPPED && task->stops == stop)
		act_on_decision(task, &decision);
}

/* Killed: the kernel shows us the exit-stop already, which has its own report. */
static bool is_exit_stop(const siginfo_t *info)
{
	return info->si_signo == SIGTRAP && info->si_code >> 8 == PTRACE_EVENT_EXIT;
}

/* The kernel tells a single-stepper that it has set up a handler: with this code, no trap of any
 * instruction. */
static bool is_handler_stop(const struct utrace_task *task, const siginfo_t *info)
{
	return task->stepping && info->si_signo == SIGTRAP && info->si_code == SIGTRAP;
}

static bool take_siginfo(struct utrace_task *task, uint32_t *ret_action)
{
	*ret_action = UTRACE_SIGNAL_REPORT;
	if (task->signal_due) { /* held back: the same again */
		task->signal_due = false;
		return true;
	}
	if (task->utrace->backend->get_siginfo(task->tid, &task->info) < 0 ||
		is_exit_stop(&task->info))
		return false;
	task->signal = task->stop.value;
	task->in_delivery = true;
	task->info_changed = false;
	if (is_sent(task, &task->info)) {
		*ret_action = task->sent.action;
		task->info = task->sent.info;
		task->info_changed = true;
		task->sent.active = false;
	}
	return true;
}

void utrace_handle_signal(struct utrace_task *task)
{
	struct pass_regs regs;
	uint32_t action;
	task->call.inside = false;
	task->parked = false;
	if (!take_siginfo(task, &action))
		return;
	if (is_handler_stop(task, &task->info)) {
		task->in_delivery = false;
		task->signal = 0;
		utrace_boundary_pass(task, PASS_HANDLER);
		return;
	}
	if (utrace_pass_regs_begin(task, &regs) < 0)
		return;
	if (action == UTRACE_SIGNAL_REPORT)
		decide(task);
	else
		act(task, action);
	utrace_pass_regs_end(task, &regs);
}

/* ---- passes without a signal -------------------------------------------------------------------- */

static uint32_t ask_at_boundary(
	struct report *report, enum boundary_pass kind, siginfo_t *info)
{
	struct utrace_task *task = report->task;
	struct utrace_engine *engine;
	uint32_t action =
		kind == PASS_HANDLER ? UTRACE_SIGNAL_HANDLER : UTRACE_SIGNAL_REPORT;
	DL_FOREACH(task->engines, engine)
	{
		const struct utrace_engine_ops *ops = engine->ops;
		bool as_signal = ops->report_signal &&
				 (kind != PASS_QUIESCE || !ops->report_quiesce);
		if (!utrace_report_reaches(report, engine))
			continue;
		if (!(engine->events & UTRACE_EVENT(QUIESCE)) || !as_signal) {
			utrace_report_prepare(report, engine);
			continue;
		}
		utrace_call_begin(report, engine);
		uint32_t answer = ops->report_signal(
			action | report->action, engine, &task->regs->now, info);
		utrace_call_end(report, engine, answer);
		action = answer & UTRACE_SIGNAL_MASK;
	}
	return action;
}

/* An engine has made up a signal, or wants the one it has parked. */
static void act_on_answer(
	struct utrace_task *task, uint32_t action, const siginfo_t *info)
{
	if (action == UTRACE_SIGNAL_REPORT || action == UTRACE_SIGNAL_HANDLER ||
		action == UTRACE_SIGNAL_IGN || !info->si_signo)
		return;
	task->info = *info;
	task->info_changed = true;
	task->parked = false;
	act(task, action);
}

void utrace_boundary_pass(struct utrace_task *task, enum boundary_pass kind)
{
	struct report report;
	struct pass_regs regs;
	uint64_t stop = task->stops;
	siginfo_t info = {0};
	task->resume = UTRACE_RESUME;
	if (!utrace_is_wanted(task, UTRACE_EVENT(QUIESCE)))
		return;
	if (task->parked)
		info = task->info;
	if (utrace_pass_regs_begin(task, &regs) < 0)
		return;
	utrace_report_begin(&report, task, 0);
	report.is_last = true;
	uint32_t action = ask_at_boundary(&report, kind, &info);
	utrace_report_end(&report, true);
	if (task->state == TASK_STOPPED && task->stops == stop)
		act_on_answer(task, action, &info);
	utrace_pass_regs_end(task, &regs);
}

/*
 * A step over a system call ends in its exit-stop, without a trap: the pass for the trap is made all
 * the same.
 */
void utrace_report_step(struct utrace_task *task)
{
	struct pass_regs regs;
	uint64_t stop = task->stops;
	struct decision decision = {
		.before = {UTRACE_EVENT(SIGNAL_IGN), UTRACE_SIGNAL_IGN},
		.was_held = utrace_wants_stop(task),
	};
	task->step_over = false;
	if (!utrace_is_wanted(task, UTRACE_EVENT(SIGNAL_IGN) | UTRACE_EVENT(QUIESCE)) ||
		utrace_pass_regs_begin(task, &regs) < 0)
		return;
	task->info = (siginfo_t){.si_signo = SIGTRAP, .si_code = TRAP_TRACE};
	ask(task, &decision);
	siginfo_t info = task->info;
	if (task->state == TASK_STOPPED && task->stops == stop)
		act_on_answer(task, utrace_signal_action(decision.action), &info);
	utrace_pass_regs_end(task, &regs);
}
