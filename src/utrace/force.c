/* SPDX-License-Identifier: MIT */
/*
 * The default action for a signal that has a handler or is ignored, so that it kills.  Only the process
 * itself can change that: the stopped thread makes the call, on a syscall instruction of the vdso.  It
 * gets its registers back, for the core dump; its process is about to die.
 */
#include <elf.h>
#include <string.h>
#include <sys/syscall.h>

#include "utrace/internal.h"

enum {
	VDSO_MAX = 16384,
	MAX_STOPS = 16,
	RED_ZONE = 128
};

/* struct sigaction as the kernel has it; all zero: SIG_DFL */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static uint64_t find_syscall_instruction(const struct utrace_task *task)
{
	static const uint8_t instruction[] = {0x0f, 0x05};
	uint8_t text[VDSO_MAX];
	uint64_t vdso = 0;
	size_t size = sizeof(text);
	const struct utrace_backend_ops *backend = task->utrace->backend;
	if (proc_read_auxv(task->pid, AT_SYSINFO_EHDR, &vdso) < 0 || !vdso)
		return 0;
	while (size && backend->read_memory(task->tid, vdso, text, size) < 0)
		size -= 4096;
	const uint8_t *found = memmem(text, size, instruction, sizeof(instruction));
	return found ? vdso + (uint64_t)(found - text) : 0;
}

static bool run_to_syscall_stop(struct utrace_task *task)
{
	struct ptrace_event event;
	for (int i = 0; i < MAX_STOPS; i++) {
		if (utrace_run_locked(task, UTRACE_RUN_SYSCALL, &event) < 0)
			return false;
		if (event.stop == PTRACE_STOP_SYSCALL)
			return true;
	}
	return false;
}

void utrace_force_default(struct utrace_task *task, int signal)
{
	const struct utrace_backend_ops *backend = task->utrace->backend;
	const struct kernel_sigaction action = {0};
	struct user_regs_struct saved, regs;
	uint64_t mask, call = find_syscall_instruction(task);
	if (!call || utrace_regs_get(task, &saved) < 0 ||
		backend->get_sigmask(task->tid, &mask) < 0)
		return;
	regs = saved;
	regs.rip = call;
	regs.rax = SYS_rt_sigaction;
	regs.orig_rax = UINT64_MAX;
	regs.rdi = (uint64_t)signal;
	regs.rsi = (saved.rsp - RED_ZONE - sizeof(action)) & ~15ull;
	regs.rdx = 0;
	regs.r10 = 8;
	task->signal = 0;
	if (backend->write_memory(task->tid, regs.rsi, &action, sizeof(action)) < 0 ||
		backend->set_sigmask(task->tid, UINT64_MAX) < 0)
		return;
	if (utrace_regs_set(task, &regs) == 0 && run_to_syscall_stop(task))
		(void)run_to_syscall_stop(task);
	/* Whether it worked or not: what is left to do is to die. */
	(void)!utrace_regs_set(task, &saved);
	(void)!backend->set_sigmask(task->tid, mask);
}
