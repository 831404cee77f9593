/* SPDX-License-Identifier: MIT */
/*
 * The operands of expressions:
 *
 *   value        = "(" expression ")" | literal | symbol | embedded C
 *   symbol       = name [ "(" arguments ")" | "[" keys "]" ] | print | @operator | histogram
 */
#include <string.h>

#include "stap/format_parse.h"
#include "stap/parser_internal.h"

/* ---- nodes ------------------------------------------------------------------------------------- */

/* Every child goes through here, so that no tree gets deeper than passes can recurse. */
struct stap_expr *stap_parse_child(
	struct stap_parser *p, struct stap_expr *parent, struct stap_expr *expr)
{
	if (expr && expr->depth >= parent->depth) {
		parent->depth = (uint16_t)(expr->depth + 1);
		if (parent->depth > STAP_PARSE_MAX_EXPR_DEPTH)
			stap_parse_fail(p, "expression too complex (more than %d levels)",
				STAP_PARSE_MAX_EXPR_DEPTH);
	}
	return expr;
}

struct stap_expr *stap_parse_var(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_VAR, token);
	expr->var.name = token->text;
	return expr;
}

struct stap_expr_list stap_parse_take_list(
	struct stap_parser *p, size_t start, struct stap_expr *parent)
{
	struct stap_expr_list list;
	list.items = (struct stap_expr **)stap_parse_take(p, start, &list.count);
	for (uint32_t i = 0; parent && i < list.count; i++)
		stap_parse_child(p, parent, list.items[i]);
	return list;
}

/* ---- literals ---------------------------------------------------------------------------------- */

/* Adjacent strings are one; before 2.0 a comment kept them apart. */
static bool is_glued(const struct stap_parser *p, const struct stap_token *token)
{
	return token->kind == STAP_TOKEN_STRING &&
	       !(token->after_comment && stap_version_less(p->options, "2.0"));
}

struct stap_expr *stap_parse_strings(
	struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_STRING, token);
	expr->type = STAP_TYPE_STRING;
	expr->string = token->text;
	if (!is_glued(p, stap_parse_peek(p)))
		return expr;
	struct strbuf all;
	strbuf_init(&all);
	strbuf_append(&all, token->text, token->text_size);
	/* an error while reading on must not leak the text: it is raised after the loop */
	while (p->peeked && is_glued(p, p->peeked)) {
		strbuf_append(&all, p->peeked->text, p->peeked->text_size);
		p->peeked = stap_preprocessor_next(&p->pp);
	}
	expr->string = arena_strndup(p->arena, all.data, all.size);
	strbuf_deinit(&all);
	if (!p->peeked)
		stap_parse_raise(p);
	p->last = p->peeked;
	return expr;
}

/* The value of a number, which is the last token; up to 2^64 - 1 without a sign, as bits. */
static int64_t number_value(
	struct stap_parser *p, const struct stap_token *token, bool negative)
{
	if (token->junk_message)
		stap_parse_fail(p, "%s", token->junk_message);
	if (!negative)
		return token->number;
	if ((uint64_t)token->number > (uint64_t)INT64_MAX + 1)
		stap_parse_fail(p, "number invalid or out of range");
	return (int64_t)(0 - (uint64_t)token->number);
}

/* [ "-" ] number | string { string } */
struct stap_expr *stap_parse_literal(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind == STAP_TOKEN_STRING)
		return stap_parse_strings(p, token);
	bool negative = token->kind == STAP_TOKEN_OPERATOR && token->code == '-';
	const struct stap_token *number = negative ? stap_parse_next(p) : token;
	if (number->kind != STAP_TOKEN_NUMBER)
		stap_parse_fail(p, "expected literal string or number");
	int64_t value = number_value(p, number, negative);
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_NUMBER, token);
	expr->type = STAP_TYPE_LONG;
	expr->number = value;
	return expr;
}

static const char *parse_literal_string(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_STRING)
		stap_parse_fail(p, "expected literal string");
	return stap_parse_strings(p, token)->string;
}

int64_t stap_parse_number(struct stap_parser *p)
{
	bool negative = stap_parse_accept_op(p, '-');
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_NUMBER)
		stap_parse_fail(p, "expected number");
	return number_value(p, token, negative);
}

