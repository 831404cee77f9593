/* SPDX-License-Identifier: MIT */
#include "uprobes/space.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "ptrace/ptrace.h"

void space_free(struct uprobe_space *space)
{
	if (!space)
		return;
	inject_destroy(space->inject);
	deferred_give_back(space);
	if (space->memory_fd >= 0)
		close(space->memory_fd);
	vec_free(&space->sites);
	vec_free(&space->arenas);
	vec_free(&space->blocked);
	vec_free(&space->semaphores);
	free(space->program);
	free(space);
}

int space_alloc(const struct uprobe_session *session, pid_t pid,
	struct uprobe_space **ret, struct error *err)
{
	struct uprobe_space *space = calloc(1, sizeof(*space));
	char program[PATH_MAX];

	if (!space)
		return error_set(err, -ENOMEM, "out of memory");
	space->session = *session;
	if (!space->session.arena_block_offset)
		space->session.arena_block_offset = -AGENT_ARENA_IMAGE;
	space->pid = pid;
	space->session_journal = space->null_journal = space->victim_journal =
		JOURNAL_NONE;
	space->memory_fd = -1;
	if (proc_read_exe(pid, program, sizeof(program)) >= 0)
		space->program = strdup(program);
	int r = journal_open(
		&space->journal, session->session_memory, session->session_size, err);
	if (r >= 0)
		r = space->memory_fd = remote_memory_open(pid, err);
	if (r < 0) {
		space_free(space);
		return r;
	}
	*ret = space;
	return 0;
}

/* ---- the victim ---- */

/* Its mask is changed by the first call it makes. */
static void note_victim(struct uprobe_space *space)
{
	const struct inject_stub *stub = inject_stub(space->inject);
	struct abi_journal_victim victim = {
		.pid = (uint32_t)space->pid,
		.tid = (uint32_t)inject_victim_tid(space->inject),
		.stub_address = stub->address,
		.stub_size = sizeof(stub->original),
	};

	_Static_assert(sizeof(victim.stub_original) == sizeof(stub->original),
		"the journal holds a stub");
	memcpy(victim.stub_original, stub->original, sizeof(stub->original));
	journal_drop_victim(&space->journal, space->victim_journal);
	space->victim_journal = JOURNAL_NONE;
	if (victim.tid && ptrace_get_sigmask((pid_t)victim.tid, &victim.mask) >= 0)
		space->victim_journal = journal_add_victim(&space->journal, &victim);
}

int space_take_victim(struct uprobe_space *space, bool *ret_taken, struct error *err)
{
	int r;

	*ret_taken = false;
	if (space->is_bare || (space->inject && inject_has_victim(space->inject)))
		return 0;
	if (space->inject)
		r = inject_take_victim(space->inject, err);
	else
		r = inject_create_fork(space->session.utrace, space->pid,
			space->session.force ? INJECT_FORCE : 0, &space->inject, err);
	if (r < 0)
		return r;
	note_victim(space);
	*ret_taken = true;
	return 0;
}

int space_release_victim(struct uprobe_space *space, struct error *err)
{
	int r = space->inject ? inject_release_victim(space->inject, err) : 0;

	journal_drop_victim(&space->journal, space->victim_journal);
	space->victim_journal = JOURNAL_NONE;
	return r;
}

/* The kernel lets a thread go on behind an instruction that serialises when membarrier() was called
 * while it did not run; where there is no such call it happens to do so all the same. */
int space_sync_stopped(struct uprobe_space *space, struct error *err)
{
	struct error ignored;
	bool taken;
	int r = space_take_victim(space, &taken, err);

	if (r < 0)
		return r;
	if (inject_sync_cores(space->inject, &ignored) == -ESRCH)
		return error_set(err, -ESRCH, "%s", ignored.message);
	return space_release_victim(space, err);
}

/* ---- creation ---- */

/* The null page is wanted at the same address in all processes of a session; where that is taken,
 * any other does, because each process has its own trampolines. */
static int map_null_page(struct uprobe_space *space, struct error *err)
{
	uint64_t address = space->session.null_context;
	int r = journal_add_area(&space->journal, space->pid, 0, TEXT_PAGE,
		ABI_JOURNAL_INTENT, &space->null_journal);

	if (r < 0)
		return error_set(err, r, "undo journal is full");
	step();
	r = inject_map_null_context(space->inject, &address, err);
	if (r == -EEXIST) {
		address = 0;
		r = inject_map_null_context(space->inject, &address, err);
	}
	if (r < 0)
		return r;
	step();
	space->null_context = address;
	journal_place_area(&space->journal, space->null_journal, address);
	return 0;
}

