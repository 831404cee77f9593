/* SPDX-License-Identifier: MIT */
/* String expressions: literals in rodata, variables where they are, everything else in
 * the frame. */
#include <errno.h>

#include "stap/codegen/emit.h"

LLVMValueRef emit_text_copy(struct emit_body *b, LLVMValueRef at)
{
	LLVMValueRef copy = emit_frame_string(b);

	EMIT_CALL(b, rt_string_copy, b->c, copy, at);
	return copy;
}

LLVMValueRef emit_text_stable(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_text text = emit_text(b, expr);

	return text.is_stable ? text.at : emit_text_copy(b, text.at);
}

static struct emit_text emit_concat(struct emit_body *b, const struct stap_expr *expr)
{
	struct stap_expr *const sides[2] = {expr->binary.left, expr->binary.right};
	LLVMValueRef value[2];

	emit_operands(b, &(struct emit_operands){.exprs = sides, .count = 2}, value);
	LLVMValueRef dst = emit_frame_string(b);
	EMIT_CALL(b, rt_string_concat, b->c, dst, value[0], value[1]);
	return (struct emit_text){.at = dst, .is_stable = true};
}

static struct emit_text emit_text_ternary(
	struct emit_body *b, const struct stap_expr *expr)
{
	LLVMBasicBlockRef then = emit_block(b, "then"), otherwise = emit_block(b, "else");
	LLVMBasicBlockRef done = emit_block(b, "done"), from[2];
	struct emit_text text[2];
	uint32_t top[2];

	emit_branch(b, emit_condition(b, expr->ternary.condition), then, otherwise);
	LLVMPositionBuilderAtEnd(b->e->builder, then);
	top[0] = b->frame_top;
	text[0] = emit_text(b, expr->ternary.then);
	from[0] = LLVMGetInsertBlock(b->e->builder);
	LLVMBuildBr(b->e->builder, done);
	LLVMPositionBuilderAtEnd(b->e->builder, otherwise);
	/* one of the two is made: they may have the same place */
	top[1] = b->frame_top;
	b->frame_top = top[0];
	text[1] = emit_text(b, expr->ternary.otherwise);
	if (b->frame_top < top[1])
		b->frame_top = top[1];
	from[1] = LLVMGetInsertBlock(b->e->builder);
	emit_enter(b, done);
	LLVMValueRef phi = LLVMBuildPhi(b->e->builder, b->e->ptr, "");
	LLVMAddIncoming(phi, (LLVMValueRef[]){text[0].at, text[1].at}, from, 2);
	return (struct emit_text){
		.at = phi, .is_stable = text[0].is_stable && text[1].is_stable};
}

static struct emit_text emit_call_text(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMValueRef dst = emit_frame_string(b);

	if (expr->call.function)
		emit_script_call(b, expr, dst);
	else if (expr->call.intrinsic)
		emit_intrinsic_call(b, expr, dst);
	else
		emit_fail(b->e, -EINVAL, expr->token, "function '%s' is not resolved",
			expr->call.name);
	return (struct emit_text){.at = dst, .is_stable = true};
}

struct emit_text emit_text(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_text text = {.is_stable = true};

	switch ((int)expr->kind) {
	case STAP_EXPR_STRING:
		text.at = emit_literal(b->e, expr->string);
		return text;
	case STAP_EXPR_VAR:
		return emit_variable_text(b, expr->var.resolved);
	case STAP_EXPR_INDEX:
		return emit_element_text(b, expr);
	case STAP_EXPR_BINARY:
		return emit_concat(b, expr);
	case STAP_EXPR_TERNARY:
		return emit_text_ternary(b, expr);
	case STAP_EXPR_ASSIGN:
		return emit_assign(b, expr, true).text;
	case STAP_EXPR_CALL:
		return emit_call_text(b, expr);
	case STAP_EXPR_PRINT:
		text.at = emit_sprint(b, expr);
		return text;
	case STAP_EXPR_ENTRY_VALUE:
		text.at = emit_long(b, expr);
		return text;
	default:
		emit_fail(b->e, -EINVAL, expr->token,
			"string expression of kind %d cannot be compiled",
			(int)expr->kind);
		text.at = emit_literal(b->e, "");
		return text;
	}
}
