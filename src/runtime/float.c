/* SPDX-License-Identifier: MIT */
/*
 * Floating point for scripts: IEEE 754 doubles carried in longs, computed with general registers
 * only, rounded to nearest even.  Code in the target may not touch vector or x87 state.
 *
 * A finite nonzero number is sign, exponent and a 63-bit significand with its leading bit at
 * bit 62: value = significand / 2^62 * 2^exponent.  Bits that fall out at the right leave a trace
 * in bit 0 ("jam"), so that rounding knows of them.
 */
#include <stddef.h>

#include "runtime/internal.h"

__extension__ typedef unsigned __int128 wide_uint;

enum {
	FRACTION_BITS = 52,
	LEAD = 62, /* place of the leading bit */
	BIAS = 1023,
	EXPONENT_MAX = 2047,
	EXPONENT_MIN = -1022,
	GUARD = LEAD - FRACTION_BITS,
};

#define SIGN_BIT    (1ull << 63)
#define IMPLICIT    (1ull << FRACTION_BITS)
#define INFINITE    ((uint64_t)EXPONENT_MAX << FRACTION_BITS)
#define DEFAULT_NAN 0xfff8000000000000ull

enum number_class {
	CLASS_ZERO,
	CLASS_FINITE,
	CLASS_INFINITE,
	CLASS_NAN
};

struct number {
	uint64_t sign; /* 0 or SIGN_BIT */
	enum number_class class;
	int32_t exponent;
	uint64_t significand;
};

static uint64_t shift_right_jam(uint64_t value, uint32_t count)
{
	if (!count)
		return value;
	if (count > 63)
		return value != 0;
	return value >> count | ((value << (64 - count)) != 0);
}

static struct number unpack(int64_t bits)
{
	uint64_t v = (uint64_t)bits, fraction = v & (IMPLICIT - 1);
	int32_t exponent = (int32_t)(v >> FRACTION_BITS) & EXPONENT_MAX;
	struct number n = {.sign = v & SIGN_BIT, .class = CLASS_FINITE};
	if (exponent == EXPONENT_MAX) {
		n.class = fraction ? CLASS_NAN : CLASS_INFINITE;
	} else if (exponent) {
		n.exponent = exponent - BIAS;
		n.significand = (fraction | IMPLICIT) << GUARD;
	} else if (fraction) {
		int shift = __builtin_clzll(fraction) - 1;
		n.significand = fraction << shift;
		n.exponent = EXPONENT_MIN + GUARD - shift;
	} else {
		n.class = CLASS_ZERO;
	}
	return n;
}

/* The leading bit of the significand may be anywhere. */
static int64_t pack(uint64_t sign, int32_t exponent, uint64_t significand)
{
	if (!significand)
		return (int64_t)sign;
	int lead = 63 - __builtin_clzll(significand);
	if (lead > LEAD)
		significand = shift_right_jam(significand, (uint32_t)(lead - LEAD));
	else
		significand <<= LEAD - lead;
	exponent += lead - LEAD;
	uint64_t biased = 1;
	if (exponent < EXPONENT_MIN)
		significand =
			shift_right_jam(significand, (uint32_t)(EXPONENT_MIN - exponent));
	else
		biased = (uint64_t)(exponent + BIAS);
	uint64_t rest = significand & ((1u << GUARD) - 1), half = 1u << (GUARD - 1);
	significand >>= GUARD;
	if (rest > half || (rest == half && (significand & 1)))
		significand++;
	/* a carry out of the significand makes the next exponent, all by itself */
	uint64_t v = significand + ((biased - 1) << FRACTION_BITS);
	return (int64_t)(sign | (v < INFINITE ? v : INFINITE));
}

static bool is_nan(int64_t bits)
{
	return ((uint64_t)bits & ~SIGN_BIT) > INFINITE;
}

/* ---- arithmetic ---------------------------------------------------------- */

