/* SPDX-License-Identifier: MIT */
/*
 * Taking everything out.  Text first, by the protocol of poke.c; then every thread is
 * stopped and looked at: one that is in an arena is sent home when it stands between two
 * instructions of the program, else runs on until it has left.  What no thread can come
 * back to is unmapped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	SETTLE_ROUNDS = 200,
	SETTLE_ROUNDS_PER_STEP = 10,
	SETTLE_PAUSE_NS = 100000,
	RETURN_TRIES = 50,
	RETURN_PAUSE_MS = 5
};

/* ---- text
 * -----------------------------------------------------------------------------------------
 */

static int restore_text(
	struct uprobe_space *space, size_t *ret_foreign, struct error *err)
{
	struct held_threads held;
	struct error why;

	/* one byte each, and nothing behind it */
	if (space->is_bare || space_is_single_stopped(space))
		return poke_remove_stopped(space, ret_foreign, err);
	threads_note_blocked(space);
	if (space->is_filtered)
		return poke_remove_live(space, ret_foreign, err);
	if (!threads_have_trap_blocked(space) &&
		inject_sync_cores(space->inject, &why) >= 0) {
		int r = front_install(space, 1ull << (SIGTRAP - 1), err);
		return r < 0 ? r : poke_remove_live(space, ret_foreign, err);
	}
	int r = space_release_victim(space, err);
	if (r >= 0)
		r = threads_stop(space->session.utrace, space->pid, &held, err);
	if (r < 0)
		return r;
	r = poke_remove_stopped(space, ret_foreign, err);
	if (r >= 0)
		r = space_sync_stopped(space, err);
	threads_resume(&held);
	return r;
}

/* Under a filter there is none, and what needs calls is not done. */
static int take_victim(struct uprobe_space *space, bool *ret_taken, struct error *err)
{
	*ret_taken = false;
	space->is_filtered = !space->is_bare && space_is_filtered(space);
	return space->is_filtered ? 0 : space_take_victim(space, ret_taken, err);
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The journal's word for them is taken back; a jump in padding stays until the end, and is in it. */
static void forget_removed(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (!site->is_kept && site->state == SITE_REMOVED) {
			journal_drop_patch(&space->journal, site->journal);
			site->journal = JOURNAL_NONE;
		}
		site->is_kept = false;
	}
}

int uprobe_remove(struct uprobe_space *space, uint64_t *addresses, size_t count,
	size_t *ret_foreign, struct error *err)
{
	bool taken;
	struct error why;

	*ret_foreign = 0;
	if (!count)
		return 0;
	qsort(addresses, count, sizeof(*addresses), compare_addresses);
	int r = take_victim(space, &taken, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		site->is_kept = site->padding || site->is_host ||
				!bsearch(&site->address, addresses, count,
					sizeof(*addresses), compare_addresses);
	}
	r = restore_text(space, ret_foreign, err);
	forget_removed(space);
	space->is_filtered = false;
	if (!taken || !space->inject || !inject_has_victim(space->inject))
		return r;
	int released = space_release_victim(space, &why);
	if (released < 0 && r >= 0) {
		r = released;
		if (err)
			*err = why;
	}
	return r;
}

/* ---- threads
 * ----------------------------------------------------------------------------------- */

static bool send_home(struct uprobe_space *space, uint64_t pc, uint64_t *ret)
{
	for (size_t i = 0; i < space->sites.count; i++)
		if (site_home(&space->sites.items[i], pc, ret))
			return true;
	return false;
}

static bool is_inside(const struct held_thread *thread, void *data)
{
	struct uprobe_space *space = data;
	struct user_regs_struct regs;
	uint64_t home;

	if (thread_regs(thread, &regs) < 0)
		return false;
	/* A breakpoint of ours that has trapped but is not reported yet. */
	if ((site_find(space, regs.rip - 1) || deferred_has(space, thread->tid)) &&
		thread_has_pending_trap(thread->tid))
		return true;
	if (!arena_contains(space, regs.rip))
		return false;
	if (!send_home(space, regs.rip, &home))
		return true;
	regs.rip = home;
	return thread_set_regs(thread, &regs) < 0;
}

/*
 * Jumps in padding are restored only now: a thread may have made the short jump to it and not yet the
 * long one, and saved contexts may say so too.  Nothing has happened to its registers in between, so
 * it is put back to the site itself.
 */
static struct uprobe_site *padding_site(struct uprobe_space *space, uint64_t pc)
{
	for (size_t i = 0; i < space->sites.count; i++)
		if (pc && space->sites.items[i].padding == pc &&
			space->sites.items[i].state == SITE_REMOVED)
			return &space->sites.items[i];
	return NULL;
}

static void leave_padding(const struct signal_frame *frame, void *data)
{
	struct uprobe_space *space = data;
	const struct uprobe_site *site = padding_site(space, frame->rip);

	/* cannot fail: it has just been read */
	if (site && remote_memory_write(space->memory_fd, frame->rip_address,
			    &site->address, sizeof(site->address)) < 0)
		return;
}

