/* SPDX-License-Identifier: MIT */
/*
 * A process in which no system call may be made, because a filter might end it for that.
 *
 * Nothing is mapped in it.  Its probes are breakpoints whose handlers the tracer runs; the instruction
 * under one is emulated, or a copy of it runs in the padding behind the module's code.  A breakpoint is
 * one byte, so cores need not be synchronised: each runs the old instruction or the new one.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

#define SIGTRAP_BIT (1ull << (SIGTRAP - 1))

enum {
	SLOT_ALIGNMENT = 16
};

/*
 * A breakpoint that comes while SIGTRAP is blocked or ignored sets its action back to default; here
 * nobody can make the call that gives the program its own again.
 */
int bare_check_signals(struct uprobe_space *space, struct error *err)
{
	struct proc_status status;
	int r = proc_read_status(space->pid, &status, err);

	if (r < 0 || space->session.force)
		return r;
	threads_note_blocked(space);
	bool would_lose =
		status.sig_ignored & SIGTRAP_BIT ||
		(status.sig_caught & SIGTRAP_BIT && threads_have_trap_blocked(space));
	if (!would_lose)
		return 0;
	error_set(err, -EPERM,
		"process %d has plans of its own for SIGTRAP, which a breakpoint would upset",
		space->pid);
	error_hint(err, "if it never raises that signal, use --force");
	return -EPERM;
}

/* ---- places for copies ---- */

static bool is_blank(int fd, uint64_t address, uint64_t size)
{
	uint8_t bytes[TEXT_PAGE];

	if (size > sizeof(bytes) || remote_memory_read(fd, address, bytes, size) < 0)
		return false;
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static bool is_used(const struct uprobe_space *space, uint64_t address)
{
	for (size_t i = 0; i < space->arenas.count; i++)
		if (space->arenas.items[i].address == address)
			return true;
	return false;
}

static bool find_padding(struct uprobe_space *space, const struct proc_maps *maps,
	uint64_t low, uint64_t high, struct inject_padding *ret)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (map->end <= low || map->start >= high ||
			!inject_find_padding(space->memory_fd, maps, i, ret))
			continue;
		ret->start = (ret->start + SLOT_ALIGNMENT - 1) &
			     ~(uint64_t)(SLOT_ALIGNMENT - 1);
		if (ret->start >= low && ret->end <= high &&
			ret->start + BARE_SLOT_MAX <= ret->end &&
			!is_used(space, ret->start) &&
			is_blank(space->memory_fd, ret->start, ret->end - ret->start))
			return true;
	}
	return false;
}

int bare_map(struct uprobe_space *space, uint64_t low, uint64_t high, struct error *err)
{
	struct proc_maps maps = {0};
	struct inject_padding padding;
	struct uprobe_arena arena = {.is_padding = true};
	int r = proc_read_maps(space->pid, &maps, err);

	if (r < 0)
		return r;
	bool found = find_padding(space, &maps, low, high, &padding);
	proc_maps_free(&maps);
	if (!found)
		return error_set(err, -ENOSPC,
			"process %d has no padding left for copies of instructions",
			space->pid);
	arena.address = padding.start;
	arena.size = padding.end - padding.start;
	r = journal_add_area(&space->journal, space->pid, arena.address, arena.size,
		ABI_JOURNAL_PADDING, &arena.journal);
	if (r < 0)
		return error_set(err, r, "undo journal is full");
	vec_append(&space->arenas, arena);
	return 0;
}

int bare_clear(int memory_fd, uint64_t address, uint64_t size)
{
	static const uint8_t zero[TEXT_PAGE];

	step();
	return remote_memory_write(
		memory_fd, address, zero, size < sizeof(zero) ? size : sizeof(zero));
}

int bare_clear_all(struct uprobe_space *space)
{
	int r = 0;

	for (size_t i = 0; i < space->arenas.count && r >= 0; i++) {
		const struct uprobe_arena *arena = &space->arenas.items[i];
		r = bare_clear(space->memory_fd, arena->address, arena->size);
		if (r == -EFAULT)
			r = 0; /* unmapped */
		if (r >= 0)
			journal_drop_area(&space->journal, arena->journal);
	}
	return r;
}

/* ---- text ---- */

int bare_insert(struct uprobe_space *space, struct error *err)
{
	static const uint8_t breakpoint = BREAKPOINT;
	int r = bare_check_signals(space, err);

	for (size_t i = 0; i < space->sites.count && r >= 0; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_PENDING)
			continue;
		site->state = SITE_LIVE;
		step();
		r = remote_memory_write(space->memory_fd, site->address, &breakpoint, 1);
		if (r < 0)
			error_set(err, r, "cannot write text of process %d: %s",
				space->pid, strerror(-r));
	}
	return r;
}

/* ---- running what is under a breakpoint ---- */

struct emulation {
	int fd;
	uint64_t fault;
};

static int emulation_read(void *data, uint64_t address, void *bytes, size_t size)
{
	struct emulation *emulation = data;

	emulation->fault = address;
	return remote_memory_read(emulation->fd, address, bytes, size);
}

static int emulation_write(void *data, uint64_t address, const void *bytes, size_t size)
{
	struct emulation *emulation = data;

	emulation->fault = address;
	return remote_memory_write(emulation->fd, address, bytes, size);
}

static int pretend_read(void *data, uint64_t address, void *bytes, size_t size)
{
	memset(bytes, 0, size);
	return 0;
}

static int pretend_write(void *data, uint64_t address, const void *bytes, size_t size)
{
	return 0;
}

bool bare_can_emulate(const struct uprobe_site *site)
{
	const struct arch_memory pretence = {
		.read = pretend_read, .write = pretend_write};
	struct user_regs_struct regs = {.rip = site->address};
	bool taken;

	return arch_emulate(
		site->original, site->window, site->address, &pretence, &regs, &taken);
}

static const struct uprobe_site *trapped_site(
	struct uprobe_space *space, const struct user_regs_struct *regs)
{
	const struct uprobe_site *site = site_find(space, regs->rip);

	return site && site->address == regs->rip &&
			       (site->state == SITE_LIVE || site->state == SITE_TRANSIENT)
		       ? site
		       : NULL;
}

bool uprobe_branch_is_taken(
	struct uprobe_space *space, const struct user_regs_struct *regs)
{
	const struct arch_memory pretence = {
		.read = pretend_read, .write = pretend_write};
	const struct uprobe_site *site = trapped_site(space, regs);
	struct user_regs_struct copy = *regs;
	bool taken = false;

	return site &&
	       arch_emulate(site->original, site->window, site->address, &pretence, &copy,
		       &taken) &&
	       taken;
}

bool uprobe_step_over(
	struct uprobe_space *space, struct user_regs_struct *regs, siginfo_t *info)
{
	struct emulation emulation = {.fd = space->memory_fd};
	const struct arch_memory memory = {emulation_read, emulation_write, &emulation};
	const struct uprobe_site *site = trapped_site(space, regs);
	bool taken;

	if (!site) /* taken out meanwhile: the instruction is there */
		return false;
	if (!site->is_emulated) {
		regs->rip = site->trampoline;
		return false;
	}
	if (arch_emulate(
		    site->original, site->window, site->address, &memory, regs, &taken))
		return false;
	memset(info, 0, sizeof(*info));
	info->si_signo = SIGSEGV;
	info->si_code = SEGV_MAPERR;
	info->si_addr = (void *)(uintptr_t)emulation.fault;
	return true;
}
