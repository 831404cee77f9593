/* SPDX-License-Identifier: MIT */
/* Messages of the protocol: a header with the length, and JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/answers.h"
#include "lsp/lsp.h"

enum {
	MESSAGE_MAX = 64 << 20,
	HEADER_MAX = 1024,
	/* of JSON-RPC */
	PARSE_ERROR = -32700,
	INVALID_REQUEST = -32600,
	METHOD_NOT_FOUND = -32601,
	NOT_INITIALIZED = -32002
};

struct server {
	struct lsp_documents documents;
	bool is_initialized, is_shut_down, is_over;
};

/* ---- transport ---------------------------------------------------------------------------- */

/* Return: the length; 0: the client is gone, or sends more than can be right.  A header without a
 * length has nothing behind it. */
static size_t read_header(void)
{
	char line[HEADER_MAX];
	size_t size = 0;
	while (fgets(line, sizeof(line), stdin)) {
		bool is_blank = strcmp(line, "\r\n") == 0 || strcmp(line, "\n") == 0;
		if (is_blank && size)
			return size <= MESSAGE_MAX ? size : 0;
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			size = strtoul(line + 15, NULL, 10);
	}
	return 0;
}

static json_t *read_message(bool *ret_end)
{
	size_t size = read_header();
	char *text = size ? malloc(size) : NULL;
	*ret_end = !text || fread(text, 1, size, stdin) != size;
	json_t *message = *ret_end ? NULL : json_loadb(text, size, 0, NULL);
	free(text);
	return message;
}

static void send_message(json_t *message)
{
	json_object_set_new(message, "jsonrpc", json_string("2.0"));
	char *text = json_dumps(message, JSON_COMPACT);
	if (text)
		printf("Content-Length: %zu\r\n\r\n%s", strlen(text), text);
	fflush(stdout);
	free(text);
	json_decref(message);
}

static void send_result(const json_t *id, json_t *result)
{
	json_t *copy = json_deep_copy(id);
	send_message(json_pack(
		"{s:o, s:o}", "id", copy ? copy : json_null(), "result", result));
}

static void send_error(const json_t *id, int code, const char *text)
{
	json_t *copy = id ? json_deep_copy(id) : json_null();
	send_message(json_pack("{s:o, s:{s:i, s:s}}", "id", copy, "error", "code", code,
		"message", text));
}

static void send_diagnostics(const char *uri, json_t *diagnostics)
{
	send_message(json_pack("{s:s, s:{s:s, s:o}}", "method",
		"textDocument/publishDiagnostics", "params", "uri", uri, "diagnostics",
		diagnostics));
}

/* ---- requests ----------------------------------------------------------------------------- */

static const char *uri_of(const json_t *params)
{
	return json_string_value(
		json_object_get(json_object_get(params, "textDocument"), "uri"));
}

static json_t *initialize(struct server *server, const json_t *params)
{
	server->is_initialized = true;
	return json_pack("{s:{s:i, s:{s:[s,s,s]}, s:b, s:b, s:b}, s:{s:s}}",
		"capabilities", "textDocumentSync", 2 /* changes */, "completionProvider",
		"triggerCharacters", ".", "@", "$", "hoverProvider", 1,
		"definitionProvider", 1, "documentSymbolProvider", 1, "serverInfo",
		"name", "utrace");
}

static json_t *shut_down(struct server *server, const json_t *params)
{
	server->is_shut_down = true;
	return json_null();
}

typedef json_t *(*place_fn)(const struct lsp_document *document, size_t offset);

static json_t *at_place(struct server *server, const json_t *params, place_fn fn)
{
	const char *uri = uri_of(params);
	const struct lsp_document *d =
		uri ? lsp_document_find(&server->documents, uri) : NULL;
	return d ? fn(d, lsp_document_offset(d, json_object_get(params, "position")))
		 : json_null();
}

static json_t *completion(struct server *server, const json_t *params)
{
	return at_place(server, params, lsp_completion);
}

static json_t *hover(struct server *server, const json_t *params)
{
	return at_place(server, params, lsp_hover);
}

static json_t *definition(struct server *server, const json_t *params)
{
	return at_place(server, params, lsp_definition);
}

static json_t *symbols(struct server *server, const json_t *params)
{
	const char *uri = uri_of(params);
	const struct lsp_document *d =
		uri ? lsp_document_find(&server->documents, uri) : NULL;
	return d ? lsp_symbols(d) : json_array();
}

