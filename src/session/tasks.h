/* SPDX-License-Identifier: MIT */
/*
 * What the threads of the targets report, and what follows from it at once.
 *
 * Engine callbacks run while utrace_dispatch() is on the stack, so they only note what happened and leave the
 * task stopped where work has to follow; session_targets_work() does it from the loop.
 */
#pragma once

#include "session/process.h"

enum target_work_kind {
	TARGET_WORK_EXEC,
	TARGET_WORK_LOADER
};

struct target_work {
	enum target_work_kind kind;
	pid_t pid, tid;
};

/* A report that a thread was asked for, for timer.profile. */
struct target_sample {
	pid_t tid;
	uint32_t site;
	uint64_t asked_ns;
};

/* A thread as its context has it: by the numbers of its own namespace. */
struct target_thread {
	pid_t pid, tid; /* the tracer's numbers; pid 0: not known any more */
	pid_t seen_pid, seen_tid;
	bool is_exiting; /* not dead yet, but done with the program */
};

struct session_target_state {
	VEC(struct target_thread) elsewhere; /* those in other namespaces */
	VEC(struct target_work) work;
	VEC(struct target_sample) samples;
	VEC(struct target_thread)
	dead_threads; /* contexts to free once their rings are read */
};

/** session_task_watch() - have an engine of ours on a task, which has come or was there */
must_check int session_task_watch(struct session *s, struct utrace_task *task);
/** session_task_new() - for utrace_on_new_task() */
void session_task_new(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data);
/** session_task_resume() - what a callback left stopped goes on */
void session_task_resume(struct utrace_task *task);
/** session_tasks_free_contexts() - of threads that are gone, once everything they said has been read */
void session_tasks_free_contexts(struct session *s);
