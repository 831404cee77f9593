/* SPDX-License-Identifier: MIT */
/*
 * Counters by which a program knows that somebody listens to its static marks (USDT).  They are 16-bit
 * words of its data: one up while probes are in, one down again when they go.  The journal has each of
 * them, so that the guardian and `heal` can lower what a dead tracer had raised.
 */
#include <errno.h>
#include <string.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"
#include "uprobes/undo.h"

/* Which file the counter's page comes from: another one may be there after dlclose(). */
static bool find_inode(const struct proc_maps *maps, uint64_t address, uint64_t *ret)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (address < map->start || address >= map->end)
			continue;
		*ret = map->device_inode;
		return map->write;
	}
	return false;
}

static int change(int memory_fd, uint64_t address, int step)
{
	uint16_t value;
	int r = remote_memory_read(memory_fd, address, &value, sizeof(value));

	if (r < 0)
		return r;
	if (step < 0 ? value == 0 : value == UINT16_MAX)
		return -ERANGE; /* somebody else counts wrongly */
	value = (uint16_t)(value + step);
	return remote_memory_write(memory_fd, address, &value, sizeof(value));
}

static int raise_one(struct uprobe_space *space, const struct proc_maps *maps,
	uint64_t address, struct error *err)
{
	struct uprobe_semaphore semaphore = {.address = address};
	uint16_t value;

	for (size_t i = 0; i < space->semaphores.count; i++)
		if (space->semaphores.items[i].address == address)
			return 0;
	if (!find_inode(maps, address, &semaphore.inode) ||
		remote_memory_read(space->memory_fd, address, &value, sizeof(value)) < 0)
		return error_set(err, -EFAULT,
			"process %d has no semaphore of a mark at %#llx", space->pid,
			(unsigned long long)address);
	int r = journal_add_semaphore(
		&space->journal, space->pid, &semaphore, value, &semaphore.journal);
	if (r < 0)
		return error_set(err, r, "undo journal is full");
	r = change(space->memory_fd, address, 1);
	if (r < 0) {
		journal_drop_patch(&space->journal, semaphore.journal);
		return error_set(err, r,
			"cannot raise the semaphore of a mark at %#llx: %s",
			(unsigned long long)address, strerror(-r));
	}
	journal_confirm_semaphore(&space->journal, semaphore.journal);
	vec_append(&space->semaphores, semaphore);
	return 0;
}

int uprobe_raise_semaphores(struct uprobe_space *space, const uint64_t *addresses,
	size_t count, struct error *err)
{
	struct proc_maps maps = {0};
	int r = count ? proc_read_maps(space->pid, &maps, err) : 0;

	for (size_t i = 0; i < count && r >= 0; i++)
		r = raise_one(space, &maps, addresses[i], err);
	proc_maps_free(&maps);
	return r;
}

int semaphores_copy(struct uprobe_space *space, const struct uprobe_space *parent)
{
	for (size_t i = 0; i < parent->semaphores.count; i++) {
		struct uprobe_semaphore copy = parent->semaphores.items[i];
		int r = journal_add_semaphore(
			&space->journal, space->pid, &copy, 0, &copy.journal);
		if (r < 0)
			return r;
		journal_confirm_semaphore(&space->journal, copy.journal);
		vec_append(&space->semaphores, copy);
	}
	return 0;
}

void semaphores_forget_unmapped(struct uprobe_space *space, const struct proc_maps *maps)
{
	size_t kept = 0;

	for (size_t i = 0; i < space->semaphores.count; i++) {
		const struct uprobe_semaphore *semaphore = &space->semaphores.items[i];
		uint64_t inode;
		if (find_inode(maps, semaphore->address, &inode) &&
			inode == semaphore->inode)
			space->semaphores.items[kept++] = *semaphore;
		else
			journal_drop_patch(&space->journal, semaphore->journal);
	}
	space->semaphores.count = kept;
}

static bool is_among(const uint64_t *addresses, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (addresses[i] == address)
			return true;
	return false;
}

void uprobe_keep_semaphores(
	struct uprobe_space *space, const uint64_t *addresses, size_t count)
{
	struct proc_maps maps = {0};
	size_t kept = 0;

	if (!space->semaphores.count || proc_read_maps(space->pid, &maps, NULL) < 0)
		return;
	for (size_t i = 0; i < space->semaphores.count; i++) {
		const struct uprobe_semaphore semaphore = space->semaphores.items[i];
		uint64_t inode;
		if (is_among(addresses, count, semaphore.address)) {
			space->semaphores.items[kept++] = semaphore;
			continue;
		}
		/* what is gone with its library needs nothing */
		if (find_inode(&maps, semaphore.address, &inode) &&
			inode == semaphore.inode &&
			change(space->memory_fd, semaphore.address, -1) == -ESRCH)
			break;
		journal_drop_patch(&space->journal, semaphore.journal);
	}
	space->semaphores.count = kept;
	proc_maps_free(&maps);
}

void semaphores_lower(struct uprobe_space *space)
{
	uprobe_keep_semaphores(space, NULL, 0);
}

void undo_semaphores(const struct undo *undo, int memory_fd)
{
	struct proc_maps maps = {0};

	if (!undo->semaphores.items.count || proc_read_maps(undo->pid, &maps, NULL) < 0)
		return;
	for (size_t i = 0; i < undo->semaphores.items.count; i++) {
		const struct abi_journal_patch *patch = &undo->semaphores.items.items[i];
		uint16_t before, now;
		uint64_t recorded, inode;
		memcpy(&before, patch->original, sizeof(before));
		memcpy(&recorded, patch->original + sizeof(before), sizeof(recorded));
		if (!find_inode(&maps, patch->address, &inode) || inode != recorded ||
			remote_memory_read(memory_fd, patch->address, &now, sizeof(now)) <
				0)
			continue;
		/* died before it wrote */
		if (patch->live == ABI_JOURNAL_INTENT && now == before)
			continue;
		if (change(memory_fd, patch->address, -1) == -ESRCH)
			break;
	}
	proc_maps_free(&maps);
}
