/* SPDX-License-Identifier: MIT */
#include "stap/ast.h"

#include <string.h>

struct stap_expr *stap_expr_new(
	struct arena *arena, enum stap_expr_kind kind, const struct stap_token *token)
{
	struct stap_expr *expr = arena_new(arena, struct stap_expr);
	expr->kind = kind;
	expr->token = token;
	return expr;
}

struct stap_stmt *stap_stmt_new(
	struct arena *arena, enum stap_stmt_kind kind, const struct stap_token *token)
{
	struct stap_stmt *stmt = arena_new(arena, struct stap_stmt);
	stmt->kind = kind;
	stmt->token = token;
	return stmt;
}

const char *stap_type_name(enum stap_type type)
{
	switch (type) {
	case STAP_TYPE_LONG:
		return "long";
	case STAP_TYPE_STRING:
		return "string";
	case STAP_TYPE_STATS:
		return "stats";
	case STAP_TYPE_UNKNOWN:
		break;
	}
	return "unknown";
}

/* ---- the children of a node ---------------------------------------------------------------------- */

/*
 * Copying and walking both go through the pointers to a node's children, found here alone.  @fn
 * gets the address of each child that is there; false stops.
 */
typedef bool expr_slot_fn(struct stap_expr **slot, void *data);
typedef bool stmt_slot_fn(struct stap_stmt **slot, void *data);

static bool visit(struct stap_expr **slot, expr_slot_fn *fn, void *data)
{
	return !*slot || fn(slot, data);
}

static bool visit_list(struct stap_expr_list *list, expr_slot_fn *fn, void *data)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!visit(&list->items[i], fn, data))
			return false;
	return true;
}

static bool visit_target(struct stap_expr *expr, expr_slot_fn *fn, void *data)
{
	if (!visit(&expr->target.operand, fn, data))
		return false;
	for (uint32_t i = 0; i < expr->target.component_count; i++)
		if (!visit(&expr->target.components[i].index, fn, data))
			return false;
	return true;
}

static bool visit_expr_children(struct stap_expr *expr, expr_slot_fn *fn, void *data)
{
	switch (expr->kind) {
	case STAP_EXPR_NUMBER:
	case STAP_EXPR_STRING:
	case STAP_EXPR_VAR:
	case STAP_EXPR_ENTRY_VALUE:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		return true;
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		return visit_list(&expr->index.keys, fn, data) &&
		       visit(&expr->index.hist, fn, data);
	case STAP_EXPR_UNARY:
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_REGEX:
		return visit(&expr->binary.left, fn, data) &&
		       visit(&expr->binary.right, fn, data);
	case STAP_EXPR_TERNARY:
		return visit(&expr->ternary.condition, fn, data) &&
		       visit(&expr->ternary.then, fn, data) &&
		       visit(&expr->ternary.otherwise, fn, data);
	case STAP_EXPR_ASSIGN:
		return visit(&expr->assign.target, fn, data) &&
		       visit(&expr->assign.value, fn, data);
	case STAP_EXPR_CRREMENT:
		return visit(&expr->crrement.target, fn, data);
	case STAP_EXPR_CALL:
		return visit_list(&expr->call.args, fn, data);
	case STAP_EXPR_PRINT:
		return visit_list(&expr->print.args, fn, data);
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		return visit(&expr->stat.target, fn, data);
	case STAP_EXPR_TARGET:
		return visit_target(expr, fn, data);
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
		return visit(&expr->wrap.operand, fn, data);
	}
	return true;
}

static bool visit_foreach(struct stap_stmt *stmt, expr_slot_fn *fn, void *data)
{
	struct stap_expr_list keys = {stmt->foreach.keys, stmt->foreach.key_count};
	return visit_list(&keys, fn, data) && visit(&stmt->foreach.value, fn, data) &&
	       visit(&stmt->foreach.array, fn, data) &&
	       visit_list(&stmt->foreach.slice, fn, data) &&
	       visit(&stmt->foreach.limit, fn, data);
}

/* The expressions that belong to the statement itself, in the order they are written. */
static bool visit_stmt_exprs(struct stap_stmt *stmt, expr_slot_fn *fn, void *data)
{
	switch (stmt->kind) {
	case STAP_STMT_EXPR:
	case STAP_STMT_RETURN:
	case STAP_STMT_DELETE:
		return visit(&stmt->expr, fn, data);
	case STAP_STMT_IF:
		return visit(&stmt->branch.condition, fn, data);
	case STAP_STMT_FOR:
		return visit(&stmt->loop.init, fn, data) &&
		       visit(&stmt->loop.condition, fn, data) &&
		       visit(&stmt->loop.step, fn, data);
	case STAP_STMT_FOREACH:
		return visit_foreach(stmt, fn, data);
	case STAP_STMT_TRY:
		return visit(&stmt->try.variable, fn, data);
	case STAP_STMT_NULL:
	case STAP_STMT_BLOCK:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
		break;
	}
	return true;
}

