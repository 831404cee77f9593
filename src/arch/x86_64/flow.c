/* SPDX-License-Identifier: MIT */
/*
 * Function analysis by recursive descent.
 *
 *  1. Walk from the start and from every indirect target inside (landing pads, label
 * addresses), tracking how deep the stack is.
 *  2. Judge indirect jumps (tables.c): a jump table adds its targets and the walk goes
 * on; otherwise it is a tail call.
 *  3. Judge direct jumps that leave [start, end).  With a frame still on the stack it
 * cannot be a tail call: the target is a part of this function (foo.cold).  Without one
 * it is a tail call, unless the target's chunk jumps back into the middle of us or never
 * returns.  Parts are walked.
 *  4. Bytes no path reaches: padding, dead code, code behind jumps nobody understands.
 * When they decode to something that ends like code they are walked as code; else they
 * are data and only matter when an indirect jump is not understood.
 */
#include "arch/x86_64/flow.h"

#include <errno.h>
#include <string.h>

enum {
	REG_RSP = 4,
	REG_RBP = 5,
	MAX_FUNCTION = 64 << 20,
	MAX_INSN = 15,
	COLD_SCAN = 512, /* bytes of a jump's target looked at to see whether it ever
			    returns */
};

/* ---- parts and marks ---- */

struct flow_part *flow_part(const struct flow *flow, uint64_t address)
{
	for (size_t i = 0; i < flow->parts.count; i++) {
		struct flow_part *p = &flow->parts.items[i];
		if (address >= p->start && address < p->end)
			return p;
	}
	return NULL;
}

bool flow_contains(const struct flow *flow, uint64_t address)
{
	return flow_part(flow, address) != NULL;
}

uint8_t flow_mark(const struct flow *flow, uint64_t address)
{
	const struct flow_part *p = flow_part(flow, address);
	return p ? p->mark[address - p->start] : 0;
}

static bool flow_add_part(struct flow *flow, uint64_t start, uint64_t end)
{
	if (flow->parts.count == FLOW_MAX_PARTS || end - start > MAX_FUNCTION)
		return false;
	struct flow_part *p = vec_push(&flow->parts);
	p->start = start;
	p->end = end;
	p->mark = calloc(end - start, 1);
	p->depth = calloc(end - start, sizeof(*p->depth));
	if (!p->mark || !p->depth)
		abort();
	return true;
}

void flow_destroy(struct flow *flow)
{
	if (!flow)
		return;
	for (size_t i = 0; i < flow->parts.count; i++) {
		free(flow->parts.items[i].mark);
		free(flow->parts.items[i].depth);
	}
	vec_free(&flow->parts);
	vec_free(&flow->exits);
	vec_free(&flow->work);
	vec_free(&flow->leaving);
	vec_free(&flow->indirect);
	vec_free(&flow->constants);
	free(flow);
}

bool flow_previous(const struct flow *flow, uint64_t address, struct insn *ret)
{
	const struct flow_part *p = flow_part(flow, address - 1);
	if (!p)
		return false;
	for (uint64_t pc = address - 1; pc >= p->start && address - pc <= 15; pc--) {
		if (!(p->mark[pc - p->start] & FLOW_INSN))
			continue;
		return text_decode(flow->text, pc, ret) && pc + ret->length == address;
	}
	return false;
}

/* ---- stack depth ---- */

static bool is_register_form(const ZydisDecodedInstruction *z, unsigned int rm)
{
	return z->raw.modrm.mod == 3 && z->raw.modrm.rm == rm && !z->raw.rex.B;
}

static int32_t depth_of_mov(
	struct flow *flow, const ZydisDecodedInstruction *z, int32_t depth)
{
	bool load = z->opcode == 0x8b, store = z->opcode == 0x89;
	unsigned int dst = load ? z->raw.modrm.reg : z->raw.modrm.rm;
	unsigned int src = load ? z->raw.modrm.rm : z->raw.modrm.reg;
	bool dst_high = load ? z->raw.rex.R : z->raw.rex.B;
	bool src_high = load ? z->raw.rex.B : z->raw.rex.R;
	if ((!load && !store) || z->raw.modrm.mod != 3 || z->operand_width != 64)
		return depth;
	if (dst == REG_RBP && !dst_high && src == REG_RSP && !src_high)
		flow->frame_depth = depth;
	if (dst == REG_RSP && !dst_high)
		return src == REG_RBP && !src_high ? flow->frame_depth
						   : FLOW_DEPTH_UNKNOWN;
	return depth;
}

