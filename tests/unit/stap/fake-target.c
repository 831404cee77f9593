/* SPDX-License-Identifier: MIT */
#include "fake-target.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

struct fake_variable {
	const char *name, *type_name;
	enum stap_value_class value_class;
	uint32_t size;
	int64_t place; /* DWARF register, or static address */
	bool is_parameter, is_static, is_unavailable;
};

struct fake_function {
	const char *module, *name, *declared;
	uint64_t address;
	enum stap_value_class result;
	bool has_debug_info, is_exported, is_inline;
	struct fake_variable variables[5];
};

static const struct fake_function functions[] = {
	{"/bin/app", "alpha", "app.c:10", 0x1000, STAP_VALUE_SIGNED, true, true, false,
		{
			{"n", "int", STAP_VALUE_SIGNED, 4, 5, true, false, false},
			{"s", "char*", STAP_VALUE_STRING_POINTER, 8, 4, true, false,
				false},
			{"total", "long", STAP_VALUE_SIGNED, 8, 3, false, false, false},
			{"gone", "int", STAP_VALUE_SIGNED, 4, 0, false, false, true},
		}},
	{"/bin/app", "beta", "app.c:20", 0x2000, STAP_VALUE_SIGNED, true, false, false,
		{
			{"n", "int", STAP_VALUE_SIGNED, 4, 1, true, false, false},
			{"s", "char*", STAP_VALUE_STRING_POINTER, 8, 4, true, false,
				false},
			{"p", "struct pair", STAP_VALUE_AGGREGATE, 16, 7, false, false,
				false},
			{"c", "char", STAP_VALUE_CHAR, 1, 2, false, false, false},
			{"buf", "char[16]", STAP_VALUE_CHAR_ARRAY, 16, 7, false, false,
				false},
		}},
	{"/bin/app", "gamma", "app.c:30", 0x3000, STAP_VALUE_VOID, true, false, false,
		{
			{"u", "unsigned long", STAP_VALUE_UNSIGNED, 8, 5, true, false,
				false},
			{"n", "int", STAP_VALUE_SIGNED, 4, 5, false, false, false},
		}},
	{"/bin/app", "delta", NULL, 0x4000, STAP_VALUE_SIGNED, false, false, false,
		{{0}}},
	{"/lib/libz.so", "deflate", "z.c:5", 0x500, STAP_VALUE_SIGNED, true, true, false,
		{{"level", "int", STAP_VALUE_SIGNED, 4, 4, true, false, false}}},
};

enum {
	FUNCTION_COUNT = sizeof(functions) / sizeof(functions[0])
};

static const struct stap_component *component_find(
	const struct stap_point *point, const char *name)
{
	for (uint32_t i = 0; i < point->component_count; i++) {
		if (!strcmp(point->components[i].name, name))
			return &point->components[i];
	}
	return NULL;
}

static struct stap_location *location_new(
	struct arena *arena, const struct fake_function *function, bool is_return)
{
	struct stap_location *location = arena_new(arena, struct stap_location);

	location->module_path = function->module;
	location->function = function->name;
	location->link_address = function->address;
	location->function_start = function->address;
	location->function_end = function->address + 0x100;
	location->is_return = is_return;
	location->has_debug_info = function->has_debug_info;
	location->pp = arena_printf(arena, "process(\"%s\").function(\"%s%s%s\")%s",
		function->module, function->name, function->declared ? "@" : "",
		function->declared ? function->declared : "", is_return ? ".return" : "");
	location->ppfunc = function->name;
	memcpy(&location->opaque, &function, sizeof(function));
	return location;
}

static struct stap_location *begin_new(
	struct arena *arena, const struct stap_component *process)
{
	struct stap_location *location = arena_new(arena, struct stap_location);

	location->event = STAP_EVENT_PROCESS_BEGIN;
	location->only_program = process->has_argument ? process->argument->string : NULL;
	location->pp = "process.begin";
	location->ppfunc = "";
	return location;
}

