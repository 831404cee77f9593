/* SPDX-License-Identifier: MIT */
/*
 * Here all threads are stopped first: nothing is known of the instructions behind a
 *patch, and a crash is no time for cleverness.  A change may have been interrupted
 *anywhere, which its bytes tell (poke.c changes the head last on the way in and first on
 *the way out):
 *
 *	head original            nothing to do
 *	head int3                the rest is original, int3 or jump: restore
 *	head jmp into an arena   complete: restore
 *	anything else            somebody else's: leave it, and the memory it may lead to
 */
#include "uprobes/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	SEIZE_TRIES = 200,
	SEIZE_PAUSE_USEC = 10000
};

void undo_select(struct undo *undo, const struct abi_journal *journal,
	uint32_t patch_count, uint32_t area_count)
{
	bool own = false;

	for (uint32_t i = 0; i < area_count && !own; i++)
		own = journal->areas[i].live &&
		      journal->areas[i].pid == (uint32_t)undo->pid;
	for (uint32_t i = 0; i < patch_count && !own; i++)
		own = journal->patches[i].live &&
		      journal->patches[i].pid == (uint32_t)undo->pid;
	for (uint32_t i = 0; i < area_count; i++)
		if (journal->areas[i].live &&
			(!own || journal->areas[i].pid == (uint32_t)undo->pid))
			vec_append(&undo->areas.items, journal->areas[i]);
	for (uint32_t i = 0; i < ABI_JOURNAL_VICTIMS; i++)
		if (journal->victims[i].live &&
			journal->victims[i].stub_size <= ARCH_CALL_STUB_MAX)
			vec_append(&undo->victims.items, journal->victims[i]);
	for (uint32_t i = 0; i < patch_count; i++) {
		struct abi_journal_patch patch = journal->patches[i];
		if (!patch.live || !patch.size || patch.size > sizeof(patch.original) ||
			(own && patch.pid != (uint32_t)undo->pid))
			continue;
		if (patch.kind == ABI_JOURNAL_SEMAPHORE)
			vec_append(&undo->semaphores.items, patch);
		else
			vec_append(&undo->patches.items, patch);
	}
}

void undo_deinit(struct undo *undo)
{
	vec_free(&undo->patches.items);
	vec_free(&undo->semaphores.items);
	vec_free(&undo->areas.items);
	vec_free(&undo->victims.items);
}

/* ---- what is ours
 * --------------------------------------------------------------------------- */

static bool in_arena(const struct undo *undo, uint64_t address)
{
	for (size_t i = 0; i < undo->areas.items.count; i++) {
		const struct abi_journal_area *area = &undo->areas.items.items[i];
		if (address - area->address < area->size)
			return true;
	}
	return false;
}

static const struct abi_journal_patch *patch_at(const struct undo *undo, uint64_t address)
{
	for (size_t i = 0; i < undo->patches.items.count; i++) {
		const struct abi_journal_patch *patch = &undo->patches.items.items[i];
		if (address - patch->address < patch->size)
			return patch;
	}
	return NULL;
}

enum verdict {
	CLEAN,
	OURS,
	FOREIGN
};

static const struct abi_journal_victim *stub_at(const struct undo *undo, uint64_t address)
{
	for (size_t i = 0; i < undo->victims.items.count; i++) {
		const struct abi_journal_victim *victim = &undo->victims.items.items[i];
		if (victim->pid == (uint32_t)undo->pid &&
			address - victim->stub_address < victim->stub_size)
			return victim;
	}
	return NULL;
}

