/* SPDX-License-Identifier: MIT */
/*
 * process.begin, .end, .thread.begin, .thread.end, .syscall and .syscall.return: no places in code but
 * events of processes.  Their $variables are registers as session/events.c gives them.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/library.h"
#include "elf/names.h"
#include "session/target_internal.h"

/* KEEP IN SYNC: registers of system calls (session/events.c) */
enum {
	DWARF_RAX = 0,
	DWARF_RDX = 1,
	DWARF_RCX =
		2, /* the call's number: the instruction itself clobbers the register */
	DWARF_RSI = 4,
	DWARF_RDI = 5,
	DWARF_R8 = 8,
	DWARF_R9 = 9,
	DWARF_R10 = 10,
	SYSCALL_ARGUMENTS = 6
};

static const struct {
	const char *first, *second;
	enum stap_event event;
} events[] = {
	{"begin", NULL, STAP_EVENT_PROCESS_BEGIN},
	{"end", NULL, STAP_EVENT_PROCESS_END},
	{"thread", "begin", STAP_EVENT_THREAD_BEGIN},
	{"thread", "end", STAP_EVENT_THREAD_END},
	{"syscall", NULL, STAP_EVENT_SYSCALL},
	{"syscall", "return", STAP_EVENT_SYSCALL_RETURN},
};

enum stap_event target_event_of(const struct stap_point *point)
{
	const struct stap_component *c = point->components;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		uint32_t count = events[i].second ? 3 : 2;
		if (point->component_count == count &&
			strcmp(c[1].name, events[i].first) == 0 &&
			(!events[i].second || strcmp(c[2].name, events[i].second) == 0))
			return events[i].event;
	}
	return STAP_EVENT_NONE;
}

static const char *event_name(const struct stap_point *point, struct arena *arena)
{
	const char *name = arena_printf(arena, ".%s", point->components[1].name);
	return point->component_count > 2
		       ? arena_printf(arena, "%s.%s", name, point->components[2].name)
		       : name;
}

static struct stap_location *add_event(struct expansion *e,
	const struct stap_point *point, const char *path, const char *process)
{
	struct stap_location *location = arena_new(e->arena, struct stap_location);
	location->module_path = path;
	location->event = target_event_of(point);
	location->only_pid = e->point->process_pid;
	location->only_program = path;
	location->mid_function = true;
	location->is_return = location->event == STAP_EVENT_SYSCALL_RETURN;
	location->pp =
		arena_printf(e->arena, "%s%s", process, event_name(point, e->arena));
	location->ppfunc = "";
	vec_append(&e->locations, location);
	return location;
}

/* The program need not be one that can be probed: a script will do. */
int target_expand_event(
	struct expansion *e, const struct stap_point *point, struct error *err)
{
	struct target_module_list programs = {0};
	if (e->point->process_pid) {
		if (e->point->process_pid > INT_MAX ||
			(kill((pid_t)e->point->process_pid, 0) < 0 && errno == ESRCH))
			return error_set(err, -ESRCH,
				"cannot probe pid %lld: No such process",
				(long long)e->point->process_pid);
		add_event(e, point, NULL,
			arena_printf(e->arena, "process(%lld)",
				(long long)e->point->process_pid));
		return 0;
	}
	if (!e->point->process) {
		add_event(e, point, NULL, "process");
		return 0;
	}
	int r = target_find_programs(e->target, e->point, &programs, err);
	for (size_t i = 0; i < programs.count && r == 0; i++) {
		const char *path = programs.items[i]->shown_path;
		add_event(
			e, point, path, arena_printf(e->arena, "process(\"%s\")", path));
	}
	if (!programs.count && !elf_pattern_has_wildcard(e->point->process) &&
		e->point->process[0]) {
		/* it may be there later; or it never is, and nothing happens */
		const char *path = e->point->process;
		target_warn(e->target, "%s", err->message);
		r = 0;
		add_event(
			e, point, path, arena_printf(e->arena, "process(\"%s\")", path));
	}
	vec_free(&programs);
	return r;
}

/* ---- variables ---------------------------------------------------------------------------------------------- */

