/* SPDX-License-Identifier: MIT */
/*
 * Takes away what cannot be noticed, round by round until nothing changes.  The warnings of the
 * first round are about the script as written; later rounds only clean up after earlier ones.
 */
#include <string.h>

#include "stap/sema.h"

struct eliding {
	struct sema *sema;
	bool is_first, changed;
	const struct stap_function
		*function; /* whose locals are looked at; NULL: no function's */
};

static void warn(struct eliding *eliding, const struct stap_token *token,
	const char *message, const char *name, const char *tail)
{
	if (eliding->is_first && sema_is_user_token(token))
		sema_warn(eliding->sema, token, "%s%s%s", message, name, tail);
}

/* ---- functions and variables -------------------------------------------------------------- */

static void elide_functions(struct eliding *eliding)
{
	struct sema *sema = eliding->sema;
	size_t kept = 0;

	for (size_t i = 0; i < sema->functions.count; i++) {
		struct stap_function *function = sema->functions.items[i];

		if (function->mark == sema->mark) {
			sema->functions.items[kept++] = function;
			continue;
		}
		/* what nobody has ever called is not looked at, as in SystemTap */
		if (function->is_called)
			warn(eliding, function->token, "Eliding unused function '",
				function->name, "'");
		eliding->changed = true;
	}
	sema->functions.count = kept;
}

static void names_add_globals(struct sema *sema, struct sema_names *names)
{
	for (size_t i = 0; i < sema->globals.count; i++)
		sema_names_add(names, sema->globals.items[i]->name);
}

static bool is_preset(const struct eliding *eliding, const struct stap_var *var)
{
	const struct stap_semantic_options *options = eliding->sema->options;

	for (uint32_t i = 0; i < options->preset_count; i++)
		if (!strcmp(options->preset[i], var->name))
			return true;
	return false;
}

static void warn_never_assigned(struct eliding *eliding, const struct stap_var *var,
	struct stap_var *const *locals, size_t local_count)
{
	struct sema_names names = {.arena = eliding->sema->arena};

	if (var->is_global && is_preset(eliding, var))
		return;
	for (size_t i = 0; i < local_count; i++)
		if (locals[i] != var)
			sema_names_add(&names, locals[i]->name);
	for (uint32_t i = 0; eliding->function && i < eliding->function->param_count; i++)
		sema_names_add(&names, eliding->function->params[i]->name);
	names_add_globals(eliding->sema, &names);
	warn(eliding, var->token,
		var->is_global ? "never-assigned global variable '"
			       : "never-assigned local variable '",
		var->name,
		arena_printf(names.arena, "'%s", sema_similar(&names, var->name)));
}

static size_t elide_vars(struct eliding *eliding, struct stap_var **vars, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct stap_var *var = vars[i];

		if (var->is_read || var->is_written) {
			if (!var->is_written && !var->init)
				warn_never_assigned(eliding, var, vars, count);
			vars[kept++] = var;
			continue;
		}
		warn(eliding, var->token, "Eliding unused variable '", var->name, "'");
		eliding->changed = true;
	}
	return kept;
}

static void elide_variables(struct eliding *eliding)
{
	struct sema *sema = eliding->sema;

	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		probe->locals.count =
			elide_vars(eliding, probe->locals.items, probe->locals.count);
	}
	for (size_t i = 0; i < sema->functions.count; i++) {
		struct stap_function *function = sema->functions.items[i];

		eliding->function = function;
		function->locals.count = elide_vars(
			eliding, function->locals.items, function->locals.count);
	}
	eliding->function = NULL;
	sema->globals.count =
		elide_vars(eliding, sema->globals.items, sema->globals.count);
}

/* ---- assignments nobody reads ------------------------------------------------------------- */

static bool elide_assignment(struct stap_expr *expr, void *data)
{
	struct eliding *eliding = data;
	const struct stap_var *var;

	sema_each_operand(expr, elide_assignment, data);
	if (expr->kind != STAP_EXPR_ASSIGN || expr->assign.target->kind != STAP_EXPR_VAR)
		return true;
	var = expr->assign.target->var.resolved;
	if (!var || var->is_global || var->is_read)
		return true;
	warn(eliding, expr->token, "Eliding assignment to '", var->name, "'");
	*expr = *expr->assign.value;
	eliding->changed = true;
	return true;
}

