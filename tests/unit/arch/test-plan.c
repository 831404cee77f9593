/* SPDX-License-Identifier: MIT */
/* Every hazard of a patch window, as bytes: what form is chosen, or which rule refuses. */
#include <errno.h>

#include "arch/arch.h"
#include "code.h"
#include "tap.h"

enum {
	BASE = 0x400000
};

#define PAD5 ".byte 0xcc,0xcc,0xcc,0xcc,0xcc\n"

/* clang-format off */
CODE(single, "mov $1,%eax\n ret");
CODE(multi, "push %rbp\n mov %rsp,%rbp\n push %r15\n ret");
CODE(interior, "push %rbp\n 1: mov %rsp,%rbp\n dec %edi\n jnz 1b\n pop %rbp\n ret");
CODE(interior_far, "push %rbp\n 1: mov %rsp,%rbp\n .skip 200,0x90\n dec %edi\n jnz 1b\n pop %rbp\n ret");
CODE(loop_head, "dec %edi\n lea 1(%rax),%rax\n test %edi,%edi\n jnz code_loop_head\n ret");
/* eb f6 in the immediate would lead to offset 1 */
CODE(superset, "push %rbp\n mov %rsp,%rbp\n mov %esi,%eax\n add $0xf6eb9090,%eax\n pop %rbp\n ret");
CODE(jrcxz, "jrcxz 1f\n lea 1(%rax),%rax\n nop\n 1: ret");
CODE(jcc_inside, "jz 1f\n inc %eax\n 1: inc %ecx\n inc %edx\n ret");
CODE(call_last, "sub $8,%rsp\n call code_single\n add $8,%rsp\n ret");
CODE(call_middle, "call *%rax\n mov $1,%eax\n ret");
CODE(call_next, "call 1f\n 1: pop %rax\n ret");
CODE(filler, "test %edi,%edi\n jmp 1f\n nopw 0(%rax,%rax)\n 1: mov $1,%eax\n ret");
CODE(filler_last, "jmp *%rax\n nopw 0(%rax,%rax)");
CODE(ret_padding, "ret\n nopw 0(%rax,%rax)");
CODE(ret_bare, "ret\n mov $1,%eax\n ret");
CODE(ret_targeted_padding, "ret\n 1: nop\n nop\n nop\n nop\n 2: jmp 1b");
CODE(ud2, "ud2\n ret");
CODE(int3, "int3\n ret");
CODE(xbegin, "xbegin 1f\n xend\n 1: ret");
CODE(syscall, "mov %edi,%eax\n syscall\n ret");
CODE(signal_return, "mov $15,%rax\n syscall\n ret");
CODE(signal_return_short, "mov $15,%eax\n syscall\n ret");
CODE(syscall_padded, "mov %edi,%eax\n syscall\n ret\n" PAD5);
CODE(hlt_first, "hlt\n ret");
CODE(endbr, "endbr64\n push %rbp\n mov %rsp,%rbp\n pop %rbp\n ret");
CODE(lock_skip, "test %eax,%eax\n jz 2f\n 1: lock\n 2: cmpxchg %ecx,0x1000(%rdi)\n ret");
CODE(eip, ".byte 0x67\n mov 0x100(%rip),%eax\n ret");
CODE(short_after, "mov %edi,%eax\n 1: dec %eax\n lea (%rsi),%ecx\n nop\n jnz 1b\n ret\n" PAD5);
CODE(short_before, "ret\n" PAD5 "mov %edi,%eax\n 1: dec %eax\n lea (%rsi),%ecx\n nop\n jnz 1b\n ret");
CODE(loop_inside, "mov %edi,%eax\n 1: dec %eax\n jnz 1b\n ret");
CODE(fall_into_padding, "inc %ecx\n" PAD5 "mov %edi,%eax\n 1: dec %eax\n lea (%rsi),%ecx\n nop\n jnz 1b\n ret");
CODE(call_memory_rsp, "call *8(%rsp)\n ret\n" PAD5);
CODE(call_below_rsp, "call *-8(%rsp)\n ret\n" PAD5);
CODE(table_interior,
	"code_ti_head: nop\n code_ti_case: inc %eax\n lea 1f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rcx\n"
	"add %rdx,%rcx\n notrack jmp *%rcx\n 2: ret\n .balign 4\n"
	"1: .long code_ti_case-1b, 2b-1b");
