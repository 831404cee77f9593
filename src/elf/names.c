/* SPDX-License-Identifier: MIT */
#include "elf/names.h"

#include <ctype.h>
#include <fnmatch.h>
#include <libiberty/demangle.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	NAME_SIZE_MAX = 4096,
	SIMILAR_LENGTH_MAX = 96
};

/* ---- demangling ---------------------------------------------------------------------------------------- */

/* Is a bracket here part of an operator's name? */
static bool is_operator_tail(const char *start, const char *at)
{
	while (at > start && strchr("<>=-()[]", at[-1]))
		at--;
	return at - start >= 8 && memcmp(at - 8, "operator", 8) == 0;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* One spelling for names that people space differently: blanks stay between words only. */
static void squeeze(char *text)
{
	char *out = text;
	for (const char *p = text; *p; p++) {
		bool between = out > text && is_word(out[-1]) && is_word(p[1]);
		if (*p != ' ' || between)
			*out++ = *p;
	}
	*out = '\0';
}

/*
 * "std::vector<int>::clear[abi:cxx11]" to "std::vector::clear".  A '<' that begins a component is
 * Rust's "<T as Trait>::f" and stays; after "::" it is a turbofish and goes with its colons.
 */
static void strip_arguments(char *text)
{
	char *out = text;
	size_t depth = 0;
	for (const char *p = text; *p; p++) {
		if (depth == 0 && strncmp(p, "[abi:", 5) == 0 && strchr(p, ']')) {
			p = strchr(p, ']');
			continue;
		}
		bool opens = *p == '<' && p > text && !is_operator_tail(text, p);
		bool closes = *p == '>' && depth > 0 && p[-1] != '-';
		if (opens && depth == 0 && out - text >= 2 && out[-1] == ':')
			out -= 2;
		depth += opens;
		if (depth == 0)
			*out++ = *p;
		depth -= closes;
	}
	while (out > text && out[-1] == ' ') /* "operator<< <int>" */
		out--;
	*out = '\0';
}

enum name_form {
	NAME_BARE,       /* ns::cls::f */
	NAME_TEMPLATED,  /* ns::cls<int>::f */
	NAME_PARAMETERS, /* ns::cls<int>::f(int) const */
};

/* Thunks, tables and guards have names that contain those of functions, but are none. */
static bool is_mangled(const char *symbol)
{
	if (strncmp(symbol, "_R", 2) == 0)
		return true;
	return strncmp(symbol, "_Z", 2) == 0 && symbol[2] != 'T' && symbol[2] != 'G';
}

static bool demangle(const char *symbol, enum name_form form, char *ret, size_t size)
{
	if (!is_mangled(symbol) || size == 0 || strlen(symbol) >= NAME_SIZE_MAX)
		return false;
	CLEANUP(cleanup_free) char *text = rust_demangle(symbol, 0);
	if (!text)
		text = cplus_demangle_v3(symbol,
			form == NAME_PARAMETERS ? DMGL_PARAMS | DMGL_RET_DROP : 0);
	if (!text || strlen(text) >= size)
		return false;
	strcpy(ret, text);
	if (form == NAME_BARE)
		strip_arguments(ret);
	return ret[0];
}

bool elf_demangle(const char *symbol, char *ret, size_t size)
{
	return demangle(symbol, NAME_BARE, ret, size);
}

/* ---- patterns -------------------------------------------------------------------------------------------- */

bool elf_pattern_has_wildcard(const char *pattern)
{
	return strpbrk(pattern, "*?[") != NULL;
}

static bool pattern_matches(const char *pattern, bool has_wildcard, const char *text)
{
	return strcmp(pattern, text) == 0 ||
	       (has_wildcard && fnmatch(pattern, text, 0) == 0);
}

/* The next "::" outside of brackets. */
static const char *next_scope(const char *text)
{
	int depth = 0;
	for (const char *p = text; *p; p++) {
		depth += *p == '<' || *p == '(' || *p == '{';
		depth -=
			(*p == '>' && p > text && p[-1] != '-') || *p == ')' || *p == '}';
		if (depth <= 0 && p[0] == ':' && p[1] == ':')
			return p;
	}
	return NULL;
}

/* The qualified name, or what is left when outer scopes are taken off. */
static bool matches_tail(const char *pattern, bool has_wildcard, const char *name)
{
	bool is_qualified = next_scope(pattern) != NULL;
	for (;;) {
		const char *next = next_scope(name);
		if ((is_qualified || !next) &&
			pattern_matches(pattern, has_wildcard, name))
			return true;
		if (!next)
			return false;
		name = next + 2;
	}
}

/*
 * Demangling costs a microsecond: most symbols are out because they do not contain the longest word
 * of the pattern's last component.  Operators and the standard abbreviations are spelled otherwise.
 */
static bool may_match(const char *pattern, const char *symbol)
{
	static const char *const abbreviated[] = {
		"allocator", "basic_string", "string", "istream", "ostream", "iostream"};
	const char *last = pattern, *next;
	char word[128];
	size_t length = 0;
	if (strstr(pattern, "operator") || strpbrk(pattern, "~({[$"))
		return true;
	while ((next = next_scope(last)))
		last = next + 2;
	for (const char *p = last; *p && *p != '<';) {
		size_t run = 0;
		while (is_word(p[run]))
			run++;
		if (run > length && run < sizeof(word)) {
			length = run;
			memcpy(word, p, run);
		}
		p += run ? run : 1;
	}
	word[length] = '\0';
	for (size_t i = 0; i < sizeof(abbreviated) / sizeof(abbreviated[0]); i++) {
		if (strstr(abbreviated[i], word))
			return true;
	}
	return strstr(symbol, word) != NULL;
}

static bool matches_mangled(const char *pattern, bool has_wildcard, const char *symbol)
{
	char name[NAME_SIZE_MAX], wanted[NAME_SIZE_MAX];
	if (!is_mangled(symbol) || strlen(pattern) >= sizeof(wanted) ||
		!may_match(pattern, symbol))
		return false;
	strcpy(wanted, pattern);
	squeeze(wanted);
	enum name_form last = strchr(pattern, '(')   ? NAME_PARAMETERS
			      : strchr(pattern, '<') ? NAME_TEMPLATED
						     : NAME_BARE;
	for (enum name_form form = NAME_BARE; form <= last; form++) {
		if (!demangle(symbol, form, name, sizeof(name)))
			return false;
		squeeze(name);
		if (matches_tail(wanted, has_wildcard, name))
			return true;
		char *constant = strstr(name, ")const");
		if (form != NAME_PARAMETERS || !constant)
			continue;
		constant[1] = '\0';
		if (matches_tail(wanted, has_wildcard, name))
			return true;
	}
	return false;
}

/* foo.constprop.0, foo.isra.0.cold, foo.lto_priv.1: copies of foo.  Go's main.main is none of main. */
static bool matches_clone(const char *pattern, bool has_wildcard, const char *symbol)
{
	static const char *const suffixes[] = {".constprop.", ".isra.", ".part.", ".cold",
		".lto_priv.", ".localalias", ".llvm.", ".clone."};
	char base[NAME_SIZE_MAX];
	const char *dot = symbol[0] ? strchr(symbol + 1, '.') : NULL;
	if (!dot || (size_t)(dot - symbol) >= sizeof(base) || strchr(pattern, '.'))
		return false;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (strncmp(dot, suffixes[i], strlen(suffixes[i])) != 0)
			continue;
		memcpy(base, symbol, (size_t)(dot - symbol));
		base[dot - symbol] = '\0';
		return pattern_matches(pattern, has_wildcard, base);
	}
	return false;
}

