/* SPDX-License-Identifier: MIT */
/* What an address of a process is: symbol, module, source line. */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "elf/line.h"
#include "session/ask.h"
#include "session/mapped_file.h"
#include "session/perf_map.h"

enum {
	MAPS_FRESH_MS = 500
};

struct symbol_module {
	char *path; /* as the process sees it */
	uint64_t device_inode;
	struct elf_module *elf; /* NULL: cannot be read */
};

struct symbol_process {
	pid_t pid;
	struct proc_maps maps;
	struct perf_map *generated; /* NULL: not asked yet */
	uint64_t read_ms;
	uint64_t reading; /* which reading of its mappings this is */
	bool is_past;     /* it runs another program by now */
};

/* What was told of an address: stacks have the same ones again and again. */
enum {
	TOLD = 4096
};
struct symbol_told {
	pid_t pid;
	uint32_t style;
	uint64_t address, reading; /* reading 0: nothing yet */
	char *text;
};

struct ask_symbols {
	struct symbol_told told[TOLD];
	uint64_t readings;
	VEC(struct symbol_module) modules;
	VEC(struct symbol_process) processes;
};

/* Everything known of an address; 0, NULL: unknown. */
struct symbol_place {
	uint64_t address;
	const char *module; /* path */
	const char *name;
	uint64_t offset, size; /* of the symbol, or in the module */
	const char *file;
	int line;
	struct elf_module *elf;
	uint64_t module_start; /* where the first piece of the module is mapped */
};

struct ask_symbols *ask_symbols_create(void)
{
	struct ask_symbols *symbols = calloc(1, sizeof(*symbols));
	if (!symbols)
		abort();
	return symbols;
}

void ask_symbols_destroy(struct ask_symbols *symbols)
{
	for (size_t i = 0; i < TOLD; i++)
		free(symbols->told[i].text);
	for (size_t i = 0; i < symbols->modules.count; i++) {
		free(symbols->modules.items[i].path);
		elf_module_close(symbols->modules.items[i].elf);
	}
	for (size_t i = 0; i < symbols->processes.count; i++) {
		proc_maps_free(&symbols->processes.items[i].maps);
		perf_map_destroy(symbols->processes.items[i].generated);
	}
	vec_free(&symbols->modules);
	vec_free(&symbols->processes);
	free(symbols);
}

/* ---- finding ------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct symbol_process *find_process(struct ask_symbols *symbols, pid_t pid)
{
	for (size_t i = 0; i < symbols->processes.count; i++)
		if (symbols->processes.items[i].pid == pid)
			return &symbols->processes.items[i];
	struct symbol_process *process = vec_push(&symbols->processes);
	process->pid = pid;
	return process;
}

static const struct proc_map *covering_map(
	const struct symbol_process *p, uint64_t address)
{
	for (size_t i = 0; i < p->maps.maps.count; i++) {
		const struct proc_map *map = &p->maps.maps.items[i];
		if (address >= map->start && address < map->end)
			return map;
	}
	return NULL;
}

/* A list of mappings is believed for a moment only: libraries come and go. */
static bool refresh_maps(struct ask_symbols *symbols, struct symbol_process *p)
{
	struct proc_maps fresh;
	if (proc_read_maps(p->pid, &fresh, NULL) < 0)
		return false;
	if (!fresh.maps.count) { /* it has ended: what it had is what it was */
		proc_maps_free(&fresh);
		return false;
	}
	proc_maps_free(&p->maps);
	p->maps = fresh;
	p->read_ms = now_ms();
	p->reading = ++symbols->readings;
	return true;
}

static bool is_fresh(const struct symbol_process *p)
{
	return p->read_ms && now_ms() - p->read_ms < MAPS_FRESH_MS;
}

void ask_symbols_remember(struct ask_symbols *symbols, pid_t pid)
{
	struct symbol_process *p = find_process(symbols, pid);
	if (!p->is_past && !is_fresh(p))
		(void)refresh_maps(symbols, p);
}

static const struct proc_map *find_map(
	struct ask_symbols *symbols, pid_t pid, uint64_t address)
{
	struct symbol_process *p = find_process(symbols, pid);
	const struct proc_map *map = covering_map(p, address);
	if (p->is_past || (map && is_fresh(p)))
		return map;
	return refresh_maps(symbols, p) ? covering_map(p, address) : map;
}

static struct elf_module *find_module(
	struct ask_symbols *symbols, pid_t pid, const struct proc_map *map)
{
	for (size_t i = 0; i < symbols->modules.count; i++) {
		const struct symbol_module *m = &symbols->modules.items[i];
		if (m->device_inode == map->device_inode && !strcmp(m->path, map->path))
			return m->elf;
	}
	struct symbol_module *m = vec_push(&symbols->modules);
	m->path = strdup(map->path);
	m->device_inode = map->device_inode;
	if (!m->path)
		abort();
	m->elf = mapped_file_open(pid, map);
	return m->elf;
}

