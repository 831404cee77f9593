/* SPDX-License-Identifier: MIT */
/* Makes system calls fail that would have worked, to see what a program does then. */
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracer.h"

static long call_number = -1, every = 1, calls;
static int error_number;

static const char *take_fault(const char *value)
{
	char name[64];
	const char *equals = strchr(value, '=');
	if (!equals || (size_t)(equals - value) >= sizeof(name))
		return "not of the form CALL=ERRNO";
	snprintf(name, sizeof(name), "%.*s", (int)(equals - value), value);
	call_number = find_call(name);
	if (call_number < 0)
		return "no such system call";
	error_number = atoi(equals + 1);
	for (int i = 1; i < 134 && !error_number; i++) {
		const char *text = strerrorname_np(i);
		if (text && strcmp(text, equals + 1) == 0)
			error_number = i;
	}
	return error_number > 0 && error_number < 4096 ? NULL : "no such error";
}

static const char *take_option(int option, const char *value)
{
	if (option == 'e')
		return take_fault(value);
	every = atol(value);
	return every > 0 ? NULL : "not a positive number";
}

static uint32_t report_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct utrace_task *task = utrace_engine_task(engine);
	struct utrace_syscall call;
	uint32_t as_it_was = UTRACE_RESUME | utrace_syscall_action(action);
	(void)regs;
	if (utrace_get_syscall(task, &call) < 0 || call.arch != AUDIT_ARCH_X86_64 ||
		call.number != call_number || ++calls % every)
		return as_it_was;
	/* Not executed; this is what it returns. */
	call.result = -error_number;
	if (utrace_set_syscall(task, &call) < 0)
		return as_it_was;
	return UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
}

static const struct utrace_engine_ops ops = {.report_syscall_entry = report_entry};

const struct example inject_faults = {
	.options = "e:n:",
	.usage = "  -e CALL=ERRNO   the system call that fails, and how: read=EIO\n"
		 "  -n COUNT        only each COUNTth of them\n",
	.take_option = take_option,
	.ops = &ops,
	.events = UTRACE_EVENT(SYSCALL_ENTRY),
};

#ifdef ALONE
int main(int argc, char **argv)
{
	const struct example *const examples[] = {&inject_faults, NULL};
	return example_main(argc, argv, examples);
}
#endif