static int64_t add(int64_t left, int64_t right)
{
	struct number a = unpack(left), b = unpack(right);
	if (a.class == CLASS_NAN || b.class == CLASS_NAN)
		return (int64_t)DEFAULT_NAN;
	if (a.class == CLASS_INFINITE)
		return b.class == CLASS_INFINITE && a.sign != b.sign
			       ? (int64_t)DEFAULT_NAN
			       : left;
	if (b.class == CLASS_INFINITE || (a.class == CLASS_ZERO && b.class != CLASS_ZERO))
		return right;
	if (b.class == CLASS_ZERO)
		return a.class == CLASS_ZERO ? (int64_t)(a.sign & b.sign) : left;
	if (a.exponent < b.exponent ||
		(a.exponent == b.exponent && a.significand < b.significand)) {
		struct number swap = a;
		a = b;
		b = swap;
	}
	b.significand =
		shift_right_jam(b.significand, (uint32_t)(a.exponent - b.exponent));
	if (a.sign == b.sign)
		return pack(a.sign, a.exponent, a.significand + b.significand);
	uint64_t difference = a.significand - b.significand;
	return pack(difference ? a.sign : 0, a.exponent, difference);
}

static int64_t multiply(int64_t left, int64_t right)
{
	struct number a = unpack(left), b = unpack(right);
	uint64_t sign = a.sign ^ b.sign;
	if (a.class == CLASS_NAN || b.class == CLASS_NAN)
		return (int64_t)DEFAULT_NAN;
	if (a.class == CLASS_INFINITE || b.class == CLASS_INFINITE)
		return a.class == CLASS_ZERO || b.class == CLASS_ZERO
			       ? (int64_t)DEFAULT_NAN
			       : (int64_t)(sign | INFINITE);
	if (a.class == CLASS_ZERO || b.class == CLASS_ZERO)
		return (int64_t)sign;
	wide_uint product = (wide_uint)a.significand * b.significand;
	uint64_t high = (uint64_t)(product >> LEAD);
	bool rest = ((uint64_t)product & ((1ull << LEAD) - 1)) != 0;
	return pack(sign, a.exponent + b.exponent, high | rest);
}

/* (a << 62) / b, bit by bit: there is no division of 128 bits without a library.  The quotient
 * has its leading bit at 62 or 61. */
static uint64_t divide_significands(uint64_t a, uint64_t b)
{
	uint64_t quotient = 0, rest = a;
	for (int i = 0; i <= LEAD; i++) {
		quotient <<= 1;
		if (rest >= b) {
			rest -= b;
			quotient |= 1;
		}
		rest <<= 1;
	}
	return quotient | (rest != 0);
}

static int64_t divide(int64_t left, int64_t right)
{
	struct number a = unpack(left), b = unpack(right);
	uint64_t sign = a.sign ^ b.sign;
	if (a.class == CLASS_NAN || b.class == CLASS_NAN || a.class == b.class) {
		if (a.class != CLASS_FINITE || b.class != CLASS_FINITE)
			return (int64_t)DEFAULT_NAN;
	}
	if (a.class == CLASS_INFINITE || b.class == CLASS_ZERO)
		return (int64_t)(sign | INFINITE);
	if (a.class == CLASS_ZERO || b.class == CLASS_INFINITE)
		return (int64_t)sign;
	return pack(sign, a.exponent - b.exponent,
		divide_significands(a.significand, b.significand));
}

