/* SPDX-License-Identifier: MIT */
/* printf format texts: what is accepted and how it is cut into parts. */
#include "base/strbuf.h"
#include "stap/format_parse.h"
#include "tap.h"

static void amount_show(struct strbuf *out, const char *name, int32_t value)
{
	if (value == FORMAT_DYNAMIC)
		strbuf_printf(out, " %s=*", name);
	else if (value != FORMAT_NONE)
		strbuf_printf(out, " %s=%d", name, value);
}

/* "'text' d[flag=0 width=5]" and the number of arguments */
static void format_show(const struct format *format, struct strbuf *out)
{
	if (!format) {
		strbuf_puts(out, "invalid");
		return;
	}
	for (uint32_t i = 0; i < format->part_count; i++) {
		const struct format_part *part = &format->parts[i];

		if (part->kind == FORMAT_LITERAL) {
			strbuf_putc(out, '\'');
			strbuf_append(
				out, (const char *)format + part->text, part->text_size);
			strbuf_puts(out, "' ");
			continue;
		}
		if (part->kind == FORMAT_HISTOGRAM) {
			strbuf_puts(out, "histogram ");
			continue;
		}
		strbuf_putc(out, (char)part->conversion);
		if (part->flag)
			strbuf_printf(out, " flag=%c", part->flag);
		amount_show(out, "width", part->width);
		amount_show(out, "precision", part->precision);
		strbuf_putc(out, ' ');
	}
	strbuf_printf(out, "%u", format->argument_count);
}

static const struct {
	const char *text, *expected;
} cases[] = {
	{"", "0"},
	{"plain", "'plain' 0"},
	{"%d", "d 1"},
	{"%i%u%x%X%o%p%c%b%m%M", "i u x X o p c b m M 10"},
	{"a%sb", "'a' s 'b' 1"},
	{"100%%", "'100%' 0"},
	{"%%d", "'%d' 0"},
	{"%5d", "d width=5 1"},
	{"%05d", "d flag=0 width=5 1"},
	{"%-05d", "d flag=- width=5 1"},
	{"%+d", "d flag=+ 1"},
	{"% d", "d flag=  1"},
	{"%#x", "x flag=# 1"},
	{"%.5d", "d precision=5 1"},
	{"%.s", "s precision=0 1"},
	{"%*d", "d width=* 2"},
	{"%-*s", "s flag=- width=* 2"},
	{"%*.*s", "s width=* precision=* 3"},
	{"%ld", "d 1"},
	{"%10.3lu", "u width=10 precision=3 1"},
	{"%", "invalid"},
	{"a%", "invalid"},
	{"%5", "invalid"},
	{"%l", "invalid"},
	{"%lld", "invalid"},
	{"%hd", "invalid"},
	{"%n", "invalid"},
	{"%f", "invalid"},
	{"%+-5d", "invalid"},
	{"%#-5x", "invalid"},
	{"%5.3.1d", "invalid"},
	{"%99999999999d", "invalid"},
	{"%.99999999999d", "invalid"},
	{"%d %s\t", "d ' ' s '\t' 2"},
};

int main(void)
{
	struct arena arena;
	struct strbuf out;

	arena_init(&arena);
	strbuf_init(&out);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strbuf_clear(&out);
		format_show(
			stap_format_parse(&arena, cases[i].text, strlen(cases[i].text)),
			&out);
		tap_is_string(out.data, cases[i].expected, cases[i].expected);
	}

	struct format_builder *builder = stap_format_begin(&arena);

	stap_format_add_long(builder, 'd');
	stap_format_add_literal(builder, ",", 1);
	stap_format_add_literal(builder, "", 0);
	stap_format_add_literal(builder, ";", 1);
	stap_format_add_string(builder);
	stap_format_add_histogram(builder);
	strbuf_clear(&out);
	format_show(stap_format_end(builder), &out);
	tap_is_string(
		out.data, "d ',;' s histogram 3", "built by parts, literals joined");
	tap_ok(!stap_format_parse(&arena, "%\0d", 3), "a NUL is no conversion");
	strbuf_deinit(&out);
	arena_deinit(&arena);
	return tap_done();
}
