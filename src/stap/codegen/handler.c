/* SPDX-License-Identifier: MIT */
/*
 * Handlers and script functions: what stands around their bodies.
 *
 *   handler(c, regs, sp, ip, site)            function(c, [result,] arguments...)
 *     if (!rt_enter(...)) return;               base = c->scratch_top
 *     [values = rt_pair_pop(...)]               scratch_top += frame size, nesting++
 *     locks in ascending order                  body
 *     condition; body                           scratch_top = base, nesting--
 *     rt_leave(c)
 *
 * The size of a frame is known only when its body is done, so the prologue is emitted
 * last.
 */
#include <errno.h>
#include <stdio.h>

#include "stap/codegen/emit.h"

/* Scratch space that runtime functions may need above the deepest script frame. */
enum {
	RUNTIME_SCRATCH = 8192
};

/* ---- variables of a body
 * ---------------------------------------------------------------------- */

static LLVMValueRef new_variable(struct emit_body *b, const struct stap_var *var)
{
	if (var->type == STAP_TYPE_STRING)
		return emit_frame_string(b);
	return emit_alloca(b, var->name);
}

static void clear_variable(
	struct emit_body *b, const struct stap_var *var, LLVMValueRef at)
{
	if (var->type == STAP_TYPE_STRING)
		emit_store(b, LLVMConstInt(b->e->i8, 0, false), at);
	else
		emit_store(b, emit_const(b, 0), at);
}

static void open_locals(struct emit_body *b, struct stap_var *const *locals, size_t count)
{
	b->locals = locals;
	b->local_count = (uint32_t)count;
	b->local_at = arena_array(b->e->program->arena, LLVMValueRef, count + 1);
	b->local_offset = arena_array(b->e->program->arena, uint32_t, count + 1);
	for (size_t i = 0; i < count; i++) {
		b->local_offset[i] = b->frame_top;
		b->local_at[i] = new_variable(b, locals[i]);
		clear_variable(b, locals[i], b->local_at[i]);
	}
	b->keys = emit_frame(b, sizeof(uint64_t) * STAP_MAX_KEYS, "keys");
}

static LLVMValueRef context_u32(struct emit_body *b, size_t offset, const char *name)
{
	return emit_load(b, b->e->i32, emit_at(b, b->c, offset, ""), name);
}

static LLVMValueRef context_u64(struct emit_body *b, size_t offset, const char *name)
{
	return emit_load(b, b->e->i64, emit_at(b, b->c, offset, ""), name);
}

/*
 * The session's address comes from the read-only page in front of the image, not from the context,
 * which traced processes can write: the same code runs in the tracer.
 */
static void load_session(struct emit_body *b)
{
	struct emit *e = b->e;
	LLVMValueRef block = LLVMGetNamedGlobal(e->module, AGENT_LINK_ARENA);

	if (!block) {
		block = LLVMAddGlobal(e->module, e->i64, AGENT_LINK_ARENA);
		LLVMSetVisibility(block, LLVMHiddenVisibility);
		LLVMSetGlobalConstant(block, true);
	}
	LLVMValueRef address = emit_load(b, e->i64, block, "session_address");
	LLVMSetMetadata(address, e->invariant_kind,
		LLVMMetadataAsValue(
			e->context, LLVMMDNodeInContext2(e->context, NULL, 0)));
	b->session = LLVMBuildIntToPtr(e->builder, address, e->ptr, "session");
}

/* ---- script functions
 * ------------------------------------------------------------------------- */

static LLVMTypeRef function_type(struct emit *e, const struct stap_function *function)
{
	LLVMTypeRef types[64];
	unsigned count = 0;

	types[count++] = e->ptr;
	if (function->type == STAP_TYPE_STRING)
		types[count++] = e->ptr;
	for (uint32_t i = 0; i < function->param_count && count < 64; i++)
		types[count++] =
			function->params[i]->type == STAP_TYPE_STRING ? e->ptr : e->i64;
	return LLVMFunctionType(function->type == STAP_TYPE_STRING ? e->none : e->i64,
		types, count, false);
}

/* Callers pass texts that do not change; a parameter the body assigns to becomes a copy.
 */
