/* SPDX-License-Identifier: MIT */
/* The parser's machinery and the top-level items other than probes. */
#include "stap/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#define HASH_FUNCTION HASH_OAT
#include <uthash.h>

#include "stap/parser_internal.h"

/* Whoever reads more has other worries; a script that repeats itself by macros can have millions. */
enum {
	ERRORS_MAX = 1000
};

struct stap_global_name {
	const char *name;
	bool is_private;
	UT_hash_handle hh;
};

/* ---- errors ------------------------------------------------------------------------------------ */

_Noreturn static void throw(struct stap_parser * p, struct stap_diagnostic *error)
{
	p->error = error;
	p->file->error_count++;
	longjmp(p->recover, 1);
}

/* What the lexer could not read is the better explanation of any error at that token. */
static void throw_junk(struct stap_parser *p)
{
	if (p->last && p->last->kind == STAP_TOKEN_JUNK && p->last->junk_message)
		throw(p, stap_diagnose(p->diag, STAP_PARSE_ERROR, p->last, "%s",
				 p->last->junk_message));
}

static const char *format_message(struct stap_parser *p, const char *fmt, va_list ap)
{
	char message[512];
	vsnprintf(message, sizeof(message), fmt, ap);
	return arena_strdup(p->arena, message);
}

_Noreturn static void throw_new(struct stap_parser *p, const struct stap_token *token,
	const char *saw, const char *fmt, const char *message)
{
	struct stap_diagnostic *error =
		stap_diagnose(p->diag, STAP_PARSE_ERROR, token, "%s", message);
	if (strcmp(fmt, "%s") != 0)
		error->key = fmt;
	error->saw = saw;
	throw(p, error);
}

void stap_parse_fail(struct stap_parser *p, const char *fmt, ...)
{
	throw_junk(p);
	va_list ap;
	va_start(ap, fmt);
	const char *message = format_message(p, fmt, ap);
	va_end(ap);
	throw_new(p, p->last, "saw", fmt, message);
}

void stap_parse_fail_at(
	struct stap_parser *p, const struct stap_token *token, const char *fmt, ...)
{
	throw_junk(p);
	va_list ap;
	va_start(ap, fmt);
	const char *message = format_message(p, fmt, ap);
	va_end(ap);
	throw_new(p, token, "at", fmt, message);
}

/* About what has been read already: SystemTap has let go of it, and sees nothing. */
static _Noreturn void fail_behind(struct stap_parser *p, const char *message)
{
	struct stap_token *end = arena_new(p->arena, struct stap_token);

	*end = *p->last;
	end->kind = STAP_TOKEN_EOF;
	throw_new(p, end, "saw", message, message);
}

/* Something that may not be used, but was understood: parsing goes on with the token after it. */
void stap_parse_fail_here(struct stap_parser *p, const char *message)
{
	throw_junk(p);
	p->resume_here = true;
	throw_new(p, p->last, "saw", "%s", message);
}

void stap_parse_raise(struct stap_parser *p)
{
	const struct stap_preprocess_error *from = &p->pp.error;
	struct stap_diagnostic *error = stap_diagnose(
		p->diag, STAP_PARSE_ERROR, from->token, "%s", from->message);
	if (strcmp(from->key, "%s") != 0)
		error->key = from->key;
	if (from->cause)
		stap_diagnose_cause(p->diag, error, from->cause_token, "%s", from->cause);
	throw(p, error);
}

void stap_parse_enter(struct stap_parser *p)
{
	if (++p->nesting > STAP_PARSE_MAX_NESTING)
		stap_parse_fail(p, "nested too deeply (more than %d levels)",
			STAP_PARSE_MAX_NESTING);
}

void stap_parse_leave(struct stap_parser *p)
{
	p->nesting--;
}

/* ---- tokens ------------------------------------------------------------------------------------ */

const struct stap_token *stap_parse_peek(struct stap_parser *p)
{
	if (!p->peeked) {
		p->peeked = stap_preprocessor_next(&p->pp);
		if (!p->peeked)
			stap_parse_raise(p);
	}
	return p->last = p->peeked;
}

