/* SPDX-License-Identifier: MIT */
/*
 * Reads the rings of all threads, puts the records in order of time and prints them.
 *
 * A record's stamp is taken before it is published, so a record may become visible after
 * a younger one of another thread.  Records are therefore held back until they are older
 * than ORDER_DELAY. Rings are memory the target can write: a record is copied out first,
 * then checked.
 */
#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "abi/record.h"
#include "runtime/format.h"
#include "session/ask.h"
#include "session/histogram.h"
#include "session/internal.h"
#include "session/output_file.h"

enum {
	ORDER_DELAY_NS = 2000000,
	RECORD_MAX = 256 * 1024,
	TEXT_MAX = 128 * 1024,
	ARGUMENTS_MAX = 128,
};

/* One ring as the merge sees it. */
struct session_ring {
	struct abi_context *context;
	const unsigned char *data;
	uint64_t position, head;
	struct abi_record next; /* copy of the header at position; size 0: none */
};

static void message(struct session *s, const char *text)
{
	/* a handler's earlier output must not come after its error on a terminal */
	if (s->output.file)
		fflush(s->output.file);
	fputs(text, stderr);
}

static void put_title(const struct session *s, struct strbuf *out, const char *title)
{
	const struct stap_colors *colors = s->diagnostics.colors;
	const char *color = !colors           ? NULL
			    : title[0] == 'W' ? colors->warning
					      : colors->error;
	stap_put_colored(out, color, title, strlen(title));
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_new_warning(struct session_output *o, const char *text)
{
	if (tfind(text, &o->warnings, compare_texts))
		return false;
	char *copy = strdup(text);
	if (!copy || !tsearch(copy, &o->warnings, compare_texts))
		abort();
	return true;
}

void session_warn(struct session *s, const char *fmt, ...)
{
	if (s->options->no_warnings)
		return;
	char text[1200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t size = strlen(text);
	if (size && text[size - 1] == '\n')
		text[size - 1] = '\0';
	if (!is_new_warning(&s->output, text) && !s->options->verbose)
		return;
	struct strbuf line;
	strbuf_init(&line);
	put_title(s, &line, "WARNING:");
	strbuf_printf(&line, " %s\n", text);
	message(s, line.data);
	strbuf_deinit(&line);
}

void session_error(struct session *s, const char *text)
{
	struct strbuf line;
	strbuf_init(&line);
	put_title(s, &line, "ERROR:");
	strbuf_printf(&line, " %s\n", text);
	message(s, line.data);
	strbuf_deinit(&line);
}

int session_output_open(struct session *s, struct error *err)
{
	struct session_output *o = &s->output;
	int r = output_file_open(s, err);
	if (r < 0)
		return r;
	o->record = malloc(RECORD_MAX);
	o->text = malloc(TEXT_MAX);
	o->rings = calloc(s->memory.context_count, sizeof(*o->rings));
	if (!o->record || !o->text || !o->rings)
		abort();
	strbuf_init(&o->line);
	return 0;
}

static void output_flush(struct session *s)
{
	struct session_output *o = &s->output;
	if (!o->failed && fflush(o->file) != 0) {
		o->failed = true;
		o->error = errno;
	}
}

/* ---- reading rings
 * ------------------------------------------------------------------------------ */

static void ring_copy(const struct session *s, const struct session_ring *r,
	uint64_t position, void *bytes, uint64_t size)
{
	uint64_t mask = s->memory.header->ring_size - 1;
	uint64_t at = position & mask, first = mask + 1 - at;
	if (first > size)
		first = size;
	memcpy(bytes, r->data + at, first);
	memcpy((char *)bytes + first, r->data, size - first);
}

/* Load the header at the read position, stepping over padding.  A damaged ring is skipped
 * whole. */
static void ring_peek(struct session *s, struct session_ring *r)
{
	r->next.size = 0;
	while (r->position < r->head) {
		struct abi_record header = {0};
		uint64_t available = r->head - r->position;
		uint64_t size = available < sizeof(header) ? available : sizeof(header);
		ring_copy(s, r, r->position, &header, size);
		bool bad = header.size < 8 || header.size % 8 ||
			   header.size > available ||
			   (header.kind != ABI_RECORD_PAD &&
				   (header.size < sizeof(header) ||
					   header.size > RECORD_MAX));
		if (bad) {
			s->output.lost++;
			r->position = r->head;
			break;
		}
		if (header.kind != ABI_RECORD_PAD) {
			r->next = header;
			return;
		}
		r->position += header.size;
	}
	__atomic_store_n(&r->context->ring_tail, r->position, __ATOMIC_RELEASE);
}

static size_t rings_open(struct session *s, bool *ret_filling)
{
	const struct abi_session *h = s->memory.header;
	size_t count = 0;
	*ret_filling = false;
	for (uint32_t slot = 0; slot < s->memory.context_count; slot++) {
		struct abi_context *c = session_context(s, slot);
		uint64_t head = __atomic_load_n(&c->ring_head, __ATOMIC_ACQUIRE);
		if (head == c->ring_tail)
			continue;
		struct session_ring *r = &s->output.rings[count];
		r->context = c;
		r->data = (const unsigned char *)s->memory.base +
			  s->memory.header->ring_offset + (uint64_t)slot * h->ring_size;
		r->position = c->ring_tail;
		r->head = head;
		if (r->head < r->position || r->head - r->position > h->ring_size) {
			s->output.lost++;
			__atomic_store_n(&c->ring_tail, r->head, __ATOMIC_RELEASE);
			continue;
		}
		if (r->head - r->position > h->ring_size / 8)
			*ret_filling = true;
		ring_peek(s, r);
		if (r->next.size)
			count++;
	}
	return count;
}

/* ---- printing records
 * ------------------------------------------------------------------------------ */

struct payload {
	const unsigned char *at, *end;
};

static bool payload_take(struct payload *p, uint64_t size, const unsigned char **ret)
{
	if ((uint64_t)(p->end - p->at) < size)
		return false;
	*ret = p->at;
	p->at += size;
	return true;
}

/* A string in a record: size, bytes, padding.  Terminated in place: the padding or the
 * next word is overwritten only in our copy, so the text is copied to the side. */
static bool payload_string(
	struct payload *p, char *to, size_t capacity, size_t *used, const char **ret)
{
	const unsigned char *bytes;
	uint32_t size;
	if (!payload_take(p, sizeof(size), &bytes))
		return false;
	memcpy(&size, bytes, sizeof(size));
	uint64_t padded = ((uint64_t)size + sizeof(size) + 7) / 8 * 8 - sizeof(size);
	if (!payload_take(p, padded, &bytes) || capacity - *used < (size_t)size + 1)
		return false;
	*ret = memcpy(to + *used, bytes, size);
	to[*used + size] = '\0';
	*used += (size_t)size + 1;
	return true;
}

static bool payload_argument(struct session *s, struct payload *p, uint8_t kind,
	uint64_t *ret, size_t *text_used)
{
	const unsigned char *bytes;
	const char *text;
	if (kind == FORMAT_STRING) {
		if (!payload_string(p, s->output.text, TEXT_MAX, text_used, &text))
			return false;
		*ret = (uint64_t)(uintptr_t)text;
		return true;
	}
	if (!payload_take(p, sizeof(*ret), &bytes))
		return false;
	memcpy(ret, bytes, sizeof(*ret));
	return true;
}

static bool is_memory_part(const struct format_part *part)
{
	return part->kind == FORMAT_LONG &&
	       (part->conversion == 'm' || part->conversion == 'M');
}

static char hex_byte(const char *digits)
{
	char text[3] = {digits[0], digits[1]};
	return (char)strtoul(text, NULL, 16);
}

/* Bytes that the handler has read, two digits each. */
static void print_memory(
	struct session *s, const struct format_part *part, const uint64_t *args)
{
	uint32_t dynamic = part->width == FORMAT_DYNAMIC;
	uint32_t last = dynamic + (part->precision == FORMAT_DYNAMIC);
	const char *digits = (const char *)(uintptr_t)args[last];
	size_t size = strlen(digits) / 2,
	       shown = part->conversion == 'M' ? 2 * size : size;
	int64_t width = dynamic ? (int32_t)args[0] : part->width;
	bool left = part->flag == '-';
	if (width < 0 && dynamic) {
		width = -width;
		left = true;
	}
	struct strbuf text;
	strbuf_init(&text);
	for (int64_t i = (int64_t)shown; !left && i < width; i++)
		strbuf_putc(&text, ' ');
	for (size_t i = 0; i < size; i++) {
		if (part->conversion == 'M')
			strbuf_append(&text, digits + 2 * i, 2);
		else
			strbuf_putc(&text, hex_byte(digits + 2 * i));
	}
	for (int64_t i = (int64_t)shown; left && i < width; i++)
		strbuf_putc(&text, ' ');
	output_file_write(s, text.data, text.size);
	strbuf_deinit(&text);
}

static void print_part(struct session *s, const struct format *whole,
	const struct format_part *part, const uint64_t *args, uint32_t argument_count)
{
	char text[16384];
	if (part->kind == FORMAT_LITERAL) {
		output_file_write(s, (const char *)whole + part->text, part->text_size);
		return;
	}
	if (is_memory_part(part)) {
		print_memory(s, part, args);
		return;
	}
	_Alignas(struct format) unsigned char room[sizeof(struct format) + sizeof(*part)];
	struct format *one = (void *)room;
	*one = (struct format){
		.size = sizeof(room), .part_count = 1, .argument_count = argument_count};
	one->parts[0] = *part;
	size_t size = format_text(one, args, text, sizeof(text));
	output_file_write(s, text, size);
}

static uint32_t part_arguments(const struct format_part *part)
{
	return (part->width == FORMAT_DYNAMIC) + (part->precision == FORMAT_DYNAMIC) + 1;
}

static bool print_histogram(
	struct session *s, struct payload *p, const struct abi_stat_desc *desc)
{
	const unsigned char *bytes;
	if (!desc || !payload_take(p, (desc->size + 7) / 8 * 8, &bytes))
		return false;
	struct strbuf text;
	strbuf_init(&text);
	histogram_print((const struct abi_stat *)(const void *)bytes, desc,
		(int)session_limit(s->options, "HIST_WIDTH", 50),
		(int)session_limit(s->options, "HIST_ELISION", 2), &text);
	output_file_write(s, text.data, text.size);
	strbuf_deinit(&text);
	return true;
}

static bool print_record(
	struct session *s, const struct abi_record *record, struct payload p)
{
	if (record->id >= s->code.format_count)
		return false;
	const struct codegen_format *f = &s->code.formats[record->id];
	size_t histogram = 0, used = 0;
	for (uint32_t i = 0; i < f->format->part_count; i++) {
		const struct format_part *part = &f->format->parts[i];
		uint64_t args[3] = {0};
		if (part->kind == FORMAT_HISTOGRAM) {
			if (!print_histogram(s, &p, f->histograms[histogram++]))
				return false;
			continue;
		}
		uint32_t count = part->kind == FORMAT_LITERAL ? 0 : part_arguments(part);
		for (uint32_t k = 0; k < count; k++) {
			bool last = k == count - 1;
			uint8_t kind = is_memory_part(part) ? FORMAT_STRING : part->kind;
			if (!payload_argument(
				    s, &p, last ? kind : FORMAT_LONG, &args[k], &used))
				return false;
		}
		print_part(s, f->format, part, args, count);
	}
	return true;
}

static const char *token_kind_name(const struct stap_token *token)
{
	switch (token->kind) {
	case STAP_TOKEN_IDENTIFIER:
		return token->text[0] == '@' ? "operator" : "identifier";
	case STAP_TOKEN_KEYWORD:
		return "keyword";
	case STAP_TOKEN_STRING:
		return "string";
	case STAP_TOKEN_NUMBER:
		return "number";
	case STAP_TOKEN_EMBEDDED:
		return "embedded-code";
	case STAP_TOKEN_OPERATOR:
	case STAP_TOKEN_EOF:
	case STAP_TOKEN_JUNK:
		break;
	}
	return "operator";
}

static void put_place(const struct session *s, const char *before, uint32_t location,
	struct strbuf *out)
{
	const struct stap_token *token = location < s->code.location_count
						 ? s->code.locations[location].token
						 : NULL;
	if (!token || !token->source)
		return;
	strbuf_printf(out, " %s%s", before, token_kind_name(token));
	if (token->kind != STAP_TOKEN_KEYWORD && token->kind != STAP_TOKEN_EMBEDDED)
		strbuf_printf(out, " '%s'", token->text);
	strbuf_printf(
		out, " at %s:%u:%u", token->source->name, token->line, token->column);
}

static const char *probe_point(const struct session *s, uint32_t site)
{
	if (site >= s->sites.count)
		return NULL;
	const struct session_site *at = &s->sites.items[site];
	return at->location ? at->location->pp : at->probe->pp;
}

static bool print_error(struct session *s, uint32_t site, struct payload *p)
{
	const unsigned char *bytes;
	const char *text, *point = probe_point(s, site);
	struct abi_error_place place;
	size_t used = 0;
	if (!payload_take(p, sizeof(place), &bytes))
		return false;
	memcpy(&place, bytes, sizeof(place));
	if (!payload_string(p, s->output.text, TEXT_MAX, &used, &text))
		return false;
	struct strbuf line;
	strbuf_init(&line);
	put_title(s, &line, "ERROR:");
	strbuf_printf(&line, " %s", text);
	put_place(s, "near ", place.location, &line);
	for (uint32_t i = 0; i < place.caller_count && i < ABI_RECORD_CALLERS; i++) {
		size_t size = line.size;
		put_place(s, "(called from ", place.callers[i], &line);
		if (line.size > size)
			strbuf_putc(&line, ')');
	}
	if (point)
		strbuf_printf(&line, " in probe %s", point);
	strbuf_putc(&line, '\n');
	message(s, line.data);
	strbuf_deinit(&line);
	return true;
}

static bool print_stack(struct session *s, struct payload *p)
{
	const unsigned char *bytes;
	uint32_t head[2]; /* style, process */
	uint64_t address;
	if (!payload_take(p, sizeof(head), &bytes))
		return false;
	memcpy(head, bytes, sizeof(head));
	struct strbuf text;
	strbuf_init(&text);
	while (payload_take(p, sizeof(address), &bytes)) {
		memcpy(&address, bytes, sizeof(address));
		strbuf_clear(&text);
		session_ask_symbol(s, (pid_t)head[1], address, head[0], &text);
		strbuf_putc(&text, '\n');
		output_file_write(s, text.data, text.size);
	}
	strbuf_deinit(&text);
	return true;
}

static bool print_other(
	struct session *s, const struct abi_record *record, struct payload *p)
{
	const char *text;
	size_t used = 0;
	if (record->kind == ABI_RECORD_ERROR)
		return print_error(s, record->id, p);
	if (record->kind == ABI_RECORD_STACK)
		return print_stack(s, p);
	if (!payload_string(p, s->output.text, TEXT_MAX, &used, &text))
		return false;
	if (record->kind == ABI_RECORD_LOG) {
		output_file_write(s, text, strlen(text));
		output_file_write(s, "\n", 1);
	} else if (record->kind == ABI_RECORD_WARN) {
		session_warn(s, "%s", text);
	} else if (record->kind == ABI_RECORD_SYSTEM) {
		output_flush(s);
		session_system(s, text);
	} else {
		return false;
	}
	return true;
}

static void ring_print(struct session *s, struct session_ring *r)
{
	struct session_output *o = &s->output;
	struct abi_record record;
	uint32_t size = r->next.size;
	ring_copy(s, r, r->position, o->record, size);
	memcpy(&record, o->record, sizeof(record));
	struct payload p = {.at = o->record + sizeof(record), .end = o->record + size};
	bool ok = record.kind == ABI_RECORD_PRINT ? print_record(s, &record, p)
						  : print_other(s, &record, &p);
	if (!ok)
		o->lost++;
	r->position += size;
	__atomic_store_n(&r->context->ring_tail, r->position, __ATOMIC_RELEASE);
	ring_peek(s, r);
}

bool session_output_drain(struct session *s, bool final)
{
	struct session_output *o = &s->output;
	bool filling;
	uint64_t now = session_clock_now(s->memory.header);
	uint64_t delay = session_clock_ticks(s->memory.header, ORDER_DELAY_NS);
	uint64_t limit = final ? UINT64_MAX : now > delay ? now - delay : 0;
	size_t count = rings_open(s, &filling);
	bool printed = false;
	while (count) {
		size_t first = 0;
		for (size_t i = 1; i < count; i++)
			if (o->rings[i].next.stamp < o->rings[first].next.stamp)
				first = i;
		struct session_ring *r = &o->rings[first];
		if (r->next.stamp > limit)
			break;
		/* as long as this ring stays the oldest, no other needs a look */
		uint64_t until = limit;
		for (size_t i = 0; i < count; i++)
			if (i != first && o->rings[i].next.stamp < until)
				until = o->rings[i].next.stamp;
		do {
			ring_print(s, r);
			printed = true;
		} while (r->next.size && r->next.stamp <= until && !o->failed);
		if (!r->next.size)
			*r = o->rings[--count];
	}
	if (printed)
		output_flush(s);
	return filling;
}

void session_output_text(struct session *s, const char *text, size_t size)
{
	output_file_write(s, text, size);
	output_flush(s);
}

int session_output_close(struct session *s)
{
	struct session_output *o = &s->output;
	if (!o->file)
		return 0;
	output_flush(s);
	output_file_close(s);
	int result = 0;
	if (o->failed && o->error != EPIPE) {
		fprintf(stderr, "error: cannot write output: %s\n", strerror(o->error));
		result = -o->error;
	}
	free(o->record);
	free(o->text);
	free(o->rings);
	strbuf_deinit(&o->line);
	return result;
}

void session_output_free(struct session *s)
{
	tdestroy(s->output.warnings, free);
}
