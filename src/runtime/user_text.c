/* SPDX-License-Identifier: MIT */
/* Strings and raw bytes in the memory of the traced program. */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	WORD = 8,
	PAGE_SIZE = 4096,
	MESSAGE_SIZE = 128
};

RT_NOINLINE bool rt_read_string(
	struct abi_context *c, char *dst, uint64_t address, uint32_t size)
{
	uint32_t n = 0;
	while (n + 1 < size) {
		/* a word never reaches into the page after the string's end */
		bool word = n + WORD < size &&
			    (address & (PAGE_SIZE - 1)) <= PAGE_SIZE - WORD;
		uint32_t step = word ? WORD : 1;
		struct rt_read r = rt_read_user(c, address, step);
		if (r.fault)
			return false;
		for (uint32_t i = 0; i < step; i++, n++, r.value >>= 8) {
			dst[n] = (char)r.value;
			if (!dst[n])
				return true;
		}
		address += step;
	}
	dst[n] = '\0';
	return true;
}

static RT_NOINLINE void fault_text(char *text, uint64_t address, const char *code)
{
	struct rt_text t = rt_text_open(text, MESSAGE_SIZE);
	rt_text_string(&t, "user string copy fault ");
	rt_text_string(&t, code);
	rt_text_string(&t, "at ");
	rt_text_hex(&t, address);
	rt_text_string(&t, " [man error::fault]");
	rt_text_close(&t);
}

/* Bytes for a string of at most n characters. */
static uint32_t string_size(const struct abi_context *c, int64_t n)
{
	uint32_t capacity = rt_session(c)->max_string;
	return n < 0 ? 1 : n < capacity ? (uint32_t)n + 1 : capacity;
}

void rt_fn_user_string_n_or(struct abi_context *c, char *dst, int64_t address,
	int64_t size, const char *otherwise)
{
	if (!rt_read_string(c, dst, (uint64_t)address, string_size(c, size)))
		rt_string_copy(c, dst, otherwise);
}

void rt_fn_user_string_n(struct abi_context *c, char *dst, int64_t address, int64_t size)
{
	if (rt_read_string(c, dst, (uint64_t)address, string_size(c, size)))
		return;
	dst[0] = '\0';
	if (c->error)
		return;
	fault_text(c->error_text, (uint64_t)address, "-14 ");
	c->error = 1;
}

void rt_fn_user_string(struct abi_context *c, char *dst, int64_t address)
{
	rt_fn_user_string_n(c, dst, address, INT64_MAX);
}

void rt_fn_user_string_or(
	struct abi_context *c, char *dst, int64_t address, const char *otherwise)
{
	rt_fn_user_string_n_or(c, dst, address, INT64_MAX, otherwise);
}

void rt_fn_user_string_n_warn(struct abi_context *c, char *dst, int64_t address,
	int64_t size, const char *otherwise)
{
	if (rt_read_string(c, dst, (uint64_t)address, string_size(c, size)))
		return;
	rt_string_copy(c, dst, otherwise);
	char *text = rt_scratch(c, MESSAGE_SIZE);
	if (!text)
		return;
	fault_text(text, (uint64_t)address, "-14 ");
	rt_message(c, ABI_RECORD_WARN, text);
}

/* ---- quoted -------------------------------------------------------------- */

static void address_text(struct abi_context *c, char *dst, int64_t address)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	rt_text_hex(&t, (uint64_t)address);
	rt_text_close(&t);
}

/* A quoted string longer than fits in @limit with room for dots ends in "... */
static void cut_quoted(const struct abi_context *c, char *dst, int64_t limit)
{
	enum {
		QUOTES = 2,
		TAIL = 4
	};
	uint32_t capacity = rt_session(c)->max_string;
	if (limit >= capacity || rt_length(dst, capacity) <= limit - QUOTES)
		return;
	int64_t kept = limit > TAIL ? limit - TAIL : 0;
	struct rt_text t = rt_text_open(dst + kept, (uint64_t)(capacity - kept));
	rt_text_string(&t, "\"...");
	rt_text_close(&t);
}

void rt_fn_user_string_n_quoted(
	struct abi_context *c, char *dst, int64_t address, int64_t size, int64_t limit)
{
	char *text = rt_scratch(c, rt_session(c)->max_string);
	if (text && rt_read_string(c, text, (uint64_t)address, string_size(c, size))) {
		rt_fn_string_quoted(c, dst, text);
		cut_quoted(c, dst, limit);
	} else {
		address_text(c, dst, address);
	}
}

void rt_fn_user_string_n_quoted_whole(
	struct abi_context *c, char *dst, int64_t address, int64_t size)
{
	rt_fn_user_string_n_quoted(c, dst, address, size, INT64_MAX);
}

void rt_fn_user_string_quoted(struct abi_context *c, char *dst, int64_t address)
{
	rt_fn_user_string_n_quoted(c, dst, address, INT64_MAX, INT64_MAX);
}

