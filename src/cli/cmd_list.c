/* SPDX-License-Identifier: MIT */
/* utrace list: what can be probed. */
#include <errno.h>
#include <string.h>

#include "cli/cmd_run.h"
#include "session/session.h"

static int set_variables(void *data, const char *value, struct error *err)
{
	((struct run_request *)data)->listing = RUN_LIST_VARIABLES;
	return 0;
}

static const struct cli_option list_options[] = {
	{'L', "variables", NULL, "show the variables of each point", set_variables, 0},
	{'c', NULL, "CMD", "the program that a bare `process` means", run_set_command, 0},
	{'x', NULL, "PID", "the process that a bare `process` means", run_set_pid, 0},
	{'I', NULL, "DIR", "look for library scripts in DIR too", run_set_include, 0},
	{'v', NULL, NULL,
		"show how each place would be patched, and why something does not match",
		run_set_verbose, 0},
	{0},
};

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct run_request request = {.session = {.last_pass = 2, .explain = true}};
	int first = 0;
	int status = cli_parse(command, argc, argv, &request, &first);
	if (status == 0 && argc - first != 1)
		status =
			cli_usage_error(command, argc == first ? "a probe point is needed"
							       : "one probe point only");
	if (status == 0)
		status = session_list(&request.session, argv[first],
			request.listing == RUN_LIST_VARIABLES);
	run_request_free(&request);
	return status == CLI_HELP ? 0 : status;
}

const struct cli_command cli_list = {
	.name = "list",
	.synopsis = "[OPTION...] PROBE-POINT",
	.summary = "list the probe points matching a pattern",
	.options = list_options,
	.run = run,
};
