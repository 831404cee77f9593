/* SPDX-License-Identifier: MIT */
#include "session/mapped_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	VDSO_MAX = 1 << 20
};

static struct elf_module *open_path(const char *path)
{
	struct elf_module *module;
	return elf_module_open(path, &module, NULL) == 0 ? module : NULL;
}

static bool is_same(const char *path, const struct proc_map *map)
{
	struct stat st;
	return stat(path, &st) == 0 &&
	       proc_fold_inode(st.st_dev, st.st_ino) == map->device_inode;
}

static bool is_deleted(const struct proc_map *map)
{
	static const char suffix[] = " (deleted)";
	size_t size = strlen(map->path);
	return size >= sizeof(suffix) &&
	       strcmp(map->path + size - (sizeof(suffix) - 1), suffix) == 0;
}

static struct elf_module *copy_vdso(pid_t pid, const struct proc_map *map)
{
	uint64_t size = map->end - map->start;
	char path[64];
	int memory = remote_memory_open(pid, NULL);
	int copy = memfd_create("vdso", MFD_CLOEXEC);
	CLEANUP(cleanup_free) char *bytes = malloc(VDSO_MAX);
	struct elf_module *module = NULL;
	if (memory >= 0 && copy >= 0 && bytes && size <= VDSO_MAX &&
		remote_memory_read(memory, map->start, bytes, size) >= 0 &&
		write(copy, bytes, size) == (ssize_t)size) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
		module = open_path(path);
	}
	if (memory >= 0)
		close(memory);
	if (copy >= 0)
		close(copy);
	return module;
}

struct elf_module *mapped_file_open(pid_t pid, const struct proc_map *map)
{
	char path[PATH_MAX + 64];
	pid_t task = proc_task_with_memory(pid);
	if (strcmp(map->path, "[vdso]") == 0)
		return copy_vdso(pid, map);
	if (map->path[0] != '/')
		return NULL;
	/* this link leads to the file itself, and is for the privileged */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, task,
		map->start, map->end);
	struct elf_module *module = is_deleted(map) ? open_path(path) : NULL;
	if (module || is_deleted(map))
		return module;
	snprintf(path, sizeof(path), "/proc/%d/root%s", task, map->path);
	module = open_path(path);
	/* of a process that has ended, or is just about to, the root is not to be had */
	if (!module && (kill(pid, 0) < 0 || is_same(map->path, map)))
		module = open_path(map->path);
	return module;
}
