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

/* Where the paths of a process mean what they mean to it. */
struct process_view {
	const char *root;   /* "" where they mean the same to us, or /proc/PID/root */
	const char *prefix; /* its root as the memory map has it, "" for "/" */
};

static struct process_view process_view(struct target *target, pid_t pid)
{
	struct process_view same = {"", ""};
	char mounts[64], path[PATH_MAX];
	if (pid == 0)
		return same;
	pid = proc_task_with_memory(pid);
	const char *root = arena_printf(&target->arena, "/proc/%d/root", (int)pid);
	snprintf(mounts, sizeof(mounts), "/proc/%d/ns/mnt", (int)pid);
	ssize_t size = readlink(root, path, sizeof(path) - 1);
	if (size < 0 ||
		(is_same_file(root, "/") && is_same_file(mounts, "/proc/self/ns/mnt")))
		return same;
	path[size] = '\0';
	return (struct process_view){
		root, path[1] ? arena_strdup(&target->arena, path) : ""};
}

static const char deleted[] = " (deleted)"; /* what the kernel says of a removed file */

static size_t undeleted_size(const char *path)
{
	size_t size = strlen(path), suffix = sizeof(deleted) - 1;
	return size >= suffix && strcmp(path + size - suffix, deleted) == 0
		       ? size - suffix
		       : size;
}

/* A file that the process maps.  The link to a removed one is for the privileged. */
static const char *mapped_open_path(struct target *target, pid_t pid,
	struct process_view view, const struct proc_map *map)
{
	size_t size = strlen(view.prefix);
	if (map->path[undeleted_size(map->path)])
		return arena_printf(&target->arena,
			"/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
			(int)proc_task_with_memory(pid), map->start, map->end);
	return strncmp(map->path, view.prefix, size) == 0
		       ? arena_printf(&target->arena, "%s%s", view.root, map->path + size)
		       : map->path;
}

/*
 * The executable of a process can lie in another mount namespace, or be deleted: the link itself
 * always opens it.
 */
static int open_process_module(
	struct target *target, pid_t pid, struct target_module **ret, struct error *err)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)proc_task_with_memory(pid));
	ssize_t size = readlink(link, path, sizeof(path) - 1);
	if (size < 0 && errno == ENOENT)
		return error_set(
			err, -ESRCH, "cannot probe pid %d: No such process", pid);
	if (size < 0)
		return ptrace_explain(pid, -errno, err);
	path[size] = '\0';
	return target_open_module(
		target, is_same_file(link, path) ? path : link, path, ret, err);
}

static bool is_program(const char *path)
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

static int add_module(struct target *target, const char *open_path, const char *shown,
	struct target_module_list *ret, struct error *err)
{
	struct target_module *module;
	int r = target_open_module(target, open_path, shown, &module, err);
	if (r == 0)
		target_modules_add(ret, module);
	return r;
}

/* @path: as the process sees it */
static int add_viewed_module(struct target *target, struct process_view view,
	const char *path, struct target_module_list *ret, struct error *err)
{
	return add_module(target, arena_printf(&target->arena, "%s%s", view.root, path),
		arena_printf(&target->arena, "%s%s", view.prefix, path), ret, err);
}

static int glob_modules(struct target *target, struct process_view view,
	const char *pattern, struct target_module_list *ret, struct error *err)
{
	glob_t found;
	pattern = arena_printf(&target->arena, "%s%s", view.root, pattern);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	int r = 0;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		const char *path;
		if (elf_program_find(view.root, found.gl_pathv[i] + strlen(view.root),
			    &target->arena, &path) < 0 ||
			!is_program(
				arena_printf(&target->arena, "%s%s", view.root, path)))
			continue; /* what is no program does not match */
		r = add_viewed_module(target, view, path, ret, err);
	}
	globfree(&found);
	return r;
}

