/* SPDX-License-Identifier: MIT */
/* The tracer object and its table of tasks. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "utrace/internal.h"

/* ---- tasks -------------------------------------------------------------------------------------- */

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
	task->exit_signal = SIGCHLD;
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
	if (utrace_lookup(task->utrace, task->tid) == task)
		HASH_DEL(task->utrace->tasks, task);
	task->state = TASK_DEAD;
	task->is_reaped = true;
	utrace_engines_drop(task);
	utrace_task_unref(task);
}

struct utrace_task *utrace_lookup(struct utrace *utrace, pid_t tid)
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

struct utrace_task *utrace_first(struct utrace *utrace, pid_t pid)
{
	return skip_others(utrace->tasks, pid);
}

struct utrace_task *utrace_next(struct utrace_task *task, pid_t pid)
{
	return skip_others(task->hh.next, pid);
}

struct utrace_task *utrace_find_task(struct utrace *utrace, pid_t tid)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_lookup(utrace, tid);
	utrace_unlock(utrace);
	return task;
}

struct utrace_task *utrace_first_task(struct utrace *utrace, pid_t pid)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_first(utrace, pid);
	utrace_unlock(utrace);
	return task;
}

struct utrace_task *utrace_next_task(struct utrace_task *task, pid_t pid)
{
	struct utrace *utrace = task->utrace;
	utrace_lock(utrace);
	struct utrace_task *next = utrace_next(task, pid);
	utrace_unlock(utrace);
	return next;
}

pid_t utrace_task_tid(const struct utrace_task *task)
{
	utrace_lock(task->utrace);
	pid_t tid = task->tid;
	utrace_unlock(task->utrace);
	return tid;
}

pid_t utrace_task_pid(const struct utrace_task *task)
{
	utrace_lock(task->utrace);
	pid_t pid = task->pid;
	utrace_unlock(task->utrace);
	return pid;
}

bool utrace_task_is_stopped(const struct utrace_task *task)
{
	utrace_lock(task->utrace);
	bool is_stopped = task->state == TASK_STOPPED;
	utrace_unlock(task->utrace);
	return is_stopped;
}

bool utrace_task_in_group_stop(const struct utrace_task *task)
{
	utrace_lock(task->utrace);
	bool is_stopped = task->group_stopped;
	utrace_unlock(task->utrace);
	return is_stopped;
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
	struct utrace *utrace = task->utrace;
	utrace_lock(utrace);
	task->held = false;
	utrace_settle(task);
	utrace_unlock(utrace);
	return 0;
}

/* ---- the tracer --------------------------------------------------------------------------------- */

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

/* ---- SIGCHLD ------------------------------------------------------------------------------------ */

/*
 * The kernel tells of stops by SIGCHLD, to the process: not if the program ignores it or has set
 * SA_NOCLDSTOP, and to one tracer only if several threads of the program trace.  So both are taken back
 * while there is a tracer, and the one that has read the signal wakes the others.
 */
static struct {
	pthread_mutex_t lock;
	struct utrace *tracers;
	struct sigaction before;
	bool is_changed;
} family = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hear_of_stops(void)
{
	struct sigaction now;
	family.is_changed = false;
	if (sigaction(SIGCHLD, NULL, &family.before) < 0)
		return;
	now = family.before;
	if (now.sa_handler == SIG_IGN) {
		now.sa_handler = SIG_DFL;
		now.sa_flags |= SA_NOCLDWAIT; /* no zombies, as before */
	}
	now.sa_flags &= ~SA_NOCLDSTOP;
	family.is_changed = now.sa_handler != family.before.sa_handler ||
			    now.sa_flags != family.before.sa_flags;
	if (family.is_changed)
		sigaction(SIGCHLD, &now, NULL);
}

static void join_family(struct utrace *utrace)
{
	pthread_mutex_lock(&family.lock);
	if (!family.tracers)
		hear_of_stops();
	utrace->ignored = ignored_signals();
	if (family.is_changed && family.before.sa_handler == SIG_IGN)
		utrace->ignored |= 1ull << (SIGCHLD - 1);
	LL_PREPEND2(family.tracers, utrace, sibling);
	pthread_mutex_unlock(&family.lock);
}

