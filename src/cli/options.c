/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LONG_BASE = 0x1000,
	MAX_OPTIONS = 128,
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

/* ---- messages ----------------------------------------------------------------------------- */

static int usage_status(const struct cli_command *command)
{
	return command->is_stap ? 1 : CLI_USAGE;
}

int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
{
	va_list ap;
	if (!command->is_stap)
		fprintf(stderr, "utrace %s: ", command->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'utrace %s --help' for more information.\n",
		command->name);
	return usage_status(command);
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

bool cli_matches(const char *text, const char *pattern)
{
	regex_t regex;
	if (regcomp(&regex, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB))
		abort();
	bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

/* ---- help --------------------------------------------------------------------------------- */

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
	if (n < HELP_COLUMN - 1)
		printf("%-*s%s\n", HELP_COLUMN, text, o->help);
	else
		printf("%s\n%*s%s\n", text, HELP_COLUMN, "", o->help);
}

static void print_group(
	const struct cli_command *command, enum cli_support support, const char *title)
{
	bool any = false;
	for (size_t i = 0; i < option_count(command); i++) {
		if (command->options[i].support != support)
			continue;
		if (!any)
			fputs(title, stdout);
		any = true;
		print_option(&command->options[i]);
	}
}

void cli_print_help(const struct cli_command *command)
{
	printf("usage: utrace %s %s\n\n%s\n\n", command->name, command->synopsis,
		command->summary);
	print_group(command, CLI_WORKS, "");
	printf("  -h, --help%*sshow this help\n", HELP_COLUMN - 12, "");
	print_group(command, CLI_NOTHING, "\nAccepted, with nothing to do:\n");
	print_group(command, CLI_WARNS, "\nAccepted with a warning:\n");
	print_group(command, CLI_REFUSED, "\nNot available:\n");
}

/* ---- parsing ------------------------------------------------------------------------------ */

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

static int unknown_option(const struct cli_command *command, int code, const char *word)
{
	bool is_long = strncmp(word, "--", 2) == 0;
	size_t name = strcspn(word, "=");
	if (code == ':' && is_long)
		return cli_usage_error(command, "option '%s' requires an argument", word);
	if (code == ':')
		return cli_usage_error(
			command, "option requires an argument -- '%c'", optopt);
	if (is_long && optopt >= LONG_BASE)
		return cli_usage_error(command, "option '%.*s' doesn't allow an argument",
			(int)name, word);
	if (is_long)
		return cli_usage_error(
			command, "unrecognized option '%.*s'", (int)name, word);
	return cli_usage_error(command, "invalid option -- '%c'", optopt);
}

/* "-b" or "--remote" */
static const char *option_name(const struct cli_option *o, char *text, size_t size)
{
	if (o->long_name)
		snprintf(text, size, "--%s", o->long_name);
	else
		snprintf(text, size, "-%c", o->short_name);
	return text;
}

static int apply_option(
	const struct cli_command *command, const struct cli_option *o, void *data)
{
	char name[64];
	struct error err = {0};
	if (o->set && o->set(data, optarg, &err) < 0) {
		if (!command->is_stap)
			return cli_usage_error(command, "%s", err.message);
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	if (o->support == CLI_WARNS)
		fprintf(stderr, "WARNING: %s has no effect: %s\n",
			option_name(o, name, sizeof(name)), o->help);
	if (o->support != CLI_REFUSED)
		return 0;
	fprintf(stderr, "ERROR: %s is not available: %s\n",
		option_name(o, name, sizeof(name)), o->help);
	return 1;
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
		const struct cli_option *o =
			code == '?' || code == ':' ? NULL : find_option(command, code);
		if (!o)
			return unknown_option(
				command, code, argv[optind > word ? optind - 1 : word]);
		int status = apply_option(command, o, data);
		if (status)
			return status;
	}
	*ret_first = optind;
	return 0;
}
