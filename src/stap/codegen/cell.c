/* SPDX-License-Identifier: MIT */
/* Arrays that are only counted up, each thread in cells of its own: runtime/cell.c. */
#include "stap/codegen/emit.h"

enum {
	INLINE_KEYS = 2
};

static LLVMValueRef cells_desc(struct emit_body *b, const struct stap_var *var)
{
	const struct codegen_global *g = emit_global(b->e, var);
	LLVMValueRef *desc = &b->e->cells_desc[var->index];

	if (!*desc)
		*desc = emit_bytes(b->e, &g->cells, sizeof(g->cells), 8, "cells_desc");
	return *desc;
}

bool emit_is_celled(const struct emit_body *b, const struct stap_var *var)
{
	return (b->is_target || b->function) && emit_global(b->e, var)->is_celled;
}

void emit_cells_collect(struct emit_body *b, const struct stap_var *var)
{
	EMIT_CALL(b, rt_cells_collect, b->c, cells_desc(b, var));
}

void emit_cells_unlink(struct emit_body *b, const struct stap_var *var)
{
	if (emit_global(b->e, var)->is_celled)
		EMIT_CALL(b, rt_cells_unlink, b->c, cells_desc(b, var));
}

/* KEEP IN SYNC: hash_keys() of runtime/cell.c */
static LLVMValueRef cell_index(struct emit_body *b, const struct emit_keys *keys)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef hash = emit_const(b, 0);

	for (uint32_t i = 0; i < keys->count; i++)
		hash = LLVMBuildMul(builder,
			LLVMBuildXor(builder, hash, keys->values[i], ""),
			emit_const(b, (int64_t)0x9e3779b97f4a7c15u), "");
	hash = LLVMBuildLShr(builder, hash, emit_const(b, 32), "");
	return LLVMBuildAnd(builder, hash, emit_const(b, ABI_CELLS - 1), "index");
}

/* The tracer unlinks cells meanwhile. */
static LLVMValueRef is_unlinked(struct emit_body *b, LLVMValueRef cell)
{
	LLVMValueRef link = emit_load(b, b->e->i32,
		emit_at(b, cell, offsetof(struct abi_cell, link), ""), "link");

	LLVMSetOrdering(link, LLVMAtomicOrderingMonotonic);
	LLVMSetAlignment(link, 4);
	return LLVMBuildICmp(b->e->builder, LLVMIntEQ, link, emit_const32(b, 0), "");
}

static LLVMValueRef is_other(
	struct emit_body *b, LLVMValueRef cell, const struct emit_keys *keys)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMValueRef other = is_unlinked(b, cell);

	for (uint32_t i = 0; i < keys->count; i++) {
		LLVMValueRef have = emit_load(b, b->e->i64,
			emit_at(b, cell,
				offsetof(struct abi_cell, key) + i * sizeof(uint64_t),
				""),
			"key");

		other = LLVMBuildOr(builder, other,
			LLVMBuildICmp(builder, LLVMIntNE, have, keys->values[i], ""), "");
	}
	return other;
}

static LLVMValueRef add_by_runtime(struct emit_body *b, const struct emit_keys *keys,
	LLVMValueRef desc, LLVMValueRef by)
{
	bool numbers = keys->var->type == STAP_TYPE_LONG;

	for (uint32_t i = 0; i < keys->count; i++)
		numbers &= keys->var->key_types[i] != STAP_TYPE_STRING;
	if (numbers && keys->count == 1)
		return EMIT_CALL(b, rt_cell_add1, b->c, desc, keys->values[0], by);
	if (numbers && keys->count == 2)
		return EMIT_CALL(b, rt_cell_add2, b->c, desc, keys->values[0],
			keys->values[1], by);
	if (keys->var->type == STAP_TYPE_STATS)
		return EMIT_CALL(b, rt_cell_accumulate, b->c, desc,
			emit_store_keys(b, keys, NULL), by);
	return EMIT_CALL(b, rt_cell_add, b->c, desc, emit_store_keys(b, keys, NULL), by);
}

