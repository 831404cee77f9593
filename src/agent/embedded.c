/* SPDX-License-Identifier: MIT */
/*
 * What C in scripts may call: texts, formats, output and errors.  The names are those that the prelude of
 * stap/codegen/embedded.c declares.  General registers only, no state, little stack.
 */
#include <stdarg.h>
#include <stddef.h>

#include "runtime/internal.h"

/* One conversion at a time is handed to format_text(), as a format with one part. */
struct conversion {
	uint64_t room[(sizeof(struct format) + sizeof(struct format_part)) / 8];
	struct format_part *part;
	uint8_t size; /* of the integer: 1, 2, 4, 8 */
};

RT_EXPORT int rt_c_vsnprintf(char *dst, size_t size, const char *fmt, va_list args);
RT_EXPORT int rt_c_snprintf(char *dst, size_t size, const char *fmt, ...);
RT_EXPORT void rt_c_printf(struct abi_context *c, uint32_t format, const char *fmt, ...);
RT_EXPORT void rt_c_print(struct abi_context *c, uint32_t format, const char *text);
RT_EXPORT void rt_c_error(struct abi_context *c, const char *fmt, ...);
RT_EXPORT void rt_c_warn(struct abi_context *c, const char *fmt, ...);
RT_EXPORT size_t rt_c_strlen(const char *s);
RT_EXPORT size_t rt_c_strnlen(const char *s, size_t limit);
RT_EXPORT size_t rt_c_strlcpy(char *dst, const char *src, size_t size);
RT_EXPORT size_t rt_c_strlcat(char *dst, const char *src, size_t size);
RT_EXPORT int rt_c_strcmp(const char *a, const char *b);
RT_EXPORT int rt_c_strncmp(const char *a, const char *b, size_t size);
RT_EXPORT char *rt_c_strchr(const char *s, int byte);
RT_EXPORT char *rt_c_strrchr(const char *s, int byte);
RT_EXPORT char *rt_c_strstr(const char *s, const char *part);
RT_EXPORT char *rt_c_strcpy(char *dst, const char *src);
RT_EXPORT char *rt_c_strncpy(char *dst, const char *src, size_t size);

/* ---- texts --------------------------------------------------------------- */

size_t rt_c_strnlen(const char *s, size_t limit)
{
	size_t n = 0;
	while (n < limit && s[n])
		n++;
	return n;
}

size_t rt_c_strlen(const char *s)
{
	return rt_c_strnlen(s, SIZE_MAX);
}

size_t rt_c_strlcpy(char *dst, const char *src, size_t size)
{
	size_t length = rt_c_strlen(src);
	if (size) {
		size_t copied = length < size ? length : size - 1;
		rt_copy(dst, src, copied);
		dst[copied] = '\0';
	}
	return length;
}

size_t rt_c_strlcat(char *dst, const char *src, size_t size)
{
	size_t have = rt_c_strnlen(dst, size);
	return have + rt_c_strlcpy(dst + have, src, size - have);
}

int rt_c_strncmp(const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i] || !a[i])
			return (unsigned char)a[i] - (unsigned char)b[i];
	return 0;
}

int rt_c_strcmp(const char *a, const char *b)
{
	return rt_c_strncmp(a, b, SIZE_MAX);
}

