/* SPDX-License-Identifier: MIT */
/* Opens arbitrary bytes as a module and asks for everything that needs no debug information. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/access.h"
#include "elf/dwarf.h"
#include "elf/library.h"

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
		elf_module_close(module);
	}
	close(fd);
	return 0;
}
