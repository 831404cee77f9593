/* SPDX-License-Identifier: MIT */
/*
 * What the files of utrace/ share: tasks, engines and the few steps between them.
 *
 * Every function here is called with utrace->lock held, except where it says otherwise; those of
 * utrace/utrace.h take it themselves.  It is released around callbacks.  ptrace requests are the tracer
 * thread's only: others leave work for it (utrace_queue()).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <utlist.h>

#include "base/error.h"
#include "utrace/backend.h"
#include "utrace/orphan.h"
#include "utrace/run.h"
#include "utrace/utrace.h"

enum task_state {
	TASK_RUNNING,
	TASK_STOPPED, /* in a ptrace-stop that we have seen */
	TASK_LISTENING, /* in group-stop, PTRACE_LISTEN: the process looks stopped to everybody */
	TASK_EXITING, /* resumed from its exit-stop: nothing but its death can follow */
	TASK_DEAD,
};

struct utrace_engine {
	struct utrace_engine *prev, *next;
	struct utrace *utrace;    /* with a reference */
	struct utrace_task *task; /* NULL once unlinked */
	const struct utrace_engine_ops *ops;
	void *data;
	unsigned long events;
	unsigned references;
	unsigned running; /* callbacks of this engine that run now: they may dispatch */
	uint64_t
		attached_at; /* the last report begun then: it and older ones are not for this engine */
	bool stop;     /* holds the task stopped */
	bool detached; /* unlinked when no report runs any more */
};

/* An interrupted call that was rewound: if a handler runs before the call is issued again, the program
 * must see EINTR after all. */
struct rewound_call {
	bool active;
	uint64_t rip, number;
};

/* The system call that the task is in, between its entry- and its exit-stop. */
struct traced_call {
	bool inside;
	bool is_known; /* number and arch are those of its entry */
	bool abort;
	bool held;      /* engines held it in its entry-stop */
	bool disturbed; /* our interruption came before: it may end with EINTR at once */
	uint32_t arch;
	long number;
};

/* A signal that is on its way to the task by our hand, with what shall become of it. */
struct sent_signal {
	bool active;
	uint32_t action;
	siginfo_t info;
};

/* Registers that callbacks see and change in one pass. */
struct pass_regs {
	struct user_regs_struct now, written;
	struct pass_regs *outer;
};

struct utrace_task {
	UT_hash_handle hh;
	struct utrace *utrace;
	pid_t tid, pid;
	unsigned references;
	enum task_state state;
	struct ptrace_event stop;         /* the last one */
	uint64_t stops;                   /* how many there were */
	int signal;                       /* delivered when resumed */
	enum utrace_resume_action resume; /* strongest request for the next resumption */
	unsigned reporting;               /* depth of reports that run */
	bool interrupting; /* PTRACE_INTERRUPT sent since it was set in motion */
	bool was_interrupting; /* before this stop: it may be the end of a call that was interrupted */
	bool kick_due;   /* to be sent by the tracer thread */
	bool embryo;     /* its creator's clone event has not been seen */
	pid_t born_to;   /* of an embryo: the parent process when it was first seen */
	int64_t born_at; /* utrace_now_ms() then */
	bool held;       /* launched, and nobody has let it run */
	bool group_stopped;
	bool deferred;    /* its stop waits in utrace->deferred to be reported */
	bool queued;      /* in utrace->work */
	bool filtered;    /* launched with a seccomp filter: only the wanted calls stop */
	bool call_traced; /* was resumed so that it stops at system calls */
	bool direction_known; /* whether the syscall-stop that it is in is an entry- or an exit-stop */
	bool alternates; /* if its next stop is a syscall-stop, it is the other of the two */
	bool stepping;     /* was resumed for one step */
	bool step_goes_on; /* that step has led into the kernel */
	bool step_over;    /* the step is the system call it is in */
	bool signal_due;   /* the signal of this stop is to be reported (again) */
	bool act_first;    /* the signal acts before the task can be held */
	bool is_killed;    /* by SIGKILL: nothing holds it any more */
	bool is_reaped;    /* report_reap() has begun */
	bool detaching;
	bool is_left; /* to be let go by the kernel */
	bool is_returned; /* into a call, by utrace_task_return_to_call(); until its exit-stop */
	int exit_signal;   /* what its parent gets */
	siginfo_t info;    /* the signal of this stop, also after it was dropped */
	bool in_delivery;  /* the kernel delivers task->signal when it is resumed */
	bool info_changed; /* the kernel has another one */
	bool parked; /* dropped for the length of a stop: shown again in its reports */
	struct sent_signal sent;
	struct rewound_call rewound;
	struct traced_call call;
	struct pass_regs *regs; /* in a pass that shows registers */
	struct utrace_engine *engines;
};