/* ---- notifications ------------------------------------------------------------------------ */

static void set_document(struct server *server, const char *uri, const char *text)
{
	if (!uri || !text)
		return;
	const struct lsp_document *d = lsp_document_set(&server->documents, uri, text);
	send_diagnostics(uri, lsp_diagnostics(d));
}

static json_t *did_open(struct server *server, const json_t *params)
{
	const json_t *document = json_object_get(params, "textDocument");
	set_document(server, uri_of(params),
		json_string_value(json_object_get(document, "text")));
	return NULL;
}

/* A change without a range is the whole text. */
static void apply_change(struct strbuf *text, const json_t *change)
{
	const char *by = json_string_value(json_object_get(change, "text"));
	const json_t *range = json_object_get(change, "range");
	if (!by)
		return;
	size_t start = 0, end = text->size;
	if (range) {
		start = lsp_text_offset(text->data, json_object_get(range, "start"));
		end = lsp_text_offset(text->data, json_object_get(range, "end"));
	}
	struct strbuf changed;
	strbuf_init(&changed);
	strbuf_append(&changed, text->data, start);
	strbuf_puts(&changed, by);
	strbuf_puts(&changed, text->data + (end < start ? start : end));
	strbuf_deinit(text);
	*text = changed;
}

static json_t *did_change(struct server *server, const json_t *params)
{
	const json_t *changes = json_object_get(params, "contentChanges");
	const char *uri = uri_of(params);
	const struct lsp_document *d =
		uri ? lsp_document_find(&server->documents, uri) : NULL;
	struct strbuf text;
	strbuf_init(&text);
	if (d)
		strbuf_puts(&text, d->text);
	for (size_t i = 0; i < json_array_size(changes); i++)
		apply_change(&text, json_array_get(changes, i));
	if (json_array_size(changes))
		set_document(server, uri, text.data);
	strbuf_deinit(&text);
	return NULL;
}

static json_t *did_close(struct server *server, const json_t *params)
{
	const char *uri = uri_of(params);
	if (!uri)
		return NULL;
	lsp_document_close(&server->documents, uri);
	send_diagnostics(uri, json_array());
	return NULL;
}

static json_t *leave(struct server *server, const json_t *params)
{
	server->is_over = true;
	return NULL;
}

/* ---- dispatch ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	json_t *(*run)(struct server *server, const json_t *params);
	bool is_request;
} methods[] = {
	{"initialize", initialize, true},
	{"shutdown", shut_down, true},
	{"textDocument/completion", completion, true},
	{"textDocument/hover", hover, true},
	{"textDocument/definition", definition, true},
	{"textDocument/documentSymbol", symbols, true},
	{"textDocument/didOpen", did_open, false},
	{"textDocument/didChange", did_change, false},
	{"textDocument/didClose", did_close, false},
	{"exit", leave, false},
};

static void handle(struct server *server, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const char *name = json_string_value(json_object_get(message, "method"));
	if (!name) {
		/* an answer to a request of ours would have an id and no method: there are none */
		if (!id)
			send_error(NULL, INVALID_REQUEST, "no method");
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		if (strcmp(methods[i].name, name) != 0 ||
			methods[i].is_request != (id != NULL))
			continue;
		if (id && server->is_shut_down) {
			send_error(id, INVALID_REQUEST, "the server is shut down");
			return;
		}
		if (id && !server->is_initialized && methods[i].run != initialize) {
			send_error(id, NOT_INITIALIZED, "initialize comes first");
			return;
		}
		json_t *result =
			methods[i].run(server, json_object_get(message, "params"));
		if (id)
			send_result(id, result);
		return;
	}
	if (id) /* notifications that nobody knows are no error */
		send_error(id, METHOD_NOT_FOUND, name);
}

int lsp_serve(const struct session_options *options)
{
	struct server server = {.documents = {.options = options}};
	bool end = false;
	while (!server.is_over) {
		json_t *message = read_message(&end);
		if (end)
			break;
		if (message)
			handle(&server, message);
		else
			send_error(NULL, PARSE_ERROR, "this is not JSON");
		json_decref(message);
	}
	lsp_documents_free(&server.documents);
	return server.is_over && server.is_shut_down ? 0 : 1;
}
