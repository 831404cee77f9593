/* SPDX-License-Identifier: MIT */
/* Arrays: elements, membership, deletion, foreach. */
#include <errno.h>

#include "stap/codegen/emit.h"

/* ---- keys
 * -------------------------------------------------------------------------------------
 */

struct emit_keys emit_keys(struct emit_body *b, const struct stap_expr *element,
	bool effects_follow, bool inserts)
{
	const struct stap_var *var = element->index.resolved;
	struct emit_keys keys = {.var = var, .token = element->token};
	struct emit_operands operands = {
		.exprs = element->index.keys.items,
		.count = element->index.keys.count,
		/* evicting an element of a wrapping array must not take a key's text with
		   it */
		.effects_follow = effects_follow || (inserts && var->is_wrapping),
	};

	if (operands.count > STAP_MAX_KEYS || (int)operands.count != var->arity) {
		emit_fail(b->e, -EINVAL, element->token, "wrong number of keys of '%s'",
			var->name);
		operands.count = 0;
	}
	keys.count = operands.count;
	keys.map = emit_global_at(b, var);
	for (uint32_t i = 0; i < keys.count; i++)
		if (!operands.exprs[i])
			keys.wild |= 1u << i;
	emit_operands(b, &operands, keys.values);
	return keys;
}

LLVMValueRef emit_store_keys(
	struct emit_body *b, const struct emit_keys *keys, LLVMValueRef at)
{
	if (!at)
		at = b->keys;
	for (uint32_t i = 0; i < keys->count; i++) {
		LLVMValueRef value =
			keys->wild & 1u << i ? emit_const(b, 0) : keys->values[i];

		emit_store(b, value, emit_at(b, at, i * sizeof(uint64_t), "key"));
	}
	return at;
}

static bool is_single_long(const struct emit_keys *keys)
{
	return keys->count == 1 && keys->var->key_types[0] != STAP_TYPE_STRING;
}

LLVMValueRef emit_find(struct emit_body *b, const struct emit_keys *keys)
{
	if (is_single_long(keys))
		return EMIT_CALL(b, rt_map_find1, b->c, keys->map, keys->values[0]);
	return EMIT_CALL(b, rt_map_find, b->c, keys->map, emit_store_keys(b, keys, NULL));
}

