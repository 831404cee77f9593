/* SPDX-License-Identifier: MIT */
#include "elf/location.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "elf/tls.h"
#include "elf/type.h"

enum {
	REGISTER_RSP = 7,
	REGISTER_LAST = 16,
	REGISTER_XMM0 = 17,
	REGISTER_XMM15 = 32,
	VECTOR_BITS = 128,
	EXPRESSION_DEPTH_MAX =
		4, /* entry_value and frame base nest once; corrupt files more */
	LOCATIONS_MAX = 8,
};

struct compile {
	const struct elf_frame *frame;
	Dwarf_Attribute *attr;
	struct elf_op_list *ops;
	struct error *err;
	int depth;
	bool is_cfa;   /* the expression is a CFA rule: no frame base inside */
	bool is_float; /* something on the stack is no integer */
};

static int compile_ops(
	struct compile *c, const Dwarf_Op *ops, size_t count, struct elf_place *ret);
static int convert(struct compile *c, const Dwarf_Op *op, Dwarf_Word type_offset);
static int compile_op(struct compile *c, const Dwarf_Op *op);

static int refuse(const struct compile *c, const char *why)
{
	return error_set(c->err, -ENOTSUP,
		"not accessible at this address (pc: %#" PRIx64
		") [man error::dwarf]: %s",
		c->frame->pc, why);
}

static int push_register(struct compile *c, uint64_t number, int64_t offset)
{
	if (number >= REGISTER_XMM0 && number <= REGISTER_XMM15 && !offset) {
		elf_emit(c->ops, ELF_OP_VECTOR, (int64_t)(number - REGISTER_XMM0) * 2);
		c->is_float = true;
		return 0;
	}
	if (number > REGISTER_LAST)
		return refuse(c, "it is in a register that scripts cannot read");
	elf_emit(c->ops, ELF_OP_REG, (int64_t)number);
	if (offset) {
		elf_emit(c->ops, ELF_OP_CONST, offset);
		elf_emit(c->ops, ELF_OP_ADD, 0);
	}
	return 0;
}

/* At the first instruction the return address is on top of the stack; elsewhere the CFI
 * knows. */
static int push_cfa(struct compile *c)
{
	struct elf_module *module = c->frame->module;
	if (c->frame->function && c->frame->pc == c->frame->function->entry)
		return push_register(c, REGISTER_RSP, 8);
	Dwarf_Addr bias = 0;
	Dwarf_CFI *sources[2];
	Dwarf_Addr biases[2];
	sources[0] = dwfl_module_eh_cfi(module->dwarf->dwfl_module, &bias);
	biases[0] = bias;
	sources[1] = dwfl_module_dwarf_cfi(module->dwarf->dwfl_module, &bias);
	biases[1] = bias;
	for (int i = 0; i < 2; i++) {
		Dwarf_Frame *cfi;
		Dwarf_Op *ops;
		size_t count;
		if (!sources[i] || dwarf_cfi_addrframe(sources[i],
					   c->frame->pc - biases[i], &cfi) != 0)
			continue;
		int r = -ENOTSUP;
		if (dwarf_frame_cfa(cfi, &ops, &count) == 0 && count > 0) {
			struct elf_place place = {0};
			struct compile inner = *c;
			inner.is_cfa = true;
			inner.depth++;
			r = compile_ops(&inner, ops, count, &place);
		}
		free(cfi);
		return r < 0 ? refuse(c, "its frame cannot be described") : 0;
	}
	return refuse(c, "no unwind information covers it");
}

static int push_frame_base(struct compile *c, int64_t offset)
{
	if (!c->frame->function)
		return refuse(c, "it lives in the frame of a function");
	Dwarf_Die die = c->frame->function->die;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t count;
	if (!elf_die_location(&die, DW_AT_frame_base, &attr))
		return refuse(c, "its function has no frame base");
	if (dwarf_getlocation_addr(&attr, c->frame->pc - c->frame->module->dwarf->bias,
		    &ops, &count, 1) != 1)
		return refuse(c, "its function's frame base is unknown here");
	struct compile inner = *c;
	struct elf_place place = {0};
	inner.attr = &attr;
	inner.depth++;
	inner.is_cfa = true;
	if (count == 1 && ops[0].atom == DW_OP_call_frame_cfa)
		inner.is_cfa = false;
	int r = compile_ops(&inner, ops, count, &place);
	if (r == 0 && offset) {
		elf_emit(c->ops, ELF_OP_CONST, offset);
		elf_emit(c->ops, ELF_OP_ADD, 0);
	}
	return r;
}

