/* SPDX-License-Identifier: MIT */
/*
 * Signals that come while a thread runs our code.
 *
 * A program's handler may look where it was interrupted (profilers, garbage collectors, runtimes that
 * preempt), and no address of ours means anything to it.  So a signal that would run a handler is held
 * back, and the thread is stepped until it is in the program's text again, with every register and the
 * stack as the program has them: a few instructions of a trampoline, or the rest of a probe's handler.
 * Then the signal is delivered there, with all that came with it.  Others are blocked meanwhile, so that
 * they come in the order the kernel has them; the journal knows, in case the tracer is killed then.
 *
 * What is not waited for: a displaced system call, which may block for ever.  Where its text is the
 * program's own still, the thread is shown there; else the signal is delivered where it is.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	STEPS_MAX =
		200000, /* handlers are bounded; this is for those that wait for ever */
	PUSHF = 0x9c,
	SYSCALL_SIZE = 2
};

bool deferred_has(const struct uprobe_space *space, pid_t tid)
{
	for (size_t i = 0; i < space->deferred.count; i++)
		if (space->deferred.items[i].tid == tid)
			return true;
	return false;
}

static struct deferred_signal *find(struct uprobe_space *space, pid_t tid)
{
	for (size_t i = 0; i < space->deferred.count; i++)
		if (space->deferred.items[i].tid == tid)
			return &space->deferred.items[i];
	return NULL;
}

/* Not those which the thread's own instruction caused: what they tell about is where it is. */
static bool is_asynchronous(const siginfo_t *info)
{
	switch (info->si_signo) {
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
	case SIGTRAP:
	case SIGSYS:
		return info->si_code <= 0;
	default:
		return true;
	}
}

static bool is_step(uint32_t action, const siginfo_t *info)
{
	uint32_t signal_action = action & UTRACE_SIGNAL_MASK;

	/* the step's end may be reported when somebody else had the thread stopped meanwhile */
	return signal_action == UTRACE_SIGNAL_REPORT ||
	       signal_action == UTRACE_SIGNAL_HANDLER ||
	       (info->si_signo == SIGTRAP && info->si_code > 0 &&
		       info->si_code != SI_KERNEL);
}

static bool is_syscall_at(const struct uprobe_space *space, uint64_t address)
{
	static const uint8_t syscall_instruction[SYSCALL_SIZE] = {0x0f, 0x05};
	uint8_t bytes[SYSCALL_SIZE];

	return remote_memory_read(space->memory_fd, address, bytes, sizeof(bytes)) >= 0 &&
	       memcmp(bytes, syscall_instruction, sizeof(bytes)) == 0;
}

static struct uprobe_site *site_of_trampoline(struct uprobe_space *space, uint64_t pc)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->trampoline && pc - site->trampoline < site->trampoline_size)
			return site;
	}
	return NULL;
}

/* At or just behind a displaced system call. */
static bool is_in_call(
	const struct uprobe_space *space, const struct user_regs_struct *regs)
{
	if (arena_image_contains(space, regs->rip))
		return false;
	return is_syscall_at(space, regs->rip) ||
	       ((int64_t)regs->orig_rax >= 0 &&
		       is_syscall_at(space, regs->rip - SYSCALL_SIZE));
}

static void show_call_at_home(struct uprobe_space *space, struct user_regs_struct *regs)
{
	const struct uprobe_site *site = site_of_trampoline(space, regs->rip);
	uint64_t home;

	/* the kernel may go back to the instruction itself, to run it again */
	if (site && site_home(site, regs->rip, &home) &&
		home - site->address >= site->size + (uint64_t)SYSCALL_SIZE)
		regs->rip = home;
}

/* On the second of two jumps, in padding beside the function: nothing of the site has happened yet. */
static void leave_padding(struct uprobe_space *space, struct user_regs_struct *regs)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		if (site->form == ARCH_PATCH_JUMP_SHORT && site->state == SITE_LIVE &&
			site->padding == regs->rip)
			regs->rip = site->address;
	}
}