static int map_session(struct uprobe_space *space, struct error *err)
{
	int r = journal_add_area(&space->journal, space->pid, 0,
		space->session.session_size, ABI_JOURNAL_INTENT, &space->session_journal);

	if (r < 0)
		return error_set(err, r, "undo journal is full");
	step();
	r = inject_map_fd(space->inject, space->session.session_fd,
		space->session.session_size, 0, &space->session_address, err);
	if (r < 0)
		return r;
	step();
	journal_place_area(
		&space->journal, space->session_journal, space->session_address);
	return 0;
}

static void unmap_again(struct uprobe_space *space, struct error *err)
{
	if (space->session_address && inject_unmap(space->inject, space->session_address,
					      space->session.session_size, NULL) < 0)
		error_hint(err, "session memory stays mapped at 0x%llx",
			(unsigned long long)space->session_address);
	journal_drop_process(&space->journal, space->pid);
}

static void give_up_injection(struct uprobe_space *space)
{
	inject_destroy(space->inject);
	space->inject = NULL;
	space->session_address = space->null_context = 0;
	space->session_journal = space->null_journal = JOURNAL_NONE;
	journal_drop_process(&space->journal, space->pid);
	space->victim_journal = JOURNAL_NONE;
}

/* By a thread that waits for something anyway; where there is none, the first use does it. */
static int enrol_sync(struct uprobe_space *space, struct error *err)
{
	struct utrace_task *first = utrace_first_task(space->session.utrace, space->pid);
	struct error ignored;

	if (!first || !utrace_next_task(first, space->pid))
		return 0; /* there is nothing to wait for */
	if (!inject_take_at_rest(space->inject))
		return 0;
	note_victim(space);
	/* a kernel that has no such call is dealt with where it is used */
	(void)!inject_enrol_sync(space->inject, &ignored);
	return space_release_victim(space, err);
}

/* Session memory is wanted also where handlers run in the tracer: the undo journal is in it. */
static int bring_in(
	struct uprobe_space *space, struct utrace_task *task, struct error *err)
{
	bool stopped = utrace_task_is_stopped(task);
	unsigned int flags = (space->session.force ? INJECT_FORCE : 0u) |
			     (space->by_ptrace ? INJECT_ANY_GS : 0u);
	int r;

	if (stopped)
		r = inject_create_at(task, flags, &space->inject, err);
	else
		r = inject_create(
			space->session.utrace, space->pid, flags, &space->inject, err);
	if (r < 0)
		return r;
	note_victim(space);
	r = map_session(space, err);
	if (r >= 0 && !space->by_ptrace)
		r = map_null_page(space, err);
	if (r < 0)
		unmap_again(space, err);
	if (r >= 0 && !stopped && inject_has_victim(space->inject))
		r = space_release_victim(space, err);
	if (r >= 0 && !stopped)
		r = enrol_sync(space, err);
	if (r < 0)
		give_up_injection(space);
	return r;
}

/* A process that is gone, or whose programs nothing here is made for. */
static bool is_final(int r)
{
	return r == -ESRCH || r == -ENOEXEC;
}

static int bring_in_somehow(
	struct uprobe_space *space, struct utrace_task *task, struct error *err)
{
	enum uprobe_mode mode = space->session.mode;
	struct error why;
	int r;

	if (mode != UPROBE_MODE_PTRACE) {
		r = bring_in(space, task, err);
		if (r >= 0 || mode == UPROBE_MODE_INJECT || is_final(r))
			return r;
		space->refused_injection = *err;
	}
	space->by_ptrace = true;
	r = bring_in(space, task, &why);
	if (r >= 0 || is_final(r)) {
		*err = why;
		return r;
	}
	space->is_bare = true;
	return bare_check_signals(space, err);
}

int uprobe_space_create(const struct uprobe_session *session, struct utrace_task *task,
	struct uprobe_space **ret, struct error *err)
{
	struct uprobe_space *space;
	int r = space_alloc(session, utrace_task_pid(task), &space, err);

	if (r < 0)
		return r;
	space->session.utrace = utrace_task_tracer(task);
	r = bring_in_somehow(space, task, err);
	if (r < 0) {
		space_free(space);
		return r;
	}
	*ret = space;
	return 0;
}

bool uprobe_space_is_by_ptrace(const struct uprobe_space *space, const char **ret_why)
{
	const char *why = space->refused_injection.message;

	*ret_why = *why ? why : NULL;
	return space->by_ptrace;
}

/* ---- the rest
 * -------------------------------------------------------------------------------------
 */