static void open_params(struct emit_body *b, unsigned first, uint64_t written)
{
	const struct stap_function *function = b->function;

	b->params = function->params;
	b->param_count = function->param_count;
	b->param_at = arena_array(b->e->program->arena, LLVMValueRef, b->param_count + 1);
	for (uint32_t i = 0; i < b->param_count; i++) {
		LLVMValueRef value = LLVMGetParam(b->fn, first + i);

		if (function->params[i]->type != STAP_TYPE_STRING) {
			b->param_at[i] = emit_alloca(b, function->params[i]->name);
			emit_store(b, value, b->param_at[i]);
		} else if (i >= 64 || written & 1ull << i) {
			b->param_at[i] = emit_text_copy(b, value);
		} else {
			b->param_at[i] = value;
		}
	}
}

/* Take the frame and a level of nesting; the other way at the end. */
static void function_prologue(
	struct emit_body *b, LLVMValueRef base, LLVMBasicBlockRef start)
{
	LLVMBuilderRef builder = b->e->builder;
	const struct stap_token *token = b->function->token;
	LLVMValueRef top =
		LLVMBuildAdd(builder, base, emit_const32(b, b->frame_max), "top");
	uint32_t limit = ABI_CONTEXT_SCRATCH_SIZE - RUNTIME_SCRATCH;

	emit_raise_if(b,
		LLVMBuildICmp(builder, LLVMIntUGT, base, emit_const32(b, limit), ""),
		token, "MAXNESTING exceeded");
	if (b->e->counts_nesting) {
		LLVMValueRef level =
			context_u32(b, offsetof(struct abi_context, nesting), "level");

		emit_raise_if(b,
			LLVMBuildICmp(builder, LLVMIntUGE, level,
				emit_const32(b, b->e->max_nesting), ""),
			token, "MAXNESTING exceeded");
		emit_store(b, LLVMBuildAdd(builder, level, emit_const32(b, 1), ""),
			emit_at(b, b->c, offsetof(struct abi_context, nesting), ""));
	}
	emit_store(
		b, top, emit_at(b, b->c, offsetof(struct abi_context, scratch_top), ""));
	LLVMBuildBr(builder, start);
}

static void release_frame(struct emit_body *b, LLVMValueRef base)
{
	emit_store(
		b, base, emit_at(b, b->c, offsetof(struct abi_context, scratch_top), ""));
	if (!b->e->counts_nesting)
		return;
	LLVMValueRef level =
		context_u32(b, offsetof(struct abi_context, nesting), "level");
	emit_store(b, LLVMBuildSub(b->e->builder, level, emit_const32(b, 1), ""),
		emit_at(b, b->c, offsetof(struct abi_context, nesting), ""));
}

static void function_return(struct emit_body *b, LLVMValueRef value)
{
	if (b->function->type == STAP_TYPE_STRING)
		LLVMBuildRetVoid(b->e->builder);
	else
		LLVMBuildRet(b->e->builder, value);
}

/* `next`: the following overload, with the same arguments, or an error when there is
 * none. */
static void function_next(struct emit_body *b, LLVMValueRef base)
{
	const struct stap_function *other = b->function->next_overload;
	LLVMValueRef args[64];

	LLVMPositionBuilderAtEnd(b->e->builder, b->next_block);
	if (!other || other->param_count != b->function->param_count ||
		other->type != b->function->type) {
		emit_raise(b, b->function->token, "all functions exhausted");
		LLVMBuildUnreachable(b->e->builder);
		return;
	}
	const struct emit_callee *callee = &b->e->functions[other->index].callee;
	unsigned count = LLVMCountParams(b->fn);
	for (unsigned i = 0; i < count; i++)
		args[i] = LLVMGetParam(b->fn, i);
	release_frame(b, base);
	function_return(b, LLVMBuildCall2(b->e->builder, callee->type, callee->function,
				   args, count, ""));
}

