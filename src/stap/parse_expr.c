/* SPDX-License-Identifier: MIT */
/*
 * Expressions.  Precedence, loosest first:
 *
 *   assignment   = ternary [ assign-op expression ]
 *   ternary      = logic [ "?" expression ":" ternary ]
 *   logic        = in, with || && | ^ & between (levels 3 to 7)
 *   in           = ( comparison | "[" keys "]" ) [ "in" indexable ]
 *   comparison   = arithmetic { compare-op arithmetic } | arithmetic regex-op strings
 *   arithmetic   = unary, with shifts, "." , + - and * / % between (levels 10 to 13)
 *   unary        = { "+" | "-" | "!" | "~" } crement
 *   crement      = ( "++" | "--" ) target | target [ "++" | "--" ]
 *   target       = [ "&" ] ( $name | @cast | @var | value ) { "->" member | "[" expression "]" }
 *   value        = "(" expression ")" | literal | symbol | embedded C
 */
#include <string.h>

#include "stap/format_parse.h"
#include "stap/parser_internal.h"

/* ---- nodes ------------------------------------------------------------------------------------- */

/* Every child goes through here, so that no tree gets deeper than passes can recurse. */
static struct stap_expr *child(
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

static struct stap_expr *make_binary(struct stap_parser *p, enum stap_expr_kind kind,
	enum stap_op op, const struct stap_token *token, struct stap_expr *left,
	struct stap_expr *right)
{
	struct stap_expr *expr = stap_expr_new(p->arena, kind, token);
	expr->binary.op = op;
	expr->binary.left = child(p, expr, left);
	expr->binary.right = child(p, expr, right);
	return expr;
}

struct stap_expr *stap_parse_var(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_VAR, token);
	expr->var.name = token->text;
	return expr;
}

static struct stap_expr_list take_list(
	struct stap_parser *p, size_t start, struct stap_expr *parent)
{
	struct stap_expr_list list;
	list.items = (struct stap_expr **)stap_parse_take(p, start, &list.count);
	for (uint32_t i = 0; parent && i < list.count; i++)
		child(p, parent, list.items[i]);
	return list;
}

/* ---- literals ---------------------------------------------------------------------------------- */

/* Adjacent strings are one. */
static struct stap_expr *parse_strings(
	struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_STRING, token);
	expr->type = STAP_TYPE_STRING;
	expr->string = token->text;
	if (stap_parse_peek(p)->kind != STAP_TOKEN_STRING)
		return expr;
	struct strbuf all;
	strbuf_init(&all);
	strbuf_append(&all, token->text, token->text_size);
	/* an error while reading on must not leak: it is raised again by the next peek */
	while (p->peeked && p->peeked->kind == STAP_TOKEN_STRING) {
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

/* [ "-" ] number | string { string } */
struct stap_expr *stap_parse_literal(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind == STAP_TOKEN_STRING)
		return parse_strings(p, token);
	bool negative = token->kind == STAP_TOKEN_OPERATOR && token->code == '-';
	const struct stap_token *number = negative ? stap_parse_next(p) : token;
	if (number->kind != STAP_TOKEN_NUMBER)
		stap_parse_fail(p, "expected literal string or number");
	if (number->junk_message)
		stap_parse_fail(p, "%s", number->junk_message);
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_NUMBER, token);
	expr->type = STAP_TYPE_LONG;
	expr->number =
		negative ? (int64_t)(0 - (uint64_t)number->number) : number->number;
	return expr;
}

static const char *parse_literal_string(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_STRING)
		stap_parse_fail(p, "expected literal string");
	return parse_strings(p, token)->string;
}

static int64_t parse_number(struct stap_parser *p)
{
	bool negative = stap_parse_accept_op(p, '-');
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_NUMBER)
		stap_parse_fail(p, "expected number");
	if (token->junk_message)
		stap_parse_fail(p, "%s", token->junk_message);
	return negative ? (int64_t)(0 - (uint64_t)token->number) : token->number;
}

