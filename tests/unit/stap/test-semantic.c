/* SPDX-License-Identifier: MIT */
/*
 * What the listing of -p2 does not show: use of globals on each side, formats, values saved at
 * entry, timers, conditions.  Each script is summed up in words and compared.
 */
#include "fake-target.h"
#include "runtime/format.h"
#include "stap/semantic.h"
#include "tap.h"

static void use_show(struct strbuf *out, const char *side, unsigned use)
{
	static const char *const names[] = {"read", "write", "increment", "accumulate"};

	for (size_t i = 0; i < 4; i++) {
		if (use & 1u << i)
			strbuf_printf(out, " %s-%s", side, names[i]);
	}
}

/* "n=%#x;" */
static bool format_show(struct stap_expr *expr, void *data)
{
	const struct format *format;
	struct strbuf *out = data;

	if (expr->kind != STAP_EXPR_PRINT)
		return true;
	format = expr->print.format;
	for (uint32_t i = 0; format && i < format->part_count; i++) {
		const struct format_part *part = &format->parts[i];

		if (part->kind == FORMAT_LITERAL)
			strbuf_append(
				out, (const char *)format + part->text, part->text_size);
		else if (part->kind == FORMAT_HISTOGRAM)
			strbuf_puts(out, "%hist");
		else
			strbuf_printf(out, "%%%s%c", part->flag == '#' ? "#" : "",
				part->conversion);
	}
	strbuf_printf(out, "/%u;", expr->print.args.count);
	return true;
}

static void probe_show(struct strbuf *out, const struct stap_derived_probe *probe)
{
	static const char *const kinds[] = {
		"begin", "end", "error", "never", "timer", "uprobe", "ureturn"};

	strbuf_printf(out, "%s", kinds[probe->kind]);
	if (probe->priority)
		strbuf_printf(out, " priority=%lld", (long long)probe->priority);
	if (probe->interval_ns)
		strbuf_printf(out, " ns=%llu", (unsigned long long)probe->interval_ns);
	if (probe->randomize_ns)
		strbuf_printf(
			out, " random=%llu", (unsigned long long)probe->randomize_ns);
	if (probe->location_count)
		strbuf_printf(out, " places=%u", probe->location_count);
	if (probe->condition)
		strbuf_puts(out, " conditional");
	if (probe->uses_return_value)
		strbuf_puts(out, " returns");
	for (size_t i = 0; i < probe->entry_values.count; i++)
		strbuf_printf(out, " entry:%s",
			stap_type_name(probe->entry_values.items[i]->type));
	strbuf_putc(out, ' ');
	stap_walk(probe->body, format_show, out);
	strbuf_putc(out, '\n');
}

static void program_show(struct strbuf *out, const struct stap_program *program)
{
	for (size_t i = 0; i < program->globals.count; i++) {
		const struct stap_var *var = program->globals.items[i];

		strbuf_printf(out, "%s", var->name);
		use_show(out, "target", var->target_use);
		use_show(out, "tracer", var->tracer_use);
		if (var->stat_ops)
			strbuf_printf(out, " ops=%#x", var->stat_ops);
		strbuf_putc(out, '\n');
	}
	for (size_t i = 0; i < program->unread_globals.count; i++)
		strbuf_printf(out, "unread %s\n", program->unread_globals.items[i]->name);
	for (size_t i = 0; i < program->functions.count; i++) {
		if (program->functions.items[i]->is_recursive)
			strbuf_printf(
				out, "recursive %s\n", program->functions.items[i]->name);
	}
	for (size_t i = 0; i < program->probes.count; i++)
		probe_show(out, program->probes.items[i]);
}

#define ALPHA "process(\"/bin/app\").function(\"alpha\")"
#define BETA  "process(\"/bin/app\").function(\"beta\")"