static int32_t depth_of_lea(
	const struct flow *flow, const ZydisDecodedInstruction *z, int32_t depth)
{
	if (z->raw.modrm.reg != REG_RSP || z->raw.rex.R)
		return depth;
	bool sib = z->raw.modrm.rm == 4;
	unsigned int base = sib ? z->raw.sib.base : z->raw.modrm.rm;
	if (sib && z->raw.sib.index != 4)
		return FLOW_DEPTH_ALIGNED;
	int32_t shift = (int32_t)z->raw.disp.value;
	if (base == REG_RSP && !z->raw.rex.B)
		return depth == FLOW_DEPTH_UNKNOWN ? depth : depth - shift;
	if (base == REG_RBP && !z->raw.rex.B)
		return flow->frame_depth == FLOW_DEPTH_UNKNOWN
			       ? FLOW_DEPTH_UNKNOWN
			       : flow->frame_depth - shift;
	/* lea -8(%r10),%rsp: GCC leaves a realigned frame through the saved argument pointer */
	return FLOW_DEPTH_UNKNOWN;
}

static int32_t depth_of_arithmetic(const ZydisDecodedInstruction *z, int32_t depth)
{
	if (!is_register_form(z, REG_RSP))
		return depth;
	bool immediate = z->opcode == 0x81 || z->opcode == 0x83;
	if (z->mnemonic == ZYDIS_MNEMONIC_AND)
		return FLOW_DEPTH_ALIGNED;
	if (!immediate)
		return z->mnemonic == ZYDIS_MNEMONIC_SUB ? FLOW_DEPTH_ALIGNED
							 : FLOW_DEPTH_UNKNOWN;
	int32_t value = (int32_t)z->raw.imm[0].value.s;
	return z->mnemonic == ZYDIS_MNEMONIC_SUB ? depth + value : depth - value;
}

/* The depth after an instruction. */
static int32_t flow_depth_after(struct flow *flow, const struct insn *insn, int32_t depth)
{
	const ZydisDecodedInstruction *z = &insn->zydis;
	if (z->mnemonic == ZYDIS_MNEMONIC_LEAVE)
		return flow->frame_depth == FLOW_DEPTH_UNKNOWN ? FLOW_DEPTH_UNKNOWN
							       : flow->frame_depth - 8;
	if (z->mnemonic == ZYDIS_MNEMONIC_MOV)
		return depth_of_mov(flow, z, depth);
	if (z->mnemonic == ZYDIS_MNEMONIC_LEA)
		return depth_of_lea(flow, z, depth);
	if (depth == FLOW_DEPTH_UNKNOWN)
		return depth;
	switch ((int)z->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return depth + 8;
	case ZYDIS_MNEMONIC_POP:
		/* pop %rsp is nobody's epilogue */
		return z->opcode == 0x5c && !z->raw.rex.B ? FLOW_DEPTH_UNKNOWN
							  : depth - 8;
	case ZYDIS_MNEMONIC_POPFQ:
		return depth - 8;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
		return depth_of_arithmetic(z, depth);
	case ZYDIS_MNEMONIC_ENTER:
		flow->frame_depth = depth + 8;
		return FLOW_DEPTH_ALIGNED;
	case ZYDIS_MNEMONIC_XCHG:
		return is_register_form(z, REG_RSP) ? FLOW_DEPTH_UNKNOWN : depth;
	case ZYDIS_MNEMONIC_CALL:
		/* call to the next instruction: a way to read the program counter */
		return insn->has_target && insn->target == insn->address + insn->length
			       ? depth + 8
			       : depth;
	default:
		return depth;
	}
}

/* ---- the walk ---- */

void flow_push(struct flow *flow, uint64_t address, int32_t depth)
{
	vec_append(&flow->work, ((struct flow_item){address, depth}));
}

