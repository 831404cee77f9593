/* SPDX-License-Identifier: MIT */
/*
 * The list of functions.  Sources, all merged: .symtab of the file, or of its local
 * separate debug file, or the compressed .gnu_debugdata; .dynsym; for Go without symbols
 * its .gopclntab; where .symtab is missing, the unwind tables.  The network is never asked for a mere symbol table.
 */
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sort.h"
#include "elf/internal.h"

enum {
	LEA_SIZE = 7,
	MOV_SIZE = 5,
	VERSIONS_MAX = 1024 /* more than any library defines */
};

/* One entry of a symbol table on its way into the list. */
struct symbol {
	const char *name;
	uint64_t address, size;
	unsigned char type, binding, visibility;
	bool is_dynamic;
	const char *version; /* .dynsym, NULL: none */
	bool is_old;         /* not the default version */
};

static bool is_plt_address(const struct elf_module *module, uint64_t address)
{
	for (size_t i = 0; i < module->image.section_count; i++) {
		const struct elf_section *section = &module->image.sections[i];
		if (address - section->address < section->size &&
			(strncmp(section->name, ".plt", 4) == 0 ||
				strcmp(section->name, ".iplt") == 0))
			return true;
	}
	return false;
}

/* foo.cold, foo.cold.12, foo.part.0, foo.part.0.cold */
static bool is_cold_name(const char *name)
{
	for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		if (strncmp(dot, ".part.", 6) == 0)
			return true;
		if (strncmp(dot, ".cold", 5) == 0 && (dot[5] == '\0' || dot[5] == '.'))
			return true;
	}
	return false;
}

static void function_add(struct elf_module *module, const struct symbol *symbol)
{
	if ((symbol->type != STT_FUNC && symbol->type != STT_GNU_IFUNC) ||
		!symbol->name[0] || !elf_module_is_text(module, symbol->address))
		return;
	const char *name = symbol->name;
	const char *at = strchr(name, '@');
	if (at == name)
		return;
	/* name@@VERSION is what `name` means today; name@VERSION serves old programs only */
	if (at && at[1] == '@')
		name = arena_strndup(&module->arena, name, (size_t)(at - name));
	else if (!at && symbol->is_old)
		name = arena_printf(&module->arena, "%s@%s", name, symbol->version);
	uint64_t end = symbol->address + symbol->size;
	struct elf_function function = {
		.name = name,
		.version = symbol->version,
		.start = symbol->address,
		.end = end < symbol->address ? symbol->address : end,
		/* linkers make local what a library hides; of a program all that is not static */
		.is_exported = symbol->binding != STB_LOCAL &&
			       (symbol->visibility == STV_DEFAULT ||
				       symbol->visibility == STV_PROTECTED),
		.is_ifunc = symbol->type == STT_GNU_IFUNC,
		.is_cold_part = is_cold_name(name),
	};
	vec_append(&module->functions, function);
}

static const struct elf_section *section_of_type(
	const struct elf_image *image, uint32_t type)
{
	for (size_t i = 0; i < image->section_count; i++) {
		if (image->sections[i].type == type && image->sections[i].bytes)
			return &image->sections[i];
	}
	return NULL;
}

/* The name of a version the file defines (gABI extension by Sun, .gnu.version_d). */
static const char *version_name(const struct elf_image *image, uint16_t index)
{
	const struct elf_section *section = section_of_type(image, SHT_GNU_verdef);
	if (!section || section->link >= image->section_count)
		return "?";
	uint64_t at = 0;
	for (int i = 0; i < VERSIONS_MAX && at <= section->size &&
			section->size - at >= sizeof(Elf64_Verdef);
		i++) {
		Elf64_Verdef definition;
		Elf64_Verdaux name;
		memcpy(&definition, section->bytes + at, sizeof(definition));
		uint64_t aux = at + definition.vd_aux;
		if (definition.vd_ndx == index && aux <= section->size &&
			section->size - aux >= sizeof(name)) {
			memcpy(&name, section->bytes + aux, sizeof(name));
			const char *text = elf_section_string(
				&image->sections[section->link], name.vda_name);
			return text ? text : "?";
		}
		if (definition.vd_next == 0)
			break;
		at += definition.vd_next;
	}
	return "?";
}

