/* SPDX-License-Identifier: MIT */
/*
 * libutrace: many tracing engines on one thread, in user space.
 *
 * The interface of the kernel's utrace (2.6.33 to 2.6.35), carried by one PTRACE_SEIZE per thread.  An
 * engine is a table of callbacks, a pointer and a set of events, attached to one thread.  Any number of
 * engines share a thread; utrace(3) has the rules by which their wishes are combined, and a table of
 * what differs from the kernel's utrace.
 *
 * Threads.  The thread that calls utrace_create() is the tracer: it calls utrace_dispatch(), and
 * callbacks run in there.  Functions marked "any thread" may be called from other threads of the program
 * as well; all others by the tracer only.  No lock is held while a callback runs.
 *
 * Ownership.  A task pointer is valid until report_reap() of the task's engines has returned, or until
 * the task is let go.  An engine is reference counted and can be used as long as a reference is held,
 * attached or not.  Strings and structures that are passed in are copied, except callback tables and
 * data pointers, which have to stay as long as the engine.
 *
 * Errors are negative errno values.  Functions that take a struct utrace_error put words into it, if it
 * is not NULL.  -ESRCH can come from everything that touches a task: SIGKILL beats every stop.
 *
 * Units: addresses and registers are the traced program's; times are milliseconds; tids are those of
 * the tracer's pid namespace.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>
#include <utrace/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define UTRACE_MUST_CHECK __attribute__((warn_unused_result))

/** The date of the kernel interface that this one follows. */
#define UTRACE_API_VERSION 20091216

struct utrace;      /* a tracer and its tasks */
struct utrace_task; /* one traced thread */
struct utrace_engine;

/* ---- what engines ask for ----------------------------------------------------------------------- */

/**
 * enum utrace_resume_action - what is to become of the thread
 * Returned by callbacks, passed to utrace_control().  The smallest wish of all engines wins.
 */
enum utrace_resume_action {
	UTRACE_STOP,      /* stay stopped until this engine says otherwise */
	UTRACE_INTERRUPT, /* report_signal(UTRACE_SIGNAL_REPORT) soon; wakes system calls */
	UTRACE_REPORT,    /* report_quiesce() before the thread goes on in user mode */
	UTRACE_SINGLESTEP, /* run one instruction */
	UTRACE_BLOCKSTEP, /* run to the next taken branch; without processor support: SINGLESTEP */
	UTRACE_RESUME, /* run */
	UTRACE_DETACH, /* run, and this engine goes away */
	UTRACE_RESUME_MAX
};
#define UTRACE_RESUME_BITS 3u
#define UTRACE_RESUME_MASK 0x07u

/**
 * enum utrace_signal_action - what is to become of a signal
 * In the argument and the return value of report_signal().  Each engine sees and replaces what its
 * predecessor has chosen; the last one wins.
 */
enum utrace_signal_action {
	UTRACE_SIGNAL_DELIVER = 0x00, /* as the program has it */
	UTRACE_SIGNAL_IGN = 0x10,     /* drop it */
	UTRACE_SIGNAL_TERM = 0x20,    /* kill the process with it, whatever its handler */
	UTRACE_SIGNAL_CORE = 0x30,    /* the same, with a core dump */
	UTRACE_SIGNAL_STOP = 0x40,    /* stop the process (job control) */
	UTRACE_SIGNAL_TSTP = 0x50,    /* the same, unless its process group is orphaned */
	UTRACE_SIGNAL_REPORT = 0x60,  /* no signal: somebody asked for this report */
	UTRACE_SIGNAL_HANDLER = 0x70  /* no signal: a handler is about to run */
};
#define UTRACE_SIGNAL_MASK 0xf0u
#define UTRACE_SIGNAL_HOLD 0x100u /* act, and report the same signal again afterwards */

