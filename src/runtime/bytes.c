/* SPDX-License-Identifier: MIT */
/* Bytes and text under construction, eight bytes at a time. */
#include <stddef.h>

#include "runtime/internal.h"

void rt_copy(void *dst, const void *src, uint64_t size)
{
	char *to = dst;
	const char *from = src;
	while (size >= RT_WORD) {
		*(rt_unaligned *)(void *)to = *(const rt_unaligned *)(const void *)from;
		to += RT_WORD;
		from += RT_WORD;
		size -= RT_WORD;
	}
	while (size--)
		*to++ = *from++;
}

void rt_zero(void *dst, uint64_t size)
{
	char *to = dst;
	while (size >= RT_WORD) {
		*(rt_unaligned *)(void *)to = 0;
		to += RT_WORD;
		size -= RT_WORD;
	}
	while (size--)
		*to++ = 0;
}

uint32_t rt_length(const char *s, uint32_t limit)
{
	uint32_t n = 0;
	while (n < limit) {
		uint64_t word = rt_word(s + n);
		n += rt_word_length(word);
		if (rt_word_ends(word))
			break;
	}
	return n < limit ? n : limit;
}

uint32_t rt_put(char *dst, uint32_t capacity, const char *src)
{
	uint32_t n = 0;
	while (n + RT_WORD < capacity) {
		uint64_t word = rt_word(src + n);
		*(rt_unaligned *)(void *)(dst + n) = word; /* zeros after the end */
		n += rt_word_length(word);
		if (rt_word_ends(word))
			return n;
	}
	if (!capacity)
		return 0;
	while (n < capacity - 1 && src[n]) {
		dst[n] = src[n];
		n++;
	}
	dst[n] = '\0';
	return n;
}

static bool starts_with(const char *s, const char *what)
{
	for (; *what; s++, what++)
		if (*s != *what)
			return false;
	return true;
}

const char *rt_find(const char *s, const char *what)
{
	if (!*what)
		return s;
	for (uint32_t i = 0; i < RT_STRING_LIMIT && s[i]; i++)
		if (s[i] == *what && starts_with(s + i, what))
			return s + i;
	return NULL;
}

void rt_text_string(struct rt_text *t, const char *s)
{
	t->at += rt_put(t->at, (uint32_t)(t->end - t->at) + 1, s);
}

void rt_text_fill(struct rt_text *t, char c, int64_t count)
{
	while (count-- > 0 && t->at < t->end)
		*t->at++ = c;
}

void rt_text_decimal(struct rt_text *t, int64_t value, int width)
{
	uint64_t left = (uint64_t)value;
	if (value < 0) {
		rt_text_char(t, '-');
		left = -left;
	}
	uint64_t unit = 1;
	int digits = 1;
	while (left / unit >= 10) {
		unit *= 10;
		digits++;
	}
	rt_text_fill(t, '0', width - digits);
	for (; unit; unit /= 10)
		rt_text_char(t, (char)('0' + left / unit % 10));
}

/* Eight digits, the first in the lowest byte. */
static uint64_t hex_digits(uint32_t value)
{
	uint64_t x = value;
	x = (x | x << 16) & 0x0000ffff0000ffff;
	x = (x | x << 8) & 0x00ff00ff00ff00ff;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
	uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
	return __builtin_bswap64(x + 0x3030303030303030 + letters * ('a' - '9' - 1));
}

static void put_digits(char *at, uint64_t digits, int count)
{
	digits >>= (8 - count) * 8;
	__builtin_memcpy(at, &digits, sizeof(digits));
}

void rt_text_hex(struct rt_text *t, uint64_t value)
{
	enum {
		LONGEST = 2 + 16 + 8 /* what is written at most, by whole words */
	};
	rt_text_char(t, '0');
	rt_text_char(t, 'x');
	int shift = value ? (63 - __builtin_clzll(value)) & ~3 : 0;
	int count = shift / 4 + 1;
	if (t->end - t->at >= LONGEST) {
		if (count > 8) {
			put_digits(t->at, hex_digits((uint32_t)(value >> 32)), count - 8);
			t->at += count - 8;
			count = 8;
		}
		put_digits(t->at, hex_digits((uint32_t)value), count);
		t->at += count;
		return;
	}
	for (; shift >= 0; shift -= 4)
		rt_text_char(t, "0123456789abcdef"[value >> shift & 15]);
}