/* A single string that names something: types, modules, variables. */
static const char *parse_name_string(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_STRING)
		stap_parse_fail(p, "expected string");
	return parse_strings(p, token)->string;
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
	bucket->index.hist = child(p, bucket, hist);
	stap_parse_next(p);
	size_t start = p->stack.count;
	stap_parse_push(p, stap_parse_expression(p));
	stap_parse_expect_op(p, ']', "expected ']'");
	bucket->index.keys = take_list(p, start, bucket);
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
	if (!stap_format_parse(p->arena, text, strlen(text))) {
		stap_parse_peek(p);
		stap_parse_fail(p, "invalid or missing conversion specifier");
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
	print->print.args = take_list(p, start, print);
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
	hist->stat.target = child(p, hist, stap_parse_expression(p));
	for (int i = 0; linear && i < 3; i++) {
		stap_parse_expect_op(p, ',', "expected ','");
		hist->stat.params[hist->stat.param_count++] = parse_number(p);
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
	stat->stat.target = child(p, stat, stap_parse_expression(p));
	int most = op == STAP_STAT_VARIANCE;
	while (stap_parse_peek_op(p, ',')) {
		const struct stap_token *comma = stap_parse_next(p);
		if (stat->stat.param_count == most)
			stap_parse_fail_at(p, comma,
				"not more than %d parameter%s allowed", most + 1,
				most ? "s" : "");
		stat->stat.params[stat->stat.param_count++] = parse_number(p);
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
	wrap->wrap.operand = child(p, wrap, stap_parse_expression(p));
	stap_parse_expect_op(p, ')', "expected ')'");
	return wrap;
}

static struct stap_expr *parse_perf(struct stap_parser *p, const struct stap_token *token)
{
	struct stap_expr *perf = stap_expr_new(p->arena, STAP_EXPR_PERF, token);
	stap_parse_expect_op(p, '(', "expected '('");
	perf->perf.name = parse_literal_string(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	return perf;
}

struct operator_call {
	const char *name;
	const char *
		arguments; /* n number, s literal string, e expression; small: may be missing */
	bool guru;
	const char *since;
};

static const struct operator_call *find_operator_call(
	const struct stap_parser *p, const char *name)
{
	static const struct operator_call calls[] = {
		{"@const", "s", true, "3.1"},
		{"@probewrite", "e", false, "4.0"},
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
		stap_parse_push(p, parse_operator_argument(p, *kind));
	}
	stap_parse_expect_op(p, ')', "expected ')'");
	call->call.args = take_list(p, start, call);
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
	call->call.args = take_list(p, start, call);
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
	return take_list(p, start, NULL);
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
	index->index.hist = child(p, index, hist);
	index->index.keys = parse_keys(p, "expected one of '] ,'");
	for (uint32_t i = 0; i < index->index.keys.count; i++)
		child(p, index, index->index.keys.items[i]);
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

static struct stap_expr *parse_value(struct stap_parser *p)
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

/* ---- target variables -------------------------------------------------------------------------- */

/* Strip "$" or "$$" off the end of a name that has something before it; returns how many. */
static int strip_pretty(struct stap_parser *p, const char **name)
{
	size_t size = strlen(*name), kept = size;
	while (kept && (*name)[kept - 1] == '$' && size - kept < 2)
		kept--;
	if (kept == size)
		return 0;
	*name = arena_strndup(p->arena, *name, kept);
	return (int)(size - kept);
}

static struct stap_expr *make_target(
	struct stap_parser *p, enum stap_target_base base, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_TARGET, token);
	expr->target.base = base;
	expr->target.name = "";
	return expr;
}

static struct stap_expr *parse_target_variable(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	struct stap_expr *expr = make_target(p, STAP_TARGET_VAR, token);
	const char *name = token->text + 1;
	/* "$" and "$$" alone are names */
	if (strspn(token->text, "$") < token->text_size)
		expr->target.pretty = strip_pretty(p, &name);
	expr->target.name = name;
	return expr;
}

/* @cast "(" expression "," type [ "," module ] ")" */
static struct stap_expr *parse_cast(struct stap_parser *p)
{
	struct stap_expr *expr = make_target(p, STAP_TARGET_CAST, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	expr->target.operand = child(p, expr, stap_parse_expression(p));
	stap_parse_expect_op(p, ',', "expected ','");
	expr->target.type_name = parse_name_string(p);
	if (!*expr->target.type_name) {
		stap_parse_peek(p);
		stap_parse_fail(p, "expected non-empty string");
	}
	if (stap_parse_accept_op(p, ','))
		expr->target.module = parse_name_string(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	return expr;
}

/* @var "(" name [ "," module ] ")" */
static struct stap_expr *parse_atvar(struct stap_parser *p)
{
	struct stap_expr *expr = make_target(p, STAP_TARGET_ATVAR, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	expr->target.name = parse_name_string(p);
	if (!*expr->target.name) {
		stap_parse_peek(p);
		stap_parse_fail(p, "expected non-empty string");
	}
	if (stap_parse_accept_op(p, ','))
		expr->target.module = parse_name_string(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	return expr;
}

/* "->" already read: a name, which may be a keyword and may end in "$" or be nothing else */
static struct stap_target_component *parse_member(
	struct stap_parser *p, struct stap_expr *target, const struct stap_token *arrow)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind != STAP_TOKEN_IDENTIFIER && token->kind != STAP_TOKEN_KEYWORD)
		stap_parse_fail(p, "expected identifier or keyword");
	const char *member = token->text;
	target->target.pretty = strip_pretty(p, &member);
	if (!*member)
		return NULL;
	struct stap_target_component *component =
		arena_new(p->arena, struct stap_target_component);
	component->token = arrow;
	component->member = member;
	return component;
}

/* A "$" or "$$" on its own, after "]" or ")" */
static int parse_pretty_suffix(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	if (token->kind != STAP_TOKEN_IDENTIFIER || token->text[0] != '$' ||
		strspn(token->text, "$") != token->text_size || token->text_size > 2)
		return 0;
	stap_parse_next(p);
	return (int)token->text_size;
}

/* { "->" member | "[" expression "]" } [ "$" | "$$" ] */
static void parse_components(struct stap_parser *p, struct stap_expr *expr)
{
	size_t start = p->stack.count;
	while (!expr->target.pretty) {
		struct stap_target_component *component;
		const struct stap_token *token = stap_parse_peek(p);
		if (stap_parse_accept_op(p, STAP_OP2('-', '>'))) {
			component = parse_member(p, expr, token);
		} else if (stap_parse_accept_op(p, '[')) {
			component = arena_new(p->arena, struct stap_target_component);
			component->token = token;
			component->index = child(p, expr, stap_parse_expression(p));
			stap_parse_expect_op(p, ']', "expected ']'");
		} else {
			expr->target.pretty = parse_pretty_suffix(p);
			break;
		}
		if (component)
			stap_parse_push(p, component);
	}
	if (expr->target.pretty &&
		(stap_parse_peek_op(p, STAP_OP2('-', '>')) || stap_parse_peek_op(p, '[')))
		stap_parse_fail(
			p, "-> and [ are not accepted for a pretty-printing variable");
	size_t count = p->stack.count - start;
	expr->target.component_count = (uint32_t)count;
	expr->target.components =
		arena_array(p->arena, struct stap_target_component, count);
	for (size_t i = 0; i < count; i++)
		expr->target.components[i] =
			*(struct stap_target_component *)p->stack.items[start + i];
	p->stack.count = start;
}

static bool is_atword(const struct stap_token *token, const char *name)
{
	return token->kind == STAP_TOKEN_OPERATOR && token->code == '@' &&
	       strcmp(token->text, name) == 0;
}

static struct stap_expr *parse_target(struct stap_parser *p)
{
	const struct stap_token *address = stap_parse_peek(p);
	bool address_of = stap_parse_accept_op(p, '&');
	const struct stap_token *token = stap_parse_peek(p);
	struct stap_expr *expr;
	if (token->kind == STAP_TOKEN_IDENTIFIER && token->text[0] == '$') {
		expr = parse_target_variable(p);
	} else if (is_atword(token, "@cast")) {
		expr = parse_cast(p);
	} else if (is_atword(token, "@var")) {
		expr = parse_atvar(p);
	} else {
		struct stap_expr *value = parse_value(p);
		bool autocast = address_of || stap_parse_peek_op(p, STAP_OP2('-', '>')) ||
				stap_parse_peek_op(p, '[');
		if (!autocast || stap_version_less(p->options, "2.6"))
			return value;
		expr = make_target(p, STAP_TARGET_AUTOCAST, value->token);
		expr->target.operand = child(p, expr, value);
	}
	expr->target.address_of = address_of;
	if (address_of)
		expr->token = address;
	parse_components(p, expr);
	return expr;
}

/* ---- operators --------------------------------------------------------------------------------- */

static enum stap_op crement_op(const struct stap_token *token)
{
	if (token->kind != STAP_TOKEN_OPERATOR)
		return STAP_OP_NONE;
	if (token->code == STAP_OP2('+', '+'))
		return STAP_OP_INC;
	return token->code == STAP_OP2('-', '-') ? STAP_OP_DEC : STAP_OP_NONE;
}

static struct stap_expr *parse_crement(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	enum stap_op op = crement_op(token);
	bool is_post = op == STAP_OP_NONE;
	if (!is_post)
		stap_parse_next(p);
	struct stap_expr *target = parse_target(p);
	if (is_post) {
		token = stap_parse_peek(p);
		op = crement_op(token);
		if (op == STAP_OP_NONE)
			return target;
		stap_parse_next(p);
	}
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_CRREMENT, token);
	expr->crrement.op = op;
	expr->crrement.is_post = is_post;
	expr->crrement.target = child(p, expr, target);
	return expr;
}

static struct stap_expr *parse_unary(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	enum stap_op op = STAP_OP_NONE;
	if (token->kind == STAP_TOKEN_OPERATOR)
		op = token->code == '+'   ? STAP_OP_PLUS
		     : token->code == '-' ? STAP_OP_MINUS
		     : token->code == '!' ? STAP_OP_NOT
		     : token->code == '~' ? STAP_OP_COMPLEMENT
					  : STAP_OP_NONE;
	if (op == STAP_OP_NONE)
		return parse_crement(p);
	stap_parse_next(p);
	stap_parse_enter(p);
	struct stap_expr *operand = parse_unary(p);
	stap_parse_leave(p);
	return make_binary(p, STAP_EXPR_UNARY, op, token, operand, NULL);
}

enum {
	LEVEL_NONE = 0,
	LEVEL_OR = 3,
	LEVEL_AND,
	LEVEL_COMPARE = 9,
	LEVEL_SHIFT = 10
};

struct binary_operator {
	int level;
	enum stap_op op;
};

static struct binary_operator binary_operator(const struct stap_token *token)
{
	if (token->kind != STAP_TOKEN_OPERATOR)
		return (struct binary_operator){LEVEL_NONE, STAP_OP_NONE};
	switch (token->code) {
	case STAP_OP2('|', '|'):
		return (struct binary_operator){LEVEL_OR, STAP_OP_LOGICAL_OR};
	case STAP_OP2('&', '&'):
		return (struct binary_operator){LEVEL_AND, STAP_OP_LOGICAL_AND};
	case '|':
		return (struct binary_operator){5, STAP_OP_OR};
	case '^':
		return (struct binary_operator){6, STAP_OP_XOR};
	case '&':
		return (struct binary_operator){7, STAP_OP_AND};
	case '<':
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_LT};
	case '>':
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_GT};
	case STAP_OP2('<', '='):
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_LE};
	case STAP_OP2('>', '='):
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_GE};
	case STAP_OP2('=', '='):
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_EQ};
	case STAP_OP2('!', '='):
		return (struct binary_operator){LEVEL_COMPARE, STAP_OP_NE};
	case STAP_OP2('<', '<'):
		return (struct binary_operator){LEVEL_SHIFT, STAP_OP_SHL};
	case STAP_OP2('>', '>'):
		return (struct binary_operator){LEVEL_SHIFT, STAP_OP_SHR};
	case STAP_OP3('>', '>', '>'):
		return (struct binary_operator){LEVEL_SHIFT, STAP_OP_USHR};
	case '.':
		return (struct binary_operator){11, STAP_OP_CONCAT};
	case '+':
		return (struct binary_operator){12, STAP_OP_ADD};
	case '-':
		return (struct binary_operator){12, STAP_OP_SUB};
	case '*':
		return (struct binary_operator){13, STAP_OP_MUL};
	case '/':
		return (struct binary_operator){13, STAP_OP_DIV};
	case '%':
		return (struct binary_operator){13, STAP_OP_MOD};
	default:
		return (struct binary_operator){LEVEL_NONE, STAP_OP_NONE};
	}
}