static bool elide_assignments(struct stap_stmt *stmt, void *data)
{
	if (stmt->kind == STAP_STMT_TRY && stmt->try.variable &&
		!stmt->try.variable->var.resolved->is_global &&
		!stmt->try.variable->var.resolved->is_read)
		stmt->try.variable = NULL;
	return sema_each_expr(stmt, elide_assignment, data) &&
	       sema_each_stmt(stmt, elide_assignments, data);
}

/* ---- statements without effect -------------------------------------------------------------- */

static bool is_null(const struct stap_stmt *stmt)
{
	return stmt->kind == STAP_STMT_NULL;
}

static void become_null(struct eliding *eliding, struct stap_stmt *stmt)
{
	const struct stap_token *token = stmt->token;

	eliding->changed |= stmt->kind != STAP_STMT_NULL;
	memset(stmt, 0, sizeof(*stmt));
	stmt->kind = STAP_STMT_NULL;
	stmt->token = token;
}

static void become_expr(struct stap_stmt *stmt, struct stap_expr *expr)
{
	memset(stmt, 0, sizeof(*stmt));
	stmt->kind = STAP_STMT_EXPR;
	stmt->token = expr->token;
	stmt->expr = expr;
}

static void elide_block(struct eliding *eliding, struct stap_stmt *stmt)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < stmt->block.count; i++) {
		if (!is_null(stmt->block.items[i]))
			stmt->block.items[kept++] = stmt->block.items[i];
	}
	stmt->block.count = kept;
	if (!kept)
		become_null(eliding, stmt);
	else if (kept == 1)
		*stmt = *stmt->block.items[0];
}

static void elide_branch(struct eliding *eliding, struct stap_stmt *stmt)
{
	struct stap_expr *condition = stmt->branch.condition, *inverted;

	if (stmt->branch.otherwise && is_null(stmt->branch.otherwise))
		stmt->branch.otherwise = NULL;
	if (!is_null(stmt->branch.then))
		return;
	if (stmt->branch.otherwise) {
		inverted = stap_expr_new(
			eliding->sema->arena, STAP_EXPR_UNARY, condition->token);
		inverted->binary.op = STAP_OP_NOT;
		inverted->binary.left = condition;
		stmt->branch.condition = inverted;
		stmt->branch.then = stmt->branch.otherwise;
		stmt->branch.otherwise = NULL;
	} else if (sema_has_effect(eliding->sema, condition)) {
		become_expr(stmt, condition);
		eliding->changed = true;
	} else {
		become_null(eliding, stmt);
	}
}

static bool has_effect(struct eliding *eliding, struct stap_expr *expr)
{
	return expr && sema_has_effect(eliding->sema, expr);
}

static bool elide_stmt(struct stap_stmt *stmt, void *data)
{
	struct eliding *eliding = data;

	sema_each_stmt(stmt, elide_stmt, data);
	switch ((int)stmt->kind) {
	case STAP_STMT_EXPR:
		if (has_effect(eliding, stmt->expr))
			break;
		warn(eliding, stmt->token, "Eliding side-effect-free expression ", "",
			"");
		become_null(eliding, stmt);
		break;
	case STAP_STMT_BLOCK:
		elide_block(eliding, stmt);
		break;
	case STAP_STMT_IF:
		elide_branch(eliding, stmt);
		break;
	case STAP_STMT_FOR:
		if (is_null(stmt->loop.body) && !has_effect(eliding, stmt->loop.init) &&
			!has_effect(eliding, stmt->loop.condition) &&
			!has_effect(eliding, stmt->loop.step))
			become_null(eliding, stmt);
		break;
	case STAP_STMT_FOREACH:
		if (is_null(stmt->foreach.body) &&
			!has_effect(eliding, stmt->foreach.limit))
			become_null(eliding, stmt);
		break;
	case STAP_STMT_TRY:
		if (is_null(stmt->try.body))
			become_null(eliding, stmt);
		break;
	default:
		break;
	}
	return true;
}

