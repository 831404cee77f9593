/* SPDX-License-Identifier: MIT */
/*
 * Where the code of a file is in a process.  A process may have mapped a file more than once (dlmopen), and a part of
 * it once more than the rest: V8 maps a part of its program's text a second time, near the code that it generates.
 */
#pragma once

#include "elf/module.h"
#include "ptrace/ptrace.h"

struct uprobe_file {
	const struct elf_module *elf;
	uint64_t device_inode;
	const char *path; /* canonical */
};

struct uprobe_mapped_part {
	uint64_t low, high, bias; /* link-time addresses */
};

struct uprobe_mapped {
	VEC(uint64_t) biases; /* each at which there is code, in the order of mappings */
	VEC(struct uprobe_mapped_part) parts;
	bool is_twice; /* with different biases */
};

/** uprobe_file_is_mapped() - is it a mapping of the file? */
bool uprobe_file_is_mapped(const struct uprobe_file *file, const struct proc_map *map);
/** uprobe_mapped_find() - @ret: zeros, or of another file before; end with uprobe_mapped_free() */
void uprobe_mapped_find(const struct uprobe_file *file, const struct proc_maps *maps,
	struct uprobe_mapped *ret);
void uprobe_mapped_free(struct uprobe_mapped *mapped);
/**
 * uprobe_mapped_is_elsewhere() - what is at an address of the file is mapped, but not with this bias: nobody misses
 * it here.  What is nowhere is for uprobe_insert() to refuse.
 */
bool uprobe_mapped_is_elsewhere(
	const struct uprobe_mapped *mapped, uint64_t bias, uint64_t address);
