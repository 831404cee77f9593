/* SPDX-License-Identifier: MIT */
/* The tracer object: the table of tasks, seizing, the loop that collects statuses,
 * letting go. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "utrace/internal.h"

enum {
	MAX_EVENTS_PER_DISPATCH =
		4096, /* a fork storm must not starve the caller's other fds */
	DETACH_TIMEOUT_MS = 2000,
	POLL_SLICE_MS = 100, /* another thread of ours may have swallowed a SIGCHLD */
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* ---- tasks
 * --------------------------------------------------------------------------------------
 */

struct utrace_task *utrace_task_create(struct utrace *utrace, pid_t tid, pid_t pid)
{
	struct utrace_task *task = calloc(1, sizeof(*task));
	if (!task)
		abort();
	task->utrace = utrace;
	task->tid = tid;
	task->pid = pid;
	task->references = 1;
	task->resume = UTRACE_RESUME;
	HASH_ADD(hh, utrace->tasks, tid, sizeof(task->tid), task);
	return task;
}

void utrace_task_unref(struct utrace_task *task)
{
	if (--task->references == 0)
		free(task);
}

void utrace_task_remove(struct utrace_task *task)
{
	struct utrace_task *found;
	HASH_FIND(hh, task->utrace->tasks, &task->tid, sizeof(task->tid), found);
	if (found == task)
		HASH_DEL(task->utrace->tasks, task);
	task->state = TASK_DEAD;
	utrace_engines_drop(task);
	utrace_task_unref(task);
}

struct utrace_task *utrace_find_task(struct utrace *utrace, pid_t tid)
{
	struct utrace_task *task;
	HASH_FIND(hh, utrace->tasks, &tid, sizeof(tid), task);
	return task;
}

static struct utrace_task *skip_others(struct utrace_task *task, pid_t pid)
{
	while (task && pid && task->pid != pid)
		task = task->hh.next;
	return task;
}

struct utrace_task *utrace_first_task(struct utrace *utrace, pid_t pid)
{
	return skip_others(utrace->tasks, pid);
}

struct utrace_task *utrace_next_task(struct utrace_task *task, pid_t pid)
{
	return skip_others(task->hh.next, pid);
}

pid_t utrace_task_tid(const struct utrace_task *task)
{
	return task->tid;
}

pid_t utrace_task_pid(const struct utrace_task *task)
{
	return task->pid;
}

bool utrace_task_is_stopped(const struct utrace_task *task)
{
	return task->state == TASK_STOPPED;
}

bool utrace_task_in_group_stop(const struct utrace_task *task)
{
	return task->group_stopped;
}

struct utrace *utrace_task_tracer(const struct utrace_task *task)
{
	return task->utrace;
}

int utrace_task_status(const struct utrace_task *task)
{
	return task->stop.status;
}

int utrace_task_release(struct utrace_task *task)
{
	task->held = false;
	utrace_settle(task);
	return 0;
}

int utrace_get_regs(struct utrace_task *task, struct user_regs_struct *ret)
{
	return task->state == TASK_STOPPED ? ptrace_get_regs(task->tid, ret) : -ESRCH;
}

int utrace_set_regs(struct utrace_task *task, const struct user_regs_struct *regs)
{
	return task->state == TASK_STOPPED ? ptrace_set_regs(task->tid, regs) : -ESRCH;
}

/* ---- the tracer
 * ----------------------------------------------------------------------------------- */

