/* SPDX-License-Identifier: MIT */
/* Strings of scripts, and the script functions on them. */
#include <stddef.h>

#include "runtime/internal.h"

void rt_string_copy(struct abi_context *c, char *dst, const char *src)
{
	if (dst != src)
		rt_put(dst, rt_session(c)->max_string, src);
}

void rt_string_append(struct abi_context *c, char *dst, const char *src)
{
	uint32_t capacity = rt_session(c)->max_string;
	uint32_t n = rt_length(dst, capacity - 1);
	/* x .= x: the NUL that ends the source is the first byte overwritten */
	uint32_t size = rt_length(src, capacity - 1 - n);
	rt_copy(dst + n, src, size);
	dst[n + size] = '\0';
}

void rt_string_concat(struct abi_context *c, char *dst, const char *a, const char *b)
{
	rt_string_copy(c, dst, a);
	rt_string_append(c, dst, b);
}

int32_t rt_string_compare(const char *a, const char *b)
{
	for (uint32_t i = 0; i < RT_STRING_LIMIT; i += RT_WORD) {
		uint64_t x = rt_word(a + i), y = rt_word(b + i);
		if (x != y) /* the first byte decides */
			return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
		if (rt_word_ends(x))
			break;
	}
	return 0;
}

int64_t rt_fn_strlen(struct abi_context *c, const char *s)
{
	return rt_length(s, rt_session(c)->max_string);
}

void rt_fn_substr(
	struct abi_context *c, char *dst, const char *s, int64_t start, int64_t length)
{
	uint32_t capacity = rt_session(c)->max_string;
	dst[0] = '\0';
	if (start < 0 || length <= 0 || start >= rt_length(s, capacity))
		return;
	/* as capacity: one more for the NUL */
	uint32_t size = length < capacity ? (uint32_t)length + 1 : capacity;
	rt_put(dst, size < capacity ? size : capacity, s + start);
}

int64_t rt_fn_stringat(struct abi_context *c, const char *s, int64_t position)
{
	if (position < 0 || position >= rt_length(s, rt_session(c)->max_string)) {
		rt_error(c, "Position out of bounds");
		return 0;
	}
	return s[position];
}

int64_t rt_fn_strpos(struct abi_context *c, const char *s, const char *what)
{
	const char *at = rt_find(s, what);
	return at ? at - s : -1;
}

int64_t rt_fn_isinstr(struct abi_context *c, const char *s, const char *what)
{
	return rt_find(s, what) != NULL;
}

int64_t rt_fn_isdigit(struct abi_context *c, const char *s)
{
	return s[0] >= '0' && s[0] <= '9';
}

/* ---- tokenize() ---------------------------------------------------------- */

static bool is_one_of(char byte, const char *set)
{
	for (; *set; set++)
		if (*set == byte)
			return true;
	return false;
}

void rt_fn_tokenize(
	struct abi_context *c, char *dst, const char *s, const char *delimiters)
{
	uint32_t limit = (uint32_t)sizeof(c->tokenize_text) - 1;
	uint32_t capacity = rt_session(c)->max_string;
	if (*s) {
		rt_put(c->tokenize_text, capacity <= limit ? capacity : limit + 1, s);
		c->tokenize_offset = 0;
	}
	uint64_t at = c->tokenize_offset;
	const char *text = c->tokenize_text;
	while (at < limit && text[at] && is_one_of(text[at], delimiters))
		at++;
	uint64_t start = at;
	while (at < limit && text[at] && !is_one_of(text[at], delimiters))
		at++;
	uint64_t size = at > start ? at - start : 0;
	if (size >= capacity)
		size = capacity - 1;
	rt_copy(dst, text + start, size);
	dst[size] = '\0';
	c->tokenize_offset = at;
}

void rt_fn_tokenize_next(struct abi_context *c, char *dst, const char *delimiters)
{
	rt_fn_tokenize(c, dst, "", delimiters);
}

void rt_fn_str_replace(
	struct abi_context *c, char *dst, const char *s, const char *from, const char *to)
{
	uint32_t size = rt_length(from, RT_STRING_LIMIT);
	if (!size) {
		rt_string_copy(c, dst, s);
		return;
	}
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	const char *hit;
	while ((hit = rt_find(s, from)) != NULL) {
		while (s < hit)
			rt_text_char(&t, *s++);
		rt_text_string(&t, to);
		s = hit + size;
	}
	rt_text_string(&t, s);
	rt_text_close(&t);
}

static int digit_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'z' ? byte - 'a' + 10 : 99;
}

