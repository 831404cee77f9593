/* SPDX-License-Identifier: MIT */
#include "uprobes/space.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "ptrace/ptrace.h"

enum {
	LOOKS_AT_ONCE = 16 /* at threads, for their filters */
};

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

static int space_alloc(const struct uprobe_session *session, pid_t pid,
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

/* ---- fork
 * ---------------------------------------------------------------------------------------
 */

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

/* ---- the rest
 * -------------------------------------------------------------------------------------
 */

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

bool space_is_filtered(struct uprobe_space *space)
{
	struct utrace *utrace = space->session.utrace;
	struct utrace_task *task = space_first_task(utrace, space->pid);

	while (task && !inject_is_filtered(utrace_task_tid(task), space->session.force))
		task = space_next_task(task, space->pid);
	return task;
}

/* The tracer's thread that answers questions may wait for a bell that is not rung any more. */
static void expect_no_bell(struct uprobe_space *space)
{
	struct abi_session *session = space->session.session_memory;

	__atomic_fetch_or(&session->flags, ABI_FLAG_SILENT, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&session->ask_bell, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &session->ask_bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void space_note_filter(struct uprobe_space *space, pid_t tid)
{
	if (space->is_silent || space->by_ptrace ||
		!inject_is_filtered(tid, space->session.force))
		return;
	space->is_silent = true;
	for (size_t i = 0; i < space->arenas.count; i++)
		if (!space->arenas.items[i].is_padding &&
			arena_forbid_calls(
				space->memory_fd, space->arenas.items[i].address) < 0)
			return; /* gone */
	expect_no_bell(space);
}

/* The next ones in the order of the list, and from its beginning again. */
void uprobe_look_for_filter(struct uprobe_space *space)
{
	struct utrace *utrace = space->session.utrace;
	struct utrace_task *task;

	if (space->is_silent || space->by_ptrace)
		return;
	task = utrace_find_task(utrace, space->looked_at);
	for (int i = 0; i < LOOKS_AT_ONCE && !space->is_silent; i++) {
		if (task)
			task = utrace_next_task(task, space->pid);
		if (!task)
			task = utrace_first_task(utrace, space->pid);
		if (!task)
			return;
		pid_t tid = utrace_task_tid(task);
		if (i && tid == space->looked_at)
			return; /* all of them */
		if (!i)
			space->looked_at = tid;
		space_note_filter(space, tid);
	}
	space->looked_at = task ? utrace_task_tid(task) : 0;
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
