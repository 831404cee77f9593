/* SPDX-License-Identifier: MIT */
/*
 * Probe points in the text of running processes: insert and remove patches while threads
 * run.
 *
 * A struct uprobe_space is one patched address space (process).  Inserting is the
 * text_poke protocol driven from outside: trampolines first, journal, breakpoint on every
 * instruction start of each window, sync cores, check threads found inside a window,
 * tails, sync, heads, sync.  Threads that run into a transient breakpoint are sent to the
 * matching place of the trampoline by uprobe_report_signal().  Removing is the reverse;
 * the text is then equal to what was found.
 */
#pragma once

#include "abi/session.h"
#include "arch/arch.h"
#include "inject/inject.h"
#include "utrace/utrace.h"

struct uprobe_space;

/* Where handlers run. */
enum uprobe_mode {
	UPROBE_MODE_ANY,    /* in the process; where that is refused, in the tracer */
	UPROBE_MODE_INJECT, /* in the process */
	UPROBE_MODE_PTRACE, /* in the tracer, for a thread that a breakpoint stopped */
};

/* The session as uprobes needs it: where code and memory come from. */
struct uprobe_session {
	struct utrace *utrace;
	int session_fd;       /* memfd */
	void *session_memory; /* tracer's mapping */
	uint64_t session_size;
	const unsigned char *image; /* linked agent + script code */
	size_t image_size;
	int64_t register_offset; /* of agent_register_thread in the image, and so on */
	int64_t call_offset;     /* where it calls the tracer */
	int64_t front_offset, restorer_offset;
	int64_t arena_block_offset; /* where the image expects struct agent_arena:
				     * negative; 0: as AGENT_ARENA_IMAGE says */
	uint64_t null_context;      /* where the null page is wanted; 0: anywhere */
	int64_t read_start_offset, read_end_offset, read_fixup_offset; /* safe reads */
	bool needs_signal_front; /* handlers read user memory */
	bool force;
	enum uprobe_mode mode;
};

struct uprobe_request {
	const struct arch_plan *plan;
	uint64_t bias;
	const struct arch_handler_call
		*handlers; /* runtime_address is an offset into the image here */
	size_t handler_count;
	const void *
		notice; /* of a breakpoint without handlers: what uprobe_report_signal() says */
	bool own_stack; /* see struct arch_trampoline_request */
	/* result */
	int status; /* 0, or negative: this one was refused */
	struct error refused;
};

/**
 * uprobe_space_create() - bring session memory and the null page into a process
 * @task: a task of the process; stopped: used as the victim (launch, exec); else one is
 * chosen
 */
must_check int uprobe_space_create(const struct uprobe_session *session,
	struct utrace_task *task, struct uprobe_space **ret, struct error *err);
/**
 * uprobe_space_is_by_ptrace() - handlers have to run in the tracer
 * All requests must be breakpoints with a notice then.  *@ret_why: why they cannot run in the process,
 * NULL when that was not asked for.
 */
bool uprobe_space_is_by_ptrace(const struct uprobe_space *space, const char **ret_why);
/** a fork child has its parent's patches: give it its own bookkeeping (journal included)
 */
must_check int uprobe_space_fork(struct uprobe_space *parent, struct utrace_task *child,
	struct uprobe_space **ret, struct error *err);
/** is another process, whoever forked it, a copy of this one, patches and all?  @space: NULL: it is not */
bool uprobe_space_was_copied(const struct uprobe_space *space, pid_t pid);
/**
 * uprobe_await_exec() - when the memory of a process has gone while patches were brought in (-ESRCH)
 * It has ended, or is on its way into another program.
 * @is_told: has report_exec() been called?
 * Context: events are dispatched.
 * Return: 0: it is told; -ESRCH: the process has ended
 */
must_check int uprobe_await_exec(struct utrace *utrace, pid_t pid,
	bool (*is_told)(const void *data, pid_t pid), const void *data,
	struct error *err);
/** after an exec: it was under way when the space was made, and what was patched is in the new program */
bool uprobe_space_survives(const struct uprobe_space *space);
/** the process is gone or has called exec: nothing to undo */
void uprobe_space_forget(struct uprobe_space *space);

/*
 * The end of a process may be heard of before the first stop of a child that it forked: what is in that one is then told
 * by the few that died last, which uprobe_space_fork() takes as parents, too.
 */
