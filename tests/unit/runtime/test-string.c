/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fixture.h"

static struct fixture f;

enum {
	ROOM = 4096
};
static char dst[ROOM];

static const struct {
	const char *s;
	int64_t start, length;
	const char *expected;
} substrs[] = {
	{"hello", 0, 5, "hello"},
	{"hello", 1, 3, "ell"},
	{"hello", 4, 10, "o"},
	{"hello", 5, 1, ""},
	{"hello", -1, 2, ""},
	{"hello", 2, 0, ""},
	{"hello", 2, -3, ""},
	{"hello", 0, INT64_MAX, "hello"},
	{"", 0, 1, ""},
	{"hello", INT64_MIN, INT64_MAX, ""},
};

static const struct {
	const char *s;
	int64_t base, expected;
} strtols[] = {
	{"0", 10, 0},
	{"42", 10, 42},
	{"-42", 10, -42},
	{"42abc", 10, 42},
	{"abc", 10, 0},
	{"0x1f", 16, 31},
	{"1f", 16, 31},
	{"0x1f", 0, 31},
	{"017", 0, 15},
	{"17", 0, 17},
	{"0xg", 0, 0},
	{"101", 2, 5},
	{"zz", 36, 1295},
	{"777", 8, 511},
	{"", 10, 0},
	{"-9223372036854775808", 10, INT64_MIN},
	{"12", 99, 0},
	{"12", -1, 0},
	{"0X2A", 16, 42},
	{" 1", 10, 0},
};

static const struct {
	const char *s, *from, *to, *expected;
} replaces[] = {
	{"banana", "an", "AN", "bANANa"},
	{"banana", "x", "y", "banana"},
	{"aaa", "a", "", ""},
	{"aaa", "", "x", "aaa"},
	{"abc", "abc", "", ""},
	{"aXbX", "X", "--", "a--b--"},
	{"", "a", "b", ""},
	{"aaaa", "aa", "b", "bb"},
};

static const struct {
	const char *s, *what;
	int64_t position;
} finds[] = {
	{"hello", "l", 2},
	{"hello", "lo", 3},
	{"hello", "", 0},
	{"hello", "x", -1},
	{"", "", 0},
	{"", "x", -1},
	{"aab", "ab", 1},
};

static const struct {
	const char *s;
	int64_t length, quoted;
	const char *expected;
} quotes[] = {
	{"plain", 0, 0, "plain"},
	{"a\nb\t\"\\", 0, 0, "a\\nb\\t\\\"\\\\"},
	{"\a\b\f\r\v", 0, 0, "\\a\\b\\f\\r\\v"},
	{"\x01\x7f\x80", 0, 0, "\\001\\177\\200"},
	{"\xce\x91", 0, 0, "\\u0391"},
	{"\xf0\x9f\x98\x80", 0, 0, "\\U0001F600"},
	{"\xc0\x80", 0, 0, "\\300\\200"},          /* overlong */
	{"\xed\xa0\x80", 0, 0, "\\355\\240\\200"}, /* surrogate */
	{"plain", 0, 1, "\"plain\""},
	{"'q'", 0, 1, "\"'q'\""},
	{"", 0, 1, "\"\""},
	{"abcdefghij", 8, 1, "\"abc\"..."},
	{"abcdef", 8, 1, "\"abcdef\""},
	{"abcdefghij", 4, 0, "abcd"},
	{"ab\n\n\n\n", 8, 1, "\"ab\"..."}, /* no half escape */
	{"a\n\n\n\n", 8, 1, "\"a\\n\"..."},
	{"abcdefghij", 1, 1, "\"\"..."},
};

static const struct {
	int64_t seconds;
	const char *expected;
} times[] = {
	{0, "Thu Jan  1 00:00:00 1970"},
	{741476948, "Wed Jun 30 21:49:08 1993"},
	{-2147483648LL, "Fri Dec 13 20:45:52 1901"},
	{2147483647, "Tue Jan 19 03:14:07 2038"},
	{951782400, "Tue Feb 29 00:00:00 2000"},
	{-1, "Wed Dec 31 23:59:59 1969"},
	{68169600, "Tue Feb 29 00:00:00 1972"},
	{1672531199, "Sat Dec 31 23:59:59 2022"},
};

