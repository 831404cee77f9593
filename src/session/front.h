/* SPDX-License-Identifier: MIT */
/* Passes 1 and 2: texts, tapset and targets put together for the front end. */
#pragma once

#include <stdarg.h>

#include "session/internal.h"
#include "session/kernel_config.h"
#include "stap/tapset.h"

/** session_front() - parse and analyse; prints diagnostics; 0, or -1 when the run ends
 * here with 1 */
must_check int session_front(struct session *s);
/** session_front_list() - print the points matching a probe point; -1: none */
must_check int session_front_list(
	struct session *s, const char *point, bool with_variables);
void session_front_deinit(struct session *s);

/* ---- between front.c and dump.c ------------------------------------------------------------ */

struct front {
	struct kernel_config kernel_config;
	struct stap_parse_options parse;
	struct stap_tapset *tapset;
	VEC(struct stap_file *) user;
	VEC(const char *) include;
	struct session_pass pass; /* the one that runs */
	bool silent; /* no diagnostics are printed (when listing: but parse errors) */
	bool listing;
	bool whole; /* also functions that nobody calls are analysed */
};

must_check int session_front_pass1(struct session *s, struct front *f);
must_check int session_front_pass2(struct session *s, struct front *f);
void session_front_free(struct front *f);
