/* SPDX-License-Identifier: MIT */
#include "elf/dwarf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf/dwarf_internal.h"

enum {
	NAMESPACE_DEPTH_MAX = 32,
	RANGE_TRIES = 8
};

void elf_dwarf_destroy(struct elf_dwarf *dwarf)
{
	if (!dwarf)
		return;
	for (size_t i = 0; i < dwarf->units.count; i++) {
		struct elf_unit *unit = &dwarf->units.items[i];
		vec_free(&unit->functions);
		vec_free(&unit->inlines);
		vec_free(&unit->spans);
		vec_free(&unit->rows);
	}
	vec_free(&dwarf->units);
	vec_free(&dwarf->ranges);
	if (dwarf->dwfl)
		dwfl_end(dwarf->dwfl);
	free(dwarf);
}

static int find_debuginfo(Dwfl_Module *dwfl_module, void **userdata, const char *name,
	Dwarf_Addr base, const char *file, const char *link, GElf_Word crc, char **ret)
{
	struct elf_module *module = *userdata;
	int fd = elf_debug_file_find(module, ret);
	if (fd >= 0)
		return fd;
	elf_debug_file_announce(module);
	return dwfl_standard_find_debuginfo(
		dwfl_module, userdata, name, base, file, link, crc, ret);
}

