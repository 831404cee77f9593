/* SPDX-License-Identifier: MIT */
/* Children of nodes, and small constructors and queries on them. */
#include <string.h>

#include "stap/sema.h"

void *sema_grow(struct arena *arena, void *items, size_t count, size_t *capacity,
	size_t item_size)
{
	void *grown;

	if (count < *capacity)
		return items;
	*capacity = *capacity ? *capacity * 2 : 8;
	grown = arena_alloc(arena, *capacity * item_size);
	if (count)
		memcpy(grown, items, count * item_size);
	return grown;
}

static bool each_in_list(const struct stap_expr_list *list, sema_expr_fn fn, void *data)
{
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->items[i] && !fn(list->items[i], data))
			return false;
	}
	return true;
}

static bool each_in_target(struct stap_expr *expr, sema_expr_fn fn, void *data)
{
	if (expr->target.operand && !fn(expr->target.operand, data))
		return false;
	for (uint32_t i = 0; i < expr->target.component_count; i++) {
		struct stap_expr *index = expr->target.components[i].index;

		if (index && !fn(index, data))
			return false;
	}
	return true;
}

bool sema_each_operand(struct stap_expr *expr, sema_expr_fn fn, void *data)
{
	switch (expr->kind) {
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		return each_in_list(&expr->index.keys, fn, data) &&
		       (!expr->index.hist || fn(expr->index.hist, data));
	case STAP_EXPR_UNARY:
		return fn(expr->binary.left, data);
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_REGEX:
		return fn(expr->binary.left, data) && fn(expr->binary.right, data);
	case STAP_EXPR_TERNARY:
		return fn(expr->ternary.condition, data) &&
		       fn(expr->ternary.then, data) && fn(expr->ternary.otherwise, data);
	case STAP_EXPR_ASSIGN:
		return fn(expr->assign.target, data) && fn(expr->assign.value, data);
	case STAP_EXPR_CRREMENT:
		return fn(expr->crrement.target, data);
	case STAP_EXPR_CALL:
		return each_in_list(&expr->call.args, fn, data);
	case STAP_EXPR_PRINT:
		return each_in_list(&expr->print.args, fn, data);
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		return fn(expr->stat.target, data);
	case STAP_EXPR_TARGET:
		return each_in_target(expr, fn, data);
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
		return fn(expr->wrap.operand, data);
	case STAP_EXPR_NUMBER:
	case STAP_EXPR_STRING:
	case STAP_EXPR_VAR:
	case STAP_EXPR_ENTRY_VALUE:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		return true;
	}
	return true;
}

static bool maybe(struct stap_expr *expr, sema_expr_fn fn, void *data)
{
	return !expr || fn(expr, data);
}

bool sema_each_expr(struct stap_stmt *stmt, sema_expr_fn fn, void *data)
{
	switch (stmt->kind) {
	case STAP_STMT_EXPR:
	case STAP_STMT_RETURN:
	case STAP_STMT_DELETE:
		return maybe(stmt->expr, fn, data);
	case STAP_STMT_IF:
		return fn(stmt->branch.condition, data);
	case STAP_STMT_FOR:
		return maybe(stmt->loop.init, fn, data) &&
		       maybe(stmt->loop.condition, fn, data) &&
		       maybe(stmt->loop.step, fn, data);
	case STAP_STMT_FOREACH:
		if (!fn(stmt->foreach.array, data))
			return false;
		for (uint32_t i = 0; i < stmt->foreach.key_count; i++) {
			if (!fn(stmt->foreach.keys[i], data))
				return false;
		}
		return maybe(stmt->foreach.value, fn, data) &&
		       each_in_list(&stmt->foreach.slice, fn, data) &&
		       maybe(stmt->foreach.limit, fn, data);
	case STAP_STMT_TRY:
		return maybe(stmt->try.variable, fn, data);
	case STAP_STMT_NULL:
	case STAP_STMT_BLOCK:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
		return true;
	}
	return true;
}

