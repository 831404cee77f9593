/* SPDX-License-Identifier: MIT */
/* What the kernel is asked to report of every seized thread.  Children inherit it. */
#pragma once

#include <sys/ptrace.h>

#define UTRACE_PTRACE_OPTIONS                                               \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | \
		PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

/* A program under our filter cannot go on without us: its filtered calls would fail. */
#define UTRACE_FILTER_OPTIONS \
	(UTRACE_PTRACE_OPTIONS | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)

/* A child of ours until its exec. */
#define UTRACE_LAUNCH_OPTIONS \
	(PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)
