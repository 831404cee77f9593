/* SPDX-License-Identifier: MIT */
/*
 * What the instructions at function entries and exits do, on a register set: for probes that run
 * outside of the process, where each instruction less that has to be run out of line counts.  Anything
 * unusual about an instruction (a prefix, a segment, a vector) and it is left alone.
 */
#include <string.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"

enum {
	FLAG_CF = 1 << 0,
	FLAG_PF = 1 << 2,
	FLAG_AF = 1 << 4,
	FLAG_ZF = 1 << 6,
	FLAG_SF = 1 << 7,
	FLAG_OF = 1 << 11,
	STATUS_FLAGS = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
	WORD = 8,
	OPERANDS = 3
};

struct emulation {
	struct insn insn;
	ZydisDecodedOperand operands[OPERANDS];
	struct user_regs_struct *regs;
	const struct arch_memory *memory;
	uint64_t next; /* the instruction pointer afterwards */
	bool taken;
};

/* ---- registers and operands ---------------------------------------------------------------------------------- */

static unsigned long long *find_register(
	struct user_regs_struct *regs, unsigned int number)
{
	unsigned long long *const all[] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx,
		&regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi, &regs->r8, &regs->r9,
		&regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15};
	return number < sizeof(all) / sizeof(all[0]) ? all[number] : NULL;
}

/* Where a general register, or a part of one, is found. */
struct slice {
	unsigned long long *whole; /* NULL: not a general register */
	unsigned int bits, shift;
};

static struct slice find_slice(struct emulation *e, ZydisRegister reg)
{
	static const struct {
		ZydisRegister first, last;
		unsigned int bits, number, shift;
	} kinds[] = {
		{ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15, 64, 0, 0},
		{ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D, 32, 0, 0},
		{ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W, 16, 0, 0},
		{ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL, 8, 0, 0},
		{ZYDIS_REGISTER_AH, ZYDIS_REGISTER_BH, 8, 0, 8},
		{ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B, 8, 4, 0},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (reg >= kinds[i].first && reg <= kinds[i].last)
			return (struct slice){
				find_register(
					e->regs, kinds[i].number + (unsigned int)reg -
							 (unsigned int)kinds[i].first),
				kinds[i].bits, kinds[i].shift};
	return (struct slice){0};
}

static uint64_t slice_mask(unsigned int bits)
{
	return ~0ull >> (64 - bits);
}

static void write_slice(const struct slice *slice, uint64_t value)
{
	uint64_t mask = slice_mask(slice->bits);
	value &= mask;
	/* 32 bits clear the upper half, fewer leave the rest as it is */
	*slice->whole = slice->bits >= 32 ? value
					  : (*slice->whole & ~(mask << slice->shift)) |
						    value << slice->shift;
}

static bool address_part(struct emulation *e, ZydisRegister reg, uint64_t *ret)
{
	*ret = 0;
	if (reg == ZYDIS_REGISTER_NONE)
		return true;
	if (reg == ZYDIS_REGISTER_RIP) {
		*ret = e->insn.address + e->insn.length;
		return true;
	}
	struct slice slice = find_slice(e, reg);
	if (slice.bits != 64)
		return false;
	*ret = *slice.whole;
	return true;
}

static bool operand_address(
	struct emulation *e, const ZydisDecodedOperand *operand, uint64_t *ret)
{
	const ZydisDecodedOperandMem *mem = &operand->mem;
	uint64_t base, index;
	if (e->insn.zydis.address_width != 64 || mem->segment == ZYDIS_REGISTER_FS ||
		mem->segment == ZYDIS_REGISTER_GS || !address_part(e, mem->base, &base) ||
		!address_part(e, mem->index, &index))
		return false;
	*ret = base + index * (mem->index == ZYDIS_REGISTER_NONE ? 0 : mem->scale) +
	       (mem->disp.has_displacement ? (uint64_t)mem->disp.value : 0);
	return true;
}

static bool read_operand(struct emulation *e, const ZydisDecodedOperand *operand,
	uint64_t *ret, unsigned int *ret_bits)
{
	uint64_t address;
	struct slice slice;
	switch (operand->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*ret = operand->imm.is_signed ? (uint64_t)operand->imm.value.s
					      : operand->imm.value.u;
		return true;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		slice = find_slice(e, operand->reg.value);
		if (!slice.whole)
			return false;
		*ret_bits = slice.bits;
		*ret = *slice.whole >> slice.shift & slice_mask(slice.bits);
		return true;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		*ret = 0;
		*ret_bits = operand->size;
		return operand->size <= 64 && operand_address(e, operand, &address) &&
		       e->memory->read(
			       e->memory->data, address, ret, operand->size / 8u) == 0;
	case ZYDIS_OPERAND_TYPE_UNUSED:
	case ZYDIS_OPERAND_TYPE_POINTER:
		break;
	}
	return false;
}

static bool write_operand(
	struct emulation *e, const ZydisDecodedOperand *operand, uint64_t value)
{
	uint64_t address;
	if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		struct slice slice = find_slice(e, operand->reg.value);
		if (slice.whole)
			write_slice(&slice, value);
		return slice.whole != NULL;
	}
	return operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->size <= 64 &&
	       operand_address(e, operand, &address) &&
	       e->memory->write(e->memory->data, address, &value, operand->size / 8u) ==
		       0;
}