/* a - n*b with n the integer nearest to a/b, the even one of two. */
static int64_t remainder_of(int64_t left, int64_t right)
{
	struct number a = unpack(left), b = unpack(right);
	if (a.class == CLASS_NAN || b.class == CLASS_NAN || a.class == CLASS_INFINITE ||
		b.class == CLASS_ZERO)
		return (int64_t)DEFAULT_NAN;
	if (a.class == CLASS_ZERO || b.class == CLASS_INFINITE ||
		a.exponent < b.exponent - 1)
		return left;
	uint64_t rest = a.significand, divisor = b.significand;
	bool odd = false;
	int32_t exponent = b.exponent;
	if (a.exponent < b.exponent)
		rest >>= 1; /* the guard bits are zero: nothing is lost */
	for (int32_t e = a.exponent; e >= b.exponent; e--) {
		odd = rest >= divisor;
		if (odd)
			rest -= divisor;
		if (e > b.exponent)
			rest <<= 1;
	}
	uint64_t sign = a.sign;
	if (rest > divisor - rest || (rest == divisor - rest && odd)) {
		rest = divisor - rest;
		sign ^= SIGN_BIT;
	}
	return pack(rest ? sign : a.sign, exponent, rest);
}

static int64_t square_root(int64_t bits)
{
	struct number a = unpack(bits);
	if (a.class == CLASS_NAN || (a.sign && a.class != CLASS_ZERO))
		return (int64_t)DEFAULT_NAN;
	if (a.class != CLASS_FINITE)
		return bits;
	bool odd = a.exponent & 1;
	/* the root of m * 2^62 has its leading bit at 62; m is in [1, 4) */
	wide_uint value = (wide_uint)a.significand << (LEAD + odd);
	uint64_t root = 0;
	for (uint64_t bit = 1ull << LEAD; bit; bit >>= 1) {
		uint64_t next = root | bit;
		if ((wide_uint)next * next <= value)
			root = next;
	}
	bool exact = (wide_uint)root * root == value;
	return pack(0, (a.exponent - odd) / 2, root | !exact);
}

/* ---- integers ------------------------------------------------------------ */

static int64_t from_long(int64_t value)
{
	uint64_t sign = value < 0 ? SIGN_BIT : 0;
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	return pack(sign, LEAD, left);
}

enum rounding {
	ROUND_NEAR_EVEN,
	ROUND_TO_ZERO,
	ROUND_DOWN,
	ROUND_UP,
	ROUND_NEAR_AWAY
};

/* How much the integer part grows for what is right of the point: 63 bits, jammed. */
static bool rounds_away(uint64_t whole, uint64_t rest, bool negative, int64_t mode)
{
	const uint64_t half = 1ull << 63;
	switch (mode) {
	case ROUND_TO_ZERO:
		return false;
	case ROUND_DOWN:
		return negative && rest;
	case ROUND_UP:
		return !negative && rest;
	case ROUND_NEAR_AWAY:
		return rest >= half;
	default:
		return rest > half || (rest == half && (whole & 1));
	}
}

static int64_t to_long(int64_t bits, int64_t mode)
{
	struct number n = unpack(bits);
	bool negative = n.sign != 0;
	int64_t limit = negative ? INT64_MIN : INT64_MAX;
	if (n.class == CLASS_NAN)
		return INT64_MAX;
	if (n.class == CLASS_INFINITE || (n.class == CLASS_FINITE && n.exponent > 62))
		return limit; /* -2^63 too */
	if (n.class == CLASS_ZERO)
		return 0;
	uint64_t whole = 0, rest;
	if (n.exponent < 0) {
		rest = shift_right_jam(
			n.significand << 1, (uint32_t)(-n.exponent - 1) + 1);
	} else {
		uint32_t shift = (uint32_t)(LEAD - n.exponent);
		whole = n.significand >> shift;
		rest = shift ? n.significand << (64 - shift) : 0;
	}
	whole += rounds_away(whole, rest, negative, mode);
	if (whole > INT64_MAX)
		return limit;
	return negative ? -(int64_t)whole : (int64_t)whole;
}

/* ---- text ---------------------------------------------------------------- */

enum {
	PRECISION_MAX = 400
};

/* A number of 10^18 and more is divided by tens, as in SystemTap 5.6: the tens follow as an exponent. */
static int64_t scale_down(int64_t bits, int32_t *ret_tens)
{
	const int64_t limit = from_long(1000000000000000000), ten = from_long(10);
	int64_t size = bits & INT64_MAX;
	for (*ret_tens = 0; size >= limit; (*ret_tens)++)
		size = divide(size, ten);
	return size | (bits & INT64_MIN);
}

