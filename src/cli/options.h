/* SPDX-License-Identifier: MIT */
/*
 * Command-line options as data: parsing, --help and the tests that compare the manual
 * pages with the program all read the same tables.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum cli_support {
	CLI_WORKS,
	CLI_NOTHING, /* another tool's option, with nothing to do here: accepted */
	CLI_WARNS,   /* accepted with a warning: what it asks for is not done */
	CLI_REFUSED, /* an error */
};

struct cli_option {
	int short_name;        /* 0: none */
	const char *long_name; /* NULL: none */
	const char *argument;  /* NULL: takes none; "[X]": optional, long form only */
	const char *help;      /* one line: what it does; or why not */
	/** Return: 0, or -EINVAL with @err: the value cannot be used */
	int (*set)(void *data, const char *value, struct error *err);
	enum cli_support support;
};

struct cli_command {
	const char *name;
	const char *synopsis;             /* after "utrace NAME" */
	const char *summary;              /* one line */
	const struct cli_option *options; /* ends with a zero entry */
	int (*run)(const struct cli_command *command, int argc, char **argv);
	bool is_stap; /* messages and exit statuses for wrong usage are stap's */
};

extern const struct cli_command cli_run, cli_list, cli_heal, cli_lsp;

void cli_print_version(void);

enum {
	CLI_USAGE = 2,
	CLI_HELP = -1000
};

/**
 * cli_parse() - parse options in GNU style (permuted, `--` ends them)
 * @ret_first: index of the first operand in the permuted argv
 * Return: 0; nonzero, an exit status, after a message on standard error; CLI_HELP when help
 * was printed
 */
int cli_parse(const struct cli_command *command, int argc, char **argv, void *data,
	int *ret_first);
void cli_print_help(const struct cli_command *command);
/** what is wrong and where to look; returns the exit status for wrong usage */
int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
	printf_like(2, 3);
/** "error: ..." and "hint: ..." on standard error; returns 1 */
int cli_error(const struct error *err);
/** parse a whole decimal number in [low, high]; false: not one */
bool cli_number(const char *text, long low, long high, long *ret);
/** whether the whole text matches an extended regular expression, in any case of letters */
bool cli_matches(const char *text, const char *pattern);
