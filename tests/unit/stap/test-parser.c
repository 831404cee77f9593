/* SPDX-License-Identifier: MIT */
/*
 * What the conformance scripts cannot show: the shape of trees (as the fully parenthesised text that
 * stap_unparse() makes), limits, library macros, language versions, renderings other than of parse
 * errors, copies and walks.
 */
#include "stap/parser.h"
#include "tap.h"

struct fixture {
	struct arena arena;
	struct stap_diagnostics diag;
	struct stap_parse_options options;
	struct strbuf out;
};

static void setup(struct fixture *f)
{
	*f = (struct fixture){0};
	arena_init(&f->arena);
	stap_diagnostics_init(&f->diag, &f->arena);
	strbuf_init(&f->out);
}

static void teardown(struct fixture *f)
{
	stap_diagnostics_deinit(&f->diag);
	strbuf_deinit(&f->out);
	arena_deinit(&f->arena);
}

static const struct stap_source *make_source(
	struct fixture *f, const char *name, const char *text, bool is_library)
{
	struct stap_source *source = arena_new(&f->arena, struct stap_source);
	*source = (struct stap_source){
		name, arena_strdup(&f->arena, text), strlen(text), is_library, false};
	return source;
}

static struct stap_file *parse(struct fixture *f, const char *text)
{
	return stap_parse(
		&f->arena, make_source(f, "t.stp", text, false), &f->options, &f->diag);
}

static const char *first_message(const struct fixture *f)
{
	return f->diag.list.count ? f->diag.list.items[0]->message : "";
}

/* ---- trees ------------------------------------------------------------------------------------- */

static const struct {
	const char *input, *tree;
} expressions[] = {
	{"a + b * c - d", "((a) + ((b) * (c))) - (d)"},
	{"a - b - c", "((a) - (b)) - (c)"},
	{"a . b + 1 . c", "((a) . ((b) + (1))) . (c)"},
	{"1 << 2 . x + 3 in c", "[((1) << ((2) . ((x) + (3))))] in c"},
	{"a >>> 1 >> 2 << 3", "(((a) >>> (1)) >> (2)) << (3)"},
	{"a < b == c != d", "(((a) < (b)) == (c)) != (d)"},
	{"a == 1 in b & c", "([((a) == (1))] in b) & (c)"},
	{"a | b ^ c & d", "(a) | ((b) ^ ((c) & (d)))"},
	{"a || b && c || d", "((a) || ((b) && (c))) || (d)"},
	{"a & b == c", "(a) & ((b) == (c))"},
	{"!a == -b", "(!(a)) == (-(b))"},
	{"- - ~a++", "-(-(~((a)++)))"},
	{"--a - -b", "(--(a)) - (-(b))"},
	{"a = b = c", "(a) = ((b) = (c))"},
	{"a += b .= c", "(a) += ((b) .= (c))"},
	{"a <<< b + 1", "(a) <<< ((b) + (1))"},
	{"a ? b : c ? d : e", "(a) ? (b) : ((c) ? (d) : (e))"},
	{"a ? b = 1 : c", "(a) ? ((b) = (1)) : (c)"},
	{"a ? b : c = d", "((a) ? (b) : (c)) = (d)"},
	{"a =~ \"x\" \"y\" && b", "((a) =~ \"xy\") && (b)"},
	{"[1, *, \"x\"] in a", "[(1), *, (\"x\")] in a"},
	{"[a]", "a"},
	{"$a->b[c + 1]->d$$", "$a->b[(c) + (1)]->d$$"},
	{"$a[1]$", "$a[1]->$"},
	{"&$a->b + 1", "(&$a->b) + (1)"},
	{"-&$a", "-(&$a)"},
	{"a->b", "(a)->b"},
	{"f(1)->b[2]", "(f(1))->b[2]"},
	{"a[1][2]", "(a[1])[2]"},
	{"&a", "&(a)"},
	{"@cast(a, \"t\", \"m\")->x", "@cast(a, \"t\", \"m\")->x"},
	{"@variance(a[1], 5)", "@variance(a[1], 5)"},
	{"@hist_linear(a, -1, 2, 3)[0]", "@hist_linear(a, -1, 2, 3)[0]"},
	{"print(@hist_log(a))", "print(@hist_log(a))"},
	{"printd(\",\", a, b = 1)", "printd(\",\", a, (b) = (1))"},
	{"0xffffffffffffffff", "18446744073709551615"},
	{"\"\\0018\\x7f\\\"\"", "\"\\0018\\177\\\"\""},
};

