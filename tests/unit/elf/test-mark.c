/* SPDX-License-Identifier: MIT */
/* Arguments of static marks: the operand grammar, and notes that were moved or damaged. */
#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/mark.h"
#include "tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *text;
	const char *operations; /* "r5", "c8", "s<address>"; NULL: not accessible */
} operands[] = {
	{"4@%edi", "r5 z32"},
	{"-4@%edi", "r5 x32"},
	{"8@%r15", "r15"},
	{"-1@%al", "r0 x8"},
	{"1@%ah", "r0 c8 > z8"},
	{"-1@%bh", "r3 c8 > x8"},
	{"2@%r9w", "r9 z16"},
	{"1@%sil", "r4 z8"},
	{"-4@$-7", "c-7 x32"},
	{"8@$0x10", "c16"},
	{"-8@$-9223372036854775808", "c-9223372036854775808"},
	{"8@(%rsp)", "c0 r7 + d8"},
	{"-4@-20(%rbp)", "c-20 r6 + d4 x32"},
	{"-2@4+8(%rbp)", "c12 r6 + d2 x16"},
	{"4@8(%rax,%rcx,4)", "c8 r0 + r2 c4 * + d4 z32"},
	{"4@(,%rcx,8)", "c0 r2 c8 * + d4 z32"},
	{"4@(%rax,%rcx)", "c0 r0 + r2 c1 * + d4 z32"},
	{"4@(%r8)", "c0 r8 + d4 z32"},
	{"8@known_symbol(%rip)", "s0 d8"},
	{"8@known_symbol+8(%rip)", "s8 d8"},
	{"8@16+known_symbol(%rip)", "s16 d8"},
	{"-4@known_symbol-4(,%rax,4)", "s-4 r0 c4 * + d4 x32"},
	{"8@$known_symbol", "s0"},
	{"8@known_symbol", "s0 d8"},
	{"%rax", "r0"},
	{"%eax", "r0 x32"},
	{"$5", "c5"},
	{"7", "c7"},
	{"8f@8(%rsp)", "c8 r7 + d8"},
	{"8f@%xmm0", "v0"},
	{"4f@%xmm15", "v30 z32"},
	{"-8f@%xmm3", "v6"},
	{"8@%xmm3", "v6"},
	{"%xmm3", "v6"},
	{"8f@%xmm16", NULL},
	{"16f@%xmm0", NULL},
	{"8f@%ymm0", NULL},
	{"10f@%st", NULL},
	{"16f@(%rsp)", NULL},
	{"4@unknown_symbol(%rip)", NULL},
	{"3@%eax", NULL},
	{"4@%eaxx", NULL},
	{"4@%rip", NULL},
	{"4@", NULL},
	{"@", NULL},
	{"4@8(%rax", NULL},
	{"4@8(%rax,%rcx,3)", NULL},
	{"4@8(%ax)", NULL},
	{"4@8(%rax)x", NULL},
	{"4@a+b(%rip)", NULL},
	{"99999999999999999999@%eax", NULL},
	{"4@$", "c0 z32"},
	{"4@()", "c0 d4 z32"},
};

long known_symbol = 1;
static struct elf_module *self;

static char operation_letter(enum elf_op_kind kind)
{
	static const struct {
		enum elf_op_kind kind;
		char letter;
	} letters[] = {{ELF_OP_REG, 'r'}, {ELF_OP_CONST, 'c'}, {ELF_OP_STATIC, 's'},
		{ELF_OP_ADD, '+'}, {ELF_OP_MUL, '*'}, {ELF_OP_SHR, '>'},
		{ELF_OP_DEREF, 'd'}, {ELF_OP_VECTOR, 'v'}, {ELF_OP_SIGN_EXTEND, 'x'},
		{ELF_OP_ZERO_EXTEND, 'z'}};
	for (size_t i = 0; i < LENGTH(letters); i++) {
		if (letters[i].kind == kind)
			return letters[i].letter;
	}
	return '?';
}

static void print_operations(
	const struct elf_access *access, uint64_t symbol, char *ret, size_t size)
{
	size_t used = 0;
	ret[0] = '\0';
	for (size_t i = 0; i < access->op_count && used < size; i++) {
		const struct elf_op *op = &access->ops[i];
		char letter = operation_letter(op->kind);
		int64_t value = op->kind == ELF_OP_STATIC ? op->value - (int64_t)symbol
							  : op->value;
		used += (size_t)snprintf(
			ret + used, size - used, "%s%c", i ? " " : "", letter);
		if (strchr("rcsdvxz", letter) && used < size)
			used += (size_t)snprintf(
				ret + used, size - used, "%lld", (long long)value);
	}
}

