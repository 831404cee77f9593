/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics are only collected while passes run; the text is made in one go, because similar
 * messages are shown once.  A place is abbreviated when the one before it in the same message is in
 * the same file.
 */
#include "stap/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_FUNCTION HASH_OAT
#include <uthash.h>

enum {
	SHOWN_EXPANSIONS = 16
};

void stap_diagnostics_init(struct stap_diagnostics *d, struct arena *arena)
{
	*d = (struct stap_diagnostics){.arena = arena};
}

void stap_diagnostics_deinit(struct stap_diagnostics *d)
{
	vec_free(&d->list);
}

static struct stap_diagnostic *make(struct arena *arena, enum stap_severity severity,
	const struct stap_token *token, const char *fmt, va_list ap)
{
	struct stap_diagnostic *diagnostic = arena_new(arena, struct stap_diagnostic);
	char *text;
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	const char *message = arena_strdup(arena, text);
	free(text);
	bool by_text = severity == STAP_WARNING || strcmp(fmt, "%s") == 0;
	diagnostic->severity = severity;
	diagnostic->message = message;
	diagnostic->key = by_text ? message : fmt;
	diagnostic->token = token;
	if (severity == STAP_PARSE_ERROR)
		diagnostic->saw = "at";
	return diagnostic;
}

struct stap_diagnostic *stap_diagnose(struct stap_diagnostics *d,
	enum stap_severity severity, const struct stap_token *token, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct stap_diagnostic *diagnostic = make(d->arena, severity, token, fmt, ap);
	va_end(ap);
	if (severity == STAP_WARNING && d->no_warnings)
		return diagnostic;
	vec_append(&d->list, diagnostic);
	if (severity == STAP_WARNING)
		d->warning_count++;
	else
		d->error_count++;
	return diagnostic;
}

bool stap_diagnostics_failed(const struct stap_diagnostics *d)
{
	return d->error_count || (d->warnings_are_errors && d->warning_count);
}

void stap_diagnostics_show(
	struct stap_diagnostics *d, const struct stap_diagnostics *from)
{
	for (size_t i = 0; i < from->list.count; i++)
		vec_append(&d->list, from->list.items[i]);
}

struct stap_diagnostic *stap_diagnose_cause(struct stap_diagnostics *d,
	struct stap_diagnostic *diagnostic, const struct stap_token *token,
	const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct stap_diagnostic *cause =
		make(d->arena, diagnostic->severity, token, fmt, ap);
	va_end(ap);
	while (diagnostic->cause)
		diagnostic = diagnostic->cause;
	diagnostic->cause = cause;
	return cause;
}

/* ---- colors ------------------------------------------------------------------------------------ */

static char *color_find(struct stap_colors *colors, const char *key, size_t size)
{
	const struct {
		const char *key;
		char *color;
	} parts[] = {
		{"error", colors->error},
		{"warning", colors->warning},
		{"source", colors->source},
		{"caret", colors->caret},
		{"token", colors->token},
	};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strlen(parts[i].key) == size && memcmp(parts[i].key, key, size) == 0)
			return parts[i].color;
	return NULL;
}

void stap_colors_parse(struct stap_colors *colors, const char *spec)
{
	*colors = (struct stap_colors){0};
	if (!spec)
		spec = "error=01;31:warning=00;33:source=00;34:caret=01:token=01";
	/* as SystemTap: what comes before the first mistake counts, and the first of each kind */
	while (*spec) {
		size_t size = strcspn(spec, ":"), key = strcspn(spec, "=:");
		size_t value = size > key ? size - key - 1 : 0;
		char *color = color_find(colors, spec, key);
		if (!key || !value || strspn(spec + key + 1, "0123456789;") < value)
			break;
		if (color && !*color && value < STAP_COLOR_SIZE) {
			memcpy(color, spec + key + 1, value);
			color[value] = '\0';
		}
		spec += size + (spec[size] == ':');
	}
}

void stap_put_colored(
	struct strbuf *out, const char *color, const char *text, size_t size)
{
	bool is_colored = color && *color;
	if (is_colored)
		strbuf_printf(out, "\033[%sm\033[K", color);
	strbuf_append(out, text, size);
	if (is_colored)
		strbuf_puts(out, "\033[m\033[K");
}

/* ---- rendering --------------------------------------------------------------------------------- */

struct renderer {
	struct strbuf *out;
	const struct stap_colors *colors;
	const struct stap_source
		*last; /* file of the last place shown by this message or its causes */
};

