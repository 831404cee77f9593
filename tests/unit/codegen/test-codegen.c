/* SPDX-License-Identifier: MIT */
/* Scripts compiled to machine code and run; what they print is compared. */
#include "harness.h"
#include "tap.h"

struct row {
	const char *name, *script, *output;
	struct codegen_options options;
};

/* ---- handlers of the tracer ------------------------------------------------------------------- */

#define BEGIN(text) "probe begin {\n" text "\n}"

static const struct row expressions[] = {
	{"arithmetic",
		BEGIN("a = 7; b = -2; printf(\"%d %d %d %d %d\\n\", a + b, a - b, a * b, a / b, a % b)"),
		"5 9 -14 -3 1\n", {0}},
	{"wraps at 64 bits",
		BEGIN("a = 9223372036854775807; printf(\"%d %d\\n\", a + 1, a * 2)"),
		"-9223372036854775808 -2\n", {0}},
	{"smallest number by -1",
		BEGIN("a = 9223372036854775807 + 1; b = -1; printf(\"%d %d\\n\", a / b, a % b)"),
		"-9223372036854775808 0\n", {0}},
	{"division by 0",
		BEGIN("a = 1; b = 0; printf(\"x\\n\"); printf(\"%d\\n\", a / b); printf(\"y\\n\")"),
		"x\nERROR: division by 0 at 2:47\n", {0}},
	{"rest by 0", BEGIN("a = 1; b = 0; println(a % b)"),
		"ERROR: division by 0 at 2:25\n", {0}},
	{"bits",
		BEGIN("a = 12; b = 10; printf(\"%d %d %d %d\\n\", a & b, a | b, a ^ b, ~a)"),
		"8 14 6 -13\n", {0}},
	{"shifts",
		BEGIN("a = -16; b = 2; c = 65; printf(\"%d %d %x %d\\n\", a << b, a >> b, a >>> b, a << c)"),
		"-64 -4 3ffffffffffffffc -32\n", {0}},
	{"comparisons",
		BEGIN("a = 1; b = 2; printf(\"%d%d%d%d%d%d\\n\", a < b, a <= b, a > b, a >= b, a == b, a != b)"),
		"110001\n", {0}},
	{"logical",
		BEGIN("a = 5; b = 0; printf(\"%d%d%d%d %d\\n\", a && a, a && b, b || a, b || b, !a)"),
		"1010 0\n", {0}},
	{"short circuit",
		BEGIN("a = 0; b = a && a++; b = !a || a++; printf(\"%d\\n\", a)"), "0\n",
		{0}},
	{"ternary",
		BEGIN("a = 3; printf(\"%d %s\\n\", a > 2 ? 10 : 20, a > 5 ? \"big\" : \"small\")"),
		"10 small\n", {0}},
	{"unary", BEGIN("a = 3; printf(\"%d %d %d\\n\", -a, +a, !a)"), "-3 3 0\n", {0}},
	{"increments",
		BEGIN("a = 3; b = a++; c = ++a; d = a--; e = --a; printf(\"%d %d %d %d %d\\n\", a, b, c, d, e)"),
		"3 3 5 5 3\n", {0}},
	{"compound assignment",
		BEGIN("a = 5; a += 3; a -= 1; a *= 6; a /= 4; a %= 7; a <<= 4; a >>= 1; a |= 3; a &= 30; a ^= 5\n"
		      "printf(\"%d\\n\", a)"),
		"31\n", {0}},
	{"assignment has a value", BEGIN("a = (b = 4) + 1; printf(\"%d %d\\n\", a, b)"),
		"5 4\n", {0}},
	{"concatenation",
		BEGIN("s = \"a\" . \"b\"; t = s . s . \"c\"; t .= s; t .= t; printf(\"%s\\n\", t)"),
		"ababcabababcab\n", {0}},
	{"string comparisons",
		BEGIN("a = \"abc\"; b = \"abd\"; printf(\"%d%d%d%d\\n\", a < b, a == b, a != b, a >= b)"),
		"1010\n", {0}},
	{"operands are not changed by later ones",
		BEGIN("s = \"old\"; printf(\"%s %s %s\\n\", s, (s = \"new\"), s)"),
		"old new new\n", {0}},
	{"long strings are cut",
		BEGIN("s = \"0123456789\"; s .= s; s .= s; s .= s; printf(\"%d %s\\n\", strlen(s), s)"),
		"63 012345678901234567890123456789012345678901234567890123456789012\n",
		{.max_string = 64}},
	{"long literals are cut",
		BEGIN("printf(\"%d\\n\", strlen(\"0123456789abcdefg\"))"), "15\n",
		{.max_string = 16}},
	{"variables start empty",
		BEGIN("if (0) { s = \"x\"; n = 1 } printf(\"[%s] %d\\n\", s, n)"),
		"[] 0\n", {0}},
	{"intrinsics",
		BEGIN("printf(\"%d %s %d\\n\", strlen(\"four\"), substr(\"abcdef\", 1, 3), isinstr(\"xyz\", \"y\"))"),
		"4 bcd 1\n", {0}},
	{"context",
		BEGIN("printf(\"%d %d %d\\n\", strlen(execname()) > 0, pid(), tid())"),
		"1 100 100\n", {0}},
	{"sprint",
		BEGIN("s = sprintf(\"%05d|%-4s|%x\", 42, \"ab\", 255); t = sprint(1, \"a\", 2); u = sprintd(\",\", 1, 2)\n"
		      "println(s, \" \", t, \" \", u)"),
		"00042|ab  |ff 1a2 1,2\n", {0}},
	{"print family",
		BEGIN("print(1, \"a\"); println(2); printd(\"-\", 3, \"b\"); printdln(\":\", 4, 5); print_char(65); println()"),
		"1a2\n3-b4:5\nA\n", {0}},
	{"dynamic width",
		BEGIN("printf(\"[%*d][%-*s][%.*s]\\n\", 5, 42, 4, \"x\", 2, \"abc\")"),
		"[   42][x   ][ab]\n", {0}},
	{"percent", BEGIN("printf(\"100%%\\n\")"), "100%\n", {0}},
};

