/* SPDX-License-Identifier: MIT */
/*
 * Embedded C as the analysis sees it: a function whose body nobody looks into.  What must be known of it
 * is said in comments of its text, as in SystemTap: pragma:read:NAME and pragma:write:NAME, pure, string.
 * An expression in C is a call of a function of its own.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "stap/sema.h"

static bool has_comment(const char *text, const char *word)
{
	char comment[48];

	snprintf(comment, sizeof(comment), "/* %s */", word);
	return strstr(text, comment);
}

static void add_touch(struct sema *sema, struct stap_function *function,
	struct stap_var *var, bool is_written)
{
	struct stap_touch *touches;
	uint32_t i = 0;

	while (i < function->touch_count && function->touches[i].var != var)
		i++;
	if (i == function->touch_count) {
		touches = arena_array(sema->arena, struct stap_touch, i + 1);
		for (uint32_t k = 0; k < i; k++)
			touches[k] = function->touches[k];
		touches[i] = (struct stap_touch){.var = var};
		function->touches = touches;
		function->touch_count++;
	}
	if (is_written)
		function->touches[i].is_written = true;
	else
		function->touches[i].is_read = true;
}

static void find_touches(struct sema *sema, struct stap_function *function,
	const char *mark, bool is_written)
{
	const char *at = function->embedded->text;

	while ((at = strstr(at, mark)) != NULL) {
		size_t size = 0;

		at += strlen(mark);
		while (isalnum((unsigned char)at[size]) || at[size] == '_')
			size++;
		char *name = arena_strndup(sema->arena, at, size);
		struct stap_var *var = sema_global_find(sema, name, function->embedded);
		if (var)
			add_touch(sema, function, var, is_written);
		else
			sema_error(sema, function->embedded, "unresolved %.*s global %s",
				(int)(strlen(mark) - 1), mark, name);
	}
}

void sema_embedded(struct sema *sema, struct stap_function *function)
{
	const char *text = function->embedded->text;

	function->is_pure = has_comment(text, "pure") || has_comment(text, "stable");
	function->calls_next = strstr(text, "STAP_NEXT");
	function->body = stap_stmt_new(sema->arena, STAP_STMT_NULL, function->embedded);
	find_touches(sema, function, "pragma:read:", false);
	find_touches(sema, function, "pragma:write:", true);
}

void sema_embedded_expr(struct sema *sema, struct stap_expr *expr)
{
	const struct stap_token *token = expr->token;
	struct stap_function *function = NULL;

	for (size_t i = 0; i < sema->functions.count && !function; i++) {
		if (sema->functions.items[i]->embedded == token)
			function = sema->functions.items[i];
	}
	if (!function) {
		function = arena_new(sema->arena, struct stap_function);
		function->name = "%{ %}";
		function->token = function->embedded = token;
		function->is_embedded_expr = function->has_declared_type = true;
		function->type = has_comment(token->text, "string") ? STAP_TYPE_STRING
								    : STAP_TYPE_LONG;
		sema_push(sema, &sema->functions, function);
	}
	*expr = *stap_expr_new(sema->arena, STAP_EXPR_CALL, token);
	expr->call.name = function->name;
	expr->call.function = function;
}

void sema_embedded_const(struct sema *sema, struct stap_expr *expr)
{
	const struct stap_expr *text = expr->call.args.items[0];
	struct stap_token *token = arena_new(sema->arena, struct stap_token);

	*token = *expr->token;
	token->text = arena_printf(sema->arena, "/* pure */ (%s)", text->string);
	expr->token = token;
	sema_embedded_expr(sema, expr);
}
