/* SPDX-License-Identifier: MIT */
/* libdw handles shared by the files of elf/ that read debug information. */
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include "elf/dwarf.h"
#include "elf/internal.h"

struct elf_subprogram {
	uint64_t entry, end;
	Dwarf_Die die;
};

struct elf_unit {
	Dwarf_Die die; /* of the split unit, if there is one */
	int type;      /* DW_UT_* */
	bool is_indexed;
	VEC(struct elf_subprogram) functions; /* sorted by entry */
};

struct elf_unit_range {
	uint64_t start, end;
	size_t unit;
};

struct elf_dwarf {
	Dwfl *dwfl;
	Dwfl_Module *dwfl_module;
	Dwarf *dwarf;
	uint64_t bias; /* module address = libdw address + bias */
	VEC(struct elf_unit) units;
	VEC(struct elf_unit_range) ranges;
};

/** NULL when there is no debug information */
struct elf_dwarf *elf_module_dwarf(struct elf_module *module);
const struct elf_subprogram *elf_dwarf_subprogram(
	struct elf_module *module, uint64_t entry);
/** index the functions of one unit, once */
void elf_unit_index(struct elf_dwarf *dwarf, struct elf_unit *unit);
/** the file a DIE was declared in and its line, looking through abstract origins */
void elf_die_declaration(Dwarf_Die *die, struct elf_declaration *ret);
/** is this parameter described by one stack slot below the frame that the prologue fills?
 */
bool elf_is_prologue_slot(Dwarf_Die *variable);
