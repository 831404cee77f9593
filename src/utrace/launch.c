/* SPDX-License-Identifier: MIT */
/* Starting a program under the tracer, held at its exec. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "utrace/internal.h"
#include "utrace/options.h"

struct pipes {
	int go[2];    /* parent to child: you are seized now */
	int error[2]; /* child to parent: errno of exec; closed by a successful one */
};

static int open_pipes(struct pipes *pipes, struct error *err)
{
	if (pipe2(pipes->go, O_CLOEXEC) < 0)
		return error_set(
			err, -errno, "cannot create a pipe: %s", strerror(errno));
	if (pipe2(pipes->error, O_CLOEXEC) < 0) {
		int code = -errno;
		close(pipes->go[0]);
		close(pipes->go[1]);
		return error_set(err, code, "cannot create a pipe: %s", strerror(-code));
	}
	return 0;
}

/* Signals the tracer ignores for its own sake; what it inherited as ignored (nohup) is
 * passed on. */
static void restore_signals(const struct utrace *utrace)
{
	for (int signal = 1; signal <= 64; signal++) {
		struct sigaction action;
		bool was_ignored = utrace->ignored >> (signal - 1) & 1;
		if (sigaction(signal, NULL, &action) < 0)
			continue;
		bool is_ignored = action.sa_handler == SIG_IGN;
		/* SIGCHLD: by utrace_create() */
		if (was_ignored == is_ignored || (was_ignored && signal != SIGCHLD))
			continue;
		action.sa_handler = was_ignored ? SIG_IGN : SIG_DFL;
		sigaction(signal, &action, NULL);
	}
	sigprocmask(SIG_SETMASK, &utrace->old_mask, NULL);
}

