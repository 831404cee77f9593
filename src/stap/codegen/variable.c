/* SPDX-License-Identifier: MIT */
/* Scalar variables: registers, places in the frame, session memory, sharded counters. */
#include <errno.h>

#include "stap/codegen/emit.h"

LLVMValueRef emit_global_at(struct emit_body *b, const struct stap_var *var)
{
	return emit_at(b, b->session, emit_global(b->e, var)->offset, var->name);
}

/* An address that is made once is kept until its last use: in lean code each use makes its own. */
static LLVMValueRef local_at(struct emit_body *b, uint32_t index)
{
	if (b->e->is_lean)
		return emit_at(
			b, b->frame, b->local_offset[index], b->locals[index]->name);
	return b->local_at[index];
}

LLVMValueRef emit_local_at(struct emit_body *b, const struct stap_var *var)
{
	for (uint32_t i = 0; i < b->param_count; i++)
		if (b->params[i] == var)
			return b->param_at[i];
	if (var->index < b->local_count && b->locals[var->index] == var)
		return local_at(b, var->index);
	for (uint32_t i = 0; i < b->local_count; i++)
		if (b->locals[i] == var)
			return local_at(b, i);
	emit_fail(
		b->e, -EINVAL, var->token, "variable '%s' belongs to nothing", var->name);
	return emit_frame(b, b->e->options->max_string, var->name);
}

static bool is_counter(struct emit_body *b, const struct stap_var *var)
{
	return var->is_global && emit_global(b->e, var)->storage == CODEGEN_COUNTER;
}

static LLVMValueRef shard_const(struct emit_body *b, const struct stap_var *var)
{
	return emit_const32(b, emit_global(b->e, var)->shard_offset);
}

static LLVMValueRef place(struct emit_body *b, const struct stap_var *var)
{
	return var->is_global ? emit_global_at(b, var) : emit_local_at(b, var);
}

LLVMValueRef emit_variable_long(struct emit_body *b, const struct stap_var *var)
{
	if (is_counter(b, var))
		return EMIT_CALL(b, rt_counter_read, b->c, emit_global_at(b, var),
			shard_const(b, var));
	return emit_load(b, b->e->i64, place(b, var), var->name);
}

struct emit_text emit_variable_text(struct emit_body *b, const struct stap_var *var)
{
	return (struct emit_text){.at = place(b, var)};
}

void emit_variable_set_long(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef value)
{
	if (is_counter(b, var))
		EMIT_CALL(b, rt_counter_write, b->c, emit_global_at(b, var),
			shard_const(b, var), value);
	else
		emit_store(b, value, place(b, var));
}

void emit_variable_set_text(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef at)
{
	EMIT_CALL(b, rt_string_copy, b->c, place(b, var), at);
}

void emit_variable_add(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef value)
{
	/* of a counter every thread adds to its own cell: no lock, nothing atomic */
	LLVMValueRef at = is_counter(b, var)
				  ? emit_at(b, b->c, emit_global(b->e, var)->shard_offset,
					    var->name)
				  : place(b, var);
	LLVMValueRef old = emit_load(b, b->e->i64, at, var->name);

	emit_store(b, LLVMBuildAdd(b->e->builder, old, value, ""), at);
}

void emit_variable_reset(struct emit_body *b, const struct stap_var *var)
{
	if (var->type == STAP_TYPE_STATS)
		EMIT_CALL(b, rt_stat_clear_shards, b->c, emit_global_at(b, var));
	else if (var->type == STAP_TYPE_STRING)
		emit_store(b, LLVMConstInt(b->e->i8, 0, false), place(b, var));
	else
		emit_variable_set_long(b, var, emit_const(b, 0));
}
