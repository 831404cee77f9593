/* SPDX-License-Identifier: MIT */
/*
 * System V ABI, AMD64 supplement, 3.2.3 "Parameter Passing": which register or stack slot
 * holds a parameter before the first instruction has run.  Needed where debug information
 * describes only the slot that the prologue is about to fill.
 */
#include <errno.h>
#include <string.h>

#include "elf/location.h"
#include "elf/type.h"

enum abi_class {
	ABI_NONE,
	ABI_INTEGER,
	ABI_SSE,
	ABI_MEMORY
};
enum {
	EIGHTBYTES_MAX = 2,
	CLASSIFY_DEPTH_MAX = 16,
	ELEMENTS_MAX = 16
};
enum {
	REGISTER_RAX = 0,
	REGISTER_RSP = 7
};

static const uint8_t integer_registers[] = {5, 4, 1, 2, 8, 9}; /* rdi rsi rdx rcx r8 r9 */
static const uint8_t result_registers[] = {0, 1};              /* rax rdx */
enum {
	INTEGER_REGISTERS = sizeof(integer_registers),
	SSE_REGISTERS = 8
};

static bool is_complex(Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	Dwarf_Word encoding;
	return dwarf_attr(type, DW_AT_encoding, &attr) &&
	       dwarf_formudata(&attr, &encoding) == 0 && encoding == DW_ATE_complex_float;
}

static void merge(enum abi_class *class, enum abi_class other)
{
	if (*class == other || other == ABI_NONE)
		return;
	if (*class == ABI_NONE)
		*class = other;
	else if (*class == ABI_MEMORY || other == ABI_MEMORY)
		*class = ABI_MEMORY;
	else
		*class = ABI_INTEGER; /* INTEGER wins over SSE */
}

static void classify(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	enum abi_class classes[EIGHTBYTES_MAX], int depth);

static void classify_all_memory(enum abi_class classes[EIGHTBYTES_MAX])
{
	classes[0] = classes[1] = ABI_MEMORY;
}

static void classify_members(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	enum abi_class classes[EIGHTBYTES_MAX], int depth)
{
	Dwarf_Die die, member_type;
	if (dwarf_child(type, &die) != 0)
		return;
	do {
		Dwarf_Attribute attr;
		Dwarf_Word where = 0;
		int tag = dwarf_tag(&die);
		if (tag != DW_TAG_member && tag != DW_TAG_inheritance)
			continue;
		if (dwarf_hasattr(&die, DW_AT_external) ||
			!elf_die_type(&die, &member_type))
			continue; /* static members take no room */
		if (dwarf_attr_integrate(&die, DW_AT_data_member_location, &attr)) {
			if (dwarf_formudata(&attr, &where) != 0) {
				classify_all_memory(classes);
				return;
			}
		} else if (dwarf_attr_integrate(&die, DW_AT_data_bit_offset, &attr) &&
			   dwarf_formudata(&attr, &where) == 0) {
			/* the ABI passes bit-fields as integers of the eightbyte they are
			 * in */
			if (offset + where / 8 < 16)
				merge(&classes[(offset + where / 8) / 8], ABI_INTEGER);
			continue;
		}
		classify(module, &member_type, offset + where, classes, depth + 1);
	} while (dwarf_siblingof(&die, &die) == 0);
}

static void classify_array(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	enum abi_class classes[EIGHTBYTES_MAX], int depth)
{
	Dwarf_Die element;
	uint64_t size = elf_type_size(module, type);
	if (!elf_die_type(type, &element))
		return;
	uint64_t step = elf_type_size(module, &element);
	for (uint64_t at = 0; step && at < size && at < ELEMENTS_MAX; at += step)
		classify(module, &element, offset + at, classes, depth + 1);
}

static void classify(struct elf_module *module, Dwarf_Die *type, uint64_t offset,
	enum abi_class classes[EIGHTBYTES_MAX], int depth)
{
	Dwarf_Die die;
	int tag = elf_type_peel(module, type, &die);
	uint64_t size = tag == DW_TAG_invalid ? 0 : elf_type_size(module, &die);
	if (size == 0)
		return;
	if (depth > CLASSIFY_DEPTH_MAX || size > 16 || offset > 16 - size) {
		classify_all_memory(classes);
		return;
	}
	enum elf_value_class class = elf_type_class(module, &die);
	if (class == ELF_VALUE_AGGREGATE) {
		classify_members(module, &die, offset, classes, depth);
	} else if (class == ELF_VALUE_ARRAY || class == ELF_VALUE_CHAR_ARRAY) {
		classify_array(module, &die, offset, classes, depth);
	} else if (class == ELF_VALUE_FLOAT && size == 16 && is_complex(&die)) {
		classes[0] = classes[1] = ABI_SSE;
	} else if (class == ELF_VALUE_FLOAT && size == 16) {
		classify_all_memory(classes); /* long double; see is_wide() */
	} else if (class == ELF_VALUE_FLOAT) {
		merge(&classes[offset / 8], ABI_SSE);
	} else {
		merge(&classes[offset / 8], ABI_INTEGER);
		if (size == 16)
			merge(&classes[1], ABI_INTEGER);
	}
}

