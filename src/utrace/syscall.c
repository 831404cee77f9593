/* SPDX-License-Identifier: MIT */
/*
 * System calls: reported at their entry, by a syscall-stop or, under a filter, by a seccomp-stop, and at
 * their exit.  At the entry engines are asked in reverse order, so that the one attached last is the
 * closest to user mode on both ways; the first attached has the last word.
 */
#include <errno.h>
#include <linux/audit.h>

#include "utrace/internal.h"

enum {
	EVENT_MESSAGE_ENTRY = 1, /* PTRACE_EVENTMSG_SYSCALL_ENTRY, Linux 5.3 */
	EVENT_MESSAGE_EXIT = 2,
	USER32_CS = 0x23
};

bool utrace_is_at_entry(const struct utrace_task *task)
{
	return task->stop.stop == PTRACE_STOP_SECCOMP ||
	       (task->stop.stop == PTRACE_STOP_SYSCALL && task->call.inside);
}

static bool is_at_exit(const struct utrace_task *task)
{
	return task->stop.stop == PTRACE_STOP_SYSCALL && !task->call.inside;
}

/* ---- entry -------------------------------------------------------------------------------------- */

static void report_entry(struct utrace_task *task, uint32_t flags)
{
	struct report report;
	struct pass_regs regs;
	uint64_t stop = task->stops;
	uint32_t answer = UTRACE_SYSCALL_RUN;
	if (!utrace_is_wanted(task, UTRACE_EVENT(SYSCALL_ENTRY)) ||
		utrace_pass_regs_begin(task, &regs) < 0)
		return;
	utrace_report_begin(&report, task, UTRACE_EVENT(SYSCALL_ENTRY));
	struct utrace_engine *first = task->engines, *engine = first ? first->prev : NULL;
	for (; engine; engine = engine == first ? NULL : engine->prev) {
		if (!utrace_report_prepare(&report, engine) ||
			!engine->ops->report_syscall_entry)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t r = engine->ops->report_syscall_entry(
			report.action | answer | flags, engine, &task->regs->now);
		utrace_call_end(&report, engine, r);
		answer = r & UTRACE_SYSCALL_MASK;
	}
	utrace_report_end(&report, true);
	utrace_pass_regs_end(task, &regs);
	if (task->stops != stop)
		return; /* a callback ran it */
	task->call.abort = answer == UTRACE_SYSCALL_ABORT;
	task->call.held = utrace_wants_stop(task);
}

/* After a stop at the entry, when somebody has asked for a report: what others changed meanwhile is
 * shown to all. */
void utrace_repeat_entry(struct utrace_task *task)
{
	/* An interrupt is for the call, too. */
	bool interrupt = task->resume == UTRACE_INTERRUPT;
	task->resume = UTRACE_RESUME;
	task->call.held = false;
	report_entry(task, UTRACE_SYSCALL_RESUMED);
	if (interrupt)
		task->resume = UTRACE_INTERRUPT;
}

static void enter_call(struct utrace_task *task)
{
	task->call =
		(struct traced_call){.inside = true, .disturbed = task->was_interrupting};
	report_entry(task, 0);
}

/* -1 is the number that the kernel skips; the result is what rax holds, -ENOSYS at first. */
void utrace_apply_abort(struct utrace_task *task)
{
	struct user_regs_struct regs;
	if (!task->call.abort || !utrace_is_at_entry(task))
		return;
	task->call.abort = false;
	if (utrace_regs_get(task, &regs) < 0)
		return;
	struct utrace_syscall call;
	if (!task->call.is_known && utrace_fill_syscall(task, &regs, &call) == 0) {
		task->call.is_known = true;
		task->call.number = call.number;
		task->call.arch = call.arch;
	}
	regs.orig_rax = UINT64_MAX;
	(void)!utrace_regs_set(task, &regs); /* -ESRCH: killed, which aborts it too */
}

/* ---- exit --------------------------------------------------------------------------------------- */

static void report_exit(struct utrace_task *task, bool by_hand)
{
	struct report report;
	struct pass_regs regs;
	struct utrace_engine *engine;
	if (!utrace_is_wanted(task, UTRACE_EVENT(SYSCALL_EXIT)) ||
		utrace_pass_regs_begin(task, &regs) < 0)
		return;
	utrace_report_begin(&report, task, UTRACE_EVENT(SYSCALL_EXIT));
	report.by_hand = by_hand;
	DL_FOREACH(task->engines, engine)
	{
		if (!utrace_report_prepare(&report, engine) ||
			!engine->ops->report_syscall_exit)
			continue;
		utrace_call_begin(&report, engine);
		uint32_t answer = engine->ops->report_syscall_exit(
			report.action, engine, &task->regs->now);
		utrace_call_end(&report, engine, answer);
	}
	utrace_report_end(&report, false);
	utrace_pass_regs_end(task, &regs);
}

int utrace_report_end_of_exec(struct utrace_task *task)
{
	uint64_t stop = task->stops;
	report_exit(task, true);
	return task->state == TASK_STOPPED && task->stops == stop ? 0 : -ESRCH;
}