static int64_t register_location(const Dwarf_Op *ops, size_t count);

/* Somewhere else it has to have been kept when the function was entered, by the frame's place on the stack. */
static int push_kept(struct compile *c, const Dwarf_Op *ops)
{
	int64_t number = register_location(ops, 1);
	if (ops->atom == DW_OP_regval_type || ops->atom == DW_OP_GNU_regval_type)
		number = (int64_t)ops->number;
	/* rdi, rsi, rdx, rcx, r8, r9: where arguments are */
	if (number != 5 && number != 4 && number != 1 && number != 2 && number != 8 &&
		number != 9)
		return refuse(c, "only its value at the function's entry is known");
	if (c->is_cfa || elf_module_is_go(c->frame->module))
		return refuse(c, "only its value at the function's entry is known");
	int r = push_cfa(c);
	if (r < 0)
		return r;
	elf_emit(c->ops, ELF_OP_CONST, 8);
	elf_emit(c->ops, ELF_OP_SUB, 0);
	elf_emit(c->ops, ELF_OP_STATIC, (int64_t)c->frame->function->entry);
	elf_emit(c->ops, ELF_OP_ENTRY, number);
	return ops->atom == DW_OP_regval_type || ops->atom == DW_OP_GNU_regval_type
		       ? convert(c, ops, ops->number2)
		       : 0;
}

/* The value a register had at the function's entry: at the entry that is the register
 * itself. */
static int push_entry_value(struct compile *c, const Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t count;
	if (!c->frame->function)
		return refuse(c, "only its value at the function's entry is known");
	if (c->depth > EXPRESSION_DEPTH_MAX)
		return refuse(c, "its location refers to itself");
	if (dwarf_getlocation_attr(c->attr, op, &attr) != 0 ||
		dwarf_getlocation(&attr, &ops, &count) != 0 || count != 1)
		return refuse(c, "its entry value is too complex");
	struct compile inner = *c;
	inner.attr = &attr;
	inner.depth++;
	int r = c->frame->pc == c->frame->function->entry ? compile_op(&inner, ops)
							  : push_kept(&inner, ops);
	c->is_float = inner.is_float;
	return r;
}

static int push_address(struct compile *c, const Dwarf_Op *op)
{
	Dwarf_Addr address = op->number;
	Dwarf_Attribute attr;
	if (op->atom != DW_OP_addr && (dwarf_getlocation_attr(c->attr, op, &attr) != 0 ||
					      dwarf_formaddr(&attr, &address) != 0))
		return refuse(c, "corrupt address");
	elf_emit(c->ops, ELF_OP_STATIC,
		(int64_t)(address + c->frame->module->dwarf->bias));
	return 0;
}

/* A constant that stands in .debug_addr, as clang's offsets of thread-local variables. */
static int push_indexed(struct compile *c, const Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	if (dwarf_getlocation_attr(c->attr, op, &attr) != 0 ||
		dwarf_formudata(&attr, &value) != 0)
		return refuse(c, "corrupt address");
	elf_emit(c->ops, ELF_OP_CONST, (int64_t)value);
	return 0;
}

/* Conversions between integer types; offset 0 is the generic 64-bit type. */
static int convert(struct compile *c, const Dwarf_Op *op, Dwarf_Word type_offset)
{
	Dwarf_Die type;
	if (type_offset == 0)
		return 0;
	if (dwarf_getlocation_die(c->attr, op, &type) != 0)
		return refuse(c, "corrupt conversion");
	enum elf_value_class class = elf_type_class(c->frame->module, &type);
	uint64_t size = elf_type_size(c->frame->module, &type);
	if (size == 0 || size > 8)
		return refuse(c, "it is computed in floating point or 128 bits");
	/* bits may be looked at as those of another type, but not computed with */
	if (class == ELF_VALUE_FLOAT || c->is_float) {
		bool is_read = op->atom != DW_OP_convert && op->atom != DW_OP_GNU_convert;
		c->is_float = class == ELF_VALUE_FLOAT;
		return is_read ? 0
			       : refuse(c,
					 "it is computed in floating point or 128 bits");
	}
	if (size < 8)
		elf_emit(c->ops,
			elf_type_is_signed(c->frame->module, &type) ? ELF_OP_SIGN_EXTEND
								    : ELF_OP_ZERO_EXTEND,
			(int64_t)size * 8);
	return 0;
}