struct uprobe_ghosts {
	struct uprobe_ghost {
		struct uprobe_space *space;
		void *process; /* the caller's */
	} last[4];             /* newest first */
	void (*free)(void *process);
};
/** the space and what is known of the process belong to the ghosts from now on */
void uprobe_ghosts_add(
	struct uprobe_ghosts *ghosts, struct uprobe_space *space, void *process);
/** which one is a process a copy of?  NULL: none */
void *uprobe_ghosts_find(const struct uprobe_ghosts *ghosts, pid_t pid);
void uprobe_ghosts_free(struct uprobe_ghosts *ghosts);

/** NULL in a fork child until something is inserted or removed, and where no calls can be made */
struct inject *uprobe_space_inject(struct uprobe_space *space);
int uprobe_space_memory_fd(const struct uprobe_space *space); /* /proc/PID/mem */
pid_t uprobe_space_pid(const struct uprobe_space *space);
uint64_t uprobe_space_null_context(const struct uprobe_space *space);

/**
 * uprobe_run_to_entry() - after an exec: past the dynamic linker, to the program's entry point
 * There has to be an uprobe_space_inject(), and its victim to be held; it is held again at the end.
 */
must_check int uprobe_run_to_entry(struct uprobe_space *space, struct error *err);

/**
 * uprobe_insert() - patch many sites in one go
 * Each request gets its own status; live bytes that differ from plan->original refuse
 * that site. Return: 0 when the process is consistent (some sites may be refused);
 * negative: nothing inserted.
 */
must_check int uprobe_insert(struct uprobe_space *space, struct uprobe_request *requests,
	size_t count, struct error *err);

/**
 * uprobe_raise_semaphores() - tell the program that its static marks are listened to
 * @addresses: runtime addresses of 16-bit counters; each is raised once however often it is named.
 * uprobe_space_remove() lowers them, and the guardian after a crash.
 */
must_check int uprobe_raise_semaphores(struct uprobe_space *space,
	const uint64_t *addresses, size_t count, struct error *err);

/** uprobe_keep_semaphores() - lower all that were raised here but are not among these */
void uprobe_keep_semaphores(
	struct uprobe_space *space, const uint64_t *addresses, size_t count);

/**
 * uprobe_remove() - take out the patches at some addresses
 * @addresses:   runtime addresses; sorted here
 * @ret_foreign: how many of them somebody else has written to: they are left alone
 * Something else may be inserted there afterwards.  Short jumps stay until uprobe_space_remove(): plan
 * without them what is to be taken out one by one.
 */
must_check int uprobe_remove(struct uprobe_space *space, uint64_t *addresses,
	size_t count, size_t *ret_foreign, struct error *err);

/**
 * uprobe_space_remove() - take everything out: text, arenas, session memory, gs bases
 * Memory a thread may still run in stays mapped, and that of a process that has put a seccomp filter on;
 * *ret_left says how many bytes, *why in @err's text. Frees the space.
 */
must_check int uprobe_space_remove(
	struct uprobe_space *space, uint64_t *ret_left, struct error *err);

/**
 * uprobe_report_signal() - for the report_signal callback of whoever probes
 * SIGTRAP of our breakpoints, SIGSEGV/SIGBUS of our safe reads are resolved by changing regs.
 * A fault of a displaced instruction is the program's: regs get the instruction's own address.  A signal
 * that comes while the thread runs our code is held back until it is the program's again, and becomes
 * @info then.
 * @space:      NULL: of a process that is not probed; nothing is ours
 * @action:     as in report_signal
 * @ret_notice: what the request of the breakpoint said; then regs->rip is its address, and
 *              uprobe_step_over() is to follow.  Else NULL.
 * @ret:        without more to do, what the callback returns
 * Return: true: of a breakpoint or a read of ours, which is not to be delivered; *ret_notice may tell more
 */
bool uprobe_report_signal(struct uprobe_space *space, struct utrace_task *task,
	uint32_t action, struct user_regs_struct *regs, siginfo_t *info,
	const void **ret_notice, uint32_t *ret);

/* What a signal has to do with watched data (watch.c). */
enum uprobe_watch {
	UPROBE_WATCH_NONE,
	UPROBE_WATCH_HIT,
	UPROBE_WATCH_OWN, /* it was a handler of ours that looked */
	/* the thread has run into a breakpoint of ours meanwhile, which the signal stands for from here on */
	UPROBE_WATCH_WITH_BREAKPOINT,
};

struct uprobe_watch_hit {
	uint32_t site;
	uint64_t address; /* that is watched */
	bool is_late; /* SIGTRAP was blocked: the thread has gone on, perhaps to other accesses */
};

