/* SPDX-License-Identifier: MIT */
/*
 * libutrace-uprobes: probes in the text of running programs.
 *
 * The kernel's uprobes carried to user space.  A uprobe is one place of one file; it is in every process
 * that the tracer was given, now or later, as soon as that process maps the file.  Any number of consumers
 * share a place.  A consumer has C callbacks, which run in the tracer while the thread is stopped at a
 * breakpoint, or native functions, which run in the traced process without stopping anything, or both.
 * uprobes(3) has the rules, and a table of what differs from the kernel's.
 *
 * Threads.  All functions are for the tracer: the thread that called utrace_create().  Callbacks run in
 * uprobes_dispatch(), and in the functions here that have to wait for threads of a program.  They may
 * register, unregister and apply; the text changes when they have returned.
 *
 * Ownership.  A struct uprobe is valid until uprobes_destroy().  Consumers are the caller's, and stay in
 * use from registering to unregistering; everything else that is passed in is copied.
 *
 * Errors are negative errno values, with words in struct utrace_error where it is not NULL.
 *
 * Units: offsets are bytes of the file, as readelf(1) calls them; addresses are the traced program's.
 */
#pragma once

#include <errno.h>
#include <utrace/utrace.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct uprobes;     /* the probes of one tracer */
struct uprobe;      /* one place of one file */
struct uprobe_code; /* a native function */

/* ---- consumers --------------------------------------------------------------------------------------- */

/** enum uprobe_handler_result - what handler() returns, or-ed */
enum uprobe_handler_result {
	UPROBE_HANDLER_REMOVE =
		1, /* not in this process again: as if filter() had said no */
	UPROBE_HANDLER_IGNORE = 2 /* no ret_handler() for this call */
};

/**
 * struct uprobe_consumer - who is told; any callback may be NULL, but not all
 * @task is stopped at the place: its memory and registers can be read and written by utrace_read_memory()
 * and the like.  @regs are its registers; changes are written back.  A callback that sets regs->rip sends
 * the thread there, and the instruction of the place is not run.
 */
struct uprobe_consumer {
	/* before the instruction runs.  *@data is 0, and what it is left at ret_handler() gets for the same
	 * call of the function */
	int (*handler)(struct uprobe_consumer *self, struct utrace_task *task,
		struct user_regs_struct *regs, uint64_t *data);
	/* before the function returns: the stack pointer is that of its entry, and the result is in place.
	 * The place has to be a function's first instruction.  @function: its address */
	int (*ret_handler)(struct uprobe_consumer *self, struct utrace_task *task,
		uint64_t function, struct user_regs_struct *regs, uint64_t *data);
	/* is the process of interest?  Asked once for each process and place, and by uprobe_apply().
	 * NULL: all are */
	bool (*filter)(struct uprobe_consumer *self, pid_t pid);
	/* run in the process; from uprobe_code_load() */
	const struct uprobe_code *code, *ret_code;
	uint64_t cookie; /* for native functions */
	void *user;      /* nobody looks at it */
};

/** struct uprobe_place - what is probed; zero what is not wanted */
struct uprobe_place {
	size_t size;        /* sizeof(struct uprobe_place) */
	const char *path;   /* a program or library, found from the tracer's root */
	const char *symbol; /* NULL: none */
	uint64_t offset;    /* in the file; with a symbol: bytes behind it */
	/* offset in the file of a 16-bit counter, raised while the place is probed (USDT semaphores); 0: none */
	uint64_t ref_ctr_offset;
};

/* ---- the probes of a tracer (consumer/probes.c, consumer/process.c) ---------------------------------- */

/** struct uprobes_options - for uprobes_create(); zero what is not wanted */
struct uprobes_options {
	size_t size; /* sizeof(struct uprobes_options) */
	/* Native functions are wanted: processes that none can be brought into are refused.  Else each
	 * process is probed by breakpoints alone */
	bool in_process;
	size_t shared_size; /* bytes of memory that native functions share with the tracer */
	/* told of what concerns one process only: a place that is refused there, or a process that cannot
	 * be followed.  @pid 0: none in particular */
	void (*warn)(void *data, pid_t pid, const char *text);
	void *data;
};

/**
 * uprobes_create() - probes for a tracer; none yet
 * Starts a small process, the guardian, which takes the probes out should the tracer die: create it before
 * other threads are.
 * @options: may be NULL
 * @ret:     for uprobes_destroy(), which comes before utrace_destroy()
 * Return: 0; -EINVAL: unknown size; -ENOMEM and other errors of memfd_create(2), mmap(2), fork(2)
 */
UTRACE_MUST_CHECK int uprobes_create(struct utrace *utrace,
	const struct uprobes_options *options, struct uprobes **ret,
	struct utrace_error *err);

/**
 * uprobes_destroy() - take everything out of all processes, and free it
 * Processes stay traced.  What could not be taken out is told to warn(); `utrace heal` undoes it later.
 */
void uprobes_destroy(struct uprobes *uprobes);

/**
 * uprobes_add_process() - probe a process, its threads and the processes it forks, from now on
 * @pid: seized here when the tracer does not trace it yet.  A launched program that is still held
 *	(utrace_launch()) runs to its entry point, so that its libraries are there, and is held again
 * Return: 0; -ESRCH; -EPERM; -EOPNOTSUPP and others: no probes can be in it, @err says why
 */
UTRACE_MUST_CHECK int uprobes_add_process(
	struct uprobes *uprobes, pid_t pid, struct utrace_error *err);