static void flow_add_exit(struct flow *flow, const struct insn *insn,
	enum flow_exit_kind kind, int32_t depth)
{
	vec_append(
		&flow->exits, ((struct flow_exit){insn->address,
				      insn->has_target ? insn->target : 0, kind, depth}));
}

/* Addresses the function forms: its jump tables are among them. */
static void flow_note_constant(struct flow *flow, const struct insn *insn)
{
	const ZydisDecodedInstruction *z = &insn->zydis;
	bool immediate = (z->opcode & 0xf8) == 0xb8 ||
			 (z->opcode == 0xc7 && z->raw.modrm.mod == 3);
	if (z->mnemonic == ZYDIS_MNEMONIC_LEA && insn->has_operand) {
		vec_append(&flow->constants, insn->operand);
		return;
	}
	if (z->mnemonic != ZYDIS_MNEMONIC_MOV)
		return;
	if (immediate && z->raw.imm[0].size >= 32)
		vec_append(&flow->constants, z->raw.imm[0].value.u);
	else if (z->opcode == 0x8b && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4 &&
		 z->raw.sib.base == 5)
		vec_append(
			&flow->constants, (uint64_t)z->raw.disp.value); /* table(,%i,8) */
}

/* Follow a direct branch; false: it leaves the function. */
static void flow_branch(struct flow *flow, const struct insn *insn, int32_t depth)
{
	if (insn->target == flow->start)
		flow->loops_to_start = true;
	if (flow_contains(flow, insn->target))
		flow_push(flow, insn->target, depth);
	else
		vec_append(&flow->leaving, ((struct flow_item){insn->address, depth}));
}

/* What an instruction adds to the walk; false: nothing follows it. */
static bool flow_step(struct flow *flow, const struct insn *insn, int32_t depth)
{
	switch (insn->kind) {
	case INSN_JCC:
	case INSN_LOOP:
	case INSN_JMP:
		flow_branch(flow, insn, depth);
		break;
	case INSN_XBEGIN:
		if (flow_contains(flow, insn->target))
			flow_push(flow, insn->target, FLOW_DEPTH_UNKNOWN);
		break;
	case INSN_CALL:
		if (flow_contains(flow, insn->target) && insn->target != flow->start)
			flow_push(flow, insn->target, FLOW_DEPTH_UNKNOWN);
		break;
	case INSN_RET:
		flow_add_exit(flow, insn, FLOW_EXIT_RET, depth);
		break;
	case INSN_JMP_INDIRECT:
		vec_append(&flow->indirect, ((struct flow_item){insn->address, depth}));
		break;
	case INSN_PLAIN:
		flow_note_constant(flow, insn);
		break;
	case INSN_NOP:
	case INSN_CALL_INDIRECT:
	case INSN_TRAP:
	case INSN_SYSCALL:
	case INSN_FAR:
		break;
	}
	return !insn_ends_flow(insn);
}

/* What lies behind the end: the next function, or what is left in front of it. */
static bool flow_add_next(struct flow *flow, uint64_t address)
{
	uint64_t start, end;
	if (!text_chunk(flow->text, address, &start, &end))
		return false;
	if (start < flow->end && flow->start < end) {
		if (address != flow->end)
			return false;
		start = address;
	}
	return flow_add_part(flow, start, end);
}

/*
 * Behind a call that never returns there is nothing; else it runs into what comes next.  With nothing on the
 * stack and padding that belongs to neither that is a function of its own, which others call as well: glibc's
 * __memcpy_chk and memcpy.  Its returns are not ours.
 */
static void flow_fall_off(struct flow *flow, uint64_t address, int32_t depth)
{
	struct insn last = {0}, padding;
	bool has_padding = flow_previous(flow, address, &padding) &&
			   padding.kind == INSN_NOP && padding.address >= flow->end;
	uint64_t pc = address;
	while (flow_previous(flow, pc, &last) && last.kind == INSN_NOP)
		pc = last.address;
	if (last.kind == INSN_CALL || last.kind == INSN_CALL_INDIRECT)
		return;
	if (has_padding && !depth && !flow_contains(flow, address) &&
		text_is_function_start(flow->text, address)) {
		vec_append(&flow->exits, ((struct flow_exit){padding.address, address,
						 FLOW_EXIT_FALL, depth}));
		return;
	}
	if (flow_contains(flow, address) || flow_add_next(flow, address))
		flow_push(flow, address, depth);
}

