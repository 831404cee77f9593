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
	uint64_t *parts; /* of the starts: perhaps no entries */
	size_t part_count;
	uint8_t *part_uses;        /* called.c; NULL: not looked at */
	struct text_range *ranges; /* one per start */
	uint64_t low, span;        /* executable segments lie in [low, low + span) */
	bool scanned, is_given;    /* given: by arch_text_set_scan() */
	const uint64_t
		*refs; /* rel32 candidates: target - low << 32 | source - low, sorted */
	size_t ref_count;
	VEC(struct arch_text_slot) slots;
	struct flow
		*flow, /* of the function planned last: entries and exits come in pairs */
		*other; /* of a chunk that somebody asked for last */
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
/** index in text->starts of the first at or behind an address */
size_t text_first_start(const struct arch_text *text, uint64_t address);
/** index in text->parts */
size_t text_first_part(const struct arch_text *text, uint64_t address);
/** text_is_part() - called.c: a start that is no entry: of foo.cold */
bool text_is_part(struct arch_text *text, uint64_t address);
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

/** text_branch_at() - the instruction that covers @source; false: code cannot be told from data there */
bool text_branch_at(struct arch_text *text, uint64_t source, struct insn *ret);

/* Bytes that look like a rel32 branch to something that is no function's start. */
struct text_ref {
	uint64_t source, target;
};
/** index of the first to an address or behind it */
size_t text_first_ref(struct arch_text *text, uint64_t target);
/** text_ref_at() - false: there are no more to targets below @high */
bool text_ref_at(
	const struct arch_text *text, size_t index, uint64_t high, struct text_ref *ret);

enum {
	TEXT_REL8_REACH = 130 /* farthest distance of a rel8 branch from its target */
};
/** text_short_branch() - do the bytes at @source look like a rel8 branch? */
bool text_short_branch(
	const struct arch_text *text, uint64_t source, uint64_t *ret_target);

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