/* All that goes by the numbers of processes and threads, which may be others' soon. */
void space_bury(struct uprobe_space *space)
{
	if (space->inject && inject_has_victim(space->inject))
		(void)!inject_release_victim(space->inject, NULL);
	deferred_give_back(space);
	journal_drop_process(&space->journal, space->pid);
}

void uprobe_space_forget(struct uprobe_space *space)
{
	if (!space)
		return;
	space_bury(space);
	space_free(space);
}

struct inject *uprobe_space_inject(struct uprobe_space *space)
{
	return space->inject;
}

int uprobe_space_memory_fd(const struct uprobe_space *space)
{
	return space->memory_fd;
}

pid_t uprobe_space_pid(const struct uprobe_space *space)
{
	return space->pid;
}

uint64_t uprobe_space_null_context(const struct uprobe_space *space)
{
	return space->null_context;
}

static bool is_mapping_of(const struct uprobe_site *site, const struct proc_map *map)
{
	/* offsets of what is no file mean nothing */
	return map->start <= site->address && map->device_inode == site->device_inode &&
	       (!map->device_inode || map->start - map->offset == site->file_bias);
}

static uint64_t session_inode(const struct uprobe_space *space)
{
	struct stat st;

	return fstat(space->session.session_fd, &st) < 0
		       ? 0
		       : proc_fold_inode(st.st_dev, st.st_ino);
}

bool uprobe_space_survives(const struct uprobe_space *space)
{
	struct proc_maps maps = {0};
	uint8_t live[SITE_PATCH_MAX];
	bool is_there = false;
	CLEANUP(cleanup_fd) int fd = remote_memory_open(space->pid, NULL);

	if (fd < 0 || proc_read_maps(space->pid, &maps, NULL) < 0)
		return false;
	for (size_t i = 0; i < maps.maps.count && !is_there; i++)
		is_there = maps.maps.items[i].start == space->session_address &&
			   maps.maps.items[i].device_inode == session_inode(space);
	for (size_t i = 0, cursor = 0; i < space->sites.count && !is_there; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		while (cursor < maps.maps.count &&
			maps.maps.items[cursor].end <= site->address)
			cursor++;
		is_there = site->state == SITE_LIVE && cursor < maps.maps.count &&
			   is_mapping_of(site, &maps.maps.items[cursor]) &&
			   remote_memory_read(fd, site->address, live, site->size) >= 0 &&
			   !memcmp(live, site->patch, site->size);
	}
	proc_maps_free(&maps);
	return is_there;
}

int uprobe_space_forget_unmapped(struct uprobe_space *space, struct error *err)
{
	struct proc_maps maps = {0};
	size_t cursor = 0;
	int r = proc_read_maps(space->pid, &maps, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		while (cursor < maps.maps.count &&
			maps.maps.items[cursor].end <= site->address)
			cursor++;
		if (site->state != SITE_LIVE ||
			(cursor < maps.maps.count &&
				is_mapping_of(site, &maps.maps.items[cursor])))
			continue;
		site->state = SITE_REMOVED;
		journal_drop_patch(&space->journal, site->journal);
		journal_drop_patch(&space->journal, site->padding_journal);
		site->journal = site->padding_journal = JOURNAL_NONE;
	}
	semaphores_forget_unmapped(space, &maps);
	proc_maps_free(&maps);
	return 0;
}

bool space_is_single_stopped(struct uprobe_space *space)
{
	struct utrace *utrace = space->session.utrace;
	struct utrace_task *task = space_first_task(utrace, space->pid);

	return space->inject && inject_has_victim(space->inject) && task &&
	       utrace_task_is_stopped(task) && !space_next_task(task, space->pid);
}

void uprobe_space_counts(const struct uprobe_space *space, struct uprobe_counts *ret)
{
	*ret = (struct uprobe_counts){.refused = space->refused};
	for (size_t i = 0; i < space->sites.count; i++) {
		if (space->sites.items[i].state != SITE_LIVE)
			continue;
		ret->sites++;
		switch (space->sites.items[i].form) {
		case ARCH_PATCH_JUMP_SINGLE:
			ret->jumps++;
			break;
		case ARCH_PATCH_JUMP_WINDOW:
			ret->windows++;
			break;
		case ARCH_PATCH_JUMP_SHORT:
			ret->shorts++;
			break;
		case ARCH_PATCH_BREAKPOINT:
			ret->breakpoints++;
			break;
		}
	}
	for (size_t i = 0; i < space->arenas.count; i++)
		ret->arena_bytes += space->arenas.items[i].size;
}
