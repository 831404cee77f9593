/* SPDX-License-Identifier: MIT */
#include "elf/instance.h"

#include <stdlib.h>
#include <string.h>

#include "elf/dwarf_internal.h"
#include "elf/names.h"

/* Bounds for corrupt files. */
enum {
	INSTANCE_DEPTH_MAX = 128,
	SCOPE_DEPTH_MAX = 32,
	CALLEES_MAX = 1 << 16
};

bool elf_instance_is_same(const struct elf_instance *a, const struct elf_instance *b)
{
	return a == b || (a && b && a->die.addr == b->die.addr);
}

bool elf_instance_follows_abi(const struct elf_instance *instance)
{
	Dwarf_Die die = instance->die, unit;
	if (!dwarf_diecu(&die, &unit, NULL, NULL))
		return false;
	int language = dwarf_srclang(&unit);
	return language > 0 && language != DW_LANG_Mips_Assembler &&
	       language != DW_LANG_Go;
}

void elf_instance_describe(
	const struct elf_instance *instance, struct elf_instance_info *ret)
{
	Dwarf_Die die = instance->die;
	*ret = (struct elf_instance_info){.entry = instance->entry,
		.end = instance->end,
		.is_inline = instance->parent != NULL,
		.parent = instance->parent};
	elf_die_declaration(&die, &ret->declaration);
	if (!ret->declaration.name)
		ret->declaration.name = "";
}

/* ---- inlined copies of a unit ------------------------------------------------------------------------ */

/* DW_AT_entry_pc is an address, or with DWARF 5 a distance from the lowest one. */
static bool inline_entry(Dwarf_Die *die, Dwarf_Addr base, Dwarf_Addr *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word distance;
	if (!dwarf_attr(die, DW_AT_entry_pc, &attr))
		return false;
	if (dwarf_formaddr(&attr, ret) == 0)
		return true;
	if (dwarf_formudata(&attr, &distance) != 0)
		return false;
	*ret = base + distance;
	return true;
}

/*
 * gcc's ranges may begin with an empty one, where the entry is: what came first there belongs to the
 * code around it by then.  The entry counts as long as the copy has any code.
 */
static bool inline_extent(Dwarf_Die *die, uint64_t *ret_entry, uint64_t *ret_end)
{
	Dwarf_Addr base, start, end, entry;
	ptrdiff_t offset = 0;
	bool has_entry = false, has_code = false, is_inside = false;
	while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0) {
		if (!has_code)
			has_entry = inline_entry(die, base ? base : start, &entry);
		if (start >= end)
			continue;
		if (!has_code)
			*ret_entry = has_entry ? entry : start;
		if (!has_code || (!is_inside && *ret_entry >= start && *ret_entry < end))
			*ret_end = end;
		is_inside = is_inside || (*ret_entry >= start && *ret_entry < end);
		has_code = true;
	}
	return has_code;
}

static void collect_inlines(struct elf_dwarf *dwarf, struct elf_unit *unit,
	Dwarf_Die *scope, const struct elf_instance *parent, int depth)
{
	Dwarf_Die die;
	if (depth > INSTANCE_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return;
	do {
		int tag = dwarf_tag(&die);
		const struct elf_instance *inner = parent;
		uint64_t entry, end;
		if (tag == DW_TAG_inlined_subroutine) {
			if (!inline_extent(&die, &entry, &end))
				continue; /* it left no instruction of its own */
			struct elf_instance *copy =
				arena_new(dwarf->arena, struct elf_instance);
			*copy = (struct elf_instance){.entry = entry + dwarf->bias,
				.end = end + dwarf->bias,
				.die = die,
				.parent = parent};
			vec_append(&unit->inlines, copy);
			inner = copy;
		} else if (tag != DW_TAG_lexical_block && tag != DW_TAG_try_block &&
			   tag != DW_TAG_catch_block) {
			continue;
		}
		collect_inlines(dwarf, unit, &die, inner, depth + 1);
	} while (dwarf_siblingof(&die, &die) == 0);
}

struct extent {
	uint64_t start, end;
	size_t order; /* parents first */
	const struct elf_instance *instance;
};

struct extent_list {
	struct extent *items;
	size_t count, capacity; /* the shape of VEC(struct extent) */
};

static void add_extents(const struct elf_dwarf *dwarf,
	const struct elf_instance *instance, struct extent_list *list)
{
	Dwarf_Die die = instance->die;
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;
	while ((offset = dwarf_ranges(&die, offset, &base, &start, &end)) > 0) {
		if (start < end)
			vec_append(
				list, ((struct extent){start + dwarf->bias,
					      end + dwarf->bias, list->count, instance}));
	}
}

static int extent_compare(const void *a, const void *b)
{
	const struct extent *left = a, *right = b;
	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return left->order < right->order ? -1 : left->order > right->order;
}

static void span_append(
	struct elf_unit *unit, uint64_t start, const struct elf_instance *instance)
{
	struct elf_span *last =
		unit->spans.count ? &unit->spans.items[unit->spans.count - 1] : NULL;
	if (last && last->start == start)
		last->instance = instance;
	else
		vec_append(&unit->spans, ((struct elf_span){start, instance}));
}

/* Nested ranges become a list without nesting: what a stack of open ranges has on top. */
static void build_spans(struct elf_unit *unit, struct extent_list *list)
{
	struct extent *open[INSTANCE_DEPTH_MAX + 1];
	size_t depth = 0;
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), extent_compare);
	for (size_t i = 0; i <= list->count; i++) {
		struct extent *next = i < list->count ? &list->items[i] : NULL;
		while (depth && (!next || open[depth - 1]->end <= next->start)) {
			uint64_t end = open[--depth]->end;
			/* a range that outlives its parent: the parent ends there too */
			while (depth && open[depth - 1]->end <= end)
				depth--;
			span_append(unit, end, depth ? open[depth - 1]->instance : NULL);
		}
		if (!next || depth > INSTANCE_DEPTH_MAX)
			continue;
		open[depth++] = next;
		span_append(unit, next->start, next->instance);
	}
}

