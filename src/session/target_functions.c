/* SPDX-License-Identifier: MIT */
/*
 * .function(...): functions are looked up in symbol tables first, which is fast and always there;
 * debug information adds where they are declared, what their variables are and where they are
 * inlined, and is searched for names of functions only when the symbols do not have them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/names.h"
#include "session/target_internal.h"

/* A function on its way to a location. */
struct entry_point {
	uint64_t entry, end;
	const char *symbol;
	const struct elf_instance *instance; /* NULL: no debug information */
};

static bool file_matches(
	const struct target_pattern *pattern, const struct elf_instance *instance)
{
	struct elf_instance_info info;
	if (!pattern->file)
		return true;
	if (!instance)
		return false;
	elf_instance_describe(instance, &info);
	return info.declaration.file &&
	       elf_pattern_matches_file(pattern->file, info.declaration.file);
}

/* ---- labels and callees of a function ---------------------------------------------------------------- */

/* The lines of .function("f@x.c:LINE") are those of the labels that are asked for. */
static bool label_is_meant(const struct expansion *e, const struct elf_label *label,
	const struct elf_instance_info *function)
{
	const struct elf_line_query *lines = &e->point->pattern.lines;
	if (!elf_pattern_matches_name(e->point->label, label->name))
		return false;
	if (!e->point->pattern.has_lines || lines->kind == ELF_LINES_ALL)
		return true;
	if (lines->kind == ELF_LINES_RELATIVE)
		return label->line == function->declaration.line + lines->offset;
	for (size_t i = 0; i < lines->range_count; i++) {
		if (label->line >= lines->ranges[i].first &&
			label->line <= lines->ranges[i].last)
			return true;
	}
	return false;
}

static void add_labels(struct expansion *e, const struct elf_instance *instance)
{
	struct elf_label *labels;
	struct elf_instance_info info;
	if (!instance)
		return;
	elf_instance_describe(instance, &info);
	size_t count = elf_instance_labels(e->module->elf, instance, e->arena, &labels);
	for (size_t i = 0; i < count; i++) {
		const struct elf_label *label = &labels[i];
		const char *where = "";
		if (!label_is_meant(e, label, &info))
			continue;
		if (label->file)
			where = arena_printf(
				e->arena, "@%s:%d", label->file, label->line);
		struct target_site site = {.address = label->address,
			.instance = instance,
			.function = info.declaration.name,
			.has_blocks = true};
		site.pp = arena_printf(e->arena, ".function(\"%s%s\").label(\"%s\")",
			info.declaration.name, where, label->name);
		target_add_site(e, &site);
	}
}

/*
 * Is the return address on top of the stack one of a caller's?  Holds at the first instruction of the
 * function and at its exits.
 */
static struct stap_access *return_address_guard(
	struct expansion *e, const struct elf_callee *callee)
{
	size_t count = callee->return_address_count, used = 0;
	struct stap_access *guard = arena_new(e->arena, struct stap_access);
	guard->ops = arena_array(e->arena, struct stap_access_op, 2 + 4 * count);
	guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_REG, 7};
	guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_DEREF, 8};
	for (size_t i = 0; i < count; i++) {
		/* keep the value below until the last comparison */
		if (i + 1 < count)
			guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_DUP, 0};
		guard->ops[used++] = (struct stap_access_op){
			STAP_ACCESS_STATIC, (int64_t)callee->return_addresses[i]};
		guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_EQ, 0};
		if (i + 1 < count)
			guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_SWAP, 0};
	}
	for (size_t i = 1; i < count; i++)
		guard->ops[used++] = (struct stap_access_op){STAP_ACCESS_OR, 0};
	guard->op_count = (uint32_t)used;
	guard->value_class = STAP_VALUE_BOOL;
	guard->type_name = "bool";
	guard->size = 8;
	guard->needs_static = true;
	return guard;
}

static bool callee_is_wanted(const struct expansion *e, const struct elf_callee *callee)
{
	const struct target_point *point = e->point;
	if (callee->return_addresses ? point->is_inline
				     : point->is_call || point->is_return)
		return false;
	return elf_instance_matches(callee->instance, point->callee.name) &&
	       file_matches(&point->callee, callee->instance);
}

static void add_callee(
	struct expansion *e, const struct elf_callee *callee, const char *text)
{
	struct elf_instance_info info;
	elf_instance_describe(callee->instance, &info);
	struct target_site site = {.address = info.entry,
		.instance = callee->instance,
		.function = info.declaration.name};
	site.pp = arena_printf(e->arena, "%s%s", text, e->point->suffix);
	if (callee->return_addresses)
		site.guard = return_address_guard(e, callee);
	target_add_site(e, &site);
}

