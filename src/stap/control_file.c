/* SPDX-License-Identifier: MIT */
/*
 * procfs("PATH").read and .write: files through which others talk to the running script.  $value
 * in them is no variable of a program but the text that is read or written; it becomes calls of
 * script functions.
 */
#include <string.h>

#include "stap/sema.h"

#define STANDARD_PATH "command"

enum {
	STANDARD_UMASK = 0,
	UMASK_MAX = 0777
};

struct value_lowering {
	struct sema *sema;
	const struct stap_derived_probe *probe;
};

/* ---- $value ------------------------------------------------------------------------------- */

static const char not_value[] = "invalid target symbol for procfs probe, $value expected";

static bool is_target(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_TARGET && expr->target.base == STAP_TARGET_VAR;
}

static bool is_value(const struct stap_expr *expr)
{
	return !strcmp(expr->target.name, "value");
}

static bool check_value(struct value_lowering *lower, const struct stap_expr *expr)
{
	if (!is_value(expr))
		sema_error(lower->sema, expr->token, "%s", not_value);
	else if (expr->target.pretty)
		sema_error(lower->sema, expr->token,
			"procfs variable '$value' may not be pretty-printed");
	else if (expr->target.component_count)
		sema_error(lower->sema, expr->target.components[0].token,
			"procfs variable '$value' may not be used as %s",
			expr->target.components[0].member ? "a structure" : "array");
	else if (expr->target.address_of)
		sema_error(lower->sema, expr->token,
			"cannot take address of procfs variable");
	else
		return true;
	return false;
}

static void become_call(struct value_lowering *lower, struct stap_expr *expr,
	const char *name, struct stap_expr *argument)
{
	struct stap_expr *call =
		stap_expr_new(lower->sema->arena, STAP_EXPR_CALL, expr->token);

	call->call.name = name;
	call->call.args.items = arena_array(lower->sema->arena, struct stap_expr *, 1);
	if (argument)
		call->call.args.items[call->call.args.count++] = argument;
	*expr = *call;
}

static bool lower_value(struct stap_expr *expr, void *data);

/* Of a write probe only reading makes sense, of a read probe only giving.  What is wrong becomes
 * a string, about which nobody complains again. */
static bool lower_change(struct value_lowering *lower, struct stap_expr *expr,
	const struct stap_expr *target, struct stap_expr *value, const char *function)
{
	bool good = check_value(lower, target);

	if (good && !lower->probe->file_is_read)
		sema_error(lower->sema, target->token,
			"procfs $value variable is read-only in a procfs write probe");
	else if (good && !function)
		sema_error(lower->sema, target->token,
			"Only the following assign operators are implemented on procfs "
			"target symbols: '=', '.='");
	else if (good) {
		lower_value(value, lower);
		become_call(lower, expr, function, value);
		return true;
	}
	*expr = *sema_string(lower->sema, "", expr->token);
	return true;
}

static bool lower_value(struct stap_expr *expr, void *data)
{
	struct value_lowering *lower = data;

	if (expr->kind == STAP_EXPR_ASSIGN && is_target(expr->assign.target))
		return lower_change(lower, expr, expr->assign.target, expr->assign.value,
			expr->assign.op == STAP_OP_ASSIGN   ? "__rt_file_set"
			: expr->assign.op == STAP_OP_CONCAT ? "__rt_file_append"
							    : NULL);
	if (expr->kind == STAP_EXPR_CRREMENT && is_target(expr->crrement.target))
		return lower_change(lower, expr, expr->crrement.target, NULL, NULL);
	if (expr->kind == STAP_EXPR_DEFINED && is_target(expr->wrap.operand)) {
		*expr = *sema_number(
			lower->sema, is_value(expr->wrap.operand), expr->token);
		return true;
	}
	if (!is_target(expr))
		return sema_each_operand(expr, lower_value, data);
	if (!is_value(expr)) { /* an error only if it is still there in the end */
		expr->target.error = not_value;
		return true;
	}
	bool good = check_value(lower, expr);

	if (good && !lower->probe->file_is_read) {
		become_call(lower, expr, "__rt_file_value", NULL);
		return true;
	}
	if (good)
		sema_error(lower->sema, expr->token,
			"procfs $value variable cannot be read in a procfs read probe");
	*expr = *sema_string(lower->sema, "", expr->token);
	return true;
}

static bool lower_stmt(struct stap_stmt *stmt, void *data)
{
	return sema_each_expr(stmt, lower_value, data) &&
	       sema_each_stmt(stmt, lower_stmt, data);
}

void sema_lower_file_value(struct sema *sema, struct stap_derived_probe *probe)
{
	struct value_lowering lower = {.sema = sema, .probe = probe};

	lower_stmt(probe->body, &lower);
}

/* ---- the point ---------------------------------------------------------------------------- */

static const char *path_fault(const char *path)
{
	size_t size = strlen(path);

	if (!size || path[size - 1] == '/')
		return "procfs path cannot end with a '/'";
	if (path[0] == '/')
		return "procfs path cannot start with a '/'";
	if (strstr(path, "//"))
		return "procfs path component cannot be empty";
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		size_t length = strcspn(at, "/");
		if ((length == 1 && at[0] == '.') ||
			(length == 2 && !memcmp(at, "..", 2)))
			return "procfs path cannot contain relative component";
	}
	return NULL;
}

/* Any number of handlers may look at what was written; only one can give what is read. */
static bool is_taken(struct sema *sema, const struct stap_derived_probe *probe)
{
	for (size_t i = 0; i < sema->program->probes.count; i++) {
		const struct stap_derived_probe *other = sema->program->probes.items[i];

		if (other->kind == STAP_PROBE_CONTROL_FILE && other->file_is_read &&
			probe->file_is_read &&
			!strcmp(other->file_path, probe->file_path))
			return true;
	}
	return false;
}

bool sema_control_file(struct sema *sema, struct stap_derived_probe *probe,
	const struct stap_point *point, struct sema_error *err)
{
	const struct stap_component *first = &point->components[0];

	probe->file_path = first->has_argument ? first->argument->string : STANDARD_PATH;
	probe->file_umask = STANDARD_UMASK;
	for (uint32_t i = 1; i < point->component_count; i++) {
		const struct stap_component *component = &point->components[i];

		if (!strcmp(component->name, "read"))
			probe->file_is_read = true;
		if (!component->has_argument)
			continue;
		int64_t value = component->argument->number;
		bool is_umask = !strcmp(component->name, "umask");
		if (is_umask ? value < 0 || value > UMASK_MAX : value <= 0) {
			*err = (struct sema_error){
				is_umask ? "invalid umask"
					 : "maxsize must be greater than 0",
				NULL};
			return false;
		}
		if (is_umask)
			probe->file_umask = (uint32_t)value;
		else
			probe->file_max = value;
	}
	const char *fault = path_fault(probe->file_path);
	if (fault) {
		*err = (struct sema_error){fault, first->token};
		return false;
	}
	if (is_taken(sema, probe))
		sema_error(sema, NULL,
			"only one read procfs probe can exist for procfs path \"%s\"",
			probe->file_path);
	return true;
}
