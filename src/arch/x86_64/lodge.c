/* SPDX-License-Identifier: MIT */
/*
 * A long jump for a place that has room for a short one only, where no padding is near: in the window of
 * other instructions.
 *
 *	lodger	jmp  host + 5          2 bytes over a clean window of two or more
 *	host	jmp  its own copy      over a clean window of ten or more bytes
 *	host+5	jmp  lodger's code     nobody else comes here: the host's instructions run elsewhere
 *
 * The host is an ordinary patch of ten bytes without handlers.  It goes in with the lodger, whose head is
 * written after the host's inside, and comes out last, when all threads stand still.
 */
#include <string.h>

#include "arch/x86_64/window.h"

enum {
	HOST_SIZE = 2 * ARCH_JUMP_SIZE,
	MAX_HEADS =
		7, /* of windows over the lodger: its own, and those of instructions before it */
	SHORT_SIZE = 2
};

struct lodging {
	struct arch_text *text;
	const struct arch_plan_options *options;
	arch_is_free_fn is_free;
	void *data;
	struct arch_plan heads[MAX_HEADS];
	unsigned int head_count;
};

static void collect_heads(
	struct lodging *l, const struct flow *flow, const struct arch_plan *plan)
{
	const struct arch_point *point = &plan->points[0];
	uint64_t probe = plan->address + point->offset, head = probe;
	struct window_reason ignored;
	struct insn insn;
	while (l->head_count < MAX_HEADS) {
		struct arch_plan *found = &l->heads[l->head_count];
		if (window_build(
			    flow, head, probe, SHORT_SIZE, l->options, found, &ignored) &&
			l->is_free(l->data, head, head + found->window))
			l->head_count++;
		/* only what leads to an exit may run in its window before it */
		if (!point->is_exit || !flow_previous(flow, head, &insn) ||
			insn_ends_flow(&insn) || insn.kind == INSN_CALL ||
			insn.kind == INSN_CALL_INDIRECT ||
			insn_is_endbr(insn.bytes, insn.length) ||
			probe - insn.address > ARCH_MAX_WINDOW / 2)
			break;
		head = insn.address;
	}
}

static bool overlaps(const struct arch_plan *plan, uint64_t low, uint64_t high)
{
	return plan->address < high && low < plan->address + plan->window;
}

static bool reaches(const struct arch_plan *head, uint64_t target)
{
	int64_t distance = (int64_t)(target - (head->address + SHORT_SIZE));
	return distance == (int8_t)distance;
}

static bool try_host(struct lodging *l, const struct flow *flow, uint64_t address,
	struct arch_plan *ret_lodger, struct arch_plan *ret_host)
{
	struct window_reason ignored;
	struct arch_plan host;
	bool built = false;
	for (unsigned int i = 0; i < l->head_count; i++) {
		if (!reaches(&l->heads[i], address + ARCH_JUMP_SIZE))
			continue;
		if (!built &&
			(!window_build(flow, address, address, HOST_SIZE, l->options,
				 &host, &ignored) ||
				host.has_call ||
				!l->is_free(l->data, address, address + host.window)))
			return false;
		built = true;
		if (overlaps(&l->heads[i], address, address + host.window))
			continue;
		host.form = ARCH_PATCH_JUMP_WINDOW;
		host.point_count = 0;
		*ret_host = host;
		*ret_lodger = l->heads[i];
		return true;
	}
	return false;
}

static bool try_hosts(struct lodging *l, uint64_t low, uint64_t high, uint64_t start,
	uint64_t end, struct arch_plan *ret_lodger, struct arch_plan *ret_host)
{
	const struct flow *flow;
	size_t size;
	if (flow_get(l->text, start, end, &flow, NULL) < 0)
		return false;
	for (uint64_t at = low > start ? low : start; at < high && at < end; at++) {
		const uint8_t *bytes = text_bytes(l->text, at, false, &size);
		if (!bytes || !(flow_mark(flow, at) & FLOW_INSN) ||
			!text_is_boundary(l->text, at) || insn_is_endbr(bytes, size))
			continue;
		if (try_host(l, flow, at, ret_lodger, ret_host))
			return true;
	}
	return false;
}

bool arch_plan_lodge(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, const struct arch_plan *plan,
	arch_is_free_fn is_free, void *data, struct arch_plan *ret_lodger,
	struct arch_plan *ret_host)
{
	struct lodging l = {
		.text = text, .options = options, .is_free = is_free, .data = data};
	struct arch_plan lodger, host;
	const struct flow *flow;
	if (options->no_jumps || plan->form != ARCH_PATCH_BREAKPOINT ||
		plan->point_count != 1 || flow_get(text, start, end, &flow, NULL) < 0)
		return false;
	collect_heads(&l, flow, plan);
	if (!l.head_count)
		return false;
	uint64_t lowest = l.heads[l.head_count - 1].address - 128, chunk, chunk_end;
	uint64_t highest = l.heads[0].address + 128;
	bool found = false;
	for (uint64_t at = lowest; at < highest && !found; at = chunk_end) {
		if (!text_chunk(text, at, &chunk, &chunk_end)) {
			chunk_end = at + 1;
			continue;
		}
		bool is_own = chunk >= start && chunk < end;
		found = try_hosts(&l, lowest, highest, is_own ? start : chunk,
			is_own && end > chunk_end ? end : chunk_end, &lodger, &host);
	}
	if (!found)
		return false;
	lodger.form = ARCH_PATCH_JUMP_SHORT;
	lodger.is_lodged = true;
	lodger.padding_address = host.address + ARCH_JUMP_SIZE;
	memcpy(lodger.padding_original, host.original + ARCH_JUMP_SIZE, ARCH_JUMP_SIZE);
	lodger.points[0] = plan->points[0];
	lodger.points[0].offset =
		(uint8_t)(plan->address + plan->points[0].offset - lodger.address);
	*ret_lodger = lodger;
	*ret_host = host;
	return true;
}
