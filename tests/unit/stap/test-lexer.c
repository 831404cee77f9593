/* SPDX-License-Identifier: MIT */
#include "stap/lexer.h"
#include "tap.h"

static const char *const arguments[] = {"foo", "1 + 2", "a\"b", "$1", "", "x#y"};

/* One line per input: kind and text of each token, a kind being its first letter. */
static const struct test_case {
	const char *name, *input, *expected, *compatible;
} cases[] = {
	{"nothing", "", "", NULL},
	{"white space and comments", " \t\v\f\r\n# a\n// b\n/* c /* d */ ", "", NULL},
	{"a mark of UTF-8",
		"\xef\xbb\xbf"
		"a \xef\xbb\xbf",
		"i:a j:\\xef j:\\xbb j:\\xbf", NULL},
	{"comment without an end", "a /* b", "i:a", NULL},
	{"comment ends at the file's end", "a # b", "i:a", NULL},
	{"names", "a _b c$1 D9$ $e $$f$$ $", "i:a i:_b i:c$1 i:D9$ i:$e i:$$f$$ i:$",
		NULL},
	{"keywords", "probe probes if iff limit try",
		"k:probe i:probes k:if i:iff k:limit k:try", NULL},
	{"private before 3.0", "private", "i:private", "2.9"},
	{"private since 3.0", "private", "k:private", "3.0"},
	{"words with @", "@cast @foo$ @ @@a", "o:@cast o:@foo$ o:@ o:@ o:@a", NULL},
	{"numbers", "0 12 0x1F 017 1_a", "n:0 n:12 n:0x1F=31 n:017=15 n:1 i:_a", NULL},
	{"largest numbers", "18446744073709551615 0x8000000000000000",
		"n:18446744073709551615=-1 n:0x8000000000000000=-9223372036854775808",
		NULL},
	{"numbers that are none", "0b1 10x 09 0x 18446744073709551616",
		"n:0b1! n:10x! n:09! n:0x! n:18446744073709551616!", NULL},
	{"strings", "\"\" \"a b\" \"#//\"", "s: s:a b s:#//", NULL},
	{"simple escapes", "\"\\a\\b\\t\\n\\v\\f\\r\\\\\\\"\"", "s:\a\b\t\n\v\f\r\\\"",
		NULL},
	{"octal escapes", "\"\\1\\12\\101\\1018\\18\"",
		"s:\1\12AA8\1"
		"8",
		NULL},
	{"hex escapes", "\"\\x41\\x4g\\xg\"", "s:A\4gxg", NULL},
	{"hex escapes before 2.3", "\"\\x41\"", "s:x41", "2.2"},
	{"unknown escapes", "\"\\q\\%\"", "s:q%", NULL},
	{"string not closed", "\"abc\nd", "j:Could not find matching closing quote i:d",
		NULL},
	{"escaped end of line", "\"abc\\\n d\" e", "s:abc\n d i:e", NULL},
	{"embedded C", "%{ a \" %% } %} b", "e: a \" %% }  i:b", NULL},
	{"embedded C not closed", "%{ a",
		"j:Could not find matching '%}' to close embedded function block", NULL},
	{"longest operators",
		"<<<=>>>=>>=<<===", "o:<<< o:= o:>>> o:= o:>>= o:<<= o:==", NULL},
	{"operators of two", "++--<<>>&&||!=<=>=+=-=*=/=%=&=|=^=.=->=~!~",
		"o:++ o:-- o:<< o:>> o:&& o:|| o:!= o:<= o:>= o:+= o:-= o:*= o:/= o:%= o:&= o:|= "
		"o:^= o:.= o:-> o:=~ o:!~",
		NULL},
	{"operators of one", "+-*/%&|^~!<> =.,;:?()[]{}`\\'",
		"o:+ o:- o:* o:/ o:% o:& o:| o:^ o:~ o:! o:< o:> o:= o:. o:, o:; o:: o:? o:( o:) o:[ o:] "
		"o:{ o:} o:` o:\\ o:'",
		NULL},
	{"preprocessor operators", "%( %? %: %)%%(", "o:%( o:%? o:%: o:%) o:% o:%(",
		NULL},
	{"bytes outside of anything", "\xc3\x01", "j:\\xc3 j:\\x01", NULL},
	{"arguments", "$1 @1 $2 @2", "i:foo s:foo n:1 o:+ n:2 s:1 + 2", NULL},
	{"argument glued to what follows", "$1bar $12",
		"i:foobar j:command line argument out of range [1-6]", NULL},
	{"argument only starts a token", "x$1 \"$1\"", "i:x$1 s:$1", NULL},
	{"string argument is not lexed", "@3 @4 @5", "s:a\"b s:$1 s:", NULL},
	{"nested argument", "$4 a",
		"j:invalid nested substitution of command line arguments i:a", NULL},
	{"empty argument", "a $5 b", "i:a i:b", NULL},
	{"argument with a comment", "$6 z\nw", "i:x i:w", NULL},
	{"argument counts", "$# @#", "n:6 s:6", NULL},
	{"argument out of range", "$0 @7 $99999999999999999999",
		"j:command line argument out of range [1-6] j:command line argument out of range [1-6] "
		"j:command line argument out of range [1-6]",
		NULL},
};

