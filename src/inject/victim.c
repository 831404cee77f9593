/* SPDX-License-Identifier: MIT */
/*
 * The victim: the one thread that makes our system calls.
 *
 * It is held by an engine of ours.  The first remote call prepares it: the program's
 * signals are blocked, and it is moved to a stop whose registers are its own, to be
 * changed freely: out of an exec-, fork- or signal-delivery-stop, where the kernel still
 * has a return value or a handler frame to write, by asking for an event-stop and letting
 * it run there.
 *
 * Between calls the victim has its own registers.  It is not let go from the
 * syscall-exit-stop of the last call: the kernel resolves -ERESTART codes only on its way
 * through signal delivery, and our calls have cleared the request for that.  So before it
 * runs, another event-stop is asked for, the registers (with rax = -ERESTART... and
 * orig_rax) are written there, and the kernel restarts the interrupted call as if nothing
 * had been.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "inject/internal.h"

enum {
	STOP_TIMEOUT_MS = 1000,
	MAX_CANDIDATES = 256
};

/* What a thread does, the best victim first. */
enum rank {
	RANK_RUNNING,
	RANK_AT_REST, /* waits, and never learns that the wait was interrupted */
	RANK_WAITING, /* may learn: a receive with a timeout ends in EINTR */
	RANK_IN_CALL, /* any other call */
	RANK_WRITING, /* may have been half done: rather not */
	RANK_VSYSCALL,
	RANK_UNSTOPPABLE, /* now */
	RANK_DEAD
};

#define BIT(signal) (1ull << ((signal)-1))
/* Raised by the thread's own instructions; forcing a blocked one would reset its
 * disposition. */
#define SYNCHRONOUS                                                              \
	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | \
		BIT(SIGSYS))

/* ---- engine
 * -------------------------------------------------------------------------------------
 */

static uint32_t report_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	const struct inject *inject = utrace_engine_data(engine);
	return inject->holding ? UTRACE_STOP : UTRACE_RESUME;
}

static uint32_t report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct inject *inject = utrace_engine_data(engine);
	uint32_t keep = action & UTRACE_SIGNAL_MASK;
	/* another engine may have moved it back already */
	if (inject->entry && info->si_signo == SIGTRAP && info->si_code == SI_KERNEL &&
		(regs->rip == inject->entry + 1 || regs->rip == inject->entry)) {
		regs->rip = inject->entry;
		inject->holding = true;
		return UTRACE_STOP | UTRACE_SIGNAL_IGN;
	}
	return keep | (inject->holding ? UTRACE_STOP : UTRACE_RESUME);
}

static uint32_t report_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct inject *inject = utrace_engine_data(engine);
	inject->task = NULL;
	return UTRACE_DETACH;
}

static const struct utrace_engine_ops victim_ops = {
	.report_quiesce = report_quiesce,
	.report_signal = report_signal,
	.report_death = report_death,
};

static void drop_engine(struct inject *inject)
{
	inject_erase_stub(inject);
	struct utrace_task *task = utrace_engine_task(inject->engine);
	inject->holding = false;
	/* where it cannot be led back it makes its call as any other */
	if (task && utrace_task_is_stopped(task))
		(void)!utrace_task_return_to_call(task, true);
	if (task)
		(void)!utrace_control(task, inject->engine, UTRACE_DETACH);
	utrace_engine_put(inject->engine);
	inject->engine = NULL;
	inject->task = NULL;
	inject->calling = false;
	inject->scratch = 0;
}

int inject_check_victim(const struct inject *inject, struct error *err)
{
	if (inject->task && utrace_task_is_stopped(inject->task))
		return 0;
	return error_set(err, -ESRCH,
		"process %d: the thread that makes our calls has exited", inject->pid);
}

/* ---- taking
 * ---------------------------------------------------------------------------------------
 */