static bool dwarf_open(struct elf_module *module, struct elf_dwarf *dwarf)
{
	static char *no_path;
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &no_path,
	};
	void **userdata;
	dwarf->dwfl = dwfl_begin(&callbacks);
	if (!dwarf->dwfl)
		return false;
	int fd = elf_debug_inflate(fcntl(module->image.fd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return false;
	dwfl_report_begin(dwarf->dwfl);
	dwarf->dwfl_module =
		dwfl_report_elf(dwarf->dwfl, "module", module->path, fd, 0, true);
	dwfl_report_end(dwarf->dwfl, NULL, NULL);
	if (!dwarf->dwfl_module) {
		close(fd);
		return false;
	}
	dwfl_module_info(
		dwarf->dwfl_module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = module;
	Dwarf_Addr bias = 0;
	dwarf->dwarf = dwfl_module_getdwarf(dwarf->dwfl_module, &bias);
	dwarf->bias = bias;
	return dwarf->dwarf != NULL;
}

static int range_compare(const void *a, const void *b)
{
	const struct elf_unit_range *left = a, *right = b;
	return left->start < right->start ? -1 : left->start > right->start;
}

static void add_range(struct elf_dwarf *dwarf, uint64_t start, uint64_t end, size_t unit)
{
	if (start >= end)
		return;
	vec_append(&dwarf->ranges,
		((struct elf_unit_range){start + dwarf->bias, end + dwarf->bias, unit}));
}

static bool add_die_ranges(struct elf_dwarf *dwarf, Dwarf_Die *die, size_t unit)
{
	ptrdiff_t offset = 0;
	Dwarf_Addr base, start, end;
	bool found = false;
	while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0) {
		add_range(dwarf, start, end, unit);
		found = true;
	}
	return found;
}

/* Assemblers and old compilers leave the unit without ranges: take those of its
 * functions. */
static void add_function_ranges(struct elf_dwarf *dwarf, size_t index)
{
	struct elf_unit *unit = &dwarf->units.items[index];
	elf_unit_index(dwarf, unit);
	for (size_t i = 0; i < unit->functions.count; i++) {
		const struct elf_instance *function = &unit->functions.items[i];
		add_range(dwarf, function->entry - dwarf->bias,
			function->end - dwarf->bias, index);
	}
}

static void collect_units(struct elf_dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	uint8_t type;
	Dwarf_Die die, split;
	while (dwarf_get_units(dwarf->dwarf, cu, &cu, NULL, &type, &die, &split) == 0) {
		struct elf_unit *unit = vec_push(&dwarf->units);
		bool is_split =
			type == DW_UT_skeleton && dwarf_tag(&split) != DW_TAG_invalid;
		unit->die = is_split ? split : die;
		unit->skeleton = die;
		dwarf->has_lost_units =
			dwarf->has_lost_units || (type == DW_UT_skeleton && !is_split);
		unit->type = type;
		size_t index = dwarf->units.count - 1;
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		if (!add_die_ranges(dwarf, &die, index))
			add_function_ranges(dwarf, index);
	}
	if (dwarf->ranges.count)
		qsort(dwarf->ranges.items, dwarf->ranges.count,
			sizeof(*dwarf->ranges.items), range_compare);
}

struct elf_dwarf *elf_module_dwarf(struct elf_module *module)
{
	if (!module->has_tried_dwarf) {
		module->has_tried_dwarf = true;
		struct elf_dwarf *dwarf = calloc(1, sizeof(*dwarf));
		if (!dwarf)
			abort();
		dwarf->arena = &module->arena;
		if (dwarf_open(module, dwarf))
			collect_units(dwarf);
		if (dwarf->units.count == 0) {
			elf_dwarf_destroy(dwarf);
			dwarf = NULL;
		}
		module->dwarf = dwarf;
	}
	return module->dwarf;
}

bool elf_module_has_dwarf(struct elf_module *module)
{
	return elf_module_dwarf(module) != NULL;
}

/* Where dwp(1) is told to put the .dwo files of a program. */
static bool find_package(const struct elf_dwarf *dwarf, char *ret, size_t size)
{
	const char *files[2] = {NULL};
	dwfl_module_info(
		dwarf->dwfl_module, NULL, NULL, NULL, NULL, NULL, &files[0], &files[1]);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (files[i] && snprintf(ret, size, "%s.dwp", files[i]) < (int)size &&
			access(ret, R_OK) == 0)
			return true;
	return false;
}

static int missing_units(struct elf_module *module, const char *what, struct error *err)
{
	char package[PATH_MAX];
	if (find_package(module->dwarf, package, sizeof(package)))
		return error_set(err, -ENOENT,
			"%s requires debuginfo: that in %s is read by libdw 0.191 or later, and this is %s "
			"(which reads .dwo files where the compiler put them)",
			what, package, dwfl_version(NULL));
	return error_set(err, -ENOENT,
		"%s requires debuginfo: that of %s is in split files (.dwo) which are not "
		"where it says",
		what, module->path);
}

int elf_missing_debuginfo(struct elf_module *module, const char *what, struct error *err)
{
	const char *base = strrchr(module->path, '/');
	if (module->dwarf && module->dwarf->has_lost_units)
		return missing_units(module, what, err);
	if (module->dwarf)
		return error_set(err, -ENOENT,
			"%s requires debuginfo: this part of %s has none (it is assembly, or was "
			"compiled without -g)",
			what, module->path);
	return error_set(err, -ENOENT,
		"%s requires debuginfo: %s has none%s%s (install the NAME-dbgsym package of %s, or "
		"set DEBUGINFOD_URLS, or compile with -g)",
		what, module->path, module->build_id[0] ? ", build ID " : "",
		module->build_id, base ? base + 1 : module->path);
}

/* ---- functions of a unit
 * -------------------------------------------------------------------------- */

static int subprogram_compare(const void *a, const void *b)
{
	const struct elf_instance *left = a, *right = b;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* A function split into hot and cold parts has ranges; the first one holds the entry. */
static bool subprogram_extent(Dwarf_Die *die, uint64_t *ret_entry, uint64_t *ret_end)
{
	Dwarf_Addr base, start, end, entry;
	if (dwarf_ranges(die, 0, &base, &start, &end) <= 0)
		return false;
	Dwarf_Attribute attr;
	if (dwarf_attr(die, DW_AT_entry_pc, &attr) &&
		dwarf_formaddr(&attr, &entry) == 0 && entry >= start && entry < end)
		start = entry;
	*ret_entry = start;
	*ret_end = end;
	return start < end;
}

static void collect_functions(
	struct elf_dwarf *dwarf, struct elf_unit *unit, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;
	if (depth > NAMESPACE_DEPTH_MAX || dwarf_child(parent, &die) != 0)
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram: {
			uint64_t entry, end;
			if (subprogram_extent(&die, &entry, &end) && entry)
				vec_append(&unit->functions,
					((struct elf_instance){
						.entry = entry + dwarf->bias,
						.end = end + dwarf->bias,
						.die = die}));
			if (unit->has_local_classes)
				collect_functions(dwarf, unit, &die, depth + 1);
			break;
		}
		case DW_TAG_lexical_block:
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
			collect_functions(dwarf, unit, &die, depth + 1);
			break;
		default:
			break;
		}
	} while (dwarf_siblingof(&die, &die) == 0);
}

