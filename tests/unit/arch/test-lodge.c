/* SPDX-License-Identifier: MIT */
/* Short jumps through the windows of other instructions, and windows that take in their branches. */
#include "arch/arch.h"
#include "code.h"
#include "tap.h"

enum {
	BASE = 0x400000,
	ANY = 255
};

/* clang-format off */
/* Room for a short jump over pop and ret between a call and code that is jumped to; no padding anywhere. */
#define EXIT "call code_end_plain+64\n pop %rdx\n ret\n 2: "
#define TEN "mov %rdi,%rax\n mov %rsi,%rdx\n lea 8(%rax),%rcx\n mov %rcx,(%rdx)\n"
CODE(plain, "test %edi,%edi\n jz 2f\n" TEN EXIT TEN "ret");
CODE(entered, "test %edi,%edi\n jz 2f\n" TEN EXIT
	"mov %rdi,%rax\n mov %rsi,%rdx\n 1: lea 8(%rax),%rcx\n mov %rcx,(%rdx)\n jnz 1b\n call code_end_plain+64");
CODE(far, "test %edi,%edi\n jz 2f\n" TEN EXIT ".rept 40\n call code_end_plain+64\n .endr\n ret");
CODE(forth, "test %edi,%edi\n jz 1f\n mov %esi,%eax\n jmp 2f\n mov %eax,%ecx\n 1: inc %eax\n 2: ret");
CODE(back, "call code_end_plain+64\n jz 3f\n mov %esi,%eax\n 1: ret\n 3: inc %eax\n dec %ecx\n jz 1b\n ret");
CODE(outside, "call code_end_plain+64\n jz 3f\n mov %esi,%eax\n 1: ret\n 3: inc %eax\n call code_end_plain+64\n jz 1b\n ret");
/* clang-format on */

struct row {
	const char *name;
	const uint8_t *code, *code_end;
	unsigned int probe; /* the exit that is a breakpoint */
	unsigned int taken; /* an offset that belongs to somebody else */
	bool lodged;
	unsigned int lodger, host;
};

static const struct row rows[] = {
	{"the first ten bytes that serve", CODE_BYTES(plain), .probe = 23, .taken = ANY,
		.lodged = true, .lodger = 22, .host = 0},
	{"these are taken", CODE_BYTES(plain), .probe = 23, .taken = 8, .lodged = true,
		.lodger = 22, .host = 24},
	{"what is around the exit is taken", CODE_BYTES(plain), .probe = 23, .taken = 22},
	{"a branch leads inside the others", CODE_BYTES(entered), .probe = 23,
		.taken = 8},
	{"nothing but calls within reach", CODE_BYTES(far), .probe = 23, .taken = 8},
};

static bool is_free(void *data, uint64_t low, uint64_t high)
{
	const struct row *row = data;
	uint64_t taken = BASE + row->taken;
	return row->taken == ANY || taken < low || taken >= high;
}

static struct arch_text *text_of(const uint8_t *code, const uint8_t *code_end)
{
	struct arch_text_segment segment = {
		.address = BASE, .bytes = code, .size = (size_t)(code_end - code)};
	static const uint64_t start = BASE;
	return arch_text_create(&segment, 1, &start, 1, NULL, 0);
}

static bool is_right(const struct row *row, const struct arch_plan *lodger,
	const struct arch_plan *host)
{
	uint8_t bytes[ARCH_MAX_WINDOW], jump[ARCH_JUMP_SIZE];
	uint64_t trampoline = BASE + 0x10000;
	return lodger->form == ARCH_PATCH_JUMP_SHORT && lodger->is_lodged &&
	       lodger->address == BASE + row->lodger &&
	       lodger->points[0].address == BASE + row->probe &&
	       lodger->points[0].offset == row->probe - row->lodger &&
	       lodger->points[0].is_exit && host->form == ARCH_PATCH_JUMP_WINDOW &&
	       host->size == 2 * ARCH_JUMP_SIZE && host->point_count == 0 &&
	       host->address == BASE + row->host && host->window >= host->size &&
	       lodger->padding_address == host->address + ARCH_JUMP_SIZE &&
	       !memcmp(lodger->padding_original, host->original + ARCH_JUMP_SIZE,
		       ARCH_JUMP_SIZE) &&
	       arch_patch_bytes(lodger, 0, trampoline, bytes) == 0 && bytes[0] == 0xeb &&
	       lodger->address + 2 + (uint64_t)(int64_t)(int8_t)bytes[1] ==
		       lodger->padding_address &&
	       arch_padding_bytes(lodger, 0, trampoline, jump) == 0 && jump[0] == 0xe9 &&
	       arch_patch_bytes(host, 0, trampoline, bytes) == 0 && bytes[0] == 0xe9 &&
	       bytes[ARCH_JUMP_SIZE] == 0xcc;
}

static void test_row(const struct row *row)
{
	struct arch_text *text = text_of(row->code, row->code_end);
	struct arch_plan_options options = {0};
	struct arch_plan *plans = NULL, lodger = {0}, host = {0};
	uint64_t end = BASE + (uint64_t)(row->code_end - row->code);
	size_t count = 0, i = 0;
	bool found = false;
	int r = arch_plan_exits(text, BASE, end, &options, &plans, &count, NULL);
	while (r == 0 && i < count && plans[i].points[0].address != BASE + row->probe)
		i++;
	bool ok = r == 0 && i < count && plans[i].form == ARCH_PATCH_BREAKPOINT;
	if (ok)
		found = arch_plan_lodge(text, BASE, end, &options, &plans[i], is_free,
			(void *)(uintptr_t)row, &lodger, &host);
	ok = ok && found == row->lodged && (!found || is_right(row, &lodger, &host));
	tap_ok(ok, "%s", row->name);
	if (!ok)
		printf("# plan %d of %zu, found %d: lodger %#llx host %#llx\n", r, count,
			found, (unsigned long long)lodger.address - BASE,
			(unsigned long long)host.address - BASE);
	free(plans);
	arch_text_destroy(text);
}

/* The first exit's window: where it begins, how many bytes it displaces. */
static void test_wide(const char *name, const uint8_t *code, const uint8_t *code_end,
	enum arch_patch_form form, unsigned int address, unsigned int window)
{
	struct arch_text *text = text_of(code, code_end);
	struct arch_plan_options options = {0};
	struct arch_plan *plans = NULL;
	size_t count = 0;
	int r = arch_plan_exits(text, BASE, BASE + (uint64_t)(code_end - code), &options,
		&plans, &count, NULL);
	bool ok = r == 0 && count && plans[0].form == form &&
		  plans[0].address == BASE + address && plans[0].window == window;
	tap_ok(ok, "%s", name);
	if (!ok && count)
		printf("# %s at %llu, %u bytes\n", arch_patch_form_name(plans[0].form),
			(unsigned long long)plans[0].address - BASE, plans[0].window);
	free(plans);
	arch_text_destroy(text);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(&rows[i]);
	test_wide("branches from before the exit", CODE_BYTES(forth),
		ARCH_PATCH_JUMP_WINDOW, 2, 11);
	test_wide("a branch from behind it", CODE_BYTES(back), ARCH_PATCH_JUMP_WINDOW, 5,
		11);
	test_wide(
		"that comes too late", CODE_BYTES(outside), ARCH_PATCH_BREAKPOINT, 9, 1);
	return tap_done();
}