const struct stap_token *stap_parse_next(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	if (token->kind == STAP_TOKEN_EOF)
		stap_parse_fail(p, "unexpected end-of-file");
	p->peeked = NULL;
	return token;
}

bool stap_parse_peek_op(struct stap_parser *p, uint32_t code)
{
	const struct stap_token *token = stap_parse_peek(p);
	return token->kind == STAP_TOKEN_OPERATOR && token->code == code;
}

bool stap_parse_accept_op(struct stap_parser *p, uint32_t code)
{
	if (!stap_parse_peek_op(p, code))
		return false;
	p->peeked = NULL;
	return true;
}

bool stap_parse_peek_keyword(struct stap_parser *p, enum stap_keyword keyword)
{
	const struct stap_token *token = stap_parse_peek(p);
	return token->kind == STAP_TOKEN_KEYWORD && token->code == keyword;
}

bool stap_parse_accept_keyword(struct stap_parser *p, enum stap_keyword keyword)
{
	if (!stap_parse_peek_keyword(p, keyword))
		return false;
	p->peeked = NULL;
	return true;
}

const struct stap_token *stap_parse_expect_op(
	struct stap_parser *p, uint32_t code, const char *message)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_OPERATOR || token->code != code)
		stap_parse_fail(p, "%s", message);
	return token;
}

/* A name of the script's own: not $name, which belongs to the program. */
const struct stap_token *stap_parse_expect_identifier(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_IDENTIFIER || token->text[0] == '$')
		stap_parse_fail(p, "%s", "expected identifier");
	return token;
}

/* ---- lists ------------------------------------------------------------------------------------- */

void stap_parse_push(struct stap_parser *p, void *item)
{
	vec_append(&p->stack, item);
}

void **stap_parse_take(struct stap_parser *p, size_t start, uint32_t *ret_count)
{
	size_t count = p->stack.count - start;
	void **items = NULL;
	if (count) {
		items = arena_array(p->arena, void *, count);
		memcpy(items, p->stack.items + start, count * sizeof(void *));
	}
	p->stack.count = start;
	*ret_count = (uint32_t)count;
	return items;
}

/* ---- globals ----------------------------------------------------------------------------------- */

static void declare_global(struct stap_parser *p, const char *name, bool is_private)
{
	struct stap_global_name *old;
	HASH_FIND_STR(p->globals, name, old);
	if (old && old->is_private != is_private)
		stap_parse_fail(p, "global versus private variable declaration conflict");
	if (old)
		stap_parse_fail(p, "duplicate global name");
	old = arena_new(p->arena, struct stap_global_name);
	old->name = name;
	old->is_private = is_private;
	HASH_ADD_KEYPTR(hh, p->globals, old->name, strlen(old->name), old);
}

static struct stap_var *make_var(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_var *var = arena_new(p->arena, struct stap_var);
	var->name = token->text;
	var->token = token;
	var->arity = -1;
	var->is_library = p->source->is_library;
	return var;
}

static int64_t parse_array_size(struct stap_parser *p)
{
	int64_t size = stap_parse_number(p);
	if (size < 1 || size > INT32_MAX)
		fail_behind(p, "array size out of range");
	stap_parse_expect_op(p, ']', "expected ']'");
	return size;
}

/* NAME [ "%" ] [ "[" number "]" ] [ "=" literal ] */
static struct stap_var *parse_global(struct stap_parser *p, bool is_private)
{
	const struct stap_token *token = stap_parse_expect_identifier(p);
	declare_global(p, token->text, is_private);
	struct stap_var *var = make_var(p, token);
	var->is_global = true;
	var->is_private = is_private;
	var->is_wrapping = stap_parse_accept_op(p, '%');
	if (stap_parse_accept_op(p, '['))
		var->size_limit = parse_array_size(p);
	if (stap_parse_peek_op(p, '=')) {
		if (var->size_limit)
			stap_parse_fail(p, "only scalar globals can be initialized");
		stap_parse_next(p);
		var->init = stap_parse_literal(p);
		var->type = var->init->type;
		var->arity = 0;
	}
	return var;
}

/* "global" global { "," global } [ ";" ] */
static void parse_globals(struct stap_parser *p, bool is_private)
{
	do {
		struct stap_var *var = parse_global(p, is_private);
		vec_append(&p->file->globals, var);
	} while (stap_parse_accept_op(p, ','));
	stap_parse_accept_op(p, ';');
}

