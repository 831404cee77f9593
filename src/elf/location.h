/* SPDX-License-Identifier: MIT */
/* DWARF location expressions, and the calling convention where they cannot help. */
#pragma once

#include "elf/access.h"
#include "elf/dwarf_internal.h"
#include "elf/place.h"

/* The place in the code where a variable is looked at. */
struct elf_frame {
	struct elf_module *module;
	const struct elf_instance *function; /* NULL: none, only static things exist */
	const struct elf_instance *instance; /* the function, or what is inlined there */
	uint64_t pc;
	bool has_blocks; /* variables of blocks around the pc are visible */
};

/** is this the first instruction of a function, and the function the instance? */
static inline bool elf_frame_is_entry(const struct elf_frame *frame)
{
	return frame->function && frame->instance == frame->function &&
	       frame->pc == frame->function->entry;
}

/** the frame of a request */
struct elf_frame elf_frame_of(
	struct elf_module *module, const struct elf_access_request *request);

/**
 * elf_location_compile() - append the operations of a location attribute
 * Return: 0; -ENOTSUP with the reason in @err; -ENOSYS the same, but elf_abi_parameter() knows
 */
must_check int elf_location_compile(const struct elf_frame *frame, Dwarf_Attribute *attr,
	struct elf_op_list *ops, struct elf_place *ret, struct error *err);

/**
 * elf_abi_parameter() - where the System V x86-64 convention passes a parameter, at the
 * entry
 * @parameter: DIE of the parameter, a child of the function
 */
must_check int elf_abi_parameter(const struct elf_frame *frame, Dwarf_Die *parameter,
	struct elf_op_list *ops, struct elf_place *ret, struct error *err);

/** elf_abi_no_value() - says that a function returns nothing; -ENOENT */
int elf_abi_no_value(Dwarf_Die *function, struct error *err);
/** elf_abi_return() - where the convention returns the function's value, right after it
 * returns */
must_check int elf_abi_return(const struct elf_frame *frame, struct elf_op_list *ops,
	struct elf_place *ret, Dwarf_Die *ret_type, struct error *err);

/** elf_go_return() - the same of a function of Go, of several results the first */
must_check int elf_go_return(const struct elf_frame *frame, struct elf_op_list *ops,
	struct elf_place *ret, Dwarf_Die *ret_type, struct error *err);
