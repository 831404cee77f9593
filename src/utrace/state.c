/* SPDX-License-Identifier: MIT */
/* Registers, signals and memory of tasks. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "utrace/internal.h"

/* ---- registers in a pass ------------------------------------------------------------------------ */

/*
 * Callbacks get a pointer to registers, and may call utrace_get_regs() and utrace_set_regs() on the same
 * task: both are the same registers, written to the thread after each callback.
 */
int utrace_pass_regs_begin(struct utrace_task *task, struct pass_regs *regs)
{
	int r = utrace_regs_get(task, &regs->now);
	if (r < 0)
		return r;
	regs->written = regs->now;
	regs->outer = task->regs;
	task->regs = regs;
	return 0;
}

void utrace_pass_regs_flush(struct utrace_task *task)
{
	struct pass_regs *regs = task->regs;
	if (!regs || task->state != TASK_STOPPED ||
		memcmp(&regs->now, &regs->written, sizeof(regs->now)) == 0)
		return;
	/* -ESRCH: killed; nothing reads them any more */
	(void)!task->utrace->backend->set_regs(task->tid, &regs->now);
	regs->written = regs->now;
}

void utrace_pass_regs_reread(struct utrace_task *task)
{
	struct pass_regs *regs = task->regs;
	if (!regs || task->state != TASK_STOPPED ||
		task->utrace->backend->get_regs(task->tid, &regs->now) < 0)
		return;
	regs->written = regs->now;
}

void utrace_pass_regs_end(struct utrace_task *task, struct pass_regs *regs)
{
	utrace_pass_regs_flush(task);
	task->regs = regs->outer;
	if (task->regs)
		utrace_pass_regs_reread(task);
}

int utrace_regs_get(struct utrace_task *task, struct user_regs_struct *ret)
{
	if (task->state != TASK_STOPPED)
		return -ESRCH;
	if (task->regs) {
		*ret = task->regs->now;
		return 0;
	}
	return task->utrace->backend->get_regs(task->tid, ret);
}

int utrace_regs_set(struct utrace_task *task, const struct user_regs_struct *regs)
{
	if (task->state != TASK_STOPPED)
		return -ESRCH;
	int r = task->utrace->backend->set_regs(task->tid, regs);
	if (r == 0 && task->regs)
		task->regs->now = task->regs->written = *regs;
	return r;
}

int utrace_get_regs(struct utrace_task *task, struct user_regs_struct *ret)
{
	utrace_lock(task->utrace);
	int r = utrace_regs_get(task, ret);
	utrace_unlock(task->utrace);
	return r;
}

int utrace_set_regs(struct utrace_task *task, const struct user_regs_struct *regs)
{
	utrace_lock(task->utrace);
	int r = utrace_regs_set(task, regs);
	utrace_unlock(task->utrace);
	return r;
}

/* ---- register sets ------------------------------------------------------------------------------ */

static bool is_stopped(const struct utrace_task *task)
{
	return utrace_task_is_stopped(task);
}

int utrace_get_regset(struct utrace_task *task, unsigned type, void *buffer, size_t *size)
{
	return is_stopped(task)
		       ? task->utrace->backend->get_regset(task->tid, type, buffer, size)
		       : -ESRCH;
}

int utrace_set_regset(
	struct utrace_task *task, unsigned type, const void *buffer, size_t size)
{
	if (!is_stopped(task))
		return -ESRCH;
	utrace_lock(task->utrace);
	utrace_pass_regs_flush(task);
	int r = task->utrace->backend->set_regset(task->tid, type, buffer, size);
	utrace_pass_regs_reread(task);
	utrace_unlock(task->utrace);
	return r;
}

int utrace_get_fpregs(struct utrace_task *task, struct user_fpregs_struct *ret)
{
	size_t size = sizeof(*ret);
	return utrace_get_regset(task, NT_PRFPREG, ret, &size);
}

int utrace_set_fpregs(struct utrace_task *task, const struct user_fpregs_struct *regs)
{
	return utrace_set_regset(task, NT_PRFPREG, regs, sizeof(*regs));
}

/* ---- signals ------------------------------------------------------------------------------------ */

int utrace_get_siginfo(struct utrace_task *task, siginfo_t *ret)
{
	return is_stopped(task) ? task->utrace->backend->get_siginfo(task->tid, ret)
				: -ESRCH;
}

int utrace_set_siginfo(struct utrace_task *task, const siginfo_t *info)
{
	return is_stopped(task) ? task->utrace->backend->set_siginfo(task->tid, info)
				: -ESRCH;
}

int utrace_get_sigmask(struct utrace_task *task, uint64_t *ret)
{
	return is_stopped(task) ? task->utrace->backend->get_sigmask(task->tid, ret)
				: -ESRCH;
}

int utrace_set_sigmask(struct utrace_task *task, uint64_t mask)
{
	return is_stopped(task) ? task->utrace->backend->set_sigmask(task->tid, mask)
				: -ESRCH;
}

/* ---- memory ------------------------------------------------------------------------------------- */

int utrace_read_memory(
	struct utrace_task *task, uint64_t address, void *bytes, size_t size)
{
	return task->utrace->backend->read_memory(
		utrace_task_tid(task), address, bytes, size);
}

int utrace_write_memory(
	struct utrace_task *task, uint64_t address, const void *bytes, size_t size)
{
	return task->utrace->backend->write_memory(
		utrace_task_tid(task), address, bytes, size);
}

/* Not beyond the page that holds the end: what follows need not be mapped. */
ssize_t utrace_read_string(
	struct utrace_task *task, uint64_t address, char *text, size_t size)
{
	enum {
		PAGE = 4096
	};
	size_t length = 0;
	if (size == 0)
		return -EINVAL;
	while (length < size - 1) {
		size_t part = PAGE - (address + length) % PAGE;
		if (part > size - 1 - length)
			part = size - 1 - length;
		int r = utrace_read_memory(task, address + length, text + length, part);
		if (r < 0)
			return r;
		const char *end = memchr(text + length, 0, part);
		if (end)
			return end - text;
		length += part;
	}
	text[length] = 0;
	return (ssize_t)length;
}
