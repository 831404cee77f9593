/* SPDX-License-Identifier: MIT */
/*
 * Statements.  None needs a semicolon after it.  One that does not end in a block takes a semicolon
 * that follows it, so that `if (a) b; else c` works; any other semicolon is an empty statement.
 */
#include "stap/parser_internal.h"

static struct stap_stmt *parse_statement(struct stap_parser *p);

/* "{" { statement } "}" */
struct stap_stmt *stap_parse_block(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_expect_op(p, '{', "expected '{'");
	stap_parse_enter(p);
	struct stap_stmt *block = stap_stmt_new(p->arena, STAP_STMT_BLOCK, token);
	size_t start = p->stack.count;
	while (!stap_parse_accept_op(p, '}')) {
		struct stap_stmt *stmt = parse_statement(p);
		if (stmt->kind != STAP_STMT_NULL)
			stap_parse_push(p, stmt);
	}
	block->block.items =
		(struct stap_stmt **)stap_parse_take(p, start, &block->block.count);
	stap_parse_leave(p);
	return block;
}

/* "if" "(" expression ")" statement [ "else" statement ] */
static struct stap_stmt *parse_if(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_IF, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	stmt->branch.condition = stap_parse_expression(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	stmt->branch.then = parse_statement(p);
	if (stap_parse_accept_keyword(p, STAP_KEYWORD_ELSE))
		stmt->branch.otherwise = parse_statement(p);
	return stmt;
}

/* "while" "(" expression ")" statement */
static struct stap_stmt *parse_while(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_FOR, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	stmt->loop.condition = stap_parse_expression(p);
	stap_parse_expect_op(p, ')', "expected ')'");
	stmt->loop.body = parse_statement(p);
	return stmt;
}

static struct stap_expr *parse_for_part(
	struct stap_parser *p, uint32_t end, const char *message)
{
	struct stap_expr *expr = NULL;
	if (!stap_parse_peek_op(p, end))
		expr = stap_parse_expression(p);
	stap_parse_expect_op(p, end, message);
	return expr;
}

static void expect_more(struct stap_parser *p)
{
	if (stap_parse_peek(p)->kind == STAP_TOKEN_EOF)
		stap_parse_fail(p, "expression statement expected");
}

/* "for" "(" [ expression ] ";" [ expression ] ";" [ expression ] ")" statement */
static struct stap_stmt *parse_for(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_FOR, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	expect_more(p);
	stmt->loop.init = parse_for_part(p, ';', "expected ';'");
	stmt->loop.condition = parse_for_part(p, ';', "expected ';'");
	expect_more(p);
	stmt->loop.step = parse_for_part(p, ')', "expected ')'");
	stmt->loop.body = parse_statement(p);
	return stmt;
}

/* ---- foreach ----------------------------------------------------------------------------------- */

/* "+" or "-", of which a loop may have one. */
static void parse_sort(struct stap_parser *p, struct stap_stmt *stmt, int column)
{
	bool ascending = stap_parse_peek_op(p, '+');
	if (!ascending && !stap_parse_peek_op(p, '-'))
		return;
	if (stmt->foreach.sort_direction)
		stap_parse_fail(p, "multiple sort directives");
	stap_parse_next(p);
	stmt->foreach.sort_direction = ascending ? 1 : -1;
	stmt->foreach.sort_column = column;
}

/* "[" already read: NAME [ sort ] { "," NAME [ sort ] } "]" */
static void parse_foreach_keys(struct stap_parser *p, struct stap_stmt *stmt)
{
	size_t start = p->stack.count;
	do {
		stap_parse_push(p, stap_parse_var(p, stap_parse_expect_identifier(p)));
		parse_sort(p, stmt, (int)(p->stack.count - start));
		if (!stap_parse_peek_op(p, ',') && !stap_parse_peek_op(p, ']')) {
			stap_parse_next(p);
			stap_parse_fail(p, "expected ',' or ']'");
		}
	} while (stap_parse_accept_op(p, ','));
	stap_parse_next(p);
	stmt->foreach.keys =
		(struct stap_expr **)stap_parse_take(p, start, &stmt->foreach.key_count);
}

/* [ NAME [ sort ] "=" ] ( NAME [ sort ] | "[" keys "]" ) */
static void parse_foreach_variables(struct stap_parser *p, struct stap_stmt *stmt)
{
	if (stap_parse_accept_op(p, '[')) {
		parse_foreach_keys(p, stmt);
		return;
	}
	struct stap_expr *first = stap_parse_var(p, stap_parse_expect_identifier(p));
	parse_sort(p, stmt, 1);
	if (stap_parse_accept_op(p, '=')) {
		stmt->foreach.value = first;
		stmt->foreach.sort_column = 0;
		if (stap_parse_accept_op(p, '[')) {
			parse_foreach_keys(p, stmt);
			return;
		}
		first = stap_parse_var(p, stap_parse_expect_identifier(p));
		parse_sort(p, stmt, 1);
	}
	stmt->foreach.keys = arena_new(p->arena, struct stap_expr *);
	stmt->foreach.keys[0] = first;
	stmt->foreach.key_count = 1;
}

/* array [ "[" slice "]" ] [ [ @op ] sort ] [ "limit" expression ] */
static void parse_foreach_array(struct stap_parser *p, struct stap_stmt *stmt)
{
	stmt->foreach.array = stap_parse_indexable(p);
	if (stap_parse_accept_op(p, '['))
		stmt->foreach.slice = stap_parse_slice(p);
	if (stap_parse_peek_op(p, '@')) {
		if (!stap_parse_stat_op(stap_parse_peek(p), &stmt->foreach.sort_op))
			stap_parse_fail(p, "expected statistical operation");
		stmt->foreach.sort_has_op = true;
		stap_parse_next(p);
		if (!stap_parse_peek_op(p, '+') && !stap_parse_peek_op(p, '-'))
			stap_parse_fail(p, "expected sort directive");
	}
	parse_sort(p, stmt, 0);
	if (stap_parse_accept_keyword(p, STAP_KEYWORD_LIMIT))
		stmt->foreach.limit = stap_parse_expression(p);
}

/* "foreach" "(" variables "in" array ")" statement */
static struct stap_stmt *parse_foreach(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_FOREACH, stap_parse_next(p));
	stap_parse_expect_op(p, '(', "expected '('");
	parse_foreach_variables(p, stmt);
	if (!stap_parse_peek_keyword(p, STAP_KEYWORD_IN))
		stap_parse_fail(p, "expected 'in'");
	stap_parse_next(p);
	parse_foreach_array(p, stmt);
	stap_parse_expect_op(p, ')', "expected ')'");
	stmt->foreach.body = parse_statement(p);
	return stmt;
}

