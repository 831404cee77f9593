/* SPDX-License-Identifier: MIT */
/*
 * What is a breakpoint still when all patches of a file are known: some can have a short jump through other
 * instructions' window, if nobody wants those (arch_plan_lodge()).
 */
#include "session/internal.h"

enum {
	RECENT = 64 /* more hosts than there is room for within reach of a short jump */
};

struct lodge_search {
	const struct session_module *module;
	const struct session_patch *patch; /* the one that looks for a place */
	size_t sorted;                     /* patches from here on are hosts */
};

static bool touches(const struct arch_plan *plan, uint64_t low, uint64_t high)
{
	bool pads = plan->form == ARCH_PATCH_JUMP_SHORT;
	return (plan->address < high && low < plan->address + plan->window) ||
	       (pads && plan->padding_address < high &&
		       low < plan->padding_address + ARCH_JUMP_SIZE);
}

/* Patches are sorted, and long jumps of short ones are at most 128 bytes away. */
static bool is_free(void *data, uint64_t low, uint64_t high)
{
	const struct lodge_search *search = data;
	const struct session_module *m = search->module;
	size_t first = 0, last = search->sorted;
	while (first < last) {
		size_t middle = first + (last - first) / 2;
		if (m->patches.items[middle].plan.address + ARCH_MAX_WINDOW + 256 <= low)
			first = middle + 1;
		else
			last = middle;
	}
	for (; first < search->sorted; first++) {
		const struct session_patch *other = &m->patches.items[first];
		if (other->plan.address > high + 256)
			break;
		if (other != search->patch && touches(&other->plan, low, high))
			return false;
	}
	for (size_t i = m->patches.count, n = 0; i > search->sorted && n < RECENT;
		n++, i--)
		if (touches(&m->patches.items[i - 1].plan, low, high))
			return false;
	return true;
}

void session_plan_lodge(struct session_module *m)
{
	size_t count = m->patches.count;
	for (size_t i = 0; i < count; i++) {
		struct session_patch *patch = &m->patches.items[i];
		struct lodge_search search = {m, patch, count};
		struct arch_plan_options options = {0};
		struct arch_plan lodger, host;
		if (!arch_plan_lodge(m->text, patch->function_start, patch->function_end,
			    &options, &patch->plan, is_free, &search, &lodger, &host))
			continue;
		patch->plan = lodger;
		struct session_patch *added = vec_push(&m->patches);
		*added = (struct session_patch){.plan = host};
	}
}