static void test_operand(size_t i, struct arena *arena, uint64_t symbol)
{
	struct elf_mark mark = {.provider = "p",
		.name = "m",
		.arguments = operands[i].text,
		.address = 0x1000};
	struct elf_access access = {0};
	struct error err = {0};
	char text[256];
	int r = elf_mark_access(self, &mark, 1, arena, &access, &err);
	if (r == 0)
		print_operations(&access, symbol, text, sizeof(text));
	tap_is_string(r == 0 ? text : NULL, operands[i].operations, operands[i].text);
	if (r < 0 && !strstr(err.message, "argument 1 of mark 'm' is not accessible: "))
		tap_ok(false, "its message: %s", err.message);
}

static void test_lists(struct arena *arena)
{
	struct elf_mark mark = {.name = "m", .arguments = "  4@%edi   -8@$-1\t2@(%rsp) "};
	struct elf_access access;
	struct error err = {0};
	tap_is_long(elf_mark_argument_count(&mark), 3, "three arguments");
	tap_ok(elf_mark_access(self, &mark, 3, arena, &access, NULL) == 0 &&
			access.op_count == 5,
		"the third");
	tap_ok(elf_mark_access(self, &mark, 4, arena, &access, &err) == -ENOENT,
		"no fourth");
	tap_is_string(err.message,
		"invalid sdt mark argument number: 'm' has 3 arguments", "... is told");
	tap_ok(elf_mark_access(self, &mark, 0, arena, &access, NULL) == -ENOENT,
		"arguments count from 1");
	mark.arguments = "junk@@ 4@%esi";
	tap_ok(elf_mark_access(self, &mark, 2, arena, &access, NULL) == 0,
		"an odd argument leaves the next one alone");
	mark.arguments = "";
	tap_is_long(elf_mark_argument_count(&mark), 0, "none");
}

/* ---- notes ------------------------------------------------------------------------------------------------ */

__asm__(".pushsection .note.stapsdt,\"\",\"note\"\n"
	".balign 4\n.4byte 8, 8f-7f, 3\n.asciz \"stapsdt\"\n"
	"7: .8byte mark_place+0x100, _.stapsdt.base+0x100, mark_semaphore+0x100\n"
	".asciz \"prov\"\n.asciz \"moved\"\n.asciz \"4@$1\"\n8:\n.balign 4\n"
	".4byte 8, 8f-7f, 3\n.asciz \"stapsdt\"\n"
	"7: .8byte mark_place, _.stapsdt.base, 0\n.ascii \"unterminated\"\n8:\n.balign 4\n"
	".4byte 8, 8f-7f, 3\n.asciz \"stapsdt\"\n"
	"7: .8byte 16, _.stapsdt.base, 0\n.asciz \"p\"\n.asciz \"nowhere\"\n.asciz \"\"\n8:\n"
	".balign 4\n.4byte 8, 4, 3\n.asciz \"stapsdt\"\n.4byte 1\n"
	".4byte 8, 8f-7f, 3\n.asciz \"stapsdt\"\n"
	"7: .8byte mark_place, _.stapsdt.base, 0\n.asciz \"prov\"\n.asciz \"last\"\n8:\n.balign 4\n"
	".popsection\n"
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n"
	".size _.stapsdt.base, 1\n.popsection\n"
	".pushsection .probes,\"aw\",\"progbits\"\nmark_semaphore: .2byte 0\n.popsection\n"
	".text\nmark_function:\n nop\nmark_place:\n nop\n ret\n");

static const struct elf_mark *find(const char *name)
{
	size_t count;
	const struct elf_mark *marks = elf_module_marks(self, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(marks[i].name, name) == 0)
			return &marks[i];
	}
	return NULL;
}

static void test_notes(void)
{
	size_t count;
	uint64_t place, semaphore;
	bool known = elf_module_symbol(self, "mark_place", &place) &&
		     elf_module_symbol(self, "mark_semaphore", &semaphore);
	elf_module_marks(self, &count);
	const struct elf_mark *moved = find("moved"), *last = find("last");
	tap_ok(known && moved && moved->address == place && moved->semaphore == semaphore,
		"addresses move with .stapsdt.base");
	tap_ok(moved && strcmp(moved->provider, "prov") == 0 &&
			strcmp(moved->arguments, "4@$1") == 0,
		"provider and arguments");
	tap_ok(last && last->semaphore == 0 && last->arguments[0] == '\0',
		"without arguments and semaphore");
	tap_is_long((long long)count, 2,
		"unterminated, short and misplaced notes are left out");
}

int main(void)
{
	struct arena arena;
	uint64_t symbol = 0;
	arena_init(&arena);
	if (elf_module_open("/proc/self/exe", &self, NULL) < 0)
		return 1;
	tap_ok(elf_module_symbol(self, "known_symbol", &symbol), "a symbol of data");
	for (size_t i = 0; i < LENGTH(operands); i++)
		test_operand(i, &arena, symbol);
	test_lists(&arena);
	test_notes();
	elf_module_close(self);
	arena_deinit(&arena);
	return tap_done();
}
