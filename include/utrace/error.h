/* SPDX-License-Identifier: MIT */
/* What went wrong, in words: part of libutrace's interface. */
#pragma once

/**
 * struct utrace_error - filled in by the function that failed
 * The caller owns it and may pass NULL instead.  It holds no resources.
 */
struct utrace_error {
	int code;          /* negative errno; 0: nothing failed */
	char message[512]; /* "cannot trace 4711: already traced by process 12 (gdb)" */
	char hint[320];    /* what would help; empty when nothing is known */
};
