/* SPDX-License-Identifier: MIT */
/* A program of somebody else's that uses libutrace: counts the system calls of a command. */
#include <poll.h>
#include <stdio.h>
#include <utrace/utrace.h>

/* The library has functions of these names inside. */
int error_set(void);
int error_set(void)
{
	return 0;
}
int utrace_settle(void);
int utrace_settle(void)
{
	return 0;
}

static long calls;
static int status;

static uint32_t report_syscall_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	(void)engine;
	(void)regs;
	calls++;
	return UTRACE_RESUME | utrace_syscall_action(action);
}

static uint32_t report_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	(void)group_dead;
	(void)signal;
	status = utrace_task_status(utrace_engine_task(engine));
	return UTRACE_DETACH;
}

static const struct utrace_engine_ops ops = {
	.report_syscall_entry = report_syscall_entry,
	.report_death = report_death,
};

int main(int argc, char **argv)
{
	struct utrace_error err = {0};
	struct utrace *utrace;
	struct utrace_task *task;
	struct utrace_engine *engine;
	if (argc < 2 || utrace_create(&utrace, &err) < 0)
		return 1;
	if (utrace_launch(utrace, argv + 1, &task, &err) < 0 ||
		utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) < 0 ||
		utrace_set_events(task, engine,
			UTRACE_EVENT(SYSCALL_ENTRY) | UTRACE_EVENT(DEATH)) < 0 ||
		utrace_control(task, engine, UTRACE_RESUME) < 0) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	while (utrace_engine_task(engine)) {
		struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
		poll(&fd, 1, -1);
		if (utrace_dispatch(utrace, &err) < 0)
			return 1;
	}
	printf("%ld system calls, exit status %d\n", calls, status);
	utrace_engine_put(engine);
	utrace_destroy(utrace);
	return error_set() + utrace_settle();
}