bool sema_each_stmt(struct stap_stmt *stmt, sema_stmt_fn fn, void *data)
{
	switch (stmt->kind) {
	case STAP_STMT_BLOCK:
		for (uint32_t i = 0; i < stmt->block.count; i++) {
			if (!fn(stmt->block.items[i], data))
				return false;
		}
		return true;
	case STAP_STMT_IF:
		return fn(stmt->branch.then, data) &&
		       (!stmt->branch.otherwise || fn(stmt->branch.otherwise, data));
	case STAP_STMT_FOR:
		return fn(stmt->loop.body, data);
	case STAP_STMT_FOREACH:
		return fn(stmt->foreach.body, data);
	case STAP_STMT_TRY:
		return fn(stmt->try.body, data) && fn(stmt->try.handler, data);
	case STAP_STMT_NULL:
	case STAP_STMT_EXPR:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
	case STAP_STMT_RETURN:
	case STAP_STMT_DELETE:
		return true;
	}
	return true;
}

bool sema_each_root(struct stap_derived_probe *probe, sema_expr_fn fn, void *data)
{
	for (size_t i = 0; i < probe->entry_values.count; i++) {
		if (!fn(probe->entry_values.items[i], data))
			return false;
	}
	return !probe->condition || fn(probe->condition, data);
}

struct any {
	sema_stmt_fn fn;
	void *data;
};

static bool none_below(struct stap_stmt *stmt, void *data)
{
	struct any *any = data;

	return !any->fn(stmt, any->data) && sema_each_stmt(stmt, none_below, any);
}

bool sema_stmt_any(struct stap_stmt *stmt, sema_stmt_fn fn, void *data)
{
	struct any any = {fn, data};

	return !none_below(stmt, &any);
}

struct stap_expr *sema_number(
	struct sema *sema, int64_t value, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(sema->arena, STAP_EXPR_NUMBER, token);

	expr->number = value;
	expr->type = STAP_TYPE_LONG;
	return expr;
}

struct stap_expr *sema_string(
	struct sema *sema, const char *text, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(sema->arena, STAP_EXPR_STRING, token);

	expr->string = text;
	expr->type = STAP_TYPE_STRING;
	return expr;
}

bool sema_is_lvalue_op(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_ASSIGN || expr->kind == STAP_EXPR_CRREMENT;
}

struct stap_var *sema_lvalue_var(const struct stap_expr *expr)
{
	const struct stap_expr *target = expr->kind == STAP_EXPR_ASSIGN
						 ? expr->assign.target
						 : expr->crrement.target;

	if (target->kind == STAP_EXPR_VAR)
		return target->var.resolved;
	return target->kind == STAP_EXPR_INDEX ? target->index.resolved : NULL;
}

void sema_point_text(const struct stap_point *point, struct strbuf *out)
{
	for (uint32_t i = 0; i < point->component_count; i++) {
		const struct stap_component *component = &point->components[i];

		strbuf_printf(out, "%s%s", i ? "." : "", component->name);
		if (!component->has_argument)
			continue;
		if (component->argument->kind == STAP_EXPR_STRING)
			strbuf_printf(out, "(\"%s\")", component->argument->string);
		else
			strbuf_printf(
				out, "(%lld)", (long long)component->argument->number);
	}
}

static void target_base_text(const struct stap_expr *expr, struct strbuf *out)
{
	switch (expr->target.base) {
	case STAP_TARGET_VAR:
		strbuf_printf(out, "$%s", expr->target.name);
		return;
	case STAP_TARGET_ATVAR:
		strbuf_printf(out, "@var(\"%s\"", expr->target.name);
		break;
	case STAP_TARGET_CAST:
		strbuf_printf(out, "@cast(..., \"%s\"", expr->target.type_name);
		break;
	case STAP_TARGET_AUTOCAST:
		strbuf_puts(out, "(...)");
		return;
	}
	if (expr->target.module)
		strbuf_printf(out, ", \"%s\"", expr->target.module);
	strbuf_putc(out, ')');
}

void sema_target_text(const struct stap_expr *expr, struct strbuf *out)
{
	if (expr->target.address_of)
		strbuf_putc(out, '&');
	target_base_text(expr, out);
	for (uint32_t i = 0; i < expr->target.component_count; i++) {
		const struct stap_target_component *component =
			&expr->target.components[i];

		if (component->member)
			strbuf_printf(out, "->%s", component->member);
		else if (component->index->kind == STAP_EXPR_NUMBER)
			strbuf_printf(out, "[%lld]", (long long)component->index->number);
		else
			strbuf_puts(out, "[...]");
	}
	for (int i = 0; i < expr->target.pretty; i++)
		strbuf_putc(out, '$');
}