static void test_expressions(void)
{
	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
		struct fixture f;
		setup(&f);
		struct stap_file *file =
			parse(&f, arena_printf(&f.arena, "probe begin { %s }",
					  expressions[i].input));
		stap_unparse(file, &f.out);
		tap_is_string(f.out.data,
			arena_printf(&f.arena, "probe begin {\n\t%s;\n}\n",
				expressions[i].tree),
			expressions[i].input);
		stap_file_deinit(file);
		teardown(&f);
	}
}

static const struct {
	const char *input, *tree;
} items[] = {
	{"probe a.{b,c(1)}.d? if (x) { }", "probe a.b.d? if (x),a.c(1).d? if (x) {\n}\n"},
	{"probe {a!,b} { }", "probe a!,b {\n}\n"},
	{"probe a = b = c { x }", "probe a = c {\n\tx;\n}\nprobe b = c {\n\tx;\n}\n"},
	{"probe a += b, d { }", "probe a += b,d {\n}\n"},
	{"probe a = b { }, { y }", "probe a = b {\n}, {\n\ty;\n}\n"},
	{"probe x*y.**.z(-3) { }", "probe x*y.**.z(-3) {\n}\n"},
	{"global a = -1, b[5], c%, d%[2]",
		"global a = 18446744073709551615\nglobal b[5]\nglobal c%\nglobal d%[2]\n"},
	{"private function f:string(a:long, b) :3 { return }",
		"private function f:string(a:long, b) :3 {\n\treturn;\n}\n"},
	{"function f() { while (a) b; for (;;) ; for (i = 0; i; i++) { } }",
		"function f() {\n\tfor (; a; ) b;\n\tfor (; ; ) ;\n\tfor ((i) = (0); i; (i)++) {\n\t}\n}\n"},
	{"function f() { if (a) if (b) c; else d }",
		"function f() {\n\tif (a) if (b) c;\n\telse d;\n}\n"},
	{"function f() { foreach (v- = [a, b] in c[*, 1] limit 2) break }",
		"function f() {\n\tforeach (v = [a, b] in c[*, 1]- limit 2) break;\n}\n"},
	{"function f() { foreach (a- in c) next foreach (a in c @sum+) continue }",
		"function f() {\n\tforeach ([a-] in c) next;\n\tforeach ([a] in c @sum+) continue;\n}\n"},
	{"function f() { try { delete a[*] } catch (e) { } }",
		"function f() {\n\ttry {\n\t\tdelete a[*];\n\t} catch (e) {\n\t}\n}\n"},
};

static void test_items(void)
{
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		struct fixture f;
		setup(&f);
		struct stap_file *file = parse(&f, items[i].input);
		stap_unparse(file, &f.out);
		tap_is_string(f.out.data, items[i].tree, items[i].input);
		tap_is_string(first_message(&f), "", "  no message");
		stap_file_deinit(file);
		teardown(&f);
	}
}

/* ---- limits ------------------------------------------------------------------------------------ */

