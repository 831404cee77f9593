/* SPDX-License-Identifier: MIT */
/* Taking hold of running processes, and letting go. */
#include <errno.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "utrace/internal.h"
#include "utrace/options.h"
#include "utrace/run.h"

enum {
	/* without progress */
	DETACH_TIMEOUT_MS = 2000
};

/* ---- seizing ------------------------------------------------------------------------------------ */

/* The workers of io_uring and vhost are listed as threads but are the kernel's. */
static bool is_kernel_worker(const struct utrace *utrace, pid_t tid)
{
	/* PF_IO_WORKER, PF_USER_WORKER */
	const uint32_t io_worker = 0x10, user_worker = 0x4000;
	struct proc_stat stat;
	return utrace->backend->read_stat(tid, &stat) == 0 &&
	       stat.flags & (io_worker | user_worker);
}

static bool is_ours(const struct utrace *utrace, pid_t tid)
{
	struct proc_status status;
	return utrace->backend->read_status(tid, &status) == 0 &&
	       status.tracer == gettid();
}

static bool is_zombie(const struct utrace *utrace, pid_t tid)
{
	struct proc_status status;
	return utrace->backend->read_status(tid, &status) < 0 || status.state == 'Z' ||
	       status.state == 'X';
}

/* It had ended before it was seized, and another process has its tid now: that one is let go as soon as it
 * stops, and no engine hears of it. */
static void let_stranger_go(struct utrace *utrace, pid_t tid)
{
	struct proc_status status;
	bool is_there = utrace->backend->read_status(tid, &status) == 0;
	struct utrace_task *task =
		utrace_task_create(utrace, tid, is_there ? status.tgid : tid);
	task->detaching = true;
	utrace_kick(task);
}

/* One thread; 1: seized, 0: needs nothing. */
static int seize_thread(struct utrace *utrace, pid_t pid, pid_t tid, struct error *err)
{
	struct error reason = {0};
	int r = utrace->backend->seize(tid, UTRACE_PTRACE_OPTIONS, &reason);
	if (r == 0 && !utrace->backend->is_thread(pid, tid)) {
		let_stranger_go(utrace, tid);
		return 0;
	}
	if (r == 0) {
		utrace_task_create(utrace, tid, pid);
		return 1;
	}
	/* gone; or attached by the kernel when a seized thread created it; a leader that exited before
	 * its threads cannot be seized and needs not be */
	bool harmless = r == -ESRCH || is_ours(utrace, tid) ||
			is_kernel_worker(utrace, tid) || is_zombie(utrace, tid);
	if (err && !(harmless && err->code))
		*err = reason;
	return harmless ? 0 : r;
}

static int seize_pass(struct utrace *utrace, pid_t pid, struct error *err)
{
	struct proc_tids list;
	int r = utrace->backend->list_tasks(pid, &list);
	if (r < 0)
		return error_set(err, -ESRCH, "no such process: %d", pid);
	int count = 0;
	for (size_t i = 0; i < list.tids.count; i++) {
		if (utrace_lookup(utrace, list.tids.items[i]))
			continue;
		r = seize_thread(utrace, pid, list.tids.items[i], err);
		if (r < 0)
			break;
		count += r;
	}
	vec_free(&list.tids);
	return r < 0 ? r : count;
}

static int check_process(const struct utrace *utrace, pid_t pid, struct error *err)
{
	struct proc_status status;
	int r = pid > 0 ? utrace->backend->read_status(pid, &status) : -ESRCH;
	if (r < 0)
		return error_set(err, -ESRCH, "no such process: %d", pid);
	if (status.tgid == pid)
		return 0;
	error_set(err, -ESRCH, "%d is a thread of process %d (%s)", pid, status.tgid,
		status.name);
	error_hint(err, "use %d", status.tgid);
	return -ESRCH;
}

/* Threads of ours are counted until we reap them: when there are no others, none has been overlooked, and
 * what these create is ours by itself. */
static bool has_all_threads(const struct utrace *utrace, pid_t pid)
{
	struct proc_stat stat;
	unsigned count = 0;
	for (const struct utrace_task *task = utrace->tasks; task; task = task->hh.next)
		count += task->pid == pid;
	return utrace->backend->read_stat(pid, &stat) == 0 && stat.threads == count;
}