static uint64_t module_start(const struct symbol_process *p, const struct proc_map *map)
{
	for (size_t i = 0; i < p->maps.maps.count; i++)
		if (p->maps.maps.items[i].device_inode == map->device_inode &&
			!strcmp(p->maps.maps.items[i].path, map->path))
			return p->maps.maps.items[i].start;
	return map->start;
}

/* Whose address the tracer means is not said: that of the first process which maps it. */
static pid_t whose_address(const struct ask_symbols *symbols, uint64_t address)
{
	for (size_t i = 0; i < symbols->processes.count; i++)
		if (covering_map(&symbols->processes.items[i], address))
			return symbols->processes.items[i].pid;
	return 0;
}

static void find_name(struct symbol_place *place, uint64_t address)
{
	uint64_t start, end;
	const char *name;
	const struct elf_object *object;
	if (elf_module_function_at(place->elf, address, &start, &end, &name) && name) {
		place->name = name;
	} else if ((object = elf_module_object_at(place->elf, address))) {
		place->name = object->name;
		start = object->start;
		end = object->end;
	} else {
		return;
	}
	place->offset = address - start;
	place->size = end - start;
}

static bool find_generated(struct symbol_process *p, struct symbol_place *place)
{
	struct perf_map_entry entry;
	if (!p->generated)
		p->generated = perf_map_create(p->pid);
	if (!perf_map_find(p->generated, place->address, &entry))
		return false;
	place->name = entry.name;
	place->module = "[generated]";
	place->offset = place->address - entry.start;
	place->size = entry.size;
	return true;
}

/* false: nothing is mapped there.  Lines cost loading debug information. */
static bool find_place(struct ask_symbols *symbols, pid_t pid, uint64_t address,
	bool with_line, struct symbol_place *ret)
{
	*ret = (struct symbol_place){.address = address};
	if (!pid && (pid = whose_address(symbols, address)) == 0)
		return false;
	const struct proc_map *map = find_map(symbols, pid, address);
	if (map && map->execute && !map->device_inode && strcmp(map->path, "[vdso]") != 0)
		return find_generated(find_process(symbols, pid), ret);
	if (!map || (map->path[0] != '/' && strcmp(map->path, "[vdso]") != 0))
		return false;
	ret->module = map->path;
	ret->module_start = module_start(find_process(symbols, pid), map);
	ret->offset = address - map->start;
	ret->size = map->end - map->start;
	ret->elf = find_module(symbols, pid, map);
	if (!ret->elf)
		return true;
	uint64_t bias = elf_module_bias(ret->elf, map->start, map->offset);
	find_name(ret, address - bias);
	if (with_line && !elf_line_at(ret->elf, address - bias, &ret->file, &ret->line))
		ret->file = NULL;
	return true;
}

/* ---- telling ------------------------------------------------------------------------------ */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void put_data(const struct symbol_place *p, struct strbuf *out)
{
	if (p->name)
		strbuf_printf(
			out, "%s+0x%" PRIx64 "/0x%" PRIx64, p->name, p->offset, p->size);
	else
		strbuf_printf(out, "0x%" PRIx64, p->address);
}

static void put_line(const struct symbol_place *p, struct strbuf *out)
{
	if (p->file && p->line)
		strbuf_printf(out, " at %s:%d", p->file, p->line);
	else if (p->file)
		strbuf_printf(out, " at %s", p->file);
}

static void put_full(const struct symbol_place *p, bool with_line, struct strbuf *out)
{
	strbuf_printf(out, " 0x%" PRIx64, p->address);
	if (p->name)
		strbuf_printf(out, " : %s+0x%" PRIx64 "/0x%" PRIx64, p->name, p->offset,
			p->size);
	else if (p->module)
		strbuf_printf(out, " [%s+0x%" PRIx64 "/0x%" PRIx64 "]", p->module,
			p->offset, p->size);
	if (with_line)
		put_line(p, out);
	if (p->name && p->module)
		strbuf_printf(out, " [%s]", p->module);
}