static const struct {
	const char *name, *head, *piece, *tail;
	int count;
	const char *message; /* start of the first one, "" for none */
} limits[] = {
	{"parentheses", "probe begin { x = ", "(", "", 100000, "nested too deeply"},
	{"closed parentheses", "probe begin { x = ((((((((((1)))))))))) }", "", "", 1,
		""},
	{"unary operators", "probe begin { x = ", "- ", "1 }", 100000,
		"nested too deeply"},
	{"blocks", "probe begin ", "{", "", 100000, "nested too deeply"},
	{"calls", "probe begin { x = ", "f(", "", 100000, "nested too deeply"},
	{"indexes", "probe begin { x = ", "a[", "", 100000, "nested too deeply"},
	{"assignments", "probe begin { x ", "= x ", "}", 100000, "nested too deeply"},
	{"else if", "probe begin { if (x) y ", "else if (x) y ", "}", 100000,
		"nested too deeply"},
	{"ternaries", "probe begin { x = ", "1 ? 2 : ", "3 }", 100000,
		"nested too deeply"},
	{"braces in a point", "probe ", "{", "", 100000, "nested too deeply"},
	{"a long sum", "probe begin { x = 1", " + 1", " }", 1900, ""},
	{"too long a sum", "probe begin { x = 1", " + 1", " }", 100000,
		"expression too complex"},
	{"alternatives", "probe a", ".{a,b}", " { }", 11, ""},
	{"too many alternatives", "probe a", ".{a,b}", " { }", 40,
		"more than 2048 alternatives"},
	{"components", "probe a", ".b", " { }", 100, "more than 64 components"},
	{"statements", "probe begin { ", "x = 1 ", "}", 100000, ""},
	{"arguments", "probe begin { f(1", ", 1", ") }", 100000, ""},
	{"parameters", "function f(a", ", a", ") { }", 1, "duplicate parameter names"},
	{"strings", "probe begin { x = \"a\"", " \"b\"", " }", 100000, ""},
	{"errors", "", "probe ", "", 100000, "expected one of"},
};

static void test_limits(void)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct fixture f;
		setup(&f);
		strbuf_puts(&f.out, limits[i].head);
		for (int n = 0; n < limits[i].count; n++)
			strbuf_puts(&f.out, limits[i].piece);
		strbuf_puts(&f.out, limits[i].tail);
		struct stap_file *file = parse(&f, f.out.data);
		const char *message = first_message(&f);
		size_t size = strlen(limits[i].message);
		tap_is_string(
			arena_strndup(&f.arena, message,
				size && size < strlen(message) ? size : strlen(message)),
			limits[i].message, limits[i].name);
		strbuf_clear(&f.out);
		stap_unparse(file, &f.out);
		stap_file_deinit(file);
		teardown(&f);
	}
}

static void test_macro_explosion(void)
{
	struct fixture f;
	setup(&f);
	strbuf_puts(&f.out, "@define m0 %( f() %)\n");
	for (int i = 1; i < 60; i++)
		strbuf_printf(&f.out, "@define m%d %%( @m%d @m%d %%)\n", i, i - 1, i - 1);
	strbuf_puts(&f.out, "probe begin { @m59 }\n");
	struct stap_file *file = parse(&f, f.out.data);
	tap_ok(file->error_count > 0, "doubling macros end in an error: %s",
		first_message(&f));
	stap_file_deinit(file);
	teardown(&f);
}

/* ---- library macros and versions ----------------------------------------------------------------- */

static void test_library_macros(void)
{
	struct fixture f;
	setup(&f);
	struct stap_macros *macros = stap_macros_create(&f.arena);
	f.options.macros = macros;
	tap_ok(stap_macros_add(macros,
		       make_source(&f, "a.stpm",
			       "@define one %( 1 %)\n@define two(x) %( @x + @one %)",
			       true),
		       &f.options, &f.diag),
		"a library file of macros");
	tap_ok(stap_macros_add(macros,
		       make_source(&f, "b.stpm", "@define three %( @two(2) %)", true),
		       &f.options, &f.diag),
		"another, which uses the first");
	tap_ok(!stap_macros_add(macros,
		       make_source(&f, "c.stpm", "@define four %( 4 %) probe", true),
		       &f.options, &f.diag),
		"a file with something else in it is refused");
	tap_is_long((long long)f.diag.error_count, 1, "and that was an error");
	struct stap_file *file =
		parse(&f, "@define one %( 11 %) probe begin { x = @three; y = @one }");
	stap_unparse(file, &f.out);
	tap_is_string(f.out.data,
		"probe begin {\n\t(x) = ((2) + (11));\n\t(y) = (11);\n}\n",
		"a script overrides a library macro");
	stap_file_deinit(file);
	file = parse(&f, "probe begin { x = @four }");
	tap_is_long(file->error_count, 1, "nothing of the refused file is defined");
	stap_file_deinit(file);
	stap_macros_destroy(macros);
	teardown(&f);
}

