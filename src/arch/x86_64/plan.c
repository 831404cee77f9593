/* SPDX-License-Identifier: MIT */
/*
 * Planning one site: the cheapest form that is provably right.
 *
 *  1. a 5-byte jump over one instruction, or over a clean window of several
 *  2. a 2-byte jump to padding nearby
 *  3. int3
 *  4. refusal, with the rule
 */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/liveness.h"
#include "arch/x86_64/relocate.h"
#include "arch/x86_64/window.h"

enum {
	FILLER_MAX = 64
};

static bool plan_choose(const struct flow *flow, uint64_t address,
	const struct arch_plan_options *options, struct arch_plan *ret,
	struct window_reason *reason)
{
	struct window_reason later;
	if (!options->no_jumps) {
		if (!options->no_long_jumps &&
			window_long(flow, address, address, options, ret, reason))
			return true;
		if (window_short(flow, address, address, options, ret,
			    options->no_long_jumps ? reason : &later))
			return true;
	}
	struct window_reason no_jump = *reason;
	if (options->no_breakpoints ||
		!window_breakpoint(flow, address, options, ret, reason))
		return false;
	window_note(ret, options, &no_jump);
	return true;
}

/*
 * Is the instruction part of mov $15,%eax; syscall (rt_sigreturn)?  Unwinders and debuggers know the
 * frame of a signal by these very bytes (libgcc, gdb, libunwind), and read them at any time.
 */
static bool is_signal_return(struct arch_text *text, uint64_t address)
{
	static const struct {
		uint8_t bytes[9], size;
	} forms[] = {
		{{0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05}, 9},
		{{0xb8, 15, 0, 0, 0, 0x0f, 0x05}, 7},
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		unsigned int move = forms[i].size - 2u;
		for (unsigned int back = 0; back <= move; back += move) {
			size_t size;
			const uint8_t *bytes =
				text_bytes(text, address - back, false, &size);
			if (bytes && size >= forms[i].size &&
				memcmp(bytes, forms[i].bytes, forms[i].size) == 0)
				return true;
		}
	}
	return false;
}

/*
 * Compilers have inlined code begin at filler that aligns a jump target: nothing falls through it, and
 * what is entered is the instruction behind it.
 */
static uint64_t skip_filler(const struct flow *flow, uint64_t address)
{
	struct insn insn;
	uint64_t at = address;
	while (at - address < FILLER_MAX && !(flow_mark(flow, at) & FLOW_COVERED) &&
		text_decode(flow->text, at, &insn) && insn_is_padding(&insn) &&
		!text_is_function_start(flow->text, at + insn.length))
		at += insn.length;
	return flow_mark(flow, at) & FLOW_INSN ? at : address;
}

int arch_plan_site(struct arch_text *text, uint64_t address, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, struct arch_plan *ret, struct error *err)
{
	const struct flow *flow;
	int r = flow_get(text, start, end, &flow, err);
	if (r < 0)
		return r;
	size_t size;
	uint64_t first = skip_filler(flow, address);
	const uint8_t *bytes = text_bytes(text, first, false, &size);
	if (!bytes || !(flow_mark(flow, first) & FLOW_INSN))
		return error_set(err, -EINVAL,
			"no instruction of the function at 0x%llx begins at 0x%llx",
			(unsigned long long)start, (unsigned long long)address);
	if (is_signal_return(text, address))
		return error_set(err, -EOPNOTSUPP,
			"instruction at 0x%llx: it returns from a signal, and unwinders know its "
			"frame by its bytes",
			(unsigned long long)address);
	/* an indirect call has to find the endbr64 */
	uint64_t patch = insn_is_endbr(bytes, size) ? first + 4 : first;
	struct arch_plan plan;
	struct window_reason reason = {.rule = "no form is allowed", .at = patch};
	if (!plan_choose(flow, patch, options, &plan, &reason))
		return error_set(err, -EOPNOTSUPP,
			"instruction at 0x%llx: %s (at 0x%llx)",
			(unsigned long long)address, reason.rule,
			(unsigned long long)reason.at);
	bool entry = address == start;
	struct arch_point *point = &plan.points[0];
	point->address = address;
	point->mid_function = !entry || flow->loops_to_start;
	/* also at an entry: Go's asyncPreempt begins wherever a signal came, and saves them */
	point->flags_live = flags_are_live(text, patch, options->trust_abi_flags);
	*ret = plan;
	return 0;
}

