/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "stap/parser.h"

#define UTRACE_VERSION "0.1.0"

static const struct cli_command *const commands[] = {
	&cli_run, &cli_list, &cli_heal, &cli_lsp};

enum {
	COMMAND_COUNT = sizeof(commands) / sizeof(*commands)
};

void cli_print_version(void)
{
	printf("utrace %s (SystemTap language %s)\n", UTRACE_VERSION,
		STAP_LANGUAGE_VERSION);
}

static void print_usage(FILE *to)
{
	fprintf(to,
		"usage: utrace COMMAND [OPTION...]\n\n"
		"See inside running processes: script them, count them, time them.\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to,
		"\n'utrace COMMAND --help' tells the options of a command; utrace(1) has the rest.\n");
}

/* A full disk must not look like success: whatever was printed has to have arrived. */
static int finish(int status)
{
	if (fflush(stdout) != 0 && errno != EPIPE) {
		fprintf(stderr, "error: cannot write output: %s\n", strerror(errno));
		return status ? status : 1;
	}
	return status;
}

static void refused_write(int number)
{
	(void)number;
}

/*
 * A closed pipe, or a file as long as files may get, ends the run in order.  With a handler: that signals are ignored
 * is inherited by the programs that are run.
 */
static void hear_of_refused_writes(void)
{
	const int signals[] = {SIGPIPE, SIGXFSZ};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction action = {
			.sa_handler = refused_write, .sa_flags = SA_RESTART};
		struct sigaction now;
		if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
	}
}

/*
 * Allocations that fail end the program, by abort() where they are made: that says nothing to who runs it.  Whatever
 * else aborts has said why.
 */
static void aborted(int number)
{
	static const char text[] =
		"error: out of memory\n"
		"hint: memory of the tracer itself may be limited: see ulimit -d, ulimit -v and --rlimit-as\n";

	(void)number;
	if (errno != ENOMEM)
		return;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

static void tell_lack_of_memory(void)
{
	struct sigaction action = {.sa_handler = aborted};
	struct sigaction now;

	if (sigaction(SIGABRT, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		sigaction(SIGABRT, &action, NULL);
}

/*
 * What is opened first would take the place of a closed standard stream, and get what is printed there: it
 * may be the memory of a process.  Writing to these fails; commands that are started do not get them.
 */
static void hold_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null",
				(fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	hold_standard_streams();
	hear_of_refused_writes();
	tell_lack_of_memory();
	if (argc < 2) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
		strcmp(name, "help") == 0) {
		print_usage(stdout);
		return finish(0);
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		cli_print_version();
		return finish(0);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(name, commands[i]->name) == 0)
			return finish(commands[i]->run(commands[i], argc - 1, argv + 1));
	fprintf(stderr, "utrace: '%s' is not a command\nTry 'utrace --help'.\n", name);
	return CLI_USAGE;
}