/* ---- functions --------------------------------------------------------------------------------- */

static enum stap_type parse_type(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind == STAP_TOKEN_KEYWORD && token->code == STAP_KEYWORD_STRING)
		return STAP_TYPE_STRING;
	if (token->kind == STAP_TOKEN_KEYWORD && token->code == STAP_KEYWORD_LONG)
		return STAP_TYPE_LONG;
	stap_parse_fail(p, "expected 'string' or 'long'");
}

/* "(" already read: [ NAME [ ":" type ] { "," NAME [ ":" type ] } ] ")" */
static void parse_parameters(struct stap_parser *p, struct stap_function *function)
{
	size_t start = p->stack.count;
	while (!stap_parse_accept_op(p, ')')) {
		struct stap_var *var = make_var(p, stap_parse_expect_identifier(p));
		var->is_parameter = true;
		for (size_t i = start; i < p->stack.count; i++) {
			const struct stap_var *other = p->stack.items[i];
			if (strcmp(other->name, var->name) == 0)
				stap_parse_fail(p, "duplicate parameter names");
		}
		if (stap_parse_accept_op(p, ':')) {
			var->type = parse_type(p);
			var->arity = 0;
		}
		stap_parse_push(p, var);
		if (p->stack.count - start > STAP_PARSE_MAX_PARAMETERS)
			stap_parse_fail(p, "not more than %d parameters allowed",
				STAP_PARSE_MAX_PARAMETERS);
		if (stap_parse_peek_op(p, ')'))
			continue;
		stap_parse_next(p);
		if (p->last->kind != STAP_TOKEN_OPERATOR || p->last->code != ',')
			stap_parse_fail(p, "expected ',' or ')'");
	}
	function->params =
		(struct stap_var **)stap_parse_take(p, start, &function->param_count);
}

static int64_t parse_priority(struct stap_parser *p)
{
	const struct stap_expr *priority = stap_parse_literal(p);
	if (priority->kind != STAP_EXPR_NUMBER)
		stap_parse_fail(p, "expected literal number");
	if (priority->number < 1)
		stap_parse_fail(p, "specified priority must be > 0");
	return priority->number;
}

/* "function" NAME [ ":" type ] "(" parameters ")" [ ":" priority ] ( block | embedded ) */
static void parse_function(struct stap_parser *p, bool is_private)
{
	const struct stap_token *token = stap_parse_next(p);
	bool is_type =
		token->kind == STAP_TOKEN_KEYWORD &&
		(token->code == STAP_KEYWORD_STRING || token->code == STAP_KEYWORD_LONG);
	if (!is_type && (token->kind != STAP_TOKEN_IDENTIFIER || token->text[0] == '$'))
		stap_parse_fail(p, "%s", "expected identifier");
	struct stap_function *function = arena_new(p->arena, struct stap_function);
	function->name = token->text;
	function->token = token;
	function->is_private = is_private;
	function->is_library = p->source->is_library;
	function->priority = p->source->is_library;
	if (stap_parse_accept_op(p, ':')) {
		function->type = parse_type(p);
		function->has_declared_type = true;
	}
	stap_parse_expect_op(p, '(', "expected '('");
	parse_parameters(p, function);
	if (stap_parse_peek(p)->kind == STAP_TOKEN_EOF)
		stap_parse_fail(p, "%s", "expected '{'");
	if (stap_parse_accept_op(p, ':'))
		function->priority = parse_priority(p);
	if (stap_parse_peek(p)->kind == STAP_TOKEN_EMBEDDED) {
		function->embedded = stap_parse_next(p);
		if (!p->options->guru)
			stap_parse_fail_here(
				p, "embedded code in unprivileged script; need stap -g");
	} else {
		p->in_function = true;
		function->body = stap_parse_block(p);
		p->in_function = false;
	}
	vec_append(&p->file->functions, function);
}

/* ---- files ------------------------------------------------------------------------------------- */

