/* SPDX-License-Identifier: MIT */
/* From what the user names to instructions of a file, checked as far as the file tells. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/internal.h"

/* ---- files ---- */

void probe_file_free(struct probe_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->uprobes.count; i++) {
		struct uprobe *uprobe = file->uprobes.items[i];
		for (size_t k = 0; k < uprobe->links.count; k++) {
			vec_free(&uprobe->links.items[k]->answers);
			free(uprobe->links.items[k]);
		}
		vec_free(&uprobe->links);
		free(uprobe);
	}
	for (size_t i = 0; i < file->points.count; i++) {
		vec_free(&file->points.items[i]->events);
		free(file->points.items[i]);
	}
	free(file->by_name);
	vec_free(&file->uprobes);
	vec_free(&file->points);
	arch_text_destroy(file->text);
	elf_module_close(file->elf);
	free(file->path);
	free(file);
}

static int file_open(
	struct uprobes *u, const char *path, struct probe_file **ret, struct error *err)
{
	char canonical[PATH_MAX];
	struct stat st;

	if (!path)
		return error_set(err, -EINVAL, "a place needs a file");
	if (!realpath(path, canonical) || stat(canonical, &st) < 0)
		return error_set(
			err, -errno, "cannot probe %s: %s", path, strerror(errno));
	for (size_t i = 0; i < u->files.count; i++)
		if (u->files.items[i]->device_inode ==
				proc_fold_inode(st.st_dev, st.st_ino) &&
			u->files.items[i]->size == (uint64_t)st.st_size) {
			*ret = u->files.items[i];
			return 0;
		}
	struct probe_file *file = calloc(1, sizeof(*file));
	if (!file)
		return error_set(err, -ENOMEM, "out of memory");
	int r = elf_module_open(canonical, &file->elf, err);
	if (r >= 0) {
		file->path = strdup(canonical);
		file->device_inode = proc_fold_inode(st.st_dev, st.st_ino);
		file->size = (uint64_t)st.st_size;
		file->text = uprobe_text_create(file->elf);
		if (!file->path || !file->text)
			r = error_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		probe_file_free(file);
		return r;
	}
	vec_append(&u->files, file);
	*ret = file;
	return 0;
}

static const struct elf_segment *segment_at(
	const struct probe_file *file, uint64_t offset)
{
	size_t count;
	const struct elf_segment *segments = elf_module_segments(file->elf, &count);

	for (size_t i = 0; i < count; i++)
		if (offset >= segments[i].file_offset &&
			offset - segments[i].file_offset < segments[i].file_size)
			return &segments[i];
	return NULL;
}

static uint64_t offset_of(const struct probe_file *file, uint64_t address)
{
	size_t count;
	const struct elf_segment *segments = elf_module_segments(file->elf, &count);

	for (size_t i = 0; i < count; i++)
		if (address >= segments[i].address &&
			address - segments[i].address < segments[i].file_size)
			return address - segments[i].address + segments[i].file_offset;
	return 0;
}

/* ---- addresses ---- */

