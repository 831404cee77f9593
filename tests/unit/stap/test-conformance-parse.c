/* SPDX-License-Identifier: MIT */
/*
 * Walks a folder of scripts.  ok.*.stp must parse without a word, and what is unparsed must parse
 * again to the same text.  err.*.stp must give exactly the messages in err.*.expected.
 *
 * A first line `# options: -g --compatible=VERSION ARG...` gives guru rights, a language version and
 * script arguments.
 */
#include <dirent.h>

#include "base/cleanup.h"
#include "stap/parser.h"
#include "tap.h"

struct options {
	struct stap_parse_options parse;
	const char *arguments[16];
};

static char *read_file(const char *path, size_t *ret_size)
{
	CLEANUP(cleanup_file) FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	struct strbuf text;
	strbuf_init(&text);
	char chunk[4096];
	size_t size;
	while ((size = fread(chunk, 1, sizeof(chunk), file)) > 0)
		strbuf_append(&text, chunk, size);
	*ret_size = text.size;
	return text.data;
}

static void read_options(struct arena *arena, const char *text, struct options *options)
{
	static const char mark[] = "# options:", compatible[] = "--compatible=";
	*options = (struct options){0};
	options->parse.arguments = options->arguments;
	if (strncmp(text, mark, strlen(mark)) != 0)
		return;
	char *line = arena_strndup(arena, text, strcspn(text, "\n"));
	for (char *word = strtok(line + strlen(mark), " "); word;
		word = strtok(NULL, " ")) {
		if (strcmp(word, "-g") == 0)
			options->parse.guru = true;
		else if (strncmp(word, compatible, strlen(compatible)) == 0)
			options->parse.compatible = word + strlen(compatible);
		else
			options->arguments[options->parse.argument_count++] = word;
	}
}

/* Parse and put everything that would go to stderr in @messages. */
static struct stap_file *parse(struct arena *arena, const char *name, const char *text,
	size_t size, const struct options *options, struct strbuf *messages)
{
	struct stap_source *source = arena_new(arena, struct stap_source);
	*source =
		(struct stap_source){name, arena_strndup(arena, text, size), size, false, false};
	struct stap_diagnostics diag;
	stap_diagnostics_init(&diag, arena);
	struct stap_file *file = stap_parse(arena, source, &options->parse, &diag);
	stap_diagnostics_render(&diag, false, messages);
	if (!stap_parse_summary(file, messages))
		strbuf_puts(messages, "Pass 1: parse failed.  [man error::pass1]\n");
	stap_diagnostics_render_suppressed(&diag, messages);
	stap_diagnostics_deinit(&diag);
	return file;
}

static void test_round_trip(struct arena *arena, const char *name, struct stap_file *file,
	const struct options *options)
{
	struct strbuf first, second, messages;
	strbuf_init(&first);
	strbuf_init(&second);
	strbuf_init(&messages);
	stap_unparse(file, &first);
	struct stap_file *again =
		parse(arena, "<unparsed>", first.data, first.size, options, &messages);
	if (messages.size)
		tap_is_string(
			messages.data, "", arena_printf(arena, "%s: parses again", name));
	stap_unparse(again, &second);
	tap_is_string(
		second.data, first.data, arena_printf(arena, "%s: same tree", name));
	stap_file_deinit(again);
	strbuf_deinit(&first);
	strbuf_deinit(&second);
	strbuf_deinit(&messages);
}

static void test_file(const char *folder, const char *name)
{
	struct arena arena;
	arena_init(&arena);
	struct strbuf messages;
	strbuf_init(&messages);
	size_t size = 0;
	CLEANUP(cleanup_free)
	char *text = read_file(arena_printf(&arena, "%s/%s", folder, name), &size);
	CLEANUP(cleanup_free) char *want = NULL;
	struct options options;
	read_options(&arena, text, &options);
	struct stap_file *file = parse(&arena, name, text, size, &options, &messages);
	if (strncmp(name, "err.", 4) == 0) {
		size_t want_size;
		int stem = (int)(strlen(name) - strlen(".stp"));
		want = read_file(
			arena_printf(&arena, "%s/%.*s.expected", folder, stem, name),
			&want_size);
		tap_is_string(messages.data, want ? want : "", name);
	} else if (tap_is_string(messages.data, "", name)) {
		test_round_trip(&arena, name, file, &options);
	}
	stap_file_deinit(file);
	strbuf_deinit(&messages);
	arena_deinit(&arena);
}

static int is_script(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);
	return size > 4 && strcmp(entry->d_name + size - 4, ".stp") == 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	struct dirent **entries;
	int count = scandir(argv[1], &entries, is_script, alphasort);
	for (int i = 0; i < count; i++) {
		test_file(argv[1], entries[i]->d_name);
		free(entries[i]);
	}
	tap_ok(count > 0, "scripts in %s", argv[1]);
	if (count >= 0)
		free(entries);
	return tap_done();
}
