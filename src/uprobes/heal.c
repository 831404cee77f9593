/* SPDX-License-Identifier: MIT */
/*
 * `utrace heal -p PID`: nobody but the process itself still has session memory.  All of
 * it is read from there and believed only as far as it makes sense.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/context.h"
#include "ptrace/ptrace.h"
#include "uprobes/undo.h"
#include "uprobes/uprobes.h"

struct remains { /* of a session, in a process */
	int fd;
	uint64_t address, size, inode;
	struct abi_session header;
};

static bool find_session(const struct proc_maps *maps, struct remains *ret)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (strncmp(map->path, "/memfd:utrace", 13) != 0 || map->offset)
			continue;
		ret->address = map->start;
		ret->size = map->end - map->start;
		ret->inode = map->device_inode;
		if (remote_memory_read(
			    ret->fd, map->start, &ret->header, sizeof(ret->header)) < 0)
			continue;
		if (ret->header.magic == ABI_MAGIC && ret->header.version == ABI_VERSION)
			return true;
	}
	return false;
}

static int read_journal(
	const struct remains *remains, struct abi_journal **ret, struct error *err)
{
	uint64_t offset = remains->header.journal_offset;
	struct abi_journal *journal = malloc(sizeof(*journal));

	if (!journal)
		return error_set(err, -ENOMEM, "out of memory");
	if (offset > remains->size || remains->size - offset < sizeof(*journal) ||
		remote_memory_read(remains->fd, remains->address + offset, journal,
			sizeof(*journal)) < 0)
		goto bad;
	uint64_t room = (remains->size - offset - sizeof(*journal)) /
			sizeof(struct abi_journal_patch);
	uint32_t count = journal->patch_count;
	if (count > journal->patch_capacity || count > room ||
		count > ABI_JOURNAL_PATCHES_MAX ||
		journal->area_count > ABI_JOURNAL_AREAS)
		goto bad;
	struct abi_journal *whole = realloc(
		journal, sizeof(*journal) + count * sizeof(struct abi_journal_patch));
	if (!whole) {
		free(journal);
		return error_set(err, -ENOMEM, "out of memory");
	}
	journal = whole;
	if (remote_memory_read(remains->fd, remains->address + offset + sizeof(*journal),
		    journal->patches, count * sizeof(struct abi_journal_patch)) < 0)
		goto bad;
	*ret = journal;
	return 0;
bad:
	free(journal);
	return error_set(err, -EBADMSG, "the undo journal in the process is damaged");
}

/* The process may share session memory with others of the same run: all are orphans
 * alike. */
static int mark_dead(struct undo *undo)
{
	const struct remains *remains = undo->data;
	const struct abi_session *header = &remains->header;
	uint32_t state = ABI_STATE_DEAD;
	uint64_t zero = 0, offset = header->context_offset;
	int r = remote_memory_write(remains->fd,
		remains->address + offsetof(struct abi_session, state), &state,
		sizeof(state));

	if (header->context_size < sizeof(struct abi_context))
		return r;
	for (uint32_t i = 0; i < header->context_count && r >= 0; i++) {
		if (offset > remains->size ||
			remains->size - offset < sizeof(struct abi_context))
			break;
		uint64_t self, at = remains->address + offset +
				    offsetof(struct abi_context, self);
		/* only those in use: the file is sparse, and writing would fill it */
		r = remote_memory_read(remains->fd, at, &self, sizeof(self));
		if (r >= 0 && self)
			r = remote_memory_write(remains->fd, at, &zero, sizeof(zero));
		offset += header->context_size;
	}
	return r;
}

/* Another try must not lower them again. */
static void drop_semaphores(
	const struct remains *remains, const struct abi_journal *journal)
{
	uint64_t at = remains->address + remains->header.journal_offset +
		      sizeof(*journal) + offsetof(struct abi_journal_patch, live);
	const uint8_t dead = ABI_JOURNAL_DEAD;

	for (uint32_t i = 0; i < journal->patch_count;
		i++, at += sizeof(struct abi_journal_patch))
		if (journal->patches[i].kind == ABI_JOURNAL_SEMAPHORE &&
			remote_memory_write(remains->fd, at, &dead, sizeof(dead)) < 0)
			return; /* unmapped, as it should be */
}

static int heal(pid_t pid, struct remains *remains, const struct proc_maps *maps,
	size_t *ret_patches, struct error *err)
{
	struct abi_journal *journal = NULL;
	struct undo undo = {.pid = pid, .on_stopped = mark_dead, .data = remains};

	if (!find_session(maps, remains))
		return error_set(
			err, -ENOENT, "process %d has nothing of utrace in it", pid);
	undo.session_inode = remains->inode;
	undo.force = remains->header.flags & ABI_FLAG_FORCE;
	int r = read_journal(remains, &journal, err);
	if (r < 0)
		return r;
	undo_select(&undo, journal, journal->patch_count, journal->area_count);
	r = undo_run(&undo, err);
	if (r < 0 && undo.semaphores_done)
		drop_semaphores(remains, journal);
	free(journal);
	*ret_patches += undo.restored;
	undo_deinit(&undo);
	return r;
}

bool heal_is_wanted(pid_t pid)
{
	struct remains remains = {0};
	struct proc_maps maps = {0};
	bool found = false;

	/* under a filter nothing more can be done than was */
	if (inject_is_filtered(pid, false) ||
		(remains.fd = remote_memory_open(pid, NULL)) < 0)
		return false;
	if (proc_read_maps(pid, &maps, NULL) == 0)
		found = find_session(&maps, &remains) && remains.header.tracer_pid &&
			kill((pid_t)remains.header.tracer_pid, 0) < 0 && errno == ESRCH;
	proc_maps_free(&maps);
	close(remains.fd);
	return found;
}

/* The call such a thread is about to make may be the one that maps session memory. */
static int clear_orphan(pid_t pid, struct error *err)
{
	struct utrace *utrace;
	struct inject *inject = NULL;
	int r = utrace_create(&utrace, err);

	if (r < 0)
		return r;
	r = utrace_seize_process(utrace, pid, err);
	if (r >= 0)
		r = inject_create(
			utrace, pid, INJECT_FORCE | INJECT_ANY_GS, &inject, err);
	inject_destroy(inject);
	utrace_destroy(utrace);
	return r;
}

int uprobe_heal(pid_t pid, size_t *ret_patches, struct error *err)
{
	struct remains remains = {0};
	struct proc_maps maps = {0};
	int r = remains.fd = remote_memory_open(pid, err);

	*ret_patches = 0;
	if (r < 0)
		return r;
	if (inject_has_orphan(pid, remains.fd))
		r = clear_orphan(pid, err);
	if (r >= 0)
		r = proc_read_maps(pid, &maps, err);
	if (r >= 0)
		r = heal(pid, &remains, &maps, ret_patches, err);
	/* of another dead tracer, which came after the first and fared no better */
	while (r >= 0) {
		uint64_t before = remains.inode;
		proc_maps_free(&maps);
		r = proc_read_maps(pid, &maps, err);
		if (r < 0 || !find_session(&maps, &remains) || remains.inode == before)
			break;
		r = heal(pid, &remains, &maps, ret_patches, err);
	}
	proc_maps_free(&maps);
	close(remains.fd);
	return r;
}