static enum verdict judge(const struct undo *undo, const struct abi_journal_patch *patch,
	const uint8_t *live)
{
	if (!memcmp(live, patch->original, patch->size))
		return CLEAN;
	if (live[0] == BREAKPOINT)
		return OURS;
	if (live[0] == 0xe9 && patch->size >= 5) {
		int32_t displacement;
		memcpy(&displacement, live + 1, sizeof(displacement));
		return in_arena(
			       undo, patch->address + 5 + (uint64_t)(int64_t)displacement)
			       ? OURS
			       : FOREIGN;
	}
	if (live[0] == 0xeb && patch->size >= 2)
		return patch_at(undo, patch->address + 2 + (uint64_t)(int8_t)live[1])
			       ? OURS
			       : FOREIGN;
	return FOREIGN;
}

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
		if (own && !in_arena(undo, map->start))
			vec_append(&undo->areas.items,
				((struct abi_journal_area){.address = map->start,
					.size = map->end - map->start,
					.pid = (uint32_t)undo->pid,
					.live = 1}));
	}
}

static int find_areas(struct undo *undo, int fd, struct error *err)
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

/* ---- seizing
 * ------------------------------------------------------------------------------------ */

/* The dead tracer's last step: what asked for it ended with that tracer, unlike a program's own flag. */
static bool is_left_step(const struct user_regs_struct *regs, const siginfo_t *info)
{
	return info->si_signo == SIGTRAP && info->si_code == TRAP_TRACE &&
	       !(regs->eflags & TRAP_FLAG);
}

/* Threads that ran into a breakpoint go on at the instruction, which is back by then. */
static uint32_t watch_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	const struct undo *undo = utrace_engine_data(engine);

	/* a call of the tracer: it fails */
	if (info->si_signo == SIGTRAP && info->si_code == SI_KERNEL &&
		in_arena(undo, regs->rip - BREAKPOINT_SIZE) &&
		call_is_at(undo->memory_fd, regs->rip))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;

	if (info->si_signo == SIGTRAP && info->si_code == SI_KERNEL &&
		patch_at(undo, regs->rip - 1)) {
		regs->rip--;
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	}
	if (is_left_step(regs, info))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	return UTRACE_RESUME | (action & UTRACE_SIGNAL_MASK);
}

static const struct utrace_engine_ops watch_ops = {.report_signal = watch_signal};

static void watch(struct utrace_task *task, struct undo *undo)
{
	struct utrace_engine *engine;

	/* either fails only when it died meanwhile */
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &watch_ops, undo, &engine) < 0)
		return;
	int r = utrace_set_events(task, engine, UTRACE_EVENT_SIGNAL_ALL);
	utrace_engine_put(engine);
	(void)r;
}

static void watch_new(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	watch(task, data);
}

/* The dying tracer closes its files, which wakes the guardian, before the kernel takes
 * its tracees away from it. */
static int seize(struct undo *undo, struct utrace *utrace, struct error *err)
{
	const struct timespec pause = {.tv_nsec = SEIZE_PAUSE_USEC * 1000l};
	int r = -EPERM;

	for (int i = 0; i < SEIZE_TRIES; i++) {
		r = utrace_seize_process(utrace, undo->pid, err);
		if (r != -EPERM && r != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (r < 0)
		return r;
	utrace_on_new_task(utrace, watch_new, undo);
	struct utrace_task *task = utrace_first_task(utrace, 0);
	for (; task; task = utrace_next_task(task, 0))
		watch(task, undo);
	return 0;
}

/* ---- undoing
 * -------------------------------------------------------------------------------------
 */

/*
 * Threads that are left in their calls may come back in the middle of it: a breakpoint holds them up first,
 * which watch_signal() answers.
 */
static int hold_up(const struct undo *undo, int fd)
{
	static const uint8_t breakpoint = BREAKPOINT;
	int r = 0;

	for (size_t i = 0; i < undo->patches.items.count && r >= 0; i++) {
		const struct abi_journal_patch *patch = &undo->patches.items.items[i];
		uint8_t live[sizeof(patch->original)];
		if (remote_memory_read(fd, patch->address, live, patch->size) < 0 ||
			judge(undo, patch, live) != OURS)
			continue;
		r = remote_memory_write(fd, patch->address, &breakpoint, 1);
	}
	threads_sync_cores();
	return r;
}

static int write_original(const struct abi_journal_patch *patch, int fd)
{
	int r = 0;

	if (patch->size > 1)
		r = remote_memory_write(
			fd, patch->address + 1, patch->original + 1, patch->size - 1u);
	return r < 0 ? r : remote_memory_write(fd, patch->address, patch->original, 1);
}

/*
 * The journal does not know which file it was.  Where another library has come to the place its bytes are those
 * of its own file: nothing of ours, and nothing that leads to us.
 */
static bool is_text_of_file(pid_t pid, const struct proc_map *map, uint64_t address,
	const uint8_t *live, size_t size)
{
	char path[PATH_MAX + 64];
	uint8_t bytes[sizeof(((struct abi_journal_patch *)NULL)->original)];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)proc_task_with_memory(pid),
		map->path);
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       pread(fd, bytes, size, (off_t)(map->offset + (address - map->start))) ==
		       (ssize_t)size &&
	       !memcmp(bytes, live, size);
}

