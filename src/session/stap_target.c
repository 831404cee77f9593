/* SPDX-License-Identifier: MIT */
/*
 * Probe points to code addresses, and variables to accesses.  A point names modules (a program, a
 * library it needs, several with wildcards), then places in them: target_*.c has a file for each part.
 */
#include "session/stap_target.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/access.h"
#include "elf/enumeration.h"
#include "elf/library.h"
#include "elf/names.h"
#include "session/perf_events.h"
#include "session/target_internal.h"

/* KEEP IN SYNC: elf_op_kind, elf_value_class */
static_assert((int)ELF_OP_ZERO_EXTEND == (int)STAP_ACCESS_ZERO_EXTEND &&
		      (int)ELF_OP_THREAD == (int)STAP_ACCESS_THREAD &&
		      (int)ELF_OP_ENTRY == (int)STAP_ACCESS_ENTRY &&
		      (int)ELF_OP_DEREF == (int)STAP_ACCESS_DEREF &&
		      (int)ELF_OP_DUP == (int)STAP_ACCESS_DUP &&
		      (int)ELF_OP_GE == (int)STAP_ACCESS_GE &&
		      (int)ELF_OP_NOT == (int)STAP_ACCESS_NOT &&
		      (int)ELF_OP_STATIC == (int)STAP_ACCESS_STATIC,
	"operations differ");
static_assert((int)ELF_VALUE_VOID == (int)STAP_VALUE_VOID &&
		      (int)ELF_VALUE_FLOAT == (int)STAP_VALUE_FLOAT &&
		      (int)ELF_VALUE_BOOL == (int)STAP_VALUE_BOOL,
	"value classes differ");

/* ---- locations ---------------------------------------------------------------------------------------------- */