/* Asking each task for a stop, once in a while (dispatch.c). */
struct utrace_round {
	size_t stops; /* since the last one */
	size_t busy;  /* rounds since the kernel had nothing to offer */
	size_t next;
	bool with_exits; /* are they asked for, too */
	VEC(pid_t) tids;
};

struct utrace {
	unsigned references; /* the owner's and the engines'; atomic */
	pthread_mutex_t lock;
	pthread_t tracer;
	const struct utrace_backend_ops *backend;
	struct utrace_task *tasks;
	struct utrace_task
		*current; /* whose callback runs innermost on the tracer thread */
	uint64_t reports; /* begun so far */
	int fd, signal_fd, wake_fd; /* fd: epoll over the others */
	atomic_bool is_woken;       /* wake_fd is readable */
	struct utrace *sibling;     /* of the tracers in this program */
	sigset_t old_mask;
	uint64_t
		ignored; /* signals that the program ignored when the tracer was created */
	utrace_new_task_fn new_task;
	void *new_task_data;
	utrace_orphan_fn orphan;
	void *orphan_data;
	struct ptrace_event peeked; /* being dealt with, and not taken yet; tid 0: none */
	pid_t served;               /* whose stop was dealt with last in this dispatch */
	struct utrace_round round;
	int64_t orphans_due; /* when to look for some, 0: no need */
	VEC(struct ptrace_event) deferred;
	VEC(struct utrace_task *) work; /* with references */
};

static inline void utrace_lock(struct utrace *utrace)
{
	pthread_mutex_lock(&utrace->lock);
}

static inline void utrace_unlock(struct utrace *utrace)
{
	pthread_mutex_unlock(&utrace->lock);
}

static inline bool utrace_is_tracer(const struct utrace *utrace)
{
	return pthread_equal(utrace->tracer, pthread_self());
}

/* task.c */
must_check int utrace_create_over(const struct utrace_backend_ops *backend,
	struct utrace **ret, struct error *err); /* no lock */
void utrace_unref(struct utrace *utrace);        /* no lock */
void utrace_wake_siblings(
	const struct utrace *utrace); /* a SIGCHLD may have been theirs */
struct utrace_task *utrace_task_create(struct utrace *utrace, pid_t tid, pid_t pid);
void utrace_task_remove(struct utrace_task *task); /* out of the table, engines let go */
void utrace_task_unref(struct utrace_task *task);
struct utrace_task *utrace_lookup(struct utrace *utrace, pid_t tid);
struct utrace_task *utrace_first(struct utrace *utrace, pid_t pid);
struct utrace_task *utrace_next(struct utrace_task *task, pid_t pid);

/* dispatch.c */
void utrace_wake(struct utrace *utrace); /* makes utrace_fd() readable; no lock needed */
void utrace_queue(struct utrace_task *task);
void utrace_defer(struct utrace_task *task, const struct ptrace_event *event);
void utrace_dispatch_locked(struct utrace *utrace);
/** set a stopped task in motion */
int utrace_move(struct utrace_task *task, enum utrace_motion how, int signal);
/** one slice of waiting for statuses; false when the deadline is over; no lock */
bool utrace_wait_for_events(struct utrace *utrace, int64_t deadline_ms);
int64_t utrace_now_ms(void);

/* seize.c */
must_check int utrace_seize_tid(struct utrace *utrace, pid_t tid, struct error *err);

/* engine.c */
void utrace_engines_purge(struct utrace_task *task); /* unlink the detached ones */
void utrace_engines_drop(struct utrace_task *task);  /* unlink all */
bool utrace_wants_stop(const struct utrace_task *task);
bool utrace_is_wanted(const struct utrace_task *task, unsigned long events);

/* resume.c */
void utrace_resume(struct utrace_task *task);
/** resume unless a report runs or is due, an engine holds it, or it runs already */
void utrace_settle(struct utrace_task *task);
void utrace_kick(struct utrace_task *task); /* PTRACE_INTERRUPT, once */
/** PTRACE_INTERRUPT if it runs user code: nothing is disturbed then */
void utrace_nudge(struct utrace_task *task);
void utrace_detach_stopped(struct utrace_task *task);
/** out of PTRACE_LISTEN, so that it stays when SIGCONT comes */
void utrace_hold_listening(struct utrace_task *task);
must_check int utrace_run_locked(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret);