static bool is_text_of_another(const struct undo *undo, const struct proc_maps *maps,
	const struct abi_journal_patch *patch, const uint8_t *live)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (patch->address >= map->start && patch->address < map->end)
			return map->path[0] == '/' &&
			       patch->size <= map->end - patch->address &&
			       is_text_of_file(
				       undo->pid, map, patch->address, live, patch->size);
	}
	return false;
}

static int restore_patches(
	struct undo *undo, const struct proc_maps *maps, int fd, size_t *ret_foreign)
{
	*ret_foreign = 0;
	for (size_t i = 0; i < undo->patches.items.count; i++) {
		const struct abi_journal_patch *patch = &undo->patches.items.items[i];
		uint8_t live[sizeof(patch->original)];
		if (remote_memory_read(fd, patch->address, live, patch->size) < 0)
			continue; /* unmapped meanwhile */
		enum verdict verdict = judge(undo, patch, live);
		if (verdict != CLEAN && is_text_of_another(undo, maps, patch, live))
			verdict = CLEAN;
		*ret_foreign += verdict == FOREIGN;
		if (verdict != OURS)
			continue;
		int r = write_original(patch, fd);
		if (r < 0)
			return r;
		undo->restored++;
	}
	return 0;
}

static int restore_text(struct undo *undo, int fd, size_t *ret_foreign)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(undo->pid, &maps, NULL);

	if (r >= 0)
		r = restore_patches(undo, &maps, fd, ret_foreign);
	proc_maps_free(&maps);
	return r;
}

/* A thread between the short jump of a patch and the long one in padding goes back to the patch. */
static bool site_of_padding(const struct undo *undo, uint64_t pc, uint64_t *ret)
{
	for (size_t i = 0; i < undo->patches.items.count; i++) {
		const struct abi_journal_patch *patch = &undo->patches.items.items[i];
		if (patch->address != pc || !patch->site_offset)
			continue;
		*ret = pc + (uint64_t)(int64_t)patch->site_offset;
		return true;
	}
	return false;
}

struct padding_frames {
	const struct undo *undo;
	int fd;
};

static void leave_padding(const struct signal_frame *frame, void *data)
{
	const struct padding_frames *frames = data;
	uint64_t site;

	/* cannot fail: it has just been read */
	if (site_of_padding(frames->undo, frame->rip, &site) &&
		remote_memory_write(frames->fd, frame->rip_address, &site, sizeof(site)) <
			0)
		return;
}

static void leave_paddings(
	const struct undo *undo, const struct held_threads *held, int fd)
{
	struct padding_frames frames = {undo, fd};

	for (size_t i = 0; i < held->left.count; i++)
		inject_scan_frames(fd, held->left.items[i].sp, leave_padding, &frames);
	for (size_t i = 0; i < held->threads.count; i++) {
		struct user_regs_struct regs;
		uint64_t site;
		if (thread_regs(&held->threads.items[i], &regs) < 0)
			continue;
		inject_scan_frames(fd, regs.rsp, leave_padding, &frames);
		if (!site_of_padding(undo, regs.rip, &site))
			continue;
		regs.rip = site;
		if (thread_set_regs(&held->threads.items[i], &regs) < 0)
			continue; /* gone */
	}
}