/** uprobes_remove_process() - take the probes out of it and follow it no longer; it stays traced */
UTRACE_MUST_CHECK int uprobes_remove_process(
	struct uprobes *uprobes, pid_t pid, struct utrace_error *err);

/**
 * uprobes_dispatch() - in place of utrace_dispatch(): handle everything that waits now; never blocks
 * Also without an event it should be called now and then (ten times a second), where other engines stop the
 * same threads: a signal may be held back until then.
 */
UTRACE_MUST_CHECK int uprobes_dispatch(struct uprobes *uprobes, struct utrace_error *err);

/* ---- registering (consumer/probes.c) ------------------------------------------------------------------ */

/**
 * uprobe_register() - have a consumer called at a place
 * @ret: the uprobe; the same one for all consumers of a place.  May be NULL
 * The place is checked here, against the file; what a single process refuses is told to warn().
 * Return: 0; -EINVAL: no callback, unknown size, offset behind the file's end or not in code, a
 * ret_handler() in the middle of a function, a different ref_ctr_offset, not the start of an instruction;
 * -ENOENT: no such file or symbol, or no function there; -ENOEXEC: not an x86-64 ELF file;
 * -EOPNOTSUPP: an instruction that cannot be probed, or native functions without in_process;
 * -EEXIST: the consumer is there already
 */
UTRACE_MUST_CHECK int uprobe_register(struct uprobes *uprobes,
	const struct uprobe_place *place, struct uprobe_consumer *consumer,
	struct uprobe **ret, struct utrace_error *err);

/** struct uprobe_registration - one of many, for uprobe_register_many() */
struct uprobe_registration {
	struct uprobe_place place;
	struct uprobe_consumer *consumer;
	/* filled in */
	struct uprobe *uprobe; /* NULL: refused */
	int status;            /* as uprobe_register() returns it */
	struct utrace_error error;
};

/**
 * uprobe_register_many() - the same for many places; the text of each process changes once
 * Return: how many were refused; negative: none is registered
 */
UTRACE_MUST_CHECK int uprobe_register_many(struct uprobes *uprobes,
	struct uprobe_registration *registrations, size_t count,
	struct utrace_error *err);

/**
 * uprobe_unregister() - have a consumer called no more
 * None of its callbacks runs when it returns, or ever again, unless it is one of them that calls.
 * The consumer's memory is the caller's again.  A native function may still be running.
 * Return: 0; -ENOENT: it is not registered there
 */
int uprobe_unregister(struct uprobe *uprobe, struct uprobe_consumer *consumer);

/** uprobe_unregister_many() - the same for each registration that has a uprobe */
void uprobe_unregister_many(struct uprobe_registration *registrations, size_t count);

/**
 * uprobe_apply() - ask the consumer's filter() again for every process
 * Return: 0; -ENOENT: it is not registered there
 */
UTRACE_MUST_CHECK int uprobe_apply(
	struct uprobe *uprobe, struct uprobe_consumer *consumer);

/** struct uprobe_info - what became of a place */
struct uprobe_info {
	size_t size;               /* of what the caller has, before the call */
	uint64_t offset, function; /* offsets in the file */
	size_t exits;              /* places where the function returns */
	size_t tail_calls; /* and where it jumps into another one instead: no ret_handler() */
	size_t processes; /* where it is in */
	size_t refused;   /* where the file is mapped, but the place is refused */
	uint64_t hits,
		missed; /* calls of C callbacks; returns not followed for want of room */
};

/** uprobe_get_info() - 0; -EINVAL: unknown size */
UTRACE_MUST_CHECK int uprobe_get_info(
	const struct uprobe *uprobe, struct uprobe_info *ret);

/* ---- native functions (consumer/native.c) ---------------------------------------------------------------- */

/**
 * uprobe_code_load() - code to run in the processes, before the first of them is added
 * @bytes, @size: an ELF relocatable object (cc -c), @symbol one of its functions; or, with @symbol NULL,
 *	position independent machine code that begins with the function
 * The function is a uprobe_native_fn of <utrace/uprobe-native.h>, and what that header says of it is
 * checked here as far as it can be.
 * @ret: valid until uprobes_destroy()
 * Return: 0; -EBUSY: there are processes already; -ENOEXEC: @err says what in it cannot be used;
 * -ENOENT: no such function; -EOPNOTSUPP: created without in_process
 */
UTRACE_MUST_CHECK int uprobe_code_load(struct uprobes *uprobes, const void *bytes,
	size_t size, const char *symbol, const struct uprobe_code **ret,
	struct utrace_error *err);

/** uprobes_shared() - the memory that native functions see as hit->shared; zeros at first.  NULL: none */
void *uprobes_shared(const struct uprobes *uprobes);

/* ---- the names of older kernels --------------------------------------------------------------------------- */

static inline UTRACE_MUST_CHECK int register_uprobe(struct uprobes *uprobes,
	const struct uprobe_place *place, struct uprobe_consumer *consumer,
	struct uprobe **ret, struct utrace_error *err)
{
	return uprobe_register(uprobes, place, consumer, ret, err);
}

/** register_uretprobe() - a place is a return probe by its consumer's ret_handler() */
static inline UTRACE_MUST_CHECK int register_uretprobe(struct uprobes *uprobes,
	const struct uprobe_place *place, struct uprobe_consumer *consumer,
	struct uprobe **ret, struct utrace_error *err)
{
	if (!consumer->ret_handler && !consumer->ret_code)
		return -EINVAL;
	return uprobe_register(uprobes, place, consumer, ret, err);
}

static inline int unregister_uprobe(
	struct uprobe *uprobe, struct uprobe_consumer *consumer)
{
	return uprobe_unregister(uprobe, consumer);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
