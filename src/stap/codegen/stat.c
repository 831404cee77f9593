/* SPDX-License-Identifier: MIT */
/* Statistics: accumulation, extractors, histogram buckets. */
#include <errno.h>

#include "stap/codegen/emit.h"

const struct stap_var *emit_stat_var(const struct stap_expr *target)
{
	return target->kind == STAP_EXPR_VAR ? target->var.resolved
					     : target->index.resolved;
}

LLVMValueRef emit_stat_desc(struct emit_body *b, const struct stap_var *var)
{
	LLVMValueRef *desc = &b->e->stat_desc[var->index];

	if (!*desc)
		*desc = emit_bytes(b->e, &emit_global(b->e, var)->stat,
			sizeof(struct abi_stat_desc), 8, "stat_desc");
	return *desc;
}

static LLVMValueRef shard_const(struct emit_body *b, const struct stap_var *var)
{
	return emit_const32(b, emit_global(b->e, var)->shard_offset);
}

void emit_accumulate(
	struct emit_body *b, const struct stap_expr *target, const struct stap_expr *expr)
{
	const struct stap_var *var = emit_stat_var(target);

	if (target->kind == STAP_EXPR_VAR) {
		LLVMValueRef value = emit_long(b, expr), desc = emit_stat_desc(b, var);

		if (emit_fast_stat_fits(b, var)) {
			emit_fast_stat(b, var, desc, value);
			return;
		}
		EMIT_CALL(b, rt_stat_add_shard, b->c, emit_global_at(b, var),
			shard_const(b, var), desc, value);
		return;
	}
	struct emit_keys keys = emit_keys(b, target, emit_has_effects(expr), true);
	LLVMValueRef value = emit_long(b, expr);
	if (emit_is_celled(b, var)) {
		emit_cell_add(b, &keys, value);
		return;
	}
	EMIT_CALL(b, rt_stat_add, emit_insert(b, &keys), emit_stat_desc(b, var), value);
}

/* An absent element reads as an empty statistic. */
static LLVMValueRef element_stat(struct emit_body *b, const struct stap_expr *target)
{
	static const unsigned char zeroes[sizeof(struct abi_stat)];
	uint32_t size = emit_global(b->e, target->index.resolved)->stat.size;
	struct emit_keys keys = emit_keys(b, target, false, false);
	LLVMValueRef at = emit_find(b, &keys), empty;

	if (size == sizeof(zeroes)) {
		empty = emit_bytes(b->e, zeroes, sizeof(zeroes), 8, "empty_stat");
	} else {
		unsigned char *bytes = arena_alloc(b->e->program->arena, size);
		empty = emit_bytes(b->e, bytes, size, 8, "empty_stat");
	}
	return LLVMBuildSelect(b->e->builder, emit_is_null(b, at), empty, at, "stat");
}

LLVMValueRef emit_stat(struct emit_body *b, const struct stap_expr *target)
{
	const struct stap_var *var = emit_stat_var(target);

	if (target->kind == STAP_EXPR_INDEX)
		return element_stat(b, target);
	LLVMValueRef merged = emit_frame(b, emit_global(b->e, var)->stat.size, "merged");
	EMIT_CALL(b, rt_stat_merge, b->c, emit_global_at(b, var), shard_const(b, var),
		emit_stat_desc(b, var), merged);
	return merged;
}

LLVMValueRef emit_stat_value(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMValueRef stat = emit_stat(b, expr->stat.target);

	if (expr->stat.op == STAP_STAT_COUNT)
		return emit_load(b, b->e->i64,
			emit_at(b, stat, offsetof(struct abi_stat, count), ""), "count");
	if (expr->stat.op == STAP_STAT_SUM)
		return emit_load(b, b->e->i64,
			emit_at(b, stat, offsetof(struct abi_stat, sum), ""), "sum");
	LLVMValueRef value = EMIT_CALL(
		b, rt_stat_read, b->c, stat, emit_const32(b, (uint32_t)expr->stat.op));
	emit_check_error(b, expr->token);
	return value;
}

