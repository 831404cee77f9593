/* SPDX-License-Identifier: MIT */
/* Long expressions, operands and calls. */
#include <errno.h>
#include <string.h>

#include "stap/codegen/emit.h"
#include "stap/regex.h"

/* ---- arithmetic
 * ------------------------------------------------------------------------------- */

/* x86's idiv traps where SystemTap gives an error (0) or wraps (INT64_MIN / -1). */
static LLVMValueRef divide(struct emit_body *b, bool wants_rest, LLVMValueRef left,
	LLVMValueRef right, const struct stap_token *token)
{
	LLVMBuilderRef builder = b->e->builder;

	emit_raise_if(b, LLVMBuildICmp(builder, LLVMIntEQ, right, emit_const(b, 0), ""),
		token, "division by 0");
	LLVMValueRef by_minus_one =
		LLVMBuildICmp(builder, LLVMIntEQ, right, emit_const(b, -1), "");
	LLVMValueRef divisor =
		LLVMBuildSelect(builder, by_minus_one, emit_const(b, 1), right, "");
	if (wants_rest)
		return LLVMBuildSRem(builder, left, divisor, "rest");
	return LLVMBuildSelect(builder, by_minus_one, LLVMBuildNeg(builder, left, ""),
		LLVMBuildSDiv(builder, left, divisor, ""), "quotient");
}

LLVMValueRef emit_arithmetic(struct emit_body *b, enum stap_op op, LLVMValueRef left,
	LLVMValueRef right, const struct stap_token *token)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef shift = LLVMBuildAnd(builder, right, emit_const(b, 63), "");

	switch ((int)op) {
	case STAP_OP_ADD:
		return LLVMBuildAdd(builder, left, right, "");
	case STAP_OP_SUB:
		return LLVMBuildSub(builder, left, right, "");
	case STAP_OP_MUL:
		return LLVMBuildMul(builder, left, right, "");
	case STAP_OP_DIV:
		return divide(b, false, left, right, token);
	case STAP_OP_MOD:
		return divide(b, true, left, right, token);
	case STAP_OP_AND:
		return LLVMBuildAnd(builder, left, right, "");
	case STAP_OP_OR:
		return LLVMBuildOr(builder, left, right, "");
	case STAP_OP_XOR:
		return LLVMBuildXor(builder, left, right, "");
	case STAP_OP_SHL:
		return LLVMBuildShl(builder, left, shift, "");
	case STAP_OP_SHR:
		return LLVMBuildAShr(builder, left, shift, "");
	case STAP_OP_USHR:
		return LLVMBuildLShr(builder, left, shift, "");
	default:
		emit_fail(b->e, -EINVAL, token, "operator %d is not arithmetic", (int)op);
		return left;
	}
}

static bool comparison_of(enum stap_op op, LLVMIntPredicate *ret)
{
	switch ((int)op) {
	case STAP_OP_LT:
		*ret = LLVMIntSLT;
		return true;
	case STAP_OP_LE:
		*ret = LLVMIntSLE;
		return true;
	case STAP_OP_GT:
		*ret = LLVMIntSGT;
		return true;
	case STAP_OP_GE:
		*ret = LLVMIntSGE;
		return true;
	case STAP_OP_EQ:
		*ret = LLVMIntEQ;
		return true;
	case STAP_OP_NE:
		*ret = LLVMIntNE;
		return true;
	default:
		return false;
	}
}

static LLVMValueRef emit_binary(struct emit_body *b, const struct stap_expr *expr)
{
	struct stap_expr *const sides[2] = {expr->binary.left, expr->binary.right};
	LLVMValueRef value[2];
	LLVMIntPredicate predicate;

	emit_operands(b, &(struct emit_operands){.exprs = sides, .count = 2}, value);
	if (!comparison_of(expr->binary.op, &predicate))
		return emit_arithmetic(
			b, expr->binary.op, value[0], value[1], expr->token);
	if (sides[0]->type == STAP_TYPE_STRING) {
		value[0] = EMIT_CALL(b, rt_string_compare, value[0], value[1]);
		value[1] = emit_const32(b, 0);
	}
	return emit_from_bool(
		b, LLVMBuildICmp(b->e->builder, predicate, value[0], value[1], ""));
}

