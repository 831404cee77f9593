/* SPDX-License-Identifier: MIT */
/* Engines: their life, what they want, and what they say about their task from outside of callbacks. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "utrace/internal.h"

/* ---- life cycle --------------------------------------------------------------------------------- */

void utrace_engine_get(struct utrace_engine *engine)
{
	utrace_lock(engine->utrace);
	engine->references++;
	utrace_unlock(engine->utrace);
}

/* The last reference of an engine is never an attachment's while callbacks run, so release() is called
 * in order; it may be long, and call us: no lock. */
static void engine_free(struct utrace_engine *engine)
{
	struct utrace *utrace = engine->utrace;
	utrace_unlock(utrace);
	if (engine->ops->release)
		engine->ops->release(engine->data);
	free(engine);
	utrace_lock(utrace);
	utrace_unref(utrace);
}

static void engine_put(struct utrace_engine *engine)
{
	if (--engine->references == 0)
		engine_free(engine);
}

void utrace_engine_put(struct utrace_engine *engine)
{
	if (!engine)
		return;
	/* The tracer may be gone with the last of its engines: keep it until it is unlocked. */
	struct utrace *utrace = engine->utrace;
	__atomic_fetch_add(&utrace->references, 1, __ATOMIC_RELAXED);
	utrace_lock(utrace);
	engine_put(engine);
	utrace_unlock(utrace);
	utrace_unref(utrace);
}

static void unlink_engine(struct utrace_task *task, struct utrace_engine *engine)
{
	DL_DELETE(task->engines, engine);
	engine->task = NULL;
	engine->detached = true;
	engine->stop = false;
	engine_put(engine);
}

/* The list may change whenever release() is called: begin anew then. */
void utrace_engines_purge(struct utrace_task *task)
{
	struct utrace_engine *engine = task->engines;
	while (engine) {
		if (!engine->detached) {
			engine = engine->next;
			continue;
		}
		unlink_engine(task, engine);
		engine = task->engines;
	}
}

void utrace_engines_drop(struct utrace_task *task)
{
	while (task->engines)
		unlink_engine(task, task->engines);
}

bool utrace_wants_stop(const struct utrace_task *task)
{
	const struct utrace_engine *engine;
	if (task->held)
		return true;
	DL_FOREACH(task->engines, engine)
	{
		if (engine->stop && !engine->detached)
			return true;
	}
	return false;
}

bool utrace_is_wanted(const struct utrace_task *task, unsigned long events)
{
	const struct utrace_engine *engine;
	DL_FOREACH(task->engines, engine)
	{
		if (!engine->detached && engine->events & events)
			return true;
	}
	return false;
}

/* ---- attaching ---------------------------------------------------------------------------------- */

static struct utrace_engine *find_engine(const struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, const void *data)
{
	struct utrace_engine *engine;
	DL_FOREACH(task->engines, engine)
	{
		if (engine->detached)
			continue;
		if (flags & UTRACE_ATTACH_MATCH_OPS && engine->ops != ops)
			continue;
		if (flags & UTRACE_ATTACH_MATCH_DATA && engine->data != data)
			continue;
		return engine;
	}
	return NULL;
}

static struct utrace_engine *create_engine(
	struct utrace_task *task, const struct utrace_engine_ops *ops, void *data)
{
	struct utrace *utrace = task->utrace;
	struct utrace_engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return NULL;
	__atomic_fetch_add(&utrace->references, 1, __ATOMIC_RELAXED);
	engine->utrace = utrace;
	engine->task = task;
	engine->ops = ops;
	engine->data = data;
	engine->references = 2; /* the caller's and the attachment's */
	engine->attached_at = utrace->reports;
	DL_APPEND(task->engines, engine);
	return engine;
}

/* A flag of a later version would ask for something that is not done here. */
static bool flags_are_known(int flags)
{
	return !(flags & ~(UTRACE_ATTACH_MATCH_OPS | UTRACE_ATTACH_MATCH_DATA |
				 UTRACE_ATTACH_CREATE | UTRACE_ATTACH_EXCLUSIVE));
}

