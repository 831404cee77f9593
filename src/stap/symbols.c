/* SPDX-License-Identifier: MIT */
/*
 * Names bound to variables and functions.  Locals are never declared: the first use creates them,
 * unless a global, anywhere in the program or the library, has the name.  Library files come in
 * whole when one of their functions, globals or aliases is used.
 */
#include <string.h>

#include "stap/kernel.h"
#include "stap/sema.h"

struct scope {
	struct sema *sema;
	struct sema_owner owner;
	bool in_condition;
};

static bool resolve_expr(struct stap_expr *expr, void *data);

/* ---- files ------------------------------------------------------------------------------- */

static bool same_file(const struct stap_token *a, const struct stap_token *b)
{
	return a && b && a->source == b->source;
}

static bool is_visible(
	bool is_private, const struct stap_token *declared, const struct stap_token *used)
{
	return !is_private || same_file(declared, used);
}

static void global_use(struct sema *sema, struct stap_var *var)
{
	if (var->is_named)
		return;
	var->is_named = var->is_global = true;
	if (var->init && !var->arity_token) {
		var->arity = 0;
		var->arity_token = var->token;
	}
	sema_push(sema, &sema->globals, var);
}

static void function_use(struct sema *sema, struct stap_function *function)
{
	if (function->is_called)
		return;
	function->is_called = true;
	sema_push(sema, &sema->functions, function);
}

static bool is_users(const struct sema *sema, const struct stap_file *file)
{
	for (uint32_t i = 0; i < sema->options->user_file_count; i++) {
		if (sema->options->user_files[i] == file)
			return true;
	}
	return false;
}

void sema_activate_file(struct sema *sema, const struct stap_file *file)
{
	for (size_t i = 0; i < sema->files.count; i++) {
		if (sema->files.items[i] == file)
			return;
	}
	sema_push(sema, &sema->files, file);
	for (uint32_t i = 0; file->argument_used && i < sema->options->argument_count;
		i++)
		sema->options->argument_used[i] |= file->argument_used[i];
	if (!sema->options->whole || !is_users(sema, file))
		return;
	for (size_t i = 0; i < file->globals.count; i++)
		global_use(sema, file->globals.items[i]);
	for (size_t i = 0; i < file->functions.count; i++)
		function_use(sema, file->functions.items[i]);
}

/* ---- variables --------------------------------------------------------------------------- */

static bool arity_set(struct sema *sema, struct stap_var *var, int arity,
	const struct stap_token *token)
{
	if (var->arity == arity && var->arity_token)
		return true;
	if (var->arity != -1 && var->arity_token) {
		struct stap_diagnostic *diagnostic = sema_error(
			sema, token, "inconsistent arity (%d vs %d)", var->arity, arity);

		sema_cause(sema, diagnostic, var->arity_token,
			"arity %d first inferred here", var->arity);
		return false;
	}
	if (!arity && var->size_limit) {
		sema_error(sema, var->token, "inconsistent arity");
		return false;
	}
	var->arity = arity;
	var->arity_token = token;
	return true;
}

static struct stap_var *local_find(const struct scope *scope, const char *name)
{
	const struct stap_function *function = scope->owner.function;

	if (function) {
		for (size_t i = 0; i < function->locals.count; i++) {
			if (!strcmp(function->locals.items[i]->name, name))
				return function->locals.items[i];
		}
		for (uint32_t i = 0; i < function->param_count; i++) {
			if (!strcmp(function->params[i]->name, name))
				return function->params[i];
		}
		return NULL;
	}
	for (size_t i = 0; i < scope->owner.probe->locals.count; i++) {
		if (!strcmp(scope->owner.probe->locals.items[i]->name, name))
			return scope->owner.probe->locals.items[i];
	}
	return NULL;
}

/* What the program brings with it means its own globals, whatever those of scripts are called. */
static bool is_global_visible(const struct stap_var *var, const struct stap_token *used)
{
	if (used && used->source->is_builtin && !var->token->source->is_builtin)
		return false;
	return is_visible(var->is_private, var->token, used);
}

