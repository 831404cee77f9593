/* SPDX-License-Identifier: MIT */
/* Which variable a name means at a place of the program. */
#pragma once

#include "base/strbuf.h"
#include "elf/location.h"

struct elf_name_list;

struct elf_variable {
	Dwarf_Die die;
	bool is_parameter, is_global;
};

/** parameters and locals of the function, then globals of its unit */
bool elf_variable_find(
	const struct elf_frame *frame, const char *name, struct elf_variable *ret);
/** globals of any unit: "name" or "name@file" */
bool elf_variable_find_global(
	struct elf_module *module, const char *name, struct elf_variable *ret);
/** what elf_variable_find() knows of the function itself */
void elf_variable_names(const struct elf_frame *frame, struct elf_name_list *ret);
/** where the variable is at the frame's pc */
must_check int elf_variable_place(const struct elf_frame *frame,
	struct elf_variable *variable, struct elf_op_list *ops, struct elf_place *ret,
	struct error *err);
