/* SPDX-License-Identifier: MIT */
/* Small steps that the rest is made of: one function under construction and its builder.
 */
#include <errno.h>

#include "stap/codegen/emit.h"

LLVMValueRef emit_const(struct emit_body *b, int64_t value)
{
	return LLVMConstInt(b->e->i64, (uint64_t)value, true);
}

LLVMValueRef emit_const32(struct emit_body *b, uint32_t value)
{
	return LLVMConstInt(b->e->i32, value, false);
}

LLVMValueRef emit_call(struct emit_body *b, enum emit_runtime which, LLVMValueRef *args)
{
	struct emit_callee callee = emit_runtime(b->e, which);

	return LLVMBuildCall2(b->e->builder, callee.type, callee.function, args,
		LLVMCountParamTypes(callee.type), "");
}

LLVMValueRef emit_at(
	struct emit_body *b, LLVMValueRef base, uint64_t offset, const char *name)
{
	LLVMValueRef index = LLVMConstInt(b->e->i64, offset, false);

	return LLVMBuildInBoundsGEP2(b->e->builder, b->e->i8, base, &index, 1, name);
}

LLVMValueRef emit_load(
	struct emit_body *b, LLVMTypeRef type, LLVMValueRef at, const char *name)
{
	return LLVMBuildLoad2(b->e->builder, type, at, name);
}

void emit_store(struct emit_body *b, LLVMValueRef value, LLVMValueRef at)
{
	LLVMBuildStore(b->e->builder, value, at);
}

LLVMValueRef emit_is_true(struct emit_body *b, LLVMValueRef value)
{
	return LLVMBuildICmp(
		b->e->builder, LLVMIntNE, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

LLVMValueRef emit_from_bool(struct emit_body *b, LLVMValueRef value)
{
	return LLVMBuildZExt(b->e->builder, value, b->e->i64, "");
}

LLVMValueRef emit_is_null(struct emit_body *b, LLVMValueRef pointer)
{
	return LLVMBuildIsNull(b->e->builder, pointer, "");
}

/* ---- control flow
 * ----------------------------------------------------------------------------- */

LLVMBasicBlockRef emit_block(struct emit_body *b, const char *name)
{
	return LLVMAppendBasicBlockInContext(b->e->context, b->fn, name);
}

void emit_enter(struct emit_body *b, LLVMBasicBlockRef block)
{
	LLVMBasicBlockRef current = LLVMGetInsertBlock(b->e->builder);

	if (!LLVMGetBasicBlockTerminator(current))
		LLVMBuildBr(b->e->builder, block);
	LLVMMoveBasicBlockAfter(block, current);
	LLVMPositionBuilderAtEnd(b->e->builder, block);
}

void emit_go(struct emit_body *b, LLVMBasicBlockRef block)
{
	LLVMBuildBr(b->e->builder, block);
	LLVMPositionBuilderAtEnd(b->e->builder, emit_block(b, "dead"));
}

void emit_branch(struct emit_body *b, LLVMValueRef condition, LLVMBasicBlockRef then,
	LLVMBasicBlockRef otherwise)
{
	LLVMBuildCondBr(b->e->builder, condition, then, otherwise);
}

void emit_cold_branch(struct emit_body *b, LLVMValueRef condition, LLVMBasicBlockRef cold,
	LLVMBasicBlockRef otherwise)
{
	LLVMValueRef branch = LLVMBuildCondBr(b->e->builder, condition, cold, otherwise);

	LLVMSetMetadata(branch, b->e->prof_kind, b->e->cold_weights);
}

/* ---- places in the frame
 * ---------------------------------------------------------------------- */

LLVMValueRef emit_frame(struct emit_body *b, uint32_t size, const char *name)
{
	uint32_t offset = b->frame_top;

	b->frame_top += (size + 7) & ~7u;
	if (b->frame_top > b->frame_max)
		b->frame_max = b->frame_top;
	if (b->frame_max > ABI_CONTEXT_SCRATCH_SIZE / 2) {
		const struct stap_token *token =
			b->probe ? b->probe->token : b->function->token;

		emit_fail(b->e, -E2BIG, token,
			"strings and statistics need too much memory");
		b->frame_top = b->frame_max = 0;
	}
	return emit_at(b, b->frame, offset, name);
}

LLVMValueRef emit_frame_string(struct emit_body *b)
{
	return emit_frame(b, b->e->options->max_string, "text");
}

LLVMValueRef emit_alloca(struct emit_body *b, const char *name)
{
	LLVMValueRef first = LLVMGetFirstInstruction(b->entry);

	if (b->e->is_lean)
		return emit_frame(b, sizeof(int64_t), name);
	if (first)
		LLVMPositionBuilderBefore(b->e->alloca_builder, first);
	else
		LLVMPositionBuilderAtEnd(b->e->alloca_builder, b->entry);
	return LLVMBuildAlloca(b->e->alloca_builder, b->e->i64, name);
}

/* ---- errors
 * ----------------------------------------------------------------------------------- */

/* The place of an error is stored on the way out: the path without errors costs nothing.
 */
static LLVMValueRef location_of(struct emit_body *b, const struct stap_token *token)
{
	struct emit *e = b->e;
	size_t count = e->locations.count, i = count;

	while (i > 0 && count - i < 16 && e->locations.items[i - 1].token != token)
		i--;
	if (i == 0 || e->locations.items[i - 1].token != token) {
		vec_push(&e->locations)->token = token;
		i = e->locations.count;
	}
	return emit_const32(b, (uint32_t)i - 1);
}

static void set_location(struct emit_body *b, LLVMValueRef location)
{
	emit_store(b, location,
		emit_at(b, b->c, offsetof(struct abi_context, location), "location"));
}

static void store_location(struct emit_body *b, const struct stap_token *token)
{
	set_location(b, location_of(b, token));
}

/* One block for all that fails under a catch: blocks are most of what a check costs to compile. */
static void open_failed(struct emit_body *b)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMBasicBlockRef current = LLVMGetInsertBlock(builder);

	if (b->failed_catch == b->catch_block)
		return;
	b->failed_catch = b->catch_block;
	b->failed_block = emit_block(b, "failed");
	LLVMPositionBuilderAtEnd(builder, b->failed_block);
	b->failed_location = LLVMBuildPhi(builder, b->e->i32, "");
	set_location(b, b->failed_location);
	LLVMBuildBr(builder, b->catch_block);
	LLVMPositionBuilderAtEnd(builder, current);
}

/* The same for errors that a script function comes back with, which has stored the place. */
static void open_passed(struct emit_body *b)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMBasicBlockRef current = LLVMGetInsertBlock(builder);

	if (b->passed_catch == b->catch_block)
		return;
	b->passed_catch = b->catch_block;
	b->passed_block = emit_block(b, "passed");
	LLVMPositionBuilderAtEnd(builder, b->passed_block);
	b->passed_location = LLVMBuildPhi(builder, b->e->i32, "");
	EMIT_CALL(b, rt_error_caller, b->c, b->passed_location);
	LLVMBuildBr(builder, b->catch_block);
	LLVMPositionBuilderAtEnd(builder, current);
}