/** enum utrace_syscall_action - in argument and return value of report_syscall_entry() */
enum utrace_syscall_action {
	UTRACE_SYSCALL_RUN = 0x00,
	UTRACE_SYSCALL_ABORT =
		0x10 /* not executed; the result is -ENOSYS unless an engine sets one */
};
#define UTRACE_SYSCALL_MASK 0xf0u
#define UTRACE_SYSCALL_RESUMED \
	0x100u /* argument only: this entry was reported before, and stopped */

static inline enum utrace_resume_action utrace_resume_action(uint32_t action)
{
	return (enum utrace_resume_action)(action & UTRACE_RESUME_MASK);
}

static inline enum utrace_signal_action utrace_signal_action(uint32_t action)
{
	return (enum utrace_signal_action)(action & UTRACE_SIGNAL_MASK);
}

static inline enum utrace_syscall_action utrace_syscall_action(uint32_t action)
{
	return (enum utrace_syscall_action)(action & UTRACE_SYSCALL_MASK);
}

/* ---- events ---------------------------------------------------------------------------------------- */

enum utrace_events {
	UTRACE_EVENT_NR_QUIESCE, /* before every event of the task; and all reports and stops asked for */
	UTRACE_EVENT_NR_REAP,
	UTRACE_EVENT_NR_CLONE, /* a new thread or process */
	UTRACE_EVENT_NR_EXEC,
	UTRACE_EVENT_NR_EXIT,  /* about to exit, everything still there */
	UTRACE_EVENT_NR_DEATH, /* gone */
	UTRACE_EVENT_NR_SYSCALL_ENTRY,
	UTRACE_EVENT_NR_SYSCALL_EXIT,
	UTRACE_EVENT_NR_SIGNAL,      /* a handler will run */
	UTRACE_EVENT_NR_SIGNAL_IGN,  /* ignored */
	UTRACE_EVENT_NR_SIGNAL_STOP, /* stops the process */
	UTRACE_EVENT_NR_SIGNAL_TERM, /* ends it */
	UTRACE_EVENT_NR_SIGNAL_CORE, /* ends it with a core dump */
	UTRACE_EVENT_NR_JCTL,        /* stopped or continued by job control */
	UTRACE_EVENT_NR_MAX
};
#define UTRACE_EVENT(type) (1ul << UTRACE_EVENT_NR_##type)
#define UTRACE_EVENT_SIGNAL_ALL                                                        \
	(UTRACE_EVENT(SIGNAL) | UTRACE_EVENT(SIGNAL_IGN) | UTRACE_EVENT(SIGNAL_STOP) | \
		UTRACE_EVENT(SIGNAL_TERM) | UTRACE_EVENT(SIGNAL_CORE))
#define UTRACE_EVENT_SYSCALL (UTRACE_EVENT(SYSCALL_ENTRY) | UTRACE_EVENT(SYSCALL_EXIT))

/**
 * struct utrace_engine_ops - the callbacks of an engine; any may be NULL
 *
 * Each runs in utrace_dispatch() while the thread it tells of is stopped (report_death() and
 * report_reap(): gone), in the order in which the engines were attached (report_syscall_entry(): the
 * other way round).  It must not wait for something that happens outside: to wait, return UTRACE_STOP
 * and call utrace_control() later.
 *
 * @action holds what the engines before this one have chosen (enum utrace_resume_action, and the
 * event's own bits).  The return value holds this engine's choice.
 * @regs are the thread's; changes are written back.
 */