static int dereference(struct compile *c, const Dwarf_Op *op)
{
	uint64_t size = op->atom == DW_OP_deref ? 8 : op->number;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return refuse(c, "it is computed in floating point or 128 bits");
	elf_emit(c->ops, ELF_OP_DEREF, (int64_t)size);
	if (op->atom == DW_OP_deref_type || op->atom == DW_OP_GNU_deref_type)
		return convert(c, op, op->number2);
	return 0;
}

static int compile_constant(struct compile *c, const Dwarf_Op *op)
{
	int64_t value = (int64_t)op->number;
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		value = op->atom - DW_OP_lit0;
	elf_emit(c->ops, ELF_OP_CONST, value);
	return 0;
}

/* Operations that are one operation of ours; ELF_OP_REG stands for "none". */
static enum elf_op_kind simple_operation(uint8_t atom)
{
	static const struct {
		uint8_t atom, kind;
	} map[] = {
		{DW_OP_dup, ELF_OP_DUP},
		{DW_OP_drop, ELF_OP_DROP},
		{DW_OP_over, ELF_OP_OVER},
		{DW_OP_swap, ELF_OP_SWAP},
		{DW_OP_rot, ELF_OP_ROT},
		{DW_OP_and, ELF_OP_AND},
		{DW_OP_div, ELF_OP_DIV},
		{DW_OP_minus, ELF_OP_SUB},
		{DW_OP_mod, ELF_OP_MOD},
		{DW_OP_mul, ELF_OP_MUL},
		{DW_OP_neg, ELF_OP_NEG},
		{DW_OP_not, ELF_OP_NOT},
		{DW_OP_or, ELF_OP_OR},
		{DW_OP_plus, ELF_OP_ADD},
		{DW_OP_shl, ELF_OP_SHL},
		{DW_OP_shr, ELF_OP_SHR},
		{DW_OP_shra, ELF_OP_SHRA},
		{DW_OP_xor, ELF_OP_XOR},
		{DW_OP_eq, ELF_OP_EQ},
		{DW_OP_ge, ELF_OP_GE},
		{DW_OP_gt, ELF_OP_GT},
		{DW_OP_le, ELF_OP_LE},
		{DW_OP_lt, ELF_OP_LT},
		{DW_OP_ne, ELF_OP_NE},
	};
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (map[i].atom == atom)
			return (enum elf_op_kind)map[i].kind;
	}
	return ELF_OP_REG;
}

static int compile_implicit_value(
	struct compile *c, const Dwarf_Op *op, struct elf_place *ret)
{
	Dwarf_Block block;
	if (!c->attr || dwarf_getlocation_implicit_value(c->attr, op, &block) != 0 ||
		!elf_place_bytes(ret, c->ops, block.data, block.length))
		return refuse(c, "it is a large constant without a place");
	return 0;
}

/* A constant of a type: its size in a byte, then its bytes. */
static int compile_typed_constant(struct compile *c, const Dwarf_Op *op)
{
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)op->number2;
	Dwarf_Die type;
	if (!bytes || bytes[0] > 8 || dwarf_getlocation_die(c->attr, op, &type) != 0)
		return refuse(c, "it is computed in floating point or 128 bits");
	uint64_t value = 0;
	for (unsigned i = 0; i < bytes[0]; i++)
		value |= (uint64_t)bytes[1 + i] << 8 * i;
	elf_emit(c->ops, ELF_OP_CONST, (int64_t)value);
	if (elf_type_class(c->frame->module, &type) == ELF_VALUE_FLOAT)
		c->is_float = true;
	else if (bytes[0] < 8 && elf_type_is_signed(c->frame->module, &type))
		elf_emit(c->ops, ELF_OP_SIGN_EXTEND, bytes[0] * 8);
	return 0;
}

/* What is left to the reader: something of which this is the address. */
static int compile_implicit_pointer(
	struct compile *c, const Dwarf_Op *op, struct elf_place *ret)
{
	if (!c->attr || (int64_t)op->number2 < 0 ||
		dwarf_getlocation_implicit_pointer(c->attr, op, &ret->pointee) != 0)
		return refuse(c, "the pointer was optimised out");
	ret->is_pointer = true;
	ret->pointee_offset = op->number2;
	return 0;
}

/* The offset in the module's block is on top; what follows makes it an address. */
static int compile_tls(struct compile *c)
{
	const char *why;
	int r = elf_tls_base(c->frame->module, c->ops, &why);
	if (r < 0)
		return refuse(c, why);
	elf_emit(c->ops, ELF_OP_ADD, 0);
	return 0;
}

