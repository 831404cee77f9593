/* SPDX-License-Identifier: MIT */
/* Code of others that is to run inside a program: does it keep to the registers that are saved for it? */
#include <errno.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"

static bool is_saved(ZydisRegister reg)
{
	switch ((int)ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
	case ZYDIS_REGCLASS_TMM:
	case ZYDIS_REGCLASS_MASK:
	case ZYDIS_REGCLASS_SEGMENT:
		return false;
	default:
		return true;
	}
}

static const char *find_problem(const ZydisDecoder *decoder, const struct insn *insn)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	if (insn->kind == INSN_SYSCALL || insn->kind == INSN_FAR ||
		insn->kind == INSN_XBEGIN)
		return "a system call, a far branch or a transaction";
	if (insn->kind == INSN_TRAP && !insn_is_padding(insn) &&
		insn->zydis.mnemonic != ZYDIS_MNEMONIC_UD2)
		return "a trap";
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(decoder, &insn->context,
		    &insn->zydis, operands, insn->zydis.operand_count)))
		return "an instruction that cannot be decoded";
	for (unsigned int i = 0; i < insn->zydis.operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			!is_saved(operands[i].reg.value))
			return "a vector, floating point or segment register (compile it with "
			       "-mgeneral-regs-only)";
	return NULL;
}

int arch_check_guest(const uint8_t *bytes, size_t size, struct error *err)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t at = 0; at < size;) {
		struct insn insn;
		if (!insn_decode(bytes + at, size - at, at, &insn))
			return error_set(err, -ENOEXEC,
				"bytes at 0x%zx of the code are no instruction", at);
		const char *problem = find_problem(&decoder, &insn);
		if (problem)
			return error_set(
				err, -ENOEXEC, "the code uses %s at 0x%zx", problem, at);
		at += insn.length;
	}
	return 0;
}