CODE(unknown_jump, "push %rbx\n mov %rdi,%rax\n mov (%rax),%rcx\n jmp *%rcx\n pop %rbx\n ret");
CODE(flags_read, "adc $0,%eax\n adc $0,%edx\n ret");
CODE(flags_written, "add $1,%rdi\n adc $0,%edx\n ret");
CODE(flags_shift, "shl %cl,%edx\n sbb %eax,%eax\n lea 1(%rax),%eax\n ret");
CODE(flags_inc, "inc %edx\n inc %edi\n inc %esi\n jc 1f\n 1: ret");
CODE(flags_unread, "lea 1(%rdi),%eax\n push %rcx\n push %rcx\n ret");
CODE(got_tail, "lea 1(%rdi),%edi\n jmp *0x1000(%rip)");
CODE(short_last, "push %rbx\n pop %rbx\n");
/* clang-format on */

static const struct row {
	const char *name;
	const uint8_t *code, *code_end;
	unsigned int start, end; /* of the function; end 0: all */
	unsigned int site, moved;
	const char *refusal; /* part of the message */
	enum arch_patch_form form;
	uint8_t window, insns;
	bool has_call, live, mid;
	struct arch_plan_options options;
	uint64_t extra_start, indirect; /* offsets; 0: none */
	uint64_t padding;               /* offset expected of a SHORT */
} rows[] = {
	{"one long instruction", CODE_BYTES(single), .form = ARCH_PATCH_JUMP_SINGLE,
		.window = 5, .insns = 1, .live = true},
	{"flags are dead at a compiled entry", CODE_BYTES(single), .window = 5,
		.insns = 1, .options.trust_abi_flags = true},
	{"several instructions", CODE_BYTES(multi), .form = ARCH_PATCH_JUMP_WINDOW,
		.window = 6, .insns = 3, .live = true},
	{"no jumps wanted", CODE_BYTES(multi), .form = ARCH_PATCH_BREAKPOINT, .window = 1,
		.insns = 1, .live = true, .options.no_jumps = true},
	{"branch to the interior", CODE_BYTES(interior), .form = ARCH_PATCH_BREAKPOINT,
		.window = 1, .insns = 1, .live = true},
	{"long branch to the interior", CODE_BYTES(interior_far),
		.form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1, .live = true},
	{"branch to the interior, no breakpoints", CODE_BYTES(interior),
		.refusal = "a branch leads inside the window (at 0x400006)",
		.options.no_breakpoints = true},
	{"loop to the head", CODE_BYTES(loop_head), .form = ARCH_PATCH_JUMP_WINDOW,
		.window = 6, .insns = 2, .mid = true},
	{"bytes that look like a branch", CODE_BYTES(superset),
		.form = ARCH_PATCH_JUMP_WINDOW, .window = 6, .insns = 3},
	{"jrcxz", CODE_BYTES(jrcxz), .form = ARCH_PATCH_JUMP_WINDOW, .window = 6,
		.insns = 2, .live = true},
	{"branch inside its own window", CODE_BYTES(jcc_inside),
		.form = ARCH_PATCH_JUMP_WINDOW, .window = 6, .insns = 3, .live = true},
	{"call at the end", CODE_BYTES(call_last), .form = ARCH_PATCH_JUMP_WINDOW,
		.window = 9, .insns = 2, .has_call = true},
	{"call with a shadow stack", CODE_BYTES(call_last), .form = ARCH_PATCH_BREAKPOINT,
		.window = 4, .insns = 1, .options.shadow_stack = true},
	{"call in the middle", CODE_BYTES(call_middle), .form = ARCH_PATCH_BREAKPOINT,
		.window = 2, .insns = 1, .has_call = true, .live = true},
	{"call to the next instruction", CODE_BYTES(call_next),
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 5, .insns = 1, .has_call = true,
		.live = true},
	{"ret and padding", CODE_BYTES(ret_padding), .end = 1,
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 5, .insns = 1, .live = true},
	{"ret and padding inside the function", CODE_BYTES(ret_padding),
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 5, .insns = 1, .live = true},
	{"ret without padding", CODE_BYTES(ret_bare), .end = 1,
		.form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1, .live = true},
	{"ret with padding somebody jumps to", CODE_BYTES(ret_targeted_padding), .end = 1,
		.extra_start = 5, .form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1,
		.live = true},
	{"filler before a jump's target", CODE_BYTES(filler), .site = 4, .moved = 5,
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 5, .insns = 1, .mid = true,
		.live = true},
	{"... in its middle", CODE_BYTES(filler), .site = 6,
		.refusal = "no instruction of the function"},
	{"filler that nothing follows", CODE_BYTES(filler_last), .site = 2,
		.refusal = "no instruction of the function"},
	{"ud2", CODE_BYTES(ud2), .refusal = "traps"},
	{"int3", CODE_BYTES(int3), .refusal = "int3 in text"},
	{"hlt", CODE_BYTES(hlt_first), .refusal = "traps"},
	{"xbegin", CODE_BYTES(xbegin), .refusal = "instruction of a transaction"},
	{"system call in the window", CODE_BYTES(syscall), .form = ARCH_PATCH_BREAKPOINT,
		.window = 2, .insns = 1, .live = true},
	{"system call behind two bytes, padding near", CODE_BYTES(syscall_padded),
		.end = 5, .form = ARCH_PATCH_JUMP_SHORT, .window = 2, .insns = 1,
		.live = true, .padding = 5},
	{"the return from a signal", CODE_BYTES(signal_return),
		.refusal = "returns from a signal"},
	{"... its second instruction", CODE_BYTES(signal_return), .site = 7,
		.refusal = "returns from a signal"},
	{"... another encoding", CODE_BYTES(signal_return_short),
		.refusal = "returns from a signal"},
	{"system call itself", CODE_BYTES(syscall), .site = 2, .refusal = "system call"},
	{"endbr64 stays", CODE_BYTES(endbr), .form = ARCH_PATCH_JUMP_WINDOW, .window = 5,
		.insns = 3, .live = true},
	{"jump over a lock prefix", CODE_BYTES(lock_skip), .site = 4,
		.form = ARCH_PATCH_BREAKPOINT, .window = 8, .insns = 1, .mid = true},
	{"32-bit program counter", CODE_BYTES(eip), .refusal = "32-bit program counter"},
	{"padding after the function", CODE_BYTES(short_after), .end = 10,
		.form = ARCH_PATCH_JUMP_SHORT, .window = 2, .insns = 1, .live = true,
		.padding = 10},
	{"padding before the function", CODE_BYTES(short_before), .start = 6, .site = 6,
		.form = ARCH_PATCH_JUMP_SHORT, .window = 2, .insns = 1, .live = true,
		.padding = 1},
	{"padding somebody falls into", CODE_BYTES(fall_into_padding), .start = 7,
		.site = 7, .form = ARCH_PATCH_BREAKPOINT, .window = 2, .insns = 1,
		.live = true},
	{"loop inside its own window", CODE_BYTES(loop_inside),
		.form = ARCH_PATCH_JUMP_WINDOW, .window = 6, .insns = 3, .live = true},
	{"call through rsp-relative memory", CODE_BYTES(call_memory_rsp), .end = 5,
		.form = ARCH_PATCH_JUMP_SHORT, .window = 4, .insns = 1, .has_call = true,
		.live = true, .padding = 5},
	{"call through the red zone", CODE_BYTES(call_below_rsp), .end = 5,
		.refusal = "below rsp"},
	{"jump table leads inside", CODE_BYTES(table_interior), .end = 23,
		.form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1},
	{"unknown indirect jump", CODE_BYTES(unknown_jump), .form = ARCH_PATCH_BREAKPOINT,
		.window = 1, .insns = 1, .live = true},
	{"function start inside", CODE_BYTES(multi), .extra_start = 1,
		.form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1, .live = true},
	{"landing pad inside", CODE_BYTES(multi), .indirect = 4,
		.form = ARCH_PATCH_JUMP_SHORT, .window = 4, .insns = 2, .live = true,
		.refusal = "", .options.no_breakpoints = true},
	{"flags are read", CODE_BYTES(flags_read), .form = ARCH_PATCH_JUMP_WINDOW,
		.window = 6, .insns = 2, .live = true},
	{"flags are written first", CODE_BYTES(flags_written),
		.form = ARCH_PATCH_JUMP_WINDOW, .window = 7, .insns = 2},
	{"a shift by zero keeps them", CODE_BYTES(flags_shift),
		.form = ARCH_PATCH_JUMP_WINDOW, .window = 7, .insns = 3, .live = true},
	{"inc keeps the carry", CODE_BYTES(flags_inc), .form = ARCH_PATCH_JUMP_WINDOW,
		.window = 6, .insns = 3, .live = true},
	{"a ret of a compiled function reads no flags", CODE_BYTES(flags_unread),
		.site = 3, .form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1,
		.mid = true, .options.trust_abi_flags = true},
	{"nor does a tail call through the GOT", CODE_BYTES(got_tail), .site = 3,
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 6, .insns = 1, .mid = true,
		.options.trust_abi_flags = true},
	{"a tail call of unknown code may", CODE_BYTES(got_tail), .site = 3,
		.form = ARCH_PATCH_JUMP_SINGLE, .window = 6, .insns = 1, .mid = true,
		.live = true},
	{"function cut off by the segment", CODE_BYTES(short_last),
		.form = ARCH_PATCH_BREAKPOINT, .window = 1, .insns = 1, .live = true},
	{"middle of an instruction", CODE_BYTES(single), .site = 1,
		.refusal = "no instruction of the function"},
};

