/* SPDX-License-Identifier: MIT */
/* `$x$` and `$x$$`, $$vars and its kin: calls of sprintf() with the members as arguments. */
#include <string.h>

#include "stap/format_parse.h"
#include "stap/lowering.h"

enum {
	PRETTY_LIMIT = 30,
	STRINGS_LIMIT = 48,   /* in a handler's memory, because of enums */
	VARIANTS_LIMIT = 256, /* of all enums in one value */
	POINTER_DEPTH = 4,    /* pointers to pointers */
	FULL_DEPTH = 16       /* what $$ expands */
};

struct pretty {
	struct lowering *lower;
	struct format_builder *format;
	struct stap_expr *args[PRETTY_LIMIT];
	uint32_t count;
	uint32_t strings, strings_limit; /* that its arguments take */
	uint32_t *variants;              /* how many have been written out */
	const char *error;
};

static void pretty_text(struct pretty *pretty, const char *text)
{
	stap_format_add_literal(pretty->format, text, strlen(text));
}

static bool pretty_value(struct pretty *pretty, struct stap_expr *expr, int depth);

static void pretty_long(struct pretty *pretty, struct stap_expr *expr, char conversion)
{
	stap_format_add_long(pretty->format, conversion);
	pretty->args[pretty->count++] = expr;
}

/* A char pointer or array as a quoted string. */
static void pretty_string(
	struct pretty *pretty, struct stap_expr *expr, const struct stap_access *access)
{
	struct sema *sema = pretty->lower->sema;
	bool is_array = access->value_class == STAP_VALUE_CHAR_ARRAY;
	struct stap_expr *call = stap_expr_new(sema->arena, STAP_EXPR_CALL, expr->token);

	call->call.name = is_array ? "user_string_n_quoted" : "user_string_quoted";
	call->call.args.count = is_array ? 2 : 1;
	call->call.args.items = arena_array(sema->arena, struct stap_expr *, 2);
	call->call.args.items[0] = expr;
	if (is_array) {
		call->call.args.items[1] = sema_number(sema, access->size, expr->token);
		expr->target.address_of = true;
		lowering_set_access(pretty->lower, expr);
	}
	call->call.intrinsic =
		stap_intrinsic_find(call->call.name, call->call.args.count);
	call->type = STAP_TYPE_STRING;
	stap_format_add_string(pretty->format);
	pretty->args[pretty->count++] = call;
	pretty->strings++;
}

static struct stap_expr *member_expr(struct lowering *lower, const struct stap_expr *base,
	const struct stap_member_info *member)
{
	struct arena *arena = lower->sema->arena;
	struct stap_expr *expr = lowering_plain(lower, base);
	uint32_t count = expr->target.component_count;
	struct stap_target_component *components =
		arena_array(arena, struct stap_target_component, count + 1);

	if (count)
		memcpy(components, expr->target.components, count * sizeof(*components));
	components[count].token = base->token;
	if (member->name)
		components[count].member = member->name;
	else
		components[count].index =
			sema_number(lower->sema, (int64_t)member->index, base->token);
	expr->target.components = components;
	expr->target.component_count = count + 1;
	return expr;
}

/* ---- enums with data, of Rust ---- */

static void pretty_finish(struct pretty *pretty, struct stap_expr *expr);

/* ".NAME=VALUE" as a string; @whole counts what it takes. */
static struct stap_expr *variant_text(struct pretty *whole, struct stap_expr *expr,
	const struct stap_member_info *variant, int depth)
{
	struct lowering *lower = whole->lower;
	struct stap_expr *ret =
		stap_expr_new(lower->sema->arena, STAP_EXPR_PRINT, expr->token);
	struct pretty pretty = {.lower = lower,
		.format = stap_format_begin(lower->sema->arena),
		.strings = 1,
		.strings_limit = whole->strings_limit,
		.variants = whole->variants};

	pretty_text(&pretty, ".");
	pretty_text(&pretty, variant->name);
	pretty_text(&pretty, "=");
	lowering_sign(lower, variant->name);
	/* the enum and its variant are one level */
	if (!pretty_value(&pretty, member_expr(lower, expr, variant), depth))
		pretty_text(&pretty, "?");
	pretty_finish(&pretty, ret);
	if (pretty.strings > whole->strings)
		whole->strings = pretty.strings;
	return ret;
}

static struct stap_expr *is_variant(struct lowering *lower, const struct stap_expr *expr,
	const struct stap_member_info *discriminant,
	const struct stap_member_info *variant)
{
	struct stap_expr *ret =
		stap_expr_new(lower->sema->arena, STAP_EXPR_BINARY, expr->token);

	ret->binary.op = STAP_OP_EQ;
	ret->binary.left = member_expr(lower, expr, discriminant);
	ret->binary.right = sema_number(lower->sema, variant->value, expr->token);
	ret->type = STAP_TYPE_LONG;
	lowering_set_access(lower, ret->binary.left);
	return ret;
}

