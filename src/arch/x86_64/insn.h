/* SPDX-License-Identifier: MIT */
/*
 * One decoded instruction, classified by what planning has to know about it.  Thin over
 * Zydis; operands are decoded only where somebody asks for them.
 */
#pragma once

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum insn_kind {
	INSN_PLAIN,
	INSN_NOP,          /* one- or multi-byte nop, endbr64 not included */
	INSN_JMP,          /* direct */
	INSN_JCC,          /* direct, has a rel32 form */
	INSN_LOOP,         /* loop, loope, loopne, jrcxz, jecxz: rel8 only */
	INSN_CALL,         /* direct */
	INSN_JMP_INDIRECT, /* through register or memory */
	INSN_CALL_INDIRECT,
	INSN_RET,
	INSN_TRAP, /* int3, ud2, hlt...: its address is reported to somebody */
	INSN_SYSCALL,
	INSN_XBEGIN,
	INSN_FAR, /* far branches, iret, sysret... */
};

struct insn {
	uint64_t address;
	const uint8_t *bytes; /* borrowed */
	uint64_t target;      /* of a direct branch */
	uint64_t operand;     /* address of a RIP-relative memory operand */
	enum insn_kind kind;
	uint8_t length;
	bool has_target, has_operand;
	bool is_eip_relative; /* RIP-relative with a 32-bit address size */
	ZydisDecodedInstruction zydis;
	ZydisDecoderContext context;
};

/** insn_decode() - false: not an instruction, cut off by @size, or one that processors take differently: a near
 * branch with an operand-size prefix (AMD64 Architecture Programmer's Manual 3, "Near Branches in 64-Bit Mode") */
bool insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct insn *ret);

/** nothing after it runs next: jmp, ret, trap... */
bool insn_ends_flow(const struct insn *insn);

/** direct branch that may or may not be taken */
bool insn_is_conditional(const struct insn *insn);

/** filler: nop or int3 */
bool insn_is_padding(const struct insn *insn);

bool insn_is_endbr(const uint8_t *bytes, size_t size);
