/* SPDX-License-Identifier: MIT */
/* A script looked at without running it: what editors ask for. */
#pragma once

#include "session/options.h"
#include "stap/semantic.h"

struct session_analysis;

/** session_analyze() - passes 1 and 2 over one text; release with session_analysis_destroy() */
struct session_analysis *session_analyze(
	const struct session_options *options, const char *name, const char *text);
/** session_analyze_listing() - the same, to see what there is: variables that nobody uses are kept, and
 * nothing needs a target */
struct session_analysis *session_analyze_listing(
	const struct session_options *options, const char *name, const char *text);
void session_analysis_destroy(struct session_analysis *analysis);

const struct stap_diagnostics *session_analysis_diagnostics(
	const struct session_analysis *analysis);
/** as far as it could be parsed; never NULL */
const struct stap_file *session_analysis_file(const struct session_analysis *analysis);
const struct stap_file *const *session_analysis_library(
	const struct session_analysis *analysis, uint32_t *ret_count);
/** NULL: the script has errors */
const struct stap_program *session_analysis_program(
	const struct session_analysis *analysis);
/** "$n:int", a line for each variable that handlers of the script's probes can have */
void session_analysis_variables(
	const struct session_analysis *analysis, struct strbuf *out);
/** "timer.ms(number)", a line for each kind of probe point */
void session_analysis_points(struct strbuf *out);