bool elf_pattern_matches_symbol(const char *pattern, const char *symbol)
{
	bool has_wildcard = elf_pattern_has_wildcard(pattern);
	return pattern_matches(pattern, has_wildcard, symbol) ||
	       matches_clone(pattern, has_wildcard, symbol) ||
	       matches_mangled(pattern, has_wildcard, symbol);
}

bool elf_pattern_matches_name(const char *pattern, const char *qualified)
{
	return matches_tail(pattern, elf_pattern_has_wildcard(pattern), qualified);
}

bool elf_pattern_matches_file(const char *pattern, const char *path)
{
	bool has_wildcard = elf_pattern_has_wildcard(pattern);
	if (pattern_matches(pattern, has_wildcard, path))
		return true;
	for (const char *slash = strchr(path, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		if (pattern_matches(pattern, has_wildcard, slash + 1))
			return true;
	}
	return false;
}

/* ---- suggestions ------------------------------------------------------------------------------------------ */

enum {
	CHANGE = 2,
	CHANGE_OF_CASE = 1,
	ADDITION = 2, /* or loss; but 1 in front of all that the other name has */
};

/* SystemTap's measure, or SIZE_MAX as soon as it must be larger than @limit. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
	size_t row[SIMILAR_LENGTH_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);
	if (a_length > SIMILAR_LENGTH_MAX || b_length > SIMILAR_LENGTH_MAX)
		return SIZE_MAX;
	size_t difference =
		a_length > b_length ? a_length - b_length : b_length - a_length;
	if (difference > limit)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0], least = i;
		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			char x = a[i - 1], y = b[j - 1];
			bool same_letter =
				tolower((unsigned char)x) == tolower((unsigned char)y);
			size_t change =
				diagonal + (same_letter ? CHANGE_OF_CASE : CHANGE);
			size_t least_of_both = row[j] < row[j - 1] ? row[j] : row[j - 1];
			size_t shorter = least_of_both + ADDITION;
			size_t value = change < shorter ? change : shorter;
			value = x == y ? diagonal : value;
			diagonal = row[j];
			row[j] = value;
			if (row[j] < least)
				least = row[j];
		}
		if (least > limit)
			return SIZE_MAX;
	}
	return row[b_length];
}

struct ranked {
	const char *name;
	size_t distance;
};

static int by_distance(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;
	if (left->distance != right->distance)
		return left->distance < right->distance ? -1 : 1;
	return strcmp(left->name, right->name);
}

void elf_names_sort_similar(const char **names, size_t count, const char *wanted)
{
	struct ranked *ranked = calloc(count + 1, sizeof(*ranked));
	for (size_t i = 0; ranked && i < count; i++)
		ranked[i] = (struct ranked){
			names[i], edit_distance(wanted, names[i], SIMILAR_LENGTH_MAX)};
	if (ranked)
		qsort(ranked, count, sizeof(*ranked), by_distance);
	for (size_t i = 0; ranked && i < count; i++)
		names[i] = ranked[i].name;
	free(ranked);
}

void elf_similar_add(struct elf_similar *similar, const char *name)
{
	size_t limit = SIMILAR_LENGTH_MAX;
	if (similar->count == ELF_SIMILAR_MAX)
		limit = similar->best[ELF_SIMILAR_MAX - 1].distance;
	if (strncmp(name, "__", 2) == 0)
		return;
	size_t distance = edit_distance(similar->wanted, name, limit);
	if (distance == SIZE_MAX)
		return;
	size_t at = similar->count;
	for (size_t i = 0; i < similar->count; i++) {
		if (strcmp(similar->best[i].name, name) == 0)
			return;
	}
	while (at > 0 && (similar->best[at - 1].distance > distance ||
				 (similar->best[at - 1].distance == distance &&
					 strcmp(similar->best[at - 1].name, name) > 0)))
		at--;
	if (at == ELF_SIMILAR_MAX)
		return;
	if (similar->count < ELF_SIMILAR_MAX)
		similar->count++;
	memmove(&similar->best[at + 1], &similar->best[at],
		(similar->count - 1 - at) * sizeof(similar->best[0]));
	similar->best[at].name = name;
	similar->best[at].distance = distance;
}

void elf_similar_print(const struct elf_similar *similar, struct strbuf *out)
{
	for (size_t i = 0; i < similar->count; i++)
		strbuf_printf(out, "%s%s", i ? ", " : "", similar->best[i].name);
}
