/* SPDX-License-Identifier: MIT */
/*
 * Probes, aliases and probe points.  Braces are multiplied out here: a.{b,c} becomes the two points
 * a.b and a.c, so later passes only see plain sequences of components.
 */
#include <string.h>

#include "stap/parser_internal.h"

struct points {
	struct stap_point **items;
	uint32_t count;
};

static struct points parse_points(struct stap_parser *p);

static struct stap_point *join(struct stap_parser *p, const struct stap_point *left,
	const struct stap_point *right)
{
	struct stap_point *point = arena_new(p->arena, struct stap_point);
	*point = *right;
	if (left->component_count)
		point->token = left->token;
	point->component_count = left->component_count + right->component_count;
	point->components =
		arena_array(p->arena, struct stap_component, point->component_count);
	if (left->component_count)
		memcpy(point->components, left->components,
			left->component_count * sizeof(*left->components));
	memcpy(point->components + left->component_count, right->components,
		right->component_count * sizeof(*right->components));
	return point;
}

static struct points multiply(
	struct stap_parser *p, struct points left, struct points right)
{
	if (left.items[0]->component_count >= STAP_PARSE_MAX_COMPONENTS)
		stap_parse_fail(p, "more than %d components in a probe point",
			STAP_PARSE_MAX_COMPONENTS);
	if ((uint64_t)left.count * right.count > STAP_PARSE_MAX_POINTS)
		stap_parse_fail(p, "more than %d alternatives in a probe point",
			STAP_PARSE_MAX_POINTS);
	struct points product = {.count = left.count * right.count};
	product.items = arena_array(p->arena, struct stap_point *, product.count);
	for (uint32_t i = 0; i < left.count; i++)
		for (uint32_t k = 0; k < right.count; k++)
			product.items[i * right.count + k] =
				join(p, left.items[i], right.items[k]);
	return product;
}

/* "{" already read: points { "," points } "}" */
static struct points parse_alternatives(struct stap_parser *p)
{
	struct points all;
	size_t start = p->stack.count;
	stap_parse_enter(p);
	do {
		struct points some = parse_points(p);
		for (uint32_t i = 0; i < some.count; i++)
			stap_parse_push(p, some.items[i]);
		if (p->stack.count - start > STAP_PARSE_MAX_POINTS)
			stap_parse_fail(p, "more than %d alternatives in a probe point",
				STAP_PARSE_MAX_POINTS);
	} while (stap_parse_accept_op(p, ','));
	if (!stap_parse_peek_op(p, '}') && !stap_parse_peek_op(p, '{') &&
		!stap_parse_peek_op(p, '=') && !stap_parse_peek_op(p, STAP_OP2('+', '=')))
		stap_parse_fail(p, "%s", "expected one of ', { } = +='");
	stap_parse_expect_op(p, '}', "expected '}'");
	stap_parse_leave(p);
	all.items = (struct stap_point **)stap_parse_take(p, start, &all.count);
	return all;
}

static bool is_name_piece(const struct stap_token *token)
{
	return token->kind == STAP_TOKEN_IDENTIFIER ||
	       token->kind == STAP_TOKEN_KEYWORD ||
	       (token->kind == STAP_TOKEN_OPERATOR && token->code == '*');
}

/* Pieces without white space between them make one name: sys*read */
static const char *parse_component_name(
	struct stap_parser *p, const struct stap_token **ret_token)
{
	const struct stap_token *token = *ret_token;
	struct stap_token *whole;
	const struct stap_token *piece = stap_parse_peek(p);
	const char *end = token->at + token->text_size;
	if (!is_name_piece(piece) || piece->at != end)
		return token->text;
	struct strbuf name;
	strbuf_init(&name);
	strbuf_append(&name, token->text, token->text_size);
	/* an error while reading on must not leak the text: it is raised after the loop */
	while (p->peeked && is_name_piece(p->peeked) && p->peeked->at == end) {
		strbuf_append(&name, p->peeked->text, p->peeked->text_size);
		end = p->peeked->at + p->peeked->text_size;
		p->peeked = stap_preprocessor_next(&p->pp);
	}
	const char *text = arena_strndup(p->arena, name.data, name.size);
	whole = arena_new(p->arena, struct stap_token);
	*whole = *token;
	whole->kind = STAP_TOKEN_IDENTIFIER;
	whole->raw = text;
	*ret_token = whole;
	strbuf_deinit(&name);
	if (!p->peeked)
		stap_parse_raise(p);
	return text;
}

/* NAME [ "(" literal ")" ] */
static struct points parse_component(
	struct stap_parser *p, const struct stap_token *token)
{
	struct stap_component *component = arena_new(p->arena, struct stap_component);
	component->name = parse_component_name(p, &token);
	component->token = token;
	if (stap_parse_accept_op(p, '(')) {
		component->has_argument = true;
		component->argument = stap_parse_literal(p);
		stap_parse_expect_op(p, ')', "expected ')'");
	}
	struct stap_point *point = arena_new(p->arena, struct stap_point);
	point->token = token;
	point->components = component;
	point->component_count = 1;
	struct points points = {arena_new(p->arena, struct stap_point *), 1};
	points.items[0] = point;
	return points;
}

