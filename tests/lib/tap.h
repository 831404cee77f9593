/* SPDX-License-Identifier: MIT */
/* TAP output for unit tests: one `ok` line per table row. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused)) static bool tap_ok(
	bool ok, const char *fmt, ...)
{
	__builtin_va_list ap;
	printf("%sok %d - ", ok ? "" : "not ", ++tap_count);
	__builtin_va_start(ap, fmt);
	vprintf(fmt, ap);
	__builtin_va_end(ap);
	putchar('\n');
	fflush(stdout);
	if (!ok)
		tap_failed++;
	return ok;
}

__attribute__((unused)) static bool tap_is_string(
	const char *got, const char *want, const char *name)
{
	bool ok = got && want ? strcmp(got, want) == 0 : got == want;
	tap_ok(ok, "%s", name);
	if (!ok)
		printf("# got:  %s\n# want: %s\n", got ? got : "(null)",
			want ? want : "(null)");
	return ok;
}

__attribute__((unused)) static bool tap_is_long(
	long long got, long long want, const char *name)
{
	bool ok = got == want;
	tap_ok(ok, "%s", name);
	if (!ok)
		printf("# got:  %lld\n# want: %lld\n", got, want);
	return ok;
}

__attribute__((format(printf, 1, 2), unused)) static void tap_skip(const char *fmt, ...)
{
	__builtin_va_list ap;
	printf("ok %d # SKIP ", ++tap_count);
	__builtin_va_start(ap, fmt);
	vprintf(fmt, ap);
	__builtin_va_end(ap);
	putchar('\n');
}

__attribute__((unused)) static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}