/* "no match" is what scripts and their users look for; the reason comes after it. */
static void report_missing_program(const char *path, bool is_command, struct error *err)
{
	struct stat st;
	const char *why = "no such program in PATH";
	if (!is_command && !strchr(path, '/')) {
		error_set(err, 0, "cannot find executable '%s'", path);
		return;
	}
	if (strchr(path, '/')) {
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

/* Did the process of -x come from this path, and the file has been removed or replaced since? */
static bool was_target_program(const struct target *target, const char *path)
{
	size_t size = strlen(path);
	return target->target_pid && strncmp(target->target_path, path, size) == 0 &&
	       strcmp(target->target_path + size, deleted) == 0;
}

static int add_process_module(struct target *target, pid_t pid,
	struct target_module_list *ret, struct error *err)
{
	struct target_module *module;
	int r = open_process_module(target, pid, &module, err);
	if (r == 0)
		target_modules_add(ret, module);
	return r;
}

/* Under -x a name means first what it means to that process, which may live in a container. */
static int add_named_programs(struct target *target, const char *name, bool is_command,
	struct target_module_list *ret, struct error *err)
{
	struct process_view views[2] = {
		process_view(target, target->target_pid), {"", ""}};
	bool wild = !is_command && elf_pattern_has_wildcard(name);
	if (was_target_program(target, name))
		return add_process_module(target, target->target_pid, ret, err);
	for (int i = views[0].root[0] ? 0 : 1; i < 2; i++) {
		const char *path;
		if (i == 0 && name[0] != '/' && strchr(name, '/'))
			continue; /* relative to our directory */
		if (wild) {
			int r = glob_modules(target, views[i], name, ret, err);
			if (r < 0 || ret->count)
				return r;
		} else if (elf_program_find(views[i].root, name, &target->arena, &path) ==
			   0) {
			return was_target_program(target, path)
				       ? add_process_module(
						 target, target->target_pid, ret, err)
				       : add_viewed_module(
						 target, views[i], path, ret, err);
		}
	}
	/* in PATH first, as SystemTap, but a file of this directory will do */
	const char *path, *here = arena_printf(&target->arena, "./%s", name);
	if (!wild && !is_command && name[0] && !strchr(name, '/') &&
		elf_program_find("", here, &target->arena, &path) == 0)
		return add_viewed_module(target, views[1], path, ret, err);
	if (!wild)
		report_missing_program(name, is_command, err);
	return 0;
}

int target_find_programs(struct target *target, const struct target_point *point,
	struct target_module_list *ret, struct error *err)
{
	const char *path = point->process ? point->process : target->target_path;
	if (point->process_pid || (!point->process && target->target_pid)) {
		pid_t pid = point->process_pid ? (pid_t)point->process_pid
					       : target->target_pid;
		return add_process_module(target, pid, ret, err);
	}
	if (!path)
		return error_set(err, -EINVAL,
			"unspecified process probe is invalid without a -c COMMAND or -x PID "
			"[man stapprobes]");
	return add_named_programs(target, path, !point->process, ret, err);
}

bool target_path_matches(const char *pattern, const char *path)
{
	const char *base = strrchr(path, '/');
	return elf_pattern_matches_file(pattern, path) ||
	       (base && elf_pattern_matches_file(pattern, base + 1));
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

/* Is this the program that -x names? */
static bool is_target_program(
	const struct target *target, const struct target_module *program)
{
	return target->target_path &&
	       (strcmp(target->target_path, program->shown_path) == 0 ||
		       is_same_file(target->target_path, program->shown_path));
}

/* What a running process has opened with dlopen() is nobody's need, nor is what has been replaced. */
static int add_mapped_libraries(struct target *target, struct process_view view,
	const struct target_point *point, pid_t pid, const char *program,
	struct target_module_list *ret, struct error *err)
{
	struct proc_maps maps = {0};
	const char *last = "";
	int r = 0;
	if (!pid || proc_read_maps(pid, &maps, NULL) < 0)
		return 0;
	for (size_t i = 0; i < maps.maps.count && r != -ENOMEM; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		const char *name = arena_strndup(
			&target->arena, map->path, undeleted_size(map->path));
		if (!map->execute || map->path[0] != '/' ||
			strcmp(map->path, last) == 0 || strcmp(map->path, program) == 0 ||
			!target_path_matches(point->library, name))
			continue;
		last = map->path;
		/* odd files are no reason to refuse the others */
		r = add_module(target, mapped_open_path(target, pid, view, map),
			map->path, ret, NULL);
		if (r < 0 && map->path[strlen(name)])
			target_warn(target,
				"process %d runs a removed '%s', which only root can open: no probes there",
				(int)pid, name);
	}
	proc_maps_free(&maps);
	return r == -ENOMEM ? error_set(err, r, "out of memory") : 0;
}

/* libfoo.so.1 is a link to libfoo.so.1.2.3 beside it */
static int add_linked_library(struct target *target, struct process_view view,
	const struct target_point *point, const char *path,
	struct target_module_list *ret, struct error *err)
{
	const char *base = strrchr(path, '/');
	if (!base || strchr(point->library, '/'))
		return 0;
	const char *alias = arena_printf(
		&target->arena, "%.*s/%s", (int)(base - path), path, point->library);
	const char *real = elf_root_resolve(view.root, alias, &target->arena);
	return real && strcmp(real, path) == 0
		       ? add_viewed_module(target, view, path, ret, err)
		       : 0;
}

/* Any library named in full may be opened later; links differ from the canonical path. */
static int add_named_library(struct target *target, struct process_view view,
	const struct target_point *point, const struct target_module *program,
	struct target_module_list *ret, struct error *err)
{
	const char *found;
	size_t before = ret->count;
	if (!strchr(point->library, '/'))
		return 0;
	if (elf_pattern_has_wildcard(point->library))
		return glob_modules(target, view, point->library, ret, err);
	if (elf_program_find(view.root, point->library, &target->arena, &found) < 0)
		return 0;
	int r = add_viewed_module(target, view, found, ret, err);
	if (r == 0 && ret->count > before)
		target_warn(target, "'%s' is not a needed library of '%s'.", found,
			program->shown_path);
	return r;
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
	struct process_view view = process_view(target, pid);
	/* one of those that the loader brings, under another name */
	const char *real =
		strchr(point->library, '/')
			? elf_root_resolve(view.root, point->library, &target->arena)
			: NULL;
	size_t before = ret->count;
	int r = 0;
	elf_library_closure(program->elf, view.root, &target->arena, &paths, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (target_path_matches(point->library, paths[i]) ||
			(real && strcmp(real, paths[i]) == 0))
			r = add_viewed_module(target, view, paths[i], ret, err);
	}
	if (r == 0)
		r = add_mapped_libraries(
			target, view, point, pid, program->shown_path, ret, err);
	for (size_t i = 0; i < count && r == 0 && ret->count == before; i++)
		r = add_linked_library(target, view, point, paths[i], ret, err);
	if (r == 0 && ret->count == before)
		r = add_named_library(target, view, point, program, ret, err);
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
		r = target_open_module(target,
			mapped_open_path(target, pid, process_view(target, pid), map),
			map->path, ret, err);
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
