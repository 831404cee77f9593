/* SPDX-License-Identifier: MIT */
#include "elf/type.h"

#include <errno.h>
#include <string.h>

/* Bounds for corrupt files, whose types may refer to themselves. */
enum {
	TYPE_DEPTH_MAX = 64,
	MEMBER_DEPTH_MAX = 16,
	DIMENSIONS_MAX = 8
};

bool elf_die_type(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;
	if (!dwarf_attr_integrate(die, DW_AT_type, &attr) ||
		!dwarf_formref_die(&attr, &type))
		return false;
	*ret = type;
	return true;
}

static bool is_declaration(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	bool flag;
	return dwarf_attr(die, DW_AT_declaration, &attr) &&
	       dwarf_formflag(&attr, &flag) == 0 && flag;
}

static bool is_compound(int tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
	       tag == DW_TAG_class_type;
}

/*
 * "long", "long int" and "signed long" are one type, of which each compiler has its own name.
 * Return: the same number for all names of it; 0: no such name
 */
static unsigned base_type_key(const char *name)
{
	static const struct {
		const char *word;
		unsigned count; /* what one more adds */
	} words[] = {{"int", 0}, {"signed", 0}, {"unsigned", 1}, {"short", 4},
		{"long", 16}, {"char", 64}, {"double", 256}};
	unsigned key = 1024;
	bool is_signed = false;
	while (*name) {
		size_t size = strcspn(name, " "), i = 0;
		while (i < sizeof(words) / sizeof(words[0]) &&
			(strlen(words[i].word) != size ||
				memcmp(words[i].word, name, size) != 0))
			i++;
		if (i == sizeof(words) / sizeof(words[0]))
			return 0;
		key += words[i].count;
		is_signed |= words[i].word[0] == 's' && words[i].word[1] == 'i';
		name += size;
		name += strspn(name, " ");
	}
	/* char is a type of its own beside signed char */
	return is_signed && key == 1024 + 64 ? 512 : key;
}

static bool is_named(Dwarf_Die *type, int tag, const char *name)
{
	const char *type_name = elf_die_name(type);
	if (!type_name)
		return false;
	if (tag != DW_TAG_base_type || strcmp(type_name, name) == 0)
		return strcmp(type_name, name) == 0;
	unsigned key = base_type_key(name);
	return key && key == base_type_key(type_name);
}

