/* SPDX-License-Identifier: MIT */
/* The print family: a record of the arguments for the tracer to format, or sprint here.
 */
#include <errno.h>
#include <string.h>

#include "stap/codegen/emit.h"

enum {
	MAX_PRINT_ARGS = 32 /* as in SystemTap */
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
	if (expr->print.args.count > MAX_PRINT_ARGS) {
		emit_fail(b->e, -EINVAL, expr->token, "too many arguments to print (%zu)",
			(size_t)expr->print.args.count);
		return false;
	}
	for (uint32_t i = 0; i < expr->print.args.count; i++) {
		if (expr->print.args.items[i]->type != STAP_TYPE_STATS ||
			expr->print.args.items[i]->kind == STAP_EXPR_HIST)
			continue;
		emit_fail(b->e, -EINVAL, expr->print.args.items[i]->token,
			"print format actual argument evaluation type unsupported");
		return false;
	}
	if (!expr->print.format ||
		expr->print.format->argument_count != expr->print.args.count) {
		emit_fail(b->e, -EINVAL, expr->token,
			"'%s' has no format for its arguments",
			expr->print.name ? expr->print.name : "print");
		return false;
	}
	return true;
}

/* Arguments left to right; a histogram as the address of its statistic. The lean code keeps
 * them in the frame: many of them would live across calls. */
struct print_values {
	LLVMValueRef at[MAX_PRINT_ARGS];
	bool is_memory[MAX_PRINT_ARGS]; /* the text that was made of an address */
	bool in_frame;
	uint32_t frame_offset;
};

static LLVMValueRef print_slot(
	struct emit_body *b, const struct print_values *values, uint32_t i)
{
	return emit_at(
		b, b->frame, values->frame_offset + i * sizeof(uint64_t), "argument");
}

static void print_operands(
	struct emit_body *b, const struct stap_expr *expr, struct print_values *ret)
{
	const struct stap_expr_list *args = &expr->print.args;
	struct stap_expr *plain[MAX_PRINT_ARGS];

	for (uint32_t i = 0; i < args->count; i++)
		plain[i] = args->items[i]->kind == STAP_EXPR_HIST ? NULL : args->items[i];
	if (ret->in_frame) {
		ret->frame_offset = b->frame_top;
		emit_frame(b, (args->count + 1) * sizeof(uint64_t), "arguments");
	}
	emit_operands(b,
		&(struct emit_operands){.exprs = plain,
			.count = args->count,
			.in_frame = ret->in_frame,
			.frame_offset = ret->frame_offset},
		ret->at);
	for (uint32_t i = 0; i < args->count; i++) {
		if (plain[i])
			continue;
		ret->at[i] = emit_histogram(b, args->items[i]);
		if (ret->in_frame)
			emit_store(b, ret->at[i], print_slot(b, ret, i));
	}
}

static bool is_text(
	const struct print_values *values, const struct stap_expr *arg, uint32_t i)
{
	return arg->type == STAP_TYPE_STRING || values->is_memory[i];
}

static LLVMValueRef print_value(struct emit_body *b, const struct print_values *values,
	const struct stap_expr *arg, uint32_t i)
{
	if (!values->in_frame)
		return values->at[i];
	bool is_pointer = arg->kind == STAP_EXPR_HIST || is_text(values, arg, i);
	return LLVMBuildLoad2(b->e->builder, is_pointer ? b->e->ptr : b->e->i64,
		print_slot(b, values, i), "");
}

/* What %m and %M show has to be read now; it travels as text. */
static void take_memory(struct emit_body *b, const struct stap_expr *expr,
	struct print_values *values, const struct format_part *part, uint32_t i)
{
	const struct stap_expr *const *args =
		(const struct stap_expr *const *)expr->print.args.items;
	LLVMValueRef text = emit_frame(b, 2 * b->e->options->max_string, "memory");
	LLVMValueRef size = part->precision == FORMAT_DYNAMIC
				    ? print_value(b, values, args[i - 1], i - 1)
				    : emit_const(b, part->precision);

	EMIT_CALL(b, rt_memory_hex, b->c, text, print_value(b, values, args[i], i), size);
	emit_check_error(b, expr->token);
	values->at[i] = text;
	values->is_memory[i] = true;
	if (values->in_frame)
		emit_store(b, text, print_slot(b, values, i));
}

static bool is_memory_part(const struct format_part *part)
{
	return part->kind == FORMAT_LONG &&
	       (part->conversion == 'm' || part->conversion == 'M');
}

static void print_memory(
	struct emit_body *b, const struct stap_expr *expr, struct print_values *values)
{
	const struct format *format = expr->print.format;
	uint32_t next = 0;

	for (uint32_t k = 0; k < format->part_count; k++) {
		const struct format_part *part = &format->parts[k];

		if (part->kind == FORMAT_LITERAL)
			continue;
		if (part->kind != FORMAT_HISTOGRAM)
			next += (part->width == FORMAT_DYNAMIC) +
				(part->precision == FORMAT_DYNAMIC);
		if (is_memory_part(part))
			take_memory(b, expr, values, part, next);
		next++;
	}
}

/* ---- records
 * ---------------------------------------------------------------------------------- */

static const struct abi_stat_desc *hist_desc(
	struct emit_body *b, const struct stap_expr *arg)
{
	return &emit_global(b->e, emit_stat_var(arg->stat.target))->stat;
}