LLVMValueRef emit_insert(struct emit_body *b, const struct emit_keys *keys)
{
	LLVMValueRef at;

	if (is_single_long(keys))
		at = EMIT_CALL(b, rt_map_insert1, b->c, keys->map, keys->values[0]);
	else
		at = EMIT_CALL(b, rt_map_insert, b->c, keys->map,
			emit_store_keys(b, keys, NULL));
	emit_check(b, emit_is_null(b, at), keys->token);
	return at;
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

LLVMValueRef emit_element_long(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_keys keys = emit_keys(b, expr, false, false);
	LLVMValueRef at = emit_find(b, &keys);
	LLVMBasicBlockRef found = emit_block(b, "found"), done = emit_block(b, "done"),
			  from[2];
	LLVMValueRef value[2] = {emit_const(b, 0), NULL};

	from[0] = LLVMGetInsertBlock(b->e->builder);
	emit_branch(b, emit_is_null(b, at), done, found);
	LLVMPositionBuilderAtEnd(b->e->builder, found);
	value[1] = emit_load(b, b->e->i64, at, "element");
	from[1] = found;
	emit_enter(b, done);
	LLVMValueRef phi = LLVMBuildPhi(b->e->builder, b->e->i64, "");
	LLVMAddIncoming(phi, value, from, 2);
	return phi;
}

struct emit_text emit_element_text(struct emit_body *b, const struct stap_expr *expr)
{
	struct emit_keys keys = emit_keys(b, expr, false, false);
	LLVMValueRef at = emit_find(b, &keys);

	return (struct emit_text){
		.at = LLVMBuildSelect(b->e->builder, emit_is_null(b, at),
			emit_literal(b->e, ""), at, "element")};
}

LLVMValueRef emit_in(struct emit_body *b, const struct stap_expr *expr)
{
	LLVMBuilderRef builder = b->e->builder;

	if (expr->index.hist) {
		const struct stap_var *var = emit_stat_var(expr->index.hist->stat.target);
		LLVMValueRef index = emit_long(b, expr->index.keys.items[0]);

		return emit_from_bool(b,
			LLVMBuildICmp(builder, LLVMIntULT, index,
				emit_const(b, emit_global(b->e, var)->stat.bucket_count),
				""));
	}
	struct emit_keys keys = emit_keys(b, expr, false, false);
	if (keys.wild)
		return emit_from_bool(b,
			emit_is_true(b, EMIT_CALL(b, rt_map_contains_slice, b->c,
						keys.map, emit_store_keys(b, &keys, NULL),
						emit_const32(b, keys.wild))));
	return emit_from_bool(b, LLVMBuildIsNotNull(builder, emit_find(b, &keys), ""));
}

void emit_delete(struct emit_body *b, const struct stap_expr *expr)
{
	if (expr->kind == STAP_EXPR_VAR && expr->var.resolved->arity > 0) {
		emit_cells_unlink(b, expr->var.resolved);
		EMIT_CALL(b, rt_map_clear, b->c, emit_global_at(b, expr->var.resolved));
	} else if (expr->kind == STAP_EXPR_VAR) {
		emit_variable_reset(b, expr->var.resolved);
	} else if (expr->kind == STAP_EXPR_INDEX && expr->index.resolved) {
		struct emit_keys keys = emit_keys(b, expr, false, false);
		LLVMValueRef at = emit_store_keys(b, &keys, NULL);

		emit_cells_unlink(b, keys.var);
		if (keys.wild)
			EMIT_CALL(b, rt_map_delete_slice, b->c, keys.map, at,
				emit_const32(b, keys.wild));
		else
			EMIT_CALL(b, rt_map_delete, b->c, keys.map, at);
	} else {
		emit_fail(b->e, -EINVAL, expr->token, "nothing that can be deleted");
	}
}

/* ---- foreach
 * ---------------------------------------------------------------------------------- */

struct foreach {
	const struct stap_stmt *stmt;
	const struct stap_var *var;
	LLVMValueRef map;
	LLVMValueRef entry; /* alloca: index of the current entry */
	LLVMValueRef limit; /* alloca: rounds left, or NULL without `limit` */
	LLVMValueRef slice; /* keys to match, or NULL */
	uint32_t wild;
};

static void foreach_sort(struct emit_body *b, const struct foreach *f)
{
	const struct stap_stmt *stmt = f->stmt;
	uint32_t by = RT_SORT_VALUE;

	if (!stmt->foreach.sort_direction)
		return;
	if (stmt->foreach.sort_column > 0)
		by = RT_SORT_KEY0 + (uint32_t)stmt->foreach.sort_column - 1;
	else if (f->var->type == STAP_TYPE_STATS)
		by = RT_SORT_STAT +
		     (stmt->foreach.sort_has_op ? stmt->foreach.sort_op : RT_STAT_COUNT);
	EMIT_CALL(b, rt_map_sort, b->c, f->map, emit_const32(b, by),
		emit_const32(b, stmt->foreach.sort_direction < 0));
}

/* `limit E` and the slice are evaluated once, before the first round. */
static void foreach_prepare(struct emit_body *b, struct foreach *f)
{
	const struct stap_expr_list *slice = &f->stmt->foreach.slice;

	if (f->stmt->foreach.limit) {
		f->limit = emit_alloca(b, "rounds");
		emit_store(b, emit_long(b, f->stmt->foreach.limit), f->limit);
	}
	if (slice->count) {
		struct stap_expr element = {
			.kind = STAP_EXPR_INDEX, .token = f->stmt->token};

		element.index.resolved = f->stmt->foreach.array->var.resolved;
		element.index.keys = *slice;
		struct emit_keys keys = emit_keys(b, &element, true, false);
		f->wild = keys.wild;
		f->slice = emit_store_keys(b, &keys,
			emit_frame(b, sizeof(uint64_t) * STAP_MAX_KEYS, "slice"));
	}
	foreach_sort(b, f);
	f->entry = emit_alloca(b, "entry");
	emit_store(b,
		LLVMBuildZExt(
			b->e->builder, EMIT_CALL(b, rt_map_first, f->map), b->e->i64, ""),
		f->entry);
}

static LLVMValueRef foreach_entry(struct emit_body *b, const struct foreach *f)
{
	return LLVMBuildTrunc(
		b->e->builder, emit_load(b, b->e->i64, f->entry, ""), b->e->i32, "entry");
}

static void set_variable(
	struct emit_body *b, const struct stap_expr *target, LLVMValueRef value)
{
	const struct stap_var *var = target->var.resolved;

	if (var->type == STAP_TYPE_STRING) {
		if (LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMIntegerTypeKind)
			value = LLVMBuildIntToPtr(b->e->builder, value, b->e->ptr, "");
		emit_variable_set_text(b, var, value);
	} else {
		emit_variable_set_long(b, var, value);
	}
}

static void foreach_bind(struct emit_body *b, const struct foreach *f, LLVMValueRef entry)
{
	const struct stap_stmt *stmt = f->stmt;

	for (uint32_t i = 0; i < stmt->foreach.key_count; i++)
		set_variable(b, stmt->foreach.keys[i],
			EMIT_CALL(b, rt_map_key, f->map, entry, emit_const32(b, i)));
	if (stmt->foreach.value) {
		LLVMValueRef at = EMIT_CALL(b, rt_map_value, f->map, entry);

		set_variable(b, stmt->foreach.value,
			f->var->type == STAP_TYPE_STRING
				? at
				: emit_load(b, b->e->i64, at, ""));
	}
}

static void foreach_tests(struct emit_body *b, const struct foreach *f,
	LLVMValueRef entry, LLVMBasicBlockRef step, LLVMBasicBlockRef done)
{
	LLVMBuilderRef builder = b->e->builder;

	if (f->slice) {
		LLVMBasicBlockRef matches = emit_block(b, "matches");
		LLVMValueRef match = EMIT_CALL(b, rt_map_match, b->c, f->map, entry,
			f->slice, emit_const32(b, f->wild));

		emit_branch(b, emit_is_true(b, match), matches, step);
		LLVMPositionBuilderAtEnd(builder, matches);
	}
	if (f->limit) {
		LLVMBasicBlockRef more = emit_block(b, "more");
		LLVMValueRef left = emit_load(b, b->e->i64, f->limit, "left");

		emit_branch(b,
			LLVMBuildICmp(builder, LLVMIntSGT, left, emit_const(b, 0), ""),
			more, done);
		LLVMPositionBuilderAtEnd(builder, more);
		emit_store(
			b, LLVMBuildSub(builder, left, emit_const(b, 1), ""), f->limit);
	}
}

static void foreach_loop(struct emit_body *b, const struct foreach *f)
{
	LLVMBasicBlockRef head = emit_block(b, "foreach"), round = emit_block(b, "round");
	LLVMBasicBlockRef step = emit_block(b, "step"), done = emit_block(b, "done");
	LLVMBasicBlockRef outer_break = b->break_block,
			  outer_continue = b->continue_block;
	LLVMBuilderRef builder = b->e->builder;

	emit_before_loop(b, f->stmt);
	emit_enter(b, head);
	LLVMValueRef entry = foreach_entry(b, f);
	emit_branch(b,
		LLVMBuildICmp(
			builder, LLVMIntEQ, entry, emit_const32(b, ABI_MAP_NONE), ""),
		done, round);
	LLVMPositionBuilderAtEnd(builder, round);
	foreach_tests(b, f, entry, step, done);
	foreach_bind(b, f, entry);
	b->break_block = done;
	b->continue_block = step;
	emit_round(b, f->stmt, f->stmt->foreach.body);
	b->break_block = outer_break;
	b->continue_block = outer_continue;
	emit_enter(b, step);
	LLVMValueRef next = EMIT_CALL(b, rt_map_next, f->map, foreach_entry(b, f));
	emit_store(b, LLVMBuildZExt(builder, next, b->e->i64, ""), f->entry);
	LLVMBuildBr(builder, head);
	LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(builder));
	LLVMPositionBuilderAtEnd(builder, done);
}

void emit_foreach(struct emit_body *b, const struct stap_stmt *stmt)
{
	struct foreach f = {.stmt = stmt};

	if (stmt->foreach.array->kind == STAP_EXPR_HIST) {
		emit_foreach_bucket(b, stmt);
		return;
	}
	f.var = stmt->foreach.array->var.resolved;
	f.map = emit_global_at(b, f.var);
	foreach_prepare(b, &f);
	foreach_loop(b, &f);
}