static bool quote_buffer(
	struct abi_context *c, char *dst, int64_t address, int64_t size, int64_t limit)
{
	uint32_t capacity = rt_session(c)->max_string;
	char *text = rt_scratch(c, capacity);
	struct rt_quoting how = {.text = text, .quoted = true, .raw = true};
	dst[0] = '\0';
	if (!text || limit <= 0)
		return false;
	how.size = size <= 0 || size >= capacity ? capacity - 1 : (uint32_t)size;
	how.limit = limit < capacity ? (uint32_t)limit : 0;
	for (uint32_t i = 0; i < how.size; i++) {
		struct rt_read r = rt_read_user(c, (uint64_t)address + i, 1);
		if (r.fault)
			return false;
		text[i] = (char)r.value;
	}
	rt_quote(c, dst, &how);
	return true;
}

void rt_fn_user_buffer_quoted(
	struct abi_context *c, char *dst, int64_t address, int64_t size, int64_t limit)
{
	if (!quote_buffer(c, dst, address, size, limit) && limit > 0)
		address_text(c, dst, address);
}

void rt_fn_user_buffer_quoted_error(
	struct abi_context *c, char *dst, int64_t address, int64_t size, int64_t limit)
{
	if (!quote_buffer(c, dst, address, size, limit))
		rt_error_value(
			c, "Unable to access user space data at ", (uint64_t)address);
}

/* ---- wide characters ----------------------------------------------------- */

/* UTF-8 of a code point; 0: not one.  RFC 3629. */
static uint32_t encode_utf8(char out[4], uint32_t point)
{
	if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	uint32_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	if (n == 1) {
		out[0] = (char)point;
		return 1;
	}
	for (uint32_t i = n - 1; i > 0; i--, point >>= 6)
		out[i] = (char)(0x80 | (point & 0x3f));
	out[0] = (char)((0xf00u >> n) | point);
	return n;
}

/* The next character of a string of 2- or 4-byte units; *size: bytes it took. */
static struct rt_read read_wide(
	struct abi_context *c, uint64_t address, uint32_t unit, uint32_t *size)
{
	struct rt_read high = rt_read_user(c, address, unit);
	*size = unit;
	if (high.fault || unit != 2 || high.value < 0xd800 || high.value > 0xdbff)
		return high;
	struct rt_read low = rt_read_user(c, address + unit, unit);
	if (low.fault)
		return low;
	if (low.value < 0xdc00 || low.value > 0xdfff)
		return high; /* half a pair: told as a bad character */
	high.value = 0x10000 + ((high.value & 0x3ff) << 10) + (low.value & 0x3ff);
	*size = 2 * unit;
	return high;
}

static RT_NOINLINE void wide_error(
	struct abi_context *c, uint64_t address, uint32_t unit, uint64_t point)
{
	char digits[20];
	if (c->error)
		return;
	struct rt_text d = rt_text_open(digits, sizeof(digits));
	rt_text_hex(&d, point);
	rt_text_close(&d);
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, unit == 2 ? "invalid UTF-16 character U+"
				     : "invalid UTF-32 character U+");
	for (const char *p = digits + 2; *p; p++)
		rt_text_char(&t, *p >= 'a' ? (char)(*p - 'a' + 'A') : *p);
	rt_text_string(&t, " at ");
	rt_text_hex(&t, address);
	rt_text_close(&t);
	c->error = 1;
}

static void read_wide_string(
	struct abi_context *c, char *dst, uint64_t address, uint32_t unit)
{
	uint32_t left = rt_session(c)->max_string - 1, size;
	for (;;) {
		char bytes[4];
		*dst = '\0';
		struct rt_read r = read_wide(c, address, unit, &size);
		if (r.fault) {
			if (!c->error)
				fault_text(c->error_text, address, "");
			c->error = c->error ? c->error : 1;
			return;
		}
		if (!r.value)
			return;
		uint32_t n = encode_utf8(bytes, (uint32_t)r.value);
		if (!n) {
			wide_error(c, address, unit, r.value);
			return;
		}
		if (n > left)
			return;
		for (uint32_t i = 0; i < n; i++)
			*dst++ = bytes[i];
		left -= n;
		address += size;
	}
}

void rt_fn_user_string_utf16(struct abi_context *c, char *dst, int64_t address)
{
	read_wide_string(c, dst, (uint64_t)address, 2);
}

void rt_fn_user_string_utf32(struct abi_context *c, char *dst, int64_t address)
{
	read_wide_string(c, dst, (uint64_t)address, 4);
}

void rt_memory_hex(struct abi_context *c, char *dst, uint64_t address, int64_t size)
{
	int64_t limit = rt_session(c)->max_string - 1;
	size = size < 1 ? 1 : size > limit ? limit : size;
	for (int64_t i = 0; i < size; i++) {
		struct rt_read byte = rt_read_user(c, address + (uint64_t)i, 1);
		*dst = '\0';
		if (byte.fault) {
			rt_error_value(c, "read fault [man error::fault] at ",
				address + (uint64_t)i);
			return;
		}
		*dst++ = "0123456789abcdef"[byte.value >> 4 & 15];
		*dst++ = "0123456789abcdef"[byte.value & 15];
	}
	*dst = '\0';
}