void elf_unit_index(struct elf_dwarf *dwarf, struct elf_unit *unit)
{
	if (unit->is_indexed)
		return;
	unit->is_indexed = true;
	int language = dwarf_srclang(&unit->die);
	unit->has_local_classes =
		language == DW_LANG_C_plus_plus || language == DW_LANG_C_plus_plus_03 ||
		language == DW_LANG_C_plus_plus_11 || language == DW_LANG_C_plus_plus_14;
	collect_functions(dwarf, unit, &unit->die, 0);
	if (unit->functions.count)
		qsort(unit->functions.items, unit->functions.count,
			sizeof(*unit->functions.items), subprogram_compare);
}

static const struct elf_instance *unit_function(
	struct elf_dwarf *dwarf, size_t index, uint64_t entry)
{
	struct elf_unit *unit = &dwarf->units.items[index];
	elf_unit_index(dwarf, unit);
	struct elf_instance key = {.entry = entry};
	if (!unit->functions.count)
		return NULL;
	return bsearch(&key, unit->functions.items, unit->functions.count, sizeof(key),
		subprogram_compare);
}

/* The last range that starts at or before an address; ranges of sound units do not overlap. */
static size_t range_before(const struct elf_dwarf *dwarf, uint64_t address)
{
	size_t low = 0, high = dwarf->ranges.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (dwarf->ranges.items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct elf_instance *elf_dwarf_subprogram(struct elf_module *module, uint64_t entry)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	if (!dwarf)
		return NULL;
	size_t low = range_before(dwarf, entry);
	/* a few steps back forgive ranges that do overlap */
	for (int tries = 0; low > 0 && tries < RANGE_TRIES; low--, tries++) {
		const struct elf_unit_range *range = &dwarf->ranges.items[low - 1];
		if (entry >= range->end)
			continue;
		const struct elf_instance *found =
			unit_function(dwarf, range->unit, entry);
		if (found)
			return found;
	}
	return NULL;
}

struct elf_unit *elf_dwarf_unit_at(struct elf_dwarf *dwarf, uint64_t address)
{
	size_t low = range_before(dwarf, address);
	for (int tries = 0; low > 0 && tries < RANGE_TRIES; low--, tries++) {
		const struct elf_unit_range *range = &dwarf->ranges.items[low - 1];
		if (address < range->end)
			return &dwarf->units.items[range->unit];
	}
	return NULL;
}

/*
 * Not dwarf_decl_file(): libdw 0.188 takes file 0, which DWARF 5 has, for "none", and aborts on split
 * units.  Before DWARF 5 files count from 1.
 */
static const char *declared_file(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Word index;
	Dwarf_Half version = 0;
	Dwarf_Die unit;
	Dwarf_Files *files;
	size_t count;
	if (!dwarf_attr_integrate(die, DW_AT_decl_file, &attr) ||
		dwarf_formudata(&attr, &index) != 0 ||
		!dwarf_cu_die(attr.cu, &unit, &version, NULL, NULL, NULL, NULL, NULL) ||
		(index == 0 && version < 5) ||
		dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count)
		return NULL;
	return dwarf_filesrc(files, index, NULL, NULL);
}

void elf_die_declaration(Dwarf_Die *die, struct elf_declaration *ret)
{
	Dwarf_Attribute attr;
	*ret = (struct elf_declaration){.name = elf_die_name(die)};
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
		dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		ret->linkage_name = elf_attribute_text(&attr);
	ret->file = declared_file(die);
	if (dwarf_decl_line(die, &ret->line) != 0)
		ret->line = 0;
}

bool elf_dwarf_function(
	struct elf_module *module, uint64_t entry, struct elf_declaration *ret)
{
	const struct elf_instance *function = elf_dwarf_subprogram(module, entry);
	if (!function)
		return false;
	Dwarf_Die die = function->die;
	elf_die_declaration(&die, ret);
	return ret->name != NULL;
}

bool elf_dwarf_next_function(struct elf_module *module, size_t *cursor,
	uint64_t *ret_entry, uint64_t *ret_end, struct elf_declaration *ret)
{
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	if (!dwarf)
		return false;
	/* The cursor holds the unit in its upper half and the function in its lower half.
	 */
	size_t unit_index = *cursor >> 32, index = *cursor & UINT32_MAX;
	for (; unit_index < dwarf->units.count; unit_index++, index = 0) {
		struct elf_unit *unit = &dwarf->units.items[unit_index];
		if (unit->type != DW_UT_compile && unit->type != DW_UT_skeleton)
			continue;
		elf_unit_index(dwarf, unit);
		for (; index < unit->functions.count; index++) {
			const struct elf_instance *function =
				&unit->functions.items[index];
			Dwarf_Die die = function->die;
			elf_die_declaration(&die, ret);
			if (!ret->name)
				continue;
			*ret_entry = function->entry;
			*ret_end = function->end;
			*cursor = unit_index << 32 | (index + 1);
			return true;
		}
	}
	return false;
}

/* ---- the end of the prologue
 * -------------------------------------------------------------------------- */

/*
 * Go writes DWARF 4 with expressions in blocks, where that version has exprloc and libdw insists on it.
 * Short ones are alike: the size in one byte, then the expression.
 */
bool elf_die_location(Dwarf_Die *die, unsigned name, Dwarf_Attribute *ret)
{
	if (!dwarf_attr_integrate(die, name, ret))
		return false;
	if (ret->form == DW_FORM_block1 && ret->valp && *ret->valp < 0x80)
		ret->form = DW_FORM_exprloc;
	return true;
}

/* Without frame pointers rustc and clang count from the stack pointer as the prologue leaves it. */
static bool is_by_stack_pointer(Dwarf_Die *function)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t count;
	return elf_die_location(function, DW_AT_frame_base, &attr) &&
	       dwarf_getlocation(&attr, &ops, &count) == 0 && count == 1 &&
	       ops[0].atom == DW_OP_reg7;
}