static struct stap_var *global_of_file(
	const struct stap_file *file, const char *name, const struct stap_token *token)
{
	for (size_t i = 0; i < file->globals.count; i++) {
		struct stap_var *var = file->globals.items[i];

		if (!strcmp(var->name, name) && is_global_visible(var, token))
			return var;
	}
	return NULL;
}

/* Those in use first: the user's, before those of the library. */
static struct stap_var *global_search(
	struct sema *sema, const char *name, const struct stap_token *token)
{
	const struct stap_semantic_options *options = sema->options;
	struct stap_var *var;

	for (size_t i = 0; i < sema->globals.count; i++) {
		var = sema->globals.items[i];
		if (!strcmp(var->name, name) && is_global_visible(var, token))
			return var;
	}
	for (size_t i = 0; i < sema->files.count; i++) {
		var = global_of_file(sema->files.items[i], name, token);
		if (var)
			return var;
	}
	for (uint32_t i = 0; i < options->library_file_count; i++) {
		var = global_of_file(options->library_files[i], name, token);
		if (!var)
			continue;
		sema_activate_file(sema, options->library_files[i]);
		return var;
	}
	return NULL;
}

struct stap_var *sema_global_find(
	struct sema *sema, const char *name, const struct stap_token *token)
{
	struct stap_var *var = global_search(sema, name, token);

	if (var)
		global_use(sema, var);
	return var;
}

static const char *place_text(struct sema *sema, const struct stap_token *token)
{
	return arena_printf(sema->arena, "identifier '%s' at %s:%u:%u", token->text,
		token->source->name, token->line, token->column);
}

static struct stap_var *variable_find(
	struct scope *scope, const char *name, int arity, const struct stap_token *token)
{
	struct stap_var *var = local_find(scope, name);

	/* no array can be passed to a function: it is a global by that name, if anything */
	if (var && var->is_parameter && arity > 0)
		var = NULL;
	/* a script's array is not the scalar of the same name in an alias it uses */
	if (var && var->is_library && sema_is_user_token(token) && var->arity != arity &&
		sema_global_find(scope->sema, name, token))
		var = NULL;
	if (!var) {
		var = sema_global_find(scope->sema, name, token);
		if (var && sema_is_user_token(var->token) &&
			!same_file(var->token, token))
			sema_warn(scope->sema, token,
				"cross-file global variable reference to %s from",
				place_text(scope->sema, var->token));
	}
	if (var && !arity_set(scope->sema, var, arity, token))
		return NULL;
	return var;
}

static struct stap_var *local_add(
	struct scope *scope, const char *name, const struct stap_token *token)
{
	struct stap_var *var = arena_new(scope->sema->arena, struct stap_var);

	var->name = name;
	var->token = token;
	var->arity_token = token;
	var->is_library = !sema_is_user_token(token);
	if (scope->owner.function)
		sema_push(scope->sema, &scope->owner.function->locals, var);
	else
		sema_push(scope->sema, &scope->owner.probe->locals, var);
	return var;
}

static bool resolve_var(struct scope *scope, struct stap_expr *expr)
{
	size_t errors = scope->sema->diag->error_count;

	if (expr->var.resolved)
		return true;
	expr->var.resolved = variable_find(scope, expr->var.name, 0, expr->token);
	if (expr->var.resolved)
		return true;
	if (scope->sema->diag->error_count > errors)
		return false;
	if (scope->in_condition) {
		sema_error(scope->sema, expr->token,
			"probe condition must not reference undeclared global");
		return false;
	}
	expr->var.resolved = local_add(scope, expr->var.name, expr->token);
	return true;
}

static struct stap_var *array_find(struct scope *scope, const char *name, uint32_t keys,
	const struct stap_token *token)
{
	size_t errors = scope->sema->diag->error_count;
	struct stap_var *var = variable_find(scope, name, (int)keys, token);

	if (!var && scope->sema->diag->error_count == errors)
		sema_error(scope->sema, token,
			"unresolved arity-%u global array %s, missing global declaration?",
			keys, name);
	return var;
}

