/* SPDX-License-Identifier: MIT */
/*
 * Call frame information as a table: for each stretch of code how to find the caller's registers.  Only
 * forms that compilers and assemblers use for x86-64; the rest is marked, not guessed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "elf/module.h"

/* What a caller needs of its callee's frame; numbered as struct elf_cfi_rule has them. */
enum elf_cfi_register {
	ELF_CFI_RBX,
	ELF_CFI_RBP,
	ELF_CFI_R12,
	ELF_CFI_R13,
	ELF_CFI_R14,
	ELF_CFI_R15,
	ELF_CFI_SAVED, /* those above are saved by a function that uses them */
	ELF_CFI_RSP = ELF_CFI_SAVED,
};

/* Where the canonical frame address is: the stack pointer before the call. */
enum elf_cfi_frame {
	ELF_CFI_FRAME_NONE,    /* nothing is known of this code */
	ELF_CFI_FRAME_END,     /* nobody has called it: the outermost frame */
	ELF_CFI_FRAME_UNKNOWN, /* something is known, but no form of this table says it */
	ELF_CFI_FRAME_REGISTER, /* register + offset */
	ELF_CFI_FRAME_MEMORY,   /* what is stored at register + offset */
	ELF_CFI_FRAME_PLT, /* rsp + 8, and 8 more from byte `offset` of each 16 bytes on */
};

/* Where a register of the caller is. */
enum elf_cfi_place {
	ELF_CFI_SAME,     /* where it was */
	ELF_CFI_AT_FRAME, /* in memory, from the canonical frame address */
	ELF_CFI_AT_RBP,
	ELF_CFI_AT_RSP,
	ELF_CFI_LOST,
};

struct elf_cfi_where {
	uint8_t place;  /* enum elf_cfi_place */
	int16_t offset; /* in units of 8 bytes */
};

struct elf_cfi_rule {
	uint8_t frame, frame_register; /* enum elf_cfi_frame, elf_cfi_register */
	uint8_t is_signal; /* its caller was interrupted, not calling: its address is exact */
	int32_t frame_offset;
	struct elf_cfi_where return_address, saved[ELF_CFI_SAVED];
};

struct elf_cfi_row {
	uint64_t address; /* link-time; up to the next row's */
	uint32_t rule;
};

struct elf_cfi {
	struct elf_cfi_row *rows;
	size_t row_count;
	struct elf_cfi_rule *rules; /* [0]: ELF_CFI_FRAME_NONE */
	size_t rule_count;
};

/** elf_cfi_read() - of .eh_frame, else .debug_frame.  -ENOENT: there is none; elf_cfi_free() it */
must_check int elf_cfi_read(struct elf_module *module, struct elf_cfi *ret);
void elf_cfi_free(struct elf_cfi *cfi);