static void put_place(const struct symbol_place *p, int64_t style, struct strbuf *out)
{
	bool with_line = style == ABI_SYMBOL_FULLER;
	switch (style) {
	case ABI_SYMBOL_FULL:
	case ABI_SYMBOL_FULLER:
		put_full(p, with_line, out);
		return;
	case ABI_SYMBOL_DATA:
	case ABI_SYMBOL_SIMPLE:
		if (p->name && style == ABI_SYMBOL_SIMPLE)
			strbuf_printf(out, "%s+0x%" PRIx64 " [%s]", p->name, p->offset,
				base_name(p->module));
		else if (p->name)
			put_data(p, out), strbuf_printf(out, " [%s]", p->module);
		else if (p->module && style == ABI_SYMBOL_SIMPLE)
			strbuf_printf(out, "0x%" PRIx64 " [%s+0x%" PRIx64 "]", p->address,
				base_name(p->module), p->offset);
		else if (p->module)
			strbuf_printf(out,
				"0x%" PRIx64 " [%s+0x%" PRIx64 "/0x%" PRIx64 "]",
				p->address, p->module, p->offset, p->size);
		else
			strbuf_printf(out, "0x%" PRIx64, p->address);
		return;
	case ABI_SYMBOL_BRIEF:
		if (p->name)
			strbuf_printf(out, "%s+0x%" PRIx64, p->name, p->offset);
		break;
	case ABI_SYMBOL_FILE:
		strbuf_puts(out, p->file ? p->file : "");
		break;
	case ABI_SYMBOL_LINE:
		if (p->line)
			strbuf_printf(out, "%d", p->line);
		break;
	case ABI_SYMBOL_FILE_LINE:
		if (p->file && p->line)
			strbuf_printf(out, "%s:%d", p->file, p->line);
		else
			strbuf_puts(out, p->file ? p->file : "");
		break;
	default:
		strbuf_puts(out, p->name ? p->name : "");
		break;
	}
	if (!out->size)
		strbuf_printf(out, "0x%" PRIx64, p->address);
}

void ask_symbols_set_past(struct ask_symbols *symbols, pid_t pid, bool is_past)
{
	struct symbol_process *p = find_process(symbols, pid);
	p->is_past = is_past;
	p->read_ms = 0;
	if (!is_past) { /* another program, other code */
		perf_map_destroy(p->generated);
		p->generated = NULL;
	}
}

void ask_symbol_at(struct ask_symbols *symbols, pid_t pid, uint64_t address,
	uint32_t style, struct strbuf *out)
{
	struct symbol_place place;
	struct symbol_told *told =
		&symbols->told[(address ^ address >> 12 ^ style * 0x9e5u) % TOLD];
	const struct symbol_process *p = pid ? find_process(symbols, pid) : NULL;
	if (p && told->reading == p->reading && told->reading && told->pid == pid &&
		told->style == style && told->address == address &&
		(p->is_past || is_fresh(p))) {
		strbuf_puts(out, told->text);
		return;
	}
	size_t start = out->size;
	find_place(symbols, pid, address, style >= ABI_SYMBOL_FULLER, &place);
	put_place(&place, style, out);
	p = pid ? find_process(symbols, pid) : NULL;
	if (!p || !p->reading)
		return;
	free(told->text);
	*told = (struct symbol_told){
		pid, style, address, p->reading, strdup(out->data + start)};
	if (!told->text)
		abort();
}

void ask_symbol(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer)
{
	ask_symbol_at(symbols, question->pid, (uint64_t)question->arguments[0],
		(uint32_t)question->arguments[1], &answer->text);
}

void ask_module(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer)
{
	struct symbol_place place;
	answer->failed = !find_place(
		symbols, question->pid, (uint64_t)question->arguments[0], false, &place);
	if (answer->failed)
		return;
	switch (question->arguments[1]) {
	case ABI_MODULE_PATH:
		strbuf_puts(&answer->text, place.module);
		break;
	case ABI_MODULE_BUILD_ID:
		answer->failed = !place.elf;
		if (place.elf)
			strbuf_puts(&answer->text, elf_module_build_id(place.elf));
		break;
	default:
		answer->result = (int64_t)(place.address - place.module_start);
		break;
	}
}

/* The first piece of a file that a process maps. */
static const struct proc_map *named_map(const struct symbol_process *p, const char *path)
{
	for (size_t i = 0; i < p->maps.maps.count; i++) {
		if (!strcmp(p->maps.maps.items[i].path, path))
			return &p->maps.maps.items[i];
	}
	return NULL;
}

void ask_bias(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer)
{
	const struct proc_map *map = NULL;
	if (question->pid) {
		struct symbol_process *p = find_process(symbols, question->pid);
		map = named_map(p, question->text);
		if (!p->is_past && !(map && is_fresh(p)))
			map = refresh_maps(symbols, p) ? named_map(p, question->text)
						       : map;
	}
	struct elf_module *elf = map ? find_module(symbols, question->pid, map) : NULL;
	answer->failed = !elf;
	if (elf)
		answer->result = (int64_t)elf_module_bias(elf, map->start, map->offset);
}
