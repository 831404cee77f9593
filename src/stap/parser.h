/* SPDX-License-Identifier: MIT */
/* Lexer, preprocessor (macros, %( %? %), $1 @1) and parser: text to struct stap_file. */
#pragma once

#include "stap/ast.h"

/* The language implemented; what `systemtap_v` compares with unless --compatible says otherwise. */
#define STAP_LANGUAGE_VERSION "5.6"

struct stap_macros; /* the macros of library files (.stpm) */

struct stap_parse_options {
	const char *const *arguments; /* $1.. @1.. */
	uint32_t argument_count;
	bool guru;
	const char *compatible; /* --compatible version or NULL */
	bool newest_syntax; /* whatever that version, which only `systemtap_v` is then */
	const char *privilege; /* what systemtap_privilege is; NULL: "stapdev" */
	const char *runtime;   /* what runtime is; NULL: "dyninst" */
	bool *argument_used;   /* argument_count flags, or NULL */
	const struct stap_macros *macros; /* of the library, or NULL */
	const char *kernel_release;       /* for kernel_v and kernel_vr; NULL: uname() */
	/* value of a kernel configuration name ("CONFIG_X") or NULL; may be NULL itself */
	const char *(*kernel_config)(void *data, const char *name);
	void *kernel_config_data;
};

/** stap_macros_create() - an empty set; tables in it need stap_macros_destroy() */
struct stap_macros *stap_macros_create(struct arena *arena);
void stap_macros_destroy(struct stap_macros *macros);

/**
 * stap_macros_add() - add the macros of one library file, which may hold nothing else
 * Macros of the set are visible in it.  Errors go to @diag, and then nothing of the file is added
 * (the caller warns: macro tapset "F" has errors, and will be skipped).
 */
must_check bool stap_macros_add(struct stap_macros *macros,
	const struct stap_source *source, const struct stap_parse_options *options,
	struct stap_diagnostics *diag);

/**
 * stap_parse() - parse one source
 * Diagnostics (parse errors) go to @diag; the parser resumes at the next top-level keyword.
 * Return: the file, also when errors were found (then diag->error_count grew); never NULL.
 */
struct stap_file *stap_parse(struct arena *arena, const struct stap_source *source,
	const struct stap_parse_options *options, struct stap_diagnostics *diag);

/**
 * stap_parse_summary() - "1 parse error.\n", or that the file is empty
 * Return: true, and nothing appended, when the file can be used.
 */
must_check bool stap_parse_summary(const struct stap_file *file, struct strbuf *out);

/** stap_file_deinit() - release the arrays of a file; its nodes live in the arena */
void stap_file_deinit(struct stap_file *file);

/** stap_unparse() - -p1: text that parses again to the same tree */
void stap_unparse(const struct stap_file *file, struct strbuf *out);
/** stap_unparse_expr() - the same of an expression */
void stap_unparse_expr(const struct stap_expr *expr, struct strbuf *out);
/** stap_unparse_body() - one statement, as it is after whatever passes have seen it */
void stap_unparse_body(const struct stap_stmt *stmt, struct strbuf *out);