static int compare_names(const void *a, const void *b)
{
	const struct elf_function *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int index_names(struct probe_file *file, struct error *err)
{
	size_t count;
	const struct elf_function *functions = elf_module_functions(file->elf, &count);

	if (file->by_name)
		return 0;
	file->by_name = calloc(count + 1, sizeof(*file->by_name));
	if (!file->by_name)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		file->by_name[i] = &functions[i];
	file->name_count = count;
	qsort(file->by_name, count, sizeof(*file->by_name), compare_names);
	return 0;
}

/* The first of those that are called so. */
static size_t find_name(const struct probe_file *file, const char *name)
{
	size_t low = 0, high = file->name_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(file->by_name[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int find_symbol(
	struct probe_file *file, const char *name, uint64_t *ret, struct error *err)
{
	int r = index_names(file, err);
	const struct elf_function *found = NULL;

	for (size_t i = r < 0 ? 0 : find_name(file, name);
		r >= 0 && i < file->name_count && !strcmp(file->by_name[i]->name, name);
		i++) {
		const struct elf_function *function = file->by_name[i];
		if (function->is_ifunc)
			return error_set(err, -EOPNOTSUPP,
				"%s in %s is chosen when the program starts (IFUNC): name one of its "
				"implementations",
				name, file->path);
		if (found && found->start != function->start)
			return error_set(err, -EINVAL,
				"%s has several functions %s: give an offset instead",
				file->path, name);
		found = function;
	}
	if (r < 0)
		return r;
	if (!found)
		return error_set(err, -ENOENT, "%s has no function %s", file->path, name);
	*ret = found->start;
	return 0;
}

static int find_offset(
	struct probe_file *file, uint64_t offset, uint64_t *ret, struct error *err)
{
	const struct elf_segment *segment = segment_at(file, offset);

	if (offset >= file->size)
		return error_set(err, -EINVAL,
			"%s has no offset 0x%llx: it has %llu bytes", file->path,
			(unsigned long long)offset, (unsigned long long)file->size);
	if (!segment || !segment->executable)
		return error_set(err, -EINVAL, "%s has no code at offset 0x%llx",
			file->path, (unsigned long long)offset);
	*ret = segment->address + (offset - segment->file_offset);
	return 0;
}

static int find_semaphore(
	struct probe_file *file, uint64_t offset, uint64_t *ret, struct error *err)
{
	const struct elf_segment *segment = segment_at(file, offset);

	*ret = 0;
	if (!offset)
		return 0;
	if (offset % sizeof(uint16_t))
		return error_set(err, -EINVAL, "a counter at the odd offset 0x%llx",
			(unsigned long long)offset);
	if (!segment || !segment->writable)
		return error_set(err, -EINVAL, "%s has no data at offset 0x%llx",
			file->path, (unsigned long long)offset);
	*ret = segment->address + (offset - segment->file_offset);
	return 0;
}

/* ---- points ---- */

/* Where a point is, or would be. */
static size_t point_place(const struct probe_file *file, uint64_t address)
{
	size_t low = 0, high = file->points.count;

	/* many are registered in ascending order */
	if (high && file->points.items[high - 1]->address < address)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (file->points.items[middle]->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct probe_point *point_find(const struct probe_file *file, uint64_t address)
{
	size_t at = point_place(file, address);

	return at < file->points.count && file->points.items[at]->address == address
		       ? file->points.items[at]
		       : NULL;
}

static struct probe_point *point_add(
	struct probe_file *file, const struct probe_point *planned)
{
	struct probe_point *point = malloc(sizeof(*point));
	size_t at = point_place(file, planned->address);

	if (!point)
		return NULL;
	*point = *planned;
	point->file = file;
	vec_append(&file->points, point);
	memmove(file->points.items + at + 1, file->points.items + at,
		(file->points.count - 1 - at) * sizeof(*file->points.items));
	file->points.items[at] = point;
	return point;
}

/* Patches are taken out one by one here, and a short jump cannot be. */
static bool is_usable_jump(const struct arch_plan *plan)
{
	return plan->form == ARCH_PATCH_JUMP_SINGLE ||
	       plan->form == ARCH_PATCH_JUMP_WINDOW;
}

static int plan_point(struct uprobe *uprobe, struct probe_point *ret, struct error *err)
{
	const struct arch_plan_options breakpoints = {.no_jumps = true}, any = {0};
	struct arch_text *text = uprobe->file->text;

	int r = arch_plan_site(text, uprobe->address, uprobe->start, uprobe->end,
		&breakpoints, &ret->breakpoint, err);
	if (r < 0) {
		error_prefix(err, "cannot probe %s", uprobe->file->path);
		return r;
	}
	ret->address = uprobe->address;
	ret->has_jump = arch_plan_site(text, uprobe->address, uprobe->start, uprobe->end,
				&any, &ret->jump, NULL) >= 0 &&
			is_usable_jump(&ret->jump);
	return 0;
}

/* The jump that serves one exit alone; several exits in one window are breakpoints. */
static void find_exit_jump(
	const struct arch_plan *plans, size_t count, struct probe_point *point)
{
	for (size_t i = 0; i < count; i++) {
		if (plans[i].point_count != 1 ||
			plans[i].points[0].address != point->address ||
			!is_usable_jump(&plans[i]))
			continue;
		point->jump = plans[i];
		point->has_jump = true;
		return;
	}
}

static int add_exits(struct uprobe *uprobe, const struct arch_plan *breakpoints,
	size_t count, const struct arch_plan *jumps, size_t jump_count)
{
	for (size_t i = 0; i < count; i++) {
		const struct arch_point *exit = &breakpoints[i].points[0];
		uprobe->shares_exits |= exit->is_shared;
		if (exit->is_tail_call) {
			uprobe->tail_calls++;
			continue;
		}
		struct probe_point *point = point_find(uprobe->file, exit->address);
		if (!point) {
			struct probe_point planned = {
				.address = exit->address, .breakpoint = breakpoints[i]};
			find_exit_jump(jumps, jump_count, &planned);
			point = point_add(uprobe->file, &planned);
		}
		if (!point)
			return -ENOMEM;
		vec_append(&point->events,
			((struct probe_event){uprobe, true, exit->is_conditional}));
		uprobe->exits++;
	}
	return 0;
}

int probe_plan_exits(struct uprobe *uprobe, struct error *err)
{
	const struct arch_plan_options no_jumps = {.no_jumps = true}, any = {0};
	struct arch_plan *breakpoints = NULL, *jumps = NULL;
	size_t count = 0, jump_count = 0;

	if (uprobe->has_exits)
		return 0;
	if (uprobe->address != uprobe->start)
		return error_set(err, -EINVAL,
			"%s: 0x%llx is not a function's first instruction: it has no return",
			uprobe->file->path, (unsigned long long)uprobe->offset);
	int r = arch_plan_exits(uprobe->file->text, uprobe->start, uprobe->end, &no_jumps,
		&breakpoints, &count, err);
	if (r >= 0 && !count)
		r = error_set(err, -EOPNOTSUPP,
			"%s: the function at 0x%llx never returns", uprobe->file->path,
			(unsigned long long)uprobe->offset);
	if (r >= 0 && arch_plan_exits(uprobe->file->text, uprobe->start, uprobe->end,
			      &any, &jumps, &jump_count, NULL) < 0)
		jump_count = 0;
	if (r >= 0)
		r = add_exits(uprobe, breakpoints, count, jumps, jump_count);
	uprobe->has_exits = r >= 0;
	free(breakpoints);
	free(jumps);
	return r;
}

/* ---- uprobes ---- */

static struct uprobe *uprobe_at(const struct probe_file *file, uint64_t address)
{
	const struct probe_point *point = point_find(file, address);

	for (size_t i = 0; point && i < point->events.count; i++)
		if (!point->events.items[i].is_return)
			return point->events.items[i].uprobe;
	return NULL;
}

static int uprobe_add(struct uprobe *planned, struct uprobe **ret, struct error *err)
{
	struct probe_file *file = planned->file;
	struct probe_point *point = point_find(file, planned->address);
	struct probe_point new_point = {0};
	const char *name;

	if (!elf_module_function_at(
		    file->elf, planned->address, &planned->start, &planned->end, &name))
		return error_set(err, -ENOENT,
			"%s: no function is known at offset 0x%llx", file->path,
			(unsigned long long)planned->offset);
	int r = point ? 0 : plan_point(planned, &new_point, err);
	if (r < 0)
		return r;
	struct uprobe *uprobe = malloc(sizeof(*uprobe));
	if (uprobe && !point)
		point = point_add(file, &new_point);
	if (!uprobe || !point) {
		free(uprobe);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*uprobe = *planned;
	uprobe->point = point;
	vec_append(&point->events, ((struct probe_event){.uprobe = uprobe}));
	vec_append(&file->uprobes, uprobe);
	*ret = uprobe;
	return 0;
}

int probe_find_place(struct uprobes *u, const struct uprobe_place *place,
	struct uprobe **ret, struct error *err)
{
	struct uprobe planned = {.owner = u, .ref_ctr_offset = place->ref_ctr_offset};

	if (place->size != sizeof(*place))
		return error_set(
			err, -EINVAL, "struct uprobe_place of %zu bytes", place->size);
	int r = file_open(u, place->path, &planned.file, err);
	if (r >= 0 && place->symbol) {
		r = find_symbol(planned.file, place->symbol, &planned.address, err);
		planned.address += place->offset;
		planned.offset = offset_of(planned.file, planned.address);
	} else if (r >= 0) {
		planned.offset = place->offset;
		r = find_offset(planned.file, place->offset, &planned.address, err);
	}
	if (r >= 0)
		r = find_semaphore(
			planned.file, place->ref_ctr_offset, &planned.semaphore, err);
	if (r < 0)
		return r;
	*ret = uprobe_at(planned.file, planned.address);
	if (!*ret)
		return uprobe_add(&planned, ret, err);
	if ((*ret)->ref_ctr_offset != place->ref_ctr_offset)
		return error_set(err, -EINVAL,
			"%s: the place at 0x%llx is registered with another ref_ctr_offset",
			planned.file->path, (unsigned long long)planned.offset);
	return 0;
}