static void function_body(struct emit_body *b, struct emit_function *f)
{
	unsigned first = b->function->type == STAP_TYPE_STRING ? 2 : 1;
	LLVMBasicBlockRef start = emit_block(b, "start"),
			  refused = emit_block(b, "refused");
	LLVMBuilderRef builder = b->e->builder;

	LLVMPositionBuilderAtEnd(builder, b->entry);
	load_session(b);
	LLVMValueRef base =
		context_u32(b, offsetof(struct abi_context, scratch_top), "base");
	/* a traced process may change it at any time: what is checked is what is used */
	LLVMSetVolatile(base, true);
	LLVMValueRef offset = LLVMBuildZExt(builder, base, b->e->i64, "");
	b->frame = LLVMBuildInBoundsGEP2(builder, b->e->i8,
		emit_at(b, b->c, offsetof(struct abi_context, scratch), "scratch"),
		&offset, 1, "frame");
	b->ip = context_u64(b, offsetof(struct abi_context, probe_ip), "ip");
	b->sp = context_u64(b, offsetof(struct abi_context, probe_sp), "sp");
	b->site = context_u32(b, offsetof(struct abi_context, site), "site");
	LLVMPositionBuilderAtEnd(builder, start);
	if (first == 2) {
		b->result = LLVMGetParam(b->fn, 1);
		emit_store(b, LLVMConstInt(b->e->i8, 0, false), b->result);
	} else {
		b->result = emit_alloca(b, "result");
		emit_store(b, emit_const(b, 0), b->result);
	}
	open_params(b, first, f->use.written_params);
	open_locals(b, b->function->locals.items, b->function->locals.count);
	if (b->function->embedded)
		emit_embedded_call(b);
	else
		emit_whole(b, b->function->body);
	emit_enter(b, b->exit);
	release_frame(b, base);
	function_return(b, first == 2 ? NULL : emit_load(b, b->e->i64, b->result, ""));
	function_next(b, base);
	/* nothing is taken yet when the prologue refuses */
	LLVMPositionBuilderAtEnd(builder, refused);
	function_return(b, emit_const(b, 0));
	b->catch_block = refused;
	LLVMPositionBuilderAtEnd(builder, b->entry);
	function_prologue(b, base, start);
}

static void emit_function_body(struct emit *e, struct emit_function *f)
{
	struct emit_body b = {.e = e, .function = f->function};

	b.fn = f->callee.function;
	b.c = LLVMGetParam(b.fn, 0);
	b.is_counting = !e->options->suppress_time_limits &&
			emit_cost_stmt(e, f->function->body) >= EMIT_COST_UNBOUNDED;
	b.entry = emit_block(&b, "entry");
	b.exit = b.catch_block = emit_block(&b, "exit");
	b.next_block = emit_block(&b, "next");
	function_body(&b, f);
}

static bool runs_in_target(struct emit *e, uint32_t function)
{
	for (size_t i = 0; i < e->program->probes.count; i++) {
		enum stap_probe_kind kind = e->program->probes.items[i]->kind;

		if ((kind == STAP_PROBE_UPROBE || kind == STAP_PROBE_URETURN) &&
			(e->handlers[2 * i].functions[function] ||
				e->handlers[2 * i + 1].functions[function]))
			return true;
	}
	return false;
}

void emit_functions(struct emit *e)
{
	size_t count = e->program->functions.count;
	char name[32];

	for (size_t i = 0; i < count; i++) {
		struct emit_function *f = &e->functions[i];

		if (f->function->param_count > 60)
			emit_fail(e, -E2BIG, f->function->token,
				"'%s' has too many parameters", f->function->name);
		snprintf(name, sizeof(name), "function_%zu", i);
		f->callee.type = function_type(e, f->function);
		f->callee.function = emit_function_new(
			e, name, f->callee.type, false, runs_in_target(e, (uint32_t)i));
	}
	for (size_t i = 0; i < count && !e->failed; i++)
		emit_function_body(e, &e->functions[i]);
}

/* ---- handlers
 * --------------------------------------------------------------------------------- */

/* Nothing of the frame is inline: the code has to be small, or is timed. */
static bool is_plain(const struct emit_body *b)
{
	return !emit_is_fast(b) || b->e->options->timing;
}