static void leave_family(struct utrace *utrace)
{
	pthread_mutex_lock(&family.lock);
	LL_DELETE2(family.tracers, utrace, sibling);
	if (!family.tracers && family.is_changed)
		sigaction(SIGCHLD, &family.before, NULL);
	pthread_mutex_unlock(&family.lock);
}

void utrace_wake_siblings(const struct utrace *utrace)
{
	struct utrace *other;
	pthread_mutex_lock(&family.lock);
	LL_FOREACH2(family.tracers, other, sibling)
	{
		if (other != utrace)
			utrace_wake(other);
	}
	pthread_mutex_unlock(&family.lock);
}

/* ---- creating and destroying -------------------------------------------------------------------- */

static int watch(const struct utrace *utrace, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	if (fd < 0 || epoll_ctl(utrace->fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

static int open_descriptors(struct utrace *utrace)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	utrace->fd = epoll_create1(EPOLL_CLOEXEC);
	if (utrace->fd < 0)
		return -errno;
	utrace->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = watch(utrace, utrace->signal_fd);
	if (r < 0)
		return r;
	utrace->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = watch(utrace, utrace->wake_fd);
	if (r == 0)
		pthread_sigmask(SIG_BLOCK, &set, &utrace->old_mask);
	return r;
}

static void close_descriptors(struct utrace *utrace)
{
	int fds[] = {utrace->fd, utrace->signal_fd, utrace->wake_fd};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	utrace->fd = utrace->signal_fd = utrace->wake_fd = -1;
}

/* What engines that outlive their tracer still need of it is its lock. */
void utrace_unref(struct utrace *utrace)
{
	if (__atomic_sub_fetch(&utrace->references, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_destroy(&utrace->lock);
	free(utrace);
}

int utrace_create_over(
	const struct utrace_backend_ops *backend, struct utrace **ret, struct error *err)
{
	struct utrace *utrace = calloc(1, sizeof(*utrace));
	if (!utrace)
		return error_set(err, -ENOMEM, "out of memory");
	utrace->references = 1;
	utrace->backend = backend;
	utrace->tracer = pthread_self();
	utrace->fd = utrace->signal_fd = utrace->wake_fd = -1;
	pthread_mutex_init(&utrace->lock, NULL);
	int r = open_descriptors(utrace);
	if (r < 0) {
		close_descriptors(utrace);
		utrace_unref(utrace);
		return error_set(err, r, "cannot create a tracer: %s", strerror(-r));
	}
	join_family(utrace);
	*ret = utrace;
	return 0;
}

int utrace_create(struct utrace **ret, struct error *err)
{
	int r = proc_check_own(err);
	return r < 0 ? r : utrace_create_over(&utrace_ptrace_backend, ret, err);
}

void utrace_destroy(struct utrace *utrace)
{
	struct utrace_task *task, *next;
	if (!utrace)
		return;
	utrace_detach_process(utrace, 0);
	utrace_lock(utrace);
	/* Tasks that would not stop in time (uninterruptible, in vfork): the kernel lets them go,
	 * undisturbed, when this thread ends. */
	HASH_ITER(hh, utrace->tasks, task, next)
	utrace_task_remove(task);
	for (size_t i = 0; i < utrace->work.count; i++)
		utrace_task_unref(utrace->work.items[i]);
	vec_free(&utrace->work);
	vec_free(&utrace->deferred);
	vec_free(&utrace->round.tids);
	leave_family(utrace);
	close_descriptors(utrace);
	utrace_unlock(utrace);
	pthread_sigmask(SIG_SETMASK, &utrace->old_mask, NULL);
	utrace_unref(utrace);
}

int utrace_fd(const struct utrace *utrace)
{
	return utrace->fd;
}

void utrace_on_new_task(struct utrace *utrace, utrace_new_task_fn fn, void *data)
{
	utrace->new_task = fn;
	utrace->new_task_data = data;
}

void utrace_on_orphan(struct utrace *utrace, utrace_orphan_fn fn, void *data)
{
	utrace->orphan = fn;
	utrace->orphan_data = data;
}