struct utrace_engine_ops {
	/* @event: the bit of the event that is about to be reported, to whomever; 0: none, the thread is
	 * about to go on in user mode and some engine has asked for this report */
	uint32_t (*report_quiesce)(
		uint32_t action, struct utrace_engine *engine, unsigned long event);
	/* @info may be changed: si_signo and the rest of what is delivered.  In a pass with
	 * UTRACE_SIGNAL_REPORT or _HANDLER there is no signal; an engine may fill in one and return
	 * UTRACE_SIGNAL_DELIVER or another action for it. */
	uint32_t (*report_signal)(uint32_t action, struct utrace_engine *engine,
		struct user_regs_struct *regs, siginfo_t *info);
	/* @child is stopped before its first instruction: engines may be attached to it, and
	 * utrace_control(UTRACE_STOP) keeps it there.  @clone_flags: CLONE_* and the exit signal */
	uint32_t (*report_clone)(uint32_t action, struct utrace_engine *engine,
		unsigned long clone_flags, struct utrace_task *child);
	/* @type: CLD_STOPPED or CLD_CONTINUED; @notify: the same for the last thread that stops and the
	 * first that continues, when the parent is told; else 0 */
	uint32_t (*report_jctl)(
		uint32_t action, struct utrace_engine *engine, int type, int notify);
	/* @former_tid: the caller's tid before it took over the leader's */
	uint32_t (*report_exec)(
		uint32_t action, struct utrace_engine *engine, pid_t former_tid);
	uint32_t (*report_syscall_entry)(uint32_t action, struct utrace_engine *engine,
		struct user_regs_struct *regs);
	uint32_t (*report_syscall_exit)(uint32_t action, struct utrace_engine *engine,
		struct user_regs_struct *regs);
	/* @orig_code: the wait status that will be seen; *@code: the same, for engines to tell each other
	 * of.  The kernel has settled it: to change it, change the argument of exit_group(2) at its entry */
	uint32_t (*report_exit)(uint32_t action, struct utrace_engine *engine,
		long orig_code, long *code);
	/* @group_dead: it was the last thread; @signal: sent to the parent, -1: none.  Of the answer only
	 * UTRACE_DETACH counts.  Registers and memory are gone. */
	uint32_t (*report_death)(
		struct utrace_engine *engine, bool group_dead, int signal);
	/* the last callback: the tracer has reaped the thread, and the engine is detached */
	void (*report_reap)(struct utrace_engine *engine, struct utrace_task *task);
	/* after the last utrace_engine_put(), in the thread that made it */
	void (*release)(void *data);
};

/* ---- the tracer (utrace/task.c, utrace/dispatch.c) ----------------------------------------------- */

/**
 * utrace_create() - begin to trace
 * The calling thread becomes the tracer.  SIGCHLD is blocked in it; block it in all threads of the
 * program (create the tracer first), or stops may be noticed up to 100 ms late.
 * Return: 0 and a tracer for utrace_destroy(); -EMFILE, -ENOMEM; -EOPNOTSUPP: /proc is not that of the
 * tracer's pid namespace
 */
UTRACE_MUST_CHECK int utrace_create(struct utrace **ret, struct utrace_error *err);

/**
 * utrace_destroy() - let go of everything and free the tracer; engines stay for their references
 * Two kinds of tasks the kernel lets go of only when the calling thread ends: a leader that has exited before the other
 * threads of its process, and one that does not stop (uninterruptible, waiting for its vfork child).
 */
void utrace_destroy(struct utrace *utrace);

/** utrace_fd() - a descriptor for poll(2): when it is readable call utrace_dispatch().  Borrowed. */
int utrace_fd(const struct utrace *utrace);

/**
 * utrace_dispatch() - handle everything that waits now; never blocks
 * Callbacks run inside.  They may call it themselves.
 * Return: 0
 */
UTRACE_MUST_CHECK int utrace_dispatch(struct utrace *utrace, struct utrace_error *err);

/**
 * utrace_wait() - wait for a traced thread and handle what it has stopped for, or its end
 * For programs that do nothing else: it costs less than poll(2) and utrace_dispatch().  Callbacks run inside.
 * Functions that other threads call do not end the wait; what they have asked for is done in the next call.
 * A program with other descriptors or threads, or with a deadline, polls utrace_fd().
 * Return: 0; -ECHILD: nothing is traced; -EINTR: a signal handler has run
 */
UTRACE_MUST_CHECK int utrace_wait(struct utrace *utrace, struct utrace_error *err);

/**
 * utrace_wait_stopped() - dispatch until a task is stopped
 * @timeout_ms: how long to wait; 0: not at all
 * Return: 0; -ETIMEDOUT; -ESRCH: it is exiting or gone
 */
UTRACE_MUST_CHECK int utrace_wait_stopped(
	struct utrace_task *task, int timeout_ms, struct utrace_error *err);

