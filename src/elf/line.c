/* SPDX-License-Identifier: MIT */
#include "elf/line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/dwarf_internal.h"
#include "elf/names.h"

enum {
	SUGGEST_DISTANCE_MAX = 1 << 20
};

/* ---- the line table of a unit -------------------------------------------------------------------------- */

static int row_compare(const void *a, const void *b)
{
	const struct elf_row *left = a, *right = b;
	return left->address < right->address ? -1 : left->address > right->address;
}

/* libdw sorts rows by address, rows of one address in the order of the program. */
void elf_unit_index_rows(struct elf_dwarf *dwarf, struct elf_unit *unit)
{
	Dwarf_Lines *lines;
	size_t count;
	bool is_sorted = true;
	if (unit->has_rows)
		return;
	unit->has_rows = true;
	if (dwarf_getsrclines(&unit->skeleton, &lines, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		Dwarf_Line *line = dwarf_onesrcline(lines, i);
		Dwarf_Addr address;
		struct elf_row row = {0};
		bool is_end = false;
		if (!line || dwarf_lineaddr(line, &address) != 0)
			continue;
		row.address = address + dwarf->bias;
		if (dwarf_lineendsequence(line, &is_end) != 0 || is_end ||
			dwarf_lineno(line, &row.line) != 0)
			row.line = 0;
		row.file = dwarf_linesrc(line, NULL, NULL);
		if (dwarf_linebeginstatement(line, &row.is_statement) != 0)
			row.is_statement = false;
		is_sorted = is_sorted &&
			    (!unit->rows.count ||
				    unit->rows.items[unit->rows.count - 1].address <=
					    row.address);
		vec_append(&unit->rows, row);
	}
	if (!is_sorted)
		qsort(unit->rows.items, unit->rows.count, sizeof(*unit->rows.items),
			row_compare);
}

/* The last row at or before an address; NULL: none, or a gap between sequences. */
static const struct elf_row *row_at(
	struct elf_dwarf *dwarf, struct elf_unit *unit, uint64_t address)
{
	elf_unit_index_rows(dwarf, unit);
	size_t low = 0, high = unit->rows.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (unit->rows.items[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	const struct elf_row *row = &unit->rows.items[low - 1];
	/* a sequence may end where the next one begins */
	while (row->line == 0 && row > unit->rows.items &&
		row[-1].address == row->address)
		row--;
	return row->line ? row : NULL;
}

bool elf_line_at(
	struct elf_module *module, uint64_t address, const char **ret_file, int *ret_line)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	struct elf_unit *unit = dwarf ? elf_dwarf_unit_at(dwarf, address) : NULL;
	const struct elf_row *row = unit ? row_at(dwarf, unit, address) : NULL;
	if (!row)
		return false;
	*ret_file = row->file;
	*ret_line = row->line;
	return true;
}

uint64_t elf_line_end(struct elf_module *module, uint64_t address, uint64_t *ret_start)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	struct elf_unit *unit = dwarf ? elf_dwarf_unit_at(dwarf, address) : NULL;
	const struct elf_row *row = unit ? row_at(dwarf, unit, address) : NULL;
	if (!row)
		return 0;
	const struct elf_row *end = unit->rows.items + unit->rows.count;
	*ret_start = row->address;
	for (const struct elf_row *next = row; next < end; next++) {
		if (next->address > row->address)
			return next->address;
	}
	return 0;
}

/* ---- which instance ---------------------------------------------------------------------------------------- */

struct candidate {
	struct elf_line_place place;
	bool is_statement;
	bool is_displaced;
	size_t order; /* in the line table */
};

struct search {
	struct elf_module *module;
	const struct elf_line_query *query;
	VEC(struct candidate) found;
	/* answers for the instance asked about last, since rows come in runs */
	const struct elf_instance *asked, *answer;
	/* entries of functions that only their symbols call so: malloc is __libc_malloc */
	struct elf_address_list aliases;
	/* what there is instead: the nearest lines before and after the one asked for */
	int wanted, before, after;
	/* whatever function they are in; the line asked for is in another one */
	bool is_of_any, is_elsewhere;
	const char *file;
};

static void collect_aliases(struct search *s)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(s->module, &count);
	if (elf_pattern_has_wildcard(s->query->function))
		return; /* whatever it matches, debug information has under its own name */
	for (size_t i = 0; i < count; i++) {
		if (elf_pattern_matches_symbol(s->query->function, functions[i].name))
			vec_append(&s->aliases, functions[i].start);
	}
}

