/* SPDX-License-Identifier: MIT */
/* What the files of utrace/ share: tasks, engines and the few steps between them. */
#pragma once

#include <sys/ptrace.h>
#include <uthash.h>
#include <utlist.h>

#include "ptrace/ptrace.h"
#include "utrace/utrace.h"

enum task_state {
	TASK_RUNNING,
	TASK_STOPPED,   /* in a ptrace-stop that we have seen */
	TASK_LISTENING, /* in group-stop, PTRACE_LISTEN: the process looks stopped to
			   everybody */
	TASK_EXITING,   /* resumed from its exit-stop: nothing but its death can follow */
	TASK_DEAD,
};

struct utrace_engine {
	struct utrace_engine *prev, *next;
	struct utrace_task *task; /* NULL once detached */
	const struct utrace_engine_ops *ops;
	void *data;
	unsigned long events;
	unsigned references;
	bool stop;     /* holds the task stopped */
	bool detached; /* unlinked when no report runs any more */
	bool fresh;    /* attached during a report: does not hear that event */
};

/* An interrupted call that was rewound: if a handler runs before the call is issued
 * again, the program must see EINTR after all. */
struct rewound_call {
	bool active;
	uint64_t rip, number;
};

struct utrace_task {
	UT_hash_handle hh;
	struct utrace *utrace;
	pid_t tid, pid;
	unsigned references;
	enum task_state state;
	struct ptrace_event stop;         /* the last one */
	int signal;                       /* delivered when resumed */
	enum utrace_resume_action resume; /* strongest request for the next resumption */
	unsigned reporting;               /* depth of reports that run */
	bool interrupting;                /* PTRACE_INTERRUPT sent, its stop not seen */
	bool embryo; /* its creator's clone event has not been seen */
	bool held;   /* launched, and nobody has let it run */
	bool group_stopped;
	bool deferred; /* its stop waits in utrace->deferred to be reported */
	bool detaching;
	struct rewound_call rewound;
	struct utrace_engine *engines;
};

struct utrace {
	struct utrace_task *tasks;
	int signal_fd;
	sigset_t old_mask;
	uint64_t ignored; /* signals ignored when the tracer was created */
	utrace_new_task_fn new_task;
	void *new_task_data;
	VEC(struct ptrace_event) deferred;
};

#define UTRACE_PTRACE_OPTIONS                                               \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | \
		PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

/* task.c */
struct utrace_task *utrace_task_create(struct utrace *utrace, pid_t tid, pid_t pid);
void utrace_task_remove(struct utrace_task *task); /* out of the table, engines let go */
void utrace_task_unref(struct utrace_task *task);

/* engine.c */
void utrace_engines_purge(struct utrace_task *task); /* unlink the detached ones */
void utrace_engines_drop(struct utrace_task *task);  /* unlink all */
bool utrace_wants_stop(const struct utrace_task *task);

/* resume.c */
void utrace_resume(struct utrace_task *task);
/** resume unless a report runs, an engine holds it, or it runs already */
void utrace_settle(struct utrace_task *task);
void utrace_kick(struct utrace_task *task); /* PTRACE_INTERRUPT, once */
void utrace_detach_stopped(struct utrace_task *task);

/* restart.c */
void utrace_rewind_after_interrupt(struct utrace_task *task);
void utrace_rewind_ignored_signal(
	struct utrace_task *task, struct user_regs_struct *regs);
void utrace_unwind_for_handler(struct utrace_task *task, struct user_regs_struct *regs);

/* report.c */
void utrace_handle_stop(struct utrace *utrace, const struct ptrace_event *event);
void utrace_handle_exit(struct utrace_task *task, const struct ptrace_event *event);
