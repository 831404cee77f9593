/* SPDX-License-Identifier: MIT */
/*
 * The rewrites (orig: the original runtime address):
 *
 *   position-independent   copied
 *   disp32(%rip)           displacement adjusted
 *   jmp, jcc rel8/rel32    rel32 form
 *   loop, jrcxz            no rel32 form: loop +2; jmp +5; jmp target (prefixes kept)
 *   call target            push orig return address; jmp target
 *   call *x                push orig return address; jmp *x, x adjusted when it is
 * relative to rsp
 *
 * A call keeps its original return address, so the callee, unwinders and exceptions never
 * see the trampoline; the return predictor is wrong once.  With a shadow stack that would
 * fault.
 */
#include "arch/x86_64/relocate.h"

enum {
	REG_RSP = 4,
	PUSH_SIZE = 5,
	PUSH_HIGH_SIZE = 8
};

/* the memory operand's base is rsp */
static bool has_rsp_base(const ZydisDecodedInstruction *z)
{
	return (z->attributes & ZYDIS_ATTRIB_HAS_SIB) && z->raw.modrm.mod != 3 &&
	       z->raw.sib.base == REG_RSP && !z->raw.rex.B;
}

static const char *check_indirect_call(const ZydisDecodedInstruction *z)
{
	if (z->raw.modrm.mod == 3)
		return z->raw.modrm.rm == REG_RSP && !z->raw.rex.B ? "call through rsp"
								   : NULL;
	/* the return address is pushed before the operand is read */
	if (has_rsp_base(z) && z->raw.disp.value < 0)
		return "call through memory below rsp";
	if (z->operand_width != 64)
		return "call with a 16-bit operand";
	return NULL;
}

const char *relocate_check(const struct insn *insn, bool shadow_stack)
{
	const ZydisDecodedInstruction *z = &insn->zydis;
	switch (insn->kind) {
	case INSN_TRAP:
		return z->mnemonic == ZYDIS_MNEMONIC_INT3
			       ? "int3 in text: another tracer, or a debug trap"
			       : "instruction that traps: its address is reported";
	case INSN_SYSCALL:
		return "system call instruction: its address is used by the kernel to restart it";
	case INSN_XBEGIN:
		return "instruction of a transaction";
	case INSN_FAR:
		return "far branch";
	case INSN_CALL:
	case INSN_CALL_INDIRECT:
		if (shadow_stack)
			return "call in a process with a shadow stack";
		if (insn->kind == INSN_CALL_INDIRECT && check_indirect_call(z))
			return check_indirect_call(z);
		break;
	case INSN_PLAIN:
	case INSN_NOP:
	case INSN_JMP:
	case INSN_JCC:
	case INSN_LOOP:
	case INSN_JMP_INDIRECT:
	case INSN_RET:
		break;
	}
	if (insn->is_eip_relative)
		return "operand relative to a 32-bit program counter";
	if (z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return "privileged instruction";
	return NULL;
}

/* A copy with its RIP-relative displacement, if any, adjusted. */
static void emit_copy(struct emitter *e, const struct insn *insn, uint64_t bias)
{
	if (!insn->has_operand) {
		emit(e, insn->bytes, insn->length);
		return;
	}
	unsigned int at = insn->zydis.raw.disp.offset;
	emit(e, insn->bytes, at);
	emit_rel32(e, insn->operand + bias, insn->length - at - 4);
	emit(e, insn->bytes + at + 4, insn->length - at - 4);
}

static void emit_target(struct emitter *e, struct relocate_target *target)
{
	target->at = e->size;
	if (target->is_label)
		emit_u32(e, 0);
	else
		emit_rel32(e, target->address, 0);
}

static void emit_jmp_to(struct emitter *e, struct relocate_target *target)
{
	EMIT(e, 0xe9);
	emit_target(e, target);
}

static void emit_push_address(struct emitter *e, uint64_t value)
{
	EMIT(e, 0x68); /* push $imm32, sign-extended */
	emit_u32(e, (uint32_t)value);
	if ((int64_t)value == (int32_t)value)
		return;
	EMIT(e, 0xc7, 0x44, 0x24, 0x04); /* movl $high,4(%rsp) */
	emit_u32(e, (uint32_t)(value >> 32));
}

unsigned int relocate_push_size(const struct insn *insn, uint64_t bias)
{
	int64_t value = (int64_t)(insn->address + insn->length + bias);
	return value == (int32_t)value ? PUSH_SIZE : PUSH_SIZE + PUSH_HIGH_SIZE;
}

/* call *x as jmp *x with the return address pushed already */
static void emit_indirect_call(struct emitter *e, const struct insn *insn, uint64_t bias)
{
	const ZydisDecodedInstruction *z = &insn->zydis;
	unsigned int modrm = z->raw.modrm.offset;
	uint8_t copy[ZYDIS_MAX_INSTRUCTION_LENGTH + 4];
	emit_push_address(e, insn->address + insn->length + bias);
	if (has_rsp_base(z)) {
		/* prefixes, opcode, modrm with disp32, sib, disp32 + 8 */
		uint32_t displacement = (uint32_t)(z->raw.disp.value + 8);
		memcpy(copy, insn->bytes, modrm + 2u);
		copy[modrm] = 0x80 | (4 << 3) | 4; /* mod 10, /4, sib */
		emit(e, copy, modrm + 2u);
		emit_u32(e, displacement);
		return;
	}
	struct insn jump = *insn;
	memcpy(copy, insn->bytes, insn->length);
	copy[modrm] = (uint8_t)((copy[modrm] & ~0x38) | (4 << 3)); /* ff /2 to ff /4 */
	jump.bytes = copy;
	emit_copy(e, &jump, bias);
}

static void emit_loop(
	struct emitter *e, const struct insn *insn, struct relocate_target *target)
{
	emit(e, insn->bytes, insn->length - 1u);
	EMIT(e, 0x02, 0xeb, 0x05); /* taken: skip the jmp +5 */
	emit_jmp_to(e, target);
}

void relocate_emit(struct emitter *e, const struct insn *insn, uint64_t bias,
	struct relocate_target *target)
{
	switch (insn->kind) {
	case INSN_JMP:
		emit_jmp_to(e, target);
		break;
	case INSN_JCC:
		EMIT(e, 0x0f, (uint8_t)(0x80 | (insn->zydis.opcode & 0x0f)));
		emit_target(e, target);
		break;
	case INSN_LOOP:
		emit_loop(e, insn, target);
		break;
	case INSN_CALL:
		emit_push_address(e, insn->address + insn->length + bias);
		emit_jmp(e, insn->target + bias);
		break;
	case INSN_CALL_INDIRECT:
		emit_indirect_call(e, insn, bias);
		break;
	case INSN_PLAIN:
	case INSN_NOP:
	case INSN_JMP_INDIRECT:
	case INSN_RET:
	case INSN_TRAP:
	case INSN_SYSCALL:
	case INSN_XBEGIN:
	case INSN_FAR:
		emit_copy(e, insn, bias);
		break;
	}
}