static int attach(struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret)
{
	struct utrace_engine *engine;
	if (!(flags & UTRACE_ATTACH_CREATE)) {
		engine = find_engine(task, flags, ops, data);
		if (!engine)
			return -ENOENT;
		engine->references++;
		*ret = engine;
		return 0;
	}
	if (!ops)
		return -EINVAL;
	/* Gone for good; while its death is being reported it is a zombie to which one can attach. */
	if (task->detaching ||
		(task->state == TASK_DEAD && (!task->reporting || task->is_reaped)))
		return -ESRCH;
	if (flags & UTRACE_ATTACH_EXCLUSIVE && find_engine(task, flags, ops, data))
		return -EEXIST;
	engine = create_engine(task, ops, data);
	if (!engine)
		return -ENOMEM;
	*ret = engine;
	return 0;
}

int utrace_attach_task(struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret)
{
	struct utrace *utrace = task->utrace;
	if (!flags_are_known(flags))
		return -EINVAL;
	utrace_lock(utrace);
	int r = attach(task, flags, ops, data, ret);
	utrace_unlock(utrace);
	return r;
}

int utrace_attach_pid(struct utrace *utrace, pid_t tid, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret)
{
	struct proc_status status;
	int r = 0;
	if (!flags_are_known(flags))
		return -EINVAL;
	utrace_lock(utrace);
	struct utrace_task *task = utrace_lookup(utrace, tid);
	if (!task && !(flags & UTRACE_ATTACH_CREATE)) {
		r = utrace->backend->read_status(tid, &status);
		r = r < 0 ? -ESRCH : -ENOENT;
	} else if (!task && !ops) {
		r = -EINVAL;
	} else if (!task) {
		r = utrace_is_tracer(utrace) ? utrace_seize_tid(utrace, tid, NULL)
					     : -EAGAIN;
		task = utrace_lookup(utrace, tid);
	}
	if (r == 0)
		r = task ? attach(task, flags, ops, data, ret) : -ESRCH;
	utrace_unlock(utrace);
	return r;
}

struct utrace_task *utrace_engine_task(const struct utrace_engine *engine)
{
	utrace_lock(engine->utrace);
	struct utrace_task *task = engine->detached ? NULL : engine->task;
	utrace_unlock(engine->utrace);
	return task;
}

void *utrace_engine_data(const struct utrace_engine *engine)
{
	return engine->data;
}

/* ---- events ------------------------------------------------------------------------------------- */

static bool is_attached(
	const struct utrace_engine *engine, const struct utrace_task *task)
{
	return !engine->detached && engine->task == task;
}

/* A callback of this engine runs, and the caller is not in it. */
static bool is_running_elsewhere(const struct utrace_engine *engine)
{
	const struct utrace *utrace = engine->utrace;
	return engine->running &&
	       (!utrace_is_tracer(utrace) || utrace->current != engine->task);
}

static int set_events(
	struct utrace_task *task, struct utrace_engine *engine, unsigned long events)
{
	if (!is_attached(engine, task))
		return -ESRCH;
	unsigned long cleared = engine->events & ~events,
		      changed = engine->events ^ events;
	if (task->state == TASK_DEAD && changed & UTRACE_DEATH_EVENTS)
		return -EALREADY;
	if (task->is_reaped && cleared & UTRACE_EVENT(REAP))
		return -EALREADY;
	engine->events = events;
	/* It runs without stopping at system calls: have it stop once. */
	if (events & UTRACE_EVENT_SYSCALL && !task->call_traced && !task->filtered &&
		task->state == TASK_RUNNING)
		utrace_kick(task);
	return cleared && is_running_elsewhere(engine) ? -EINPROGRESS : 0;
}

int utrace_set_events(
	struct utrace_task *task, struct utrace_engine *engine, unsigned long events)
{
	utrace_lock(engine->utrace);
	int r = set_events(task, engine, events);
	utrace_unlock(engine->utrace);
	return r;
}

/* ---- control ------------------------------------------------------------------------------------ */

static int stop_task(struct utrace_task *task, struct utrace_engine *engine)
{
	engine->stop = true;
	if (task->state == TASK_STOPPED && !task->reporting && !task->deferred)
		return 0;
	if (task->state == TASK_LISTENING && utrace_is_tracer(task->utrace)) {
		utrace_hold_listening(task);
		if (task->state == TASK_STOPPED)
			return 0;
	}
	/* So that the engine is asked once more before the task goes on. */
	if (task->resume > UTRACE_REPORT)
		task->resume = UTRACE_REPORT;
	utrace_kick(task);
	return -EINPROGRESS;
}

