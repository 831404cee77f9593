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

/* ---- the stack check -------------------------------------------------------------------------------------- */

/* Every way the compiler writes "is there room": what comes before the conditional jump. */
static const struct {
	uint8_t size, bytes[20], mask[20]; /* mask 0: any byte */
} stack_checks[] = {
	/* Go 1.17 and later: g is in r14.  cmp 0x10(%r14),%rsp */
	{4, {0x49, 0x3b, 0x66, 0x10}, {255, 255, 255, 255}},
	/* frames of more than 128 bytes: lea -N(%rsp),%r12; cmp 0x10(%r14),%r12 */
	{9, {0x4c, 0x8d, 0x64, 0x24, 0, 0x4d, 0x3b, 0x66, 0x10},
		{255, 255, 255, 255, 0, 255, 255, 255, 255}},
	{12, {0x4c, 0x8d, 0xa4, 0x24, 0, 0, 0, 0, 0x4d, 0x3b, 0x66, 0x10},
		{255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255}},
	/* huge frames: mov %rsp,%r12; sub $N,%r12; jb; cmp 0x10(%r14),%r12 */
	{16,
		{0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, 0, 0, 0, 0, 0x72, 0, 0x4d, 0x3b,
			0x66, 0x10},
		{255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 255, 255, 255}},
	{20,
		{0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, 0, 0, 0, 0, 0x0f, 0x82, 0, 0, 0, 0,
			0x4d, 0x3b, 0x66, 0x10},
		{255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 255,
			255, 255}},
	/* before 1.17: mov %fs:-8,%rcx, then the same with %rcx and %rax */
	{13,
		{0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x3b, 0x61,
			0x10},
		{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
};

static uint64_t match_stack_check(const uint8_t *bytes, uint64_t size)
{
	for (size_t i = 0; i < sizeof(stack_checks) / sizeof(stack_checks[0]); i++) {
		uint8_t length = stack_checks[i].size, k = 0;
		if (length > size)
			continue;
		while (k < length && ((bytes[k] ^ stack_checks[i].bytes[k]) &
					     stack_checks[i].mask[k]) == 0)
			k++;
		if (k == length)
			return length;
	}
	return 0;
}

bool elf_module_is_go(const struct elf_module *module)
{
	return elf_image_find_section(&module->image, ".gopclntab") ||
	       elf_image_find_section(&module->image, ".data.rel.ro.gopclntab") ||
	       elf_image_find_section(&module->image, ".note.go.buildid");
}

uint64_t elf_go_probe_address(const struct elf_module *module, uint64_t entry)
{
	uint64_t size;
	const uint8_t *bytes = elf_module_bytes_to_end(module, entry, &size);
	uint64_t check = bytes ? match_stack_check(bytes, size) : 0;
	if (check == 0 || size - check < 6)
		return entry;
	bytes += check;
	if (bytes[0] == 0x76) /* jbe rel8 */
		return entry + check + 2;
	if (bytes[0] == 0x0f && bytes[1] == 0x86) /* jbe rel32 */
		return entry + check + 6;
	return entry;
}