/* "private" ( function | [ "global" ] globals ) */
static void parse_private(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	if (stap_parse_accept_keyword(p, STAP_KEYWORD_FUNCTION))
		parse_function(p, true);
	else if (stap_parse_accept_keyword(p, STAP_KEYWORD_GLOBAL) ||
		 token->kind == STAP_TOKEN_IDENTIFIER)
		parse_globals(p, true);
	else if (token->kind == STAP_TOKEN_EOF)
		stap_parse_fail(p, "unexpected end-of-file");
	else
		stap_parse_fail(p, "expected 'function' or identifier");
}

static void parse_embedded_item(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (!p->options->guru)
		stap_parse_fail_here(
			p, "embedded code in unprivileged script; need stap -g");
	vec_append(&p->file->embedded, token);
}

/* { probe | alias | globals | private | function | embedded } */
static void parse_items(struct stap_parser *p)
{
	while (stap_parse_peek(p)->kind != STAP_TOKEN_EOF) {
		p->file->is_empty = false;
		if (stap_parse_accept_keyword(p, STAP_KEYWORD_GLOBAL))
			parse_globals(p, false);
		else if (stap_parse_accept_keyword(p, STAP_KEYWORD_PRIVATE))
			parse_private(p);
		else if (stap_parse_accept_keyword(p, STAP_KEYWORD_FUNCTION))
			parse_function(p, false);
		else if (stap_parse_peek_keyword(p, STAP_KEYWORD_PROBE))
			stap_parse_probe(p);
		else if (stap_parse_peek(p)->kind == STAP_TOKEN_EMBEDDED)
			parse_embedded_item(p);
		else
			stap_parse_fail(p,
				p->pp.lexer.has_private
					? "expected 'probe', 'global', 'private', 'function', or '%%{'"
					: "expected 'probe', 'global', 'function', or '%%{'");
	}
}

static bool starts_item(const struct stap_token *token)
{
	if (token->kind == STAP_TOKEN_KEYWORD)
		return token->code == STAP_KEYWORD_PROBE ||
		       token->code == STAP_KEYWORD_GLOBAL ||
		       token->code == STAP_KEYWORD_PRIVATE ||
		       token->code == STAP_KEYWORD_FUNCTION;
	return token->kind == STAP_TOKEN_EMBEDDED || token->kind == STAP_TOKEN_EOF;
}

static void skip_to_item(struct stap_parser *p)
{
	while (!starts_item(stap_parse_peek(p)))
		p->peeked = NULL;
}

struct stap_file *stap_parse(struct arena *arena, const struct stap_source *source,
	const struct stap_parse_options *options, struct stap_diagnostics *diag)
{
	static const struct stap_parse_options none;
	struct stap_parser *p = arena_new(arena, struct stap_parser);
	p->arena = arena;
	p->source = source;
	p->options = options ? options : &none;
	p->diag = diag;
	p->file = arena_new(arena, struct stap_file);
	p->file->source = source;
	p->file->is_empty = true;
	stap_preprocessor_init(&p->pp, arena, source, p->options, diag);
	/* Every error, also one while skipping, comes back here. */
	if (setjmp(p->recover)) {
		p->stack.count = 0;
		p->nesting = 0;
		p->in_function = false;
		/* only what was read is skipped: the token that was looked at may start an item */
		if (!p->resume_here)
			skip_to_item(p);
		p->resume_here = false;
	}
	if (p->file->error_count < ERRORS_MAX)
		parse_items(p);
	p->file->has_tokens = p->pp.has_tokens;
	stap_preprocessor_deinit(&p->pp);
	HASH_CLEAR(hh, p->globals);
	vec_free(&p->stack);
	return p->file;
}

bool stap_parse_summary(const struct stap_file *file, struct strbuf *out)
{
	if (file->is_empty)
		strbuf_printf(out, "Input file '%s' is empty%s.\n", file->source->name,
			file->has_tokens ? " after preprocessing" : "");
	else if (file->error_count)
		strbuf_printf(out, "%u parse error%s.\n", file->error_count,
			file->error_count > 1 ? "s" : "");
	return !file->is_empty && !file->error_count;
}

void stap_file_deinit(struct stap_file *file)
{
	vec_free(&file->probes);
	vec_free(&file->aliases);
	vec_free(&file->functions);
	vec_free(&file->globals);
	vec_free(&file->embedded);
}
