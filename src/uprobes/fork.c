/* SPDX-License-Identifier: MIT */
/* Children of patched processes: they have a copy of all that is in the parent, and get bookkeeping of their own. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "ptrace/ptrace.h"
#include "uprobes/space.h"

/* What the child has of our mappings; a fork may be older than some of them. */
static int inherit_mappings(
	struct uprobe_space *space, const struct uprobe_space *parent, struct error *err)
{
	struct proc_maps maps = {0};
	bool has_session = false;
	int r;

	if (space->is_bare) {
		for (size_t j = 0; j < parent->arenas.count; j++)
			vec_append(&space->arenas, parent->arenas.items[j]);
		return 0;
	}
	r = proc_read_maps(space->pid, &maps, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < maps.maps.count; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		if (map->start == parent->session_address &&
			!strncmp(map->path, "/memfd:utrace", 13))
			has_session = true;
		for (size_t j = 0; j < parent->arenas.count; j++) {
			const struct uprobe_arena *arena = &parent->arenas.items[j];
			if (map->execute && !map->device_inode &&
				arena->address >= map->start &&
				arena->address + arena->size <= map->end)
				vec_append(&space->arenas, *arena);
		}
	}
	proc_maps_free(&maps);
	if (!has_session)
		return error_set(err, -ENOENT,
			"process %d was forked before it was probed", space->pid);
	return 0;
}

static int copy_journal(struct uprobe_space *space, struct error *err)
{
	struct journal *journal = &space->journal;
	int r = 0;

	if (space->session_address)
		r = journal_add_area(journal, space->pid, space->session_address,
			space->session.session_size, ABI_JOURNAL_LIVE,
			&space->session_journal);
	if (r >= 0 && space->null_context)
		r = journal_add_area(journal, space->pid, space->null_context, TEXT_PAGE,
			ABI_JOURNAL_LIVE, &space->null_journal);
	for (size_t i = 0; i < space->arenas.count && r >= 0; i++) {
		struct uprobe_arena *arena = &space->arenas.items[i];
		r = journal_add_area(journal, space->pid, arena->address, arena->size,
			arena->is_padding ? ABI_JOURNAL_PADDING : ABI_JOURNAL_LIVE,
			&arena->journal);
	}
	for (size_t i = 0; i < space->sites.count && r >= 0; i++)
		r = site_journal(space, &space->sites.items[i]);
	if (r < 0)
		return error_set(err, r, "undo journal is full");
	return 0;
}

/* A fork between mapping an arena and filling it. */
static int copy_arenas(struct uprobe_space *space, const struct uprobe_space *parent)
{
	int r = 0;

	for (size_t i = 0; i < space->arenas.count && r >= 0; i++) {
		const struct uprobe_arena *arena = &space->arenas.items[i];
		void *bytes = malloc(arena->used);
		if (!bytes)
			return -ENOMEM;
		r = remote_memory_read(
			parent->memory_fd, arena->address, bytes, arena->used);
		if (r >= 0)
			r = remote_memory_write(
				space->memory_fd, arena->address, bytes, arena->used);
		free(bytes);
	}
	return r;
}

static bool has_text(
	struct text_reader *reader, uint64_t address, const uint8_t *bytes, size_t size)
{
	uint8_t live[SITE_PATCH_MAX];

	/* what cannot be read is not there any more, and needs no change */
	return text_read(reader, address, live, size) < 0 || !memcmp(live, bytes, size);
}

static int write_site(struct uprobe_space *space, struct uprobe_site *site, bool patched)
{
	int r = 0;

	site->state = patched ? SITE_LIVE : SITE_REMOVED;
	if (site_has_padding(site))
		r = remote_memory_write(space->memory_fd, site->padding,
			patched ? site->padding_patch : site->padding_original,
			SITE_PADDING);
	if (r >= 0)
		r = remote_memory_write(space->memory_fd, site->address,
			patched ? site->patch : site->original, site->size);
	return r;
}

/*
 * The event of a fork is handled some time after the kernel has copied the text, and the parent's
 * may be in any other state by now.  What counts is what the child's text says.  It has one thread
 * and is stopped, so its text can be made what it should be at once: patched where the parent is or
 * will be.
 */
