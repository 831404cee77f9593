/* SPDX-License-Identifier: MIT */
/*
 * Indirect jumps: jump table, computed goto, or tail call?
 *
 * GCC and clang write a switch as
 *	lea table(%rip),%b; movslq (%b,%i,4),%r; add %b,%r; [notrack] jmp *%r (32-bit,
 *relative) jmp *table(,%i,8)						(64-bit, absolute)
 * and a computed goto as jmp *(%b,%i,8), mov (%b,%i,8),%r; jmp *%r or jmp *%r after
 *arithmetic. Which register holds which table is not tracked: all constants the function
 *forms are tried as tables, and the union of what they hold are its targets.  A target
 *too many costs at most a window.
 */
#include <string.h>

#include "arch/x86_64/flow.h"

enum {
	LOOK_BACK = 24, /* instructions before the jump that may compute its target */
	MAX_TABLE_ENTRIES = 4096,
};

enum jump_pattern {
	PATTERN_PLAIN,    /* no table in sight */
	PATTERN_GOT,      /* through a fixed pointer: a tail call by its nature */
	PATTERN_RELATIVE, /* movslq ...,4; add */
	PATTERN_ABSOLUTE, /* load scaled by 8 */
};

static bool is_scaled_load(const ZydisDecodedInstruction *z, unsigned int scale)
{
	return (z->attributes & ZYDIS_ATTRIB_HAS_SIB) && z->raw.modrm.mod != 3 &&
	       1u << z->raw.sib.scale == scale && (z->raw.sib.index != 4 || z->raw.rex.X);
}

static unsigned int modrm_reg(const ZydisDecodedInstruction *z)
{
	return z->raw.modrm.reg | z->raw.rex.R << 3;
}

static unsigned int modrm_rm(const ZydisDecodedInstruction *z)
{
	return z->raw.modrm.rm | z->raw.rex.B << 3;
}

/* `add` of two registers: its destination */
static bool is_register_add(const ZydisDecodedInstruction *z, unsigned int *ret)
{
	if (z->mnemonic != ZYDIS_MNEMONIC_ADD || z->raw.modrm.mod != 3)
		return false;
	if (z->opcode == 0x01)
		*ret = modrm_rm(z);
	else if (z->opcode == 0x03)
		*ret = modrm_reg(z);
	else
		return false;
	return true;
}

static enum jump_pattern classify(const struct flow *flow, const struct insn *jump)
{
	const ZydisDecodedInstruction *z = &jump->zydis;
	if (jump->has_operand)
		return PATTERN_GOT;
	if (z->raw.modrm.mod != 3)
		return is_scaled_load(z, 8) ? PATTERN_ABSOLUTE : PATTERN_PLAIN;
	unsigned int reg = modrm_rm(z), sum;
	bool added = false;
	struct insn insn;
	uint64_t pc = jump->address;
	for (int i = 0; i < LOOK_BACK && flow_previous(flow, pc, &insn); i++) {
		const ZydisDecodedInstruction *p = &insn.zydis;
		if (insn_ends_flow(&insn))
			break;
		if (p->mnemonic == ZYDIS_MNEMONIC_MOVSXD && is_scaled_load(p, 4) && added)
			return PATTERN_RELATIVE;
		if (is_register_add(p, &sum) && sum == reg)
			added = true;
		if (p->mnemonic == ZYDIS_MNEMONIC_MOV && p->opcode == 0x8b &&
			modrm_reg(p) == reg && is_scaled_load(p, 8))
			return PATTERN_ABSOLUTE;
		pc = insn.address;
	}
	return PATTERN_PLAIN;
}

/* ---- reading tables ---- */

/*
 * An entry that leads into the middle of an instruction is not an entry: the table has ended before, and
 * walking there would find exits that do not exist.
 */
static bool add_target(struct flow *flow, uint64_t target, int32_t depth)
{
	struct flow_part *p = flow_part(flow, target);
	if (!p || !text_is_boundary(flow->text, target))
		return false;
	p->mark[target - p->start] |= FLOW_TABLE_TARGET;
	flow_push(flow, target, depth);
	return true;
}