static LLVMValueRef record_size(struct emit_body *b, const struct stap_expr_list *args,
	const struct print_values *values)
{
	LLVMValueRef size = NULL;
	uint32_t fixed = 0;

	for (uint32_t i = 0; i < args->count; i++) {
		const struct stap_expr *arg = args->items[i];

		if (arg->kind == STAP_EXPR_HIST) {
			fixed += hist_desc(b, arg)->size;
		} else if (is_text(values, arg, i)) {
			LLVMValueRef more = EMIT_CALL(
				b, rt_record_string_size, print_value(b, values, arg, i));
			size = size ? LLVMBuildAdd(b->e->builder, size, more, "") : more;
		} else {
			fixed += sizeof(uint64_t);
		}
	}
	LLVMValueRef known = emit_const32(b, fixed);

	return size ? LLVMBuildAdd(b->e->builder, size, known, "size") : known;
}

static void record_fill(struct emit_body *b, const struct stap_expr_list *args,
	const struct print_values *values, LLVMValueRef at)
{
	uint32_t offset = 0;

	for (uint32_t i = 0; i < args->count; i++) {
		const struct stap_expr *arg = args->items[i];
		LLVMValueRef here = emit_at(b, at, offset, "argument");
		LLVMValueRef value = print_value(b, values, arg, i);

		if (arg->kind == STAP_EXPR_HIST) {
			at = EMIT_CALL(b, rt_record_bytes, here, value,
				emit_const32(b, hist_desc(b, arg)->size));
			offset = 0;
		} else if (is_text(values, arg, i)) {
			at = EMIT_CALL(b, rt_record_string, here, value);
			offset = 0;
		} else {
			emit_store(b, value, here);
			offset += sizeof(uint64_t);
		}
	}
}

static LLVMValueRef reserve(struct emit_body *b, const struct stap_expr *expr,
	const struct print_values *values)
{
	uint32_t format = format_index(b->e, expr);
	LLVMValueRef size = record_size(b, &expr->print.args, values);

	if (emit_is_fast(b))
		return emit_fast_reserve(b, ABI_RECORD_PRINT, format, size);
	return EMIT_CALL(b, rt_record_reserve, b->c, emit_const32(b, ABI_RECORD_PRINT),
		emit_const32(b, format), size);
}

void emit_print(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_expr_list *args = &expr->print.args;
	LLVMBasicBlockRef fill = emit_block(b, "record"), done = emit_block(b, "done");
	struct print_values values = {.in_frame = b->e->is_lean};

	if (check_print(b, expr)) {
		print_operands(b, expr, &values);
		print_memory(b, expr, &values);
		LLVMValueRef at = reserve(b, expr, &values);
		emit_cold_branch(b, emit_is_null(b, at), done, fill);
		LLVMPositionBuilderAtEnd(b->e->builder, fill);
		record_fill(b, args, &values, at);
		emit_fast_commit(b);
	} else {
		emit_enter(b, fill);
	}
	emit_enter(b, done);
}

/* ---- sprint
 * ----------------------------------------------------------------------------------- */

/* It is the only argument. */
static void sprint_histogram(struct emit_body *b, const struct stap_expr *expr,
	LLVMValueRef stat, LLVMValueRef dst)
{
	const struct stap_expr *target = expr->print.args.items[0]->stat.target;

	EMIT_CALL(b, rt_histogram_text, b->c, dst, stat,
		emit_stat_desc(b, emit_stat_var(target)),
		emit_const32(b, b->e->options->hist_width),
		emit_const32(b, (uint32_t)b->e->options->hist_elision));
	if (expr->print.format->part_count > 1)
		EMIT_CALL(b, rt_string_append, b->c, dst, emit_literal(b->e, "\n"));
}

static void sprint_into(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst)
{
	struct print_values values = {.in_frame = true};

	print_operands(b, expr, &values);
	if (expr->print.format->part_count &&
		expr->print.format->parts[0].kind == FORMAT_HISTOGRAM) {
		sprint_histogram(b, expr,
			print_value(b, &values, expr->print.args.items[0], 0), dst);
		return;
	}
	EMIT_CALL(b, rt_sprintf, b->c, dst,
		emit_bytes(
			b->e, expr->print.format, expr->print.format->size, 8, "format"),
		print_slot(b, &values, 0));
	for (uint32_t k = 0; k < expr->print.format->part_count; k++)
		if (is_memory_part(&expr->print.format->parts[k])) {
			emit_check_error(b, expr->token);
			break;
		}
}

/* What an argument raises ends here; MAXACTION and abort() go through. */
static void sprint_guarded(
	struct emit_body *b, const struct stap_expr *expr, LLVMValueRef dst)
{
	LLVMBasicBlockRef outer = b->catch_block, handler = emit_block(b, "catch");
	LLVMBasicBlockRef done = emit_block(b, "done");

	b->catch_block = handler;
	sprint_into(b, expr, dst);
	b->catch_block = outer;
	LLVMBuildBr(b->e->builder, done);
	LLVMPositionBuilderAtEnd(b->e->builder, handler);
	emit_catch(b, outer, LLVMConstNull(b->e->ptr));
	EMIT_CALL(b, rt_string_copy, b->c, dst, emit_literal(b->e, "ERROR"));
	emit_enter(b, done);
}

LLVMValueRef emit_sprint(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMValueRef dst = emit_frame_string(b);

	if (!check_print(b, expr))
		return dst;
	if (expr->print.is_guarded)
		sprint_guarded(b, expr, dst);
	else
		sprint_into(b, expr, dst);
	return dst;
}
