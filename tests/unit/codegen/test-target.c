/* SPDX-License-Identifier: MIT */
/* Handlers as traced programs run them: registers, memory, storage choices, return probes. */
#include "harness.h"
#include "tap.h"

#define ENTRY(body)  "probe process(\"program\").function(\"f\") { " body " }\n"
#define RETURN(body) "probe process(\"program\").function(\"f\").return { " body " }\n"
#define END(body)    "probe end { " body " }\n"

struct object {
	int64_t head;
	int32_t number;
};

static struct object object = {1, -77};
static int64_t numbers[4] = {10, 20, 30, 40};

struct row {
	const char *name, *script, *output;
	void *rdi;
	int hits; /* 0: one */
	struct codegen_options options;
};

static const struct row rows[] = {
	{"registers",
		ENTRY("printf(\"%x %x %x %x %x %x\\n\", $rax, $rdi, $rsi, $rdx, $r8, $rsp)"),
		"1 d 4 2 8 7ffe0000\n", (void *)0xd, 0, {0}},
	{"callee-saved registers", ENTRY("printf(\"%x %x %x\\n\", $rbx, $rbp, $r15)"),
		"3 6 f\n", NULL, 0, {0}},
	{"ip", ENTRY("printf(\"%x\\n\", $rip)"), "555500001000\n", NULL, 0, {0}},
	{"static variable", ENTRY("printf(\"%x\\n\", $static)"), "555500004010\n", NULL,
		0, {0}},
	{"member", ENTRY("printf(\"%d\\n\", $p->m)"), "-77\n", &object, 0, {0}},
	{"element", ENTRY("i = 1; printf(\"%d %d\\n\", $a[i + 1], $a[0])"), "30 10\n",
		numbers, 0, {0}},
	{"read fault", ENTRY("println(\"a\"); println($p->m); println(\"b\")"),
		"a\nERROR: read fault [man error::fault] at 0x8 at 1:64\n", NULL, 0, {0}},
	{"read fault caught",
		ENTRY("try { println($p->m) } catch { println(\"caught\") }"), "caught\n",
		NULL, 0, {0}},
	{"where", ENTRY("printf(\"%s %s\\n\", ppfunc(), pp())"),
		"f process(\"/bin/program\").function(\"f\")\n", NULL, 0, {0}},
	{"counter", "global n\n" ENTRY("n++") END("println(n)"), "5\n", NULL, 5, {0}},
	{"counter with a start",
		"global n = 100\n" ENTRY("n -= 2; n += 1")
			END("println(n); n = 7; n++; println(n++, n)"),
		"97\n89\n", NULL, 3, {0}},
	{"counter and more",
		"global n, m\n" ENTRY("n++; m += $rdi") END("printf(\"%d %d\\n\", n, m)"),
		"3 15\n", (void *)5, 3, {0}},
	{"counter in a function",
		"global n\nfunction hit() { n++ }\n" ENTRY("hit(); hit()")
			END("println(n)"),
		"6\n", NULL, 3, {0}},
	{"not a counter",
		"global n\n" ENTRY("if (n++ == 1) println(\"second\")") END("println(n)"),
		"second\n3\n", NULL, 3, {0}},
	{"statistic",
		"global s\n" ENTRY("s <<< $rdi")
			END("printf(\"%d %d\\n\", @count(s), @sum(s))"),
		"4 28\n", (void *)7, 4, {0}},
	{"map by thread",
		"global m\n" ENTRY("m[tid(), execname()]++") END(
			"foreach ([t, n] in m) printf(\"%d %s %d\\n\", t, n, m[t, n])"),
		"101 program 4\n", NULL, 4, {0}},
	{"array counted in a function",
		"global n\nfunction hit(k) { n[k]++ }\n" ENTRY(
			"hit($rdi); n[$rdi] += 2; n[1]--")
			END("foreach (k in n) printf(\"%d:%d\\n\", k, n[k])"),
		"5:9\n1:-3\n", (void *)5, 3, {0}},
	{"array counted by texts",
		"global n\n" ENTRY(
			"n[ppfunc(), $rdi]++; n[\"a text that is longer than a cell has room\", 1]++")
			END("foreach ([t, k] in n) printf(\"%s %d:%d\\n\", t, k, n[t, k])"),
		"f 5:3\na text that is longer than a cell has room 1:3\n", (void *)5, 3,
		{0}},
	{"array counted and looked at",
		"global n\n" ENTRY("n[1]++; if (n[1] == 2) println(\"two\")")
			END("println(n[1])"),
		"two\n3\n", NULL, 3, {0}},
	{"array counted here and there",
		"global n\nfunction hit() { n[1]++ }\n" ENTRY("hit()")
			END("hit(); println(n[1])"),
		"4\n", NULL, 3, {0}},
	{"array counted and deleted",
		"global n\n" ENTRY("n[$rdi]++; n[2]++")
			END("println(n[5]); delete n[5]; println(5 in n, n[5], n[2]); "
			    "n[5]++; println(n[5]); delete n; println(2 in n)"),
		"3\n003\n1\n0\n", (void *)5, 3, {0}},
	{"array that overflows",
		"global n[2]\n" ENTRY(
			"n[1]++; n[2]++; try { n[3]++ } catch { println(\"full\") }")
			END("println(n[1], n[2], n[3])"),
		"full\nfull\n220\n", NULL, 2, {0}},
	{"statistics by key",
		"global s\n" ENTRY("s[$rdi] <<< 3; s[$rdi] <<< $rdi; s[1] <<< 7") END(
			"foreach (k in s) printf(\"%d: %d %d %d %d\\n\", k, @count(s[k]), "
			"@sum(s[k]), @min(s[k]), @max(s[k]))"),
		"5: 6 24 3 5\n1: 3 21 7 7\n", (void *)5, 3, {0}},
	{"histograms by text",
		"global s\n" ENTRY("s[ppfunc()] <<< $rdi") END(
			"foreach (k in s-) println(@hist_log(s[k])[67], @count(s[k]))"),
		"33\n", (void *)5, 3, {0}},
	{"return probe", RETURN("printf(\"%d\\n\", $return)"), "1\n", NULL, 0, {0}},
	{"value saved at entry",
		ENTRY("println(\"in\")") RETURN("printf(\"%x\\n\", @entry($rdi))"),
		"in\nd\n", (void *)0xd, 0, {0}},
	{"text saved at entry",
		RETURN("printf(\"%s %d\\n\", @entry(ppfunc()), @entry($rsi + 1))"),
		"f 5\n", NULL, 0, {0}},
	{"many actions", ENTRY("for (i = 0; i < 10; i++) j++; println(\"never\")"),
		"ERROR: MAXACTION exceeded at 1:67\n", NULL, 0, {.max_action = 10}},
};

