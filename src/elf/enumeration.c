/* SPDX-License-Identifier: MIT */
#include "elf/enumeration.h"

#include <errno.h>
#include <string.h>

#include "elf/dwarf_internal.h"
#include "elf/type.h"

enum {
	SCOPE_DEPTH_MAX = 16
};

struct enumerator_list {
	struct elf_enumerator *items;
	size_t count, capacity; /* the shape of VEC(struct elf_enumerator) */
};

struct search {
	struct elf_module *module;
	const char *name; /* NULL: all of one type */
	struct enumerator_list found;
};

/* The form says little of the sign: gcc takes the shortest that fits. */
static bool enumerator_value(
	struct elf_module *module, Dwarf_Die *type, Dwarf_Die *enumerator, int64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Sword value;
	Dwarf_Word unsigned_value;
	if (!dwarf_attr(enumerator, DW_AT_const_value, &attr))
		return false;
	if ((attr.form == DW_FORM_sdata || elf_type_is_signed(module, type)) &&
		dwarf_formsdata(&attr, &value) == 0) {
		*ret = value;
		return true;
	}
	if (dwarf_formudata(&attr, &unsigned_value) != 0)
		return false;
	*ret = (int64_t)unsigned_value;
	return true;
}

static void search_type(struct search *search, Dwarf_Die *type)
{
	Dwarf_Die die;
	struct elf_enumerator enumerator;
	if (dwarf_child(type, &die) != 0)
		return;
	do {
		enumerator.name = elf_die_name(&die);
		if (dwarf_tag(&die) != DW_TAG_enumerator || !enumerator.name ||
			(search->name && strcmp(search->name, enumerator.name) != 0) ||
			!enumerator_value(search->module, type, &die, &enumerator.value))
			continue;
		vec_append(&search->found, enumerator);
	} while (dwarf_siblingof(&die, &die) == 0);
}

static void search_scope(struct search *search, Dwarf_Die *scope, int depth)
{
	Dwarf_Die die;
	if (depth > SCOPE_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_enumeration_type:
			search_type(search, &die);
			break;
		case DW_TAG_namespace:
		case DW_TAG_structure_type:
		case DW_TAG_class_type:
		case DW_TAG_union_type:
		case DW_TAG_subprogram:
		case DW_TAG_lexical_block:
			search_scope(search, &die, depth + 1);
			break;
		default:
			break;
		}
	} while (!search->found.count && dwarf_siblingof(&die, &die) == 0);
}

static int find_type(struct search *search, Dwarf_Die *unit,
	const struct elf_enumerator_query *query, struct error *err)
{
	Dwarf_Die type;
	unsigned pointers;
	if (!elf_type_find(search->module, unit, query->type, &type, &pointers) ||
		pointers ||
		elf_type_peel(search->module, &type, &type) != DW_TAG_enumeration_type)
		return error_set(err, -ENOENT, "type definition '%s' not found in '%s'",
			query->type, elf_module_path(search->module));
	search_type(search, &type);
	return 0;
}

static int find_name(struct search *search, Dwarf_Die *unit, struct error *err)
{
	struct elf_dwarf *dwarf = search->module->dwarf;
	if (unit)
		search_scope(search, unit, 0);
	for (size_t i = 0; i < dwarf->units.count && !search->found.count; i++)
		search_scope(search, &dwarf->units.items[i].die, 0);
	return search->found.count
		       ? 0
		       : error_set(err, -ENOENT, "unable to find enumerator '%s' in %s",
				 search->name, elf_module_path(search->module));
}

int elf_enumerators(struct elf_module *module, const struct elf_enumerator_query *query,
	struct arena *arena, struct elf_enumerator **ret, size_t *ret_count,
	struct error *err)
{
	struct search search = {.module = module, .name = query->name};
	Dwarf_Die unit, function;
	Dwarf_Die *first = NULL;
	if (!elf_module_dwarf(module))
		return elf_missing_debuginfo(module, "@enum", err);
	const struct elf_instance *instance =
		query->function ? elf_dwarf_subprogram(module, query->function) : NULL;
	if (instance) {
		function = instance->die;
		first = dwarf_diecu(&function, &unit, NULL, NULL) ? &unit : NULL;
	}
	int r = query->type ? find_type(&search, first, query, err)
			    : find_name(&search, first, err);
	*ret_count = search.found.count;
	*ret = arena_array(arena, struct elf_enumerator, search.found.count + 1);
	for (size_t i = 0; i < search.found.count; i++)
		(*ret)[i] = (struct elf_enumerator){
			arena_strdup(arena, search.found.items[i].name),
			search.found.items[i].value};
	vec_free(&search.found);
	return r;
}
