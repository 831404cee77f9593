/* SPDX-License-Identifier: MIT */
/* The lists of the result, their indexes, and how handlers on each side use the globals. */
#include <string.h>

#include "stap/sema.h"

struct usage {
	struct sema *sema;
	bool in_target; /* else: begin, end, timers, in the tracer */
};

static bool usage_expr(struct stap_expr *expr, void *data);
static bool usage_stmt(struct stap_stmt *stmt, void *data);

static void add(struct usage *usage, struct stap_var *var, unsigned use)
{
	if (!var || !var->is_global)
		return;
	if (usage->in_target)
		var->target_use |= use;
	else
		var->tracer_use |= use;
}

/* ---- does an expression look at a variable ------------------------------------------------ */

struct reading {
	struct sema *sema;
	const struct stap_var *var;
};

static bool does_not_read_stmt(struct stap_stmt *stmt, void *data);

static bool does_not_read(struct stap_expr *expr, void *data)
{
	struct reading *reading = data;
	struct stap_function *function;

	if (expr->kind == STAP_EXPR_VAR && expr->var.resolved == reading->var)
		return false;
	function = expr->kind == STAP_EXPR_CALL ? expr->call.function : NULL;
	for (; function; function = function->next_overload) {
		if (function->mark == reading->sema->mark || !function->body)
			continue;
		function->mark = reading->sema->mark;
		if (!does_not_read_stmt(function->body, reading))
			return false;
	}
	return sema_each_operand(expr, does_not_read, data);
}

static bool does_not_read_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, does_not_read, data) &&
	       sema_each_stmt(stmt, does_not_read_stmt, data);
}

static bool reads(struct sema *sema, struct stap_expr *expr, const struct stap_var *var)
{
	struct reading reading = {sema, var};

	sema->mark++;
	return !does_not_read(expr, &reading);
}

/* ---- changes -------------------------------------------------------------------------------- */

static unsigned assign_use(
	struct usage *usage, struct stap_expr *expr, struct stap_var *var)
{
	bool is_scalar_long = !var->arity && var->type == STAP_TYPE_LONG;

	switch ((int)expr->assign.op) {
	case STAP_OP_ASSIGN:
		return STAP_USE_WRITE;
	case STAP_OP_ACCUMULATE:
		return STAP_USE_ACCUMULATE;
	case STAP_OP_ADD:
	case STAP_OP_SUB:
		if (is_scalar_long && !expr->assign.value_used &&
			!reads(usage->sema, expr->assign.value, var))
			return STAP_USE_INCREMENT;
		break;
	default:
		break;
	}
	return STAP_USE_READ | STAP_USE_WRITE;
}

static void usage_change(struct usage *usage, struct stap_expr *expr)
{
	struct stap_var *var = sema_lvalue_var(expr);
	bool is_assign = expr->kind == STAP_EXPR_ASSIGN;
	struct stap_expr *target =
		is_assign ? expr->assign.target : expr->crrement.target;
	unsigned use = STAP_USE_READ | STAP_USE_WRITE;

	if (var && is_assign)
		use = assign_use(usage, expr, var);
	else if (var && !var->arity && !expr->crrement.value_used)
		use = STAP_USE_INCREMENT;
	add(usage, var, use);
	if (target->kind != STAP_EXPR_VAR)
		sema_each_operand(target, usage_expr, usage);
	if (is_assign)
		usage_expr(expr->assign.value, usage);
}

static void usage_function(struct usage *usage, struct stap_function *function)
{
	for (; function; function = function->next_overload) {
		if (function->usage_mark == usage->sema->usage_mark)
			continue;
		function->usage_mark = usage->sema->usage_mark;
		usage_stmt(function->body, usage);
		for (uint32_t i = 0; i < function->touch_count; i++) {
			struct stap_touch *touch = &function->touches[i];

			add(usage, touch->var,
				(touch->is_read ? STAP_USE_READ : 0) |
					(touch->is_written ? STAP_USE_WRITE : 0));
		}
	}
}

static bool usage_expr(struct stap_expr *expr, void *data)
{
	struct usage *usage = data;

	switch ((int)expr->kind) {
	case STAP_EXPR_VAR:
		add(usage, expr->var.resolved, STAP_USE_READ);
		return true;
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		add(usage, expr->index.resolved, STAP_USE_READ);
		break;
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		usage_change(usage, expr);
		return true;
	case STAP_EXPR_CALL:
		usage_function(usage, expr->call.function);
		break;
	default:
		break;
	}
	return sema_each_operand(expr, usage_expr, data);
}

static void add_written(struct usage *usage, struct stap_expr *expr)
{
	if (expr && expr->kind == STAP_EXPR_VAR)
		add(usage, expr->var.resolved, STAP_USE_WRITE);
	else if (expr && expr->kind == STAP_EXPR_INDEX)
		add(usage, expr->index.resolved, STAP_USE_WRITE);
}

