/* SPDX-License-Identifier: MIT */
/*
 * Extents that need no symbols: the frame description entries of .eh_frame, which
 * stripped programs keep; and the functions that only they know.  .eh_frame is looked for
 * as a section, and without section headers through the pointer in PT_GNU_EH_FRAME.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/sort.h"
#include "elf/internal.h"

struct eh_frame {
	const uint8_t *bytes;
	uint64_t size, address;
};

static bool find_eh_frame(const struct elf_module *module, struct eh_frame *ret)
{
	const struct elf_section *section =
		elf_image_find_section(&module->image, ".eh_frame");
	if (section && section->bytes) {
		*ret = (struct eh_frame){section->bytes, section->size, section->address};
		return true;
	}
	for (size_t i = 0; i < module->image.program_header_count; i++) {
		const Elf64_Phdr *header = &module->image.program_headers[i];
		if (header->p_type != PT_GNU_EH_FRAME)
			continue;
		const uint8_t *bytes = elf_image_range(
			&module->image, header->p_offset, header->p_filesz);
		if (!bytes || header->p_filesz < 8)
			continue;
		struct elf_cursor cursor = {bytes + 4, bytes + header->p_filesz, false};
		uint64_t address = elf_cursor_encoded(
			&cursor, bytes[1], header->p_vaddr + 4, header->p_vaddr);
		ret->address = address;
		ret->bytes = elf_module_bytes_to_end(module, address, &ret->size);
		if (!cursor.is_bad && ret->bytes)
			return true;
	}
	return false;
}

bool elf_module_eh_frame(const struct elf_module *module, const uint8_t **ret,
	uint64_t *ret_size, uint64_t *ret_address)
{
	struct eh_frame frame;
	if (!find_eh_frame(module, &frame))
		return false;
	*ret = frame.bytes;
	*ret_size = frame.size;
	*ret_address = frame.address;
	return true;
}

/* What a CIE says about the fields of its FDEs. */
struct cie_info {
	Dwarf_Off offset;
	bool is_known, has_augmentation;
	uint8_t pointer_encoding, lsda_encoding;
};

static void read_cie(const Dwarf_CIE *cie, Dwarf_Off offset, struct cie_info *ret)
{
	*ret = (struct cie_info){.offset = offset,
		.is_known = true,
		.pointer_encoding = DW_EH_PE_absptr,
		.lsda_encoding = DW_EH_PE_omit};
	const char *augmentation = cie->augmentation;
	if (!augmentation || augmentation[0] != 'z')
		return;
	ret->has_augmentation = true;
	struct elf_cursor cursor = {cie->augmentation_data,
		cie->augmentation_data + cie->augmentation_data_size, false};
	for (const char *p = augmentation + 1; *p && !cursor.is_bad; p++) {
		if (*p == 'R') {
			ret->pointer_encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
		} else if (*p == 'L') {
			ret->lsda_encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
		} else if (*p == 'P') {
			uint8_t encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
			elf_cursor_encoded(&cursor, encoding & 0x0f, 0, 0);
		} else if (*p != 'S' && *p != 'B') {
			return;
		}
	}
}

/*
 * A function begins with the frame of its CIE, which is that of a call. A program that first of all
 * moves the CFA or says where a register is saved describes code that others jump to.
 */
static bool starts_in_frame(uint8_t first_operation)
{
	switch (first_operation) {
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_expression:
	case DW_CFA_def_cfa_sf:
	case DW_CFA_def_cfa_offset_sf:
		return true;
	default:
		return (first_operation & 0xc0) == DW_CFA_offset;
	}
}

static void add_fde(struct elf_module *module, const struct eh_frame *frame,
	const Dwarf_FDE *raw, const struct cie_info *cie)
{
	struct elf_cursor cursor = {raw->start, raw->end, false};
	uint64_t here = frame->address + (uint64_t)(cursor.bytes - frame->bytes);
	struct elf_fde fde = {0};
	fde.start = elf_cursor_encoded(&cursor, cie->pointer_encoding, here, 0);
	uint64_t size = elf_cursor_encoded(&cursor, cie->pointer_encoding & 0x0f, 0, 0);
	if (cursor.is_bad || size == 0 || fde.start + size < fde.start ||
		!elf_module_is_text(module, fde.start))
		return;
	fde.end = fde.start + size;
	if (cie->has_augmentation) {
		uint64_t length = elf_cursor_uleb(&cursor);
		struct elf_cursor program = cursor;
		here = frame->address + (uint64_t)(cursor.bytes - frame->bytes);
		fde.lsda = elf_cursor_encoded(&cursor, cie->lsda_encoding, here, 0);
		if (length < (uint64_t)(program.end - program.bytes))
			fde.is_part = starts_in_frame(program.bytes[length]);
	}
	vec_append(&module->fdes, fde);
}

