/* SPDX-License-Identifier: MIT */
#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void strbuf_reserve(struct strbuf *sb, size_t more)
{
	size_t need = sb->size + more + 1;
	if (need <= sb->capacity)
		return;
	size_t capacity = sb->capacity ? sb->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	char *data = realloc(sb->data, capacity);
	if (!data)
		abort();
	sb->data = data;
	sb->capacity = capacity;
}

void strbuf_init(struct strbuf *sb)
{
	*sb = (struct strbuf){0};
	strbuf_reserve(sb, 0);
	sb->data[0] = '\0';
}

void strbuf_deinit(struct strbuf *sb)
{
	free(sb->data);
	*sb = (struct strbuf){0};
}

void strbuf_clear(struct strbuf *sb)
{
	sb->size = 0;
	sb->data[0] = '\0';
}

void strbuf_append(struct strbuf *sb, const void *bytes, size_t size)
{
	strbuf_reserve(sb, size);
	if (size) /* of nothing there may be no address */
		memcpy(sb->data + sb->size, bytes, size);
	sb->size += size;
	sb->data[sb->size] = '\0';
}

void strbuf_puts(struct strbuf *sb, const char *text)
{
	strbuf_append(sb, text, strlen(text));
}

void strbuf_putc(struct strbuf *sb, char c)
{
	strbuf_append(sb, &c, 1);
}

void strbuf_fill(struct strbuf *sb, char c, size_t count)
{
	strbuf_reserve(sb, count);
	memset(sb->data + sb->size, c, count);
	sb->size += count;
	sb->data[sb->size] = '\0';
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int size = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (size < 0)
		return;
	strbuf_reserve(sb, (size_t)size);
	va_start(ap, fmt);
	vsnprintf(sb->data + sb->size, (size_t)size + 1, fmt, ap);
	va_end(ap);
	sb->size += (size_t)size;
}
