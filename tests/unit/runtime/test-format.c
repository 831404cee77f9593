/* SPDX-License-Identifier: MIT */
#include "fixture.h"

/* One conversion between brackets. */
static const struct {
	char conversion, flag;
	int32_t width, precision;
	int64_t args[3];
	const char *expected;
} cases[] = {
	{'d', 0, 5, -1, {42}, "[   42]"},
	{'d', 0, -1, 5, {42}, "[00042]"},
	{'x', '#', -1, -1, {255}, "[0xff]"},
	{'X', '#', -1, -1, {255}, "[0XFF]"},
	{'o', '#', -1, -1, {8}, "[010]"},
	{'u', 0, -1, -1, {-1}, "[18446744073709551615]"},
	{'p', 0, -1, -1, {0x1234}, "[0x1234]"},
	{'d', '+', -1, -1, {5}, "[+5]"},
	{'d', '-', 5, -1, {5}, "[5    ]"},
	{'d', '0', 5, -1, {-5}, "[-0005]"},
	{'d', ' ', -1, -1, {5}, "[ 5]"},
	{'d', '+', -1, -1, {-5}, "[-5]"},
	{'i', 0, -1, -1, {INT64_MIN}, "[-9223372036854775808]"},
	{'d', 0, 8, 4, {-7}, "[   -0007]"},
	{'x', '0', 8, -1, {0xabc}, "[00000abc]"},
	{'x', '#', 8, -1, {0xabc}, "[   0xabc]"},
	{'X', 0, -1, -1, {0xabc}, "[ABC]"},
	{'o', 0, -1, -1, {-1}, "[1777777777777777777777]"},
	{'p', 0, -1, -1, {0}, "[0x0]"},
	{'d', 0, FORMAT_DYNAMIC, -1, {6, 42}, "[    42]"},
	{'d', 0, FORMAT_DYNAMIC, -1, {-6, 42}, "[42    ]"},
	{'d', 0, FORMAT_DYNAMIC, FORMAT_DYNAMIC, {6, 3, 42}, "[   042]"},
	{'d', 0, -1, FORMAT_DYNAMIC, {-3, 42}, "[42]"},
	{'c', 0, -1, -1, {'x'}, "[x]"},
	{'c', 0, 3, -1, {'x'}, "[  x]"},
	{'c', '-', 3, -1, {'x'}, "[x  ]"},
	{'c', '#', -1, -1, {'\n'}, "[\\n]"},
	{'c', '#', -1, -1, {0}, "[\\000]"},
	{'c', '#', -1, -1, {200}, "[\\310]"},
	{'c', '#', 6, -1, {200}, "[  \\310]"},
	{'c', '#', -1, -1, {'x'}, "[x]"},
	{'c', '#', -1, -1, {'\\'}, "[\\\\]"},
	{'b', 0, 1, -1, {0x4142}, "[B]"},
	{'b', 0, 2, -1, {0x4142}, "[BA]"},
	{'b', 0, 4, -1, {0x41424344}, "[DCBA]"},
	{'b', 0, -1, -1, {0x4142434445464748}, "[HGFEDCBA]"},
	{'m', 0, -1, 4, {0x1000}, "[]"},
};

static const struct {
	char flag;
	int32_t width, precision;
	const char *arg, *expected;
} strings[] = {
	{0, -1, -1, "text", "[text]"},
	{0, 6, -1, "text", "[  text]"},
	{'-', 6, -1, "text", "[text  ]"},
	{0, -1, 2, "text", "[te]"},
	{0, 5, 2, "text", "[   te]"},
	{0, -1, 0, "text", "[]"},
	{0, -1, -1, "", "[]"},
	{0, 2, -1, "text", "[text]"},
};

/* A format with one part between "[" and "]". */
static struct format *make_format(struct format_part part)
{
	static union {
		struct format format;
		char bytes[1024];
	} u;
	uint32_t text = sizeof(struct format) + 3 * sizeof(struct format_part);
	u.format =
		(struct format){.size = text + 2, .part_count = 3, .argument_count = 1};
	struct format_part *parts =
		(struct format_part *)(void *)(u.bytes + sizeof(struct format));
	parts[0] = (struct format_part){
		.kind = FORMAT_LITERAL, .text = text, .text_size = 1};
	parts[1] = part;
	parts[2] = (struct format_part){
		.kind = FORMAT_LITERAL, .text = text + 1, .text_size = 1};
	u.bytes[text] = '[';
	u.bytes[text + 1] = ']';
	return &u.format;
}

static void test_longs(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct format *format =
			make_format((struct format_part){.kind = FORMAT_LONG,
				.conversion = (uint8_t)cases[i].conversion,
				.flag = (uint8_t)cases[i].flag,
				.width = cases[i].width,
				.precision = cases[i].precision});
		char out[256], name[64];
		size_t n = format_text(
			format, (const uint64_t *)cases[i].args, out, sizeof(out));
		snprintf(name, sizeof(name), "%%%c%c of %s",
			cases[i].flag ? cases[i].flag : ' ', cases[i].conversion,
			cases[i].expected);
		tap_is_string(out, cases[i].expected, name);
		if (n != strlen(cases[i].expected))
			tap_ok(false, "length of %s", name);
	}
}

static void test_strings(void)
{
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		struct format *format =
			make_format((struct format_part){.kind = FORMAT_STRING,
				.conversion = 's',
				.flag = (uint8_t)strings[i].flag,
				.width = strings[i].width,
				.precision = strings[i].precision});
		uint64_t arg = (uint64_t)(uintptr_t)strings[i].arg;
		char out[256];
		format_text(format, &arg, out, sizeof(out));
		tap_is_string(out, strings[i].expected, "%s");
	}
}

static void test_capacity(void)
{
	char out[64];
	bool good = true;
	uint64_t arg = (uint64_t)(uintptr_t) "a longer text";
	struct format_part part = {
		.kind = FORMAT_STRING, .conversion = 's', .width = 20, .precision = -1};
	for (size_t capacity = 0; capacity < 30; capacity++) {
		memset(out, 'Z', sizeof(out));
		size_t n = format_text(make_format(part), &arg, out, capacity);
		size_t want = capacity == 0 ? 0 : capacity - 1 < 22 ? capacity - 1 : 22;
		good = good && n == want && out[capacity] == 'Z' &&
		       (!capacity || out[n] == '\0');
	}
	tap_ok(good, "output is cut at the capacity");
	part.width = INT32_MAX;
	tap_is_long((long long)format_text(make_format(part), &arg, out, sizeof(out)), 63,
		"a huge width fills the buffer");
	struct fixture f;
	fixture_init(&f);
	char dst[FIXTURE_MAX_STRING + 1];
	dst[FIXTURE_MAX_STRING] = 'Z';
	rt_sprintf(f.c, dst, make_format(part), &arg);
	tap_ok(strlen(dst) == FIXTURE_MAX_STRING - 1, "sprintf is cut at max_string");
	part = (struct format_part){
		.kind = FORMAT_LONG, .conversion = 'M', .width = -1, .precision = 2};
	arg = 0x10;
	rt_sprintf(f.c, dst, make_format(part), &arg);
	tap_is_string(f.c->error_text, "read fault [man error::fault] at 0x10",
		"%M that faults");
}

int main(void)
{
	test_longs();
	test_strings();
	test_capacity();
	return tap_done();
}
