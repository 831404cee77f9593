/* SPDX-License-Identifier: MIT */
/*
 * Errors that can reach a user travel as a negative errno plus the text that was known
 * where it happened.  The caller owns the struct; it may pass NULL when it does not care
 * for the words.
 */
#pragma once

#include <stdarg.h>

#define must_check                    __attribute__((warn_unused_result))
#define printf_like(fmt_index, first) __attribute__((format(printf, fmt_index, first)))

/* struct error: the library's interface calls it struct utrace_error. */
#define utrace_error error
#include <utrace/error.h>

/**
 * error_set() - record a failure
 * @err:  may be NULL
 * @code: negative errno; returned unchanged so that callers can `return error_set(...)`
 */
int error_set(struct error *err, int code, const char *fmt, ...) printf_like(3, 4);

/** error_hint() - add what would help; replaces an earlier hint */
void error_hint(struct error *err, const char *fmt, ...) printf_like(2, 3);

/** error_prefix() - put the context in front of the message: "PREFIX: old message" */
void error_prefix(struct error *err, const char *fmt, ...) printf_like(2, 3);