static int fake_expand(void *data, const struct stap_point *point, struct arena *arena,
	struct stap_location ***ret, uint32_t *ret_count, struct error *err)
{
	const struct stap_component *process = &point->components[0];
	const struct stap_component *library = component_find(point, "library");
	const struct stap_component *function = component_find(point, "function");
	const char *module =
		library ? library->argument->string
		: process->has_argument && process->argument->kind == STAP_EXPR_STRING
			? process->argument->string
			: "/bin/app";
	VEC(struct stap_location *) found = {0};

	if (component_find(point, "begin")) {
		vec_append(&found, begin_new(arena, process));
		*ret = found.items;
		*ret_count = 1;
		return 0;
	}
	/* marks, statements, addresses: this program has none */
	if (!function || function->argument->kind != STAP_EXPR_STRING) {
		error_set(err, 0, "no match");
		*ret_count = 0;
		return 0;
	}

	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		if (strcmp(functions[i].module, module) != 0 ||
			fnmatch(function->argument->string, functions[i].name, 0))
			continue;
		if (component_find(point, "exported") && !functions[i].is_exported)
			continue;
		if (component_find(point, "inline") && !functions[i].is_inline)
			continue;
		vec_append(&found, location_new(arena, &functions[i],
					   component_find(point, "return") != NULL));
	}
	*ret = found.items;
	*ret_count = (uint32_t)found.count;
	if (!found.count)
		error_set(err, 0, "%s",
			strcmp(module, "/bin/app") != 0 ? "no match"
							: "no match (similar functions: "
							  "alpha, beta, delta, gamma)");
	return 0;
}

static const struct fake_function *location_function(const struct stap_location *location)
{
	return location ? location->opaque : NULL;
}

static void op_add(
	struct stap_access *access, enum stap_access_op_kind kind, int64_t value)
{
	access->ops[access->op_count++] = (struct stap_access_op){kind, value};
}

static struct stap_access *access_new(
	struct arena *arena, const struct fake_variable *variable)
{
	struct stap_access *access = arena_new(arena, struct stap_access);

	access->ops = arena_array(arena, struct stap_access_op, 32);
	access->value_class = variable->value_class;
	access->type_name = variable->type_name;
	access->size = variable->size;
	if (variable->is_static)
		op_add(access, STAP_ACCESS_STATIC, variable->place);
	else
		op_add(access, STAP_ACCESS_REG, variable->place);
	return access;
}

/* Any char pointer can be indexed; any struct pair, by value or cast, has members x and y. */
static int fake_members_apply(const struct stap_expr *target, struct stap_access *access,
	struct arena *arena, struct error *err)
{
	for (uint32_t i = 0; i < target->target.component_count; i++) {
		const struct stap_target_component *component =
			&target->target.components[i];

		if (component->index) {
			if (access->value_class != STAP_VALUE_STRING_POINTER)
				return error_set(err, -EINVAL,
					"invalid access '[...]' vs. %s",
					access->type_name);
			access->operands = arena_array(arena, struct stap_expr *, 1);
			access->operands[access->operand_count++] = component->index;
			op_add(access, STAP_ACCESS_OPERAND, 0);
			op_add(access, STAP_ACCESS_ADD, 0);
			op_add(access, STAP_ACCESS_DEREF, 1);
			access->value_class = STAP_VALUE_CHAR;
			access->type_name = "char";
			access->size = 1;
			continue;
		}
		if (access->value_class != STAP_VALUE_AGGREGATE)
			return error_set(err, -EINVAL, "invalid access '->%s' vs. %s",
				component->member, access->type_name);
		if (strcmp(component->member, "x") != 0 &&
			strcmp(component->member, "y") != 0)
			return error_set(err, -ENOENT,
				"unable to find member '%s' for struct pair "
				"(alternatives: x, y)",
				component->member);
		op_add(access, STAP_ACCESS_CONST, component->member[0] == 'y' ? 4 : 0);
		op_add(access, STAP_ACCESS_ADD, 0);
		op_add(access, STAP_ACCESS_DEREF, 4);
		access->value_class = STAP_VALUE_SIGNED;
		access->type_name = "int";
		access->size = 4;
	}
	return 0;
}