static int detach_engine(struct utrace_task *task, struct utrace_engine *engine)
{
	bool is_running = engine->running > 0;
	engine->detached = true;
	engine->stop = false;
	task->held = false;
	if (!task->reporting)
		unlink_engine(task, engine);
	utrace_settle(task);
	return is_running ? -EINPROGRESS : 0;
}

static int control(struct utrace_task *task, struct utrace_engine *engine,
	enum utrace_resume_action action)
{
	if ((unsigned)action >= UTRACE_RESUME_MAX)
		return -EINVAL;
	if (!is_attached(engine, task))
		return -ESRCH;
	if (task->state == TASK_DEAD)
		return action == UTRACE_DETACH && !task->is_reaped ? -EALREADY : -ESRCH;
	if (action == UTRACE_DETACH)
		return detach_engine(task, engine);
	if (action == UTRACE_STOP)
		return stop_task(task, engine);
	bool reports = action == UTRACE_REPORT || action == UTRACE_SINGLESTEP ||
		       action == UTRACE_BLOCKSTEP;
	if (reports && !(engine->events & UTRACE_EVENT(QUIESCE)))
		return -EINVAL;
	engine->stop = false;
	task->held = false;
	if (action < task->resume)
		task->resume = action;
	/* One that is stopped by job control stays so, and reports when it goes on. */
	if (action == UTRACE_INTERRUPT && task->state == TASK_RUNNING)
		utrace_kick(task);
	else if (action == UTRACE_REPORT)
		utrace_nudge(task);
	utrace_settle(task);
	return 0;
}

/* The task may go away in here, and the engine with it. */
int utrace_control(struct utrace_task *task, struct utrace_engine *engine,
	enum utrace_resume_action action)
{
	struct utrace *utrace = engine->utrace;
	utrace_lock(utrace);
	engine->references++;
	int r = control(task, engine, action);
	utrace_unlock(utrace);
	utrace_engine_put(engine);
	return r;
}

/* ---- barrier ------------------------------------------------------------------------------------ */

static int look_at_barrier(const struct utrace_engine *engine)
{
	const struct utrace *utrace = engine->utrace;
	bool is_tracer = utrace_is_tracer(utrace);
	if (!engine->task)
		return -ESRCH;
	if (!engine->running && engine->detached)
		/* listed still, to be unlinked when the report is over; nothing is called any more */
		return is_tracer ? -ESRCH : -EAGAIN;
	if (!engine->running)
		return 0;
	if (!is_tracer)
		return -EAGAIN;
	/* What runs is below us on the stack, and what it returns takes effect when it has returned. */
	return utrace->current == engine->task ? 0 : -EDEADLK;
}

/* Looked at in steps, as the kernel does: callbacks are short, and a signal has to end the wait. */
int utrace_barrier(struct utrace_task *task, struct utrace_engine *engine)
{
	const struct timespec tick = {.tv_nsec = 1000000};
	(void)task; /* may be stale */
	for (;;) {
		utrace_lock(engine->utrace);
		int r = look_at_barrier(engine);
		utrace_unlock(engine->utrace);
		if (r != -EAGAIN)
			return r;
		if (nanosleep(&tick, NULL) < 0 && errno == EINTR)
			return -EINTR;
	}
}

/* ---- by tid ------------------------------------------------------------------------------------- */

int utrace_set_events_pid(struct utrace *utrace, pid_t tid, struct utrace_engine *engine,
	unsigned long events)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_lookup(utrace, tid);
	int r = task ? set_events(task, engine, events) : -ESRCH;
	utrace_unlock(utrace);
	return r;
}

int utrace_control_pid(struct utrace *utrace, pid_t tid, struct utrace_engine *engine,
	enum utrace_resume_action action)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_lookup(utrace, tid);
	engine->references++;
	int r = task ? control(task, engine, action) : -ESRCH;
	utrace_unlock(utrace);
	utrace_engine_put(engine);
	return r;
}

int utrace_barrier_pid(struct utrace *utrace, pid_t tid, struct utrace_engine *engine)
{
	utrace_lock(utrace);
	struct utrace_task *task = utrace_lookup(utrace, tid);
	utrace_unlock(utrace);
	return task ? utrace_barrier(task, engine) : -ESRCH;
}