/* ---- the others -------------------------------------------------------------------------------- */

/* "return" [ expression ] */
static struct stap_stmt *parse_return(struct stap_parser *p)
{
	if (!p->in_function)
		stap_parse_fail(p, "found 'return' not in function context");
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_RETURN, stap_parse_next(p));
	if (stap_parse_peek(p)->kind == STAP_TOKEN_EOF)
		stap_parse_fail(p, "expected ';', '}' or an expression statement");
	if (!stap_parse_peek_op(p, ';') && !stap_parse_peek_op(p, '}'))
		stmt->expr = stap_parse_expression(p);
	return stmt;
}

static struct stap_stmt *parse_delete(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_DELETE, stap_parse_next(p));
	stmt->expr = stap_parse_expression(p);
	return stmt;
}

/* "try" block "catch" [ "(" NAME ")" ] block */
static struct stap_stmt *parse_try(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_TRY, stap_parse_next(p));
	stmt->try.body = stap_parse_block(p);
	if (!stap_parse_accept_keyword(p, STAP_KEYWORD_CATCH))
		stap_parse_fail(p, "expected 'catch'");
	if (stap_parse_accept_op(p, '(')) {
		stmt->try.variable = stap_parse_var(p, stap_parse_expect_identifier(p));
		stap_parse_expect_op(p, ')', "expected ')'");
	}
	stmt->try.handler = stap_parse_block(p);
	return stmt;
}

static struct stap_stmt *parse_simple(struct stap_parser *p)
{
	switch (stap_parse_peek(p)->code) {
	case STAP_KEYWORD_RETURN:
		return parse_return(p);
	case STAP_KEYWORD_DELETE:
		return parse_delete(p);
	case STAP_KEYWORD_BREAK:
		return stap_stmt_new(p->arena, STAP_STMT_BREAK, stap_parse_next(p));
	case STAP_KEYWORD_CONTINUE:
		return stap_stmt_new(p->arena, STAP_STMT_CONTINUE, stap_parse_next(p));
	case STAP_KEYWORD_NEXT:
		return stap_stmt_new(p->arena, STAP_STMT_NEXT, stap_parse_next(p));
	default:
		stap_parse_fail(p, "expected statement");
	}
}

static struct stap_stmt *parse_keyword_statement(struct stap_parser *p)
{
	switch (stap_parse_peek(p)->code) {
	case STAP_KEYWORD_IF:
		return parse_if(p);
	case STAP_KEYWORD_FOR:
		return parse_for(p);
	case STAP_KEYWORD_FOREACH:
		return parse_foreach(p);
	case STAP_KEYWORD_WHILE:
		return parse_while(p);
	case STAP_KEYWORD_TRY:
		return parse_try(p);
	default: {
		struct stap_stmt *stmt = parse_simple(p);
		stap_parse_accept_op(p, ';');
		return stmt;
	}
	}
}

static struct stap_stmt *parse_expression_statement(struct stap_parser *p)
{
	struct stap_stmt *stmt =
		stap_stmt_new(p->arena, STAP_STMT_EXPR, stap_parse_peek(p));
	stmt->expr = stap_parse_expression(p);
	stap_parse_accept_op(p, ';');
	return stmt;
}

static struct stap_stmt *parse_any_statement(struct stap_parser *p)
{
	const struct stap_token *token = stap_parse_peek(p);
	switch (token->kind) {
	case STAP_TOKEN_KEYWORD:
		return parse_keyword_statement(p);
	case STAP_TOKEN_OPERATOR:
		if (token->code == ';')
			return stap_stmt_new(
				p->arena, STAP_STMT_NULL, stap_parse_next(p));
		if (token->code == '{')
			return stap_parse_block(p);
		return parse_expression_statement(p);
	case STAP_TOKEN_IDENTIFIER:
	case STAP_TOKEN_NUMBER:
	case STAP_TOKEN_STRING:
	case STAP_TOKEN_EMBEDDED:
		return parse_expression_statement(p);
	case STAP_TOKEN_EOF:
	case STAP_TOKEN_JUNK:
		break;
	}
	stap_parse_fail(p, "expected statement");
}

static struct stap_stmt *parse_statement(struct stap_parser *p)
{
	stap_parse_enter(p);
	struct stap_stmt *stmt = parse_any_statement(p);
	stap_parse_leave(p);
	return stmt;
}