static bool is_inline(struct emit_body *b, const struct emit_keys *keys)
{
	for (uint32_t i = 0; i < keys->count; i++)
		if (keys->var->key_types[i] == STAP_TYPE_STRING)
			return false;
	if (keys->var->type == STAP_TYPE_STATS && !emit_fast_stat_fits(b, keys->var))
		return false;
	return emit_is_fast(b) && keys->count <= INLINE_KEYS;
}

static void add_to_number(struct emit_body *b, LLVMValueRef cell, LLVMValueRef by)
{
	LLVMValueRef at = emit_at(b, cell, offsetof(struct abi_cell, delta), "delta");
	LLVMValueRef old = emit_load(b, b->e->i64, at, "");

	emit_store(b, LLVMBuildAdd(b->e->builder, old, by, ""), at);
}

static void store_sequence(struct emit_body *b, LLVMValueRef value, LLVMValueRef at)
{
	LLVMValueRef store = LLVMBuildStore(b->e->builder, value, at);

	LLVMSetOrdering(store, LLVMAtomicOrderingRelease);
	LLVMSetAlignment(store, 8);
}

/* Odd while the statistic is being changed.  KEEP IN SYNC: add_value() of runtime/cell.c */
static void add_to_stat(struct emit_body *b, const struct stap_var *var,
	LLVMValueRef cell, LLVMValueRef value, LLVMBasicBlockRef miss)
{
	LLVMBuilderRef builder = b->e->builder;
	LLVMBasicBlockRef linked = emit_block(b, "linked"),
			  unlinked = emit_block(b, "unlinked");
	LLVMValueRef at = emit_at(b, cell, offsetof(struct abi_cell, delta), "sequence");
	LLVMValueRef odd = LLVMBuildOr(
		builder, emit_load(b, b->e->i64, at, ""), emit_const(b, 1), "odd");

	LLVMValueRef even = LLVMBuildAdd(builder, odd, emit_const(b, 1), "even");

	store_sequence(b, odd, at);
	/* of a single thread: the processor's order is the reader's care */
	LLVMBuildFence(builder, LLVMAtomicOrderingSequentiallyConsistent, true, "");
	emit_cold_branch(b, is_unlinked(b, cell), unlinked, linked);
	LLVMPositionBuilderAtEnd(builder, unlinked);
	store_sequence(b, even, at);
	LLVMBuildBr(builder, miss);
	LLVMPositionBuilderAtEnd(builder, linked);
	LLVMBuildFence(builder, LLVMAtomicOrderingRelease, false, "");
	emit_fast_stat_add(b, var,
		emit_at(b, cell, emit_global(b->e, var)->cells.stat_offset, "stat"),
		value);
	store_sequence(b, even, at);
}

void emit_cell_add(struct emit_body *b, const struct emit_keys *keys, LLVMValueRef by)
{
	const struct codegen_global *g = emit_global(b->e, keys->var);
	LLVMBuilderRef builder = b->e->builder;
	LLVMBasicBlockRef done = emit_block(b, "counted");
	LLVMValueRef desc = cells_desc(b, keys->var);

	if (is_inline(b, keys)) {
		LLVMBasicBlockRef hit = emit_block(b, "hit"),
				  miss = emit_block(b, "miss");
		LLVMValueRef offset = LLVMBuildMul(builder, cell_index(b, keys),
			emit_const(b, g->cells.cell_size), "");
		LLVMValueRef cells = emit_at(b, b->c,
			g->cells.shard_offset + sizeof(struct abi_cells), "cells");
		LLVMValueRef cell = LLVMBuildInBoundsGEP2(
			builder, b->e->i8, cells, &offset, 1, "cell");

		emit_cold_branch(b, is_other(b, cell, keys), miss, hit);
		LLVMPositionBuilderAtEnd(builder, hit);
		if (keys->var->type == STAP_TYPE_STATS)
			add_to_stat(b, keys->var, cell, by, miss);
		else
			add_to_number(b, cell, by);
		LLVMBuildBr(builder, done);
		LLVMPositionBuilderAtEnd(builder, miss);
	}
	LLVMValueRef counted = add_by_runtime(b, keys, desc, by);
	emit_check(b,
		LLVMBuildICmp(builder, LLVMIntEQ, counted,
			LLVMConstInt(b->e->i8, 0, false), ""),
		keys->token);
	emit_enter(b, done);
}
