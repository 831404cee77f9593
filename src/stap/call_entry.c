/* SPDX-License-Identifier: MIT */
/*
 * @entry() where a system call returns.
 *
 * No frame of the program belongs to a system call, so its values are not saved as those of a function are
 * (probe->entry_values).  They go to a hidden array with the thread as its key, which a hidden probe on the
 * calls of the same processes fills.  A thread that was found inside a call has no value: as with functions
 * that were entered before they were probed, its handler does not run.
 */
#include <string.h>

#include "stap/lowering.h"

static struct stap_var *hidden_array(struct sema *sema, const struct stap_token *token)
{
	struct stap_var *var = arena_new(sema->arena, struct stap_var);

	var->name = arena_printf(sema->arena, "__entry_%zu", sema->hidden_globals.count);
	var->token = var->arity_token = token;
	var->arity = 1;
	var->is_named = var->is_global = var->is_library = var->is_private = true;
	var->is_wrapping = true; /* threads come and go */
	sema_push(sema, &sema->hidden_globals, var);
	return var;
}

static struct stap_expr *of_this_thread(struct sema *sema, enum stap_expr_kind kind,
	struct stap_var *var, const struct stap_token *token)
{
	struct stap_expr *expr = stap_expr_new(sema->arena, kind, token);
	struct stap_expr *tid = stap_expr_new(sema->arena, STAP_EXPR_CALL, token);

	tid->call.name = "tid";
	expr->index.name = var->name;
	expr->index.resolved = var;
	expr->index.keys.items = arena_array(sema->arena, struct stap_expr *, 1);
	expr->index.keys.items[0] = tid;
	expr->index.keys.count = 1;
	return expr;
}

bool lowering_is_call_return(const struct lowering *lower)
{
	return lower->owner.probe && lower->location &&
	       lower->location->event == STAP_EVENT_SYSCALL_RETURN;
}

void lowering_call_entry(struct lowering *lower, struct stap_expr *expr)
{
	struct sema *sema = lower->sema;
	struct stap_expr *assign, *value = expr->wrap.operand;
	struct stap_var *var;

	if (lower->trying) {
		*expr = *sema_number(sema, 0, expr->token);
		return;
	}
	var = hidden_array(sema, expr->token);
	assign = stap_expr_new(sema->arena, STAP_EXPR_ASSIGN, expr->token);
	assign->assign.op = STAP_OP_ASSIGN;
	assign->assign.target = of_this_thread(sema, STAP_EXPR_INDEX, var, expr->token);
	assign->assign.value = value;
	sema_push(sema, &lower->owner.probe->call_entries, assign);
	*expr = *of_this_thread(sema, STAP_EXPR_INDEX, var, expr->token);
}

static struct stap_stmt *block_new(
	struct sema *sema, uint32_t count, const struct stap_token *token)
{
	struct stap_stmt *block = stap_stmt_new(sema->arena, STAP_STMT_BLOCK, token);

	block->block.items = arena_array(sema->arena, struct stap_stmt *, count);
	block->block.count = count;
	return block;
}

/* if (!(tid() in ARRAY)) next */
static struct stap_stmt *next_without_entry(
	struct sema *sema, const struct stap_expr *saved)
{
	const struct stap_token *token = saved->token;
	struct stap_stmt *branch = stap_stmt_new(sema->arena, STAP_STMT_IF, token);

	branch->branch.condition = stap_expr_new(sema->arena, STAP_EXPR_UNARY, token);
	branch->branch.condition->binary.op = STAP_OP_NOT;
	branch->branch.condition->binary.left =
		of_this_thread(sema, STAP_EXPR_IN, saved->index.resolved, token);
	branch->branch.then = stap_stmt_new(sema->arena, STAP_STMT_NEXT, token);
	return branch;
}

static struct stap_location *place_of_call(
	struct sema *sema, const struct stap_location *place)
{
	struct stap_location *call = arena_new(sema->arena, struct stap_location);
	size_t length = strlen(place->pp) - strlen(".return");

	*call = *place;
	call->event = STAP_EVENT_SYSCALL;
	call->is_return = false;
	call->pp = arena_printf(sema->arena, "%.*s", (int)length, place->pp);
	return call;
}

static bool is_about_place(struct stap_expr *expr, void *data)
{
	return expr->kind != STAP_EXPR_VAR && expr->kind != STAP_EXPR_INDEX &&
	       expr->kind != STAP_EXPR_CALL && expr->kind != STAP_EXPR_ASSIGN &&
	       expr->kind != STAP_EXPR_CRREMENT &&
	       sema_each_operand(expr, is_about_place, data);
}

/* Which calls are meant: the `if ($syscall != N) next` with which aliases begin.  NULL: all. */
static struct stap_stmt *filter_of(struct sema *sema, const struct stap_stmt *body)
{
	while (body->kind == STAP_STMT_BLOCK && body->block.count)
		body = body->block.items[0];
	if (body->kind != STAP_STMT_IF || body->branch.otherwise ||
		body->branch.then->kind != STAP_STMT_NEXT ||
		!is_about_place(body->branch.condition, NULL))
		return NULL;
	return stap_stmt_copy(sema->arena, body);
}

struct stap_derived_probe *sema_call_entry_probe(struct sema *sema,
	struct stap_derived_probe *probe, const struct stap_stmt *written)
{
	uint32_t count = (uint32_t)probe->call_entries.count;
	struct stap_derived_probe *entry;
	struct stap_stmt *body, *filter;

	if (!count)
		return NULL;
	filter = filter_of(sema, written);
	entry = arena_new(sema->arena, struct stap_derived_probe);
	entry->kind = STAP_PROBE_UPROBE;
	entry->token = probe->token;
	entry->origin = probe->origin;
	entry->pn = probe->pn;
	entry->body = block_new(sema, count + 1, probe->token);
	entry->body->block.items[0] =
		filter ? filter
		       : stap_stmt_new(sema->arena, STAP_STMT_NULL, probe->token);
	for (uint32_t i = 0; i < count; i++) {
		struct stap_expr *assign = probe->call_entries.items[i];

		struct stap_stmt *save =
			stap_stmt_new(sema->arena, STAP_STMT_EXPR, assign->token);

		save->expr = assign;
		entry->body->block.items[i + 1] = save;
	}
	entry->location_count = probe->location_count;
	entry->locations =
		arena_array(sema->arena, struct stap_location *, probe->location_count);
	for (uint32_t i = 0; i < probe->location_count; i++)
		entry->locations[i] = place_of_call(sema, probe->locations[i]);
	sema_lower_targets(
		sema, (struct sema_owner){.probe = entry}, entry->locations[0], NULL);
	body = block_new(sema, 2, probe->body->token);
	body->block.items[0] =
		next_without_entry(sema, probe->call_entries.items[0]->assign.target);
	body->block.items[1] = probe->body;
	probe->body = body;
	return entry;
}
