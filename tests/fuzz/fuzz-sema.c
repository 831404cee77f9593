/* SPDX-License-Identifier: MIT */
/* Whatever parses is analysed to a program or to messages, against a program that is not there. */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/stap/fake-target.h"
#include "stap/parser.h"
#include "stap/semantic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void analyse(struct arena *arena, struct stap_file *file, unsigned choice,
	struct stap_diagnostics *diag, struct strbuf *out)
{
	const struct stap_file *files[] = {file};
	struct stap_semantic_options options = {
		.user_files = files,
		.user_file_count = 1,
		.has_target = true,
		.guru = choice & 1,
		.unoptimized = choice & 2,
		.skip_badvars = choice & 4,
	};
	struct stap_program *program = stap_analyze(arena, &options, &fake_target, diag);

	if (!program && !diag->error_count)
		abort();
	if (program)
		stap_program_dump(program, true, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned choice = size ? data[size - 1] : 0;
	struct stap_diagnostics diag;
	struct stap_source source;
	struct strbuf out;
	struct arena arena;

	arena_init(&arena);
	strbuf_init(&out);
	stap_diagnostics_init(&diag, &arena);
	source = (struct stap_source){
		"<fuzz>", arena_strndup(&arena, (const char *)data, size), size, false, false};
	struct stap_parse_options options = {.guru = choice & 1};
	struct stap_file *file = stap_parse(&arena, &source, &options, &diag);
	if (!diag.error_count)
		analyse(&arena, file, choice, &diag, &out);
	stap_diagnostics_render(&diag, true, &out);
	stap_diagnostics_render_suppressed(&diag, &out);
	stap_file_deinit(file);
	stap_diagnostics_deinit(&diag);
	strbuf_deinit(&out);
	arena_deinit(&arena);
	return 0;
}
