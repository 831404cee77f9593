/* SPDX-License-Identifier: MIT */
/* Ways out of a function: what counts as one, and where its window lies. */
#include "arch/arch.h"
#include "code.h"
#include "tap.h"

enum {
	BASE = 0x400000,
	DATA = 0x500000
};

#define PAD5 ".byte 0xcc,0xcc,0xcc,0xcc,0xcc\n"

/* clang-format off */
CODE(forward, "mov $1,%eax\n ret\n" PAD5);
CODE(backward, "test %edi,%edi\n nopw 0(%rax,%rax)\n mov $1,%eax\n pop %rbx\n ret");
CODE(targeted, "jz 1f\n mov $1,%eax\n 1: ret\n mov $1,%eax");
CODE(targeted_far, "jz 1f\n .skip 20,0x90\n 1: ret\n mov $1,%eax");
CODE(targeted_head, "jz 1f\n nopl 0(%rax)\n nopl 0(%rax)\n 1: mov $1,%eax\n ret");
CODE(rep_ret, "mov $1,%eax\n repz ret\n" PAD5);
CODE(ret_imm, "mov $1,%eax\n ret $8\n" PAD5);
CODE(tail_jump, "test %edi,%edi\n nopw 0(%rax,%rax)\n jmp code_tail_jump+64\n .skip 49,0xcc\n ret");
CODE(tail_short, "mov %edi,%eax\n inc %eax\n jmp 1f\n .skip 10,0xcc\n 1: ret");
CODE(tail_jcc, "test %edi,%edi\n jz code_tail_jcc+300\n ret\n" PAD5 ".skip 286,0xcc\n ret");
CODE(got, "lea 1(%rdi),%edi\n jmp *0x1000(%rip)\n" PAD5);
CODE(vtable, "mov (%rdi),%rax\n jmp *0x18(%rax)\n" PAD5);
CODE(loop_to_start, "dec %edi\n jnz code_loop_to_start\n jmp code_loop_to_start");
CODE(relative_table,
	"lea 1f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n notrack jmp *%rax\n"
	"2: mov $1,%eax\n ret\n 3: mov $2,%eax\n ret\n .balign 8,0xcc\n"
	"1: .long 2b-1b, 3b-1b, 2b-1b");
/* the third entry belongs to something else: it leads to a c3 inside an instruction */
CODE(table_end,
	"lea 1f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n jmp *%rax\n"
	"2: mov $0xc3c3c3c3,%eax\n ret\n 3: mov $2,%eax\n ret\n .balign 8,0xcc\n"
	"1: .long 2b-1b, 3b-1b, 2b+2-1b");
CODE(absolute_table, "jmp *0x500000(,%rdi,8)\n mov $1,%eax\n ret\n mov $2,%eax\n ret\n" PAD5);
CODE(pointer_table, "jmp *0x500020(,%rdi,8)\n" PAD5);
CODE(computed_goto, "push %rbx\n mov (%rdi),%rax\n jmp *%rax\n 1: pop %rbx\n ret\n" PAD5);
CODE(noreturn, "sub $8,%rsp\n call code_forward");
CODE(after_noreturn, "test %edi,%edi\n jz 1f\n call code_forward\n 1: mov $1,%eax\n ret\n" PAD5);
CODE(cold_framed,
	"push %rbx\n test %edi,%edi\n jz 2f\n 1: mov $1,%eax\n pop %rbx\n ret\n .skip 20,0xcc\n"
	"2: mov $7,%eax\n pop %rbx\n ret\n" PAD5);
CODE(cold_back,
	"test %edi,%edi\n jz 2f\n 1: mov $1,%eax\n ret\n .skip 22,0xcc\n 2: mov $7,%edi\n {disp32} jmp 1b");
CODE(cold_abort,
	"test %edi,%edi\n jz 2f\n 1: mov $1,%eax\n ret\n .skip 22,0xcc\n 2: push %rax\n call code_forward");
CODE(shared_tail,
	"test %edi,%edi\n jmp 2f\n .skip 12,0xcc\n mov $3,%edx\n 2: mov $7,%eax\n ret\n" PAD5);
