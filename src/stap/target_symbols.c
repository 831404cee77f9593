/* SPDX-License-Identifier: MIT */
/*
 * Target expressions of one body at one place: $x, @cast, @var, @defined, @entry, $$vars, `$x$`.
 * What cannot be resolved keeps its reason in the node: later passes may find that it stands in a
 * dead branch, and only the type pass reports it.
 *
 * A return probe sees parameters as they were at entry: such expressions become values that a
 * hidden entry handler saves (probe->entry_values).
 */
#include <string.h>

#include "stap/lowering.h"

static bool lower_expr(struct stap_expr *expr, void *data);

bool lowering_is_return(struct lowering *lower)
{
	return lower->owner.probe && lower->owner.probe->kind == STAP_PROBE_URETURN;
}

void lowering_sign(struct lowering *lower, const char *text)
{
	if (lower->signature)
		strbuf_printf(lower->signature, "%s;", text);
}

static void sign_access(struct lowering *lower, const struct stap_access *access)
{
	struct strbuf *out = lower->signature;

	if (!out)
		return;
	for (uint32_t i = 0; i < access->op_count; i++)
		strbuf_printf(out, "%d:%lld,", (int)access->ops[i].kind,
			(long long)access->ops[i].value);
	strbuf_printf(out, "=%d/%u;", (int)access->value_class, access->size);
	if (access->static_module)
		strbuf_printf(out, "in %s;", access->static_module);
	/* what follows the pointer may stand in another variable's name */
	if (access->value_class == STAP_VALUE_POINTER && access->module)
		strbuf_printf(out, "%s %s;", access->type_name, access->module);
}

/* ---- accesses -------------------------------------------------------------------------- */

/* Of those that could have been meant the first by its name, as SystemTap has it. */
static const char *some_member(struct lowering *lower, const struct stap_expr *expr)
{
	const struct stap_target *target = lower->sema->target;
	struct stap_member_info *members = NULL;
	const char *first = NULL;
	uint32_t count = 0;

	if (!target->ops->members ||
		target->ops->members(target->data, lower->location, expr, lower->at_entry,
			lower->sema->arena, &members, &count, NULL) < 0)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (members[i].name && (!first || strcmp(members[i].name, first) < 0))
			first = members[i].name;
	}
	return first;
}

static const char *aggregate_error(struct lowering *lower, const struct stap_expr *expr,
	const struct stap_access *access)
{
	const char *type = access->type_name ? access->type_name : "struct";
	const char *member = some_member(lower, expr);

	if (!member)
		return arena_printf(lower->sema->arena,
			"'%s' is being accessed instead of a member", type);
	return arena_printf(lower->sema->arena,
		"'%s' is being accessed instead of a member such as '->%s'", type,
		member);
}

static const char *access_shape_error(struct lowering *lower,
	const struct stap_expr *expr, const struct stap_access *access)
{
	if (expr->target.address_of)
		return NULL;
	switch (access->value_class) {
	case STAP_VALUE_AGGREGATE:
		return aggregate_error(lower, expr, access);
	case STAP_VALUE_VOID:
		return "function has no return value";
	case STAP_VALUE_SIGNED:
	case STAP_VALUE_UNSIGNED:
	case STAP_VALUE_BOOL:
	case STAP_VALUE_CHAR:
	case STAP_VALUE_POINTER:
	case STAP_VALUE_STRING_POINTER:
	case STAP_VALUE_ENUM:
	case STAP_VALUE_FLOAT:
	case STAP_VALUE_ARRAY:
	case STAP_VALUE_CHAR_ARRAY:
		return NULL;
	}
	return NULL;
}

bool lowering_is_array(const struct stap_access *access)
{
	return access->value_class == STAP_VALUE_ARRAY ||
	       access->value_class == STAP_VALUE_CHAR_ARRAY;
}

/* In SystemTap's words; @why: what is known beyond them, "" */
static const char *no_access(
	struct lowering *lower, const struct stap_expr *expr, const char *why)
{
	struct arena *arena = lower->sema->arena;
	const char *more = why[0] ? arena_printf(arena, " (%s)", why) : "";