/* where the next table begins, at the latest */
static uint64_t table_limit(const struct flow *flow, uint64_t table, uint64_t entry_size)
{
	uint64_t limit = table + MAX_TABLE_ENTRIES * entry_size;
	for (size_t i = 0; i < flow->constants.count; i++)
		if (flow->constants.items[i] > table && flow->constants.items[i] < limit)
			limit = flow->constants.items[i];
	return limit;
}

/* How many entries lead into the function; they are added to the walk. */
static size_t read_relative(struct flow *flow, uint64_t table, int32_t depth)
{
	size_t size, hits = 0;
	const uint8_t *bytes = text_bytes(flow->text, table, true, &size);
	uint64_t limit = table_limit(flow, table, 4);
	for (size_t at = 0; bytes && at + 4 <= size && table + at < limit; at += 4) {
		int32_t entry;
		memcpy(&entry, bytes + at, sizeof(entry));
		uint64_t target = table + (uint64_t)(int64_t)entry;
		bool inside = flow_contains(flow, target);
		/* entries may lead to foo.cold, but the first tells whether it is our
		 * table */
		if ((at == 0 && !inside) || !text_find(flow->text, target, false))
			break;
		if (inside && !add_target(flow, target, depth))
			break;
		hits += inside;
	}
	return hits;
}

static size_t read_absolute(
	struct flow *flow, uint64_t table, int32_t depth, bool *ret_foreign)
{
	size_t size, hits = 0;
	const uint8_t *bytes = text_bytes(flow->text, table, true, &size);
	uint64_t limit = table_limit(flow, table, 8);
	for (size_t at = 0; bytes && at + 8 <= size && table + at < limit; at += 8) {
		uint64_t target;
		memcpy(&target, bytes + at, sizeof(target));
		bool inside = flow_contains(flow, target);
		if (!inside && at == 0 && text_find(flow->text, target, false))
			*ret_foreign = true;
		if (!inside || !add_target(flow, target, depth))
			break;
		hits++;
	}
	return hits;
}

static size_t read_all_relative(struct flow *flow, int32_t depth)
{
	size_t hits = 0;
	for (size_t i = 0; i < flow->constants.count; i++)
		hits += read_relative(flow, flow->constants.items[i], depth);
	return hits;
}

static size_t read_all_absolute(
	struct flow *flow, const struct insn *jump, int32_t depth, bool *ret_foreign)
{
	const ZydisDecodedInstruction *z = &jump->zydis;
	size_t hits = 0;
	if (z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4 && z->raw.sib.base == 5)
		hits += read_absolute(
			flow, (uint64_t)z->raw.disp.value, depth, ret_foreign);
	for (size_t i = 0; !hits && i < flow->constants.count; i++)
		hits += read_absolute(flow, flow->constants.items[i], depth, ret_foreign);
	return hits;
}

/* Inside, to where nobody can tell, unless the addresses of labels are known from
 * relocations. */
static bool inside_unknown(struct flow *flow, const struct insn *jump)
{
	if (!text_has_indirect_target(flow->text, flow->start + 1, flow->end)) {
		flow->has_unknown_targets = true;
		flow->unknown_at = jump->address;
	}
	return true;
}

bool jump_table_resolve(struct flow *flow, const struct insn *jump, int32_t depth)
{
	bool framed = depth != 0 && depth != FLOW_DEPTH_UNKNOWN;
	bool foreign = false;
	switch (classify(flow, jump)) {
	case PATTERN_GOT:
		return false;
	case PATTERN_RELATIVE:
		if (!read_all_relative(flow, depth)) {
			flow->has_unknown_targets = true;
			flow->unknown_at = jump->address;
		}
		return true;
	case PATTERN_ABSOLUTE:
		if (read_all_absolute(flow, jump, depth, &foreign))
			return true;
		if (framed)
			return inside_unknown(flow, jump);
		return !foreign &&
		       text_has_indirect_target(flow->text, flow->start + 1, flow->end);
	case PATTERN_PLAIN:
		/* a tail call would have given the frame back first */
		return framed && inside_unknown(flow, jump);
	}
	return false;
}
