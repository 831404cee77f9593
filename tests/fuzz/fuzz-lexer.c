/* SPDX-License-Identifier: MIT */
/* Any bytes give a finite run of tokens, each with a place inside the text. */
#include <stdint.h>
#include <stdlib.h>

#include "stap/lexer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const arguments[] = {"foo", "12 + \"", "", "$1"};
	struct arena arena;
	arena_init(&arena);
	struct stap_source source = {
		"<fuzz>", arena_strndup(&arena, (const char *)data, size), size, false, false};
	struct stap_parse_options options = {.arguments = arguments,
		.argument_count = 4,
		.compatible = size % 2 ? "2.0" : NULL};
	struct stap_lexer lexer;
	stap_lexer_init(&lexer, &arena, &source, &options);
	const struct stap_token *token;
	do {
		token = stap_lexer_next(&lexer);
		if (token->at < source.text || token->at > source.text + size)
			abort();
		if (!token->line || token->at - (token->column - 1) < source.text)
			abort();
	} while (token->kind != STAP_TOKEN_EOF);
	stap_lexer_deinit(&lexer);
	arena_deinit(&arena);
	return 0;
}
