/* SPDX-License-Identifier: MIT */
/*
 * Probe points to code addresses.  A point names modules (a program, a library it needs, several with
 * wildcards), then functions in them.  Functions are looked up in symbol tables first, which is fast
 * and always there; debug information adds where they are declared and what their variables are, and
 * is searched for names only when the symbols do not have them.
 */
#include "session/stap_target.h"

#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "elf/access.h"
#include "elf/dwarf.h"
#include "elf/library.h"
#include "elf/names.h"

/* KEEP IN SYNC: elf_op_kind, elf_value_class */
static_assert((int)ELF_OP_ZERO_EXTEND == (int)STAP_ACCESS_ZERO_EXTEND &&
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

struct target_module {
	const char *shown_path; /* as in the process's memory map */
	struct elf_module *elf;
};

struct target {
	struct arena arena;
	const char *target_path;
	pid_t target_pid;
	VEC(struct target_module *) modules; /* opened once, closed with the target */
};

/* What stap_location.opaque points at. */
struct target_place {
	struct target_module *module;
	uint64_t entry; /* of the function */
};

/* A probe point taken apart. */
struct target_point {
	const char *process;  /* path, or NULL */
	int64_t process_pid;  /* or 0 */
	const char *library;  /* or NULL */
	const char *function; /* pattern, NULL: `address` */
	uint64_t address;
	const char *name, *file; /* of the pattern: FUNC and FILE (NULL: any) */
	const char *suffix;      /* ".call", ".return", ... as written, or "" */
	bool is_return, is_exported, is_inline;
};

struct expansion {
	struct target *target;
	const struct target_point *point;
	struct target_module *module;
	const char *prefix; /* process("...").library("...") */
	struct arena *arena;
	VEC(struct stap_location *) locations;
	bool saw_ifunc;
};

/* ---- modules -------------------------------------------------------------------------------------------- */

static int target_open_module(struct target *target, const char *open_path,
	const char *shown_path, struct target_module **ret, struct error *err)
{
	for (size_t i = 0; i < target->modules.count; i++) {
		if (strcmp(target->modules.items[i]->shown_path, shown_path) == 0) {
			*ret = target->modules.items[i];
			return 0;
		}
	}
	struct elf_module *elf;
	int r = elf_module_open(open_path, &elf, err);
	if (r < 0)
		return r;
	struct target_module *module = arena_new(&target->arena, struct target_module);
	module->shown_path = arena_strdup(&target->arena, shown_path);
	module->elf = elf;
	vec_append(&target->modules, module);
	*ret = module;
	return 0;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat left, right;
	return stat(a, &left) == 0 && stat(b, &right) == 0 &&
	       left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/*
 * The executable of a process can lie in another mount namespace, or be deleted: the link itself
 * always opens it.
 */
static int open_process_module(
	struct target *target, pid_t pid, struct target_module **ret, struct error *err)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	ssize_t size = readlink(link, path, sizeof(path) - 1);
	if (size < 0)
		return error_set(err, -errno, "cannot probe process %d: %s", (int)pid,
			errno == ENOENT ? "no such process" : strerror(errno));
	path[size] = '\0';
	return target_open_module(
		target, is_same_file(link, path) ? path : link, path, ret, err);
}

/* "" or /proc/PID/root, where the paths of the process mean what they mean to it */
static const char *process_root(struct target *target, pid_t pid)
{
	char *root = arena_printf(&target->arena, "/proc/%d/root", (int)pid);
	return pid == 0 || is_same_file(root, "/") ? "" : root;
}

static bool has_program_header(const char *path)
{
	struct elf_module *elf;
	if (elf_module_open(path, &elf, NULL) < 0)
		return false;
	elf_module_close(elf);
	return true;
}

struct module_list {
	struct target_module **items;
	size_t count, capacity; /* the shape of VEC(struct target_module *) */
};

/* Links and patterns may name one file twice. */
static void module_list_add(struct module_list *list, struct target_module *module)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == module)
			return;
	}
	vec_append(list, module);
}