static const struct stap_member_info *find_kind(const struct stap_member_info *members,
	uint32_t count, enum stap_member_kind kind)
{
	for (uint32_t i = 0; i < count; i++)
		if (members[i].kind == kind)
			return &members[i];
	return NULL;
}

/* The variant that is there: a choice among strings, of which one is made. */
static void pretty_variants(struct pretty *pretty, struct stap_expr *expr,
	const struct stap_member_info *members, uint32_t count, int depth)
{
	struct lowering *lower = pretty->lower;
	const struct stap_member_info *discriminant =
		find_kind(members, count, STAP_MEMBER_DISCRIMINANT);
	const struct stap_member_info *other =
		find_kind(members, count, STAP_MEMBER_DEFAULT_VARIANT);
	struct pretty whole = {.lower = lower,
		.strings_limit = pretty->strings_limit - pretty->strings,
		.variants = pretty->variants};
	struct stap_expr *text = other ? variant_text(&whole, expr, other, depth)
				       : sema_string(lower->sema, "?", expr->token);

	for (uint32_t i = 0; i < count; i++) {
		struct stap_expr *choice;
		if (members[i].kind != STAP_MEMBER_VARIANT)
			continue;
		choice =
			stap_expr_new(lower->sema->arena, STAP_EXPR_TERNARY, expr->token);
		choice->ternary.condition =
			is_variant(lower, expr, discriminant, &members[i]);
		choice->ternary.then = variant_text(&whole, expr, &members[i], depth);
		choice->ternary.otherwise = text;
		choice->type = STAP_TYPE_STRING;
		text = choice;
	}
	pretty->strings += whole.strings;
	stap_format_add_string(pretty->format);
	pretty->args[pretty->count++] = text;
}

/* Can it be told which variant is there, is there memory for it in a handler, and is it not too much code? */
static bool can_choose(struct pretty *pretty, const struct stap_expr *expr,
	const struct stap_member_info *members, uint32_t count)
{
	const uint32_t least = 2;
	const struct stap_member_info *discriminant =
		find_kind(members, count, STAP_MEMBER_DISCRIMINANT);
	const char *unused;

	if (pretty->strings + least > pretty->strings_limit ||
		*pretty->variants + count > VARIANTS_LIMIT)
		return false;
	*pretty->variants += count;
	if (!discriminant)
		return !find_kind(members, count, STAP_MEMBER_VARIANT);
	return lowering_access(
		pretty->lower, member_expr(pretty->lower, expr, discriminant), &unused);
}

static bool pretty_members(struct pretty *pretty, struct stap_expr *expr,
	const struct stap_access *access, int depth)
{
	struct lowering *lower = pretty->lower;
	const struct stap_target *target = lower->sema->target;
	bool is_array = access->value_class == STAP_VALUE_ARRAY;
	struct stap_member_info *members = NULL;
	struct error why = {0};
	uint32_t count = 0;

	if (!target->ops->members) {
		pretty->error = arena_printf(lower->sema->arena,
			"pretty-printing of type '%s' is not available yet",
			access->type_name ? access->type_name : "struct");
		return false;
	}
	if (target->ops->members(target->data, lower->location, expr, lower->at_entry,
		    lower->sema->arena, &members, &count, &why) < 0) {
		pretty->error = arena_strdup(lower->sema->arena, why.message);
		return false;
	}
	bool has_variants = find_kind(members, count, STAP_MEMBER_VARIANT) ||
			    find_kind(members, count, STAP_MEMBER_DEFAULT_VARIANT);
	bool is_first = true,
	     one_variant = has_variants && can_choose(pretty, expr, members, count);
	pretty_text(pretty, is_array ? "[" : "{");
	for (uint32_t i = 0; i < count; i++) {
		if (has_variants && members[i].kind != STAP_MEMBER_OWN &&
			(one_variant || members[i].kind != STAP_MEMBER_DISCRIMINANT))
			continue;
		if (!is_first)
			pretty_text(pretty, ", ");
		is_first = false;
		/* of arrays the first element stands for all, as in SystemTap */
		if (pretty->count + 2 > PRETTY_LIMIT || (is_array && i)) {
			pretty_text(pretty, "...");
			break;
		}
		if (members[i].name) {
			pretty_text(pretty, ".");
			pretty_text(pretty, members[i].name);
			pretty_text(pretty, "=");
		}
		if (!pretty_value(
			    pretty, member_expr(lower, expr, &members[i]), depth - 1))
			pretty_text(pretty, "?");
	}
	if (has_variants && !is_first)
		pretty_text(pretty, ", ");
	if (one_variant && pretty->count + 2 <= PRETTY_LIMIT)
		pretty_variants(pretty, expr, members, count, depth);
	else if (has_variants)
		pretty_text(pretty, "...");
	pretty_text(pretty, is_array ? "]" : "}");
	return true;
}

