/* SPDX-License-Identifier: MIT */
/*
 * Planning the exits of a function.  An exit is often a single byte: its window grows
 * forward into padding or backward over the instructions before it, as long as those run
 * straight into it.
 */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/liveness.h"
#include "arch/x86_64/window.h"

enum {
	MAX_BACKWARD = 6,
	MAX_BACKWARD_WIDE = ARCH_MAX_INSNS - 1,
	NEAR = 512, /* more than two short jumps and a window */
};

typedef bool window_fn(const struct flow *flow, uint64_t head, uint64_t probe,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason);

struct exit_planner {
	struct arch_text *text;
	const struct flow *flow;
	const struct arch_plan_options *options;
	struct arch_plan *plans;
	size_t count;
	uint64_t entry, entry_end; /* where an entry probe would go */
	bool is_shared;
};

static bool is_taken(
	const struct exit_planner *p, const struct arch_plan *plan, bool avoid_entry)
{
	if (avoid_entry && plan->address < p->entry_end &&
		p->entry < plan->address + plan->window)
		return true;
	/* exits come in order of address: only near ones can be in the way */
	for (size_t i = p->count; i > 0; i--) {
		if (p->plans[i - 1].address + NEAR < plan->address)
			break;
		if (arch_plans_overlap(&p->plans[i - 1], plan))
			return true;
	}
	return false;
}

/* Windows with their head at the exit, then at one instruction before it after the other.
 */
static bool try_windows(const struct exit_planner *p, window_fn *build, uint64_t address,
	bool avoid_entry, struct arch_plan *ret, struct window_reason *reason)
{
	uint64_t head = address;
	struct insn insn;
	for (int i = 0; i <= MAX_BACKWARD; i++) {
		if (build(p->flow, head, address, p->options, ret, reason) &&
			!is_taken(p, ret, avoid_entry))
			return true;
		if (!flow_previous(p->flow, head, &insn) || insn_ends_flow(&insn) ||
			insn.kind == INSN_CALL || insn.kind == INSN_CALL_INDIRECT)
			break;
		head = insn.address;
		if (insn_is_endbr(insn.bytes, insn.length))
			break;
	}
	return false;
}

/* The same with all branches to what is displaced: jumps before the exit are no end. */
static bool try_wide(const struct exit_planner *p, uint64_t address, bool avoid_entry,
	struct arch_plan *ret)
{
	struct window_reason reason;
	uint64_t head = address;
	struct insn insn;
	for (int i = 0; i <= MAX_BACKWARD_WIDE; i++) {
		if (window_wide(p->flow, head, address, p->options, ret, &reason) &&
			!is_taken(p, ret, avoid_entry))
			return true;
		if (!flow_previous(p->flow, head, &insn) || insn.kind == INSN_CALL ||
			insn.kind == INSN_CALL_INDIRECT ||
			insn_is_endbr(insn.bytes, insn.length))
			break;
		head = insn.address;
	}
	return false;
}

static bool choose(const struct exit_planner *p, uint64_t address, struct arch_plan *ret,
	struct window_reason *reason)
{
	const struct arch_plan_options *o = p->options;
	struct window_reason other;
	bool long_jumps = !o->no_jumps && !o->no_long_jumps;
	if (long_jumps && try_windows(p, window_long, address, true, ret, reason))
		return true;
	if (!o->no_jumps && try_windows(p, window_short, address, true, ret, &other))
		return true;
	if (long_jumps && try_windows(p, window_long, address, false, ret, reason))
		return true;
	if (long_jumps &&
		(try_wide(p, address, true, ret) || try_wide(p, address, false, ret)))
		return true;
	struct window_reason no_jump = *reason;
	if (o->no_breakpoints || !window_breakpoint(p->flow, address, o, ret, reason))
		return false;
	window_note(ret, o, &no_jump);
	return true;
}

static void describe(const struct exit_planner *p, const struct flow_exit *exit,
	struct arch_point *point)
{
	bool trust = p->options->trust_abi_flags;
	point->is_exit = true;
	point->is_shared = p->is_shared;
	switch (exit->kind) {
	case FLOW_EXIT_RET:
		point->flags_live = !trust;
		break;
	case FLOW_EXIT_INDIRECT:
		point->is_tail_call = true;
		point->flags_live = !trust;
		break;
	case FLOW_EXIT_CONDITIONAL:
	case FLOW_EXIT_JUMP:
	case FLOW_EXIT_FALL:
		point->is_tail_call = true;
		point->is_conditional = exit->kind == FLOW_EXIT_CONDITIONAL;
		/* what looks like a tail call could be a part of the function nobody told
		 * of */
		point->mid_function = true;
		point->flags_live = flags_are_live(p->text, exit->target, trust);
		break;
	}
}