static int glob_modules(struct target *target, const char *pattern,
	struct module_list *ret, struct error *err)
{
	glob_t found;
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	int r = 0;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		const char *path;
		struct target_module *module;
		if (elf_program_find(found.gl_pathv[i], &target->arena, &path) < 0 ||
			!has_program_header(path))
			continue; /* what is no program does not match */
		r = target_open_module(target, path, path, &module, err);
		if (r == 0)
			module_list_add(ret, module);
	}
	globfree(&found);
	return r;
}

/* The modules of process(...): none and a message when there is no such file. */
static int find_process_modules(struct target *target, const struct target_point *point,
	struct module_list *ret, struct error *err)
{
	struct target_module *module;
	const char *path = point->process ? point->process : target->target_path;
	if (point->process_pid || (!point->process && target->target_pid)) {
		pid_t pid = point->process_pid ? (pid_t)point->process_pid
					       : target->target_pid;
		int r = open_process_module(target, pid, &module, err);
		if (r == 0)
			module_list_add(ret, module);
		return r;
	}
	if (!path)
		return error_set(err, -EINVAL,
			"unspecified process probe is invalid without a -c COMMAND or -x PID "
			"[man stapprobes]");
	if (point->process && elf_pattern_has_wildcard(path))
		return glob_modules(target, path, ret, err);
	const char *found;
	if (elf_program_find(path, &target->arena, &found) < 0) {
		error_set(err, 0, "no match");
		error_hint(err, "there is no program %s", path);
		return 0;
	}
	int r = target_open_module(target, found, found, &module, err);
	if (r == 0)
		module_list_add(ret, module);
	return r;
}

static bool library_matches(const char *pattern, const char *path)
{
	const char *base = strrchr(path, '/');
	return elf_pattern_matches_file(pattern, path) ||
	       (base && elf_pattern_matches_file(pattern, base + 1));
}

static int add_library(struct target *target, const char *root, const char *path,
	struct module_list *ret, struct error *err)
{
	struct target_module *module;
	const char *open_path = arena_printf(&target->arena, "%s%s", root, path);
	int r = target_open_module(target, open_path, path, &module, err);
	if (r == 0)
		module_list_add(ret, module);
	return r;
}

static void report_missing_library(const struct target_point *point, const char **paths,
	size_t count, struct error *err)
{
	struct elf_similar similar = {.wanted = point->library};
	struct strbuf names;
	strbuf_init(&names);
	for (size_t i = 0; i < count; i++) {
		const char *base = strrchr(paths[i], '/');
		elf_similar_add(&similar, base ? base + 1 : paths[i]);
	}
	elf_similar_print(&similar, &names);
	bool suggest = names.size && !elf_pattern_has_wildcard(point->library);
	error_set(err, 0, "no match%s%s%s", suggest ? " (similar library: " : "",
		suggest ? names.data : "", suggest ? ")" : "");
	strbuf_deinit(&names);
}

/* .library("PATTERN") of one program: what it needs, or any file named in full. */
static int find_libraries(struct target *target, const struct target_point *point,
	const struct target_module *program, struct module_list *ret, struct error *err)
{
	const char **paths;
	size_t count;
	pid_t pid = point->process_pid ? (pid_t)point->process_pid : 0;
	if (!point->process && !pid)
		pid = target->target_pid;
	const char *root = process_root(target, pid);
	size_t before = ret->count;
	elf_library_closure(program->elf, root, &target->arena, &paths, &count);
	for (size_t i = 0; i < count; i++) {
		int r = library_matches(point->library, paths[i])
				? add_library(target, root, paths[i], ret, err)
				: 0;
		if (r < 0)
			return r;
	}
	if (ret->count > before)
		return 0;
	/* Links such as /lib -> /usr/lib make a full path differ from the canonical one. */
	const char *found;
	if (strchr(point->library, '/') && !elf_pattern_has_wildcard(point->library) &&
		!root[0] && elf_program_find(point->library, &target->arena, &found) == 0)
		return add_library(target, "", found, ret, err);
	for (size_t i = 0; i < count; i++) {
		const char *base = strrchr(paths[i], '/');
		char *alias;
		if (!base || strchr(point->library, '/'))
			continue;
		/* libfoo.so.1 is a link to libfoo.so.1.2.3 beside it */
		alias = arena_printf(&target->arena, "%s%.*s/%s", root,
			(int)(base - paths[i]), paths[i], point->library);
		if (is_same_file(
			    alias, arena_printf(&target->arena, "%s%s", root, paths[i])))
			return add_library(target, root, paths[i], ret, err);
	}
	report_missing_library(point, paths, count, err);
	return 0;
}

