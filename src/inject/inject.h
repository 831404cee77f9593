/* SPDX-License-Identifier: MIT */
/*
 * Bringing session memory and code arenas into a process, and out again.  One struct inject per
 * address space.  Works on dynamic, static, musl and Go programs alike: only raw system calls run in
 * the target, on one stopped thread (the victim).  A tracer that is killed in the middle of one leaves a
 * thread that finds its own way back: see arch_call_stub().
 */
#pragma once

#include "agent/agent.h"
#include "arch/arch.h"
#include "ptrace/ptrace.h"
#include "utrace/run.h"

struct inject;

/* Where remote calls are made from: padding of a module that holds code of ours meanwhile. */
struct inject_stub {
	uint64_t address;
	size_t size; /* of our code; 0: the padding is as it was */
	uint8_t original[ARCH_CALL_STUB_MAX];
	struct arch_call_home home; /* what our code leads to */
};

enum inject_flag {
	INJECT_FORCE = 1u << 0,  /* a seccomp filter is no reason to refuse */
	INJECT_ANY_GS = 1u << 1, /* nor is a gs base in use: no handler will run there */
};

/**
 * inject_is_filtered() - a seccomp filter of a thread may end its process for a call of ours
 * Not so with as many filters as the tracer has itself, nor, with @force, in filter mode at all.
 */
bool inject_is_filtered(pid_t tid, bool force);

/**
 * inject_create() - prepare a process whose threads are all seized
 * Refuses with a reason: 32-bit, seccomp strict, seccomp filter that may kill (unless the tracer runs
 * under as many filters itself), gs base in use; shadow stack only noted.
 * @flags: enum inject_flag
 * Picks and stops one victim thread (a running one, else one blocked in a restartable call), saves its
 * registers and signal mask.  Other threads are not stopped.
 */
must_check int inject_create(struct utrace *utrace, pid_t pid, unsigned int flags,
	struct inject **ret, struct error *err);
/** the same in a fork child of a process that we are in: what its gs bases say is ours */
must_check int inject_create_fork(struct utrace *utrace, pid_t pid, unsigned int flags,
	struct inject **ret, struct error *err);
/** the same over a given stopped task (a launched program, a fork child) */
must_check int inject_create_at(struct utrace_task *stopped, unsigned int flags,
	struct inject **ret, struct error *err);

/** give the victim its registers and mask back and let it run; remote calls are over until resumed */
must_check int inject_release_victim(struct inject *inject, struct error *err);
/** stop a victim again (detach, later probes) */
must_check int inject_take_victim(struct inject *inject, struct error *err);
/** inject_take_at_rest() - for what takes long: a victim that waits for something; false: none does */
bool inject_take_at_rest(struct inject *inject);
bool inject_has_victim(const struct inject *inject);
pid_t inject_victim_tid(const struct inject *inject); /* 0: none */
void inject_destroy(
	struct inject *inject); /* releases the victim when held; unmaps nothing */

/**
 * inject_syscall() - run one system call in the target, on the held victim
 * @ret: raw result (-errno on failure)
 * Return: 0, or negative when the call could not be made at all: the victim died (-ESRCH), or a seccomp
 * filter has been put on it meanwhile (-EPERM)
 */
must_check int inject_syscall(struct inject *inject, long number, const uint64_t args[6],
	int64_t *ret, struct error *err);

/** map a memfd of the tracer shared into the target (sent over a socket pair; target fds closed) */
must_check int inject_map_fd(struct inject *inject, int fd, uint64_t size, uint64_t hint,
	uint64_t *ret_address, struct error *err);
/**
 * inject_map_arena() - anonymous private read+execute memory somewhere in [low, high), for code that
 * is written through remote memory; named "utrace" where the kernel can (PR_SET_VMA)
 */
must_check int inject_map_arena(struct inject *inject, uint64_t low, uint64_t high,
	uint64_t size, uint64_t *ret_address, struct error *err);
/** a read-only zero page at a low address that suits `mov %gs:disp32`; the same in all processes when
 * *address is nonzero on entry (then -EEXIST when taken) */
must_check int inject_map_null_context(
	struct inject *inject, uint64_t *address, struct error *err);
must_check int inject_unmap(
	struct inject *inject, uint64_t address, uint64_t size, struct error *err);
/** membarrier(PRIVATE_EXPEDITED_SYNC_CORE) in the target, registering first; all its running threads
 * have executed a serialising instruction on return */
must_check int inject_sync_cores(struct inject *inject, struct error *err);

/**
 * inject_enrol_sync() - what the first inject_sync_cores() has to do before
 * The kernel makes the thread that asks for it wait for a grace period, some 10 ms, where the process has
 * others; they go on running.
 */
must_check int inject_enrol_sync(struct inject *inject, struct error *err);

/**
 * inject_install_signal_front() - rt_sigaction of `signals` to the agent's front, saving the old
 * actions where the front finds them (in the arena's signal table at @table, see agent/signal.h)
 */
must_check int inject_install_signal_front(struct inject *inject, uint64_t front,
	uint64_t restorer, uint64_t table, uint64_t signals, struct error *err);
must_check int inject_get_signal_action(struct inject *inject, int signal,
	struct agent_sigaction *ret, struct error *err);
must_check int inject_remove_signal_front(struct inject *inject, uint64_t front,
	uint64_t table, uint64_t signals, struct error *err);

/** run a launched program from its exec stop to a breakpoint that somebody has put into its text; the
 * victim is stopped there and is the held one */
must_check int inject_run_to(struct inject *inject, uint64_t address, struct error *err);

/** call @fn for each signal frame on the stack of a stopped thread, from @sp up */
struct signal_frame {
	uint64_t rip, restorer;
	uint64_t rip_address; /* where rip is saved */
};
typedef void (*signal_frame_fn)(const struct signal_frame *frame, void *data);
void inject_scan_frames(int memory_fd, uint64_t sp, signal_frame_fn fn, void *data);

/**
 * inject_leave_stub_frames() - signal handlers of a stopped thread return home, not into the call stub
 * A thread that a dead tracer left in its stub unblocks signals on its way, and one may come right there.
 */
must_check int inject_leave_stub_frames(int memory_fd, uint64_t sp, uint64_t stub_address,
	const struct arch_call_home *home);

/**
 * inject_has_orphan() - a tracer was killed while a thread made its calls, and the code for them is left
 * inject_create() sends a thread home that is in it, and releasing its victim erases it.
 */
bool inject_has_orphan(pid_t pid, int memory_fd);

/* Zeros between the end of a module's code and the end of its page: room for a little code of ours. */
struct inject_padding {
	uint64_t start,
		end; /* the last ARCH_CALL_STUB_MAX bytes are left to remote calls */
};
/** the padding behind the text that the @index'th mapping of a process holds the end of; not in the vdso */
bool inject_find_padding(int memory_fd, const struct proc_maps *maps, size_t index,
	struct inject_padding *ret);

/** a child that was forked while calls were made has the code for them too: take it out */
must_check int inject_clean_child(const struct inject *parent, int child_memory_fd);
/** for the undo journal: what has to be put back should the tracer die */
const struct inject_stub *inject_stub(const struct inject *inject);
int inject_memory_fd(const struct inject *inject); /* /proc/PID/mem */
pid_t inject_pid(const struct inject *inject);
bool inject_has_shadow_stack(const struct inject *inject);