static uint32_t step_on(struct uprobe_space *space, struct deferred_signal *d,
	const struct user_regs_struct *regs, uint32_t signal_action)
{
	uint8_t byte = 0;

	d->steps++;
	d->at_pushf = remote_memory_read(space->memory_fd, regs->rip, &byte, 1) >= 0 &&
		      byte == PUSHF;
	return UTRACE_SINGLESTEP | signal_action;
}

/* A stepped pushf pushes the flag that makes the processor step. */
static void mend_pushed_flags(struct uprobe_space *space, struct deferred_signal *d,
	const struct user_regs_struct *regs)
{
	uint64_t flags;

	if (!d->at_pushf || remote_memory_read(space->memory_fd, regs->rsp, &flags,
				    sizeof(flags)) < 0)
		return;
	flags &= ~(uint64_t)TRAP_FLAG;
	if (remote_memory_write(space->memory_fd, regs->rsp, &flags, sizeof(flags)) < 0)
		return; /* the thread was killed */
}

static void unblock(struct uprobe_space *space, struct deferred_signal *d)
{
	(void)!ptrace_set_sigmask(d->tid, d->mask); /* -ESRCH: it was killed */
	journal_drop_victim(&space->journal, d->journal);
}

static uint32_t deliver(
	struct uprobe_space *space, struct deferred_signal *d, siginfo_t *info)
{
	*info = d->info;
	unblock(space, d);
	*d = space->deferred.items[--space->deferred.count];
	return UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
}

static bool has_to_go_on(const struct uprobe_space *space,
	const struct deferred_signal *d, const struct user_regs_struct *regs)
{
	return arena_contains(space, regs->rip) && d->steps < STEPS_MAX &&
	       !is_in_call(space, regs);
}

static bool block(struct uprobe_space *space, pid_t tid, const siginfo_t *info,
	struct deferred_signal *ret)
{
	struct abi_journal_victim victim = {
		.pid = (uint32_t)space->pid, .tid = (uint32_t)tid};

	*ret = (struct deferred_signal){.tid = tid, .info = *info};
	/* Without the front, or with its signal blocked, a step would outlive a killed tracer.  In a bare
	 * process there never is a front, and a breakpoint would as well. */
	bool survives = space->is_bare ||
			(space->front_signals & ~space->front_lost & SIGNAL_BIT(SIGTRAP));
	if (!survives || ptrace_get_sigmask(tid, &ret->mask) < 0 ||
		ret->mask & SIGNAL_BIT(SIGTRAP))
		return false;
	victim.mask = ret->mask;
	_Static_assert(sizeof(*info) <= sizeof(victim.stub_original),
		"the journal holds a signal");
	memcpy(victim.stub_original, info, sizeof(*info));
	ret->journal = journal_add_victim(&space->journal, &victim);
	if (ret->journal == JOURNAL_NONE)
		return false;
	step();
	if (ptrace_set_sigmask(tid, ret->mask | ~SIGNALS_SYNCHRONOUS) >= 0)
		return true;
	journal_drop_victim(&space->journal, ret->journal);
	return false;
}

static bool begin(struct uprobe_space *space, pid_t tid, struct user_regs_struct *regs,
	const siginfo_t *info, uint32_t *ret)
{
	struct deferred_signal deferred, *d;

	if (!arena_contains(space, regs->rip)) {
		leave_padding(space, regs);
		return false;
	}
	if (is_in_call(space, regs)) {
		show_call_at_home(space, regs);
		return false;
	}
	if (!block(space, tid, info, &deferred))
		return false;
	d = vec_push(&space->deferred);
	*d = deferred;
	*ret = step_on(space, d, regs, UTRACE_SIGNAL_IGN);
	return true;
}

