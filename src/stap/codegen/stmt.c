/* SPDX-License-Identifier: MIT */
/* Statements, and what they take from the action budget. */
#include <errno.h>

#include "stap/codegen/emit.h"

/*
 * As SystemTap counts: each statement is one, after it has run, and each round of a loop one more.  Statements up
 * to the next one that branches are charged together, but not more than some.  What a called function does is its
 * caller's expense, unless it has loops: then it charges for itself.
 */
enum {
	CHARGED_TOGETHER = 10
};

static void record(
	struct emit_body *b, uint32_t count, const struct stap_token *token, bool now)
{
	if (!b->is_counting || b->is_charged)
		return;
	b->uncharged += count;
	if (!now && b->uncharged < CHARGED_TOGETHER)
		return;
	emit_charge(b, b->uncharged, token);
	b->uncharged = 0;
}

static uint32_t cost_with_calls(struct emit_body *b, const struct stap_expr *expr)
{
	uint32_t calls = emit_cost_expr(b->e, expr);

	return 1 + (calls < EMIT_COST_UNBOUNDED ? calls : 0);
}

/* Of one arm: nothing is left to charge where it meets the others. */
static void emit_arm(struct emit_body *b, const struct stap_stmt *stmt)
{
	emit_stmt(b, stmt);
	if (stmt)
		record(b, 0, stmt->token, true);
}

void emit_round(
	struct emit_body *b, const struct stap_stmt *loop, const struct stap_stmt *body)
{
	bool is_empty = body->kind == STAP_STMT_NULL ||
			(body->kind == STAP_STMT_BLOCK && !body->block.count);

	record(b, 1, loop->token, false);
	emit_stmt(b, body);
	record(b, 0, is_empty ? loop->token : body->token, true);
}

void emit_before_loop(struct emit_body *b, const struct stap_stmt *loop)
{
	record(b, 1, loop->token, true);
}

static void emit_if(struct emit_body *b, const struct stap_stmt *stmt)
{
	LLVMBasicBlockRef then = emit_block(b, "then"), done = emit_block(b, "done");
	LLVMBasicBlockRef otherwise =
		stmt->branch.otherwise ? emit_block(b, "else") : done;

	record(b, cost_with_calls(b, stmt->branch.condition), stmt->token, true);
	emit_branch(b, emit_condition(b, stmt->branch.condition), then, otherwise);
	LLVMPositionBuilderAtEnd(b->e->builder, then);
	emit_arm(b, stmt->branch.then);
	LLVMBuildBr(b->e->builder, done);
	if (stmt->branch.otherwise) {
		LLVMPositionBuilderAtEnd(b->e->builder, otherwise);
		emit_arm(b, stmt->branch.otherwise);
		LLVMBuildBr(b->e->builder, done);
	}
	LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(b->e->builder));
	LLVMPositionBuilderAtEnd(b->e->builder, done);
}

static void emit_for(struct emit_body *b, const struct stap_stmt *stmt)
{
	LLVMBasicBlockRef head = emit_block(b, "loop"), round = emit_block(b, "round");
	LLVMBasicBlockRef step = emit_block(b, "step"), done = emit_block(b, "done");
	LLVMBasicBlockRef outer_break = b->break_block,
			  outer_continue = b->continue_block;

	if (stmt->loop.init) {
		emit_effect(b, stmt->loop.init);
		record(b, cost_with_calls(b, stmt->loop.init), stmt->token, false);
	}
	emit_before_loop(b, stmt);
	emit_enter(b, head);
	if (stmt->loop.condition)
		emit_branch(b, emit_condition(b, stmt->loop.condition), round, done);
	else
		LLVMBuildBr(b->e->builder, round);
	LLVMPositionBuilderAtEnd(b->e->builder, round);
	b->break_block = done;
	b->continue_block = step;
	emit_round(b, stmt, stmt->loop.body);
	b->break_block = outer_break;
	b->continue_block = outer_continue;
	emit_enter(b, step);
	if (stmt->loop.step)
		emit_effect(b, stmt->loop.step);
	LLVMBuildBr(b->e->builder, head);
	LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(b->e->builder));
	LLVMPositionBuilderAtEnd(b->e->builder, done);
}

