/* SPDX-License-Identifier: MIT */
/*
 * Go's own function table.  A stripped Go program has neither symbols nor FDEs, but the
 * runtime needs .gopclntab for stack traces, so it is always there.  Layouts of Go 1.16
 * and 1.18 to 1.2x (see debug/gosym in Go's sources for the fields): header: magic u32, 0
 * 0, min instruction size u8, pointer size u8, then words: 1.16: nfunc nfile funcname cu
 * file pc func(table) 1.18: nfunc nfile text_start funcname cu file pc func(table)
 *   function table: pairs (entry, offset of its record), nfunc of them and a last entry;
 *     1.16: words, entry absolute; 1.18: u32, entry relative to text_start
 *   record: entry (word in 1.16, u32 in 1.18), then i32 offset of the name
 */
#include <string.h>

#include "elf/internal.h"

#define GO_MAGIC_1_16 0xfffffffau
#define GO_MAGIC_1_18 0xfffffff0u
#define GO_MAGIC_1_20 0xfffffff1u

enum {
	GO_FUNCTIONS_MAX = 1 << 22
};

struct go_table {
	const uint8_t *bytes;
	uint64_t size;
	bool is_relative; /* 1.18 and later */
	uint64_t count, text_start, names, functions;
};

static uint64_t table_read(const struct go_table *table, uint64_t offset, unsigned size)
{
	if (offset > table->size || size > table->size - offset)
		return 0;
	uint64_t value = 0;
	memcpy(&value, table->bytes + offset, size);
	return value;
}

static bool table_open(struct elf_module *module, struct go_table *table)
{
	const struct elf_section *section =
		elf_image_find_section(&module->image, ".gopclntab");
	if (!section)
		section =
			elf_image_find_section(&module->image, ".data.rel.ro.gopclntab");
	if (!section || !section->bytes)
		return false;
	*table = (struct go_table){.bytes = section->bytes, .size = section->size};
	uint64_t magic = table_read(table, 0, 4);
	if (magic != GO_MAGIC_1_16 && magic != GO_MAGIC_1_18 && magic != GO_MAGIC_1_20)
		return false;
	if (table_read(table, 7, 1) != 8)
		return false;
	table->is_relative = magic != GO_MAGIC_1_16;
	unsigned shift = table->is_relative ? 8 : 0;
	table->count = table_read(table, 8, 8);
	if (table->is_relative)
		table->text_start = table_read(table, 24, 8);
	table->names = table_read(table, 24 + shift, 8);
	table->functions = table_read(table, 56 + shift, 8);
	/* Go 1.26 leaves the field 0: the start of .text then */
	if (table->is_relative && table->text_start == 0) {
		const struct elf_section *text =
			elf_image_find_section(&module->image, ".text");
		table->text_start = text ? text->address : 0;
	}
	return table->count <= GO_FUNCTIONS_MAX && table->functions < table->size &&
	       table->names < table->size;
}

static uint64_t table_entry(const struct go_table *table, uint64_t index)
{
	if (!table->is_relative)
		return table_read(table, table->functions + index * 16, 8);
	return table->text_start + table_read(table, table->functions + index * 8, 4);
}

static const char *table_name(const struct go_table *table, uint64_t index)
{
	uint64_t record, field;
	if (table->is_relative) {
		record = table_read(table, table->functions + index * 8 + 4, 4);
		field = 4;
	} else {
		record = table_read(table, table->functions + index * 16 + 8, 8);
		field = 8;
	}
	if (record > table->size)
		return NULL;
	uint64_t name =
		table_read(table, table->functions + record + field, 4) + table->names;
	if (name >= table->size)
		return NULL;
	const char *text = (const char *)table->bytes + name;
	return memchr(text, '\0', table->size - name) ? text : NULL;
}

void elf_go_functions_collect(struct elf_module *module)
{
	struct go_table table;
	if (!table_open(module, &table))
		return;
	for (uint64_t i = 0; i < table.count; i++) {
		uint64_t start = table_entry(&table, i), end = table_entry(&table, i + 1);
		const char *name = table_name(&table, i);
		if (!name || !name[0] || end <= start ||
			!elf_module_is_text(module, start))
			continue;
		struct elf_function function = {.name = name, .start = start, .end = end};
		vec_append(&module->functions, function);
	}
}

bool elf_module_is_go(struct elf_module *module)
{
	struct go_table table;
	return table_open(module, &table);
}
