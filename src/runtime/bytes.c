/* SPDX-License-Identifier: MIT */
/*
 * Bytes and text under construction.  Words are moved eight bytes at a time; a read may
 * go past the end of a string but never past the page that end is in.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	PAGE_SIZE = 4096,
	WORD = 8
};

typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned_word;

/* Reading past the end within its page is harmless, but the sanitizers rightly cannot
 * know. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static inline bool word_is_readable(const char *s)
{
	return false;
}
#else
static inline bool word_is_readable(const char *s)
{
	return ((uintptr_t)s & (PAGE_SIZE - 1)) <= PAGE_SIZE - WORD;
}
#endif

/* Bit 7 of the lowest byte set in the result is in the first zero byte of the word. */
static inline uint64_t zero_bytes(uint64_t word)
{
	return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

void rt_copy(void *dst, const void *src, uint64_t size)
{
	char *to = dst;
	const char *from = src;
	while (size >= WORD) {
		*(unaligned_word *)(void *)to =
			*(const unaligned_word *)(const void *)from;
		to += WORD;
		from += WORD;
		size -= WORD;
	}
	while (size--)
		*to++ = *from++;
}

void rt_zero(void *dst, uint64_t size)
{
	char *to = dst;
	while (size >= WORD) {
		*(unaligned_word *)(void *)to = 0;
		to += WORD;
		size -= WORD;
	}
	while (size--)
		*to++ = 0;
}

uint32_t rt_length(const char *s, uint32_t limit)
{
	uint32_t n = 0;
	while (n < limit) {
		if (word_is_readable(s + n)) {
			uint64_t zero = zero_bytes(
				*(const unaligned_word *)(const void *)(s + n));
			if (zero) {
				n += (uint32_t)__builtin_ctzll(zero) / 8;
				break;
			}
			n += WORD;
		} else {
			if (!s[n])
				break;
			n++;
		}
	}
	return n < limit ? n : limit;
}

uint32_t rt_put(char *dst, uint32_t capacity, const char *src)
{
	if (!capacity)
		return 0;
	uint32_t n = 0;
	while (n + WORD < capacity && word_is_readable(src + n)) {
		uint64_t word = *(const unaligned_word *)(const void *)(src + n);
		if (zero_bytes(word))
			break;
		*(unaligned_word *)(void *)(dst + n) = word;
		n += WORD;
	}
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

void rt_text_hex(struct rt_text *t, uint64_t value)
{
	rt_text_char(t, '0');
	rt_text_char(t, 'x');
	int shift = value ? (63 - __builtin_clzll(value)) & ~3 : 0;
	for (; shift >= 0; shift -= 4)
		rt_text_char(t, "0123456789abcdef"[value >> shift & 15]);
}