static bool has_flag(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	bool flag;
	return dwarf_attr(die, name, &attr) && dwarf_formflag(&attr, &flag) == 0 && flag;
}

/* Is this member function a destructor, or copies or moves its class, in a way of its own? */
static bool is_own_copy_or_destructor(
	struct elf_module *module, Dwarf_Die *class, Dwarf_Die *method)
{
	Dwarf_Die die, type, target;
	Dwarf_Attribute attr;
	Dwarf_Word defaulted = DW_DEFAULTED_no;
	const char *name = elf_die_name(method), *class_name = elf_die_name(class);
	if (!name || !class_name || has_flag(method, DW_AT_artificial))
		return false; /* the compiler's own: its members decide */
	if (dwarf_attr(method, DW_AT_defaulted, &attr))
		(void)dwarf_formudata(&attr, &defaulted);
	if (defaulted == DW_DEFAULTED_in_class || has_flag(method, DW_AT_deleted))
		return false;
	if (name[0] == '~')
		return true;
	size_t length = strcspn(class_name, "<"); /* constructors go without arguments */
	if (strncmp(name, class_name, length) != 0 || name[length] ||
		dwarf_child(method, &die) != 0)
		return false;
	do {
		if (dwarf_tag(&die) != DW_TAG_formal_parameter ||
			has_flag(&die, DW_AT_artificial))
			continue;
		int tag = elf_die_type(&die, &type) ? elf_type_peel(module, &type, &type)
						    : DW_TAG_invalid;
		return (tag == DW_TAG_reference_type ||
			       tag == DW_TAG_rvalue_reference_type) &&
		       elf_die_type(&type, &target) &&
		       elf_type_peel(module, &target, &target) != DW_TAG_invalid &&
		       target.addr == class->addr;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/*
 * Objects that cannot be copied byte by byte are passed by the address of a copy (Itanium C++ ABI,
 * 3.1.2.3).  clang says so in DW_AT_calling_convention; gcc leaves it to be found out.
 */
static bool is_nontrivial(struct elf_module *module, Dwarf_Die *type, int depth)
{
	Dwarf_Die class, die, member;
	Dwarf_Attribute attr;
	Dwarf_Word convention;
	if (depth > CLASSIFY_DEPTH_MAX)
		return false;
	int tag = elf_type_peel(module, type, &class);
	if (tag == DW_TAG_array_type)
		return elf_die_type(&class, &member) &&
		       is_nontrivial(module, &member, depth + 1);
	if (tag != DW_TAG_structure_type && tag != DW_TAG_class_type &&
		tag != DW_TAG_union_type)
		return false;
	if (dwarf_attr(&class, DW_AT_calling_convention, &attr) &&
		dwarf_formudata(&attr, &convention) == 0 &&
		(convention == DW_CC_pass_by_reference ||
			convention == DW_CC_pass_by_value))
		return convention == DW_CC_pass_by_reference;
	if (dwarf_child(&class, &die) != 0)
		return false;
	do {
		tag = dwarf_tag(&die);
		if (dwarf_hasattr(&die, DW_AT_virtuality))
			return true; /* a virtual function or base */
		if (tag == DW_TAG_subprogram &&
			is_own_copy_or_destructor(module, &class, &die))
			return true;
		if ((tag == DW_TAG_inheritance ||
			    (tag == DW_TAG_member && !has_flag(&die, DW_AT_external))) &&
			elf_die_type(&die, &member) &&
			is_nontrivial(module, &member, depth + 1))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* The only member of a structure, or the type itself. */
static int sole_type(
	struct elf_module *module, Dwarf_Die *type, Dwarf_Die *ret, int depth)
{
	Dwarf_Die die, member;
	size_t members = 0;
	int tag = elf_type_peel(module, type, ret);
	if ((tag != DW_TAG_structure_type && tag != DW_TAG_class_type) ||
		depth > CLASSIFY_DEPTH_MAX || dwarf_child(ret, &die) != 0)
		return tag;
	do {
		if (dwarf_tag(&die) != DW_TAG_member || has_flag(&die, DW_AT_external))
			continue;
		members++;
		if (!elf_die_type(&die, &member))
			return tag;
	} while (dwarf_siblingof(&die, &die) == 0);
	return members == 1 ? sole_type(module, &member, ret, depth + 1) : tag;
}

static bool is_float128(Dwarf_Die *type)
{
	const char *name = elf_die_name(type);
	return name && strstr(name, "loat128");
}

/* long double, and structures of one: returned in st0 */
static bool is_x87(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die sole;
	return sole_type(module, type, &sole, 0) == DW_TAG_base_type &&
	       elf_type_class(module, &sole) == ELF_VALUE_FLOAT &&
	       (elf_type_size(module, &sole) == 32 ||
		       (elf_type_size(module, &sole) == 16 && !is_float128(&sole) &&
			       !is_complex(&sole)));
}

/* _Float128, and vectors: all of a vector register */
static bool is_wide(struct elf_module *module, Dwarf_Die *type)
{
	Dwarf_Die sole;
	int tag = sole_type(module, type, &sole, 0);
	if (elf_type_size(module, type) != 16)
		return false;
	return tag == DW_TAG_array_type
		       ? dwarf_hasattr(&sole, DW_AT_GNU_vector)
		       : tag == DW_TAG_base_type &&
				 elf_type_class(module, &sole) == ELF_VALUE_FLOAT &&
				 is_float128(&sole);
}

struct abi_value {
	enum abi_class classes[EIGHTBYTES_MAX];
	uint64_t size;
	unsigned integers, floats; /* registers it needs */
	bool in_memory, by_reference;
	bool is_wide; /* 16 bytes in one vector register */
	bool is_x87;
};

static void classify_value(
	struct elf_module *module, Dwarf_Die *type, struct abi_value *ret)
{
	*ret = (struct abi_value){.size = elf_type_size(module, type)};
	if (is_nontrivial(module, type, 0)) {
		ret->by_reference = true;
		ret->integers = 1;
		return;
	}
	classify(module, type, 0, ret->classes, 0);
	ret->is_x87 = is_x87(module, type);
	ret->is_wide = is_wide(module, type);
	if (ret->is_wide) {
		ret->floats = 1;
		return;
	}
	ret->in_memory = ret->classes[0] == ABI_MEMORY || ret->classes[1] == ABI_MEMORY;
	for (int i = 0; i < EIGHTBYTES_MAX && !ret->in_memory; i++) {
		ret->integers += ret->classes[i] == ABI_INTEGER;
		ret->floats += ret->classes[i] == ABI_SSE;
	}
}

struct abi_cursor {
	unsigned integers, floats; /* used so far */
	uint64_t stack;            /* bytes above the return address */
};

/* Gives one value its place.  True: on the stack, at *ret_stack above the return address.
 */
static bool assign(
	struct abi_cursor *cursor, const struct abi_value *value, uint64_t *ret_stack)
{
	bool fits = cursor->integers + value->integers <= INTEGER_REGISTERS &&
		    cursor->floats + value->floats <= SSE_REGISTERS;
	if (!value->in_memory && fits) {
		cursor->integers += value->integers;
		cursor->floats += value->floats;
		return false;
	}
	uint64_t size = value->by_reference ? 8 : value->size;
	*ret_stack = cursor->stack;
	cursor->stack += (size + 7) & ~(uint64_t)7;
	return true;
}

static bool same_die(Dwarf_Die *a, Dwarf_Die *b)
{
	return a->addr == b->addr;
}

/*
 * gcc drops parameters from copies of a function that never need them (foo.isra.0); these have no
 * place, while everything else of the convention stays.
 */
static bool is_dropped(bool clone, Dwarf_Die *parameter)
{
	return clone && !dwarf_hasattr(parameter, DW_AT_location);
}

static bool is_clone(const struct elf_frame *frame)
{
	size_t count;
	const struct elf_function *functions =
		elf_module_functions(frame->module, &count);
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (functions[middle].start < frame->function->entry)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && functions[low].start == frame->function->entry; low++) {
		if (strstr(functions[low].name, ".isra.") ||
			strstr(functions[low].name, ".constprop."))
			return true;
	}
	return false;
}

/* Each eightbyte has a register: the next ones of those for integers, or for vectors. */
static void place_registers(const struct abi_value *value, const uint8_t *integers,
	unsigned first_float, struct elf_op_list *ops, struct elf_place *ret)
{
	if (value->by_reference || value->integers + value->floats == 1) {
		if (value->is_wide) {
			elf_place_vector(ret, ops, first_float, 128);
			return;
		}
		elf_emit(ops, value->floats ? ELF_OP_VECTOR : ELF_OP_REG,
			value->floats ? first_float * 2 : integers[0]);
		ret->is_value = !value->by_reference;
		return;
	}
	for (int i = 0; i < EIGHTBYTES_MAX; i++) {
		struct elf_piece piece = {
			.is_value = true, .op_start = ops->count, .bits = 64};
		if (value->classes[i] == ABI_INTEGER)
			elf_emit(ops, ELF_OP_REG, *integers++);
		else
			elf_emit(ops, ELF_OP_VECTOR, first_float++ * 2);
		elf_place_add_piece(ret, ops, &piece);
	}
}

static bool is_rust(Dwarf_Die *function)
{
	Dwarf_Die unit;
	return dwarf_diecu(function, &unit, NULL, NULL) &&
	       dwarf_srclang(&unit) == DW_LANG_Rust;
}

/* Rust has a convention of its own that is written down nowhere: scalars, references and slices go where
 * C's go. */
static bool is_as_in_c(
	struct elf_module *module, Dwarf_Die *type, const struct abi_value *value)
{
	Dwarf_Die peeled;
	int tag = elf_type_peel(module, type, &peeled);
	return tag == DW_TAG_base_type || tag == DW_TAG_pointer_type ||
	       tag == DW_TAG_reference_type ||
	       (value->size == 16 && value->integers == 2);
}

int elf_abi_parameter(const struct elf_frame *frame, Dwarf_Die *parameter,
	struct elf_op_list *ops, struct elf_place *ret, struct error *err)
{
	Dwarf_Die function = frame->function->die, die, type;
	struct abi_cursor cursor = {0};
	struct abi_value value;
	bool clone = is_clone(frame), rust = is_rust(&function);
	*ret = (struct elf_place){0};
	if (elf_die_type(&function, &type)) {
		classify_value(frame->module, &type, &value);
		cursor.integers =
			value.in_memory || value.by_reference; /* hidden result pointer */
	}
	if (dwarf_child(&function, &die) != 0)
		return error_set(err, -ENOTSUP, "corrupt debug information");
	do {
		uint64_t stack = 0;
		if (dwarf_tag(&die) != DW_TAG_formal_parameter ||
			!elf_die_type(&die, &type) || is_dropped(clone, &die))
			continue;
		classify_value(frame->module, &type, &value);
		if (rust && !is_as_in_c(frame->module, &type, &value))
			return error_set(err, -ENOTSUP,
				"not accessible at this address (pc: %#llx) [man error::dwarf]: "
				"Rust may pass it in any place",
				(unsigned long long)frame->pc);
		unsigned first = cursor.integers, first_float = cursor.floats;
		bool on_stack = assign(&cursor, &value, &stack);
		if (!same_die(&die, parameter))
			continue;
		if (on_stack) {
			elf_emit(ops, ELF_OP_REG, REGISTER_RSP);
			elf_emit(ops, ELF_OP_CONST, (int64_t)(8 + stack));
			elf_emit(ops, ELF_OP_ADD, 0);
			if (value.by_reference)
				elf_emit(ops, ELF_OP_DEREF, 8);
			return 0;
		}
		if (value.integers + value.floats == 0)
			return error_set(err, -ENOTSUP,
				"not accessible at this address (pc: %#llx) [man error::dwarf]: it "
				"is empty",
				(unsigned long long)frame->pc);
		place_registers(&value, &integer_registers[first], first_float, ops, ret);
		return 0;
	} while (dwarf_siblingof(&die, &die) == 0);
	return error_set(err, -ENOTSUP, "corrupt debug information");
}

int elf_abi_no_value(Dwarf_Die *function, struct error *err)
{
	Dwarf_Die unit;
	const char *name = elf_die_name(function);
	const char *file =
		dwarf_diecu(function, &unit, NULL, NULL) ? elf_die_name(&unit) : NULL;
	return error_set(err, -ENOENT, "function %s (%s) has no return value",
		name ? name : "?", file ? file : "?");
}

int elf_abi_return(const struct elf_frame *frame, struct elf_op_list *ops,
	struct elf_place *ret, Dwarf_Die *ret_type, struct error *err)
{
	Dwarf_Die function = frame->function->die;
	const char *name = elf_die_name(&function);
	struct abi_value value;
	if (!elf_die_type(&function, ret_type))
		return elf_abi_no_value(&function, err);
	classify_value(frame->module, ret_type, &value);
	*ret = (struct elf_place){0};
	if (value.is_x87)
		return error_set(err, -ENOTSUP,
			"the return value of '%s' is in an x87 register, which scripts "
			"cannot read",
			name ? name : "?");
	if (!value.in_memory && value.integers + value.floats)
		place_registers(&value, result_registers, 0, ops, ret);
	else /* the callee returns the address of what it wrote */
		elf_emit(ops, ELF_OP_REG, REGISTER_RAX);
	return 0;
}