static const struct row statements[] = {
	{"if else",
		BEGIN("for (i = 0; i < 3; i++) if (i == 0) println(\"zero\"); else if (i == 1) println(\"one\"); else println(\"more\")"),
		"zero\none\nmore\n", {0}},
	{"while, break, continue",
		BEGIN("while (1) { i++; if (i == 2) continue; if (i > 4) break; printf(\"%d \", i) }"),
		"1 3 4 ", {0}},
	{"nested loops",
		BEGIN("for (i = 0; i < 3; i++) { for (j = 0; j < 3; j++) { if (j == 1) break; printf(\"%d%d \", i, j) } }"),
		"00 10 20 ", {0}},
	{"continue runs the step",
		BEGIN("for (i = 0; i < 4; i++) { if (i & 1) continue; printf(\"%d \", i) }"),
		"0 2 ", {0}},
	{"next leaves the handler", BEGIN("println(\"a\"); next; println(\"b\")"), "a\n",
		{0}},
	{"try catches",
		BEGIN("try { println(\"in\"); println(1 / zero); println(\"not\") } catch (e) { println(\"caught \", e) } println(\"after\")"),
		"in\ncaught division by 0\nafter\n", {0}},
	{"try without a variable",
		BEGIN("try { error(\"boom\") } catch { println(\"caught\") }"),
		"caught\n", {0}},
	{"nested try",
		BEGIN("try { try { error(\"one\") } catch (e) { println(e); error(\"two\") } } catch (e) { println(e) }"),
		"one\ntwo\n", {0}},
	{"uncaught error ends the handler",
		BEGIN("println(\"a\"); error(\"boom\"); println(\"b\")"),
		"a\nERROR: boom at 2:15\n", {0}},
	{"variables keep values through a catch",
		BEGIN("a = 1; try { a = 2; println(1 / zero); a = 3 } catch { } printf(\"%d\\n\", a)"),
		"2\n", {0}},
	{"runaway loop", BEGIN("while (1) i++"), "ERROR: MAXACTION exceeded at 2:11\n",
		{0}},
	{"MAXACTION cannot be caught",
		BEGIN("try { while (1) { i++ } } catch { println(\"caught\") }"),
		"ERROR: MAXACTION exceeded at 2:19\n", {0}},
	{"long straight code is charged",
		BEGIN("i++; i++; i++; i++; i++; i++; println(\"never\")"),
		"ERROR: MAXACTION exceeded at 2:1\n",
		{.max_action = 5, .max_action_interruptible = 6}},
	{"just enough actions", BEGIN("i++; i++; i++; i++; i++; i++; println(\"seven\")"),
		"seven\n", {.max_action = 5, .max_action_interruptible = 7}},
	{"no time limits", BEGIN("for (i = 0; i < 100000; i++) j++; println(j)"),
		"100000\n", {.suppress_time_limits = true}},
	{"abort cannot be caught",
		BEGIN("try { println(\"a\"); abort() } catch { println(\"b\") } println(\"c\")"),
		"a\n", {0}},
	{"exit goes on", BEGIN("exit(); println(\"still\")"), "still\n", {0}},
	{"probe condition",
		"global on = 1\nprobe begin if (on) { println(\"yes\") }\nprobe begin if (!on) { println(\"no\") }",
		NULL, {0}},
	{"globals have initial values",
		"global n = 5, s = \"text\"\n" BEGIN("printf(\"%d %s\\n\", n, s)"),
		"5 text\n", {0}},
	{"globals live between probes",
		"global n, s\nprobe begin { n = 3; s = \"kept\" }\nprobe end { printf(\"%d %s\\n\", n, s) }",
		"3 kept\n", {0}},
	{"delete resets scalars",
		"global n = 5, s = \"text\"\n" BEGIN(
			"delete n; delete s; printf(\"%d [%s]\\n\", n, s)"),
		"0 []\n", {0}},
};

