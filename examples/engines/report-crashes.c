/* SPDX-License-Identifier: MIT */
/*
 * Prints registers and a backtrace when a signal is about to kill the process, while everything is still there.
 * libdwfl of elfutils does the unwinding; it reads the stopped thread with ptrace(2), which it may because the
 * callback runs in the tracer.
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tracer.h"

static FILE *output;

static const char *take_option(int option, const char *value)
{
	(void)option;
	output = fopen(value, "we");
	return output ? NULL : strerror(errno);
}

static void print_registers(FILE *file, const struct user_regs_struct *regs)
{
	const struct {
		const char *name;
		unsigned long long value;
	} rows[] = {
		{"rip", regs->rip},
		{"rsp", regs->rsp},
		{"rbp", regs->rbp},
		{"flags", regs->eflags},
		{"rax", regs->rax},
		{"rbx", regs->rbx},
		{"rcx", regs->rcx},
		{"rdx", regs->rdx},
		{"rsi", regs->rsi},
		{"rdi", regs->rdi},
		{"r8", regs->r8},
		{"r9", regs->r9},
		{"r10", regs->r10},
		{"r11", regs->r11},
		{"r12", regs->r12},
		{"r13", regs->r13},
		{"r14", regs->r14},
		{"r15", regs->r15},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(file, "  %-5s %016llx%s", rows[i].name, rows[i].value,
			i % 3 == 2 ? "\n" : "");
}

static int print_frame(Dwfl_Frame *frame, void *data)
{
	Dwarf_Addr pc;
	bool is_activation;
	FILE *file = data;
	if (!dwfl_frame_pc(frame, &pc, &is_activation))
		return DWARF_CB_ABORT;
	/* A caller stands after its call, which may be in the next function. */
	Dwarf_Addr at = is_activation ? pc : pc - 1;
	Dwfl_Module *module =
		dwfl_addrmodule(dwfl_thread_dwfl(dwfl_frame_thread(frame)), at);
	const char *name = module ? dwfl_module_addrname(module, at) : NULL;
	const char *path = module ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL,
					    NULL, NULL)
				  : NULL;
	fprintf(file, "  %#llx %s (%s)\n", (unsigned long long)pc, name ? name : "?",
		path ? path : "?");
	return DWARF_CB_OK;
}

static void print_backtrace(FILE *file, pid_t pid, pid_t tid)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	if (dwfl && dwfl_linux_proc_report(dwfl, pid) == 0 &&
		dwfl_report_end(dwfl, NULL, NULL) == 0 &&
		/* true: it is stopped already */
		dwfl_linux_proc_attach(dwfl, pid, true) == 0)
		dwfl_getthread_frames(dwfl, tid, print_frame, file);
	if (dwfl)
		dwfl_end(dwfl);
}

static uint32_t report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct utrace_task *task = utrace_engine_task(engine);
	FILE *file = output ? output : stderr;
	uint32_t what = utrace_signal_action(action);
	/* Others may have decided otherwise; what they have stays. */
	if (what != UTRACE_SIGNAL_TERM && what != UTRACE_SIGNAL_CORE)
		return UTRACE_RESUME | what;
	pid_t pid = utrace_task_pid(task), tid = utrace_task_tid(task);
	fprintf(file, "process %d, thread %d: signal %d (%s)", pid, tid, info->si_signo,
		strsignal(info->si_signo));
	if (info->si_code > 0 && what == UTRACE_SIGNAL_CORE)
		fprintf(file, " at %p", info->si_addr);
	fputs("\nregisters:\n", file);
	print_registers(file, regs);
	fputs("backtrace:\n", file);
	print_backtrace(file, pid, tid);
	fflush(file);
	return UTRACE_RESUME | what;
}

static const struct utrace_engine_ops ops = {.report_signal = report_signal};

const struct example report_crashes = {
	.options = "c:",
	.usage = "  -c FILE         write crashes to FILE instead of standard error\n",
	.take_option = take_option,
	.ops = &ops,
	.events = UTRACE_EVENT(SIGNAL_TERM) | UTRACE_EVENT(SIGNAL_CORE),
};

#ifdef ALONE
int main(int argc, char **argv)
{
	const struct example *const examples[] = {&report_crashes, NULL};
	return example_main(argc, argv, examples);
}
#endif