static bool resolve_index(struct scope *scope, struct stap_expr *expr)
{
	if (!sema_each_operand(expr, resolve_expr, scope))
		return false;
	if (expr->index.hist || expr->index.resolved)
		return true;
	expr->index.resolved = array_find(scope, expr->index.name, expr->index.keys.count,
		expr->index.array ? expr->index.array : expr->token);
	return expr->index.resolved != NULL;
}

/* An element: slices are for delete, foreach and in. */
static bool resolve_element(struct scope *scope, struct stap_expr *expr)
{
	for (uint32_t i = 0; i < expr->index.keys.count; i++) {
		if (expr->index.keys.items[i])
			continue;
		sema_error(
			scope->sema, expr->token, "wildcard not allowed in array index");
		return false;
	}
	return resolve_index(scope, expr);
}

/* ---- functions ---------------------------------------------------------------------------- */

static bool is_candidate(const struct stap_function *function, const char *name,
	const struct stap_token *token)
{
	return !strcmp(function->name, name) &&
	       is_visible(function->is_private, function->token, token);
}

/* Library files that define such a function. */
static void library_files_pull(struct sema *sema, const struct stap_expr *call)
{
	const struct stap_semantic_options *options = sema->options;

	for (uint32_t i = 0; i < options->library_file_count; i++) {
		const struct stap_file *file = options->library_files[i];

		for (size_t j = 0; j < file->functions.count; j++) {
			const struct stap_function *function = file->functions.items[j];

			if (is_candidate(function, call->call.name, call->token) &&
				function->param_count == call->call.args.count)
				sema_activate_file(sema, file);
		}
	}
}

static bool function_is_before(
	const struct stap_function *function, const struct stap_function *other)
{
	return function->priority < other->priority;
}

static bool stmt_is_next(struct stap_stmt *stmt, void *data)
{
	return stmt->kind == STAP_STMT_NEXT;
}

/* Without `next` in it the following ones are never reached. */
static bool falls_through(const struct stap_function *function)
{
	return function->embedded ? strstr(function->embedded->text, "STAP_NEXT") != NULL
				  : sema_stmt_any(function->body, stmt_is_next, NULL);
}

static void warn_unreached(struct sema *sema, const struct stap_function *function)
{
	if (sema_is_user_token(function->token))
		sema_warn(sema, function->token,
			"instance of overloaded function will never be reached");
}

struct overloads {
	VEC(struct stap_function *) found; /* by priority, then in order of the sources */
	const struct stap_function *other; /* one with another number of arguments */
};

static void overloads_add_file(struct overloads *overloads, const struct stap_file *file,
	const struct stap_expr *call)
{
	for (size_t i = 0; i < file->functions.count; i++) {
		struct stap_function *function = file->functions.items[i];
		size_t at;

		if (!is_candidate(function, call->call.name, call->token))
			continue;
		if (function->param_count != call->call.args.count) {
			overloads->other = function;
			continue;
		}
		vec_append(&overloads->found, function);
		for (at = overloads->found.count - 1;
			at > 0 &&
			function_is_before(function, overloads->found.items[at - 1]);
			at--)
			overloads->found.items[at] = overloads->found.items[at - 1];
		overloads->found.items[at] = function;
	}
}

/*
 * A function of the runtime by the name of a script's own is the last candidate, as those of the library
 * are: `function strlen(s) { if (s == "x") return 9; next }`.  It gets a body that calls it.
 */