static void read_version(
	const struct elf_image *image, uint64_t symbol_index, struct symbol *ret)
{
	const struct elf_section *versions = section_of_type(image, SHT_GNU_versym);
	uint16_t version;
	if (!versions || symbol_index >= versions->size / sizeof(version))
		return;
	memcpy(&version, versions->bytes + symbol_index * sizeof(version),
		sizeof(version));
	ret->is_old = version & 0x8000;
	/* 0 and 1 are "local" and "global" */
	if (ret->is_old || (version & 0x7fff) > 1)
		ret->version = version_name(image, version & 0x7fff);
}

static bool collect_table(
	struct elf_module *module, const struct elf_image *image, uint32_t section_type)
{
	bool found = false;
	for (size_t i = 0; i < image->section_count; i++) {
		const struct elf_section *table = &image->sections[i];
		if (table->type != section_type || !table->bytes ||
			table->link >= image->section_count)
			continue;
		const struct elf_section *strings = &image->sections[table->link];
		for (uint64_t offset = 0; table->size - offset >= sizeof(Elf64_Sym);
			offset += sizeof(Elf64_Sym)) {
			Elf64_Sym raw;
			memcpy(&raw, table->bytes + offset, sizeof(raw));
			if (raw.st_shndx == SHN_UNDEF || raw.st_shndx == SHN_ABS)
				continue;
			unsigned char type = ELF64_ST_TYPE(raw.st_info);
			if (type != STT_FUNC && type != STT_GNU_IFUNC)
				continue;
			const char *name = elf_section_string(strings, raw.st_name);
			if (!name)
				continue;
			struct symbol symbol = {
				.name = name,
				.address = raw.st_value,
				.size = raw.st_size,
				.type = type,
				.binding = ELF64_ST_BIND(raw.st_info),
				.visibility = ELF64_ST_VISIBILITY(raw.st_other),
				.is_dynamic = section_type == SHT_DYNSYM,
			};
			if (symbol.is_dynamic)
				read_version(image, offset / sizeof(raw), &symbol);
			function_add(module, &symbol);
			found = true;
		}
	}
	return found;
}

static bool open_local_debug_file(struct elf_module *module)
{
	CLEANUP(cleanup_free) char *path = NULL;
	int fd = elf_debug_file_find(module, &path);
	if (fd < 0)
		return false;
	close(fd);
	return elf_image_open(&module->debug_image, path, path, NULL) == 0;
}

static int no_debuginfo(Dwfl_Module *mod, void **userdata, const char *name,
	Dwarf_Addr base, const char *file, const char *link, GElf_Word crc, char **ret)
{
	return -1;
}

/* .gnu_debugdata is an xz-compressed ELF file with the rest of .symtab; libdwfl unpacks
 * it. */
static void collect_minidebuginfo(struct elf_module *module)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = no_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	int fd = fcntl(module->image.fd, F_DUPFD_CLOEXEC, 0);
	if (!dwfl || fd < 0)
		goto out;
	dwfl_report_begin(dwfl);
	Dwfl_Module *mod = dwfl_report_elf(dwfl, "module", module->path, fd, 0, true);
	dwfl_report_end(dwfl, NULL, NULL);
	if (!mod)
		goto out;
	fd = -1; /* libdwfl's now */
	int count = dwfl_module_getsymtab(mod);
	for (int i = 1; i < count; i++) {
		GElf_Sym raw;
		GElf_Addr address;
		const char *name =
			dwfl_module_getsym_info(mod, i, &raw, &address, NULL, NULL, NULL);
		if (!name || raw.st_shndx == SHN_UNDEF || raw.st_shndx == SHN_ABS)
			continue;
		struct symbol symbol = {
			.name = arena_strdup(&module->arena, name),
			.address = address,
			.size = raw.st_size,
			.type = GELF_ST_TYPE(raw.st_info),
			.binding = GELF_ST_BIND(raw.st_info),
		};
		function_add(module, &symbol);
	}
out:
	if (fd >= 0)
		close(fd);
	if (dwfl)
		dwfl_end(dwfl);
}

static int function_compare(const void *a, const void *b)
{
	const struct elf_function *left = a, *right = b;
	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return strcmp(left->name, right->name);
}

/* By address, then by name: several names at one address are few. */
static void sort_functions(struct elf_module *module)
{
	struct elf_function *items = module->functions.items;
	size_t count = module->functions.count;
	sort_by_word(items, count, sizeof(*items), offsetof(struct elf_function, start));
	for (size_t i = 0, next; i < count; i = next) {
		for (next = i + 1; next < count && items[next].start == items[i].start;)
			next++;
		if (next - i > 1)
			qsort(&items[i], next - i, sizeof(*items), function_compare);
	}
}

