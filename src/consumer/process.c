/* SPDX-License-Identifier: MIT */
/* The processes that are probed: added, forked, and what callbacks leave to do for them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumer/internal.h"

enum {
	SETTLE_MS = 100
};

/* ---- the table ---- */

struct probe_process *probe_process_find(struct uprobes *u, pid_t pid)
{
	for (struct probe_process *p = u->processes; p; p = p->next)
		if (p->pid == pid && !p->is_dead)
			return p;
	return NULL;
}

struct probe_process *probe_process_new(struct uprobes *u, pid_t pid)
{
	struct probe_process *p = probe_process_find(u, pid);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->pid = pid;
	p->next = u->processes;
	u->processes = p;
	return p;
}

void probe_process_forget(struct probe_process *p)
{
	if (!p->is_dead && p->space && uprobe_space_survives(p->space)) {
		p->has_execed = false;
		return;
	}
	uprobe_space_forget(p->space);
	p->space = NULL;
	p->loader = 0;
	p->live.count = 0;
	p->shares_parent = p->has_execed = false;
}

void probe_process_free(void *process)
{
	struct probe_process *p = process;

	vec_free(&p->live);
	free(p);
}

static void process_end(struct uprobes *u, struct probe_process *p)
{
	struct probe_process **at = &u->processes;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	if (p->has_execed)
		probe_process_forget(p);
	if (p->space)
		uprobe_ghosts_add(&u->ghosts, p->space, p);
	else
		probe_process_free(p);
}

void probe_process_delete(struct uprobes *u, pid_t pid)
{
	struct probe_process *p = probe_process_find(u, pid);

	if (!p)
		return;
	probe_forget_answers(u, pid);
	p->is_dead = true;
	if (!p->holds)
		process_end(u, p);
}

struct probe_process *probe_process_of_orphan(struct uprobes *u, pid_t pid)
{
	for (struct probe_process *p = u->processes; p; p = p->next)
		if (uprobe_space_was_copied(p->space, pid))
			return p;
	return uprobe_ghosts_find(&u->ghosts, pid);
}

void probe_process_hold(struct probe_process *p)
{
	p->holds++;
}

void probe_process_drop(struct uprobes *u, struct probe_process *p)
{
	if (--p->holds)
		return;
	if (p->is_dead)
		process_end(u, p);
	else if (p->has_execed)
		probe_process_forget(p);
}

struct uprobe_space *probe_task_space(struct uprobes *u, struct utrace_task *task)
{
	struct probe_process *p = probe_process_find(u, utrace_task_pid(task));

	if (p && p->shares_parent)
		p = probe_process_find(u, p->parent);
	return p ? p->space : NULL;
}

/* ---- bringing probes in ---- */

static int process_watch_loader(struct probe_process *p, struct error *err)
{
	struct error why = {0};

	if (p->loader || !p->space)
		return 0;
	uint64_t debug = uprobe_loader_find(p->space);
	int r = uprobe_loader_watch(p->space, debug, &why);
	if (r == 1)
		p->loader = debug;
	if (r != -ESRCH)
		return 0; /* libraries that come later are seen with the next change */
	*err = why;
	return r;
}

/* A victim that was held for us, at the entry point of a program, goes on or stays with its owner. */
static int process_release(struct probe_process *p, struct error *err)
{
	struct inject *inject = p->space ? uprobe_space_inject(p->space) : NULL;

	return inject && inject_has_victim(inject) ? inject_release_victim(inject, err)
						   : 0;
}

static int process_arm(struct uprobes *u, struct probe_process *p,
	struct utrace_task *task, struct error *err)
{
	bool at_exec = utrace_task_is_stopped(task);
	struct error why = {0};

