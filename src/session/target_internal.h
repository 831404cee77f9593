/* SPDX-License-Identifier: MIT */
/* What the files share that resolve probe points; see session/stap_target.h. */
#pragma once

#include "base/vec.h"
#include "elf/access.h"
#include "elf/instance.h"
#include "elf/line.h"
#include "elf/mark.h"
#include "elf/module.h"
#include "session/stap_target.h"

struct target_module {
	const char *shown_path; /* as in the process's memory map */
	struct elf_module *elf;
};

struct target_module_list {
	struct target_module **items;
	size_t count, capacity; /* the shape of VEC(struct target_module *) */
};

struct target {
	struct arena arena;
	const char *target_path;
	pid_t target_pid;
	void (*warn)(void *data, const char *text);
	void *warn_data;
	void (*notice)(void *data, const char *text);
	void *notice_data;
	struct cache *cache;               /* borrowed, may be NULL */
	unsigned warnings;                 /* given so far */
	struct target_module_list modules; /* opened once, closed with the target */
};

/* What stap_location.opaque points at. */
struct target_place {
	struct target_module *module;
	uint64_t entry; /* of the function; 0: unknown */
	const struct elf_instance
		*instance; /* whose variables are seen; NULL: the function's, or kept */
	/* the same as an earlier run knew it: found only when somebody asks for more */
	uint64_t instance_entry, instance_offset; /* offset 0: none */
	bool has_blocks;                          /* and those of the blocks around */
	const struct elf_mark *mark;              /* NULL: none */
};

/* ---- target_point.c: a probe point taken apart ------------------------------------------------------- */

enum target_point_kind {
	TARGET_POINT_FUNCTION,
	TARGET_POINT_STATEMENT,
	TARGET_POINT_MARK,
	TARGET_POINT_PLT,
};

enum {
	TARGET_LINE_RANGES_MAX = 64,
	TARGET_CALLEE_DEPTH_MAX = 8
};

struct target_pattern {
	const char *text;        /* FUNC@FILE:LINE as written */
	const char *name, *file; /* FUNC and FILE (NULL: any) */
	bool has_lines;
	struct elf_line_query lines; /* when has_lines */
	struct elf_line_range ranges[TARGET_LINE_RANGES_MAX];
};

struct target_point {
	const char *process; /* path, or NULL */
	int64_t process_pid; /* or 0 */
	const char *library; /* or NULL */
	enum target_point_kind kind;
	struct target_pattern pattern; /* text NULL: `address` */
	uint64_t address;
	const char *label;
	const char *mark, *provider;  /* patterns */
	const char *plt;              /* pattern; NULL: all */
	struct target_pattern callee; /* text NULL: none */
	int callee_depth;
	const char *suffix; /* ".call", ".return", ... as written, or "" */
	bool is_return, is_exported, is_inline, is_call, is_nearest, is_absolute;
	bool is_data, is_write, is_rw;
	const char *data; /* name of what is watched; NULL: `address` */
	bool has_length;
	int64_t data_length;
};

must_check int target_point_parse(const struct stap_point *point, struct arena *arena,
	struct target_point *ret, struct error *err);

/* ---- target_modules.c ---------------------------------------------------------------------------------- */

/** target_is_header() - does the name of a module stand for a header: "<sys/stat.h>" */
bool target_is_header(const char *name);
/** target_open_header() - a module with the types of a header; -ENOENT: there is no compiler */
must_check int target_open_header(struct target *target, const char *name,
	struct target_module **ret, struct error *err);

must_check int target_open_module(struct target *target, const char *open_path,
	const char *shown_path, struct target_module **ret, struct error *err);
/** the modules of process(...); none, and a message, when there is no such file */
must_check int target_find_programs(struct target *target,
	const struct target_point *point, struct target_module_list *ret,
	struct error *err);