static bool is_in_stub(const struct held_thread *thread, void *data)
{
	const struct undo *undo = data;
	struct user_regs_struct regs;

	return thread_regs(thread, &regs) >= 0 && stub_at(undo, regs.rip);
}

static bool was_stepped(const struct undo *undo, pid_t tid)
{
	for (size_t i = 0; i < undo->victims.items.count; i++)
		if (undo->victims.items.items[i].tid == (uint32_t)tid &&
			!undo->victims.items.items[i].stub_size)
			return true;
	return false;
}

static bool is_inside(const struct held_thread *thread, void *data)
{
	const struct undo *undo = data;
	struct user_regs_struct regs;

	if (thread_regs(thread, &regs) < 0)
		return false;
	if ((patch_at(undo, regs.rip - 1) || was_stepped(undo, thread->tid)) &&
		thread_has_pending_trap(thread->tid))
		return true;
	return in_arena(undo, regs.rip) || stub_at(undo, regs.rip);
}

static void note_frame(const struct signal_frame *frame, void *data)
{
	struct undo *undo = data;

	if (in_arena(undo, frame->rip) || in_arena(undo, frame->restorer))
		undo->data = NULL;
}

static bool returns_inside(struct undo *undo, const struct held_threads *held, int fd)
{
	void *data = undo->data;
	bool found = false;

	for (size_t i = 0; i < held->threads.count; i++) {
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) < 0)
			continue;
		undo->data = undo;
		inject_scan_frames(fd, regs.rsp, note_frame, undo);
		found |= !undo->data;
	}
	for (size_t i = 0; i < held->left.count; i++) {
		undo->data = undo;
		inject_scan_frames(fd, held->left.items[i].sp, note_frame, undo);
		found |= !undo->data || in_arena(undo, held->left.items[i].pc);
	}
	undo->data = data;
	return found;
}

/* gs base + null page is a context, which lies in session memory: the sum is in none of
 * the program's own mappings, and programs of this architecture do not use gs otherwise.
 */
static void reset_gs(const struct undo *undo, const struct held_threads *held)
{
	for (size_t i = 0; i < held->threads.count; i++) {
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) < 0 || !regs.gs_base)
			continue;
		bool ours = false;
		for (size_t j = 0; j < undo->areas.items.count && !ours; j++)
			ours = in_arena(
				undo, regs.gs_base + undo->areas.items.items[j].address);
		if (!ours)
			continue;
		regs.gs_base = 0;
		if (thread_set_regs(&held->threads.items[i], &regs) < 0)
			continue; /* gone */
	}
}

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

static int remove_memory(
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

static void unblock_victim(pid_t tid, const struct abi_journal_victim *victim)
{
	const uint64_t unblockable = SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP);
	uint64_t mask;
	siginfo_t info;

	if (ptrace_get_sigmask(tid, &mask) < 0 ||
		(mask | unblockable) != (victim->mask | ~SIGNALS_SYNCHRONOUS))
		return;
	if (!victim->stub_size) {
		memcpy(&info, victim->stub_original, sizeof(info));
		deferred_send((pid_t)victim->pid, tid, info);
	}
	(void)!ptrace_set_sigmask(tid, victim->mask); /* -ESRCH: gone */
}

/*
 * The tracer died while a thread made calls for it, with the program's signals blocked, or while it
 * stepped a thread out of our code before its signal.
 */