/* One window for this exit and the one before, which comes shortly before it. */
static bool join_previous(const struct exit_planner *p, const struct flow_exit *exit)
{
	struct arch_plan *previous = p->count ? &p->plans[p->count - 1] : NULL;
	struct arch_plan single = {.address = exit->address,
		.points = {{.address = exit->address}},
		.point_count = 1};
	describe(p, exit, &single.points[0]);
	return previous && previous->address + previous->window + NEAR > exit->address &&
	       arch_plans_join(p->text, p->flow->start, p->flow->end, p->options,
		       previous, &single, previous);
}

static int plan_all(struct exit_planner *p, struct error *err)
{
	for (size_t i = 0; i < p->flow->exits.count; i++) {
		const struct flow_exit *exit = &p->flow->exits.items[i];
		struct window_reason reason = {
			.rule = "no form is allowed", .at = exit->address};
		struct arch_plan plan;
		if (!text_is_boundary(p->text, exit->address))
			return error_set(err, -EOPNOTSUPP,
				"instructions overlap at the exit at 0x%llx",
				(unsigned long long)exit->address);
		bool chosen = choose(p, exit->address, &plan, &reason);
		if ((!chosen || plan.form == ARCH_PATCH_BREAKPOINT) &&
			join_previous(p, exit))
			continue;
		if (!chosen)
			return error_set(err, -EOPNOTSUPP,
				"exit at 0x%llx: %s (at 0x%llx)",
				(unsigned long long)exit->address, reason.rule,
				(unsigned long long)reason.at);
		describe(p, exit, &plan.points[0]);
		p->plans[p->count++] = plan;
	}
	return 0;
}

/*
 * rt_sigreturn as the C libraries spell it, to be known by debuggers and unwinders: the thread goes on where the
 * signal came, and what runs on behind it is another function.
 */
static bool is_way_back_from_signal(struct arch_text *text, uint64_t start)
{
	static const uint8_t wide[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05},
			     narrow[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05};
	size_t size;
	const uint8_t *bytes = text_bytes(text, start, false, &size);
	return bytes && ((size >= sizeof(wide) && !memcmp(bytes, wide, sizeof(wide))) ||
				(size >= sizeof(narrow) &&
					!memcmp(bytes, narrow, sizeof(narrow))));
}

int arch_plan_exits(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, struct arch_plan **ret,
	size_t *ret_count, struct error *err)
{
	struct exit_planner p = {.text = text, .options = options};
	if (is_way_back_from_signal(text, start))
		return error_set(err, -EOPNOTSUPP,
			"it leads back from signal handlers, and does not return");
	int r = flow_get(text, start, end, &p.flow, err);
	if (r < 0)
		return r;
	if (p.flow->has_unknown_targets && p.flow->has_data)
		return error_set(err, -EOPNOTSUPP,
			"the indirect jump at 0x%llx is not understood, and the bytes at 0x%llx are "
			"reached by nothing known: exits may hide there",
			(unsigned long long)p.flow->unknown_at,
			(unsigned long long)p.flow->data_at);
	size_t size;
	const uint8_t *bytes = text_bytes(text, start, false, &size);
	p.entry = bytes && insn_is_endbr(bytes, size) ? start + 4 : start;
	p.entry_end = p.entry + ARCH_JUMP_SIZE;
	uint64_t entrance;
	p.is_shared = flow_find_entrance(p.flow, &entrance);
	p.plans = calloc(p.flow->exits.count + 1, sizeof(*p.plans));
	if (!p.plans)
		return error_set(err, -ENOMEM, "out of memory");
	r = plan_all(&p, err);
	if (r < 0) {
		free(p.plans);
		return r;
	}
	*ret = p.plans;
	*ret_count = p.count;
	return 0;
}

bool arch_find_entrance(
	struct arch_text *text, uint64_t start, uint64_t end, uint64_t *ret)
{
	const struct flow *flow;
	return flow_get(text, start, end, &flow, NULL) >= 0 &&
	       flow_find_entrance(flow, ret);
}