/* A pointer at the top is followed to what it points to; NULL: that cannot be shown. */
static struct stap_expr *pretty_pointee(struct pretty *pretty, struct stap_expr *expr)
{
	static const struct stap_member_info first = {0};
	struct stap_expr *pointee = member_expr(pretty->lower, expr, &first);
	const char *unused;
	const struct stap_access *access =
		lowering_access(pretty->lower, pointee, &unused);

	return access && access->value_class != STAP_VALUE_VOID ? pointee : NULL;
}

static bool pretty_top(struct pretty *pretty, struct stap_expr *expr, int depth)
{
	const char *unused;

	if (depth > 1)
		depth = FULL_DEPTH;
	for (int i = 0; i < POINTER_DEPTH; i++) {
		const struct stap_access *access =
			lowering_access(pretty->lower, expr, &unused);
		struct stap_expr *pointee = NULL;

		if (access && access->value_class == STAP_VALUE_POINTER)
			pointee = pretty_pointee(pretty, expr);
		if (!pointee)
			break;
		expr = pointee;
	}
	return pretty_value(pretty, expr, depth);
}

/* One value into the format; false with pretty->error when it has no access.  Expanding goes on
 * while depth is positive. */
static bool pretty_value(struct pretty *pretty, struct stap_expr *expr, int depth)
{
	const struct stap_access *access =
		lowering_access(pretty->lower, expr, &pretty->error);

	if (!access)
		return false;
	switch (access->value_class) {
	case STAP_VALUE_AGGREGATE:
	case STAP_VALUE_ARRAY:
		if (depth > 0)
			return pretty_members(pretty, expr, access, depth);
		pretty_text(pretty,
			access->value_class == STAP_VALUE_ARRAY ? "[...]" : "{...}");
		return true;
	case STAP_VALUE_CHAR_ARRAY:
		pretty_string(pretty, expr, access);
		return true;
	case STAP_VALUE_VOID:
	case STAP_VALUE_FLOAT:
		pretty_text(pretty, "?");
		return true;
	case STAP_VALUE_STRING_POINTER:
		lowering_set_access(pretty->lower, expr);
		pretty_string(pretty, expr, access);
		return true;
	case STAP_VALUE_CHAR:
		lowering_set_access(pretty->lower, expr);
		stap_format_add_parts(pretty->format,
			stap_format_parse(pretty->lower->sema->arena, "'%#c'", 5));
		pretty->args[pretty->count++] = expr;
		return true;
	case STAP_VALUE_POINTER:
		lowering_set_access(pretty->lower, expr);
		pretty_long(pretty, expr, 'p');
		return true;
	case STAP_VALUE_SIGNED:
	case STAP_VALUE_UNSIGNED:
	case STAP_VALUE_BOOL:
	case STAP_VALUE_ENUM:
		lowering_set_access(pretty->lower, expr);
		pretty_long(pretty, expr,
			access->value_class == STAP_VALUE_UNSIGNED ? 'u' : 'i');
		return true;
	}
	return false;
}

/* Turns expr into the sprintf of what was collected. */
static void pretty_finish(struct pretty *pretty, struct stap_expr *expr)
{
	struct arena *arena = pretty->lower->sema->arena;
	struct stap_expr *print = stap_expr_new(arena, STAP_EXPR_PRINT, expr->token);

	print->print.name = "sprintf";
	print->print.to_string = true;
	print->print.is_guarded = true;
	print->print.format = stap_format_end(pretty->format);
	print->print.args.count = pretty->count;
	print->print.args.items =
		arena_array(arena, struct stap_expr *, pretty->count + 1);
	memcpy(print->print.args.items, pretty->args,
		pretty->count * sizeof(*pretty->args));
	print->type = STAP_TYPE_STRING;
	*expr = *print;
}

static void pretty_begin(struct pretty *pretty, struct lowering *lower)
{
	*pretty = (struct pretty){.lower = lower,
		.format = stap_format_begin(lower->sema->arena),
		.strings_limit = STRINGS_LIMIT,
		.variants = arena_new(lower->sema->arena, uint32_t)};
}

/* A variable that is there, but not at this address, is shown as what cannot be shown. */
static bool is_elsewhere(const char *error)
{
	return error && !strncmp(error, "not accessible", strlen("not accessible"));
}

