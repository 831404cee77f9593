/* SPDX-License-Identifier: MIT */
/*
 * Patterns against regexec(3) of libc: a table, and patterns and texts made up at random out of a small
 * alphabet, where whether there is a match and where the whole of it lies must be equal.
 */
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/fixture.h"
#include "stap/regex.h"

enum {
	RANDOM_PATTERNS = 1500,
	TEXTS = 6
};

static const struct {
	const char *pattern, *text;
} cases[] = {
	{"abc", "xxabcxx"},
	{"^abc", "xabc"},
	{"abc$", "xxabc"},
	{"^$", ""},
	{"a*", "aaa"},
	{"a+", "baaac"},
	{"ab?c", "ac abc"},
	{"a|ab|abc", "abcd"},
	{"(a|ab)(c|bcd)", "abcd"},
	{"x*", "aaa"},
	{"[a-c]+", "xxabcabx"},
	{"[^a-c]+", "abxyzc"},
	{"[]a]+", "x]a]"},
	{"[^]a]", "]ab"},
	{"[[:digit:]]+", "ab123c"},
	{"[[:alpha:]_][[:alnum:]_]*", "1 _a9-"},
	{"a{2}", "aaaa"},
	{"a{2,}", "aaaa"},
	{"a{1,2}b", "aaab"},
	{"(ab){2}", "abababab"},
	{"(a*)(ab)*b", "aabb"},
	{"((a)|(b))*c", "ababc"},
	{".", ""},
	{"..", "a"},
	{"\\.", "a.b"},
	{"\\(a\\)", "(a)"},
	{"a.c", "abc a.c"},
	{"(|a)b", "ab"},
	{"(a|b|)c", "c"},
	{"x(y|z)*w", "xyzyzw"},
	{"a[-x]b", "a-b"},
	{"z*$", "zzz"},
};

/* One match of ours: the bounds, -1 -1 for none; -2 when the pattern is refused. */
static void match(struct fixture *f, struct arena *arena, const char *pattern,
	const char *text, int ret[2])
{
	struct stap_regex_result result = stap_regex_compile(arena, pattern, true);

	ret[0] = ret[1] = -2;
	if (!result.regex)
		return;
	ret[0] = ret[1] = -1;
	if (rt_regex_match(f->c, result.regex, text) && !f->c->error) {
		ret[0] = f->c->match_bounds[0];
		ret[1] = f->c->match_bounds[1];
	}
}

static void compare(
	struct fixture *f, const char *pattern, const char *text, unsigned *different)
{
	struct arena arena;
	regex_t theirs;
	regmatch_t bounds[1];
	int have[2], want[2] = {-1, -1};

	if (regcomp(&theirs, pattern, REG_EXTENDED))
		return;
	if (!regexec(&theirs, text, 1, bounds, 0)) {
		want[0] = bounds[0].rm_so;
		want[1] = bounds[0].rm_eo;
	}
	arena_init(&arena);
	match(f, &arena, pattern, text, have);
	int tried = stap_regex_try(&arena, pattern, text);
	if (have[0] != want[0] || have[1] != want[1] || tried != (want[0] >= 0)) {
		if (*different < 10)
			printf("# '%s' on '%s': have %d-%d (%d), want %d-%d\n", pattern,
				text, have[0], have[1], tried, want[0], want[1]);
		++*different;
	}
	arena_deinit(&arena);
	regfree(&theirs);
}

/* ---- made-up patterns ------------------------------------------------------ */

static unsigned state = 12345;

static unsigned pick(unsigned count)
{
	state = state * 1103515245u + 12345u;
	return (state >> 16) % count;
}

static char *put_pattern(char *at, unsigned depth);

static char *put_atom(char *at, unsigned depth)
{
	static const char *const atoms[] = {
		"a", "b", "c", "a", "b", ".", "[ab]", "[^a]", "[b-c]", "[[:alpha:]]"};

	if (depth && pick(4) == 0) {
		*at++ = '(';
		at = put_pattern(at, depth - 1);
		*at++ = ')';
		return at;
	}
	const char *atom = atoms[pick(sizeof(atoms) / sizeof(atoms[0]))];
	memcpy(at, atom, strlen(atom));
	return at + strlen(atom);
}

static char *put_pattern(char *at, unsigned depth)
{
	static const char *const closures[] = {
		"", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,3}"};
	unsigned terms = 1 + pick(2);

	for (unsigned t = 0; t < terms; t++) {
		unsigned factors = 1 + pick(3);

		if (t)
			*at++ = '|';
		for (unsigned n = 0; n < factors; n++) {
			at = put_atom(at, depth);
			const char *closure =
				closures[pick(sizeof(closures) / sizeof(closures[0]))];
			memcpy(at, closure, strlen(closure));
			at += strlen(closure);
		}
	}
	return at;
}

static void test_random(struct fixture *f)
{
	char pattern[4096], text[16];
	unsigned different = 0;

	for (unsigned n = 0; n < RANDOM_PATTERNS; n++) {
		char *at = pattern;

		if (pick(8) == 0)
			*at++ = '^';
		at = put_pattern(at, 2);
		if (pick(8) == 0)
			*at++ = '$';
		*at = '\0';
		for (unsigned t = 0; t < TEXTS; t++) {
			unsigned size = pick(10);

			for (unsigned i = 0; i < size; i++)
				text[i] = (char)('a' + pick(4));
			text[size] = '\0';
			compare(f, pattern, text, &different);
		}
	}
	tap_ok(!different, "%u patterns made up, %u texts each, as regexec()",
		RANDOM_PATTERNS, TEXTS);
}

/* ---- limits ------------------------------------------------------------------- */

static void test_limits(void)
{
	char pattern[200] = "";
	struct arena arena;

	arena_init(&arena);
	for (int i = 0; i < RT_REGEX_MAX_GROUPS - 1; i++)
		strcat(pattern, "(a)");
	tap_ok(stap_regex_compile(&arena, pattern, true).regex,
		"as many groups as can be kept");
	strcat(pattern, "(a)");
	tap_ok(!stap_regex_compile(&arena, pattern, true).regex, "one group more");
	tap_ok(stap_regex_compile(&arena, pattern, false).regex,
		"any number where nobody asks for them");
	arena_deinit(&arena);
}

int main(void)
{
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned different = 0;

		compare(&f, cases[i].pattern, cases[i].text, &different);
		tap_ok(!different, "'%s' on '%s'", cases[i].pattern, cases[i].text);
	}
	test_random(&f);
	test_limits();
	return tap_done();
}
