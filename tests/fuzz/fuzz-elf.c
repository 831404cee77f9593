/* SPDX-License-Identifier: MIT */
/* Opens arbitrary bytes as a module and asks for everything: symbols, debug information, marks. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/access.h"
#include "elf/cfi.h"
#include "elf/dwarf.h"
#include "elf/library.h"
#include "elf/line.h"
#include "elf/mark.h"
#include "elf/plt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void visit_functions(struct elf_module *module)
{
	size_t count, cursor = 0;
	uint64_t start, end;
	const char *name;
	struct elf_declaration declaration;
	struct elf_variable_info *variables;
	struct arena arena;
	arena_init(&arena);
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; i < count && i < 64; i++)
		(void)!elf_module_function_at(
			module, functions[i].end - 1, &start, &end, &name);
	for (int i = 0; i < 64 && elf_dwarf_next_function(
					  module, &cursor, &start, &end, &declaration);
		i++) {
		(void)elf_dwarf_probe_address(module, start);
		struct elf_access_request place = {.function = start, .pc = start};
		if (elf_access_variables(
			    module, &place, &arena, &variables, &count, NULL) < 0)
			continue;
		for (size_t v = 0; v < count && v < 16; v++) {
			struct elf_access access;
			struct elf_access_step step = {.is_constant = true, .index = 1};
			struct elf_access_request request = {.base = ELF_BASE_VARIABLE,
				.name = variables[v].name,
				.function = start,
				.pc = start,
				.steps = &step,
				.step_count = v % 2};
			(void)!elf_access_compile(
				module, &request, &arena, &access, NULL);
		}
	}
	arena_deinit(&arena);
}

static void visit_instance(struct elf_module *module, const struct elf_instance *instance,
	struct arena *arena)
{
	struct elf_instance_info info;
	struct elf_label *labels;
	struct elf_callee *callees;
	struct elf_variable_info *variables;
	size_t count;
	elf_instance_describe(instance, &info);
	(void)elf_instance_qualified(instance, arena);
	(void)elf_instance_labels(module, instance, arena, &labels);
	(void)elf_instance_callees(module, instance, arena, &callees);
	struct elf_access_request place = {
		.instance = instance, .pc = info.entry, .has_blocks = true};
	if (elf_access_variables(module, &place, arena, &variables, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count && i < 8; i++) {
		struct elf_access access;
		place.base = ELF_BASE_VARIABLE;
		place.name = variables[i].name;
		(void)!elf_access_compile(module, &place, arena, &access, NULL);
	}
}

static void visit_code(struct elf_module *module)
{
	struct arena arena;
	struct elf_inline_walk walk = {0};
	const struct elf_instance *instance;
	const char *file;
	int line;
	uint64_t start;
	arena_init(&arena);
	for (int i = 0; i < 32 && (instance = elf_inline_next(module, &walk, "*")); i++)
		visit_instance(module, instance, &arena);
	struct elf_line_range range = {1, 20};
	for (enum elf_line_kind kind = ELF_LINES_NUMBERED; kind <= ELF_LINES_ALL;
		kind++) {
		struct elf_line_query query = {
			.function = kind == ELF_LINES_ALL ? "*" : "main",
			.kind = kind,
			.ranges = &range,
			.range_count = 1,
			.offset = 1,
			.is_nearest = true};
		struct elf_line_place *places;
		size_t count;
		if (elf_lines_find(module, &query, &arena, &places, &count, NULL) < 0)
			continue;
		for (size_t i = 0; i < count && i < 32; i++) {
			(void)elf_line_at(module, places[i].address, &file, &line);
			(void)elf_line_end(module, places[i].address, &start);
			instance = elf_instance_at(module, places[i].address);
			if (instance)
				visit_instance(module, instance, &arena);
		}
	}
	arena_deinit(&arena);
}

static void visit_tables(struct elf_module *module)
{
	struct arena arena;
	struct elf_plt_entry *entries;
	size_t count;
	uint64_t *implementations, address;
	arena_init(&arena);
	(void)elf_module_plt(module, &arena, &entries);
	const struct elf_mark *marks = elf_module_marks(module, &count);
	for (size_t i = 0; i < count && i < 32; i++) {
		struct elf_access access;
		unsigned arguments = elf_mark_argument_count(&marks[i]);
		for (unsigned k = 1; k <= arguments; k++)
			(void)!elf_mark_access(
				module, &marks[i], k, &arena, &access, NULL);
	}
	const struct elf_function *functions = elf_module_functions(module, &count);
	for (size_t i = 0; i < count && i < 64; i++) {
		if (functions[i].is_ifunc)
			(void)elf_ifunc_implementations(
				module, &functions[i], &arena, &implementations);
	}
	(void)elf_module_symbol(module, "main", &address);
	(void)elf_module_object_at(module, 0x4000);
	struct elf_cfi cfi;
	if (elf_cfi_read(module, &cfi) == 0) {
		for (size_t i = 0; i < cfi.row_count; i++)
			if (cfi.rows[i].rule >= cfi.rule_count)
				abort();
		elf_cfi_free(&cfi);
	}
	arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	size_t count;
	struct elf_module *module;
	struct error err;
	int fd = memfd_create("fuzz-elf", MFD_CLOEXEC);
	if (fd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd_write_all(fd, data, size) == 0 &&
		elf_module_open(path, &module, &err) == 0) {
		(void)elf_module_function_starts(module, &count);
		(void)elf_module_indirect_targets(module, &count);
		(void)elf_module_bias(module, 0x555555554000, 0x1000);
		visit_functions(module);
		visit_code(module);
		visit_tables(module);
		elf_module_close(module);
	}
	close(fd);
	return 0;
}