static const struct row arrays[] = {
	{"elements",
		"global a\n" BEGIN(
			"a[1] = 10; a[2] = 20; a[1] += 5; a[3]++; printf(\"%d %d %d %d\\n\", a[1], a[2], a[3], a[4])"),
		"15 20 1 0\n", {0}},
	{"reading creates nothing",
		"global a\n" BEGIN(
			"a[1] = 1; x = a[2]; printf(\"%d %d %d\\n\", x, 2 in a, 1 in a)"),
		"0 0 1\n", {0}},
	{"string keys",
		"global a\n" BEGIN(
			"a[\"x\"] = 1; a[\"y\"] = 2; s = \"x\"; printf(\"%d %d %d\\n\", a[s], a[\"y\"], a[\"z\"])"),
		"1 2 0\n", {0}},
	{"string values",
		"global a\n" BEGIN(
			"a[1] = \"one\"; a[1] .= \"!\"; a[2] .= a[1]; a[2] .= a[2]; printf(\"%s %s [%s]\\n\", a[1], a[2], a[3])"),
		"one! one!one! []\n", {0}},
	{"several keys",
		"global a\n" BEGIN(
			"a[1, \"x\", 2] = 7; printf(\"%d %d %d\\n\", a[1, \"x\", 2], a[1, \"y\", 2], [1, \"x\", 2] in a)"),
		"7 0 1\n", {0}},
	{"keys of keys",
		"global a, b\n" BEGIN(
			"b[1] = 5; a[b[1]] = 6; a[a[b[1]]] = 8; printf(\"%d %d\\n\", a[5], a[6])"),
		"6 8\n", {0}},
	{"increments have values",
		"global a\n" BEGIN(
			"x = a[1]++; y = ++a[1]; z = a[1]--; printf(\"%d %d %d %d\\n\", x, y, z, a[1])"),
		"0 2 2 1\n", {0}},
	{"delete",
		"global a\n" BEGIN(
			"a[1] = 1; a[2] = 2; delete a[1]; printf(\"%d %d\\n\", 1 in a, 2 in a); delete a; printf(\"%d\\n\", 2 in a)"),
		"0 1\n0\n", {0}},
	{"slices",
		"global a\n" BEGIN(
			"a[1, 1] = 1; a[1, 2] = 2; a[2, 1] = 3; printf(\"%d %d\\n\", [*, 2] in a, [3, *] in a)\n"
			"delete a[1, *]; printf(\"%d %d\\n\", [1, *] in a, [2, 1] in a)"),
		"1 0\n0 1\n", {0}},
	{"foreach",
		"global a\n" BEGIN(
			"a[3] = 30; a[1] = 10; a[2] = 20; foreach (k in a) printf(\"%d=%d \", k, a[k])"),
		"3=30 1=10 2=20 ", {0}},
	{"foreach by key",
		"global a\n" BEGIN(
			"a[3] = 30; a[1] = 50; a[2] = 20; foreach (k+ in a) printf(\"%d \", k); foreach (k- in a) printf(\"%d \", k)"),
		"1 2 3 3 2 1 ", {0}},
	{"foreach by value",
		"global a\n" BEGIN(
			"a[3] = 30; a[1] = 50; a[2] = 20; foreach (v = k in a-) printf(\"%d:%d \", k, v)"),
		"1:50 3:30 2:20 ", {0}},
	{"foreach limit",
		"global a\n" BEGIN(
			"for (i = 0; i < 9; i++) a[i] = i; foreach (k in a limit 3) printf(\"%d \", k); foreach (k in a limit 0) println(\"never\")"),
		"0 1 2 ", {0}},
	{"foreach over strings",
		"global a\n" BEGIN(
			"a[\"b\", 1] = \"x\"; a[\"a\", 2] = \"y\"; foreach ([s+, n] in a) printf(\"%s%d%s \", s, n, a[s, n])"),
		"a2y b1x ", {0}},
	{"foreach over a slice",
		"global a\n" BEGIN(
			"a[1, 1] = 5; a[2, 1] = 6; a[1, 2] = 7; foreach ([x, y] in a[1, *]) printf(\"%d%d \", x, y)"),
		"11 12 ", {0}},
	{"foreach break and continue",
		"global a\n" BEGIN(
			"for (i = 0; i < 6; i++) a[i] = i; foreach (k in a) { if (k == 1) continue; if (k == 4) break; printf(\"%d \", k) }"),
		"0 2 3 ", {0}},
	{"nested foreach",
		"global a, b\n" BEGIN(
			"a[1] = 1; a[2] = 1; b[\"x\"] = 1; b[\"y\"] = 1; foreach (i in a) foreach (s in b) printf(\"%d%s \", i, s)"),
		"1x 1y 2x 2y ", {0}},
	{"overflow", "global a\n" BEGIN("for (i = 0; i < 5; i++) a[i] = i"),
		"ERROR: Array overflow, check MAXMAPENTRIES at 3:25\n",
		{.max_map_entries = 3}},
	{"sized overflow",
		"global a[2]\n" BEGIN(
			"a[1] = 1; a[2] = 2; try { a[3] = 3 } catch (e) { println(e) }"),
		"Array overflow, check size limit (2)\n", {0}},
	{"wrapping",
		"global a%[2]\n" BEGIN(
			"a[1] = \"one\"; a[2] = \"two\"; a[3] = a[1]; printf(\"%d %s %s\\n\", 1 in a, a[2], a[3])"),
		"0 two one\n", {0}},
	{"wrapping keys",
		"global a%[1]\n" BEGIN(
			"a[\"x\"] = \"y\"; a[a[\"x\"]] = \"z\"; printf(\"%s %d\\n\", a[\"y\"], \"x\" in a)"),
		"z 0\n", {0}},
};