/* restart.c */
void utrace_rewind_after_interrupt(struct utrace_task *task);
void utrace_rewind_ignored_signal(
	struct utrace_task *task, struct user_regs_struct *regs);
void utrace_unwind_for_handler(struct utrace_task *task, struct user_regs_struct *regs);

/* state.c */
must_check int utrace_pass_regs_begin(struct utrace_task *task, struct pass_regs *regs);
void utrace_pass_regs_flush(struct utrace_task *task);
void utrace_pass_regs_reread(struct utrace_task *task);
void utrace_pass_regs_end(struct utrace_task *task, struct pass_regs *regs);
must_check int utrace_regs_get(struct utrace_task *task, struct user_regs_struct *ret);
must_check int utrace_regs_set(
	struct utrace_task *task, const struct user_regs_struct *regs);

/* ---- reports (report.c) ------------------------------------------------------------------------- */

struct report {
	struct utrace_task *task;
	struct utrace_task *outer; /* utrace->current before */
	unsigned long event;       /* bit; 0: about to return to user mode */
	uint64_t number;
	uint32_t action;        /* smallest resume action so far */
	uint32_t resume_action; /* the same without UTRACE_STOP */
	bool by_hand; /* who holds the task goes on to, whatever the answer: it is being driven */
	bool is_last; /* before user mode: to ask for one more every time would be for ever */
};

void utrace_report_begin(
	struct report *report, struct utrace_task *task, unsigned long event);
/** what was answered becomes the task's; @will_stop: a UTRACE_STOP holds it right here, otherwise at
 * the boundary to user mode, after one more pass */
void utrace_report_end(struct report *report, bool will_stop);
bool utrace_report_reaches(
	const struct report *report, const struct utrace_engine *engine);
/** Before and after a callback; the second takes its answer. */
void utrace_call_begin(struct report *report, struct utrace_engine *engine);
void utrace_call_end(
	struct report *report, struct utrace_engine *engine, uint32_t answer);
/** Is the engine to be called for this event?  Asks its report_quiesce() first. */
bool utrace_report_prepare(struct report *report, struct utrace_engine *engine);

void utrace_handle_stop(struct utrace *utrace, const struct ptrace_event *event);
void utrace_handle_exit(struct utrace_task *task, const struct ptrace_event *event);
/** a pass that is due before the stopped task goes on: true if there is one */
bool utrace_is_pass_due(const struct utrace_task *task);
void utrace_make_pass(struct utrace_task *task);

/* signal.c */
void utrace_handle_signal(struct utrace_task *task);
enum boundary_pass {
	PASS_QUIESCE, /* report_quiesce(0) */
	PASS_REPORT,  /* report_signal(UTRACE_SIGNAL_REPORT) */
	PASS_HANDLER,
};
void utrace_boundary_pass(struct utrace_task *task, enum boundary_pass kind);
void utrace_hold_signal(
	struct utrace_task *task); /* leaves its stop: have it come again */
void utrace_report_step(struct utrace_task *task); /* a step that ended without a trap */

/* force.c */
void utrace_force_default(struct utrace_task *task, int signal);

/* syscall.c */
void utrace_handle_syscall(struct utrace_task *task);
void utrace_handle_seccomp(struct utrace_task *task);
void utrace_repeat_entry(struct utrace_task *task);
bool utrace_is_at_entry(const struct utrace_task *task);
void utrace_apply_abort(struct utrace_task *task);
/** in the exit-stop of the exec that it is driven from (run.c); -ESRCH: it is there no more */
must_check int utrace_report_end_of_exec(struct utrace_task *task);
must_check int utrace_fill_syscall(struct utrace_task *task,
	const struct user_regs_struct *regs, struct utrace_syscall *ret);

/* clone.c */
void utrace_handle_clone(struct utrace_task *parent);
void utrace_add_embryo(struct utrace *utrace, const struct ptrace_event *event);
void utrace_adopt_orphans(struct utrace *utrace);

/* filter.c */
/** in the child, before exec; negative errno */
must_check int utrace_install_filter(const long *calls, size_t count);

#define UTRACE_DEATH_EVENTS (UTRACE_EVENT(DEATH) | UTRACE_EVENT(QUIESCE))
