/* SPDX-License-Identifier: MIT */
#include "elf/names.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

enum {
	NAME_SIZE_MAX = 512,
	SIMILAR_LENGTH_MAX = 96,
	TEMPLATE_DEPTH_MAX = 64
};

/* ---- demangling ------------------------------------------------------------------------------------------
 * Only the names on the way to a function are wanted.  The grammar (Itanium C++ ABI, 5.1) is followed
 * far enough to step over template arguments; what else turns up makes the symbol stay mangled.
 */

struct demangle {
	const char *p;
	char *out;
	size_t used, size;
	size_t last; /* where the last component begins, for constructors */
};

static bool demangle_append(struct demangle *d, const char *text, size_t length)
{
	if (length >= d->size - d->used)
		return false;
	memcpy(d->out + d->used, text, length);
	d->used += length;
	d->out[d->used] = '\0';
	return true;
}

static bool demangle_component(struct demangle *d, const char *text, size_t length)
{
	if (d->used && !demangle_append(d, "::", 2))
		return false;
	d->last = d->used;
	return demangle_append(d, text, length);
}

static bool parse_length(const char **p, size_t *ret)
{
	size_t length = 0;
	if (!isdigit((unsigned char)**p))
		return false;
	while (isdigit((unsigned char)**p)) {
		length = length * 10 + (size_t)(*(*p)++ - '0');
		if (length > NAME_SIZE_MAX)
			return false;
	}
	*ret = length;
	return strnlen(*p, length) == length;
}

static bool demangle_source_name(struct demangle *d)
{
	size_t length;
	if (!parse_length(&d->p, &length))
		return false;
	const char *text = d->p;
	d->p += length;
	if (length >= 8 && strncmp(text, "_GLOBAL_", 8) == 0)
		return demangle_component(d, "(anonymous namespace)", 21);
	return demangle_component(d, text, length);
}

static bool skip_substitution(const char **p)
{
	(*p)++; /* S */
	if (islower((unsigned char)**p)) {
		(*p)++;
		return true;
	}
	while (isdigit((unsigned char)**p) || isupper((unsigned char)**p))
		(*p)++;
	return *(*p)++ == '_';
}

/* L <type> <value> E; a type is a builtin letter or a name */
static bool skip_literal(const char **p)
{
	size_t length;
	(*p)++;
	if (isdigit((unsigned char)**p)) {
		if (!parse_length(p, &length))
			return false;
		*p += length;
	}
	const char *end = strchr(*p, 'E');
	if (!end)
		return false;
	*p = end + 1;
	return true;
}

static bool skip_template_arguments(struct demangle *d)
{
	int depth = 0;
	const char *p = d->p;
	do {
		size_t length;
		if (isdigit((unsigned char)*p)) {
			if (!parse_length(&p, &length))
				return false;
			p += length;
		} else if (*p == 'S') {
			if (!skip_substitution(&p))
				return false;
		} else if (*p == 'L') {
			if (!skip_literal(&p))
				return false;
		} else if (*p == 'T') {
			p = strchr(p, '_');
			if (!p++)
				return false;
		} else if (*p == 'D') {
			depth += p[1] == 't' || p[1] == 'T';
			p += p[1] ? 2 : 1;
		} else if (*p == '\0' || depth > TEMPLATE_DEPTH_MAX) {
			return false;
		} else {
			depth += *p == 'I' || *p == 'N' || *p == 'X' || *p == 'J' ||
				 *p == 'F';
			depth -= *p == 'E';
			p++;
		}
	} while (depth > 0);
	d->p = p;
	return true;
}

static bool demangle_operator(struct demangle *d)
{
	static const struct {
		char code[3];
		const char *text;
	} operators[] = {
		{"nw", " new"},
		{"na", " new[]"},
		{"dl", " delete"},
		{"da", " delete[]"},
		{"cl", "()"},
		{"ix", "[]"},
		{"aS", "="},
		{"eq", "=="},
		{"ne", "!="},
		{"lt", "<"},
		{"gt", ">"},
		{"le", "<="},
		{"ge", ">="},
		{"pl", "+"},
		{"mi", "-"},
		{"ml", "*"},
		{"dv", "/"},
		{"rm", "%"},
		{"pL", "+="},
		{"mI", "-="},
		{"mL", "*="},
		{"dV", "/="},
		{"ls", "<<"},
		{"rs", ">>"},
		{"an", "&"},
		{"or", "|"},
		{"eo", "^"},
		{"aN", "&="},
		{"oR", "|="},
		{"eO", "^="},
		{"aa", "&&"},
		{"oo", "||"},
		{"nt", "!"},
		{"co", "~"},
		{"pp", "++"},
		{"mm", "--"},
		{"pt", "->"},
		{"de", "*"},
		{"ad", "&"},
		{"ss", "<=>"},
	};
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (strncmp(d->p, operators[i].code, 2) != 0)
			continue;
		d->p += 2;
		return demangle_component(d, "operator", 8) &&
		       demangle_append(d, operators[i].text, strlen(operators[i].text));
	}
	return false;
}

static bool demangle_special_member(struct demangle *d)
{
	char class[NAME_SIZE_MAX];
	size_t length = d->used - d->last;
	if (length == 0 || length >= sizeof(class))
		return false;
	memcpy(class, d->out + d->last, length);
	bool is_destructor = *d->p == 'D';
	d->p += 2;
	return demangle_component(d, "~", is_destructor) &&
	       demangle_append(d, class, length);
}

