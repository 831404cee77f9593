/* SPDX-License-Identifier: MIT */
/*
 * What needs types: formats of the print family, parameters of statistics, whether values of
 * assignments are looked at, and the rules about loops.
 */
#include <string.h>

#include "stap/format_parse.h"
#include "stap/regex.h"
#include "stap/sema.h"

struct checking {
	struct sema *sema;
	uint32_t loop_depth;
	VEC(struct stap_var *) iterated; /* arrays of the foreach loops around */
};

static bool check_expr(struct stap_expr *expr, void *data);

/* ---- formats ------------------------------------------------------------------------------- */

static bool format_add(struct format_builder *builder, const struct stap_expr *arg)
{
	if (arg->kind == STAP_EXPR_HIST)
		stap_format_add_histogram(builder);
	else if (arg->type == STAP_TYPE_STRING)
		stap_format_add_string(builder);
	else if (arg->type == STAP_TYPE_LONG)
		stap_format_add_long(builder, 'd');
	else
		return false;
	return true;
}

static void format_build(struct checking *checking, struct stap_expr *expr)
{
	struct format_builder *builder = stap_format_begin(checking->sema->arena);
	const char *delimiter = expr->print.has_delimiter ? expr->print.delimiter : "";

	for (uint32_t i = 0; i < expr->print.args.count; i++) {
		const struct stap_expr *arg = expr->print.args.items[i];

		if (i)
			stap_format_add_literal(builder, delimiter, strlen(delimiter));
		if (expr->print.is_char && arg->type == STAP_TYPE_LONG) {
			stap_format_add_long(builder, 'c');
		} else if (!format_add(builder, arg)) {
			return; /* told when it is translated, as SystemTap's third pass does */
		}
	}
	if (expr->print.has_newline)
		stap_format_add_literal(builder, "\n", 1);
	expr->print.format = stap_format_end(builder);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static struct stap_var *stat_var(const struct stap_expr *expr)
{
	const struct stap_expr *target = expr->stat.target;

	return target->kind == STAP_EXPR_VAR     ? target->var.resolved
	       : target->kind == STAP_EXPR_INDEX ? target->index.resolved
						 : NULL;
}

static void check_variance(
	struct checking *checking, struct stap_expr *expr, struct stap_var *var)
{
	int64_t shift = expr->stat.param_count ? expr->stat.params[0] : 0;
	bool was_used = var->stat_ops & 1u << STAP_STAT_VARIANCE;

	if (shift < 0 || shift > 62)
		sema_error(checking->sema, expr->token,
			"bit shift (%lld) out of range <0..62>", (long long)shift);
	else if (was_used && var->variance_shift != shift)
		sema_error(checking->sema, expr->token,
			"conflicting bit shifts declared (previously %lld)",
			(long long)var->variance_shift);
	else
		var->variance_shift = shift;
}

static void check_hist(
	struct checking *checking, struct stap_expr *expr, struct stap_var *var)
{
	const unsigned hists = 1u << STAP_STAT_HIST_LOG | 1u << STAP_STAT_HIST_LINEAR;
	unsigned own = 1u << expr->stat.op;

	if ((var->stat_ops & hists & ~own) ||
		((var->stat_ops & own) && expr->stat.op == STAP_STAT_HIST_LINEAR &&
			memcmp(var->hist_params, expr->stat.params,
				sizeof(var->hist_params)) != 0)) {
		sema_error(checking->sema, expr->token,
			"multiple histogram types declared on '%s'", var->name);
		return;
	}
	if (expr->stat.op == STAP_STAT_HIST_LINEAR)
		memcpy(var->hist_params, expr->stat.params, sizeof(var->hist_params));
	if (!var->hist_token)
		var->hist_token = expr->token;
}

static void check_stat(struct checking *checking, struct stap_expr *expr)
{
	struct stap_var *var = stat_var(expr);

	if (!var)
		return;
	if (expr->stat.op == STAP_STAT_VARIANCE)
		check_variance(checking, expr, var);
	else if (expr->kind == STAP_EXPR_HIST)
		check_hist(checking, expr, var);
	var->stat_ops |= 1u << expr->stat.op;
}

/* ---- arrays that are being iterated ------------------------------------------------------------- */

struct mutation {
	struct sema *sema;
	const struct stap_var *var;
};

static bool leaves_alone_stmt(struct stap_stmt *stmt, void *data);

static bool leaves_alone(struct stap_expr *expr, void *data)
{
	struct mutation *mutation = data;
	struct stap_function *function;

	if (sema_is_lvalue_op(expr) && sema_lvalue_var(expr) == mutation->var)
		return false;
	function = expr->kind == STAP_EXPR_CALL ? expr->call.function : NULL;
	for (; function; function = function->next_overload) {
		if (function->mark == mutation->sema->mark || !function->body)
			continue;
		function->mark = mutation->sema->mark;
		if (!leaves_alone_stmt(function->body, mutation))
			return false;
	}
	return sema_each_operand(expr, leaves_alone, data);
}

/* Elements may not go one by one: the whole array may, which ends the loop. */
static struct stap_var *deleted_var(const struct stap_stmt *stmt)
{
	return stmt->kind == STAP_STMT_DELETE && stmt->expr->kind == STAP_EXPR_INDEX
		       ? stmt->expr->index.resolved
		       : NULL;
}

static bool leaves_alone_stmt(struct stap_stmt *stmt, void *data)
{
	struct mutation *mutation = data;

	return deleted_var(stmt) != mutation->var &&
	       sema_each_expr(stmt, leaves_alone, data) &&
	       sema_each_stmt(stmt, leaves_alone_stmt, data);
}

static void check_iterated(
	struct checking *checking, struct stap_var *var, const struct stap_token *token)
{
	for (size_t i = 0; i < checking->iterated.count; i++) {
		if (checking->iterated.items[i] == var)
			sema_error(checking->sema, token,
				"variable '%s' modified during 'foreach' iteration",
				var->name);
	}
}

static void check_call(struct checking *checking, struct stap_expr *expr)
{
	for (size_t i = 0; i < checking->iterated.count; i++) {
		struct mutation mutation = {checking->sema, checking->iterated.items[i]};
		struct stap_expr call = *expr;

		call.call.args.count = 0; /* those are looked at on their own */
		checking->sema->mark++;
		if (!leaves_alone(&call, &mutation))
			sema_error(checking->sema, expr->token,
				"function call modifies var '%s' during 'foreach' "
				"iteration",
				mutation.var->name);
	}
}

/* ---- expressions ---------------------------------------------------------------------------------- */

static void check_change(
	struct checking *checking, struct stap_expr *expr, bool value_used)
{
	struct stap_var *var = sema_lvalue_var(expr);

	if (var && var->arity > 0)
		check_iterated(checking, var,
			expr->kind == STAP_EXPR_ASSIGN ? expr->assign.target->token
						       : expr->crrement.target->token);
	if (expr->kind == STAP_EXPR_ASSIGN)
		expr->assign.value_used = value_used;
	else
		expr->crrement.value_used = value_used;
}

static void check_regex(struct checking *checking, const struct stap_expr *expr)
{
	const struct stap_expr *pattern = expr->binary.right;
	struct stap_regex_result result = stap_regex_compile(
		checking->sema->arena, pattern->string, checking->sema->uses_groups);

	if (result.regex)
		return;
	if (result.position < 0)
		sema_error(checking->sema, pattern->token, "regex compilation error: %s",
			result.message);
	else
		sema_error(checking->sema, pattern->token,
			"regex compilation error (at position %d): %s", result.position,
			result.message);
}

static bool check_expr(struct stap_expr *expr, void *data)
{
	struct checking *checking = data;

	switch ((int)expr->kind) {
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		check_change(checking, expr, true);
		break;
	case STAP_EXPR_CALL:
		check_call(checking, expr);
		break;
	case STAP_EXPR_PRINT:
		if (!expr->print.format)
			format_build(checking, expr);
		break;
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		check_stat(checking, expr);
		break;
	case STAP_EXPR_REGEX:
		check_regex(checking, expr);
		break;
	default:
		break;
	}
	return sema_each_operand(expr, check_expr, data);
}

static void check_unvalued(struct checking *checking, struct stap_expr *expr)
{
	if (!expr)
		return;
	check_expr(expr, checking);
	if (expr->kind == STAP_EXPR_ASSIGN)
		expr->assign.value_used = false;
	else if (expr->kind == STAP_EXPR_CRREMENT)
		expr->crrement.value_used = false;
}

/* ---- statements ----------------------------------------------------------------------------------- */

static bool check_stmt(struct stap_stmt *stmt, void *data);

static void check_loop_body(struct checking *checking, struct stap_stmt *body)
{
	checking->loop_depth++;
	check_stmt(body, checking);
	checking->loop_depth--;
}

static void check_foreach(struct checking *checking, struct stap_stmt *stmt)
{
	struct stap_expr *array = stmt->foreach.array;
	struct stap_var *var =
		array->kind == STAP_EXPR_HIST ? stat_var(array) : array->var.resolved;

	sema_each_expr(stmt, check_expr, checking);
	if (stmt->foreach.sort_direction && array->kind != STAP_EXPR_HIST) {
		if (var->type == STAP_TYPE_STATS && !stmt->foreach.sort_column)
			var->stat_ops |=
				1u << (stmt->foreach.sort_has_op ? stmt->foreach.sort_op
								 : STAP_STAT_COUNT);
	}
	vec_append(&checking->iterated, var);
	check_loop_body(checking, stmt->foreach.body);
	checking->iterated.count--;
}

/* As in SystemTap it is the translation that refuses it; an editor wants to know before. */
static void check_in_loop(
	struct checking *checking, const struct stap_stmt *stmt, const char *word)
{
	if (!checking->loop_depth && checking->sema->options->whole)
		sema_error(checking->sema, stmt->token, "cannot '%s' outside loop", word);
}

static bool check_stmt(struct stap_stmt *stmt, void *data)
{
	struct checking *checking = data;

	switch ((int)stmt->kind) {
	case STAP_STMT_EXPR:
		check_unvalued(checking, stmt->expr);
		return true;
	case STAP_STMT_FOR:
		check_unvalued(checking, stmt->loop.init);
		if (stmt->loop.condition)
			check_expr(stmt->loop.condition, checking);
		check_unvalued(checking, stmt->loop.step);
		check_loop_body(checking, stmt->loop.body);
		return true;
	case STAP_STMT_FOREACH:
		check_foreach(checking, stmt);
		return true;
	case STAP_STMT_BREAK:
		check_in_loop(checking, stmt, "break");
		return true;
	case STAP_STMT_CONTINUE:
		check_in_loop(checking, stmt, "continue");
		return true;
	case STAP_STMT_DELETE:
		if (deleted_var(stmt))
			check_iterated(checking, deleted_var(stmt), stmt->expr->token);
		break;
	default:
		break;
	}
	return sema_each_expr(stmt, check_expr, data) &&
	       sema_each_stmt(stmt, check_stmt, data);
}

void sema_check(struct sema *sema)
{
	struct checking checking = {.sema = sema};

	for (size_t i = 0; i < sema->functions.count; i++) {
		struct stap_function *function = sema->functions.items[i];

		check_stmt(function->body, &checking);
	}
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		sema_each_root(probe, check_expr, &checking);
		check_stmt(probe->body, &checking);
	}
	vec_free(&checking.iterated);
}