CODE(fall_padded, "cmp %rdx,%rcx\n jb code_fall_padded\n .byte 0x66,0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0\n ret\n" PAD5);
CODE(fall_call, "call code_fall_call\n .byte 0x66,0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0\n ret\n" PAD5);
CODE(signal_return, "mov $15,%rax\n syscall\n nop\n ret\n" PAD5);
CODE(signal_return_short, "mov $15,%eax\n syscall\n nop\n ret\n" PAD5);
CODE(fall_through, "mov $1,%eax\n 1: mov $2,%eax\n ret\n" PAD5);
CODE(tiny, "xor %eax,%eax\n ret\n" PAD5 PAD5);
CODE(frame_pointer,
	"push %rbp\n mov %rsp,%rbp\n sub $32,%rsp\n mov (%rdi),%rax\n leave\n jmp *%rax\n" PAD5);
CODE(realigned,
	"lea 8(%rsp),%r10\n and $-32,%rsp\n push -8(%r10)\n push %rbp\n mov %rsp,%rbp\n push %r10\n"
	"mov (%rdi),%rax\n pop %r10\n pop %rbp\n lea -8(%r10),%rsp\n jmp *%rax\n" PAD5);
CODE(ret_ret, "pop %rdx\n ret\n ret\n lea 1(%rdi),%eax");
CODE(entered_start, "xor %eax,%eax\n ret\n " PAD5 "nop\n call code_entered_start\n ret\n" PAD5);
CODE(entered_middle, "xor %eax,%eax\n 1: ret\n " PAD5 ".skip 8,0xcc\n inc %edi\n jnz 1b\n ret\n" PAD5);
CODE(entered_far, "xor %eax,%eax\n 1: ret\n " PAD5 ".skip 8,0xcc\n inc %edi\n {disp32} jnz 1b\n ret\n" PAD5);
CODE(entered_nowhere,
	"xor %eax,%eax\n ret\n 1: ud2\n" PAD5 ".skip 6,0xcc\n inc %edi\n jnz 1b\n ret\n" PAD5);
CODE(entered_by_call,
	"xor %eax,%eax\n call 1f\n ret\n 1: inc %eax\n ret\n" PAD5 ".skip 14,0xcc\n ret\n");
CODE(entered_next, "call 1f\n 1: pop %rax\n ret\n" PAD5 ".skip 20,0xcc\n ret\n");
CODE(entered_by_recursion,
	"dec %edi\n jz 1f\n call code_entered_by_recursion\n 1: ret\n" PAD5 ".skip 16,0xcc\n ret\n");
CODE(cold_taken,
	"push %rbx\n test %edi,%edi\n jz 2f\n 1: mov $1,%eax\n pop %rbx\n ret\n .skip 20,0xcc\n"
	"2: mov $7,%eax\n pop %rbx\n ret\n" PAD5 "lea 2b(%rip),%rax\n ret\n" PAD5);
CODE(hidden,
	"mov (%rdi),%rax\n push %rax\n mov (%rsi),%rcx\n jmp *%rcx\n .byte 0x06,0x07\n pop %rax\n ret");
/* clang-format on */

struct expected {
	unsigned int probe, address; /* offsets */
	char kind;                   /* r: ret, j: jump, c: conditional */
	int form;                    /* enum arch_patch_form */
};

enum {
	S = ARCH_PATCH_JUMP_SINGLE,
	W = ARCH_PATCH_JUMP_WINDOW,
	H = ARCH_PATCH_JUMP_SHORT,
	B = ARCH_PATCH_BREAKPOINT,
};