void target_warn(struct target *target, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	target->warnings++;
	if (!target->warn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	target->warn(target->warn_data, text);
}

const char *target_function_text(
	struct expansion *e, const struct elf_instance *instance, const char *name)
{
	struct elf_instance_info info;
	if (!instance)
		return name;
	elf_instance_describe(instance, &info);
	/* Go says the file only; its line table knows the rest */
	if (!info.declaration.line)
		(void)elf_line_at(e->module->elf, info.entry, &info.declaration.file,
			&info.declaration.line);
	if (!info.declaration.file)
		return name;
	return arena_printf(
		e->arena, "%s@%s:%d", name, info.declaration.file, info.declaration.line);
}

void target_report_similar(struct expansion *e, const char *what, const char *wanted,
	const char *const *names, size_t count, struct error *err)
{
	struct elf_similar similar = {.wanted = wanted};
	struct strbuf text;
	strbuf_init(&text);
	for (size_t i = 0; i < count; i++)
		elf_similar_add(&similar, names[i]);
	elf_similar_print(&similar, &text);
	if (text.size)
		error_set(err, 0, "no match (similar %s: %s)", what, text.data);
	else
		error_set(err, 0, "no match");
	strbuf_deinit(&text);
}

static uint64_t instance_function(const struct elf_instance *instance)
{
	struct elf_instance_info info = {.parent = instance};
	while (info.parent)
		elf_instance_describe(info.parent, &info);
	return info.entry;
}

/* Without debug information all that is known of C++ and Rust functions are their symbols. */
static const char *readable_name(struct arena *arena, const char *name)
{
	char text[512];
	return elf_demangle(name, text, sizeof(text)) ? arena_strdup(arena, text) : name;
}

struct stap_location *target_add_site(struct expansion *e, const struct target_site *site)
{
	struct stap_location *location = arena_new(e->arena, struct stap_location);
	struct target_place *place = arena_new(e->arena, struct target_place);
	const char *symbol;
	place->module = e->module;
	place->instance = site->instance;
	place->has_blocks = site->has_blocks;
	if (site->instance) {
		struct elf_instance_info info;
		elf_instance_describe(site->instance, &info);
		place->instance_entry = info.entry;
		place->instance_offset = elf_instance_offset(site->instance);
	}
	place->entry = site->instance ? instance_function(site->instance) : 0;
	location->module_path = e->module->shown_path;
	location->function = arena_strdup(e->arena, site->function);
	location->link_address = site->address;
	/* a part that was split off has an extent of its own */
	if (!elf_module_function_at(e->module->elf, site->address,
		    &location->function_start, &location->function_end, &symbol)) {
		location->function_start = site->address;
		location->function_end = site->address + 1;
	}
	location->mid_function = site->address != location->function_start;
	location->is_return = e->point->is_return;
	location->is_go = elf_module_is_go(e->module->elf);
	location->has_debug_info =
		site->instance && elf_instance_follows_abi(site->instance);
	location->pp = arena_printf(e->arena, "%s%s", e->prefix, site->pp);
	location->ppfunc = readable_name(e->arena, location->function);
	location->guard = site->guard;
	location->opaque = place;
	vec_append(&e->locations, location);
	return location;
}

/* ---- expanding -------------------------------------------------------------------------------------------- */

static void expand_module(struct expansion *e, struct error *err)
{
	size_t before = e->locations.count;
	unsigned warnings = e->target->warnings;
	if (target_recall(e))
		return;
	switch (e->point->kind) {
	case TARGET_POINT_FUNCTION:
		target_expand_functions(e, err);
		break;
	case TARGET_POINT_STATEMENT:
		target_expand_statements(e, err);
		break;
	case TARGET_POINT_MARK:
		target_expand_marks(e, err);
		break;
	case TARGET_POINT_PLT:
		target_expand_plt(e, err);
		break;
	}
	target_remember(e, before, warnings);
}

static int expand_libraries(
	struct expansion *e, const struct target_module *program, struct error *err)
{
	struct target_module_list libraries = {0};
	int r = target_find_libraries(e->target, e->point, program, &libraries, err);
	for (size_t i = 0; i < libraries.count && r == 0; i++) {
		e->module = libraries.items[i];
		e->prefix = arena_printf(e->arena, "process(\"%s\").library(\"%s\")",
			program->shown_path, e->module->shown_path);
		if (e->point->is_data)
			r = target_expand_data(e, err);
		else
			expand_module(e, err);
	}
	vec_free(&libraries);
	return r;
}

/* A library is mapped by other programs too, a program run by other processes. */
static void restrict_processes(
	struct expansion *e, size_t first, const struct target_module *program)
{
	for (size_t i = first; i < e->locations.count; i++) {
		struct stap_location *location = e->locations.items[i];
		location->only_pid = e->point->process_pid;
		if (e->point->library && e->point->process)
			location->only_program = program->shown_path;
	}
}

static int expand_programs(
	struct expansion *e, const struct target_module_list *programs, struct error *err)
{
	int r = 0;
	for (size_t i = 0; i < programs->count && r == 0; i++) {
		size_t before = e->locations.count;
		e->module = programs->items[i];
		e->prefix =
			arena_printf(e->arena, "process(\"%s\")", e->module->shown_path);
		if (e->point->is_absolute)
			r = target_expand_absolute(e, err);
		else if (e->point->library)
			r = expand_libraries(e, programs->items[i], err);
		else if (e->point->is_data)
			r = target_expand_data(e, err);
		else
			expand_module(e, err);
		restrict_processes(e, before, programs->items[i]);
	}
	return r;
}

static int target_expand(void *data, const struct stap_point *point, struct arena *arena,
	struct stap_location ***ret, uint32_t *ret_count, struct error *err)
{
	struct target_point parsed;
	struct error ignored;
	struct target_module_list programs = {0};
	if (!err)
		err = &ignored;
	bool is_event = target_event_of(point) != STAP_EVENT_NONE;
	int r = target_point_parse(point, arena, &parsed, err);
	if (r < 0)
		return r;
	err->message[0] = err->hint[0] = '\0';
	struct expansion e = {.target = data, .point = &parsed, .arena = arena};
	if (is_event)
		r = target_expand_event(&e, point, err);
	else
		r = target_find_programs(data, &parsed, &programs, err);
	if (r == 0 && !is_event)
		r = expand_programs(&e, &programs, err);
	vec_free(&programs);
	if (r < 0) {
		vec_free(&e.locations);
		return r;
	}
	if (e.locations.count)
		*err = (struct error){0};
	else if (!err->message[0])
		error_set(err, 0, "no match");
	*ret = e.locations.items;
	*ret_count = (uint32_t)e.locations.count;
	return 0;
}

/* ---- variables ---------------------------------------------------------------------------------------------- */

/* One that a program needs, by its base name. */
static struct target_module *find_library(
	struct target *target, struct target_module *program, const char *name)
{
	const struct target_point point = {.library = name};
	struct target_module_list list = {0};
	struct target_module *found = NULL;
	struct error ignored;

	if (!strchr(name, '/') &&
		target_find_libraries(target, &point, program, &list, &ignored) == 0 &&
		list.count)
		found = list.items[0];
	vec_free(&list);
	return found;
}

static struct target_module *find_one_module(struct target *target,
	struct target_module *program, const char *name, struct error *err)
{
	struct target_module *module;
	const char *path;

	if (target_is_header(name))
		return target_open_header(target, name, &module, err) < 0 ? NULL : module;
	for (size_t i = 0; i < target->modules.count; i++) {
		if (target_path_matches(name, target->modules.items[i]->shown_path))
			return target->modules.items[i];
	}
	if (elf_program_find("", name, &target->arena, &path) == 0)
		return target_open_module(target, path, path, &module, err) < 0 ? NULL
										: module;
	module = program ? find_library(target, program, name) : NULL;
	if (!module)
		error_set(err, -ENOENT, "no module '%s' is known here", name);
	return module;
}

/* The module named in @cast(p, "type", "MODULE") or @var("x", "MODULE"): the first that there is of
 * several with colons between them.  NULL with @err when none. */
static struct target_module *find_named_module(struct target *target,
	const struct stap_location *location, const char *name, struct error *err)
{
	const struct target_place *place = location ? location->opaque : NULL;
	struct target_module *module = NULL;
	if (!name || !name[0]) {
		if (place)
			return place->module;
		error_set(err, -ENOENT,
			"@cast and @var need a module outside of process probes");
		return NULL;
	}
	for (;;) {
		size_t size = strcspn(name, ":");

		module = find_one_module(target, place ? place->module : NULL,
			arena_strndup(&target->arena, name, size), err);
		if (module || !name[size])
			break;
		name += size + 1;
	}
	if (module && err)
		*err = (struct error){0};
	return module;
}

static void build_steps(const struct stap_expr *target, struct arena *arena,
	struct stap_access *access, struct elf_access_request *request)
{
	uint32_t count = target->target.component_count;
	struct elf_access_step *steps =
		arena_array(arena, struct elf_access_step, count + 1);
	access->operands = arena_array(arena, struct stap_expr *, count + 1);
	if (target->target.base == STAP_TARGET_CAST)
		access->operands[access->operand_count++] = target->target.operand;
	for (uint32_t i = 0; i < count; i++) {
		const struct stap_target_component *component =
			&target->target.components[i];
		steps[i].member = component->member;
		if (component->member)
			continue;
		if (component->index->kind == STAP_EXPR_NUMBER) {
			steps[i].is_constant = true;
			steps[i].index = component->index->number;
			continue;
		}
		steps[i].operand = access->operand_count;
		access->operands[access->operand_count++] = component->index;
	}
	request->steps = steps;
	request->step_count = count;
	request->is_address_of = target->target.address_of;
}

static void copy_access(
	const struct elf_access *from, struct arena *arena, struct stap_access *to)
{
	to->ops = arena_array(arena, struct stap_access_op, from->op_count + 1);
	to->op_count = (uint32_t)from->op_count;
	for (size_t i = 0; i < from->op_count; i++)
		to->ops[i] = (struct stap_access_op){
			(enum stap_access_op_kind)from->ops[i].kind, from->ops[i].value};
	to->value_class = (enum stap_value_class)from->value_class;
	to->type_name = from->type_name;
	to->size = from->size;
	to->needs_callee_saved = from->needs_callee_saved;
	to->needs_static = from->needs_static;
}

static enum elf_access_base access_base(const struct stap_expr *target,
	const struct stap_location *location, bool at_entry)
{
	if (target->target.base == STAP_TARGET_CAST)
		return ELF_BASE_CAST;
	if (target->target.base == STAP_TARGET_ATVAR)
		return ELF_BASE_GLOBAL;
	if (location && location->is_return && !at_entry &&
		strcmp(target->target.name, "return") == 0)
		return ELF_BASE_RETURN;
	return ELF_BASE_VARIABLE;
}

static void where_place(
	const struct stap_location *location, struct elf_access_request *request)
{
	const struct target_place *place = location->opaque;
	request->function = place->entry;
	request->pc = location->link_address;
	request->has_blocks = place->has_blocks;
}

/* What elf/ needs to know about a target expression; operands go to @access. */
static int build_request(struct target *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct elf_access_request *ret, struct elf_module **ret_module,
	struct stap_access *access, struct error *err)
{
	const struct target_place *place = location ? location->opaque : NULL;
	struct target_module *module =
		find_named_module(data, location, target->target.module, err);
	if (!module)
		return -ENOENT;
	*ret = (struct elf_access_request){
		.base = access_base(target, location, at_entry)};
	ret->name = target->target.name;
	if (ret->base == ELF_BASE_CAST) {
		ret->name = target->target.type_name;
		ret->types = module->elf;
	} else if (!place || module != place->module || location->event) {
		if (target_is_header(module->shown_path))
			return error_set(err, -ENOTSUP, "a header has no variables");
		access->static_module = arena_strdup(arena, module->shown_path);
		place = NULL;
	}
	if (place)
		where_place(location, ret);
	*ret_module = place ? place->module->elf : module->elf;
	build_steps(target, arena, access, ret);
	return 0;
}

/* $arg1 of a mark; other names are variables of the code around it */
static unsigned mark_argument(
	const struct stap_location *location, const struct stap_expr *target)
{
	const struct target_place *place = location ? location->opaque : NULL;
	unsigned number = 0;
	int end = 0;
	if (place && place->mark && target->target.base == STAP_TARGET_VAR &&
		sscanf(target->target.name, "arg%u%n", &number, &end) == 1 &&
		target->target.name[end] == '\0')
		return number;
	return 0;
}

static int compile_mark_argument(const struct stap_location *location,
	const struct stap_expr *target, unsigned number, struct arena *arena,
	struct elf_access *ret, struct error *err)
{
	const struct target_place *place = location->opaque;
	if (target->target.component_count)
		return error_set(err, -EINVAL,
			"invalid access to '$arg%u': its type is not known, use @cast",
			number);
	if (target->target.address_of)
		return error_set(err, -EINVAL, "cannot take address of sdt variable");
	return elf_mark_access(place->module->elf, place->mark, number, arena, ret, err);
}

/* A stub of .plt: it has a name and nothing else. */
static bool is_stub(const struct stap_location *location)
{
	const struct target_place *place = location ? location->opaque : NULL;
	return place && location->name && !place->mark;
}

/* Whose types the value is of. */
static const char *type_module(struct target *data, const struct stap_location *location,
	const struct stap_expr *target)
{
	struct error ignored;
	const struct target_module *module =
		find_named_module(data, location, target->target.module, &ignored);
	return module ? module->shown_path : NULL;
}

static int target_access(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_access **ret, struct error *err)
{
	struct elf_access_request request;
	struct elf_module *module;
	struct elf_access compiled;
	struct stap_access *access = arena_new(arena, struct stap_access);
	unsigned number = mark_argument(location, target);
	int r;
	if (location && location->event && target->target.base == STAP_TARGET_VAR) {
		*ret = access;
		return target_event_access(location, target, arena, access, err);
	}
	if (is_stub(location) && target->target.base == STAP_TARGET_VAR)
		return error_set(err, -ENOENT,
			"unable to find plt variable '$%s' (alternatives: $$name)",
			target->target.name);
	if (number)
		r = compile_mark_argument(
			location, target, number, arena, &compiled, err);
	else
		r = build_request(data, location, target, at_entry, arena, &request,
			&module, access, err);
	if (r == 0 && !number)
		r = target_compile(module,
			location && !access->static_module ? location->opaque : NULL,
			&request, arena, &compiled, err);
	if (r < 0)
		return r;
	copy_access(&compiled, arena, access);
	access->module = number ? NULL : type_module(data, location, target);
	*ret = access;
	return 0;
}

static enum stap_member_kind member_kind(enum elf_member_kind kind)
{
	switch (kind) {
	case ELF_MEMBER_DISCRIMINANT:
		return STAP_MEMBER_DISCRIMINANT;
	case ELF_MEMBER_VARIANT:
		return STAP_MEMBER_VARIANT;
	case ELF_MEMBER_DEFAULT_VARIANT:
		return STAP_MEMBER_DEFAULT_VARIANT;
	case ELF_MEMBER_OWN:
		break;
	}
	return STAP_MEMBER_OWN;
}

static int target_members(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_member_info **ret, uint32_t *ret_count, struct error *err)
{
	struct elf_access_request request;
	struct elf_module *module;
	struct stap_access ignored = {0};
	struct elf_member_info *members;
	size_t count;
	int r = build_request(data, location, target, at_entry, arena, &request, &module,
		&ignored, err);
	if (r == 0)
		r = target_list_members(module,
			location && !ignored.static_module ? location->opaque : NULL,
			&request, arena, &members, &count, err);
	if (r < 0)
		return r;
	struct stap_member_info *list =
		arena_array(arena, struct stap_member_info, count + 1);
	for (size_t i = 0; i < count; i++)
		list[i] = (struct stap_member_info){.name = members[i].name,
			.index = i,
			.kind = member_kind(members[i].kind),
			.value = members[i].value};
	*ret = list;
	*ret_count = (uint32_t)count;
	return 0;
}

/* The arguments of a mark are its parameters: $arg1, $arg2 */
static int list_arguments(const struct elf_mark *mark, struct arena *arena,
	struct stap_variable_info **ret, uint32_t *ret_count)
{
	uint32_t count = elf_mark_argument_count(mark);
	*ret = arena_array(arena, struct stap_variable_info, count + 1);
	for (uint32_t i = 0; i < count; i++) {
		char *label = arena_printf(arena, "$arg%u", i + 1);
		(*ret)[i] = (struct stap_variable_info){.name = label + 1,
			.label = label,
			.type_name = "long",
			.is_parameter = true,
			.is_available = true};
	}
	*ret_count = count;
	return 0;
}

static int target_variables(void *data, const struct stap_location *location,
	bool parameters, bool locals, struct arena *arena,
	struct stap_variable_info **ret, uint32_t *ret_count, struct error *err)
{
	const struct target_place *place = location->opaque;
	struct elf_variable_info *all;
	size_t count;
	*ret_count = 0;
	if (location->event)
		return target_event_variables(
			location, parameters, arena, ret, ret_count, err);
	if (place->mark)
		return parameters ? list_arguments(place->mark, arena, ret, ret_count)
				  : 0;
	struct elf_access_request where = {0};
	where_place(location, &where);
	int r = target_list_variables(
		place->module->elf, place, &where, arena, &all, &count, err);
	if (r < 0)
		return r;
	struct stap_variable_info *list =
		arena_array(arena, struct stap_variable_info, count + 1);
	uint32_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i].is_parameter ? parameters : locals)
			list[kept++] = (struct stap_variable_info){.name = all[i].name,
				.type_name = all[i].type_name,
				.is_parameter = all[i].is_parameter,
				.is_available = all[i].is_available};
	}
	*ret = list;
	*ret_count = kept;
	return 0;
}

