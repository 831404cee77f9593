/* SPDX-License-Identifier: MIT */
/* .data("NAME") and .data(ADDRESS): what the processor's debug registers watch. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "session/stap_target.h"
#include "session/target_internal.h"

enum {
	WATCHED_MAX = 8 /* bytes of a debug register: Intel SDM 3B, 18.2.5 */
};
#define USER_END (1ull << 47)

/* Addresses of a file are moved with it; others are the process's own, as a debugger shows them. */
static bool is_of_file(const struct elf_module *elf, uint64_t address)
{
	size_t count;
	const struct elf_segment *segments = elf_module_segments(elf, &count);
	for (size_t i = 0; i < count; i++)
		if (address - segments[i].address < segments[i].memory_size)
			return true;
	return false;
}

static int check_size(const char *what, uint64_t size, bool is_said, struct error *err)
{
	if (size == 1 || size == 2 || size == 4 || size == WATCHED_MAX)
		return 0;
	return error_set(err, -EINVAL,
		"%s has %" PRId64 " bytes; a debug register watches 1, 2, 4 or 8%s", what,
		(int64_t)size, is_said ? "" : ": say of which, as in .length(8)");
}

/* 0: the default, or all of the variable */
static int find_data(
	struct expansion *e, uint64_t *ret_address, uint64_t *ret_size, struct error *err)
{
	const struct target_point *point = e->point;
	const struct elf_object *object;
	*ret_address = point->address;
	*ret_size = point->has_length ? (uint64_t)point->data_length : 1;
	if (!point->data)
		return check_size(".length", *ret_size, true, err);
	if (!elf_module_symbol(e->module->elf, point->data, ret_address))
		return error_set(err, -ENOENT, "no match: %s has no variable '%s'",
			e->module->shown_path, point->data);
	object = elf_module_object_at(e->module->elf, *ret_address);
	if (!point->has_length && object && object->start == *ret_address)
		*ret_size = object->end - object->start;
	return check_size(point->has_length ? ".length" : point->data, *ret_size,
		point->has_length, err);
}

static const char *data_text(const struct expansion *e)
{
	const struct target_point *point = e->point;
	const char *what =
		point->data
			? arena_printf(e->arena, ".data(\"%s\")", point->data)
			: arena_printf(e->arena, ".data(0x%" PRIx64 ")", point->address);
	const char *length = point->has_length
				     ? arena_printf(e->arena, ".length(%" PRId64 ")",
					       point->data_length)
				     : "";
	return arena_printf(e->arena, "%s%s%s%s", e->prefix, what, length, point->suffix);
}

int target_expand_data(struct expansion *e, struct error *err)
{
	uint64_t address, size;
	int r = find_data(e, &address, &size, err);
	if (r < 0) /* another file of the pattern may have it */
		return r == -ENOENT ? 0 : r;
	if (address >= USER_END)
		return error_set(err, -EINVAL, "0x%" PRIx64 " is no address of a program",
			address);
	if (address % size)
		return error_set(err, -EINVAL,
			"0x%" PRIx64 " is no multiple of %" PRIu64
			": what a debug register watches is aligned",
			address, size);
	if (!e->point->library && stap_target_is_library(e->module->shown_path))
		return error_set(err, -ENOTSUP,
			"data of a library is watched in one program: "
			"process(\"PROGRAM\").library(\"%s\")",
			e->module->shown_path);
	struct target_place *place = arena_new(e->arena, struct target_place);
	struct stap_location *location = arena_new(e->arena, struct stap_location);
	place->module = e->module;
	*location = (struct stap_location){
		.module_path = e->module->shown_path,
		.event = STAP_EVENT_DATA,
		.only_program = e->point->library ? NULL : e->module->shown_path,
		.link_address = address,
		.data_size = (uint32_t)size,
		.data_is_absolute = !is_of_file(e->module->elf, address),
		.data_is_read = e->point->is_rw,
		.mid_function = true,
		.pp = data_text(e),
		.ppfunc = "",
		.opaque = place,
	};
	vec_append(&e->locations, location);
	return 0;
}
