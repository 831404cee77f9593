/* SPDX-License-Identifier: MIT */
/* From what users call a program or library to the file: $PATH, scripts, the loader's search. */
#pragma once

#include "elf/module.h"

/**
 * elf_root_resolve() - a path without links, as a process with another root directory sees it
 * @root: "" (our own), or a prefix such as /proc/PID/root (openat2(2), Linux 5.6)
 * Return: path in @arena, to be opened with @root before it; NULL: there is no such file
 */
const char *elf_root_resolve(const char *root, const char *path, struct arena *arena);

/**
 * elf_program_find() - the ELF file behind a program's name
 * @root: as above
 * @name: without a slash searched in $PATH; a script stands for its interpreter
 * @ret:  as elf_root_resolve() returns it
 * Return: 0, or -ENOENT
 */
must_check int elf_program_find(
	const char *root, const char *name, struct arena *arena, const char **ret);

/**
 * elf_library_closure() - files of all libraries a module needs, directly or not, as ld.so finds them
 * (LD_LIBRARY_PATH excepted: it is the program's environment that counts, not ours)
 * @root: as above
 * @ret:  canonical paths without the root, in @arena
 */
void elf_library_closure(const struct elf_module *module, const char *root,
	struct arena *arena, const char ***ret, size_t *ret_count);