static bool search_matches(const struct search *s, const struct elf_instance *instance)
{
	for (size_t i = 0; i < s->aliases.count && !instance->parent; i++) {
		if (s->aliases.items[i] == instance->entry)
			return true;
	}
	return elf_instance_matches(instance, s->query->function);
}

static const struct elf_instance *matching_instance(
	struct search *s, const struct elf_instance *innermost)
{
	const struct elf_instance *instance = innermost;
	if (s->asked == innermost)
		return s->answer;
	while (instance && !s->is_of_any && !search_matches(s, instance))
		instance = instance->parent;
	s->asked = innermost;
	s->answer = instance;
	return instance;
}

static int declared_line(const struct elf_instance *instance)
{
	struct elf_declaration declaration;
	Dwarf_Die die = instance->die;
	elf_die_declaration(&die, &declaration);
	return declaration.line;
}

static bool line_is_wanted(
	const struct search *s, const struct elf_instance *instance, int line)
{
	const struct elf_line_query *query = s->query;
	if (query->kind == ELF_LINES_ALL)
		return true;
	if (query->kind == ELF_LINES_RELATIVE)
		return line == declared_line(instance) + query->offset;
	for (size_t i = 0; i < query->range_count; i++) {
		if (line >= query->ranges[i].first && line <= query->ranges[i].last)
			return true;
	}
	return false;
}

static void note_neighbour(
	struct search *s, const struct elf_instance *instance, const struct elf_row *row)
{
	const struct elf_line_query *query = s->query;
	int wanted = query->kind == ELF_LINES_RELATIVE
			     ? declared_line(instance) + query->offset
			     : query->ranges[0].first;
	s->wanted = wanted;
	s->file = row->file;
	s->is_elsewhere |= s->is_of_any && row->line == wanted;
	if (row->line < wanted && row->line > s->before)
		s->before = row->line;
	if (row->line > wanted && (!s->after || row->line < s->after))
		s->after = row->line;
}

static void search_unit(struct search *s, struct elf_unit *unit, bool neighbours)
{
	const struct elf_line_query *query = s->query;
	struct elf_dwarf *dwarf = s->module->dwarf;
	const char *file = NULL;
	bool matches = false;
	elf_unit_index_rows(dwarf, unit);
	for (size_t i = 0; i < unit->rows.count; i++) {
		const struct elf_row *row = &unit->rows.items[i];
		if (row->line == 0 || !row->file)
			continue;
		if (row->file != file) {
			file = row->file;
			matches = !query->file ||
				  elf_pattern_matches_file(query->file, file);
		}
		if (!matches || (query->kind == ELF_LINES_NUMBERED && !neighbours &&
					!line_is_wanted(s, NULL, row->line)))
			continue;
		const struct elf_instance *instance = matching_instance(
			s, elf_unit_instance_at(dwarf, unit, row->address));
		if (!instance)
			continue;
		if (neighbours)
			note_neighbour(s, instance, row);
		else if (line_is_wanted(s, instance, row->line))
			vec_append(&s->found,
				((struct candidate){
					{instance, row->file, row->line, row->address},
					.is_statement = row->is_statement,
					.order = s->found.count}));
	}
}