static uint64_t ignored_signals(void)
{
	uint64_t ignored = 0;
	for (int signal = 1; signal <= 64; signal++) {
		struct sigaction action;
		if (sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			ignored |= 1ull << (signal - 1);
	}
	return ignored;
}

int utrace_create(struct utrace **ret, struct error *err)
{
	sigset_t set;
	struct utrace *utrace = calloc(1, sizeof(*utrace));
	if (!utrace)
		return error_set(err, -ENOMEM, "out of memory");
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	utrace->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (utrace->signal_fd < 0) {
		int code = -errno;
		free(utrace);
		return error_set(
			err, code, "cannot create a signalfd: %s", strerror(-code));
	}
	pthread_sigmask(SIG_BLOCK, &set, &utrace->old_mask);
	utrace->ignored = ignored_signals();
	*ret = utrace;
	return 0;
}

void utrace_destroy(struct utrace *utrace)
{
	struct utrace_task *task, *next;
	if (!utrace)
		return;
	utrace_detach_process(utrace, 0);
	/* Tasks that would not stop in time (uninterruptible, in vfork): the kernel lets
	 * them go, undisturbed, when this thread ends. */
	HASH_ITER(hh, utrace->tasks, task, next)
	utrace_task_remove(task);
	close(utrace->signal_fd);
	pthread_sigmask(SIG_SETMASK, &utrace->old_mask, NULL);
	vec_free(&utrace->deferred);
	free(utrace);
}

int utrace_fd(const struct utrace *utrace)
{
	return utrace->signal_fd;
}

void utrace_on_new_task(struct utrace *utrace, utrace_new_task_fn fn, void *data)
{
	utrace->new_task = fn;
	utrace->new_task_data = data;
}

/* ---- dispatch
 * ---------------------------------------------------------------------------------------
 */

static void handle_event(struct utrace *utrace, const struct ptrace_event *event)
{
	bool exit =
		event->stop == PTRACE_STOP_EXITED || event->stop == PTRACE_STOP_KILLED;
	struct utrace_task *task = utrace_find_task(utrace, event->tid);
	if (!exit)
		utrace_handle_stop(utrace, event);
	else if (task)
		utrace_handle_exit(task, event);
}

static bool take_deferred(struct utrace *utrace)
{
	if (!utrace->deferred.count)
		return false;
	struct ptrace_event event = utrace->deferred.items[0];
	utrace->deferred.count--;
	memmove(utrace->deferred.items, utrace->deferred.items + 1,
		utrace->deferred.count * sizeof(event));
	handle_event(utrace, &event);
	return true;
}

static bool take_stop(struct utrace *utrace)
{
	struct ptrace_event event;
	if (ptrace_wait_stop(&event) <= 0)
		return false;
	handle_event(utrace, &event);
	return true;
}

static bool reap(struct utrace *utrace, pid_t tid)
{
	struct ptrace_event event;
	if (ptrace_wait(tid, false, &event) <= 0)
		return false;
	handle_event(utrace, &event);
	return true;
}

/* The kernel offers one exit at a time.  When that is a child of ours that nobody traces
 * (its owner will reap it), every task has to be asked. */
static bool take_exit(struct utrace *utrace)
{
	pid_t tid;
	struct proc_status status;
	if (ptrace_peek_exit(&tid) <= 0)
		return false;
	if (utrace_find_task(utrace, tid))
		return reap(utrace, tid);
	if (proc_read_status(tid, &status, NULL) == 0 && status.tracer == gettid())
		return reap(
			utrace, tid); /* a new task, killed before it was ever reported */
	struct utrace_task *task, *next;
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if (reap(utrace, task->tid))
			return true; /* callbacks may have changed the table */
	}
	return false;
}

int utrace_dispatch(struct utrace *utrace, struct error *err)
{
	struct signalfd_siginfo info;
	while (read(utrace->signal_fd, &info, sizeof(info)) > 0)
		;
	for (int i = 0; i < MAX_EVENTS_PER_DISPATCH; i++) {
		bool some =
			take_deferred(utrace) || take_stop(utrace) || take_exit(utrace);
		if (!some)
			return 0;
	}
	raise(SIGCHLD); /* blocked: the fd stays readable */
	return 0;
}

static int wait_for_events(struct utrace *utrace, int64_t deadline)
{
	int64_t left = deadline - now_ms();
	if (left <= 0)
		return -ETIMEDOUT;
	struct pollfd fd = {.fd = utrace->signal_fd, .events = POLLIN};
	if (poll(&fd, 1, left < POLL_SLICE_MS ? (int)left : POLL_SLICE_MS) < 0 &&
		errno != EINTR)
		return -errno;
	return 0;
}

int utrace_wait_stopped(struct utrace_task *task, int timeout_ms, struct error *err)
{
	struct utrace *utrace = task->utrace;
	int64_t deadline = now_ms() + timeout_ms;
	pid_t tid = task->tid;
	task->references++;
	int r = 0;
	while (task->state != TASK_STOPPED || task->deferred) {
		/* This one first: others may stop so often that its turn never comes. */
		if (!task->deferred && reap(utrace, tid))
			continue;
		r = utrace_dispatch(utrace, err);
		if (r < 0)
			break;
		if (task->state == TASK_DEAD || task->state == TASK_EXITING) {
			r = error_set(err, -ESRCH, "thread %d has exited", tid);
			break;
		}
		if (task->state == TASK_STOPPED && !task->deferred)
			break;
		r = wait_for_events(utrace, deadline);
		if (r < 0) {
			error_set(err, r, "thread %d does not stop", tid);
			break;
		}
	}
	utrace_task_unref(task);
	return r;
}

/* ---- seizing
 * ----------------------------------------------------------------------------------------
 */

