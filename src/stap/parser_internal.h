/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the parser share.  It is a recursive descent over stap_preprocessor_next() with
 * one token of lookahead.  An error leaves through longjmp to the top-level loop, which records it
 * and resumes at the next keyword that can start an item; everything built so far is in the arena
 * or on the parser's own list stack, so nothing leaks.
 */
#pragma once

#include <setjmp.h>

#include "stap/lexer.h"
#include "stap/preprocess.h"

enum {
	STAP_PARSE_MAX_NESTING = 500,
	/* `1 + 1 + ...` nests to the left without nesting in the text */
	STAP_PARSE_MAX_EXPR_DEPTH = 2000,
	STAP_PARSE_MAX_PARAMETERS = 256, /* of a function */
	/* braces multiply: both bound the memory a short text can ask for */
	STAP_PARSE_MAX_POINTS = 2048,
	STAP_PARSE_MAX_COMPONENTS = 64,
};

struct stap_global_name;

struct stap_parser {
	struct arena *arena;
	const struct stap_source *source;
	const struct stap_parse_options *options;
	struct stap_diagnostics *diag;
	struct stap_preprocessor pp;
	struct stap_file *file;
	const struct stap_token *peeked; /* NULL: not read yet */
	const struct stap_token
		*last; /* read or looked at last: what a parse error "saw" */
	bool in_function;
	unsigned nesting;
	VEC(void *) stack; /* items of unfinished lists */
	struct stap_global_name *globals;
	/* the error on its way to the top-level loop */
	jmp_buf recover;
	struct stap_diagnostic *error;
	bool resume_here; /* go on with the next token instead of the next keyword */
};

/* parser.c */
_Noreturn void stap_parse_fail(struct stap_parser *p, const char *fmt, ...)
	printf_like(2, 3);
_Noreturn void stap_parse_fail_at(struct stap_parser *p, const struct stap_token *token,
	const char *fmt, ...) printf_like(3, 4);
_Noreturn void stap_parse_fail_here(struct stap_parser *p, const char *message);
/* Report the error the preprocessor has just returned. */
_Noreturn void stap_parse_raise(struct stap_parser *p);
const struct stap_token *stap_parse_peek(struct stap_parser *p);
const struct stap_token *stap_parse_next(struct stap_parser *p);
bool stap_parse_peek_op(struct stap_parser *p, uint32_t code);
bool stap_parse_accept_op(struct stap_parser *p, uint32_t code);
bool stap_parse_peek_keyword(struct stap_parser *p, enum stap_keyword keyword);
bool stap_parse_accept_keyword(struct stap_parser *p, enum stap_keyword keyword);
const struct stap_token *stap_parse_expect_op(
	struct stap_parser *p, uint32_t code, const char *message);
const struct stap_token *stap_parse_expect_identifier(struct stap_parser *p);
void stap_parse_enter(struct stap_parser *p);
void stap_parse_leave(struct stap_parser *p);

/* Lists grow on the stack: remember the start, push, then move them to the arena. */
void stap_parse_push(struct stap_parser *p, void *item);
void **stap_parse_take(struct stap_parser *p, size_t start, uint32_t *ret_count);

/* parse_expr.c */
struct stap_expr *stap_parse_expression(struct stap_parser *p);

/* parse_value.c */
struct stap_expr *stap_parse_value(struct stap_parser *p);
struct stap_expr *stap_parse_literal(struct stap_parser *p);
struct stap_expr *stap_parse_indexable(struct stap_parser *p);
struct stap_expr_list stap_parse_slice(struct stap_parser *p);
bool stap_parse_stat_op(const struct stap_token *token, enum stap_stat_op *ret);
struct stap_expr *stap_parse_var(struct stap_parser *p, const struct stap_token *token);
struct stap_expr *stap_parse_strings(
	struct stap_parser *p, const struct stap_token *token);
int64_t stap_parse_number(struct stap_parser *p);
const char *stap_parse_name_string(struct stap_parser *p);
struct stap_expr *stap_parse_child(
	struct stap_parser *p, struct stap_expr *parent, struct stap_expr *expr);
struct stap_expr_list stap_parse_take_list(
	struct stap_parser *p, size_t start, struct stap_expr *parent);

/* parse_stmt.c */
struct stap_stmt *stap_parse_block(struct stap_parser *p);

/* parse_probe.c */
void stap_parse_probe(struct stap_parser *p);

/* unparse.c and messages: the name of a statistical operation, "@count" */
const char *stap_stat_op_name(enum stap_stat_op op);
