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
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
		return undo_in_arena(
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
		undo_in_arena(undo, regs->rip - BREAKPOINT_SIZE) &&
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
	return undo_in_arena(undo, regs.rip) || stub_at(undo, regs.rip);
}

static void note_frame(const struct signal_frame *frame, void *data)
{
	struct undo *undo = data;

	if (undo_in_arena(undo, frame->rip) || undo_in_arena(undo, frame->restorer))
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
		found |= !undo->data || undo_in_arena(undo, held->left.items[i].pc);
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
			ours = undo_in_arena(
				undo, regs.gs_base + undo->areas.items.items[j].address);
		if (!ours)
			continue;
		regs.gs_base = 0;
		if (thread_set_regs(&held->threads.items[i], &regs) < 0)
			continue; /* gone */
	}
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
	int r = undo_find_areas(undo, fd, err);

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
	return undo_remove_memory(undo, held, fd, err);
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
