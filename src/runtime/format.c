/* SPDX-License-Identifier: MIT */
/*
 * printf formats, expanded as SystemTap does: one flag, widths that pad, precisions that
 * give the least number of digits (integers) or the largest number of bytes (strings).
 */
#include "runtime/format.h"

#include <stddef.h>

#include "runtime/internal.h"

struct expansion {
	struct rt_text text;
	struct abi_context *c; /* NULL: no memory of the process to read */
	const struct format_part *part;
	int64_t width, precision; /* < 0: none */
	bool left;
	char digits[22]; /* of one integer, last first */
};

static int digits_of(uint64_t value, unsigned base, char *ret, bool upper)
{
	const char *names = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	int n = 0;
	do {
		ret[n++] = names[value % base];
		value /= base;
	} while (value);
	return n;
}

/* What stands before the digits: a sign, or 0x and its like. */
static int prefix_of(
	const struct expansion *e, uint64_t *value, unsigned base, char ret[2])
{
	char conversion = (char)e->part->conversion, flag = (char)e->part->flag;
	if (conversion == 'd' || conversion == 'i') {
		bool negative = (int64_t)*value < 0;
		if (negative)
			*value = -*value;
		ret[0] = negative ? '-' : flag;
		return negative || flag == '+' || flag == ' ';
	}
	if (conversion != 'p' && flag != '#')
		return 0;
	ret[0] = '0';
	ret[1] = conversion == 'X' ? 'X' : 'x';
	return base == 16 ? 2 : base == 8 ? 1 : 0;
}

static RT_NOINLINE void put_integer(struct expansion *e, uint64_t value)
{
	char conversion = (char)e->part->conversion, prefix[2], *digits = e->digits;
	unsigned base = conversion == 'o' ? 8
			: conversion == 'x' || conversion == 'X' || conversion == 'p'
				? 16
				: 10;
	int prefix_size = prefix_of(e, &value, base, prefix);
	int count = digits_of(value, base, digits, conversion == 'X');
	int64_t zeros = e->precision > count ? e->precision - count : 0;
	int64_t padding = e->width - prefix_size - zeros - count;
	bool zero_padded = e->part->flag == '0' && !e->left;
	if (!e->left && !zero_padded)
		rt_text_fill(&e->text, ' ', padding);
	for (int i = 0; i < prefix_size; i++)
		rt_text_char(&e->text, prefix[i]);
	if (zero_padded)
		rt_text_fill(&e->text, '0', padding);
	rt_text_fill(&e->text, '0', zeros);
	while (count--)
		rt_text_char(&e->text, digits[count]);
	if (e->left)
		rt_text_fill(&e->text, ' ', padding);
}

static char escape_letter(unsigned char byte)
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
	case '\'':
	case '\\':
		return (char)byte;
	default:
		return 0;
	}
}

static RT_NOINLINE void put_char(struct expansion *e, unsigned char byte)
{
	char letter = escape_letter(byte);
	bool plain = e->part->flag != '#' || (byte >= ' ' && byte < 0x7f && !letter);
	int64_t padding = e->width - (plain ? 1 : letter ? 2 : 4);
	if (!e->left)
		rt_text_fill(&e->text, ' ', padding);
	if (!plain)
		rt_text_char(&e->text, '\\');
	if (plain) {
		rt_text_char(&e->text, (char)byte);
	} else if (letter) {
		rt_text_char(&e->text, letter);
	} else {
		rt_text_char(&e->text, (char)('0' + (byte >> 6)));
		rt_text_char(&e->text, (char)('0' + (byte >> 3 & 7)));
		rt_text_char(&e->text, (char)('0' + (byte & 7)));
	}
	if (e->left)
		rt_text_fill(&e->text, ' ', padding);
}

static RT_NOINLINE void put_string(struct expansion *e, const char *s)
{
	uint32_t limit = e->precision >= 0 && e->precision < RT_STRING_LIMIT
				 ? (uint32_t)e->precision
				 : RT_STRING_LIMIT;
	uint32_t length = rt_length(s, limit);
	int64_t padding = e->width - length;
	if (!e->left)
		rt_text_fill(&e->text, ' ', padding);
	uint64_t room = (uint64_t)(e->text.end - e->text.at);
	uint64_t size = length < room ? length : room;
	rt_copy(e->text.at, s, size);
	e->text.at += size;
	if (e->left)
		rt_text_fill(&e->text, ' ', padding);
	if (e->part->flag == '0') /* "%0s" ends its text with a NUL, for binary output */
		rt_text_char(&e->text, '\0');
}