/* What is right of the point as a fraction of 2^124. */
static wide_uint fraction_of(const struct number *n)
{
	enum {
		TOP = 124
	};
	if (n->class != CLASS_FINITE || n->exponent >= FRACTION_BITS)
		return 0;
	wide_uint value = (wide_uint)n->significand << (TOP - LEAD);
	if (n->exponent >= 0)
		return (value << n->exponent) & (((wide_uint)1 << TOP) - 1);
	return n->exponent > -TOP ? value >> -n->exponent : 0;
}

static uint32_t next_digit(wide_uint *fraction)
{
	*fraction *= 10;
	uint32_t digit = (uint32_t)(*fraction >> 124);
	*fraction &= ((wide_uint)1 << 124) - 1;
	return digit;
}

/* Add one to the decimal number that ends before @end; it has a digit that is not 9, or grows. */
static void round_up(char *start, char *end)
{
	char *p = end;
	while (p > start) {
		p--;
		if (*p == '.')
			continue;
		if (*p != '9') {
			(*p)++;
			return;
		}
		*p = '0';
	}
	for (p = end; p > start; p--)
		*p = p[-1];
	*start = '1';
}

/* The digits after the point, if any are wanted, rounded. */
static void put_fraction(
	struct rt_text *t, const struct number *n, char *start, int64_t precision)
{
	wide_uint fraction = fraction_of(n);
	if (precision > PRECISION_MAX)
		precision = PRECISION_MAX;
	if (precision > 0)
		rt_text_char(t, '.');
	for (int64_t i = 0; i < precision; i++)
		rt_text_char(t, (char)('0' + next_digit(&fraction)));
	char *end = t->at;
	if (next_digit(&fraction) < 5)
		return;
	end[0] = '\0'; /* room for a digit more: see the capacity */
	bool grows = true;
	for (const char *p = start; p < end; p++)
		grows = grows && (*p == '9' || *p == '.');
	round_up(start, end);
	t->at += grows;
}

void rt_fn_fp_to_string(struct abi_context *c, char *dst, int64_t bits, int64_t precision)
{
	struct number n = unpack(bits);
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string - 1);
	int32_t tens = 0;
	if (n.sign && n.class != CLASS_NAN)
		rt_text_char(&t, '-');
	if (n.class == CLASS_NAN || n.class == CLASS_INFINITE) {
		rt_text_string(&t, n.class == CLASS_NAN ? "nan" : "inf");
		rt_text_close(&t);
		return;
	}
	if (n.class == CLASS_FINITE)
		n = unpack(scale_down(bits, &tens));
	char *start = t.at;
	if (n.class == CLASS_FINITE && n.exponent >= 0)
		rt_text_decimal(&t, (int64_t)(n.significand >> (LEAD - n.exponent)), 1);
	else
		rt_text_char(&t, '0');
	put_fraction(&t, &n, start, precision);
	if (tens) {
		rt_text_char(&t, 'e');
		rt_text_decimal(&t, tens, 1);
	}
	rt_text_close(&t);
}

static int64_t power_of_ten(int32_t n)
{
	int64_t result = from_long(1), base = from_long(10);
	for (; n; n >>= 1) {
		if (n & 1)
			result = multiply(result, base);
		base = multiply(base, base);
	}
	return result;
}

static const char *read_digits(const char *s, int64_t *value, int32_t *count)
{
	for (; *s >= '0' && *s <= '9'; s++, (*count)++)
		*value = add(multiply(*value, from_long(10)), from_long(*s - '0'));
	return s;
}

static const char *read_exponent(const char *s, int32_t *ret)
{
	enum {
		TOO_MUCH = 5000
	};
	bool negative = *s == '-';
	int32_t value = 0;
	if (*s == '-' || *s == '+')
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
		value = value < TOO_MUCH ? value * 10 + (*s - '0') : value;
	*ret = negative ? -value : value;
	return s;
}