static void run_row(const struct row *row)
{
	struct harness h;

	if (harness_open(&h, row->script, &row->options)) {
		h.regs = (struct abi_regs){.rax = 1,
			.rdx = 2,
			.rcx = 3,
			.rsi = 4,
			.r8 = 8,
			.rbx = 3,
			.rbp = 6,
			.r15 = 15,
			.rdi = (uintptr_t)row->rdi};
		harness_run(&h, STAP_PROBE_BEGIN);
		for (int i = 0; i < (row->hits ? row->hits : 1); i++) {
			harness_run(&h, STAP_PROBE_UPROBE);
			harness_run(&h, STAP_PROBE_URETURN);
		}
		harness_run(&h, STAP_PROBE_END);
	}
	tap_is_string(h.output.data, row->output, row->name);
	harness_close(&h);
}

/* ---- what the session is told ----------------------------------------------------------------- */

static const struct {
	const char *name, *script;
	enum codegen_storage storage; /* of the first global */
	bool locked, inlined;
	int increment;
} layouts[] = {
	{"one increment is inline", "global n\n" ENTRY("n++") END("println(n)"),
		CODEGEN_COUNTER, false, true, 1},
	{"a constant step is inline", "global n\n" ENTRY("n -= 5") END("println(n)"),
		CODEGEN_COUNTER, false, true, -5},
	{"a variable step is not", "global n\n" ENTRY("n += $rdi") END("println(n)"),
		CODEGEN_COUNTER, false, false, 0},
	{"a condition is not", "global n\n" ENTRY("if ($rdi) n++") END("println(n)"),
		CODEGEN_COUNTER, false, false, 0},
	{"a read makes a scalar", "global n\n" ENTRY("n++; println(n)"),
		CODEGEN_SCALAR_LONG, true, false, 0},
	{"written by begin only", "global n\nprobe begin { n = 1 }\n" ENTRY("println(n)"),
		CODEGEN_SCALAR_LONG, false, false, 0},
	{"written by a timer",
		"global n\nprobe timer.s(1) { n = 1 }\n" ENTRY("println(n)"),
		CODEGEN_SCALAR_LONG, true, false, 0},
	{"tracer only", "global n\nprobe begin { n = 1; println(n++) }\n",
		CODEGEN_SCALAR_LONG, false, false, 0},
	{"a statistic is sharded", "global s\n" ENTRY("s <<< 1; println(@count(s))"),
		CODEGEN_STAT_SHARDED, false, false, 0},
	{"an array is a map", "global a\n" ENTRY("a[1]++") END("println(a[1])"),
		CODEGEN_MAP, true, false, 0},
};