int arch_plan_breakpoint(const uint8_t *bytes, size_t size, uint64_t address,
	struct arch_plan *ret, struct error *err)
{
	struct insn insn;
	const char *rule = insn_decode(bytes, size, address, &insn)
				   ? relocate_check(&insn, false)
				   : "no instruction is there";
	if (rule)
		return error_set(err, -EOPNOTSUPP, "instruction at 0x%llx: %s",
			(unsigned long long)address, rule);
	*ret = (struct arch_plan){.address = address,
		.form = ARCH_PATCH_BREAKPOINT,
		.size = 1,
		.window = insn.length,
		.insn_count = 1};
	memcpy(ret->original, bytes, insn.length);
	return 0;
}

static bool ranges_overlap(uint64_t a, size_t a_size, uint64_t b, size_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

bool arch_plans_overlap(const struct arch_plan *a, const struct arch_plan *b)
{
	/* all displaced instructions count: a patch on one that runs elsewhere would not
	 * be hit */
	if (ranges_overlap(a->address, a->window, b->address, b->window))
		return true;
	bool a_pad = a->form == ARCH_PATCH_JUMP_SHORT,
	     b_pad = b->form == ARCH_PATCH_JUMP_SHORT;
	return (a_pad && ranges_overlap(a->padding_address, ARCH_JUMP_SIZE, b->address,
				 b->window)) ||
	       (b_pad && ranges_overlap(b->padding_address, ARCH_JUMP_SIZE, a->address,
				 a->window)) ||
	       (a_pad && b_pad &&
		       ranges_overlap(a->padding_address, ARCH_JUMP_SIZE,
			       b->padding_address, ARCH_JUMP_SIZE));
}

int arch_plan_find_point(const struct arch_plan *plan, const struct arch_point *point)
{
	for (int i = 0; i < plan->point_count; i++) {
		const struct arch_point *p = &plan->points[i];
		if (p->address == point->address && p->is_exit == point->is_exit &&
			p->is_conditional == point->is_conditional)
			return i;
	}
	return -1;
}

static void join_points(struct arch_plan *into, const struct arch_plan *from)
{
	for (unsigned int i = 0; i < from->point_count; i++) {
		struct arch_point point = from->points[i];
		if (arch_plan_find_point(into, &point) >= 0)
			continue;
		point.offset = (uint8_t)(from->address + point.offset - into->address);
		into->points[into->point_count++] = point;
	}
}

static uint64_t last_point(const struct arch_plan *plan)
{
	uint8_t last = 0;
	for (unsigned int i = 0; i < plan->point_count; i++)
		if (plan->points[i].offset > last)
			last = plan->points[i].offset;
	return plan->address + last;
}

bool arch_plans_join(struct arch_text *text, uint64_t start, uint64_t end,
	const struct arch_plan_options *options, const struct arch_plan *a,
	const struct arch_plan *b, struct arch_plan *ret)
{
	const struct flow *flow;
	struct window_reason reason;
	struct arch_plan plan;
	uint64_t head = a->address < b->address ? a->address : b->address;
	uint64_t last = last_point(a) > last_point(b) ? last_point(a) : last_point(b);
	/* the only instruction of a function is its entry and its exit */
	if (a->form == ARCH_PATCH_BREAKPOINT && b->form == ARCH_PATCH_BREAKPOINT &&
		a->address == b->address &&
		a->point_count + b->point_count <= ARCH_MAX_POINTS) {
		plan = *a;
		join_points(&plan, b);
		*ret = plan;
		return true;
	}
	if (options->no_jumps || flow_get(text, start, end, &flow, NULL) < 0 ||
		a->point_count + b->point_count > ARCH_MAX_POINTS)
		return false;
	/* A padding that one of them has is found again for the same head only. */
	if ((options->no_long_jumps ||
		    !window_long(flow, head, last, options, &plan, &reason)) &&
		!window_short(flow, head, last, options, &plan, &reason))
		return false;
	plan.point_count = 0;
	join_points(&plan, a);
	join_points(&plan, b);
	*ret = plan;
	return true;
}