static void test_tables(void)
{
	for (size_t i = 0; i < sizeof(substrs) / sizeof(*substrs); i++) {
		rt_fn_substr(f.c, dst, substrs[i].s, substrs[i].start, substrs[i].length);
		tap_is_string(dst, substrs[i].expected, "substr");
	}
	for (size_t i = 0; i < sizeof(strtols) / sizeof(*strtols); i++)
		tap_is_long(rt_fn_strtol(f.c, strtols[i].s, strtols[i].base),
			strtols[i].expected, strtols[i].s);
	for (size_t i = 0; i < sizeof(replaces) / sizeof(*replaces); i++) {
		rt_fn_str_replace(
			f.c, dst, replaces[i].s, replaces[i].from, replaces[i].to);
		tap_is_string(dst, replaces[i].expected, "str_replace");
	}
	for (size_t i = 0; i < sizeof(finds) / sizeof(*finds); i++) {
		tap_is_long(rt_fn_strpos(f.c, finds[i].s, finds[i].what),
			finds[i].position, "strpos");
		tap_is_long(rt_fn_isinstr(f.c, finds[i].s, finds[i].what),
			finds[i].position >= 0, "isinstr");
	}
	for (size_t i = 0; i < sizeof(quotes) / sizeof(*quotes); i++) {
		rt_fn_text_strn(
			f.c, dst, quotes[i].s, quotes[i].length, quotes[i].quoted);
		tap_is_string(dst, quotes[i].expected, "text_strn");
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		rt_fn_ctime(f.c, dst, times[i].seconds);
		tap_is_string(dst, times[i].expected, "ctime");
	}
}

static void expect_error(const char *text)
{
	tap_is_long(f.c->error, 1, "sets an error");
	tap_is_string(f.c->error_text, text, "error text");
	f.c->error = 0;
}

static void test_errors(void)
{
	tap_is_long(rt_fn_stringat(f.c, "abc", 1), 'b', "stringat");
	tap_is_long(rt_fn_stringat(f.c, "abc", 3), 0, "stringat at the end");
	expect_error("Position out of bounds");
	rt_fn_stringat(f.c, "abc", -1);
	expect_error("Position out of bounds");
	rt_fn_ctime(f.c, dst, 1ll << 40);
	expect_error("Time too far in the future to be converted");
	rt_fn_ctime(f.c, dst, -(1ll << 40));
	expect_error("Time too far in the past to be converted");
	rt_fn_randint(f.c, (1 << 20) + 1);
	expect_error("range too wide");
	rt_fn_assert(f.c, 0);
	expect_error("Assertion failed");
	rt_fn_assert_text(f.c, 0, "mine");
	rt_fn_error(f.c, "second");
	expect_error("mine");
	rt_fn_user_string(f.c, dst, 0x1234);
	expect_error("user string copy fault -14 at 0x1234 [man error::fault]");
	tap_is_string(dst, "", "nothing read");
	rt_user_read(f.c, 0xabc, 8);
	expect_error("read fault [man error::fault] at 0xabc");
	rt_fn_register(f.c, "rax");
	expect_error("No registers available in this context");
	rt_fn_int_arg(f.c, 1);
	expect_error("cannot access function args in this context");
	f.c->site = 1;
	rt_fn_returnval(f.c);
	expect_error(
		"returnval() not defined in this context process(\"x\").function(\"main@x.c:1\")");
}

static void test_tokenize(void)
{
	static const char *const expected[] = {"one", "two", "three", "", ""};
	rt_fn_tokenize(f.c, dst, ",one,,two three", ", ");
	for (size_t i = 0; i < 5; i++) {
		tap_is_string(dst, expected[i], "tokenize");
		if (i % 2)
			rt_fn_tokenize_next(f.c, dst, ", ");
		else
			rt_fn_tokenize(f.c, dst, "", ", ");
	}
	rt_fn_tokenize(f.c, dst, "a|b|c", "|");
	rt_fn_tokenize_next(f.c, dst, ",");
	tap_is_string(dst, "|b|c", "other delimiters for the rest");
}

/* A string that ends at the last byte before an unmapped page, at each offset. */
static char *page_end(size_t length)
{
	static char *pages;
	if (!pages) {
		pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(pages + 4096, 4096, PROT_NONE);
	}
	char *s = pages + 4096 - length - 1;
	memset(s, 'x', length);
	s[length] = '\0';
	return s;
}

