/* SPDX-License-Identifier: MIT */
/*
 * Operators and what they work on; values are in parse_value.c.  Precedence, loosest first:
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
 *                  [ "$" | "$$" ]
 */
#include <string.h>

#include "stap/parser_internal.h"

static struct stap_expr *make_binary(struct stap_parser *p, enum stap_expr_kind kind,
	enum stap_op op, const struct stap_token *token, struct stap_expr *left,
	struct stap_expr *right)
{
	struct stap_expr *expr = stap_expr_new(p->arena, kind, token);
	expr->binary.op = op;
	expr->binary.left = stap_parse_child(p, expr, left);
	expr->binary.right = stap_parse_child(p, expr, right);
	return expr;
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
	expr->target.operand = stap_parse_child(p, expr, stap_parse_expression(p));
	stap_parse_expect_op(p, ',', "expected ','");
	expr->target.type_name = stap_parse_name_string(p);
	if (!*expr->target.type_name) {
		stap_parse_peek(p);
		stap_parse_fail(p, "expected non-empty string");
	}
	if (stap_parse_accept_op(p, ','))
		expr->target.module = stap_parse_name_string(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	return expr;
}

/* @var "(" name [ "," module ] ")" */
static struct stap_expr *parse_atvar(struct stap_parser *p)
{
	struct stap_expr *expr = make_target(p, STAP_TARGET_ATVAR, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	expr->target.name = stap_parse_name_string(p);
	if (!*expr->target.name) {
		stap_parse_peek(p);
		stap_parse_fail(p, "expected non-empty string");
	}
	if (stap_parse_accept_op(p, ','))
		expr->target.module = stap_parse_name_string(p);
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

/* A "$" or "$$" on its own, after a value */
static int peek_pretty_suffix(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	if (token->kind != STAP_TOKEN_IDENTIFIER || token->text[0] != '$' ||
		strspn(token->text, "$") != token->text_size || token->text_size > 2)
		return 0;
	return (int)token->text_size;
}

static int parse_pretty_suffix(struct stap_parser *p)
{
	int pretty = peek_pretty_suffix(p);
	if (pretty)
		stap_parse_next(p);
	return pretty;
}

static bool peek_components(struct stap_parser *p)
{
	return stap_parse_peek_op(p, STAP_OP2('-', '>')) || stap_parse_peek_op(p, '[') ||
	       peek_pretty_suffix(p);
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
			component->index =
				stap_parse_child(p, expr, stap_parse_expression(p));
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
		bool autocasts = !stap_version_less(p->options, "2.6");
		if (address_of && !autocasts)
			stap_parse_fail(p, "expected @cast, @var or $var");
		struct stap_expr *value = stap_parse_value(p);
		if (!autocasts || (!address_of && !peek_components(p)))
			return value;
		expr = make_target(p, STAP_TARGET_AUTOCAST, value->token);
		expr->target.operand = stap_parse_child(p, expr, value);
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
	expr->crrement.target = stap_parse_child(p, expr, target);
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
			stap_parse_strings(p, pattern));
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
		in->index.hist = stap_parse_child(p, in, array);
	else
		in->index.name = array->var.name;
	in->index.array = array->token;
	in->index.keys = stap_parse_take_list(p, start, in);
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
	expr->ternary.condition = stap_parse_child(p, expr, condition);
	stap_parse_enter(p);
	expr->ternary.then = stap_parse_child(p, expr, stap_parse_expression(p));
	stap_parse_expect_op(p, ':', "expected ':'");
	/* `a ? b : c = d` once assigned to c; now to the whole */
	expr->ternary.otherwise = stap_parse_child(p, expr,
		stap_version_less(p->options, "4.0") ? stap_parse_expression(p)
						     : parse_ternary(p));
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
		assign->assign.target = stap_parse_child(p, assign, expr);
		assign->assign.value =
			stap_parse_child(p, assign, stap_parse_expression(p));
		expr = assign;
	}
	stap_parse_leave(p);
	return expr;
}