static int compile_op(struct compile *c, const Dwarf_Op *op)
{
	enum elf_op_kind simple = simple_operation(op->atom);
	if (simple != ELF_OP_REG) {
		bool computes = simple < ELF_OP_DUP;
		if (computes && c->is_float)
			return refuse(c, "it is computed in floating point or 128 bits");
		elf_emit(c->ops, simple, 0);
		return 0;
	}
	if ((op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) ||
		(op->atom >= DW_OP_const1u && op->atom <= DW_OP_consts))
		return compile_constant(c, op);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return push_register(c, op->atom - DW_OP_breg0, (int64_t)op->number);
	if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
		return push_register(c, op->atom - DW_OP_reg0, 0);
	switch (op->atom) {
	case DW_OP_addr:
	case DW_OP_addrx:
	case DW_OP_GNU_addr_index:
		return push_address(c, op);
	case DW_OP_bregx:
		return push_register(c, op->number, (int64_t)op->number2);
	case DW_OP_regx:
		return push_register(c, op->number, 0);
	case DW_OP_regval_type:
	case DW_OP_GNU_regval_type: {
		int r = push_register(c, op->number, 0);
		return r < 0 ? r : convert(c, op, op->number2);
	}
	case DW_OP_fbreg:
		return c->is_cfa ? refuse(c, "corrupt frame base")
				 : push_frame_base(c, (int64_t)op->number);
	case DW_OP_call_frame_cfa:
		return c->is_cfa ? refuse(c, "corrupt frame base") : push_cfa(c);
	case DW_OP_plus_uconst:
		elf_emit(c->ops, ELF_OP_CONST, (int64_t)op->number);
		elf_emit(c->ops, ELF_OP_ADD, 0);
		return 0;
	case DW_OP_pick:
		elf_emit(c->ops, ELF_OP_PICK, (int64_t)op->number);
		return 0;
	case DW_OP_deref:
	case DW_OP_deref_size:
	case DW_OP_deref_type:
	case DW_OP_GNU_deref_type:
		return dereference(c, op);
	case DW_OP_convert:
	case DW_OP_GNU_convert:
	case DW_OP_reinterpret:
	case DW_OP_GNU_reinterpret:
		return convert(c, op, op->number);
	case DW_OP_entry_value:
	case DW_OP_GNU_entry_value:
		return push_entry_value(c, op);
	case DW_OP_const_type:
	case DW_OP_GNU_const_type:
		return compile_typed_constant(c, op);
	case DW_OP_constx:
	case DW_OP_GNU_const_index:
		return push_indexed(c, op);
	case DW_OP_nop:
	case DW_OP_stack_value:
		return 0;
	case DW_OP_form_tls_address:
	case DW_OP_GNU_push_tls_address:
		return compile_tls(c);
	case DW_OP_GNU_parameter_ref:
	case DW_OP_GNU_variable_value: /* gcc: "wherever the caller's object is" */
		(void)refuse(c, "it was passed by reference and optimised");
		return -ENOSYS;
	default:
		return refuse(c, "its location uses an operation that is not supported");
	}
}

/* DW_OP_regN as the whole of a location; -1: it is none */
static int64_t register_location(const Dwarf_Op *ops, size_t count)
{
	if (count != 1)
		return -1;
	if (ops->atom >= DW_OP_reg0 && ops->atom <= DW_OP_reg31)
		return ops->atom - DW_OP_reg0;
	return ops->atom == DW_OP_regx && ops->number <= REGISTER_XMM15
		       ? (int64_t)ops->number
		       : -1;
}