/*
 * A thread interrupted inside a restartable sequence: the kernel would move it to the
 * abort handler before it runs again, but our calls run code outside the sequence first,
 * after which the kernel takes it for left in good order.  So abort it here.
 */
static void abort_rseq(struct inject *inject)
{
	struct { /* <linux/rseq.h> */
		uint32_t version, flags;
		uint64_t start_ip, post_commit_offset, abort_ip;
	} section;
	struct user_regs_struct regs;
	uint64_t rseq = 0, address = 0;
	const uint64_t none = 0, rseq_cs_offset = 8;
	int fd = inject->memory_fd;
	if (ptrace_get_rseq(utrace_task_tid(inject->task), &rseq) < 0 || !rseq)
		return;
	if (remote_memory_read(fd, rseq + rseq_cs_offset, &address, sizeof(address)) <
			0 ||
		!address)
		return;
	if (remote_memory_read(fd, address, &section, sizeof(section)) < 0 ||
		utrace_get_regs(inject->task, &regs) < 0)
		return;
	if (regs.rip - section.start_ip >= section.post_commit_offset)
		return;
	regs.rip = section.abort_ip;
	if (remote_memory_write(fd, rseq + rseq_cs_offset, &none, sizeof(none)) == 0)
		(void)!utrace_set_regs(inject->task, &regs);
}

/* A fault (or breakpoint) of an instruction of its own, that has not been reported yet: the
 * interrupt came before it.  Those are forced: one that is blocked is not such a one. */
static bool has_fault_pending(pid_t tid)
{
	struct proc_status status;
	return proc_read_status(tid, &status, NULL) == 0 &&
	       status.sig_pending & ~status.sig_blocked & SYNCHRONOUS;
}

static int hold_again(struct inject *inject, struct utrace_task *task, struct error *err)
{
	int r = utrace_control(task, inject->engine, UTRACE_RESUME);
	if (r == 0)
		r = utrace_control(task, inject->engine, UTRACE_STOP);
	return r == -EINPROGRESS ? utrace_wait_stopped(task, STOP_TIMEOUT_MS, err) : r;
}

static void learn_about_filters(struct inject *inject)
{
	inject->can_unfilter = utrace_task_suspend_filters(inject->task, true) == 0 &&
			       utrace_task_suspend_filters(inject->task, false) == 0;
}

int inject_take_task(struct inject *inject, struct utrace_task *task, struct error *err)
{
	int r = utrace_attach_task(
		task, UTRACE_ATTACH_CREATE, &victim_ops, inject, &inject->engine);
	if (r < 0)
		return error_set(err, r, "cannot hold thread %d: %s",
			utrace_task_tid(task), strerror(-r));
	inject->task = task;
	inject->holding = true;
	r = utrace_set_events(task, inject->engine,
		UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(DEATH) | UTRACE_EVENT_SIGNAL_ALL);
	if (r == 0)
		r = utrace_control(task, inject->engine, UTRACE_STOP);
	if (r == -EINPROGRESS)
		r = utrace_wait_stopped(task, STOP_TIMEOUT_MS, err);
	if (r == 0 && inject->task && has_fault_pending(utrace_task_tid(task))) {
		/* It must be delivered with the registers it was raised with. */
		r = utrace_control(task, inject->engine, UTRACE_RESUME);
		if (r == 0)
			r = utrace_wait_stopped(task, STOP_TIMEOUT_MS, err);
	}
	/* At a call that engines hear of: its end is to be reported, too. */
	if (r == 0 && inject->task && utrace_task_is_at_call(task))
		r = hold_again(inject, task, err);
	if (r == 0 && inject->task && utrace_task_is_at_call(task))
		r = error_set(err, -EBUSY, "thread %d is held by another engine",
			utrace_task_tid(task));
	bool is_exiting = !inject->task || utrace_task_stop(task) == PTRACE_STOP_EXIT;
	if (r == 0 && is_exiting)
		r = error_set(err, -ESRCH, "process %d has exited", inject->pid);
	if (r == 0 && utrace_task_stop(task) == PTRACE_STOP_VFORK)
		r = error_set(err, -EBUSY, "thread %d waits for its vfork child",
			utrace_task_tid(task));
	if (r < 0)
		drop_engine(inject);
	else
		learn_about_filters(inject);
	return r;
}