static void add_callees(struct expansion *e, const struct elf_instance *caller,
	const char *prefix, int depth)
{
	struct elf_callee *callees;
	if (!caller || depth == 0)
		return;
	size_t count = elf_instance_callees(e->module->elf, caller, e->arena, &callees);
	for (size_t i = 0; i < count; i++) {
		struct elf_instance_info info;
		elf_instance_describe(callees[i].instance, &info);
		const char *text = arena_printf(e->arena, "%s.callee(\"%s\")", prefix,
			target_function_text(
				e, callees[i].instance, info.declaration.name));
		if (callee_is_wanted(e, &callees[i]))
			add_callee(e, &callees[i], text);
		add_callees(e, callees[i].instance, text, depth - 1);
	}
}

/* ---- functions ------------------------------------------------------------------------------------------ */

static void add_function(struct expansion *e, const struct entry_point *function)
{
	struct elf_instance_info info;
	struct elf_module *elf = e->module->elf;
	const char *name = function->symbol;
	e->seen = e->seen || function->instance;
	if (e->point->label) {
		add_labels(e, function->instance);
		return;
	}
	if (function->instance) {
		elf_instance_describe(function->instance, &info);
		name = info.declaration.name;
	}
	name = arena_strdup(e->arena, name);
	const char *text = target_function_text(e, function->instance, name);
	if (e->point->callee_depth) {
		add_callees(e, function->instance,
			arena_printf(e->arena, ".function(\"%s\")", text),
			e->point->callee_depth);
		return;
	}
	/* nobody called where the program starts, and it never returns */
	if (e->point->is_return && function->entry == elf_module_entry(elf)) {
		e->start_return = name;
		return;
	}
	struct target_site site = {.instance = function->instance, .function = name};
	/* exits are found from the entry; pairing needs the stack pointer of the first instruction */
	site.address = e->point->is_return
			       ? function->entry
			       : elf_dwarf_probe_address(elf, function->entry);
	site.pp = arena_printf(e->arena, ".function(\"%s\")%s", text, e->point->suffix);
	struct stap_location *location = target_add_site(e, &site);
	location->function_start = function->entry;
	location->function_end = function->end;
	location->mid_function = location->link_address != function->entry;
}

/* Of aliases at one address: the name asked for, else the one people know. */
static const struct elf_function *better_alias(const struct expansion *e,
	const struct elf_function *a, const struct elf_function *b)
{
	const char *wanted = e->point->pattern.name;
	if (!a)
		return b;
	bool a_exact = strcmp(a->name, wanted) == 0;
	bool b_exact = strcmp(b->name, wanted) == 0;
	if (a_exact != b_exact)
		return a_exact ? a : b;
	if (a->is_exported != b->is_exported)
		return a->is_exported ? a : b;
	size_t a_score = strspn(a->name, "_"), b_score = strspn(b->name, "_");
	if (a_score != b_score)
		return a_score < b_score ? a : b;
	return strlen(a->name) <= strlen(b->name) ? a : b;
}

/* "foo@GLIBC_2.2.5" and "foo@@GLIBC_2.34" look like FUNC@FILE. */
static bool is_versioned_name(const char *pattern, const struct elf_function *function)
{
	const char *at = strchr(pattern, '@');
	if (!at)
		return false;
	if (strcmp(pattern, function->name) == 0)
		return true;
	size_t length = (size_t)(at - pattern);
	return function->version && strlen(function->name) == length &&
	       memcmp(pattern, function->name, length) == 0 &&
	       strcmp(at + strspn(at, "@"), function->version) == 0;
}

static bool symbol_matches(const struct expansion *e, const struct elf_function *function,
	bool *ret_any_file)
{
	const struct target_point *point = e->point;
	*ret_any_file = false;
	if (point->is_exported && !function->is_exported)
		return false;
	if (is_versioned_name(point->pattern.text, function)) {
		*ret_any_file = true;
		return true;
	}
	/* parts of functions are no functions, unless somebody insists */
	if (function->is_cold_part && strcmp(point->pattern.name, function->name) != 0)
		return false;
	return elf_pattern_matches_symbol(point->pattern.name, function->name);
}

/*
 * memcpy is chosen when the program starts: its resolver names what it may be.  Only the chosen one
 * runs, so all of them are probed.
 */
