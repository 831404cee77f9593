/* SPDX-License-Identifier: MIT */
/* The loop: start a command or take hold of a process, put the engines on every thread, wait for the end. */
#include "tracer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	MAX_EXAMPLES = 8
};

static const struct example *const *all;
static pid_t first_pid;
static int status = -1; /* of the first process, once it has ended */

/* ---- engines ------------------------------------------------------------------------------------- */

static uint32_t note_end(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct utrace_task *task = utrace_engine_task(engine);
	(void)signal;
	if (group_dead && utrace_task_pid(task) == first_pid)
		status = utrace_task_status(task);
	return UTRACE_RESUME;
}

static const struct utrace_engine_ops end_ops = {.report_death = note_end};

static void put_engine(struct utrace_task *task, const struct utrace_engine_ops *ops,
	unsigned long events, size_t size)
{
	struct utrace_engine *engine;
	void *data = size ? calloc(1, size) : NULL;
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, ops, data, &engine) < 0) {
		free(data); /* it has died meanwhile */
		return;
	}
	if (utrace_set_events(task, engine, events) < 0)
		fprintf(stderr, "thread %d is dying\n", utrace_task_tid(task));
	/* The attachment keeps it as long as the thread is traced. */
	utrace_engine_put(engine);
}

static void put_engines(struct utrace_task *task, struct utrace_task *parent,
	unsigned long clone_flags, void *data)
{
	(void)parent;
	(void)clone_flags;
	(void)data;
	put_engine(task, &end_ops, UTRACE_EVENT(DEATH), 0);
	for (size_t i = 0; all[i]; i++)
		put_engine(task, all[i]->ops, all[i]->events, all[i]->size);
}

/* ---- the command line ----------------------------------------------------------------------------- */

static int fail(const struct utrace_error *err)
{
	fprintf(stderr, "error: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
	return 1;
}

static int show_usage(const char *name)
{
	fprintf(stderr, "usage: %s [OPTION...] COMMAND [ARGUMENT...]\n", name);
	fprintf(stderr, "       %s [OPTION...] -p PID\n", name);
	for (size_t i = 0; all[i]; i++)
		fputs(all[i]->usage, stderr);
	return 2;
}

static const char *take_option(int option, const char *value)
{
	for (size_t i = 0; all[i]; i++) {
		if (strchr(all[i]->options, option))
			return all[i]->take_option(option, value);
	}
	return "no such option";
}

static const char *take_pid(const char *text, pid_t *ret)
{
	char *end;
	long value = strtol(text, &end, 10);
	if (*end || value <= 0 || value > INT32_MAX)
		return "not the number of a process";
	*ret = (pid_t)value;
	return NULL;
}

/* Return: the index of the command; -1 after a message. */
static int parse(int argc, char **argv, pid_t *ret_pid)
{
	char options[128] = "+p:";
	int option;
	for (size_t i = 0; all[i]; i++)
		strncat(options, all[i]->options, sizeof(options) - strlen(options) - 1);
	while ((option = getopt(argc, argv, options)) != -1) {
		if (option == '?')
			return -1;
		const char *wrong = NULL;
		if (option == 'p')
			wrong = take_pid(optarg, ret_pid);
		else
			wrong = take_option(option, optarg);
		if (wrong) {
			fprintf(stderr, "error: -%c %s: %s\n", option,
				optarg ? optarg : "", wrong);
			return -1;
		}
	}
	bool has_command = optind < argc;
	return has_command == (*ret_pid != 0) ? -1 : optind;
}

/* ---- the loop ------------------------------------------------------------------------------------- */

static int begin(
	struct utrace *utrace, pid_t pid, char **command, struct utrace_error *err)
{
	struct utrace_task *task;
	int r = pid ? utrace_seize_process(utrace, pid, err)
		    : utrace_launch(utrace, command, &task, err);
	if (r < 0)
		return r;
	first_pid = pid ? pid : utrace_task_pid(task);
	utrace_on_new_task(utrace, put_engines, NULL);
	struct utrace_task *each = utrace_first_task(utrace, first_pid);
	for (; each; each = utrace_next_task(each, first_pid))
		put_engines(each, NULL, 0, NULL);
	return pid ? 0 : utrace_task_release(task);
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
static int loop(struct utrace *utrace, int signals, struct utrace_error *err)
{
	struct signalfd_siginfo info;
	struct pollfd fds[] = {
		{.fd = utrace_fd(utrace), .events = POLLIN},
		{.fd = signals, .events = POLLIN},
	};
	while (utrace_first_task(utrace, 0)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		/* taken: it would come as soon as utrace_destroy() gives us our signal mask back */
		if (read(signals, &info, sizeof(info)) > 0)
			return 0;
		int r = utrace_dispatch(utrace, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int exit_status(void)
{
	if (status < 0) /* it runs on without us */
		return 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int example_main(int argc, char **argv, const struct example *const *examples)
{
	struct utrace_error err = {0};
	struct utrace *utrace;
	pid_t pid = 0;
	all = examples;
	int command = parse(argc, argv, &pid);
	if (command < 0)
		return show_usage(argv[0]);
	if (utrace_create(&utrace, &err) < 0)
		return fail(&err);
	int signals = watch_signals();
	int r = begin(utrace, pid, argv + command, &err);
	if (r == 0)
		r = loop(utrace, signals, &err);
	utrace_destroy(utrace);
	close(signals);
	return r < 0 ? fail(&err) : exit_status();
}
