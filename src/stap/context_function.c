/* SPDX-License-Identifier: MIT */
/*
 * Functions that speak of the program, `function f() { println($x) }`, mean what is there where they are called: each
 * probe calls a copy of its own, whose variables are looked up at the probe's place.  Where system calls and functions
 * return, only $return can be meant: other values would have had to be saved at the entry.
 */
#include <string.h>

#include "stap/lowering.h"

struct lowering_copy {
	struct stap_function *original, *copy;
	struct lowering_copy *next;
};

struct search {
	struct sema *sema;
	bool only_beyond_return; /* $return alone is none */
};

static bool stmt_needs_place(struct stap_stmt *stmt, void *data);

static struct stap_function *function_of_files(const struct stap_file *const *files,
	size_t count, const struct stap_expr *call, struct stap_function *found,
	bool *is_overloaded)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < files[i]->functions.count; j++) {
			struct stap_function *function = files[i]->functions.items[j];

			if (strcmp(function->name, call->call.name) != 0 ||
				function->param_count != call->call.args.count ||
				(function->is_private &&
					function->token->source != call->token->source))
				continue;
			*is_overloaded |= found && found != function;
			found = function;
		}
	}
	return found;
}

/* The one function that is called; of several it is not known which will be. */
static struct stap_function *called_function(
	struct sema *sema, const struct stap_expr *call)
{
	const struct stap_semantic_options *options = sema->options;
	bool is_overloaded = false;
	struct stap_function *found = function_of_files(options->user_files,
		options->user_file_count, call, NULL, &is_overloaded);

	if (!found)
		found = function_of_files(options->library_files,
			options->library_file_count, call, NULL, &is_overloaded);
	return is_overloaded ? NULL : found;
}

static bool function_needs_place(struct search *search, struct stap_function *function)
{
	if (!function || !function->body || function->mark == search->sema->mark)
		return false;
	function->mark = search->sema->mark;
	return sema_stmt_any(function->body, stmt_needs_place, search);
}

static bool is_of_return(const struct stap_expr *expr)
{
	return expr->target.base == STAP_TARGET_VAR &&
	       (!strcmp(expr->target.name, "return") ||
		       !strcmp(expr->target.name, "$return"));
}

/* Stops, with false, at what only a place gives a meaning to. */
static bool needs_no_place(struct stap_expr *expr, void *data)
{
	struct search *search = data;

	if (expr->kind == STAP_EXPR_TARGET && expr->target.base != STAP_TARGET_AUTOCAST &&
		!expr->target.module &&
		!(search->only_beyond_return && is_of_return(expr)))
		return false;
	if (expr->kind == STAP_EXPR_ENTRY)
		return false;
	if (expr->kind == STAP_EXPR_CALL &&
		function_needs_place(search, called_function(search->sema, expr)))
		return false;
	return sema_each_operand(expr, needs_no_place, data);
}

static bool stmt_needs_place(struct stap_stmt *stmt, void *data)
{
	return !sema_each_expr(stmt, needs_no_place, data);
}

bool sema_calls_context(struct sema *sema, struct stap_stmt *body)
{
	struct search search = {.sema = sema};

	sema->mark++;
	return sema_stmt_any(body, stmt_needs_place, &search);
}

static bool needs_place(struct lowering *lower, struct stap_function *function)
{
	struct search search = {.sema = lower->sema};
	bool needs;

	lower->sema->mark++;
	needs = function_needs_place(&search, function);
	if (!needs || (!lower->in_return && !lowering_is_return(lower)))
		return needs;
	search.only_beyond_return = true;
	lower->sema->mark++;
	return !function_needs_place(&search, function);
}

static struct stap_function *copy_function(
	struct sema *sema, const struct stap_function *function)
{
	struct stap_function *copy = arena_new(sema->arena, struct stap_function);

	*copy = *function;
	memset(&copy->locals, 0, sizeof(copy->locals));
	copy->is_called = false;
	copy->is_placed = true;
	copy->body = stap_stmt_copy(sema->arena, function->body);
	copy->params =
		arena_array(sema->arena, struct stap_var *, function->param_count + 1);
	for (uint32_t i = 0; i < function->param_count; i++) {
		struct stap_var *param = arena_new(sema->arena, struct stap_var);

		*param = *function->params[i];
		param->is_parameter = true;
		copy->params[i] = param;
	}
	return copy;
}

void lowering_call(struct lowering *lower, struct stap_expr *call)
{
	struct stap_function *function;
	struct lowering_copy *copy;

	if (!lower->location || !lower->copies || call->call.function)
		return;
	function = called_function(lower->sema, call);
	if (!needs_place(lower, function))
		return;
	for (copy = *lower->copies; copy; copy = copy->next) {
		if (copy->original == function) {
			call->call.function = copy->copy;
			return;
		}
	}
	copy = arena_new(lower->sema->arena, struct lowering_copy);
	*copy = (struct lowering_copy){
		function, copy_function(lower->sema, function), *lower->copies};
	*lower->copies = copy;
	call->call.function = copy->copy;
	lowering_function(lower, copy->copy);
}