static void describe(struct strbuf *out, const struct stap_token *token)
{
	static const char letters[] = "?jikosne";
	strbuf_printf(out, "%s%c:", out->size ? " " : "", letters[token->kind]);
	if (token->kind == STAP_TOKEN_JUNK && token->junk_message)
		strbuf_puts(out, token->junk_message);
	else
		strbuf_puts(out, token->text);
	if (token->kind == STAP_TOKEN_NUMBER && token->junk_message)
		strbuf_putc(out, '!');
	else if (token->kind == STAP_TOKEN_NUMBER &&
		 (uint64_t)token->number != strtoull(token->text, NULL, 10))
		strbuf_printf(out, "=%lld", (long long)token->number);
	else if (token->kind == STAP_TOKEN_NUMBER && token->number < 0)
		strbuf_printf(out, "=%lld", (long long)token->number);
}

static void test_tokens(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena arena;
		arena_init(&arena);
		struct strbuf got;
		strbuf_init(&got);
		struct stap_source source = {
			"<input>", cases[i].input, strlen(cases[i].input), false, false};
		struct stap_parse_options options = {.arguments = arguments,
			.argument_count = 6,
			.compatible = cases[i].compatible};
		struct stap_lexer lexer;
		stap_lexer_init(&lexer, &arena, &source, &options);
		const struct stap_token *token;
		while ((token = stap_lexer_next(&lexer))->kind != STAP_TOKEN_EOF)
			describe(&got, token);
		tap_is_string(got.data, cases[i].expected, cases[i].name);
		stap_lexer_deinit(&lexer);
		strbuf_deinit(&got);
		arena_deinit(&arena);
	}
}

static void test_places(void)
{
	static const char text[] = "a\n\tbb $1\n\"s\" %{x\n%} c";
	static const unsigned want[][2] = {
		{1, 1}, {2, 2}, {2, 5}, {2, 5}, {2, 5}, {3, 1}, {3, 5}, {4, 4}, {4, 5}};
	static const char *const pasted[] = {"1 +\n2"};
	struct arena arena;
	arena_init(&arena);
	struct stap_source source = {"<input>", text, sizeof(text) - 1, false, false};
	bool used = false;
	struct stap_parse_options options = {
		.arguments = pasted, .argument_count = 1, .argument_used = &used};
	struct stap_lexer lexer;
	stap_lexer_init(&lexer, &arena, &source, &options);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const struct stap_token *token = stap_lexer_next(&lexer);
		tap_ok(token->line == want[i][0] && token->column == want[i][1],
			"token %zu at %u:%u, want %u:%u", i, token->line, token->column,
			want[i][0], want[i][1]);
	}
	tap_ok(used, "the argument counts as used");
	stap_lexer_deinit(&lexer);
	arena_deinit(&arena);
}

int main(void)
{
	test_tokens();
	test_places();
	return tap_done();
}