/* With its lodgers out nobody comes to the inside of a host any more. */
static int restore_host(struct uprobe_space *space, struct uprobe_site *site)
{
	uint8_t live[SITE_PATCH_MAX];

	if (remote_memory_read(space->memory_fd, site->address, live, site->size) < 0) {
		site->state = SITE_REMOVED; /* unmapped */
		return 0;
	}
	if (memcmp(live, site->patch, site->size))
		return 0; /* somebody else has written to it: stays as it is */
	step();
	site->state = SITE_REMOVED;
	return remote_memory_write(
		space->memory_fd, site->address, site->original, site->size);
}

static int restore_paddings(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		int r = 0;
		if (site->is_host && site->state == SITE_LIVE)
			r = restore_host(space, site);
		if (site_has_padding(site) && site->trampoline &&
			site->state == SITE_REMOVED) {
			step();
			r = remote_memory_write(space->memory_fd, site->padding,
				site->padding_original, SITE_PADDING);
		}
		if (r < 0 && r != -EFAULT) /* unmapped */
			return r;
	}
	return 0;
}

static int restore_padding(struct uprobe_space *space, const struct held_threads *held)
{
	for (size_t i = 0; i < held->threads.count; i++) {
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) < 0)
			continue;
		inject_scan_frames(space->memory_fd, regs.rsp, leave_padding, space);
		const struct uprobe_site *site = padding_site(space, regs.rip);
		if (!site)
			continue;
		regs.rip = site->address;
		if (thread_set_regs(&held->threads.items[i], &regs) < 0)
			continue; /* gone */
	}
	for (size_t i = 0; i < held->left.count; i++)
		inject_scan_frames(
			space->memory_fd, held->left.items[i].sp, leave_padding, space);
	return restore_paddings(space);
}

static size_t count_foreign_hosts(const struct uprobe_space *space)
{
	size_t count = 0;

	for (size_t i = 0; i < space->sites.count; i++)
		count += space->sites.items[i].is_host &&
			 space->sites.items[i].state == SITE_LIVE;
	return count;
}

struct frame_search {
	struct uprobe_space *space;
	bool found;
};

static void note_frame(const struct signal_frame *frame, void *data)
{
	struct frame_search *search = data;

	search->found |= arena_contains(search->space, frame->rip) ||
			 arena_contains(search->space, frame->restorer);
}

/* Nothing but a signal handler's frame can lead back into an arena: handlers call nothing of the
 * program, and displaced calls push the program's own return address. */
static size_t returns_inside(struct uprobe_space *space, const struct held_threads *held)
{
	size_t count = 0;

	for (size_t i = 0; i < held->threads.count; i++) {
		struct frame_search search = {.space = space};
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) < 0)
			continue;
		inject_scan_frames(space->memory_fd, regs.rsp, note_frame, &search);
		count += search.found;
	}
	for (size_t i = 0; i < held->left.count; i++) {
		struct frame_search search = {.space = space};
		inject_scan_frames(
			space->memory_fd, held->left.items[i].sp, note_frame, &search);
		count += search.found || arena_contains(space, held->left.items[i].pc);
	}
	return count;
}

static void reset_gs(struct uprobe_space *space, const struct held_threads *held)
{
	for (size_t i = 0; i < held->threads.count && !space->by_ptrace; i++) {
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) < 0 || !regs.gs_base)
			continue;
		uint64_t context = regs.gs_base + space->null_context;
		if (context - space->session_address >= space->session.session_size)
			continue;
		regs.gs_base = 0;
		if (thread_set_regs(&held->threads.items[i], &regs) < 0)
			continue; /* gone */
	}
}

/* ---- memory
 * --------------------------------------------------------------------------------------
 */

static int unmap_all(struct uprobe_space *space, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < space->arenas.count && r >= 0; i++) {
		const struct uprobe_arena *arena = &space->arenas.items[i];
		step();
		r = inject_unmap(space->inject, arena->address, arena->size, err);
		if (r >= 0)
			journal_drop_area(&space->journal, arena->journal);
	}
	step();
	if (r >= 0 && space->null_context)
		r = inject_unmap(space->inject, space->null_context, TEXT_PAGE, err);
	if (r >= 0 && space->null_context)
		journal_drop_area(&space->journal, space->null_journal);
	/* Last: the journal is in it, for a healer that has nothing else. */
	step();
	if (r >= 0)
		r = inject_unmap(space->inject, space->session_address,
			space->session.session_size, err);
	return r;
}

static uint64_t mapped_bytes(const struct uprobe_space *space)
{
	uint64_t bytes = space->is_bare ? 0 : TEXT_PAGE + space->session.session_size;

	for (size_t i = 0; i < space->arenas.count; i++)
		bytes += space->arenas.items[i].size;
	return bytes;
}