static void add_implementations(struct expansion *e, const struct elf_function *ifunc)
{
	uint64_t *entries;
	struct elf_module *elf = e->module->elf;
	size_t count = elf_ifunc_implementations(elf, ifunc, e->arena, &entries);
	for (size_t i = 0; i < count; i++) {
		struct entry_point function = {0};
		if (!elf_module_function_at(elf, entries[i], &function.entry,
			    &function.end, &function.symbol))
			continue;
		if (!function.symbol)
			function.symbol = ifunc->name;
		function.instance = elf_instance_at_entry(elf, function.entry);
		add_function(e, &function);
	}
}

static void match_symbols(struct expansion *e)
{
	size_t count;
	struct elf_module *elf = e->module->elf;
	const struct elf_function *functions = elf_module_functions(elf, &count);
	for (size_t i = 0, next; i < count; i = next) {
		const struct elf_function *best = NULL;
		uint64_t end = functions[i].end;
		bool any_file = false;
		for (next = i;
			next < count && functions[next].start == functions[i].start;
			next++) {
			const struct elf_function *function = &functions[next];
			bool free_of_file;
			if (function->end > end)
				end = function->end;
			if (!symbol_matches(e, function, &free_of_file))
				continue;
			best = better_alias(e, best, function);
			any_file = any_file || free_of_file;
		}
		if (!best)
			continue;
		struct entry_point function = {best->start, end, best->name, NULL};
		function.instance = elf_instance_at_entry(elf, best->start);
		if (!any_file && !file_matches(&e->point->pattern, function.instance))
			continue;
		if (best->is_ifunc)
			add_implementations(e, best);
		else
			add_function(e, &function);
	}
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry_point *left = a, *right = b;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* Names that only debug information has, such as those of programs stripped of symbols alone. */
static void match_debug_information(struct expansion *e)
{
	VEC(struct entry_point) matches = {0};
	size_t cursor = 0;
	struct entry_point match = {0};
	struct elf_declaration declaration;
	while (elf_dwarf_next_function(
		e->module->elf, &cursor, &match.entry, &match.end, &declaration)) {
		match.instance = elf_instance_at_entry(e->module->elf, match.entry);
		match.symbol = declaration.name;
		if (match.instance &&
			elf_instance_matches(match.instance, e->point->pattern.name) &&
			file_matches(&e->point->pattern, match.instance))
			vec_append(&matches, match);
	}
	if (matches.count)
		qsort(matches.items, matches.count, sizeof(*matches.items),
			entry_compare);
	for (size_t i = 0; i < matches.count; i++) {
		const struct entry_point *found = &matches.items[i];
		if (i == 0 || found->entry != found[-1].entry)
			add_function(e, found);
	}
	vec_free(&matches);
}

/* ---- inlined copies ------------------------------------------------------------------------------------ */

static void add_inline(struct expansion *e, const struct elf_instance *copy)
{
	struct elf_instance_info info;
	if (e->point->label) {
		add_labels(e, copy);
		return;
	}
	elf_instance_describe(copy, &info);
	const char *text = target_function_text(e, copy, info.declaration.name);
	if (e->point->callee_depth) {
		add_callees(e, copy, arena_printf(e->arena, ".function(\"%s\")", text),
			e->point->callee_depth);
		return;
	}
	struct target_site site = {.address = info.entry,
		.instance = copy,
		.function = info.declaration.name};
	site.pp = arena_printf(e->arena, ".function(\"%s\")%s", text, e->point->suffix);
	target_add_site(e, &site);
}

static void match_inlines(struct expansion *e)
{
	struct elf_inline_walk walk = {0};
	const struct elf_instance *copy;
	const struct target_pattern *pattern = &e->point->pattern;
	if (e->point->is_call || e->point->is_exported)
		return;
	while ((copy = elf_inline_next(e->module->elf, &walk, pattern->name))) {
		if (!elf_instance_matches(copy, pattern->name) ||
			!file_matches(pattern, copy))
			continue;
		if (e->point->is_return && !e->point->callee_depth)
			e->inlined_returns++;
		else
			add_inline(e, copy);
	}
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

static void match_address(struct expansion *e, struct error *err)
{
	struct elf_module *elf = e->module->elf;
	uint64_t address = e->point->address;
	struct entry_point function = {0};
	const struct elf_instance *copy = elf_instance_at(elf, address);
	struct elf_instance_info info;
	if (e->point->is_inline) {
		if (copy)
			elf_instance_describe(copy, &info);
		if (!copy || !info.is_inline)
			error_set(err, 0,
				"no match (no function is inlined at %#" PRIx64 ")",
				address);
		else
			add_inline(e, copy);
		return;
	}
	if (!elf_module_function_at(
		    elf, address, &function.entry, &function.end, &function.symbol)) {
		error_set(err, 0, "no match (no function of %s is known at %#" PRIx64 ")",
			e->module->shown_path, address);
		return;
	}
	if (!function.symbol)
		function.symbol = arena_printf(e->arena, "%#" PRIx64, function.entry);
	function.instance = elf_instance_at_entry(elf, function.entry);
	add_function(e, &function);
}

/* ---- when nothing matched ----------------------------------------------------------------------------- */

/* Why a suffix leaves nothing of a function that is there; NULL: it is not. */
static const char *suffix_reason(const struct expansion *e)
{
	const struct target_pattern *pattern = &e->point->pattern;
	struct elf_inline_walk walk = {0};
	size_t count;
	if (pattern->file || elf_pattern_has_wildcard(pattern->name))
		return NULL;
	const struct elf_function *functions =
		elf_module_functions(e->module->elf, &count);
	if (e->point->is_inline || e->point->is_exported) {
		for (size_t i = 0; i < count; i++)
			if (strcmp(functions[i].name, pattern->name) == 0)
				return e->point->is_inline ? "is nowhere inlined"
							   : "is not exported";
	}
	return !e->point->is_inline &&
			       elf_inline_next(e->module->elf, &walk, pattern->name)
		       ? "is everywhere inlined"
		       : NULL;
}

static void report_no_match(struct expansion *e, struct error *err)
{
	const struct target_pattern *pattern = &e->point->pattern;
	VEC(const char *) names = {0};
	size_t count;
	if (e->start_return) {
		error_set(err, 0,
			"no match (cannot probe .return of %s: the program starts there and never returns from it)",
			e->start_return);
		return;
	}
	if (e->seen) {
		error_set(err, 0,
			e->point->label
				? "no match (%s has no such label with code of its own)"
				: "no match (the debug information of %s knows no such call: "
				  "compilers describe calls with -O -g)",
			pattern->text);
		return;
	}
	if (pattern->file && !elf_module_has_dwarf(e->module->elf)) {
		elf_missing_debuginfo(e->module->elf, "matching source files", err);
		return;
	}
	const char *reason = suffix_reason(e);
	if (reason) {
		error_set(err, 0, "no match (%s %s)", pattern->name, reason);
		return;
	}
	const struct elf_function *functions =
		elf_module_functions(e->module->elf, &count);
	size_t nameless = 0;
	for (size_t i = 0; i < count && !elf_pattern_has_wildcard(pattern->name); i++) {
		char name[256];
		const char *shown = functions[i].name;
		nameless += functions[i].is_nameless;
		if (functions[i].is_ifunc || functions[i].is_cold_part ||
			functions[i].is_nameless)
			continue;
		if (elf_demangle(shown, name, sizeof(name))) {
			const char *last =
				strstr(pattern->name, "::") ? NULL : strrchr(name, ':');
			shown = arena_strdup(e->arena, last ? last + 1 : name);
		}
		vec_append(&names, shown);
	}
	struct elf_inline_walk walk = {0};
	const struct elf_instance *instance;
	while ((instance = elf_inline_next(e->module->elf, &walk, "*"))) {
		struct elf_instance_info info;
		elf_instance_describe(instance, &info);
		if (info.declaration.name)
			vec_append(&names, info.declaration.name);
	}
	target_report_similar(
		e, "functions", pattern->name, names.items, names.count, err);
	if (nameless)
		error_set(err, 0,
			"%s; %s is stripped: %zu of its functions have no name but sub_ADDRESS",
			arena_strdup(e->arena, err->message), e->module->shown_path,
			nameless);
	if (count == 0)
		error_set(err, 0, "no match (%s has no symbols)", e->module->shown_path);
	vec_free(&names);
}

void target_expand_functions(struct expansion *e, struct error *err)
{
	size_t before = e->locations.count;
	const struct target_point *point = e->point;
	e->inlined_returns = 0;
	e->start_return = NULL;
	e->seen = false;
	if (!point->pattern.text) {
		match_address(e, err);
		return;
	}
	if (!point->is_inline) {
		match_symbols(e);
		if (e->locations.count == before && !point->is_exported)
			match_debug_information(e);
	}
	match_inlines(e);
	if (e->inlined_returns)
		target_warn(e->target,
			"cannot probe .return of %zu inlined function%s %s",
			e->inlined_returns, e->inlined_returns > 1 ? "s" : "",
			point->pattern.name);
	if (e->locations.count == 0)
		report_no_match(e, err);
}