static struct stap_function *intrinsic_candidate(struct sema *sema,
	const struct stap_intrinsic *intrinsic, const struct stap_token *token)
{
	struct arena *arena = sema->arena;
	struct stap_function *function = arena_new(arena, struct stap_function);
	struct stap_expr *call = stap_expr_new(arena, STAP_EXPR_CALL, token);
	uint32_t count = (uint32_t)strlen(intrinsic->arguments);
	bool has_result = intrinsic->result != STAP_TYPE_UNKNOWN;

	*function = (struct stap_function){.name = intrinsic->name,
		.token = token,
		.param_count = count,
		.is_library = true,
		.type = intrinsic->result,
		.has_declared_type = has_result};
	function->params = arena_array(arena, struct stap_var *, count + 1);
	call->call.name = intrinsic->name;
	call->call.intrinsic = intrinsic;
	call->call.args.count = count;
	call->call.args.items = arena_array(arena, struct stap_expr *, count + 1);
	for (uint32_t i = 0; i < count; i++) {
		struct stap_var *param = arena_new(arena, struct stap_var);
		struct stap_expr *value = stap_expr_new(arena, STAP_EXPR_VAR, token);

		param->name = value->var.name = arena_printf(arena, "__argument%u", i);
		param->token = token;
		param->is_parameter = true;
		param->type = intrinsic->arguments[i] == 'S' ? STAP_TYPE_STRING
							     : STAP_TYPE_LONG;
		function->params[i] = param;
		call->call.args.items[i] = value;
	}
	function->body = stap_stmt_new(
		arena, has_result ? STAP_STMT_RETURN : STAP_STMT_EXPR, token);
	function->body->expr = call;
	return function;
}

/* What follows a script's functions that all may say `next`. */
static void chain_intrinsic(
	struct sema *sema, struct stap_function *last, const struct stap_expr *call)
{
	const struct stap_intrinsic *intrinsic =
		stap_intrinsic_find(call->call.name, call->call.args.count);

	if (!intrinsic || last->next_overload || !falls_through(last))
		return;
	last->next_overload = intrinsic_candidate(sema, intrinsic, last->token);
	function_use(sema, last->next_overload);
}

/* The candidates with that many arguments, chained. */
static struct stap_function *overloads_find(struct sema *sema,
	const struct stap_expr *call, const struct stap_function **ret_other)
{
	const struct stap_semantic_options *options = sema->options;
	struct overloads overloads = {0};
	struct stap_function *first = NULL, *last = NULL;

	for (size_t i = 0; i < sema->files.count; i++)
		overloads_add_file(&overloads, sema->files.items[i], call);
	for (size_t i = 0; i < overloads.found.count; i++) {
		struct stap_function *function = overloads.found.items[i];

		if (i && !falls_through(overloads.found.items[i - 1])) {
			warn_unreached(sema, function);
			break;
		}
		if (i)
			overloads.found.items[i - 1]->next_overload = function;
		first = overloads.found.items[0];
		last = function;
		function_use(sema, function);
	}
	if (last)
		chain_intrinsic(sema, last, call);
	for (uint32_t i = 0; !first && i < options->library_file_count; i++)
		overloads_add_file(&overloads, options->library_files[i], call);
	*ret_other = overloads.other;
	vec_free(&overloads.found);
	return first;
}

static void names_add_functions(struct sema_names *names, const struct stap_file *file)
{
	for (size_t i = 0; i < file->functions.count; i++)
		if (!file->functions.items[i]->is_private)
			sema_names_add(names, file->functions.items[i]->name);
}

static const char *similar_functions(struct sema *sema, const char *name)
{
	const struct stap_semantic_options *options = sema->options;
	struct sema_names names = {.arena = sema->arena};
	const struct stap_intrinsic *intrinsic;

	for (size_t i = 0; i < sema->files.count; i++)
		names_add_functions(&names, sema->files.items[i]);
	for (uint32_t i = 0; i < options->library_file_count; i++)
		names_add_functions(&names, options->library_files[i]);
	for (uint32_t i = 0; (intrinsic = stap_intrinsic_at(i)); i++)
		if (strncmp(intrinsic->name, "__rt_", 5) != 0)
			sema_names_add(&names, intrinsic->name);
	return sema_similar(&names, name);
}

