/* SPDX-License-Identifier: MIT */
/* The passes in order: use, layout, emission, object code, linking. */
#include "stap/codegen/codegen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stap/codegen/emit.h"
#include "stap/codegen/llvm.h"

enum {
	DEFAULT_STRING = 512,
	DEFAULT_MAP_ENTRIES = 2048,
	DEFAULT_ACTION = 1000,
	INTERRUPTIBLE_FACTOR = 10,
	RECURSION_LEVELS = 10,
	MANY_PROBES = 32,
};

static struct codegen_options fill_options(const struct codegen_options *given)
{
	struct codegen_options options = *given;

	if (!options.max_string)
		options.max_string = DEFAULT_STRING;
	if (!options.max_map_entries)
		options.max_map_entries = DEFAULT_MAP_ENTRIES;
	if (!options.max_action)
		options.max_action = DEFAULT_ACTION;
	if (!options.max_action_interruptible)
		options.max_action_interruptible =
			options.max_action * INTERRUPTIBLE_FACTOR;
	return options;
}

/* ---- nesting
 * ---------------------------------------------------------------------------------- */

/* Longest chain of calls below a function; recursion counts once around. */
static uint32_t call_depth(struct emit *e, uint32_t index, uint32_t levels)
{
	uint32_t deepest = 0;
	const struct emit_use *use = &e->functions[index].use;

	if (!levels || use->functions[index])
		return 1;
	for (uint32_t i = 0; i < e->program->functions.count; i++) {
		uint32_t depth = use->functions[i] ? call_depth(e, i, levels - 1) : 0;
		if (depth > deepest)
			deepest = depth;
	}
	return deepest + 1;
}

/* How many functions call one another in a circle through this one. */
static uint32_t circle_size(const struct emit *e, uint32_t index)
{
	const struct emit_use *use = &e->functions[index].use;
	uint32_t size = 0;

	for (uint32_t i = 0; i < e->program->functions.count; i++)
		size += use->functions[i] && e->functions[i].use.functions[index];
	return size;
}

/*
 * SystemTap looks for the longest chain of calls that begins in a body and ends where it would come around a second
 * time, allows one more, and ten more where something calls itself.
 */
static uint32_t allowed_nesting(uint32_t deepest, uint32_t circle)
{
	uint32_t chain = deepest ? deepest - 1 + circle : 0;

	if (circle && chain < circle + 1)
		chain = circle + 1;
	return chain + 1 + RECURSION_LEVELS;
}

/* Without recursion nothing can nest deeper than the call graph: then nothing is counted.
 */
static void choose_nesting(struct emit *e)
{
	uint32_t deepest = 0, largest = 0;
	bool is_recursive = false;

	for (uint32_t i = 0; i < e->program->functions.count; i++) {
		uint32_t circle = circle_size(e, i);

		is_recursive |= e->functions[i].use.functions[i];
		if (circle > largest)
			largest = circle;
		uint32_t depth = call_depth(e, i, 16);
		if (depth > deepest)
			deepest = depth;
	}
	e->max_nesting = e->options->max_nesting;
	if (!e->max_nesting)
		e->max_nesting = allowed_nesting(deepest, largest);
	e->counts_nesting = is_recursive || deepest > e->max_nesting || deepest >= 16;
}

/* ---- emission
 * --------------------------------------------------------------------------------- */

static void reset_output(struct emit *e)
{
	e->locations.count = e->formats.count = e->handlers_out.count = 0;
	e->stack_exceeded = false;
}

/* System calls, begin, timers: the program stands still, or is not concerned at all. */
static bool runs_in_tracer(const struct stap_program *program)
{
	for (size_t i = 0; i < program->probes.count; i++) {
		const struct stap_derived_probe *probe = program->probes.items[i];

		for (uint32_t j = 0; j < probe->location_count; j++)
			if (probe->locations[j]->event == STAP_EVENT_NONE)
				return false;
	}
	return true;
}

/* @ret: NULL when calls are written down only */
static int emit_all(struct emit *e, struct emit_blob *ret)
{
	int r;

	reset_output(e);
	e->is_compact = e->program->probes.count > MANY_PROBES;
	e->is_quick = e->is_compact && runs_in_tracer(e->program);
	emit_embedded_open(e);
	r = emit_module_open(e);
	if (r >= 0) {
		emit_functions(e);
		if (!e->failed)
			emit_handlers(e);
		r = e->failed;
	}
	if (r >= 0 && ret)
		r = emit_module_object(e, ret);
	emit_module_close(e);
	return r;
}

static int generate(struct emit *e, struct emit_blob *ret)
{
	int r = llvm_load(e->error);

	return r < 0 ? r : emit_all(e, ret);
}

static int record_calls(struct emit *e, struct emit_blob *ret)
{
	e->is_recording = true;
	emit_record_begin(e->program->arena);
	int r = emit_all(e, NULL);
	ret->bytes = emit_record_end(&ret->size);
	e->is_recording = false;
	return r;
}

