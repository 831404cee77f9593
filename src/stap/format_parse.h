/* SPDX-License-Identifier: MIT */
/* printf format texts to struct format (runtime/format.h). */
#pragma once

#include "base/arena.h"
#include "runtime/format.h"

/**
 * stap_format_parse() - parse a printf format text (string escapes already resolved)
 * Return: the format, in the arena; NULL when a conversion is invalid
 * ("invalid or missing conversion specifier").
 */
struct format *stap_format_parse(struct arena *arena, const char *text, size_t size);
/** stap_format_parse_why() - likewise; @ret_fault: what is wrong with it */
struct format *stap_format_parse_why(
	struct arena *arena, const char *text, size_t size, const char **ret_fault);

/** stap_format_begin/add/end - build a format for print/println/printd */
struct format_builder;
struct format_builder *stap_format_begin(struct arena *arena);
void stap_format_add_literal(
	struct format_builder *builder, const char *text, size_t size);
void stap_format_add_long(struct format_builder *builder, char conversion);
void stap_format_add_string(struct format_builder *builder);
void stap_format_add_histogram(struct format_builder *builder);
/** stap_format_add_parts() - append all of another format, flags and widths included */
void stap_format_add_parts(struct format_builder *builder, const struct format *format);
struct format *stap_format_end(struct format_builder *builder);
