/* SPDX-License-Identifier: MIT */
/* utrace lsp: a language server for editors. */
#include <stdio.h>

#include "cli/cmd_run.h"

#ifdef UTRACE_LSP
#include "lsp/lsp.h"
#endif

static const struct cli_option lsp_options[] = {
	{'c', NULL, "CMD", "the program that a bare `process` means", run_set_command, 0},
	{'x', NULL, "PID", "the process that a bare `process` means", run_set_pid, 0},
	{'I', NULL, "DIR", "look for library scripts in DIR too", run_set_include, 0},
	{0},
};

static int serve(const struct run_request *request)
{
#ifdef UTRACE_LSP
	return lsp_serve(&request->session);
#else
	fprintf(stderr, "error: this utrace was built without the language server\n"
			"hint: it needs jansson when utrace is built\n");
	return 1;
#endif
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct run_request request = {.session = {.guru = true}};
	int first = 0;
	int status = cli_parse(command, argc, argv, &request, &first);
	if (status == 0 && argc != first)
		status = cli_usage_error(command, "it takes no arguments");
	if (status == 0)
		status = serve(&request);
	run_request_free(&request);
	return status == CLI_HELP ? 0 : status;
}

const struct cli_command cli_lsp = {
	.name = "lsp",
	.synopsis = "[OPTION...]",
	.summary = "answer an editor's questions about scripts (language server)",
	.options = lsp_options,
	.run = run,
};
