/* SPDX-License-Identifier: MIT */
/* Statements, and what they take from the action budget. */
#include <errno.h>

#include "stap/codegen/emit.h"

static void emit_nested(struct emit_body *b, const struct stap_stmt *stmt);

static void emit_if(struct emit_body *b, const struct stap_stmt *stmt)
{
	LLVMBasicBlockRef then = emit_block(b, "then"), done = emit_block(b, "done");
	LLVMBasicBlockRef otherwise =
		stmt->branch.otherwise ? emit_block(b, "else") : done;

	emit_branch(b, emit_condition(b, stmt->branch.condition), then, otherwise);
	LLVMPositionBuilderAtEnd(b->e->builder, then);
	emit_nested(b, stmt->branch.then);
	LLVMBuildBr(b->e->builder, done);
	if (stmt->branch.otherwise) {
		LLVMPositionBuilderAtEnd(b->e->builder, otherwise);
		emit_nested(b, stmt->branch.otherwise);
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

	if (stmt->loop.init)
		emit_effect(b, stmt->loop.init);
	emit_enter(b, head);
	emit_charge(b, 1, stmt->token);
	if (stmt->loop.condition)
		emit_branch(b, emit_condition(b, stmt->loop.condition), round, done);
	else
		LLVMBuildBr(b->e->builder, round);
	LLVMPositionBuilderAtEnd(b->e->builder, round);
	b->break_block = done;
	b->continue_block = step;
	emit_nested(b, stmt->loop.body);
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

	b->catch_block = handler;
	emit_nested(b, stmt->try.body);
	b->catch_block = outer;
	LLVMBuildBr(builder, done);
	LLVMPositionBuilderAtEnd(builder, handler);
	if (stmt->try.variable)
		dst = emit_variable_text(b, stmt->try.variable->var.resolved).at;
	emit_catch(b, outer, dst);
	if (stmt->try.handler)
		emit_nested(b, stmt->try.handler);
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
	emit_go(b, b->exit);
}

static void emit_jump(struct emit_body *b, LLVMBasicBlockRef to,
	const struct stap_stmt *stmt, const char *name)
{
	if (to)
		emit_go(b, to);
	else
		emit_fail(b->e, -EINVAL, stmt->token, "cannot '%s' outside loop", name);
}

static bool is_simple(const struct stap_stmt *stmt)
{
	return stmt->kind == STAP_STMT_EXPR || stmt->kind == STAP_STMT_DELETE ||
	       stmt->kind == STAP_STMT_NULL;
}

/* What is charged for a statement before it runs; its inner statements charge for
 * themselves. */
static uint32_t own_cost(struct emit_body *b, const struct stap_stmt *stmt)
{
	const struct stap_expr *expr = NULL;

	if (stmt->kind == STAP_STMT_NULL || stmt->kind == STAP_STMT_BLOCK)
		return 0;
	if (stmt->kind == STAP_STMT_EXPR || stmt->kind == STAP_STMT_DELETE ||
		stmt->kind == STAP_STMT_RETURN)
		expr = stmt->expr;
	else if (stmt->kind == STAP_STMT_IF)
		expr = stmt->branch.condition;
	uint32_t calls = emit_cost_expr(b->e, expr);
	return 1 + (calls < EMIT_COST_UNBOUNDED ? calls : 0);
}

/*
 * Statements up to the next one that branches are charged together.  What a called
 * function does is its caller's expense, unless it has loops: then it charges for itself.
 */
static void charge_run(struct emit_body *b, const struct stap_stmt *block, uint32_t first)
{
	uint32_t cost = 0;

	if (!b->is_counting)
		return;
	for (uint32_t i = first; i < block->block.count; i++) {
		const struct stap_stmt *stmt = block->block.items[i];

		cost += own_cost(b, stmt);
		if (!is_simple(stmt))
			break;
	}
	emit_charge(b, cost, block->block.items[first]->token);
}

/* A statement that may stand without braces. */
static void emit_nested(struct emit_body *b, const struct stap_stmt *stmt)
{
	if (stmt && b->is_counting)
		emit_charge(b, own_cost(b, stmt), stmt->token);
	emit_stmt(b, stmt);
}

static void emit_stmt_block(struct emit_body *b, const struct stap_stmt *block)
{
	bool starts_run = true;

	for (uint32_t i = 0; i < block->block.count; i++) {
		const struct stap_stmt *stmt = block->block.items[i];

		if (starts_run)
			charge_run(b, block, i);
		emit_stmt(b, stmt);
		starts_run = !is_simple(stmt);
	}
}

static void emit_stmt_kind(struct emit_body *b, const struct stap_stmt *stmt)
{
	switch (stmt->kind) {
	case STAP_STMT_NULL:
		break;
	case STAP_STMT_EXPR:
		emit_effect(b, stmt->expr);
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
		emit_go(b, b->next_block);
		break;
	case STAP_STMT_RETURN:
		emit_return(b, stmt);
		break;
	case STAP_STMT_DELETE:
		emit_delete(b, stmt->expr);
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
