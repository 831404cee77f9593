/* SPDX-License-Identifier: MIT */
#include "session/analysis.h"

#include <stdlib.h>
#include <string.h>

#include "session/front.h"

struct session_analysis {
	struct session_options options;
	struct session_text text;
	struct session session;
	struct front front;
};

static struct session_analysis *analyze(const struct session_options *options,
	const char *name, const char *text, bool is_listing)
{
	struct session_analysis *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	a->options = *options;
	a->options.last_pass = 0;
	a->text = (struct session_text){.name = name, .text = text, .size = strlen(text)};
	a->options.scripts.items = &a->text;
	a->options.scripts.count = a->options.scripts.capacity = 1;
	a->front.silent = true;
	a->front.listing = is_listing;
	a->front.whole = true;
	a->options.unoptimized = a->options.unoptimized || is_listing;
	session_init(&a->session, &a->options);
	(void)!session_open_cache(&a->session);
	/* the diagnostics say what went wrong */
	if (session_front_pass1(&a->session, &a->front) == 0)
		(void)!session_front_pass2(&a->session, &a->front);
	return a;
}

struct session_analysis *session_analyze(
	const struct session_options *options, const char *name, const char *text)
{
	return analyze(options, name, text, false);
}

struct session_analysis *session_analyze_listing(
	const struct session_options *options, const char *name, const char *text)
{
	return analyze(options, name, text, true);
}

void session_analysis_destroy(struct session_analysis *a)
{
	if (!a)
		return;
	session_front_free(&a->front);
	session_deinit(&a->session);
	free(a);
}

const struct stap_diagnostics *session_analysis_diagnostics(
	const struct session_analysis *a)
{
	return &a->session.diagnostics;
}

const struct stap_file *session_analysis_file(const struct session_analysis *a)
{
	return a->front.user.items[0];
}

const struct stap_file *const *session_analysis_library(
	const struct session_analysis *a, uint32_t *ret_count)
{
	return stap_tapset_files(a->front.tapset, ret_count);
}

const struct stap_program *session_analysis_program(const struct session_analysis *a)
{
	return a->session.program;
}

void session_analysis_variables(const struct session_analysis *a, struct strbuf *out)
{
	/* what is asked on the way is found in the analysis itself */
	struct session *s = (struct session *)(uintptr_t)&a->session;
	if (s->program)
		session_list_variables(s, out);
}

void session_analysis_points(struct strbuf *out)
{
	struct arena arena;
	arena_init(&arena);
	stap_dump_probe_types(&arena, out);
	arena_deinit(&arena);
}
