/* SPDX-License-Identifier: MIT */
#include "elf/variable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/type.h"

enum {
	SCOPE_DEPTH_MAX = 16
};

static bool is_variable_tag(int tag)
{
	return tag == DW_TAG_formal_parameter || tag == DW_TAG_variable;
}

static bool find_in_function(
	Dwarf_Die *function, const char *name, struct elf_variable *ret)
{
	Dwarf_Die die;
	if (dwarf_child(function, &die) != 0)
		return false;
	do {
		const char *die_name;
		int tag = dwarf_tag(&die);
		if (is_variable_tag(tag) && (die_name = elf_die_name(&die)) &&
			strcmp(die_name, name) == 0) {
			*ret = (struct elf_variable){.die = die,
				.is_parameter = tag == DW_TAG_formal_parameter};
			return true;
		}
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* Optimised-out locals may be left only in the abstract instance. */
static bool abstract_function(Dwarf_Die *function, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr(function, DW_AT_abstract_origin, &attr) &&
	       dwarf_formref_die(&attr, ret);
}

/* Does a qualified name, or the tail of one, end in the scopes around this variable? */
static bool is_scoped(Dwarf_Die *die, const char *name)
{
	Dwarf_Die declaration = *die, *scopes = NULL;
	Dwarf_Attribute attr;
	const char *end = name + strlen(name);
	bool matches = true;

	/* a static member is defined outside of its class */
	if (dwarf_attr(die, DW_AT_specification, &attr))
		dwarf_formref_die(&attr, &declaration);
	int count = dwarf_getscopes_die(&declaration, &scopes);
	for (int i = 0; i < count && matches && end > name; i++) {
		const char *scope = elf_die_name(&scopes[i]);
		size_t size = scope ? strlen(scope) : 0;

		if (i && (dwarf_tag(&scopes[i]) == DW_TAG_compile_unit || !scope))
			break;
		matches = size && (size_t)(end - name) >= size &&
			  !memcmp(end - size, scope, size);
		end -= matches ? size : 0;
		if (end > name)
			matches = matches && end - name > 2 && end[-1] == ':' &&
				  end[-2] == ':';
		end -= matches && end > name ? 2 : 0;
	}
	free(scopes);
	return matches && end == name;
}

static bool is_named(Dwarf_Die *die, const char *name)
{
	const char *have = elf_die_name(die), *colon = strrchr(name, ':');

	if (!have)
		return false;
	if (!colon)
		return strcmp(have, name) == 0;
	return strcmp(have, colon + 1) == 0 && is_scoped(die, name);
}

static bool find_in_namespaces(
	Dwarf_Die *scope, const char *name, int depth, struct elf_variable *ret);

/* What stands in the scope itself goes before what namespaces in it have. */
static bool find_in_scope(
	Dwarf_Die *scope, const char *name, int depth, struct elf_variable *ret)
{
	Dwarf_Die die;
	bool found = false;
	if (depth > SCOPE_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return false;
	do {
		if (dwarf_tag(&die) != DW_TAG_variable || !is_named(&die, name))
			continue;
		ret->die = die;
		ret->is_global = true;
		ret->is_parameter = false;
		found = true;
		/* a declaration's definition may follow; what is declared elsewhere is defined here, but
		 * a name without scopes means this scope's own first */
		if (dwarf_hasattr(&die, DW_AT_location) &&
			(strchr(name, ':') || !dwarf_hasattr(&die, DW_AT_specification)))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return (found && dwarf_hasattr(&ret->die, DW_AT_location)) ||
	       find_in_namespaces(scope, name, depth, ret) || found;
}

static bool find_in_namespaces(
	Dwarf_Die *scope, const char *name, int depth, struct elf_variable *ret)
{
	Dwarf_Die die;
	if (dwarf_child(scope, &die) != 0)
		return false;
	do {
		if (dwarf_tag(&die) == DW_TAG_namespace &&
			find_in_scope(&die, name, depth + 1, ret))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static bool is_block(int tag)
{
	return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
	       tag == DW_TAG_catch_block;
}

/* The block of a scope that the pc is in. */
static bool block_at(const struct elf_frame *frame, Dwarf_Die *scope, Dwarf_Die *ret)
{
	Dwarf_Die die;
	if (!frame->has_blocks || dwarf_child(scope, &die) != 0)
		return false;
	do {
		if (!is_block(dwarf_tag(&die)) ||
			dwarf_haspc(&die, frame->pc - frame->module->dwarf->bias) != 1)
			continue;
		*ret = die;
		return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* The instance and the blocks in it down to the pc, outermost first. */
static size_t frame_scopes(
	const struct elf_frame *frame, Dwarf_Die scopes[SCOPE_DEPTH_MAX])
{
	size_t count = 1;
	scopes[0] = frame->instance->die;
	while (count < SCOPE_DEPTH_MAX &&
		block_at(frame, &scopes[count - 1], &scopes[count]))
		count++;
	return count;
}

/* Code inlined from elsewhere sees the globals of the unit it was written in. */
static bool unit_of(const struct elf_frame *frame, Dwarf_Die *ret)
{
	Dwarf_Die die = frame->instance->die, origin;
	if (frame->instance->parent && abstract_function(&die, &origin))
		die = origin;
	return dwarf_diecu(&die, ret, NULL, NULL) != NULL;
}

bool elf_variable_find(
	const struct elf_frame *frame, const char *name, struct elf_variable *ret)
{
	Dwarf_Die scopes[SCOPE_DEPTH_MAX], origin, unit;
	for (size_t i = frame_scopes(frame, scopes); i-- > 0;) {
		if (find_in_function(&scopes[i], name, ret))
			return true;
	}
	return (abstract_function(&scopes[0], &origin) &&
		       find_in_function(&origin, name, ret)) ||
	       (unit_of(frame, &unit) && find_in_scope(&unit, name, 0, ret));
}

/* FILE matches on whole trailing path components. */
static bool is_path_tail(const char *path, const char *tail)
{
	size_t length = strlen(path), tail_length = strlen(tail);
	if (tail_length > length || strcmp(path + length - tail_length, tail) != 0)
		return false;
	return tail_length == length || path[length - tail_length - 1] == '/' ||
	       tail[0] == '/';
}

bool elf_variable_find_global(
	struct elf_module *module, const char *name, struct elf_variable *ret)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	char plain[256];
	const char *at = strchr(name, '@');
	size_t length = at ? (size_t)(at - name) : strlen(name);
	if (!dwarf || length >= sizeof(plain))
		return false;
	memcpy(plain, name, length);
	plain[length] = '\0';
	bool found = false;
	for (size_t i = 0; i < dwarf->units.count; i++) {
		Dwarf_Die die = dwarf->units.items[i].die;
		const char *unit_name = elf_die_name(&die);
		if (at && (!unit_name || !is_path_tail(unit_name, at + 1)))
			continue;
		struct elf_variable variable;
		if (!find_in_scope(&die, plain, 0, &variable))
			continue;
		*ret = variable;
		found = true;
		if (dwarf_hasattr(&variable.die, DW_AT_location))
			return true;
	}
	return found;
}

void elf_variable_names(const struct elf_frame *frame, struct elf_name_list *ret)
{
	Dwarf_Die scopes[SCOPE_DEPTH_MAX], die;
	for (size_t i = frame_scopes(frame, scopes); i-- > 0;) {
		if (dwarf_child(&scopes[i], &die) != 0)
			continue;
		do {
			const char *name = elf_die_name(&die);
			if (name && is_variable_tag(dwarf_tag(&die)))
				vec_append(ret, name);
		} while (dwarf_siblingof(&die, &die) == 0);
	}
}

static int constant_place(Dwarf_Attribute *attr, Dwarf_Die *variable,
	struct elf_module *module, struct elf_op_list *ops, struct elf_place *ret,
	struct error *err)
{
	Dwarf_Sword value;
	Dwarf_Word unsigned_value;
	Dwarf_Block block;
	Dwarf_Die type;
	bool is_signed =
		elf_die_type(variable, &type) && elf_type_is_signed(module, &type);
	ret->is_value = true;
	if (is_signed && dwarf_formsdata(attr, &value) == 0) {
		elf_emit(ops, ELF_OP_CONST, value);
		return 0;
	}
	if (dwarf_formudata(attr, &unsigned_value) == 0) {
		elf_emit(ops, ELF_OP_CONST, (int64_t)unsigned_value);
		return 0;
	}
	ret->is_value = false;
	if (dwarf_formblock(attr, &block) == 0 &&
		elf_place_bytes(ret, ops, block.data, block.length))
		return 0;
	return error_set(err, -ENOTSUP, "it is a constant without a place");
}

int elf_variable_place(const struct elf_frame *frame, struct elf_variable *variable,
	struct elf_op_list *ops, struct elf_place *ret, struct error *err)
{
	Dwarf_Attribute attr;
	uint64_t address;
	bool at_entry = elf_frame_is_entry(frame);
	Dwarf_Die function;
	*ret = (struct elf_place){0};
	if (at_entry)
		function = frame->function->die;
	if (variable->is_parameter && at_entry &&
		elf_is_prologue_slot(&function, &variable->die))
		return elf_abi_parameter(frame, &variable->die, ops, ret, err);
	if (elf_die_location(&variable->die, DW_AT_location, &attr)) {
		size_t before = ops->count;
		int r = elf_location_compile(frame, &attr, ops, ret, err);
		if (r != -ENOSYS || !variable->is_parameter || !at_entry)
			return r;
		ops->count = before;
		return elf_abi_parameter(frame, &variable->die, ops, ret, err);
	}
	if (dwarf_attr_integrate(&variable->die, DW_AT_const_value, &attr)) {
		return constant_place(
			&attr, &variable->die, frame->module, ops, ret, err);
	}
	struct elf_declaration declaration;
	elf_die_declaration(&variable->die, &declaration);
	const char *symbol =
		declaration.linkage_name ? declaration.linkage_name : declaration.name;
	/* a global that this unit only declares: the symbol table may know the address */
	if (variable->is_global && symbol &&
		elf_module_symbol(frame->module, symbol, &address)) {
		elf_emit(ops, ELF_OP_STATIC, (int64_t)address);
		return 0;
	}
	return error_set(err, -ENOTSUP,
		"not accessible at this address (pc: %#llx) [man error::dwarf]: optimised out",
		(unsigned long long)frame->pc);
}

struct variable_list {
	struct elf_variable_info *items;
	size_t count, capacity; /* the shape of VEC(struct elf_variable_info) */
};

static bool is_available(const struct elf_frame *frame, struct elf_variable *variable)
{
	struct elf_op_list ops = {0};
	struct elf_place place;
	int r = elf_variable_place(frame, variable, &ops, &place, NULL);
	vec_free(&ops);
	return r == 0;
}

static bool is_listed(const struct variable_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return true;
	}
	return false;
}

static void list_scope(const struct elf_frame *frame, Dwarf_Die *scope,
	struct arena *arena, struct variable_list *list)
{
	Dwarf_Die die, type;
	if (dwarf_child(scope, &die) != 0)
		return;
	do {
		const char *name = elf_die_name(&die);
		if (!name || !is_variable_tag(dwarf_tag(&die)) || is_listed(list, name))
			continue; /* an inner one hides it */
		struct elf_variable variable = {.die = die,
			.is_parameter = dwarf_tag(&die) == DW_TAG_formal_parameter};
		Dwarf_Die *known = elf_die_type(&die, &type) ? &type : NULL;
		vec_append(list, ((struct elf_variable_info){
					 .name = arena_strdup(arena, name),
					 .type_name = elf_type_name(known, arena),
					 .is_parameter = variable.is_parameter,
					 .is_available = is_available(frame, &variable),
				 }));
	} while (dwarf_siblingof(&die, &die) == 0);
}

int elf_access_variables(struct elf_module *module,
	const struct elf_access_request *place, struct arena *arena,
	struct elf_variable_info **ret, size_t *ret_count, struct error *err)
{
	struct variable_list list = {0};
	Dwarf_Die scopes[SCOPE_DEPTH_MAX];
	if (!elf_module_dwarf(module))
		return elf_missing_debuginfo(module, "listing variables", err);
	/* "*" matches functions of assembly too: those have no variables to list. */
	struct elf_frame frame = elf_frame_of(module, place);
	for (size_t i = frame.instance ? frame_scopes(&frame, scopes) : 0; i-- > 0;)
		list_scope(&frame, &scopes[i], arena, &list);
	*ret = arena_array(arena, struct elf_variable_info, list.count + 1);
	if (list.count)
		memcpy(*ret, list.items, list.count * sizeof(*list.items));
	*ret_count = list.count;
	vec_free(&list);
	return 0;
}
