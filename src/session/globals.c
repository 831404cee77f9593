/* SPDX-License-Identifier: MIT */
/* Globals that the script writes and never reads are printed when it ends, as SystemTap
 * does. */
#include <inttypes.h>
#include <string.h>

#include "runtime/runtime.h"
#include "session/internal.h"

struct globals_printer {
	struct session *s;
	const struct codegen_global *global;
	struct strbuf *out;
};

static void put_string(struct strbuf *out, const char *text)
{
	strbuf_putc(out, '"');
	strbuf_puts(out, text);
	strbuf_putc(out, '"');
}

static void put_stat(struct globals_printer *p, const struct abi_stat *stat)
{
	if (!stat->count) {
		strbuf_puts(p->out, " @count=0x0\n");
		return;
	}
	strbuf_printf(p->out,
		" @count=%" PRId64 " @min=%" PRId64 " @max=%" PRId64 " @sum=%" PRId64
		" @avg=%" PRId64 "\n",
		stat->count, stat->min, stat->max, stat->sum, stat->sum / stat->count);
}

static void put_key(struct globals_printer *p, struct abi_map *map, uint32_t entry)
{
	strbuf_putc(p->out, '[');
	for (uint32_t k = 0; k < map->key_count && k < ABI_MAP_MAX_KEYS; k++) {
		uint64_t key = rt_map_key(map, entry, k);
		if (k)
			strbuf_putc(p->out, ',');
		if (map->key_strings & (1u << k))
			put_string(p->out, (const char *)(uintptr_t)key);
		else
			strbuf_printf(p->out, "%" PRId64, (int64_t)key);
	}
	strbuf_putc(p->out, ']');
}

static void put_map(struct globals_printer *p, struct abi_map *map)
{
	bool stats = map->value_type == ABI_VALUE_STAT;
	rt_map_sort(p->s->host.context, map,
		stats ? RT_SORT_STAT + RT_STAT_COUNT : RT_SORT_VALUE, true);
	uint32_t left = map->max_entries;
	for (uint32_t e = rt_map_first(map); e != ABI_MAP_NONE && left--;
		e = rt_map_next(map, e)) {
		const void *value = rt_map_value(map, e);
		strbuf_puts(p->out, p->global->var->name);
		put_key(p, map, e);
		if (stats) {
			put_stat(p, value);
			continue;
		}
		strbuf_putc(p->out, '=');
		if (map->value_type == ABI_VALUE_STRING)
			put_string(p->out, value);
		else
			strbuf_printf(p->out, "%" PRId64, *(const int64_t *)value);
		strbuf_putc(p->out, '\n');
	}
}

static void put_global(struct globals_printer *p)
{
	const struct codegen_global *g = p->global;
	struct abi_context *c = p->s->host.context;
	void *at = (char *)p->s->memory.base + g->offset;
	const char *name = g->var->name;
	switch (g->storage) {
	case CODEGEN_SCALAR_LONG:
		strbuf_printf(p->out, "%s=%" PRId64 "\n", name, *(const int64_t *)at);
		break;
	case CODEGEN_COUNTER:
		strbuf_printf(p->out, "%s=%" PRId64 "\n", name,
			rt_counter_read(c, at, g->shard_offset));
		break;
	case CODEGEN_SCALAR_STRING:
		strbuf_printf(p->out, "%s=", name);
		put_string(p->out, at);
		strbuf_putc(p->out, '\n');
		break;
	case CODEGEN_STAT_SHARDED: {
		struct abi_stat *sum = calloc(1, g->stat.size);
		if (!sum)
			abort();
		rt_stat_merge(c, at, g->shard_offset, &g->stat, sum);
		strbuf_puts(p->out, name);
		put_stat(p, sum);
		free(sum);
		break;
	}
	case CODEGEN_MAP:
		put_map(p, at);
		break;
	}
}

void session_put_globals(struct session *s, struct strbuf *out)
{
	for (uint32_t g = 0; g < s->code.global_count; g++) {
		struct globals_printer p = {
			.s = s, .global = &s->code.globals[g], .out = out};
		const struct abi_map *map =
			(const void *)((char *)s->memory.base + p.global->offset);
		/* handlers change arrays meanwhile: sorting one needs its lock */
		if (p.global->storage == CODEGEN_MAP)
			strbuf_printf(out, "%s[]: %u entries\n", p.global->var->name,
				map->count);
		else
			put_global(&p);
	}
}

void session_output_globals(struct session *s)
{
	if (s->options->no_global_display)
		return;
	struct strbuf out;
	strbuf_init(&out);
	for (size_t i = 0; i < s->program->unread_globals.count; i++) {
		const struct stap_var *var = s->program->unread_globals.items[i];
		bool histogram = var->stat_ops &
				 (1u << STAP_STAT_HIST_LOG | 1u << STAP_STAT_HIST_LINEAR);
		for (uint32_t g = 0; g < s->code.global_count && !histogram; g++) {
			if (s->code.globals[g].var != var)
				continue;
			struct globals_printer p = {
				.s = s, .global = &s->code.globals[g], .out = &out};
			put_global(&p);
		}
	}
	session_output_drain(s, true);
	session_output_text(s, out.data, out.size);
	strbuf_deinit(&out);
}