static int argument_register(const char *name)
{
	static const int registers[SYSCALL_ARGUMENTS] = {
		DWARF_RDI, DWARF_RSI, DWARF_RDX, DWARF_R10, DWARF_R8, DWARF_R9};
	unsigned number = 0;
	int end = 0;
	if (sscanf(name, "arg%u%n", &number, &end) != 1 || name[end])
		return -ENOENT;
	return number >= 1 && number <= SYSCALL_ARGUMENTS ? registers[number - 1]
							  : -ERANGE;
}

static bool is_syscall_event(const struct stap_location *location)
{
	return location->event == STAP_EVENT_SYSCALL ||
	       location->event == STAP_EVENT_SYSCALL_RETURN;
}

static int no_variables(const struct stap_location *location, struct error *err)
{
	if (location->event == STAP_EVENT_DATA)
		return error_set(err, -EINVAL,
			"data probes have no target symbols: any instruction of the program may "
			"be the one");
	return error_set(err, -EINVAL,
		"only \"process(PATH_OR_PID).syscall\" and \"process(PATH_OR_PID).syscall.return\" "
		"probes support target symbols");
}

static int find_register(
	const struct stap_location *location, const char *name, struct error *err)
{
	bool is_call = location->event == STAP_EVENT_SYSCALL;
	bool is_return = location->event == STAP_EVENT_SYSCALL_RETURN;
	int argument = argument_register(name);
	if (!is_syscall_event(location))
		return no_variables(location, err);
	if (strcmp(name, "return") == 0)
		return is_return ? DWARF_RAX
				 : error_set(err, -EINVAL,
					   "only \"process(PATH_OR_PID).syscall.return\" "
					   "support $return.");
	if (strcmp(name, "syscall") == 0)
		return DWARF_RCX;
	if (argument == -ERANGE)
		return error_set(err, -EINVAL, "invalid syscall argument number (1-6)");
	if (argument >= 0)
		return is_call ? argument
			       : error_set(err, -EINVAL,
					 "only \"process(PATH_OR_PID).syscall\" support $argN or $$parms.");
	return error_set(err, -EINVAL,
		"invalid target symbol for utrace probe, $syscall, $return, $argN or $$parms "
		"expected");
}

int target_event_access(const struct stap_location *location,
	const struct stap_expr *target, struct arena *arena, struct stap_access *ret,
	struct error *err)
{
	const char *name = target->target.name;
	int reg = find_register(location, name, err);
	if (reg < 0)
		return reg;
	if (target->target.component_count)
		return error_set(err, -EINVAL,
			"utrace variable '$%s' may not be used as %s", name,
			target->target.components[0].member ? "a structure" : "array");
	if (target->target.address_of)
		return error_set(err, -EINVAL,
			"cannot take address of utrace variable '$%s'", name);
	*ret = (struct stap_access){.ops = arena_array(arena, struct stap_access_op, 1),
		.op_count = 1,
		.value_class = STAP_VALUE_SIGNED,
		.type_name = "long",
		.size = sizeof(int64_t)};
	ret->ops[0] = (struct stap_access_op){STAP_ACCESS_REG, reg};
	return 0;
}

int target_event_variables(const struct stap_location *location, bool parameters,
	struct arena *arena, struct stap_variable_info **ret, uint32_t *ret_count,
	struct error *err)
{
	if (!is_syscall_event(location))
		return no_variables(location, err);
	bool is_call = location->event == STAP_EVENT_SYSCALL;
	uint32_t count = 0;
	*ret = arena_array(arena, struct stap_variable_info, SYSCALL_ARGUMENTS + 1);
	if (parameters && location->event == STAP_EVENT_SYSCALL_RETURN)
		(*ret)[count++] = (struct stap_variable_info){.name = "return"};
	for (int i = 1; parameters && is_call && i <= SYSCALL_ARGUMENTS; i++)
		(*ret)[count++] = (struct stap_variable_info){
			.name = arena_printf(arena, "arg%d", i)};
	for (uint32_t i = 0; i < count; i++) {
		(*ret)[i].type_name = "long";
		(*ret)[i].is_parameter = (*ret)[i].is_available = true;
	}
	*ret_count = count;
	return 0;
}