/* Same name at the same address from two tables is one function. */
static void merge_duplicates(struct elf_module *module)
{
	size_t kept = 0;
	for (size_t i = 0; i < module->functions.count; i++) {
		struct elf_function *function = &module->functions.items[i];
		struct elf_function *last =
			kept ? &module->functions.items[kept - 1] : NULL;
		if (last && last->start == function->start &&
			strcmp(last->name, function->name) == 0) {
			last->is_exported = last->is_exported || function->is_exported;
			if (!last->version)
				last->version = function->version;
			if (function->end > last->end)
				last->end = function->end;
			continue;
		}
		module->functions.items[kept++] = *function;
	}
	module->functions.count = kept;
}

static uint64_t section_end(const struct elf_module *module, uint64_t address)
{
	for (size_t i = 0; i < module->image.section_count; i++) {
		const struct elf_section *section = &module->image.sections[i];
		if ((section->flags & SHF_ALLOC) &&
			address - section->address < section->size)
			return section->address + section->size;
	}
	for (size_t i = 0; i < module->segment_count; i++) {
		const struct elf_segment *segment = &module->segments[i];
		if (address - segment->address < segment->file_size)
			return segment->address + segment->file_size;
	}
	return address;
}

/* Hand-written assembly often has st_size 0: the FDE knows, else the next symbol bounds
 * it. */
static void bound_functions(struct elf_module *module)
{
	struct elf_function *items = module->functions.items;
	size_t count = module->functions.count;
	uint64_t next = UINT64_MAX;
	for (size_t i = count; i-- > 0;) {
		struct elf_function *function = &items[i];
		uint64_t limit = section_end(module, function->start);
		if (i + 1 < count && items[i + 1].start > function->start)
			next = items[i + 1].start;
		if (function->end == function->start) {
			const struct elf_fde *fde =
				elf_module_fde_at(module, function->start);
			function->end = next;
			if (fde && fde->start == function->start)
				function->end = fde->end;
		}
		if (function->end > limit)
			function->end = limit;
	}
}

static void drop_unusable(struct elf_module *module)
{
	size_t kept = 0;
	for (size_t i = 0; i < module->functions.count; i++) {
		const struct elf_function *function = &module->functions.items[i];
		if (function->end > function->start &&
			!is_plt_address(module, function->start))
			module->functions.items[kept++] = *function;
	}
	module->functions.count = kept;
}

static void remember_ends(struct elf_module *module)
{
	size_t count = module->functions.count;
	module->function_max_end = calloc(count + 1, sizeof(uint64_t));
	if (!module->function_max_end)
		abort();
	uint64_t max = 0;
	for (size_t i = 0; i < count; i++) {
		if (module->functions.items[i].end > max)
			max = module->functions.items[i].end;
		module->function_max_end[i] = max;
	}
}

static void collect_functions(struct elf_module *module)
{
	bool has_symtab = collect_table(module, &module->image, SHT_SYMTAB);
	if (!has_symtab && open_local_debug_file(module))
		has_symtab = collect_table(module, &module->debug_image, SHT_SYMTAB);
	if (!has_symtab && elf_image_find_section(&module->image, ".gnu_debugdata"))
		collect_minidebuginfo(module);
	collect_table(module, &module->image, SHT_DYNSYM);
	if (!has_symtab)
		elf_go_functions_collect(module);
	sort_functions(module);
	if (!has_symtab) {
		elf_fde_functions_collect(module);
		sort_functions(module);
	}
	merge_duplicates(module);
	bound_functions(module);
	drop_unusable(module);
}

const struct elf_function *elf_module_functions(
	struct elf_module *module, size_t *ret_count)
{
	if (!module->has_functions) {
		module->has_functions = true;
		if (elf_functions_take(module)) {
			/* elf_module_symbol() looks into it */
			if (!section_of_type(&module->image, SHT_SYMTAB))
				open_local_debug_file(module);
		} else {
			collect_functions(module);
			elf_functions_keep(module);
		}
		remember_ends(module);
	}
	*ret_count = module->functions.count;
	return module->functions.items;
}

/* Of several symbols at one address, the one people know: exported, fewest underscores,
 * shortest. */
static bool is_better_name(const struct elf_function *a, const struct elf_function *b)
{
	bool a_old = strchr(a->name, '@'), b_old = strchr(b->name, '@');
	if (a_old != b_old)
		return b_old;
	if (a->is_exported != b->is_exported)
		return a->is_exported;
	size_t a_score = strspn(a->name, "_"), b_score = strspn(b->name, "_");
	if (a_score != b_score)
		return a_score < b_score;
	return strlen(a->name) < strlen(b->name);
}

