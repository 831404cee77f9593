/* SPDX-License-Identifier: MIT */
/* A small strace: one line for each system call, written when it returns (or its thread ends: = ?). */
#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracer.h"

struct thread {
	struct utrace_syscall call; /* the one that it is in */
	bool inside;
};

static FILE *output;

static const char *take_option(int option, const char *value)
{
	(void)option;
	output = fopen(value, "we");
	return output ? NULL : strerror(errno);
}

/* Only at the entry are the arguments what they were. */
static uint32_t report_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct thread *thread = utrace_engine_data(engine);
	(void)regs;
	thread->inside =
		utrace_get_syscall(utrace_engine_task(engine), &thread->call) == 0;
	/* what the others have chosen stays: the answer of the one that is asked last counts */
	return UTRACE_RESUME | utrace_syscall_action(action);
}

static void print_call(FILE *file, const struct utrace_syscall *call)
{
	const char *name =
		call->arch == AUDIT_ARCH_X86_64 ? call_name(call->number) : NULL;
	if (name)
		fputs(name, file);
	else
		fprintf(file, "syscall_%ld", call->number);
	for (int i = 0; i < 6; i++)
		fprintf(file, "%s%#llx", i ? ", " : "(",
			(unsigned long long)call->args[i]);
	fputc(')', file);
}

static void print_beginning(struct utrace_task *task, struct thread *thread)
{
	FILE *file = output ? output : stderr;
	thread->inside = false;
	fprintf(file, "%d ", utrace_task_tid(task));
	print_call(file, &thread->call);
}

static uint32_t report_exit(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct thread *thread = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	struct utrace_syscall now;
	FILE *file = output ? output : stderr;
	(void)action;
	(void)regs;
	/* attached while it was in a call: that one has no beginning */
	if (!thread->inside || utrace_get_syscall(task, &now) < 0)
		return UTRACE_RESUME;
	print_beginning(task, thread);
	if (now.result < 0 && now.result > -4096)
		fprintf(file, " = -1 (%s)\n", strerror((int)-now.result));
	else
		fprintf(file, " = %#llx\n", (unsigned long long)now.result);
	fflush(file);
	return UTRACE_RESUME;
}

/* exit(2), and whatever a thread was in when it was killed, do not return. */
static uint32_t report_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct thread *thread = utrace_engine_data(engine);
	FILE *file = output ? output : stderr;
	(void)group_dead;
	(void)signal;
	if (!thread->inside)
		return UTRACE_RESUME;
	print_beginning(utrace_engine_task(engine), thread);
	fprintf(file, " = ?\n");
	fflush(file);
	return UTRACE_RESUME;
}

static const struct utrace_engine_ops ops = {
	.report_syscall_entry = report_entry,
	.report_syscall_exit = report_exit,
	.report_death = report_death,
	.release = free,
};

const struct example trace_calls = {
	.options = "o:",
	.usage =
		"  -o FILE         write system calls to FILE instead of standard error\n",
	.take_option = take_option,
	.ops = &ops,
	.events = UTRACE_EVENT_SYSCALL | UTRACE_EVENT(DEATH),
	.size = sizeof(struct thread),
};

#ifdef ALONE
int main(int argc, char **argv)
{
	const struct example *const examples[] = {&trace_calls, NULL};
	return example_main(argc, argv, examples);
}
#endif