/* One place, of a variable or of a piece of it, of which @bits are used. */
static int compile_simple(struct compile *c, const Dwarf_Op *ops, size_t count,
	uint64_t bits, struct elf_place *ret)
{
	const Dwarf_Op *last = &ops[count - 1];
	int64_t number = register_location(ops, count);
	if (number >= REGISTER_XMM0 && number <= REGISTER_XMM15) {
		elf_place_vector(ret, c->ops, (unsigned)(number - REGISTER_XMM0), bits);
		return 0;
	}
	if (count == 1 && last->atom == DW_OP_implicit_value)
		return compile_implicit_value(c, last, ret);
	if (count == 1 && (last->atom == DW_OP_implicit_pointer ||
				  last->atom == DW_OP_GNU_implicit_pointer))
		return compile_implicit_pointer(c, last, ret);
	c->is_float = false;
	ret->is_value = last->atom == DW_OP_stack_value || number >= 0;
	for (size_t i = 0; i < count; i++) {
		int r = compile_op(c, &ops[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What cannot be read is a hole: the rest of the variable can be. */
static bool compile_piece(struct compile *c, const Dwarf_Op *ops, size_t count,
	const Dwarf_Op *end, struct elf_place *ret)
{
	struct elf_place place = {0};
	struct compile inner = *c;
	struct elf_piece piece = {.op_start = c->ops->count};
	piece.bits = end->atom == DW_OP_piece ? end->number * 8 : end->number;
	piece.skip = end->atom == DW_OP_piece ? 0 : end->number2;
	inner.err = NULL;
	piece.is_absent = count == 0 ||
			  compile_simple(&inner, ops, count,
				  piece.bits < VECTOR_BITS ? piece.bits : VECTOR_BITS,
				  &place) < 0 ||
			  place.is_pointer;
	piece.is_value = place.is_value;
	if (piece.is_absent) {
		c->ops->count = piece.op_start;
		place.piece_count = 0;
	}
	if (!place.piece_count)
		return elf_place_add_piece(ret, c->ops, &piece);
	/* wide registers and constants come in pieces of their own, in order */
	for (size_t i = 0; i < place.piece_count; i++) {
		if (ret->piece_count == ELF_PIECES_MAX)
			return false;
		ret->pieces[ret->piece_count++] = place.pieces[i];
	}
	return true;
}

static int compile_pieces(
	struct compile *c, const Dwarf_Op *ops, size_t count, struct elf_place *ret)
{
	size_t start = 0;
	bool is_known = false;
	for (size_t i = 0; i < count; i++) {
		if (ops[i].atom != DW_OP_piece && ops[i].atom != DW_OP_bit_piece)
			continue;
		if (!compile_piece(c, &ops[start], i - start, &ops[i], ret))
			return refuse(c, "it is split between too many places");
		start = i + 1;
	}
	for (size_t i = 0; i < ret->piece_count; i++)
		is_known = is_known || !ret->pieces[i].is_absent;
	return is_known ? 0 : refuse(c, "optimised out");
}

static int compile_ops(
	struct compile *c, const Dwarf_Op *ops, size_t count, struct elf_place *ret)
{
	if (c->depth > EXPRESSION_DEPTH_MAX)
		return refuse(c, "its location refers to itself");
	if (count == 0)
		return refuse(c, "optimised out");
	for (size_t i = 0; i < count; i++) {
		if (ops[i].atom == DW_OP_piece || ops[i].atom == DW_OP_bit_piece)
			return compile_pieces(c, ops, count, ret);
	}
	return compile_simple(c, ops, count, VECTOR_BITS, ret);
}

/*
 * gcc's views: a parameter that is gone after the first instruction, or was never needed, has an empty range
 * at the function's entry, which is where it came in.
 */
static bool entry_location(const struct elf_frame *frame, Dwarf_Attribute *attr,
	Dwarf_Op **ret_ops, size_t *ret_count)
{
	Dwarf_Addr pc = frame->pc - frame->module->dwarf->bias, base, start, end;
	ptrdiff_t offset = 0;
	if (!elf_frame_is_entry(frame))
		return false;
	while ((offset = dwarf_getlocations(
			attr, offset, &base, &start, &end, ret_ops, ret_count)) > 0) {
		if (start == pc && end == pc && *ret_count > 0)
			return true;
	}
	return false;
}

int elf_location_compile(const struct elf_frame *frame, Dwarf_Attribute *attr,
	struct elf_op_list *ops, struct elf_place *ret, struct error *err)
{
	struct compile c = {.frame = frame, .attr = attr, .ops = ops, .err = err};
	*ret = (struct elf_place){0};
	Dwarf_Op *expressions[LOCATIONS_MAX];
	size_t counts[LOCATIONS_MAX];
	Dwarf_Addr pc = frame->pc - frame->module->dwarf->bias;
	int count = dwarf_getlocation_addr(attr, pc, expressions, counts, LOCATIONS_MAX);
	if (count <= 0 && entry_location(frame, attr, &expressions[0], &counts[0]))
		count = 1;
	if (count <= 0)
		return refuse(&c, "optimised out");
	return compile_ops(&c, expressions[0], counts[0], ret);
}
