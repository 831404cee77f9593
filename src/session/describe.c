/* SPDX-License-Identifier: MIT */
/* `utrace list -v`: how a place would be patched, and why not better. */
#include <stdlib.h>
#include <string.h>

#include "session/plan.h"
#include "session/stap_target.h"

static void describe_plan(const struct arch_plan *plan, struct strbuf *out)
{
	const struct arch_point *point = &plan->points[0];
	strbuf_printf(out, "    %#llx: ", (unsigned long long)point->address);
	switch (plan->form) {
	case ARCH_PATCH_JUMP_SINGLE:
		strbuf_printf(out, "jump over one instruction");
		break;
	case ARCH_PATCH_JUMP_WINDOW:
		strbuf_printf(out, "jump over %u instructions", plan->insn_count);
		break;
	case ARCH_PATCH_JUMP_SHORT:
		strbuf_printf(out,
			plan->is_lodged ? "short jump through other instructions at %#llx"
					: "short jump to padding at %#llx",
			(unsigned long long)plan->padding_address);
		break;
	case ARCH_PATCH_BREAKPOINT:
		strbuf_printf(out, "breakpoint");
		break;
	}
	strbuf_printf(out, ", %u byte%s at %#llx", plan->window,
		plan->window == 1 ? "" : "s", (unsigned long long)plan->address);
	for (unsigned int i = 0; i < plan->point_count; i++) {
		point = &plan->points[i];
		if (point->is_exit)
			strbuf_printf(out, ", %sexit%s at %#llx",
				point->is_conditional ? "conditional " : "",
				point->is_tail_call ? " by a tail call" : "",
				(unsigned long long)point->address);
	}
	if (plan->no_jump)
		strbuf_printf(out, ": no jump, %s (at %#llx)", plan->no_jump,
			(unsigned long long)plan->no_jump_at);
	strbuf_putc(out, '\n');
}

static void describe_refusal(
	const struct stap_location *l, const struct error *err, struct strbuf *out)
{
	strbuf_printf(out, "    %#llx: refused: %s\n",
		(unsigned long long)l->link_address, err->message);
}

struct planned {
	const struct arch_plan *plans;
	size_t count, own;
};

static bool is_unplanned(void *data, uint64_t low, uint64_t high)
{
	const struct planned *planned = data;
	for (size_t i = 0; i < planned->count; i++)
		if (i != planned->own && planned->plans[i].address < high &&
			low < planned->plans[i].address + planned->plans[i].window)
			return false;
	return true;
}

/* As it would be without other probes. */
static void describe_planned(struct session_module *m, const struct stap_location *l,
	const struct arch_plan_options *options, const struct arch_plan *plans,
	size_t count, struct strbuf *out)
{
	for (size_t i = 0; i < count; i++) {
		struct planned planned = {plans, count, i};
		struct arch_plan lodger, host;
		bool lodges = arch_plan_lodge(m->text, l->function_start, l->function_end,
			options, &plans[i], is_unplanned, &planned, &lodger, &host);
		describe_plan(lodges ? &lodger : &plans[i], out);
	}
}

static void describe_site(
	struct session_module *m, const struct stap_location *l, struct strbuf *out)
{
	struct arch_plan_options options = {.trust_abi_flags = l->has_debug_info};
	struct arch_plan plan;
	struct error err = {0};
	if (arch_plan_site(m->text, l->link_address, l->function_start, l->function_end,
		    &options, &plan, &err) < 0)
		describe_refusal(l, &err, out);
	else
		describe_planned(m, l, &options, &plan, 1, out);
}

static void describe_entrance(struct session_module *m, const struct stap_location *l,
	uint64_t entrance, struct strbuf *out)
{
	uint64_t start, end;
	const char *name;
	strbuf_printf(out, "    others come to its exits at %#llx",
		(unsigned long long)entrance);
	if (elf_module_function_at(m->elf, entrance, &start, &end, &name) && name)
		strbuf_printf(
			out, " (%s+%#llx)", name, (unsigned long long)(entrance - start));
	strbuf_printf(out, ": only those count that came in by the entry\n");
	describe_site(m, l, out);
}

static void describe_exits(
	struct session_module *m, const struct stap_location *l, struct strbuf *out)
{
	struct arch_plan_options options = {.trust_abi_flags = l->has_debug_info};
	struct arch_plan *plans = NULL;
	struct error err = {0};
	size_t count = 0;
	uint64_t entrance;
	if (arch_find_entrance(m->text, l->function_start, l->function_end, &entrance))
		describe_entrance(m, l, entrance, out);
	if (arch_plan_exits(m->text, l->function_start, l->function_end, &options, &plans,
		    &count, &err) < 0)
		describe_refusal(l, &err, out);
	else if (count == 0)
		strbuf_printf(out, "    %#llx: refused: the function never returns\n",
			(unsigned long long)l->link_address);
	describe_planned(m, l, &options, plans, count, out);
	free(plans);
}

static void describe_behind_calls(struct session *s, struct session_module *m,
	const struct stap_location *l, struct strbuf *out)
{
	size_t count;
	const struct arch_call *calls = session_stub_calls(s, m, l, &count);
	struct stap_location behind;
	for (size_t i = 0; i < count; i++)
		if (calls[i].behind && plan_place_behind(m, l, &calls[i], &behind))
			describe_site(m, &behind, out);
}

void session_plan_describe(
	struct session *s, const struct stap_location *location, struct strbuf *out)
{
	struct session_module *m = session_plan_module(s, location);
	if (location->is_behind_calls)
		describe_behind_calls(s, m, location, out);
	else if (location->is_return)
		describe_exits(m, location, out);
	else
		describe_site(m, location, out);
	if (location->semaphore)
		strbuf_printf(out, "    raises the semaphore at %#llx\n",
			(unsigned long long)location->semaphore);
}
