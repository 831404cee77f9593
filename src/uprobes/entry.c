/* SPDX-License-Identifier: MIT */
/*
 * From exec to the entry point.  The breakpoint there is one like others: it is in the journal and the
 * front answers it, so a tracer that is killed while the dynamic linker runs does not take the program
 * with it.
 */
#include <elf.h>
#include <errno.h>
#include <poll.h>

#include "uprobes/space.h"

enum {
	AWAIT_MS = 100
};

const char entry_notice;

int uprobe_run_to_entry(struct uprobe_space *space, struct error *err)
{
	struct error why;
	uint64_t entry;
	size_t foreign;
	int r = proc_read_auxv(space->pid, AT_ENTRY, &entry);

	if (r < 0 || !entry)
		return error_set(err, r < 0 ? r : -ENOEXEC,
			"process %d: its entry point is unknown", space->pid);
	r = space_insert_notice(space, entry, &entry_notice, err);
	if (r < 0)
		return r;
	threads_note_blocked(space);
	r = inject_run_to(space->inject, entry, err);
	if (r == -ESRCH)
		return r;
	int removed = uprobe_remove(space, &entry, 1, &foreign, &why);
	if (r >= 0 && removed < 0 && err)
		*err = why;
	return r < 0 ? r : removed;
}

int uprobe_await_exec(struct utrace *utrace, pid_t pid,
	bool (*is_told)(const void *data, pid_t pid), const void *data, struct error *err)
{
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	struct error why = {0};
	int r = 0;

	while (r >= 0 && utrace_first_task(utrace, pid) && !is_told(data, pid)) {
		poll(&fd, 1, AWAIT_MS);
		r = utrace_dispatch(utrace, &why);
	}
	if (r >= 0 && is_told(data, pid))
		return 0;
	return error_set(err, -ESRCH, "process %d has ended", pid);
}