static void usage_foreach(struct usage *usage, struct stap_stmt *stmt)
{
	for (uint32_t i = 0; i < stmt->foreach.key_count; i++)
		add_written(usage, stmt->foreach.keys[i]);
	add_written(usage, stmt->foreach.value);
	usage_expr(stmt->foreach.array, usage);
	/* sorting reorders the array itself */
	if (stmt->foreach.sort_direction)
		add_written(usage, stmt->foreach.array);
	for (uint32_t i = 0; i < stmt->foreach.slice.count; i++) {
		if (stmt->foreach.slice.items[i])
			usage_expr(stmt->foreach.slice.items[i], usage);
	}
	if (stmt->foreach.limit)
		usage_expr(stmt->foreach.limit, usage);
}

static bool usage_stmt(struct stap_stmt *stmt, void *data)
{
	struct usage *usage = data;

	switch ((int)stmt->kind) {
	case STAP_STMT_FOREACH:
		usage_foreach(usage, stmt);
		break;
	case STAP_STMT_TRY:
		add_written(usage, stmt->try.variable);
		break;
	case STAP_STMT_DELETE:
		add_written(usage, stmt->expr);
		if (stmt->expr->kind != STAP_EXPR_VAR)
			sema_each_operand(stmt->expr, usage_expr, usage);
		break;
	default:
		sema_each_expr(stmt, usage_expr, data);
		break;
	}
	return sema_each_stmt(stmt, usage_stmt, data);
}

static bool runs_in_target(const struct stap_derived_probe *probe)
{
	return probe->kind == STAP_PROBE_UPROBE || probe->kind == STAP_PROBE_URETURN;
}

static void usage_side(struct sema *sema, bool in_target)
{
	struct usage usage = {.sema = sema, .in_target = in_target};

	sema->usage_mark++;
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		if (runs_in_target(probe) != in_target)
			continue;
		sema_each_root(probe, usage_expr, &usage);
		usage_stmt(probe->body, &usage);
	}
}

/* ---- recursion --------------------------------------------------------------------------------- */

struct reaching {
	struct sema *sema;
	const struct stap_function *goal;
};

static bool does_not_reach_stmt(struct stap_stmt *stmt, void *data);

static bool does_not_reach(struct stap_expr *expr, void *data)
{
	struct reaching *reaching = data;
	struct stap_function *function =
		expr->kind == STAP_EXPR_CALL ? expr->call.function : NULL;

	for (; function; function = function->next_overload) {
		if (function == reaching->goal)
			return false;
		if (function->mark == reaching->sema->mark || !function->body)
			continue;
		function->mark = reaching->sema->mark;
		if (!does_not_reach_stmt(function->body, reaching))
			return false;
	}
	return sema_each_operand(expr, does_not_reach, data);
}

static bool does_not_reach_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, does_not_reach, data) &&
	       sema_each_stmt(stmt, does_not_reach_stmt, data);
}

/* ---- return values ------------------------------------------------------------------------------ */

static bool no_returnval_stmt(struct stap_stmt *stmt, void *data);

static bool no_returnval(struct stap_expr *expr, void *data)
{
	struct sema *sema = data;
	struct stap_function *function =
		expr->kind == STAP_EXPR_CALL ? expr->call.function : NULL;

	if (expr->kind == STAP_EXPR_CALL && !function &&
		!strcmp(expr->call.intrinsic->name, "returnval"))
		return false;
	for (; function; function = function->next_overload) {
		if (function->mark == sema->mark || !function->body)
			continue;
		function->mark = sema->mark;
		if (!no_returnval_stmt(function->body, data))
			return false;
	}
	return sema_each_operand(expr, no_returnval, data);
}

static bool no_returnval_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, no_returnval, data) &&
	       sema_each_stmt(stmt, no_returnval_stmt, data);
}

/* ---- lists -------------------------------------------------------------------------------------- */

static void list_globals(struct sema *sema)
{
	for (size_t i = 0; i < sema->globals.count; i++) {
		struct stap_var *var = sema->globals.items[i];

		var->index = (uint32_t)i;
		sema_push(sema, &sema->program->globals, var);
		/* x++ alone reads x, but nobody sees it */
		if (!var->is_library && sema_is_user_token(var->token) &&
			var->is_written && !(var->is_read && var->is_value_used))
			sema_push(sema, &sema->program->unread_globals, var);
	}
}

static void list_functions(struct sema *sema)
{
	for (size_t i = 0; i < sema->functions.count; i++) {
		struct stap_function *function = sema->functions.items[i];
		struct reaching reaching = {sema, function};

		function->index = (uint32_t)i;
		for (uint32_t j = 0; j < function->param_count; j++)
			function->params[j]->index = j;
		for (size_t j = 0; j < function->locals.count; j++)
			function->locals.items[j]->index = (uint32_t)j;
		sema->mark++;
		function->is_recursive = !does_not_reach_stmt(function->body, &reaching);
		sema_push(sema, &sema->program->functions, function);
	}
}

static void list_probes(struct sema *sema)
{
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		probe->index = (uint32_t)i;
		sema->mark++;
		if (probe->kind == STAP_PROBE_URETURN &&
			!no_returnval_stmt(probe->body, sema))
			probe->uses_return_value = true;
		for (size_t j = 0; j < probe->locals.count; j++)
			probe->locals.items[j]->index = (uint32_t)j;
	}
}

void sema_usage(struct sema *sema)
{
	sema_collect_uses(sema);
	list_globals(sema);
	list_functions(sema);
	list_probes(sema);
	usage_side(sema, true);
	usage_side(sema, false);
}