/* A type of that tag and name among the children of a unit or namespace. */
static bool find_in_scope(
	Dwarf_Die *scope, int tag, const char *name, int depth, Dwarf_Die *ret)
{
	Dwarf_Die die;
	if (depth > MEMBER_DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return false;
	do {
		int found = dwarf_tag(&die);
		if (found == DW_TAG_namespace || found == DW_TAG_module) {
			if (find_in_scope(&die, tag, name, depth + 1, ret))
				return true;
			continue;
		}
		bool is_candidate =
			tag == DW_TAG_invalid
				? found == DW_TAG_typedef || found == DW_TAG_base_type ||
					  found == DW_TAG_enumeration_type ||
					  is_compound(found)
				: found == tag ||
					  (is_compound(tag) && is_compound(found));
		if (!is_candidate)
			continue;
		if (is_named(&die, found, name) && !is_declaration(&die)) {
			*ret = die;
			return true;
		}
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static bool find_type(struct elf_module *module, Dwarf_Die *unit, int tag,
	const char *name, Dwarf_Die *ret)
{
	if (unit && find_in_scope(unit, tag, name, 0, ret))
		return true;
	struct elf_dwarf *dwarf = elf_module_dwarf(module);
	for (size_t i = 0; dwarf && i < dwarf->units.count; i++) {
		Dwarf_Die die = dwarf->units.items[i].die;
		if (find_in_scope(&die, tag, name, 0, ret))
			return true;
	}
	return false;
}

/* DWARF 4 and later may keep a type in a unit of its own, and a stub that names it. */
static bool has_type_unit(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;
	if (!dwarf_attr(die, DW_AT_signature, &attr) || !dwarf_formref_die(&attr, &type))
		return false;
	*ret = type;
	return true;
}

int elf_type_peel(struct elf_module *module, Dwarf_Die *type, Dwarf_Die *ret)
{
	Dwarf_Die die = *type;
	for (int depth = 0; depth < TYPE_DEPTH_MAX; depth++) {
		int tag = dwarf_tag(&die);
		switch (tag) {
		case DW_TAG_typedef:
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
		case DW_TAG_restrict_type:
		case DW_TAG_atomic_type:
		case DW_TAG_immutable_type:
		case DW_TAG_packed_type:
		case DW_TAG_shared_type:
			if (!elf_die_type(&die, &die))
				return DW_TAG_invalid;
			continue;
		default:
			*ret = die;
			if (has_type_unit(&die, ret))
				return tag;
			if (is_compound(tag) && is_declaration(&die) &&
				elf_die_name(&die))
				find_type(module, NULL, tag, elf_die_name(&die), ret);
			return tag;
		}
	}
	return DW_TAG_invalid;
}

static bool die_unsigned(Dwarf_Die *die, unsigned name, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	if (!dwarf_attr_integrate(die, name, &attr) ||
		dwarf_formudata(&attr, &value) != 0)
		return false;
	*ret = value;
	return true;
}

size_t elf_type_dimensions(Dwarf_Die *type, uint64_t *counts, size_t max)
{
	Dwarf_Die die;
	size_t count = 0;
	if (dwarf_child(type, &die) != 0)
		return 0;
	do {
		uint64_t value = 0;
		if (dwarf_tag(&die) != DW_TAG_subrange_type || count == max)
			continue;
		if (!die_unsigned(&die, DW_AT_count, &value)) {
			/* int a[] has an upper bound of -1, or none */
			value = die_unsigned(&die, DW_AT_upper_bound, &value) ? value + 1
									      : 0;
		}
		counts[count++] = value;
	} while (dwarf_siblingof(&die, &die) == 0);
	return count;
}

uint64_t elf_type_size(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die die;
	uint64_t factor = 1;
	Dwarf_Die current = *type;
	for (int depth = 0; depth < TYPE_DEPTH_MAX; depth++) {
		int tag = elf_type_peel(module, &current, &die);
		uint64_t size;
		if (tag == DW_TAG_invalid)
			return 0;
		if (die_unsigned(&die, DW_AT_byte_size, &size))
			return size * factor;
		if (tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type ||
			tag == DW_TAG_rvalue_reference_type)
			return 8 * factor;
		if (tag != DW_TAG_array_type && tag != DW_TAG_enumeration_type)
			return 0;
		if (tag == DW_TAG_array_type) {
			uint64_t counts[DIMENSIONS_MAX];
			size_t count = elf_type_dimensions(&die, counts, DIMENSIONS_MAX);
			for (size_t i = 0; i < count; i++)
				factor *= counts[i];
		}
		if (!elf_die_type(&die, &current))
			return 0;
	}
	return 0;
}

/* ---- names
 * --------------------------------------------------------------------------------------------
 */

static const char *type_declare(
	Dwarf_Die *type, const char *declarator, int depth, struct arena *arena);

static const char *function_parameters(Dwarf_Die *type, int depth, struct arena *arena)
{
	Dwarf_Die die;
	const char *list = "";
	if (dwarf_child(type, &die) == 0) {
		do {
			const char *name = NULL;
			Dwarf_Die parameter;
			if (dwarf_tag(&die) == DW_TAG_formal_parameter)
				name = type_declare(elf_die_type(&die, &parameter)
							    ? &parameter
							    : NULL,
					"", depth + 1, arena);
			else if (dwarf_tag(&die) == DW_TAG_unspecified_parameters)
				name = "...";
			if (name)
				list = arena_printf(
					arena, "%s%s%s", list, list[0] ? ", " : "", name);
		} while (dwarf_siblingof(&die, &die) == 0);
	}
	return arena_printf(arena, "(%s)", list);
}

static const char *array_bounds(Dwarf_Die *type, struct arena *arena)
{
	uint64_t counts[DIMENSIONS_MAX];
	size_t count = elf_type_dimensions(type, counts, DIMENSIONS_MAX);
	const char *text = count ? "" : "[]";
	for (size_t i = 0; i < count; i++) {
		if (counts[i])
			text = arena_printf(
				arena, "%s[%llu]", text, (unsigned long long)counts[i]);
		else
			text = arena_printf(arena, "%s[]", text);
	}
	return text;
}

static const char *named_type(
	Dwarf_Die *type, const char *prefix, const char *declarator, struct arena *arena)
{
	const char *name = elf_die_name(type);
	return arena_printf(arena, "%s%s%s", prefix, name ? name : "{...}", declarator);
}

/* The pointer to an array or function goes into parentheses: int (*)(char*) */
static const char *pointer_declare(Dwarf_Die *type, const char *sigil,
	const char *declarator, int depth, struct arena *arena)
{
	Dwarf_Die target;
	if (!elf_die_type(type, &target))
		return arena_printf(arena, "void%s%s", sigil, declarator);
	int tag = dwarf_tag(&target);
	bool needs_parentheses =
		tag == DW_TAG_array_type || tag == DW_TAG_subroutine_type;
	const char *inner = arena_printf(
		arena, needs_parentheses ? " (%s%s)" : "%s%s", sigil, declarator);
	return type_declare(&target, inner, depth + 1, arena);
}

static const char *type_declare(
	Dwarf_Die *type, const char *declarator, int depth, struct arena *arena)
{
	if (!type)
		return arena_printf(arena, "void%s", declarator);
	if (depth > TYPE_DEPTH_MAX)
		return "?";
	Dwarf_Die inner;
	Dwarf_Die *next = elf_die_type(type, &inner) ? &inner : NULL;
	switch (dwarf_tag(type)) {
	case DW_TAG_structure_type:
		return named_type(type, "struct ", declarator, arena);
	case DW_TAG_class_type:
		return named_type(type, "class ", declarator, arena);
	case DW_TAG_union_type:
		return named_type(type, "union ", declarator, arena);
	case DW_TAG_enumeration_type:
		return named_type(type, "enum ", declarator, arena);
	case DW_TAG_pointer_type:
		return pointer_declare(type, "*", declarator, depth, arena);
	case DW_TAG_reference_type:
		return pointer_declare(type, "&", declarator, depth, arena);
	case DW_TAG_rvalue_reference_type:
		return pointer_declare(type, "&&", declarator, depth, arena);
	case DW_TAG_ptr_to_member_type:
		return pointer_declare(type, "::*", declarator, depth, arena);
	case DW_TAG_array_type:
		return type_declare(next,
			arena_printf(
				arena, "%s%s", declarator, array_bounds(type, arena)),
			depth + 1, arena);
	case DW_TAG_subroutine_type:
		return type_declare(next,
			arena_printf(arena, "%s%s", declarator,
				function_parameters(type, depth, arena)),
			depth + 1, arena);
	case DW_TAG_const_type:
		return type_declare(next, arena_printf(arena, " const%s", declarator),
			depth + 1, arena);
	case DW_TAG_volatile_type:
		return type_declare(next, arena_printf(arena, " volatile%s", declarator),
			depth + 1, arena);
	case DW_TAG_restrict_type:
	case DW_TAG_atomic_type:
		return type_declare(next, declarator, depth + 1, arena);
	default:
		return named_type(type, "", declarator, arena);
	}
}

const char *elf_type_name(Dwarf_Die *type, struct arena *arena)
{
	return type_declare(type, "", 0, arena);
}

/* ---- classes
 * --------------------------------------------------------------------------------------------
 */

static bool is_character(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die die;
	uint64_t encoding;
	return elf_type_peel(module, type, &die) == DW_TAG_base_type &&
	       die_unsigned(&die, DW_AT_encoding, &encoding) &&
	       (encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char) &&
	       elf_type_size(module, &die) == 1;
}

static enum elf_value_class base_class(struct elf_module *module, Dwarf_Die *type)
{
	uint64_t encoding = 0;
	die_unsigned(type, DW_AT_encoding, &encoding);
	switch (encoding) {
	case DW_ATE_boolean:
		return ELF_VALUE_BOOL;
	case DW_ATE_signed_char:
	case DW_ATE_unsigned_char:
		return is_character(module, type) ? ELF_VALUE_CHAR : ELF_VALUE_UNSIGNED;
	case DW_ATE_signed:
	case DW_ATE_signed_fixed:
		return ELF_VALUE_SIGNED;
	case DW_ATE_float:
	case DW_ATE_complex_float:
	case DW_ATE_imaginary_float:
	case DW_ATE_decimal_float:
		return ELF_VALUE_FLOAT;
	default:
		return ELF_VALUE_UNSIGNED;
	}
}

enum elf_value_class elf_type_class(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die target;
	if (!type)
		return ELF_VALUE_VOID;
	bool has_target = elf_die_type(type, &target);
	switch (dwarf_tag(type)) {
	case DW_TAG_base_type:
		return base_class(module, type);
	case DW_TAG_enumeration_type:
		return ELF_VALUE_ENUM;
	case DW_TAG_pointer_type:
		return has_target && is_character(module, &target)
			       ? ELF_VALUE_STRING_POINTER
			       : ELF_VALUE_POINTER;
	case DW_TAG_array_type:
		return has_target && is_character(module, &target) ? ELF_VALUE_CHAR_ARRAY
								   : ELF_VALUE_ARRAY;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		return ELF_VALUE_AGGREGATE;
	case DW_TAG_subroutine_type:
	case DW_TAG_invalid:
		return ELF_VALUE_VOID;
	default:
		return ELF_VALUE_POINTER; /* references, pointers to members, nullptr_t */
	}
}

bool elf_type_is_signed(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die die, underlying;
	uint64_t encoding;
	int tag = elf_type_peel(module, type, &die);
	if (tag == DW_TAG_enumeration_type) {
		if (!elf_die_type(&die, &underlying) ||
			elf_type_peel(module, &underlying, &die) != DW_TAG_base_type)
			return false;
	} else if (tag != DW_TAG_base_type) {
		return false;
	}
	return die_unsigned(&die, DW_AT_encoding, &encoding) &&
	       (encoding == DW_ATE_signed || encoding == DW_ATE_signed_char ||
		       encoding == DW_ATE_signed_fixed);
}

/* ---- members
 * --------------------------------------------------------------------------------------------
 */

static int member_offset(Dwarf_Die *member, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	Dwarf_Op *ops;
	size_t count;
	*ret = 0;
	if (!dwarf_attr_integrate(member, DW_AT_data_member_location, &attr))
		return 0; /* unions */
	if (dwarf_formudata(&attr, &value) == 0) {
		*ret = value;
		return 0;
	}
	if (dwarf_getlocation(&attr, &ops, &count) != 0 || count != 1 ||
		(ops[0].atom != DW_OP_plus_uconst && ops[0].atom != DW_OP_constu))
		return -ENOTSUP;
	*ret = ops[0].number;
	return 0;
}

/* Choose what to load for a bit-field: its declared type's unit, or where packed the
 * bytes around. */
static int member_bits(
	struct elf_module *module, Dwarf_Die *die, struct elf_member *member)
{
	uint64_t size, position, big_endian_position, storage;
	if (!die_unsigned(die, DW_AT_bit_size, &size) || size == 0)
		return 0;
	storage = elf_type_size(module, &member->type);
	if (die_unsigned(die, DW_AT_data_bit_offset, &position)) {
		position += member->offset * 8;
	} else {
		if (!die_unsigned(die, DW_AT_bit_offset, &big_endian_position))
			return -ENOTSUP;
		uint64_t unit = storage;
		die_unsigned(die, DW_AT_byte_size, &unit);
		position = member->offset * 8 + unit * 8 - big_endian_position - size;
	}
	if (storage != 1 && storage != 2 && storage != 4 && storage != 8)
		return -ENOTSUP;
	uint64_t start = position / (storage * 8) * storage;
	if (position - start * 8 + size > storage * 8) {
		start = position / 8;
		for (storage = 1; storage * 8 < position % 8 + size; storage *= 2)
			;
		if (storage > 8)
			return -ENOTSUP;
	}
	member->offset = start;
	member->bit_offset = (unsigned)(position - start * 8);
	member->bit_size = (unsigned)size;
	member->storage_size = (unsigned)storage;
	return 0;
}

static int find_member(struct elf_module *module, Dwarf_Die *type, const char *name,
	struct elf_member *ret, int depth);

static int take_member(
	struct elf_module *module, Dwarf_Die *member, struct elf_member *ret)
{
	if (!elf_die_type(member, &ret->type))
		return -ENOENT;
	int r = member_offset(member, &ret->offset);
	ret->bit_size = 0;
	return r < 0 ? r : member_bits(module, member, ret);
}

/* In what a member or a base class is of. */
static int find_inside(struct elf_module *module, Dwarf_Die *holder, const char *name,
	struct elf_member *ret, int depth)
{
	Dwarf_Die inner;
	uint64_t offset;
	if (!elf_die_type(holder, &ret->type) ||
		!is_compound(elf_type_peel(module, &ret->type, &inner)))
		return -ENOENT;
	int r = find_member(module, &inner, name, ret, depth + 1);
	if (r == 0)
		r = member_offset(holder, &offset);
	ret->offset += r == 0 ? offset : 0;
	return r;
}

/* An enum with data, of Rust: the variants are members, and so is the number that tells which it is. */
static int find_variant(struct elf_module *module, Dwarf_Die *part, const char *name,
	struct elf_member *ret, int depth)
{
	Dwarf_Attribute attr;
	Dwarf_Die discriminant;
	if (strcmp(name, ELF_DISCRIMINANT) == 0 && dwarf_attr(part, DW_AT_discr, &attr) &&
		dwarf_formref_die(&attr, &discriminant))
		return take_member(module, &discriminant, ret);
	return find_member(module, part, name, ret, depth + 1);
}

static int find_own(struct elf_module *module, Dwarf_Die *die, const char *name,
	struct elf_member *ret, int depth)
{
	const char *member_name = elf_die_name(die);
	switch (dwarf_tag(die)) {
	case DW_TAG_member:
		if (!member_name)
			return find_inside(module, die, name, ret, depth);
		return strcmp(member_name, name) == 0 ? take_member(module, die, ret)
						      : -ENOENT;
	case DW_TAG_variant_part:
	case DW_TAG_variant:
		return find_variant(module, die, name, ret, depth);
	default:
		return -ENOENT;
	}
}

static int find_member(struct elf_module *module, Dwarf_Die *type, const char *name,
	struct elf_member *ret, int depth)
{
	Dwarf_Die die;
	int r = -ENOENT;
	if (depth > MEMBER_DEPTH_MAX || dwarf_child(type, &die) != 0)
		return -ENOENT;
	Dwarf_Die parents = die; /* own members hide those of base classes */
	do
		r = find_own(module, &die, name, ret, depth);
	while (r == -ENOENT && dwarf_siblingof(&die, &die) == 0);
	while (r == -ENOENT) {
		if (dwarf_tag(&parents) == DW_TAG_inheritance)
			r = find_inside(module, &parents, name, ret, depth);
		if (dwarf_siblingof(&parents, &parents) != 0)
			break;
	}
	return r;
}

int elf_type_find_member(struct elf_module *module, Dwarf_Die *type, const char *name,
	struct elf_member *ret)
{
	return find_member(module, type, name, ret, 0);
}

static void member_names(
	struct elf_module *module, Dwarf_Die *type, struct elf_name_list *ret, int depth)
{
	Dwarf_Die die, inner, member_type;
	if (depth > MEMBER_DEPTH_MAX || dwarf_child(type, &die) != 0)
		return;
	do {
		int tag = dwarf_tag(&die);
		const char *name = elf_die_name(&die);
		if (tag == DW_TAG_member && dwarf_hasattr(&die, DW_AT_external))
			continue; /* static */
		if (tag == DW_TAG_member && name)
			vec_append(ret, name);
		else if (tag == DW_TAG_variant_part || tag == DW_TAG_variant) {
			if (dwarf_hasattr(&die, DW_AT_discr))
				vec_append(ret, ELF_DISCRIMINANT);
			member_names(module, &die, ret, depth + 1);
		} else if ((tag == DW_TAG_member || tag == DW_TAG_inheritance) &&
			   elf_die_type(&die, &member_type) &&
			   is_compound(elf_type_peel(module, &member_type, &inner)))
			member_names(module, &inner, ret, depth + 1);
	} while (dwarf_siblingof(&die, &die) == 0);
}

void elf_type_member_names(
	struct elf_module *module, Dwarf_Die *type, struct elf_name_list *ret)
{
	member_names(module, type, ret, 0);
}

/* ---- enums of Rust (DWARF 5, 5.7.10) ---- */

/* Of several in one type, which Rust has not, it is not told which one a name belongs to. */
static bool find_variant_part(Dwarf_Die *type, Dwarf_Die *ret)
{
	Dwarf_Die die;
	size_t count = 0;
	if (dwarf_child(type, &die) != 0)
		return false;
	do
		if (dwarf_tag(&die) == DW_TAG_variant_part && ++count == 1)
			*ret = die;
	while (dwarf_siblingof(&die, &die) == 0);
	return count == 1;
}

static bool find_variant_named(Dwarf_Die *part, const char *name, Dwarf_Die *ret)
{
	Dwarf_Die member;
	if (dwarf_child(part, ret) != 0)
		return false;
	do {
		const char *is_called;
		if (dwarf_tag(ret) == DW_TAG_variant && dwarf_child(ret, &member) == 0 &&
			dwarf_tag(&member) == DW_TAG_member &&
			(is_called = elf_die_name(&member)) &&
			strcmp(is_called, name) == 0)
			return true;
	} while (dwarf_siblingof(ret, ret) == 0);
	return false;
}

/* As a load of @type gives it. */
static int64_t extend(struct elf_module *module, Dwarf_Die *type, uint64_t value)
{
	Dwarf_Die peeled;
	uint64_t size = elf_type_size(module, type);
	unsigned unused = size < sizeof(value) ? 64 - 8 * (unsigned)size : 0;
	elf_type_peel(module, type, &peeled);
	value <<= unused;
	return elf_type_is_signed(module, &peeled) ? (int64_t)value >> unused
						   : (int64_t)(value >> unused);
}

enum elf_member_kind elf_type_member_kind(
	struct elf_module *module, Dwarf_Die *type, const char *name, int64_t *ret)
{
	Dwarf_Die part, variant, discriminant, discriminant_type;
	Dwarf_Attribute attr;
	Dwarf_Word value;
	bool is_told = false;
	if (!find_variant_part(type, &part))
		return ELF_MEMBER_OWN;
	if (dwarf_attr(&part, DW_AT_discr, &attr)) {
		uint64_t size = 0;
		is_told = dwarf_formref_die(&attr, &discriminant) &&
			  elf_die_type(&discriminant, &discriminant_type);
		if (is_told)
			size = elf_type_size(module, &discriminant_type);
		if (!size || size > sizeof(value))
			return ELF_MEMBER_OWN;
	}
	if (strcmp(name, ELF_DISCRIMINANT) == 0)
		return ELF_MEMBER_DISCRIMINANT;
	if (!find_variant_named(&part, name, &variant) ||
		dwarf_hasattr(&variant, DW_AT_discr_list))
		return ELF_MEMBER_OWN;
	if (!is_told || !dwarf_attr(&variant, DW_AT_discr_value, &attr))
		return ELF_MEMBER_DEFAULT_VARIANT;
	if (dwarf_formudata(&attr, &value) != 0)
		return ELF_MEMBER_OWN;
	*ret = extend(module, &discriminant_type, value);
	return ELF_MEMBER_VARIANT;
}

bool elf_type_find(struct elf_module *module, Dwarf_Die *unit, const char *name,
	Dwarf_Die *ret, unsigned *ret_pointers)
{
	static const struct {
		const char *prefix;
		int tag;
	} prefixes[] = {{"struct ", DW_TAG_structure_type}, {"union ", DW_TAG_union_type},
		{"class ", DW_TAG_class_type}, {"enum ", DW_TAG_enumeration_type}};
	char plain[256];
	int tag = DW_TAG_invalid;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t length = strlen(prefixes[i].prefix);
		if (strncmp(name, prefixes[i].prefix, length) == 0) {
			tag = prefixes[i].tag;
			name += length;
			break;
		}
	}
	size_t length = strlen(name);
	*ret_pointers = 0;
	while (length && (name[length - 1] == '*' || name[length - 1] == ' ')) {
		*ret_pointers += name[length - 1] == '*';
		length--;
	}
	if (length == 0 || length >= sizeof(plain))
		return false;
	memcpy(plain, name, length);
	plain[length] = '\0';
	/* "ns::type": the last part is enough to find it */
	const char *last = strrchr(plain, ':');
	return find_type(module, unit, tag, last ? last + 1 : plain, ret);
}