static bool arity_mismatch(struct sema *sema, const struct stap_expr *expr,
	const struct stap_function *function)
{
	const char *name = expr->call.name;
	uint32_t count = function ? function->param_count : 0;

	for (uint32_t i = 0; !function && stap_intrinsic_at(i); i++) {
		if (!strcmp(stap_intrinsic_at(i)->name, name))
			count = (uint32_t)strlen(stap_intrinsic_at(i)->arguments);
	}
	sema_error(sema, expr->token,
		"arity mismatch found (function '%s' takes %u args)", name, count)
		->token2 = function ? function->token : NULL;
	return false;
}

/* The library itself may do what it likes. */
static bool check_guru(struct sema *sema, const struct stap_expr *expr)
{
	if (!(expr->call.intrinsic->flags & STAP_INTRINSIC_GURU) || sema->options->guru ||
		!sema_is_user_token(expr->token))
		return true;
	if (sema->options->privilege && strcmp(sema->options->privilege, "stapdev") != 0)
		sema_error(sema, expr->token,
			"function may not be used when --privilege=%s is specified",
			sema->options->privilege);
	else
		sema_error(sema, expr->token,
			"function may not be used unless -g is specified");
	return false;
}

/* @uregister(N) and @uderef(SIZE, E), and their kernel forms of the same memory, are calls of the
 * functions that do the same by name. */
