/* SPDX-License-Identifier: MIT */
/* Options that `run` and `list` share. */
#pragma once

#include "cli/options.h"
#include "session/options.h"

struct run_request {
	struct session_options session;
	const char *script_text; /* -e */
	const char *list_point;  /* -l, -L */
	bool list_variables;
};

int run_request_finish(const struct cli_command *command, struct run_request *request,
	int argc, char **argv, int first);
void run_request_free(struct run_request *request);

/* setters used by both tables */
int run_set_command(void *data, const char *value, struct error *err);
int run_set_pid(void *data, const char *value, struct error *err);
int run_set_verbose(void *data, const char *value, struct error *err);
int run_set_include(void *data, const char *value, struct error *err);
