/* SPDX-License-Identifier: MIT */
/*
 * How long each thread was in each system call: a table of its own for each thread, when it ends or is let
 * go, the longest first.  The times are those that the tracer sees: they include the stops.
 */
#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tracer.h"

enum {
	CALLS = 512 /* numbers of x86-64; the last is for all others */
};

struct row {
	long number, count, errors;
	double seconds;
};

struct thread {
	pid_t tid;
	bool inside; /* a call that began under our eyes */
	long number;
	double began;
	struct row rows[CALLS];
};

static FILE *output;

static const char *take_option(int option, const char *value)
{
	(void)option;
	output = fopen(value, "we");
	return output ? NULL : strerror(errno);
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint32_t report_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct thread *thread = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	struct utrace_syscall call;
	(void)regs;
	thread->inside = true;
	thread->number = CALLS - 1;
	/* exec by another thread than the leader changes it */
	thread->tid = utrace_task_tid(task);
	if (utrace_get_syscall(task, &call) == 0 && call.arch == AUDIT_ARCH_X86_64 &&
		call.number >= 0 && call.number < CALLS - 1)
		thread->number = call.number;
	thread->began = now();
	return UTRACE_RESUME | utrace_syscall_action(action);
}

static uint32_t report_exit(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct thread *thread = utrace_engine_data(engine);
	struct utrace_syscall call;
	(void)action;
	(void)regs;
	/* attached while it was in a call: that one has no beginning */
	if (!thread->inside)
		return UTRACE_RESUME;
	struct row *row = &thread->rows[thread->number];
	row->count++;
	row->seconds += now() - thread->began;
	if (utrace_get_syscall(utrace_engine_task(engine), &call) == 0)
		row->errors += call.result < 0 && call.result > -4096;
	thread->inside = false;
	return UTRACE_RESUME;
}

static int compare(const void *a, const void *b)
{
	double x = ((const struct row *)a)->seconds, y = ((const struct row *)b)->seconds;
	return (x < y) - (x > y);
}

/* After the last callback, whatever came first: the thread's end, or ours. */
static void print_table(void *data)
{
	struct thread *thread = data;
	FILE *file = output ? output : stderr;
	for (long i = 0; i < CALLS; i++)
		thread->rows[i].number = i;
	qsort(thread->rows, CALLS, sizeof(thread->rows[0]), compare);
	for (size_t i = 0; i < CALLS && thread->rows[i].count; i++) {
		const struct row *row = &thread->rows[i];
		const char *name = call_name(row->number);
		fprintf(file, "%7d %10.6f %8ld %8ld ", thread->tid, row->seconds,
			row->count, row->errors);
		if (name)
			fprintf(file, "%s\n", name);
		else
			fprintf(file,
				row->number < CALLS - 1 ? "syscall_%ld\n" : "others\n",
				row->number);
	}
	fflush(file);
	free(thread);
}

static const struct utrace_engine_ops ops = {
	.report_syscall_entry = report_entry,
	.report_syscall_exit = report_exit,
	.release = print_table,
};

const struct example time_calls = {
	.options = "o:",
	.usage = "  -o FILE         write the tables to FILE instead of standard error\n",
	.take_option = take_option,
	.ops = &ops,
	.events = UTRACE_EVENT_SYSCALL,
	.size = sizeof(struct thread),
};

#ifdef ALONE
int main(int argc, char **argv)
{
	const struct example *const examples[] = {&time_calls, NULL};
	return example_main(argc, argv, examples);
}
#endif