static unsigned lock_use(
	const struct emit_body *b, const struct emit_use *use, uint32_t lock)
{
	const struct codegen_result *result = b->e->result;
	unsigned how = 0;

	for (uint32_t i = 0; i < result->global_count; i++) {
		const struct codegen_global *g = &result->globals[i];

		if (g->lock != (int)lock || !use->globals[i])
			continue;
		if (!g->is_celled)
			how |= use->globals[i];
		else if (!b->is_target)
			how |= STAP_USE_WRITE; /* collecting is */
	}
	return how;
}

static bool is_for_writing(unsigned how)
{
	return how & (STAP_USE_WRITE | STAP_USE_INCREMENT | STAP_USE_ACCUMULATE);
}

/* The one lock of a handler that takes one, for writing; -1: it takes none; -2: anything else. */
static int only_lock(const struct emit_body *b, const struct emit_use *use)
{
	int only = -1;

	for (uint32_t lock = 0; lock < b->e->result->lock_count; lock++) {
		unsigned how = lock_use(b, use, lock);

		if (how)
			only = only == -1 && is_for_writing(how) ? (int)lock : -2;
	}
	return only;
}

static void take_locks(struct emit_body *b, const struct emit_use *use)
{
	bool is_only = !is_plain(b) && only_lock(b, use) >= 0;

	for (uint32_t lock = 0; lock < b->e->result->lock_count; lock++) {
		unsigned how = lock_use(b, use, lock);

		if (!how)
			continue;
		LLVMBasicBlockRef locked = emit_block(b, "locked");
		LLVMValueRef ok =
			is_only ? emit_fast_lock(b, lock)
				: EMIT_CALL(b, rt_lock, b->c, emit_const32(b, lock),
					  emit_const32(b, is_for_writing(how)));
		ok = LLVMBuildICmp(b->e->builder, LLVMIntEQ, ok,
			LLVMConstInt(b->e->i8, 0, false), "");
		emit_cold_branch(b, ok, b->exit, locked);
		LLVMPositionBuilderAtEnd(b->e->builder, locked);
	}
	for (uint32_t i = 0; i < b->e->result->global_count && !b->is_target; i++)
		if (b->e->result->globals[i].is_celled && use->globals[i])
			emit_cells_collect(b, b->e->result->globals[i].var);
}

static uint32_t pair_size(struct emit_body *b)
{
	/* the return address */
	uint32_t size = b->is_paired ? sizeof(int64_t) : 0;

	for (size_t i = 0; i < b->probe->entry_values.count; i++)
		size += b->probe->entry_values.items[i]->type == STAP_TYPE_STRING
				? (b->e->options->max_string + 7) & ~7u
				: (uint32_t)sizeof(int64_t);
	if (size > ABI_CONTEXT_PAIR_MIN / 2)
		emit_fail(
			b->e, -E2BIG, b->probe->token, "too many values kept from entry");
	return size;
}

/* Are its values those of a goroutine? */
static bool pairs_by_goroutine(const struct emit_body *b)
{
	for (uint32_t i = 0; i < b->probe->location_count; i++)
		if (b->probe->locations[i]->is_go)
			return true;
	return false;
}

/* Where exits are shared, so that several functions of one probe may leave by them, each has its own. */
static LLVMValueRef pair_group(struct emit_body *b)
{
	if (!b->is_paired)
		return emit_const32(b, b->probe->index);
	return LLVMBuildTrunc(b->e->builder,
		emit_site_word(b, offsetof(struct abi_site, pair_group), "pair_group"),
		b->e->i32, "");
}

static LLVMValueRef push_pair(struct emit_body *b)
{
	LLVMValueRef group = pair_group(b), size = emit_const32(b, pair_size(b));
	if (pairs_by_goroutine(b))
		return EMIT_CALL(b, rt_pair_push_go, b->c, group, b->sp, size);
	if (!emit_is_fast(b))
		return EMIT_CALL(b, rt_pair_push, b->c, group, b->sp, size);
	return emit_fast_pair_push(b, group, pair_size(b));
}

