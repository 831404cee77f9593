/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share: a command line, a loop, and engines on every thread.  An example is
 * a table of callbacks with a few options; any number of them run in one program.
 */
#pragma once

#include <utrace/utrace.h>

struct example {
	const char
		*options;  /* for getopt(3), with a colon after those that take a value */
	const char *usage; /* of the options */
	/* Return: NULL, or what is wrong with the value */
	const char *(*take_option)(int option, const char *value);
	const struct utrace_engine_ops *ops;
	unsigned long events;
	size_t size; /* of what each engine carries, zeroed; its callbacks get it by utrace_engine_data() */
};

/** example_main() - the rest of a program.  @examples ends with NULL; the first attached are the first asked */
int example_main(int argc, char **argv, const struct example *const *examples);

/** call_name(), find_call() - of x86-64; NULL and -1: unknown */
const char *call_name(long number);
long find_call(const char *name);

extern const struct example trace_calls, time_calls, inject_faults, read_only, report_crashes;