static void leave_call(struct utrace_task *task)
{
	task->call.inside = false;
	task->call.held = false;
	report_exit(task, false);
	/* It was the call that our interruption ended, and no event-stop follows. */
	if ((task->was_interrupting || task->call.disturbed) &&
		task->state == TASK_STOPPED)
		utrace_rewind_after_interrupt(task);
	if (task->step_over && task->state == TASK_STOPPED) {
		task->step_goes_on = false;
		utrace_report_step(task);
	}
}

/* ---- stops -------------------------------------------------------------------------------------- */

void utrace_handle_syscall(struct utrace_task *task)
{
	unsigned long message = 0;
	/* Older kernels do not tell, but the two always alternate. */
	bool is_entry = !task->call.inside;
	if (!task->alternates &&
		task->utrace->backend->get_event_message(task->tid, &message) < 0)
		return;
	task->direction_known = true;
	if (message == EVENT_MESSAGE_ENTRY || message == EVENT_MESSAGE_EXIT)
		is_entry = message == EVENT_MESSAGE_ENTRY;
	if (is_entry)
		enter_call(task);
	else
		leave_call(task);
}

void utrace_handle_seccomp(struct utrace_task *task)
{
	/* Only programs that were launched with a filter, and their children, have these stops. */
	task->filtered = true;
	enter_call(task);
}

/* ---- what an engine sees of a call -------------------------------------------------------------- */

static uint32_t find_arch(struct utrace_task *task, const struct user_regs_struct *regs)
{
	static const uint8_t int80[] = {0xcd, 0x80};
	const struct utrace_backend_ops *backend = task->utrace->backend;
	uint8_t instruction[2] = {0};
	uint32_t arch;
	if (backend->get_syscall_arch(task->tid, &arch) == 0)
		return arch;
	/* before Linux 5.3 */
	if (regs->cs == USER32_CS)
		return AUDIT_ARCH_I386;
	if (backend->read_memory(task->tid, regs->rip - 2, instruction, 2) == 0 &&
		instruction[0] == int80[0] && instruction[1] == int80[1])
		return AUDIT_ARCH_I386;
	return AUDIT_ARCH_X86_64;
}

int utrace_fill_syscall(struct utrace_task *task, const struct user_regs_struct *regs,
	struct utrace_syscall *ret)
{
	if (!utrace_is_at_entry(task) && !is_at_exit(task))
		return -EINVAL;
	bool is_exit = is_at_exit(task);
	struct utrace_syscall call = {
		.arch = task->call.is_known ? task->call.arch : find_arch(task, regs),
		.number = (long)regs->orig_rax,
		.result = (int64_t)regs->rax,
	};
	/* An aborted call has lost its number. */
	if (is_exit && task->call.is_known && call.number == -1)
		call.number = task->call.number;
	if (call.arch == AUDIT_ARCH_I386) {
		const uint64_t args[6] = {(uint32_t)regs->rbx, (uint32_t)regs->rcx,
			(uint32_t)regs->rdx, (uint32_t)regs->rsi, (uint32_t)regs->rdi,
			(uint32_t)regs->rbp};
		call.number = (int32_t)call.number;
		call.result = (int32_t)call.result;
		for (int i = 0; i < 6; i++)
			call.args[i] = args[i];
	} else {
		const uint64_t args[6] = {
			regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
		for (int i = 0; i < 6; i++)
			call.args[i] = args[i];
	}
	*ret = call;
	return 0;
}

int utrace_get_syscall(struct utrace_task *task, struct utrace_syscall *ret)
{
	struct utrace *utrace = task->utrace;
	struct user_regs_struct regs;
	utrace_lock(utrace);
	int r = utrace_regs_get(task, &regs);
	if (r == 0)
		r = utrace_fill_syscall(task, &regs, ret);
	utrace_unlock(utrace);
	return r;
}

static void put_arguments(
	struct user_regs_struct *regs, const struct utrace_syscall *call, bool is_i386)
{
	regs->orig_rax = (uint64_t)call->number;
	if (is_i386) {
		regs->rbx = call->args[0];
		regs->rcx = call->args[1];
		regs->rdx = call->args[2];
		regs->rsi = call->args[3];
		regs->rdi = call->args[4];
		regs->rbp = call->args[5];
		return;
	}
	regs->rdi = call->args[0];
	regs->rsi = call->args[1];
	regs->rdx = call->args[2];
	regs->r10 = call->args[3];
	regs->r8 = call->args[4];
	regs->r9 = call->args[5];
}

int utrace_set_syscall(struct utrace_task *task, const struct utrace_syscall *call)
{
	struct utrace *utrace = task->utrace;
	struct user_regs_struct regs;
	struct utrace_syscall now;
	utrace_lock(utrace);
	int r = utrace_regs_get(task, &regs);
	if (r == 0)
		r = utrace_fill_syscall(task, &regs, &now);
	if (r == 0) {
		regs.rax = (uint64_t)call->result;
		if (utrace_is_at_entry(task))
			put_arguments(&regs, call, now.arch == AUDIT_ARCH_I386);
		r = utrace_regs_set(task, &regs);
	}
	utrace_unlock(utrace);
	return r;
}