static LLVMValueRef emit_unary(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMValueRef value = emit_long(b, expr->binary.left);

	switch ((int)expr->binary.op) {
	case STAP_OP_PLUS:
		return value;
	case STAP_OP_MINUS:
		return LLVMBuildNeg(b->e->builder, value, "");
	case STAP_OP_COMPLEMENT:
		return LLVMBuildNot(b->e->builder, value, "");
	case STAP_OP_NOT:
		return emit_from_bool(b, LLVMBuildICmp(b->e->builder, LLVMIntEQ, value,
						 emit_const(b, 0), ""));
	default:
		emit_fail(b->e, -EINVAL, expr->token, "operator %d is not unary",
			(int)expr->binary.op);
		return value;
	}
}

static LLVMValueRef emit_logical(struct emit_body *b, const struct stap_expr *expr)
{
	bool is_and = expr->binary.op == STAP_OP_LOGICAL_AND;
	LLVMBasicBlockRef more = emit_block(b, "more"), done = emit_block(b, "done"),
			  from[2];
	LLVMValueRef value[2] = {emit_const(b, is_and ? 0 : 1), NULL};

	LLVMValueRef left = emit_condition(b, expr->binary.left);
	from[0] = LLVMGetInsertBlock(b->e->builder);
	emit_branch(b, left, is_and ? more : done, is_and ? done : more);
	LLVMPositionBuilderAtEnd(b->e->builder, more);
	value[1] = emit_from_bool(b, emit_condition(b, expr->binary.right));
	from[1] = LLVMGetInsertBlock(b->e->builder);
	emit_enter(b, done);
	LLVMValueRef phi = LLVMBuildPhi(b->e->builder, b->e->i64, "");
	LLVMAddIncoming(phi, value, from, 2);
	return phi;
}

static LLVMValueRef emit_ternary(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMBasicBlockRef then = emit_block(b, "then"), otherwise = emit_block(b, "else");
	LLVMBasicBlockRef done = emit_block(b, "done"), from[2];
	LLVMValueRef value[2];

	emit_branch(b, emit_condition(b, expr->ternary.condition), then, otherwise);
	LLVMPositionBuilderAtEnd(b->e->builder, then);
	value[0] = emit_long(b, expr->ternary.then);
	from[0] = LLVMGetInsertBlock(b->e->builder);
	LLVMBuildBr(b->e->builder, done);
	LLVMPositionBuilderAtEnd(b->e->builder, otherwise);
	value[1] = emit_long(b, expr->ternary.otherwise);
	from[1] = LLVMGetInsertBlock(b->e->builder);
	emit_enter(b, done);
	LLVMValueRef phi = LLVMBuildPhi(b->e->builder, b->e->i64, "");
	LLVMAddIncoming(phi, value, from, 2);
	return phi;
}

LLVMValueRef emit_condition(struct emit_body *b, const struct stap_expr *expr)
{
	return emit_is_true(b, emit_long(b, expr));
}

/* ---- operands and calls
 * ----------------------------------------------------------------------- */

static bool is_local_text(const struct stap_expr *expr)
{
	return expr->kind == STAP_EXPR_VAR && !expr->var.resolved->is_global;
}

static LLVMValueRef operand_text(
	struct emit_body *b, const struct emit_operands *operands, uint32_t i)
{
	const struct stap_expr *expr = operands->exprs[i];
	bool effects = operands->effects_follow;

	for (uint32_t j = i + 1; j < operands->count && !effects; j++)
		effects = operands->exprs[j] && emit_has_effects(operands->exprs[j]);
	struct emit_text text = emit_text(b, expr);
	if (!text.is_stable && (effects || (operands->for_call && !is_local_text(expr))))
		text.at = emit_text_copy(b, text.at);
	return text.at;
}

