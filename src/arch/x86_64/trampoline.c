/* SPDX-License-Identifier: MIT */
/*
 * Trampolines.  The stack while handlers run, from high to low addresses:
 *
 *	the program's data
 *	[128 bytes of red zone]			mid_function
 *	struct abi_regs				pushed r15 (or rax) first, flags last
 *	[context]				several handlers: the calls clobber rdi
 *
 * Nothing here changes a flag the program could see: lea instead of add, lahf/seto and
 * add $0x7f,%al; sahf around everything else when flags are live.  pushfq/popfq cost four
 *times as much and would touch DF, TF and AC.
 */
#include <stdbool.h>
#include <stddef.h>

#include "abi/context.h"
#include "arch/x86_64/emit.h"
#include "arch/x86_64/relocate.h"

enum {
	RED_ZONE = 128,
	CALLER_SAVED = 9,
	CALLEE_SAVED = 6,
};

_Static_assert(
	offsetof(struct abi_regs, rax) == CALLER_SAVED * 8, "pushed in this order");
_Static_assert(
	sizeof(struct abi_regs) == (1 + CALLER_SAVED + CALLEE_SAVED) * 8, "as pushed");

struct fixup {
	size_t at;    /* offset of a disp32 */
	uint8_t insn; /* displaced instruction it leads to */
};

/* The handlers of one point, as they stand in the trampoline. */
struct probe_code {
	size_t slow_jump,
		slow_return; /* the test of the context, and where it continues */
	size_t restore;      /* where to go without a context */
	size_t taken_jump;   /* displacement of a conditional exit's branch; 0: none */
	bool inline_only, callee_saved;
	unsigned int count; /* of handlers; 0: nothing is there */
};

struct writer {
	struct emitter e;
	const struct arch_trampoline_request *request;
	const struct arch_plan *plan;
	struct arch_trampoline *out;
	struct insn insns[ARCH_MAX_INSNS];
	size_t label[ARCH_MAX_INSNS]; /* where a jump to a displaced instruction goes */
	struct fixup fixups[ARCH_MAX_INSNS];
	size_t fixup_count;
	struct probe_code probes[ARCH_MAX_POINTS];
	size_t pushed; /* bytes between rsp and the program's rsp */
	/* of the point that is being written */
	const struct arch_point *point;
	struct probe_code *probe;
};

/* ---- saving ---- */

static void emit_skip_red_zone(struct writer *w)
{
	if (!w->point->mid_function)
		return;
	EMIT(&w->e, 0x48, 0x8d, 0x64, 0x24, 0x80); /* lea -128(%rsp),%rsp */
	w->pushed += RED_ZONE;
}

static void emit_unskip_red_zone(struct writer *w)
{
	if (!w->point->mid_function)
		return;
	EMIT(&w->e, 0x48, 0x8d, 0xa4, 0x24); /* lea 128(%rsp),%rsp */
	emit_u32(&w->e, RED_ZONE);
	w->pushed -= RED_ZONE;
}

/* A handler that looks at all registers looks at the flags, too, dead or not. */
static bool saves_flags(const struct writer *w)
{
	return w->point->flags_live || w->probe->callee_saved;
}

