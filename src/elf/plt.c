/* SPDX-License-Identifier: MIT */
/*
 * Stubs are recognised by what they do: a jump through a slot of the global offset table, whose
 * relocation names the function.  That serves .plt, .plt.sec, .plt.got and .iplt of all linkers alike.
 */
#include "elf/plt.h"

#include <stdlib.h>
#include <string.h>

#include "elf/internal.h"

enum {
	JUMP_SIZE = 6, /* ff 25 disp32 */
	SLOTS_MAX = 1 << 20
};

struct slot {
	uint64_t address;
	const char *name;
};

struct slot_list {
	struct slot *items;
	size_t count, capacity; /* the shape of VEC(struct slot) */
};

static int slot_compare(const void *a, const void *b)
{
	const struct slot *left = a, *right = b;
	return left->address < right->address ? -1 : left->address > right->address;
}

static const char *symbol_name(
	const struct elf_image *image, const struct elf_section *symbols, uint64_t index)
{
	Elf64_Sym symbol;
	if (!symbols->bytes || index >= symbols->size / sizeof(symbol) ||
		symbols->link >= image->section_count)
		return NULL;
	memcpy(&symbol, symbols->bytes + index * sizeof(symbol), sizeof(symbol));
	const char *name =
		elf_section_string(&image->sections[symbols->link], symbol.st_name);
	return name && name[0] ? name : NULL;
}

/* An indirect function of this very file: its slot is filled by its resolver. */
static const char *resolver_name(struct elf_module *module, uint64_t resolver)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; i < count; i++) {
		if (functions[i].is_ifunc && functions[i].start == resolver)
			return functions[i].name;
	}
	return NULL;
}

static void collect_slots(struct elf_module *module, struct slot_list *slots)
{
	const struct elf_image *image = &module->image;
	for (size_t i = 0; i < image->section_count; i++) {
		const struct elf_section *section = &image->sections[i];
		if (section->type != SHT_RELA || !section->bytes ||
			!(section->flags & SHF_ALLOC))
			continue;
		const struct elf_section *symbols =
			section->link < image->section_count
				? &image->sections[section->link]
				: NULL;
		for (uint64_t at = 0; section->size - at >= sizeof(Elf64_Rela) &&
				      slots->count < SLOTS_MAX;
			at += sizeof(Elf64_Rela)) {
			Elf64_Rela rela;
			memcpy(&rela, section->bytes + at, sizeof(rela));
			uint64_t type = ELF64_R_TYPE(rela.r_info);
			const char *name = NULL;
			if ((type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) &&
				symbols)
				name = symbol_name(
					image, symbols, ELF64_R_SYM(rela.r_info));
			else if (type == R_X86_64_IRELATIVE)
				name = resolver_name(module, (uint64_t)rela.r_addend);
			if (name)
				vec_append(slots, ((struct slot){rela.r_offset, name}));
		}
	}
	if (slots->count)
		qsort(slots->items, slots->count, sizeof(*slots->items), slot_compare);
}

struct plt_list {
	struct elf_plt_entry *items;
	size_t count, capacity; /* the shape of VEC(struct elf_plt_entry) */
};

static void collect_stubs(const struct elf_section *section,
	const struct slot_list *slots, struct plt_list *list)
{
	/* .plt.got has stubs of 8 bytes; those of 16 also begin at multiples of 8 there */
	uint64_t step = strcmp(section->name, ".plt.got") == 0 ? 8 : 16;
	for (uint64_t at = 0;
		section->size >= JUMP_SIZE && at <= section->size - JUMP_SIZE; at++) {
		const uint8_t *bytes = section->bytes + at;
		int32_t displacement;
		if (bytes[0] != 0xff || bytes[1] != 0x25)
			continue;
		memcpy(&displacement, bytes + 2, sizeof(displacement));
		struct slot key = {.address = section->address + at + JUMP_SIZE +
					      (uint64_t)(int64_t)displacement};
		const struct slot *slot =
			slots->count ? bsearch(&key, slots->items, slots->count,
					       sizeof(key), slot_compare)
				     : NULL;
		if (!slot)
			continue;
		uint64_t start = at - at % step;
		uint64_t end =
			start + step < section->size ? start + step : section->size;
		vec_append(
			list, ((struct elf_plt_entry){slot->name,
				      section->address + start, section->address + end}));
		at = end - 1;
	}
}

size_t elf_module_plt(
	struct elf_module *module, struct arena *arena, struct elf_plt_entry **ret)
{
	struct slot_list slots = {0};
	struct plt_list list = {0};
	collect_slots(module, &slots);
	for (size_t i = 0; i < module->image.section_count; i++) {
		const struct elf_section *section = &module->image.sections[i];
		if (section->bytes && (section->flags & SHF_EXECINSTR) &&
			(strncmp(section->name, ".plt", 4) == 0 ||
				strcmp(section->name, ".iplt") == 0))
			collect_stubs(section, &slots, &list);
	}
	*ret = arena_array(arena, struct elf_plt_entry, list.count + 1);
	if (list.count)
		memcpy(*ret, list.items, list.count * sizeof(**ret));
	size_t count = list.count;
	vec_free(&list);
	vec_free(&slots);
	return count;
}
