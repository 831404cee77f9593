/* SPDX-License-Identifier: MIT */
/*
 * Between lexer and parser: macros first, then conditionals.  Nothing is thrown or reported here;
 * an error is handed to the parser, which prints it and goes on as after any parse error.
 */
#pragma once

#include "stap/lexer.h"

struct stap_macro;
struct preprocess_stream;
struct preprocess_conditional;

struct stap_preprocess_error {
	const char *key; /* the format: errors of one format are similar */
	const char *message;
	const struct stap_token *token;
	const char *cause; /* a second message, or NULL */
	const struct stap_token *cause_token;
};

struct stap_preprocessor {
	struct arena *arena;
	const struct stap_parse_options *options;
	struct stap_diagnostics *diag; /* warnings only */
	struct stap_lexer lexer;
	struct stap_macro *macros;         /* of this file */
	struct preprocess_stream *streams; /* macros being expanded, innermost first */
	struct preprocess_conditional *conditionals; /* open ones, innermost first */
	uint32_t expanded;                           /* tokens that came out of macros */
	bool has_tokens;
	struct stap_preprocess_error error;
};

void stap_preprocessor_init(struct stap_preprocessor *pp, struct arena *arena,
	const struct stap_source *source, const struct stap_parse_options *options,
	struct stap_diagnostics *diag);
void stap_preprocessor_deinit(struct stap_preprocessor *pp);

/**
 * stap_preprocessor_next() - the next token, EOF at the end
 * Return: NULL on a macro or conditional error, which is in @pp->error; calling again goes on.
 */
const struct stap_token *stap_preprocessor_next(struct stap_preprocessor *pp);