static bool visit_stmt_children(struct stap_stmt *stmt, stmt_slot_fn *fn, void *data)
{
	switch (stmt->kind) {
	case STAP_STMT_BLOCK:
		for (uint32_t i = 0; i < stmt->block.count; i++)
			if (!fn(&stmt->block.items[i], data))
				return false;
		return true;
	case STAP_STMT_IF:
		return fn(&stmt->branch.then, data) &&
		       (!stmt->branch.otherwise || fn(&stmt->branch.otherwise, data));
	case STAP_STMT_FOR:
		return fn(&stmt->loop.body, data);
	case STAP_STMT_FOREACH:
		return fn(&stmt->foreach.body, data);
	case STAP_STMT_TRY:
		return fn(&stmt->try.body, data) && fn(&stmt->try.handler, data);
	case STAP_STMT_NULL:
	case STAP_STMT_EXPR:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
	case STAP_STMT_RETURN:
	case STAP_STMT_DELETE:
		break;
	}
	return true;
}

/* ---- copying ------------------------------------------------------------------------------------- */

static void *copy_array(struct arena *arena, const void *items, size_t size)
{
	void *copy = NULL;
	if (size) {
		copy = arena_alloc(arena, size);
		memcpy(copy, items, size);
	}
	return copy;
}

static void copy_list(struct arena *arena, struct stap_expr_list *list)
{
	list->items = copy_array(arena, list->items, list->count * sizeof(*list->items));
}

static bool copy_expr_slot(struct stap_expr **slot, void *arena)
{
	*slot = stap_expr_copy(arena, *slot);
	return true;
}

static bool copy_stmt_slot(struct stap_stmt **slot, void *arena)
{
	*slot = stap_stmt_copy(arena, *slot);
	return true;
}

struct stap_expr *stap_expr_copy(struct arena *arena, const struct stap_expr *expr)
{
	if (!expr)
		return NULL;
	struct stap_expr *copy = arena_new(arena, struct stap_expr);
	*copy = *expr;
	if (copy->kind == STAP_EXPR_INDEX || copy->kind == STAP_EXPR_IN)
		copy_list(arena, &copy->index.keys);
	else if (copy->kind == STAP_EXPR_CALL)
		copy_list(arena, &copy->call.args);
	else if (copy->kind == STAP_EXPR_PRINT)
		copy_list(arena, &copy->print.args);
	else if (copy->kind == STAP_EXPR_TARGET)
		copy->target.components = copy_array(arena, copy->target.components,
			copy->target.component_count * sizeof(*copy->target.components));
	visit_expr_children(copy, copy_expr_slot, arena);
	return copy;
}

struct stap_stmt *stap_stmt_copy(struct arena *arena, const struct stap_stmt *stmt)
{
	if (!stmt)
		return NULL;
	struct stap_stmt *copy = arena_new(arena, struct stap_stmt);
	*copy = *stmt;
	if (copy->kind == STAP_STMT_BLOCK) {
		copy->block.items = copy_array(arena, copy->block.items,
			copy->block.count * sizeof(*copy->block.items));
	} else if (copy->kind == STAP_STMT_FOREACH) {
		copy->foreach.keys = copy_array(arena, copy->foreach.keys,
			copy->foreach.key_count * sizeof(*copy->foreach.keys));
		copy_list(arena, &copy->foreach.slice);
	}
	visit_stmt_exprs(copy, copy_expr_slot, arena);
	visit_stmt_children(copy, copy_stmt_slot, arena);
	return copy;
}

/* ---- walking ------------------------------------------------------------------------------------- */

struct walk {
	bool (*fn)(struct stap_expr *expr, void *data);
	void *data;
};

static bool walk_expr_slot(struct stap_expr **slot, void *walk)
{
	const struct walk *w = walk;
	return stap_walk_expr(*slot, w->fn, w->data);
}

static bool walk_stmt_slot(struct stap_stmt **slot, void *walk)
{
	const struct walk *w = walk;
	return stap_walk(*slot, w->fn, w->data);
}

bool stap_walk_expr(struct stap_expr *expr,
	bool (*fn)(struct stap_expr *expr, void *data), void *data)
{
	if (!expr)
		return true;
	struct walk walk = {fn, data};
	return fn(expr, data) && visit_expr_children(expr, walk_expr_slot, &walk);
}

bool stap_walk(struct stap_stmt *stmt, bool (*fn)(struct stap_expr *expr, void *data),
	void *data)
{
	if (!stmt)
		return true;
	struct walk walk = {fn, data};
	return visit_stmt_exprs(stmt, walk_expr_slot, &walk) &&
	       visit_stmt_children(stmt, walk_stmt_slot, &walk);
}