static void flow_walk_from(struct flow *flow, uint64_t pc, int32_t depth)
{
	struct flow_part *p = flow_part(flow, pc);
	struct insn insn;
	while (p && pc < p->end) {
		uint8_t *mark = &p->mark[pc - p->start];
		if (*mark & FLOW_INSN)
			return;
		if (!text_decode(flow->text, pc, &insn) || pc + insn.length > p->end)
			return;
		*mark |= FLOW_INSN;
		p->depth[pc - p->start] = depth;
		for (unsigned int i = 0; i < insn.length; i++)
			mark[i] |= FLOW_COVERED;
		int32_t after = flow_depth_after(flow, &insn, depth);
		if (!flow_step(flow, &insn, depth))
			return;
		depth = after;
		pc += insn.length;
		if (pc == p->end) {
			flow_fall_off(flow, pc, depth);
			return;
		}
	}
}

void flow_walk(struct flow *flow)
{
	while (flow->work.count) {
		struct flow_item item = flow->work.items[--flow->work.count];
		flow_walk_from(flow, item.address, item.depth);
	}
}

/* ---- judging jumps ---- */

/* Code that ends in a call or a trap and has no way out: abort paths split off as
 * foo.cold. */
static bool never_returns(struct flow *flow, uint64_t target)
{
	uint64_t start, end, pc = target;
	if (!text_chunk(flow->text, target, &start, &end))
		return false;
	bool after_call = false;
	struct insn insn;
	while (pc < end && pc - target < COLD_SCAN &&
		text_decode(flow->text, pc, &insn)) {
		if (insn.kind == INSN_TRAP)
			return true;
		if (insn.has_target && insn.kind != INSN_CALL)
			return false;
		if (insn_ends_flow(&insn))
			return false;
		after_call =
			insn.kind == INSN_CALL || (after_call && insn.kind == INSN_NOP);
		pc += insn.length;
	}
	return pc >= end && after_call;
}

static void flow_judge_leaving(struct flow *flow, const struct flow_item *item)
{
	struct insn insn;
	uint64_t start, end;
	if (!text_decode(flow->text, item->address, &insn))
		return;
	if (flow_contains(flow, insn.target)) { /* a part by now */
		flow_push(flow, insn.target, item->depth);
		return;
	}
	bool framed = item->depth != FLOW_DEPTH_UNKNOWN && item->depth != 0;
	if (text_chunk(flow->text, insn.target, &start, &end) &&
		end - start < MAX_FUNCTION &&
		(framed || text_has_branch_from(
				   flow->text, flow->start + 1, flow->end, start, end)) &&
		!(start < flow->end && flow->start < end) &&
		flow_add_part(flow, start, end)) {
		flow_push(flow, insn.target, item->depth);
		return;
	}
	if (never_returns(flow, insn.target))
		return;
	flow_add_exit(flow, &insn,
		insn_is_conditional(&insn) ? FLOW_EXIT_CONDITIONAL : FLOW_EXIT_JUMP,
		item->depth);
}

static void flow_judge_indirect(struct flow *flow, const struct flow_item *item)
{
	struct insn insn;
	if (text_decode(flow->text, item->address, &insn) &&
		!jump_table_resolve(flow, &insn, item->depth))
		flow_add_exit(flow, &insn, FLOW_EXIT_INDIRECT, item->depth);
}

static void flow_settle(struct flow *flow)
{
	do {
		flow_walk(flow);
		if (flow->indirect.count) {
			struct flow_item item =
				flow->indirect.items[--flow->indirect.count];
			flow_judge_indirect(flow, &item);
		} else if (flow->leaving.count) {
			struct flow_item item =
				flow->leaving.items[--flow->leaving.count];
			flow_judge_leaving(flow, &item);
		}
	} while (flow->work.count || flow->indirect.count || flow->leaving.count);
}