/* A single string that names something: types, modules, variables. */
const char *stap_parse_name_string(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_STRING)
		stap_parse_fail(p, "expected string");
	return stap_parse_strings(p, token)->string;
}

/* ---- the print family -------------------------------------------------------------------------- */

struct print_kind {
	const char *name;
	bool to_string, has_format, has_delimiter, has_newline, is_char;
};

static const struct print_kind *find_print(const char *name)
{
	static const struct print_kind kinds[] = {
		{"print", .to_string = false},
		{"println", .has_newline = true},
		{"printf", .has_format = true},
		{"printd", .has_delimiter = true},
		{"printdln", .has_delimiter = true, .has_newline = true},
		{"print_char", .is_char = true},
		{"sprint", .to_string = true},
		{"sprintln", .to_string = true, .has_newline = true},
		{"sprintf", .to_string = true, .has_format = true},
		{"sprintd", .to_string = true, .has_delimiter = true},
		{"sprintdln", .to_string = true, .has_delimiter = true,
			.has_newline = true},
	};
	if (strncmp(name, "print", 5) != 0 && strncmp(name, "sprint", 6) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static struct stap_expr *parse_hist(
	struct stap_parser *p, const struct stap_token *token);

static bool is_hist(const struct stap_token *token)
{
	return token->kind == STAP_TOKEN_OPERATOR && token->code == '@' &&
	       (strcmp(token->text, "@hist_log") == 0 ||
		       strcmp(token->text, "@hist_linear") == 0);
}

/* The arguments of print and println may start with a histogram, or one of its buckets. */
static void parse_hist_argument(struct stap_parser *p)
{
	struct stap_expr *hist = parse_hist(p, stap_parse_next(p));
	if (!stap_parse_peek_op(p, '[')) {
		stap_parse_push(p, hist);
		return;
	}
	struct stap_expr *bucket = stap_expr_new(p->arena, STAP_EXPR_INDEX, hist->token);
	bucket->index.hist = stap_parse_child(p, bucket, hist);
	stap_parse_next(p);
	size_t start = p->stack.count;
	stap_parse_push(p, stap_parse_expression(p));
	stap_parse_expect_op(p, ']', "expected ']'");
	bucket->index.keys = stap_parse_take_list(p, start, bucket);
	stap_parse_push(p, bucket);
	while (!stap_parse_peek_op(p, ')')) {
		stap_parse_expect_op(p, ',', "expected ','");
		stap_parse_push(p, stap_parse_expression(p));
	}
}

/* The literal in front; the format itself is checked here, its arguments by the semantic pass. */
static void parse_print_literal(struct stap_parser *p, struct stap_expr *print)
{
	const char *text = parse_literal_string(p);
	if (print->print.has_delimiter) {
		print->print.delimiter = text;
		return;
	}
	print->print.format_text = text;
	const char *fault;
	if (!stap_format_parse_why(p->arena, text, strlen(text), &fault)) {
		stap_parse_peek(p);
		stap_parse_fail(p, "%s", fault);
	}
}

/* "(" [ literal ] expression { "," expression } ")" */
static struct stap_expr *parse_print(struct stap_parser *p,
	const struct stap_token *token, const struct print_kind *kind)
{
	struct stap_expr *print = stap_expr_new(p->arena, STAP_EXPR_PRINT, token);
	print->print.name = kind->name;
	print->print.to_string = kind->to_string;
	print->print.has_format = kind->has_format;
	print->print.has_delimiter = kind->has_delimiter;
	print->print.has_newline = kind->has_newline;
	print->print.is_char = kind->is_char;
	print->type = kind->to_string ? STAP_TYPE_STRING : STAP_TYPE_UNKNOWN;
	stap_parse_expect_op(p, '(', "expected '('");
	size_t start = p->stack.count;
	bool literal = kind->has_format || kind->has_delimiter;
	int wanted = kind->has_delimiter ? 2 : !kind->has_format && !kind->has_newline;
	if (!literal && is_hist(stap_parse_peek(p))) {
		parse_hist_argument(p);
	} else {
		if (literal)
			parse_print_literal(p, print);
		bool first = !literal;
		while (wanted || !stap_parse_peek_op(p, ')')) {
			if (!first && !stap_parse_accept_op(p, ',') &&
				!stap_parse_accept_op(p, ')'))
				stap_parse_fail(p, "%s", "expected one of ', )'");
			first = false;
			stap_parse_push(p, stap_parse_expression(p));
			if (wanted)
				wanted--;
		}
	}
	stap_parse_expect_op(p, ')', "expected ')'");
	print->print.args = stap_parse_take_list(p, start, print);
	return print;
}

/* ---- statistics -------------------------------------------------------------------------------- */

static const char *const stat_op_names[] = {
	[STAP_STAT_COUNT] = "@count",
	[STAP_STAT_SUM] = "@sum",
	[STAP_STAT_MIN] = "@min",
	[STAP_STAT_MAX] = "@max",
	[STAP_STAT_AVG] = "@avg",
	[STAP_STAT_VARIANCE] = "@variance",
	[STAP_STAT_HIST_LOG] = "@hist_log",
	[STAP_STAT_HIST_LINEAR] = "@hist_linear",
};

const char *stap_stat_op_name(enum stap_stat_op op)
{
	return stat_op_names[op];
}

bool stap_parse_stat_op(const struct stap_token *token, enum stap_stat_op *ret)
{
	for (unsigned op = STAP_STAT_COUNT; op <= STAP_STAT_VARIANCE; op++) {
		if (strcmp(stat_op_names[op], token->text) == 0) {
			*ret = (enum stap_stat_op)op;
			return true;
		}
	}
	return false;
}

/* @hist_log "(" expression ")" | @hist_linear "(" expression "," low "," high "," width ")" */
static struct stap_expr *parse_hist(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *hist = stap_expr_new(p->arena, STAP_EXPR_HIST, token);
	bool linear = strcmp(token->text, "@hist_linear") == 0;
	hist->stat.op = linear ? STAP_STAT_HIST_LINEAR : STAP_STAT_HIST_LOG;
	stap_parse_expect_op(p, '(', "expected '('");
	hist->stat.target = stap_parse_child(p, hist, stap_parse_expression(p));
	for (int i = 0; linear && i < 3; i++) {
		stap_parse_expect_op(p, ',', "expected ','");
		hist->stat.params[hist->stat.param_count++] = stap_parse_number(p);
	}
	stap_parse_expect_op(p, ')', "expected ')'");
	return hist;
}

/* @op "(" expression [ "," number ] ")", the number for @variance only */
static struct stap_expr *parse_stat(
	struct stap_parser *p, const struct stap_token *token, enum stap_stat_op op)
{
	struct stap_expr *stat = stap_expr_new(p->arena, STAP_EXPR_STAT, token);
	stat->type = STAP_TYPE_LONG;
	stat->stat.op = op;
	stap_parse_expect_op(p, '(', "expected '('");
	stat->stat.target = stap_parse_child(p, stat, stap_parse_expression(p));
	int most = op == STAP_STAT_VARIANCE;
	while (stap_parse_peek_op(p, ',')) {
		const struct stap_token *comma = stap_parse_next(p);
		if (stat->stat.param_count == most)
			stap_parse_fail_at(p, comma,
				"not more than %d parameter%s allowed", most + 1,
				most ? "s" : "");
		stat->stat.params[stat->stat.param_count++] = stap_parse_number(p);
	}
	stap_parse_expect_op(p, ')', "expected ')'");
	return stat;
}

/* ---- @operators -------------------------------------------------------------------------------- */

/* "(" expression ")" for @defined and @entry */
static struct stap_expr *parse_wrap(
	struct stap_parser *p, const struct stap_token *token, enum stap_expr_kind kind)
{
	struct stap_expr *wrap = stap_expr_new(p->arena, kind, token);
	stap_parse_expect_op(p, '(', "expected '('");
	wrap->wrap.operand = stap_parse_child(p, wrap, stap_parse_expression(p));
	stap_parse_expect_op(p, ')', "expected ')'");
	return wrap;
}

static struct stap_expr *parse_perf(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *perf = stap_expr_new(p->arena, STAP_EXPR_PERF, token);
	stap_parse_expect_op(p, '(', "expected '('");
	perf->perf.name = parse_literal_string(p);
	if (!*perf->perf.name)
		stap_parse_fail(p, "expected non-empty string");
	stap_parse_expect_op(p, ')', "expected ')'");
	return perf;
}

struct operator_call {
	const char *name;
	const char *
		arguments; /* n number, s literal string, e expression, i name; S: may be missing */
	bool guru;
	const char *since;
};

static const struct operator_call *find_operator_call(
	const struct stap_parser *p, const char *name)
{
	static const struct operator_call calls[] = {
		{"@const", "s", true, "3.1"},
		{"@probewrite", "i", false, "4.0"},
		{"@uregister", "n", false, "4.0"},
		{"@kregister", "n", true, "4.0"},
		{"@uderef", "ne", false, "4.0"},
		{"@kderef", "ne", true, "4.0"},
		{"@enum", "s", false, "5.5"},
		{"@enumname", "eSS", false, "5.6"},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return stap_version_less(p->options, calls[i].since) ? NULL
									     : &calls[i];
	return NULL;
}

static struct stap_expr *parse_operator_argument(struct stap_parser *p, char kind)
{
	if (kind == 'e')
		return stap_parse_expression(p);
	const struct stap_token *token = stap_parse_peek(p);
	if (kind == 'i' && token->kind != STAP_TOKEN_IDENTIFIER) {
		stap_parse_next(p);
		stap_parse_fail(p, "%s", "expected identifier");
	}
	if (kind == 'i')
		return stap_parse_expression(p);
	bool string = kind == 's' || kind == 'S';
	if (token->kind != (string ? STAP_TOKEN_STRING : STAP_TOKEN_NUMBER)) {
		stap_parse_next(p);
		stap_parse_fail(
			p, "%s", string ? "expected literal string" : "expected number");
	}
	return stap_parse_literal(p);
}

static struct stap_expr *parse_operator_call(struct stap_parser *p,
	const struct stap_token *token, const struct operator_call *operator)
{
	if (operator->guru && !p->options->guru)
		stap_parse_fail_here(
			p, arena_printf(p->arena,
				   "using %s operator not permitted; need stap -g",
				   operator->name));
	struct stap_expr *call = stap_expr_new(p->arena, STAP_EXPR_CALL, token);
	call->call.name = operator->name;
	stap_parse_expect_op(p, '(', "expected '('");
	size_t start = p->stack.count;
	for (const char *kind = operator->arguments; *kind; kind++) {
		if (*kind == 'S' && stap_parse_peek_op(p, ')'))
			break;
		if (kind != operator->arguments)
			stap_parse_expect_op(p, ',', "expected ','");
		struct stap_expr *argument = parse_operator_argument(p, *kind);
		if (*kind == 's' && !*argument->string)
			stap_parse_fail(p, "expected non-empty string");
		stap_parse_push(p, argument);
	}
	stap_parse_expect_op(p, ')', "expected ')'");
	call->call.args = stap_parse_take_list(p, start, call);
	return call;
}

static struct stap_expr *parse_atword(
	struct stap_parser *p, const struct stap_token *token)
{
	enum stap_stat_op op;
	if (stap_parse_stat_op(token, &op))
		return parse_stat(p, token, op);
	if (strcmp(token->text, "@defined") == 0)
		return parse_wrap(p, token, STAP_EXPR_DEFINED);
	if (strcmp(token->text, "@entry") == 0)
		return parse_wrap(p, token, STAP_EXPR_ENTRY);
	if (strcmp(token->text, "@perf") == 0)
		return parse_perf(p, token);
	const struct operator_call *operator= find_operator_call(p, token->text);
	if (!operator)
		stap_parse_fail(p, "unknown operator %s", token->text);
	return parse_operator_call(p, token, operator);
}

/* ---- symbols ----------------------------------------------------------------------------------- */

/* "(" already read: [ expression { "," expression } ] ")" */
static struct stap_expr *parse_call(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *call = stap_expr_new(p->arena, STAP_EXPR_CALL, token);
	call->call.name = token->text;
	if (stap_parse_accept_op(p, ')'))
		return call;
	size_t start = p->stack.count;
	do {
		stap_parse_push(p, stap_parse_expression(p));
		if (!stap_parse_peek_op(p, ',') && !stap_parse_peek_op(p, ')')) {
			stap_parse_next(p);
			stap_parse_fail(p, "%s", "expected one of ') ,'");
		}
	} while (stap_parse_accept_op(p, ','));
	stap_parse_next(p);
	call->call.args = stap_parse_take_list(p, start, call);
	return call;
}

/* "[" already read: ( expression | "*" ) { "," ... } "]" */
static struct stap_expr_list parse_keys(struct stap_parser *p, const char *message)
{
	size_t start = p->stack.count;
	do {
		stap_parse_push(p,
			stap_parse_accept_op(p, '*') ? NULL : stap_parse_expression(p));
		if (!stap_parse_peek_op(p, ',') && !stap_parse_peek_op(p, ']')) {
			stap_parse_next(p);
			stap_parse_fail(p, "%s", message);
		}
	} while (stap_parse_accept_op(p, ','));
	stap_parse_next(p);
	return stap_parse_take_list(p, start, NULL);
}

struct stap_expr_list stap_parse_slice(struct stap_parser *p)
{
	return parse_keys(p, "expected ',' or ']'");
}

/* name [ "(" arguments ")" | "[" keys "]" ] | @operator | histogram "[" keys "]" */
static struct stap_expr *parse_symbol(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	struct stap_expr *hist = NULL;
	if (is_hist(token)) {
		hist = parse_hist(p, token);
	} else if (token->kind == STAP_TOKEN_OPERATOR) {
		return parse_atword(p, token);
	} else {
		const struct print_kind *print = find_print(token->text);
		if (print)
			return parse_print(p, token, print);
		if (stap_parse_accept_op(p, '('))
			return parse_call(p, token);
	}
	if (!stap_parse_accept_op(p, '[')) {
		if (hist)
			stap_parse_fail_at(p, token,
				"base histogram operator where expression expected");
		return stap_parse_var(p, token);
	}
	struct stap_expr *index = stap_expr_new(p->arena, STAP_EXPR_INDEX, token);
	index->index.name = hist ? NULL : token->text;
	index->index.hist = stap_parse_child(p, index, hist);
	index->index.keys = parse_keys(p, "expected one of '] ,'");
	for (uint32_t i = 0; i < index->index.keys.count; i++)
		stap_parse_child(p, index, index->index.keys.items[i]);
	return index;
}

/* What `in` and foreach can look into: an array or a histogram. */
struct stap_expr *stap_parse_indexable(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (is_hist(token))
		return parse_hist(p, token);
	if (token->kind != STAP_TOKEN_IDENTIFIER || token->text[0] == '$')
		stap_parse_fail(p, "expected identifier or statistical operation");
	return stap_parse_var(p, token);
}

struct stap_expr *stap_parse_value(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	switch (token->kind) {
	case STAP_TOKEN_EOF:
		stap_parse_fail(p, "expected value");
	case STAP_TOKEN_EMBEDDED: {
		if (!p->options->guru)
			stap_parse_fail_here(p,
				"embedded expression code in unprivileged script; need stap -g");
		struct stap_expr *expr =
			stap_expr_new(p->arena, STAP_EXPR_EMBEDDED, token);
		expr->string = stap_parse_next(p)->text;
		return expr;
	}
	case STAP_TOKEN_IDENTIFIER:
		return parse_symbol(p);
	case STAP_TOKEN_OPERATOR:
		if (token->code == '@')
			return parse_symbol(p);
		if (token->code == '(') {
			stap_parse_next(p);
			struct stap_expr *expr = stap_parse_expression(p);
			stap_parse_expect_op(p, ')', "expected ')'");
			return expr;
		}
		return stap_parse_literal(p);
	case STAP_TOKEN_JUNK:
	case STAP_TOKEN_KEYWORD:
	case STAP_TOKEN_STRING:
	case STAP_TOKEN_NUMBER:
		break;
	}
	return stap_parse_literal(p);
}
