/* SPDX-License-Identifier: MIT */
/* Source texts, places in them, and collected diagnostics in SystemTap's shape. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/strbuf.h"
#include "base/vec.h"

struct stap_source {
	const char *name; /* as shown: the path given, or "<input>" */
	const char *text; /* NUL-terminated copy in the arena */
	size_t size;
	bool is_library; /* tapset file */
	bool is_builtin; /* one of those that come with the program */
};

enum stap_token_kind {
	STAP_TOKEN_EOF,
	STAP_TOKEN_JUNK,
	STAP_TOKEN_IDENTIFIER, /* includes $target and, as `operator` in messages, @atwords */
	STAP_TOKEN_KEYWORD,
	STAP_TOKEN_OPERATOR,
	STAP_TOKEN_STRING, /* text: escapes already resolved */
	STAP_TOKEN_NUMBER,
	STAP_TOKEN_EMBEDDED, /* %{ ... %} */
};

/* A token keeps its place for the whole compilation; every AST node points at one. */
struct stap_token {
	enum stap_token_kind kind;
	const char *text; /* NUL-terminated, in the arena */
	size_t text_size;
	const char *raw; /* STRING: as written, for messages; NULL: the same as text */
	uint32_t code;   /* OPERATOR: its characters, see stap/lexer.h; KEYWORD: which */
	int64_t number;  /* NUMBER */
	const struct stap_source *source;
	const char *at;        /* where it starts in source->text */
	uint32_t line, column; /* from 1 */
	const char *macro;     /* not NULL: came from expanding this macro ... */
	const struct stap_token *macro_at; /* ... invoked here */
	const char *junk_message; /* JUNK that has a reason, NUMBER out of range */
	bool after_comment;       /* a comment stands in front of it */
	bool has_wrong_close;     /* EMBEDDED: there is a "}%" in it */
};

enum stap_severity {
	STAP_PARSE_ERROR,
	STAP_SEMANTIC_ERROR,
	STAP_WARNING
};

struct stap_diagnostic {
	enum stap_severity severity;
	const char *message; /* without the "parse error: " in front */
	const char *key;     /* diagnostics of one key are similar: shown once */
	const struct stap_token *token;  /* NULL: no place */
	const char *saw;                 /* parse errors: "saw" or "at"; else NULL */
	const struct stap_token *token2; /* a second place, shown without a message */
	struct stap_diagnostic *cause;   /* chained error, printed after this one */
};

enum {
	STAP_COLOR_SIZE = 24
};

/* Parameters of the terminal's "select graphic rendition" for parts of a message. */
struct stap_colors {
	char error[STAP_COLOR_SIZE], warning[STAP_COLOR_SIZE], source[STAP_COLOR_SIZE],
		caret[STAP_COLOR_SIZE], token[STAP_COLOR_SIZE];
};

/**
 * stap_colors_parse() - a value of $SYSTEMTAP_COLORS, "error=01;31:caret=01"; NULL: the standard
 * What the value does not name has no color.
 */
void stap_colors_parse(struct stap_colors *colors, const char *spec);
/** stap_put_colored() - text in the color of a part; @color NULL: plain */
void stap_put_colored(
	struct strbuf *out, const char *color, const char *text, size_t size);

struct stap_diagnostics {
	struct arena *arena;
	VEC(struct stap_diagnostic *) list;
	size_t error_count, warning_count;
	const struct stap_colors *colors; /* NULL: none */
	bool no_warnings;                 /* -w: they are dropped */
	bool warnings_are_errors;         /* -W: they stay warnings, but the pass fails */
};

void stap_diagnostics_init(struct stap_diagnostics *d, struct arena *arena);
void stap_diagnostics_deinit(struct stap_diagnostics *d);

/**
 * stap_diagnose() - add a diagnostic
 * Errors of one @fmt are similar (as those thrown at one place are in SystemTap), warnings those
 * of one text; with a @fmt of just "%s" the text decides for both.
 * Return: the diagnostic; the caller may set token2.
 */
struct stap_diagnostic *stap_diagnose(struct stap_diagnostics *d,
	enum stap_severity severity, const struct stap_token *token, const char *fmt, ...)
	printf_like(4, 5);

/** stap_diagnostics_failed() - is there something that a pass cannot succeed with */
bool stap_diagnostics_failed(const struct stap_diagnostics *d);

/** stap_diagnostics_show() - those of @from, uncounted: what they are about is skipped */
void stap_diagnostics_show(
	struct stap_diagnostics *d, const struct stap_diagnostics *from);

/**
 * stap_diagnose_cause() - add the reason of an error at the end of its chain
 * It is printed after @diagnostic as a block of its own and not counted.
 */
struct stap_diagnostic *stap_diagnose_cause(struct stap_diagnostics *d,
	struct stap_diagnostic *diagnostic, const struct stap_token *token,
	const char *fmt, ...) printf_like(4, 5);

/**
 * stap_diagnostics_render() - everything that goes to stderr, in SystemTap's format
 * @verbose: also print the similar ones
 * The lines "1 parse error." (stap_parse_summary()) and "Pass 1: parse failed.  [man error::pass1]"
 * follow it, then stap_diagnostics_render_suppressed().
 */
void stap_diagnostics_render(
	const struct stap_diagnostics *d, bool verbose, struct strbuf *out);

/** stap_diagnostics_render_suppressed() - "Number of similar error messages suppressed: N." or nothing */
void stap_diagnostics_render_suppressed(
	const struct stap_diagnostics *d, struct strbuf *out);