static const struct {
	const char *version, *input, *message;
} versions[] = {
	{NULL, "probe begin { x = y->z }", ""},
	{"2.5", "probe begin { x = y->z }", "expected literal string or number"},
	{NULL, "probe begin { x = @enumname(1) }", ""},
	{"5.5", "probe begin { x = @enumname(1) }", "unknown operator @enumname"},
	{"2.9", "private global x", "expected 'probe', 'global', 'function', or '%{'"},
	{"4.8", "%( systemtap_v == \"4.8\" %? global x %: ( %)", ""},
	{"1.0", "%( systemtap_v < \"1.1\" && systemtap_v >= \"0.9.10\" %? global x %: ( %)",
		""},
};

static void test_versions(void)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct fixture f;
		setup(&f);
		f.options.compatible = versions[i].version;
		struct stap_file *file = parse(&f, versions[i].input);
		const char *version =
			versions[i].version ? versions[i].version : "newest";
		tap_is_string(first_message(&f), versions[i].message,
			arena_printf(&f.arena, "%s: %s", version, versions[i].input));
		stap_file_deinit(file);
		teardown(&f);
	}
}

static const char *config(void *data, const char *name)
{
	return strcmp(name, "CONFIG_HZ") == 0 ? data : NULL;
}

static void test_conditions(void)
{
	static char hz[] = "250";
	static const char *const conditions[] = {
		"CONFIG_HZ == 250 && CONFIG_HZ >= 100 && CONFIG_HZ == \"25*\"",
		"CONFIG_NONE == \"n\" && CONFIG_NONE != 1 && CONFIG_HZ != CONFIG_NONE",
		"kernel_v == \"6.1.9\" && kernel_vr == \"6.1.9-rt4\"",
		"kernel_v > \"6.1.8\" && kernel_v < \"6.1.10\" && kernel_v == \"6.*\"",
		"guru_mode == 0",
	};
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		struct fixture f;
		setup(&f);
		f.options.kernel_config = config;
		f.options.kernel_config_data = hz;
		f.options.kernel_release = "6.1.9-rt4";
		struct stap_file *file = parse(
			&f, arena_printf(&f.arena, "%%( %s %%? global yes %%: ( %%)",
				    conditions[i]));
		tap_is_string(first_message(&f), "", conditions[i]);
		stap_file_deinit(file);
		teardown(&f);
	}
}

/* ---- renderings --------------------------------------------------------------------------------- */

static void test_renderings(void)
{
	struct fixture f;
	setup(&f);
	struct stap_file *file =
		parse(&f, "probe begin {\n\tfoo(1)\n\tbar(\"a\\n\")\n}\n");
	const struct stap_stmt *body = file->probes.items[0]->body;
	const struct stap_expr *foo = body->block.items[0]->expr;
	const struct stap_expr *bar = body->block.items[1]->expr;
	stap_diagnose(&f.diag, STAP_WARNING, foo->token, "never %s", "foo");
	stap_diagnose(&f.diag, STAP_WARNING, bar->token, "never %s", "foo");
	struct stap_diagnostic *error = stap_diagnose(&f.diag, STAP_SEMANTIC_ERROR,
		bar->call.args.items[0]->token, "type mismatch (%s)", "string");
	stap_diagnose_cause(&f.diag, error, foo->call.args.items[0]->token,
		"type was first inferred here (%s)", "long");
	stap_diagnose(
		&f.diag, STAP_SEMANTIC_ERROR, foo->token, "type mismatch (%s)", "long");
	stap_diagnose(&f.diag, STAP_SEMANTIC_ERROR, foo->token, "conflict")->token2 =
		bar->token;
	stap_diagnose(&f.diag, STAP_SEMANTIC_ERROR, NULL, "no probes found");
	static const char shown[] =
		"WARNING: never foo: identifier 'foo' at t.stp:2:2\n"
		" source: \tfoo(1)\n"
		"         \t^\n"
		"semantic error: type mismatch (string): string 'a\\n' at t.stp:3:6\n"
		"        source: \tbar(\"a\\n\")\n"
		"                \t    ^\n"
		"\n"
		"semantic error: type was first inferred here (long): number '1' at :2:6\n"
		"        source: \tfoo(1)\n"
		"                \t    ^\n"
		"\n"
		"semantic error: conflict: identifier 'foo' at t.stp:2:2\n"
		"        source: \tfoo(1)\n"
		"                \t^\n"
		"identifier 'bar' at :3:2\n"
		"        source: \tbar(\"a\\n\")\n"
		"                \t^\n"
		"\n"
		"semantic error: no probes found\n"
		"\n";
	stap_diagnostics_render(&f.diag, false, &f.out);
	tap_is_string(f.out.data, shown, "warnings, two places, chains, no place");
	strbuf_clear(&f.out);
	stap_diagnostics_render_suppressed(&f.diag, &f.out);
	tap_is_string(f.out.data,
		"Number of similar error messages suppressed: 1.\n"
		"Number of similar warning messages suppressed: 1.\n"
		"Rerun with -v to see them.\n",
		"similar ones are counted");
	strbuf_clear(&f.out);
	stap_diagnostics_render(&f.diag, true, &f.out);
	tap_ok(strstr(f.out.data, "type mismatch (long)") != NULL,
		"and shown when asked for");
	tap_is_long((long long)f.diag.error_count, 4,
		"errors are counted without their causes");
	stap_file_deinit(file);
	teardown(&f);
}