static void collect_fdes(struct elf_module *module)
{
	struct eh_frame frame;
	if (!find_eh_frame(module, &frame))
		return;
	Elf_Data data = {.d_buf = (void *)(uintptr_t)frame.bytes,
		.d_type = ELF_T_BYTE,
		.d_size = frame.size};
	struct cie_info cie = {0};
	Dwarf_Off offset = 0, next;
	Dwarf_CFI_Entry entry;
	/* A bad entry that still has a length (result 1 or -1 with next set) is stepped
	 * over. */
	while (offset < frame.size) {
		next = (Dwarf_Off)-1;
		int r = dwarf_next_cfi(
			module->image.header.e_ident, &data, true, offset, &next, &entry);
		if (r == 0 && !dwarf_cfi_cie_p(&entry)) {
			Dwarf_Off cie_offset = entry.fde.CIE_pointer, ignored;
			Dwarf_CFI_Entry cie_entry;
			if (!cie.is_known || cie.offset != cie_offset) {
				cie.is_known = false;
				if (cie_offset < frame.size &&
					dwarf_next_cfi(module->image.header.e_ident,
						&data, true, cie_offset, &ignored,
						&cie_entry) == 0 &&
					dwarf_cfi_cie_p(&cie_entry))
					read_cie(&cie_entry.cie, cie_offset, &cie);
			}
			if (cie.is_known)
				add_fde(module, &frame, &entry.fde, &cie);
		}
		if (r > 0 || next == (Dwarf_Off)-1 || next <= offset)
			break;
		offset = next;
	}
	sort_by_word(module->fdes.items, module->fdes.count, sizeof(*module->fdes.items),
		offsetof(struct elf_fde, start));
}

const struct elf_fde *elf_module_fdes(struct elf_module *module, size_t *ret_count)
{
	if (!module->has_fdes) {
		module->has_fdes = true;
		collect_fdes(module);
	}
	*ret_count = module->fdes.count;
	return module->fdes.items;
}

const struct elf_fde *elf_module_fde_at(struct elf_module *module, uint64_t address)
{
	size_t count;
	const struct elf_fde *fdes = elf_module_fdes(module, &count);
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (fdes[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address >= fdes[low - 1].end)
		return NULL;
	return &fdes[low - 1];
}

void elf_address_list_sort(struct elf_address_list *list)
{
	bool is_sorted = true;
	for (size_t i = 1; i < list->count && is_sorted; i++)
		is_sorted = list->items[i - 1] <= list->items[i];
	if (!is_sorted)
		sort_words(list->items, list->count);
	size_t kept = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (!kept || list->items[kept - 1] != list->items[i])
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

const uint64_t *elf_module_function_starts(struct elf_module *module, size_t *ret_count)
{
	if (!module->has_starts) {
		module->has_starts = true;
		if (elf_addresses_take(module, "function starts", &module->starts))
			goto out;
		size_t function_count, fde_count;
		const struct elf_function *functions =
			elf_module_functions(module, &function_count);
		const struct elf_fde *fdes = elf_module_fdes(module, &fde_count);
		size_t f = 0, d = 0;
		while (f < function_count || d < fde_count) { /* both are sorted: merge */
			bool take_function = d == fde_count ||
					     (f < function_count &&
						     functions[f].start <= fdes[d].start);
			vec_append(&module->starts,
				take_function ? functions[f++].start : fdes[d++].start);
		}
		if (elf_module_is_text(module, elf_module_entry(module)))
			vec_append(&module->starts, elf_module_entry(module));
		elf_address_list_sort(&module->starts);
		elf_addresses_keep(module, "function starts", &module->starts);
	}
out:
	*ret_count = module->starts.count;
	return module->starts.items;
}

/* foo.part.0 is a function that is called. */
static bool is_entry(const struct elf_function *function)
{
	return !function->is_nameless &&
	       (!function->is_cold_part || !strstr(function->name, ".cold"));
}

static void collect_parts(struct elf_module *module)
{
	size_t function_count, fde_count;
	const struct elf_function *functions =
		elf_module_functions(module, &function_count);
	const struct elf_fde *fdes = elf_module_fdes(module, &fde_count);
	for (size_t i = 0; i < function_count; i++)
		if (!is_entry(&functions[i]))
			vec_append(&module->parts, functions[i].start);
	for (size_t i = 0; i < fde_count; i++)
		vec_append(&module->parts, fdes[i].start);
	elf_address_list_sort(&module->parts);
}

/* By any name of the same address. */
static void drop_entries(struct elf_module *module)
{
	size_t count, kept = 0, p = 0;
	const struct elf_function *functions = elf_module_functions(module, &count);
	uint64_t *items = module->parts.items;
	for (size_t f = 0; p < module->parts.count; p++) {
		bool is_called = false;
		while (f < count && functions[f].start < items[p])
			f++;
		for (; f < count && functions[f].start == items[p]; f++)
			is_called |= is_entry(&functions[f]);
		if (!is_called)
			items[kept++] = items[p];
	}
	module->parts.count = kept;
}

const uint64_t *elf_module_part_starts(struct elf_module *module, size_t *ret_count)
{
	if (!module->has_parts) {
		module->has_parts = true;
		if (!elf_addresses_take(module, "part starts", &module->parts)) {
			collect_parts(module);
			drop_entries(module);
			elf_addresses_keep(module, "part starts", &module->parts);
		}
	}
	*ret_count = module->parts.count;
	return module->parts.items;
}

void elf_fde_functions_collect(struct elf_module *module)
{
	size_t fde_count, known_count = module->functions.count, known = 0;
	const struct elf_fde *fdes = elf_module_fdes(module, &fde_count);
	uint64_t known_end = 0;
	for (size_t i = 0; i < fde_count; i++) {
		const struct elf_fde *fde = &fdes[i];
		while (known < known_count &&
			module->functions.items[known].start <= fde->start) {
			const struct elf_function *function =
				&module->functions.items[known++];
			uint64_t end = function->end > function->start
					       ? function->end
					       : function->start + 1;
			if (end > known_end)
				known_end = end;
		}
		if (fde->start < known_end)
			continue;
		struct elf_function function = {
			.name = arena_printf(&module->arena, "sub_%" PRIx64 "%s",
				fde->start, fde->is_part ? ".cold" : ""),
			.start = fde->start,
			.end = fde->end,
			.is_nameless = true,
			.is_cold_part = fde->is_part,
		};
		vec_append(&module->functions, function);
	}
}
