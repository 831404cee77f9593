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

/* What is known to be a pointer is shown as one. */
static void put_number(struct globals_printer *p, int64_t value)
{
	if (p->global->var->cast)
		strbuf_printf(p->out, "0x%" PRIx64, (uint64_t)value);
	else
		strbuf_printf(p->out, "%" PRId64, value);
}

static void put_entry(
	struct globals_printer *p, struct abi_map *map, uint32_t entry, const void *value)
{
	strbuf_puts(p->out, p->global->var->name);
	put_key(p, map, entry);
	if (map->value_type == ABI_VALUE_STAT) {
		put_stat(p, value);
		return;
	}
	strbuf_putc(p->out, '=');
	if (map->value_type == ABI_VALUE_STRING)
		put_string(p->out, value);
	else
		put_number(p, *(const int64_t *)value);
	strbuf_putc(p->out, '\n');
}

static void put_map(struct globals_printer *p, struct abi_map *map)
{
	bool stats = map->value_type == ABI_VALUE_STAT;
	rt_map_sort(p->s->host.context, map,
		stats ? RT_SORT_STAT + RT_STAT_COUNT : RT_SORT_VALUE, true);
	uint32_t left = map->max_entries;
	for (uint32_t e = rt_map_first(map); e != ABI_MAP_NONE && left--;
		e = rt_map_next(map, e)) {
		put_entry(p, map, e, rt_map_value(map, e));
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
		strbuf_printf(p->out, "%s=", name);
		put_number(p, *(const int64_t *)at);
		strbuf_putc(p->out, '\n');
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
		if (g->is_celled)
			rt_cells_collect(c, &g->cells);
		put_map(p, at);
		break;
	}
}

/* ---- while handlers run -------------------------------------------------------------------- */

enum {
	LOCK_TRIES = 20000,
	SHOWN_ENTRIES = 10,   /* of an array: those with the largest values */
	SEEN_ENTRIES = 100000 /* more are not looked at: handlers wait meanwhile */
};

#define LOCK_WRITER 0x80000000u

/* A reader like handlers are, but one that gives up: NULL lock: nobody writes. */
static bool reader_enter(struct abi_lock *lock)
{
	for (int i = 0; i < LOCK_TRIES && lock; i++) {
		uint32_t value = __atomic_load_n(&lock->value, __ATOMIC_RELAXED);
		if (!(value & LOCK_WRITER) &&
			__atomic_compare_exchange_n(&lock->value, &value, value + 1,
				false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		__builtin_ia32_pause();
	}
	return !lock;
}

/* Locks of killed threads are taken back meanwhile: then there is nothing to leave. */
static void reader_leave(struct abi_lock *lock)
{
	uint32_t value = lock ? __atomic_load_n(&lock->value, __ATOMIC_RELAXED) : 0;
	while (value && !(value & LOCK_WRITER))
		if (__atomic_compare_exchange_n(&lock->value, &value, value - 1, true,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			break;
}

struct shown_entry {
	uint32_t entry;
	const void *value;
};

/* As at the end of a run: descending, statistics by their count. */
static bool is_before(const struct abi_map *map, const void *a, const void *b)
{
	if (map->value_type == ABI_VALUE_STRING)
		return strcmp(a, b) > 0;
	if (map->value_type == ABI_VALUE_STAT)
		return ((const struct abi_stat *)a)->count >
		       ((const struct abi_stat *)b)->count;
	return *(const int64_t *)a > *(const int64_t *)b;
}

static size_t find_shown(struct abi_map *map, struct shown_entry shown[SHOWN_ENTRIES])
{
	size_t count = 0;
	uint32_t left = map->max_entries < SEEN_ENTRIES ? map->max_entries : SEEN_ENTRIES;
	for (uint32_t e = rt_map_first(map); e != ABI_MAP_NONE && left--;
		e = rt_map_next(map, e)) {
		const void *value = rt_map_value(map, e);
		size_t at = count;
		while (at > 0 && is_before(map, value, shown[at - 1].value))
			at--;
		if (at == SHOWN_ENTRIES)
			continue;
		count += count < SHOWN_ENTRIES;
		memmove(&shown[at + 1], &shown[at], (count - 1 - at) * sizeof(*shown));
		shown[at] = (struct shown_entry){e, value};
	}
	return count;
}

static void put_largest(struct globals_printer *p, struct abi_map *map)
{
	struct shown_entry shown[SHOWN_ENTRIES];
	int index = p->global->lock;
	struct abi_lock *lock =
		index < 0 ? NULL
			  : (struct abi_lock *)(void *)((char *)p->s->memory.base +
							ABI_GLOBALS_OFFSET) +
				    index;
	strbuf_printf(p->out, "%s[]: %u entries\n", p->global->var->name, map->count);
	if (!reader_enter(lock))
		return;
	size_t count = find_shown(map, shown);
	for (size_t i = 0; i < count; i++)
		put_entry(p, map, shown[i].entry, shown[i].value);
	reader_leave(lock);
}

void session_put_globals(struct session *s, struct strbuf *out)
{
	for (uint32_t g = 0; g < s->code.global_count; g++) {
		struct globals_printer p = {
			.s = s, .global = &s->code.globals[g], .out = out};
		if (p.global->storage == CODEGEN_MAP)
			put_largest(
				&p, (void *)((char *)s->memory.base + p.global->offset));
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