/* ---- finding threads to trace (utrace/seize.c, utrace/launch.c) ---------------------------------- */

/**
 * utrace_seize_process() - trace all threads of a process; none is stopped
 * New threads and child processes follow by themselves.
 * Return: 0; -ESRCH: no such process; -EPERM: @err says whose it is, or who traces it already
 */
UTRACE_MUST_CHECK int utrace_seize_process(
	struct utrace *utrace, pid_t pid, struct utrace_error *err);

/** utrace_seize_thread() - the same for a single thread.  0 also when it is traced by us already. */
UTRACE_MUST_CHECK int utrace_seize_thread(
	struct utrace *utrace, pid_t tid, struct utrace_error *err);

/**
 * utrace_detach_process() - let go of all threads of a process (@pid 0: of all)
 * Engines are detached.  Threads run on, those stopped by job control stay stopped.  A process that was
 * launched with a system call filter cannot run without its tracer and is killed.
 */
void utrace_detach_process(struct utrace *utrace, pid_t pid);

/**
 * utrace_launch() - start a program; it is held at its exec, before its dynamic linker runs
 * @argv: ends with NULL; PATH is searched.  The program gets the signal mask that the tracer had at
 *	utrace_create(), and default actions for signals that it has ignored since
 * @ret:  its first thread; it is let run by the RESUME, step or DETACH of any engine
 *	(utrace_control()), or by utrace_task_release()
 * Return: 0; -ENOENT, -EACCES and others of execve(2)
 */
UTRACE_MUST_CHECK int utrace_launch(struct utrace *utrace, char *const argv[],
	struct utrace_task **ret, struct utrace_error *err);

/**
 * struct utrace_launch_options - for utrace_launch_with()
 * Zero what is not wanted; @size is sizeof(struct utrace_launch_options).
 */
struct utrace_launch_options {
	size_t size;
	char *const *argv;
	char *const *environment; /* NULL: the tracer's */
	/* The only system calls (numbers of <sys/syscall.h>) that the program and its children stop
	 * for: all others run at full speed under a seccomp filter, engines hear nothing of them.
	 * Calls of another architecture's interface always stop.  NULL: no filter.  A filter cannot be
	 * removed, and needs its tracer: when the tracer dies or lets go the program is killed.  Unless
	 * the tracer has CAP_SYS_ADMIN the program cannot gain privileges (PR_SET_NO_NEW_PRIVS). */
	const long *syscalls;
	size_t syscall_count;
};

/** utrace_launch_with() - utrace_launch() with options.  -EINVAL: unknown size, no argv */
UTRACE_MUST_CHECK int utrace_launch_with(struct utrace *utrace,
	const struct utrace_launch_options *options, struct utrace_task **ret,
	struct utrace_error *err);

/** utrace_task_release() - let a launched program run that no engine ever held */
UTRACE_MUST_CHECK int utrace_task_release(struct utrace_task *task);

/**
 * utrace_on_new_task() - be told of every task that appears by itself (clone, fork, vfork)
 * Called while it is stopped before its first instruction, before report_clone() of its creator's
 * engines, so that engines can be attached.  @parent is NULL when the creator of a process was killed meanwhile, or
 * has not told of it for seconds: then there is no report_clone().
 * @fn NULL: nobody is told.
 */
typedef void (*utrace_new_task_fn)(struct utrace_task *task, struct utrace_task *parent,
	unsigned long clone_flags, void *data);
void utrace_on_new_task(struct utrace *utrace, utrace_new_task_fn fn, void *data);

/* ---- tasks (utrace/task.c) --------------------------------------------------------------------------
 * The list changes in utrace_dispatch() and everything that calls it, not otherwise. */

/** utrace_find_task() - the task with this tid, or NULL */
struct utrace_task *utrace_find_task(struct utrace *utrace, pid_t tid);
/** utrace_first_task(), utrace_next_task() - the tasks of a process (@pid 0: all), oldest first; NULL: no more */
struct utrace_task *utrace_first_task(struct utrace *utrace, pid_t pid);
struct utrace_task *utrace_next_task(struct utrace_task *task, pid_t pid);