static void test_layouts(void)
{
	struct codegen_options options = {0};

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		struct harness h;
		bool ok = harness_open(&h, layouts[i].script, &options);

		if (ok) {
			const struct codegen_global *g = &h.code.globals[0];
			const struct codegen_handler *handler = NULL;

			for (uint32_t k = 0; k < h.code.handler_count; k++)
				if (h.code.handlers[k].probe->kind == STAP_PROBE_UPROBE)
					handler = &h.code.handlers[k];
			ok = g->storage == layouts[i].storage &&
			     (g->lock >= 0) == layouts[i].locked;
			if (handler)
				ok = ok &&
				     handler->is_inline_count == layouts[i].inlined &&
				     handler->inline_increment == layouts[i].increment;
		}
		tap_ok(ok, "%s", layouts[i].name);
		harness_close(&h);
	}
}

static void test_flags(void)
{
	struct codegen_options options = {0};
	struct harness h;

	harness_open(&h, ENTRY("println($rdi)"), &options);
	tap_ok(h.code.handler_count == 1 && !h.code.handlers[0].needs_callee_saved &&
			!h.code.reads_user_memory,
		"an argument needs no callee-saved register and reads no memory");
	harness_close(&h);
	harness_open(&h, ENTRY("println($rbx)"), &options);
	tap_ok(h.code.handler_count == 1 && h.code.handlers[0].needs_callee_saved,
		"rbx has to be pushed");
	harness_close(&h);
	harness_open(&h,
		"function f(x) { return user_int(x) }\n" ENTRY("println(f($rdi))"),
		&options);
	tap_ok(h.code.reads_user_memory, "functions that read memory count");
	tap_ok(codegen_symbol(&h.code, "agent_register_thread") > 0,
		"agent symbols are found");
	tap_is_long(codegen_symbol(&h.code, "no_such_symbol"), -2, "others are not");
	harness_close(&h);
}

static void test_pairing(void)
{
	struct codegen_options options = {0};
	struct harness h;

	/* a return without its entry stays silent, nested frames keep their own values */
	if (harness_open(&h, RETURN("printf(\"%d \", @entry($rdi))"), &options)) {
		struct abi_context *c = harness_context(&h, 1);
		harness_handler_fn entry = NULL, leave = NULL;

		for (uint32_t i = 0; i < h.code.handler_count; i++)
			*(h.code.handlers[i].is_entry_part ? &entry : &leave) =
				harness_function(&h, i);
		leave(c, &h.regs, 0x9000, 0, 1);
		for (uint64_t i = 0; i < 3; i++) {
			h.regs.rdi = i + 1;
			entry(c, &h.regs, 0x8000 - i * 64, 0, 0);
		}
		for (uint64_t i = 3; i-- > 0;)
			leave(c, &h.regs, 0x8000 - i * 64, 0, 1);
		leave(c, &h.regs, 0x8000, 0, 1);
		harness_drain(&h);
	}
	tap_is_string(h.output.data, "3 2 1 ", "entry values pair by frame");
	harness_close(&h);
}

/* More values alive at once than fit registers and the stack a handler may use. */
static void test_big_handler(void)
{
	enum {
		VALUES = 30
	};
	struct codegen_options options = {0};
	struct strbuf script;
	struct harness h;
	char want[32];

	strbuf_init(&script);
	strbuf_puts(&script, "global a\nprobe process(\"program\").function(\"f\") {\n");
	for (int i = 0; i < VALUES; i++)
		strbuf_printf(&script, "v%d = $rdi + %d; a[v%d, \"k\"]++; ", i, i, i);
	strbuf_puts(&script, "println(0");
	for (int i = 0; i < VALUES; i++)
		strbuf_printf(&script, " + v%d", i);
	strbuf_puts(&script, ") }\n" END("foreach ([k, s] in a) n += k; println(n)"));
	if (harness_open(&h, script.data, &options)) {
		h.regs.rdi = 100;
		harness_run(&h, STAP_PROBE_UPROBE);
		harness_run(&h, STAP_PROBE_END);
	}
	int sum = VALUES * 100 + VALUES * (VALUES - 1) / 2;
	snprintf(want, sizeof(want), "%d\n%d\n", sum, sum);
	tap_is_string(h.output.data, want, "a handler with many live values");
	harness_close(&h);
	strbuf_deinit(&script);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
	test_layouts();
	test_flags();
	test_pairing();
	test_big_handler();
	return tap_done();
}
