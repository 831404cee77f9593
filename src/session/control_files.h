/* SPDX-License-Identifier: MIT */
/*
 * procfs probes: files in the user's runtime directory.  Reading one gives what a handler of the
 * script gives at that moment, writing one runs a handler on what was written; input.* probes read
 * the tracer's standard input in the same way.
 */
#pragma once

#include "session/internal.h"

/** session_control_open() - make the files; none where the script has no such probe */
must_check int session_control_open(struct session *s, struct error *err);
void session_control_close(struct session *s);

enum {
	CONTROL_FDS = 3
};
/** session_control_fds() - what the event loop waits for; -1: nothing */
void session_control_fds(const struct session *s, int fds[CONTROL_FDS]);
/** session_control_handle() - something happened at fds[which] */
void session_control_handle(struct session *s, int which);

/** session_control_reads_stdin() - does the script have input.* probes? */
bool session_control_reads_stdin(const struct session *s);

/** session_control_put_reset() - a probe, as text, that gives the script's globals their first values */
void session_control_put_reset(const struct session *s, struct strbuf *out);
bool session_control_is_reset(const struct stap_derived_probe *probe);
/** session_control_reset() - run it */
void session_control_reset(struct session *s);

/** session_control_value() - $value of the handler that runs; NULL: none does */
struct strbuf *session_control_value(const struct session *s);
/** session_control_folder() - where the files of a module are; in @out */
void session_control_folder(const char *module, struct strbuf *out);
