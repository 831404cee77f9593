/* SPDX-License-Identifier: MIT */
/*
 * Runs tests/conformance/sema: every *.stp is parsed and analysed against a made-up program, and
 * what a user would see on stderr, or the -p2 listing for a script that is accepted, must equal
 * the .expected file beside it.
 *
 * Lines `#@ WORD` at the start of a script set options: guru, unoptimized, skip-badvars, no-warnings,
 * warnings-are-errors, no-target, bodies (-v); `#@ library FILE` adds a tapset file of the same folder.
 * With UPDATE_EXPECTED in the environment, the .expected files are written instead.
 */
#include <dirent.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "fake-target.h"
#include "stap/semantic.h"
#include "tap.h"

enum {
	LIBRARY_LIMIT = 4
};

struct script {
	const char *folder, *name;
	struct arena arena;
	struct stap_diagnostics diag;
	struct stap_semantic_options options;
	struct stap_parse_options parse;
	const struct stap_file *library[LIBRARY_LIMIT];
	const struct stap_file *user[1];
	bool shows_bodies;
};

static char *read_text(const char *folder, const char *name, const char *suffix)
{
	char path[4096], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
	return fd_read_file(path, &text, NULL) < 0 ? NULL : text;
}

static struct stap_file *parse(struct script *script, const char *name, bool is_library)
{
	struct stap_source *source = arena_new(&script->arena, struct stap_source);
	struct stap_parse_options options = script->parse;
	CLEANUP(cleanup_free) char *text = read_text(script->folder, name, "");

	if (!text)
		return NULL;
	options.guru |= is_library;
	source->name = arena_strdup(&script->arena, name);
	source->text = arena_strdup(&script->arena, text);
	source->size = strlen(text);
	source->is_library = is_library;
	return stap_parse(&script->arena, source, &options, &script->diag);
}

static void library_add(struct script *script, const char *name)
{
	struct stap_file *file = parse(script, name, true);

	if (file && script->options.library_file_count < LIBRARY_LIMIT)
		script->library[script->options.library_file_count++] = file;
	else
		printf("# %s: cannot use library %s\n", script->name, name);
}

static void option_set(struct script *script, const char *word, const char *argument)
{
	struct stap_semantic_options *options = &script->options;

	if (!strcmp(word, "guru"))
		options->guru = script->parse.guru = true;
	else if (!strcmp(word, "unoptimized"))
		options->unoptimized = true;
	else if (!strcmp(word, "skip-badvars"))
		options->skip_badvars = true;
	else if (!strcmp(word, "no-warnings"))
		options->suppress_warnings = true;
	else if (!strcmp(word, "warnings-are-errors"))
		script->diag.warnings_are_errors = true;
	else if (!strcmp(word, "whole"))
		options->whole = true;
	else if (!strcmp(word, "no-target"))
		options->has_target = false;
	else if (!strcmp(word, "bodies"))
		script->shows_bodies = true;
	else if (!strcmp(word, "library"))
		library_add(script, argument);
	else
		printf("# %s: unknown option %s\n", script->name, word);
}

static void options_read(struct script *script, const char *text)
{
	char word[64], argument[128];

	while (!strncmp(text, "#@ ", 3)) {
		const char *end = strchr(text, '\n');

		argument[0] = 0;
		if (sscanf(text, "#@ %63s %127[^ \n]", word, argument) >= 1)
			option_set(script, word, argument);
		if (!end)
			return;
		text = end + 1;
	}
}

static void script_run(struct script *script, const char *text, struct strbuf *out)
{
	struct stap_program *program;
	struct stap_file *file;

	arena_init(&script->arena);
	stap_diagnostics_init(&script->diag, &script->arena);
	script->options.has_target = true;
	script->options.library_files = script->library;
	script->options.user_files = script->user;
	script->options.user_file_count = 1;
	options_read(script, text);
	file = parse(script, script->name, false);
	script->user[0] = file;
	program = script->diag.error_count
			  ? NULL
			  : stap_analyze(&script->arena, &script->options, &fake_target,
				    &script->diag);
	stap_diagnostics_render(&script->diag, false, out);
	if (program)
		stap_program_dump(program, script->shows_bodies, out);
	else
		stap_diagnostics_render_suppressed(&script->diag, out);
	stap_file_deinit(file);
	for (uint32_t i = 0; i < script->options.library_file_count; i++)
		stap_file_deinit((struct stap_file *)(uintptr_t)script->library[i]);
	stap_diagnostics_deinit(&script->diag);
	arena_deinit(&script->arena);
}

static void expected_write(const char *folder, const char *base, const struct strbuf *out)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.expected", folder, base);
	file = fopen(path, "w");
	if (!file)
		return;
	fwrite(out->data, 1, out->size, file);
	fclose(file);
}

static void script_test(const char *folder, const char *name)
{
	struct script script = {.folder = folder, .name = name};
	CLEANUP(cleanup_free) char *text = read_text(folder, name, "");
	CLEANUP(cleanup_free) char *expected = NULL;
	char base[512];
	struct strbuf out;

	strbuf_init(&out);
	snprintf(base, sizeof(base), "%.*s", (int)(strlen(name) - 4), name);
	expected = read_text(folder, base, ".expected");
	script_run(&script, text, &out);
	if (getenv("UPDATE_EXPECTED"))
		expected_write(folder, base, &out);
	else if (!tap_ok(expected && !strcmp(out.data, expected), "%s", base))
		printf("# got:\n%s# want:\n%s", out.data,
			expected ? expected : "(no file)\n");
	strbuf_deinit(&out);
}

static int is_script(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 4 && !strcmp(entry->d_name + size - 4, ".stp") &&
	       (!strncmp(entry->d_name, "ok.", 3) || !strncmp(entry->d_name, "err.", 4));
}

int main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : "tests/conformance/sema";
	struct dirent **entries;
	int count = scandir(folder, &entries, is_script, alphasort);

	if (count < 0) {
		fprintf(stderr, "cannot read %s: %s\n", folder, strerror(errno));
		return 1;
	}
	for (int i = 0; i < count; i++) {
		script_test(folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return tap_done();
}