/*
 * To be asked at every signal that signal_resolve() gave no notice of, and, while one is held back, at
 * every report that *ret asked for.  @info becomes the signal that was held back when it is time for it.
 * Return: true: *ret is the answer of the callback.
 */
static bool defer(struct uprobe_space *space, struct utrace_task *task, uint32_t action,
	bool ours, struct user_regs_struct *regs, siginfo_t *info, uint32_t *ret)
{
	pid_t tid = utrace_task_tid(task);
	struct deferred_signal *d = find(space, tid);
	uint32_t signal_action = action & UTRACE_SIGNAL_MASK;

	/* of a step that was under way when the signal was sent again instead; not a program's own */
	if (!d && !ours && info->si_signo == SIGTRAP && info->si_code == TRAP_TRACE &&
		!(regs->eflags & TRAP_FLAG)) {
		*ret = UTRACE_RESUME | UTRACE_SIGNAL_IGN;
		return true;
	}
	if (!d)
		return !ours && signal_action == UTRACE_SIGNAL_DELIVER &&
		       is_asynchronous(info) && begin(space, tid, regs, info, ret);
	if (!ours && is_step(action, info)) {
		mend_pushed_flags(space, d, regs);
	} else if (!ours) {
		/* a fault of a displaced instruction, with a handler of its own to run first */
		*ret = step_on(space, d, regs, signal_action);
		return true;
	}
	if (has_to_go_on(space, d, regs)) {
		*ret = step_on(space, d, regs, UTRACE_SIGNAL_IGN);
		return true;
	}
	if (arena_contains(space, regs->rip))
		show_call_at_home(space, regs);
	*ret = deliver(space, d, info);
	return true;
}

bool uprobe_report_signal(struct uprobe_space *space, struct utrace_task *task,
	uint32_t action, struct user_regs_struct *regs, siginfo_t *info,
	const void **ret_notice, uint32_t *ret)
{
	*ret_notice = NULL;
	*ret = UTRACE_RESUME | (action & UTRACE_SIGNAL_MASK);
	if (!space)
		return false;
	bool ours = signal_resolve(space, task, regs, info, ret_notice);
	if (!*ret_notice && defer(space, task, action, ours, regs, info, ret))
		return false;
	return ours;
}

void deferred_send(pid_t pid, pid_t tid, siginfo_t info)
{
	/* only the kernel may send its own */
	if (info.si_code >= 0 || info.si_code == SI_TKILL)
		info.si_code = SI_QUEUE;
	(void)!syscall(SYS_rt_tgsigqueueinfo, pid, tid, info.si_signo, &info);
}

static void give_back(struct uprobe_space *space, struct deferred_signal *d)
{
	deferred_send(space->pid, d->tid, d->info);
	unblock(space, d);
	*d = space->deferred.items[--space->deferred.count];
}

/*
 * Somebody else's stop came between a step that was asked for and the step: it runs without any.  There
 * is no signal whose place the one held back could take, so that is sent again.
 */
static void finish(struct uprobe_space *space, pid_t tid)
{
	struct utrace_task *task = utrace_find_task(space->session.utrace, tid);
	struct held_thread thread;
	struct user_regs_struct regs;
	struct error err;

	if (!task || thread_stop(task, &thread, &err) < 0)
		return;
	struct deferred_signal *d = find(space, tid);
	if (d && thread_regs(&thread, &regs) >= 0 && !arena_contains(space, regs.rip))
		give_back(space, d);
	thread_resume(&thread);
}

void uprobe_defer_settle(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->deferred.count; i++) {
		struct deferred_signal *d = &space->deferred.items[i];
		bool stalled = d->steps == d->steps_seen;
		d->steps_seen = d->steps;
		if (stalled)
			finish(space, d->tid);
	}
}

void deferred_give_back(struct uprobe_space *space)
{
	while (space->deferred.count)
		give_back(space, &space->deferred.items[0]);
	vec_free(&space->deferred);
}
