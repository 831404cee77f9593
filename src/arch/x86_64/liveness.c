/* SPDX-License-Identifier: MIT */
#include "arch/x86_64/liveness.h"

enum {
	STATUS_FLAGS = ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF |
		       ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF,
	MAX_INSNS = 64,
};

static unsigned int flags_read(const struct insn *insn)
{
	const ZydisAccessedFlags *flags = insn->zydis.cpu_flags;
	return flags ? flags->tested & STATUS_FLAGS : 0;
}

/* A shift or rotate by zero leaves the flags alone. */
static bool may_shift_by_zero(const ZydisDecodedInstruction *z)
{
	if (z->meta.category != ZYDIS_CATEGORY_SHIFT &&
		z->meta.category != ZYDIS_CATEGORY_ROTATE)
		return false;
	if (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (z->opcode & 0xfe) == 0xd0)
		return false; /* by one */
	return !z->raw.imm[0].size || !(z->raw.imm[0].value.u & 0x1f);
}

/* Flags that have a new value afterwards, whatever the operands are. */
static unsigned int flags_written(const struct insn *insn)
{
	const ZydisDecodedInstruction *z = &insn->zydis;
	const ZydisInstructionAttributes repeated =
		ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
	if (!z->cpu_flags || (z->attributes & repeated) || may_shift_by_zero(z))
		return 0;
	unsigned int written =
		z->cpu_flags->modified | z->cpu_flags->set_0 | z->cpu_flags->set_1;
	/* what is undefined after a multiplication or a division is, on some processors, what it was; all
	 * clear the adjust flag of a logical operation */
	if (z->meta.category == ZYDIS_CATEGORY_LOGICAL)
		written |= z->cpu_flags->undefined;
	else
		written &= ~z->cpu_flags->undefined;
	return written & STATUS_FLAGS;
}

static bool live_from(const struct arch_text *text, uint64_t address, unsigned int live,
	bool trust_abi, int *budget)
{
	struct insn insn;
	while ((*budget)-- > 0) {
		/* a system call keeps the flags and shows them in r11 */
		if (!text_decode(text, address, &insn) || insn.kind == INSN_SYSCALL ||
			(flags_read(&insn) & live))
			return true;
		live &= ~flags_written(&insn);
		if (!live)
			return false;
		switch (insn.kind) {
		case INSN_JMP:
			address = insn.target;
			break;
		case INSN_JCC:
		case INSN_LOOP:
			if (live_from(text, insn.target, live, trust_abi, budget))
				return true;
			address += insn.length;
			break;
		case INSN_CALL:
		case INSN_CALL_INDIRECT:
		case INSN_RET:
			return !trust_abi;
		case INSN_PLAIN:
		case INSN_NOP:
			address += insn.length;
			break;
		case INSN_JMP_INDIRECT:
			/* through a fixed pointer: a tail call, or the PLT of one */
			return !(insn.has_operand && trust_abi);
		case INSN_TRAP:
		case INSN_SYSCALL:
		case INSN_XBEGIN:
		case INSN_FAR:
			return true;
		}
	}
	return true;
}

bool flags_are_live(const struct arch_text *text, uint64_t address, bool trust_abi)
{
	int budget = MAX_INSNS;
	return live_from(text, address, STATUS_FLAGS, trust_abi, &budget);
}
