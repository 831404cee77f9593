/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int fail(const struct utrace_error *err)
{
	fprintf(stderr, "error: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
	return 1;
}

static void warn(void *data, pid_t pid, const char *text)
{
	(void)data;
	(void)pid;
	fprintf(stderr, "warning: %s\n", text);
}

/* After utrace_create(): what is launched gets the mask of before. */
static int watch_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Until nothing is traced any more, or somebody has had enough. */
static int loop(struct utrace *utrace, struct uprobes *uprobes, int signals,
	struct utrace_error *err)
{
	struct signalfd_siginfo info;
	struct pollfd fds[] = {
		{.fd = utrace_fd(utrace), .events = POLLIN},
		{.fd = signals, .events = POLLIN},
	};
	while (utrace_first_task(utrace, 0)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (read(signals, &info, sizeof(info)) > 0)
			return 0;
		int r = uprobes_dispatch(uprobes, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int trace(struct utrace *utrace, struct uprobes *uprobes, char **command,
	int signals, struct utrace_error *err)
{
	struct utrace_task *task = NULL;
	bool attach = strcmp(command[0], "-p") == 0;
	pid_t pid = attach && command[1] ? (pid_t)atoi(command[1]) : 0;
	int r = attach ? 0 : utrace_launch(utrace, command, &task, err);
	if (r == 0)
		r = uprobes_add_process(uprobes, task ? utrace_task_pid(task) : pid, err);
	if (r == 0 && task)
		r = utrace_task_release(task);
	return r < 0 ? r : loop(utrace, uprobes, signals, err);
}

int driver_main(int argc, char **argv, struct driver *driver)
{
	struct utrace_error err = {0};
	struct utrace *utrace;
	struct uprobes *uprobes;
	if (argc < driver->argument_count + 2) {
		fprintf(stderr, "usage: %s %s COMMAND [ARGUMENT...]\n", argv[0],
			driver->arguments);
		fprintf(stderr, "       %s %s -p PID\n", argv[0], driver->arguments);
		return 2;
	}
	driver->options.size = sizeof(driver->options);
	driver->options.warn = warn;
	if (utrace_create(&utrace, &err) < 0)
		return fail(&err);
	int r = uprobes_create(utrace, &driver->options, &uprobes, &err);
	if (r < 0) {
		utrace_destroy(utrace);
		return fail(&err);
	}
	int signals = watch_signals();
	r = driver->begin(uprobes, argv + 1, &err);
	if (r == 0)
		r = trace(utrace, uprobes, argv + 1 + driver->argument_count, signals,
			&err);
	if (r == 0)
		driver->end();
	uprobes_destroy(uprobes);
	utrace_destroy(utrace);
	close(signals);
	return r < 0 ? fail(&err) : 0;
}