static const struct row {
	const char *name;
	const uint8_t *code, *code_end;
	unsigned int end, other_start;
	const char *refusal;
	size_t count;
	struct expected exits[4];
	bool other_is_part; /* of this function, as far as symbols tell */
	unsigned int
		entrance; /* another way to the exits begins here; 0: there is none */
} rows[] = {
	{"forward into padding", CODE_BYTES(forward), .end = 6, .count = 1,
		.exits = {{5, 5, 'r', S}}},
	{"backward", CODE_BYTES(backward), .count = 1, .exits = {{13, 7, 'r', W}}},
	{"branch to the ret in its window", CODE_BYTES(targeted), .end = 8, .count = 1,
		.exits = {{7, 0, 'r', W}}},
	{"branch to the ret", CODE_BYTES(targeted_far), .end = 23, .count = 1,
		.exits = {{22, 22, 'r', B}}},
	{"target at the head", CODE_BYTES(targeted_head), .count = 1,
		.exits = {{13, 8, 'r', W}}},
	{"repz ret", CODE_BYTES(rep_ret), .end = 7, .count = 1,
		.exits = {{5, 5, 'r', S}}},
	{"ret $8", CODE_BYTES(ret_imm), .end = 8, .count = 1, .exits = {{5, 5, 'r', S}}},
	{"tail jump", CODE_BYTES(tail_jump), .end = 12, .other_start = 62, .count = 1,
		.exits = {{7, 7, 'j', S}}},
	{"short tail jump", CODE_BYTES(tail_short), .end = 6, .other_start = 16,
		.count = 1, .exits = {{4, 4, 'j', S}}},
	{"conditional jump out", CODE_BYTES(tail_jcc), .end = 9, .other_start = 300,
		.count = 2, .exits = {{2, 2, 'c', S}, {8, 8, 'r', S}}},
	{"jump through the GOT", CODE_BYTES(got), .end = 9, .count = 1,
		.exits = {{3, 3, 'j', S}}},
	{"virtual tail call", CODE_BYTES(vtable), .end = 6, .count = 1,
		.exits = {{3, 3, 'j', S}}},
	{"jumps to the start", CODE_BYTES(loop_to_start), .count = 0},
	{"relative jump table", CODE_BYTES(relative_table), .end = 29, .count = 2,
		.exits = {{22, 17, 'r', W}, {28, 23, 'r', W}}},
	{"what follows a jump table", CODE_BYTES(table_end), .end = 28, .count = 2,
		.exits = {{21, 16, 'r', W}, {27, 27, 'r', S}}},
	{"absolute jump table", CODE_BYTES(absolute_table), .end = 19, .count = 2,
		.exits = {{12, 7, 'r', W}, {18, 18, 'r', S}}},
	{"table of functions", CODE_BYTES(pointer_table), .end = 8, .count = 1,
		.exits = {{0, 0, 'j', S}}},
	{"computed goto in a frame", CODE_BYTES(computed_goto), .end = 8, .count = 1,
		.exits = {{7, 7, 'r', S}}},
	{"never returns", CODE_BYTES(noreturn), .count = 0},
	{"goes on behind a call", CODE_BYTES(after_noreturn), .end = 15, .count = 1,
		.exits = {{14, 14, 'r', S}}},
	{"part found by its frame", CODE_BYTES(cold_framed), .end = 12, .other_start = 32,
		.count = 2, .exits = {{11, 11, 'r', S}, {38, 38, 'r', S}},
		.other_is_part = true},
	{"part that is a function of its own", CODE_BYTES(cold_framed), .end = 12,
		.other_start = 32, .count = 2,
		.exits = {{11, 11, 'r', S}, {38, 38, 'r', S}}, .entrance = 32},
	{"part whose address is taken", CODE_BYTES(cold_taken), .end = 12,
		.other_start = 32, .count = 2,
		.exits = {{11, 11, 'r', S}, {38, 38, 'r', S}}, .other_is_part = true,
		.entrance = 32},
	{"jump back to the start of another one", CODE_BYTES(entered_start), .end = 3,
		.other_start = 8, .count = 1, .exits = {{2, 2, 'r', S}}},
	{"short jump into the middle", CODE_BYTES(entered_middle), .end = 3,
		.other_start = 16, .count = 1, .exits = {{2, 2, 'r', S}}, .entrance = 2},
	{"jump into the middle", CODE_BYTES(entered_far), .end = 3, .other_start = 16,
		.count = 1, .exits = {{2, 2, 'r', S}}, .entrance = 2},
	{"... by a part of its own", CODE_BYTES(entered_far), .end = 3, .other_start = 16,
		.count = 1, .exits = {{2, 2, 'r', S}}, .other_is_part = true},
	{"jump into the middle that leads to no exit", CODE_BYTES(entered_nowhere),
		.end = 5, .other_start = 16, .count = 1, .exits = {{2, 2, 'r', B}}},
	{"subroutine of its own", CODE_BYTES(entered_by_call), .end = 11,
		.other_start = 30, .count = 2,
		.exits = {{7, 7, 'r', B}, {10, 10, 'r', S}}, .entrance = 8},
	{"call of what comes next", CODE_BYTES(entered_next), .end = 7, .other_start = 32,
		.count = 1, .exits = {{6, 6, 'r', S}}},
	{"recursion", CODE_BYTES(entered_by_recursion), .end = 10, .other_start = 31,
		.count = 1, .exits = {{9, 9, 'r', S}}},
	{"part that jumps back", CODE_BYTES(cold_back), .end = 10, .other_start = 32,
		.count = 1, .exits = {{9, 9, 'r', S}}, .other_is_part = true},
	{"part that never returns", CODE_BYTES(cold_abort), .end = 10, .other_start = 32,
		.count = 1, .exits = {{9, 9, 'r', S}}},
	{"tail shared with another function", CODE_BYTES(shared_tail), .end = 4,
		.other_start = 16, .count = 1, .exits = {{2, 2, 'j', S}}},
	{"falls into another function", CODE_BYTES(fall_padded), .end = 5,
		.other_start = 16, .count = 1, .exits = {{5, 5, 'j', S}}},
	{"padding behind a call", CODE_BYTES(fall_call), .end = 5, .other_start = 16,
		.count = 0},
	{"the way back from a signal handler", CODE_BYTES(signal_return), .end = 9,
		.refusal = "signal handlers"},
	{"... of another C library", CODE_BYTES(signal_return_short), .end = 7,
		.refusal = "signal handlers"},
	{"falls into the next function", CODE_BYTES(fall_through), .end = 5,
		.other_start = 5, .count = 1, .exits = {{10, 10, 'r', S}}, .entrance = 5},
	{"tiny: next to the entry", CODE_BYTES(tiny), .end = 3, .count = 1,
		.exits = {{2, 2, 'r', S}}},
	{"tail call behind leave", CODE_BYTES(frame_pointer), .end = 14, .count = 1,
		.exits = {{12, 12, 'j', S}}},
	{"tail call behind a realigned frame", CODE_BYTES(realigned), .end = 31,
		.count = 1, .exits = {{29, 29, 'j', S}}},
	{"exits in a row", CODE_BYTES(ret_ret), .end = 3, .count = 2,
		.exits = {{1, 1, 'r', B}, {2, 2, 'r', B}}},
	{"code behind a jump nobody understands", CODE_BYTES(hidden),
		.refusal = "exits may hide"},
};

