/* SPDX-License-Identifier: MIT */
/*
 * Following dlopen() and dlclose().
 *
 * The dynamic linker calls an empty function before and after each change of its list of modules, for
 * debuggers to put a breakpoint on (glibc's and musl's <link.h>).  The thread that stops there waits
 * until what it has mapped is patched, before any code of it has run; and before anything is unmapped
 * it has to pass by here as well, so that no patch is written to what goes away.
 */
#include <errno.h>
#include <time.h>

#include "session/process.h"

enum {
	SETTLE_TRIES = 100,
	SETTLE_PAUSE_NS = 1000000
};

bool loader_is_notice(const void *notice)
{
	return uprobe_loader_is_notice(notice);
}

int loader_watch(struct session *s, struct session_process *p, struct error *err)
{
	if (p->loader || !p->space || !process_may_load_libraries(s, p))
		return 0;
	uint64_t debug = uprobe_loader_find(p->space);
	int r = uprobe_loader_watch(p->space, debug, err);
	if (r == 1)
		p->loader = debug;
	/* without it libraries are found by looking now and then */
	return r == -ESRCH ? r : 0;
}

int loader_settle(struct session *s, struct session_process *p, struct error *err)
{
	const struct timespec pause = {.tv_nsec = SETTLE_PAUSE_NS};
	int r = 0;
	for (int i = 0; i < SETTLE_TRIES && r >= 0 && p->loader && !p->is_dead; i++) {
		if (loader_is_consistent(p))
			return 0;
		/* it may be the thread that made our calls */
		r = process_release(p, err);
		if (r >= 0)
			r = utrace_dispatch(s->utrace, err);
		nanosleep(&pause, NULL);
	}
	return r < 0 ? r
		     : 0; /* it does something else in between: constructors, files far away */
}

bool loader_is_consistent(const struct session_process *p)
{
	return uprobe_loader_is_consistent(p->space, p->loader);
}

int loader_follow(struct session *s, struct session_process *p, struct utrace_task *task,
	struct error *err)
{
	int r = uprobe_space_forget_unmapped(p->space, err);
	if (r == 0)
		r = process_forget_unmapped(s, p, err);
	return r < 0 ? r : process_arm(s, p, task, err);
}