static const struct row statistics[] = {
	{"extractors",
		"global s\n" BEGIN(
			"for (i = 1; i <= 5; i++) s <<< i * 10; printf(\"%d %d %d %d %d\\n\", @count(s), @sum(s), @min(s), @max(s), @avg(s))"),
		"5 150 10 50 30\n", {0}},
	{"variance",
		"global s\n" BEGIN(
			"for (i = 1; i <= 5; i++) s <<< i; printf(\"%d\\n\", @variance(s))"),
		"12\n", {0}},
	{"empty",
		"global s\n" BEGIN(
			"if (0) s <<< 1; printf(\"%d %d\\n\", @count(s), @sum(s)); printf(\"%d\\n\", @min(s))"),
		"0 0\nERROR: empty aggregate at 3:71\n", {0}},
	{"in arrays",
		"global s\n" BEGIN(
			"s[1] <<< 5; s[1] <<< 7; s[2] <<< 1; printf(\"%d %d %d %d\\n\", @count(s[1]), @sum(s[1]), @avg(s[2]), @count(s[3]))"),
		"2 12 1 0\n", {0}},
	{"empty element",
		"global s\n" BEGIN(
			"s[1] <<< 5; try { println(@max(s[2])) } catch (e) { println(e) }"),
		"empty aggregate\n", {0}},
	{"delete empties",
		"global s\n" BEGIN(
			"s <<< 5; delete s; printf(\"%d\\n\", @count(s)); s <<< 6; printf(\"%d %d\\n\", @count(s), @sum(s))"),
		"0\n1 6\n", {0}},
	{"buckets",
		"global s\n" BEGIN(
			"s <<< 0; s <<< 3; s <<< 2; printf(\"%d %d %d\\n\", @hist_log(s)[64], @hist_log(s)[66], @hist_log(s)[65])"),
		"1 2 0\n", {0}},
	{"bucket out of range", "global s\n" BEGIN("s <<< 1; println(@hist_log(s)[500])"),
		"ERROR: histogram index out of range at 3:18\n", {0}},
	{"linear buckets",
		"global s\n" BEGIN(
			"s <<< -5; s <<< 0; s <<< 5; s <<< 100; s <<< 101; printf(\"%d %d %d\\n\", @hist_linear(s, 0, 100, 10)[0], @hist_linear(s, 0, 100, 10)[1], @hist_linear(s, 0, 100, 10)[11])"),
		"1 2 2\n", {0}},
	{"foreach over buckets",
		"global s\n" BEGIN(
			"s <<< 1; s <<< 2; s <<< 3; foreach (v = b in @hist_log(s)) if (v) printf(\"%d:%d \", b, v)"),
		"65:1 66:2 ", {0}},
	{"printing a histogram",
		"global s\n" BEGIN(
			"s <<< 1; s <<< 2; print(@hist_log(s)); println(\" done\")"),
		"<2 in 2> done\n", {0}},
	{"printing an empty histogram",
		"global s\n" BEGIN("if (0) s <<< 1; print(@hist_log(s))"),
		"ERROR: empty aggregate at 3:23\n", {0}},
	{"sort by statistic",
		"global s\n" BEGIN(
			"s[1] <<< 5; s[2] <<< 9; s[3] <<< 1; s[3] <<< 1; foreach (k in s @sum-) printf(\"%d \", k); foreach (k in s-) printf(\"%d \", k)"),
		"2 1 3 3 2 1 ", {0}},
};