LLVMValueRef emit_bucket(struct emit_body *b, const struct stap_expr *expr)
{
	const struct stap_expr *target = expr->index.hist->stat.target;
	LLVMValueRef index = emit_long(b, expr->index.keys.items[0]);
	LLVMValueRef value = EMIT_CALL(b, rt_hist_read, b->c, emit_stat(b, target),
		emit_stat_desc(b, emit_stat_var(target)), index);

	emit_check_error(b, expr->token);
	return value;
}

LLVMValueRef emit_histogram(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMValueRef stat = emit_stat(b, expr->stat.target);
	LLVMValueRef count = emit_load(b, b->e->i64,
		emit_at(b, stat, offsetof(struct abi_stat, count), ""), "count");

	emit_raise_if(b,
		LLVMBuildICmp(b->e->builder, LLVMIntEQ, count, emit_const(b, 0), ""),
		expr->token, "empty aggregate");
	return stat;
}

static void bind_bucket(struct emit_body *b, const struct stap_stmt *stmt,
	LLVMValueRef stat, LLVMValueRef index)
{
	if (stmt->foreach.key_count)
		emit_variable_set_long(b, stmt->foreach.keys[0]->var.resolved, index);
	if (stmt->foreach.value) {
		LLVMValueRef offset =
			LLVMBuildShl(b->e->builder, index, emit_const(b, 3), "");
		LLVMValueRef at = LLVMBuildInBoundsGEP2(b->e->builder, b->e->i8,
			emit_at(b, stat, offsetof(struct abi_stat, buckets), ""), &offset,
			1, "");

		emit_variable_set_long(b, stmt->foreach.value->var.resolved,
			emit_load(b, b->e->i64, at, "bucket"));
	}
}

/* foreach (bucket in @hist_log(x)): every bucket of a snapshot, empty ones too */
void emit_foreach_bucket(struct emit_body *b, const struct stap_stmt *stmt)
{
	const struct stap_expr *hist = stmt->foreach.array;
	const struct abi_stat_desc *desc =
		&emit_global(b->e, emit_stat_var(hist->stat.target))->stat;
	LLVMBasicBlockRef head = emit_block(b, "buckets"), round = emit_block(b, "round");
	LLVMBasicBlockRef step = emit_block(b, "step"), done = emit_block(b, "done");
	LLVMBasicBlockRef outer_break = b->break_block,
			  outer_continue = b->continue_block;
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef index = emit_alloca(b, "bucket"),
		     limit = emit_const(b, desc->bucket_count);

	if (stmt->foreach.limit) {
		LLVMValueRef asked = emit_long(b, stmt->foreach.limit);
		LLVMValueRef less = LLVMBuildICmp(builder, LLVMIntSLT, asked, limit, "");
		limit = LLVMBuildSelect(builder, less, asked, limit, "limit");
	}
	LLVMValueRef stat = emit_histogram(b, hist);
	if (hist->stat.target->kind == STAP_EXPR_INDEX) {
		LLVMValueRef copy = emit_frame(b, desc->size, "snapshot");
		EMIT_CALL(b, rt_record_bytes, copy, stat, emit_const32(b, desc->size));
		stat = copy;
	}
	emit_store(b, emit_const(b, 0), index);
	emit_before_loop(b, stmt);
	emit_enter(b, head);
	LLVMValueRef at = emit_load(b, b->e->i64, index, "");
	emit_branch(b, LLVMBuildICmp(builder, LLVMIntSLT, at, limit, ""), round, done);
	LLVMPositionBuilderAtEnd(builder, round);
	bind_bucket(b, stmt, stat, at);
	b->break_block = done;
	b->continue_block = step;
	emit_round(b, stmt, stmt->foreach.body);
	b->break_block = outer_break;
	b->continue_block = outer_continue;
	emit_enter(b, step);
	at = emit_load(b, b->e->i64, index, "");
	emit_store(b, LLVMBuildAdd(builder, at, emit_const(b, 1), ""), index);
	LLVMBuildBr(builder, head);
	LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(builder));
	LLVMPositionBuilderAtEnd(builder, done);
}
