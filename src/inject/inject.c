/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject/internal.h"

/* A filter is judged by its kind only: its program cannot be read without CAP_SYS_ADMIN.
 */
int inject_check_seccomp(const struct proc_status *status, bool force, struct error *err)
{
	struct proc_status own;
	if (status->seccomp == 0)
		return 0;
	if (status->seccomp == 1)
		return error_set(err, -EPERM,
			"process %d is in strict seccomp mode: any system call of ours would kill it",
			status->tgid);
	if (force)
		return 0;
	/* In a container tracer and target usually inherit the same filters. */
	if (proc_read_status(getpid(), &own, NULL) == 0 && own.seccomp == 2 &&
		own.seccomp_filters >= status->seccomp_filters)
		return 0;
	error_set(err, -EPERM,
		"process %d has a seccomp filter that may kill it for a system call "
		"of ours",
		status->tgid);
	error_hint(err,
		"if the filter is known to allow mmap, munmap, socketpair, recvmsg, close "
		"and membarrier, use --force");
	return -EPERM;
}

bool inject_is_filtered(pid_t tid, bool force)
{
	struct proc_status status;
	struct error why;
	return proc_read_status(tid, &status, NULL) == 0 &&
	       inject_check_seccomp(&status, force, &why) < 0;
}

static struct inject *allocate(struct utrace *utrace, pid_t pid, struct error *err)
{
	struct inject *inject = calloc(1, sizeof(*inject));
	if (!inject) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	inject->utrace = utrace;
	inject->pid = pid;
	inject->memory_fd = -1;
	return inject;
}

/* By way of the victim: a leader that has exited before its threads has no memory any more, and a
 * filter may be on single threads. */
static int open_process(struct inject *inject, unsigned int flags, struct error *err)
{
	struct proc_status status;
	pid_t tid = utrace_task_tid(inject->task);
	int r = proc_read_status(tid, &status, err);
	if (r == 0)
		r = inject_check_seccomp(&status, flags & INJECT_FORCE, err);
	if (r < 0)
		return r;
	inject->force = flags & INJECT_FORCE;
	inject->shadow_stack = status.shadow_stack;
	inject->memory_fd = remote_memory_open(tid, err);
	return inject->memory_fd < 0 ? inject->memory_fd : 0;
}

static int check_registers(struct inject *inject, unsigned int flags, struct error *err)
{
	struct user_regs_struct regs;
	const unsigned long user32_cs = 0x23;
	int r = utrace_get_regs(inject->task, &regs);
	if (r < 0)
		return error_set(err, r, "process %d has exited", inject->pid);
	if (regs.cs == user32_cs)
		return error_set(
			err, -ENOEXEC, "process %d is a 32-bit program", inject->pid);
	if (regs.gs_base != 0 && !(flags & INJECT_ANY_GS))
		return error_set(err, -EOPNOTSUPP,
			"process %d uses the gs base itself (it is 0x%llx)", inject->pid,
			regs.gs_base);
	return 0;
}

static int finish_create(
	struct inject *inject, unsigned int flags, struct inject **ret, struct error *err)
{
	int r = open_process(inject, flags, err);
	if (r == 0)
		r = check_registers(inject, flags, err);
	if (r == 0)
		r = inject_find_stub(inject, err);
	if (r < 0) {
		inject_destroy(inject);
		return r;
	}
	*ret = inject;
	return 0;
}

int inject_create(struct utrace *utrace, pid_t pid, unsigned int flags,
	struct inject **ret, struct error *err)
{
	struct inject *inject = allocate(utrace, pid, err);
	if (!inject)
		return -ENOMEM;
	int r = inject_take_victim(inject, err);
	if (r == 0)
		return finish_create(inject, flags, ret, err);
	inject_destroy(inject);
	return r;
}

int inject_create_fork(struct utrace *utrace, pid_t pid, unsigned int flags,
	struct inject **ret, struct error *err)
{
	struct inject *inject = allocate(utrace, pid, err);
	if (!inject)
		return -ENOMEM;
	int r = inject_take_victim(inject, err);
	if (r == 0)
		r = open_process(inject, flags, err);
	if (r == 0)
		r = inject_find_stub(inject, err);
	if (r < 0)
		inject_destroy(inject);
	else
		*ret = inject;
	return r;
}

int inject_create_at(struct utrace_task *stopped, unsigned int flags, struct inject **ret,
	struct error *err)
{
	struct inject *inject =
		allocate(utrace_task_tracer(stopped), utrace_task_pid(stopped), err);
	if (!inject)
		return -ENOMEM;
	int r = inject_take_task(inject, stopped, err);
	if (r == 0)
		return finish_create(inject, flags, ret, err);
	inject_destroy(inject);
	return r;
}

void inject_destroy(struct inject *inject)
{
	if (!inject)
		return;
	if (inject->engine)
		(void)!inject_release_victim(inject, NULL);
	if (inject->memory_fd >= 0)
		close(inject->memory_fd);
	free(inject);
}

const struct inject_stub *inject_stub(const struct inject *inject)
{
	return &inject->stub;
}

int inject_memory_fd(const struct inject *inject)
{
	return inject->memory_fd;
}

pid_t inject_pid(const struct inject *inject)
{
	return inject->pid;
}

bool inject_has_shadow_stack(const struct inject *inject)
{
	return inject->shadow_stack;
}

bool inject_has_victim(const struct inject *inject)
{
	return inject->task != NULL;
}

pid_t inject_victim_tid(const struct inject *inject)
{
	return inject->task ? utrace_task_tid(inject->task) : 0;
}
