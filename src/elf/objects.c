/* SPDX-License-Identifier: MIT */
/* Names of what is not a function: variables, and the stubs of the procedure linkage table. */
#include <stdlib.h>
#include <string.h>

#include "elf/internal.h"
#include "elf/plt.h"

static void add(
	struct elf_module *module, const char *name, uint64_t start, uint64_t size)
{
	vec_append(&module->objects, ((struct elf_object){name, start, start + size}));
}

static void collect_table(struct elf_module *module, const struct elf_image *image,
	const struct elf_section *table)
{
	const struct elf_section *strings = &image->sections[table->link];
	for (uint64_t at = 0; table->size - at >= sizeof(Elf64_Sym);
		at += sizeof(Elf64_Sym)) {
		Elf64_Sym symbol;
		memcpy(&symbol, table->bytes + at, sizeof(symbol));
		const char *name = elf_section_string(strings, symbol.st_name);
		if (ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT &&
			symbol.st_shndx != SHN_UNDEF && name && *name && symbol.st_size &&
			symbol.st_value + symbol.st_size > symbol.st_value)
			add(module, name, symbol.st_value, symbol.st_size);
	}
}

static void collect_stubs(struct elf_module *module)
{
	struct elf_plt_entry *entries;
	size_t count = elf_module_plt(module, &module->arena, &entries);
	for (size_t i = 0; i < count; i++)
		add(module, arena_printf(&module->arena, "%s@plt", entries[i].name),
			entries[i].start, entries[i].end - entries[i].start);
}

/* Of several names the shorter is better known: environ, __environ. */
static int compare(const void *a, const void *b)
{
	const struct elf_object *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	size_t left = strlen(x->name), right = strlen(y->name);
	if (left != right)
		return left < right ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void collect(struct elf_module *module)
{
	const struct elf_image *images[] = {&module->image, &module->debug_image};
	for (size_t which = 0; which < 2; which++)
		for (size_t i = 0; i < images[which]->section_count; i++) {
			const struct elf_section *table = &images[which]->sections[i];
			if ((table->type == SHT_SYMTAB || table->type == SHT_DYNSYM) &&
				table->bytes &&
				table->link < images[which]->section_count)
				collect_table(module, images[which], table);
		}
	collect_stubs(module);
	if (module->objects.count)
		qsort(module->objects.items, module->objects.count,
			sizeof(*module->objects.items), compare);
	size_t kept = 0;
	for (size_t i = 0; i < module->objects.count; i++)
		if (!kept || module->objects.items[kept - 1].start !=
				     module->objects.items[i].start)
			module->objects.items[kept++] = module->objects.items[i];
	module->objects.count = kept;
}

const struct elf_object *elf_module_object_at(struct elf_module *module, uint64_t address)
{
	if (!module->has_objects) {
		module->has_objects = true;
		collect(module);
	}
	size_t low = 0, high = module->objects.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (module->objects.items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= module->objects.items[low - 1].end)
		return NULL;
	return &module->objects.items[low - 1];
}