static const struct {
	const char *name, *text, *expected;
} cases[] = {
	{"a counter is only incremented",
		"global n probe " ALPHA " { n++ } probe end { println(n) }",
		"n target-increment tracer-read\nuprobe places=1 \nend %d\n/1;\n"},
	{"adding what does not depend on it", "global n probe " ALPHA " { n += pid() }",
		"n target-increment\nunread n\nuprobe places=1 \n"},
	{"subtracting too", "global n probe " ALPHA " { n -= 2 }",
		"n target-increment\nunread n\nuprobe places=1 \n"},
	{"adding itself is read and write", "global n probe " ALPHA " { n += n }",
		"n target-read target-write\nuprobe places=1 \n"},
	{"adding itself through a function",
		"global n function f() { return n } probe " ALPHA " { n += f() }",
		"n target-read target-write\nuprobe places=1 \n"},
	{"a used value is read", "global n probe " ALPHA " { println(n++) }",
		"n target-read target-write\nuprobe places=1 %d\n/1;\n"},
	{"multiplying is no increment", "global n probe " ALPHA " { n *= 2 }",
		"n target-read target-write\nunread n\nuprobe places=1 \n"},
	{"array elements are not counters", "global a probe " ALPHA " { a[1]++ }",
		"a target-read target-write\nunread a\nuprobe places=1 \n"},
	{"statistics accumulate",
		"global s probe " ALPHA
		" { s <<< 1 } probe end { println(@avg(s), @count(s)) }",
		"s target-accumulate tracer-read ops=0x11\nuprobe places=1 \nend %d%d\n/2;\n"},
	{"through functions, both sides",
		"global n function f() { n++ } probe " ALPHA
		" { f() } probe begin { f() }",
		"n target-increment tracer-increment\nunread n\nuprobe places=1 \nbegin \n"},
	{"sorting writes",
		"global a probe begin { a[1] = 1 } probe " ALPHA
		" { foreach (k in a+) println(k) }",
		"a target-read target-write tracer-write\nbegin \nuprobe places=1 %d\n/1;\n"},
	{"deleting writes", "global a probe begin { a[1] = 1 } probe end { delete a }",
		"a tracer-write\nunread a\nbegin \nend \n"},
	{"a condition reads",
		"global on = 1 probe " ALPHA
		" if (on) { println(1) } probe timer.s(1) { on = 0 }",
		"on target-read tracer-write\nuprobe places=1 conditional %d\n/1;\n"
		"timer ns=1000000000 \n"},
	{"only user globals written and never read are unread",
		"global a, b, c probe begin { a = 1 b = 2 c++ println(b) }",
		"a tracer-write\nb tracer-read tracer-write\nc tracer-increment\nunread a\nunread "
		"c\nbegin %d\n/1;\n"},
	{"recursion",
		"function f(n) { return n ? g(n - 1) : 0 } function g(n) { return f(n) } "
		"function h() { return 1 } probe begin { println(f(1), h()) }",
		"recursive f\nrecursive g\nbegin %d%d\n/2;\n"},
	{"print formats",
		"global s probe begin { s <<< 1 print(1, \"a\") printd(\"-\", 1, \"b\") "
		"printdln(\",\", 2, 3) println(@hist_log(s)) print_char(65) println() }",
		"s tracer-read tracer-accumulate ops=0x40\n"
		"begin %d%s/2;%d-%s/2;%d,%d\n/2;%hist\n/1;%c/1;\n/0;\n"},
	{"a percent sign is itself in print", "probe begin { printd(\"%d\", 1, 2) }",
		"begin %d%d%d/2;\n"},
	{"timers",
		"probe timer.ms(20).randomize(5) { println(1) } probe timer.hz(100) { println(2) } "
		"probe timer.jiffies(1) { println(3) }",
		"timer ns=20000000 random=5000000 %d\n/1;\ntimer ns=10000000 %d\n/1;\n"
		"timer ns=4000000 %d\n/1;\n"},
	{"priorities", "probe begin(-3) { println(1) } probe end(7) { println(2) }",
		"begin priority=-3 %d\n/1;\nend priority=7 %d\n/1;\n"},
	{"variables as text", "probe " BETA " { println($$vars) }",
		"uprobe places=1 %s\n/1;n=%#x s=%#x p={...} c=%#x buf=[...]/3;\n"},
	{"parameters as text", "probe " BETA " { println($$parms) }",
		"uprobe places=1 %s\n/1;n=%#x s=%#x/2;\n"},
	{"locals where one has no place", "probe " ALPHA " { println($$locals) }",
		"uprobe places=1 %s\n/1;total=%#x gone=?/1;\n"},
	{"pretty variables", "probe " BETA " { println($$vars$) }",
		"uprobe places=1 %s\n/1;n=%i s=%s p={.x=%i, .y=%i} c='%#c' buf=%s/6;\n"},
	{"a pretty struct", "probe " BETA " { println($p$) }",
		"uprobe places=1 %s\n/1;{.x=%i, .y=%i}/2;\n"},
	{"the returned value as text", "probe " ALPHA ".return { println($$return) }",
		"ureturn places=1 returns %s\n/1;return=%#x/1;\n"},
	{"values at entry",
		"probe " ALPHA ".return { println(@entry($n), @entry(execname())) }",
		"ureturn places=1 entry:long entry:string %d%s\n/2;\n"},
	{"an entry value nobody reads is not saved",
		"probe " ALPHA ".return { x = @entry($n) println($return) }",
		"ureturn places=1 returns %d\n/1;\n"},
	{"a parameter in a return probe is saved",
		"probe " ALPHA ".return { println($n) }",
		"ureturn places=1 entry:long %d\n/1;\n"},
	{"returnval() through a function",
		"function f() { return returnval() } probe " ALPHA
		".return { println(f()) }",
		"ureturn places=1 returns %d\n/1;\n"},
	{"no value needed", "probe " ALPHA ".return { println(1) }",
		"ureturn places=1 %d\n/1;\n"},
	{"one body for places with equal accesses",
		"probe process(\"/bin/app\").function(\"*\") { println(@defined($n) ? $n : -1) }",
		"uprobe places=2 %d\n/1;\nuprobe places=1 %d\n/1;\nuprobe places=1 %d\n/1;\n"},
	{"one body for all without variables",
		"probe process(\"/bin/app\").function(\"*\").return { println(pp()) }",
		"ureturn places=4 %s\n/1;\n"},
};

static void case_run(size_t at)
{
	struct stap_source source = {.name = "<input>",
		.text = cases[at].text,
		.size = strlen(cases[at].text)};
	struct stap_parse_options parse = {0};
	struct stap_diagnostics diag;
	struct stap_program *program;
	struct stap_file *file;
	struct arena arena;
	struct strbuf out;

	arena_init(&arena);
	strbuf_init(&out);
	stap_diagnostics_init(&diag, &arena);
	file = stap_parse(&arena, &source, &parse, &diag);
	program = stap_analyze(&arena,
		&(struct stap_semantic_options){
			.user_files = (const struct stap_file *[]){file},
			.user_file_count = 1,
			.suppress_warnings = true,
		},
		&fake_target, &diag);
	if (program)
		program_show(&out, program);
	else
		stap_diagnostics_render(&diag, true, &out);
	tap_is_string(out.data, cases[at].expected, cases[at].name);
	stap_file_deinit(file);
	stap_diagnostics_deinit(&diag);
	strbuf_deinit(&out);
	arena_deinit(&arena);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		case_run(i);
	return tap_done();
}