void lowering_pretty(struct lowering *lower, struct stap_expr *expr)
{
	struct pretty pretty;

	pretty_begin(&pretty, lower);
	if (expr->target.address_of) {
		expr->target.error = "cannot take address of pretty-printed variable";
		lowering_sign(lower, expr->target.error);
		return;
	}
	if (pretty_top(&pretty, lowering_plain(lower, expr), expr->target.pretty)) {
		lowering_sign(lower, "pretty");
		pretty_finish(&pretty, expr);
		return;
	}
	if (is_elsewhere(pretty.error)) {
		pretty_begin(&pretty, lower);
		pretty_text(&pretty, "?");
		lowering_sign(lower, "?");
		pretty_finish(&pretty, expr);
		return;
	}
	expr->target.error = pretty.error;
	expr->target.error_token = lowering_failing_component(lower, expr);
	lowering_sign(lower, pretty.error);
}

/* ---- $$vars and its kin ------------------------------------------------------------------ */

bool lowering_is_context_list(const struct stap_expr *expr)
{
	static const char *const names[] = {"$vars", "$parms", "$locals", "$return"};

	if (expr->target.base != STAP_TARGET_VAR)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(expr->target.name, names[i]))
			return true;
	}
	return false;
}

/* "name=VALUE" of $$vars without a suffix: hexadecimal, even for strings. */
static void list_plain(struct pretty *pretty, struct stap_expr *expr)
{
	const char *unused;
	const struct stap_access *access = lowering_access(pretty->lower, expr, &unused);
	struct format *hex;

	if (!access) {
		pretty_text(pretty, "?");
		return;
	}
	if (access->value_class == STAP_VALUE_AGGREGATE) {
		pretty_text(pretty, "{...}");
		return;
	}
	if (lowering_is_array(access)) {
		pretty_text(pretty, "[...]");
		return;
	}
	lowering_set_access(pretty->lower, expr);
	if (expr->target.error) {
		pretty_text(pretty, "?");
		return;
	}
	hex = stap_format_parse(pretty->lower->sema->arena, "%#x", 3);
	stap_format_add_parts(pretty->format, hex);
	pretty->args[pretty->count++] = expr;
}

static void list_item(struct pretty *pretty, const char *name, const char *label,
	int depth, bool first, const struct stap_token *token)
{
	struct stap_expr *expr = lowering_variable(pretty->lower, name, token);

	if (!first)
		pretty_text(pretty, " ");
	if (pretty->count + 2 > PRETTY_LIMIT) {
		pretty_text(pretty, "...");
		return;
	}
	pretty_text(pretty, label ? label : name);
	pretty_text(pretty, "=");
	lowering_sign(pretty->lower, name);
	if (!depth)
		list_plain(pretty, expr);
	else if (!pretty_top(pretty, expr, depth))
		pretty_text(pretty, "?");
}

static void lower_return_list(
	struct pretty *pretty, struct lowering *lower, struct stap_expr *expr)
{
	struct stap_expr *value = lowering_variable(lower, "return", expr->token);
	const char *unused;
	const struct stap_access *access = lowering_access(lower, value, &unused);

	if (!access || access->value_class == STAP_VALUE_VOID) {
		lowering_sign(lower, "void");
		*expr = *sema_string(lower->sema, "", expr->token);
		return;
	}
	list_item(pretty, "return", NULL, expr->target.pretty, true, expr->token);
	pretty_finish(pretty, expr);
}

void lowering_context_list(struct lowering *lower, struct stap_expr *expr)
{
	const struct stap_target *target = lower->sema->target;
	const char *name = expr->target.name;
	struct stap_variable_info *variables = NULL;
	struct error why = {0};
	struct pretty pretty;
	uint32_t count = 0;

	if (expr->target.component_count) {
		expr->target.error = arena_printf(lower->sema->arena,
			"dwarf variable '$%s' may not be used as a structure", name);
		expr->target.error_token = expr->target.components[0].token;
		return;
	}
	pretty_begin(&pretty, lower);
	if (!strcmp(name, "$return")) {
		if (lowering_is_return(lower)) {
			lower_return_list(&pretty, lower, expr);
		} else {
			expr->target.error = "unresolved target-symbol expression";
			lowering_sign(lower, expr->target.error);
		}
		return;
	}
	if (!lower->location || !target || !target->ops->variables) {
		expr->target.error = "unresolved target-symbol expression";
		lowering_sign(lower, expr->target.error);
		return;
	}
	if (target->ops->variables(target->data, lower->location,
		    strcmp(name, "$locals") != 0, strcmp(name, "$parms") != 0,
		    lower->sema->arena, &variables, &count, &why) < 0) {
		expr->target.error = arena_strdup(lower->sema->arena, why.message);
		lowering_sign(lower, expr->target.error);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		list_item(&pretty, variables[i].name, variables[i].label,
			expr->target.pretty, i == 0, expr->token);
		if (pretty.count + 2 > PRETTY_LIMIT && i + 1 < count) {
			pretty_text(&pretty, " ...");
			break;
		}
	}
	pretty_finish(&pretty, expr);
}
