/* SPDX-License-Identifier: MIT */
/*
 * What each handler uses.  Decides storage and locks (layout.c), which registers a
 * trampoline has to save, and whether a body can outrun its action budget at all: one
 * that cannot is not counted.
 */
#include <string.h>

#include "stap/codegen/emit.h"

/* ---- side effects
 * ----------------------------------------------------------------------------- */

static bool list_has_effects(const struct stap_expr_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i] && emit_has_effects(list->items[i]))
			return true;
	return false;
}

bool emit_has_effects(const struct stap_expr *expr)
{
	switch (expr->kind) {
	case STAP_EXPR_ASSIGN:
	case STAP_EXPR_CRREMENT:
		return true;
	case STAP_EXPR_CALL:
		return expr->call.function || list_has_effects(&expr->call.args);
	case STAP_EXPR_INDEX:
		if (expr->index.hist && emit_has_effects(expr->index.hist))
			return true;
		return list_has_effects(&expr->index.keys);
	case STAP_EXPR_IN:
		return list_has_effects(&expr->index.keys);
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
		return emit_has_effects(expr->binary.left) ||
		       emit_has_effects(expr->binary.right);
	case STAP_EXPR_UNARY:
	case STAP_EXPR_REGEX:
		return emit_has_effects(expr->binary.left);
	case STAP_EXPR_TERNARY:
		return emit_has_effects(expr->ternary.condition) ||
		       emit_has_effects(expr->ternary.then) ||
		       emit_has_effects(expr->ternary.otherwise);
	case STAP_EXPR_PRINT:
		return list_has_effects(&expr->print.args);
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		return emit_has_effects(expr->stat.target);
	case STAP_EXPR_TARGET:
		/* operands are few and rarely assignments: assume the worst */
		return expr->target.access && expr->target.access->operand_count > 0;
	case STAP_EXPR_NUMBER:
	case STAP_EXPR_STRING:
	case STAP_EXPR_VAR:
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
	case STAP_EXPR_ENTRY_VALUE:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		return false;
	}
	return true;
}

/* ---- use
 * --------------------------------------------------------------------------------------
 */

static void use_expr(struct emit_use *use, const struct stap_expr *expr, bool used);

static void use_list(struct emit_use *use, const struct stap_expr_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i])
			use_expr(use, list->items[i], true);
}

static void use_var(struct emit_use *use, const struct stap_var *var, unsigned how)
{
	if (!var)
		return;
	if (var->is_global) {
		use->globals[var->index] |= how;
		return;
	}
	for (uint32_t i = 0; use->owner && i < use->owner->param_count && i < 64; i++)
		if (use->owner->params[i] == var && how != STAP_USE_READ)
			use->written_params |= 1ull << i;
}

/* The place an assignment, increment or extractor works on. */
static void use_place(struct emit_use *use, const struct stap_expr *place, unsigned how)
{
	if (place->kind == STAP_EXPR_VAR) {
		use_var(use, place->var.resolved, how);
	} else if (place->kind == STAP_EXPR_INDEX) {
		use_list(use, &place->index.keys);
		if (place->index.hist)
			use_expr(use, place->index.hist, true);
		use_var(use, place->index.resolved, how);
	} else {
		use_expr(use, place, true);
	}
}

static unsigned assign_use(const struct stap_expr *expr, bool used)
{
	enum stap_op op = expr->assign.op;

	if (op == STAP_OP_ACCUMULATE)
		return STAP_USE_ACCUMULATE;
	if (op == STAP_OP_ASSIGN)
		return STAP_USE_WRITE;
	if (!used && (op == STAP_OP_ADD || op == STAP_OP_SUB))
		return STAP_USE_INCREMENT;
	return STAP_USE_READ | STAP_USE_WRITE;
}

static void use_access(struct emit_use *use, const struct stap_access *access)
{
	if (!access)
		return;
	use->needs_callee_saved |= access->needs_callee_saved;
	use->asks_symbols |= access->static_module != NULL;
	for (uint32_t i = 0; i < access->op_count; i++) {
		const struct stap_access_op *op = &access->ops[i];
		if (op->kind == STAP_ACCESS_DEREF || op->kind == STAP_ACCESS_THREAD ||
			op->kind == STAP_ACCESS_ENTRY)
			use->reads_user_memory = true;
		/* rbx, rbp, r12..r15: a wrong flag of the producer would read garbage */
		if (op->kind == STAP_ACCESS_REG &&
			(op->value == 3 || op->value == 6 ||
				(op->value >= 12 && op->value <= 15)))
			use->needs_callee_saved = true;
	}
	for (uint32_t i = 0; i < access->operand_count; i++)
		use_expr(use, access->operands[i], true);
}