static int seize_process(struct utrace *utrace, pid_t pid, struct error *err)
{
	struct error reason = {0};
	int r = check_process(utrace, pid, err);
	if (r < 0)
		return r;
	do
		r = seize_pass(utrace, pid, &reason);
	while (r > 0 && !has_all_threads(utrace, pid));
	if (r >= 0 && utrace_first(utrace, pid))
		return 0;
	if (err)
		*err = reason;
	if (r < 0)
		return r;
	return reason.code ? reason.code
			   : error_set(err, -ESRCH, "process %d has exited", pid);
}

int utrace_seize_process(struct utrace *utrace, pid_t pid, struct error *err)
{
	utrace_lock(utrace);
	int r = seize_process(utrace, pid, err);
	bool some = r < 0 && utrace_first(utrace, pid);
	utrace_unlock(utrace);
	if (some)
		utrace_detach_process(utrace, pid);
	return r;
}

int utrace_seize_tid(struct utrace *utrace, pid_t tid, struct error *err)
{
	struct proc_status status;
	struct error reason = {0};
	if (utrace_lookup(utrace, tid))
		return 0;
	if (tid <= 0 || utrace->backend->read_status(tid, &status) < 0)
		return error_set(err, -ESRCH, "no such thread: %d", tid);
	int r = seize_thread(utrace, status.tgid, tid, &reason);
	if (r > 0)
		return 0;
	if (err)
		*err = reason;
	if (r < 0)
		return r;
	/* One that is dead already, or about to be known. */
	return reason.code ? reason.code : -ESRCH;
}

int utrace_seize_thread(struct utrace *utrace, pid_t tid, struct error *err)
{
	utrace_lock(utrace);
	int r = utrace_seize_tid(utrace, tid, err);
	utrace_unlock(utrace);
	return r;
}

/* ---- letting go --------------------------------------------------------------------------------- */

static void begin_detach(struct utrace_task *task)
{
	struct utrace_engine *engine;
	task->detaching = true;
	task->held = false;
	task->embryo = false;
	DL_FOREACH(task->engines, engine)
	engine->detached = true;
	if (!task->reporting)
		utrace_engines_purge(task);
	if (task->filtered && task->state != TASK_DEAD)
		kill(task->pid, SIGKILL);
}

/* A leader that has exited before its threads can be neither let go nor reaped until they have. */
static bool is_waiting_leader(const struct utrace_task *task)
{
	struct proc_tids list;
	if (task->state != TASK_EXITING || task->tid != task->pid ||
		task->utrace->backend->list_tasks(task->pid, &list) < 0)
		return false;
	bool has_others = list.tids.count > 1;
	vec_free(&list.tids);
	return has_others;
}

static void let_go(struct utrace_task *task)
{
	if (!task->detaching)
		begin_detach(task);
	if (task->state == TASK_STOPPED)
		utrace_settle(task);
	else
		utrace_kick(task);
}

/* Return: how many are left to wait for.  Exiting ones are: we have to reap them. */
static size_t detach_some(struct utrace *utrace, pid_t pid)
{
	struct utrace_task *task, *next;
	size_t left = 0;
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if ((!pid || task->pid == pid) && !task->is_left)
			let_go(task);
	}
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if ((!pid || task->pid == pid) && !task->reporting && !task->is_left &&
			!is_waiting_leader(task))
			left++;
	}
	return left;
}

void utrace_task_leave(struct utrace_task *task)
{
	utrace_lock(task->utrace);
	task->is_left = true;
	utrace_unlock(task->utrace);
}

void utrace_detach_process(struct utrace *utrace, pid_t pid)
{
	int64_t deadline = utrace_now_ms() + DETACH_TIMEOUT_MS;
	size_t left, before = SIZE_MAX;
	bool in_time = true;
	utrace_lock(utrace);
	while ((left = detach_some(utrace, pid)) && in_time) {
		if (left < before)
			deadline = utrace_now_ms() + DETACH_TIMEOUT_MS;
		before = left;
		utrace_dispatch_locked(utrace);
		if (!detach_some(utrace, pid))
			break;
		utrace_unlock(utrace);
		in_time = utrace_wait_for_events(utrace, deadline);
		utrace_lock(utrace);
	}
	utrace_unlock(utrace);
}