/* Reading all line tables of a large program takes seconds: most units do not have the function. */
static bool unit_may_match(struct search *s, struct elf_unit *unit)
{
	const char *pattern = s->query->function;
	if (unit->type != DW_UT_compile && unit->type != DW_UT_skeleton)
		return false;
	if (elf_pattern_has_wildcard(pattern))
		return true;
	elf_unit_index_inlines(s->module->dwarf, unit);
	for (size_t i = 0; i < unit->functions.count; i++) {
		if (search_matches(s, &unit->functions.items[i]))
			return true;
	}
	for (size_t i = 0; i < unit->inlines.count; i++) {
		if (elf_instance_matches(unit->inlines.items[i], pattern))
			return true;
	}
	return false;
}

static void search_all(struct search *s, bool neighbours)
{
	struct elf_dwarf *dwarf = s->module->dwarf;
	s->asked = s->answer = NULL;
	for (size_t i = 0; i < dwarf->units.count; i++) {
		if (unit_may_match(s, &dwarf->units.items[i]))
			search_unit(s, &dwarf->units.items[i], neighbours);
	}
}

static int by_instance(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	if (left->place.line != right->place.line)
		return left->place.line < right->place.line ? -1 : 1;
	if (left->place.instance != right->place.instance)
		return left->place.instance < right->place.instance ? -1 : 1;
	return 0;
}

/* The same line of the same instance together; real statements before what was scheduled away. */
static int by_line(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	int order = by_instance(a, b);
	if (order)
		return order;
	if (left->is_statement != right->is_statement)
		return left->is_statement ? -1 : 1;
	if (left->place.address != right->place.address)
		return left->place.address < right->place.address ? -1 : 1;
	return 0;
}

/* Of several lines that begin at one instruction the first; see also by_last_row(). */
static int by_first_line(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	if (left->place.address != right->place.address)
		return left->place.address < right->place.address ? -1 : 1;
	return left->place.line < right->place.line
		       ? -1
		       : left->place.line > right->place.line;
}

/* The line a debugger shows there: the last statement of the address. */
static int by_last_row(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	if (left->place.address != right->place.address)
		return left->place.address < right->place.address ? -1 : 1;
	if (left->is_statement != right->is_statement)
		return left->is_statement ? -1 : 1;
	return left->order > right->order ? -1 : left->order < right->order;
}

static int by_place(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	if (left->place.line != right->place.line)
		return left->place.line < right->place.line ? -1 : 1;
	return left->place.address < right->place.address
		       ? -1
		       : left->place.address > right->place.address;
}

static void sort_found(struct search *s, int (*compare)(const void *, const void *))
{
	if (s->found.count)
		qsort(s->found.items, s->found.count, sizeof(*s->found.items), compare);
}

static void drop_repetitions(struct search *s, bool of_address)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->found.count; i++) {
		const struct elf_line_place *place = &s->found.items[i].place;
		const struct elf_line_place *last =
			kept ? &s->found.items[kept - 1].place : NULL;
		if (last && of_address && last->address == place->address)
			continue;
		if (last && !of_address && last->line == place->line &&
			last->instance == place->instance)
			continue;
		s->found.items[kept++] = s->found.items[i];
	}
	s->found.count = kept;
}

/* The same line in the nearest of the instances around that has it; NULL: none has. */
static struct candidate *candidate_around(
	const struct search *s, const struct candidate *inner)
{
	struct candidate key = *inner, *found = NULL;
	const struct elf_instance *instance = inner->place.instance->parent;
	for (; instance && !found; instance = instance->parent) {
		key.place.instance = instance;
		found = bsearch(&key, s->found.items, s->found.count,
			sizeof(*s->found.items), by_instance);
	}
	return found && found->place.file == inner->place.file ? found : NULL;
}

/*
 * What was scheduled away from a statement is no place of its own: where the line begins a statement in the
 * function around, or in what is inlined there, that one is meant.  Candidates are in order by_line().
 */
