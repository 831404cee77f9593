/* SPDX-License-Identifier: MIT */
#include "stap/format_parse.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/vec.h"

struct pending_part {
	struct format_part part;
	const char *text; /* LITERAL: in the arena */
};

struct format_builder {
	struct arena *arena;
	struct pending_part *parts; /* in the arena */
	size_t count, capacity;
};

static struct pending_part *part_add(
	struct format_builder *builder, enum format_kind kind)
{
	if (builder->count == builder->capacity) {
		size_t capacity = builder->capacity ? builder->capacity * 2 : 8;
		struct pending_part *parts =
			arena_array(builder->arena, struct pending_part, capacity);

		if (builder->count)
			memcpy(parts, builder->parts, builder->count * sizeof(*parts));
		builder->parts = parts;
		builder->capacity = capacity;
	}
	struct pending_part *part = &builder->parts[builder->count++];

	memset(part, 0, sizeof(*part));
	part->part.kind = (uint8_t)kind;
	part->part.width = FORMAT_NONE;
	part->part.precision = FORMAT_NONE;
	return part;
}

struct format_builder *stap_format_begin(struct arena *arena)
{
	struct format_builder *builder = arena_new(arena, struct format_builder);

	builder->arena = arena;
	return builder;
}

void stap_format_add_literal(
	struct format_builder *builder, const char *text, size_t size)
{
	struct pending_part *last =
		builder->count ? &builder->parts[builder->count - 1] : NULL;
	struct pending_part *part;
	char *joined;

	if (!size)
		return;
	if (!last || last->part.kind != FORMAT_LITERAL) {
		part = part_add(builder, FORMAT_LITERAL);
		part->text = arena_strndup(builder->arena, text, size);
		part->part.text_size = (uint32_t)size;
		return;
	}
	joined = arena_alloc(builder->arena, last->part.text_size + size + 1);
	memcpy(joined, last->text, last->part.text_size);
	memcpy(joined + last->part.text_size, text, size);
	last->text = joined;
	last->part.text_size += (uint32_t)size;
}

void stap_format_add_long(struct format_builder *builder, char conversion)
{
	part_add(builder, FORMAT_LONG)->part.conversion = (uint8_t)conversion;
}

void stap_format_add_string(struct format_builder *builder)
{
	part_add(builder, FORMAT_STRING)->part.conversion = 's';
}

void stap_format_add_histogram(struct format_builder *builder)
{
	part_add(builder, FORMAT_HISTOGRAM);
}

void stap_format_add_parts(struct format_builder *builder, const struct format *format)
{
	for (uint32_t i = 0; i < format->part_count; i++) {
		const struct format_part *part = &format->parts[i];

		if (part->kind == FORMAT_LITERAL)
			stap_format_add_literal(builder,
				(const char *)format + part->text, part->text_size);
		else
			part_add(builder, FORMAT_LONG)->part = *part;
	}
}

struct format *stap_format_end(struct format_builder *builder)
{
	size_t text_at =
		sizeof(struct format) + builder->count * sizeof(struct format_part);
	size_t size = text_at;
	struct format *format;

	for (size_t i = 0; i < builder->count; i++)
		size += builder->parts[i].part.text_size;
	assert(size <= UINT32_MAX);
	format = arena_alloc(builder->arena, size);
	format->size = (uint32_t)size;
	format->part_count = (uint32_t)builder->count;
	for (size_t i = 0; i < builder->count; i++) {
		struct format_part *part = &format->parts[i];

		*part = builder->parts[i].part;
		if (part->kind == FORMAT_LITERAL) {
			part->text = (uint32_t)text_at;
			memcpy((char *)format + text_at, builder->parts[i].text,
				part->text_size);
			text_at += part->text_size;
			continue;
		}
		format->argument_count++;
		format->argument_count += part->width == FORMAT_DYNAMIC;
		format->argument_count += part->precision == FORMAT_DYNAMIC;
	}
	return format;
}

/* Digits or `*`; true also when there is neither.  Widths beyond what any string can hold
 * are refused rather than wrapped. */
static bool parse_amount(const char **at, const char *end, int32_t *ret, bool *found)
{
	int32_t value = 0;

	*found = false;
	if (*at < end && **at == '*') {
		(*at)++;
		*ret = FORMAT_DYNAMIC;
		*found = true;
		return true;
	}
	for (; *at < end && isdigit((unsigned char)**at); (*at)++) {
		value = value * 10 + (**at - '0');
		if (value > 1000000)
			return false;
		*found = true;
		*ret = value;
	}
	return true;
}

/* flag? (width | `*`)? (`.` (precision | `*`)?)? `l`? conversion; at is behind the `%` */
static bool parse_conversion(
	struct format_builder *builder, const char **at, const char *end)
{
	struct format_part part = {.width = FORMAT_NONE, .precision = FORMAT_NONE};
	bool found;

	if (*at < end && **at && strchr("0-+ #", **at))
		part.flag = (uint8_t) * (*at)++;
	if (!parse_amount(at, end, &part.width, &found))
		return false;
	if (*at < end && **at == '.') {
		(*at)++;
		if (!parse_amount(at, end, &part.precision, &found))
			return false;
		if (!found)
			part.precision = 0;
	}
	if (*at < end && **at == 'l')
		(*at)++;
	if (*at == end || !**at || !strchr("diuxXopcbmMs", **at))
		return false;
	part.conversion = (uint8_t) * (*at)++;
	part.kind = part.conversion == 's' ? FORMAT_STRING : FORMAT_LONG;
	part_add(builder, FORMAT_LONG)->part = part;
	return true;
}

/* Where does the text end inside of a conversion?  A lone percent sign is none yet. */
static bool is_cut(const char *percent, const char *end)
{
	return end - percent > 1 &&
	       strspn(percent + 1, "0123456789.*-+ #l") == (size_t)(end - percent) - 1;
}

struct format *stap_format_parse_why(
	struct arena *arena, const char *text, size_t size, const char **ret_fault)
{
	struct format_builder *builder = stap_format_begin(arena);
	const char *end = text + size;

	while (text < end) {
		const char *percent = memchr(text, '%', (size_t)(end - text));
		size_t literal = (size_t)((percent ? percent : end) - text);

		stap_format_add_literal(builder, text, literal);
		text += literal;
		if (!percent)
			break;
		text++;
		if (text < end && *text == '%') {
			stap_format_add_literal(builder, text++, 1);
			continue;
		}
		if (!parse_conversion(builder, &text, end)) {
			*ret_fault =
				is_cut(percent, end)
					? "trailing incomplete print format conversion"
					: "invalid or missing conversion specifier";
			return NULL;
		}
	}
	return stap_format_end(builder);
}

struct format *stap_format_parse(struct arena *arena, const char *text, size_t size)
{
	const char *fault;

	return stap_format_parse_why(arena, text, size, &fault);
}