/* ---- the stack ---------------------------------------------------------------------------------------------- */

static bool push(struct emulation *e, uint64_t value)
{
	if (e->memory->write(e->memory->data, e->regs->rsp - WORD, &value, WORD) < 0)
		return false;
	e->regs->rsp -= WORD;
	return true;
}

static bool pop(struct emulation *e, uint64_t *ret)
{
	if (e->memory->read(e->memory->data, e->regs->rsp, ret, WORD) < 0)
		return false;
	e->regs->rsp += WORD;
	return true;
}

/* ---- flags ---------------------------------------------------------------------------------------------------- */

static uint64_t result_flags(uint64_t result, unsigned int bits)
{
	uint64_t sign = 1ull << (bits - 1), flags = 0;
	result &= sign | (sign - 1);
	flags |= result == 0 ? FLAG_ZF : 0;
	flags |= result & sign ? FLAG_SF : 0;
	flags |= __builtin_parity((unsigned int)(result & 0xff)) ? 0 : FLAG_PF;
	return flags;
}

static void set_flags(struct emulation *e, uint64_t flags)
{
	e->regs->eflags = (e->regs->eflags & ~(uint64_t)STATUS_FLAGS) | flags;
}

static uint64_t add_values(
	struct emulation *e, uint64_t a, uint64_t b, bool subtract, unsigned int bits)
{
	uint64_t sign = 1ull << (bits - 1), mask = sign | (sign - 1);
	a &= mask;
	b &= mask;
	uint64_t result = (subtract ? a - b : a + b) & mask;
	uint64_t flags = result_flags(result, bits);
	bool carry = subtract ? a < b : result < a;
	uint64_t overflow = subtract ? (a ^ b) & (a ^ result) : ~(a ^ b) & (a ^ result);
	flags |= carry ? FLAG_CF : 0;
	flags |= overflow & sign ? FLAG_OF : 0;
	flags |= (a ^ b ^ result) & 0x10 ? FLAG_AF : 0;
	set_flags(e, flags);
	return result;
}

/* The low nibble of the opcode of jcc. */
static bool condition_holds(uint64_t flags, unsigned int condition)
{
	bool cf = flags & FLAG_CF, zf = flags & FLAG_ZF, sf = flags & FLAG_SF,
	     of = flags & FLAG_OF, pf = flags & FLAG_PF;
	const bool holds[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};
	return holds[condition >> 1 & 7] != (condition & 1);
}

/* ---- instructions -------------------------------------------------------------------------------------------- */

static bool do_arithmetic(struct emulation *e, ZydisMnemonic mnemonic)
{
	uint64_t a, b;
	unsigned int bits = 0, other = 0;
	bool writes = mnemonic != ZYDIS_MNEMONIC_CMP && mnemonic != ZYDIS_MNEMONIC_TEST;
	if (!read_operand(e, &e->operands[0], &a, &bits) ||
		!read_operand(e, &e->operands[1], &b, &other) || (other && other != bits))
		return false;
	uint64_t result, flags = e->regs->eflags;
	switch ((int)mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		result = add_values(e, a, b, false, bits);
		break;
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_CMP:
		result = add_values(e, a, b, true, bits);
		break;
	case ZYDIS_MNEMONIC_OR:
		result = a | b;
		set_flags(e, result_flags(result, bits));
		break;
	case ZYDIS_MNEMONIC_XOR:
		result = a ^ b;
		set_flags(e, result_flags(result, bits));
		break;
	default: /* and, test */
		result = a & b;
		set_flags(e, result_flags(result, bits));
		break;
	}
	if (!writes || write_operand(e, &e->operands[0], result))
		return true;
	e->regs->eflags = flags;
	return false;
}

static bool do_lea(struct emulation *e)
{
	uint64_t address;
	return operand_address(e, &e->operands[1], &address) &&
	       write_operand(e, &e->operands[0], address);
}

static bool do_mov(struct emulation *e)
{
	uint64_t value;
	unsigned int bits = 0;
	return read_operand(e, &e->operands[1], &value, &bits) &&
	       write_operand(e, &e->operands[0], value);
}