static LLVMValueRef pop_pair_at(struct emit_body *b)
{
	LLVMValueRef group = pair_group(b);
	if (pairs_by_goroutine(b))
		return EMIT_CALL(b, rt_pair_pop_go, b->c, group, b->sp);
	if (!emit_is_fast(b))
		return EMIT_CALL(b, rt_pair_pop, b->c, group, b->sp);
	return emit_fast_pair_pop(b, group, pair_size(b));
}

static LLVMValueRef pop_pair(struct emit_body *b)
{
	LLVMValueRef sp = b->sp, pair;
	if (!b->probe->locations[0]->is_behind_calls)
		return pop_pair_at(b);
	/* the return address has been taken from the stack already */
	b->sp = LLVMBuildSub(b->e->builder, sp, emit_const(b, 8), "frame");
	pair = pop_pair_at(b);
	b->sp = sp;
	return pair;
}

static LLVMValueRef return_address(struct emit_body *b)
{
	LLVMValueRef address =
		EMIT_CALL(b, rt_user_read, b->c, b->sp, emit_const32(b, 8));

	emit_check_error(b, b->probe->token);
	return address;
}

/* The hidden handler at a function's entry: evaluate, then save for the return. */
static void entry_body(struct emit_body *b)
{
	size_t count = b->probe->entry_values.count;
	struct stap_expr *const *items = b->probe->entry_values.items;
	LLVMValueRef *values = arena_array(b->e->program->arena, LLVMValueRef, count + 1);
	LLVMValueRef from = NULL;
	uint32_t offset = 0;

	emit_operands(b,
		&(struct emit_operands){.exprs = items, .count = (uint32_t)count},
		values);
	if (b->is_paired)
		from = return_address(b);
	LLVMValueRef at = push_pair(b);
	for (size_t i = 0; i < count; i++) {
		LLVMValueRef here = emit_at(b, at, offset, "saved");

		if (items[i]->type == STAP_TYPE_STRING) {
			EMIT_CALL(b, rt_string_copy, b->c, here, values[i]);
			offset += (b->e->options->max_string + 7) & ~7u;
		} else {
			emit_store(b, values[i], here);
			offset += sizeof(int64_t);
		}
	}
	if (from)
		emit_store(b, from, emit_at(b, at, offset, "from"));
}

/*
 * Without its entry it is none of the script's returns, and -t does not count it.  An entry may have been left by
 * longjmp(), and somebody else may return from that place of the stack: to where another call came from.
 */
static void return_values(struct emit_body *b)
{
	if (b->is_entry_part || b->probe->kind != STAP_PROBE_URETURN ||
		(!b->probe->entry_values.count && !b->is_paired))
		return;
	LLVMBasicBlockRef popped = emit_block(b, "popped"),
			  paired = emit_block(b, "paired"),
			  stranger = emit_block(b, "stranger");
	b->pair = pop_pair(b);
	emit_cold_branch(b, emit_is_null(b, b->pair), stranger, popped);
	LLVMPositionBuilderAtEnd(b->e->builder, stranger);
	EMIT_CALL(b, rt_leave, b->c);
	LLVMBuildRetVoid(b->e->builder);
	LLVMPositionBuilderAtEnd(b->e->builder, popped);
	if (b->is_paired) {
		LLVMValueRef called_from = emit_load(b, b->e->i64,
			emit_at(b, b->pair, pair_size(b) - sizeof(int64_t), "from"), "");
		LLVMValueRef other = LLVMBuildICmp(
			b->e->builder, LLVMIntNE, called_from, return_address(b), "");
		emit_cold_branch(b, other, stranger, paired);
	} else {
		LLVMBuildBr(b->e->builder, paired);
	}
	LLVMPositionBuilderAtEnd(b->e->builder, paired);
}

static void handler_main(struct emit_body *b)
{
	if (b->is_entry_part) {
		entry_body(b);
		return;
	}
	if (b->probe->condition) {
		LLVMBasicBlockRef holds = emit_block(b, "holds");

		emit_branch(b, emit_condition(b, b->probe->condition), holds, b->exit);
		LLVMPositionBuilderAtEnd(b->e->builder, holds);
	}
	emit_whole(b, b->probe->body);
}