static struct stap_expr *parse_in(struct stap_parser *p);

/* Left-associative operators of @level and tighter, down to what @operand parses. */
static struct stap_expr *parse_levels(struct stap_parser *p, int level,
	struct stap_expr *(*operand)(struct stap_parser *p))
{
	struct stap_expr *left = operand(p);
	for (;;) {
		const struct stap_token *token = stap_parse_peek(p);
		struct binary_operator found = binary_operator(token);
		/* `in` and comparisons do not chain with each other */
		if (found.level < level ||
			(operand == parse_in && found.level >= LEVEL_COMPARE))
			return left;
		stap_parse_next(p);
		struct stap_expr *right = parse_levels(p, found.level + 1, operand);
		enum stap_expr_kind kind =
			found.level <= LEVEL_AND ? STAP_EXPR_LOGICAL : STAP_EXPR_BINARY;
		left = make_binary(p, kind, found.op, token, left, right);
	}
}

static struct stap_expr *parse_comparison(struct stap_parser *p)
{
	struct stap_expr *left = parse_levels(p, LEVEL_SHIFT, parse_unary);
	const struct stap_token *token = stap_parse_peek(p);
	bool match = stap_parse_peek_op(p, STAP_OP2('=', '~'));
	if (match || stap_parse_peek_op(p, STAP_OP2('!', '~'))) {
		stap_parse_next(p);
		const struct stap_token *pattern = stap_parse_next(p);
		if (pattern->kind != STAP_TOKEN_STRING)
			stap_parse_fail(p, "expected literal string");
		return make_binary(p, STAP_EXPR_REGEX,
			match ? STAP_OP_MATCH : STAP_OP_NOT_MATCH, token, left,
			parse_strings(p, pattern));
	}
	for (;;) {
		token = stap_parse_peek(p);
		struct binary_operator found = binary_operator(token);
		if (found.level != LEVEL_COMPARE)
			return left;
		stap_parse_next(p);
		left = make_binary(p, STAP_EXPR_BINARY, found.op, token, left,
			parse_levels(p, LEVEL_SHIFT, parse_unary));
	}
}