/* ---- copies and walks ---------------------------------------------------------------------------- */

static const char everything[] =
	"function f(a, b) { return a ? b : -a }\n"
	"probe begin {\n"
	"	if (a in b) foreach (v = [k, l] in m[1, *] limit n) x[k, l] = y++ else z <<< 1\n"
	"	for (i = 0; i < 9; i++) { try { delete b } catch (e) { print(e, f(1, 2)) } }\n"
	"	s = @entry($p->q[r]) . sprintf(\"%d\", @count(t)) =~ \"u\"; while (1) break\n"
	"	w = @hist_log(h)[j] + @perf(\"c\") + @defined(@cast(p, \"t\")->m)\n"
	"}\n";

static bool collect(struct stap_expr *expr, void *data)
{
	if (expr->kind == STAP_EXPR_VAR)
		strbuf_printf(data, "%s ", expr->var.name);
	return true;
}

static bool rename_all(struct stap_expr *expr, void *data)
{
	(void)data;
	if (expr->kind == STAP_EXPR_VAR)
		expr->var.name = "renamed";
	return true;
}

static bool stop_at_k(struct stap_expr *expr, void *data)
{
	++*(int *)data;
	return expr->kind != STAP_EXPR_VAR || strcmp(expr->var.name, "k") != 0;
}

static void test_copy_and_walk(void)
{
	struct fixture f;
	setup(&f);
	struct stap_file *file = parse(&f, everything);
	tap_is_string(first_message(&f), "", "a script with nearly every node");
	struct stap_probe *probe = file->probes.items[0];
	struct strbuf before;
	strbuf_init(&before);
	stap_unparse(file, &before);
	struct stap_stmt *copy = stap_stmt_copy(&f.arena, probe->body);
	tap_ok(stap_walk(copy, collect, &f.out), "a walk to the end");
	tap_is_string(f.out.data, "a k l v m n k l y z i i i e b e s r t w j h p ",
		"visits every variable, a statement's own before those below it");
	stap_walk(copy, rename_all, NULL);
	strbuf_clear(&f.out);
	stap_unparse(file, &f.out);
	tap_is_string(f.out.data, before.data, "a copy shares no node");
	int count = 0;
	tap_ok(!stap_walk(probe->body, stop_at_k, &count), "a walk can be stopped");
	tap_is_long(count, 3, "at once");
	strbuf_deinit(&before);
	stap_file_deinit(file);
	teardown(&f);
}

int main(void)
{
	test_expressions();
	test_items();
	test_limits();
	test_macro_explosion();
	test_library_macros();
	test_versions();
	test_conditions();
	test_renderings();
	test_copy_and_walk();
	return tap_done();
}
