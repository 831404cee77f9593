/* SPDX-License-Identifier: MIT */
/* Processes that put a seccomp filter on while they are probed: nothing tells, so somebody has to look. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	LOOKS_AT_ONCE = 16 /* at threads */
};

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