static void test_limits(void)
{
	char longer[700], expected[700];
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(expected, 'y', 511);
	expected[511] = '\0';
	memset(dst, 'Z', ROOM);
	rt_string_copy(f.c, dst, longer);
	tap_is_string(dst, expected, "copy cuts at max_string - 1");
	tap_is_long(dst[512], 'Z', "nothing written after it");
	rt_string_copy(f.c, dst, "ab");
	rt_string_append(f.c, dst, dst);
	tap_is_string(dst, "abab", "append to itself");
	rt_string_concat(f.c, dst, "x", longer);
	tap_is_long((long long)strlen(dst), 511, "concat cuts");
	rt_string_append(f.c, dst, "more");
	tap_is_long((long long)strlen(dst), 511, "append to a full string");
	rt_fn_text_str(f.c, dst, longer);
	tap_is_string(dst, expected, "text_str cuts");
	rt_fn_string_quoted(f.c, dst, expected);
	tap_is_long((long long)strlen(dst), 511, "string_quoted of a full string");
	tap_is_string(dst + 506, "y\"...", "ends in dots");
	rt_fn_str_replace(f.c, dst, longer, "y", "zz");
	tap_is_long((long long)strlen(dst), 511, "str_replace cuts");

	bool good = true;
	for (size_t n = 0; n < 40; n++) {
		char *s = page_end(n);
		rt_string_copy(f.c, dst, s);
		good = good && strlen(dst) == n && rt_fn_strlen(f.c, s) == (int64_t)n;
		good = good && rt_record_string_size(s) == ((n + 4 + 7) & ~7u);
		rt_record_string(dst, s);
	}
	tap_ok(good, "strings at the end of mapped memory");
	tap_ok(rt_string_compare("a", "b") < 0 && rt_string_compare("b", "a") > 0 &&
			rt_string_compare("a\xff", "a\x01") > 0 &&
			rt_string_compare("", "") == 0 &&
			rt_string_compare("a", "ab") < 0,
		"compare as strcmp");
}

static void test_process(void)
{
	char name[16];
	prctl(PR_GET_NAME, name);
	rt_enter(f.c, NULL, 0x7000, 0x4000, 1);
	rt_fn_execname(f.c, dst);
	tap_is_string(dst, name, "execname is the thread's own");
	tap_is_long(rt_fn_ppid(f.c), getppid(), "ppid");
	tap_is_long(rt_fn_euid(f.c), geteuid(), "euid");
	tap_is_long(rt_fn_pgrp(f.c), getpgrp(), "pgrp");
	tap_is_long(rt_fn_sid(f.c), getsid(0), "sid");
	tap_ok(rt_fn_task_utime(f.c) + rt_fn_task_stime(f.c) > 0, "time of the thread");
	f.session->flags |= ABI_FLAG_NO_SYSCALLS;
	strcpy(f.c->comm, "worker");
	f.c->ppid = 99;
	tap_is_long(rt_fn_ppid(f.c), 99, "ppid without a system call");
	tap_is_long(rt_fn_pid(f.c), 100, "pid");
	tap_is_long(rt_fn_tid(f.c), 101, "tid");
	tap_is_long(rt_fn_target(f.c), 77, "target");
	rt_fn_pp(f.c, dst);
	tap_is_string(dst, "process(\"x\").function(\"main@x.c:1\")", "pp");
	rt_fn_pn(f.c, dst);
	tap_is_string(dst, "alias", "pn");
	rt_fn_ppfunc(f.c, dst);
	tap_is_string(dst, "main", "ppfunc");
	rt_fn_execname(f.c, dst);
	tap_is_string(dst, "worker", "execname");
	rt_fn_errno_str(f.c, dst, -ENOENT);
	tap_is_string(dst, "ENOENT", "errno_str of a negative number");
	rt_fn_errno_str(f.c, dst, EHWPOISON);
	tap_is_string(dst, "EHWPOISON", "errno_str of the last");
	rt_fn_errno_str(f.c, dst, 41);
	tap_is_string(dst, "", "errno_str of none");
	rt_fn_errno_str(f.c, dst, INT64_MIN);
	tap_is_string(dst, "", "errno_str of nonsense");
	rt_fn_msecs_to_string(f.c, dst, 61000);
	tap_is_string(dst, "1m1.000s", "msecs_to_string");
	rt_fn_usecs_to_string(f.c, dst, 1234567);
	tap_is_string(dst, "0m1.234567s", "usecs_to_string");
	rt_fn_nsecs_to_string(f.c, dst, 5);
	tap_is_string(dst, "0m0.000000005s", "nsecs_to_string");
	bool in_range = true;
	for (int i = 0; i < 1000; i++) {
		int64_t x = rt_fn_randint(f.c, 10);
		in_range = in_range && x >= 0 && x < 10;
	}
	tap_ok(in_range, "randint in its range");
	tap_is_long(rt_fn_randint(f.c, 0), 0, "randint of 0");
	rt_fn_thread_indent(f.c, dst, 1000, 1);
	tap_is_string(dst, "     0 worker(101):", "thread_indent, outermost");
	rt_fn_thread_indent(f.c, dst, 1012, 1);
	tap_is_string(dst, "    12 worker(101): ", "thread_indent, inner");
	rt_fn_thread_indent(f.c, dst, 1500, -1);
	tap_is_string(dst, "   500 worker(101): ", "thread_indent, leaving inner");
	rt_fn_thread_indent(f.c, dst, 124456, -1);
	tap_is_string(dst, "123456 worker(101):", "thread_indent, leaving outermost");
	tap_is_long(rt_fn_thread_indent_depth(f.c, 1), 0, "thread_indent_depth");
	tap_is_long(rt_fn_thread_indent_depth(f.c, 1), 1, "thread_indent_depth, inner");
	tap_is_long(rt_fn_thread_indent_depth(f.c, -1), 1, "... leaving");
	tap_is_long(rt_fn_thread_indent_depth(f.c, -1), 0, "... and leaving");
	f.sites[1].pn = 43;
	rt_fn_pnlabel(f.c, dst);
	tap_is_string(dst, "", "pnlabel of a name without label");
	f.sites[1].flags |= ABI_SITE_TYPE_UPROBE << ABI_SITE_TYPE_SHIFT;
	rt_fn_probe_type(f.c, dst);
	tap_is_string(dst, "uprobe", "probe_type");
	f.session->flags &= ~(uint32_t)ABI_FLAG_NO_SYSCALLS;
	rt_leave(f.c);
}

