/* SPDX-License-Identifier: MIT */
/*
 * The loop that collects statuses.  utrace_fd() becomes readable by SIGCHLD, or because something was
 * left to be done by the tracer: by another thread, or for the next time around.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "utrace/internal.h"

enum {
	/* a fork storm must not starve the caller's other fds */
	MAX_EVENTS_PER_DISPATCH = 4096,
	/* stops between two rounds over all tasks, at least: a round of few would cost more than it gives */
	MIN_STOPS_PER_ROUND = 64,
	/* one after the other, until tasks are looked for that nobody has told of */
	BUSY_ROUNDS = 1000,
	/* another thread of ours may have swallowed a SIGCHLD */
	POLL_SLICE_MS = 100,
	STARVED_ROUNDS = 15, /* of waiting for a thread that could run, but does not */
};

int64_t utrace_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* ---- what is left to be done -------------------------------------------------------------------- */

void utrace_wake(struct utrace *utrace)
{
	const uint64_t one = 1;
	/* It can fail only when it is full, which is readable too.  In this order, so that what is written is
	 * read some time. */
	(void)!write(utrace->wake_fd, &one, sizeof(one));
	utrace->is_woken = true;
}

void utrace_queue(struct utrace_task *task)
{
	struct utrace *utrace = task->utrace;
	if (task->queued)
		return;
	task->queued = true;
	task->references++;
	vec_append(&utrace->work, task);
	utrace_wake(utrace);
}

void utrace_defer(struct utrace_task *task, const struct ptrace_event *event)
{
	vec_append(&task->utrace->deferred, *event);
	task->deferred = true;
	utrace_wake(task->utrace);
}

static void do_work(struct utrace_task *task)
{
	if (task->kick_due) {
		task->kick_due = false;
		utrace_kick(task);
	}
	if (task->state != TASK_STOPPED || task->reporting || task->deferred ||
		task->embryo || (utrace_wants_stop(task) && !task->act_first))
		return;
	if (!task->act_first && utrace_is_pass_due(task))
		utrace_make_pass(task);
	utrace_settle(task);
}

static bool take_work(struct utrace *utrace)
{
	if (!utrace->work.count)
		return false;
	struct utrace_task *task = utrace->work.items[0];
	utrace->work.count--;
	memmove(utrace->work.items, utrace->work.items + 1,
		utrace->work.count * sizeof(utrace->work.items[0]));
	task->queued = false;
	do_work(task);
	utrace_task_unref(task);
	return true;
}

/* ---- statuses ----------------------------------------------------------------------------------- */