static const struct elf_function *symbol_covering(
	struct elf_module *module, uint64_t address)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(module, &count);
	size_t low = 0, high = count;
	while (low < high) { /* first function that starts after the address */
		size_t middle = low + (high - low) / 2;
		if (functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	const struct elf_function *best = NULL;
	while (low-- > 0 && module->function_max_end[low] > address) {
		const struct elf_function *function = &functions[low];
		if (best && function->start != best->start)
			break;
		if (function->end <= address)
			continue;
		if (!best || is_better_name(function, best))
			best = function;
	}
	return best;
}

bool elf_module_symbol(const struct elf_module *module, const char *name, uint64_t *ret)
{
	const struct elf_image *images[] = {&module->image, &module->debug_image};
	for (size_t which = 0; which < 2; which++) {
		const struct elf_image *image = images[which];
		for (size_t i = 0; i < image->section_count; i++) {
			const struct elf_section *table = &image->sections[i];
			if ((table->type != SHT_SYMTAB && table->type != SHT_DYNSYM) ||
				!table->bytes || table->link >= image->section_count)
				continue;
			const struct elf_section *strings = &image->sections[table->link];
			for (uint64_t at = 0; table->size - at >= sizeof(Elf64_Sym);
				at += sizeof(Elf64_Sym)) {
				Elf64_Sym symbol;
				memcpy(&symbol, table->bytes + at, sizeof(symbol));
				if (ELF64_ST_TYPE(symbol.st_info) > STT_FUNC ||
					symbol.st_shndx == SHN_UNDEF)
					continue;
				const char *found =
					elf_section_string(strings, symbol.st_name);
				if (found && strcmp(found, name) == 0) {
					*ret = symbol.st_value;
					return true;
				}
			}
		}
	}
	return false;
}

static bool is_function_start(struct elf_module *module, uint64_t address)
{
	size_t count;
	const uint64_t *starts = elf_module_function_starts(module, &count);
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (starts[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && starts[low] == address;
}

/* An address that an instruction at these bytes may load: lea disp32(%rip),%reg, or mov $imm32,%reg32. */
static bool loaded_address(const struct elf_module *module, const uint8_t *bytes,
	uint64_t size, uint64_t address, uint64_t *ret)
{
	int32_t displacement;
	uint32_t immediate;
	if (size >= LEA_SIZE && (bytes[0] & 0xfb) == 0x48 && bytes[1] == 0x8d &&
		(bytes[2] & 0xc7) == 0x05) {
		memcpy(&displacement, bytes + 3, sizeof(displacement));
		*ret = address + LEA_SIZE + (uint64_t)(int64_t)displacement;
		return true;
	}
	if (size < MOV_SIZE || (bytes[0] & 0xf8) != 0xb8 || elf_module_is_pie(module))
		return false;
	memcpy(&immediate, bytes + 1, sizeof(immediate));
	*ret = immediate;
	return true;
}

/*
 * Any bytes of the resolver that look like such an instruction and lead to the start of a function
 * count: a probe too many on a function that it names does no harm.
 */
size_t elf_ifunc_implementations(struct elf_module *module,
	const struct elf_function *ifunc, struct arena *arena, uint64_t **ret)
{
	uint64_t size = ifunc->end - ifunc->start, target;
	const uint8_t *bytes = elf_module_bytes(module, ifunc->start, size);
	struct elf_address_list found = {0};
	for (uint64_t i = 0; bytes && i < size; i++) {
		if (loaded_address(
			    module, bytes + i, size - i, ifunc->start + i, &target) &&
			target - ifunc->start >= size &&
			is_function_start(module, target))
			vec_append(&found, target);
	}
	elf_address_list_sort(&found);
	*ret = arena_array(arena, uint64_t, found.count + 1);
	if (found.count)
		memcpy(*ret, found.items, found.count * sizeof(**ret));
	size_t count = found.count;
	vec_free(&found);
	return count;
}

bool elf_module_function_at(struct elf_module *module, uint64_t address,
	uint64_t *ret_start, uint64_t *ret_end, const char **ret_name)
{
	const struct elf_function *function = symbol_covering(module, address);
	if (function) {
		*ret_start = function->start;
		*ret_end = function->end;
		*ret_name = function->name;
		return true;
	}
	const struct elf_fde *fde = elf_module_fde_at(module, address);
	if (!fde || !elf_module_is_text(module, fde->start))
		return false;
	*ret_start = fde->start;
	*ret_end = fde->end;
	*ret_name = NULL;
	return true;
}
