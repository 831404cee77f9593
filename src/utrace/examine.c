/* SPDX-License-Identifier: MIT */
/*
 * Was a task stopped all the time?  We know of the stops that we end ourselves; SIGKILL ends one behind
 * our back, and the next one, before exit, looks alike.  A thread that ran has left a processor since.
 */
#include <errno.h>

#include "utrace/internal.h"

static int look(struct utrace_task *task, const struct utrace_engine *engine,
	struct utrace_examiner *ret)
{
	struct proc_status status;
	if (engine->detached || engine->task != task || task->state == TASK_DEAD)
		return -ESRCH;
	if (!engine->stop)
		return -EINVAL;
	if (task->state != TASK_STOPPED)
		return -EAGAIN;
	if (task->utrace->backend->read_status(task->tid, &status) < 0)
		return -ESRCH;
	if (status.state != 't' && status.state != 'T')
		return -EAGAIN;
	*ret = (struct utrace_examiner){task->stops, status.switches};
	return 0;
}

int utrace_prepare_examine(struct utrace_task *task, struct utrace_engine *engine,
	struct utrace_examiner *examiner)
{
	utrace_lock(engine->utrace);
	int r = look(task, engine, examiner);
	utrace_unlock(engine->utrace);
	return r;
}

int utrace_finish_examine(struct utrace_task *task, struct utrace_engine *engine,
	struct utrace_examiner *examiner)
{
	struct utrace_examiner now;
	utrace_lock(engine->utrace);
	int r = look(task, engine, &now);
	utrace_unlock(engine->utrace);
	/* what was read is of no use, whatever has become of it */
	if (r == -ESRCH)
		return -EAGAIN;
	if (r == 0 && (now.stop != examiner->stop || now.switches != examiner->switches))
		return -EAGAIN;
	return r;
}