static void test_registers(void)
{
	struct abi_regs regs = {.rdi = 1,
		.rsi = 2,
		.rdx = 3,
		.rcx = 4,
		.r8 = 5,
		.r9 = 6,
		.rax = 0xffffffff80f1a2b3u,
		.r15 = 15,
		.rbx = 0x1234,
		.flags = 0x9401}; /* as lahf and seto leave them */
	static const struct {
		const char *name;
		int64_t value, unsigned_value;
	} cases[] = {
		{"rax", (int64_t)0xffffffff80f1a2b3u, (int64_t)0xffffffff80f1a2b3u},
		{"eax", (int32_t)0x80f1a2b3u, 0x80f1a2b3u},
		{"ax", (int16_t)0xa2b3, 0xa2b3},
		{"al", (int8_t)0xb3, 0xb3},
		{"ah", (int8_t)0xa2, 0xa2},
		{"rdi", 1, 1},
		{"r9", 6, 6},
		{"r15", 15, 15},
		{"bx", 0x1234, 0x1234},
		{"rsp", 0x7000, 0x7000},
		{"rip", 0x4000, 0x4000},
		{"eflags", 0xa96, 0xa96},
		{"flags", 0xa96, 0xa96},
		{"xcs", 0x33, 0x33},
		{"orig_rax", -1, -1},
		{"orig_eax", -1, 0xffffffff},
	};
	rt_enter(f.c, &regs, 0x7000, 0x4000, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tap_is_long(rt_fn_register(f.c, cases[i].name), cases[i].value,
			cases[i].name);
		tap_is_long(rt_fn_u_register(f.c, cases[i].name), cases[i].unsigned_value,
			"unsigned");
	}
	for (int n = 1; n <= 6; n++)
		tap_is_long(rt_fn_long_arg(f.c, n), n, "argument");
	rt_fn_register(f.c, "xyz");
	expect_error("Unknown register: xyz");
	rt_fn_int_arg(f.c, 0);
	expect_error("cannot access arg(0)");
	rt_fn_int_arg(f.c, 7);
	expect_error(
		"cannot access arg(7)"); /* no memory to read in the tracer's library */
	tap_is_long(rt_fn_is_return(f.c), 0, "not a return probe");
	rt_leave(f.c);
	rt_enter(f.c, &regs, 0x7000, 0x4000, 2);
	tap_is_long(rt_fn_returnval(f.c), (int64_t)regs.rax, "returnval");
	tap_is_long(rt_fn_is_return(f.c), 1, "a return probe");
	rt_leave(f.c);
}

int main(void)
{
	fixture_init(&f);
	test_tables();
	test_errors();
	test_tokenize();
	test_limits();
	test_process();
	test_registers();
	return tap_done();
}
