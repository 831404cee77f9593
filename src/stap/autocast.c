/* SPDX-License-Identifier: MIT */
/*
 * `p = $x` makes p a pointer of $x's type: p->member, p[0] and p$ are casts then.  Types flow through
 * assignments, parameters and results of functions, and elements of arrays, round by round, since each
 * cast that is found may give the next one its type.  A variable that is given two types has none.
 * Then @defined() of such casts can be told.
 */
#include <string.h>

#include "stap/sema.h"

struct casting {
	struct sema *sema;
	struct sema_owner owner;
	bool changed;
};

static const struct stap_cast ambiguous = {"", ""};

/* Types of one name in two files need not be the same. */
static bool is_same(const struct stap_cast *a, const struct stap_cast *b)
{
	return !strcmp(a->type, b->type) && !strcmp(a->module, b->module);
}

/* The type that a value points to; NULL: none is known. */
static const struct stap_cast *pointee(
	struct sema *sema, const struct stap_access *access)
{
	const char *name = access->type_name;
	size_t size = name ? strlen(name) : 0;
	struct stap_cast *cast;

	/* `this` is a constant pointer */
	if (size > 6 && !strcmp(name + size - 6, " const"))
		size -= 6;
	if (size > 5 && !strncmp(name + size - 6, "*const", 6))
		size -= 5;
	if (size < 2 || name[size - 1] != '*' || !access->module ||
		(access->value_class != STAP_VALUE_POINTER &&
			access->value_class != STAP_VALUE_STRING_POINTER))
		return NULL;
	size--;
	if (size > 6 && !strncmp(name + size - 6, " const", 6))
		size -= 6;
	cast = arena_new(sema->arena, struct stap_cast);
	cast->type = arena_strndup(sema->arena, name, size);
	cast->module = access->module;
	return cast;
}

static const struct stap_cast *type_of_arms(
	const struct stap_cast *then, const struct stap_cast *otherwise)
{
	if (!then || !otherwise)
		return then ? then : otherwise;
	return is_same(then, otherwise) ? then : NULL;
}

static const struct stap_cast *type_of(
	struct casting *casting, const struct stap_expr *expr)
{
	const struct stap_derived_probe *probe = casting->owner.probe;
	const struct stap_cast *cast = NULL;

	switch ((int)expr->kind) {
	case STAP_EXPR_TARGET:
		return expr->target.access ? pointee(casting->sema, expr->target.access)
					   : NULL;
	case STAP_EXPR_ENTRY_VALUE:
		return probe ? type_of(casting,
				       probe->entry_values.items[expr->entry_value.index])
			     : NULL;
	case STAP_EXPR_VAR:
		cast = expr->var.resolved ? expr->var.resolved->cast : NULL;
		break;
	case STAP_EXPR_INDEX:
		cast = expr->index.resolved ? expr->index.resolved->cast : NULL;
		break;
	case STAP_EXPR_CALL:
		cast = expr->call.function ? expr->call.function->cast : NULL;
		break;
	case STAP_EXPR_ASSIGN:
		return expr->assign.op == STAP_OP_ASSIGN
			       ? type_of(casting, expr->assign.value)
			       : NULL;
	case STAP_EXPR_TERNARY:
		return type_of_arms(type_of(casting, expr->ternary.then),
			type_of(casting, expr->ternary.otherwise));
	default:
		break;
	}
	return cast == &ambiguous ? NULL : cast;
}

static void learn(struct casting *casting, const struct stap_cast **slot,
	const struct stap_expr *value)
{
	const struct stap_cast *cast = type_of(casting, value);

	if (!cast || *slot == &ambiguous)
		return;
	if (!*slot) {
		*slot = cast;
		casting->changed = true;
	} else if (!is_same(*slot, cast)) {
		*slot = &ambiguous;
	}
}

static void learn_call(struct casting *casting, struct stap_expr *expr)
{
	struct stap_function *function = expr->call.function;

	for (; function; function = function->next_overload)
		for (uint32_t i = 0;
			i < function->param_count && i < expr->call.args.count; i++)
			learn(casting, &function->params[i]->cast,
				expr->call.args.items[i]);
}

static void learn_assignment(struct casting *casting, struct stap_expr *expr)
{
	struct stap_var *var = sema_lvalue_var(expr);

	if (var && expr->assign.op == STAP_OP_ASSIGN)
		learn(casting, &var->cast, expr->assign.value);
}

/* The base of a value that has no type yet. */
static bool cast_expr(struct stap_expr *expr, void *data)
{
	struct casting *casting = data;
	const struct stap_cast *cast;

	if (!sema_each_operand(expr, cast_expr, data))
		return false;
	if (expr->kind == STAP_EXPR_ASSIGN) {
		learn_assignment(casting, expr);
	} else if (expr->kind == STAP_EXPR_CALL) {
		learn_call(casting, expr);
	} else if (expr->kind == STAP_EXPR_TARGET &&
		   expr->target.base == STAP_TARGET_AUTOCAST) {
		cast = type_of(casting, expr->target.operand);
		if (cast) {
			sema_lower_cast(casting->sema, casting->owner, expr, cast);
			casting->changed = true;
		}
	}
	return true;
}

static bool cast_stmt(struct stap_stmt *stmt, void *data)
{
	struct casting *casting = data;

	if (!sema_each_expr(stmt, cast_expr, data))
		return false;
	if (stmt->kind == STAP_STMT_RETURN && stmt->expr && casting->owner.function)
		learn(casting, &casting->owner.function->cast, stmt->expr);
	return sema_each_stmt(stmt, cast_stmt, data);
}

static bool decide_expr(struct stap_expr *expr, void *data)
{
	struct casting *casting = data;

	if (expr->kind != STAP_EXPR_DEFINED)
		return sema_each_operand(expr, decide_expr, data);
	*expr = *sema_number(
		casting->sema, sema_is_resolved(expr->wrap.operand), expr->token);
	return true;
}

static bool decide_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, decide_expr, data) &&
	       sema_each_stmt(stmt, decide_stmt, data);
}

static void each_body(struct casting *casting, sema_expr_fn on_expr, sema_stmt_fn on_stmt)
{
	struct sema *sema = casting->sema;

	for (size_t i = 0; i < sema->functions.count; i++) {
		casting->owner =
			(struct sema_owner){.function = sema->functions.items[i]};
		on_stmt(sema->functions.items[i]->body, casting);
	}
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		casting->owner =
			(struct sema_owner){.probe = sema->program->probes.items[i]};
		sema_each_root(casting->owner.probe, on_expr, casting);
		on_stmt(casting->owner.probe->body, casting);
	}
}

void sema_autocast(struct sema *sema)
{
	struct casting casting = {.sema = sema, .changed = true};

	while (casting.changed) {
		casting.changed = false;
		each_body(&casting, cast_expr, cast_stmt);
	}
	each_body(&casting, decide_expr, decide_stmt);
}