/* ---- probe points ------------------------------------------------------------------------------------------ */

static void split_pattern(struct target_point *point, struct arena *arena)
{
	const char *at = strchr(point->function, '@');
	if (!at) {
		point->name = point->function;
		return;
	}
	point->name =
		arena_strndup(arena, point->function, (size_t)(at - point->function));
	char *file = arena_strdup(arena, at + 1);
	/* :LINE and +OFFSET select nothing in .function (SystemTap warns; so does the front end) */
	file[strcspn(file, ":+")] = '\0';
	point->file = file[0] ? file : NULL;
}

static int parse_suffix(struct target_point *point, const char *name, struct error *err)
{
	if (strcmp(name, "return") == 0)
		point->is_return = true;
	else if (strcmp(name, "exported") == 0)
		point->is_exported = true;
	else if (strcmp(name, "inline") == 0)
		point->is_inline = true;
	else if (strcmp(name, "call") != 0)
		return error_set(err, -ENOTSUP,
			"probe point component '%s' is not supported yet", name);
	return 0;
}

static int parse_component(struct target_point *point,
	const struct stap_component *component, struct arena *arena, struct error *err)
{
	const struct stap_expr *argument =
		component->has_argument ? component->argument : NULL;
	bool is_string = argument && argument->kind == STAP_EXPR_STRING;
	bool is_number = argument && argument->kind == STAP_EXPR_NUMBER;
	if (strcmp(component->name, "process") == 0) {
		point->process = is_string ? argument->string : NULL;
		point->process_pid = is_number ? argument->number : 0;
		return 0;
	}
	if (strcmp(component->name, "library") == 0 && is_string) {
		point->library = argument->string;
		return 0;
	}
	if (strcmp(component->name, "function") == 0 && (is_string || is_number)) {
		point->function = is_string ? argument->string : NULL;
		point->address = is_number ? (uint64_t)argument->number : 0;
		return 0;
	}
	if (argument)
		return error_set(err, -ENOTSUP,
			"probe point component '%s' is not supported yet",
			component->name);
	int r = parse_suffix(point, component->name, err);
	point->suffix = arena_printf(arena, "%s.%s", point->suffix, component->name);
	return r;
}

static int parse_point(const struct stap_point *point, struct arena *arena,
	struct target_point *ret, struct error *err)
{
	*ret = (struct target_point){.suffix = ""};
	for (uint32_t i = 0; i < point->component_count; i++) {
		int r = parse_component(ret, &point->components[i], arena, err);
		if (r < 0)
			return r;
	}
	if (!ret->function && !ret->address)
		return error_set(
			err, -ENOTSUP, "this kind of process probe is not supported yet");
	if (ret->function)
		split_pattern(ret, arena);
	if (ret->is_inline)
		return error_set(err, -ENOTSUP, "inline instances are not supported yet");
	return 0;
}

/* ---- locations ---------------------------------------------------------------------------------------------- */

static void add_location(
	struct expansion *e, uint64_t entry, uint64_t end, const char *symbol)
{
	struct elf_declaration declaration;
	bool has_debug_info = elf_dwarf_function(e->module->elf, entry, &declaration);
	const char *name = has_debug_info ? declaration.name : symbol;
	const char *where = "";
	if (has_debug_info && declaration.file)
		where = arena_printf(
			e->arena, "@%s:%d", declaration.file, declaration.line);
	struct stap_location *location = arena_new(e->arena, struct stap_location);
	struct target_place *place = arena_new(e->arena, struct target_place);
	place->module = e->module;
	place->entry = entry;
	location->module_path = e->module->shown_path;
	location->function = arena_strdup(e->arena, name);
	/* exits are found from the entry; pairing needs the stack pointer of the first instruction */
	location->link_address = e->point->is_return
					 ? entry
					 : elf_dwarf_probe_address(e->module->elf, entry);
	location->mid_function = location->link_address != entry;
	location->function_start = entry;
	location->function_end = end;
	location->is_return = e->point->is_return;
	location->has_debug_info = has_debug_info;
	location->pp = arena_printf(e->arena, "%s.function(\"%s%s\")%s", e->prefix, name,
		where, e->point->suffix);
	location->ppfunc = location->function;
	location->opaque = place;
	vec_append(&e->locations, location);
}