static void use_call(struct emit_use *use, const struct stap_expr *expr)
{
	const struct stap_intrinsic *intrinsic = expr->call.intrinsic;

	use_list(use, &expr->call.args);
	if (expr->call.function)
		use->functions[expr->call.function->index] = 1;
	if (!intrinsic)
		return;
	if (intrinsic->flags & STAP_INTRINSIC_CALLEE_SAVED)
		use->needs_callee_saved = true;
	if (intrinsic->flags & STAP_INTRINSIC_MEMORY)
		use->reads_user_memory = true;
	use->wants_groups |= stap_intrinsic_asks_groups(intrinsic);
	if (intrinsic->flags & STAP_INTRINSIC_SYMBOLS)
		use->asks_symbols = true;
	if (intrinsic->flags & STAP_INTRINSIC_STACKS)
		use->walks_stacks = true;
}

static void use_expr(struct emit_use *use, const struct stap_expr *expr, bool used)
{
	switch (expr->kind) {
	case STAP_EXPR_VAR:
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		if (expr->kind == STAP_EXPR_IN) {
			use_list(use, &expr->index.keys);
			use_var(use, expr->index.resolved, STAP_USE_READ);
		} else {
			use_place(use, expr, STAP_USE_READ);
		}
		break;
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
		use_expr(use, expr->binary.left, true);
		use_expr(use, expr->binary.right, true);
		break;
	case STAP_EXPR_UNARY:
	case STAP_EXPR_REGEX:
		use_expr(use, expr->binary.left, true);
		break;
	case STAP_EXPR_TERNARY:
		use_expr(use, expr->ternary.condition, true);
		use_expr(use, expr->ternary.then, used);
		use_expr(use, expr->ternary.otherwise, used);
		break;
	case STAP_EXPR_ASSIGN:
		use_expr(use, expr->assign.value, true);
		use_place(use, expr->assign.target, assign_use(expr, used));
		break;
	case STAP_EXPR_CRREMENT:
		use_place(use, expr->crrement.target,
			!used ? STAP_USE_INCREMENT : STAP_USE_READ | STAP_USE_WRITE);
		break;
	case STAP_EXPR_CALL:
		use_call(use, expr);
		break;
	case STAP_EXPR_PRINT:
		use_list(use, &expr->print.args);
		break;
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		use_place(use, expr->stat.target, STAP_USE_READ);
		break;
	case STAP_EXPR_TARGET:
		use_access(use, expr->target.access);
		break;
	case STAP_EXPR_NUMBER:
	case STAP_EXPR_STRING:
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
	case STAP_EXPR_ENTRY_VALUE:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		break;
	}
}

static void use_stmt(struct emit_use *use, const struct stap_stmt *stmt);

static void use_foreach(struct emit_use *use, const struct stap_stmt *stmt)
{
	/* sorting reorders the array's own list */
	use_place(use, stmt->foreach.array,
		STAP_USE_READ | (stmt->foreach.sort_direction ? STAP_USE_WRITE : 0));
	for (uint32_t i = 0; i < stmt->foreach.key_count; i++)
		use_place(use, stmt->foreach.keys[i], STAP_USE_WRITE);
	if (stmt->foreach.value)
		use_place(use, stmt->foreach.value, STAP_USE_WRITE);
	use_list(use, &stmt->foreach.slice);
	if (stmt->foreach.limit)
		use_expr(use, stmt->foreach.limit, true);
	use_stmt(use, stmt->foreach.body);
}

static void use_optional(struct emit_use *use, const struct stap_expr *expr, bool used)
{
	if (expr)
		use_expr(use, expr, used);
}

static void use_stmt(struct emit_use *use, const struct stap_stmt *stmt)
{
	if (!stmt)
		return;
	switch (stmt->kind) {
	case STAP_STMT_EXPR:
		use_expr(use, stmt->expr, false);
		break;
	case STAP_STMT_BLOCK:
		for (uint32_t i = 0; i < stmt->block.count; i++)
			use_stmt(use, stmt->block.items[i]);
		break;
	case STAP_STMT_IF:
		use_expr(use, stmt->branch.condition, true);
		use_stmt(use, stmt->branch.then);
		use_stmt(use, stmt->branch.otherwise);
		break;
	case STAP_STMT_FOR:
		use_optional(use, stmt->loop.init, false);
		use_optional(use, stmt->loop.condition, true);
		use_optional(use, stmt->loop.step, false);
		use_stmt(use, stmt->loop.body);
		break;
	case STAP_STMT_FOREACH:
		use_foreach(use, stmt);
		break;
	case STAP_STMT_RETURN:
		use_optional(use, stmt->expr, true);
		break;
	case STAP_STMT_DELETE:
		use_place(use, stmt->expr, STAP_USE_WRITE);
		break;
	case STAP_STMT_TRY:
		use_stmt(use, stmt->try.body);
		use_stmt(use, stmt->try.handler);
		if (stmt->try.variable)
			use_place(use, stmt->try.variable, STAP_USE_WRITE);
		break;
	case STAP_STMT_NULL:
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
		break;
	}
}

