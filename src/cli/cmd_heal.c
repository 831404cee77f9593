/* SPDX-License-Identifier: MIT */
/* utrace heal: remove what a killed tracer left behind. */
#include <errno.h>
#include <stdio.h>

#include "cli/options.h"
#include "uprobes/uprobes.h"

struct heal_request {
	long pid;
};

static int set_pid(void *data, const char *value, struct error *err)
{
	if (!cli_number(value, 1, 0x7fffffff, &((struct heal_request *)data)->pid))
		return error_set(
			err, -EINVAL, "Invalid target process ID number: '%s'", value);
	return 0;
}

static const struct cli_option heal_options[] = {
	{'p', "pid", "PID", "the process to clean", set_pid, 0},
	{0},
};

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct heal_request request = {0};
	struct error err = {0};
	size_t patches = 0;
	int first = 0;
	int status = cli_parse(command, argc, argv, &request, &first);
	if (status == CLI_HELP)
		return 0;
	if (status)
		return status;
	if (first < argc)
		return cli_usage_error(command, "unexpected '%s'", argv[first]);
	if (!request.pid)
		return cli_usage_error(command, "which process? -p PID");
	int r = uprobe_heal((pid_t)request.pid, &patches, &err);
	if (r < 0 && r != -ENOENT)
		return cli_error(&err);
	if (patches)
		printf("process %ld: %zu patches removed\n", request.pid, patches);
	else if (r == 0)
		printf("process %ld: memory of a dead tracer's removed\n", request.pid);
	else
		printf("process %ld: nothing of utrace's in it\n", request.pid);
	return 0;
}

const struct cli_command cli_heal = {
	.name = "heal",
	.synopsis = "-p PID",
	.summary = "remove what a killed tracer left in a process",
	.options = heal_options,
	.run = run,
};