static bool file_matches(const struct expansion *e, uint64_t entry)
{
	struct elf_declaration declaration;
	return !e->point->file ||
	       (elf_dwarf_function(e->module->elf, entry, &declaration) &&
		       declaration.file &&
		       elf_pattern_matches_file(e->point->file, declaration.file));
}

/* Of aliases at one address: the name asked for, else the one people know. */
static const struct elf_function *better_alias(const struct expansion *e,
	const struct elf_function *a, const struct elf_function *b)
{
	if (!a)
		return b;
	bool a_exact = strcmp(a->name, e->point->name) == 0;
	bool b_exact = strcmp(b->name, e->point->name) == 0;
	if (a_exact != b_exact)
		return a_exact ? a : b;
	if (a->is_exported != b->is_exported)
		return a->is_exported ? a : b;
	size_t a_score = strspn(a->name, "_"), b_score = strspn(b->name, "_");
	if (a_score != b_score)
		return a_score < b_score ? a : b;
	return strlen(a->name) <= strlen(b->name) ? a : b;
}

static bool symbol_matches(struct expansion *e, const struct elf_function *function)
{
	const struct target_point *point = e->point;
	if (point->is_exported && !function->is_exported)
		return false;
	if (!elf_pattern_matches_symbol(point->name, function->name))
		return false;
	/* parts of functions are no functions, unless somebody insists */
	if (function->is_cold_part && strcmp(point->name, function->name) != 0)
		return false;
	e->saw_ifunc = e->saw_ifunc || function->is_ifunc;
	return !function->is_ifunc;
}

static void match_symbols(struct expansion *e)
{
	size_t count;
	const struct elf_function *functions =
		elf_module_functions(e->module->elf, &count);
	for (size_t i = 0, next; i < count; i = next) {
		const struct elf_function *best = NULL;
		uint64_t end = functions[i].end;
		for (next = i;
			next < count && functions[next].start == functions[i].start;
			next++) {
			if (functions[next].end > end)
				end = functions[next].end;
			if (symbol_matches(e, &functions[next]))
				best = better_alias(e, best, &functions[next]);
		}
		if (best && file_matches(e, best->start))
			add_location(e, best->start, end, best->name);
	}
}

struct dwarf_match {
	uint64_t entry, end;
	const char *name;
};

