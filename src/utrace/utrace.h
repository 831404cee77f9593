/* SPDX-License-Identifier: MIT */
/*
 * The utrace engine core: many tracing engines on one thread, over one PTRACE_SEIZE per thread.
 * First cut with the names and shapes of the kernel's utrace API (2.6.33-35): tasks, engines, event
 * masks, callbacks, resume actions.  One tracer thread; callbacks run in utrace_dispatch() while the
 * task they name is stopped (except report_death/report_reap) and must not block.
 *
 * REPORT cannot be had from user space without PTRACE_INTERRUPT; here UTRACE_REPORT waits for the
 * task's next natural stop, UTRACE_INTERRUPT and UTRACE_STOP stop it now (transparently restarting
 * the calls that the kernel would end with EINTR: see utrace_repair_interrupted_syscall()).
 * utrace_control(UTRACE_STOP) of a running task gives -EINPROGRESS: utrace_wait_stopped() waits.
 *
 * A task pointer is valid until report_reap() of the task's engines has returned.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"
#include "ptrace/ptrace.h"

enum utrace_resume_action {
	UTRACE_STOP,
	UTRACE_INTERRUPT,
	UTRACE_REPORT,
	UTRACE_SINGLESTEP,
	UTRACE_BLOCKSTEP,
	UTRACE_RESUME,
	UTRACE_DETACH,
	UTRACE_RESUME_MAX
};
#define UTRACE_RESUME_MASK 0x07u

enum utrace_signal_action {
	UTRACE_SIGNAL_DELIVER = 0x00,
	UTRACE_SIGNAL_IGN = 0x10,
	UTRACE_SIGNAL_TERM = 0x20,
	UTRACE_SIGNAL_CORE = 0x30,
	UTRACE_SIGNAL_STOP = 0x40,
	UTRACE_SIGNAL_TSTP = 0x50,
	UTRACE_SIGNAL_REPORT = 0x60,
	UTRACE_SIGNAL_HANDLER = 0x70
};
#define UTRACE_SIGNAL_MASK 0xf0u

enum utrace_events {
	_UTRACE_EVENT_QUIESCE,
	_UTRACE_EVENT_REAP,
	_UTRACE_EVENT_CLONE,
	_UTRACE_EVENT_EXEC,
	_UTRACE_EVENT_EXIT,
	_UTRACE_EVENT_DEATH,
	_UTRACE_EVENT_SYSCALL_ENTRY,
	_UTRACE_EVENT_SYSCALL_EXIT,
	_UTRACE_EVENT_SIGNAL,
	_UTRACE_EVENT_SIGNAL_IGN,
	_UTRACE_EVENT_SIGNAL_STOP,
	_UTRACE_EVENT_SIGNAL_TERM,
	_UTRACE_EVENT_SIGNAL_CORE,
	_UTRACE_EVENT_JCTL,
	_UTRACE_NEVENTS
};
#define UTRACE_EVENT(type) (1u << _UTRACE_EVENT_##type)
#define UTRACE_EVENT_SIGNAL_ALL                                                        \
	(UTRACE_EVENT(SIGNAL) | UTRACE_EVENT(SIGNAL_IGN) | UTRACE_EVENT(SIGNAL_STOP) | \
		UTRACE_EVENT(SIGNAL_TERM) | UTRACE_EVENT(SIGNAL_CORE))

enum utrace_attach_flags {
	UTRACE_ATTACH_MATCH_OPS = 0x0001,
	UTRACE_ATTACH_MATCH_DATA = 0x0002,
	UTRACE_ATTACH_CREATE = 0x0010,
	UTRACE_ATTACH_EXCLUSIVE = 0x0020
};

struct utrace;      /* the tracer: all tasks */
struct utrace_task; /* one thread */
struct utrace_engine;

struct utrace_engine_ops {
	uint32_t (*report_quiesce)(
		uint32_t action, struct utrace_engine *engine, unsigned long event);
	/* regs: of the stopped task; changes are written back when *regs differ after the callback */
	uint32_t (*report_signal)(uint32_t action, struct utrace_engine *engine,
		struct user_regs_struct *regs, siginfo_t *info);
	/* child is stopped before its first user instruction; shares_mm: CLONE_VM (thread or vfork) */
	uint32_t (*report_clone)(uint32_t action, struct utrace_engine *engine,
		unsigned long clone_flags, struct utrace_task *child);
	uint32_t (*report_jctl)(
		uint32_t action, struct utrace_engine *engine, int type, int notify);
	uint32_t (*report_exec)(
		uint32_t action, struct utrace_engine *engine, pid_t former_tid);
	uint32_t (*report_exit)(uint32_t action, struct utrace_engine *engine,
		long orig_code, long *code);
	uint32_t (*report_death)(
		struct utrace_engine *engine, bool group_dead, int signal);
	void (*report_reap)(struct utrace_engine *engine, struct utrace_task *task);
	void (*release)(void *data);
};

/* ---- the tracer ---------------------------------------------------------------------------------- */