int64_t rt_fn_string_to_fp(struct abi_context *c, const char *s)
{
	bool negative = *s == '-';
	int64_t value = 0;
	int32_t digits = 0, places = 0, exponent = 0;
	if (*s == '-' || *s == '+')
		s++;
	s = read_digits(s, &value, &digits);
	if (*s == '.')
		s = read_digits(s + 1, &value, &places);
	if (*s == 'e' || *s == 'E')
		s = read_exponent(s + 1, &exponent);
	if (*s) {
		rt_error(c, "invalid format");
		return 0;
	}
	exponent -= places;
	if (exponent < 0)
		value = divide(value, power_of_ten(-exponent));
	else if (exponent > 0)
		value = multiply(value, power_of_ten(exponent));
	return negative ? (int64_t)((uint64_t)value | SIGN_BIT) : value;
}

/* ---- the script functions ------------------------------------------------ */

int64_t rt_fn_long_to_fp(struct abi_context *c, int64_t value)
{
	return from_long(value);
}

/* exact only chooses whether an inexact result raises a flag that nobody reads */
int64_t rt_fn_fp_to_long(struct abi_context *c, int64_t bits, int64_t mode, int64_t exact)
{
	return to_long(bits, mode);
}

int64_t rt_fn_fp_add(struct abi_context *c, int64_t left, int64_t right)
{
	return add(left, right);
}

int64_t rt_fn_fp_sub(struct abi_context *c, int64_t left, int64_t right)
{
	return add(left, (int64_t)((uint64_t)right ^ SIGN_BIT));
}

int64_t rt_fn_fp_mul(struct abi_context *c, int64_t left, int64_t right)
{
	return multiply(left, right);
}

int64_t rt_fn_fp_div(struct abi_context *c, int64_t left, int64_t right)
{
	return divide(left, right);
}

int64_t rt_fn_fp_rem(struct abi_context *c, int64_t left, int64_t right)
{
	return remainder_of(left, right);
}

int64_t rt_fn_fp_sqrt(struct abi_context *c, int64_t bits)
{
	return square_root(bits);
}

/* Doubles of one sign are in the order of their bits. */
static int64_t order_of(int64_t bits)
{
	return bits < 0 ? -(int64_t)((uint64_t)bits & ~SIGN_BIT) : bits;
}

int64_t rt_fn_fp_eq(struct abi_context *c, int64_t left, int64_t right)
{
	return !is_nan(left) && !is_nan(right) && order_of(left) == order_of(right);
}

int64_t rt_fn_fp_le(struct abi_context *c, int64_t left, int64_t right)
{
	return !is_nan(left) && !is_nan(right) && order_of(left) <= order_of(right);
}

int64_t rt_fn_fp_lt(struct abi_context *c, int64_t left, int64_t right)
{
	return !is_nan(left) && !is_nan(right) && order_of(left) < order_of(right);
}

int64_t rt_fn_fp32_to_fp64(struct abi_context *c, int64_t bits)
{
	enum {
		SINGLE_FRACTION = 23,
		SINGLE_BIAS = 127,
		SINGLE_MAX = 255
	};
	uint32_t v = (uint32_t)bits;
	uint64_t sign = v >> 31 ? SIGN_BIT : 0,
		 fraction = v & ((1u << SINGLE_FRACTION) - 1);
	int32_t exponent = (int32_t)(v >> SINGLE_FRACTION) & SINGLE_MAX;
	if (exponent == SINGLE_MAX)
		return (int64_t)(fraction ? DEFAULT_NAN : sign | INFINITE);
	if (exponent)
		fraction |= 1u << SINGLE_FRACTION;
	else
		exponent = 1;
	return pack(sign, exponent - SINGLE_BIAS, fraction << (LEAD - SINGLE_FRACTION));
}
