/* SPDX-License-Identifier: MIT */
/*
 * From exec to the entry point, past the dynamic linker.  Constructors of libraries run before it and may
 * create threads and processes: everything is dispatched as usual meanwhile, signals are delivered.
 */
#include <errno.h>
#include <poll.h>

#include "inject/internal.h"

static int wait_for_entry(struct inject *inject, struct error *err)
{
	struct pollfd fd = {.fd = utrace_fd(inject->utrace), .events = POLLIN};
	while (!inject->holding || !inject->task ||
		!utrace_task_is_stopped(inject->task)) {
		int r = utrace_dispatch(inject->utrace, err);
		if (r < 0)
			return r;
		if (!inject->task)
			return error_set(err, -ESRCH,
				"process %d has exited before it reached its entry point",
				inject->pid);
		if (!inject->holding && poll(&fd, 1, 100) < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

int inject_run_to(struct inject *inject, uint64_t address, struct error *err)
{
	int r = inject_check_victim(inject, err);
	if (r == 0)
		r = inject_finish_calls(inject, err);
	if (r < 0)
		return r;
	inject->entry = address;
	inject->holding = false;
	r = utrace_task_go(inject->task, inject->engine);
	if (r == 0)
		r = wait_for_entry(inject, err);
	inject->entry = 0;
	return r;
}
