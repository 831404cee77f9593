/* SPDX-License-Identifier: MIT */
/* C and C++ types as debug information describes them: names, sizes, members, value
 * classes. */
#pragma once

#include "elf/access.h"
#include "elf/dwarf_internal.h"

/** elf_die_type() - DW_AT_type of a DIE; false: none, which means void */
bool elf_die_type(Dwarf_Die *die, Dwarf_Die *ret);
/** elf_type_peel() - without typedefs and qualifiers, declarations replaced by their
 * definitions Return: the tag, DW_TAG_invalid for void or corrupt types */
int elf_type_peel(struct elf_module *module, Dwarf_Die *type, Dwarf_Die *ret);
/** size in bytes; 0: unknown */
uint64_t elf_type_size(struct elf_module *module, Dwarf_Die *type);
/** the way SystemTap writes it, "char const*"; @type NULL: "void" */
const char *elf_type_name(Dwarf_Die *type, struct arena *arena);
/** @type is peeled; NULL: void */
enum elf_value_class elf_type_class(struct elf_module *module, Dwarf_Die *type);
/** is the value negative when its top bit is set? @type is peeled */
bool elf_type_is_signed(struct elf_module *module, Dwarf_Die *type);
/** counts of the dimensions of an array type; unknown ones are 0; returns how many there
 * are */
size_t elf_type_dimensions(Dwarf_Die *type, uint64_t *counts, size_t max);

/* what the number is called that tells which variant of a Rust enum it is: nothing in the program is */
#define ELF_DISCRIMINANT "__discriminant"

struct elf_member {
	Dwarf_Die type;
	uint64_t offset; /* bytes */
	unsigned bit_offset,
		bit_size;      /* bit-fields: from the low end at `offset`; else size 0 */
	unsigned storage_size; /* bit-fields: bytes to load there */
};

/** elf_type_find_member() - in a peeled struct, through anonymous members and base
 * classes Return: 0, -ENOENT, or -ENOTSUP for what has no fixed place (virtual bases) */
int elf_type_find_member(struct elf_module *module, Dwarf_Die *type, const char *name,
	struct elf_member *ret);
struct elf_name_list {
	const char **items;     /* borrowed from the debug information */
	size_t count, capacity; /* the shape of VEC(const char *) */
};
/** all that elf_type_find_member() would find */
void elf_type_member_names(
	struct elf_module *module, Dwarf_Die *type, struct elf_name_list *ret);
/** elf_type_member_kind() - what a member is in an enum of Rust; @ret: the discriminant that a variant has */
enum elf_member_kind elf_type_member_kind(
	struct elf_module *module, Dwarf_Die *type, const char *name, int64_t *ret);
/** elf_type_find() - a type by name ("foo", "struct foo", "foo*"), in @unit's unit first
 */
bool elf_type_find(struct elf_module *module, Dwarf_Die *unit, const char *name,
	Dwarf_Die *ret, unsigned *ret_pointers);
