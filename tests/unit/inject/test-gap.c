/* SPDX-License-Identifier: MIT */
#include "inject/internal.h"
#include "tap.h"

#define MIB (1ull << 20)

/* A non-PIE program whose heap has not begun; a PIE with a heap; libraries; a stack. */
static struct proc_map non_pie[] = {
	{.start = 0x400000, .end = 0x500000, .path = "/bin/program"},
	{.start = 0x7f0000000000, .end = 0x7f0000100000, .path = "/lib/libc.so"},
	{.start = 0x7fff00000000, .end = 0x7fff00021000, .path = "[stack]"},
};
static struct proc_map pie[] = {
	{.start = 0x555500000000, .end = 0x555500100000, .path = "/bin/program"},
	{.start = 0x555500200000, .end = 0x555500300000, .path = "[heap]"},
	{.start = 0x7f0000000000, .end = 0x7f0000100000, .path = "/lib/libc.so"},
};

static const struct {
	const char *name;
	struct proc_map *maps;
	size_t count;
	uint64_t start_brk, low, high, size, middle, want;
} cases[] = {
	{"right below the text", non_pie, 3, 0x520000, 0, 0x7fffffff, MIB, 0x400000,
		0x400000 - MIB - 4096},
	{"not where the heap will grow", non_pie, 3, 0x520000, 0x500000, 0x7fffffff, MIB,
		0x520000, 0x520000 + 16 * MIB},
	{"between text and heap, if it fits", non_pie, 3, 0x520000, 0x500000, 0x7fffffff,
		0x10000, 0x500000, 0x501000},
	{"above a heap", pie, 3, 0x555500200000, 0x555500300000, 0x5555ffffffff, MIB,
		0x555500300000, 0x555500300000 + 16 * MIB},
	{"between text and heap of a PIE", pie, 3, 0x555500200000, 0x555500000000,
		0x5555ffffffff, 0x4000, 0x555500150000, 0x555500150000},
	{"below a library", pie, 3, 0x555500200000, 0x7effc0000000, 0x7f0080000000, MIB,
		0x7f0000000000, 0x7f0000000000 - MIB - 4096},
	{"away from the stack", non_pie, 3, 0x520000, 0x7ffefff00000, 0x7fff00021000, MIB,
		0x7fff00000000, 0},
	{"no room", pie, 3, 0x555500200000, 0x555500000000, 0x555500100000, 4096,
		0x555500000000, 0},
	{"not at page 0", non_pie, 3, 0x520000, 0, 0x20000, 0x10000, 0, 0x10000},
	{"size as large as the gap", non_pie, 3, 0x520000, 0x10000, 0x3ff000, 0x3ef000, 0,
		0x10000},
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proc_maps maps = {0};
		struct gap_search search = {.low = cases[i].low,
			.high = cases[i].high,
			.size = cases[i].size,
			.middle = cases[i].middle};
		maps.maps.items = cases[i].maps;
		maps.maps.count = cases[i].count;
		uint64_t got = inject_find_gap(&maps, cases[i].start_brk, &search);
		if (!tap_ok(got == cases[i].want, "%s", cases[i].name))
			printf("# got 0x%llx, want 0x%llx\n", (unsigned long long)got,
				(unsigned long long)cases[i].want);
	}
	return tap_done();
}