static void render_kind(struct strbuf *out, const struct stap_token *token)
{
	static const char *const names[] = {
		[STAP_TOKEN_EOF] = "end of file",
		[STAP_TOKEN_JUNK] = "junk",
		[STAP_TOKEN_IDENTIFIER] = "identifier",
		[STAP_TOKEN_KEYWORD] = "keyword",
		[STAP_TOKEN_OPERATOR] = "operator",
		[STAP_TOKEN_STRING] = "string",
		[STAP_TOKEN_NUMBER] = "number",
		[STAP_TOKEN_EMBEDDED] = "embedded-code",
	};
	strbuf_puts(out, names[token->kind]);
	if (token->kind == STAP_TOKEN_KEYWORD || token->kind == STAP_TOKEN_EMBEDDED)
		return;
	const char *text = token->raw ? token->raw : token->text;
	strbuf_printf(out, " '%s'", text);
}

static void render_token(
	struct renderer *r, const struct stap_token *token, bool abbreviate)
{
	char place[32];
	struct strbuf text;
	render_kind(r->out, token);
	strbuf_puts(r->out, " at ");
	strbuf_init(&text);
	if (!abbreviate)
		strbuf_puts(&text, token->source->name);
	snprintf(place, sizeof(place), ":%u:%u", token->line, token->column);
	strbuf_puts(&text, place);
	stap_put_colored(
		r->out, r->colors ? r->colors->source : NULL, text.data, text.size);
	strbuf_deinit(&text);
	strbuf_putc(r->out, '\n');
}

/* What is no text would end the message early, or upset the terminal. */
static void put_source(
	struct strbuf *out, const char *color, const char *text, size_t size)
{
	struct strbuf shown;
	strbuf_init(&shown);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		strbuf_putc(&shown, c != '\t' && (c < ' ' || c == 0x7f) ? '?' : text[i]);
	}
	stap_put_colored(out, color, shown.data, shown.size);
	strbuf_deinit(&shown);
}

/* The line of the token and a caret below it; tabs stay, so that the caret stands right. */
static void render_line(struct renderer *r, const struct stap_token *token, size_t indent)
{
	struct strbuf *out = r->out;
	const char *start = token->at - (token->column - 1);
	const char *end = token->source->text + token->source->size;
	const char *newline = memchr(token->at, '\n', (size_t)(end - token->at));
	const char *line_end = newline ? newline : end;
	size_t size = strlen(token->raw ? token->raw : token->text);
	if (size > (size_t)(line_end - token->at))
		size = (size_t)(line_end - token->at);
	strbuf_fill(out, ' ', indent);
	strbuf_puts(out, "source: ");
	put_source(out, NULL, start, (size_t)(token->at - start));
	put_source(out, r->colors ? r->colors->token : NULL, token->at, size);
	put_source(out, NULL, token->at + size, (size_t)(line_end - token->at) - size);
	strbuf_putc(out, '\n');
	strbuf_fill(out, ' ', indent + strlen("source: "));
	for (const char *c = start; c < token->at; c++)
		strbuf_putc(out, *c == '\t' ? '\t' : ' ');
	stap_put_colored(out, r->colors ? r->colors->caret : NULL, "^", 1);
	strbuf_putc(out, '\n');
}

/* "semantic error: " and the message */
static void render_title(
	struct renderer *r, const char *title, bool is_warning, const char *message)
{
	const char *color = !r->colors   ? NULL
			    : is_warning ? r->colors->warning
					 : r->colors->error;
	stap_put_colored(r->out, color, title, strlen(title));
	strbuf_printf(r->out, " %s", message);
}

static void render_place(
	struct renderer *r, const struct stap_token *token, size_t indent)
{
	render_token(r, token, r->last == token->source);
	r->last = token->source;
	if (token->kind != STAP_TOKEN_EOF)
		render_line(r, token, indent);
}

/* Where the token comes from.  Macros that invoke macros make long chains: its start tells enough. */
static void render_expansions(
	struct renderer *r, const struct stap_token *token, size_t indent, bool is_full)
{
	unsigned int shown = 0, more = 0;
	for (token = token->macro_at; token; token = token->macro_at) {
		if (shown++ >= SHOWN_EXPANSIONS) {
			more++;
			continue;
		}
		strbuf_puts(r->out, "\tin expansion of macro: ");
		if (is_full)
			r->last = NULL;
		render_place(r, token, indent);
	}
	if (more)
		strbuf_printf(r->out, "\tand %u expansions more\n", more);
}

