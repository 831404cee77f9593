/* SPDX-License-Identifier: MIT */
/* = += ... .= <<< ++ -- on variables and array elements. */
#include <errno.h>

#include "stap/codegen/emit.h"

/* ---- scalars
 * ---------------------------------------------------------------------------------- */

static LLVMValueRef assign_long(
	struct emit_body *b, const struct stap_expr *expr, bool used)
{
	const struct stap_var *var = expr->assign.target->var.resolved;
	enum stap_op op = expr->assign.op;
	LLVMValueRef value = emit_long(b, expr->assign.value);

	if (!used && (op == STAP_OP_ADD || op == STAP_OP_SUB)) {
		if (op == STAP_OP_SUB)
			value = LLVMBuildNeg(b->e->builder, value, "");
		emit_variable_add(b, var, value);
		return value;
	}
	if (op != STAP_OP_ASSIGN)
		value = emit_arithmetic(
			b, op, emit_variable_long(b, var), value, expr->token);
	emit_variable_set_long(b, var, value);
	return value;
}

/* Is the text where the target is, so that appending would read what it writes? */
static bool may_overlap(const struct stap_expr *target, const struct stap_expr *value)
{
	if (target->kind == STAP_EXPR_VAR && value->kind == STAP_EXPR_VAR)
		return target->var.resolved == value->var.resolved;
	if (target->kind != value->kind &&
		(value->kind == STAP_EXPR_VAR || value->kind == STAP_EXPR_INDEX))
		return false;
	return true;
}

static void write_text(struct emit_body *b, const struct stap_expr *expr,
	LLVMValueRef dst, LLVMValueRef text)
{
	if (expr->assign.op == STAP_OP_CONCAT)
		EMIT_CALL(b, rt_string_append, b->c, dst, text);
	else
		EMIT_CALL(b, rt_string_copy, b->c, dst, text);
}

static LLVMValueRef value_text(
	struct emit_body *b, const struct stap_expr *expr, bool copies)
{
	struct emit_text text = emit_text(b, expr->assign.value);

	if (expr->assign.op == STAP_OP_CONCAT)
		copies |= may_overlap(expr->assign.target, expr->assign.value);
	return !text.is_stable && copies ? emit_text_copy(b, text.at) : text.at;
}

static struct emit_text assign_text(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_text place = emit_variable_text(b, expr->assign.target->var.resolved);

	write_text(b, expr, place.at, value_text(b, expr, false));
	return place;
}

/* ---- elements
 * --------------------------------------------------------------------------------- */

static LLVMValueRef assign_element_long(
	struct emit_body *b, const struct stap_expr *expr, bool used)
{
	const struct stap_expr *target = expr->assign.target;
	bool effects = emit_has_effects(expr->assign.value);
	struct emit_keys keys = emit_keys(b, target, effects, true);
	LLVMValueRef value = emit_long(b, expr->assign.value);

	if (!used && emit_is_celled(b, keys.var)) {
		if (expr->assign.op == STAP_OP_SUB)
			value = LLVMBuildNeg(b->e->builder, value, "");
		emit_cell_add(b, &keys, value);
		return value;
	}
	LLVMValueRef at = emit_insert(b, &keys);
	if (expr->assign.op != STAP_OP_ASSIGN)
		value = emit_arithmetic(b, expr->assign.op,
			emit_load(b, b->e->i64, at, "old"), value, expr->token);
	emit_store(b, value, at);
	return value;
}

static struct emit_text assign_element_text(
	struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_expr *target = expr->assign.target;
	bool effects = emit_has_effects(expr->assign.value);
	struct emit_keys keys = emit_keys(b, target, effects, true);
	/* inserting into a wrapping array may evict the element the text is in */
	LLVMValueRef text = value_text(b, expr, target->index.resolved->is_wrapping);
	struct emit_text place = {.at = emit_insert(b, &keys)};

	write_text(b, expr, place.at, text);
	return place;
}

/* ---- variables of the program
 * ---------------------------------------------------------------- */

static LLVMValueRef assign_target(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_target target = emit_target_open(b, expr->assign.target);
	LLVMValueRef value = emit_long(b, expr->assign.value);

	if (expr->assign.op != STAP_OP_ASSIGN)
		value = emit_arithmetic(b, expr->assign.op, emit_target_load(b, &target),
			value, expr->token);
	emit_target_store(b, &target, value);
	return value;
}

static LLVMValueRef step_target(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef by)
{
	struct emit_target target = emit_target_open(b, expr->crrement.target);
	LLVMValueRef old = emit_target_load(b, &target);
	LLVMValueRef new = LLVMBuildAdd(b->e->builder, old, by, "new");

	emit_target_store(b, &target, new);
	return expr->crrement.is_post ? old : new;
}

struct emit_value emit_assign(
	struct emit_body *b, const struct stap_expr *expr, bool used)
{
	const struct stap_expr *target = expr->assign.target;
	struct emit_value value = {.number = emit_const(b, 0)};
	bool is_text = target->type == STAP_TYPE_STRING;

	if (is_text)
		value.text.at = emit_literal(b->e, "");
	if (expr->assign.op == STAP_OP_ACCUMULATE) {
		emit_accumulate(b, target, expr->assign.value);
	} else if (target->kind == STAP_EXPR_VAR) {
		if (is_text)
			value.text = assign_text(b, expr);
		else
			value.number = assign_long(b, expr, used);
	} else if (target->kind == STAP_EXPR_INDEX && target->index.resolved) {
		if (is_text)
			value.text = assign_element_text(b, expr);
		else
			value.number = assign_element_long(b, expr, used);
	} else if (target->kind == STAP_EXPR_TARGET && !is_text) {
		value.number = assign_target(b, expr);
	} else {
		emit_fail(b->e, -EINVAL, expr->token, "this cannot be assigned to");
	}
	return value;
}

/* ---- ++ and --
 * -------------------------------------------------------------------------------- */

static LLVMValueRef step_at(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef at)
{
	LLVMValueRef by = emit_const(b, expr->crrement.op == STAP_OP_INC ? 1 : -1);
	LLVMValueRef old = emit_load(b, b->e->i64, at, "old");
	LLVMValueRef new = LLVMBuildAdd(b->e->builder, old, by, "new");

	emit_store(b, new, at);
	return expr->crrement.is_post ? old : new;
}

LLVMValueRef emit_crrement(struct emit_body *b, const struct stap_expr *expr, bool used)
{
	const struct stap_expr *target = expr->crrement.target;
	LLVMValueRef by = emit_const(b, expr->crrement.op == STAP_OP_INC ? 1 : -1);

	if (target->kind == STAP_EXPR_INDEX && target->index.resolved) {
		struct emit_keys keys = emit_keys(b, target, false, true);
		if (!used && emit_is_celled(b, keys.var)) {
			emit_cell_add(b, &keys, by);
			return by;
		}
		return step_at(b, expr, emit_insert(b, &keys));
	}
	if (target->kind == STAP_EXPR_TARGET)
		return step_target(b, expr, by);
	if (target->kind != STAP_EXPR_VAR) {
		emit_fail(b->e, -EINVAL, expr->token, "this cannot be assigned to");
		return by;
	}
	if (!used) {
		emit_variable_add(b, target->var.resolved, by);
		return by;
	}
	LLVMValueRef old = emit_variable_long(b, target->var.resolved);
	LLVMValueRef new = LLVMBuildAdd(b->e->builder, old, by, "new");
	emit_variable_set_long(b, target->var.resolved, new);
	return expr->crrement.is_post ? old : new;
}