static void handle_event(struct utrace *utrace, const struct ptrace_event *event)
{
	bool exit =
		event->stop == PTRACE_STOP_EXITED || event->stop == PTRACE_STOP_KILLED;
	struct utrace_task *task = utrace_lookup(utrace, event->tid);
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

/*
 * What was peeked at stays stopped, or a callback waits for others: it must not be seen twice.  SIGKILL may
 * have brought the thread from that stop to its exit-stop meanwhile: then it is this one that has been taken,
 * and nobody has seen it yet.
 */
static void take_peeked(struct utrace *utrace)
{
	struct ptrace_event event, peeked = utrace->peeked;
	if (!peeked.tid)
		return;
	utrace->peeked.tid = 0;
	if (utrace->backend->take_stop(peeked.tid, &event) <= 0 ||
		event.status == peeked.status)
		return;
	struct utrace_task *task = utrace_lookup(utrace, event.tid);
	vec_append(&utrace->deferred, event);
	if (task)
		task->deferred = true;
	utrace_wake(utrace);
}

int utrace_move(struct utrace_task *task, enum utrace_motion how, int signal)
{
	struct utrace *utrace = task->utrace;
	if (utrace->peeked.tid == task->tid && how == UTRACE_MOTION_LISTEN)
		take_peeked(utrace);
	task->alternates = false;
	int r = utrace->backend->move(task->tid, how, signal);
	if (r == 0 && utrace->peeked.tid == task->tid)
		utrace->peeked.tid = 0;
	return r;
}

/* The stop is not taken before it has been dealt with: until then a signal is still the kernel's to
 * deliver, should we be killed. */
static void handle_peeked(struct utrace *utrace, const struct ptrace_event *event)
{
	utrace->peeked = *event;
	utrace->served = event->tid;
	/* the kernel refuses requests to a task whose exec changed its tid, until that is taken note of */
	if (event->stop == PTRACE_STOP_EXEC)
		take_peeked(utrace);
	handle_event(utrace, event);
	take_peeked(utrace);
}

static bool take_stop(struct utrace *utrace, pid_t tid)
{
	struct ptrace_event event;
	take_peeked(utrace);
	if (utrace->backend->peek_stop(tid, &event) <= 0)
		return false;
	handle_peeked(utrace, &event);
	return true;
}

static bool reap(struct utrace *utrace, pid_t tid)
{
	struct ptrace_event event;
	take_peeked(utrace);
	if (utrace->backend->wait(tid, false, &event) <= 0)
		return false;
	handle_event(utrace, &event);
	return true;
}

/* The kernel offers one exit at a time.  When that is a child of ours that nobody traces (its owner
 * will reap it), every task has to be asked. */
static bool take_exit(struct utrace *utrace)
{
	pid_t tid;
	struct proc_status status;
	if (utrace->backend->peek_exit(&tid) <= 0)
		return false;
	if (utrace_lookup(utrace, tid))
		return reap(utrace, tid);
	if (utrace->backend->read_status(tid, &status) == 0 && status.tracer == gettid())
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

/*
 * A task whose parent was killed before its creation was reported is traced, and nobody knows of it until the
 * kernel offers a status of it, which it does not do while others always come first.
 */
static void add_strangers(struct utrace *utrace)
{
	struct utrace_round *round = &utrace->round;
	struct proc_tids processes, tasks;
	struct proc_status status;
	if (utrace->backend->list_processes(&processes) < 0)
		return;
	for (size_t i = 0; i < processes.tids.count; i++) {
		if (utrace->backend->list_tasks(processes.tids.items[i], &tasks) < 0)
			continue;
		for (size_t j = 0; j < tasks.tids.count; j++) {
			pid_t tid = tasks.tids.items[j];
			if (!utrace_lookup(utrace, tid) &&
				utrace->backend->read_status(tid, &status) == 0 &&
				status.tracer == gettid())
				vec_append(&round->tids, tid);
		}
		vec_free(&tasks.tids);
	}
	vec_free(&processes.tids);
}

static void begin_round(struct utrace *utrace)
{
	struct utrace_round *round = &utrace->round;
	struct utrace_task *task, *next;
	round->stops = round->next = round->tids.count = 0;
	round->with_exits = ++round->busy % BUSY_ROUNDS == 0;
	if (round->with_exits)
		add_strangers(utrace);
	HASH_ITER(hh, utrace->tasks, task, next)
	vec_append(&round->tids, task->tid);
}

/*
 * The kernel offers the same threads first every time: when these stop again before the others have had
 * their turn it never comes.  So after as many stops as there are tasks each task is asked once.  No
 * thread waits for more than two stops of each of the others.
 */
static bool take_from_round(struct utrace *utrace)
{
	struct utrace_round *round = &utrace->round;
	if (round->next == round->tids.count) {
		size_t count = HASH_COUNT(utrace->tasks);
		if (round->stops < MIN_STOPS_PER_ROUND || round->stops < count)
			return false;
		begin_round(utrace);
	}
	while (round->next < round->tids.count) {
		pid_t tid = round->tids.items[round->next++];
		const struct utrace_task *task = utrace_lookup(utrace, tid);
		if ((!task || task->state != TASK_STOPPED) && take_stop(utrace, tid))
			return true;
		if (round->with_exits && reap(utrace, tid))
			return true;
	}
	return false;
}

static bool take_status(struct utrace *utrace)
{
	struct ptrace_event event;
	take_peeked(utrace);
	if (take_from_round(utrace))
		return true;
	if (utrace->backend->peek(false, &event) <= 0) {
		utrace->round.busy = 0;
		return false;
	}
	utrace->round.stops++;
	if (event.tid) {
		handle_peeked(utrace, &event);
		return true;
	}
	/* stops first: the one that tells of a new task, before its end */
	return take_stop(utrace, 0) || take_exit(utrace);
}

/* All that may have happened before the last drain() is done with; for what comes later there will be
 * another SIGCHLD. */
static bool is_all_seen(const struct utrace *utrace)
{
	return HASH_COUNT(utrace->tasks) == 1 && utrace->tasks->state == TASK_RUNNING &&
	       utrace->tasks->tid == utrace->served && !utrace->deferred.count &&
	       !utrace->work.count;
}

static void drain(struct utrace *utrace)
{
	struct signalfd_siginfo info;
	uint64_t count;
	/* SIGCHLD is pending once at most. */
	if (read(utrace->signal_fd, &info, sizeof(info)) > 0)
		utrace_wake_siblings(utrace);
	if (atomic_exchange(&utrace->is_woken, false))
		(void)!read(utrace->wake_fd, &count, sizeof(count));
}

void utrace_dispatch_locked(struct utrace *utrace)
{
	drain(utrace);
	if (utrace->orphans_due && utrace_now_ms() >= utrace->orphans_due) {
		utrace->orphans_due = 0;
		utrace_adopt_orphans(utrace);
	}
	utrace->served = 0;
	for (int i = 0; i < MAX_EVENTS_PER_DISPATCH; i++) {
		bool some =
			take_deferred(utrace) || take_work(utrace) || take_status(utrace);
		if (!some || is_all_seen(utrace))
			return;
	}
	utrace_wake(utrace); /* there may be more */
}

int utrace_dispatch(struct utrace *utrace, struct error *err)
{
	utrace_lock(utrace);
	utrace_dispatch_locked(utrace);
	utrace_unlock(utrace);
	return 0;
}

/* A program that does nothing else can wait in the kernel's own way. */
static int wait_for_one(struct utrace *utrace)
{
	struct ptrace_event event;
	take_peeked(utrace);
	if (utrace->deferred.count || utrace->work.count || utrace->is_woken) {
		utrace_dispatch_locked(utrace);
		return 0;
	}
	if (take_from_round(utrace))
		return 0;
	utrace_unlock(utrace);
	int r = utrace->backend->peek(true, &event);
	utrace_lock(utrace);
	if (r > 0 && event.tid) {
		utrace->round.stops++;
		handle_peeked(utrace, &event);
	} else if (r > 0 && !take_stop(utrace, 0) && !take_exit(utrace)) {
		/* It is a child of ours that nobody traces, and stays: waiting for all ends at once. */
		utrace_unlock(utrace);
		utrace_wait_for_events(utrace, utrace_now_ms() + POLL_SLICE_MS);
		utrace_lock(utrace);
		utrace_dispatch_locked(utrace);
	}
	return r < 0 ? r : 0;
}

int utrace_wait(struct utrace *utrace, struct error *err)
{
	utrace_lock(utrace);
	int r = HASH_COUNT(utrace->tasks) ? wait_for_one(utrace) : -ECHILD;
	utrace_unlock(utrace);
	if (r == -EINTR)
		return error_set(err, r, "interrupted by a signal");
	return r < 0 ? error_set(err, r, "nothing is traced") : 0;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

bool utrace_wait_for_events(struct utrace *utrace, int64_t deadline_ms)
{
	int64_t left = deadline_ms - utrace_now_ms();
	struct pollfd fd = {.fd = utrace->fd, .events = POLLIN};
	if (left <= 0)
		return false;
	/* interrupted or not, the caller looks again */
	(void)!poll(&fd, 1, left < POLL_SLICE_MS ? (int)left : POLL_SLICE_MS);
	return true;
}

static bool is_stopped(const struct utrace_task *task)
{
	return task->state == TASK_STOPPED && !task->deferred && !task->act_first;
}

/* It would stop, had it a processor: on a busy machine that takes as long as it takes. */
static bool is_starved(const struct utrace_task *task)
{
	struct proc_stat stat;
	return task->utrace->backend->read_stat(task->tid, &stat) == 0 &&
	       stat.state == 'R';
}

static int wait_stopped(struct utrace_task *task, int timeout_ms, struct error *err)
{
	struct utrace *utrace = task->utrace;
	int64_t deadline = utrace_now_ms() + timeout_ms;
	int patience = STARVED_ROUNDS;
	pid_t tid = task->tid;
	while (!is_stopped(task)) {
		/* This one first: others may stop so often that its turn never comes. */
		if (!task->deferred && (take_stop(utrace, tid) || reap(utrace, tid)))
			continue;
		utrace_dispatch_locked(utrace);
		if (task->state == TASK_DEAD || task->state == TASK_EXITING)
			return error_set(err, -ESRCH, "thread %d has exited", tid);
		if (is_stopped(task))
			break;
		utrace_unlock(utrace);
		bool in_time = utrace_wait_for_events(utrace, deadline);
		utrace_lock(utrace);
		if (!in_time && is_starved(task) && patience-- > 0)
			deadline = utrace_now_ms() + timeout_ms;
		else if (!in_time)
			return error_set(err, -ETIMEDOUT, "thread %d does not stop", tid);
	}
	return 0;
}

int utrace_wait_stopped(struct utrace_task *task, int timeout_ms, struct error *err)
{
	struct utrace *utrace = task->utrace;
	utrace_lock(utrace);
	task->references++;
	int r = wait_stopped(task, timeout_ms, err);
	utrace_task_unref(task);
	utrace_unlock(utrace);
	return r;
}
