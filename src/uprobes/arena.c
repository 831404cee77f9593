/* SPDX-License-Identifier: MIT */
/*
 * Arenas: code memory near the modules it serves.
 *
 *	struct agent_arena | image (agent + script code) | trap tables and trampolines, in
 *order
 *
 * Every arena has its own copy of the image, so that all calls are rel32 and need no
 *register.  The first arena is also the signal front's: its trap table knows the sites of
 *the whole process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	ARENA_MIN_ROOM = 256 * 1024
};

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static int write_header(struct uprobe_space *space, const struct uprobe_arena *arena)
{
	struct agent_arena block = {
		.session = space->session_address,
		.null_context = space->null_context,
		.image = arena_image(space, arena),
		.image_size = space->session.image_size,
	};
	int fd = space->memory_fd;
	int r = remote_memory_write(fd, arena->address, &block, sizeof(block));

	if (r < 0)
		return r;
	return remote_memory_write(fd, arena_image(space, arena), space->session.image,
		space->session.image_size);
}

int arena_map(struct uprobe_space *space, uint64_t low, uint64_t high, uint64_t room,
	struct error *err)
{
	uint64_t head = round_up(
		(uint64_t)-space->session.arena_block_offset + space->session.image_size,
		64);
	struct uprobe_arena arena = {.used = head};
	int r;

	if (room < ARENA_MIN_ROOM)
		room = ARENA_MIN_ROOM;
	arena.size = round_up(head + room, TEXT_PAGE);
	r = journal_add_area(&space->journal, space->pid, low, arena.size,
		ABI_JOURNAL_INTENT, &arena.journal);
	if (r < 0)
		return error_set(err, r, "undo journal is full");
	step();
	r = inject_map_arena(space->inject, low, high, arena.size, &arena.address, err);
	if (r < 0)
		goto drop;
	step();
	journal_place_area(&space->journal, arena.journal, arena.address);
	step();
	r = write_header(space, &arena);
	if (r < 0) {
		error_set(err, r, "cannot write code to process %d", space->pid);
		if (inject_unmap(space->inject, arena.address, arena.size, NULL) < 0)
			error_hint(err, "%llu bytes at 0x%llx stay mapped",
				(unsigned long long)arena.size,
				(unsigned long long)arena.address);
		goto drop;
	}
	vec_append(&space->arenas, arena);
	return 0;
drop:
	journal_drop_area(&space->journal, arena.journal);
	return r;
}

struct uprobe_arena *arena_find(
	struct uprobe_space *space, uint64_t low, uint64_t high, uint64_t room)
{
	for (size_t i = space->arenas.count; i-- > 0;) {
		struct uprobe_arena *arena = &space->arenas.items[i];
		if (arena->address >= low && arena->address + arena->size <= high &&
			arena->size - arena->used >= room)
			return arena;
	}
	return NULL;
}

bool arena_contains(const struct uprobe_space *space, uint64_t address)
{
	for (size_t i = 0; i < space->arenas.count; i++)
		if (address - space->arenas.items[i].address <
			space->arenas.items[i].size)
			return true;
	return false;
}

bool arena_image_contains(const struct uprobe_space *space, uint64_t address)
{
	for (size_t i = 0; i < space->arenas.count; i++)
		if (!space->arenas.items[i].is_padding &&
			address - arena_image(space, &space->arenas.items[i]) <
				space->session.image_size)
			return true;
	return false;
}

bool front_available(const struct uprobe_space *space)
{
	return space->session.front_offset > 0 && !space->is_bare;
}

/* ---- traps
 * ----------------------------------------------------------------------------------------
 */

static size_t collect_traps(
	const struct uprobe_space *space, struct agent_site_entry *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		if (site->state == SITE_REMOVED)
			continue;
		ret[count++] = (struct agent_site_entry){site->address, site->trampoline};
		for (size_t j = 0; j < site->map_count; j++) {
			size_t offset = site->map[j].original_offset;
			if (!offset || offset >= site->size ||
				site->form == ARCH_PATCH_BREAKPOINT)
				continue;
			ret[count++] = (struct agent_site_entry){site->address + offset,
				site->trampoline + site->map[j].arrival_offset};
		}
	}
	return count;
}

/* Trap tables are read in the target only when no tracer takes the signal first, that is,
 * after the tracer died: which may be in the middle of this.  So the table in use is
 * never written. */