static int64_t binary_size(int64_t size)
{
	return size == 1 || size == 2 || size == 4 || size == 8 ? size : 8;
}

static RT_NOINLINE void put_binary(struct expansion *e, uint64_t value)
{
	int64_t size = binary_size(e->precision >= 0 ? e->precision : e->width);
	int64_t padding = e->width - size;
	if (!e->left)
		rt_text_fill(&e->text, '\0', padding);
	if (e->text.end - e->text.at >= size)
		for (; size; size--, value >>= 8)
			rt_text_char(&e->text, (char)value);
	if (e->left)
		rt_text_fill(&e->text, '\0', padding);
}

static RT_NOINLINE void put_memory(struct expansion *e, uint64_t address)
{
	bool hex = e->part->conversion == 'M';
	int64_t size = e->precision > 0 ? e->precision : 1;
	int64_t padding = e->width - (hex ? 2 * size : size);
	if (!e->c)
		return;
	if (!e->left)
		rt_text_fill(&e->text, ' ', padding);
	for (; size && e->text.at < e->text.end; size--, address++) {
		struct rt_read byte = rt_read_user(e->c, address, 1);
		if (byte.fault) {
			rt_error_value(
				e->c, "read fault [man error::fault] at ", address);
			return;
		}
		if (hex) {
			rt_text_char(&e->text, "0123456789abcdef"[byte.value >> 4 & 15]);
			rt_text_char(&e->text, "0123456789abcdef"[byte.value & 15]);
		} else {
			rt_text_char(&e->text, (char)byte.value);
		}
	}
	if (e->left)
		rt_text_fill(&e->text, ' ', padding);
}

static void put_argument(struct expansion *e, uint64_t value)
{
	if (e->part->kind == FORMAT_STRING) {
		put_string(e, (const char *)(uintptr_t)value);
		return;
	}
	switch (e->part->conversion) {
	case 'c':
		put_char(e, (unsigned char)value);
		break;
	case 'b':
		put_binary(e, value);
		break;
	case 'm':
	case 'M':
		put_memory(e, value);
		break;
	default:
		put_integer(e, value);
	}
}

static int64_t clamp_size(int64_t size, uint64_t capacity)
{
	return size > (int64_t)capacity ? (int64_t)capacity : size;
}

/* Width and precision, taking dynamic ones from the arguments; returns the next argument.
 */
static const uint64_t *take_sizes(
	struct expansion *e, const uint64_t *args, uint64_t capacity)
{
	const struct format_part *part = e->part;
	int64_t width = part->width;
	e->left = part->flag == '-';
	if (width == FORMAT_DYNAMIC) {
		width = (int32_t)*args++;
		if (width < 0) {
			e->left = true;
			width = -width;
		}
	}
	int64_t precision = part->precision;
	if (precision == FORMAT_DYNAMIC) {
		precision = (int32_t)*args++;
		if (precision < 0)
			precision = 0;
	}
	e->width = clamp_size(width, capacity);
	e->precision = clamp_size(precision, capacity);
	return args;
}

static uint64_t expand(struct expansion *e, const struct format *format,
	const uint64_t *args, uint64_t capacity)
{
	char *start = e->text.at;
	for (uint32_t i = 0; i < format->part_count; i++) {
		const struct format_part *part = e->part = &format->parts[i];
		const char *literal = (const char *)format + part->text;
		switch (part->kind) {
		case FORMAT_LITERAL:
			for (uint32_t n = 0; n < part->text_size; n++)
				rt_text_char(&e->text, literal[n]);
			break;
		case FORMAT_LONG:
		case FORMAT_STRING:
			args = take_sizes(e, args, capacity);
			put_argument(e, *args++);
			break;
		case FORMAT_HISTOGRAM:
			args++;
			break;
		default:
			break;
		}
	}
	rt_text_close(&e->text);
	return (uint64_t)(e->text.at - start);
}

size_t format_text(
	const struct format *format, const uint64_t *args, char *out, size_t capacity)
{
	if (!capacity)
		return 0;
	struct expansion e = {.text = rt_text_open(out, capacity)};
	return expand(&e, format, args, capacity);
}

/* The same for handlers, which have little stack; %m and %M read memory of the process. */
void rt_sprintf(struct abi_context *c, char *dst, const struct format *format,
	const uint64_t *args)
{
	struct expansion *e = (struct expansion *)(void *)rt_scratch(c, sizeof(*e));
	uint64_t capacity = rt_session(c)->max_string;
	dst[0] = '\0';
	if (!e)
		return;
	e->text = rt_text_open(dst, capacity);
	e->c = c;
	expand(e, format, args, capacity);
}
