/* SPDX-License-Identifier: MIT */
/*
 * The memory that a dead tracer left in a process: which of its mappings are ours, and taking them out.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "agent/agent.h"
#include "ptrace/ptrace.h"
#include "uprobes/space.h"
#include "uprobes/undo.h"

bool undo_in_arena(const struct undo *undo, uint64_t address)
{
	for (size_t i = 0; i < undo->areas.items.count; i++) {
		const struct abi_journal_area *area = &undo->areas.items.items[i];
		if (address - area->address < area->size)
			return true;
	}
	return false;
}

/* ---- what is mapped ----------------------------------------------------------------------------------- */

/* A journal that was tampered with must not make us unmap a program's own memory. */
static bool is_our_mapping(const struct proc_map *map)
{
	return !strncmp(map->path, "/memfd:utrace", 13) ||
	       !strncmp(map->path, "[anon:utrace", 12) ||
	       (!map->path[0] && !map->write && !map->device_inode);
}

static bool is_untouched(int fd, const struct proc_map *map)
{
	static const uint8_t zero[TEXT_PAGE];
	uint8_t page[TEXT_PAGE];

	for (uint64_t at = map->start; at < map->end; at += TEXT_PAGE)
		if (remote_memory_read(fd, at, page, sizeof(page)) < 0 ||
			memcmp(page, zero, sizeof(page)) != 0)
			return false;
	return true;
}

/* The tracer died around its mmap: code memory nobody has written to, of just the size it wanted. */
static bool find_intended(const struct undo *undo, const struct proc_maps *maps, int fd,
	struct abi_journal_area *area)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		bool known = false;
		if (map->end - map->start != area->size || map->start < area->address ||
			!is_our_mapping(map) || !is_untouched(fd, map))
			continue;
		for (size_t j = 0; j < undo->areas.items.count; j++)
			known |= undo->areas.items.items[j].live == ABI_JOURNAL_LIVE &&
				 undo->areas.items.items[j].address == map->start;
		if (known)
			continue;
		area->address = map->start;
		area->live = ABI_JOURNAL_LIVE;
		return true;
	}
	return false;
}

static bool is_mapped(const struct proc_maps *maps, const struct abi_journal_area *area)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		/* neighbours of equal kind are one mapping to the kernel */
		if (area->size && area->address >= map->start &&
			area->address < map->end &&
			area->size <= map->end - area->address && is_our_mapping(map))
			return true;
	}
	return false;
}

/* The same for padding: zeros may be written only where there were none but zeros. */
static bool is_padding(
	const struct proc_maps *maps, int fd, const struct abi_journal_area *area)
{
	struct inject_padding padding;

	for (size_t i = 0; i < maps->maps.count; i++)
		if (inject_find_padding(fd, maps, i, &padding) &&
			area->address >= padding.start && area->address < padding.end &&
			area->size <= padding.end - area->address)
			return true;
	return false;
}

static bool is_to_be_undone(const struct undo *undo, const struct proc_maps *maps, int fd,
	struct abi_journal_area *area)
{
	switch (area->live) {
	case ABI_JOURNAL_LIVE:
		return is_mapped(maps, area);
	case ABI_JOURNAL_PADDING:
		return is_padding(maps, fd, area);
	default:
		return find_intended(undo, maps, fd, area);
	}
}

static void drop_foreign_areas(struct undo *undo, const struct proc_maps *maps, int fd)
{
	size_t kept = 0;

	for (size_t i = 0; i < undo->areas.items.count; i++) {
		struct abi_journal_area *area = &undo->areas.items.items[i];
		if (is_to_be_undone(undo, maps, fd, area))
			undo->areas.items.items[kept++] = *area;
	}
	undo->areas.items.count = kept;
}

static bool is_session_memory(const struct proc_map *map)
{
	return !strncmp(map->path, "/memfd:", 7) && is_our_mapping(map);
}

/* The next tracer may have come and gone, too: what it left is its own guardian's, and in use until then. */
static bool has_other_session(const struct undo *undo, const struct proc_maps *maps)
{
	for (size_t i = 0; i < maps->maps.count; i++)
		if (is_session_memory(&maps->maps.items[i]) &&
			maps->maps.items[i].device_inode != undo->session_inode)
			return true;
	return false;
}

/* Mappings that the tracer made but died before recording. */
static void add_named_areas(struct undo *undo, const struct proc_maps *maps)
{
	bool alone = !has_other_session(undo, maps);

	for (size_t j = 0; j < maps->maps.count; j++) {
		const struct proc_map *map = &maps->maps.items[j];
		bool own = is_session_memory(map)
				   ? map->device_inode == undo->session_inode
				   : alone && map->path[0] && is_our_mapping(map);
		if (own && !undo_in_arena(undo, map->start))
			vec_append(&undo->areas.items,
				((struct abi_journal_area){.address = map->start,
					.size = map->end - map->start,
					.pid = (uint32_t)undo->pid,
					.live = 1}));
	}
}

