/* SPDX-License-Identifier: MIT */
/*
 * Code addresses that control may reach without a direct branch: landing pads, pointers
 * in data, initialisers.  One too many costs a patch window; one missing could cost the
 * program its life, so everything that may be a code pointer counts.
 */
#include <dwarf.h>
#include <string.h>

#include "elf/internal.h"

static void add_target(struct elf_module *module, uint64_t address)
{
	if (elf_module_is_text(module, address))
		vec_append(&module->targets, address);
}

/* The call-site table of one LSDA (Itanium C++ ABI, exception handling tables). */
static void collect_landing_pads(struct elf_module *module, const struct elf_fde *fde)
{
	uint64_t size;
	const uint8_t *bytes = elf_module_bytes_to_end(module, fde->lsda, &size);
	if (!bytes)
		return;
	struct elf_cursor cursor = {bytes, bytes + size, false};
	uint64_t base = fde->start;
	uint8_t encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
	if (encoding != DW_EH_PE_omit)
		base = elf_cursor_encoded(&cursor, encoding,
			fde->lsda + (uint64_t)(cursor.bytes - bytes), 0);
	encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
	if (encoding != DW_EH_PE_omit)
		elf_cursor_uleb(&cursor); /* offset of the type table */
	encoding = (uint8_t)elf_cursor_fixed(&cursor, 1);
	uint64_t table_size = elf_cursor_uleb(&cursor);
	if (cursor.is_bad || table_size > (uint64_t)(cursor.end - cursor.bytes))
		return;
	cursor.end = cursor.bytes + table_size;
	while (cursor.bytes < cursor.end) {
		elf_cursor_encoded(
			&cursor, encoding & 0x0f, 0, 0); /* region start, size */
		elf_cursor_encoded(&cursor, encoding & 0x0f, 0, 0);
		uint64_t pad = elf_cursor_encoded(&cursor, encoding & 0x0f, 0, 0);
		elf_cursor_uleb(&cursor); /* action */
		if (cursor.is_bad)
			return;
		if (pad)
			add_target(module, base + pad);
	}
}