static bool demangle_standard_class(struct demangle *d)
{
	static const struct {
		char letter;
		const char *name;
	} classes[] = {{'a', "allocator"}, {'b', "basic_string"}, {'s', "string"},
		{'i', "istream"}, {'o', "ostream"}, {'d', "iostream"}};
	char letter = d->p[1];
	if (letter == 't') {
		d->p += 2;
		return demangle_component(d, "std", 3);
	}
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (classes[i].letter != letter)
			continue;
		d->p += 2;
		return demangle_component(d, "std", 3) &&
		       demangle_component(d, classes[i].name, strlen(classes[i].name));
	}
	return false;
}

static bool demangle_one(struct demangle *d)
{
	char c = d->p[0], next = c ? d->p[1] : '\0';
	if (isdigit((unsigned char)c))
		return demangle_source_name(d);
	if (c == 'L' && isdigit((unsigned char)next)) { /* internal linkage */
		d->p++;
		return demangle_source_name(d);
	}
	if (c == 'S')
		return demangle_standard_class(d);
	if (c == 'I')
		return d->used > 0 && skip_template_arguments(d);
	if (c == 'B') { /* ABI tag */
		size_t length;
		d->p++;
		if (!parse_length(&d->p, &length))
			return false;
		d->p += length;
		return true;
	}
	if ((c == 'C' || c == 'D') && isdigit((unsigned char)next))
		return demangle_special_member(d);
	return islower((unsigned char)c) && demangle_operator(d);
}

/* core::fmt::write::h0123456789abcdef: Rust's legacy mangling ends in a hash */
static void strip_rust_hash(struct demangle *d)
{
	const char *last = d->out + d->last;
	if (d->last < 2 || d->used - d->last != 17 || last[0] != 'h')
		return;
	for (size_t i = 1; i < 17; i++) {
		if (!isxdigit((unsigned char)last[i]))
			return;
	}
	d->used = d->last - 2;
	d->out[d->used] = '\0';
}

bool elf_demangle(const char *symbol, char *ret, size_t size)
{
	struct demangle d = {.out = ret, .size = size};
	if (strncmp(symbol, "_Z", 2) != 0 || size == 0)
		return false;
	d.p = symbol + 2;
	ret[0] = '\0';
	if (*d.p != 'N') {
		if (strncmp(d.p, "St", 2) == 0 && !demangle_one(&d))
			return false;
		return (isdigit((unsigned char)*d.p) || *d.p == 'L' ||
			       islower((unsigned char)*d.p)) &&
		       demangle_one(&d);
	}
	d.p++;
	while (*d.p &&
		strchr("rVKRO", *d.p)) /* cv- and reference qualifiers of the method */
		d.p++;
	while (*d.p != 'E') {
		if (!demangle_one(&d))
			return false;
	}
	strip_rust_hash(&d);
	return d.used > 0;
}

/* ---- patterns -------------------------------------------------------------------------------------------- */

bool elf_pattern_has_wildcard(const char *pattern)
{
	return strpbrk(pattern, "*?[") != NULL;
}

static bool pattern_matches(const char *pattern, bool has_wildcard, const char *text)
{
	return has_wildcard ? fnmatch(pattern, text, 0) == 0 : strcmp(pattern, text) == 0;
}

static bool matches_qualified(const char *pattern, bool has_wildcard, const char *symbol)
{
	char name[NAME_SIZE_MAX];
	if (!elf_demangle(symbol, name, sizeof(name)))
		return false;
	bool is_qualified = strstr(pattern, "::") != NULL;
	const char *tail = name;
	for (;;) {
		const char *next = strstr(tail, "::");
		if ((is_qualified || !next) &&
			pattern_matches(pattern, has_wildcard, tail))
			return true;
		if (!next)
			return false;
		tail = next + 2;
	}
}

bool elf_pattern_matches_symbol(const char *pattern, const char *symbol)
{
	bool has_wildcard = elf_pattern_has_wildcard(pattern);
	if (pattern_matches(pattern, has_wildcard, symbol))
		return true;
	char base[NAME_SIZE_MAX];
	const char *dot = symbol[0] ? strchr(symbol + 1, '.') : NULL;
	if (dot && (size_t)(dot - symbol) < sizeof(base) && dot[1] &&
		!strchr(pattern, '.') && islower((unsigned char)dot[1])) {
		memcpy(base, symbol, (size_t)(dot - symbol));
		base[dot - symbol] = '\0';
		if (pattern_matches(pattern, has_wildcard, base))
			return true;
	}
	return symbol[0] == '_' && symbol[1] == 'Z' &&
	       matches_qualified(pattern, has_wildcard, symbol);
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

/* Levenshtein's distance, or @limit + 1 as soon as it must be larger than @limit. */
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
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t shorter =
				row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			diagonal = row[j];
			row[j] = change < shorter ? change : shorter;
			if (row[j] < least)
				least = row[j];
		}
		if (least > limit)
			return SIZE_MAX;
	}
	return row[b_length];
}

void elf_similar_add(struct elf_similar *similar, const char *name)
{
	size_t limit = SIMILAR_LENGTH_MAX;
	if (similar->count == ELF_SIMILAR_MAX)
		limit = similar->best[ELF_SIMILAR_MAX - 1].distance;
	if (name[0] == '_' && similar->wanted[0] != '_')
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