static const struct row functions[] = {
	{"long result",
		"function f(a, b) { return a * b }\n" BEGIN("printf(\"%d\\n\", f(6, 7))"),
		"42\n", {0}},
	{"string result",
		"function f(s, n) { return s . sprint(n) }\n" BEGIN(
			"printf(\"%s %s\\n\", f(\"a\", 1), f(f(\"b\", 2), 3))"),
		"a1 b23\n", {0}},
	{"no result",
		"global g\nfunction f(n) { g += n }\n" BEGIN(
			"f(3); f(4); printf(\"%d\\n\", g)"),
		"7\n", {0}},
	{"falls off the end",
		"function f(n) { if (n) return 5 }\n" BEGIN(
			"printf(\"%d %d\\n\", f(1), f(0))"),
		"5 0\n", {0}},
	{"parameters are copies",
		"function f(s, n) { s .= \"x\"; n++; return s . sprint(n) }\n" BEGIN(
			"s = \"a\"; n = 1; t = f(s, n); printf(\"%s %d %s\\n\", s, n, t)"),
		"a 1 ax2\n", {0}},
	{"arguments do not change under the callee",
		"global g = \"old\"\nfunction f(s) { g = \"new\"; return s }\n" BEGIN(
			"println(f(g), g)"),
		"oldnew\n", {0}},
	{"recursion",
		"function f(n) { return n < 2 ? 1 : n * f(n - 1) }\n" BEGIN(
			"printf(\"%d\\n\", f(8))"),
		"40320\n", {0}},
	{"recursion keeps strings apart",
		"function f(n) { s = sprint(n); if (n) t = f(n - 1); return s . t }\n" BEGIN(
			"println(f(5))"),
		"543210\n", {0}},
	{"too deep", "function f:long(n) { return f(n + 1) }\n" BEGIN("println(f(0))"),
		"ERROR: MAXNESTING exceeded at 1:10"
		" from 1:29 from 1:29 from 1:29 from 1:29 from 1:29 from 1:29 from 1:29 from 1:29 from 1:29 from 1:29"
		" from 1:29 from 1:29 from 1:29 from 3:9\n",
		{0}},
	{"too deep is caught",
		"function f:long(n) { return f(n + 1) }\n" BEGIN(
			"try { println(f(0)) } catch (e) { println(e) } println(g(1))") "\nfunction g(n) { return n }",
		"MAXNESTING exceeded\n1\n", {0}},
	{"frames end somewhere",
		"function f(n) { s = sprint(n); t = s . s; u = t . t; return n ? f(n - 1) . u . t . s : s }\n" BEGIN(
			"try { println(strlen(f(500))) } catch (e) { println(e) }"),
		"MAXNESTING exceeded\n", {.max_nesting = 1000}},
	{"error inside", "function f(n) {\n return 1 / n }\n" BEGIN("println(f(0))"),
		"ERROR: division by 0 at 2:11 from 4:9\n", {0}},
	{"error inside is caught",
		"function f(n) { return 1 / n }\n" BEGIN(
			"try { println(f(0)) } catch (e) { println(e) } println(f(1))"),
		"division by 0\n1\n", {0}},
	{"overloads",
		"function f(n) { if (n < 5) next; return 100 }\nfunction f(n) { return n }\n" BEGIN(
			"printf(\"%d %d\\n\", f(3), f(9))"),
		"3 100\n", {0}},
	{"overloads exhausted",
		"function f:long(n) { next }\n" BEGIN(
			"try { println(f(1)) } catch (e) { println(e) }"),
		"all functions exhausted\n", {0}},
	{"loops in functions are charged",
		"global i\nfunction f() { while (1) i++ }\n" BEGIN("f()"),
		"ERROR: MAXACTION exceeded at 2:26 from 4:1\n", {0}},
	{"return leaves loops",
		"function f(n) { for (i = 0; i < 10; i++) if (i == n) return i * 2; return -1 }\n" BEGIN(
			"printf(\"%d %d\\n\", f(4), f(40))"),
		"8 -1\n", {0}},
};

