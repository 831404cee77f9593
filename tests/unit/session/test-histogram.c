/* SPDX-License-Identifier: MIT */
#include "session/histogram.h"
#include "tap.h"

struct sample {
	uint32_t bucket;
	uint64_t count;
};

static const struct {
	const char *name;
	struct abi_stat_desc desc;
	int width, elision;
	struct sample samples[8];
	const char *expected;
} cases[] = {
	{"linear with underflow and overflow",
		{.hist = ABI_HIST_LINEAR,
			.low = 2,
			.high = 11,
			.width = 1,
			.bucket_count = 12},
		50, 2, {{0, 3}, {1, 3}, {11, 7}},
		"value |-------------------------------------------------- count\n"
		"   <2 |@@@                                                3\n"
		"    2 |@@@                                                3\n"
		"    3 |                                                   0\n"
		"    4 |                                                   0\n"
		"      ~\n"
		"   10 |                                                   0\n"
		"   11 |                                                   0\n"
		"  >11 |@@@@@@@                                            7\n"
		"\n"},
	{"log, small values", {.hist = ABI_HIST_LOG, .bucket_count = 128}, 50, 2,
		{{65, 1}, {66, 2}},
		"value |-------------------------------------------------- count\n"
		"    0 |                                                   0\n"
		"    1 |@                                                  1\n"
		"    2 |@@                                                 2\n"
		"    4 |                                                   0\n"
		"    8 |                                                   0\n"
		"\n"},
	{"log, negative values", {.hist = ABI_HIST_LOG, .bucket_count = 128}, 10, 2,
		{{62, 1}, {64, 1}},
		"value |---------- count\n"
		"   -8 |           0\n"
		"   -4 |           0\n"
		"   -2 |@          1\n"
		"   -1 |           0\n"
		"    0 |@          1\n"
		"    1 |           0\n"
		"    2 |           0\n"
		"\n"},
	{"scaled bars and a wide count", {.hist = ABI_HIST_LOG, .bucket_count = 128}, 50,
		2, {{64, 1000}, {65, 20}},
		"value |-------------------------------------------------- count\n"
		"    0 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 1000\n"
		"    1 |@                                                    20\n"
		"    2 |                                                      0\n"
		"    4 |                                                      0\n"
		"\n"},
	{"nothing counted", {.hist = ABI_HIST_LOG, .bucket_count = 128}, 50, 2, {{0, 0}},
		""},
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct abi_stat *stat =
			calloc(1, sizeof(*stat) + cases[i].desc.bucket_count * 8);
		struct strbuf out;
		if (!stat)
			return 1;
		for (size_t k = 0; k < 8; k++)
			stat->buckets[cases[i].samples[k].bucket] +=
				cases[i].samples[k].count;
		strbuf_init(&out);
		histogram_print(
			stat, &cases[i].desc, cases[i].width, cases[i].elision, &out);
		tap_is_string(out.data, cases[i].expected, cases[i].name);
		strbuf_deinit(&out);
		free(stat);
	}
	return tap_done();
}