static void render_parse_error(
	struct renderer *r, const struct stap_diagnostic *diagnostic)
{
	struct strbuf *out = r->out;
	const struct stap_token *token = diagnostic->token;
	render_title(r, "parse error:", false, diagnostic->message);
	strbuf_putc(out, '\n');
	if (!token) {
		strbuf_putc(out, '\n');
		return;
	}
	if (token->kind == STAP_TOKEN_EOF) {
		strbuf_printf(out, "        saw: %s EOF\n\n", token->source->name);
		return;
	}
	strbuf_printf(out, "%11s: ", diagnostic->saw);
	render_token(r, token, false);
	render_line(r, token, 5);
	render_expansions(r, token, 5, true);
	strbuf_putc(out, '\n');
}

static void render_message(struct renderer *r, const struct stap_diagnostic *diagnostic,
	const char *title, size_t indent)
{
	bool is_warning = diagnostic->severity == STAP_WARNING;
	render_title(r, title, is_warning, diagnostic->message);
	if (diagnostic->token) {
		strbuf_puts(r->out, ": ");
		render_place(r, diagnostic->token, indent);
		render_expansions(r, diagnostic->token, indent, false);
	} else {
		strbuf_putc(r->out, '\n');
	}
	if (diagnostic->token2) {
		render_place(r, diagnostic->token2, indent);
		render_expansions(r, diagnostic->token2, indent, false);
	}
}

static void render(struct renderer *r, const struct stap_diagnostic *diagnostic)
{
	/* A message is read alone, and what stood above it may have been a warning. */
	r->last = NULL;
	for (; diagnostic; diagnostic = diagnostic->cause) {
		switch (diagnostic->severity) {
		case STAP_PARSE_ERROR:
			render_parse_error(r, diagnostic);
			break;
		case STAP_SEMANTIC_ERROR:
			render_message(r, diagnostic, "semantic error:", 8);
			strbuf_putc(r->out, '\n');
			break;
		case STAP_WARNING:
			render_message(r, diagnostic, "WARNING:", 1);
			break;
		}
	}
}

/* ---- similar messages -------------------------------------------------------------------------- */

struct seen {
	const char *key;
	UT_hash_handle hh;
};

/* True when an earlier diagnostic of this kind had the same key. */
static bool is_similar(struct seen **errors, struct seen **warnings,
	const struct stap_diagnostic *diagnostic)
{
	struct seen **table = diagnostic->severity == STAP_WARNING ? warnings : errors;
	struct seen *seen;
	HASH_FIND_STR(*table, diagnostic->key, seen);
	if (seen)
		return true;
	seen = calloc(1, sizeof(*seen));
	if (!seen)
		abort();
	seen->key = diagnostic->key;
	HASH_ADD_KEYPTR(hh, *table, seen->key, strlen(seen->key), seen);
	return false;
}

static void free_seen(struct seen **table)
{
	struct seen *seen, *next;
	HASH_ITER(hh, *table, seen, next)
	{
		HASH_DEL(*table, seen);
		free(seen);
	}
}

void stap_diagnostics_render(
	const struct stap_diagnostics *d, bool verbose, struct strbuf *out)
{
	struct renderer r = {.out = out, .colors = d->colors};
	struct seen *errors = NULL, *warnings = NULL;
	for (size_t i = 0; i < d->list.count; i++) {
		bool similar = is_similar(&errors, &warnings, d->list.items[i]);
		if (verbose || !similar)
			render(&r, d->list.items[i]);
	}
	free_seen(&errors);
	free_seen(&warnings);
}

void stap_diagnostics_render_suppressed(
	const struct stap_diagnostics *d, struct strbuf *out)
{
	struct seen *errors = NULL, *warnings = NULL;
	size_t error_count = 0, warning_count = 0;
	for (size_t i = 0; i < d->list.count; i++) {
		if (!is_similar(&errors, &warnings, d->list.items[i]))
			continue;
		if (d->list.items[i]->severity == STAP_WARNING)
			warning_count++;
		else
			error_count++;
	}
	char line[80];
	if (error_count) {
		snprintf(line, sizeof(line),
			"Number of similar error messages suppressed: %zu.", error_count);
		stap_put_colored(
			out, d->colors ? d->colors->error : NULL, line, strlen(line));
		strbuf_putc(out, '\n');
	}
	if (warning_count) {
		snprintf(line, sizeof(line),
			"Number of similar warning messages suppressed: %zu.",
			warning_count);
		stap_put_colored(
			out, d->colors ? d->colors->warning : NULL, line, strlen(line));
		strbuf_putc(out, '\n');
	}
	if (error_count || warning_count)
		strbuf_puts(out, "Rerun with -v to see them.\n");
	free_seen(&errors);
	free_seen(&warnings);
}
