/* SPDX-License-Identifier: MIT */
/*
 * Tables by which a handler finds the frames of the stack it runs on: call frame information, prepared by
 * the tracer in session memory (session/unwind.c), read in the target (runtime/walk.c).
 *
 * All offsets are from the start of session memory.  The tracer only ever adds tables.  A process's list
 * of code is one of two arrays that take turns: a reader that sees `sequence` change by more than one
 * while it reads may have seen both, and does not believe what it has found.
 *
 * A traced process can write all of it; readers check every index against counts that they have checked
 * against the size of session memory.  The tracer never reads any of it.
 *
 * Memory: `sequence` is stored with release after the list it names is complete, and loaded with acquire.
 */
#pragma once

#include <stdint.h>

enum {
	ABI_UNWIND_PROCESSES = 1024,
	ABI_UNWIND_BLOCK_SHIFT = 7, /* bytes of text for which the first row is known */
};

struct abi_unwind_process {
	uint32_t pid; /* atomic; 0: free */
	uint32_t sequence;
	uint64_t lists[2]; /* struct abi_unwind_range[]; lists[sequence & 1] is valid */
	uint32_t counts[2];
};

enum abi_unwind_kind {
	ABI_UNWIND_TABLE = 0,
	ABI_UNWIND_BARE =
		1, /* nothing is known of it: generated code, hand-written code */
	ABI_UNWIND_ASK = 2, /* the tracer knows more */
};

struct abi_unwind_range { /* of executable memory; sorted */
	uint64_t start, end;
	uint64_t table;
	uint64_t base; /* runtime address of the table's beginning */
	uint32_t kind; /* enum abi_unwind_kind */
	uint32_t reserved;
};

struct abi_unwind_table {
	uint64_t
		rows; /* uint32_t[row_count]: from the table's beginning, ascending; [0] is 0 */
	uint64_t places; /* uint16_t[row_count]: which rule */
	uint64_t
		blocks; /* uint32_t[block_count]: the row that holds for the first byte of each block */
	uint64_t rules; /* struct abi_unwind_rule[rule_count] */
	uint32_t row_count, block_count, rule_count, reserved;
};

/* Registers that a function saves for its caller, and the stack pointer. */
enum abi_unwind_register {
	ABI_UNWIND_RBX,
	ABI_UNWIND_RBP,
	ABI_UNWIND_R12,
	ABI_UNWIND_R13,
	ABI_UNWIND_R14,
	ABI_UNWIND_R15,
	ABI_UNWIND_SAVED,
	ABI_UNWIND_RSP = ABI_UNWIND_SAVED,
};

/* Where the canonical frame address is: the stack pointer before the call. */
enum abi_unwind_frame {
	ABI_UNWIND_FRAME_NONE = 0,     /* nothing is known of this code */
	ABI_UNWIND_FRAME_END = 1,      /* the outermost one */
	ABI_UNWIND_FRAME_UNKNOWN = 2,  /* ask the tracer */
	ABI_UNWIND_FRAME_REGISTER = 3, /* register + offset */
	ABI_UNWIND_FRAME_MEMORY = 4,   /* what is stored there */
	ABI_UNWIND_FRAME_PLT =
		5, /* rsp + 8, and 8 more from byte `frame_offset` of each 16 bytes on */
};

/* Where a register of the caller is: a number of 8-byte words, shifted by 3, and one of these. */
enum abi_unwind_place {
	ABI_UNWIND_SAME = 0,     /* where it was */
	ABI_UNWIND_AT_FRAME = 1, /* in memory, from the canonical frame address */
	ABI_UNWIND_AT_RBP = 2,
	ABI_UNWIND_AT_RSP = 3,
	ABI_UNWIND_LOST = 4,
	ABI_UNWIND_PLACE_MASK = 7,
	ABI_UNWIND_PLACE_SHIFT = 3,
};

struct abi_unwind_rule {
	uint8_t frame, frame_register;
	uint8_t is_signal; /* its caller was interrupted, not calling: its address is exact */
	uint8_t saves;     /* bit N: saved[N] is not ABI_UNWIND_SAME */
	int32_t frame_offset;
	int16_t return_address;
	int16_t saved[ABI_UNWIND_SAVED];
	uint16_t reserved;
};
/* Of a context: the rule that was found for an address of code. */
enum {
	ABI_UNWIND_MEMOS = 128
};
struct abi_unwind_memo {
	uint64_t pc;
	uint32_t rule;     /* offset from session.unwind_offset */
	uint32_t sequence; /* the process's, then */
};
_Static_assert(sizeof(struct abi_unwind_rule) == 24, "rules are small");
