/* SPDX-License-Identifier: MIT */
/*
 * An open script: its text as the client has it, and what the front end makes of it.
 * Positions of the protocol count lines from 0 and UTF-16 code units in a line; tokens count lines and
 * bytes from 1.
 */
#pragma once

#include <jansson.h>

#include "session/analysis.h"

struct lsp_document {
	char *uri, *path; /* path: as messages show it */
	char *text;
	struct session_analysis *analysis;
	const struct session_options *options; /* borrowed */
	struct lsp_document *next;
};

struct lsp_documents {
	const struct session_options *options;
	struct lsp_document *first;
};

struct lsp_document *lsp_document_find(struct lsp_documents *documents, const char *uri);
/** open or change a document, and analyse it */
struct lsp_document *lsp_document_set(
	struct lsp_documents *documents, const char *uri, const char *text);
void lsp_document_close(struct lsp_documents *documents, const char *uri);
void lsp_documents_free(struct lsp_documents *documents);

/** lsp_document_offset() - of a position; positions past the end are at the end */
size_t lsp_document_offset(const struct lsp_document *document, const json_t *position);
size_t lsp_text_offset(const char *text, const json_t *position);
/** lsp_token_range() - new reference */
json_t *lsp_token_range(const struct stap_token *token);
/** lsp_path_uri() - new reference: "file://..." */
json_t *lsp_path_uri(const char *path);
/** lsp_document_word() - identifier around an offset; false: none */
bool lsp_document_word(
	const struct lsp_document *document, size_t offset, char *ret, size_t size);