	if (expr->target.base == STAP_TARGET_CAST)
		return arena_printf(arena, "type definition '%s' not found in '%s'%s",
			expr->target.type_name,
			expr->target.module ? expr->target.module : "", more);
	if (expr->target.base == STAP_TARGET_ATVAR)
		return arena_printf(arena, "unresolved @var() expression%s", more);
	return why[0] ? arena_strdup(arena, why) : "unresolved target-symbol expression";
}

/* The access itself, or NULL with the reason. */
struct stap_access *lowering_access(
	struct lowering *lower, const struct stap_expr *expr, const char **ret_error)
{
	struct sema *sema = lower->sema;
	const struct stap_target *target = sema->target;
	struct stap_access *access = NULL;
	struct error why = {0};
	int code;

	if (expr->target.base == STAP_TARGET_AUTOCAST) {
		*ret_error = "unknown type in dereference";
		return NULL;
	}
	if (!target || !target->ops->access ||
		(!lower->location &&
			(expr->target.base == STAP_TARGET_VAR || !expr->target.module))) {
		*ret_error = no_access(lower, expr, "");
		return NULL;
	}
	code = target->ops->access(target->data, lower->location, expr, lower->at_entry,
		sema->arena, &access, &why);
	if (code >= 0 && access)
		return access;
	*ret_error = !why.message[0] || !strncmp(why.message, "no module ", 10)
			     ? no_access(lower, expr, why.message)
			     : arena_strdup(sema->arena, why.message);
	return NULL;
}

/* An array as a value is where it begins, as in C. */
static struct stap_access *array_address(
	struct lowering *lower, const struct stap_expr *expr, const char **ret_error)
{
	struct stap_expr *address = stap_expr_copy(lower->sema->arena, expr);

	address->target.address_of = true;
	return lowering_access(lower, address, ret_error);
}

const struct stap_token *lowering_failing_component(
	struct lowering *lower, const struct stap_expr *expr)
{
	struct stap_expr shorter = *expr;
	const char *ignored;

	if (expr->target.base == STAP_TARGET_AUTOCAST)
		return expr->target.components[0].token;
	shorter.target.pretty = 0;
	for (uint32_t i = 0; i <= expr->target.component_count; i++) {
		shorter.target.component_count = i;
		if (!lowering_access(lower, &shorter, &ignored))
			return i ? expr->target.components[i - 1].token : NULL;
	}
	return NULL;
}

void lowering_set_access(struct lowering *lower, struct stap_expr *expr)
{
	const char *error = NULL;
	struct stap_access *access = lowering_access(lower, expr, &error);

	if (access && expr->target.base == STAP_TARGET_VAR && lowering_is_return(lower) &&
		!strcmp(expr->target.name, "return"))
		lower->owner.probe->uses_return_value |= !lower->trying;
	if (access && lowering_is_array(access) && !expr->target.address_of)
		access = array_address(lower, expr, &error);
	if (access)
		error = access_shape_error(lower, expr, access);
	if (!access || error) {
		uint32_t count = expr->target.component_count;

		expr->target.error = error;
		if (count)
			expr->target.error_token =
				access ? expr->target.components[count - 1].token
				       : lowering_failing_component(lower, expr);
		lowering_sign(lower, error);
		return;
	}
	expr->target.access = access;
	expr->target.error = NULL;
	expr->type = STAP_TYPE_LONG;
	sign_access(lower, access);
}

struct stap_expr *lowering_variable(
	struct lowering *lower, const char *name, const struct stap_token *token)
{
	struct stap_expr *expr =
		stap_expr_new(lower->sema->arena, STAP_EXPR_TARGET, token);

	expr->target.base = STAP_TARGET_VAR;
	expr->target.name = name;
	return expr;
}

struct stap_expr *lowering_plain(struct lowering *lower, const struct stap_expr *expr)
{
	struct stap_expr *plain = stap_expr_copy(lower->sema->arena, expr);

	plain->target.pretty = 0;
	return plain;
}

/* ---- values saved at entry --------------------------------------------------------------- */

static const char *unresolved_reason(struct stap_expr *expr);

static bool reason_below(struct stap_expr *expr, void *data)
{
	const char **reason = data;

	*reason = unresolved_reason(expr);
	return !*reason;
}