int undo_find_areas(struct undo *undo, int fd, struct error *err)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(undo->pid, &maps, err);

	if (r < 0)
		return r;
	drop_foreign_areas(undo, &maps, fd);
	add_named_areas(undo, &maps);
	proc_maps_free(&maps);
	return 0;
}

/* ---- taking it out ------------------------------------------------------------------------------------ */

/* The dead tracer's signal front: an action whose handler lies in an arena.  The arena's
 * first page has what the program had before. */
static int remove_front(struct undo *undo, struct inject *inject, struct error *err)
{
	const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct agent_sigaction action;
		int r = inject_get_signal_action(inject, signals[i], &action, err);
		if (r < 0)
			return r;
		for (size_t j = 0; j < undo->areas.items.count; j++) {
			const struct abi_journal_area *area = &undo->areas.items.items[j];
			if (action.handler - area->address >= area->size)
				continue;
			r = inject_remove_signal_front(inject, action.handler,
				area->address + offsetof(struct agent_arena, old_actions),
				1ull << (signals[i] - 1), err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Session memory goes last: while it is there the journal can be found again. */
static int unmap_areas(struct undo *undo, struct inject *inject, struct error *err)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(undo->pid, &maps, err);

	for (int pass = 0; pass < 2 && r >= 0; pass++) {
		for (size_t i = 0; i < undo->areas.items.count && r >= 0; i++) {
			const struct abi_journal_area *area = &undo->areas.items.items[i];
			bool is_session = false;
			for (size_t j = 0; j < maps.maps.count; j++)
				is_session |=
					maps.maps.items[j].start <= area->address &&
					maps.maps.items[j].end > area->address &&
					!strncmp(maps.maps.items[j].path, "/memfd:", 7);
			if (is_session == (pass == 1) &&
				area->live != ABI_JOURNAL_PADDING)
				r = inject_unmap(inject, area->address, area->size, err);
		}
	}
	proc_maps_free(&maps);
	return r;
}

static int clear_paddings(const struct undo *undo, int fd, bool *ret_mapped)
{
	int r = 0;

	*ret_mapped = false;
	for (size_t i = 0; i < undo->areas.items.count && r >= 0; i++) {
		const struct abi_journal_area *area = &undo->areas.items.items[i];
		if (area->live == ABI_JOURNAL_PADDING)
			r = bare_clear(fd, area->address, area->size);
		else
			*ret_mapped = true;
	}
	return r;
}

static bool is_filtered(const struct undo *undo, const struct held_threads *held)
{
	bool found = held->left.count;

	for (size_t i = 0; i < held->threads.count && !found; i++)
		found = inject_is_filtered(held->threads.items[i].tid, undo->force);
	return found;
}

/* What begins with an arena's header gets one word written there. */
static void forbid_calls(const struct undo *undo, int fd)
{
	for (size_t i = 0; i < undo->areas.items.count; i++) {
		const struct abi_journal_area *area = &undo->areas.items.items[i];
		struct agent_arena block;
		if (area->size <= AGENT_ARENA_IMAGE ||
			remote_memory_read(fd, area->address, &block, sizeof(block)) <
				0 ||
			block.image - area->address >= area->size)
			continue;
		if (arena_forbid_calls(fd, area->address) < 0)
			return; /* gone */
	}
}

int undo_remove_memory(
	struct undo *undo, struct held_threads *held, int fd, struct error *err)
{
	bool mapped;
	struct user_regs_struct regs;
	struct utrace_task *task = NULL;
	struct inject *inject;

	int r = clear_paddings(undo, fd, &mapped);
	if (r < 0)
		return error_set(err, r, "cannot write text of process %d: %s", undo->pid,
			strerror(-r));
	if (!mapped)
		return 0; /* the tracer died before it had mapped anything, or never did */
	for (size_t i = 0; i < held->threads.count && !task; i++)
		if (thread_regs(&held->threads.items[i], &regs) >= 0)
			task = utrace_engine_task(held->threads.items[i].engine);
	if (!task)
		return -ESRCH;
	if (is_filtered(undo, held)) {
		forbid_calls(undo, fd);
		return error_set(err, -EPERM,
			"process %d keeps its probe memory: it has put a seccomp filter on, which "
			"may kill it for the calls that unmap it",
			undo->pid);
	}
	r = inject_create_at(
		task, INJECT_ANY_GS | (undo->force ? INJECT_FORCE : 0u), &inject, err);
	if (r < 0)
		return r;
	r = remove_front(undo, inject, err);
	if (r >= 0)
		r = unmap_areas(undo, inject, err);
	inject_destroy(inject);
	return r;
}