must_check int utrace_create(struct utrace **ret, struct error *err);
void utrace_destroy(struct utrace *utrace); /* detaches everything */
/** an epoll-able fd (signalfd of SIGCHLD, which utrace_create blocks): readable -> utrace_dispatch() */
int utrace_fd(const struct utrace *utrace);
/** handle all statuses that wait now; callbacks run inside; 0 or negative errno */
must_check int utrace_dispatch(struct utrace *utrace, struct error *err);
/** block until `task` is stopped (running the callbacks of everything that happens meanwhile) or gone
 * (-ESRCH), at most timeout_ms (-ETIMEDOUT) */
must_check int utrace_wait_stopped(
	struct utrace_task *task, int timeout_ms, struct error *err);

/**
 * utrace_seize_process() - seize all threads of a process, without stopping any
 * Loops over /proc/PID/task to a fixpoint; new threads, forks, vforks and execs arrive by themselves.
 * Errors carry one clear sentence: no such process, other uid, Yama, already traced (by whom), zombie.
 */
must_check int utrace_seize_process(struct utrace *utrace, pid_t pid, struct error *err);
/**
 * utrace_launch() - start a command, held at its exec (before its dynamic linker runs)
 * @argv: NULL-terminated; PATH is searched.  The child gets default signal dispositions/mask back.
 * Return: 0 and the stopped leader task; -ENOENT/-EACCES with text when it cannot be run.
 */
must_check int utrace_launch(struct utrace *utrace, char *const argv[],
	struct utrace_task **ret, struct error *err);

/** called for every task that appears by itself (clone, fork) before callbacks of its creator run, so
 * that a tracer can attach engines; NULL: none */
typedef void (*utrace_new_task_fn)(struct utrace_task *task, struct utrace_task *parent,
	unsigned long clone_flags, void *data);
void utrace_on_new_task(struct utrace *utrace, utrace_new_task_fn fn, void *data);

struct utrace_task *utrace_find_task(struct utrace *utrace, pid_t tid);
struct utrace_task *utrace_first_task(
	struct utrace *utrace, pid_t pid); /* of a process; 0: of all */
struct utrace_task *utrace_next_task(struct utrace_task *task, pid_t pid);

pid_t utrace_task_tid(const struct utrace_task *task);
pid_t utrace_task_pid(const struct utrace_task *task);
bool utrace_task_is_stopped(const struct utrace_task *task);
/** true while stopped by job control (SIGSTOP): do not resume it, only examine */
bool utrace_task_in_group_stop(const struct utrace_task *task);
struct utrace *utrace_task_tracer(const struct utrace_task *task);
/** raw wait status, valid in report_death() */
int utrace_task_status(const struct utrace_task *task);
/** let a launched program run that no engine ever held; control(RESUME) and (DETACH) do so too */
must_check int utrace_task_release(struct utrace_task *task);

/* ---- engines ----------------------------------------------------------------------------------------- */

/** Return: 0 and an engine with a reference; -ENOENT, -EEXIST, -ESRCH, -EINVAL as the kernel's */
must_check int utrace_attach_task(struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret);
void utrace_engine_get(struct utrace_engine *engine);
void utrace_engine_put(struct utrace_engine *engine);
struct utrace_task *utrace_engine_task(
	const struct utrace_engine *engine); /* NULL when gone */
void *utrace_engine_data(const struct utrace_engine *engine);
must_check int utrace_set_events(
	struct utrace_task *task, struct utrace_engine *engine, unsigned long events);
must_check int utrace_control(struct utrace_task *task, struct utrace_engine *engine,
	enum utrace_resume_action action);
must_check int utrace_barrier(struct utrace_task *task, struct utrace_engine *engine);

/** registers of a stopped task */
must_check int utrace_get_regs(struct utrace_task *task, struct user_regs_struct *ret);
must_check int utrace_set_regs(
	struct utrace_task *task, const struct user_regs_struct *regs);

/**
 * utrace_repair_interrupted_syscall() - after PTRACE_INTERRUPT: when the interruption made a call
 * return -EINTR that would not have (epoll_wait, semtimedop, sigtimedwait, recv with a timeout, ...),
 * rewind so that it is issued again.  Done by the core at every stop it caused; exposed for inject/.
 */
bool utrace_repair_interrupted_syscall(struct user_regs_struct *regs);

/* ---- for inject/: driving a held task by hand -------------------------------------------------------
 * utrace_task_run() resumes a stopped task and waits for its next stop; engines hear nothing of it,
 * and the caller puts the registers back.  Its death (also the exit-stop) is left for the next
 * utrace_dispatch() and gives -ESRCH.
 */
enum utrace_run {
	UTRACE_RUN_SYSCALL,   /* to the next syscall-entry or -exit-stop */
	UTRACE_RUN_INTERRUPT, /* to an event-stop before the next user instruction */
};
must_check int utrace_task_run(
	struct utrace_task *task, enum utrace_run how, struct ptrace_event *ret);
/** the signal a task in signal-delivery-stop would be resumed with is forgotten */
void utrace_drop_signal(struct utrace_task *task);
/** the kind of stop of a stopped task */
enum ptrace_stop utrace_task_stop(const struct utrace_task *task);
/** let a task run now, even from inside one of its callbacks; the calling engine holds it no more */
must_check int utrace_task_go(struct utrace_task *task, struct utrace_engine *engine);

/** detach every task of a process (0: of all), leaving stopped-by-job-control ones stopped */
void utrace_detach_process(struct utrace *utrace, pid_t pid);