/* Why the expression or a part of it has no access; NULL when all of it has. */
static const char *unresolved_reason(struct stap_expr *expr)
{
	const char *reason = NULL;

	if (expr->kind == STAP_EXPR_TARGET && expr->target.error)
		return expr->target.error;
	sema_each_operand(expr, reason_below, &reason);
	return reason;
}

/* Replaces expr by a value that the hidden entry handler saves. */
static void lower_at_entry(struct lowering *lower, struct stap_expr *expr)
{
	struct stap_derived_probe *probe = lower->owner.probe;
	struct lowering inner = *lower;
	struct stap_expr *value = arena_new(lower->sema->arena, struct stap_expr);

	inner.at_entry = true;
	lowering_sign(lower, "entry");
	lower_expr(expr, &inner);
	if (unresolved_reason(expr) || lower->trying)
		return;
	*value = *expr;
	memset(expr, 0, sizeof(*expr));
	expr->kind = STAP_EXPR_ENTRY_VALUE;
	expr->token = value->token;
	expr->type = value->type;
	expr->entry_value.index = (uint32_t)probe->entry_values.count;
	sema_push(lower->sema, &probe->entry_values, value);
}

static void lower_entry(struct lowering *lower, struct stap_expr *expr)
{
	struct stap_expr *operand = expr->wrap.operand;

	if (lower->at_entry) { /* @entry in @entry is the same moment */
		lower_expr(operand, lower);
		*expr = *operand;
		return;
	}
	if (lowering_is_call_return(lower)) {
		lowering_call_entry(lower, expr);
		return;
	}
	if (!lowering_is_return(lower)) {
		if (!lower->trying && lower->owner.probe)
			sema_error_because(lower->sema, lower->owner.probe->token,
				arena_printf(lower->sema->arena,
					"while processing probe %s",
					lower->owner.probe->pn),
				expr->token,
				"internal error: @entry is only valid in .return probes");
		else if (!lower->trying)
			sema_error(lower->sema, expr->token,
				"internal error: @entry is only valid in .return probes");
		*expr = *sema_number(lower->sema, 0, expr->token);
		return;
	}
	*expr = *operand;
	lower_at_entry(lower, expr);
}

static void lower_implicit_entry(struct lowering *lower, struct stap_expr *expr)
{
	struct strbuf text;

	if (!lower->trying) {
		strbuf_init(&text);
		sema_target_text(expr, &text);
		sema_warn(lower->sema, expr->token,
			"confusing usage, value is captured as @entry(%s) in .return "
			"probe [man stapprobes] RETURN PROBES",
			text.data);
		strbuf_deinit(&text);
	}
	lower_at_entry(lower, expr);
}

/* ---- one expression -------------------------------------------------------------------------- */

static bool is_no_autocast(struct stap_expr *expr, void *data)
{
	return (expr->kind != STAP_EXPR_TARGET ||
		       expr->target.base != STAP_TARGET_AUTOCAST) &&
	       sema_each_operand(expr, is_no_autocast, data);
}

static void lower_defined(struct lowering *lower, struct stap_expr *expr)
{
	struct lowering inner = *lower;
	struct stap_expr *operand =
		stap_expr_copy(lower->sema->arena, expr->wrap.operand);
	bool is_defined;

	inner.trying = true;
	inner.signature = NULL;
	lower_expr(operand, &inner);
	if (!is_no_autocast(operand, NULL)) { /* the types of variables decide, later */
		lowering_sign(lower, "autocast");
		expr->wrap.operand = operand;
		return;
	}
	is_defined = !unresolved_reason(operand);
	lowering_sign(lower, is_defined ? "defined" : "undefined");
	*expr = *sema_number(lower->sema, is_defined, expr->token);
}

static bool is_named(const struct stap_expr *expr, const char *name)
{
	return expr->target.base == STAP_TARGET_VAR && !strcmp(expr->target.name, name);
}

/* $$name and $$provider of marks and of .plt are texts that are known now. */
static bool lower_place_name(struct lowering *lower, struct stap_expr *expr)
{
	const char *text = NULL;

	if (lower->location && is_named(expr, "$name"))
		text = lower->location->name;
	else if (lower->location && is_named(expr, "$provider"))
		text = lower->location->provider;
	if (!text)
		return false;
	lowering_sign(lower, text);
	*expr = *sema_string(lower->sema, text, expr->token);
	return true;
}