/** Any thread.  exec(2) by another thread than the leader changes the tid to the pid. */
pid_t utrace_task_tid(const struct utrace_task *task);
pid_t utrace_task_pid(const struct utrace_task *task);
struct utrace *utrace_task_tracer(const struct utrace_task *task);
/** Any thread.  True in callbacks, and while an engine's UTRACE_STOP holds it. */
bool utrace_task_is_stopped(const struct utrace_task *task);
/** Any thread.  True while stopped by job control (SIGSTOP and the like), held by engines or not. */
bool utrace_task_in_group_stop(const struct utrace_task *task);
/** The status that waitpid(2) gave last: in report_death() that of its death. */
int utrace_task_status(const struct utrace_task *task);

/* ---- engines (utrace/engine.c) -------------------------------------------------------------------- */

enum utrace_attach_flags {
	UTRACE_ATTACH_MATCH_OPS = 0x0001,
	UTRACE_ATTACH_MATCH_DATA = 0x0002,
	UTRACE_ATTACH_MATCH_MASK = 0x000f,
	UTRACE_ATTACH_CREATE = 0x0010,
	UTRACE_ATTACH_EXCLUSIVE = 0x0020
};

/**
 * utrace_attach_task() - attach a new engine to a task, or find one (any thread)
 * @flags: with UTRACE_ATTACH_CREATE always a new engine, at the end of the task's list, that gets no
 *	events yet; and with _EXCLUSIVE only if no engine there matches.  Without _CREATE the first
 *	engine that matches.  _MATCH_OPS, _MATCH_DATA: what has to be equal; neither: any engine matches
 * @ret:   an engine with a reference for utrace_engine_put()
 * An engine that is attached during a report does not get the event that is being reported.
 * Return: 0; -ENOENT: none matches; -EEXIST: one does (_EXCLUSIVE); -EINVAL: no @ops, or a flag that is
 * none of these; -ESRCH: the task is gone (while its death is reported engines can still be attached: they
 * get report_reap()); -ENOMEM
 */
UTRACE_MUST_CHECK int utrace_attach_task(struct utrace_task *task, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret);

/**
 * utrace_attach_pid() - the same by tid
 * With UTRACE_ATTACH_CREATE a thread that is not traced yet is seized: utrace_seize_thread().
 * Any thread, except that only the tracer can seize: others get -EAGAIN.
 * Return: as utrace_attach_task(), and as utrace_seize_thread()
 */
UTRACE_MUST_CHECK int utrace_attach_pid(struct utrace *utrace, pid_t tid, int flags,
	const struct utrace_engine_ops *ops, void *data, struct utrace_engine **ret);

/** utrace_engine_get() - take one more reference (any thread) */
void utrace_engine_get(struct utrace_engine *engine);
/** utrace_engine_put() - give one back; the last calls ops->release() (any thread).  NULL is fine. */
void utrace_engine_put(struct utrace_engine *engine);
/** utrace_engine_task() - the task; NULL once the engine is detached (any thread) */
struct utrace_task *utrace_engine_task(const struct utrace_engine *engine);
/** utrace_engine_data() - the data pointer (any thread) */
void *utrace_engine_data(const struct utrace_engine *engine);

/**
 * utrace_set_events() - which events an engine wants (any thread)
 * @events: UTRACE_EVENT(...) or-ed; replaces the earlier set
 * System call events begin with the thread's next stop, which this brings about: a call that the
 * thread is blocked in is restarted, and then reported.  When no engine wants them any more system
 * calls cost nothing again, after at most one more stop.
 * Return: 0; -ESRCH: detached; -EINPROGRESS: it is done, but a callback of an event that was taken away
 * is running: utrace_barrier() waits for it; -EALREADY: nothing is changed, because the death (REAP: the
 * reaping) of the task is being reported already
 */
UTRACE_MUST_CHECK int utrace_set_events(
	struct utrace_task *task, struct utrace_engine *engine, unsigned long events);