static void run_row(const struct row *row)
{
	struct harness h;

	if (harness_open(&h, row->script, &row->options)) {
		harness_run(&h, STAP_PROBE_BEGIN);
		harness_run(&h, STAP_PROBE_END);
	}
	if (row->output)
		tap_is_string(h.output.data, row->output, row->name);
	else
		tap_ok(h.code.image != NULL || h.output.size > 0, "%s", row->name);
	harness_close(&h);
}

/* Scripts that differ in one thing. */
static const struct {
	const char *kept, *script;
} pairs[] = {
	{BEGIN("println(1)"), BEGIN("println(2)")},
	{BEGIN("println(pid() + 1)"), BEGIN("println(pid() - 1)")},
	{BEGIN("println(pid() < 1)"), BEGIN("println(pid() <= 1)")},
	{BEGIN("println(pid() - tid())"), BEGIN("println(tid() - pid())")},
	{BEGIN("println(\"a\")"), BEGIN("println(\"b\")")},
	{BEGIN("println(pp())"), BEGIN("println(pn())")},
	{"global a = 1, b = 1\n" BEGIN("println(a++, b)"),
		"global a = 1, b = 1\n" BEGIN("println(a, b++)")},
	{"global m\n" BEGIN("m[1, 2] = 3"), "global m\n" BEGIN("m[2, 1] = 3")},
	{BEGIN("if (pid()) println(1); else println(2)"),
		BEGIN("if (pid()) println(2); else println(1)")},
	{BEGIN("printf(\"%d %d\", 1, pid())"), BEGIN("printf(\"%d %d\", pid(), 1)")},
	{"global s\n" BEGIN("s <<< 1; println(@min(s))"),
		"global s\n" BEGIN("s <<< 1; println(@max(s))")},
	{BEGIN("a = pid(); b = tid(); println(a, b)"),
		BEGIN("b = pid(); a = tid(); println(a, b)")},
};

static void test_kept(void)
{
	bool mixed = false;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		mixed |= harness_mixes_up(pairs[i].kept, pairs[i].script);
	tap_ok(!mixed, "an object is taken for the script it is of");
}

#define RUN(table)                                                    \
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) \
	run_row(&table[i])

int main(void)
{
	RUN(expressions);
	RUN(statements);
	RUN(arrays);
	RUN(statistics);
	RUN(functions);
	test_kept();
	return tap_done();
}
