/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LONG_BASE = 0x1000,
	MAX_OPTIONS = 96,
	HELP_COLUMN = 30
};

static size_t option_count(const struct cli_command *command)
{
	size_t count = 0;
	while (command->options[count].short_name || command->options[count].long_name)
		count++;
	return count;
}

static bool argument_is_optional(const struct cli_option *o)
{
	return o->argument && o->argument[0] == '[';
}

int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "utrace %s: ", command->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'utrace %s --help'.\n", command->name);
	return CLI_USAGE;
}

int cli_error(const struct error *err)
{
	fprintf(stderr, "error: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
	return 1;
}

bool cli_number(const char *text, long low, long high, long *ret)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < low || value > high)
		return false;
	*ret = value;
	return true;
}

static void print_option(const struct cli_option *o)
{
	char text[128];
	int n = 0;
	if (o->short_name && o->long_name)
		n = snprintf(
			text, sizeof(text), "  -%c, --%s", o->short_name, o->long_name);
	else if (o->short_name)
		n = snprintf(text, sizeof(text), "  -%c", o->short_name);
	else
		n = snprintf(text, sizeof(text), "      --%s", o->long_name);
	if (o->argument && argument_is_optional(o))
		n += snprintf(
			text + n, sizeof(text) - (size_t)n, "[=%s", o->argument + 1);
	else if (o->argument)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%c%s",
			o->long_name ? '=' : ' ', o->argument);
	if (n < HELP_COLUMN)
		printf("%-*s%s\n", HELP_COLUMN, text, o->help);
	else
		printf("%s\n%*s%s\n", text, HELP_COLUMN, "", o->help);
}

void cli_print_help(const struct cli_command *command)
{
	printf("usage: utrace %s %s\n\n%s\n\n", command->name, command->synopsis,
		command->summary);
	for (size_t i = 0; i < option_count(command); i++)
		if (command->options[i].help)
			print_option(&command->options[i]);
	printf("  -h, --help%*sshow this help\n", HELP_COLUMN - 12, "");
}

static void build_getopt(
	const struct cli_command *command, char *shorts, struct option *longs)
{
	size_t count = option_count(command), kept = 0;
	*shorts++ = ':';
	for (size_t i = 0; i < count; i++) {
		const struct cli_option *o = &command->options[i];
		if (o->short_name) {
			*shorts++ = (char)o->short_name;
			if (o->argument)
				*shorts++ = ':';
		}
		if (!o->long_name)
			continue;
		int takes = !o->argument              ? no_argument
			    : argument_is_optional(o) ? optional_argument
						      : required_argument;
		longs[kept++] =
			(struct option){o->long_name, takes, NULL, LONG_BASE + (int)i};
	}
	*shorts++ = 'h';
	*shorts = '\0';
	longs[kept++] = (struct option){"help", no_argument, NULL, 'h'};
	longs[kept] = (struct option){0};
}

static const struct cli_option *find_option(const struct cli_command *command, int code)
{
	size_t count = option_count(command);
	if (code >= LONG_BASE)
		return (size_t)(code - LONG_BASE) < count
			       ? &command->options[code - LONG_BASE]
			       : NULL;
	for (size_t i = 0; i < count; i++)
		if (command->options[i].short_name == code)
			return &command->options[i];
	return NULL;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, void *data,
	int *ret_first)
{
	char shorts[2 * MAX_OPTIONS + 4];
	struct option longs[MAX_OPTIONS + 2];
	if (option_count(command) > MAX_OPTIONS)
		abort();
	build_getopt(command, shorts, longs);
	opterr = 0;
	optind = 1;
	for (;;) {
		int word = optind;
		int code = getopt_long(argc, argv, shorts, longs, NULL);
		if (code == -1)
			break;
		if (code == 'h') {
			cli_print_help(command);
			return CLI_HELP;
		}
		if (code == ':')
			return cli_usage_error(
				command, "option '%s' needs a value", argv[optind - 1]);
		if (code == '?' && optopt && optopt < LONG_BASE)
			return cli_usage_error(command, "unknown option '-%c'", optopt);
		const struct cli_option *o =
			code == '?' ? NULL : find_option(command, code);
		if (!o)
			return cli_usage_error(command, "unknown option '%s'",
				argv[optind > word ? optind - 1 : word]);
		struct error err = {0};
		if (o->set(data, optarg, &err) < 0)
			return cli_usage_error(command, "%s", err.message);
	}
	*ret_first = optind;
	return 0;
}
