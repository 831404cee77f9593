/* SPDX-License-Identifier: MIT */
/* System calls in the target, and what every user of them needs: a page for their
 * arguments. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/internal.h"

/* ---- one call
 * ---------------------------------------------------------------------------------------
 */

/*
 * To the next syscall-stop.  SIGSTOP cannot be blocked: it is delivered at once, and the
 * group-stop that follows is left again; inject_finish_calls() ends in the group-stop.
 * Others that arrive can only be our doing (a filter's SIGSYS).
 */
static int run_to_syscall_stop(struct inject *inject)
{
	for (int i = 0; i < 64; i++) {
		struct ptrace_event event;
		int r = utrace_task_run(inject->task, UTRACE_RUN_SYSCALL, &event);
		if (r < 0)
			return r;
		switch (event.stop) {
		case PTRACE_STOP_SYSCALL:
			return 0;
		case PTRACE_STOP_SIGNAL:
			if (event.value == SIGSTOP)
				break;
			return event.value == SIGSYS ? -EPERM : -EFAULT;
		case PTRACE_STOP_GROUP:
		case PTRACE_STOP_INTERRUPT:
			break;
		case PTRACE_STOP_EXITED:
		case PTRACE_STOP_KILLED:
		case PTRACE_STOP_CLONE:
		case PTRACE_STOP_FORK:
		case PTRACE_STOP_VFORK:
		case PTRACE_STOP_VFORK_DONE:
		case PTRACE_STOP_EXEC:
		case PTRACE_STOP_EXIT:
		case PTRACE_STOP_SECCOMP:
		case PTRACE_STOP_UNKNOWN:
			return -EIO;
		}
	}
	return -EIO;
}

static int explain_call(const struct inject *inject, int code, struct error *err)
{
	if (code == -EPERM)
		return error_set(err, code,
			"process %d: its seccomp filter refuses our system call",
			inject->pid);
	if (code == -ESRCH)
		return error_set(err, code,
			"process %d: the thread that makes our calls has exited",
			inject->pid);
	return error_set(err, code, "process %d: cannot make a system call in it: %s",
		inject->pid, strerror(-code));
}

/* It may have been put on since the last call, by the program itself. */
static int check_filter(const struct inject *inject, struct error *err)
{
	struct proc_status status;
	int r = inject_check_victim(inject, err);
	if (r == 0)
		r = proc_read_status(utrace_task_tid(inject->task), &status, err);
	return r < 0 ? r : inject_check_seccomp(&status, inject->force, err);
}

/*
 * At the entry of a call of ours: another thread may have put a filter on all since the last look.  What was
 * not filtered yet will not be, the kernel has looked before us; but that cannot be seen, so the call becomes
 * one that does nothing, and that hardly a filter forbids.
 */
static int defuse(struct inject *inject, struct error *err)
{
	struct user_regs_struct regs;
	if (inject->is_unfiltered)
		return 0;
	int filtered = check_filter(inject, err);
	if (filtered >= 0)
		return 0;
	int r = utrace_get_regs(inject->task, &regs);
	if (r < 0)
		return r;
	regs.orig_rax = SYS_write;
	regs.rdi = UINT64_MAX; /* no such file */
	regs.rsi = regs.rdx = 0;
	r = utrace_set_regs(inject->task, &regs);
	return r < 0 ? r : filtered;
}

/* A signal that a failed call has raised must not reach the program. */
static void drop_raised_signal(struct inject *inject)
{
	if (inject->task && utrace_task_stop(inject->task) == PTRACE_STOP_SIGNAL)
		utrace_drop_signal(inject->task);
}

int inject_syscall(struct inject *inject, long number, const uint64_t args[6],
	int64_t *ret, struct error *err)
{
	struct user_regs_struct saved, regs;
	int r = inject->is_unfiltered ? inject_check_victim(inject, err)
				      : check_filter(inject, err);
	if (r == 0)
		r = inject_prepare_calls(inject, err);
	if (r < 0)
		return r;
	r = utrace_get_regs(inject->task, &saved);
	if (r == 0)
		r = inject_write_stub(inject, &saved);
	if (r < 0)
		return explain_call(inject, r, err);
	regs = saved;
	regs.rip = inject->stub.address;
	regs.rax = (uint64_t)number;
	regs.orig_rax = UINT64_MAX; /* nothing to restart */
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	step();
	r = utrace_set_regs(inject->task, &regs);
	step();
	if (r == 0)
		r = run_to_syscall_stop(inject);
	step();
	int filtered = r == 0 ? defuse(inject, err) : 0;
	if (r == 0)
		r = run_to_syscall_stop(inject);
	step();
	int got = r == 0 ? utrace_get_regs(inject->task, &regs) : 0;
	if (r < 0)
		drop_raised_signal(inject);
	/* Whatever happened: the program's registers are its own again. */
	int back = inject->task ? utrace_set_regs(inject->task, &saved) : -ESRCH;
	step();
	if (r < 0 || got < 0 || back < 0)
		return explain_call(inject, r < 0 ? r : (got < 0 ? got : back), err);
	if (filtered < 0)
		return filtered;
	*ret = (int64_t)regs.rax;
	return 0;
}

int inject_call(struct inject *inject, const char *name, long number,
	const uint64_t args[6], uint64_t *ret, struct error *err)
{
	int64_t result;
	int r = inject_syscall(inject, number, args, &result, err);
	if (r < 0)
		return r;
	if (result < 0 && result > -4096)
		return error_set(err, (int)result, "process %d: %s failed in it: %s",
			inject->pid, name, strerror((int)-result));
	if (ret)
		*ret = (uint64_t)result;
	return 0;
}

int inject_scratch(struct inject *inject, struct error *err)
{
	const uint64_t args[6] = {0, 4096, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0};
	if (inject->scratch)
		return 0;
	return inject_call(inject, "mmap", SYS_mmap, args, &inject->scratch, err);
}
