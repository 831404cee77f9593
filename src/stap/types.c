/* SPDX-License-Identifier: MIT */
/*
 * Type inference.  Every visit passes down the type wanted and may learn types from below; rounds
 * go on until one learns nothing.  If something is still open then, one more round reports it:
 * only the most telling kind of message is shown, because an unresolved type is often just the
 * consequence of a mismatch elsewhere.
 */
#include <string.h>

#include "stap/format_parse.h"
#include "stap/sema.h"

/* How telling a message is; SystemTap's order. */
enum complexity {
	UNRESOLVED,
	SIDES_DIFFER,
	WRONG_OPERAND,
	WRONG_DECLARATION
};

struct typing {
	struct sema *sema;
	struct sema_owner owner;
	const struct stap_expr *statement; /* its value is dropped */
	bool reporting;
	bool preliminary; /* what is open may still go away */
	unsigned resolved, open;
	enum complexity complexity; /* worst of the last silent round */
};

/* What an expression's type is bound to. */
struct declaration {
	enum stap_type *type;
	const struct stap_token *
		*first; /* where it was inferred; NULL: it was declared */
	int index;      /* of a key or parameter, -1 */
	const enum stap_type
		*told; /* what messages say of it, the value's for a key; NULL: type */
};

static void type_expr(struct typing *typing, struct stap_expr *expr, enum stap_type want);
static bool type_stmt(struct stap_stmt *stmt, void *data);

/* ---- messages ---------------------------------------------------------------------------- */

static bool is_shown(struct typing *typing, enum complexity complexity)
{
	typing->open++;
	if (typing->reporting)
		return complexity >= typing->complexity;
	if (complexity > typing->complexity)
		typing->complexity = complexity;
	return false;
}

/* Is what nobody has typed, or what no type could help, told in this round? */
static bool tells_all(const struct typing *typing)
{
	return typing->reporting && !typing->preliminary;
}

static void unresolved(struct typing *typing, const struct stap_token *token)
{
	if (is_shown(typing, UNRESOLVED))
		sema_error(typing->sema, token, "unresolved type ");
}

/* Where SystemTap says a value stands: p->x at its first operator. */
static const struct stap_token *value_token(const struct stap_expr *expr)
{
	bool is_autocast = expr->kind == STAP_EXPR_TARGET &&
			   expr->target.base == STAP_TARGET_AUTOCAST &&
			   !expr->target.address_of && expr->target.component_count > 0;

	return is_autocast ? expr->target.components[0].token : expr->token;
}

/* Told whatever else is: no other message has it as a consequence. */
static void invalid(
	struct typing *typing, const struct stap_token *token, enum stap_type type)
{
	typing->open++;
	if (!typing->reporting)
		return;
	if (token->kind == STAP_TOKEN_OPERATOR)
		sema_error(typing->sema, token, "invalid operator");
	else
		sema_error(typing->sema, token, "invalid type %s", stap_type_name(type));
}

static void mismatch_operand(struct typing *typing, const struct stap_token *token,
	enum stap_type want, enum stap_type found)
{
	if (is_shown(typing, WRONG_OPERAND))
		sema_error(typing->sema, token, "type mismatch: expected %s but found %s",
			stap_type_name(want), stap_type_name(found));
}

/* SystemTap looks at what such a value stands beside, if at all: this is said if nothing else is. */
static void type_unasked(struct typing *typing, const struct stap_expr *expr,
	enum stap_type own, enum stap_type want)
{
	if (want && want != own && is_shown(typing, UNRESOLVED))
		sema_error(typing->sema, expr->token,
			"type mismatch: expected %s but found %s", stap_type_name(want),
			stap_type_name(own));
}

static void mismatch_sides(struct typing *typing, const struct stap_expr *expr,
	enum stap_type left, enum stap_type right)
{
	if (is_shown(typing, SIDES_DIFFER))
		sema_error(typing->sema, expr->token,
			"type mismatch: left and right sides don't agree (%s vs %s)",
			stap_type_name(left), stap_type_name(right));
}