static void handler_prologue(struct emit_body *b, const struct emit_use *use,
	uint32_t budget, LLVMBasicBlockRef start)
{
	emit_store(b, emit_const32(b, b->frame_max),
		emit_at(b, b->c, offsetof(struct abi_context, scratch_top), ""));
	if (b->is_counting)
		emit_store(b, emit_const(b, budget),
			emit_at(b, b->c, offsetof(struct abi_context, action_budget),
				""));
	/* what an earlier handler has matched is none of this one's business */
	if (use->wants_groups)
		emit_store(b, emit_const32(b, 0),
			emit_at(b, b->c, offsetof(struct abi_context, match_groups), ""));
	LLVMBuildBr(b->e->builder, start);
}

static void enter_handler(struct emit_body *b, const struct emit_use *use,
	LLVMBasicBlockRef entered, LLVMBasicBlockRef refused)
{
	if (!is_plain(b)) {
		emit_fast_enter(b, use, entered, refused);
		return;
	}
	LLVMValueRef ok = b->e->options->timing ? EMIT_CALL(b, rt_enter_timed, b->c,
							  b->regs, b->sp, b->ip, b->site)
						: EMIT_CALL(b, rt_enter, b->c, b->regs,
							  b->sp, b->ip, b->site);
	ok = LLVMBuildICmp(
		b->e->builder, LLVMIntEQ, ok, LLVMConstInt(b->e->i8, 0, false), "");
	emit_cold_branch(b, ok, refused, entered);
}

static void leave_handler(struct emit_body *b, const struct emit_use *use)
{
	int lock = only_lock(b, use);

	if (!is_plain(b) && lock >= -1)
		emit_fast_leave(b, lock);
	else if (b->e->options->timing)
		EMIT_CALL(b, rt_leave_timed, b->c);
	else
		EMIT_CALL(b, rt_leave, b->c);
}

static void handler_body(struct emit_body *b, const struct emit_use *use, uint32_t budget)
{
	LLVMBasicBlockRef entered = emit_block(b, "entered"),
			  start = emit_block(b, "start");
	LLVMBasicBlockRef refused = emit_block(b, "refused");
	LLVMBuilderRef builder = b->e->builder;

	LLVMPositionBuilderAtEnd(builder, b->entry);
	load_session(b);
	enter_handler(b, use, entered, refused);
	LLVMPositionBuilderAtEnd(builder, start);
	b->frame = emit_at(b, b->c, offsetof(struct abi_context, scratch), "frame");
	return_values(b);
	take_locks(b, use);
	open_locals(
		b, b->probe->locals.items, b->is_entry_part ? 0 : b->probe->locals.count);
	handler_main(b);
	emit_enter(b, b->exit);
	leave_handler(b, use);
	LLVMBuildRetVoid(builder);
	LLVMPositionBuilderAtEnd(builder, refused);
	LLVMBuildRetVoid(builder);
	LLVMPositionBuilderAtEnd(builder, entered);
	handler_prologue(b, use, budget, start);
}

/* ---- counting in the trampoline
 * --------------------------------------------------------------- */

static const struct stap_stmt *only_statement(const struct stap_stmt *stmt)
{
	while (stmt && stmt->kind == STAP_STMT_BLOCK) {
		const struct stap_stmt *found = NULL;

		for (uint32_t i = 0; i < stmt->block.count; i++) {
			if (stmt->block.items[i]->kind == STAP_STMT_NULL)
				continue;
			if (found)
				return NULL;
			found = stmt->block.items[i];
		}
		stmt = found;
	}
	return stmt;
}

static bool constant_step(
	const struct stap_expr *expr, const struct stap_expr **target, int64_t *by)
{
	if (expr->kind == STAP_EXPR_CRREMENT) {
		*target = expr->crrement.target;
		*by = expr->crrement.op == STAP_OP_INC ? 1 : -1;
		return true;
	}
	if (expr->kind != STAP_EXPR_ASSIGN ||
		expr->assign.value->kind != STAP_EXPR_NUMBER)
		return false;
	*target = expr->assign.target;
	*by = expr->assign.value->number;
	if (expr->assign.op == STAP_OP_ADD)
		return true;
	if (expr->assign.op != STAP_OP_SUB || *by == INT64_MIN)
		return false;
	*by = -*by;
	return true;
}

