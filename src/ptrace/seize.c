/* SPDX-License-Identifier: MIT */
/* PTRACE_SEIZE, and finding out why the kernel said no: it answers EPERM to eight
 * questions. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "ptrace/ptrace.h"

enum {
	PROCESS_FLAG_KERNEL_THREAD = 0x00200000
};

static int read_yama(void)
{
	CLEANUP(cleanup_free) char *text = NULL;
	if (fd_read_file("/proc/sys/kernel/yama/ptrace_scope", &text, NULL) < 0)
		return -1;
	return atoi(text);
}

static const char *user_name(uid_t uid, char *buffer, size_t size)
{
	const struct passwd *user = getpwuid(uid);
	if (user)
		snprintf(buffer, size, "%s", user->pw_name);
	else
		snprintf(buffer, size, "uid %u", uid);
	return buffer;
}

static int explain_tracer(pid_t tid, const struct proc_status *status, struct error *err)
{
	struct proc_status tracer;
	if (proc_read_status(status->tracer, &tracer, NULL) < 0)
		error_set(err, -EPERM, "cannot trace %d: already traced by process %d",
			tid, status->tracer);
	else
		error_set(err, -EPERM,
			"cannot trace %d: already traced by process %d (%s)", tid,
			tracer.tgid, tracer.name);
	error_hint(err, "only one tracer at a time; end the other one");
	return -EPERM;
}

static int explain_yama(pid_t tid, int yama, struct error *err)
{
	error_set(err, -EPERM,
		"cannot trace %d: forbidden by Yama (kernel.yama.ptrace_scope is %d)",
		tid, yama);
	if (yama == 1)
		error_hint(err, "start the program under the tracer, or run "
				"`sysctl kernel.yama.ptrace_scope=0` as root");
	else if (yama == 2)
		error_hint(err, "run as root (CAP_SYS_PTRACE is required)");
	else
		error_hint(err, "tracing is off until the next boot");
	return -EPERM;
}

static int explain_denied(pid_t tid, const struct proc_status *status, struct error *err)
{
	char theirs[64], ours[64];
	uid_t uid = geteuid();
	if (uid != 0 && (status->uid != uid || status->euid != uid)) {
		error_set(err, -EPERM, "cannot trace %d: it belongs to %s, you are %s",
			tid, user_name(status->euid, theirs, sizeof(theirs)),
			user_name(uid, ours, sizeof(ours)));
		error_hint(err, "run as that user or as root");
		return -EPERM;
	}
	int yama = read_yama();
	if (yama >= 3 || (uid != 0 && yama >= 1))
		return explain_yama(tid, yama, err);
	error_set(err, -EPERM, "cannot trace %d (%s): permission denied", tid,
		status->name);
	if (uid != 0)
		error_hint(err,
			"the program is set-user-ID, has capabilities or has made itself "
			"undumpable: run as root");
	else
		error_hint(err,
			"CAP_SYS_PTRACE is missing, or a security module or seccomp filter "
			"forbids it");
	return -EPERM;
}

int ptrace_explain(pid_t tid, int code, struct error *err)
{
	struct proc_status status;
	if (proc_read_status(tid, &status, NULL) < 0)
		return error_set(err, -ESRCH, "no such process: %d", tid);
	if (code != -EPERM && code != -EACCES && code != -ESRCH)
		return error_set(err, code, "cannot trace %d: %s", tid, strerror(-code));
	if (status.tracer)
		return explain_tracer(tid, &status, err);
	if (status.state == 'Z' || status.state == 'X') {
		error_set(err, -EPERM, "cannot trace %d: it has exited already (zombie)",
			tid);
		error_hint(
			err, "its parent, process %d, has not collected it", status.ppid);
		return -EPERM;
	}
	struct proc_stat stat;
	if (proc_read_stat(tid, &stat) == 0 && stat.flags & PROCESS_FLAG_KERNEL_THREAD)
		return error_set(err, -EPERM,
			"cannot trace %d (%s): it is a kernel thread", tid, status.name);
	if (status.tgid == getpid())
		return error_set(
			err, -EPERM, "cannot trace %d: it is the tracer itself", tid);
	if (code == -ESRCH)
		return error_set(err, -ESRCH, "no such process: %d", tid);
	return explain_denied(tid, &status, err);
}

int ptrace_seize(pid_t tid, unsigned long options, struct error *err)
{
	if (ptrace(PTRACE_SEIZE, tid, 0, options) == 0)
		return 0;
	return ptrace_explain(tid, -errno, err);
}