static enum rank rank_call(long number)
{
	switch (number) {
	case SYS_futex:
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_restart_syscall:
		return RANK_AT_REST;
	case SYS_accept:
	case SYS_accept4:
	case SYS_read:
		return RANK_WAITING;
	case SYS_vfork: /* not interruptible until the child has called exec */
	case SYS_clone:
	case SYS_clone3:
	case SYS_execve:
	case SYS_execveat:
	case SYS_exit:
	case SYS_exit_group:
		return RANK_UNSTOPPABLE;
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case -1: /* not in a call, e.g. waiting for a page */
		return RANK_WRITING;
	default:
		return RANK_IN_CALL;
	}
}

static enum rank rank_task(pid_t pid, pid_t tid)
{
	const uint64_t vsyscall_page = 0xffffffffff600000;
	struct proc_syscall call;
	struct proc_stat stat;
	if (proc_read_syscall(pid, tid, &call) < 0 || proc_read_stat(tid, &stat) < 0)
		return RANK_DEAD;
	if (stat.state == 'Z' || stat.state == 'X')
		return RANK_DEAD;
	if (call.running)
		return RANK_RUNNING;
	if (stat.state == 'D')
		return RANK_UNSTOPPABLE;
	return (call.pc & ~0xfffull) == vsyscall_page ? RANK_VSYSCALL
						      : rank_call(call.number);
}

struct candidate {
	pid_t tid;
	enum rank rank;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->rank != y->rank)
		return (int)x->rank - (int)y->rank;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Of the threads from @first to @last in rank.  -EBUSY: all are where they cannot be stopped. */
static int take_best(
	struct inject *inject, enum rank first, enum rank last, struct error *err)
{
	struct candidate candidates[MAX_CANDIDATES];
	size_t count = 0;
	struct utrace_task *task = utrace_first_task(inject->utrace, inject->pid);
	for (; task && count < MAX_CANDIDATES;
		task = utrace_next_task(task, inject->pid)) {
		pid_t tid = utrace_task_tid(task);
		enum rank rank = rank_task(inject->pid, tid);
		if (rank >= first && rank <= last)
			candidates[count++] = (struct candidate){tid, rank};
	}
	qsort(candidates, count, sizeof(candidates[0]), compare_candidates);
	bool busy = false;
	for (size_t i = 0; i < count; i++) {
		task = utrace_find_task(inject->utrace, candidates[i].tid);
		if (!task)
			continue;
		int r = inject_take_task(inject, task, err);
		if (r != -ESRCH && r != -ETIMEDOUT && r != -EBUSY)
			return r;
		busy = busy || r != -ESRCH;
	}
	if (busy)
		return error_set(err, -EBUSY,
			"no thread of process %d can be stopped now", inject->pid);
	return error_set(err, -ESRCH, "process %d has exited", inject->pid);
}

/* Threads in vfork come back soon, and all threads that were known may have ended while others
 * began. */
int inject_take_victim(struct inject *inject, struct error *err)
{
	const struct timespec pause = {0, 10000000};
	int r = 0;
	if (inject->task)
		return 0;
	if (inject->engine)
		drop_engine(inject); /* its victim died */
	for (int attempt = 0; attempt < 100; attempt++) {
		r = take_best(inject, RANK_RUNNING, RANK_UNSTOPPABLE, err);
		if (r != -EBUSY && r != -ESRCH)
			return r;
		if (r == -ESRCH && !utrace_first_task(inject->utrace, inject->pid))
			return r;
		nanosleep(&pause, NULL);
		int s = utrace_dispatch(inject->utrace, err);
		if (s < 0)
			return s;
	}
	return r;
}