/**
 * utrace_control() - what is to become of the task (any thread)
 * UTRACE_STOP        hold it.  0: it is stopped now.  -EINPROGRESS: it will be, as soon as possible, and
 *                    report_quiesce() or report_signal() will be called (if the engine has QUIESCE), which
 *                    has to return UTRACE_STOP too.  A blocking system call is interrupted and restarted.
 *                    A task in group-stop is held: SIGCONT does not start it then
 * UTRACE_RESUME      hold it no longer.  It runs when no other engine holds it
 * UTRACE_INTERRUPT   hold it no longer; report_signal(UTRACE_SIGNAL_REPORT) comes before it runs; of a task
 *                    in group-stop when SIGCONT has ended that
 * UTRACE_REPORT      hold it no longer; report_quiesce() comes before it goes on in user mode.  A thread
 *                    that is blocked in a system call stays there, and since the end of a call cannot
 *                    be had without stopping at its beginning, the report comes at its next stop for
 *                    whatever reason.  For a report now use UTRACE_INTERRUPT
 * UTRACE_SINGLESTEP  hold it no longer; one instruction, or to the next taken branch, then report_signal()
 * UTRACE_BLOCKSTEP   with SIGTRAP, whose action is UTRACE_SIGNAL_IGN unless an engine wants it delivered.
 *                    Any callback before it runs decides anew.  A running task is not interrupted for it
 * UTRACE_DETACH      detach the engine.  0: no more callbacks.  -EINPROGRESS: a callback of this engine is
 *                    running, and will be the last; see utrace_barrier().  -EALREADY: the task is dying,
 *                    report_death() or report_reap() will still come
 * REPORT and the steps need UTRACE_EVENT(QUIESCE) in the engine's events.
 * Return: as said; -EINVAL: no such action, or no QUIESCE; -ESRCH: the engine is detached or the task dead
 */
UTRACE_MUST_CHECK int utrace_control(struct utrace_task *task,
	struct utrace_engine *engine, enum utrace_resume_action action);

/**
 * utrace_barrier() - wait until no callback of this engine runs (any thread)
 * Afterwards the effects of what it returned are in place too.  The task may be stale: only the
 * engine reference counts.  Not to be called while holding a lock that a callback takes.
 * Return: 0; -ESRCH: the engine is detached, nothing runs any more; -EINTR: a signal came first;
 * -EDEADLK: the callback that runs is the caller's caller, on this very thread, for another task
 */
UTRACE_MUST_CHECK int utrace_barrier(
	struct utrace_task *task, struct utrace_engine *engine);

/** The same by tid (any thread).  -ESRCH also when there is no such task. */
UTRACE_MUST_CHECK int utrace_set_events_pid(struct utrace *utrace, pid_t tid,
	struct utrace_engine *engine, unsigned long events);
UTRACE_MUST_CHECK int utrace_control_pid(struct utrace *utrace, pid_t tid,
	struct utrace_engine *engine, enum utrace_resume_action action);
UTRACE_MUST_CHECK int utrace_barrier_pid(
	struct utrace *utrace, pid_t tid, struct utrace_engine *engine);

/* ---- looking at a stopped task (utrace/examine.c, utrace/state.c) ---------------------------------- */

/** struct utrace_examiner - for utrace_prepare_examine(); the members are not yours */
struct utrace_examiner {
	uint64_t stop, switches;
};

/**
 * utrace_prepare_examine() - before reading a task that this engine holds stopped
 * utrace_finish_examine() - was it stopped all the time in between?
 * A stop can be lost to SIGKILL at any time; what was read between the two is the state of the stop only
 * when both give 0.
 * Return: 0; -EINVAL: the engine does not hold it stopped; -ESRCH: it is dead; -EAGAIN: it runs, or ran
 */
UTRACE_MUST_CHECK int utrace_prepare_examine(struct utrace_task *task,
	struct utrace_engine *engine, struct utrace_examiner *examiner);