static int fake_variable_find(const struct stap_location *location,
	const struct stap_expr *target, struct fake_variable *ret, struct error *err)
{
	const struct fake_function *function = location_function(location);

	if (target->target.base == STAP_TARGET_CAST) {
		if (strcmp(target->target.type_name, "pair") != 0)
			return error_set(err, -ENOENT,
				"type definition '%s' not found in '%s'",
				target->target.type_name,
				target->target.module ? target->target.module
						      : "/bin/app");
		*ret = (struct fake_variable){
			"", "struct pair", STAP_VALUE_AGGREGATE, 16, 0, 0, 0, 0};
		return 0;
	}
	if (target->target.base == STAP_TARGET_ATVAR) {
		if (strcmp(target->target.name, "config") != 0)
			return error_set(err, -ENOENT,
				"unable to find global '%s' in /bin/app",
				target->target.name);
		*ret = (struct fake_variable){"config", "int", STAP_VALUE_SIGNED, 4,
			0x9000, false, true, false};
		return 0;
	}
	if (!strcmp(target->target.name, "return")) {
		if (!function || !location->is_return)
			return error_set(err, -ENOENT, "unable to find local 'return'");
		*ret = (struct fake_variable){
			"return", "int", function->result, 4, 0, 0, 0, 0};
		return 0;
	}
	if (!function || !function->has_debug_info)
		return error_set(err, -ENOENT, "target-symbol requires debuginfo");
	for (size_t i = 0; i < 5 && function->variables[i].name; i++) {
		if (strcmp(function->variables[i].name, target->target.name) != 0)
			continue;
		*ret = function->variables[i];
		return ret->is_unavailable
			       ? error_set(err, -ENOENT,
					 "not accessible at this address (pc: 0x%llx) [man "
					 "error::dwarf]",
					 (unsigned long long)location->link_address)
			       : 0;
	}
	return error_set(err, -ENOENT,
		"unable to find local '%s', [man error::dwarf] dieoffset 0x1 in /bin/app, "
		"near pc 0x%llx in %s app.c (alternatives: $%s)",
		target->target.name, (unsigned long long)location->link_address,
		function->name, function->variables[0].name);
}

static int fake_access(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_access **ret, struct error *err)
{
	struct fake_variable variable = {0};
	struct stap_access *access;
	int code = fake_variable_find(location, target, &variable, err);

	if (code < 0)
		return code;
	access = access_new(arena, &variable);
	if (target->target.base == STAP_TARGET_CAST) {
		access->op_count = 0;
		access->operands = arena_array(arena, struct stap_expr *, 1);
		access->operands[access->operand_count++] = target->target.operand;
		op_add(access, STAP_ACCESS_OPERAND, 0);
	}
	code = fake_members_apply(target, access, arena, err);
	*ret = access;
	return code;
}

static int fake_variables(void *data, const struct stap_location *location,
	bool parameters, bool locals, struct arena *arena,
	struct stap_variable_info **ret, uint32_t *ret_count, struct error *err)
{
	const struct fake_function *function = location_function(location);

	if (!function->has_debug_info)
		return error_set(err, -ENOENT, "target-symbol requires debuginfo");
	*ret = arena_array(arena, struct stap_variable_info, 5);
	*ret_count = 0;
	for (size_t i = 0; i < 5 && function->variables[i].name; i++) {
		const struct fake_variable *variable = &function->variables[i];

		if (variable->is_parameter ? parameters : locals)
			(*ret)[(*ret_count)++] =
				(struct stap_variable_info){.name = variable->name,
					.type_name = variable->type_name,
					.is_parameter = variable->is_parameter,
					.is_available = true};
	}
	return 0;
}

static int fake_members(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_member_info **ret, uint32_t *ret_count, struct error *err)
{
	*ret = arena_array(arena, struct stap_member_info, 2);
	(*ret)[0].name = "x";
	(*ret)[1].name = "y";
	*ret_count = 2;
	return 0;
}

/* A virtual machine's processor. */
static int fake_can_count(void *data, uint32_t type, uint64_t config, struct error *err)
{
	return type == 0 ? error_set(err, -ENOENT, "this machine has no such perf event")
			 : 0;
}

static const struct stap_target_ops fake_ops = {
	.expand = fake_expand,
	.access = fake_access,
	.variables = fake_variables,
	.members = fake_members,
	.can_count = fake_can_count,
};

const struct stap_target fake_target = {.ops = &fake_ops};
