/* SPDX-License-Identifier: MIT */
/* Answers about a document; all return new references, never NULL. */
#pragma once

#include "lsp/document.h"

json_t *lsp_diagnostics(const struct lsp_document *document);
json_t *lsp_completion(const struct lsp_document *document, size_t offset);
json_t *lsp_hover(const struct lsp_document *document, size_t offset);
json_t *lsp_definition(const struct lsp_document *document, size_t offset);
json_t *lsp_symbols(const struct lsp_document *document);
