/* SPDX-License-Identifier: MIT */
/* utrace lsp: the Language Server Protocol over standard input and output. */
#pragma once

#include "session/options.h"

/** lsp_serve() - until the client says goodbye; Return: exit status */
int lsp_serve(const struct session_options *options);