static struct arch_text *make_text(const struct row *row)
{
	size_t size = (size_t)(row->code_end - row->code);
	uint64_t starts[3] = {BASE, BASE + row->start, BASE + row->extra_start};
	size_t count = 1;
	if (row->start)
		starts[count++] = BASE + row->start;
	if (row->extra_start)
		starts[count++] = BASE + row->extra_start;
	uint64_t indirect = BASE + row->indirect;
	struct arch_text_segment segment = {
		.address = BASE, .bytes = row->code, .size = size};
	return arch_text_create(
		&segment, 1, starts, count, &indirect, row->indirect ? 1 : 0);
}

static bool is_expected(const struct row *row, const struct arch_plan *plan)
{
	uint64_t site = BASE + row->site, patch = site + row->moved;
	if (memcmp(row->code + row->site, "\xf3\x0f\x1e\xfa", 4) == 0)
		patch += 4;
	return plan->form == row->form && plan->window == row->window &&
	       plan->insn_count == row->insns && plan->has_call == row->has_call &&
	       plan->points[0].flags_live == row->live &&
	       plan->points[0].mid_function == row->mid &&
	       plan->points[0].address == site && plan->address == patch &&
	       plan->points[0].offset == 0 && !plan->points[0].is_exit &&
	       memcmp(plan->original, row->code + (patch - BASE), plan->window) == 0 &&
	       (plan->form != ARCH_PATCH_JUMP_SHORT ||
		       plan->padding_address == BASE + row->padding);
}