UTRACE_MUST_CHECK int utrace_finish_examine(struct utrace_task *task,
	struct utrace_engine *engine, struct utrace_examiner *examiner);

/** General registers of a stopped task.  -ESRCH: it runs, or was killed. */
UTRACE_MUST_CHECK int utrace_get_regs(
	struct utrace_task *task, struct user_regs_struct *ret);
UTRACE_MUST_CHECK int utrace_set_regs(
	struct utrace_task *task, const struct user_regs_struct *regs);

/** x87 and SSE registers of a stopped task.  -ESRCH: it runs, or was killed. */
UTRACE_MUST_CHECK int utrace_get_fpregs(
	struct utrace_task *task, struct user_fpregs_struct *ret);
UTRACE_MUST_CHECK int utrace_set_fpregs(
	struct utrace_task *task, const struct user_fpregs_struct *regs);

/**
 * utrace_get_regset(), utrace_set_regset() - a register set by its note type in core files
 * @type: NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE, ... (<elf.h>)
 * @size: of the buffer, in bytes; get: then of what was read.  A buffer that is too small gets the beginning
 * Return: 0; -EINVAL: no such set here; -ESRCH: it runs, or was killed
 */
UTRACE_MUST_CHECK int utrace_get_regset(
	struct utrace_task *task, unsigned type, void *buffer, size_t *size);
UTRACE_MUST_CHECK int utrace_set_regset(
	struct utrace_task *task, unsigned type, const void *buffer, size_t size);

/** What the stop is about.  In report_signal() use its @info.  -EINVAL: the stop has none; -ESRCH */
UTRACE_MUST_CHECK int utrace_get_siginfo(struct utrace_task *task, siginfo_t *ret);
UTRACE_MUST_CHECK int utrace_set_siginfo(struct utrace_task *task, const siginfo_t *info);

/** The blocked signals of a stopped task, bit 0: signal 1.  -ESRCH */
UTRACE_MUST_CHECK int utrace_get_sigmask(struct utrace_task *task, uint64_t *ret);
UTRACE_MUST_CHECK int utrace_set_sigmask(struct utrace_task *task, uint64_t mask);

/** struct utrace_syscall - a system call, whatever the interface it came by */
struct utrace_syscall {
	uint32_t arch; /* AUDIT_ARCH_X86_64 or AUDIT_ARCH_I386 (<linux/audit.h>) */
	long number;   /* of that architecture; x32: with bit 30; -1: it was aborted */
	uint64_t args[6];
	int64_t result; /* in report_syscall_exit(): -4095 to -1 are errors */
};

/**
 * utrace_get_syscall(), utrace_set_syscall() - the call of a task in report_syscall_entry() or _exit()
 * Set: at the entry number, arguments, and the result that an aborted call will have; at the exit the
 * result.  In these callbacks @regs changes with it.
 * Return: 0; -EINVAL: the task is not at a system call; -ESRCH
 */
UTRACE_MUST_CHECK int utrace_get_syscall(
	struct utrace_task *task, struct utrace_syscall *ret);
UTRACE_MUST_CHECK int utrace_set_syscall(
	struct utrace_task *task, const struct utrace_syscall *call);

/**
 * utrace_read_memory(), utrace_write_memory() - memory of the task's process, stopped or not
 * Writing goes through write protection, into a copy of the page that is private to the process.
 * Return: 0: all of it; -EFAULT: some of it is not mapped; -ESRCH
 */
UTRACE_MUST_CHECK int utrace_read_memory(
	struct utrace_task *task, uint64_t address, void *bytes, size_t size);
UTRACE_MUST_CHECK int utrace_write_memory(
	struct utrace_task *task, uint64_t address, const void *bytes, size_t size);

/**
 * utrace_read_string() - a string of the task's process
 * @size: of @text, in bytes, with the end; longer strings are cut off
 * Return: its length; -EFAULT: it runs into what is not mapped; -ESRCH
 */
UTRACE_MUST_CHECK ssize_t utrace_read_string(
	struct utrace_task *task, uint64_t address, char *text, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