/* The workers of io_uring and vhost are listed as threads but are the kernel's. */
static bool is_kernel_worker(pid_t tid)
{
	const uint32_t io_worker = 0x10,
		       user_worker = 0x4000; /* PF_IO_WORKER, PF_USER_WORKER */
	struct proc_stat stat;
	return proc_read_stat(tid, &stat) == 0 && stat.flags & (io_worker | user_worker);
}

static bool is_ours(pid_t tid)
{
	struct proc_status status;
	return proc_read_status(tid, &status, NULL) == 0 && status.tracer == gettid();
}

static bool is_zombie(pid_t tid)
{
	struct proc_status status;
	return proc_read_status(tid, &status, NULL) < 0 || status.state == 'Z' ||
	       status.state == 'X';
}

/* One thread; 1: seized, 0: needs nothing. */
static int seize_thread(struct utrace *utrace, pid_t pid, pid_t tid, struct error *err)
{
	struct error reason = {0};
	int r = ptrace_seize(tid, UTRACE_PTRACE_OPTIONS, &reason);
	if (r == 0) {
		utrace_task_create(utrace, tid, pid);
		return 1;
	}
	/* gone; or attached by the kernel when a seized thread created it; a leader that
	 * exited before its threads cannot be seized and needs not be */
	if (r == -ESRCH || is_ours(tid) || is_kernel_worker(tid) || is_zombie(tid)) {
		if (err && !err->code)
			*err = reason;
		return 0;
	}
	if (err)
		*err = reason;
	return r;
}

static int seize_pass(struct utrace *utrace, pid_t pid, struct error *err)
{
	struct proc_tids list;
	int r = proc_list_tasks(pid, &list, err);
	if (r < 0)
		return r;
	int count = 0;
	for (size_t i = 0; i < list.tids.count; i++) {
		if (utrace_find_task(utrace, list.tids.items[i]))
			continue;
		r = seize_thread(utrace, pid, list.tids.items[i], err);
		if (r < 0)
			break;
		count += r;
	}
	vec_free(&list.tids);
	return r < 0 ? r : count;
}

static int check_process(pid_t pid, struct error *err)
{
	struct proc_status status;
	int r = pid > 0 ? proc_read_status(pid, &status, NULL) : -ESRCH;
	if (r < 0)
		return error_set(err, -ESRCH, "no such process: %d", pid);
	if (status.tgid == pid)
		return 0;
	error_set(err, -ESRCH, "%d is a thread of process %d (%s)", pid, status.tgid,
		status.name);
	error_hint(err, "use %d", status.tgid);
	return -ESRCH;
}

int utrace_seize_process(struct utrace *utrace, pid_t pid, struct error *err)
{
	struct error reason = {0};
	int r = check_process(pid, err);
	if (r < 0)
		return r;
	do
		r = seize_pass(utrace, pid, &reason);
	while (r > 0);
	if (r == 0 && utrace_first_task(utrace, pid))
		return 0;
	if (r < 0)
		utrace_detach_process(utrace, pid);
	if (err)
		*err = reason;
	return reason.code ? reason.code
			   : error_set(err, -ESRCH, "process %d has exited", pid);
}

/* ---- letting go
 * ---------------------------------------------------------------------------------------
 */

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
}

/* A leader that has exited before its threads can be neither let go nor reaped until they have. */
static bool is_waiting_leader(const struct utrace_task *task)
{
	struct proc_tids list;
	if (task->state != TASK_EXITING || task->tid != task->pid ||
		proc_list_tasks(task->pid, &list, NULL) < 0)
		return false;
	bool has_others = list.tids.count > 1;
	vec_free(&list.tids);
	return has_others;
}

/* Is anything left to wait for?  Exiting ones are: we have to reap them. */
static bool detach_some(struct utrace *utrace, pid_t pid)
{
	struct utrace_task *task, *next;
	bool left = false;
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if (pid && task->pid != pid)
			continue;
		if (!task->detaching)
			begin_detach(task);
		if (task->state == TASK_STOPPED)
			utrace_settle(task);
		else
			utrace_kick(task);
	}
	HASH_ITER(hh, utrace->tasks, task, next)
	{
		if ((!pid || task->pid == pid) && !task->reporting &&
			!is_waiting_leader(task))
			left = true;
	}
	return left;
}

void utrace_detach_process(struct utrace *utrace, pid_t pid)
{
	int64_t deadline = now_ms() + DETACH_TIMEOUT_MS;
	while (detach_some(utrace, pid)) {
		if (utrace_dispatch(utrace, NULL) < 0)
			break;
		if (!detach_some(utrace, pid) || wait_for_events(utrace, deadline) < 0)
			break;
	}
}