static int target_enumerators(void *data, const struct stap_location *location,
	const struct stap_enumerator_query *query, struct arena *arena,
	struct stap_enumerator **ret, uint32_t *ret_count, struct error *err)
{
	const struct target_place *place = location ? location->opaque : NULL;
	struct target_module *module =
		find_named_module(data, location, query->module, err);
	struct elf_enumerator *found;
	size_t count;
	if (!module)
		return -ENOENT;
	struct elf_enumerator_query inner = {.type = query->type, .name = query->name};
	if (place && place->module == module)
		inner.function = place->entry;
	int r = elf_enumerators(module->elf, &inner, arena, &found, &count, err);
	if (r < 0)
		return r;
	*ret = arena_array(arena, struct stap_enumerator, count + 1);
	for (size_t i = 0; i < count; i++)
		(*ret)[i] = (struct stap_enumerator){found[i].name, found[i].value};
	*ret_count = (uint32_t)count;
	return 0;
}

/* ---- life cycle ---------------------------------------------------------------------------------------------- */

static int target_can_count(void *data, uint32_t type, uint64_t config, struct error *err)
{
	return session_perf_can_count(type, config, err);
}

static const struct stap_target_ops target_ops = {
	.expand = target_expand,
	.access = target_access,
	.variables = target_variables,
	.members = target_members,
	.enumerators = target_enumerators,
	.can_count = target_can_count,
};

