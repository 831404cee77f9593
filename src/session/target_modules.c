/* SPDX-License-Identifier: MIT */
/* process("..."), process(PID) and .library("...") to ELF files. */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/kept.h"
#include "elf/library.h"
#include "elf/names.h"
#include "ptrace/ptrace.h"
#include "session/target_internal.h"

int target_open_module(struct target *target, const char *open_path,
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
	elf_module_use_cache(elf, target->cache);
	elf_module_on_notice(elf, target->notice, target->notice_data);
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

/* Links and patterns may name one file twice. */
static void target_modules_add(
	struct target_module_list *list, struct target_module *module)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == module)
			return;
	}
	vec_append(list, module);
}

static int glob_modules(struct target *target, const char *pattern,
	struct target_module_list *ret, struct error *err)
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
			target_modules_add(ret, module);
	}
	globfree(&found);
	return r;
}

/* The modules of process(...): none and a message when there is no such file. */
/* "no match" is what scripts and their users look for; the reason comes after it. */
static void report_missing_program(const char *path, bool is_command, struct error *err)
{
	struct stat st;
	const char *why = "no such program in PATH";
	if (!path[0]) {
		path = "\"\"";
		why = "the path of a program is empty";
	} else if (strchr(path, '/')) {
		if (stat(path, &st) < 0)
			why = strerror(errno);
		else if (S_ISDIR(st.st_mode))
			why = strerror(EISDIR);
		else
			why = S_ISREG(st.st_mode) ? "its interpreter is not there"
						  : "not a regular file";
	}
	error_set(err, 0, "no match: %s%s: %s",
		is_command ? "cannot run the command of -c, " : "", path, why);
}

int target_find_programs(struct target *target, const struct target_point *point,
	struct target_module_list *ret, struct error *err)
{
	struct target_module *module;
	const char *path = point->process ? point->process : target->target_path;
	if (point->process_pid || (!point->process && target->target_pid)) {
		pid_t pid = point->process_pid ? (pid_t)point->process_pid
					       : target->target_pid;
		int r = open_process_module(target, pid, &module, err);
		if (r == 0)
			target_modules_add(ret, module);
		return r;
	}
	if (!path)
		return error_set(err, -EINVAL,
			"unspecified process probe is invalid without a -c COMMAND or -x PID "
			"[man stapprobes]");
	if (point->process && elf_pattern_has_wildcard(path))
		return glob_modules(target, path, ret, err);
	const char *found, *shown = path;
	/* a path may mean something in the target's mount namespace only */
	if (elf_program_find(path, &target->arena, &found) == 0)
		shown = found;
	else
		found = arena_printf(&target->arena, "%s%s",
			process_root(target, target->target_pid), path);
	if (shown == path &&
		(path[0] != '/' || !target->target_pid || !has_program_header(found))) {
		report_missing_program(path, !point->process, err);
		return 0;
	}
	int r = target_open_module(target, found, shown, &module, err);
	if (r == 0)
		target_modules_add(ret, module);
	return r;
}

bool target_path_matches(const char *pattern, const char *path)
{
	const char *base = strrchr(path, '/');
	return elf_pattern_matches_file(pattern, path) ||
	       (base && elf_pattern_matches_file(pattern, base + 1));
}