	probe_process_hold(p);
	int r = uprobe_space_create(&u->session, task, &p->space, err);
	if (r >= 0 && at_exec && uprobe_space_inject(p->space))
		r = uprobe_run_to_entry(p->space, err);
	/* threads that load and unload libraries wait there meanwhile */
	if (r >= 0)
		r = process_watch_loader(p, err);
	p->is_arming = true;
	if (r >= 0)
		r = probe_sync(u, p, err);
	p->is_arming = false;
	int released = process_release(p, &why);
	if (r >= 0 && released < 0) {
		*err = why;
		r = released;
	}
	if (p->is_dead && r >= 0)
		r = error_set(err, -ESRCH, "process %d has ended", p->pid);
	probe_process_drop(u, p);
	return r;
}

static int watch_all(struct uprobes *u, pid_t pid)
{
	int r = -ESRCH;

	for (struct utrace_task *t = utrace_first_task(u->utrace, pid); t;
		t = utrace_next_task(t, pid)) {
		int one = probe_watch(u, t, NULL);
		r = one >= 0 ? 0 : r; /* else it has died meanwhile */
	}
	return r;
}

static bool has_work(const void *uprobes, pid_t pid)
{
	const struct uprobes *u = uprobes;

	for (size_t i = 0; i < u->work.count; i++)
		if (u->work.items[i].pid == pid)
			return true;
	return false;
}

int uprobes_add_process(struct uprobes *u, pid_t pid, struct utrace_error *caller_err)
{
	struct error own = {0}, *err = caller_err ? caller_err : &own;

	if (u->callbacks)
		return error_set(err, -EAGAIN, "a process cannot be added in a callback");
	if (probe_process_find(u, pid))
		return 0;
	int r = 0;
	if (!utrace_first_task(u->utrace, pid))
		r = uprobe_seize(u->utrace, pid, err);
	if (r < 0)
		return r;
	struct probe_process *p = probe_process_new(u, pid);
	if (watch_all(u, pid) < 0) {
		probe_process_delete(u, pid);
		return error_set(err, -ESRCH,
			"process %d ended while it was being attached to", pid);
	}
	u->is_settling = true;
	r = process_arm(u, p, utrace_first_task(u->utrace, pid), err);
	if (r == -ESRCH)
		r = uprobe_await_exec(u->utrace, pid, has_work, u, err);
	u->is_settling = false;
	if (r < 0) {
		struct error ignored = {0};
		if (probe_process_find(u, pid) &&
			uprobes_remove_process(u, pid, &ignored) < 0)
			probes_warn(u, pid, "%s", ignored.message);
	}
	probes_settle(u);
	return r;
}

int uprobes_remove_process(struct uprobes *u, pid_t pid, struct utrace_error *err)
{
	struct probe_process *p = probe_process_find(u, pid);
	struct error why = {0};
	uint64_t left = 0;
	int r = 0;

	if (!p)
		return error_set(err, -ESRCH, "process %d is not probed", pid);
	if (u->callbacks)
		return error_set(
			err, -EAGAIN, "a process cannot be removed in a callback");
	probe_process_hold(p);
	if (p->space) {
		struct uprobe_space *space = p->space;
		r = uprobe_space_remove(space, &left, &why);
		p->space = NULL;
	}
	for (struct utrace_task *t = utrace_first_task(u->utrace, pid); t;
		t = utrace_next_task(t, pid))
		probe_unwatch(t);
	probe_process_drop(u, p);
	probe_process_delete(u, pid);
	if (r >= 0 && left)
		probes_warn(u, pid, "process %d keeps %llu bytes of probe code: %s", pid,
			(unsigned long long)left, why.message);
	if (r < 0 && r != -ESRCH)
		return error_set(err, r, "%s", why.message);
	return 0;
}

/* ---- what callbacks have left to do ---- */

/* What was brought in before an exec was told of is in the way of what has to be done at a program's beginning. */
static int process_begin_anew(
	struct uprobes *u, struct probe_process *p, struct error *err)
{
	uint64_t left;