void emit_catch(struct emit_body *b, LLVMBasicBlockRef outer, LLVMValueRef dst)
{
	LLVMBasicBlockRef caught = emit_block(b, "caught");
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef error = emit_load(b, b->e->i32,
		emit_at(b, b->c, offsetof(struct abi_context, error), ""), "error");

	emit_cold_branch(b,
		LLVMBuildICmp(builder, LLVMIntEQ, error, emit_const32(b, 2), ""), outer,
		caught);
	LLVMPositionBuilderAtEnd(builder, caught);
	EMIT_CALL(b, rt_catch, b->c, dst);
}

static void emit_try(struct emit_body *b, const struct stap_stmt *stmt)
{
	LLVMBasicBlockRef outer = b->catch_block, handler = emit_block(b, "catch");
	LLVMBasicBlockRef done = emit_block(b, "done");
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef dst = LLVMConstNull(b->e->ptr);

	record(b, 0, stmt->token, true);
	b->catch_block = handler;
	emit_arm(b, stmt->try.body);
	b->catch_block = outer;
	LLVMBuildBr(builder, done);
	LLVMPositionBuilderAtEnd(builder, handler);
	if (stmt->try.variable)
		dst = emit_variable_text(b, stmt->try.variable->var.resolved).at;
	emit_catch(b, outer, dst);
	if (stmt->try.handler)
		emit_arm(b, stmt->try.handler);
	emit_enter(b, done);
}

static void emit_return(struct emit_body *b, const struct stap_stmt *stmt)
{
	if (!b->function) {
		emit_fail(b->e, -EINVAL, stmt->token,
			"found 'return' not in function context");
		return;
	}
	if (stmt->expr && b->function->type == STAP_TYPE_STRING)
		EMIT_CALL(
			b, rt_string_copy, b->c, b->result, emit_text(b, stmt->expr).at);
	else if (stmt->expr)
		emit_store(b, emit_long(b, stmt->expr), b->result);
	record(b, cost_with_calls(b, stmt->expr), stmt->token, true);
	emit_go(b, b->exit);
}

static void emit_jump(struct emit_body *b, LLVMBasicBlockRef to,
	const struct stap_stmt *stmt, const char *name)
{
	record(b, 1, stmt->token, true);
	if (to)
		emit_go(b, to);
	else
		emit_fail(b->e, -EINVAL, stmt->token, "cannot '%s' outside loop", name);
}

static void emit_stmt_block(struct emit_body *b, const struct stap_stmt *block)
{
	for (uint32_t i = 0; i < block->block.count; i++)
		emit_stmt(b, block->block.items[i]);
}

static void emit_stmt_kind(struct emit_body *b, const struct stap_stmt *stmt)
{
	switch (stmt->kind) {
	case STAP_STMT_NULL:
		break;
	case STAP_STMT_EXPR:
		emit_effect(b, stmt->expr);
		record(b, cost_with_calls(b, stmt->expr), stmt->token, false);
		break;
	case STAP_STMT_BLOCK:
		emit_stmt_block(b, stmt);
		break;
	case STAP_STMT_IF:
		emit_if(b, stmt);
		break;
	case STAP_STMT_FOR:
		emit_for(b, stmt);
		break;
	case STAP_STMT_FOREACH:
		emit_foreach(b, stmt);
		break;
	case STAP_STMT_BREAK:
		emit_jump(b, b->break_block, stmt, "break");
		break;
	case STAP_STMT_CONTINUE:
		emit_jump(b, b->continue_block, stmt, "continue");
		break;
	case STAP_STMT_NEXT:
		record(b, 1, stmt->token, true);
		emit_go(b, b->next_block);
		break;
	case STAP_STMT_RETURN:
		emit_return(b, stmt);
		break;
	case STAP_STMT_DELETE:
		emit_delete(b, stmt->expr);
		record(b, cost_with_calls(b, stmt->expr), stmt->token, false);
		break;
	case STAP_STMT_TRY:
		emit_try(b, stmt);
		break;
	}
}

void emit_stmt(struct emit_body *b, const struct stap_stmt *stmt)
{
	uint32_t top = b->frame_top;

	if (!stmt || b->e->failed)
		return;
	emit_stmt_kind(b, stmt);
	/* temporaries are dead now */
	b->frame_top = top;
}

void emit_whole(struct emit_body *b, const struct stap_stmt *body)
{
	uint32_t cost = emit_cost_stmt(b->e, body);

	if (b->is_counting && cost < EMIT_COST_UNBOUNDED) {
		const struct stap_stmt *first = body;

		while (first->kind == STAP_STMT_BLOCK && first->block.count)
			first = first->block.items[0];
		emit_charge(b, cost, first->token);
		b->is_charged = true;
	}
	emit_arm(b, body);
}