static void test_row(const struct row *row)
{
	struct arch_text *text = make_text(row);
	uint64_t end = BASE + (row->end ? row->end : (size_t)(row->code_end - row->code));
	struct arch_plan plan = {0};
	struct error err = {0};
	int r = arch_plan_site(text, BASE + row->site, BASE + row->start, end,
		&row->options, &plan, &err);
	bool ok = row->refusal ? r < 0 && strstr(err.message, row->refusal)
			       : r == 0 && is_expected(row, &plan);
	tap_ok(ok, "%s", row->name);
	if (!ok)
		printf("# %d \"%s\": %s window %d insns %d call %d live %d mid %d padding 0x%llx\n",
			r, err.message, arch_patch_form_name(plan.form), plan.window,
			plan.insn_count, plan.has_call, plan.points[0].flags_live,
			plan.points[0].mid_function,
			(unsigned long long)plan.padding_address);
	arch_text_destroy(text);
}

static void test_padding_is_given_once(void)
{
	/* two functions that both want the only padding */
	struct row row = {.code = code_short_after, .code_end = code_end_short_after};
	struct arch_text *text = make_text(&row);
	struct arch_plan_options options = {.no_long_jumps = true};
	struct arch_plan a, b, again;
	bool ok =
		arch_plan_site(text, BASE, BASE, BASE + 10, &options, &a, NULL) == 0 &&
		arch_plan_site(text, BASE, BASE, BASE + 10, &options, &again, NULL) ==
			0 &&
		arch_plan_site(text, BASE + 2, BASE, BASE + 10, &options, &b, NULL) == 0;
	tap_ok(ok && a.form == ARCH_PATCH_JUMP_SHORT, "padding: the first one gets it");
	tap_ok(ok && again.padding_address == a.padding_address, "padding: and keeps it");
	tap_ok(ok && b.form == ARCH_PATCH_BREAKPOINT, "padding: the second one does not");
	tap_ok(ok && !arch_plans_overlap(&a, &b) && arch_plans_overlap(&a, &again),
		"padding: overlap is about bytes");
	arch_text_destroy(text);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(&rows[i]);
	test_padding_is_given_once();
	return tap_done();
}
