/* SPDX-License-Identifier: MIT */
/*
 * The signals of watched data (abi/watch.h): telling them from others, and leaving none behind.
 *
 * The kernel does not force them.  One that comes while the thread has SIGTRAP blocked waits, and would end the
 * program when nobody takes it any more; and a breakpoint that the thread runs into meanwhile, which is
 * forced, finds the signal pending and is not told of by itself.
 */
#include "abi/watch.h"

#include <errno.h>
#include <string.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"
#include "utrace/run.h"

enum {
	RUNS_MAX = 16
};
/* the front may be anywhere */
#define ADDRESSES_LOW  (1ull << 30)
#define ADDRESSES_HIGH (1ull << 47)

int uprobe_keep_front(struct uprobe_space *space, struct error *err)
{
	bool taken;

	if (space->front_signals & SIGNAL_BIT(SIGTRAP))
		return 0;
	if (!front_available(space) || space_is_filtered(space))
		return error_set(err, -ENOTSUP,
			"process %d cannot have a signal handler of ours", space->pid);
	int r = space_take_victim(space, &taken, err);
	if (r < 0)
		return r;
	if (!space->arenas.count)
		r = arena_map(space, ADDRESSES_LOW, ADDRESSES_HIGH, 0, err);
	if (r >= 0)
		r = front_install(space, SIGNAL_BIT(SIGTRAP), err);
	if (taken) {
		struct error why;
		int released = space_release_victim(space, r < 0 ? &why : err);
		r = r < 0 ? r : released;
	}
	return r;
}

static bool is_ours(const siginfo_t *info, struct abi_watch_info *ret)
{
	memcpy(ret, info, sizeof(*ret));
	return info->si_signo == SIGTRAP && abi_watch_is_ours(ret);
}

/* The forced signal of a breakpoint was merged into ours: what we say of the registers is the breakpoint's. */
static bool hides_breakpoint(
	struct uprobe_space *space, const struct user_regs_struct *regs)
{
	const struct uprobe_site *site = site_find(space, regs->rip - 1);
	uint8_t byte;

	return (site || call_is_at(space->memory_fd, regs->rip)) &&
	       remote_memory_read(space->memory_fd, regs->rip - 1, &byte, 1) >= 0 &&
	       byte == BREAKPOINT;
}

enum uprobe_watch uprobe_report_watch(struct uprobe_space *space,
	const struct user_regs_struct *regs, siginfo_t *info,
	struct uprobe_watch_hit *ret)
{
	struct abi_watch_info watch;

	if (!is_ours(info, &watch))
		return UPROBE_WATCH_NONE;
	*ret = (struct uprobe_watch_hit){
		(uint32_t)watch.data, watch.address, watch.flags & ABI_WATCH_LATE};
	if (!space)
		return UPROBE_WATCH_HIT;
	if (ret->is_late && hides_breakpoint(space, regs)) {
		*info = (siginfo_t){.si_signo = SIGTRAP, .si_code = SI_KERNEL};
		return UPROBE_WATCH_WITH_BREAKPOINT;
	}
	return arena_image_contains(space, regs->rip) ? UPROBE_WATCH_OWN
						      : UPROBE_WATCH_HIT;
}

/* @pc: in the site's trampoline, behind the copy of an instruction of its window */
static uint64_t next_in_window(const struct uprobe_site *site, uint64_t pc)
{
	const struct arch_pc_map_entry *done = NULL;
	uint64_t next = site->window;

	for (size_t i = 0; i < site->map_count; i++)
		if (site->trampoline + site->map[i].trampoline_offset < pc &&
			(!done ||
				site->map[i].trampoline_offset > done->trampoline_offset))
			done = &site->map[i];
	for (size_t i = 0; i < site->map_count && done; i++)
		if (site->map[i].original_offset > done->original_offset &&
			site->map[i].original_offset < next)
			next = site->map[i].original_offset;
	return done ? site->address + next : pc;
}

uint64_t uprobe_home_after(const struct uprobe_space *space, uint64_t pc)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		if (site->trampoline && pc - site->trampoline < site->trampoline_size)
			return next_in_window(site, pc);
	}
	return pc;
}

/* Run with nothing else unblocked until the signal is about to be delivered, which it then is not. */
static void drop_pending(struct held_thread *thread)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);
	struct ptrace_event event = {0};
	struct abi_watch_info watch;
	siginfo_t info;
	uint64_t mask;
	int r = ptrace_get_sigmask(thread->tid, &mask);

	if (r < 0 || ptrace_set_sigmask(thread->tid, ~SIGNAL_BIT(SIGTRAP)) < 0)
		return; /* it was killed */
	r = utrace_task_run(task, UTRACE_RUN_STEP, &event);
	if (r == 0 && event.stop == PTRACE_STOP_SIGNAL && event.value == SIGTRAP &&
		ptrace_get_siginfo(thread->tid, &info) == 0 && is_ours(&info, &watch))
		utrace_drop_signal(task);
	for (int i = 0; i < RUNS_MAX && r == 0 && event.stop != PTRACE_STOP_GROUP &&
			event.stop != PTRACE_STOP_INTERRUPT;
		i++)
		r = utrace_task_run(task, UTRACE_RUN_INTERRUPT, &event);
	(void)!ptrace_set_sigmask(thread->tid, mask);
}

void threads_drop_watch_signals(struct held_threads *held)
{
	for (size_t i = 0; i < held->threads.count; i++) {
		struct held_thread *thread = &held->threads.items[i];
		struct utrace_task *task = utrace_engine_task(thread->engine);
		struct abi_watch_info watch;
		siginfo_t info;
		/* stopped by one, which it would go on with */
		if (task && utrace_task_stop(task) == PTRACE_STOP_SIGNAL &&
			ptrace_get_siginfo(thread->tid, &info) == 0 &&
			is_ours(&info, &watch))
			utrace_drop_signal(task);
		if (ptrace_peek_signal(thread->tid, SIGTRAP, &info) == 0 &&
			is_ours(&info, &watch))
			drop_pending(thread);
	}
}
