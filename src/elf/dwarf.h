/* SPDX-License-Identifier: MIT */
/*
 * Debug information of a module: which function has code where, declared where.  Found in
 * the file, in a separate debug file (build ID, .gnu_debuglink) or through debuginfod
 * when DEBUGINFOD_URLS is set.  Units are indexed one by one when first needed. Addresses
 * are the module's link-time ones.
 */
#pragma once

#include "elf/module.h"

struct elf_declaration {
	const char *name;         /* "foo"; owned by the module */
	const char *linkage_name; /* mangled, NULL when there is none */
	const char *file; /* as DW_AT_decl_file says it, joined with the directories;
			     NULL: unknown */
	int line;         /* 0: unknown */
};

/** elf_dwarf_function() - the function whose first instruction is at @entry; false: not
 * described */
bool elf_dwarf_function(
	struct elf_module *module, uint64_t entry, struct elf_declaration *ret);

/** elf_dwarf_next_function() - walk all functions; *cursor starts at 0; false at the end
 */
bool elf_dwarf_next_function(struct elf_module *module, size_t *cursor,
	uint64_t *ret_entry, uint64_t *ret_end, struct elf_declaration *ret);

/**
 * elf_dwarf_probe_address() - where a probe at the entry of a function finds its
 * parameters
 *
 * Code compiled without optimisation stores its parameters to the stack in the prologue,
 * and the debug information describes only these slots; then this is the end of the
 * prologue.  In Go it is the end of the stack check, because growing the stack runs the entry
 * again.  Else @entry.
 */
uint64_t elf_dwarf_probe_address(struct elf_module *module, uint64_t entry);

/** elf_missing_debuginfo() - the error for "needs debug information": says where it could
 * come from */
int elf_missing_debuginfo(struct elf_module *module, const char *what, struct error *err);
