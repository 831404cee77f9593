/* SPDX-License-Identifier: MIT */
/*
 * From exec to the entry point, past the dynamic linker, with a temporary breakpoint.
 * Constructors of libraries run before it and may create threads and processes:
 * everything is dispatched as usual meanwhile, signals are delivered.
 */
#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/agent.h"
#include "inject/internal.h"

#define SIGTRAP_BIT (1ull << (SIGTRAP - 1))

static int wait_for_entry(struct inject *inject, struct error *err)
{
	struct pollfd fd = {.fd = utrace_fd(inject->utrace), .events = POLLIN};
	while (!inject->holding || !inject->task ||
		!utrace_task_is_stopped(inject->task)) {
		int r = utrace_dispatch(inject->utrace, err);
		if (r < 0)
			return r;
		if (!inject->task)
			return error_set(err, -ESRCH,
				"process %d has exited before it reached its entry point",
				inject->pid);
		if (!inject->holding && poll(&fd, 1, 100) < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

/* The trap was forced: a blocked or ignored SIGTRAP (inherited over exec) has been made
 * default and unblocked by the kernel.  Give it back. */
static int repair_sigtrap(
	struct inject *inject, const struct proc_status *before, struct error *err)
{
	bool ignored = before->sig_ignored & SIGTRAP_BIT;
	bool blocked = before->sig_blocked & SIGTRAP_BIT;
	if (!ignored && !blocked)
		return 0;
	int r = inject_prepare_calls(inject, err);
	if (r < 0)
		return r;
	if (blocked)
		inject->signal_mask |= SIGTRAP_BIT;
	if (!ignored)
		return 0;
	r = inject_scratch(inject, err);
	if (r < 0)
		return r;
	const struct agent_sigaction action = {.handler = (uint64_t)(uintptr_t)SIG_IGN};
	r = remote_memory_write(
		inject->memory_fd, inject->scratch, &action, sizeof(action));
	if (r < 0)
		return r;
	const uint64_t args[6] = {SIGTRAP, inject->scratch, 0, 8};
	return inject_call(inject, "rt_sigaction", SYS_rt_sigaction, args, NULL, err);
}

int inject_run_to_entry(struct inject *inject, struct error *err)
{
	static const unsigned char breakpoint = 0xcc;
	unsigned char original;
	uint64_t entry;
	struct proc_status before = {0};
	int r = inject_check_victim(inject, err);
	if (r == 0)
		r = inject_finish_calls(inject, err);
	if (r < 0)
		return r;
	r = proc_read_auxv(inject->pid, AT_ENTRY, &entry);
	if (r < 0 || !entry)
		return error_set(err, r < 0 ? r : -ENOEXEC,
			"process %d: its entry point is unknown", inject->pid);
	r = proc_read_status(utrace_task_tid(inject->task), &before, err);
	if (r < 0)
		return r;
	r = remote_memory_read(inject->memory_fd, entry, &original, 1);
	if (r == 0)
		r = remote_memory_write(inject->memory_fd, entry, &breakpoint, 1);
	if (r < 0)
		return error_set(err, r,
			"process %d: cannot write to its entry point: %s", inject->pid,
			strerror(-r));
	inject->entry = entry;
	inject->holding = false;
	r = utrace_task_go(inject->task, inject->engine);
	if (r == 0)
		r = wait_for_entry(inject, err);
	inject->entry = 0;
	int back = remote_memory_write(inject->memory_fd, entry, &original, 1);
	if (r < 0)
		return r;
	if (back < 0)
		return error_set(err, back,
			"process %d: cannot restore its entry point: %s", inject->pid,
			strerror(-back));
	return repair_sigtrap(inject, &before, err);
}