/* ---- values nobody looks at ------------------------------------------------------------------ */

static struct stap_stmt *expr_stmt(struct eliding *eliding, struct stap_expr *expr)
{
	struct stap_stmt *stmt =
		stap_stmt_new(eliding->sema->arena, STAP_STMT_EXPR, expr->token);

	stmt->expr = expr;
	return stmt;
}

/* `a && b;` is `if (a) b;`, and so on. */
static void reduce_to_branch(struct eliding *eliding, struct stap_stmt *stmt)
{
	struct stap_expr *expr = stmt->expr, *condition;

	memset(stmt, 0, sizeof(*stmt));
	stmt->kind = STAP_STMT_IF;
	stmt->token = expr->token;
	if (expr->kind == STAP_EXPR_TERNARY) {
		stmt->branch.condition = expr->ternary.condition;
		stmt->branch.then = expr_stmt(eliding, expr->ternary.then);
		stmt->branch.otherwise = expr_stmt(eliding, expr->ternary.otherwise);
		return;
	}
	condition = expr->binary.left;
	if (expr->binary.op == STAP_OP_LOGICAL_OR) {
		condition =
			stap_expr_new(eliding->sema->arena, STAP_EXPR_UNARY, expr->token);
		condition->binary.op = STAP_OP_NOT;
		condition->binary.left = expr->binary.left;
	}
	stmt->branch.condition = condition;
	stmt->branch.then = expr_stmt(eliding, expr->binary.right);
}

static void reduce_to_operands(struct eliding *eliding, struct stap_stmt *stmt,
	struct stap_expr *const *operands, uint32_t count)
{
	stmt->kind = STAP_STMT_BLOCK;
	stmt->block.items =
		arena_array(eliding->sema->arena, struct stap_stmt *, count + 1);
	stmt->block.count = count;
	for (uint32_t i = 0; i < count; i++)
		stmt->block.items[i] = expr_stmt(eliding, operands[i]);
}

/* A call whose arguments have effects, but not the function itself. */
static bool is_pure_call(struct sema *sema, const struct stap_expr *expr)
{
	struct stap_expr call = *expr;

	call.call.args.count = 0;
	return expr->kind == STAP_EXPR_CALL && !sema_has_effect(sema, &call);
}

static bool reduce_stmt(struct stap_stmt *stmt, void *data)
{
	struct eliding *eliding = data;
	struct stap_expr *expr = stmt->expr;

	if (stmt->kind != STAP_STMT_EXPR)
		return sema_each_stmt(stmt, reduce_stmt, data);
	switch ((int)expr->kind) {
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_TERNARY:
		reduce_to_branch(eliding, stmt);
		break;
	case STAP_EXPR_BINARY:
		reduce_to_operands(eliding, stmt,
			(struct stap_expr *[]){expr->binary.left, expr->binary.right}, 2);
		break;
	case STAP_EXPR_UNARY:
		stmt->expr = expr->binary.left;
		break;
	case STAP_EXPR_PRINT:
		if (!expr->print.to_string || !expr->print.args.count)
			return true;
		reduce_to_operands(
			eliding, stmt, expr->print.args.items, expr->print.args.count);
		break;
	case STAP_EXPR_CALL:
		if (!is_pure_call(eliding->sema, expr))
			return true;
		reduce_to_operands(
			eliding, stmt, expr->call.args.items, expr->call.args.count);
		break;
	default:
		return true;
	}
	eliding->changed = true;
	return reduce_stmt(stmt, data);
}

/* ---- entry values and probes ------------------------------------------------------------------ */

struct entry_use {
	uint32_t *map; /* old index to new index + 1, 0: not used */
	uint32_t count;
};

static bool entry_renumber(struct stap_expr *expr, void *data)
{
	struct entry_use *use = data;

	if (expr->kind == STAP_EXPR_ENTRY_VALUE) {
		uint32_t *slot = &use->map[expr->entry_value.index];

		if (!*slot)
			*slot = ++use->count;
		expr->entry_value.index = *slot - 1;
		return true;
	}
	return sema_each_operand(expr, entry_renumber, data);
}

