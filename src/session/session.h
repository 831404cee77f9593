/* SPDX-License-Identifier: MIT */
/*
 * One tracing run: script, session memory, processes, output, wired together.  The only
 * layer that knows all the others.  Life: session_compile() (passes 1 to 4), then
 * session_run() (pass 5).
 */
#pragma once

#include "base/error.h"
#include "session/options.h"

/** text that goes to standard error comes through here, so that the library itself never
 * prints */
typedef void (*session_message_fn)(const char *text, void *data);

/**
 * session_run() - the whole of `utrace run`
 * Return: the process's exit status (0 or 1); diagnostics went to standard error.
 */
int session_run(const struct session_options *options);

/** session_list() - `-l`/`-L` and `utrace list`: matching probe points, one a line; exit
 * status */
int session_list(
	const struct session_options *options, const char *point, bool with_variables);

/** --dump-probe-types, --dump-probe-aliases, --dump-functions; exit status */
int session_dump_types(const struct session_options *options);
int session_dump_aliases(const struct session_options *options);
int session_dump_functions(const struct session_options *options);