/* "[" already read: the keys in front of `in`, which may be `*` */
static void parse_in_keys(struct stap_parser *p)
{
	for (;;) {
		stap_parse_push(
			p, stap_parse_accept_op(p, '*') ? NULL : parse_comparison(p));
		if (stap_parse_accept_op(p, ','))
			continue;
		if (stap_parse_accept_op(p, ']'))
			return;
		stap_parse_next(p);
		stap_parse_fail(p, "expected ',' or ']'");
	}
}

static struct stap_expr *parse_in(struct stap_parser *p)
{
	size_t start = p->stack.count;
	if (stap_parse_accept_op(p, '[')) {
		stap_parse_enter(p);
		parse_in_keys(p);
		stap_parse_leave(p);
	} else {
		stap_parse_push(p, parse_comparison(p));
	}
	const struct stap_token *token = stap_parse_peek(p);
	if (!stap_parse_accept_keyword(p, STAP_KEYWORD_IN)) {
		struct stap_expr *only = p->stack.items[start];
		if (p->stack.count - start != 1 || !only)
			stap_parse_fail(p, "unexpected comma-separated expression list");
		p->stack.count = start;
		return only;
	}
	struct stap_expr *in = stap_expr_new(p->arena, STAP_EXPR_IN, token);
	in->type = STAP_TYPE_LONG;
	struct stap_expr *array = stap_parse_indexable(p);
	if (array->kind == STAP_EXPR_HIST)
		in->index.hist = child(p, in, array);
	else
		in->index.name = array->var.name;
	in->index.keys = take_list(p, start, in);
	return in;
}