void elf_unit_index_inlines(struct elf_dwarf *dwarf, struct elf_unit *unit)
{
	struct extent_list extents = {0};
	if (unit->has_inlines)
		return;
	unit->has_inlines = true;
	elf_unit_index(dwarf, unit);
	for (size_t i = 0; i < unit->functions.count; i++) {
		struct elf_instance *function = &unit->functions.items[i];
		size_t before = unit->inlines.count;
		collect_inlines(dwarf, unit, &function->die, function, 0);
		add_extents(dwarf, function, &extents);
		for (size_t k = before; k < unit->inlines.count; k++)
			add_extents(dwarf, unit->inlines.items[k], &extents);
	}
	build_spans(unit, &extents);
	vec_free(&extents);
}

const struct elf_instance *elf_unit_instance_at(
	struct elf_dwarf *dwarf, struct elf_unit *unit, uint64_t address)
{
	elf_unit_index_inlines(dwarf, unit);
	size_t low = 0, high = unit->spans.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (unit->spans.items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? unit->spans.items[low - 1].instance : NULL;
}

const struct elf_instance *elf_instance_at(struct elf_module *module, uint64_t address)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	struct elf_unit *unit = dwarf ? elf_dwarf_unit_at(dwarf, address) : NULL;
	return unit ? elf_unit_instance_at(dwarf, unit, address) : NULL;
}

const struct elf_instance *elf_instance_at_entry(
	struct elf_module *module, uint64_t entry)
{
	return elf_dwarf_subprogram(module, entry);
}

static bool has_code(const struct elf_unit *unit)
{
	return unit->type == DW_UT_compile || unit->type == DW_UT_skeleton;
}

const struct elf_instance *elf_inline_next(
	struct elf_module *module, struct elf_inline_walk *walk, const char *pattern)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	for (; dwarf && walk->unit < dwarf->units.count; walk->unit++, walk->index = 0) {
		struct elf_unit *unit = &dwarf->units.items[walk->unit];
		if (!has_code(unit))
			continue;
		elf_unit_index_inlines(dwarf, unit);
		while (walk->index < unit->inlines.count) {
			const struct elf_instance *found =
				unit->inlines.items[walk->index++];
			if (elf_instance_matches(found, pattern))
				return found;
		}
	}
	return NULL;
}

uint64_t elf_instance_offset(const struct elf_instance *instance)
{
	Dwarf_Die die = instance->die;
	return dwarf_dieoffset(&die);
}

const struct elf_instance *elf_instance_by_offset(
	struct elf_module *module, uint64_t entry, uint64_t offset)
{
	const struct elf_instance *found = elf_dwarf_subprogram(module, entry);
	if (found && elf_instance_offset(found) == offset)
		return found;
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	struct elf_unit *unit = dwarf ? elf_dwarf_unit_at(dwarf, entry) : NULL;
	if (!unit)
		return NULL;
	elf_unit_index_inlines(dwarf, unit);
	for (size_t i = 0; i < unit->functions.count; i++) {
		if (elf_instance_offset(&unit->functions.items[i]) == offset)
			return &unit->functions.items[i];
	}
	for (size_t i = 0; i < unit->inlines.count; i++) {
		if (elf_instance_offset(unit->inlines.items[i]) == offset)
			return unit->inlines.items[i];
	}
	return NULL;
}

