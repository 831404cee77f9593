/* SPDX-License-Identifier: MIT */
/*
 * Go's internal ABI (cmd/compile/abi-internal.md): results in registers.  A result is taken apart into its
 * basic values, in order; it is in registers when all of them find one, else on the stack.  Debug information
 * has results as parameters, without a place.
 */
#include <errno.h>
#include <string.h>

#include "elf/location.h"
#include "elf/type.h"

enum {
	DEPTH_MAX = 16,
	FLOAT_REGISTERS = 15
};

static const uint8_t integer_registers[] = {
	0, 3, 2, 5, 4, 8, 9, 10, 11}; /* rax rbx rcx rdi rsi r8 r9 r10 r11 */

struct part {
	uint64_t offset, size;
	bool is_float;
};

struct part_list {
	struct part items[ELF_PIECES_MAX];
	size_t count, integers, floats;
};

static bool take_apart(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	struct part_list *list, int depth);

static bool add_part(
	struct part_list *list, uint64_t offset, uint64_t size, bool is_float)
{
	if (list->count == ELF_PIECES_MAX)
		return false;
	list->items[list->count++] = (struct part){offset, size, is_float};
	list->floats += is_float;
	list->integers += !is_float;
	return list->floats <= FLOAT_REGISTERS &&
	       list->integers <= sizeof(integer_registers);
}

static bool take_members(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	struct part_list *list, int depth)
{
	Dwarf_Die die, member;
	if (dwarf_child(type, &die) != 0)
		return true;
	do {
		Dwarf_Attribute attr;
		Dwarf_Word where = 0;
		if (dwarf_tag(&die) != DW_TAG_member)
			continue;
		if (!elf_die_type(&die, &member) ||
			(dwarf_attr(&die, DW_AT_data_member_location, &attr) &&
				dwarf_formudata(&attr, &where) != 0) ||
			!take_apart(module, &member, offset + where, list, depth + 1))
			return false;
	} while (dwarf_siblingof(&die, &die) == 0);
	return true;
}

/* Arrays of one element are as that; longer ones are never in registers. */
static bool take_array(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	struct part_list *list, int depth)
{
	Dwarf_Die element;
	if (!elf_die_type(type, &element))
		return false;
	return elf_type_size(module, &element) == elf_type_size(module, type) &&
	       take_apart(module, &element, offset, list, depth + 1);
}

static bool take_apart(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	struct part_list *list, int depth)
{
	Dwarf_Die die;
	int tag = elf_type_peel(module, type, &die);
	uint64_t size = tag == DW_TAG_invalid ? 0 : elf_type_size(module, &die);
	if (depth > DEPTH_MAX || tag == DW_TAG_invalid)
		return false;
	if (size == 0)
		return true;
	switch (tag) {
	case DW_TAG_structure_type:
		return take_members(module, &die, offset, list, depth);
	case DW_TAG_array_type:
		return take_array(module, &die, offset, list, depth);
	default:
		break;
	}
	Dwarf_Attribute attr;
	Dwarf_Word encoding = 0;
	if (dwarf_attr(&die, DW_AT_encoding, &attr))
		(void)dwarf_formudata(&attr, &encoding);
	if (encoding == DW_ATE_complex_float)
		return add_part(list, offset, size / 2, true) &&
		       add_part(list, offset + size / 2, size / 2, true);
	return size <= 8 && add_part(list, offset, size, encoding == DW_ATE_float);
}

static bool is_result(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	bool flag;
	return dwarf_tag(die) == DW_TAG_formal_parameter &&
	       dwarf_attr(die, DW_AT_variable_parameter, &attr) &&
	       dwarf_formflag(&attr, &flag) == 0 && flag;
}

/* Of several results the first: no register has been taken before it. */
static bool first_result(Dwarf_Die *function, Dwarf_Die *ret_type)
{
	Dwarf_Die die;
	if (dwarf_child(function, &die) != 0)
		return false;
	do {
		if (is_result(&die))
			return elf_die_type(&die, ret_type);
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* Whatever lies between two values belongs to the piece before, so that the pieces are without gaps. */
static void place_parts(const struct part_list *list, uint64_t size,
	struct elf_op_list *ops, struct elf_place *ret)
{
	const uint8_t *integer = integer_registers;
	int64_t vector = 0;
	for (size_t i = 0; i < list->count; i++) {
		const struct part *part = &list->items[i];
		uint64_t end = i + 1 < list->count ? list->items[i + 1].offset : size;
		struct elf_piece piece = {.is_value = true,
			.op_start = ops->count,
			.bits = (end - part->offset) * 8};
		if (part->is_float)
			elf_emit(ops, ELF_OP_VECTOR, 2 * vector++);
		else
			elf_emit(ops, ELF_OP_REG, *integer++);
		if (list->count == 1)
			ret->is_value = true;
		else
			elf_place_add_piece(ret, ops, &piece);
	}
}

int elf_go_return(const struct elf_frame *frame, struct elf_op_list *ops,
	struct elf_place *ret, Dwarf_Die *ret_type, struct error *err)
{
	Dwarf_Die function = frame->function->die, unit;
	Dwarf_Attribute attr;
	const char *name = elf_die_name(&function), *producer = NULL;
	struct part_list list = {0};
	*ret = (struct elf_place){0};
	if (!first_result(&function, ret_type))
		return elf_abi_no_value(&function, err);
	if (dwarf_diecu(&function, &unit, NULL, NULL) &&
		dwarf_attr(&unit, DW_AT_producer, &attr))
		producer = elf_attribute_text(&attr);
	bool in_registers = producer && strstr(producer, "regabi");
	if (!in_registers || !take_apart(frame->module, ret_type, 0, &list, 0) ||
		!list.count)
		return error_set(err, -ENOTSUP,
			"the result of '%s' is not in registers: its caller has room for it on the stack",
			name ? name : "?");
	place_parts(&list, elf_type_size(frame->module, ret_type), ops, ret);
	return 0;
}