	probe_process_hold(p);
	int r = p->space ? uprobe_space_remove(p->space, &left, err) : 0;
	p->space = NULL;
	p->loader = 0;
	p->live.count = 0;
	probe_process_drop(u, p);
	return r;
}

static void work_exec(struct uprobes *u, const struct probe_work *work)
{
	struct probe_process *p = probe_process_find(u, work->pid);
	struct utrace_task *task = utrace_find_task(u->utrace, work->pid);
	struct error err = {0};

	if (!task || !p)
		return;
	int r = u->stopping ? 0 : process_begin_anew(u, p, &err);
	p = probe_process_find(u, work->pid);
	task = utrace_find_task(u->utrace, work->pid);
	if (!u->stopping && r >= 0 && task && p)
		r = process_arm(u, p, task, &err);
	if (r < 0 && r != -ESRCH)
		probes_warn(u, work->pid, "cannot probe process %d after its exec: %s",
			work->pid, err.message);
	task = utrace_find_task(u->utrace, work->pid);
	if (task)
		probe_resume(task);
}

static void work_loader(struct uprobes *u, const struct probe_work *work)
{
	struct probe_process *p = probe_process_find(u, work->pid);
	struct utrace_task *task = utrace_find_task(u->utrace, work->tid);
	struct error err = {0};

	if (task && p && p->space && !u->stopping) {
		probe_process_hold(p);
		int r = probe_sync(u, p, &err);
		if (r < 0 && r != -ESRCH)
			probes_warn(u, work->pid,
				"cannot probe a library in process %d: %s", work->pid,
				err.message);
		r = process_release(p, &err);
		probe_process_drop(u, p);
		task = r == -ESRCH ? NULL : utrace_find_task(u->utrace, work->tid);
	}
	if (task)
		probe_resume(task);
}

static void sync_all(struct uprobes *u)
{
	VEC(pid_t) pids = {0};

	/* the table changes meanwhile */
	for (struct probe_process *p = u->processes; p; p = p->next)
		vec_append(&pids, p->pid);
	for (size_t i = 0; i < pids.count; i++) {
		struct probe_process *p = probe_process_find(u, pids.items[i]);
		struct error err = {0};
		if (!p || p->shares_parent)
			continue;
		probe_process_hold(p);
		int r = probe_sync(u, p, &err);
		if (r < 0 && r != -ESRCH)
			probes_warn(u, p->pid,
				"cannot change the probes of process %d: %s", p->pid,
				err.message);
		probe_process_drop(u, p);
	}
	vec_free(&pids);
}

void probes_settle(struct uprobes *u)
{
	if (u->callbacks || u->is_settling)
		return;
	u->is_settling = true;
	while (u->work.count || u->dirty) {
		if (u->dirty) {
			u->dirty = false;
			sync_all(u);
			continue;
		}
		/* more may be added meanwhile */
		struct probe_work work = u->work.items[0];
		memmove(u->work.items, u->work.items + 1, --u->work.count * sizeof(work));
		if (work.kind == PROBE_WORK_EXEC)
			work_exec(u, &work);
		else
			work_loader(u, &work);
	}
	probe_free_contexts(u);
	u->is_settling = false;
}

/* Threads on their way out of our code are looked at ten times a second, and at the next event after that. */
static void settle_signals(struct uprobes *u)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (u->callbacks || u->is_settling || ms - u->settled_ms < SETTLE_MS)
		return;
	u->settled_ms = ms;
	for (struct probe_process *p = u->processes, *next; p; p = next) {
		probe_process_hold(p);
		if (p->space)
			uprobe_defer_settle(p->space);
		if (p->space)
			uprobe_look_for_filter(p->space);
		next = p->next;
		probe_process_drop(u, p);
	}
}

int uprobes_dispatch(struct uprobes *u, struct utrace_error *err)
{
	int r = utrace_dispatch(u->utrace, err);

	settle_signals(u);
	probes_settle(u); /* also of what came while threads were stopped */
	return r;
}