static enum stap_type told_type(const struct declaration *declaration)
{
	return declaration->told ? *declaration->told : *declaration->type;
}

/* Two places disagree about a name; `type` is what this one says. */
static bool mismatch_inferred(struct typing *typing, const struct stap_token *token,
	enum stap_type type, const struct declaration *declaration)
{
	static const char similar[] = "type mismatch of names";
	const char *declared = stap_type_name(told_type(declaration));
	struct stap_diagnostic *diagnostic;

	if (!declaration->first || !*declaration->first)
		return false;
	if (declaration->index < 0) {
		diagnostic = sema_error(
			typing->sema, token, "type mismatch (%s)", stap_type_name(type));
		diagnostic->key = similar;
		sema_cause(typing->sema, diagnostic, *declaration->first,
			"type was first inferred here (%s)", declared);
		return true;
	}
	diagnostic = sema_error(typing->sema, token, "index %d type mismatch (%s)",
		declaration->index, stap_type_name(type));
	diagnostic->key = similar;
	sema_cause(typing->sema, diagnostic, *declaration->first,
		"type of index %d was first inferred here (%s)", declaration->index,
		declared);
	return true;
}

/*
 * A place says `type` of something declared otherwise.  Of what was not inferred anywhere SystemTap
 * says the two types in this order, for values that are passed, too.
 */
static void mismatch_declared(struct typing *typing, const struct stap_token *token,
	enum stap_type type, const struct declaration *declaration)
{
	if (is_shown(typing, WRONG_DECLARATION) &&
		!mismatch_inferred(typing, token, type, declaration))
		sema_error(typing->sema, token, "type mismatch: expected %s but found %s",
			stap_type_name(type), stap_type_name(told_type(declaration)));
}

/* ---- binding ------------------------------------------------------------------------------ */

static void learn(struct typing *typing, enum stap_type *slot, enum stap_type type)
{
	*slot = type;
	typing->resolved++;
}

static void learn_declaration(struct typing *typing,
	const struct declaration *declaration, enum stap_type type,
	const struct stap_token *token)
{
	learn(typing, declaration->type, type);
	if (declaration->first)
		*declaration->first = token;
}

/*
 * Makes an expression, what it names and what is wanted agree: one step in each round, so that
 * places are found to be the first or the second in SystemTap's order.
 */
static void bind(struct typing *typing, struct stap_expr *expr,
	const struct declaration *declaration, enum stap_type want, bool accept_unknown)
{
	enum stap_type own = expr->type, other = *declaration->type;

	if (own && other && own != other)
		mismatch_declared(typing, expr->token, own, declaration);
	else if (want && ((own && own != want) || (other && other != want)))
		mismatch_declared(typing, expr->token, want, declaration);
	else if (!own && (want || other))
		learn(typing, &expr->type, want ? want : other);
	else if (own && !other)
		learn_declaration(typing, declaration, own, expr->token);
	else if (!own && !accept_unknown)
		unresolved(typing, expr->token);
}

static struct declaration variable_declaration(
	const struct typing *typing, struct stap_var *var)
{
	struct declaration declaration = {&var->type, &var->type_token, -1, NULL};
	const struct stap_function *function = typing->owner.function;

	if (var->is_parameter && function) {
		for (uint32_t i = 0; i < function->param_count; i++) {
			if (function->params[i] == var)
				declaration.index = (int)i;
		}
	}
	return declaration;
}

static void type_var(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct declaration declaration = variable_declaration(typing, expr->var.resolved);

	if (expr->var.resolved->arity > 0) {
		unresolved(typing, expr->token);
		return;
	}
	bind(typing, expr, &declaration, want, false);
}

/* An argument or key against what it is passed to. */
static void type_passed(
	struct typing *typing, struct stap_expr *expr, const struct declaration *formal)
{
	enum stap_type own;

	type_expr(typing, expr, *formal->type);
	own = expr->type;
	if ((own == STAP_TYPE_LONG || own == STAP_TYPE_STRING) && !*formal->type)
		learn_declaration(typing, formal, own, expr->token);
	if (own == STAP_TYPE_STATS)
		invalid(typing, expr->token, own);
	else if (own && *formal->type && own != *formal->type)
		mismatch_declared(typing, expr->token, own, formal);
	else if (!own)
		unresolved(typing, value_token(expr));
}