static int add_library(struct target *target, const char *root, const char *path,
	struct target_module_list *ret, struct error *err)
{
	struct target_module *module;
	const char *open_path = arena_printf(&target->arena, "%s%s", root, path);
	int r = target_open_module(target, open_path, path, &module, err);
	if (r == 0)
		target_modules_add(ret, module);
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
/* Is this the program that -x names? */
static bool is_target_program(
	const struct target *target, const struct target_module *program)
{
	return target->target_path &&
	       (strcmp(target->target_path, program->shown_path) == 0 ||
		       is_same_file(target->target_path, program->shown_path));
}

/* What a running process has opened with dlopen() is nobody's need. */
static int add_mapped_libraries(struct target *target, const struct target_point *point,
	pid_t pid, const char *program, struct target_module_list *ret, struct error *err)
{
	struct proc_maps maps = {0};
	const char *last = "";
	int r = 0;
	if (!pid || proc_read_maps(pid, &maps, NULL) < 0)
		return 0;
	for (size_t i = 0; i < maps.maps.count && r == 0; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		if (!map->execute || map->path[0] != '/' ||
			strcmp(map->path, last) == 0 || strcmp(map->path, program) == 0 ||
			!target_path_matches(point->library, map->path))
			continue;
		last = map->path;
		/* deleted and odd files are no reason to refuse the others */
		if (add_library(target, process_root(target, pid), map->path, ret,
			    NULL) == -ENOMEM)
			r = error_set(err, -ENOMEM, "out of memory");
	}
	proc_maps_free(&maps);
	return r;
}

/* libfoo.so.1 is a link to libfoo.so.1.2.3 beside it */
static int add_linked_library(struct target *target, const struct target_point *point,
	const char *root, const char *path, struct target_module_list *ret,
	struct error *err)
{
	const char *base = strrchr(path, '/');
	if (!base || strchr(point->library, '/'))
		return 0;
	const char *alias = arena_printf(&target->arena, "%s%.*s/%s", root,
		(int)(base - path), path, point->library);
	return is_same_file(alias, arena_printf(&target->arena, "%s%s", root, path))
		       ? add_library(target, root, path, ret, err)
		       : 0;
}

/* Any library named in full may be opened later; links differ from the canonical path. */
static int add_named_library(struct target *target, const struct target_point *point,
	const struct target_module *program, struct target_module_list *ret,
	struct error *err)
{
	const char *found;
	size_t before = ret->count;
	if (!strchr(point->library, '/'))
		return 0;
	if (elf_pattern_has_wildcard(point->library))
		return glob_modules(target, point->library, ret, err);
	if (elf_program_find(point->library, &target->arena, &found) < 0)
		return 0;
	int r = add_library(target, "", found, ret, err);
	if (r == 0 && ret->count > before)
		target_warn(target, "'%s' is not a needed library of '%s'.", found,
			program->shown_path);
	return r;
}

/* Is it one of those that the loader brings, under another name? */
static bool is_other_name(const char *library, const char *path)
{
	return strchr(library, '/') && is_same_file(library, path);
}

int target_find_libraries(struct target *target, const struct target_point *point,
	const struct target_module *program, struct target_module_list *ret,
	struct error *err)
{
	const char **paths;
	size_t count;
	pid_t pid = point->process_pid ? (pid_t)point->process_pid : 0;
	if (!pid && target->target_pid &&
		(!point->process || is_target_program(target, program)))
		pid = target->target_pid;
	const char *root = process_root(target, pid);
	size_t before = ret->count;
	int r = 0;
	elf_library_closure(program->elf, root, &target->arena, &paths, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		bool matches = target_path_matches(point->library, paths[i]) ||
			       (!root[0] && is_other_name(point->library, paths[i]));
		if (matches)
			r = add_library(target, root, paths[i], ret, err);
	}
	if (r == 0)
		r = add_mapped_libraries(
			target, point, pid, program->shown_path, ret, err);
	for (size_t i = 0; i < count && r == 0 && ret->count == before; i++)
		r = add_linked_library(target, point, root, paths[i], ret, err);
	if (r == 0 && ret->count == before && !root[0])
		r = add_named_library(target, point, program, ret, err);
	if (r == 0 && ret->count == before)
		report_missing_library(point, paths, count, err);
	return r;
}

int target_find_mapped(struct target *target, pid_t pid, uint64_t address,
	struct target_module **ret, uint64_t *ret_link_address, struct error *err)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(pid, &maps, err);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; i < maps.maps.count; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		if (address < map->start || address >= map->end || !map->execute ||
			map->path[0] != '/')
			continue;
		const char *open_path = arena_printf(
			&target->arena, "%s%s", process_root(target, pid), map->path);
		r = target_open_module(target, open_path, map->path, ret, err);
		if (r == 0)
			*ret_link_address = address - elf_module_bias((*ret)->elf,
							      map->start, map->offset);
		break;
	}
	proc_maps_free(&maps);
	if (r == -ENOENT)
		error_set(err, r, "process %d has no code of a file at %#" PRIx64,
			(int)pid, address);
	return r;
}