static void drop_displaced(struct search *s)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->found.count; i++) {
		struct candidate *inner = &s->found.items[i];
		struct candidate *outer = candidate_around(s, inner);
		if (outer && inner->is_statement != outer->is_statement)
			(inner->is_statement ? outer : inner)->is_displaced = true;
	}
	for (size_t i = 0; i < s->found.count; i++)
		if (!s->found.items[i].is_displaced)
			s->found.items[kept++] = s->found.items[i];
	s->found.count = kept;
}

static bool is_single_line(const struct elf_line_query *query)
{
	return query->kind == ELF_LINES_RELATIVE ||
	       (query->kind == ELF_LINES_NUMBERED && query->range_count == 1 &&
		       query->ranges[0].first == query->ranges[0].last);
}

static int report_no_lines(struct search *s, struct error *err)
{
	char hint[64] = "";
	if (!s->file)
		return error_set(err, -ENOENT, "no match");
	if (s->before && s->after)
		snprintf(hint, sizeof(hint), " (try :%d or :%d)", s->before, s->after);
	else if (s->before || s->after)
		snprintf(hint, sizeof(hint), " (try :%d)",
			s->before ? s->before : s->after);
	return error_set(err, -ENOENT, "no line records for %s:%d [man error::dwarf]%s",
		s->file, s->wanted, hint);
}

/* Nothing at the line itself: its neighbours, for .nearest or for the message. */
static int search_neighbours(struct search *s, struct error *err)
{
	struct elf_line_query query = *s->query;
	struct elf_line_range range;
	/* the nearest line of the file is meant, and it may be another function's */
	s->is_of_any = query.is_nearest && query.kind == ELF_LINES_NUMBERED;
	search_all(s, true);
	s->is_of_any = false;
	if (s->is_elsewhere)
		s->before = s->after = 0;
	if (!query.is_nearest || (!s->before && !s->after))
		return report_no_lines(s, err);
	int up = s->after ? s->after - s->wanted : SUGGEST_DISTANCE_MAX;
	int down = s->before ? s->wanted - s->before : SUGGEST_DISTANCE_MAX;
	range.first = range.last = up <= down ? s->after : s->before;
	query.kind = ELF_LINES_NUMBERED;
	query.ranges = &range;
	query.range_count = 1;
	s->query = &query;
	search_all(s, false);
	s->before = s->after = 0;
	return s->found.count ? 0 : report_no_lines(s, err);
}

/* One place for each line of each instance, and with several lines one for each address. */
static void choose_places(struct search *s)
{
	bool is_all = s->query->kind == ELF_LINES_ALL;
	sort_found(s, by_line);
	drop_repetitions(s, false);
	drop_displaced(s);
	if (!is_single_line(s->query)) {
		sort_found(s, is_all ? by_last_row : by_first_line);
		drop_repetitions(s, true);
	}
	sort_found(s, by_place);
}

int elf_lines_find(struct elf_module *module, const struct elf_line_query *query,
	struct arena *arena, struct elf_line_place **ret, size_t *ret_count,
	struct error *err)
{
	struct search s = {.module = module, .query = query};
	int r = 0;
	if (!elf_module_dwarf(module))
		return elf_missing_debuginfo(module, "probing source lines", err);
	collect_aliases(&s);
	search_all(&s, false);
	if (!s.found.count && module->dwarf->has_lost_units)
		r = elf_missing_debuginfo(module, "probing source lines", err);
	else if (!s.found.count && query->kind != ELF_LINES_ALL)
		r = search_neighbours(&s, err);
	else if (!s.found.count)
		r = error_set(err, -ENOENT, "no match");
	s.query = query;
	choose_places(&s);
	*ret = arena_array(arena, struct elf_line_place, s.found.count + 1);
	for (size_t i = 0; i < s.found.count; i++)
		(*ret)[i] = s.found.items[i].place;
	*ret_count = s.found.count;
	vec_free(&s.found);
	vec_free(&s.aliases);
	return r;
}