static int settle_child(struct uprobe_space *space, const struct uprobe_space *parent,
	struct utrace_task *child)
{
	struct user_regs_struct regs;
	struct text_reader reader;
	bool copied = false;
	int r = utrace_get_regs(child, &regs);

	text_reader_init(&reader, space->memory_fd);
	for (size_t i = 0; i < space->sites.count && r >= 0; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		bool wanted = site->state == SITE_LIVE ||
			      (site->state == SITE_TRANSIENT && parent->inserting);
		uint64_t copy;
		wanted = wanted &&
			 (site->is_emulated || arena_contains(space, site->trampoline));
		if (!has_text(&reader, site->address,
			    wanted ? site->patch : site->original, site->size)) {
			if (wanted && !copied)
				r = copy_arenas(space, parent);
			copied |= wanted;
			if (r >= 0)
				r = write_site(space, site, wanted);
			if (r >= 0 && wanted && site_redirect(site, regs.rip, &copy)) {
				regs.rip = copy;
				r = utrace_set_regs(child, &regs);
			}
		}
		site->state = wanted ? SITE_LIVE : SITE_REMOVED;
		if (r >= 0 && !wanted) {
			if (site_has_padding(site))
				r = remote_memory_write(space->memory_fd, site->padding,
					site->padding_original, SITE_PADDING);
			journal_drop_patch(&space->journal, site->journal);
			journal_drop_patch(&space->journal, site->padding_journal);
		}
	}
	return r;
}

int uprobe_space_fork(struct uprobe_space *parent, struct utrace_task *child,
	struct uprobe_space **ret, struct error *err)
{
	struct uprobe_space *space;
	int r = space_alloc(&parent->session, utrace_task_pid(child), &space, err);

	if (r < 0)
		return r;
	space->session_address = parent->session_address;
	space->null_context = parent->null_context;
	space->by_ptrace = parent->by_ptrace;
	space->is_silent = parent->is_silent;
	space->is_bare = parent->is_bare;
	space->refused_injection = parent->refused_injection;
	space->front_signals = parent->front_signals;
	space->front_lost = parent->front_lost;
	memcpy(space->traps, parent->traps, sizeof(space->traps));
	space->traps_current = parent->traps_current;
	for (size_t i = 0; i < parent->sites.count; i++) {
		const struct uprobe_site *site = &parent->sites.items[i];
		if ((!site->trampoline && !site->is_emulated) ||
			site->state == SITE_PENDING)
			continue; /* never in any text */
		struct uprobe_site *copy = vec_push(&space->sites);
		*copy = *site;
		copy->request = NULL;
		copy->journal = copy->padding_journal = JOURNAL_NONE;
	}
	if (parent->inject)
		r = inject_clean_child(parent->inject, space->memory_fd);
	if (r >= 0)
		r = inherit_mappings(space, parent, err);
	if (r >= 0)
		r = copy_journal(space, err);
	if (r >= 0 && semaphores_copy(space, parent) < 0)
		r = error_set(err, -ENOSPC, "undo journal is full");
	if (r >= 0) {
		r = settle_child(space, parent, child);
		if (r < 0)
			error_set(err, r, "cannot write text of process %d: %s",
				space->pid, strerror(-r));
	}
	if (r < 0) {
		journal_drop_process(&space->journal, space->pid);
		space_free(space);
		return r;
	}
	*ret = space;
	return 0;
}

/* One patch is enough: others may have come or gone since. */
bool uprobe_space_was_copied(const struct uprobe_space *space, pid_t pid)
{
	uint8_t live[SITE_PATCH_MAX];
	char program[PATH_MAX];
	struct text_reader reader;

	if (!space || space->pid == pid || !space->program ||
		proc_read_exe(pid, program, sizeof(program)) < 0 ||
		strcmp(program, space->program) != 0)
		return false;
	CLEANUP(cleanup_fd) int fd = remote_memory_open(pid, NULL);
	text_reader_init(&reader, fd);
	for (size_t i = 0; i < space->sites.count && fd >= 0; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_PENDING &&
			text_read(&reader, site->address, live, site->size) >= 0 &&
			!memcmp(live, site->patch, site->size))
			return true;
	}
	return false;
}
