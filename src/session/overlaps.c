/* SPDX-License-Identifier: MIT */
/*
 * Patches of one file that are in each other's way.
 *
 *  1. patches at one address are one patch with several handlers
 *  2. patches that would overwrite each other's bytes: the later one becomes a breakpoint, then the earlier one;
 *     when that does not help either, the later one is refused
 */
#include <stdlib.h>
#include <string.h>

#include "session/plan.h"

static int plan_compare(const void *a, const void *b)
{
	const struct session_patch *left = a, *right = b;
	if (left->plan.address != right->plan.address)
		return left->plan.address < right->plan.address ? -1 : 1;
	bool left_exits = left->plan.points[0].is_exit,
	     right_exits = right->plan.points[0].is_exit;
	if (left_exits != right_exits)
		return left_exits ? 1 : -1;
	/* handlers of one place run in the order of the script */
	uint32_t a_site = left->handlers.items[0].site,
		 b_site = right->handlers.items[0].site;
	return a_site < b_site ? -1 : a_site > b_site;
}

/* Plan the same place again as a one-byte breakpoint. */
static bool plan_as_breakpoint(struct session_module *m, struct session_patch *patch)
{
	struct arch_plan_options options = {.no_jumps = true, .trust_abi_flags = false};
	struct arch_plan plan, *plans = NULL;
	size_t count = 0;
	bool done = false;
	const struct arch_point *point = &patch->plan.points[0];
	if (patch->plan.form == ARCH_PATCH_BREAKPOINT || patch->plan.point_count > 1)
		return false;
	if (!point->is_exit) {
		if (arch_plan_site(m->text, point->address, patch->function_start,
			    patch->function_end, &options, &plan, NULL) < 0)
			return false;
		patch->plan = plan;
		return true;
	}
	if (arch_plan_exits(m->text, patch->function_start, patch->function_end, &options,
		    &plans, &count, NULL) < 0)
		return false;
	for (size_t i = 0; i < count && !done; i++) {
		if (plans[i].point_count > 1 ||
			plans[i].points[0].address != point->address)
			continue;
		patch->plan = plans[i];
		done = true;
	}
	free(plans);
	return done;
}

static void plan_take_handlers(struct session_patch *into, struct session_patch *from)
{
	for (size_t i = 0; i < from->handlers.count; i++) {
		struct arch_handler_call call = from->handlers.items[i];
		int point =
			arch_plan_find_point(&into->plan, &from->plan.points[call.point]);
		call.point = (uint8_t)(point < 0 ? 0 : point);
		vec_append(&into->handlers, call);
	}
	vec_free(&from->handlers);
}

/*
 * Several probes on one function, a return probe's entry part next to an entry probe, or probes whose
 * windows overlap: one patch.
 */
static bool plan_merge(
	struct session_module *m, struct session_patch *into, struct session_patch *from)
{
	struct arch_plan_options options = {0};
	bool all_known = true;
	if (into->handlers.count + from->handlers.count > ARCH_MAX_HANDLERS)
		return false;
	for (unsigned int i = 0; i < from->plan.point_count; i++)
		all_known &=
			arch_plan_find_point(&into->plan, &from->plan.points[i]) >= 0;
	if (!all_known) {
		if (!arch_plans_overlap(&into->plan, &from->plan) ||
			into->function_start != from->function_start ||
			into->function_end != from->function_end ||
			!arch_plans_join(m->text, into->function_start,
				into->function_end, &options, &into->plan, &from->plan,
				&into->plan))
			return false;
	}
	plan_take_handlers(into, from);
	return true;
}

void plan_resolve_overlaps(struct session *s, struct session_module *m)
{
	if (m->patches.count)
		qsort(m->patches.items, m->patches.count, sizeof(*m->patches.items),
			plan_compare);
	size_t kept = 0;
	for (size_t i = 0; i < m->patches.count; i++) {
		struct session_patch *next = &m->patches.items[i];
		struct session_patch *last = kept ? &m->patches.items[kept - 1] : NULL;
		if (last && plan_merge(m, last, next))
			continue;
		bool clash = last && arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_as_breakpoint(m, next))
			clash = arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_as_breakpoint(m, last))
			clash = arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_merge(m, last, next))
			continue;
		if (clash) {
			const struct session_site *site =
				&s->sites.items[next->handlers.items[0].site];
			plan_refuse(s, m, site,
				last->handlers.count < ARCH_MAX_HANDLERS
					? "its bytes belong to the patch of another probe"
					: "too many probes have this place");
			vec_free(&next->handlers);
			continue;
		}
		if (kept != i)
			m->patches.items[kept] = *next;
		kept++;
	}
	m->patches.count = kept;
}

/* Does any patch want the padding that a short jump goes through?  Patches are sorted. */
static bool plan_padding_is_taken(
	const struct session_module *m, const struct session_patch *patch)
{
	size_t low = 0, high = m->patches.count;
	uint64_t padding = patch->plan.padding_address;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->patches.items[middle].plan.address + ARCH_MAX_WINDOW <= padding)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < m->patches.count; low++) {
		const struct session_patch *other = &m->patches.items[low];
		if (other->plan.address >= padding + ARCH_JUMP_SIZE)
			break;
		if (other != patch && arch_plans_overlap(&other->plan, &patch->plan))
			return true;
	}
	return false;
}

/* Neighbours in the list were compared; padding may lie anywhere within reach of a short jump. */
void plan_free_padding(struct session_module *m)
{
	for (size_t i = 0; i < m->patches.count; i++) {
		struct session_patch *patch = &m->patches.items[i];
		if (patch->plan.form == ARCH_PATCH_JUMP_SHORT &&
			plan_padding_is_taken(m, patch))
			(void)plan_as_breakpoint(m, patch);
	}
}