static bool do_extend(struct emulation *e, bool is_signed)
{
	uint64_t value;
	unsigned int bits = 0;
	if (!read_operand(e, &e->operands[1], &value, &bits))
		return false;
	if (is_signed)
		value = (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
	return write_operand(e, &e->operands[0], value);
}

static bool do_push_pop(struct emulation *e, bool is_push)
{
	uint64_t value, rsp = e->regs->rsp;
	unsigned int bits = 64;
	if (e->insn.zydis.operand_width != 64)
		return false;
	if (is_push)
		return read_operand(e, &e->operands[0], &value, &bits) && push(e, value);
	if (pop(e, &value) && write_operand(e, &e->operands[0], value))
		return true;
	e->regs->rsp = rsp;
	return false;
}

static bool do_leave(struct emulation *e)
{
	uint64_t rsp = e->regs->rsp, rbp;
	e->regs->rsp = e->regs->rbp;
	if (!pop(e, &rbp)) {
		e->regs->rsp = rsp;
		return false;
	}
	e->regs->rbp = rbp;
	return true;
}

static bool do_ret(struct emulation *e)
{
	if (e->insn.zydis.operand_width != 64 || !pop(e, &e->next))
		return false;
	if (e->insn.zydis.raw.imm[0].size)
		e->regs->rsp += e->insn.zydis.raw.imm[0].value.u;
	return true;
}

static bool do_loop(struct emulation *e)
{
	unsigned int opcode = e->insn.zydis.opcode;
	bool zf = e->regs->eflags & FLAG_ZF;
	if (e->insn.zydis.address_width != 64)
		return false;
	if (opcode == 0xe3) { /* jrcxz */
		e->taken = e->regs->rcx == 0;
		return true;
	}
	e->regs->rcx--;
	e->taken =
		e->regs->rcx != 0 &&
		(opcode == 0xe2 || (opcode == 0xe1 ? zf : !zf)); /* loop, loope, loopne */
	return true;
}

static bool do_branch(struct emulation *e)
{
	unsigned int bits = 64;
	uint64_t after = e->next;
	switch (e->insn.kind) {
	case INSN_JMP:
		e->taken = true;
		break;
	case INSN_JCC:
		e->taken = condition_holds(e->regs->eflags, e->insn.zydis.opcode & 0x0f);
		break;
	case INSN_LOOP:
		if (!do_loop(e))
			return false;
		break;
	case INSN_CALL:
		e->next = e->insn.target;
		return push(e, after);
	case INSN_JMP_INDIRECT:
		e->taken = true;
		return e->insn.zydis.operand_width == 64 &&
		       read_operand(e, &e->operands[0], &e->next, &bits);
	case INSN_CALL_INDIRECT:
		return e->insn.zydis.operand_width == 64 &&
		       read_operand(e, &e->operands[0], &e->next, &bits) &&
		       push(e, after);
	case INSN_RET:
		return do_ret(e);
	case INSN_PLAIN:
	case INSN_NOP:
	case INSN_TRAP:
	case INSN_SYSCALL:
	case INSN_XBEGIN:
	case INSN_FAR:
		return false;
	}
	if (e->taken)
		e->next = e->insn.target;
	return true;
}

static bool do_plain(struct emulation *e)
{
	const ZydisInstructionAttributes unusual =
		ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
		ZYDIS_ATTRIB_HAS_REPNE;
	ZydisMnemonic mnemonic = e->insn.zydis.mnemonic;
	if (e->insn.zydis.attributes & unusual)
		return false;
	switch ((int)mnemonic) {
	case ZYDIS_MNEMONIC_ENDBR64:
		return true;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return do_push_pop(e, mnemonic == ZYDIS_MNEMONIC_PUSH);
	case ZYDIS_MNEMONIC_MOV:
		return do_mov(e);
	case ZYDIS_MNEMONIC_MOVZX:
		return do_extend(e, false);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return do_extend(e, true);
	case ZYDIS_MNEMONIC_LEA:
		return do_lea(e);
	case ZYDIS_MNEMONIC_LEAVE:
		return do_leave(e);
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_TEST:
		return do_arithmetic(e, mnemonic);
	default:
		return false;
	}
}

static bool decode(
	struct emulation *e, const uint8_t *bytes, size_t size, uint64_t address)
{
	ZydisDecoder decoder;
	ZydisDecodedOperand all[ZYDIS_MAX_OPERAND_COUNT];
	if (!insn_decode(bytes, size, address, &e->insn) ||
		!ZYAN_SUCCESS(ZydisDecoderInit(
			&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
		!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&decoder, &e->insn.context,
			&e->insn.zydis, all, e->insn.zydis.operand_count)))
		return false;
	memcpy(e->operands, all, sizeof(e->operands));
	return true;
}

bool arch_emulate(const uint8_t *bytes, size_t size, uint64_t address,
	const struct arch_memory *memory, struct user_regs_struct *regs, bool *ret_taken)
{
	struct user_regs_struct copy = *regs;
	struct emulation e = {.regs = &copy, .memory = memory};
	if (!decode(&e, bytes, size, address))
		return false;
	e.next = address + e.insn.length;
	bool done = e.insn.kind == INSN_NOP ||
		    (e.insn.kind == INSN_PLAIN ? do_plain(&e) : do_branch(&e));
	if (!done)
		return false;
	copy.rip = e.next;
	*regs = copy;
	*ret_taken = e.taken;
	return true;
}
