/* SPDX-License-Identifier: MIT */
/* What the programs of this folder share: a command to start or a process to attach to, and a loop. */
#pragma once

#include <utrace/uprobes.h>

struct driver {
	const char *arguments; /* for the usage line: "FILE FUNCTION" */
	int argument_count;
	struct uprobes_options options;
	/* put probes in; @arguments are those named above.  Before the process is added */
	int (*begin)(struct uprobes *uprobes, char **arguments, struct utrace_error *err);
	void (*end)(void); /* say what was found */
};

/** driver_main() - usage: PROGRAM ARGUMENTS -p PID | PROGRAM ARGUMENTS COMMAND [ARGUMENT...] */
int driver_main(int argc, char **argv, struct driver *driver);