static int dwarf_match_compare(const void *a, const void *b)
{
	const struct dwarf_match *left = a, *right = b;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* Names that only debug information has, such as those of programs stripped of symbols alone. */
static void match_debug_information(struct expansion *e)
{
	VEC(struct dwarf_match) matches = {0};
	size_t cursor = 0;
	struct dwarf_match match;
	struct elf_declaration declaration;
	while (elf_dwarf_next_function(
		e->module->elf, &cursor, &match.entry, &match.end, &declaration)) {
		const char *linkage = declaration.linkage_name;
		if (!elf_pattern_matches_symbol(e->point->name, declaration.name) &&
			!(linkage && elf_pattern_matches_symbol(e->point->name, linkage)))
			continue;
		match.name = declaration.name;
		if (file_matches(e, match.entry))
			vec_append(&matches, match);
	}
	if (matches.count)
		qsort(matches.items, matches.count, sizeof(*matches.items),
			dwarf_match_compare);
	for (size_t i = 0; i < matches.count; i++) {
		const struct dwarf_match *found = &matches.items[i];
		if (i == 0 || found->entry != found[-1].entry)
			add_location(e, found->entry, found->end, found->name);
	}
	vec_free(&matches);
}

static int match_address(struct expansion *e, struct error *err)
{
	uint64_t start, end;
	const char *name;
	if (!elf_module_function_at(
		    e->module->elf, e->point->address, &start, &end, &name))
		return error_set(err, 0, "no match");
	if (!name)
		name = arena_printf(e->arena, "%#" PRIx64, start);
	add_location(e, start, end, name);
	return 0;
}

/* memcpy is chosen when the program starts: name what it may be, usually __memcpy_avx_unaligned etc. */
static void report_indirect(const struct expansion *e, struct error *err)
{
	struct strbuf names;
	size_t count, listed = 0;
	const struct elf_function *functions =
		elf_module_functions(e->module->elf, &count);
	strbuf_init(&names);
	for (size_t i = 0; i < count && listed < ELF_SIMILAR_MAX; i++) {
		const char *name = functions[i].name;
		if (functions[i].is_ifunc || strncmp(name, "__", 2) != 0 ||
			strstr(name, "_ifunc") ||
			strncmp(name + 2, e->point->name, strlen(e->point->name)) != 0)
			continue;
		strbuf_printf(&names, "%s%s", listed++ ? ", " : "", name);
	}
	error_set(err, 0,
		"no match ('%s' is an indirect function, probe an implementation%s%s)",
		e->point->name, listed ? ": " : "", names.data);
	strbuf_deinit(&names);
}

static void report_no_match(struct expansion *e, struct error *err)
{
	const struct target_point *point = e->point;
	if (point->file && !elf_module_has_dwarf(e->module->elf)) {
		elf_missing_debuginfo(e->module->elf, "matching source files", err);
		return;
	}
	if (e->saw_ifunc) {
		report_indirect(e, err);
		return;
	}
	struct elf_similar similar = {.wanted = point->name};
	struct strbuf names;
	size_t count;
	const struct elf_function *functions =
		elf_module_functions(e->module->elf, &count);
	bool suggest = !elf_pattern_has_wildcard(point->name);
	for (size_t i = 0; i < count && suggest; i++) {
		char name[256];
		if (functions[i].is_ifunc || functions[i].is_cold_part)
			continue;
		const char *shown = functions[i].name;
		if (elf_demangle(shown, name, sizeof(name))) {
			const char *last =
				strstr(point->name, "::") ? NULL : strrchr(name, ':');
			shown = arena_strdup(e->arena, last ? last + 1 : name);
		}
		elf_similar_add(&similar, shown);
	}
	strbuf_init(&names);
	elf_similar_print(&similar, &names);
	error_set(err, 0, "no match%s%s%s", names.size ? " (similar functions: " : "",
		names.data, names.size ? ")" : "");
	if (count == 0)
		error_set(err, 0, "no match (%s has no symbols)", e->module->shown_path);
	strbuf_deinit(&names);
}

static void expand_module(struct expansion *e, struct error *err)
{
	if (!e->point->function) {
		(void)match_address(e, err);
		return;
	}
	size_t before = e->locations.count;
	match_symbols(e);
	if (e->locations.count == before && !e->point->is_exported)
		match_debug_information(e);
	if (e->locations.count == 0)
		report_no_match(e, err);
}

static int expand_modules(
	struct expansion *e, const struct module_list *programs, struct error *err)
{
	for (size_t i = 0; i < programs->count; i++) {
		const struct target_module *program = programs->items[i];
		struct module_list libraries = {0};
		e->prefix =
			arena_printf(e->arena, "process(\"%s\")", program->shown_path);
		if (!e->point->library) {
			e->module = programs->items[i];
			expand_module(e, err);
			continue;
		}
		int r = find_libraries(e->target, e->point, program, &libraries, err);
		for (size_t j = 0; j < libraries.count && r == 0; j++) {
			e->module = libraries.items[j];
			e->prefix =
				arena_printf(e->arena, "process(\"%s\").library(\"%s\")",
					program->shown_path, e->module->shown_path);
			expand_module(e, err);
		}
		vec_free(&libraries);
		if (r < 0)
			return r;
	}
	return 0;
}

static int target_expand(void *data, const struct stap_point *point, struct arena *arena,
	struct stap_location ***ret, uint32_t *ret_count, struct error *err)
{
	struct target_point parsed;
	struct error ignored;
	struct module_list programs = {0};
	if (!err)
		err = &ignored;
	int r = parse_point(point, arena, &parsed, err);
	if (r < 0)
		return r;
	err->message[0] = err->hint[0] = '\0';
	struct expansion e = {.target = data, .point = &parsed, .arena = arena};
	r = find_process_modules(data, &parsed, &programs, err);
	if (r == 0)
		r = expand_modules(&e, &programs, err);
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

/* The module named in @cast(p, "type", "MODULE") or @var("x", "MODULE"); NULL with @err when none. */
static struct target_module *find_named_module(struct target *target,
	const struct stap_location *location, const char *name, struct error *err)
{
	const struct target_place *place = location ? location->opaque : NULL;
	struct target_module *module;
	const char *path;
	if (!name || !name[0]) {
		if (place)
			return place->module;
		error_set(err, -ENOENT,
			"@cast and @var need a module outside of process probes");
		return NULL;
	}
	for (size_t i = 0; i < target->modules.count; i++) {
		if (library_matches(name, target->modules.items[i]->shown_path))
			return target->modules.items[i];
	}
	if (elf_program_find(name, &target->arena, &path) == 0)
		return target_open_module(target, path, path, &module, err) < 0 ? NULL
										: module;
	error_set(err, -ENOENT, "no module '%s' is known here", name);
	return NULL;
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
	} else if (!place || module != place->module) {
		return error_set(err, -ENOTSUP,
			"variables of another module (%s) are not accessible here",
			module->shown_path);
	}
	if (place) {
		ret->function = place->entry;
		ret->pc = location->link_address;
	}
	*ret_module = place ? place->module->elf : module->elf;
	build_steps(target, arena, access, ret);
	return 0;
}

static int target_access(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_access **ret, struct error *err)
{
	struct elf_access_request request;
	struct elf_module *module;
	struct elf_access compiled;
	struct stap_access *access = arena_new(arena, struct stap_access);
	int r = build_request(
		data, location, target, at_entry, arena, &request, &module, access, err);
	if (r == 0)
		r = elf_access_compile(module, &request, arena, &compiled, err);
	if (r < 0)
		return r;
	copy_access(&compiled, arena, access);
	*ret = access;
	return 0;
}

static int target_members(void *data, const struct stap_location *location,
	const struct stap_expr *target, bool at_entry, struct arena *arena,
	struct stap_member_info **ret, uint32_t *ret_count, struct error *err)
{
	struct elf_access_request request;
	struct elf_module *module;
	struct stap_access ignored;
	const char **names;
	size_t count;
	int r = build_request(data, location, target, at_entry, arena, &request, &module,
		&ignored, err);
	if (r == 0)
		r = elf_access_members(module, &request, arena, &names, &count, err);
	if (r < 0)
		return r;
	struct stap_member_info *list =
		arena_array(arena, struct stap_member_info, count + 1);
	for (size_t i = 0; i < count; i++)
		list[i] = (struct stap_member_info){.name = names[i], .index = i};
	*ret = list;
	*ret_count = (uint32_t)count;
	return 0;
}

static int target_variables(void *data, const struct stap_location *location,
	bool parameters, bool locals, struct arena *arena,
	struct stap_variable_info **ret, uint32_t *ret_count, struct error *err)
{
	const struct target_place *place = location->opaque;
	struct elf_variable_info *all;
	size_t count;
	int r = elf_function_variables(
		place->module->elf, place->entry, arena, &all, &count, err);
	if (r < 0)
		return r;
	struct stap_variable_info *list =
		arena_array(arena, struct stap_variable_info, count + 1);
	uint32_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i].is_parameter ? parameters : locals)
			list[kept++] = (struct stap_variable_info){
				all[i].name, all[i].type_name, all[i].is_parameter};
	}
	*ret = list;
	*ret_count = kept;
	return 0;
}

/* ---- life cycle ---------------------------------------------------------------------------------------------- */

static const struct stap_target_ops target_ops = {
	.expand = target_expand,
	.access = target_access,
	.variables = target_variables,
	.members = target_members,
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

struct elf_module *stap_target_module(const struct stap_location *location)
{
	const struct target_place *place = location->opaque;
	return place->module->elf;
}