static _Noreturn void child(const struct utrace *utrace, const struct pipes *pipes,
	const struct utrace_launch_options *options)
{
	char byte;
	close(pipes->go[1]);
	restore_signals(utrace);
	ssize_t n;
	do
		n = read(pipes->go[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	int r = n == 1 ? 0 : -ECANCELED;
	if (r == 0 && options->syscalls)
		r = utrace_install_filter(options->syscalls, options->syscall_count);
	if (r == 0) {
		if (options->environment)
			execvpe(options->argv[0], options->argv, options->environment);
		else
			execvp(options->argv[0], options->argv);
		r = -errno;
	}
	int code = -r;
	n = write(pipes->error[1], &code, sizeof(code));
	_exit(n == sizeof(code) ? 127 : 126);
}

/* execvp() gives EACCES when it could not look into some directory of PATH. */
static bool is_in_path(const char *name)
{
	const char *path = getenv("PATH");
	while (path && *path) {
		size_t n = strcspn(path, ":");
		char file[PATH_MAX];
		snprintf(file, sizeof(file), "%.*s/%s", n ? (int)n : 1, n ? path : ".",
			name);
		if (access(file, F_OK) == 0)
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static int explain_exec(int fd, const char *name, struct error *err)
{
	int code;
	if (read(fd, &code, sizeof(code)) != sizeof(code))
		return error_set(err, -ESRCH, "%s was killed before it started", name);
	bool searched = !strchr(name, '/');
	if (code == ECANCELED)
		return error_set(err, -code, "cannot run %s: its tracer gave up", name);
	if (code == EACCES && searched && !is_in_path(name))
		code = ENOENT;
	error_set(err, -code, "cannot run %s: %s", name, strerror(code));
	if (code == ENOENT && searched)
		error_hint(err, "no such command in PATH");
	return -code;
}

/* Only this child is waited for: nothing else is ours to look at here. */
static int wait_for_exec(pid_t pid, struct ptrace_event *ret)
{
	for (;;) {
		int r = ptrace_wait(pid, true, ret);
		if (r < 0)
			return r;
		switch (ret->stop) {
		case PTRACE_STOP_EXEC:
			return 0;
		case PTRACE_STOP_EXITED:
		case PTRACE_STOP_KILLED:
			return -ESRCH;
		case PTRACE_STOP_GROUP:
			r = ptrace_listen(pid);
			break;
		case PTRACE_STOP_SIGNAL:
			r = ptrace_cont(pid, ret->value);
			break;
		case PTRACE_STOP_INTERRUPT:
		case PTRACE_STOP_SYSCALL:
		case PTRACE_STOP_CLONE:
		case PTRACE_STOP_FORK:
		case PTRACE_STOP_VFORK:
		case PTRACE_STOP_VFORK_DONE:
		case PTRACE_STOP_EXIT:
		case PTRACE_STOP_SECCOMP:
		case PTRACE_STOP_UNKNOWN:
			r = ptrace_cont(pid, 0);
			break;
		}
		if (r < 0 && r != -ESRCH)
			return r;
	}
}

static void kill_child(pid_t pid)
{
	struct ptrace_event event;
	kill(pid, SIGKILL);
	while (ptrace_wait(pid, true, &event) > 0 && event.stop != PTRACE_STOP_EXITED &&
		event.stop != PTRACE_STOP_KILLED)
		;
}

/* Threads that handlers of fork(2) in our program start there are not followed: exec ends them, and would
 * wait for us to deal with those that we trace. */
static int seize_child(struct utrace *utrace, pid_t pid, int go,
	const struct utrace_launch_options *options, struct error *err)
{
	int r = utrace->backend->seize(pid, UTRACE_LAUNCH_OPTIONS, err);
	if (r == 0 && write(go, "", 1) != 1)
		r = error_set(err, -errno, "cannot start %s: %s", options->argv[0],
			strerror(errno));
	if (r < 0)
		kill_child(pid);
	return r;
}

static struct utrace_task *add_launched(
	struct utrace *utrace, const struct ptrace_event *event, bool filtered)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_task_create(utrace, event->tid, event->tid);
	task->state = TASK_STOPPED;
	task->stop = *event;
	task->stops = 1;
	task->held = true;
	task->filtered = filtered;
	utrace_unlock(utrace);
	return task;
}

static int check_options(const struct utrace_launch_options *options, struct error *err)
{
	if (options->size != sizeof(*options))
		return error_set(err, -EINVAL,
			"struct utrace_launch_options of another version of the library");
	if (!options->argv || !options->argv[0])
		return error_set(err, -EINVAL, "no program to start");
	return 0;
}

int utrace_launch_with(struct utrace *utrace, const struct utrace_launch_options *options,
	struct utrace_task **ret, struct error *err)
{
	struct pipes pipes;
	struct ptrace_event event;
	int r = check_options(options, err);
	if (r == 0)
		r = open_pipes(&pipes, err);
	if (r < 0)
		return r;
	const char *name = options->argv[0];
	pid_t pid = fork();
	if (pid == 0)
		child(utrace, &pipes, options);
	int fork_error = errno;
	CLEANUP(cleanup_fd) int go = pipes.go[1], error = pipes.error[0];
	close(pipes.go[0]);
	close(pipes.error[1]);
	if (pid < 0)
		return error_set(
			err, -fork_error, "cannot fork: %s", strerror(fork_error));
	r = seize_child(utrace, pid, go, options, err);
	if (r < 0)
		return r;
	r = wait_for_exec(pid, &event);
	if (r == 0)
		r = ptrace_set_options(pid, options->syscalls ? UTRACE_FILTER_OPTIONS
							      : UTRACE_PTRACE_OPTIONS);
	if (r == -ESRCH)
		return explain_exec(error, name, err);
	if (r < 0)
		return error_set(err, r, "cannot start %s: %s", name, strerror(-r));
	*ret = add_launched(utrace, &event, options->syscalls != NULL);
	return 0;
}

int utrace_launch(struct utrace *utrace, char *const argv[], struct utrace_task **ret,
	struct error *err)
{
	struct utrace_launch_options options = {.size = sizeof(options), .argv = argv};
	return utrace_launch_with(utrace, &options, ret, err);
}
