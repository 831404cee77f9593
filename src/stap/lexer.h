/* SPDX-License-Identifier: MIT */
/*
 * Bytes to tokens.  Tokens live in the arena, their texts too (names are interned per lexer).  The
 * lexer reports nothing itself: what it cannot read becomes a JUNK token that says why.
 *
 * $1 and @1 are pasted here: the text of the argument is lexed in place of the name, and its tokens
 * have the place of the name.
 */
#pragma once

#include "stap/parser.h"

/* The code of an operator token: its characters, the last one lowest.  `@word` has just '@'. */
#define STAP_OP1(a)       ((uint32_t)(a))
#define STAP_OP2(a, b)    ((uint32_t)(a) << 8 | (uint32_t)(b))
#define STAP_OP3(a, b, c) ((uint32_t)(a) << 16 | (uint32_t)(b) << 8 | (uint32_t)(c))

#define STAP_KEYWORDS(X)        \
	X(PROBE, "probe")       \
	X(GLOBAL, "global")     \
	X(PRIVATE, "private")   \
	X(FUNCTION, "function") \
	X(IF, "if")             \
	X(ELSE, "else")         \
	X(FOR, "for")           \
	X(FOREACH, "foreach")   \
	X(IN, "in")             \
	X(LIMIT, "limit")       \
	X(RETURN, "return")     \
	X(DELETE, "delete")     \
	X(WHILE, "while")       \
	X(BREAK, "break")       \
	X(CONTINUE, "continue") \
	X(NEXT, "next")         \
	X(STRING, "string")     \
	X(LONG, "long")         \
	X(TRY, "try")           \
	X(CATCH, "catch")

enum stap_keyword {
	STAP_KEYWORD_NONE,
#define X(name, text) STAP_KEYWORD_##name,
	STAP_KEYWORDS(X)
#undef X
};

struct stap_name; /* an interned identifier */

struct stap_lexer {
	struct arena *arena;
	const struct stap_source *source;
	const struct stap_parse_options *options;
	const char *cursor, *end;
	uint32_t line;
	const char *line_start;
	/* inside a pasted argument: where the script goes on; else NULL */
	const char *outer, *outer_end;
	const char *pasted_at;
	struct stap_name *names;
	struct strbuf scratch;
	bool after_comment; /* one was skipped in front of the next token */
	bool has_hex_escapes, has_private; /* depend on the language version */
};

void stap_lexer_init(struct stap_lexer *lexer, struct arena *arena,
	const struct stap_source *source, const struct stap_parse_options *options);
void stap_lexer_deinit(struct stap_lexer *lexer);

/** stap_lexer_next() - the next token; EOF again and again at the end */
const struct stap_token *stap_lexer_next(struct stap_lexer *lexer);

/** stap_version_less() - is the language version in force (--compatible) older than this? */
bool stap_version_less(const struct stap_parse_options *options, const char *version);