int stap_target_create(const struct stap_target_config *config, struct stap_target *ret,
	struct error *err)
{
	struct target *target = calloc(1, sizeof(*target));
	if (!target)
		return error_set(err, -ENOMEM, "out of memory");
	arena_init(&target->arena);
	if (config->target_path)
		target->target_path = arena_strdup(&target->arena, config->target_path);
	target->target_pid = config->target_pid;
	target->warn = config->warn;
	target->warn_data = config->warn_data;
	target->notice = config->notice;
	target->cache = config->cache;
	target->notice_data = config->notice_data;
	*ret = (struct stap_target){.ops = &target_ops, .data = target};
	return 0;
}

void stap_target_destroy(struct stap_target *stap_target)
{
	struct target *target = stap_target->data;
	if (!target)
		return;
	for (size_t i = 0; i < target->modules.count; i++)
		elf_module_close(target->modules.items[i]->elf);
	vec_free(&target->modules);
	arena_deinit(&target->arena);
	free(target);
	*stap_target = (struct stap_target){0};
}

/* libc.so.6 has an interpreter and programs are shared objects too: only the name tells. */
bool stap_target_is_library(const char *path)
{
	const char *slash = strrchr(path, '/');
	return strstr(slash ? slash : path, ".so");
}

struct elf_module *stap_target_module(const struct stap_location *location)
{
	const struct target_place *place = location->opaque;
	return place->module->elf;
}
