/* SPDX-License-Identifier: MIT */
/* The --dump-* options: what can be probed and called. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "session/front.h"

/* ---- lines -------------------------------------------------------------------------------- */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once.  Return: how many. */
static size_t print_sorted(char **lines, size_t count)
{
	if (count)
		qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(lines[i], lines[i - 1]) != 0)
			puts(lines[i]);
	return count;
}

static void print_text_sorted(struct strbuf *text)
{
	VEC(char *) lines = {0};
	char *save = NULL;
	for (char *line = strtok_r(text->data, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save))
		vec_append(&lines, line);
	print_sorted(lines.items, lines.count);
	vec_free(&lines);
}

/* ---- the library -------------------------------------------------------------------------- */

int session_dump_types(const struct session_options *options)
{
	struct arena arena;
	struct strbuf out;
	arena_init(&arena);
	strbuf_init(&out);
	stap_dump_probe_types(&arena, &out);
	print_text_sorted(&out);
	strbuf_deinit(&out);
	arena_deinit(&arena);
	return 0;
}

int session_dump_aliases(const struct session_options *options)
{
	struct session s;
	struct front f = {0};
	struct strbuf out;
	uint32_t count;
	strbuf_init(&out);
	session_init(&s, options);
	int r = session_front_pass1(&s, &f);
	if (r == 0) {
		const struct stap_file *const *files =
			stap_tapset_files(f.tapset, &count);
		stap_dump_aliases(files, count, &out);
		print_text_sorted(&out);
	}
	session_front_free(&f);
	session_deinit(&s);
	strbuf_deinit(&out);
	return r < 0 ? 1 : 0;
}

/* Types are inferred: the library is analysed as if all of it were the user's script, together
 * with what gives its untyped variables a type. */
static int analyze_library(struct session *s, struct front *f)
{
	uint32_t count;
	const struct stap_file *const *files = stap_tapset_files(f->tapset, &count);
	VEC(const struct stap_file *) all = {0};
	struct stap_semantic_options options = {.unoptimized = true,
		.suppress_warnings = true,
		.guru = true,
		.whole = true};
	for (uint32_t i = 0; i < count; i++)
		vec_append(&all, files[i]);
	for (size_t i = 0; i < f->user.count; i++)
		vec_append(&all, f->user.items[i]);
	options.user_files = all.items;
	options.user_file_count = (uint32_t)all.count;
	s->program = stap_analyze(&s->arena, &options, &s->target, &s->diagnostics);
	vec_free(&all);
	return s->program ? 0 : -1;
}

int session_dump_functions(const struct session_options *options)
{
	static const char text[] =
		"probe never { @this1 = @this2 = @this3 = @this4 = @this5 = "
		"@this6 = @this7 = @this8 = 0 }";
	struct session s;
	struct front f = {0};
	struct strbuf out;
	struct session_options with_uses = *options;
	struct session_text uses = {.name = "<input>", .text = text};
	uses.size = strlen(text);
	with_uses.scripts.items = &uses;
	with_uses.scripts.count = 1;
	with_uses.last_pass = 2;
	strbuf_init(&out);
	session_init(&s, &with_uses);
	int r = session_front_pass1(&s, &f);
	if (r == 0)
		r = analyze_library(&s, &f);
	if (r < 0) {
		stap_diagnostics_render(&s.diagnostics, true, &out);
		fputs(out.data, stderr);
	} else {
		stap_dump_functions(s.program, &out);
		print_text_sorted(&out);
	}
	session_front_free(&f);
	session_deinit(&s);
	strbuf_deinit(&out);
	return r < 0 ? 1 : 0;
}
