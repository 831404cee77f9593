/* SPDX-License-Identifier: MIT */
/*
 * Where each global lives.
 *
 * A scalar that handlers in traced programs only count up is a counter, one cell per
 * thread, added up by the reader; a scalar statistic likewise.  They need no lock.
 * Everything else sits in session memory under a reader/writer lock of its own, unless
 * nobody can change it while handlers run in a program: only begin probes write it, or
 * only the tracer's handlers use it.
 */
#include <errno.h>
#include <string.h>

#include "stap/codegen/emit.h"

enum {
	LINE = 64,
	ADDING = STAP_USE_INCREMENT | STAP_USE_ACCUMULATE,
	CELL_KEYS_LIMIT = 2 * LINE,
	CELL_LIMIT = 32 * LINE,
	CELLS_LIMIT = 4 << 20, /* of all arrays, in a context */
	MAX_LOCKS = sizeof(((struct abi_context *)0)->held) / sizeof(uint16_t),
	CHANGES = STAP_USE_WRITE | STAP_USE_INCREMENT | STAP_USE_ACCUMULATE,
};

struct global_use {
	unsigned target, tracer, after_begin;
};

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static bool is_target_probe(const struct stap_derived_probe *probe)
{
	return probe->kind == STAP_PROBE_UPROBE || probe->kind == STAP_PROBE_URETURN;
}

static struct global_use collect_use(struct emit *e, uint32_t index)
{
	struct global_use use = {0};

	for (size_t i = 0; i < e->program->probes.count; i++) {
		const struct stap_derived_probe *probe = e->program->probes.items[i];
		unsigned flags = e->handlers[i * 2].globals[index] |
				 e->handlers[i * 2 + 1].globals[index];

		if (is_target_probe(probe))
			use.target |= flags;
		else
			use.tracer |= flags;
		if (probe->kind != STAP_PROBE_BEGIN)
			use.after_begin |= flags;
	}
	return use;
}

/* Parameters that make no sense are told when the run starts, as in SystemTap. */
static uint32_t linear_buckets(const int64_t params[3])
{
	uint64_t span = (uint64_t)params[1] - (uint64_t)params[0],
		 width = (uint64_t)params[2];

	if (params[1] < params[0] || params[2] <= 0)
		return 0;
	/* one for what is left up to `high`, one below, one above */
	uint64_t count = span / width + 3;
	return count > UINT32_MAX / 16 ? 0 : (uint32_t)count;
}

static void describe_stat(const struct stap_var *var, struct abi_stat_desc *desc)
{
	desc->variance_shift = var->stat_ops & 1u << STAP_STAT_VARIANCE
				       ? (uint32_t)var->variance_shift & 63
				       : ABI_STAT_NO_VARIANCE;
	if (var->stat_ops & 1u << STAP_STAT_HIST_LOG) {
		desc->hist = ABI_HIST_LOG;
		desc->bucket_count = ABI_HIST_LOG_BUCKETS;
	} else if (var->stat_ops & 1u << STAP_STAT_HIST_LINEAR) {
		desc->hist = ABI_HIST_LINEAR;
		desc->low = var->hist_params[0];
		desc->high = var->hist_params[1];
		desc->width = var->hist_params[2];
		desc->bucket_count = linear_buckets(var->hist_params);
	}
	desc->size = (uint32_t)(sizeof(struct abi_stat) +
				sizeof(uint64_t) * desc->bucket_count);
}

/* Does a handler of the tracer call a function that counts the array up?  A function has one code. */
static bool tracer_counts_in_function(struct emit *e, uint32_t index)
{
	for (size_t i = 0; i < e->program->probes.count; i++) {
		if (is_target_probe(e->program->probes.items[i]))
			continue;
		for (size_t f = 0; f < e->program->functions.count; f++)
			if (e->handlers[i * 2].functions[f] &&
				e->functions[f].use.globals[index] & ADDING)
				return true;
	}
	return false;
}

static bool is_only_added_to(const struct codegen_global *g, const struct global_use *use)
{
	if (g->var->type == STAP_TYPE_LONG)
		return use->target == STAP_USE_INCREMENT;
	/* the variance depends on the order of the values */
	return g->var->type == STAP_TYPE_STATS && use->target == STAP_USE_ACCUMULATE &&
	       g->stat.variance_shift & ABI_STAT_NO_VARIANCE;
}

/* Arrays that handlers in programs only add to, of keys that have room in a cell. */
static void place_cells(struct emit *e, struct codegen_global *g, uint32_t index,
	const struct global_use *use, uint64_t *shard)
{
	const struct stap_var *var = g->var;
	uint64_t size = sizeof(struct abi_cell);

	if (!is_only_added_to(g, use) || var->is_wrapping ||
		var->arity > ABI_CELL_MAX_KEYS || e->options->timing ||
		e->program->globals.count > MAX_LOCKS ||
		tracer_counts_in_function(e, index))
		return;
	for (int i = 0; i < var->arity; i++) {
		bool text = var->key_types[i] == STAP_TYPE_STRING;

		size += text ? ABI_CELL_TEXT : sizeof(uint64_t);
		g->cells.key_strings |= text ? 1u << i : 0;
	}
	if (size > CELL_KEYS_LIMIT)
		return;
	if (var->type == STAP_TYPE_STATS) {
		g->cells.stat = g->stat;
		g->cells.stat_offset = (uint32_t)size;
		size += g->stat.size;
	}
	size = align_up(size, LINE);
	uint64_t total = sizeof(struct abi_cells) + ABI_CELLS * size;
	if (size > CELL_LIMIT || *shard + total > ABI_CONTEXT_SHARDS + CELLS_LIMIT)
		return;
	g->is_celled = true;
	g->cells.key_count = (uint32_t)var->arity;
	g->cells.cell_size = (uint32_t)size;
	*shard = align_up(*shard, LINE);
	g->cells.shard_offset = (uint32_t)*shard;
	*shard += total;
}