static void emit_save_flags(struct writer *w)
{
	if (saves_flags(w))
		EMIT(&w->e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
}

/* OF from al: 0x7f + 1 overflows; the others from ah */
static void emit_restore_flags(struct writer *w)
{
	if (saves_flags(w))
		EMIT(&w->e, 0x04, 0x7f, 0x9e); /* add $0x7f,%al; sahf */
}

static void emit_push_callee_saved(struct writer *w)
{
	if (!w->probe->callee_saved)
		return;
	EMIT(&w->e, 0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54); /* r15..r12 */
	EMIT(&w->e, 0x55, 0x53);                                     /* rbp, rbx */
	w->pushed += CALLEE_SAVED * 8;
}

/*
 * The last six are popped too: a handler that asked for them cannot change them, but the
 * stack has to come back without touching flags, and pops are as short as anything.
 */
static void emit_pop_callee_saved(struct writer *w)
{
	if (!w->probe->callee_saved)
		return;
	EMIT(&w->e, 0x5b, 0x5d);
	EMIT(&w->e, 0x41, 0x5c, 0x41, 0x5d, 0x41, 0x5e, 0x41, 0x5f);
	w->pushed -= CALLEE_SAVED * 8;
}

/* everything a call may clobber, rax excepted */
static void emit_push_scratch(struct writer *w)
{
	EMIT(&w->e, 0x51, 0x52, 0x56, 0x57);                         /* rcx rdx rsi rdi */
	EMIT(&w->e, 0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53); /* r8..r11 */
}

static void emit_pop_scratch(struct writer *w)
{
	EMIT(&w->e, 0x41, 0x5b, 0x41, 0x5a, 0x41, 0x59, 0x41, 0x58);
	EMIT(&w->e, 0x5f, 0x5e, 0x5a, 0x59);
}

/* struct abi_regs */
static void emit_save(struct writer *w)
{
	emit_skip_red_zone(w);
	emit_push_callee_saved(w);
	EMIT(&w->e, 0x50); /* rax */
	emit_push_scratch(w);
	emit_save_flags(w);
	EMIT(&w->e, 0x50); /* flags */
	w->pushed += (1 + CALLER_SAVED) * 8;
}

static void emit_restore(struct writer *w)
{
	EMIT(&w->e, 0x58);
	emit_restore_flags(w);
	emit_pop_scratch(w);
	EMIT(&w->e, 0x58);
	w->pushed -= (1 + CALLER_SAVED) * 8;
	emit_pop_callee_saved(w);
	emit_unskip_red_zone(w);
}

/* ---- handlers ---- */

static void emit_call(struct emitter *e, uint64_t target)
{
	if (emit_fits(emit_here(e) + 5, target)) {
		EMIT(e, 0xe8);
		emit_rel32(e, target, 0);
		return;
	}
	EMIT(e, 0x48, 0xb8); /* mov $target,%rax; call *%rax */
	emit_u64(e, target);
	EMIT(e, 0xff, 0xd0);
}

/* jz to a place that is not known yet */
static size_t emit_jz_forward(struct emitter *e)
{
	EMIT(e, 0x0f, 0x84);
	emit_u32(e, 0);
	return e->size - 4;
}

/* addq $increment,offset(%rax or %rdi) */
static void emit_count(
	struct writer *w, const struct arch_handler_call *h, unsigned int base)
{
	bool small = h->inline_increment == (int8_t)h->inline_increment;
	EMIT(&w->e, 0x48, small ? 0x83 : 0x81, (uint8_t)(0x80 | base));
	emit_u32(&w->e, h->inline_shard_offset);
	if (small)
		EMIT(&w->e, (uint8_t)h->inline_increment);
	else
		emit_u32(&w->e, (uint32_t)h->inline_increment);
}

/*
 * One that is interrupted by a signal has the context's stack, also before its handler has begun and when it is over:
 * from the first instruction that the stack is written by to the last that it is read by.
 */
static void emit_call_on_own_stack(struct writer *w, uint64_t target)
{
	enum {
		USED = offsetof(struct abi_context, stack_used),
		HOME = ABI_CONTEXT_STACK_TOP - 8
	};
	EMIT(&w->e, 0x83, 0xbf); /* cmpl $0,stack_used(%rdi) */
	emit_u32(&w->e, USED);
	EMIT(&w->e, 0x00);
	EMIT(&w->e, 0x0f, 0x85); /* jne nested */
	size_t nested = w->e.size;
	emit_u32(&w->e, 0);
	EMIT(&w->e, 0xc7, 0x87); /* movl $1,stack_used(%rdi) */
	emit_u32(&w->e, USED);
	emit_u32(&w->e, 1);
	EMIT(&w->e, 0x48, 0x89, 0xa7); /* mov %rsp,top-8(%rdi) */
	emit_u32(&w->e, HOME);
	EMIT(&w->e, 0x48, 0x8d, 0xa7); /* lea top-8(%rdi),%rsp */
	emit_u32(&w->e, HOME);
	emit_call(&w->e, target);
	EMIT(&w->e, 0x48, 0x89, 0xe1); /* mov %rsp,%rcx */
	EMIT(&w->e, 0x48, 0x8b, 0x21); /* mov (%rcx),%rsp */
	EMIT(&w->e, 0xc7, 0x81);       /* movl $0,stack_used(%rcx) */
	emit_u32(&w->e, (uint32_t)USED - (uint32_t)HOME);
	emit_u32(&w->e, 0);
	EMIT(&w->e, 0xe9); /* jmp done */
	size_t done = w->e.size;
	emit_u32(&w->e, 0);
	emit_patch_rel32(&w->e, nested, w->e.size);
	emit_call(&w->e, target);
	emit_patch_rel32(&w->e, done, w->e.size);
}

static void emit_handler_call(struct writer *w, const struct arch_handler_call *h)
{
	bool kept = w->probe->count > 1; /* the context lies below struct abi_regs */
	if (kept)
		EMIT(&w->e, 0x48, 0x8d, 0x74, 0x24, 0x08); /* lea 8(%rsp),%rsi */
	else
		EMIT(&w->e, 0x48, 0x89, 0xe6); /* mov %rsp,%rsi */
	EMIT(&w->e, 0x48, 0x8d, 0x94, 0x24);   /* lea pushed(%rsp),%rdx */
	emit_u32(&w->e, (uint32_t)w->pushed);
	EMIT(&w->e, 0x48, 0x8d, 0x0d); /* lea probe(%rip),%rcx */
	emit_rel32(&w->e, w->point->address + w->request->bias, 0);
	EMIT(&w->e, 0x41, 0xb8); /* mov $site,%r8d */
	emit_u32(&w->e, h->site);
	if (w->request->own_stack)
		emit_call_on_own_stack(w, h->runtime_address);
	else
		emit_call(&w->e, h->runtime_address);
}

/* mov %gs:null_context,%reg; test; jz slow */
static void emit_load_context(struct writer *w)
{
	bool rdi = !w->probe->inline_only;
	EMIT(&w->e, 0x65, 0x48, 0x8b, rdi ? 0x3c : 0x04, 0x25);
	emit_u32(&w->e, (uint32_t)w->request->null_context);
	EMIT(&w->e, 0x48, 0x85, rdi ? 0xff : 0xc0);
	w->probe->slow_jump = emit_jz_forward(&w->e);
	w->probe->slow_return = w->e.size;
}

static bool is_of_point(const struct writer *w, const struct arch_handler_call *h)
{
	return h->point == w->probe - w->probes;
}

static void emit_handlers(struct writer *w)
{
	const struct arch_trampoline_request *r = w->request;
	bool kept = w->probe->count > 1, first = true;
	emit_save(w);
	emit_load_context(w);
	if (kept) {
		EMIT(&w->e, 0x57); /* push %rdi */
		w->pushed += 8;
	}
	for (size_t i = 0; i < r->handler_count; i++) {
		if (!is_of_point(w, &r->handlers[i]))
			continue;
		if (!first)
			EMIT(&w->e, 0x48, 0x8b, 0x3c, 0x24); /* mov (%rsp),%rdi */
		first = false;
		if (r->handlers[i].is_inline_count)
			emit_count(w, &r->handlers[i], 7);
		else
			emit_handler_call(w, &r->handlers[i]);
	}
	if (kept) {
		EMIT(&w->e, 0x48, 0x8d, 0x64, 0x24, 0x08); /* lea 8(%rsp),%rsp */
		w->pushed -= 8;
	}
}

/* Only inline counts: rax is all they need. */
static void emit_counts(struct writer *w)
{
	const struct arch_trampoline_request *r = w->request;
	emit_skip_red_zone(w);
	EMIT(&w->e, 0x50);
	emit_save_flags(w);
	if (saves_flags(w))
		EMIT(&w->e, 0x50);
	emit_load_context(w);
	for (size_t i = 0; i < r->handler_count; i++)
		if (is_of_point(w, &r->handlers[i]))
			emit_count(w, &r->handlers[i], 0);
}

static void emit_counts_end(struct writer *w)
{
	if (saves_flags(w))
		EMIT(&w->e, 0x58);
	emit_restore_flags(w);
	EMIT(&w->e, 0x58);
	emit_unskip_red_zone(w);
}

/* Saves, handlers, restores. */
static void emit_probe(struct writer *w, unsigned int point)
{
	w->point = &w->plan->points[point];
	w->probe = &w->probes[point];
	if (!w->probe->count)
		return;
	if (w->probe->inline_only)
		emit_counts(w);
	else
		emit_handlers(w);
	w->probe->restore = w->e.size;
	if (w->probe->inline_only)
		emit_counts_end(w);
	else
		emit_restore(w);
}

/* Out of line: this thread has no context yet, or the session has ended. */
static void emit_slow_path(struct writer *w)
{
	emit_patch_rel32(&w->e, w->probe->slow_jump, w->e.size);
	if (w->probe->inline_only)
		emit_push_scratch(w);
	emit_call(&w->e, w->request->runtime_register);
	if (w->probe->inline_only)
		emit_pop_scratch(w);
	else
		EMIT(&w->e, 0x48, 0x89, 0xc7); /* mov %rax,%rdi */
	EMIT(&w->e, 0x48, 0x85, 0xc0);         /* test %rax,%rax */
	emit_jcc(&w->e, EMIT_NZ, w->e.address + w->probe->slow_return);
	emit_jmp(&w->e, w->e.address + w->probe->restore);
}

/* ---- displaced instructions ---- */

static int decode_window(struct writer *w, struct error *err)
{
	const struct arch_plan *plan = w->plan;
	for (unsigned int i = 0; i < plan->insn_count; i++) {
		unsigned int at = plan->insn_offset[i];
		if (at >= plan->window ||
			!insn_decode(plan->original + at, plan->window - at,
				plan->address + at, &w->insns[i]))
			return error_set(err, -EINVAL,
				"window at 0x%llx does not decode as planned",
				(unsigned long long)plan->address);
	}
	return 0;
}

/* The displaced instruction a link-time address in the window stands for; -1: none. */
static int find_displaced(const struct arch_plan *plan, uint64_t address)
{
	/* the head is where the patch is: jumping there is an event of its own */
	for (int i = 1; i < plan->insn_count; i++)
		if (plan->address + plan->insn_offset[i] == address)
			return i;
	return -1;
}

/* The conditional exit at an instruction whose taken branch has handlers; NULL: none. */
static struct probe_code *find_taken(struct writer *w, unsigned int insn)
{
	const struct arch_plan *plan = w->plan;
	for (unsigned int i = 0; i < plan->point_count; i++)
		if (plan->points[i].is_conditional && w->probes[i].count &&
			plan->points[i].offset == plan->insn_offset[insn])
			return &w->probes[i];
	return NULL;
}

static void emit_displaced(struct writer *w, unsigned int i)
{
	const struct insn *insn = &w->insns[i];
	struct relocate_target target = {.address = insn->target + w->request->bias};
	struct probe_code *taken = find_taken(w, i);
	int inside = insn->has_target ? find_displaced(w->plan, insn->target) : -1;
	target.is_label = taken || inside >= 0;
	w->out->map[i] = (struct arch_pc_map_entry){
		.arrival_offset = (uint16_t)w->label[i],
		.trampoline_offset = (uint16_t)w->e.size,
		.original_offset = w->plan->insn_offset[i],
	};
	if (insn->kind == INSN_CALL_INDIRECT)
		w->out->map[i].pushed_offset =
			(uint16_t)(w->e.size +
				   relocate_push_size(insn, w->request->bias));
	relocate_emit(&w->e, insn, w->request->bias, &target);
	if (taken)
		taken->taken_jump = target.at;
	else if (inside >= 0 && insn->kind != INSN_CALL)
		w->fixups[w->fixup_count++] = (struct fixup){target.at, (uint8_t)inside};
}

/* What runs only when a conditional exit is taken. */
static void emit_taken(struct writer *w, unsigned int point)
{
	const struct arch_plan *plan = w->plan;
	unsigned int i = 0;
	while (plan->insn_offset[i] != plan->points[point].offset)
		i++;
	emit_patch_rel32(&w->e, w->probes[point].taken_jump, w->e.size);
	emit_probe(w, point);
	emit_jmp(&w->e, w->insns[i].target + w->request->bias);
}

static void emit_window(struct writer *w)
{
	const struct arch_plan *plan = w->plan;
	for (unsigned int i = 0; i < plan->insn_count; i++) {
		w->label[i] = w->e.size;
		for (unsigned int k = 0; k < plan->point_count; k++)
			if (plan->points[k].offset == plan->insn_offset[i] &&
				!plan->points[k].is_conditional)
				emit_probe(w, k);
		emit_displaced(w, i);
	}
	w->out->map_count = plan->insn_count;
	const struct insn *last = &w->insns[plan->insn_count - 1];
	if (!insn_ends_flow(last) && !plan->has_call)
		emit_jmp(&w->e, last->address + last->length + w->request->bias);
	for (unsigned int k = 0; k < plan->point_count; k++)
		if (w->probes[k].taken_jump)
			emit_taken(w, k);
	for (unsigned int k = 0; k < plan->point_count; k++) {
		w->point = &plan->points[k];
		w->probe = &w->probes[k];
		if (w->probe->count)
			emit_slow_path(w);
	}
	for (size_t i = 0; i < w->fixup_count; i++)
		emit_patch_rel32(&w->e, w->fixups[i].at, w->label[w->fixups[i].insn]);
}

static bool is_insn_offset(const struct arch_plan *plan, unsigned int offset)
{
	for (int i = 0; i < plan->insn_count; i++)
		if (plan->insn_offset[i] == offset)
			return true;
	return false;
}

static int check_request(const struct arch_trampoline_request *r, struct error *err)
{
	const struct arch_plan *plan = r->plan;
	bool sound = plan->insn_count && plan->insn_count <= ARCH_MAX_INSNS &&
		     plan->window <= ARCH_MAX_WINDOW &&
		     plan->point_count <= ARCH_MAX_POINTS;
	for (unsigned int i = 0; sound && i < plan->point_count; i++)
		sound = is_insn_offset(plan, plan->points[i].offset);
	for (size_t i = 0; sound && i < r->handler_count; i++)
		sound = r->handlers[i].point < plan->point_count;
	if (!sound)
		return error_set(err, -EINVAL, "plan for 0x%llx is malformed",
			(unsigned long long)plan->address);
	if (r->handler_count > ARCH_MAX_HANDLERS)
		return error_set(err, -EINVAL, "%zu handlers at 0x%llx, %d are possible",
			r->handler_count, (unsigned long long)plan->address,
			ARCH_MAX_HANDLERS);
	return 0;
}

static void sort_handlers(struct writer *w)
{
	const struct arch_trampoline_request *r = w->request;
	for (size_t i = 0; i < ARCH_MAX_POINTS; i++)
		w->probes[i].inline_only = true;
	for (size_t i = 0; i < r->handler_count; i++) {
		struct probe_code *probe = &w->probes[r->handlers[i].point];
		probe->count++;
		probe->inline_only &= r->handlers[i].is_inline_count;
		probe->callee_saved |= r->handlers[i].needs_callee_saved;
	}
}

int arch_trampoline_emit(const struct arch_trampoline_request *request,
	struct arch_trampoline *ret, struct error *err)
{
	int r = check_request(request, err);
	if (r < 0)
		return r;
	struct writer w = {.request = request, .plan = request->plan, .out = ret};
	w.e = (struct emitter){.bytes = ret->bytes,
		.capacity = sizeof(ret->bytes),
		.address = request->runtime_address};
	sort_handlers(&w);
	r = decode_window(&w, err);
	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	emit_window(&w);
	ret->size = (uint16_t)w.e.size;
	if (w.e.error == -ERANGE)
		return error_set(err, -ERANGE,
			"0x%llx is out of reach of the trampoline for 0x%llx",
			(unsigned long long)w.e.unreachable,
			(unsigned long long)request->plan->address);
	if (w.e.error)
		return error_set(err, w.e.error, "trampoline for 0x%llx is too long",
			(unsigned long long)request->plan->address);
	return 0;
}

/* ---- bytes in text ---- */

static int jump_bytes(uint64_t from, uint64_t to, uint8_t ret[ARCH_JUMP_SIZE])
{
	struct emitter e = {.bytes = ret, .capacity = ARCH_JUMP_SIZE, .address = from};
	emit_jmp(&e, to);
	return e.error;
}

int arch_patch_bytes(const struct arch_plan *plan, uint64_t bias,
	uint64_t runtime_trampoline, uint8_t ret[ARCH_MAX_WINDOW])
{
	int64_t distance;
	switch (plan->form) {
	case ARCH_PATCH_JUMP_SINGLE:
	case ARCH_PATCH_JUMP_WINDOW:
		if (plan->size > ARCH_JUMP_SIZE)
			memset(ret + ARCH_JUMP_SIZE, 0xcc, plan->size - ARCH_JUMP_SIZE);
		return jump_bytes(plan->address + bias, runtime_trampoline, ret);
	case ARCH_PATCH_JUMP_SHORT:
		distance = (int64_t)(plan->padding_address - (plan->address + 2));
		if (distance != (int8_t)distance)
			return -ERANGE;
		ret[0] = 0xeb;
		ret[1] = (uint8_t)distance;
		return 0;
	case ARCH_PATCH_BREAKPOINT:
		ret[0] = 0xcc;
		return 0;
	}
	return -EINVAL;
}

int arch_padding_bytes(const struct arch_plan *plan, uint64_t bias,
	uint64_t runtime_trampoline, uint8_t ret[ARCH_JUMP_SIZE])
{
	if (plan->form != ARCH_PATCH_JUMP_SHORT)
		return -EINVAL;
	return jump_bytes(plan->padding_address + bias, runtime_trampoline, ret);
}

const char *arch_patch_form_name(enum arch_patch_form form)
{
	switch (form) {
	case ARCH_PATCH_JUMP_SINGLE:
		return "jump";
	case ARCH_PATCH_JUMP_WINDOW:
		return "jump-window";
	case ARCH_PATCH_JUMP_SHORT:
		return "jump-short";
	case ARCH_PATCH_BREAKPOINT:
		return "breakpoint";
	}
	return "?";
}

/* ---- arenas ---- */

enum {
	ARENA_MARGIN = 1 << 20
}; /* an arena block and its neighbours */

static void bound(uint64_t address, uint64_t *low, uint64_t *high)
{
	uint64_t reach = (1ull << 31) - ARENA_MARGIN;
	uint64_t from = address > reach ? address - reach : 0;
	uint64_t to = address + reach < address ? UINT64_MAX : address + reach;
	if (from > *low)
		*low = from;
	if (to < *high)
		*high = to;
}

void arch_arena_bounds(const struct arch_plan *plans, size_t count, uint64_t bias,
	uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t low = 0, high = UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		const struct arch_plan *plan = &plans[i];
		bound(plan->address + bias, &low, &high);
		for (unsigned int k = 0; k < plan->insn_count && k < ARCH_MAX_INSNS;
			k++) {
			unsigned int at = plan->insn_offset[k];
			struct insn insn;
			if (at >= plan->window ||
				!insn_decode(plan->original + at, plan->window - at,
					plan->address + at, &insn))
				continue;
			if (insn.has_operand)
				bound(insn.operand + bias, &low, &high);
			if (insn.has_target)
				bound(insn.target + bias, &low, &high);
		}
	}
	*ret_low = low;
	*ret_high = high;
}