static uint64_t word_at(const struct elf_module *module, uint64_t address)
{
	uint64_t value = 0;
	const uint8_t *bytes = elf_module_bytes(module, address, sizeof(value));
	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

static void collect_rela(struct elf_module *module, const uint8_t *bytes, uint64_t size,
	const struct elf_section *symbols)
{
	for (; size >= sizeof(Elf64_Rela);
		bytes += sizeof(Elf64_Rela), size -= sizeof(Elf64_Rela)) {
		Elf64_Rela rela;
		memcpy(&rela, bytes, sizeof(rela));
		uint64_t type = ELF64_R_TYPE(rela.r_info),
			 index = ELF64_R_SYM(rela.r_info);
		uint64_t value = 0;
		if (type == R_X86_64_RELATIVE || type == R_X86_64_IRELATIVE) {
			add_target(module, (uint64_t)rela.r_addend);
		} else if (type == R_X86_64_64 && symbols && symbols->bytes &&
			   index < symbols->size / sizeof(Elf64_Sym)) {
			Elf64_Sym symbol;
			memcpy(&symbol, symbols->bytes + index * sizeof(symbol),
				sizeof(symbol));
			if (symbol.st_shndx != SHN_UNDEF)
				value = symbol.st_value;
			add_target(module, value + (uint64_t)rela.r_addend);
		}
	}
}

/* DT_RELR: an even word is an address, an odd one a bitmap of the 63 words after it. */
static void collect_relr(struct elf_module *module, const uint8_t *bytes, uint64_t size)
{
	uint64_t where = 0;
	for (; size >= 8; bytes += 8, size -= 8) {
		uint64_t entry;
		memcpy(&entry, bytes, sizeof(entry));
		if (!(entry & 1)) {
			add_target(module, word_at(module, entry));
			where = entry + 8;
			continue;
		}
		for (unsigned bit = 1; bit < 64; bit++) {
			if (entry >> bit & 1)
				add_target(
					module, word_at(module, where + 8 * (bit - 1)));
		}
		where += 8 * 63;
	}
}

static void collect_relocations(struct elf_module *module)
{
	for (size_t i = 0; i < module->image.section_count; i++) {
		const struct elf_section *section = &module->image.sections[i];
		if (!section->bytes)
			continue;
		if (section->type == SHT_RELA) {
			const struct elf_section *symbols = NULL;
			if (section->link < module->image.section_count)
				symbols = &module->image.sections[section->link];
			collect_rela(module, section->bytes, section->size, symbols);
		} else if (section->type == SHT_RELR) {
			collect_relr(module, section->bytes, section->size);
		}
	}
}

/* The dynamic section serves files without section headers, and names the single entry
 * points. */
static void collect_dynamic(struct elf_module *module)
{
	uint64_t rela = 0, rela_size = 0, relr = 0, relr_size = 0, plt = 0, plt_size = 0;
	for (size_t i = 0; i < module->image.program_header_count; i++) {
		const Elf64_Phdr *header = &module->image.program_headers[i];
		if (header->p_type != PT_DYNAMIC)
			continue;
		const uint8_t *bytes = elf_image_range(
			&module->image, header->p_offset, header->p_filesz);
		for (uint64_t at = 0; bytes && header->p_filesz - at >= sizeof(Elf64_Dyn);
			at += sizeof(Elf64_Dyn)) {
			Elf64_Dyn dynamic;
			memcpy(&dynamic, bytes + at, sizeof(dynamic));
			uint64_t value = dynamic.d_un.d_val;
			switch (dynamic.d_tag) {
			case DT_INIT:
			case DT_FINI:
				add_target(module, value);
				break;
			case DT_RELA:
				rela = value;
				break;
			case DT_RELASZ:
				rela_size = value;
				break;
			case DT_RELR:
				relr = value;
				break;
			case DT_RELRSZ:
				relr_size = value;
				break;
			case DT_JMPREL:
				plt = value;
				break;
			case DT_PLTRELSZ:
				plt_size = value;
				break;
			default:
				break;
			}
		}
	}
	if (module->image.section_count)
		return; /* the sections say the same, with symbols */
	const uint8_t *bytes = elf_module_bytes(module, rela, rela_size);
	if (bytes)
		collect_rela(module, bytes, rela_size, NULL);
	bytes = elf_module_bytes(module, plt, plt_size);
	if (bytes)
		collect_rela(module, bytes, plt_size, NULL);
	bytes = elf_module_bytes(module, relr, relr_size);
	if (bytes)
		collect_relr(module, bytes, relr_size);
}

/*
 * Position-dependent code needs no relocations for its tables of addresses: any aligned
 * word of data that looks like one counts.  In PIE and libraries only words that a
 * relocation touches can be absolute, except in the initialiser arrays of prelinked
 * files.
 */
static void collect_data_words(struct elf_module *module)
{
	uint64_t low = UINT64_MAX, high = 0;
	for (size_t i = 0; i < module->segment_count; i++) {
		const struct elf_segment *segment = &module->segments[i];
		if (!segment->executable)
			continue;
		if (segment->address < low)
			low = segment->address;
		if (segment->address + segment->file_size > high)
			high = segment->address + segment->file_size;
	}
	for (size_t i = 0; i < module->segment_count; i++) {
		const struct elf_segment *segment = &module->segments[i];
		for (uint64_t at = -segment->address & 7; at + 8 <= segment->file_size;
			at += 8) {
			uint64_t value;
			memcpy(&value, segment->bytes + at, sizeof(value));
			if (value >= low && value < high)
				add_target(module, value);
		}
	}
}

static void collect_initialisers(struct elf_module *module)
{
	for (size_t i = 0; i < module->image.section_count; i++) {
		const struct elf_section *section = &module->image.sections[i];
		if (section->type != SHT_INIT_ARRAY && section->type != SHT_FINI_ARRAY &&
			section->type != SHT_PREINIT_ARRAY)
			continue;
		for (uint64_t at = 0; section->bytes && section->size - at >= 8;
			at += 8) {
			uint64_t value;
			memcpy(&value, section->bytes + at, sizeof(value));
			add_target(module, value);
		}
	}
}

const uint64_t *elf_module_indirect_targets(struct elf_module *module, size_t *ret_count)
{
	if (!module->has_targets) {
		module->has_targets = true;
		if (elf_addresses_take(module, "indirect targets", &module->targets))
			goto out;
		size_t count;
		const struct elf_fde *fdes = elf_module_fdes(module, &count);
		for (size_t i = 0; i < count; i++) {
			if (fdes[i].lsda)
				collect_landing_pads(module, &fdes[i]);
		}
		collect_relocations(module);
		collect_dynamic(module);
		collect_initialisers(module);
		if (!elf_module_is_pie(module))
			collect_data_words(module);
		add_target(module, elf_module_entry(module));
		elf_address_list_sort(&module->targets);
		elf_addresses_keep(module, "indirect targets", &module->targets);
	}
out:
	*ret_count = module->targets.count;
	return module->targets.items;
}