void emit_operands(
	struct emit_body *b, const struct emit_operands *operands, LLVMValueRef *ret)
{
	for (uint32_t i = 0; i < operands->count; i++) {
		const struct stap_expr *expr = operands->exprs[i];

		if (!expr)
			continue;
		if (expr->type == STAP_TYPE_STRING)
			ret[i] = operand_text(b, operands, i);
		else
			ret[i] = emit_long(b, expr);
		if (operands->in_frame)
			emit_store(b, ret[i],
				emit_at(b, b->frame, operands->frame_offset + i * 8,
					"operand"));
	}
}

LLVMValueRef emit_script_call(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst)
{
	const struct stap_function *function = expr->call.function;
	const struct emit_callee *callee = &b->e->functions[function->index].callee;
	uint32_t arg_count = expr->call.args.count, count = 0;
	LLVMValueRef args[64];

	if (arg_count != function->param_count || arg_count > 60) {
		emit_fail(b->e, -EINVAL, expr->token, "wrong number of arguments of '%s'",
			function->name);
		return emit_const(b, 0);
	}
	args[count++] = b->c;
	if (dst)
		args[count++] = dst;
	emit_operands(b,
		&(struct emit_operands){.exprs = expr->call.args.items,
			.count = arg_count,
			.for_call = true},
		args + count);
	LLVMValueRef value = LLVMBuildCall2(b->e->builder, callee->type, callee->function,
		args, count + arg_count, "");
	emit_check_call(b, expr->token);
	return value;
}

/* Context fields that a script function only has to load. */
static bool emit_context_field(struct emit_body *b, const char *symbol, LLVMValueRef *ret)
{
	static const struct {
		const char *symbol;
		size_t offset;
	} fields[] = {
		{"rt_fn_pid", offsetof(struct abi_context, pid)},
		{"rt_fn_tid", offsetof(struct abi_context, tid)},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(fields[i].symbol, symbol) != 0)
			continue;
		LLVMValueRef value = emit_load(
			b, b->e->i32, emit_at(b, b->c, fields[i].offset, ""), symbol);
		*ret = LLVMBuildZExt(b->e->builder, value, b->e->i64, "");
		return true;
	}
	return false;
}

LLVMValueRef emit_intrinsic_call(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst)
{
	const struct stap_intrinsic *intrinsic = expr->call.intrinsic;
	uint32_t count = 0;
	LLVMValueRef args[16], value;

	if (emit_context_field(b, intrinsic->symbol, &value) ||
		emit_fast_clock(b, intrinsic, &value))
		return value;
	struct emit_callee callee = emit_intrinsic(b->e, intrinsic);
	if (expr->call.args.count > 12 ||
		expr->call.args.count != strlen(intrinsic->arguments)) {
		emit_fail(b->e, -EINVAL, expr->token, "wrong number of arguments of '%s'",
			intrinsic->name);
		return emit_const(b, 0);
	}
	args[count++] = b->c;
	if (dst)
		args[count++] = dst;
	emit_operands(b,
		&(struct emit_operands){
			.exprs = expr->call.args.items, .count = expr->call.args.count},
		args + count);
	value = LLVMBuildCall2(b->e->builder, callee.type, callee.function, args,
		count + expr->call.args.count, "");
	if (intrinsic->flags & STAP_INTRINSIC_FALLIBLE)
		emit_check_error(b, expr->token);
	return intrinsic->result == STAP_TYPE_LONG ? value : emit_const(b, 0);
}

static LLVMValueRef emit_call_long(struct emit_body *b, const struct stap_expr *expr)
{
	if (expr->call.function)
		return emit_script_call(b, expr, NULL);
	if (expr->call.intrinsic)
		return emit_intrinsic_call(b, expr, NULL);
	emit_fail(b->e, -EINVAL, expr->token, "function '%s' is not resolved",
		expr->call.name);
	return emit_const(b, 0);
}