static void lower_target(struct lowering *lower, struct stap_expr *expr)
{
	if (expr->target.access || expr->target.error || lower_place_name(lower, expr))
		return;
	if (lowering_is_return(lower) && !lower->at_entry &&
		expr->target.base == STAP_TARGET_VAR && !is_named(expr, "return") &&
		!is_named(expr, "$return")) {
		lower_implicit_entry(lower, expr);
		return;
	}
	if (lowering_is_context_list(expr))
		lowering_context_list(lower, expr);
	else if (expr->target.pretty)
		lowering_pretty(lower, expr);
	else
		lowering_set_access(lower, expr);
	if (expr->kind == STAP_EXPR_TARGET && expr->target.error && !lower->trying &&
		lower->sema->options->skip_badvars && lower->location) {
		sema_warn(lower->sema, expr->token,
			"Bad $context variable being substituted with literal 0");
		*expr = *sema_number(lower->sema, 0, expr->token);
	}
}

/* ---- @probewrite ------------------------------------------------------------------------------- */

static bool is_same_name(const struct stap_expr *a, const struct stap_expr *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == STAP_EXPR_VAR)
		return !strcmp(a->var.name, b->var.name);
	return a->kind == STAP_EXPR_TARGET && a->target.base == STAP_TARGET_VAR &&
	       b->target.base == STAP_TARGET_VAR &&
	       !strcmp(a->target.name, b->target.name);
}

static bool leaves_expr(struct stap_expr *expr, void *data)
{
	const struct stap_expr *target =
		expr->kind == STAP_EXPR_ASSIGN     ? expr->assign.target
		: expr->kind == STAP_EXPR_CRREMENT ? expr->crrement.target
						   : NULL;

	return (!target || !is_same_name(target, data)) &&
	       sema_each_operand(expr, leaves_expr, data);
}

static bool leaves_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, leaves_expr, data) &&
	       sema_each_stmt(stmt, leaves_stmt, data);
}

/* Does the handler as it was written, without those of aliases, write to the variable? */
static bool lower_probewrite(struct lowering *lower, struct stap_expr *expr)
{
	struct stap_expr *variable = expr->call.args.items[0];

	if (!lower->owner.probe ||
		(variable->kind != STAP_EXPR_VAR && variable->kind != STAP_EXPR_TARGET)) {
		sema_error(lower->sema, expr->token,
			"@probewrite needs a variable of a probe");
		*expr = *sema_number(lower->sema, 0, expr->token);
		return true;
	}
	bool is_written = !leaves_stmt(lower->owner.probe->origin->body, variable);
	lowering_sign(lower, is_written ? "written" : "unwritten");
	*expr = *sema_number(lower->sema, is_written, expr->token);
	return true;
}

/* ---- @enum and @enumname --------------------------------------------------------------------- */

/* What has no value keeps the reason, as a variable does. */
static void lower_unresolved(
	struct lowering *lower, struct stap_expr *expr, const char *error)
{
	struct stap_expr *unresolved = lowering_variable(lower, "", expr->token);

	lowering_sign(lower, error);
	unresolved->target.error = error;
	*expr = *unresolved;
}

static void lower_enum(struct lowering *lower, struct stap_expr *expr)
{
	int64_t value;
	const char *error = sema_enum_value(
		lower->sema, lower->location, expr->call.args.items[0]->string, &value);

	if (error) {
		lower_unresolved(lower, expr, error);
		return;
	}
	*expr = *sema_number(lower->sema, value, expr->token);
	if (lower->signature)
		strbuf_printf(lower->signature, "%lld;", (long long)value);
}

/* The access of a value, also of one that is saved at entry. */
static const struct stap_access *access_of(
	const struct lowering *lower, const struct stap_expr *expr)
{
	if (expr->kind == STAP_EXPR_ENTRY_VALUE && lower->owner.probe)
		expr = lower->owner.probe->entry_values.items[expr->entry_value.index];
	return expr->kind == STAP_EXPR_TARGET ? expr->target.access : NULL;
}