/** .library("PATTERN") of one program: what it needs, or any file named in full */
must_check int target_find_libraries(struct target *target,
	const struct target_point *point, const struct target_module *program,
	struct target_module_list *ret, struct error *err);
/** whole trailing path components, or the base name, against a pattern */
bool target_path_matches(const char *pattern, const char *path);
/** the module mapped at an address of a running process, and the address in its file */
must_check int target_find_mapped(struct target *target, pid_t pid, uint64_t address,
	struct target_module **ret, uint64_t *ret_link_address, struct error *err);

/* ---- expanding one point ------------------------------------------------------------------------------- */

struct target_location_list {
	struct stap_location **items;
	size_t count, capacity; /* the shape of VEC(struct stap_location *) */
};

struct expansion {
	struct target *target;
	const struct target_point *point;
	struct target_module *module;
	const char *prefix; /* process("...").library("...") */
	struct arena *arena;
	struct target_location_list locations;
	bool seen;              /* a described function matched, whatever became of it */
	size_t inlined_returns; /* inlined copies that .return leaves out */
	const char *start_return; /* the program's first function, likewise */
};

/* One place, as the finders of places see it. */
struct target_site {
	uint64_t address;
	const struct elf_instance *instance; /* NULL: no debug information */
	const char *function;                /* its name */
	const char *pp;                      /* all of it but the prefix */
	bool has_blocks;
	struct stap_access *guard;
};

/** target_add_site() - a location for a site; the function around it is looked up */
struct stap_location *target_add_site(
	struct expansion *e, const struct target_site *site);
/** "foo@/src/foo.c:12" or just "foo" */
const char *target_function_text(
	struct expansion *e, const struct elf_instance *instance, const char *name);

/** STAP_EVENT_NONE: a point in code */
enum stap_event target_event_of(const struct stap_point *point);
must_check int target_expand_event(
	struct expansion *e, const struct stap_point *point, struct error *err);
must_check int target_event_access(const struct stap_location *location,
	const struct stap_expr *target, struct arena *arena, struct stap_access *ret,
	struct error *err);
int target_event_variables(const struct stap_location *location, bool parameters,
	struct arena *arena, struct stap_variable_info **ret, uint32_t *ret_count,
	struct error *err);
/** .data: of each program the variable, or the address, that is watched */
must_check int target_expand_data(struct expansion *e, struct error *err);
void target_expand_functions(struct expansion *e, struct error *err);
void target_expand_marks(struct expansion *e, struct error *err);
void target_expand_plt(struct expansion *e, struct error *err);
void target_expand_statements(struct expansion *e, struct error *err);
must_check int target_expand_absolute(struct expansion *e, struct error *err);
/* ---- target_kept.c: answers that an earlier run found ---------------------------------------------- */

/** target_recall() - add the locations of e->point in e->module; false: not known */
bool target_recall(struct expansion *e);
/** target_remember() - keep those after the first @before */
void target_remember(struct expansion *e, size_t before, unsigned warnings_before);
/** elf_access_compile(), elf_access_members() and elf_access_variables(), with answers that are kept.
 * @place: may be NULL */
must_check int target_compile(struct elf_module *module, const struct target_place *place,
	struct elf_access_request *request, struct arena *arena, struct elf_access *ret,
	struct error *err);
must_check int target_list_members(struct elf_module *module,
	const struct target_place *place, struct elf_access_request *request,
	struct arena *arena, struct elf_member_info **ret, size_t *ret_count,
	struct error *err);
must_check int target_list_variables(struct elf_module *module,
	const struct target_place *place, struct elf_access_request *request,
	struct arena *arena, struct elf_variable_info **ret, size_t *ret_count,
	struct error *err);

void target_warn(struct target *target, const char *fmt, ...) printf_like(2, 3);
/** "no match (similar WHAT: a, b)" */
void target_report_similar(struct expansion *e, const char *what, const char *wanted,
	const char *const *names, size_t count, struct error *err);
