/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "elf/names.h"
#include "session/target_internal.h"

static bool parse_number(const char **p, int *ret)
{
	char *end;
	if (!isdigit((unsigned char)**p))
		return false;
	errno = 0;
	long value = strtol(*p, &end, 10);
	if (errno || value > INT_MAX / 2)
		return false;
	*p = end;
	*ret = (int)value;
	return true;
}

/* N, or N-M, separated by commas */
static bool parse_ranges(struct target_pattern *pattern, const char *text)
{
	struct elf_line_query *lines = &pattern->lines;
	for (;;) {
		struct elf_line_range *range = &pattern->ranges[lines->range_count];
		if (lines->range_count == TARGET_LINE_RANGES_MAX ||
			!parse_number(&text, &range->first))
			return false;
		range->last = range->first;
		if (*text == '-') {
			text++;
			if (!parse_number(&text, &range->last) ||
				range->last < range->first)
				return false;
		}
		lines->range_count++;
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

/* Where the lines begin; names of files may have a '+' (c++/vector), which is one only before a number. */
static char *find_separator(char *file)
{
	char *colon = strrchr(file, ':'), *plus = strrchr(file, '+');
	if (colon)
		return colon;
	if (plus && plus[1] && plus[1 + strspn(plus + 1, "0123456789")] == '\0')
		return plus;
	return file + strlen(file);
}

static int pattern_malformed(const char *text, struct error *err)
{
	return error_set(err, -EINVAL,
		"malformed specification '%s' (FUNCTION@FILE:LINE, :FIRST-LAST, :*, or +OFFSET)",
		text);
}

/* FUNC [ "@" FILE [ ":" LINES | "+" OFFSET | ":*" ] ] */
static int parse_pattern(struct target_pattern *pattern, const char *text,
	struct arena *arena, struct error *err)
{
	const char *at = strrchr(text, '@');
	pattern->text = pattern->name = text;
	if (!text[0] || at == text)
		return pattern_malformed(text, err);
	if (!at)
		return 0;
	pattern->name = arena_strndup(arena, text, (size_t)(at - text));
	/* "f@@VERSION", as tools print default versions of symbols */
	if (at[-1] == '@')
		return 0;
	char *file = arena_strdup(arena, at + 1);
	char *mark = find_separator(file);
	char separator = *mark;
	struct elf_line_query *lines = &pattern->lines;
	*mark = '\0';
	if (!file[0])
		return pattern_malformed(text, err);
	pattern->file = file;
	lines->function = pattern->name;
	lines->file = pattern->file;
	lines->ranges = pattern->ranges;
	if (!separator)
		return 0;
	const char *rest = mark + 1;
	pattern->has_lines = true;
	bool ok;
	if (separator == '+') {
		lines->kind = ELF_LINES_RELATIVE;
		ok = parse_number(&rest, &lines->offset) && *rest == '\0';
	} else if (strcmp(rest, "*") == 0) {
		lines->kind = ELF_LINES_ALL;
		ok = true;
	} else {
		lines->kind = ELF_LINES_NUMBERED;
		ok = parse_ranges(pattern, rest);
	}
	return ok ? 0 : pattern_malformed(text, err);
}

static int parse_suffix(struct target_point *point, const char *name)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"return", &point->is_return},
		{"exported", &point->is_exported},
		{"inline", &point->is_inline},
		{"call", &point->is_call},
		{"nearest", &point->is_nearest},
		{"absolute", &point->is_absolute},
		{"write", &point->is_write},
		{"rw", &point->is_rw},
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(name, flags[i].name) != 0)
			continue;
		*flags[i].flag = true;
		return 0;
	}
	return -ENOENT;
}

static bool is_event_word(const char *name)
{
	static const char *const words[] = {"begin", "end", "thread", "syscall"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

static int parse_callees(struct target_point *point, const char *pattern, int64_t depth,
	struct arena *arena, struct error *err)
{
	if (depth < 1)
		return error_set(err, -EINVAL, ".callees(N) only acceptable for N >= 1");
	if (depth > TARGET_CALLEE_DEPTH_MAX)
		return error_set(err, -EINVAL, "callees depth must be between 1 and %d",
			TARGET_CALLEE_DEPTH_MAX);
	point->callee_depth = (int)depth;
	return parse_pattern(&point->callee, pattern, arena, err);
}

static int parse_component(struct target_point *point,
	const struct stap_component *component, struct arena *arena, struct error *err)
{
	const struct stap_expr *argument =
		component->has_argument ? component->argument : NULL;
	const char *name = component->name, *text = NULL;
	int64_t number = 0;
	if (argument && argument->kind == STAP_EXPR_STRING)
		text = argument->string;
	else if (argument)
		number = argument->number;
	if (strcmp(name, "process") == 0) {
		point->process = text;
		point->process_pid = number;
	} else if (strcmp(name, "library") == 0) {
		point->library = text;
	} else if (strcmp(name, "function") == 0 || strcmp(name, "statement") == 0) {
		point->kind =
			name[0] == 'f' ? TARGET_POINT_FUNCTION : TARGET_POINT_STATEMENT;
		point->address = (uint64_t)number;
		return text ? parse_pattern(&point->pattern, text, arena, err) : 0;
	} else if (strcmp(name, "label") == 0) {
		point->label = text;
	} else if (strcmp(name, "mark") == 0) {
		point->kind = TARGET_POINT_MARK;
		point->mark = text;
	} else if (strcmp(name, "provider") == 0) {
		point->provider = text;
	} else if (strcmp(name, "plt") == 0) {
		point->kind = TARGET_POINT_PLT;
		point->plt = text;
	} else if (strcmp(name, "callee") == 0) {
		return parse_callees(point, text, 1, arena, err);
	} else if (strcmp(name, "callees") == 0) {
		return parse_callees(point, "*", argument ? number : 1, arena, err);
	} else if (argument && strcmp(name, "data") == 0) {
		point->is_data = true;
		point->data = text;
		point->address = (uint64_t)number;
	} else if (argument && strcmp(name, "length") == 0) {
		point->data_length = number;
		point->has_length = true;
	} else if (!argument && is_event_word(name)) {
		return 0; /* target_event_of() */
	} else if (!argument && parse_suffix(point, name) == 0) {
		point->suffix = arena_printf(arena, "%s.%s", point->suffix, name);
	} else {
		return error_set(err, -ENOTSUP,
			"probe point component '%s' is not supported yet", name);
	}
	return 0;
}

int target_point_parse(const struct stap_point *point, struct arena *arena,
	struct target_point *ret, struct error *err)
{
	*ret = (struct target_point){.suffix = ""};
	for (uint32_t i = 0; i < point->component_count; i++) {
		int r = parse_component(ret, &point->components[i], arena, err);
		if (r < 0)
			return r;
	}
	ret->pattern.lines.is_nearest = ret->is_nearest;
	return 0;
}
