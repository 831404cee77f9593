/* SPDX-License-Identifier: MIT */
/* The file behind a mapping of another process. */
#pragma once

#include "elf/module.h"
#include "ptrace/ptrace.h"

/**
 * mapped_file_open() - the very file that is mapped, wherever it is
 * The process may live in another mount namespace, the file be removed or replaced, the process be about
 * to end.  The vdso, which is no file, is copied from memory.
 * Return: NULL: it cannot be had
 */
struct elf_module *mapped_file_open(pid_t pid, const struct proc_map *map);
