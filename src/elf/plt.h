/* SPDX-License-Identifier: MIT */
/* The procedure linkage table: short stubs that jump to functions of other modules. */
#pragma once

#include "elf/module.h"

struct elf_plt_entry {
	const char *name; /* of the function, without its version */
	uint64_t start, end;
};

/** elf_module_plt() - stubs whose function is known, by address; *ret in @arena */
size_t elf_module_plt(
	struct elf_module *module, struct arena *arena, struct elf_plt_entry **ret);