static int emit_object(struct emit *e, struct emit_blob *ret)
{
	struct emit_blob calls = {0}, none = {0};

	if (!e->options->cache || e->options->dump_ir)
		return generate(e, ret);
	int r = record_calls(e, &calls);
	if (r >= 0)
		r = emit_object_find(e, &calls, ret);
	if (r > 0) {
		r = generate(e, ret);
		if (r >= 0 || r == -EAGAIN)
			emit_object_keep(e, &calls, r < 0 ? &none : ret);
	}
	free(calls.bytes);
	return r;
}

static void hand_over(struct emit *e)
{
	struct codegen_result *result = e->result;

	result->locations = e->locations.items;
	result->location_count = (uint32_t)e->locations.count;
	result->formats = e->formats.items;
	result->format_count = (uint32_t)e->formats.count;
	result->handlers = e->handlers_out.items;
	result->handler_count = (uint32_t)e->handlers_out.count;
}

static int compile(struct emit *e, const void *agent, size_t agent_size)
{
	struct emit_blob object = {0};
	char *embedded = NULL;
	size_t embedded_size = 0;
	int r = emit_object(e, &object);

	if (r == -EAGAIN) {
		e->is_lean = true;
		r = emit_object(e, &object);
	}
	hand_over(e);
	if (r < 0)
		return r;
	if (emit_embedded_any(e))
		r = emit_embedded_compile(e, &embedded, &embedded_size);
	struct link_request request = {.agent = agent,
		.agent_size = agent_size,
		.program = e->program,
		.embedded = embedded,
		.embedded_size = embedded_size,
		.object = object.bytes,
		.object_size = object.size};
	if (r >= 0)
		r = link_image(&request, e->result, e->error);
	free(embedded);
	free(object.bytes);
	return r;
}

int codegen_compile(const struct stap_program *program,
	const struct codegen_options *options, const void *agent_image, size_t agent_size,
	struct codegen_result *ret, struct error *err)
{
	struct codegen_options filled = fill_options(options);
	struct codegen_result result = {0};
	struct error ignored;
	struct emit e = {.program = program,
		.options = &filled,
		.result = &result,
		.error = err ? err : &ignored};
	int r;

	emit_use_program(&e);
	choose_nesting(&e);
	r = emit_layout(&e, e.error);
	if (r >= 0)
		r = compile(&e, agent_image, agent_size);
	if (r < 0) {
		codegen_result_free(&result);
		return r;
	}
	*ret = result;
	return 0;
}

void codegen_result_free(struct codegen_result *result)
{
	for (uint32_t i = 0; i < result->symbol_count; i++)
		free(result->symbols[i].name);
	free(result->symbols);
	free(result->image);
	free(result->globals);
	free(result->handlers);
	free(result->locations);
	free(result->formats);
	memset(result, 0, sizeof(*result));
}

int64_t codegen_symbol(const struct codegen_result *result, const char *name)
{
	return link_symbol(result, name);
}

/* ---- initial values
 * --------------------------------------------------------------------------- */

static void init_map(const struct codegen_global *g, void *at, uint32_t max_string)
{
	const struct stap_var *var = g->var;
	uint32_t strings = 0, type = ABI_VALUE_LONG, size = sizeof(int64_t);

	if (var->type == STAP_TYPE_STRING) {
		type = ABI_VALUE_STRING;
		size = max_string;
	} else if (var->type == STAP_TYPE_STATS) {
		type = ABI_VALUE_STAT;
		size = g->stat.size;
	}
	for (int i = 0; i < var->arity; i++)
		strings |= var->key_types[i] == STAP_TYPE_STRING ? 1u << i : 0;
	rt_map_init(at, (uint32_t)var->arity, strings, type, size, g->max_entries,
		max_string, var->is_wrapping, var->size_limit > 0);
}

static void init_global(const struct codegen_global *g, void *at, uint32_t max_string)
{
	const struct stap_expr *init = g->var->init;

	switch (g->storage) {
	case CODEGEN_SCALAR_LONG:
	case CODEGEN_COUNTER:
		if (init && init->kind == STAP_EXPR_NUMBER)
			memcpy(at, &init->number, sizeof(init->number));
		break;
	case CODEGEN_SCALAR_STRING:
		if (init && init->kind == STAP_EXPR_STRING) {
			size_t size = strnlen(init->string, max_string - 1);
			memcpy(at, init->string, size);
		}
		break;
	case CODEGEN_STAT_SHARDED:
		/* shards are zero: older than the variable */
		((struct abi_shared_stat *)at)->epoch = 1;
		break;
	case CODEGEN_MAP:
		init_map(g, at, max_string);
		break;
	}
}

void codegen_init_globals(
	const struct codegen_result *result, void *session, uint32_t max_string)
{
	for (uint32_t i = 0; i < result->global_count; i++)
		init_global(&result->globals[i],
			(char *)session + result->globals[i].offset, max_string);
}
