/* SPDX-License-Identifier: MIT */
/*
 * Ways into a function that do not pass its entry.  glibc's strcasecmp is two instructions that run into
 * strcasecmp_l: the exits of both are the same instructions, and who leaves by one of them may have called either.
 *
 * Candidates are
 *
 *  1. other functions' entries within what the function runs through; not those of its own cold parts, and not other
 *     names of itself,
 *  2. places that code elsewhere jumps to or calls,
 *  3. places that the function itself calls: a subroutine of its own returns by what looks like an exit.
 *
 * One counts when an exit can be reached from there without passing the entry.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/flow.h"

enum {
	CALL = 0xe8
};

struct entrance_search {
	const struct flow *flow;
	struct arch_text *text;
	VEC(uint64_t) work;
	uint8_t **
		seen; /* of each part, once it is needed: where an instruction was on some way */
	uint64_t candidate;
};

/* ---- ways from a candidate ---- */

/* The breakpoint or jump of an entry comes behind an endbr64. */
static bool is_entry(const struct entrance_search *s, uint64_t address)
{
	size_t size;
	const uint8_t *bytes = text_bytes(s->text, s->flow->start, false, &size);
	return address == s->flow->start ||
	       (bytes && insn_is_endbr(bytes, size) && address == s->flow->start + 4);
}

static bool is_exit(const struct flow *flow, uint64_t address)
{
	size_t low = 0, high = flow->exits.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (flow->exits.items[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < flow->exits.count && flow->exits.items[low].address == address;
}

/* Any jump table may be the one. */
static void push_table_targets(struct entrance_search *s)
{
	for (size_t i = 0; i < s->flow->parts.count; i++) {
		const struct flow_part *p = &s->flow->parts.items[i];
		for (uint64_t at = 0; at < p->end - p->start; at++)
			if (p->mark[at] & FLOW_TABLE_TARGET)
				vec_append(&s->work, p->start + at);
	}
}

/* Was the instruction new? */
static bool note_seen(struct entrance_search *s, uint64_t address)
{
	const struct flow_part *p = flow_part(s->flow, address);
	if (!p)
		return false;
	uint8_t **seen = &s->seen[p - s->flow->parts.items];
	if (!*seen)
		*seen = calloc(p->end - p->start, 1);
	if (!*seen)
		abort();
	bool is_new = !(*seen)[address - p->start];
	(*seen)[address - p->start] = 1;
	return is_new;
}

static bool walk_to_exit(struct entrance_search *s, uint64_t pc)
{
	struct insn insn;
	while (!is_entry(s, pc) && note_seen(s, pc)) {
		if (is_exit(s->flow, pc))
			return true;
		if (!text_decode(s->text, pc, &insn))
			return false;
		if (insn.kind == INSN_JMP_INDIRECT) {
			if (!(flow_mark(s->flow, pc) & FLOW_INSN))
				return true; /* nobody knows where it leads */
			push_table_targets(s);
		}
		if (insn.has_target && insn.kind != INSN_CALL)
			vec_append(&s->work, insn.target);
		if (insn_ends_flow(&insn))
			return false;
		pc += insn.length;
	}
	return false;
}

/* What was seen once leads to no exit, or the search had ended. */
static bool is_entrance(struct entrance_search *s, uint64_t candidate)
{
	s->candidate = candidate;
	vec_append(&s->work, candidate);
	while (s->work.count)
		if (walk_to_exit(s, s->work.items[--s->work.count]))
			return true;
	return false;
}

/* ---- candidates ---- */

static bool among_starts(struct entrance_search *s, const struct flow_part *p)
{
	for (size_t i = text_first_start(s->text, p->start);
		i < s->text->start_count && s->text->starts[i] < p->end; i++) {
		uint64_t start = s->text->starts[i];
		if (!text_is_part(s->text, start) && is_entrance(s, start))
			return true;
	}
	return false;
}

/* Only what is called leaves by a return of its own; cold parts are those of the function. */
static bool is_foreign(const struct entrance_search *s, const struct insn *insn)
{
	uint64_t start, end;
	if (insn->kind == INSN_CALL)
		return insn->target != insn->address + insn->length;
	return !flow_contains(s->flow, insn->address) &&
	       !(text_chunk(s->text, insn->address, &start, &end) &&
		       text_is_part(s->text, start));
}

static bool is_candidate(struct entrance_search *s, uint64_t source, uint64_t target)
{
	struct insn insn;
	size_t size;
	const uint8_t *bytes = text_bytes(s->text, source, false, &size);
	/* the most frequent first: its own jumps */
	if (!bytes || (*bytes != CALL && flow_contains(s->flow, source)))
		return false;
	return (text_branch_at(s->text, source, &insn) ||
		       flow_branch_at(s->text, source, &insn)) &&
	       insn.has_target && insn.target == target && is_foreign(s, &insn);
}

static bool among_branches(struct entrance_search *s, const struct flow_part *p)
{
	struct text_ref ref;
	for (size_t i = text_first_ref(s->text, p->start);
		text_ref_at(s->text, i, p->end, &ref); i++)
		if (is_candidate(s, ref.source, ref.target) && is_entrance(s, ref.target))
			return true;
	return false;
}

/* Short jumps come from close by: functions without anything between them. */
static bool among_short(
	struct entrance_search *s, const struct flow_part *p, uint64_t from, uint64_t to)
{
	for (uint64_t pc = from; pc < to; pc++) {
		uint64_t target;
		if (!flow_contains(s->flow, pc) &&
			text_short_branch(s->text, pc, &target) && target >= p->start &&
			target < p->end && is_candidate(s, pc, target) &&
			is_entrance(s, target))
			return true;
	}
	return false;
}

static bool is_entered(struct entrance_search *s, const struct flow_part *p)
{
	uint64_t low = p->start > TEXT_REL8_REACH ? p->start - TEXT_REL8_REACH : 0;
	return among_starts(s, p) || among_branches(s, p) ||
	       among_short(s, p, low, p->start) ||
	       among_short(s, p, p->end, p->end + TEXT_REL8_REACH);
}

bool flow_find_entrance(const struct flow *flow, uint64_t *ret)
{
	uint8_t *seen[FLOW_MAX_PARTS] = {0};
	struct entrance_search s = {.flow = flow, .text = flow->text, .seen = seen};
	bool found = false;
	for (size_t i = 0; i < flow->parts.count && flow->exits.count && !found; i++)
		found = is_entered(&s, &flow->parts.items[i]);
	*ret = s.candidate;
	for (size_t i = 0; i < flow->parts.count; i++)
		free(seen[i]);
	vec_free(&s.work);
	return found;
}