static bool lower_machine_operator(struct sema *sema, struct stap_expr *expr)
{
	static const char *const registers[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi",
		"rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		"rip"};
	struct stap_expr **args = expr->call.args.items;
	int64_t number = args[0]->number;

	if (!strcmp(expr->call.name + 2, "register")) {
		if (number < 0 ||
			number >= (int64_t)(sizeof(registers) / sizeof(*registers))) {
			sema_error(sema, expr->token, "no register has the number %lld",
				(long long)number);
			return false;
		}
		args[0] = sema_string(sema, registers[number], args[0]->token);
		expr->call.name = "u_register";
		return true;
	}
	if (number != 1 && number != 2 && number != 4 && number != 8) {
		sema_error(sema, expr->token,
			"memory cannot be read by %lld bytes, but by 1, 2, 4 or 8",
			(long long)number);
		return false;
	}
	args[0] = args[1];
	expr->call.args.count = 1;
	expr->call.name =
		arena_printf(sema->arena, "user_uint%d_error", (int)(8 * number));
	return true;
}

static bool is_machine_operator(const char *name)
{
	return !strcmp(name, "@uregister") || !strcmp(name, "@kregister") ||
	       !strcmp(name, "@uderef") || !strcmp(name, "@kderef");
}

static bool resolve_call(struct scope *scope, struct stap_expr *expr)
{
	struct sema *sema = scope->sema;
	const struct stap_function *other = NULL;
	const char *name = expr->call.name;

	if (expr->call.function && expr->call.function->is_placed)
		function_use(sema, expr->call.function);
	if (expr->call.function || expr->call.intrinsic)
		return sema_each_operand(expr, resolve_expr, scope);
	if (scope->in_condition) {
		sema_error(
			sema, expr->token, "probe condition must not reference function");
		return false;
	}
	if (!strcmp(name, "@const") && expr->call.args.count == 1 &&
		expr->call.args.items[0]->kind == STAP_EXPR_STRING) {
		sema_embedded_const(sema, expr);
		return true;
	}
	if (is_machine_operator(name)) {
		if (!lower_machine_operator(sema, expr))
			return false;
		name = expr->call.name;
	}
	if (name[0] == '@') {
		sema_error(sema, expr->token, "%s is not available yet", name);
		return false;
	}
	if (!sema_each_operand(expr, resolve_expr, scope))
		return false;
	library_files_pull(sema, expr);
	expr->call.function = overloads_find(sema, expr, &other);
	if (expr->call.function)
		return true;
	expr->call.intrinsic = stap_intrinsic_find(name, expr->call.args.count);
	if (expr->call.intrinsic) {
		sema->uses_groups |= stap_intrinsic_asks_groups(expr->call.intrinsic);
		return check_guru(sema, expr);
	}
	if (other || stap_intrinsic_exists(name))
		return arity_mismatch(sema, expr, other);
	sema_error(sema, expr->token, "unresolved function %s%s", name,
		stap_is_kernel_function(name)
			? " (it looks into the kernel; only processes can be probed)"
			: similar_functions(sema, name));
	return false;
}

/* ---- trees -------------------------------------------------------------------------------- */

static bool is_lvalue(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_VAR || expr->kind == STAP_EXPR_INDEX ||
	       expr->kind == STAP_EXPR_TARGET ||
	       expr->kind == STAP_EXPR_ENTRY_VALUE; /* refused already */
}

static bool fail_lvalue(
	struct sema *sema, const struct stap_expr *expr, const struct stap_expr *target)
{
	bool is_dotted =
		target->kind == STAP_EXPR_BINARY && target->binary.op == STAP_OP_CONCAT;

	if (expr->kind == STAP_EXPR_ASSIGN)
		sema_error(sema, expr->token, "Expecting lvalue for assignment%s",
			is_dotted ? ", try -> instead" : "")
			->token2 = target->token;
	else
		sema_error(sema, expr->token, "Expecting lvalue expression");
	return false;
}

static bool resolve_change(struct scope *scope, struct stap_expr *expr)
{
	const struct stap_expr *target = expr->kind == STAP_EXPR_ASSIGN
						 ? expr->assign.target
						 : expr->crrement.target;

	if (scope->in_condition) {
		sema_error(scope->sema, expr->token,
			"probe condition must not modify any variables");
		return false;
	}
	if (target->kind == STAP_EXPR_INDEX && target->index.hist) {
		sema_error(
			scope->sema, expr->token, "cannot assign to histogram buckets");
		return false;
	}
	if (!is_lvalue(target) && target->kind == STAP_EXPR_CALL &&
		!sema_each_operand(expr, resolve_expr, scope))
		return false;
	if (!is_lvalue(target))
		return fail_lvalue(scope->sema, expr, target);
	return sema_each_operand(expr, resolve_expr, scope);
}

static bool resolve_stat(struct scope *scope, struct stap_expr *expr)
{
	const struct stap_expr *target = expr->stat.target;

	/* what can be no statistic is told of when types are looked at */
	if (target->kind == STAP_EXPR_VAR || target->kind == STAP_EXPR_NUMBER ||
		target->kind == STAP_EXPR_STRING || target->kind == STAP_EXPR_BINARY ||
		(target->kind == STAP_EXPR_INDEX && !target->index.hist))
		return sema_each_operand(expr, resolve_expr, scope);
	sema_error(
		scope->sema, target->token, "Expecting symbol or array index expression");
	return false;
}

/* `b in @hist_log(s)` is @hist_log(s)[b]: true where something was counted */
static bool resolve_bucket_in(struct scope *scope, struct stap_expr *expr)
{
	if (expr->index.keys.count != 1 || !expr->index.keys.items[0]) {
		sema_error(scope->sema, expr->token,
			"a bucket of a histogram is named by one number");
		return false;
	}
	expr->kind = STAP_EXPR_INDEX;
	expr->type = STAP_TYPE_UNKNOWN;
	return resolve_element(scope, expr);
}

static bool resolve_expr(struct stap_expr *expr, void *data)
{
	struct scope *scope = data;

	switch ((int)expr->kind) {
	case STAP_EXPR_VAR:
		return resolve_var(scope, expr);
	case STAP_EXPR_INDEX:
		return resolve_element(scope, expr);
	case STAP_EXPR_IN:
		return expr->index.hist ? resolve_bucket_in(scope, expr)
					: resolve_index(scope, expr);
	case STAP_EXPR_CALL:
		return resolve_call(scope, expr);
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		return resolve_change(scope, expr);
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		return resolve_stat(scope, expr);
	case STAP_EXPR_EMBEDDED:
		sema_embedded_expr(scope->sema, expr);
		return true;
	default:
		return sema_each_operand(expr, resolve_expr, data);
	}
}

/* `foreach (k in a)` and `delete a` name an array by a plain VAR. */
static bool resolve_foreach(struct scope *scope, struct stap_stmt *stmt)
{
	struct stap_expr *array = stmt->foreach.array;
	const struct stap_expr_list *slice = &stmt->foreach.slice;

	if (array->kind == STAP_EXPR_VAR) {
		array->var.resolved = array_find(
			scope, array->var.name, stmt->foreach.key_count, array->token);
		if (!array->var.resolved)
			return false;
	} else if (!resolve_expr(array, scope)) {
		return false;
	}
	if (slice->count && slice->count != stmt->foreach.key_count) {
		sema_error(scope->sema, array->token,
			"unresolved arity-%u global array %s, missing global declaration?",
			slice->count, array->var.name);
		return false;
	}
	for (uint32_t i = 0; i < stmt->foreach.key_count; i++) {
		if (!resolve_expr(stmt->foreach.keys[i], scope))
			return false;
	}
	for (uint32_t i = 0; i < slice->count; i++) {
		if (slice->items[i] && !resolve_expr(slice->items[i], scope))
			return false;
	}
	return (!stmt->foreach.value || resolve_expr(stmt->foreach.value, scope)) &&
	       (!stmt->foreach.limit || resolve_expr(stmt->foreach.limit, scope));
}

static bool resolve_delete(struct scope *scope, struct stap_stmt *stmt)
{
	struct stap_expr *expr = stmt->expr;
	struct stap_var *var;

	if (expr->kind == STAP_EXPR_TARGET) {
		sema_error(
			scope->sema, expr->token, "invalid operand of delete expression");
		return false;
	}
	if (expr->kind == STAP_EXPR_INDEX)
		return resolve_index(scope, expr);
	if (expr->kind != STAP_EXPR_VAR)
		return resolve_expr(expr, scope);
	/* a whole array or a scalar: whatever the name is */
	var = local_find(scope, expr->var.name);
	if (!var)
		var = sema_global_find(scope->sema, expr->var.name, expr->token);
	expr->var.resolved = var;
	if (!var)
		sema_error(
			scope->sema, expr->token, "unresolved array in delete statement");
	return var != NULL;
}

static bool resolve_stmt(struct stap_stmt *stmt, void *data)
{
	struct scope *scope = data;
	bool ok;

	if (stmt->kind == STAP_STMT_BLOCK) {
		/* an error in one of them says nothing about the others */
		for (uint32_t i = 0; i < stmt->block.count; i++)
			resolve_stmt(stmt->block.items[i], data);
		return true;
	}

	if (stmt->kind == STAP_STMT_FOREACH)
		ok = resolve_foreach(scope, stmt);
	else if (stmt->kind == STAP_STMT_DELETE)
		ok = resolve_delete(scope, stmt);
	else
		ok = sema_each_expr(stmt, resolve_expr, data);
	return ok && sema_each_stmt(stmt, resolve_stmt, data);
}

void sema_resolve_function(struct sema *sema, struct stap_function *function)
{
	struct scope scope = {.sema = sema, .owner = {.function = function}};

	for (uint32_t i = 0; i < function->param_count; i++)
		function->params[i]->is_parameter = true;
	if (function->embedded) {
		sema_embedded(sema, function);
		return;
	}
	if (!function->is_placed)
		sema_lower_targets(sema, scope.owner, NULL, NULL);
	resolve_stmt(function->body, &scope);
}

void sema_resolve_probe(struct sema *sema, struct stap_derived_probe *probe)
{
	struct scope scope = {.sema = sema, .owner = {.probe = probe}};

	for (size_t i = 0; i < probe->entry_values.count; i++) {
		if (!resolve_expr(probe->entry_values.items[i], &scope))
			return;
	}
	if (!resolve_stmt(probe->body, &scope))
		return;
	scope.in_condition = true;
	if (probe->condition)
		resolve_expr(probe->condition, &scope);
}
