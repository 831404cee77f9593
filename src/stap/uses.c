/* SPDX-License-Identifier: MIT */
/* Which variables are read and written, which functions are reached, what has side effects. */
#include "stap/sema.h"

struct uses {
	struct sema *sema;
};

static bool use_expr(struct stap_expr *expr, void *data);
static bool use_stmt(struct stap_stmt *stmt, void *data);

static void use_read(struct stap_var *var)
{
	if (!var)
		return;
	var->is_read = true;
	var->is_value_used = true;
}

static void use_function(struct uses *uses, struct stap_function *function)
{
	for (; function; function = function->next_overload) {
		if (function->mark == uses->sema->mark)
			continue;
		function->mark = uses->sema->mark;
		use_stmt(function->body, uses);
		for (uint32_t i = 0; i < function->touch_count; i++) {
			struct stap_touch *touch = &function->touches[i];

			if (touch->is_read)
				use_read(touch->var);
			touch->var->is_written |= touch->is_written;
		}
	}
}

/* x = E only writes; x += E and x++ also read, which matters only when somebody looks at it. */
static void use_change(struct uses *uses, struct stap_expr *expr, bool value_used)
{
	struct stap_var *var = sema_lvalue_var(expr);
	bool is_plain = expr->kind == STAP_EXPR_ASSIGN &&
			(expr->assign.op == STAP_OP_ASSIGN ||
				expr->assign.op == STAP_OP_ACCUMULATE);
	struct stap_expr *target = expr->kind == STAP_EXPR_ASSIGN ? expr->assign.target
								  : expr->crrement.target;

	if (var) {
		var->is_written = true;
		var->is_read |= !is_plain;
		var->is_value_used |= !is_plain && value_used;
	}
	if (target->kind != STAP_EXPR_VAR)
		sema_each_operand(target, use_expr, uses);
	if (expr->kind == STAP_EXPR_ASSIGN)
		use_expr(expr->assign.value, uses);
}

static bool use_expr(struct stap_expr *expr, void *data)
{
	struct uses *uses = data;

	switch ((int)expr->kind) {
	case STAP_EXPR_VAR:
		use_read(expr->var.resolved);
		return true;
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		use_read(expr->index.resolved);
		break;
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		use_change(uses, expr, true);
		return true;
	case STAP_EXPR_CALL:
		use_function(uses, expr->call.function);
		break;
	default:
		break;
	}
	return sema_each_operand(expr, use_expr, data);
}

static void use_unvalued(struct uses *uses, struct stap_expr *expr)
{
	if (!expr)
		return;
	if (sema_is_lvalue_op(expr))
		use_change(uses, expr, false);
	else
		use_expr(expr, uses);
}

static void use_written(struct stap_expr *expr)
{
	if (expr && expr->kind == STAP_EXPR_VAR && expr->var.resolved)
		expr->var.resolved->is_written = true;
}

static void use_delete(struct uses *uses, struct stap_expr *expr)
{
	use_written(expr);
	if (expr->kind == STAP_EXPR_INDEX && expr->index.resolved)
		expr->index.resolved->is_written = true;
	if (expr->kind != STAP_EXPR_VAR)
		sema_each_operand(expr, use_expr, uses);
}

static bool use_stmt(struct stap_stmt *stmt, void *data)
{
	struct uses *uses = data;

	switch ((int)stmt->kind) {
	case STAP_STMT_EXPR:
		use_unvalued(uses, stmt->expr);
		break;
	case STAP_STMT_FOR:
		use_unvalued(uses, stmt->loop.init);
		if (stmt->loop.condition)
			use_expr(stmt->loop.condition, uses);
		use_unvalued(uses, stmt->loop.step);
		break;
	case STAP_STMT_FOREACH:
		use_expr(stmt->foreach.array, uses);
		for (uint32_t i = 0; i < stmt->foreach.key_count; i++)
			use_written(stmt->foreach.keys[i]);
		use_written(stmt->foreach.value);
		for (uint32_t i = 0; i < stmt->foreach.slice.count; i++) {
			if (stmt->foreach.slice.items[i])
				use_expr(stmt->foreach.slice.items[i], uses);
		}
		if (stmt->foreach.limit)
			use_expr(stmt->foreach.limit, uses);
		break;
	case STAP_STMT_TRY:
		use_written(stmt->try.variable);
		break;
	case STAP_STMT_DELETE:
		use_delete(uses, stmt->expr);
		break;
	default:
		sema_each_expr(stmt, use_expr, data);
		break;
	}
	return sema_each_stmt(stmt, use_stmt, data);
}

static void var_reset(struct stap_var *var)
{
	var->is_read = var->is_written = var->is_value_used = false;
}

static void function_reset(struct stap_function *function)
{
	for (size_t i = 0; i < function->locals.count; i++)
		var_reset(function->locals.items[i]);
	for (uint32_t i = 0; i < function->param_count; i++)
		var_reset(function->params[i]);
}

void sema_collect_uses(struct sema *sema)
{
	struct uses uses = {sema};

	sema->mark++;
	for (size_t i = 0; i < sema->globals.count; i++)
		var_reset(sema->globals.items[i]);
	for (size_t i = 0; i < sema->functions.count; i++)
		function_reset(sema->functions.items[i]);
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		for (size_t j = 0; j < probe->locals.count; j++)
			var_reset(probe->locals.items[j]);
		sema_each_root(probe, use_expr, &uses);
		use_stmt(probe->body, &uses);
	}
}

/* ---- side effects ---------------------------------------------------------------------- */

struct effects {
	struct sema *sema;
	uint32_t depth; /* of calls: a callee's own locals do not matter */
};

static bool effect_free_stmt(struct stap_stmt *stmt, void *data);

static bool effect_free_call(struct effects *effects, struct stap_expr *expr)
{
	struct stap_function *function = expr->call.function;
	bool is_free = true;

	if (!function)
		return expr->call.intrinsic &&
		       (expr->call.intrinsic->flags & STAP_INTRINSIC_PURE);
	effects->depth++;
	for (; function && is_free; function = function->next_overload) {
		if (function->mark == effects->sema->mark)
			continue;
		function->mark = effects->sema->mark;
		is_free = function->embedded ? function->is_pure
					     : effect_free_stmt(function->body, effects);
	}
	effects->depth--;
	return is_free;
}

static bool effect_free_expr(struct stap_expr *expr, void *data)
{
	struct effects *effects = data;
	const struct stap_var *var;

	switch ((int)expr->kind) {
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		var = sema_lvalue_var(expr);
		if (!var || var->is_global || !effects->depth)
			return false;
		break;
	case STAP_EXPR_PRINT:
		if (!expr->print.to_string)
			return false;
		break;
	case STAP_EXPR_CALL:
		if (!effect_free_call(effects, expr))
			return false;
		break;
	case STAP_EXPR_EMBEDDED:
		return false;
	default:
		break;
	}
	return sema_each_operand(expr, effect_free_expr, data);
}

static bool effect_free_stmt(struct stap_stmt *stmt, void *data)
{
	if (stmt->kind == STAP_STMT_DELETE)
		return false;
	if (stmt->kind == STAP_STMT_FOREACH && stmt->foreach.sort_direction)
		return false; /* sorting reorders the array */
	return sema_each_expr(stmt, effect_free_expr, data) &&
	       sema_each_stmt(stmt, effect_free_stmt, data);
}

bool sema_has_effect(struct sema *sema, struct stap_expr *expr)
{
	struct effects effects = {.sema = sema};

	sema->mark++;
	return !effect_free_expr(expr, &effects);
}