/*
 * Stop all threads outside of the arenas.  A signal handler that returns into one is given time to do
 * so: text is clean, so no other comes after it.  One that takes longer is what is left in the end.
 */
static int stop_outside(struct uprobe_space *space, struct held_threads *held,
	size_t *ret_inside, size_t *ret_returning, struct error *err)
{
	for (unsigned int i = 0;; i++) {
		int r = threads_stop(space->session.utrace, space->pid, held, err);
		if (r < 0)
			return r;
		r = restore_padding(space, held);
		if (r < 0) {
			threads_resume(held);
			return error_set(err, r, "cannot write text of process %d: %s",
				space->pid, strerror(-r));
		}
		*ret_inside = threads_evacuate(held, is_inside, space);
		*ret_returning = returns_inside(space, held);
		if (*ret_inside || !*ret_returning || i == RETURN_TRIES)
			return 0;
		threads_resume(held);
		r = threads_run_on(space, RETURN_PAUSE_MS, err);
		if (r < 0)
			return r;
	}
}

static int remove_memory(
	struct uprobe_space *space, size_t foreign, uint64_t *ret_left, struct error *err)
{
	struct held_threads held;
	size_t inside = 0, returning = 0;
	bool taken;
	int r = stop_outside(space, &held, &inside, &returning, err);

	if (r < 0)
		return r;
	foreign += count_foreign_hosts(space);
	deferred_give_back(space);
	threads_drop_watch_signals(&held);
	if (space->is_filtered) {
		reset_gs(space, &held);
		for (size_t i = 0; i < space->arenas.count && r >= 0; i++)
			r = arena_forbid_calls(
				space->memory_fd, space->arenas.items[i].address);
		*ret_left = mapped_bytes(space);
		error_set(err, -EPERM,
			"it has put a seccomp filter on, which may kill it for the calls that unmap them");
	} else if (inside || returning || foreign) {
		*ret_left = mapped_bytes(space);
		error_set(err, -EBUSY,
			"%zu threads still run in it, %zu signal handlers return to it, "
			"%zu patches were overwritten by somebody else",
			inside, returning, foreign);
	} else if (space->is_bare) {
		r = bare_clear_all(space);
		if (r < 0)
			error_set(err, r, "cannot write text of process %d: %s",
				space->pid, strerror(-r));
	} else {
		reset_gs(space, &held);
		r = space_take_victim(space, &taken, err);
		if (r >= 0)
			r = front_repair(space, err);
		if (r >= 0)
			r = front_remove(space, ~0ull, err);
		if (r >= 0)
			r = unmap_all(space, err);
		if (r >= 0)
			r = space_release_victim(space, err);
	}
	threads_resume(&held);
	return r;
}

/* With the text as it was no thread comes in any more, and those with a signal held back are soon out. */
static void settle_deferred(struct uprobe_space *space)
{
	const struct timespec pause = {.tv_nsec = SETTLE_PAUSE_NS};

	for (int i = 0; i < SETTLE_ROUNDS && space->deferred.count; i++) {
		if (utrace_dispatch(space->session.utrace, NULL) < 0)
			return;
		nanosleep(&pause, NULL);
		if (i % SETTLE_ROUNDS_PER_STEP == 0)
			uprobe_defer_settle(space);
	}
}

/* What is no patch of ours any more may be another library's text, in the place of the one that was patched. */
static int count_foreign(struct uprobe_space *space, size_t *ret, struct error *err)
{
	int r = *ret ? uprobe_space_forget_unmapped(space, err) : 0;

	*ret = 0;
	for (size_t i = 0; i < space->sites.count; i++)
		*ret += !space->sites.items[i].is_host &&
			space->sites.items[i].state == SITE_LIVE;
	return r;
}

static int space_remove(struct uprobe_space *space, uint64_t *ret_left, struct error *err)
{
	size_t foreign = 0;
	bool taken;
	int r = uprobe_space_forget_unmapped(space, err);
	if (r < 0)
		return r;
	semaphores_lower(space);
	r = take_victim(space, &taken, err);

	if (r >= 0)
		r = restore_text(space, &foreign, err);
	if (r >= 0)
		r = count_foreign(space, &foreign, err);
	if (r >= 0)
		r = space_release_victim(space, err);
	if (r < 0)
		return r;
	settle_deferred(space);
	return remove_memory(space, foreign, ret_left, err);
}

int uprobe_space_remove(struct uprobe_space *space, uint64_t *ret_left, struct error *err)
{
	pid_t pid = space->pid;
	int r;

	*ret_left = 0;
	r = space_remove(space, ret_left, err);
	/* A process that died meanwhile took everything with it. */
	if (r == -ESRCH && !utrace_first_task(space->session.utrace, pid))
		r = 0;
	/* What could not be undone stays in the journal, for `heal`. */
	if (r >= 0 && !*ret_left)
		journal_drop_process(&space->journal, pid);
	space_free(space);
	return r;
}