/* ---- bytes nothing leads to ---- */

/* Does [pc, end) decode as code that ends properly or runs into known code? */
static bool looks_like_code(const struct flow *flow, uint64_t pc, uint64_t end)
{
	bool ended = false;
	struct insn insn = {0};
	while (pc < end) {
		if (!text_decode(flow->text, pc, &insn) || pc + insn.length > flow->end ||
			(insn.zydis.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
			return false;
		ended = insn_ends_flow(&insn) || insn.kind == INSN_CALL ||
			(ended && insn_is_padding(&insn));
		pc += insn.length;
	}
	return pc == end && (ended || (flow_mark(flow, end) & FLOW_INSN));
}

static void flow_sweep(struct flow *flow)
{
	const uint8_t *mark = flow->parts.items[0].mark;
	uint64_t pc = flow->start, sound_end = 0;
	struct insn insn;
	while (pc < flow->end) {
		if (mark[pc - flow->start] & FLOW_COVERED) {
			pc++;
			continue;
		}
		if (text_decode(flow->text, pc, &insn) && insn_is_padding(&insn)) {
			pc += insn.length;
			continue;
		}
		uint64_t end = pc;
		while (end < flow->end && !(mark[end - flow->start] & FLOW_COVERED))
			end++;
		if (pc < sound_end || looks_like_code(flow, pc, end)) {
			if (end > sound_end)
				sound_end = end;
			flow_push(flow, pc, FLOW_DEPTH_UNKNOWN);
			flow_settle(flow);
			mark = flow->parts.items[0].mark;
			if (mark[pc - flow->start] & FLOW_COVERED)
				continue;
		}
		flow->has_data = true;
		flow->data_at = pc;
		pc = end;
	}
}

static int exit_compare(const void *a, const void *b)
{
	const struct flow_exit *left = a, *right = b;
	return (left->address > right->address) - (left->address < right->address);
}

static struct flow *flow_create(struct arch_text *text, uint64_t start, uint64_t end)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	if (!flow)
		abort();
	flow->text = text;
	flow->start = start;
	flow->end = end;
	flow->frame_depth = FLOW_DEPTH_UNKNOWN;
	flow_add_part(flow, start, end);
	flow_push(flow, start, 0);
	flow_settle(flow);
	/* after the normal paths, so that those decide the depths */
	for (size_t i = text_first_indirect(text, start + 1);
		i < text->indirect_count && text->indirect[i] < end; i++)
		if (text_is_boundary(text, text->indirect[i]))
			flow_push(flow, text->indirect[i], FLOW_DEPTH_UNKNOWN);
	flow_settle(flow);
	flow_sweep(flow);
	if (flow->exits.count)
		qsort(flow->exits.items, flow->exits.count, sizeof(*flow->exits.items),
			exit_compare);
	return flow;
}

int flow_get(struct arch_text *text, uint64_t start, uint64_t end,
	const struct flow **ret, struct error *err)
{
	if (!text->flow || text->flow->start != start || text->flow->end != end) {
		const struct text_segment *s = text_find(text, start, false);
		if (!s || end <= start || end - s->address > s->size ||
			end - start > MAX_FUNCTION)
			return error_set(err, -EINVAL,
				"function at 0x%llx..0x%llx is not in executable text",
				(unsigned long long)start, (unsigned long long)end);
		flow_destroy(text->flow);
		text->flow = flow_create(text, start, end);
	}
	*ret = text->flow;
	return 0;
}

bool flow_branch_at(struct arch_text *text, uint64_t source, struct insn *ret)
{
	uint64_t start, end;
	if (!text_chunk(text, source, &start, &end) || end - start > MAX_FUNCTION)
		return false;
	if (!text->other || text->other->start != start) {
		flow_destroy(text->other);
		text->other = flow_create(text, start, end);
	}
	for (uint64_t pc = source; pc >= start && source - pc < MAX_INSN; pc--)
		if (flow_mark(text->other, pc) & FLOW_INSN)
			return text_decode(text, pc, ret) && pc + ret->length > source;
	return false;
}
