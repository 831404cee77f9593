/* SPDX-License-Identifier: MIT */
/* .mark("NAME"), .provider("P").mark("NAME") and .plt("NAME"). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "elf/names.h"
#include "elf/plt.h"
#include "session/target_internal.h"

/* ---- marks ------------------------------------------------------------------------------------------------- */

/* In C sources a mark's name has "__" where scripts may write "-". */
static const char *with_underscores(struct arena *arena, const char *pattern)
{
	struct strbuf out;
	strbuf_init(&out);
	for (const char *p = pattern; *p; p++)
		strbuf_puts(&out, *p == '-' ? "__" : (char[]){*p, '\0'});
	const char *text = arena_strdup(arena, out.data);
	strbuf_deinit(&out);
	return text;
}

static bool mark_text_matches(struct expansion *e, const char *pattern, const char *text)
{
	return elf_pattern_matches_name(pattern, text) ||
	       (strchr(pattern, '-') &&
		       elf_pattern_matches_name(
			       with_underscores(e->arena, pattern), text));
}

static void add_mark(struct expansion *e, const struct elf_mark *mark)
{
	struct elf_module *elf = e->module->elf;
	struct elf_instance_info info;
	uint64_t start, end;
	const char *symbol = NULL;
	struct target_site site = {.address = mark->address,
		.instance = elf_instance_at(elf, mark->address),
		.has_blocks = true};
	if (site.instance) {
		elf_instance_describe(site.instance, &info);
		site.function = info.declaration.name;
	} else if (elf_module_function_at(elf, mark->address, &start, &end, &symbol) &&
		   symbol) {
		site.function = symbol;
	} else {
		site.function = mark->name;
	}
	site.pp = e->point->provider
			  ? arena_printf(e->arena, ".provider(\"%s\").mark(\"%s\")",
				    mark->provider, mark->name)
			  : arena_printf(e->arena, ".mark(\"%s\")", mark->name);
	struct stap_location *location = target_add_site(e, &site);
	struct target_place *place = location->opaque;
	place->mark = mark;
	location->semaphore = mark->semaphore;
	location->name = mark->name;
	location->provider = mark->provider;
	location->mid_function = true;
}

void target_expand_marks(struct expansion *e, struct error *err)
{
	size_t count, before = e->locations.count;
	const struct elf_mark *marks = elf_module_marks(e->module->elf, &count);
	const struct target_point *point = e->point;
	VEC(const char *) names = {0};
	for (size_t i = 0; i < count; i++) {
		vec_append(&names, marks[i].name);
		if (point->provider &&
			!mark_text_matches(e, point->provider, marks[i].provider))
			continue;
		if (mark_text_matches(e, point->mark, marks[i].name))
			add_mark(e, &marks[i]);
	}
	if (e->locations.count == before && count)
		target_report_similar(
			e, "marks", point->mark, names.items, names.count, err);
	else if (e->locations.count == before)
		error_set(err, 0, "no match (%s has no marks)", e->module->shown_path);
	vec_free(&names);
}

/* ---- the procedure linkage table ------------------------------------------------------------------------ */

void target_expand_plt(struct expansion *e, struct error *err)
{
	struct elf_plt_entry *entries;
	size_t before = e->locations.count;
	const char *pattern = e->point->plt ? e->point->plt : "*";
	VEC(const char *) names = {0};
	size_t count = elf_module_plt(e->module->elf, e->arena, &entries);
	for (size_t i = 0; i < count; i++) {
		const struct elf_plt_entry *entry = &entries[i];
		struct target_site site = {
			.address = entry->start, .function = entry->name};
		vec_append(&names, entry->name);
		if (!elf_pattern_matches_symbol(pattern, entry->name))
			continue;
		site.pp = arena_printf(
			e->arena, ".plt(\"%s\")%s", entry->name, e->point->suffix);
		struct stap_location *location = target_add_site(e, &site);
		location->function_start = entry->start;
		location->function_end = entry->end;
		location->mid_function = false;
		location->name = location->function;
		location->is_behind_calls = location->is_return;
	}
	if (e->locations.count == before && count)
		target_report_similar(e, "stubs", pattern, names.items, names.count, err);
	else if (e->locations.count == before)
		error_set(err, 0, "no match (%s calls no other modules by a .plt)",
			e->module->shown_path);
	vec_free(&names);
}