/**
 * uprobe_keep_front() - have the signal front take the SIGTRAPs that a tracer which is killed leaves behind
 * Return: -ENOTSUP: there can be none in this process
 */
must_check int uprobe_keep_front(struct uprobe_space *space, struct error *err);
/**
 * uprobe_report_watch() - for the report_signal callback, before uprobe_report_signal()
 * @space: NULL: of a process that is not probed
 */
enum uprobe_watch uprobe_report_watch(struct uprobe_space *space,
	const struct user_regs_struct *regs, siginfo_t *info,
	struct uprobe_watch_hit *ret);
/** uprobe_home_after() - where a thread at @pc is for the program, having just run one of its instructions */
uint64_t uprobe_home_after(const struct uprobe_space *space, uint64_t pc);

/** uprobe_defer_settle() - to be called now and then: see to threads that stopped on their way out */
void uprobe_defer_settle(struct uprobe_space *space);

/**
 * uprobe_look_for_filter() - to be called now and then: has the process put a seccomp filter on?
 * Its handlers make no system call then.  Looks at some threads at a time.
 */
void uprobe_look_for_filter(struct uprobe_space *space);

/** will the conditional branch under the breakpoint at regs->rip be taken? */
bool uprobe_branch_is_taken(
	struct uprobe_space *space, const struct user_regs_struct *regs);

/**
 * uprobe_step_over() - have the instruction under the breakpoint at regs->rip run, or emulate it
 * Return: true: it faults; @info is the signal to deliver
 */
must_check bool uprobe_step_over(
	struct uprobe_space *space, struct user_regs_struct *regs, siginfo_t *info);

/**
 * uprobe_leave_blocked() - before all threads are let go: those under a filter are not woken from their calls
 * The calls would be made again, and the filter asked.  The kernel lets go of them when this thread ends.
 */
void uprobe_leave_blocked(struct utrace *utrace);

/** uprobe_space_forget_unmapped() - the process has unmapped text: what was patched there is gone */
must_check int uprobe_space_forget_unmapped(
	struct uprobe_space *space, struct error *err);

struct uprobe_counts {
	size_t sites, jumps, windows, shorts, breakpoints, refused;
	uint64_t arena_bytes;
};
void uprobe_space_counts(const struct uprobe_space *space, struct uprobe_counts *ret);

/* ---- the dynamic linker (loader.c) ---------------------------------------------------------------- */

/** uprobe_loader_find() - address of the process's struct r_debug (<link.h>); 0: none, or not yet */
uint64_t uprobe_loader_find(const struct uprobe_space *space);
/**
 * uprobe_loader_watch() - a breakpoint where the dynamic linker says that its list of modules changes
 * @debug: from uprobe_loader_find()
 * Return: 1: it is in, see uprobe_loader_is_notice(); 0: there is no such place; negative
 */
must_check int uprobe_loader_watch(
	struct uprobe_space *space, uint64_t debug, struct error *err);
bool uprobe_loader_is_notice(const void *notice);
/** the list is complete: nothing is just being added or deleted */
bool uprobe_loader_is_consistent(const struct uprobe_space *space, uint64_t debug);

/* ---- planning (text.c) ------------------------------------------------------------------------------- */

struct elf_module;
/** what planning has to know of a module's text; lives no longer than the module */
struct arch_text *uprobe_text_create(struct elf_module *module);
/** uprobe_text_keep() - what planning found out goes to the module's cache, if it has one */
void uprobe_text_keep(struct elf_module *module, const struct arch_text *text);

/* ---- guardian
 * ------------------------------------------------------------------------------------------
 * A small process forked before the first patch.  It sleeps on a pipe; when the tracer
 * dies without saying goodbye it marks the session dead, seizes the processes named in
 * the journal and undoes it.
 */
must_check int uprobe_guardian_start(
	int session_fd, uint64_t session_size, int *ret_pipe, struct error *err);
void uprobe_guardian_dismiss(int pipe); /* an orderly end: nothing to undo */
/** utrace_seize_process(), once the guardian of a tracer that has died there is done (up to 10 s) */
must_check int uprobe_seize(struct utrace *utrace, pid_t pid, struct error *err);

/** `utrace heal -p PID`: find what a dead tracer left in the process and undo it;
 * *ret_patches counts */
must_check int uprobe_heal(pid_t pid, size_t *ret_patches, struct error *err);