void emit_raise(struct emit_body *b, const struct stap_token *token, const char *text)
{
	EMIT_CALL(b, rt_error, b->c, emit_literal(b->e, text));
	store_location(b, token);
	emit_go(b, b->catch_block);
}

void emit_raise_if(struct emit_body *b, LLVMValueRef condition,
	const struct stap_token *token, const char *text)
{
	LLVMBasicBlockRef fail = emit_block(b, "raise"), fine = emit_block(b, "fine");

	emit_cold_branch(b, condition, fail, fine);
	LLVMPositionBuilderAtEnd(b->e->builder, fail);
	EMIT_CALL(b, rt_error, b->c, emit_literal(b->e, text));
	store_location(b, token);
	LLVMBuildBr(b->e->builder, b->catch_block);
	LLVMPositionBuilderAtEnd(b->e->builder, fine);
}

void emit_check(struct emit_body *b, LLVMValueRef failed, const struct stap_token *token)
{
	LLVMBasicBlockRef fine = emit_block(b, "fine"), current;
	LLVMValueRef location = location_of(b, token);

	open_failed(b);
	current = LLVMGetInsertBlock(b->e->builder);
	LLVMAddIncoming(b->failed_location, &location, &current, 1);
	emit_cold_branch(b, failed, b->failed_block, fine);
	LLVMPositionBuilderAtEnd(b->e->builder, fine);
}

static LLVMValueRef has_error(struct emit_body *b)
{
	LLVMValueRef error = emit_load(b, b->e->i32,
		emit_at(b, b->c, offsetof(struct abi_context, error), "error"), "");

	return emit_is_true(b, error);
}

void emit_check_error(struct emit_body *b, const struct stap_token *token)
{
	emit_check(b, has_error(b), token);
}

void emit_check_call(struct emit_body *b, const struct stap_token *token)
{
	LLVMBasicBlockRef fine = emit_block(b, "fine"), current;
	LLVMValueRef location = location_of(b, token), failed = has_error(b);

	open_passed(b);
	current = LLVMGetInsertBlock(b->e->builder);
	LLVMAddIncoming(b->passed_location, &location, &current, 1);
	emit_cold_branch(b, failed, b->passed_block, fine);
	LLVMPositionBuilderAtEnd(b->e->builder, fine);
}

void emit_charge(struct emit_body *b, uint32_t count, const struct stap_token *token)
{
	LLVMBasicBlockRef fail, fine;
	LLVMBuilderRef builder = b->e->builder;

	if (!b->is_counting || !count)
		return;
	fail = emit_block(b, "spent");
	fine = emit_block(b, "fine");
	LLVMValueRef at =
		emit_at(b, b->c, offsetof(struct abi_context, action_budget), "budget");
	LLVMValueRef left = LLVMBuildSub(
		builder, emit_load(b, b->e->i64, at, ""), emit_const(b, count), "left");
	emit_store(b, left, at);
	emit_cold_branch(b,
		LLVMBuildICmp(builder, LLVMIntSLE, left, emit_const(b, 0), ""), fail,
		fine);
	LLVMPositionBuilderAtEnd(builder, fail);
	EMIT_CALL(
		b, rt_error_uncatchable, b->c, emit_literal(b->e, "MAXACTION exceeded"));
	store_location(b, token);
	LLVMBuildBr(builder, b->exit);
	LLVMPositionBuilderAtEnd(builder, fine);
}
