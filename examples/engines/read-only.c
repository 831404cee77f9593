/* SPDX-License-Identifier: MIT */
/*
 * A sandbox without seccomp: a program and its children change no file, whatever they try.  Aborted calls
 * return EROFS, so that programs say what they would on a disk that cannot be written.
 *
 * Decided by registers only.  What a pointer points to could be changed by another thread after it was
 * looked at; calls whose flags are in memory (openat2) are refused as a kernel without them would.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "tracer.h"

static long denied;

static const char *take_option(int option, const char *value)
{
	(void)option;
	denied = find_call(value);
	return denied < 0 ? "no such system call" : NULL;
}

static bool is_for_writing(uint64_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC) ||
	       (flags & O_TMPFILE) == O_TMPFILE;
}

/* Return: 0: it may; or a positive errno. */
static int judge(const struct utrace_syscall *call)
{
	if (call->arch != AUDIT_ARCH_X86_64 || call->number & 0x40000000)
		return ENOSYS; /* calls of other interfaces have other numbers */
	if (denied && call->number == denied)
		return EPERM;
	switch (call->number) {
	case SYS_open:
		return is_for_writing(call->args[1]) ? EROFS : 0;
	case SYS_openat:
		return is_for_writing(call->args[2]) ? EROFS : 0;
	case SYS_openat2:
	case SYS_open_by_handle_at:
	case SYS_io_uring_setup:
		return ENOSYS;
	case SYS_creat:
	case SYS_truncate:
	case SYS_unlink:
	case SYS_unlinkat:
	case SYS_rename:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_link:
	case SYS_linkat:
	case SYS_symlink:
	case SYS_symlinkat:
	case SYS_mkdir:
	case SYS_mkdirat:
	case SYS_rmdir:
	case SYS_mknod:
	case SYS_mknodat:
	case SYS_chmod:
	case SYS_fchmod:
	case SYS_fchmodat:
	case SYS_chown:
	case SYS_lchown:
	case SYS_fchown:
	case SYS_fchownat:
	case SYS_utime:
	case SYS_utimes:
	case SYS_futimesat:
	case SYS_utimensat:
	case SYS_setxattr:
	case SYS_lsetxattr:
	case SYS_fsetxattr:
	case SYS_removexattr:
	case SYS_lremovexattr:
	case SYS_fremovexattr:
	case SYS_mount:
	case SYS_umount2:
		return EROFS;
	case SYS_ptrace: /* of others, which are not in here */
	case SYS_process_vm_writev:
		return EPERM;
	default:
		return 0;
	}
}

static uint32_t report_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct utrace_task *task = utrace_engine_task(engine);
	struct utrace_syscall call;
	(void)regs;
	if (utrace_get_syscall(task, &call) < 0) /* killed: nothing is called any more */
		return UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
	int error = judge(&call);
	if (!error)
		return UTRACE_RESUME | utrace_syscall_action(action);
	call.result = -error;
	if (utrace_set_syscall(task, &call) == 0)
		fprintf(stderr, "read-only: %d %s: %s\n", utrace_task_tid(task),
			call_name(call.number) ? call_name(call.number) : "system call",
			strerror(error));
	return UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
}

static const struct utrace_engine_ops ops = {.report_syscall_entry = report_entry};

const struct example read_only = {
	.options = "d:",
	.usage = "  -d CALL         deny this system call as well\n",
	.take_option = take_option,
	.ops = &ops,
	.events = UTRACE_EVENT(SYSCALL_ENTRY),
};

#ifdef ALONE
int main(int argc, char **argv)
{
	const struct example *const examples[] = {&read_only, NULL};
	return example_main(argc, argv, examples);
}
#endif