/* ---- names ---------------------------------------------------------------------------------------------- */

/* Out-of-line and inlined copies lead to the DIE that stands in the scope it was declared in. */
static Dwarf_Die declared_die(const struct elf_instance *instance)
{
	static const unsigned links[] = {DW_AT_abstract_origin, DW_AT_specification};
	Dwarf_Die die = instance->die, next;
	for (int depth = 0; depth < SCOPE_DEPTH_MAX; depth++) {
		Dwarf_Attribute attr;
		bool found = false;
		for (size_t i = 0; i < 2 && !found; i++)
			found = dwarf_attr(&die, links[i], &attr) &&
				dwarf_formref_die(&attr, &next);
		if (!found)
			break;
		die = next;
	}
	return die;
}

const char *elf_instance_qualified(
	const struct elf_instance *instance, struct arena *arena)
{
	Dwarf_Die die = declared_die(instance), *scopes = NULL;
	const char *name = elf_die_name(&die);
	char *text = arena_strdup(arena, name ? name : "");
	int count = dwarf_getscopes_die(&die, &scopes);
	for (int i = 1; i < count && i < SCOPE_DEPTH_MAX; i++) {
		int tag = dwarf_tag(&scopes[i]);
		const char *scope = elf_die_name(&scopes[i]);
		if (tag == DW_TAG_namespace && !scope)
			scope = "(anonymous namespace)";
		if (scope &&
			(tag == DW_TAG_namespace || tag == DW_TAG_class_type ||
				tag == DW_TAG_structure_type || tag == DW_TAG_union_type))
			text = arena_printf(arena, "%s::%s", scope, text);
	}
	free(scopes);
	return text;
}

bool elf_instance_matches(const struct elf_instance *instance, const char *pattern)
{
	struct elf_declaration declaration;
	Dwarf_Die die = instance->die;
	elf_die_declaration(&die, &declaration);
	if (!declaration.name)
		return false;
	if (elf_pattern_matches_name(pattern, declaration.name) ||
		(declaration.linkage_name &&
			elf_pattern_matches_symbol(pattern, declaration.linkage_name)))
		return true;
	/* the scopes of a DIE cost a walk through its unit */
	const char *last = strrchr(pattern, ':');
	if (!last || !strstr(pattern, "::") ||
		(declaration.linkage_name && declaration.linkage_name[0] == '_') ||
		!elf_pattern_matches_name(last + 1, declaration.name))
		return false;
	struct arena arena;
	arena_init(&arena);
	bool matches = elf_pattern_matches_name(
		pattern, elf_instance_qualified(instance, &arena));
	arena_deinit(&arena);
	return matches;
}

/* ---- labels --------------------------------------------------------------------------------------------- */

struct label_list {
	struct elf_label *items;
	size_t count, capacity; /* the shape of VEC(struct elf_label) */
};

static void collect_labels(const struct elf_dwarf *dwarf, Dwarf_Die *scope,
	struct label_list *list, int depth)
{
	Dwarf_Die die;
	if (depth > INSTANCE_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return;
	do {
		Dwarf_Addr address;
		struct elf_declaration declaration;
		int tag = dwarf_tag(&die);
		if (tag == DW_TAG_lexical_block) {
			collect_labels(dwarf, &die, list, depth + 1);
			continue;
		}
		if (tag != DW_TAG_label || dwarf_lowpc(&die, &address) != 0)
			continue;
		elf_die_declaration(&die, &declaration);
		if (declaration.name)
			vec_append(list, ((struct elf_label){declaration.name,
						 address + dwarf->bias, declaration.file,
						 declaration.line}));
	} while (dwarf_siblingof(&die, &die) == 0);
}

size_t elf_instance_labels(struct elf_module *module, const struct elf_instance *instance,
	struct arena *arena, struct elf_label **ret)
{
	struct label_list list = {0};
	Dwarf_Die die = instance->die;
	size_t count;
	collect_labels(module->dwarf, &die, &list, 0);
	*ret = arena_array(arena, struct elf_label, list.count + 1);
	if (list.count)
		memcpy(*ret, list.items, list.count * sizeof(*list.items));
	count = list.count;
	vec_free(&list);
	return count;
}

/* ---- callees -------------------------------------------------------------------------------------------- */

struct call {
	const struct elf_instance *instance;
	uint64_t return_address; /* 0: inlined */
};

struct call_list {
	struct call *items;
	size_t count, capacity; /* the shape of VEC(struct call) */
};

/* The out-of-line code behind DW_AT_call_origin, which may be a mere declaration. */
static const struct elf_instance *call_target(struct elf_module *module, Dwarf_Die *site)
{
	Dwarf_Attribute attr;
	Dwarf_Die origin;
	Dwarf_Addr entry;
	struct elf_declaration declaration;
	if ((!dwarf_attr(site, DW_AT_call_origin, &attr) &&
		    !dwarf_attr(site, DW_AT_abstract_origin, &attr)) ||
		!dwarf_formref_die(&attr, &origin))
		return NULL;
	if (dwarf_entrypc(&origin, &entry) == 0)
		return elf_dwarf_subprogram(module, entry + module->dwarf->bias);
	elf_die_declaration(&origin, &declaration);
	const char *name =
		declaration.linkage_name ? declaration.linkage_name : declaration.name;
	size_t count;
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; name && i < count; i++) {
		if (strcmp(functions[i].name, name) == 0)
			return elf_dwarf_subprogram(module, functions[i].start);
	}
	return NULL;
}

