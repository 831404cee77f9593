/* SPDX-License-Identifier: MIT */
/* Names of numbers, against the system's own headers. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fixture.h"

static struct fixture f;
static char dst[4096];

enum {
	SYSCALLS,
	SIGNALS,
	PROTOCOLS,
	FAMILIES,
	TYPES,
	STATES,
	LIMITS
};

static const struct {
	int64_t table, number;
	const char *name;
} cases[] = {
	{SYSCALLS, SYS_read, "read"},
	{SYSCALLS, SYS_openat, "openat"},
	{SYSCALLS, SYS_rt_sigqueueinfo, "rt_sigqueueinfo"},
	{SYSCALLS, SYS_clone3, "clone3"},
	{SIGNALS, SIGHUP, "HUP"},
	{SIGNALS, SIGSYS, "SYS"},
	{SIGNALS, 34, "RTMIN+2"},
	{SIGNALS, 64, "RTMIN+32"},
	{PROTOCOLS, 6, "TCP"},
	{PROTOCOLS, 17, "UDP"},
	{FAMILIES, AF_UNIX, "LOCAL"},
	{FAMILIES, AF_INET6, "INET6"},
	{TYPES, SOCK_STREAM, "STREAM"},
	{TYPES, SOCK_SEQPACKET, "SEQPACKET"},
	{STATES, 3, "CONNECTED"},
	{LIMITS, RLIMIT_NOFILE, "RLIMIT_NOFILE"},
	{LIMITS, RLIMIT_RTTIME, "RLIMIT_RTTIME"},
};

static const struct {
	int64_t table, number;
} unknown[] = {{SYSCALLS, -1}, {SYSCALLS, 100000}, {SYSCALLS, 400}, {SIGNALS, 0},
	{SIGNALS, 65}, {FAMILIES, 21}, {99, 1}, {-1, 1}, {SYSCALLS, INT64_MIN}};

static void test_errno(void)
{
	static const struct {
		int64_t number, value;
	} numbers[] = {{2, 2}, {-2, 2}, {EHWPOISON, EHWPOISON}, {0, 0}, {41, 0},
		{-4096, 0}, {INT64_MIN, 0}, {INT64_MAX, 0}};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		tap_is_long(rt_fn_errno_p(f.c, numbers[i].number), numbers[i].value,
			"errno_p");
}

int main(void)
{
	fixture_init(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rt_fn_name_of(f.c, dst, cases[i].table, cases[i].number);
		tap_is_string(dst, cases[i].name, "name of a number");
		tap_is_long(rt_fn_number_of(f.c, cases[i].table, cases[i].name),
			cases[i].number, "number of a name");
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		rt_fn_name_of(f.c, dst, unknown[i].table, unknown[i].number);
		tap_is_string(dst, "", "no such number");
	}
	tap_is_long(rt_fn_number_of(f.c, SYSCALLS, "frobnicate"), -1, "no such name");
	tap_is_long(rt_fn_number_of(f.c, SYSCALLS, ""), -1, "the empty name");
	test_errno();
	return tap_done();
}
