/* SPDX-License-Identifier: MIT */
/* .statement("FUNC@FILE:LINE") and .statement(ADDRESS). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "elf/names.h"
#include "session/target_internal.h"

static void add_line(struct expansion *e, const struct elf_line_place *place)
{
	struct elf_instance_info info;
	elf_instance_describe(place->instance, &info);
	struct target_site site = {.address = place->address,
		.instance = place->instance,
		.function = info.declaration.name,
		.has_blocks = true};
	site.pp = arena_printf(e->arena, ".statement(\"%s@%s:%d\")%s",
		info.declaration.name, place->file, place->line, e->point->suffix);
	target_add_site(e, &site);
}

static void match_lines(struct expansion *e, struct error *err)
{
	struct elf_line_place *places;
	size_t count;
	if (elf_lines_find(e->module->elf, &e->point->pattern.lines, e->arena, &places,
		    &count, err) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		add_line(e, &places[i]);
}

static void match_address(struct expansion *e)
{
	uint64_t address = e->point->address;
	struct elf_module *elf = e->module->elf;
	struct elf_instance_info info;
	struct target_site site = {.address = address,
		.instance = elf_instance_at(elf, address),
		.has_blocks = true};
	uint64_t start, end;
	const char *name = NULL;
	if (site.instance) {
		elf_instance_describe(site.instance, &info);
		name = info.declaration.name;
	} else if (!elf_module_function_at(elf, address, &start, &end, &name) || !name) {
		name = arena_printf(e->arena, "%#" PRIx64, address);
	}
	site.function = name;
	site.pp = arena_printf(
		e->arena, ".statement(%#" PRIx64 ")%s", address, e->point->suffix);
	target_add_site(e, &site);
}

/* .statement(ADDR).absolute: an address of the running process. */
int target_expand_absolute(struct expansion *e, struct error *err)
{
	struct target_point point = *e->point;
	pid_t pid = point.process_pid ? (pid_t)point.process_pid : e->target->target_pid;
	if (!pid || (point.process && !point.process_pid))
		return error_set(err, -EINVAL,
			"an absolute address needs process(PID), or a bare process with -x PID");
	int r = target_find_mapped(
		e->target, pid, point.address, &e->module, &point.address, err);
	if (r < 0)
		return r;
	const struct target_point *written = e->point;
	size_t before = e->locations.count;
	e->point = &point;
	match_address(e);
	e->point = written;
	if (e->locations.count > before)
		e->locations.items[before]->pp =
			arena_printf(e->arena, "%s.statement(%#" PRIx64 ")%s", e->prefix,
				written->address, written->suffix);
	return 0;
}

void target_expand_statements(struct expansion *e, struct error *err)
{
	const struct target_point *point = e->point;
	uint64_t start, end;
	const char *name;
	if (!point->pattern.text && elf_module_function_at(e->module->elf, point->address,
					    &start, &end, &name)) {
		match_address(e);
	} else if (!point->pattern.text) {
		error_set(err, 0, "no match (no function of %s is known at %#" PRIx64 ")",
			e->module->shown_path, point->address);
	} else if (point->pattern.has_lines) {
		match_lines(e, err);
	} else {
		/* without a line: where the function begins */
		size_t before = e->locations.count;
		target_expand_functions(e, err);
		for (size_t i = before; i < e->locations.count; i++) {
			struct stap_location *location = e->locations.items[i];
			const char *text = strchr(location->pp + strlen(e->prefix), '(');
			location->pp =
				arena_printf(e->arena, "%s.statement%s", e->prefix, text);
		}
	}
}
