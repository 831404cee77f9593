/* SPDX-License-Identifier: MIT */
/* A growing, always NUL-terminated byte string.  Out of memory aborts.  One thread at a
 * time. */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct strbuf {
	char *data; /* never NULL after strbuf_init() */
	size_t size;
	size_t capacity;
};

void strbuf_init(struct strbuf *sb);
void strbuf_deinit(struct strbuf *sb);
void strbuf_clear(struct strbuf *sb);
void strbuf_append(struct strbuf *sb, const void *bytes, size_t size);
void strbuf_puts(struct strbuf *sb, const char *text);
void strbuf_putc(struct strbuf *sb, char c);
void strbuf_fill(struct strbuf *sb, char c, size_t count);
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) printf_like(2, 3);
