/* SPDX-License-Identifier: MIT */
/*
 * What is known of a module's text, for the planner's own files: bytes by address, who
 * may branch to an address, and where filler lies.  See text.c for how branches are
 * found.
 */
#pragma once

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "base/vec.h"

struct flow;

struct text_segment {
	uint64_t address;
	const uint8_t *bytes;
	size_t size;
	bool is_data;
	uint8_t *boundary; /* bit per byte: an instruction starts here; filled per
			      function */
};

/* How far the linear decode of the range that begins at function_starts[i] can be
 * trusted. */
struct text_range {
	bool decoded;
	uint64_t sound_end;
};

struct arch_text {
	struct text_segment *segments; /* by address */
	size_t segment_count;
	uint64_t *starts, *indirect;
	size_t start_count, indirect_count;
	struct text_range *ranges; /* one per start */
	uint64_t low, span;        /* executable segments lie in [low, low + span) */
	bool scanned, is_given;    /* given: by arch_text_set_scan() */
	const uint64_t
		*refs; /* rel32 candidates: target - low << 32 | source - low, sorted */
	size_t ref_count;
	VEC(struct arch_text_slot) slots;
	struct flow
		*flow; /* of the function planned last: entries and exits come in pairs */
};

/** text_find() - segment of an address; executable ones only unless @data */
const struct text_segment *text_find(
	const struct arch_text *text, uint64_t address, bool data);

/** text_bytes() - the bytes from an address on; *ret_size is what is left of the segment
 */
const uint8_t *text_bytes(
	const struct arch_text *text, uint64_t address, bool data, size_t *ret_size);

bool text_decode(const struct arch_text *text, uint64_t address, struct insn *ret);

bool text_is_function_start(const struct arch_text *text, uint64_t address);
bool text_has_function_start(const struct arch_text *text, uint64_t low, uint64_t high);
bool text_has_indirect_target(const struct arch_text *text, uint64_t low, uint64_t high);
/** index in text->indirect of the first at or behind an address */
size_t text_first_indirect(const struct arch_text *text, uint64_t address);

/** text_chunk() - [start, end) between the known function starts around an address */
bool text_chunk(const struct arch_text *text, uint64_t address, uint64_t *ret_start,
	uint64_t *ret_end);

/**
 * text_is_boundary() - can an instruction begin here?
 * No when the linear decode of the function is sound around the address and passes over it.
 */
bool text_is_boundary(struct arch_text *text, uint64_t address);

/** text_is_branch() - does the instruction covering @source really branch into [low, high)? */
bool text_is_branch(struct arch_text *text, uint64_t source, uint64_t low, uint64_t high);

/**
 * text_find_branch() - is there a direct branch to [low, high) other than from [skip,
 * skip_end)? Only bytes that decode as a branch from the start of their function count,
 * or that cannot be proven to be something else.
 */
bool text_find_branch(struct arch_text *text, uint64_t low, uint64_t high, uint64_t skip,
	uint64_t skip_end, uint64_t *ret_source);

/** text_has_branch_from() - does [from, from_end) hold a branch into [low, high)? */
bool text_has_branch_from(struct arch_text *text, uint64_t low, uint64_t high,
	uint64_t from, uint64_t from_end);

/**
 * text_find_padding() - 5 bytes of filler that begin in [low, high]: nops and int3 after
 * an instruction that never falls through, no branch target, given to nobody but @owner
 */
bool text_find_padding(struct arch_text *text, uint64_t low, uint64_t high,
	uint64_t owner, uint64_t *ret_address);
