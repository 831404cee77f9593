/* SPDX-License-Identifier: MIT */
#include "tap.h"
#include "uprobes/space.h"

/* mov $1,%eax would be too easy: push %rbp; syscall; mov %rsp,%rbp; window of 6, jump
 * over 5 */
static const struct uprobe_site window = {
	.address = 0x1000,
	.trampoline = 0x9000,
	.trampoline_size = 0x80,
	.state = SITE_LIVE,
	.form = ARCH_PATCH_JUMP_WINDOW,
	.size = 5,
	.window = 6,
	.insn_count = 3,
	.insn_offset = {0, 1, 3},
	.original = {0x55, 0x0f, 0x05, 0x48, 0x89, 0xe5},
	.map_count = 3,
	.map = {{0x00, 0x40, 0}, {0x41, 0x41, 1}, {0x43, 0x43, 3}},
};
static const struct uprobe_site last_syscall = {
	.address = 0x2000,
	.trampoline = 0xa000,
	.trampoline_size = 0x80,
	.state = SITE_LIVE,
	.form = ARCH_PATCH_JUMP_WINDOW,
	.size = 5,
	.window = 5,
	.insn_count = 2,
	.insn_offset = {0, 3},
	.original = {0x48, 0x89, 0xe5, 0x0f, 0x05},
	.map_count = 2,
	.map = {{0x00, 0x30, 0}, {0x33, 0x33, 3}},
};
static const struct uprobe_site single = {
	.address = 0x3000,
	.trampoline = 0xb000,
	.trampoline_size = 0x80,
	.state = SITE_LIVE,
	.form = ARCH_PATCH_JUMP_SINGLE,
	.size = 5,
	.window = 5,
	.insn_count = 1,
	.original = {0xb8, 1, 0, 0, 0},
	.map_count = 1,
	.map = {{0x00, 0x20, 0}},
};
static const struct uprobe_site breakpoint = {
	.address = 0x4000,
	.trampoline = 0xc000,
	.trampoline_size = 0x80,
	.state = SITE_LIVE,
	.form = ARCH_PATCH_BREAKPOINT,
	.size = 1,
	.window = 3,
	.insn_count = 1,
	.original = {0x48, 0x89, 0xe5},
	.map_count = 1,
	.map = {{0x00, 0x20, 0}},
};

static void test_interior(void)
{
	static const struct {
		const char *name;
		const struct uprobe_site *site;
		bool want;
	} cases[] = {
		{"several instructions", &window, true},
		{"syscall at the end", &last_syscall, true},
		{"one instruction", &single, false},
		{"breakpoint", &breakpoint, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		tap_ok(site_has_interior(cases[i].site) == cases[i].want, "interior: %s",
			cases[i].name);
}

static void test_redirect(void)
{
	static const struct {
		const char *name;
		const struct uprobe_site *site;
		uint64_t pc, want; /* 0: stays */
	} cases[] = {
		{"head", &window, 0x1000, 0},
		{"second instruction", &window, 0x1001, 0x9041},
		{"after the syscall", &window, 0x1003, 0x9043},
		{"in the middle of an instruction", &window, 0x1002, 0},
		{"end of the window", &window, 0x1006, 0},
		{"behind the window", &window, 0x1007, 0},
		{"after a syscall that ends the window", &last_syscall, 0x2005, 0xa035},
		{"single has no inside", &single, 0x3004, 0},
		{"breakpoint has no inside", &breakpoint, 0x4001, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t got = 0;
		if (!site_redirect(cases[i].site, cases[i].pc, &got))
			got = 0;
		tap_ok(got == cases[i].want, "redirect: %s", cases[i].name);
	}
}

static void test_home(void)
{
	static const struct {
		const char *name;
		const struct uprobe_site *site;
		uint64_t pc, want;
	} cases[] = {
		{"saving registers", &window, 0x9004, 0},
		{"first copy", &window, 0x9040, 0x1000},
		{"copy of the syscall", &window, 0x9041, 0x1001},
		{"last copy", &window, 0x9043, 0x1003},
		{"blocked in the last syscall", &last_syscall, 0xa035, 0x2005},
		{"not in the trampoline", &window, 0x9080, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t got = 0;
		if (!site_home(cases[i].site, cases[i].pc, &got))
			got = 0;
		tap_ok(got == cases[i].want, "home: %s", cases[i].name);
	}
}

static void test_trap_target(void)
{
	static const struct {
		const char *name;
		enum uprobe_site_state state;
		uint64_t address, want;
	} cases[] = {
		{"head", SITE_TRANSIENT, 0x1000, 0x9000},
		{"inside", SITE_TRANSIENT, 0x1003, 0x9043},
		{"late at the head", SITE_LIVE, 0x1000, 0x9000},
		{"late, taken out again", SITE_REMOVED, 0x1003, 0x1003},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct uprobe_site site = window;
		site.state = cases[i].state;
		tap_ok(site_trap_target(&site, cases[i].address) == cases[i].want,
			"trap: %s", cases[i].name);
	}
}

static void test_find(void)
{
	static const struct {
		const char *name;
		uint64_t address, want;
	} cases[] = {
		{"before all", 0xfff, 0},
		{"head", 0x1000, 0x1000},
		{"last byte", 0x1005, 0x1000},
		{"behind", 0x1006, 0},
		{"the last site", 0x4002, 0x4000},
		{"after all", 0x4003, 0},
	};
	struct uprobe_space space = {0};

	vec_append(&space.sites, window);
	vec_append(&space.sites, last_syscall);
	vec_append(&space.sites, single);
	vec_append(&space.sites, breakpoint);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct uprobe_site *site = site_find(&space, cases[i].address);
		tap_ok((site ? site->address : 0) == cases[i].want, "find: %s",
			cases[i].name);
	}
	vec_free(&space.sites);
}

int main(void)
{
	test_interior();
	test_redirect();
	test_home();
	test_trap_target();
	test_find();
	return tap_done();
}
