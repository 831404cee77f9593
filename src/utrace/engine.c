/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "utrace/internal.h"

/* ---- life cycle
 * --------------------------------------------------------------------------------- */

void utrace_engine_get(struct utrace_engine *engine)
{
	engine->references++;
}

void utrace_engine_put(struct utrace_engine *engine)
{
	if (!engine || --engine->references)
		return;
	if (engine->ops->release)
		engine->ops->release(engine->data);
	free(engine);
}

static void unlink_engine(struct utrace_task *task, struct utrace_engine *engine)
{
	DL_DELETE(task->engines, engine);
	engine->task = NULL;
	engine->detached = true;
	utrace_engine_put(engine);
}

void utrace_engines_purge(struct utrace_task *task)
{
	struct utrace_engine *engine, *next;
	DL_FOREACH_SAFE(task->engines, engine, next)
	{
		engine->fresh = false;
		if (engine->detached)
			unlink_engine(task, engine);
	}
}

void utrace_engines_drop(struct utrace_task *task)
{
	struct utrace_engine *engine, *next;
	DL_FOREACH_SAFE(task->engines, engine, next)
	unlink_engine(task, engine);
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

int utrace_attach_task(struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret)
{
	struct utrace_engine *engine;
	if (!(flags & UTRACE_ATTACH_CREATE)) {
		engine = find_engine(task, flags, ops, data);
		if (!engine)
			return -ENOENT;
		utrace_engine_get(engine);
		*ret = engine;
		return 0;
	}
	if (!ops)
		return -EINVAL;
	if (task->state == TASK_DEAD)
		return -ESRCH;
	if (flags & UTRACE_ATTACH_EXCLUSIVE && find_engine(task, flags, ops, data))
		return -EEXIST;
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return -ENOMEM;
	engine->task = task;
	engine->ops = ops;
	engine->data = data;
	engine->references = 2; /* the caller's and the attachment's */
	engine->fresh = task->reporting > 0;
	DL_APPEND(task->engines, engine);
	*ret = engine;
	return 0;
}

struct utrace_task *utrace_engine_task(const struct utrace_engine *engine)
{
	return engine->detached ? NULL : engine->task;
}

void *utrace_engine_data(const struct utrace_engine *engine)
{
	return engine->data;
}

/* ---- control
 * ------------------------------------------------------------------------------------ */

int utrace_set_events(
	struct utrace_task *task, struct utrace_engine *engine, unsigned long events)
{
	if (engine->detached || engine->task != task)
		return -ESRCH;
	unsigned long death = UTRACE_EVENT(DEATH) | UTRACE_EVENT(QUIESCE);
	if (task->state == TASK_DEAD) {
		unsigned long changed = engine->events ^ events;
		if (changed & death || engine->events & ~events & UTRACE_EVENT(REAP))
			return -EALREADY;
	}
	engine->events = events;
	return 0;
}

static int stop_task(struct utrace_task *task, struct utrace_engine *engine)
{
	engine->stop = true;
	if (task->state == TASK_STOPPED)
		return 0;
	utrace_kick(task);
	return -EINPROGRESS;
}

static int detach_engine(struct utrace_task *task, struct utrace_engine *engine)
{
	engine->detached = true;
	engine->stop = false;
	task->held = false;
	if (task->reporting)
		return engine->fresh ? 0 : -EINPROGRESS;
	unlink_engine(task, engine);
	utrace_settle(task);
	return 0;
}

int utrace_control(struct utrace_task *task, struct utrace_engine *engine,
	enum utrace_resume_action action)
{
	if ((unsigned)action >= UTRACE_RESUME_MAX)
		return -EINVAL;
	if (engine->detached || engine->task != task)
		return -ESRCH;
	if (action == UTRACE_DETACH && task->state != TASK_DEAD)
		return detach_engine(task, engine);
	if (task->state == TASK_DEAD)
		return action == UTRACE_DETACH ? -EALREADY : -ESRCH;
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
	if (action == UTRACE_INTERRUPT)
		utrace_kick(task);
	utrace_settle(task);
	return 0;
}

/* Callbacks run on this thread: one that is running is below us on the stack, and what it
 * returns takes effect when it has returned, so there is nothing to wait for. */
int utrace_barrier(struct utrace_task *task, struct utrace_engine *engine)
{
	return engine->detached || engine->task != task ? -ESRCH : 0;
}