static struct points parse_factor(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_next(p);
	if (token->kind == STAP_TOKEN_OPERATOR && token->code == '{')
		return parse_alternatives(p);
	if (!is_name_piece(token))
		stap_parse_fail(p, "expected identifier or '*' or '{'");
	return parse_component(p, token);
}

static void check_no_suffix(struct stap_parser *p, struct points points)
{
	for (uint32_t i = 0; i < points.count; i++) {
		const struct stap_point *point = points.items[i];
		if (point->optional || point->condition)
			stap_parse_fail_at(p, point->token,
				"'?', '!' or condition must only be specified in suffix");
	}
}

/* [ "?" | "!" ] [ "if" "(" expression ")" ] */
static void parse_suffix(struct stap_parser *p, struct points points)
{
	bool sufficient = stap_parse_peek_op(p, '!');
	if (sufficient || stap_parse_peek_op(p, '?')) {
		for (uint32_t i = 0; i < points.count; i++) {
			if (points.items[i]->optional)
				stap_parse_fail(p, "'?' or '!' respecified");
			points.items[i]->optional = true;
			points.items[i]->sufficient = sufficient;
		}
		stap_parse_next(p);
	}
	if (!stap_parse_accept_keyword(p, STAP_KEYWORD_IF))
		return;
	stap_parse_expect_op(p, '(', "expected '('");
	struct stap_expr *condition = stap_parse_expression(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	for (uint32_t i = 0; i < points.count; i++) {
		if (points.items[i]->condition)
			stap_parse_fail(p, "condition respecified");
		points.items[i]->condition =
			i ? stap_expr_copy(p->arena, condition) : condition;
	}
}

/* factor { "." factor } suffix, where factor = component | "{" points { "," points } "}" */
static struct points parse_points(struct stap_parser *p)
{
	struct points points = parse_factor(p);
	while (stap_parse_accept_op(p, '.')) {
		check_no_suffix(p, points);
		points = multiply(p, points, parse_factor(p));
	}
	parse_suffix(p, points);
	return points;
}

struct heading {
	struct points names; /* what stands in front of "=" */
	struct points points;
	bool epilogue;
};

/* { name ( "=" | "+=" ) } points { "," points } */
static struct heading parse_heading(struct stap_parser *p)
{
	struct heading heading = {0};
	bool may_be_name = true;
	size_t start = p->stack.count;
	for (;;) {
		struct points points = parse_points(p);
		const struct stap_token *token = stap_parse_peek(p);
		uint32_t code = token->kind == STAP_TOKEN_OPERATOR ? token->code : 0;
		if (code == '=' || code == STAP_OP2('+', '=')) {
			if (!may_be_name || points.count != 1)
				stap_parse_fail(p, "expected probe point specifier");
			if (points.items[0]->optional)
				stap_parse_fail_at(p, points.items[0]->token,
					"probe point alias name cannot be optional nor sufficient");
			heading.epilogue = code != '=';
			heading.names.count++;
			stap_parse_push(p, points.items[0]);
			stap_parse_next(p);
			continue;
		}
		if (code != ',' && code != '{')
			stap_parse_fail(p, "%s", "expected one of ', { } = +='");
		may_be_name = false;
		for (uint32_t i = 0; i < points.count; i++)
			stap_parse_push(p, points.items[i]);
		if (code == '{')
			break;
		stap_parse_next(p);
	}
	struct points all;
	all.items = (struct stap_point **)stap_parse_take(p, start, &all.count);
	heading.names.items = all.items;
	heading.points.items = all.items + heading.names.count;
	heading.points.count = all.count - heading.names.count;
	return heading;
}

/* "probe" heading block [ "," block ] */
void stap_parse_probe(struct stap_parser *p)
{
	struct stap_probe *probe = arena_new(p->arena, struct stap_probe);
	probe->token = stap_parse_next(p);
	probe->source = p->source;
	if (stap_parse_peek(p)->kind == STAP_TOKEN_EOF) {
		p->last = probe->token; /* nobody has looked behind it yet */
		stap_parse_fail(p, "unexpected end-of-file");
	}
	struct heading heading = parse_heading(p);
	probe->points = heading.points.items;
	probe->point_count = heading.points.count;
	probe->alias_epilogue = heading.epilogue;
	probe->body = stap_parse_block(p);
	if (!heading.names.count) {
		vec_append(&p->file->probes, probe);
		return;
	}
	if (stap_parse_peek_op(p, ',')) {
		if (heading.epilogue)
			stap_parse_fail(p,
				"Combined prologue and epilogue cannot be defined "
				"with '+='");
		stap_parse_next(p);
		probe->epilogue = stap_parse_block(p);
	}
	/* `a = b = points {}` defines two aliases */
	for (uint32_t i = 0; i < heading.names.count; i++) {
		struct stap_probe *alias = arena_new(p->arena, struct stap_probe);
		*alias = *probe;
		alias->alias = heading.names.items[i];
		if (i) {
			alias->body = stap_stmt_copy(p->arena, probe->body);
			if (probe->epilogue)
				alias->epilogue =
					stap_stmt_copy(p->arena, probe->epilogue);
		}
		vec_append(&p->file->aliases, alias);
	}
}