/* ---- closure over calls
 * ----------------------------------------------------------------------- */

static void use_init(struct emit *e, struct emit_use *use)
{
	use->globals =
		arena_array(e->program->arena, uint8_t, e->program->globals.count + 1);
	use->functions =
		arena_array(e->program->arena, uint8_t, e->program->functions.count + 1);
}

static bool use_merge(struct emit *e, struct emit_use *use, const struct emit_use *callee)
{
	bool changed = false;

	for (size_t i = 0; i < e->program->globals.count; i++) {
		changed |= (callee->globals[i] & ~use->globals[i]) != 0;
		use->globals[i] |= callee->globals[i];
	}
	for (size_t i = 0; i < e->program->functions.count; i++) {
		changed |= callee->functions[i] && !use->functions[i];
		use->functions[i] |= callee->functions[i];
	}
	changed |= callee->needs_callee_saved && !use->needs_callee_saved;
	changed |= callee->reads_user_memory && !use->reads_user_memory;
	changed |= callee->wants_groups && !use->wants_groups;
	use->wants_groups |= callee->wants_groups;
	changed |= callee->asks_symbols && !use->asks_symbols;
	use->asks_symbols |= callee->asks_symbols;
	changed |= callee->walks_stacks && !use->walks_stacks;
	use->walks_stacks |= callee->walks_stacks;
	use->needs_callee_saved |= callee->needs_callee_saved;
	use->reads_user_memory |= callee->reads_user_memory;
	return changed;
}

static bool use_merge_callees(struct emit *e, struct emit_use *use)
{
	bool changed = false;

	for (size_t i = 0; i < e->program->functions.count; i++)
		if (use->functions[i] && use != &e->functions[i].use)
			changed |= use_merge(e, use, &e->functions[i].use);
	return changed;
}

/* C may do with its globals what it says, and read the program's memory. */
static void use_touches(struct emit_use *use, const struct stap_function *function)
{
	for (uint32_t i = 0; i < function->touch_count; i++) {
		const struct stap_touch *touch = &function->touches[i];

		use->globals[touch->var->index] |=
			(touch->is_read ? STAP_USE_READ : 0) |
			(touch->is_written ? STAP_USE_WRITE : 0);
	}
	use->reads_user_memory |= function->embedded != NULL;
	use->needs_callee_saved |= function->embedded != NULL;
}

static void use_functions(struct emit *e)
{
	bool changed = true;

	for (size_t i = 0; i < e->program->functions.count; i++) {
		struct stap_function *function = e->program->functions.items[i];
		struct emit_use *use = &e->functions[i].use;

		e->functions[i].function = function;
		use_init(e, use);
		use->owner = function;
		use_stmt(use, function->body);
		use_touches(use, function);
		if (function->next_overload)
			use->functions[function->next_overload->index] = 1;
	}
	while (changed) {
		changed = false;
		for (size_t i = 0; i < e->program->functions.count; i++)
			changed |= use_merge_callees(e, &e->functions[i].use);
	}
}

void emit_use_program(struct emit *e)
{
	const struct stap_program *program = e->program;

	e->functions = arena_array(
		program->arena, struct emit_function, program->functions.count + 1);
	e->handlers = arena_array(
		program->arena, struct emit_use, program->probes.count * 2 + 1);
	use_functions(e);
	for (size_t i = 0; i < program->probes.count; i++) {
		const struct stap_derived_probe *probe = program->probes.items[i];
		struct emit_use *body = &e->handlers[i * 2],
				*entry = &e->handlers[i * 2 + 1];

		use_init(e, body);
		use_init(e, entry);
		use_optional(body, probe->condition, true);
		use_stmt(body, probe->body);
		for (size_t v = 0; v < probe->entry_values.count; v++)
			use_expr(entry, probe->entry_values.items[v], true);
		use_merge_callees(e, body);
		use_merge_callees(e, entry);
		e->wants_groups |= body->wants_groups || entry->wants_groups;
	}
}

/* ---- costs
 * ------------------------------------------------------------------------------------ */