char *rt_c_strchr(const char *s, int byte)
{
	for (; *s != (char)byte; s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}

char *rt_c_strrchr(const char *s, int byte)
{
	for (size_t n = rt_c_strlen(s) + 1; n--;)
		if (s[n] == (char)byte)
			return (char *)(uintptr_t)(s + n);
	return NULL;
}

char *rt_c_strstr(const char *s, const char *part)
{
	size_t size = rt_c_strlen(part);
	for (; rt_c_strncmp(s, part, size); s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}

char *rt_c_strcpy(char *dst, const char *src)
{
	rt_c_strlcpy(dst, src, SIZE_MAX);
	return dst;
}

char *rt_c_strncpy(char *dst, const char *src, size_t size)
{
	size_t length = rt_c_strnlen(src, size);
	rt_copy(dst, src, length);
	for (; length < size; length++)
		((volatile char *)dst)[length] = '\0';
	return dst;
}

/* ---- formats ------------------------------------------------------------- */

static const char *read_number(const char *fmt, int32_t *ret)
{
	for (*ret = 0; *fmt >= '0' && *fmt <= '9'; fmt++)
		if (*ret < RT_STRING_LIMIT)
			*ret = *ret * 10 + (*fmt - '0');
	return fmt;
}

static bool is_flag(char c)
{
	return c == '-' || c == '0' || c == '+' || c == ' ' || c == '#';
}

/* "%" is behind; a width or precision of * stays FORMAT_DYNAMIC. */
static const char *read_conversion(const char *fmt, struct conversion *to)
{
	struct format_part *part = to->part;

	for (; is_flag(*fmt); fmt++)
		if (part->flag != '-')
			part->flag = (uint8_t)*fmt;
	part->width = part->precision = FORMAT_NONE;
	if (*fmt == '*') {
		part->width = FORMAT_DYNAMIC;
		fmt++;
	} else if (*fmt >= '0' && *fmt <= '9') {
		fmt = read_number(fmt, &part->width);
	}
	if (*fmt == '.' && fmt[1] == '*') {
		part->precision = FORMAT_DYNAMIC;
		fmt += 2;
	} else if (*fmt == '.') {
		fmt = read_number(fmt + 1, &part->precision);
	}
	for (to->size = 4;; fmt++) {
		if (*fmt == 'h')
			to->size /= 2;
		else if (*fmt == 'l' || *fmt == 'z' || *fmt == 'j' || *fmt == 't' ||
			 *fmt == 'q')
			to->size = 8;
		else
			break;
	}
	part->conversion = (uint8_t)(*fmt == 'i' ? 'd' : *fmt);
	part->kind = *fmt == 's' ? FORMAT_STRING : FORMAT_LONG;
	if (*fmt == 'p' || *fmt == 's')
		to->size = 8;
	return *fmt ? fmt + 1 : fmt;
}

static uint64_t widen(uint64_t value, const struct conversion *of)
{
	unsigned shift = 64 - 8u * (of->size ? of->size : 1);

	value <<= shift;
	return of->part->conversion == 'd' ? (uint64_t)((int64_t)value >> shift)
					   : value >> shift;
}

/* Sizes and the value of a conversion; those that are not `long` were passed as int. */
static void take(struct conversion *from, va_list *args, uint64_t *ret)
{
	if (from->part->width == FORMAT_DYNAMIC) {
		from->part->width = va_arg(*args, int);
		if (from->part->width < 0) {
			from->part->flag = '-';
			from->part->width = -from->part->width;
		}
	}
	if (from->part->precision == FORMAT_DYNAMIC)
		from->part->precision = va_arg(*args, int);
	if (from->part->precision < 0)
		from->part->precision = FORMAT_NONE;
	*ret = from->size == 8 ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
	if (from->part->kind == FORMAT_LONG)
		*ret = widen(*ret, from);
	else if (!*ret)
		*ret = (uint64_t)(uintptr_t) "(null)";
}

static RT_NOINLINE size_t put(const char **fmt, va_list *args, char *at, size_t room)
{
	struct conversion conversion = {0};
	struct format *format = (struct format *)(void *)conversion.room;
	uint64_t value;

	format->size = sizeof(conversion.room);
	format->part_count = format->argument_count = 1;
	conversion.part = format->parts;
	*fmt = read_conversion(*fmt, &conversion);
	take(&conversion, args, &value);
	return format_text(format, &value, at, room);
}

int rt_c_vsnprintf(char *dst, size_t size, const char *fmt, va_list list)
{
	size_t at = 0;
	va_list args;

	if (!size)
		return 0;
	va_copy(args, list);
	while (*fmt && at + 1 < size) {
		if (*fmt != '%' || fmt[1] == '%') {
			fmt += *fmt == '%';
			dst[at++] = *fmt++;
			continue;
		}
		fmt++;
		if (*fmt)
			at += put(&fmt, &args, dst + at, size - at);
	}
	dst[at] = '\0';
	va_end(args);
	return (int)at;
}

int rt_c_snprintf(char *dst, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int length = rt_c_vsnprintf(dst, size, fmt, args);
	va_end(args);
	return length;
}

/* ---- output and errors --------------------------------------------------- */

enum {
	TEXT_SIZE = 8192
};

void rt_c_print(struct abi_context *c, uint32_t format, const char *text)
{
	void *payload = rt_record_reserve(
		c, ABI_RECORD_PRINT, format, rt_record_string_size(text));
	if (!payload)
		return;
	rt_record_string(payload, text);
	rt_record_commit(c);
}

/* A text in the scratch area, or NULL with an error. */
static char *expand(struct abi_context *c, const char *fmt, va_list args)
{
	char *text = rt_scratch(c, TEXT_SIZE);

	if (text)
		rt_c_vsnprintf(text, TEXT_SIZE, fmt, args);
	return text;
}

#define WITH_TEXT(c, fmt, text, statement)             \
	do {                                           \
		va_list args;                          \
		va_start(args, fmt);                   \
		char *text = expand((c), (fmt), args); \
		va_end(args);                          \
		if (text)                              \
			statement;                     \
	} while (0)

void rt_c_printf(struct abi_context *c, uint32_t format, const char *fmt, ...)
{
	WITH_TEXT(c, fmt, text, rt_c_print(c, format, text));
}

void rt_c_error(struct abi_context *c, const char *fmt, ...)
{
	WITH_TEXT(c, fmt, text, rt_error(c, text));
}

void rt_c_warn(struct abi_context *c, const char *fmt, ...)
{
	WITH_TEXT(c, fmt, text, rt_fn_warn(c, text));
}