bool elf_is_prologue_slot(Dwarf_Die *function, Dwarf_Die *variable)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t count;
	if (!elf_die_location(variable, DW_AT_location, &attr))
		return false;
	unsigned form = dwarf_whatform(&attr);
	if (form != DW_FORM_exprloc && form != DW_FORM_block1 && form != DW_FORM_block)
		return false;
	return dwarf_getlocation(&attr, &ops, &count) == 0 && count >= 1 &&
	       ops[0].atom == DW_OP_fbreg &&
	       ((int64_t)ops[0].number < 0 || is_by_stack_pointer(function));
}

/* Without optimisation every parameter is described by one place; with it, by lists. */
static bool has_prologue_parameters(const struct elf_instance *function)
{
	Dwarf_Die parent = function->die, die;
	if (dwarf_child(&parent, &die) != 0)
		return false;
	bool found = false, all = true;
	do {
		Dwarf_Attribute attr;
		if (dwarf_tag(&die) != DW_TAG_formal_parameter)
			continue;
		if (elf_is_prologue_slot(&parent, &die)) {
			found = true;
			continue;
		}
		all = false;
		if (!elf_die_location(&die, DW_AT_location, &attr))
			continue;
		unsigned form = dwarf_whatform(&attr);
		if (form == DW_FORM_sec_offset || form == DW_FORM_loclistx ||
			form == DW_FORM_data4 || form == DW_FORM_data8)
			return false;
	} while (dwarf_siblingof(&die, &die) == 0);
	/* optimised code may keep one that has its address taken there, and leave others out */
	return found && (all || !is_by_stack_pointer(&parent));
}

/*
 * gcc records its options in DW_AT_producer.  With -O an addressed parameter can look
 * like one of unoptimised code, while "the second line" of optimised code may be
 * anywhere.
 */
static bool is_compiled_with_optimisation(const struct elf_instance *function)
{
	Dwarf_Die die = function->die, unit;
	Dwarf_Attribute attr;
	if (!dwarf_diecu(&die, &unit, NULL, NULL) ||
		!dwarf_attr(&unit, DW_AT_producer, &attr))
		return false;
	const char *producer = elf_attribute_text(&attr);
	bool is_optimised = false;
	while (producer && (producer = strstr(producer, " -O"))) {
		producer += 3;
		is_optimised =
			*producer != '0'; /* the last one counts; plain -O is -O1 */
	}
	return is_optimised;
}

uint64_t elf_dwarf_probe_address(struct elf_module *module, uint64_t entry)
{
	if (elf_module_is_go(module))
		return elf_go_probe_address(module, entry);
	const struct elf_instance *function = elf_dwarf_subprogram(module, entry);
	if (!function || is_compiled_with_optimisation(function) ||
		!has_prologue_parameters(function))
		return entry;
	Dwarf_Die die = function->die;
	Dwarf_Addr *addresses = NULL;
	int count = dwarf_entry_breakpoints(&die, &addresses);
	uint64_t result = entry;
	for (int i = 0; i < count; i++) {
		uint64_t address = addresses[i] + module->dwarf->bias;
		if (address > entry && address < function->end &&
			(result == entry || address < result))
			result = address;
	}
	free(addresses);
	return result;
}
