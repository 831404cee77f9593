/* SPDX-License-Identifier: MIT */
/* Doubles computed with integers, against the processor's own. */
#include <inttypes.h>
#include <math.h>

#include "fixture.h"

static struct fixture f;
static char dst[4096];

enum {
	ROUNDS = 200000
};

static int64_t bits_of(double value)
{
	int64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double double_of(int64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint64_t random_bits(void)
{
	static uint64_t state = 88172645463325252ull;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

/* Every kind of number: any bits, near ones, subnormal, special, small integers. */
static int64_t random_double(void)
{
	static const uint64_t special[] = {0, 1, 0x8000000000000000u, 0x7ff0000000000000u,
		0xfff0000000000000u, 0x7ff8000000000000u, 0x3ff0000000000000u,
		0x000fffffffffffffu, 0x0010000000000000u, 0x7fefffffffffffffu};
	uint64_t r = random_bits();
	switch (r % 5) {
	case 0:
		return (int64_t)random_bits();
	case 1:
		return (int64_t)(0x3ff0000000000000u + (random_bits() >> 10) -
				 (1ull << 52));
	case 2:
		return (int64_t)(random_bits() & 0x801fffffffffffffu);
	case 3:
		return (int64_t)special[(r >> 8) % (sizeof(special) / sizeof(*special))];
	default:
		return bits_of((double)((int64_t)random_bits() >> (40 + r % 24)));
	}
}

static bool same(int64_t got, double want)
{
	return isnan(want) ? isnan(double_of(got)) : got == bits_of(want);
}

/* IEEE 754: a zero remainder has the sign of the dividend; glibc has not always. */
static double signed_remainder(double a, double b)
{
	double r = remainder(a, b);
	return r == 0 ? copysign(0, a) : r;
}

static double plus(double a, double b)
{
	return a + b;
}

static double minus(double a, double b)
{
	return a - b;
}

static double times(double a, double b)
{
	return a * b;
}

static double over(double a, double b)
{
	return a / b;
}

static const struct {
	const char *name;
	int64_t (*ours)(struct abi_context *, int64_t, int64_t);
	double (*theirs)(double, double);
} operations[] = {
	{"fp_add", rt_fn_fp_add, plus},
	{"fp_sub", rt_fn_fp_sub, minus},
	{"fp_mul", rt_fn_fp_mul, times},
	{"fp_div", rt_fn_fp_div, over},
	{"fp_rem", rt_fn_fp_rem, signed_remainder},
};

static void test_operations(void)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		int64_t a = 0, b = 0, got = 0;
		double want = 0;
		int round = 0;
		for (; round < ROUNDS; round++) {
			a = random_double();
			b = random_double();
			got = operations[i].ours(f.c, a, b);
			want = operations[i].theirs(double_of(a), double_of(b));
			if (!same(got, want))
				break;
		}
		if (!tap_ok(round == ROUNDS, "%s", operations[i].name))
			printf("# %a, %a: got %a want %a\n", double_of(a), double_of(b),
				double_of(got), want);
	}
	int round = 0;
	for (; round < ROUNDS; round++) {
		int64_t a = random_double();
		if (!same(rt_fn_fp_sqrt(f.c, a), sqrt(double_of(a))))
			break;
	}
	tap_is_long(round, ROUNDS, "fp_sqrt");
}

static void test_comparisons(void)
{
	int round = 0;
	for (; round < ROUNDS; round++) {
		int64_t a = random_double(), b = round % 3 ? random_double() : a;
		double x = double_of(a), y = double_of(b);
		if (rt_fn_fp_eq(f.c, a, b) != (x == y) ||
			rt_fn_fp_le(f.c, a, b) != (x <= y) ||
			rt_fn_fp_lt(f.c, a, b) != (x < y))
			break;
	}
	tap_is_long(round, ROUNDS, "comparisons");
}

static void test_conversions(void)
{
	static const struct {
		double value;
		int64_t mode, expected;
	} cases[] = {
		{2.5, 0, 2},
		{3.5, 0, 4},
		{-2.5, 0, -2},
		{2.5, 1, 2},
		{-2.9, 1, -2},
		{-2.1, 2, -3},
		{2.9, 2, 2},
		{2.1, 3, 3},
		{-2.9, 3, -2},
		{2.5, 4, 3},
		{-2.5, 4, -3},
		{0.3, 0, 0},
		{0.3, 3, 1},
		{-0.3, 2, -1},
		{1e300, 0, INT64_MAX},
		{-1e300, 0, INT64_MIN},
		{-9223372036854775808.0, 0, INT64_MIN},
		{9007199254740993.0, 0, 9007199254740992},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		tap_is_long(
			rt_fn_fp_to_long(f.c, bits_of(cases[i].value), cases[i].mode, 1),
			cases[i].expected, "fp_to_long");
	int round = 0;
	for (; round < ROUNDS; round++) {
		int64_t value = (int64_t)random_bits() >> (random_bits() % 64);
		if (!same(rt_fn_long_to_fp(f.c, value), (double)value))
			break;
	}
	tap_is_long(round, ROUNDS, "long_to_fp");
	for (round = 0; round < ROUNDS; round++) {
		uint32_t bits = (uint32_t)random_bits();
		float single;
		memcpy(&single, &bits, sizeof(single));
		if (!same(rt_fn_fp32_to_fp64(f.c, bits), (double)single))
			break;
	}
	tap_is_long(round, ROUNDS, "fp32_to_fp64");
}

static const struct {
	double value;
	int64_t precision;
	const char *expected;
} texts[] = {
	{0, 2, "0.00"},
	{1, 3, "1.000"},
	{-1.5, 1, "-1.5"},
	{3.14159265358979, 5, "3.14159"},
	{2.71828, 3, "2.718"},
	{0.999, 2, "1.00"},
	{9.99, 1, "10.0"},
	{99.996, 2, "100.00"},
	{0.000001, 6, "0.000001"},
	{1e-30, 5, "0.00000"},
	{123456789.125, 3, "123456789.125"},
	{999999999999999872.0, 1, "999999999999999872.0"},
	{1e20, 1, "100000000000000000.0e3"},
	{18446744073709551616.0, 2, "184467440737095520.00e2"},
	{-9223372036854777856.0, 0, "-922337203685477760e1"},
	{4.5, 0, "5"},
	{4.25, 0, "4"},
	{-0.0, 1, "-0.0"},
	{INFINITY, 1, "inf"},
	{-INFINITY, 1, "-inf"},
	{NAN, 1, "nan"},
};

static const struct {
	const char *text;
	double expected;
} numbers[] = {
	{"0", 0},
	{"1", 1},
	{"-1.5", -1.5},
	{"+2.25", 2.25},
	{"3.14159265358979", 3.14159265358979},
	{".5", 0.5},
	{"5.", 5},
	{"1e3", 1000},
	{"1.5E-3", 0.0015},
	{"1e400", INFINITY},
	{"", 0},
};

static void test_text(void)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		rt_fn_fp_to_string(f.c, dst, bits_of(texts[i].value), texts[i].precision);
		tap_is_string(dst, texts[i].expected, "fp_to_string");
	}
	rt_fn_fp_to_string(f.c, dst, bits_of(1.7976931348623157e308), 1);
	tap_is_string(dst, "179769313486231680.0e291", "the largest double");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		tap_is_long(rt_fn_string_to_fp(f.c, numbers[i].text),
			bits_of(numbers[i].expected), numbers[i].text);
	rt_fn_string_to_fp(f.c, "1.2x");
	tap_ok(f.c->error && !strcmp(f.c->error_text, "invalid format"),
		"bad text is an error");
	f.c->error = 0;
	int round = 0;
	for (; round < 2000; round++) {
		double value = (double)((int64_t)random_bits() >> 24) / 1024;
		char want[64];
		snprintf(want, sizeof(want), "%.10f", value);
		rt_fn_fp_to_string(f.c, dst, bits_of(value), 10);
		if (strcmp(dst, want) != 0)
			break;
	}
	tap_is_long(round, 2000, "exact fractions print as printf() does");
}

int main(void)
{
	fixture_init(&f);
	test_operations();
	test_comparisons();
	test_conversions();
	test_text();
	return tap_done();
}