bool inject_take_at_rest(struct inject *inject)
{
	struct error ignored;
	/* It makes the call anew that it is taken out of: a filter that comes meanwhile is not to be asked. */
	if (inject->task || !inject->can_unfilter)
		return false;
	if (inject->engine)
		drop_engine(inject); /* its victim died */
	return take_best(inject, RANK_AT_REST, RANK_AT_REST, &ignored) == 0;
}

/* ---- before and after calls
 * ------------------------------------------------------------------------- */

/* Run to an event-stop: no user instruction runs.  A group-stop that comes in between is
 * one. */
static int run_to_event_stop(struct inject *inject)
{
	for (int i = 0; i < 64; i++) {
		struct ptrace_event event;
		int r = utrace_task_run(inject->task, UTRACE_RUN_INTERRUPT, &event);
		if (r < 0)
			return r;
		if (event.stop == PTRACE_STOP_INTERRUPT ||
			event.stop == PTRACE_STOP_GROUP)
			return 0;
	}
	return -EBUSY;
}

int inject_prepare_calls(struct inject *inject, struct error *err)
{
	int r = inject_check_victim(inject, err);
	if (r < 0 || inject->calling)
		return r;
	pid_t tid = utrace_task_tid(inject->task);
	enum ptrace_stop stop = utrace_task_stop(inject->task);
	if (stop == PTRACE_STOP_VFORK)
		return error_set(err, -EBUSY, "thread %d waits for its vfork child", tid);
	if (stop != PTRACE_STOP_INTERRUPT && stop != PTRACE_STOP_GROUP) {
		r = run_to_event_stop(inject);
		if (r < 0)
			return error_set(err, r, "thread %d cannot be used: %s", tid,
				strerror(-r));
	}
	abort_rseq(inject);
	r = ptrace_get_sigmask(tid, &inject->signal_mask);
	step();
	if (r == 0)
		r = ptrace_set_sigmask(tid, inject->signal_mask | ~SYNCHRONOUS);
	if (r < 0)
		return error_set(err, r, "cannot block the signals of thread %d: %s", tid,
			strerror(-r));
	inject->calling = true;
	inject->is_unfiltered = inject->can_unfilter &&
				utrace_task_suspend_filters(inject->task, true) == 0;
	return 0;
}

static void unmap_scratch(struct inject *inject)
{
	const uint64_t args[6] = {inject->scratch, 4096};
	int64_t result;
	if (inject->scratch)
		(void)!inject_syscall(inject, SYS_munmap, args, &result, NULL);
	inject->scratch = 0;
}

int inject_finish_calls(struct inject *inject, struct error *err)
{
	struct user_regs_struct regs;
	if (!inject->calling)
		return 0;
	int r = inject_check_victim(inject, err);
	if (r < 0)
		return r;
	unmap_scratch(inject);
	r = utrace_get_regs(inject->task, &regs);
	if (r == 0 && utrace_task_stop(inject->task) == PTRACE_STOP_SYSCALL)
		r = run_to_event_stop(inject);
	step();
	if (r == 0)
		r = utrace_set_regs(inject->task, &regs);
	step();
	if (r == 0)
		r = ptrace_set_sigmask(
			utrace_task_tid(inject->task), inject->signal_mask);
	step();
	inject_erase_stub(inject);
	/* -ESRCH: it was killed */
	if (inject->is_unfiltered)
		(void)!utrace_task_suspend_filters(inject->task, false);
	inject->calling = inject->is_unfiltered = false;
	if (r < 0)
		return error_set(err, r,
			"process %d: the thread that made our calls has exited",
			inject->pid);
	return 0;
}

int inject_release_victim(struct inject *inject, struct error *err)
{
	int r = inject->task ? inject_finish_calls(inject, err) : 0;
	if (inject->engine)
		drop_engine(inject);
	return r;
}
