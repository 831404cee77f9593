/* SPDX-License-Identifier: MIT */
/* Lexer, preprocessor (macros, %( %? %), $1 @1) and parser: text to struct stap_file. */
#pragma once

#include "stap/ast.h"

struct stap_parse_options {
	const char *const *arguments; /* $1.. @1.. */
	uint32_t argument_count;
	bool guru;
	const char *compatible; /* --compatible version or NULL */
	bool *argument_used;    /* argument_count flags, or NULL */
};

/**
 * stap_parse() - parse one source
 * Diagnostics (parse errors) go to @diag; the parser resumes at the next top-level keyword.
 * Return: the file, also when errors were found (then diag->error_count grew); never NULL.
 */
struct stap_file *stap_parse(struct arena *arena, const struct stap_source *source,
	const struct stap_parse_options *options, struct stap_diagnostics *diag);

/** stap_unparse() - -p1: text that parses again to the same tree */
void stap_unparse(const struct stap_file *file, struct strbuf *out);