static uint32_t cost_add(uint32_t a, uint32_t b)
{
	return a + b >= EMIT_COST_UNBOUNDED ? EMIT_COST_UNBOUNDED : a + b;
}

static uint32_t cost_function(struct emit *e, const struct stap_function *function)
{
	struct emit_function *f = &e->functions[function->index];

	if (f->cost_running || f->use.functions[function->index])
		return EMIT_COST_UNBOUNDED; /* recursion */
	if (!f->cost) {
		f->cost_running = true;
		f->cost = emit_cost_stmt(e, function->body);
		if (function->next_overload)
			f->cost = cost_add(
				f->cost, cost_function(e, function->next_overload));
		f->cost_running = false;
	}
	return f->cost;
}

static uint32_t cost_list(struct emit *e, const struct stap_expr_list *list)
{
	uint32_t cost = 0;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i])
			cost = cost_add(cost, emit_cost_expr(e, list->items[i]));
	return cost;
}

/* Only calls cost anything inside an expression. */
uint32_t emit_cost_expr(struct emit *e, const struct stap_expr *expr)
{
	uint32_t cost = 0;

	if (!expr)
		return 0;
	switch (expr->kind) {
	case STAP_EXPR_CALL:
		cost = cost_list(e, &expr->call.args);
		if (expr->call.function)
			cost = cost_add(cost, cost_function(e, expr->call.function));
		return cost;
	case STAP_EXPR_INDEX:
	case STAP_EXPR_IN:
		return cost_add(cost_list(e, &expr->index.keys),
			emit_cost_expr(e, expr->index.hist));
	case STAP_EXPR_UNARY:
	case STAP_EXPR_BINARY:
	case STAP_EXPR_LOGICAL:
	case STAP_EXPR_REGEX:
		return cost_add(emit_cost_expr(e, expr->binary.left),
			emit_cost_expr(e, expr->binary.right));
	case STAP_EXPR_TERNARY:
		cost = cost_add(emit_cost_expr(e, expr->ternary.then),
			emit_cost_expr(e, expr->ternary.otherwise));
		return cost_add(cost, emit_cost_expr(e, expr->ternary.condition));
	case STAP_EXPR_ASSIGN:
		return cost_add(emit_cost_expr(e, expr->assign.target),
			emit_cost_expr(e, expr->assign.value));
	case STAP_EXPR_CRREMENT:
		return emit_cost_expr(e, expr->crrement.target);
	case STAP_EXPR_PRINT:
		return cost_list(e, &expr->print.args);
	case STAP_EXPR_STAT:
	case STAP_EXPR_HIST:
		return emit_cost_expr(e, expr->stat.target);
	case STAP_EXPR_TARGET:
		for (uint32_t i = 0;
			expr->target.access && i < expr->target.access->operand_count;
			i++)
			cost = cost_add(cost,
				emit_cost_expr(e, expr->target.access->operands[i]));
		return cost;
	case STAP_EXPR_NUMBER:
	case STAP_EXPR_STRING:
	case STAP_EXPR_VAR:
	case STAP_EXPR_DEFINED:
	case STAP_EXPR_ENTRY:
	case STAP_EXPR_ENTRY_VALUE:
	case STAP_EXPR_PERF:
	case STAP_EXPR_EMBEDDED:
		return 0;
	}
	return 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

uint32_t emit_cost_stmt(struct emit *e, const struct stap_stmt *stmt)
{
	uint32_t cost = 1;

	if (!stmt)
		return 0;
	switch (stmt->kind) {
	case STAP_STMT_NULL:
		return 0;
	case STAP_STMT_EXPR:
	case STAP_STMT_RETURN:
	case STAP_STMT_DELETE:
		return cost_add(1, emit_cost_expr(e, stmt->expr));
	case STAP_STMT_BLOCK:
		cost = 0;
		for (uint32_t i = 0; i < stmt->block.count; i++)
			cost = cost_add(cost, emit_cost_stmt(e, stmt->block.items[i]));
		return cost;
	case STAP_STMT_IF:
		cost = cost_add(cost, emit_cost_expr(e, stmt->branch.condition));
		return cost_add(cost, larger(emit_cost_stmt(e, stmt->branch.then),
					      emit_cost_stmt(e, stmt->branch.otherwise)));
	case STAP_STMT_FOR:
	case STAP_STMT_FOREACH:
		return EMIT_COST_UNBOUNDED;
	case STAP_STMT_TRY:
		return cost_add(emit_cost_stmt(e, stmt->try.body),
			emit_cost_stmt(e, stmt->try.handler));
	case STAP_STMT_BREAK:
	case STAP_STMT_CONTINUE:
	case STAP_STMT_NEXT:
		return 1;
	}
	return 1;
}
