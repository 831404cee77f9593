/* SPDX-License-Identifier: MIT */
#include "lsp/document.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- URIs --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* "file:///a%20b" to "/a b"; others as they are. */
static char *uri_path(const char *uri)
{
	const char *from = strncmp(uri, "file://", 7) == 0 ? uri + 7 : uri;
	char *path = malloc(strlen(from) + 1), *to = path;
	if (!path)
		abort();
	while (*from) {
		if (from[0] == '%' && isxdigit((unsigned char)from[1]) &&
			isxdigit((unsigned char)from[2])) {
			*to++ = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
			from += 3;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return path;
}

json_t *lsp_path_uri(const char *path)
{
	char real[PATH_MAX];
	struct strbuf out;
	strbuf_init(&out);
	strbuf_puts(&out, "file://");
	for (const char *p = realpath(path, real) ? real : path; *p; p++) {
		if (isalnum((unsigned char)*p) || strchr("/-_.~", *p))
			strbuf_putc(&out, *p);
		else
			strbuf_printf(&out, "%%%02X", (unsigned char)*p);
	}
	json_t *uri = json_string(out.data);
	strbuf_deinit(&out);
	return uri;
}

/* ---- documents ---------------------------------------------------------------------------- */

struct lsp_document *lsp_document_find(struct lsp_documents *documents, const char *uri)
{
	for (struct lsp_document *d = documents->first; d; d = d->next)
		if (strcmp(d->uri, uri) == 0)
			return d;
	return NULL;
}

struct lsp_document *lsp_document_set(
	struct lsp_documents *documents, const char *uri, const char *text)
{
	struct lsp_document *d = lsp_document_find(documents, uri);
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d || !(d->uri = strdup(uri)))
			abort();
		d->path = uri_path(uri);
		d->next = documents->first;
		documents->first = d;
	}
	session_analysis_destroy(d->analysis); /* before its text */
	free(d->text);
	d->text = strdup(text);
	if (!d->text)
		abort();
	d->options = documents->options;
	d->analysis = session_analyze(documents->options, d->path, d->text);
	return d;
}

static void document_free(struct lsp_document *d)
{
	session_analysis_destroy(d->analysis);
	free(d->text);
	free(d->path);
	free(d->uri);
	free(d);
}

void lsp_document_close(struct lsp_documents *documents, const char *uri)
{
	for (struct lsp_document **at = &documents->first; *at; at = &(*at)->next) {
		struct lsp_document *d = *at;
		if (strcmp(d->uri, uri) != 0)
			continue;
		*at = d->next;
		document_free(d);
		return;
	}
}

void lsp_documents_free(struct lsp_documents *documents)
{
	while (documents->first)
		lsp_document_close(documents, documents->first->uri);
}

/* ---- positions ---------------------------------------------------------------------------- */

/* Code units of UTF-16 that a byte of UTF-8 begins. */
static size_t units(char byte)
{
	unsigned char c = (unsigned char)byte;
	return c >= 0xf0 ? 2 : (c & 0xc0) == 0x80 ? 0 : 1;
}

size_t lsp_document_offset(const struct lsp_document *document, const json_t *position)
{
	return lsp_text_offset(document->text, position);
}

size_t lsp_text_offset(const char *text, const json_t *position)
{
	json_int_t line = json_integer_value(json_object_get(position, "line"));
	json_int_t column = json_integer_value(json_object_get(position, "character"));
	const char *at = text;
	for (; line > 0 && *at; at++)
		line -= *at == '\n';
	for (; *at && *at != '\n'; at++) {
		column -= (json_int_t)units(*at);
		if (column < 0)
			break;
	}
	return (size_t)(at - text);
}

static json_t *position(const struct stap_token *token, size_t bytes)
{
	const char *line = token->at;
	size_t column = 0;
	/* a token that was pasted from the command line is not in the text */
	if (!token->source || line < token->source->text ||
		line > token->source->text + token->source->size)
		return json_pack("{s:i, s:i}", "line", (int)token->line - 1, "character",
			(int)token->column - 1);
	while (line > token->source->text && line[-1] != '\n')
		line--;
	for (; line < token->at + bytes && *line; line++)
		column += units(*line);
	return json_pack("{s:i, s:I}", "line", (int)token->line - 1, "character",
		(json_int_t)column);
}

json_t *lsp_token_range(const struct stap_token *token)
{
	const char *text = token->raw ? token->raw : token->text;
	size_t size = text ? strcspn(text, "\n") : 0;
	return json_pack("{s:o, s:o}", "start", position(token, 0), "end",
		position(token, size ? size : 1));
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '@';
}

bool lsp_document_word(
	const struct lsp_document *document, size_t offset, char *ret, size_t size)
{
	const char *text = document->text, *start = text + offset, *end = start;
	while (start > text && is_word(start[-1]))
		start--;
	while (is_word(*end))
		end++;
	if (start == end || (size_t)(end - start) >= size)
		return false;
	memcpy(ret, start, (size_t)(end - start));
	ret[end - start] = '\0';
	return true;
}
