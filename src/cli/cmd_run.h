/* SPDX-License-Identifier: MIT */
/* Options that `run` and `list` share. */
#pragma once

#include "cli/options.h"
#include "session/options.h"

enum run_listing {
	RUN_LIST_NOTHING = 0,
	RUN_LIST_POINTS,    /* -l */
	RUN_LIST_VARIABLES, /* -L */
	RUN_LIST_TYPES,     /* --dump-* */
	RUN_LIST_ALIASES,
	RUN_LIST_FUNCTIONS,
};

struct run_request {
	struct session_options session;
	const char *script_text; /* -e */
	enum run_listing listing;
	const char *list_point;
	bool has_last_pass, has_sysroot;
	bool show_version;
};

extern const struct cli_option run_options[];

int run_request_finish(const struct cli_command *command, struct run_request *request,
	int argc, char **argv, int first);
void run_request_free(struct run_request *request);

/* setters used by both tables */
int run_set_command(void *data, const char *value, struct error *err);
int run_set_pid(void *data, const char *value, struct error *err);
int run_set_verbose(void *data, const char *value, struct error *err);
int run_set_include(void *data, const char *value, struct error *err);
