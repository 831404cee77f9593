/* SPDX-License-Identifier: MIT */
/* The print family: a record of the arguments for the tracer to format, or sprint here.
 */
#include <errno.h>
#include <string.h>

#include "stap/codegen/emit.h"

enum {
	MAX_PRINT_ARGS = 64
};

/* ---- formats
 * ---------------------------------------------------------------------------------- */

static bool same_format(const struct codegen_format *have,
	const struct codegen_format *want, uint32_t histogram_count)
{
	if (have->format->size != want->format->size ||
		memcmp(have->format, want->format, want->format->size) != 0)
		return false;
	for (uint32_t i = 0; i < histogram_count; i++)
		if (have->histograms[i] != want->histograms[i])
			return false;
	return true;
}

static uint32_t format_index(struct emit *e, const struct stap_expr *expr)
{
	const struct stap_expr_list *args = &expr->print.args;
	struct codegen_format format = {.format = expr->print.format};
	uint32_t histograms = 0;

	format.histograms = arena_array(
		e->program->arena, const struct abi_stat_desc *, args->count + 1);
	for (uint32_t i = 0; i < args->count; i++)
		if (args->items[i]->kind == STAP_EXPR_HIST)
			format.histograms[histograms++] = &emit_global(
				e, emit_stat_var(args->items[i]->stat.target))
								   ->stat;
	for (size_t i = 0; i < e->formats.count; i++)
		if (same_format(&e->formats.items[i], &format, histograms))
			return (uint32_t)i;
	vec_append(&e->formats, format);
	return (uint32_t)e->formats.count - 1;
}

static bool check_print(struct emit_body *b, const struct stap_expr *expr)
{
	if (!expr->print.format || expr->print.args.count > MAX_PRINT_ARGS ||
		expr->print.format->argument_count != expr->print.args.count) {
		emit_fail(b->e, -EINVAL, expr->token,
			"'%s' has no format for its arguments",
			expr->print.name ? expr->print.name : "print");
		return false;
	}
	return true;
}

/* Arguments left to right; a histogram as the address of its statistic. */
static void print_operands(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef *ret)
{
	const struct stap_expr_list *args = &expr->print.args;
	struct stap_expr *plain[MAX_PRINT_ARGS];

	for (uint32_t i = 0; i < args->count; i++)
		plain[i] = args->items[i]->kind == STAP_EXPR_HIST ? NULL : args->items[i];
	emit_operands(
		b, &(struct emit_operands){.exprs = plain, .count = args->count}, ret);
	for (uint32_t i = 0; i < args->count; i++)
		if (!plain[i])
			ret[i] = emit_histogram(b, args->items[i]);
}

/* ---- records
 * ---------------------------------------------------------------------------------- */

static const struct abi_stat_desc *hist_desc(
	struct emit_body *b, const struct stap_expr *arg)
{
	return &emit_global(b->e, emit_stat_var(arg->stat.target))->stat;
}

static LLVMValueRef record_size(struct emit_body *b, const struct stap_expr_list *args,
	const LLVMValueRef *values)
{
	LLVMValueRef size = NULL;
	uint32_t fixed = 0;

	for (uint32_t i = 0; i < args->count; i++) {
		const struct stap_expr *arg = args->items[i];

		if (arg->kind == STAP_EXPR_HIST) {
			fixed += hist_desc(b, arg)->size;
		} else if (arg->type == STAP_TYPE_STRING) {
			LLVMValueRef more =
				EMIT_CALL(b, rt_record_string_size, values[i]);
			size = size ? LLVMBuildAdd(b->e->builder, size, more, "") : more;
		} else {
			fixed += sizeof(uint64_t);
		}
	}
	LLVMValueRef known = emit_const32(b, fixed);
	return size ? LLVMBuildAdd(b->e->builder, size, known, "size") : known;
}

static void record_fill(struct emit_body *b, const struct stap_expr_list *args,
	const LLVMValueRef *values, LLVMValueRef at)
{
	uint32_t offset = 0;

	for (uint32_t i = 0; i < args->count; i++) {
		const struct stap_expr *arg = args->items[i];
		LLVMValueRef here = emit_at(b, at, offset, "argument");

		if (arg->kind == STAP_EXPR_HIST) {
			at = EMIT_CALL(b, rt_record_bytes, here, values[i],
				emit_const32(b, hist_desc(b, arg)->size));
			offset = 0;
		} else if (arg->type == STAP_TYPE_STRING) {
			at = EMIT_CALL(b, rt_record_string, here, values[i]);
			offset = 0;
		} else {
			emit_store(b, values[i], here);
			offset += sizeof(uint64_t);
		}
	}
}

void emit_print(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_expr_list *args = &expr->print.args;
	LLVMBasicBlockRef fill = emit_block(b, "record"), done = emit_block(b, "done");
	LLVMValueRef values[MAX_PRINT_ARGS] = {NULL};

	if (check_print(b, expr)) {
		print_operands(b, expr, values);
		LLVMValueRef at = EMIT_CALL(b, rt_record_reserve, b->c,
			emit_const32(b, ABI_RECORD_PRINT),
			emit_const32(b, format_index(b->e, expr)),
			record_size(b, args, values));
		emit_cold_branch(b, emit_is_null(b, at), done, fill);
		LLVMPositionBuilderAtEnd(b->e->builder, fill);
		record_fill(b, args, values, at);
		EMIT_CALL(b, rt_record_commit, b->c);
	} else {
		emit_enter(b, fill);
	}
	emit_enter(b, done);
}

/* ---- sprint
 * ----------------------------------------------------------------------------------- */

LLVMValueRef emit_sprint(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_expr_list *args = &expr->print.args;
	LLVMValueRef values[MAX_PRINT_ARGS] = {NULL}, dst = emit_frame_string(b);

	if (!check_print(b, expr))
		return dst;
	print_operands(b, expr, values);
	LLVMValueRef array =
		emit_frame(b, (args->count + 1) * sizeof(uint64_t), "arguments");
	for (uint32_t i = 0; i < args->count; i++)
		emit_store(b, values[i],
			emit_at(b, array, i * sizeof(uint64_t), "argument"));
	EMIT_CALL(b, rt_sprintf, b->c, dst,
		emit_bytes(
			b->e, expr->print.format, expr->print.format->size, 8, "format"),
		array);
	return dst;
}