static void find_inline_count(struct emit_body *b, struct codegen_handler *handler)
{
	const struct stap_stmt *stmt = only_statement(b->probe->body);
	const struct stap_expr *target;
	int64_t by;

	if (b->e->options->timing || !b->is_target || b->is_entry_part ||
		b->probe->condition || b->probe->entry_values.count || b->is_paired ||
		!stmt || stmt->kind != STAP_STMT_EXPR ||
		!constant_step(stmt->expr, &target, &by) ||
		target->kind != STAP_EXPR_VAR || !target->var.resolved->is_global ||
		by != (int32_t)by)
		return;
	const struct codegen_global *g = emit_global(b->e, target->var.resolved);
	if (g->storage != CODEGEN_COUNTER)
		return;
	handler->is_inline_count = true;
	handler->inline_shard_offset = g->shard_offset;
	handler->inline_increment = (int32_t)by;
}

static uint32_t handler_cost(struct emit *e, const struct stap_derived_probe *probe)
{
	uint32_t condition = emit_cost_expr(e, probe->condition);
	uint32_t body = emit_cost_stmt(e, probe->body);

	return condition >= EMIT_COST_UNBOUNDED ? condition
	       : body >= EMIT_COST_UNBOUNDED    ? body
						: condition + body;
}

static void emit_handler(struct emit *e, const struct stap_derived_probe *probe,
	bool is_entry_part, bool is_paired)
{
	const struct emit_use *use = &e->handlers[probe->index * 2 + is_entry_part];
	struct emit_body b = {.e = e,
		.probe = probe,
		.is_entry_part = is_entry_part,
		.is_paired = is_paired};
	LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->i64, e->i32};
	uint32_t budget;
	char name[32];

	b.is_target =
		probe->kind == STAP_PROBE_UPROBE || probe->kind == STAP_PROBE_URETURN;
	budget = b.is_target ? e->options->max_action
			     : e->options->max_action_interruptible;
	b.is_counting =
		!e->options->suppress_time_limits && handler_cost(e, probe) > budget;
	snprintf(name, sizeof(name), "handler_%zu", e->handlers_out.count);
	b.fn = emit_function_new(
		e, name, LLVMFunctionType(e->none, types, 5, false), true, b.is_target);
	b.c = LLVMGetParam(b.fn, 0);
	b.regs = LLVMGetParam(b.fn, 1);
	b.sp = LLVMGetParam(b.fn, 2);
	b.ip = LLVMGetParam(b.fn, 3);
	b.site = LLVMGetParam(b.fn, 4);
	b.entry = emit_block(&b, "entry");
	b.exit = b.catch_block = b.next_block = emit_block(&b, "exit");
	handler_body(&b, use, budget);

	struct codegen_handler *handler = vec_push(&e->handlers_out);
	handler->probe = probe;
	handler->is_entry_part = is_entry_part;
	handler->is_paired = is_paired;
	handler->needs_callee_saved = use->needs_callee_saved;
	find_inline_count(&b, handler);
	e->result->reads_user_memory |= use->reads_user_memory || is_paired;
	e->result->asks_symbols |= use->asks_symbols;
	e->result->walks_stacks |= use->walks_stacks;
}

static void emit_probe(struct emit *e, const struct stap_derived_probe *probe)
{
	if (!probe->is_paired_everywhere) {
		if (probe->kind == STAP_PROBE_URETURN && probe->entry_values.count)
			emit_handler(e, probe, true, false);
		emit_handler(e, probe, false, false);
	}
	if (probe->is_paired_somewhere) {
		emit_handler(e, probe, true, true);
		emit_handler(e, probe, false, true);
	}
}

void emit_handlers(struct emit *e)
{
	for (size_t i = 0; i < e->program->probes.count && !e->failed; i++) {
		const struct stap_derived_probe *probe = e->program->probes.items[i];

		if (probe->index != i)
			emit_fail(e, -EINVAL, probe->token, "probes are misnumbered");
		if (probe->kind == STAP_PROBE_NEVER || e->failed)
			continue;
		emit_probe(e, probe);
	}
}