int arena_publish_traps(struct uprobe_space *space, struct error *err)
{
	int next = !space->traps_current;
	struct trap_table *table = &space->traps[next];
	int fd = space->memory_fd;

	if (!front_available(space) || !space->arenas.count)
		return 0;
	struct agent_site_entry *entries =
		calloc(space->sites.count * 9 + 1, sizeof(*entries));
	if (!entries)
		return error_set(err, -ENOMEM, "out of memory");
	size_t count = collect_traps(space, entries);
	int r = 0;
	if (count > table->capacity) {
		uint64_t bytes =
			round_up((count + count / 2 + 16) * sizeof(*entries), 64);
		const struct uprobe_arena *first = &space->arenas.items[0];
		struct uprobe_arena *arena = arena_find(space, 0, UINT64_MAX, bytes);
		if (!arena) {
			uint64_t low = first->address > (1u << 30)
					       ? first->address - (1u << 30)
					       : 0;
			r = arena_map(
				space, low, first->address + (1u << 30), bytes, err);
			if (r < 0)
				goto out;
			arena = &space->arenas.items[space->arenas.count - 1];
		}
		table->address = arena->address + arena->used;
		table->capacity = bytes / sizeof(*entries);
		arena->used += bytes;
	}
	uint64_t reference[2] = {table->address, count};
	step();
	r = remote_memory_write(fd, table->address, entries, count * sizeof(*entries));
	step();
	if (r >= 0)
		r = remote_memory_write(fd,
			space->arenas.items[0].address +
				offsetof(struct agent_arena, breakpoints),
			reference, sizeof(reference));
	if (r < 0)
		error_set(err, r, "cannot write the breakpoint table of process %d",
			space->pid);
	else
		space->traps_current = next;
out:
	free(entries);
	return r;
}

int arena_forbid_calls(int memory_fd, uint64_t address)
{
	const uint64_t yes = 1;

	return remote_memory_write(memory_fd,
		address + offsetof(struct agent_arena, makes_no_calls), &yes,
		sizeof(yes));
}

int arena_register_itself(struct uprobe_space *space, struct error *err)
{
	const uint64_t yes = 1;

	for (size_t i = 0; i < space->arenas.count; i++) {
		const struct uprobe_arena *arena = &space->arenas.items[i];
		if (arena->is_padding)
			continue;
		int r = remote_memory_write(space->memory_fd,
			arena->address +
				offsetof(struct agent_arena, registers_by_itself),
			&yes, sizeof(yes));
		if (r < 0)
			return error_set(err, r, "cannot write to an arena of process %d",
				space->pid);
	}
	return 0;
}

/* ---- the signal front
 * --------------------------------------------------------------------------- */

int front_install(struct uprobe_space *space, uint64_t signals, struct error *err)
{
	signals &= ~space->front_signals;
	if (!signals || !front_available(space) || !space->arenas.count)
		return 0;
	const struct uprobe_arena *arena = &space->arenas.items[0];
	step();
	int r = inject_install_signal_front(space->inject,
		arena_image(space, arena) + (uint64_t)space->session.front_offset,
		arena_image(space, arena) + (uint64_t)space->session.restorer_offset,
		arena->address + offsetof(struct agent_arena, old_actions), signals, err);
	if (r >= 0)
		space->front_signals |= signals;
	return r;
}

int front_remove(struct uprobe_space *space, uint64_t signals, struct error *err)
{
	signals &= space->front_signals;
	if (!signals)
		return 0;
	const struct uprobe_arena *arena = &space->arenas.items[0];
	step();
	int r = inject_remove_signal_front(space->inject,
		arena_image(space, arena) + (uint64_t)space->session.front_offset,
		arena->address + offsetof(struct agent_arena, old_actions), signals, err);
	if (r >= 0)
		space->front_signals &= ~signals;
	return r;
}

/* The kernel has reset the action to default, and what the program had is in the arena only. */
static int install_again(struct uprobe_space *space, int signal, struct error *err)
{
	uint64_t at = space->arenas.items[0].address +
		      offsetof(struct agent_arena, old_actions) +
		      (uint64_t)signal * sizeof(struct agent_sigaction);
	struct agent_sigaction old;
	int r = remote_memory_read(space->memory_fd, at, &old, sizeof(old));

	if (r < 0)
		return error_set(err, r, "cannot read from process %d: %s", space->pid,
			strerror(-r));
	space->front_signals &= ~(1ull << (signal - 1));
	r = front_install(space, 1ull << (signal - 1), err);
	if (r < 0)
		return r;
	r = remote_memory_write(space->memory_fd, at, &old, sizeof(old));
	return r < 0 ? error_set(err, r, "cannot write to process %d: %s", space->pid,
			       strerror(-r))
		     : 0;
}

int front_repair(struct uprobe_space *space, struct error *err)
{
	uint64_t lost = space->front_lost & space->front_signals;
	int r = 0;

	space->front_lost = 0;
	for (int signal = 1; signal < AGENT_SIGNALS && r >= 0; signal++)
		if (lost >> (signal - 1) & 1)
			r = install_again(space, signal, err);
	return r;
}
