/* SPDX-License-Identifier: MIT */
#include "uprobes/mapped.h"

#include <string.h>

/*
 * A file has many names; and on file systems of layers, or in another mount namespace, the name is all that there is:
 * maps and stat(2) show different inodes.
 */
bool uprobe_file_is_mapped(const struct uprobe_file *file, const struct proc_map *map)
{
	return map->device_inode == file->device_inode ||
	       strcmp(map->path, file->path) == 0;
}

static void add_bias(struct uprobe_mapped *mapped, uint64_t bias)
{
	for (size_t i = 0; i < mapped->biases.count; i++)
		if (mapped->biases.items[i] == bias)
			return;
	vec_append(&mapped->biases, bias);
}

void uprobe_mapped_find(const struct uprobe_file *file, const struct proc_maps *maps,
	struct uprobe_mapped *ret)
{
	ret->biases.count = ret->parts.count = 0;
	ret->is_twice = false;
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (!uprobe_file_is_mapped(file, map))
			continue;
		uint64_t bias = elf_module_bias(file->elf, map->start, map->offset);
		ret->is_twice |= ret->parts.count && ret->parts.items[0].bias != bias;
		vec_append(&ret->parts, ((struct uprobe_mapped_part){map->start - bias,
						map->end - bias, bias}));
		if (map->execute)
			add_bias(ret, bias);
	}
}

void uprobe_mapped_free(struct uprobe_mapped *mapped)
{
	vec_free(&mapped->biases);
	vec_free(&mapped->parts);
}

bool uprobe_mapped_is_elsewhere(
	const struct uprobe_mapped *mapped, uint64_t bias, uint64_t address)
{
	bool is_elsewhere = false;

	for (size_t i = 0; i < mapped->parts.count && mapped->is_twice; i++) {
		const struct uprobe_mapped_part *part = &mapped->parts.items[i];
		if (address < part->low || address >= part->high)
			continue;
		if (part->bias == bias)
			return false;
		is_elsewhere = true;
	}
	return is_elsewhere;
}
