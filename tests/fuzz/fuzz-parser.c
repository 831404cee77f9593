/* SPDX-License-Identifier: MIT */
/*
 * Any bytes give a file or messages that can be rendered; what parses also unparses to text that
 * parses to the same tree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stap/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stap_file *parse(struct arena *arena, const char *text, size_t size,
	bool guru, struct strbuf *messages)
{
	static const char *const arguments[] = {"foo", "12 + (", "", "$1"};
	struct stap_parse_options options = {
		.arguments = arguments, .argument_count = 4, .guru = guru};
	struct stap_source *source = arena_new(arena, struct stap_source);
	*source = (struct stap_source){
		"<fuzz>", arena_strndup(arena, text, size), size, false, false};
	struct stap_diagnostics diag;
	stap_diagnostics_init(&diag, arena);
	struct stap_file *file = stap_parse(arena, source, &options, &diag);
	stap_diagnostics_render(&diag, true, messages);
	stap_diagnostics_render_suppressed(&diag, messages);
	stap_diagnostics_deinit(&diag);
	return file;
}

static void check_round_trip(struct arena *arena, const struct stap_file *file, bool guru)
{
	struct strbuf first, second, messages;
	strbuf_init(&first);
	strbuf_init(&second);
	strbuf_init(&messages);
	stap_unparse(file, &first);
	struct stap_file *again = parse(arena, first.data, first.size, guru, &messages);
	stap_unparse(again, &second);
	if (messages.size || strcmp(first.data, second.data) != 0) {
		fprintf(stderr, "%s--- first\n%s--- second\n%s", messages.data,
			first.data, second.data);
		abort();
	}
	stap_file_deinit(again);
	strbuf_deinit(&first);
	strbuf_deinit(&second);
	strbuf_deinit(&messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	arena_init(&arena);
	bool guru = size % 2;
	struct strbuf messages;
	strbuf_init(&messages);
	struct stap_file *file = parse(&arena, (const char *)data, size, guru, &messages);
	strbuf_clear(&messages);
	if (stap_parse_summary(file, &messages))
		check_round_trip(&arena, file, guru);
	stap_file_deinit(file);
	strbuf_deinit(&messages);
	arena_deinit(&arena);
	return 0;
}
