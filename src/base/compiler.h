/* SPDX-License-Identifier: MIT */
/*
 * The machine's C compiler, for the few things that only it can do: C that a script brings along, types
 * that are declared in a header.  Objects are kept in the user's cache directory, beside their source.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"

struct compiler_request {
	const char *what;         /* for messages, "embedded C" */
	const char *source;       /* NUL-terminated */
	const char *const *flags; /* NULL at the end */
	bool is_linked;           /* a shared object instead */
};

struct compiler_object {
	char *path;
	bool is_temporary; /* there was no place to keep it */
};

/**
 * compiler_run() - an object file of C text, new or from the cache
 * @ret: compiler_object_close() it
 * @messages: what the compiler said; untouched when it said nothing
 * Return: 0; -ENOENT: there is no compiler; -EINVAL: it refuses the text, @err has its first error
 */
must_check int compiler_run(const struct compiler_request *request,
	struct compiler_object *ret, struct strbuf *messages, struct error *err);
void compiler_object_close(struct compiler_object *object);