static int place_map(struct emit *e, struct codegen_global *g, struct error *err)
{
	const struct stap_var *var = g->var;
	uint32_t strings = 0, value_size = sizeof(int64_t),
		 max_string = e->options->max_string;
	uint32_t value_type = ABI_VALUE_LONG;

	g->storage = CODEGEN_MAP;
	g->max_entries = var->size_limit > 0 && var->size_limit <= UINT32_MAX / 2
				 ? (uint32_t)var->size_limit
				 : e->options->max_map_entries;
	if (var->type == STAP_TYPE_STRING) {
		value_type = ABI_VALUE_STRING;
		value_size = max_string;
	} else if (var->type == STAP_TYPE_STATS) {
		value_type = ABI_VALUE_STAT;
		value_size = g->stat.size;
	}
	for (int i = 0; i < var->arity; i++)
		strings |= var->key_types[i] == STAP_TYPE_STRING ? 1u << i : 0;
	g->size = rt_map_size((uint32_t)var->arity, strings, value_type, value_size,
		g->max_entries, max_string);
	if (!g->size || g->size > UINT32_MAX / 2)
		return error_set(
			err, -E2BIG, "array '%s' needs too much memory", var->name);
	return 0;
}

static int place_global(struct emit *e, struct codegen_global *g,
	const struct global_use *use, uint64_t *shard, struct error *err)
{
	const struct stap_var *var = g->var;

	if (var->type == STAP_TYPE_STATS)
		describe_stat(var, &g->stat);
	if (var->arity > 0) {
		place_cells(e, g, var->index, use, shard);
		return place_map(e, g, err);
	}
	if (var->type == STAP_TYPE_STATS) {
		g->storage = CODEGEN_STAT_SHARDED;
		g->size = sizeof(struct abi_shared_stat);
		*shard = align_up(*shard, LINE);
		g->shard_offset = (uint32_t)*shard;
		*shard += g->stat.size;
	} else if (var->type == STAP_TYPE_STRING) {
		g->storage = CODEGEN_SCALAR_STRING;
		g->size = e->options->max_string;
	} else if (use->target == STAP_USE_INCREMENT) {
		g->storage = CODEGEN_COUNTER;
		g->size = sizeof(struct abi_shared_counter);
		*shard = align_up(*shard, sizeof(int64_t));
		g->shard_offset = (uint32_t)*shard;
		*shard += sizeof(int64_t);
	} else {
		g->storage = CODEGEN_SCALAR_LONG;
		g->size = sizeof(int64_t);
	}
	return 0;
}

static bool needs_lock(const struct codegen_global *g, const struct global_use *use)
{
	if (g->storage == CODEGEN_COUNTER || g->storage == CODEGEN_STAT_SHARDED)
		return false;
	return use->target && (use->after_begin & CHANGES);
}

static void place_all(struct codegen_result *result)
{
	uint64_t at = ABI_GLOBALS_OFFSET + result->lock_count * sizeof(struct abi_lock);

	for (uint32_t i = 0; i < result->global_count; i++) {
		struct codegen_global *g = &result->globals[i];

		/* under a lock: its own cache line; maps and strings anyway */
		if (g->lock >= 0 || g->size > sizeof(int64_t))
			at = align_up(at, LINE);
		g->offset = (uint32_t)at;
		g->cells.map_offset = g->offset;
		g->cells.lock = (uint32_t)g->lock;
		at = align_up(at + g->size, sizeof(int64_t));
	}
	result->globals_size = align_up(at, LINE) - ABI_GLOBALS_OFFSET;
}

/* A handler can hold so many; past that, globals share locks.  Those that are taken in the middle of
 * handlers come last: locks are always taken in order. */
static void number_locks(struct codegen_result *result)
{
	uint32_t locked = 0;

	for (int celled = 0; celled < 2; celled++)
		for (uint32_t i = 0; i < result->global_count; i++)
			if (result->globals[i].lock >= 0 &&
				result->globals[i].is_celled == celled)
				result->globals[i].lock = (int)(locked++ % MAX_LOCKS);
	result->lock_count = locked < MAX_LOCKS ? locked : MAX_LOCKS;
}

int emit_layout(struct emit *e, struct error *err)
{
	struct codegen_result *result = e->result;
	uint64_t shard = ABI_CONTEXT_SHARDS, total = 0;

	result->global_count = (uint32_t)e->program->globals.count;
	result->globals = calloc(result->global_count + 1, sizeof(*result->globals));
	if (!result->globals)
		return error_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < result->global_count; i++) {
		struct codegen_global *g = &result->globals[i];
		struct global_use use = collect_use(e, i);

		g->var = e->program->globals.items[i];
		int r = place_global(e, g, &use, &shard, err);
		if (r < 0)
			return r;
		g->lock = needs_lock(g, &use) ? 0 : -1;
		total += g->size + LINE;
	}
	number_locks(result);
	if (total > UINT32_MAX / 2 || shard > UINT32_MAX / 2)
		return error_set(err, -E2BIG, "global variables need too much memory");
	place_all(result);
	result->context_size = (uint32_t)align_up(shard, 4096);
	return 0;
}

struct codegen_global *emit_global(struct emit *e, const struct stap_var *var)
{
	return &e->result->globals[var->index];
}