static bool lower_enum_name(struct lowering *lower, struct stap_expr *expr)
{
	const struct stap_expr_list args = expr->call.args;
	struct stap_enumerator_query query = {0};
	const char *error = "the type of @enumname is not known: name it";
	const char *table = NULL;

	lower_expr(args.items[0], lower);
	const struct stap_access *access = access_of(lower, args.items[0]);
	if (access && access->value_class == STAP_VALUE_ENUM) {
		query.type = access->type_name;
		query.module = access->module;
	}
	if (args.count > 1)
		query = (struct stap_enumerator_query){.type = args.items[1]->string,
			.module = args.count > 2 ? args.items[2]->string : NULL};
	if (query.type)
		table = sema_enum_table(lower->sema, lower->location, &query, &error);
	if (!table) {
		lower_unresolved(lower, expr, error);
		return true;
	}
	expr->call.name = "__rt_enum_name";
	expr->call.args.count = 2;
	expr->call.args.items = arena_array(lower->sema->arena, struct stap_expr *, 2);
	expr->call.args.items[0] = args.items[0];
	expr->call.args.items[1] = sema_string(lower->sema, table, expr->token);
	lowering_sign(lower, table);
	return true;
}

/*
 * Where $variables are, a branch that is never taken is gone before its names are looked up.
 * Elsewhere they must be known, as in SystemTap.
 */
static bool drops_dead(const struct lowering *lower)
{
	return lower->location || (lower->owner.probe && lower->owner.probe->kind ==
								 STAP_PROBE_CONTROL_FILE);
}

/* The access borrows its operands from the tree: they are lowered first, in place. */
static bool lower_expr(struct stap_expr *expr, void *data)
{
	struct lowering *lower = data;

	switch ((int)expr->kind) {
	case STAP_EXPR_DEFINED:
		lower_defined(lower, expr);
		return true;
	case STAP_EXPR_ENTRY:
		lower_entry(lower, expr);
		return true;
	case STAP_EXPR_PERF:
		if (!sema_lower_perf(
			    lower->sema, lower->location, expr, lower->signature))
			lower_unresolved(lower, expr,
				"perf counters are those of a thread: @perf is for probes of processes");
		return true;
	case STAP_EXPR_TERNARY:
		if (!drops_dead(lower))
			return sema_each_operand(expr, lower_expr, lower);
		/* only the live arm: `@defined($x) ? $x : 0` says nothing about $x */
		lower_expr(expr->ternary.condition, lower);
		sema_fold_expr(expr->ternary.condition);
		if (expr->ternary.condition->kind == STAP_EXPR_NUMBER) {
			*expr = expr->ternary.condition->number
					? *expr->ternary.then
					: *expr->ternary.otherwise;
			return lower_expr(expr, lower);
		}
		return lower_expr(expr->ternary.then, lower) &&
		       lower_expr(expr->ternary.otherwise, lower);
	case STAP_EXPR_TARGET:
		if (lowering_is_return(lower) && !lower->at_entry &&
			expr->target.base == STAP_TARGET_VAR &&
			!is_named(expr, "return") && !is_named(expr, "$return")) {
			lower_target(lower, expr); /* operands are saved with it */
			return true;
		}
		sema_each_operand(expr, lower_expr, lower);
		lower_target(lower, expr);
		return true;
	case STAP_EXPR_CALL:
		if (expr->call.args.count == 1 && !strcmp(expr->call.name, "@probewrite"))
			return lower_probewrite(lower, expr);
		if (!strcmp(expr->call.name, "@enumname"))
			return lower_enum_name(lower, expr);
		if (!strcmp(expr->call.name, "@enum")) {
			lower_enum(lower, expr);
			return true;
		}
		lowering_call(lower, expr);
		return sema_each_operand(expr, lower_expr, lower);
	default:
		return sema_each_operand(expr, lower_expr, lower);
	}
}