/* logic [ "?" expression ":" ternary ] */
static struct stap_expr *parse_ternary(struct stap_parser *p)
{
	struct stap_expr *condition = parse_levels(p, LEVEL_OR, parse_in);
	const struct stap_token *token = stap_parse_peek(p);
	if (!stap_parse_accept_op(p, '?'))
		return condition;
	struct stap_expr *expr = stap_expr_new(p->arena, STAP_EXPR_TERNARY, token);
	expr->ternary.condition = child(p, expr, condition);
	stap_parse_enter(p);
	expr->ternary.then = child(p, expr, stap_parse_expression(p));
	stap_parse_expect_op(p, ':', "expected ':'");
	expr->ternary.otherwise = child(p, expr, parse_ternary(p));
	stap_parse_leave(p);
	return expr;
}

static enum stap_op assign_op(const struct stap_token *token)
{
	if (token->kind != STAP_TOKEN_OPERATOR)
		return STAP_OP_NONE;
	switch (token->code) {
	case '=':
		return STAP_OP_ASSIGN;
	case STAP_OP3('<', '<', '<'):
		return STAP_OP_ACCUMULATE;
	case STAP_OP2('+', '='):
		return STAP_OP_ADD;
	case STAP_OP2('-', '='):
		return STAP_OP_SUB;
	case STAP_OP2('*', '='):
		return STAP_OP_MUL;
	case STAP_OP2('/', '='):
		return STAP_OP_DIV;
	case STAP_OP2('%', '='):
		return STAP_OP_MOD;
	case STAP_OP3('<', '<', '='):
		return STAP_OP_SHL;
	case STAP_OP3('>', '>', '='):
		return STAP_OP_SHR;
	case STAP_OP2('&', '='):
		return STAP_OP_AND;
	case STAP_OP2('^', '='):
		return STAP_OP_XOR;
	case STAP_OP2('|', '='):
		return STAP_OP_OR;
	case STAP_OP2('.', '='):
		return STAP_OP_CONCAT;
	default:
		return STAP_OP_NONE;
	}
}

struct stap_expr *stap_parse_expression(struct stap_parser *p)
{
	stap_parse_enter(p);
	struct stap_expr *expr = parse_ternary(p);
	const struct stap_token *token = stap_parse_peek(p);
	enum stap_op op = assign_op(token);
	if (op != STAP_OP_NONE) {
		stap_parse_next(p);
		struct stap_expr *assign =
			stap_expr_new(p->arena, STAP_EXPR_ASSIGN, token);
		assign->assign.op = op;
		assign->assign.target = child(p, assign, expr);
		assign->assign.value = child(p, assign, stap_parse_expression(p));
		expr = assign;
	}
	stap_parse_leave(p);
	return expr;
}