static void type_keys(struct typing *typing, struct stap_var *var,
	struct stap_expr *const *keys, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct declaration formal = {
			&var->key_types[i], &var->key_tokens[i], (int)i, &var->type};

		if (keys[i])
			type_passed(typing, keys[i], &formal);
	}
}

static void type_hist(struct typing *typing, struct stap_expr *hist)
{
	type_expr(typing, hist->stat.target, STAP_TYPE_STATS);
}

static void type_index(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct stap_var *var = expr->index.resolved;

	if (expr->index.hist) {
		if (expr->index.keys.count != 1)
			unresolved(typing, expr->token);
		else
			type_expr(typing, expr->index.keys.items[0], STAP_TYPE_LONG);
		type_hist(typing, expr->index.hist);
		if (!expr->type)
			learn(typing, &expr->type, STAP_TYPE_LONG);
		if (want && want != STAP_TYPE_LONG)
			mismatch_operand(typing, expr->token, want, STAP_TYPE_LONG);
		return;
	}
	bind(typing, expr, &(struct declaration){&var->type, &var->type_token, -1, NULL},
		want, false);
	type_keys(typing, var, expr->index.keys.items, expr->index.keys.count);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void type_intrinsic_call(
	struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	const struct stap_intrinsic *intrinsic = expr->call.intrinsic;
	enum stap_type result = intrinsic->result;

	if (result && want && want != result)
		mismatch_declared(typing, expr->token, want,
			&(struct declaration){&result, NULL, -1, NULL});
	else if (!result && want)
		unresolved(typing, expr->token);
	else if (result && !expr->type)
		learn(typing, &expr->type, result);
	for (uint32_t i = 0; i < expr->call.args.count; i++) {
		enum stap_type type = intrinsic->arguments[i] == 'S' ? STAP_TYPE_STRING
								     : STAP_TYPE_LONG;

		type_passed(typing, expr->call.args.items[i],
			&(struct declaration){&type, NULL, (int)i, NULL});
	}
}

static void type_call(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct stap_function *function = expr->call.function;

	if (!function) {
		type_intrinsic_call(typing, expr, want);
		return;
	}
	for (; function; function = function->next_overload) {
		struct declaration result = {
			&function->type, &function->type_token, -1, NULL};

		bind(typing, expr, &result, want, true);
		for (uint32_t i = 0; i < function->param_count; i++) {
			struct stap_var *param = function->params[i];
			struct declaration formal = {
				&param->type, &param->type_token, (int)i, NULL};

			type_passed(typing, expr->call.args.items[i], &formal);
		}
	}
}

/* ---- print family ----------------------------------------------------------------------------- */

static void type_printed(
	struct typing *typing, struct stap_expr *arg, enum stap_type want)
{
	type_expr(typing, arg, want);
	if (!arg->type)
		learn(typing, &arg->type, want);
	else if (arg->type != want)
		mismatch_operand(typing, arg->token, want, arg->type);
}

static void type_formatted(struct typing *typing, struct stap_expr *expr)
{
	const struct format *format = expr->print.format;
	struct stap_expr **args = expr->print.args.items;
	uint32_t at = 0;

	if (!format) {
		format = stap_format_parse(typing->sema->arena, expr->print.format_text,
			strlen(expr->print.format_text));
		if (!format) {
			sema_error(typing->sema, expr->token,
				"invalid or missing conversion specifier");
			return;
		}
		expr->print.format = format;
	}
	if (format->argument_count != expr->print.args.count) {
		sema_error(typing->sema, expr->token,
			"Wrong number of args to formatted print operator");
		return;
	}
	for (uint32_t i = 0; i < format->part_count; i++) {
		const struct format_part *part = &format->parts[i];

		if (part->kind == FORMAT_LITERAL)
			continue;
		if (part->width == FORMAT_DYNAMIC)
			type_printed(typing, args[at++], STAP_TYPE_LONG);
		if (part->precision == FORMAT_DYNAMIC)
			type_printed(typing, args[at++], STAP_TYPE_LONG);
		type_printed(typing, args[at++],
			part->kind == FORMAT_STRING ? STAP_TYPE_STRING : STAP_TYPE_LONG);
	}
}

static void type_print(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	enum stap_type own = expr->print.to_string ? STAP_TYPE_STRING : STAP_TYPE_LONG;
	bool is_open = false;

	if (expr->print.has_format || expr->print.format) {
		type_formatted(typing, expr);
	} else {
		for (uint32_t i = 0; i < expr->print.args.count; i++) {
			struct stap_expr *arg = expr->print.args.items[i];

			if (arg->kind == STAP_EXPR_HIST) {
				type_hist(typing, arg);
				continue;
			}
			type_expr(typing, arg,
				expr->print.is_char ? STAP_TYPE_LONG : STAP_TYPE_UNKNOWN);
			if (!arg->type) {
				unresolved(typing, value_token(arg));
				is_open = true;
			}
		}
	}
	if (is_open)
		unresolved(typing, expr->token);
	type_unasked(typing, expr, own, want);
	/* print() has a value, 0, only where it is not a statement of its own */
	if (!expr->type && (expr->print.to_string || expr != typing->statement))
		learn(typing, &expr->type, own);
}

/* ---- operators --------------------------------------------------------------------------------- */

/* An operator whose result can only be of one type. */
static void type_result(struct typing *typing, struct stap_expr *expr,
	enum stap_type type, enum stap_type want)
{
	if (want && want != type)
		invalid(typing, expr->token, want);
	if (!expr->type)
		learn(typing, &expr->type, type);
}

static bool is_comparison(enum stap_op op)
{
	return op == STAP_OP_LT || op == STAP_OP_LE || op == STAP_OP_GT ||
	       op == STAP_OP_GE || op == STAP_OP_EQ || op == STAP_OP_NE;
}

static void type_binary(
	struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct stap_expr *left = expr->binary.left, *right = expr->binary.right;

	if (expr->binary.op == STAP_OP_CONCAT) {
		type_result(typing, expr, STAP_TYPE_STRING, want);
		type_expr(typing, left, STAP_TYPE_STRING);
		type_expr(typing, right, STAP_TYPE_STRING);
		return;
	}
	type_result(typing, expr, STAP_TYPE_LONG, want);
	if (!is_comparison(expr->binary.op)) {
		type_expr(typing, left, STAP_TYPE_LONG);
		type_expr(typing, right, STAP_TYPE_LONG);
	} else {
		type_expr(typing, left, right->type);
		type_expr(typing, right, left->type);
	}
	if (left->type && right->type && left->type != right->type)
		mismatch_sides(typing, expr, left->type, right->type);
}

/* Two expressions and the value they stand for, all of one type. */
static void type_either(struct typing *typing, struct stap_expr *expr,
	struct stap_expr *first, struct stap_expr *second, enum stap_type want)
{
	if (!want)
		want = expr->type;
	type_expr(typing, first, want ? want : second->type);
	type_expr(typing, second, want ? want : first->type);
	if (!expr->type && (want || first->type))
		learn(typing, &expr->type, want ? want : first->type);
	if (first->type && second->type && first->type != second->type)
		mismatch_sides(typing, expr, first->type, second->type);
}

static void type_assign(
	struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct stap_expr *target = expr->assign.target, *value = expr->assign.value;
	bool is_string = expr->assign.op == STAP_OP_CONCAT;
	enum stap_type operand = is_string ? STAP_TYPE_STRING : STAP_TYPE_LONG;

	if (expr->assign.op == STAP_OP_ASSIGN) {
		if (want == STAP_TYPE_STATS)
			invalid(typing, expr->token, want);
		type_either(typing, expr, target, value, want);
		if (value->type == STAP_TYPE_STATS)
			invalid(typing, value->token, STAP_TYPE_STATS);
		return;
	}
	type_result(typing, expr, operand, want);
	type_expr(typing, target,
		expr->assign.op == STAP_OP_ACCUMULATE ? STAP_TYPE_STATS : operand);
	type_expr(typing, value, operand);
}

static bool type_operand_long(struct stap_expr *expr, void *data)
{
	type_expr(data, expr, STAP_TYPE_LONG);
	return true;
}

/* Indexes and pointers of an access are arguments of what SystemTap makes of it. */
static bool type_passed_long(struct stap_expr *expr, void *data)
{
	enum stap_type type = STAP_TYPE_LONG;

	type_passed(data, expr, &(struct declaration){&type, NULL, -1, NULL});
	return true;
}

static void type_target(
	struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	if (!expr->target.access) {
		const char *error = expr->target.error;

		typing->open++;
		if (typing->preliminary)
			return;
		if (typing->reporting)
			sema_error(typing->sema,
				expr->target.error_token ? expr->target.error_token
							 : expr->token,
				"%s",
				error ? error : "unresolved target-symbol expression");
		if (expr->target.base == STAP_TARGET_AUTOCAST)
			sema_each_operand(expr, type_operand_long, typing);
		return;
	}
	expr->type = STAP_TYPE_LONG;
	sema_each_operand(expr, type_passed_long, typing);
	if (want && want != STAP_TYPE_LONG)
		mismatch_operand(typing, expr->token, want, STAP_TYPE_LONG);
}

static void type_literal(struct typing *typing, struct stap_expr *expr,
	enum stap_type type, enum stap_type want)
{
	expr->type = type;
	if (want && want != type)
		mismatch_operand(typing, expr->token, want, type);
}

static void type_entry_value(
	struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	struct stap_expr *value =
		typing->owner.probe->entry_values.items[expr->entry_value.index];

	if (!value->type)
		unresolved(typing, expr->token);
	else
		type_literal(typing, expr, value->type, want);
}

static void type_expr(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	switch (expr->kind) {
	case STAP_EXPR_NUMBER:
		type_literal(typing, expr, STAP_TYPE_LONG, want);
		return;
	case STAP_EXPR_STRING:
		type_literal(typing, expr, STAP_TYPE_STRING, want);
		return;
	case STAP_EXPR_VAR:
		type_var(typing, expr, want);
		return;
	case STAP_EXPR_INDEX:
		type_index(typing, expr, want);
		return;
	case STAP_EXPR_IN:
		type_keys(typing, expr->index.resolved, expr->index.keys.items,
			expr->index.keys.count);
		type_literal(typing, expr, STAP_TYPE_LONG, want);
		return;
	case STAP_EXPR_UNARY:
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_CRREMENT:
		type_result(typing, expr, STAP_TYPE_LONG, want);
		sema_each_operand(expr, type_operand_long, typing);
		return;
	case STAP_EXPR_BINARY:
		type_binary(typing, expr, want);
		return;
	case STAP_EXPR_TERNARY:
		type_expr(typing, expr->ternary.condition, STAP_TYPE_LONG);
		type_either(
			typing, expr, expr->ternary.then, expr->ternary.otherwise, want);
		return;
	case STAP_EXPR_ASSIGN:
		type_assign(typing, expr, want);
		return;
	case STAP_EXPR_CALL:
		type_call(typing, expr, want);
		return;
	case STAP_EXPR_PRINT:
		type_print(typing, expr, want);
		return;
	case STAP_EXPR_STAT:
		type_expr(typing, expr->stat.target, STAP_TYPE_STATS);
		type_unasked(typing, expr, STAP_TYPE_LONG, want);
		expr->type = STAP_TYPE_LONG;
		return;
	case STAP_EXPR_HIST:
		sema_error(typing->sema, expr->token,
			"base histogram operator where expression expected");
		return;
	case STAP_EXPR_REGEX:
		type_result(typing, expr, STAP_TYPE_LONG, want);
		type_expr(typing, expr->binary.left, STAP_TYPE_STRING);
		return;
	case STAP_EXPR_TARGET:
		type_target(typing, expr, want);
		return;
	case STAP_EXPR_ENTRY_VALUE:
		type_entry_value(typing, expr, want);
		return;
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		type_literal(typing, expr, STAP_TYPE_LONG, STAP_TYPE_UNKNOWN);
		return;
	}
}

/* ---- statements ------------------------------------------------------------------------------- */

static void type_iterated(struct typing *typing, struct stap_stmt *stmt)
{
	struct stap_expr *array = stmt->foreach.array, *value = stmt->foreach.value;
	struct stap_var *var = array->var.resolved;

	if (array->kind == STAP_EXPR_HIST) {
		type_hist(typing, array);
		type_expr(typing, stmt->foreach.keys[0], STAP_TYPE_LONG);
		if (value)
			type_expr(typing, value, STAP_TYPE_LONG);
		return;
	}
	type_keys(typing, var, stmt->foreach.keys, stmt->foreach.key_count);
	type_keys(typing, var, stmt->foreach.slice.items, stmt->foreach.slice.count);
	bind(typing, array, &(struct declaration){&var->type, &var->type_token, -1, NULL},
		STAP_TYPE_UNKNOWN, false);
	if (value && var->type == STAP_TYPE_STATS)
		invalid(typing, value->token, STAP_TYPE_STATS);
	else if (value)
		type_expr(typing, value, var->type);
	if (stmt->foreach.sort_has_op && var->type && var->type != STAP_TYPE_STATS)
		invalid(typing, array->token, var->type);
}

static void type_return(struct typing *typing, struct stap_stmt *stmt)
{
	struct stap_function *function = typing->owner.function;
	struct declaration result;
	struct stap_expr *value = stmt->expr;

	if (!function)
		return;
	result = (struct declaration){&function->type, &function->type_token, -1, NULL};
	if (!value) {
		if (function->type && function->has_declared_type)
			mismatch_declared(
				typing, stmt->token, STAP_TYPE_UNKNOWN, &result);
		return;
	}
	type_expr(typing, value, function->type);
	if (function->type && value->type && function->type != value->type)
		mismatch_declared(typing, value->token, value->type, &result);
	else if (value->type == STAP_TYPE_STATS)
		invalid(typing, value->token, value->type);
	else if (!function->type && value->type)
		learn_declaration(typing, &result, value->type, value->token);
}

static void type_delete(struct typing *typing, struct stap_expr *expr)
{
	struct stap_var *var;

	if (expr->kind != STAP_EXPR_VAR && expr->kind != STAP_EXPR_INDEX) {
		sema_error(typing->sema, expr->token,
			"invalid operand of delete expression");
		return;
	}
	if (expr->kind == STAP_EXPR_INDEX) {
		type_expr(typing, expr, STAP_TYPE_UNKNOWN);
		return;
	}
	var = expr->var.resolved;
	bind(typing, expr, &(struct declaration){&var->type, &var->type_token, -1, NULL},
		STAP_TYPE_UNKNOWN, false);
}

static void type_maybe(struct typing *typing, struct stap_expr *expr, enum stap_type want)
{
	if (expr)
		type_expr(typing, expr, want);
}

static bool type_stmt(struct stap_stmt *stmt, void *data)
{
	struct typing *typing = data;

	switch (stmt->kind) {
	case STAP_STMT_EXPR:
		typing->statement = stmt->expr;
		type_expr(typing, stmt->expr, STAP_TYPE_UNKNOWN);
		break;
	case STAP_STMT_IF:
		type_expr(typing, stmt->branch.condition, STAP_TYPE_LONG);
		break;
	case STAP_STMT_FOR:
		type_maybe(typing, stmt->loop.init, STAP_TYPE_UNKNOWN);
		type_maybe(typing, stmt->loop.condition, STAP_TYPE_LONG);
		type_maybe(typing, stmt->loop.step, STAP_TYPE_UNKNOWN);
		break;
	case STAP_STMT_FOREACH:
		type_iterated(typing, stmt);
		type_maybe(typing, stmt->foreach.limit, STAP_TYPE_LONG);
		break;
	case STAP_STMT_RETURN:
		type_return(typing, stmt);
		break;
	case STAP_STMT_DELETE:
		type_delete(typing, stmt->expr);
		break;
	case STAP_STMT_TRY:
		type_maybe(typing, stmt->try.variable, STAP_TYPE_STRING);
		break;
	case STAP_STMT_NULL:
	case STAP_STMT_BLOCK:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
		break;
	}
	return sema_each_stmt(stmt, type_stmt, data);
}

/* ---- rounds -------------------------------------------------------------------------------------- */

static void local_check(struct typing *typing, const struct stap_var *var)
{
	if (!var->type) {
		unresolved(typing, var->token);
	} else if (var->type == STAP_TYPE_STATS) {
		typing->open++;
		if (tells_all(typing))
			sema_error(typing->sema, var->token,
				"stat locals not supported, missing global declaration? ");
	}
}

static void type_function(struct typing *typing, struct stap_function *function)
{
	typing->owner = (struct sema_owner){.function = function};
	if (function->body)
		type_stmt(function->body, typing);
	for (size_t i = 0; i < function->locals.count; i++)
		local_check(typing, function->locals.items[i]);
}

static void type_probe(struct typing *typing, struct stap_derived_probe *probe)
{
	typing->owner = (struct sema_owner){.probe = probe};
	for (size_t i = 0; i < probe->entry_values.count; i++) {
		type_expr(typing, probe->entry_values.items[i], STAP_TYPE_UNKNOWN);
		if (!probe->entry_values.items[i]->type)
			unresolved(typing, probe->entry_values.items[i]->token);
	}
	type_stmt(probe->body, typing);
	for (size_t i = 0; i < probe->locals.count; i++)
		local_check(typing, probe->locals.items[i]);
	if (probe->condition)
		type_expr(typing, probe->condition, STAP_TYPE_LONG);
}

static void type_round(struct typing *typing)
{
	struct sema *sema = typing->sema;

	typing->resolved = typing->open = 0;
	if (!typing->reporting)
		typing->complexity = UNRESOLVED;
	for (size_t i = 0; i < sema->functions.count; i++)
		type_function(typing, sema->functions.items[i]);
	for (size_t i = 0; i < sema->program->probes.count; i++)
		type_probe(typing, sema->program->probes.items[i]);
	for (size_t i = 0; i < sema->globals.count; i++) {
		if (!sema->globals.items[i]->type)
			unresolved(typing, sema->globals.items[i]->token);
	}
}

static void types_prepare(struct sema *sema)
{
	for (size_t i = 0; i < sema->globals.count; i++) {
		struct stap_var *var = sema->globals.items[i];

		if (var->init && !var->type)
			var->type = var->init->kind == STAP_EXPR_STRING ? STAP_TYPE_STRING
									: STAP_TYPE_LONG;
		if (var->arity < 0)
			var->arity = 0;
		if (var->is_wrapping && !var->arity)
			sema_error(
				sema, var->token, "wrapping not supported for scalars");
	}
	for (size_t i = 0; i < sema->functions.count; i++) {
		struct stap_function *function = sema->functions.items[i];

		for (uint32_t j = 0; j < function->param_count; j++) {
			if (function->params[j]->arity < 0)
				function->params[j]->arity = 0;
		}
	}
}

static void type_rounds(struct typing *typing)
{
	struct sema *sema = typing->sema;

	types_prepare(sema);
	while (!sema->diag->error_count) {
		type_round(typing);
		if (typing->resolved)
			typing->reporting = false;
		else if (!typing->open || typing->reporting)
			break;
		else if (typing->preliminary && typing->complexity == UNRESOLVED)
			break;
		else
			typing->reporting = true;
	}
}

void sema_learn_types(struct sema *sema)
{
	struct typing typing = {.sema = sema, .preliminary = true};

	type_rounds(&typing);
}

void sema_infer_types(struct sema *sema)
{
	struct typing typing = {.sema = sema};

	type_rounds(&typing);
	/* whatever else happens, nothing untyped goes on */
	if (typing.open && !sema->diag->error_count)
		sema_error(sema, NULL, "unresolved type ");
}