static void lower_write(struct lowering *lower, const struct stap_expr *target)
{
	struct stap_place place;

	if (target->kind == STAP_EXPR_ENTRY_VALUE)
		sema_error(lower->sema, target->token,
			"write to target variable not permitted in .return probes");
	if (target->kind != STAP_EXPR_TARGET)
		return;
	/* what is nowhere to be found is told of as that */
	if (!target->target.access && target->target.base != STAP_TARGET_AUTOCAST)
		return;
	if (!lower->sema->options->guru)
		sema_error(lower->sema, target->token,
			"write to target variable not permitted; need stap -g");
	else if (target->target.access &&
		 (target->target.address_of || target->target.pretty ||
			 !stap_access_place(target->target.access,
				 target->target.component_count > 0, &place)))
		sema_error(lower->sema, target->token,
			"cannot write to '$%s': it is not a value in memory or in a register here",
			target->target.name ? target->target.name : "");
}

static bool check_writes(struct stap_expr *expr, void *data)
{
	if (expr->kind == STAP_EXPR_ASSIGN)
		lower_write(data, expr->assign.target);
	else if (expr->kind == STAP_EXPR_CRREMENT)
		lower_write(data, expr->crrement.target);
	return sema_each_operand(expr, check_writes, data);
}

static bool lower_top(struct stap_expr *expr, void *data)
{
	lower_expr(expr, data);
	check_writes(expr, data);
	return true;
}

static bool lower_stmt(struct stap_stmt *stmt, void *data)
{
	struct lowering *lower = data;
	struct stap_stmt *live;

	if (stmt->kind != STAP_STMT_IF || !drops_dead(lower))
		return sema_each_expr(stmt, lower_top, data) &&
		       sema_each_stmt(stmt, lower_stmt, data);
	lower_top(stmt->branch.condition, data);
	sema_fold_expr(stmt->branch.condition);
	if (stmt->branch.condition->kind != STAP_EXPR_NUMBER)
		return sema_each_stmt(stmt, lower_stmt, data);
	live = stmt->branch.condition->number ? stmt->branch.then
					      : stmt->branch.otherwise;
	if (!live)
		live = stap_stmt_new(lower->sema->arena, STAP_STMT_NULL, stmt->token);
	*stmt = *live;
	return lower_stmt(stmt, data);
}

void lowering_function(struct lowering *lower, struct stap_function *function)
{
	struct lowering within = *lower;

	within.owner = (struct sema_owner){.function = function};
	within.in_return = lowering_is_return(lower) || lower->in_return;
	if (lowering_is_return(lower))
		lower->owner.probe->uses_return_value = true;
	lower_stmt(function->body, &within);
}

void sema_lower_targets(struct sema *sema, struct sema_owner owner,
	const struct stap_location *location, struct strbuf *signature)
{
	struct lowering_copy *copies = NULL;
	struct lowering lower = {
		.sema = sema,
		.owner = owner,
		.location = location,
		.signature = signature,
		.copies = &copies,
	};

	lower_stmt(owner.function ? owner.function->body : owner.probe->body, &lower);
	if (owner.probe && owner.probe->condition)
		lower_top(owner.probe->condition, &lower);
}

void sema_lower_cast(struct sema *sema, struct sema_owner owner, struct stap_expr *expr,
	const struct stap_cast *cast)
{
	struct lowering lower = {.sema = sema, .owner = owner, .at_entry = true};

	expr->target.base = STAP_TARGET_CAST;
	expr->target.type_name = cast->type;
	expr->target.module = cast->module;
	expr->target.error = NULL;
	lower_target(&lower, expr);
}

bool sema_is_resolved(struct stap_expr *expr)
{
	return !unresolved_reason(expr);
}

static bool no_targets(struct stap_expr *expr, void *data)
{
	if (expr->kind == STAP_EXPR_CALL && !strncmp(expr->call.name, "@enum", 5))
		return false;
	return expr->kind != STAP_EXPR_TARGET && expr->kind != STAP_EXPR_DEFINED &&
	       expr->kind != STAP_EXPR_ENTRY && sema_each_operand(expr, no_targets, data);
}

static bool stmt_has_targets(struct stap_stmt *stmt, void *data)
{
	return !sema_each_expr(stmt, no_targets, data);
}

bool sema_body_has_targets(struct stap_stmt *body, struct stap_expr *condition)
{
	return sema_stmt_any(body, stmt_has_targets, NULL) ||
	       (condition && !no_targets(condition, NULL));
}
