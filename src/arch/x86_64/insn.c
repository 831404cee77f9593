/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/insn.h"

#include <pthread.h>
#include <string.h>

enum {
	LINUX_SYSCALL_VECTOR = 0x80
};

static ZydisDecoder decoder;
static pthread_once_t decoder_once = PTHREAD_ONCE_INIT;

static void decoder_init(void)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static enum insn_kind classify_branch(const ZydisDecodedInstruction *z)
{
	bool direct = z->raw.imm[0].is_relative;
	switch ((int)z->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return direct ? INSN_CALL : INSN_CALL_INDIRECT;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return direct ? INSN_JMP : INSN_JMP_INDIRECT;
	default:
		break;
	}
	/* e0..e3: loopne, loope, loop, jrcxz */
	if (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && z->opcode >= 0xe0 &&
		z->opcode <= 0xe3)
		return INSN_LOOP;
	return INSN_JCC;
}

static enum insn_kind classify(const ZydisDecodedInstruction *z)
{
	switch ((int)z->mnemonic) {
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT: /* goes on behind itself where no transaction runs */
		return INSN_XBEGIN;
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INTO:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_JKZD: /* of a coprocessor long gone: undefined */
	case ZYDIS_MNEMONIC_JKNZD:
		return INSN_TRAP;
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
		return INSN_SYSCALL;
	case ZYDIS_MNEMONIC_INT:
		return z->raw.imm[0].value.u == LINUX_SYSCALL_VECTOR ? INSN_SYSCALL
								     : INSN_TRAP;
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
		return INSN_PLAIN;
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_UIRET:
		return INSN_FAR;
	default:
		break;
	}
	if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return INSN_FAR;
	switch ((int)z->meta.category) {
	case ZYDIS_CATEGORY_RET:
		return INSN_RET;
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP:
		return INSN_NOP;
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
		return classify_branch(z);
	default:
		return INSN_PLAIN;
	}
}

/* AMD cuts the target to 16 bits and, where it is relative, reads a displacement of 16; Intel ignores the
 * prefix.  No compiler emits it: such bytes are data. */
static bool is_narrow_branch(const ZydisDecodedInstruction *z)
{
	if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
		z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || z->raw.rex.W)
		return false;
	for (unsigned int i = 0; i < z->raw.prefix_count; i++)
		if (z->raw.prefixes[i].value == 0x66)
			return true;
	return false;
}

bool insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct insn *ret)
{
	pthread_once(&decoder_once, decoder_init);
	if (size > ZYDIS_MAX_INSTRUCTION_LENGTH)
		size = ZYDIS_MAX_INSTRUCTION_LENGTH;
	ZydisDecodedInstruction *z = &ret->zydis;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
		    &decoder, &ret->context, bytes, size, z)) ||
		is_narrow_branch(z))
		return false;
	ret->address = address;
	ret->bytes = bytes;
	ret->length = z->length;
	ret->kind = classify(z);
	ret->has_target = z->raw.imm[0].is_relative;
	if (ret->has_target)
		ret->target = address + z->length + (uint64_t)z->raw.imm[0].value.s;
	/* mod 00, r/m 101 is disp32(%rip) in every encoding, VEX and EVEX included */
	ret->has_operand = (z->attributes & ZYDIS_ATTRIB_HAS_MODRM) &&
			   z->raw.modrm.mod == 0 && z->raw.modrm.rm == 5 &&
			   z->raw.disp.size == 32;
	ret->is_eip_relative = ret->has_operand && z->address_width != 64;
	if (ret->has_operand)
		ret->operand = address + z->length + (uint64_t)z->raw.disp.value;
	return true;
}

bool insn_ends_flow(const struct insn *insn)
{
	return insn->kind == INSN_JMP || insn->kind == INSN_JMP_INDIRECT ||
	       insn->kind == INSN_RET || insn->kind == INSN_TRAP ||
	       insn->kind == INSN_FAR;
}

bool insn_is_conditional(const struct insn *insn)
{
	return insn->kind == INSN_JCC || insn->kind == INSN_LOOP;
}

bool insn_is_padding(const struct insn *insn)
{
	return insn->kind == INSN_NOP || insn->zydis.mnemonic == ZYDIS_MNEMONIC_INT3;
}

bool insn_is_endbr(const uint8_t *bytes, size_t size)
{
	return size >= 4 && memcmp(bytes, "\xf3\x0f\x1e\xfa", 4) == 0;
}