static char kind_of(const struct arch_plan *plan)
{
	return plan->points[0].is_conditional ? 'c'
	       : plan->points[0].is_tail_call ? 'j'
					      : 'r';
}

static bool is_expected(
	const struct row *row, const struct arch_plan *plans, size_t count)
{
	if (count != row->count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct expected *e = &row->exits[i];
		if (plans[i].points[0].address != BASE + e->probe ||
			plans[i].address != BASE + e->address ||
			plans[i].points[0].offset != e->probe - e->address ||
			(int)plans[i].form != e->form || kind_of(&plans[i]) != e->kind ||
			!plans[i].points[0].is_exit ||
			plans[i].points[0].is_shared != (row->entrance != 0))
			return false;
	}
	return true;
}

static void test_row(const struct row *row)
{
	/* the second one's targets are functions elsewhere */
	static const uint64_t tables[] = {
		BASE + 7, BASE + 13, 0, 0, BASE + 12, BASE + 12, 0, 0};
	size_t size = (size_t)(row->code_end - row->code);
	struct arch_text_segment segments[] = {
		{.address = BASE, .bytes = row->code, .size = size},
		{.address = DATA,
			.bytes = (const uint8_t *)tables,
			.size = sizeof(tables),
			.is_data = true},
	};
	uint64_t starts[] = {BASE, BASE + row->other_start};
	struct arch_text *text =
		arch_text_create(segments, 2, starts, row->other_start ? 2 : 1, NULL, 0);
	if (row->other_is_part)
		arch_text_set_parts(text, &starts[1], 1);
	struct arch_plan_options options = {0};
	struct arch_plan *plans = NULL;
	size_t count = 0;
	uint64_t entrance = 0, end = BASE + (row->end ? row->end : size);
	struct error err = {0};
	int r = arch_plan_exits(text, BASE, end, &options, &plans, &count, &err);
	bool ok = row->refusal ? r < 0 && strstr(err.message, row->refusal)
			       : r == 0 && is_expected(row, plans, count);
	tap_ok(ok, "%s", row->name);
	for (size_t i = 0; !ok && i < count; i++)
		printf("# probe %llu address %llu %c %s window %d\n",
			(unsigned long long)plans[i].points[0].address - BASE,
			(unsigned long long)plans[i].address - BASE, kind_of(&plans[i]),
			arch_patch_form_name(plans[i].form), plans[i].window);
	if (!ok)
		printf("# %d \"%s\", %zu exits\n", r, err.message, count);
	bool found = arch_find_entrance(text, BASE, end, &entrance);
	tap_ok(found == (row->entrance != 0) &&
			(!found || entrance == BASE + row->entrance),
		"%s: other ways in", row->name);
	if (found && entrance != BASE + row->entrance)
		printf("# at %llu\n", (unsigned long long)entrance - BASE);
	free(plans);
	arch_text_destroy(text);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(&rows[i]);
	return tap_done();
}