int64_t rt_fn_strtol(struct abi_context *c, const char *s, int64_t base)
{
	bool negative = *s == '-';
	if (base < 0 || base > 36)
		return 0;
	if (negative)
		s++;
	bool hex = s[0] == '0' && (s[1] | 0x20) == 'x' && digit_value(s[2]) < 16;
	if (base == 0)
		base = hex ? 16 : s[0] == '0' ? 8 : 10;
	if (base == 16 && hex)
		s += 2;
	uint64_t value = 0;
	for (; digit_value(*s) < base; s++)
		value = value * (uint64_t)base + (uint64_t)digit_value(*s);
	return (int64_t)(negative ? -value : value);
}

/* ---- escapes ------------------------------------------------------------- */

/* A well-formed UTF-8 sequence of more than one byte: its size and code point; else 1. */
static uint32_t decode_utf8(const char *s, uint32_t size, uint32_t *ret)
{
	const unsigned char *b = (const unsigned char *)s;
	uint32_t n = b[0] >= 0xf0 && b[0] < 0xf8   ? 4
		     : b[0] >= 0xe0 && b[0] < 0xf0 ? 3
		     : b[0] >= 0xc0 && b[0] < 0xe0 ? 2
						   : 1;
	*ret = b[0];
	if (n == 1 || size < n)
		return 1;
	uint32_t point = b[0] & (0xffu >> (n + 1));
	for (uint32_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 1;
		point = point << 6 | (b[i] & 0x3fu);
	}
	/* longer than need be, surrogates, beyond Unicode: bytes like any others */
	uint32_t least = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
	if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 1;
	*ret = point;
	return n;
}

static char text_escape(uint32_t byte)
{
	switch (byte) {
	case '\a':
		return 'a';
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	case '\v':
		return 'v';
	case '"':
	case '\\':
		return (char)byte;
	default:
		return 0;
	}
}

static uint32_t unit_size(uint32_t point, bool wide)
{
	if (wide)
		return point <= 0xffff ? 6 : 10;
	if (text_escape(point))
		return 2;
	return point >= ' ' && point < 0x7f ? 1 : 4;
}

static char *put_unit(char *out, uint32_t point, uint32_t size)
{
	if (size == 1) {
		*out++ = (char)point;
		return out;
	}
	*out++ = '\\';
	if (size == 2) {
		*out++ = text_escape(point);
	} else if (size == 4) {
		*out++ = (char)('0' + (point >> 6));
		*out++ = (char)('0' + (point >> 3 & 7));
		*out++ = (char)('0' + (point & 7));
	} else {
		*out++ = size == 6 ? 'u' : 'U';
		for (int shift = 4 * ((int)size - 3); shift >= 0; shift -= 4)
			*out++ = "0123456789ABCDEF"[point >> shift & 15];
	}
	return out;
}

void rt_quote(struct abi_context *c, char *dst, const struct rt_quoting *how)
{
	enum {
		QUOTES = 2,
		DOTS = 3
	};
	uint32_t limit = rt_session(c)->max_string - 1;
	if (how->limit && how->limit < limit)
		limit = how->limit;
	if (how->quoted)
		limit = (limit > QUOTES + DOTS ? limit : QUOTES + DOTS) - QUOTES;
	char *out = dst;
	if (how->quoted)
		*out++ = '"';
	const char *start = out;
	char *whole = out; /* the longest text that leaves room for the dots */
	uint32_t i = 0;
	while (i < how->size && (how->raw || how->text[i])) {
		uint32_t point;
		uint32_t n = decode_utf8(how->text + i, how->size - i, &point);
		uint32_t size = unit_size(point, n > 1);
		uint32_t used = (uint32_t)(out - start);
		if (used + size > limit)
			break;
		out = put_unit(out, point, size);
		if (used + size + DOTS <= limit)
			whole = out;
		i += n;
	}
	bool cut = i < how->size && (how->raw || how->text[i]);
	if (how->quoted) {
		if (cut)
			out = whole;
		*out++ = '"';
		for (int n = 0; cut && n < DOTS; n++)
			*out++ = '.';
	}
	*out = '\0';
}

void rt_fn_text_strn(
	struct abi_context *c, char *dst, const char *s, int64_t length, int64_t quoted)
{
	uint32_t capacity = rt_session(c)->max_string;
	struct rt_quoting how = {.text = s, .quoted = quoted != 0};
	how.size = rt_length(s, capacity - 1);
	how.limit = length > 0 && length < capacity ? (uint32_t)length : 0;
	rt_quote(c, dst, &how);
}

void rt_fn_text_str(struct abi_context *c, char *dst, const char *s)
{
	rt_fn_text_strn(c, dst, s, 0, 0);
}

void rt_fn_string_quoted(struct abi_context *c, char *dst, const char *s)
{
	rt_fn_text_strn(c, dst, s, 0, 1);
}