static bool entry_renumber_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, entry_renumber, data) &&
	       sema_each_stmt(stmt, entry_renumber_stmt, data);
}

static void elide_entry_values(struct eliding *eliding, struct stap_derived_probe *probe)
{
	size_t count = probe->entry_values.count;
	struct stap_expr **kept;
	struct entry_use use;

	if (!count)
		return;
	use = (struct entry_use){
		.map = arena_array(eliding->sema->arena, uint32_t, count)};
	kept = arena_array(eliding->sema->arena, struct stap_expr *, count);
	entry_renumber_stmt(probe->body, &use);
	if (probe->condition)
		entry_renumber(probe->condition, &use);
	for (size_t i = 0; i < count; i++) {
		if (use.map[i])
			kept[use.map[i] - 1] = probe->entry_values.items[i];
	}
	eliding->changed |= use.count < count;
	probe->entry_values.items = kept;
	probe->entry_values.capacity = count;
	probe->entry_values.count = use.count;
}

static void elide_bodies(struct eliding *eliding, sema_stmt_fn fn)
{
	struct sema *sema = eliding->sema;

	for (size_t i = 0; i < sema->program->probes.count; i++)
		fn(sema->program->probes.items[i]->body, eliding);
	for (size_t i = 0; i < sema->functions.count; i++) {
		if (sema->functions.items[i]->body)
			fn(sema->functions.items[i]->body, eliding);
	}
}

static void warn_empty_functions(struct eliding *eliding)
{
	for (size_t i = 0; i < eliding->sema->functions.count; i++) {
		const struct stap_function *function = eliding->sema->functions.items[i];

		if (!function->embedded && is_null(function->body))
			warn(eliding, function->token, "side-effect-free function '",
				function->name, "'");
	}
}

static void fold_bodies(struct eliding *eliding)
{
	struct sema *sema = eliding->sema;

	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		eliding->changed |= sema_fold(sema, &probe->body);
		if (probe->condition)
			eliding->changed |= sema_fold_expr(probe->condition);
	}
	for (size_t i = 0; i < sema->functions.count; i++) {
		if (sema->functions.items[i]->body)
			eliding->changed |=
				sema_fold(sema, &sema->functions.items[i]->body);
	}
}

static const char *probe_text(const struct stap_derived_probe *probe)
{
	return probe->pp ? probe->pp : "process";
}

static void elide_probes(struct sema *sema)
{
	size_t kept = 0;

	for (size_t i = 0; i < sema->program->probes.count; i++) {
		struct stap_derived_probe *probe = sema->program->probes.items[i];

		bool counts = probe->perf && probe->perf->counter;

		if (is_null(probe->body) && !sema->options->unoptimized && !counts) {
			if (sema_is_user_token(probe->token))
				sema_warn(sema, probe->token,
					"Probe '%.*s' has been elided",
					(int)strcspn(probe_text(probe), ".("),
					probe_text(probe));
			continue;
		}
		probe->index = (uint32_t)kept;
		sema->program->probes.items[kept++] = probe;
	}
	sema->program->probes.count = kept;
}

static bool elide_round(struct eliding *eliding)
{
	struct sema *sema = eliding->sema;

	eliding->changed = false;
	for (size_t i = 0; i < sema->program->probes.count; i++)
		elide_entry_values(eliding, sema->program->probes.items[i]);
	sema_collect_uses(sema);
	if (!sema->options->unoptimized) {
		elide_functions(eliding);
		elide_variables(eliding);
		elide_bodies(eliding, elide_assignments);
		elide_bodies(eliding, elide_stmt);
		warn_empty_functions(eliding);
		elide_bodies(eliding, reduce_stmt);
	}
	if (eliding->is_first)
		sema_learn_types(sema); /* dead branches say what a name is, too */
	fold_bodies(eliding);
	eliding->is_first = false;
	return eliding->changed && !sema->diag->error_count;
}

void sema_elide(struct sema *sema)
{
	struct eliding eliding = {.sema = sema, .is_first = true};

	while (elide_round(&eliding))
		;
	elide_probes(sema);
	sema_collect_uses(sema);
}