static void unblock_victims(
	const struct undo *undo, const struct held_threads *held, bool deferred)
{
	for (size_t i = 0; i < held->threads.count; i++) {
		pid_t tid = held->threads.items[i].tid;
		for (size_t j = 0; j < undo->victims.items.count; j++) {
			const struct abi_journal_victim *victim =
				&undo->victims.items.items[j];
			if (victim->tid == (uint32_t)tid &&
				deferred == !victim->stub_size)
				unblock_victim(tid, victim);
		}
	}
}

/* A signal may have come where the stub unblocked it: its handler returns there. */
static int leave_stub_frames(const struct held_threads *held, int fd, uint64_t stub)
{
	uint8_t bytes[ARCH_CALL_STUB_MAX];
	struct arch_call_home home;
	int r = remote_memory_read(fd, stub, bytes, sizeof(bytes));

	if (r < 0 || !arch_call_stub_home(bytes, &home))
		return r;
	for (size_t i = 0; i < held->threads.count && r >= 0; i++) {
		struct user_regs_struct regs;
		if (thread_regs(&held->threads.items[i], &regs) >= 0)
			r = inject_leave_stub_frames(fd, regs.rsp, stub, &home);
	}
	return r;
}

/* No thread is inside any more. */
static int restore_stubs(const struct undo *undo, const struct held_threads *held, int fd)
{
	int r = 0;

	for (size_t i = 0; i < undo->victims.items.count && r >= 0; i++) {
		const struct abi_journal_victim *victim = &undo->victims.items.items[i];
		if (victim->pid != (uint32_t)undo->pid || !victim->stub_size)
			continue;
		r = leave_stub_frames(held, fd, victim->stub_address);
		if (r >= 0)
			r = remote_memory_write(fd, victim->stub_address,
				victim->stub_original, victim->stub_size);
	}
	return r;
}

static int undo_stopped(
	struct undo *undo, struct held_threads *held, int fd, struct error *err)
{
	size_t foreign;
	/* A call that the victim is about to make may map memory, to be found next.  One that stays inside
	 * is counted below. */
	(void)threads_evacuate(held, is_in_stub, undo);
	int r = find_areas(undo, fd, err);

	if (r >= 0 && undo->on_stopped)
		r = undo->on_stopped(undo);
	if (r < 0)
		return r;
	unblock_victims(undo, held, false);
	leave_paddings(undo, held, fd);
	undo_semaphores(undo, fd);
	undo->semaphores_done = true;
	if (held->left.count)
		r = hold_up(undo, fd);
	if (r >= 0)
		r = restore_text(undo, fd, &foreign);
	if (r < 0)
		return error_set(err, r, "cannot write text of process %d: %s", undo->pid,
			strerror(-r));
	size_t inside = threads_evacuate(held, is_inside, undo);
	unblock_victims(undo, held, true);
	threads_drop_watch_signals(held);
	if (!inside)
		r = restore_stubs(undo, held, fd);
	if (r < 0)
		return error_set(err, r, "cannot write text of process %d: %s", undo->pid,
			strerror(-r));
	if (inside || foreign || returns_inside(undo, held, fd))
		return error_set(err, -EBUSY,
			"process %d keeps its probe memory: %zu threads still run in it, "
			"%zu patches were overwritten by somebody else",
			undo->pid, inside, foreign);
	reset_gs(undo, held);
	return remove_memory(undo, held, fd, err);
}

int undo_run(struct undo *undo, struct error *err)
{
	struct utrace *utrace;
	struct held_threads held;
	int r = utrace_create(&utrace, err);

	if (r < 0)
		return r;
	int fd = -1;
	r = seize(undo, utrace, err);
	if (r >= 0)
		r = fd = undo->memory_fd = remote_memory_open(undo->pid, err);
	if (r >= 0)
		r = threads_stop(utrace, undo->pid, &held, err);
	if (r >= 0) {
		r = undo_stopped(undo, &held, fd, err);
		threads_resume(&held);
		uprobe_leave_blocked(utrace);
	}
	if (fd >= 0)
		close(fd);
	utrace_destroy(utrace);
	return r;
}