static bool is_tail_call(Dwarf_Die *site)
{
	Dwarf_Attribute attr;
	bool flag;
	return (dwarf_attr(site, DW_AT_call_tail_call, &attr) ||
		       dwarf_attr(site, DW_AT_GNU_tail_call, &attr)) &&
	       dwarf_formflag(&attr, &flag) == 0 && flag;
}

static bool return_address(Dwarf_Die *site, Dwarf_Addr *ret)
{
	Dwarf_Attribute attr;
	return ((dwarf_attr(site, DW_AT_call_return_pc, &attr) ||
			dwarf_attr(site, DW_AT_low_pc, &attr)) &&
		dwarf_formaddr(&attr, ret) == 0);
}

static void collect_calls(
	struct elf_module *module, Dwarf_Die *scope, struct call_list *list, int depth)
{
	Dwarf_Die die;
	if (depth > INSTANCE_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return;
	do {
		Dwarf_Addr address;
		int tag = dwarf_tag(&die);
		if (list->count >= CALLEES_MAX)
			return;
		if (tag == DW_TAG_lexical_block) {
			collect_calls(module, &die, list, depth + 1);
		} else if ((tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) &&
			   !is_tail_call(&die) && return_address(&die, &address)) {
			const struct elf_instance *target = call_target(module, &die);
			if (target)
				vec_append(list, ((struct call){target,
							 address + module->dwarf->bias}));
		}
	} while (dwarf_siblingof(&die, &die) == 0);
}

/* Copies inlined into this very instance, not into one of its own copies. */
static void collect_inlined_calls(struct elf_module *module,
	const struct elf_instance *instance, struct call_list *list)
{
	struct elf_unit *unit = elf_dwarf_unit_at(module->dwarf, instance->entry);
	if (!unit)
		return;
	elf_unit_index_inlines(module->dwarf, unit);
	for (size_t i = 0; i < unit->inlines.count; i++) {
		const struct elf_instance *copy = unit->inlines.items[i];
		if (elf_instance_is_same(copy->parent, instance))
			vec_append(list, ((struct call){copy, 0}));
	}
}

static int call_compare(const void *a, const void *b)
{
	const struct call *left = a, *right = b;
	if (left->instance->entry != right->instance->entry)
		return left->instance->entry < right->instance->entry ? -1 : 1;
	if (left->instance->die.addr != right->instance->die.addr)
		return left->instance->die.addr < right->instance->die.addr ? -1 : 1;
	return left->return_address < right->return_address
		       ? -1
		       : left->return_address > right->return_address;
}

size_t elf_instance_callees(struct elf_module *module,
	const struct elf_instance *instance, struct arena *arena, struct elf_callee **ret)
{
	struct call_list list = {0};
	Dwarf_Die die = instance->die;
	size_t count = 0;
	collect_calls(module, &die, &list, 0);
	collect_inlined_calls(module, instance, &list);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), call_compare);
	*ret = arena_array(arena, struct elf_callee, list.count + 1);
	uint64_t *addresses = arena_array(arena, uint64_t, list.count + 1);
	for (size_t i = 0; i < list.count; i++) {
		const struct call *call = &list.items[i];
		struct elf_callee *last = count ? &(*ret)[count - 1] : NULL;
		addresses[i] = call->return_address;
		if (last && elf_instance_is_same(last->instance, call->instance)) {
			last->return_address_count++;
			continue;
		}
		(*ret)[count++] = (struct elf_callee){.instance = call->instance,
			.return_addresses = call->return_address ? &addresses[i] : NULL,
			.return_address_count = call->return_address ? 1 : 0};
	}
	vec_free(&list);
	return count;
}
