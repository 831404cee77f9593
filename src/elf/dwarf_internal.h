/* SPDX-License-Identifier: MIT */
/* libdw handles shared by the files of elf/ that read debug information. */
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include "elf/dwarf.h"
#include "elf/internal.h"

/* A body of code that debug information describes: a function, or an inlined copy of one. */
struct elf_instance {
	uint64_t entry, end; /* end of the range that holds the entry */
	Dwarf_Die die;
	const struct elf_instance *parent; /* what it is inlined into; NULL: a function */
};

struct elf_row {
	uint64_t address;
	const char *file;
	int line; /* 0: the end of a sequence */
	bool is_statement;
};

/* From here to the next span the innermost instance is this one; NULL: none. */
struct elf_span {
	uint64_t start;
	const struct elf_instance *instance;
};

struct elf_unit {
	Dwarf_Die die;      /* of the split unit, if there is one */
	Dwarf_Die skeleton; /* which has the line table; else the same */
	int type;           /* DW_UT_* */
	bool is_indexed, has_inlines;
	bool has_local_classes; /* functions may be in functions: lambdas of C++ */
	VEC(struct elf_instance) functions; /* sorted by entry */
	VEC(struct elf_instance *) inlines; /* parents before children */
	VEC(struct elf_span) spans;         /* by start */
	VEC(struct elf_row) rows;           /* of the line table, by address */
	bool has_rows;
};

struct elf_unit_range {
	uint64_t start, end;
	size_t unit;
};

struct elf_dwarf {
	struct arena *arena; /* the module's */
	Dwfl *dwfl;
	Dwfl_Module *dwfl_module;
	Dwarf *dwarf;
	bool has_lost_units; /* split units that were not found */
	uint64_t bias;       /* module address = libdw address + bias */
	VEC(struct elf_unit) units;
	VEC(struct elf_unit_range) ranges;
};

/** NULL when there is no debug information */
struct elf_dwarf *elf_module_dwarf(struct elf_module *module);
const struct elf_instance *elf_dwarf_subprogram(
	struct elf_module *module, uint64_t entry);
/** index the functions of one unit, once */
void elf_unit_index(struct elf_dwarf *dwarf, struct elf_unit *unit);
/** the inlined copies in one unit, and which instance has which addresses */
void elf_unit_index_inlines(struct elf_dwarf *dwarf, struct elf_unit *unit);
/** the line table of one unit */
void elf_unit_index_rows(struct elf_dwarf *dwarf, struct elf_unit *unit);
/** the unit that has code at an address, NULL: none */
struct elf_unit *elf_dwarf_unit_at(struct elf_dwarf *dwarf, uint64_t address);
/** the innermost instance at an address, from the spans of its unit; NULL: none */
const struct elf_instance *elf_unit_instance_at(
	struct elf_dwarf *dwarf, struct elf_unit *unit, uint64_t address);

/** the file a DIE was declared in and its line, looking through abstract origins */
void elf_die_declaration(Dwarf_Die *die, struct elf_declaration *ret);
/** a DIE's DW_AT_location or DW_AT_frame_base, in a form that libdw takes */
bool elf_die_location(Dwarf_Die *die, unsigned name, Dwarf_Attribute *ret);
/** is this parameter described by one stack slot below the frame that the prologue fills?
 */
bool elf_is_prologue_slot(Dwarf_Die *function, Dwarf_Die *variable);

/* ---- text.c: strings of untrusted files ---------------------------------------------------------------- */

/** elf_die_name() - dwarf_diename(); NULL, too, when the name does not end within its section */
const char *elf_die_name(Dwarf_Die *die);
/** elf_attribute_text() - dwarf_formstring(), likewise */
const char *elf_attribute_text(Dwarf_Attribute *attribute);