static LLVMValueRef emit_regex(struct emit_body *b, const struct stap_expr *expr)
{
	struct stap_regex_result result = stap_regex_compile(
		b->e->program->arena, expr->binary.right->string, b->e->wants_groups);

	if (!result.regex) {
		emit_fail(b->e, -EINVAL, expr->binary.right->token,
			"regex compilation error: %s", result.message);
		return emit_const(b, 0);
	}
	struct emit_text text = emit_text(b, expr->binary.left);
	LLVMValueRef found = EMIT_CALL(b, rt_regex_match, b->c,
		emit_bytes(b->e, result.regex, result.size, 8, "regex"), text.at);
	emit_check_error(b, expr->token);
	if (expr->binary.op == STAP_OP_MATCH)
		return found;
	return LLVMBuildXor(b->e->builder, found, emit_const(b, 1), "");
}

/* ---- long expressions
 * ------------------------------------------------------------------------- */

static LLVMValueRef emit_entry_value(struct emit_body *b, const struct stap_expr *expr)
{
	uint64_t offset = 0;

	for (uint32_t i = 0; i < expr->entry_value.index; i++)
		offset += b->probe->entry_values.items[i]->type == STAP_TYPE_STRING
				  ? (b->e->options->max_string + 7) & ~7u
				  : sizeof(int64_t);
	return emit_at(b, b->pair, offset, "saved");
}

static LLVMValueRef emit_entry_long(struct emit_body *b, const struct stap_expr *expr)
{
	if (!b->pair || expr->entry_value.index >= b->probe->entry_values.count) {
		emit_fail(b->e, -EINVAL, expr->token, "no such entry value");
		return emit_const(b, 0);
	}
	LLVMValueRef at = emit_entry_value(b, expr);
	return expr->type == STAP_TYPE_STRING ? at : emit_load(b, b->e->i64, at, "");
}

static LLVMValueRef emit_long_other(struct emit_body *b, const struct stap_expr *expr)
{
	switch ((int)expr->kind) {
	case STAP_EXPR_ASSIGN:
		return emit_assign(b, expr, true).number;
	case STAP_EXPR_CRREMENT:
		return emit_crrement(b, expr, true);
	case STAP_EXPR_CALL:
		return emit_call_long(b, expr);
	case STAP_EXPR_STAT:
		return emit_stat_value(b, expr);
	case STAP_EXPR_TARGET:
		return emit_access(b, expr);
	case STAP_EXPR_ENTRY_VALUE:
		return emit_entry_long(b, expr);
	case STAP_EXPR_PRINT:
		emit_print(b, expr);
		return emit_const(b, 0);
	case STAP_EXPR_REGEX:
		return emit_regex(b, expr);
	default:
		emit_fail(b->e, -EINVAL, expr->token,
			"expression of kind %d cannot be compiled", (int)expr->kind);
		return emit_const(b, 0);
	}
}

LLVMValueRef emit_long(struct emit_body *b, const struct stap_expr *expr)
{
	if (expr->type == STAP_TYPE_STRING && expr->kind != STAP_EXPR_ENTRY_VALUE) {
		/* a string evaluated for nothing */
		emit_text(b, expr);
		return emit_const(b, 0);
	}
	switch ((int)expr->kind) {
	case STAP_EXPR_NUMBER:
		return emit_const(b, expr->number);
	case STAP_EXPR_VAR:
		return emit_variable_long(b, expr->var.resolved);
	case STAP_EXPR_INDEX:
		return expr->index.hist ? emit_bucket(b, expr)
					: emit_element_long(b, expr);
	case STAP_EXPR_IN:
		return emit_in(b, expr);
	case STAP_EXPR_UNARY:
		return emit_unary(b, expr);
	case STAP_EXPR_BINARY:
		return emit_binary(b, expr);
	case STAP_EXPR_LOGICAL:
		return emit_logical(b, expr);
	case STAP_EXPR_TERNARY:
		return emit_ternary(b, expr);
	default:
		return emit_long_other(b, expr);
	}
}

void emit_effect(struct emit_body *b, const struct stap_expr *expr)
{
	if (expr->kind == STAP_EXPR_ASSIGN)
		emit_assign(b, expr, false);
	else if (expr->kind == STAP_EXPR_CRREMENT)
		emit_crrement(b, expr, false);
	else
		emit_long(b, expr);
}
