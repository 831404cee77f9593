/* SPDX-License-Identifier: MIT */
/*
 * The only layer that calls ptrace(2): one wrapper per request, wait statuses decoded to an enum,
 * remote memory, and the /proc files a tracer reads.  All requests must come from the thread that
 * seized.  -ESRCH means the task died (SIGKILL beats every stop): callers expect it anywhere.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"
#include "base/vec.h"

/* ---- statuses ------------------------------------------------------------------------------- */

enum ptrace_stop {
	PTRACE_STOP_EXITED, /* value: exit status */
	PTRACE_STOP_KILLED, /* value: signal; core: dumped */
	PTRACE_STOP_SIGNAL, /* signal-delivery-stop; value: signal */
	PTRACE_STOP_GROUP,  /* group-stop; value: stopping signal */
	PTRACE_STOP_INTERRUPT, /* event-stop from PTRACE_INTERRUPT, or a new task's first stop */
	PTRACE_STOP_SYSCALL, /* syscall-entry or -exit-stop */
	PTRACE_STOP_CLONE,
	PTRACE_STOP_FORK,
	PTRACE_STOP_VFORK,
	PTRACE_STOP_VFORK_DONE,
	PTRACE_STOP_EXEC, /* GETEVENTMSG: the former tid */
	PTRACE_STOP_EXIT, /* about to exit; registers still readable */
	PTRACE_STOP_SECCOMP,
	PTRACE_STOP_UNKNOWN,
};

struct ptrace_event {
	pid_t tid;
	enum ptrace_stop stop;
	int value;
	bool core;
	int status; /* raw */
};

/* All waiting is for the calling thread's own tracees and children: others are another tracer's, or the
 * program's that we are part of. */
void ptrace_decode(pid_t tid, int status, struct ptrace_event *ret);
/** ptrace_wait() - one waitpid(tid or -1, __WALL [| WNOHANG]); 1 event, 0 none (WNOHANG), -ECHILD, ... */
must_check int ptrace_wait(pid_t tid, bool block, struct ptrace_event *ret);
/**
 * ptrace_peek_stop() - a stop of one tracee, or (0) of any, never an exit; 1 event, 0 none, -ECHILD
 * It is left to be seen again until the tracee is set in motion or ptrace_take_stop() takes it.  The signal
 * of a signal-delivery-stop that has been taken is lost should the tracer die; of one that has not, it
 * is delivered (kernel/ptrace.c: ptrace_stop(), kernel/exit.c: wait_task_stopped()).
 */
must_check int ptrace_peek_stop(pid_t tid, struct ptrace_event *ret);
/** ptrace_take_stop() - the same and take it.  It may be another than was peeked at: SIGKILL ends every stop
 * and leads to the exit-stop */
must_check int ptrace_take_stop(pid_t tid, struct ptrace_event *ret);
/** ptrace_peek() - whether a stop or an exit of anybody waits; 1 some: it may be of a child that nobody traces,
 * 0 none, -ECHILD; -EINTR if it blocks.  Of a stop *ret is filled in, as by ptrace_peek_stop(); of an exit tid is 0 */
must_check int ptrace_peek(bool block, struct ptrace_event *ret);
/** ptrace_peek_exit() - a tracee or child that waits to be reaped (left so); 1, 0 none, -ECHILD */
must_check int ptrace_peek_exit(pid_t *ret_tid);

/* ---- requests ---------------------------------------------------------------------------------- */

must_check int ptrace_seize(pid_t tid, unsigned long options,
	struct error *err); /* explains EPERM, as below */
/** ptrace_explain() - why the kernel refuses to show a process: user, Yama, another tracer, it has exited...
 * @code: -EPERM, -EACCES or -ESRCH as the kernel said it, which is returned; others are passed on */
int ptrace_explain(pid_t tid, int code, struct error *err);
must_check int ptrace_set_options(
	pid_t tid, unsigned long options); /* of a stopped one */
must_check int ptrace_interrupt(pid_t tid);
must_check int ptrace_cont(pid_t tid, int signal);
must_check int ptrace_syscall(pid_t tid, int signal);
must_check int ptrace_singlestep(pid_t tid, int signal);
must_check int ptrace_singleblock(pid_t tid, int signal);
must_check int ptrace_listen(pid_t tid);
must_check int ptrace_detach(pid_t tid, int signal);
must_check int ptrace_get_regs(pid_t tid, struct user_regs_struct *ret);
must_check int ptrace_set_regs(pid_t tid, const struct user_regs_struct *regs);
must_check int ptrace_get_siginfo(pid_t tid, siginfo_t *ret);
must_check int ptrace_set_siginfo(pid_t tid, const siginfo_t *info);
/** ptrace_peek_signal() - the one that waits in the thread itself, blocked or not; -ENOENT: none does */
must_check int ptrace_peek_signal(pid_t tid, int signal, siginfo_t *ret);
must_check int ptrace_get_sigmask(pid_t tid, uint64_t *ret);
must_check int ptrace_set_sigmask(pid_t tid, uint64_t mask);
must_check int ptrace_get_event_message(pid_t tid, unsigned long *ret);
/** register sets by note type (NT_PRSTATUS, ...); *size: of the buffer, then of what was read */
must_check int ptrace_get_regset(pid_t tid, unsigned type, void *buffer, size_t *size);
must_check int ptrace_set_regset(
	pid_t tid, unsigned type, const void *buffer, size_t size);
/** AUDIT_ARCH_* of the call in a syscall- or seccomp-stop; -EINVAL: in another stop; -EIO before Linux 5.3 */
must_check int ptrace_get_syscall_arch(pid_t tid, uint32_t *ret);
/** address of the thread's struct rseq, 0 when it has none; -EIO before Linux 5.13 */
must_check int ptrace_get_rseq(pid_t tid, uint64_t *ret_address);

/* ---- memory ------------------------------------------------------------------------------------
 * /proc/PID/mem: reads and writes any mapping whatever its protection (FOLL_FORCE); falls back to
 * PTRACE_POKEDATA for writes the kernel refuses there. */
must_check int remote_memory_open(pid_t pid, struct error *err); /* fd, O_CLOEXEC */
must_check int remote_memory_read(int fd, uint64_t address, void *bytes, size_t size);
must_check int remote_memory_write(
	int fd, uint64_t address, const void *bytes, size_t size);

/* ---- /proc -------------------------------------------------------------------------------------- */

/** does /proc tell of the processes by the numbers that they have here?  -EOPNOTSUPP: it does not */
must_check int proc_check_own(struct error *err);

struct proc_map {
	uint64_t start, end, offset;
	uint64_t device_inode; /* folded; 0: anonymous */
	bool read, write, execute, shared;
	const char *
		path; /* "" for anonymous; " (deleted)" kept; owned by struct proc_maps */
};
struct proc_maps {
	VEC(struct proc_map) maps;
	char *text;
};
/** what a mapping of a file has as device_inode; not so on file systems of layers */
uint64_t proc_fold_inode(dev_t device, uint64_t inode);
must_check int proc_read_maps(pid_t pid, struct proc_maps *ret, struct error *err);
void proc_maps_free(struct proc_maps *maps);

struct proc_status {
	pid_t tgid, ppid, tracer;
	uid_t uid, euid;
	gid_t gid, egid;
	int seccomp; /* 0 off, 1 strict, 2 filter */
	int seccomp_filters;
	bool no_new_privs;
	char state;           /* R S D T t Z X */
	uint64_t sig_pending; /* the thread's own and the process's */
	uint64_t sig_blocked, sig_ignored, sig_caught;
	uint64_t switches; /* how often it left a processor */
	bool shadow_stack;
	char name[64];
	int ns_pid, ns_tgid; /* innermost NSpid and NStgid */
	int ns_levels;       /* how many numbers it has, from the reader's namespace on */
};
must_check int proc_read_status(pid_t tid, struct proc_status *ret, struct error *err);
struct proc_stat {
	char state;
	uint32_t flags; /* the kernel's PF_* */
	uint64_t
		start_time; /* ticks after boot: with the pid, the identity of a process */
	uint64_t start_brk;
	uint64_t sig_ignored, sig_caught; /* signals 1 to 31 only */
	int exit_signal;
	unsigned threads; /* of its process, those that wait to be reaped too */
};
must_check int proc_read_stat(pid_t tid, struct proc_stat *ret);
/** how often it has been given a processor; 0: the kernel does not count */
uint64_t proc_read_turns(pid_t tid);
/** how much more address space a process (0: the caller) may have, and how much it may have in all;
 * UINT64_MAX: as much as it likes, or nobody can tell */
struct proc_address_space {
	uint64_t limit, left;
};
struct proc_address_space proc_read_address_space(pid_t pid);
/** tids of a process, the oldest first, which is its leader; VEC of pid_t, vec_free() it */
struct proc_tids {
	VEC(pid_t) tids;
};
must_check int proc_list_tasks(pid_t pid, struct proc_tids *ret, struct error *err);
/** all process ids in /proc */
must_check int proc_list_processes(struct proc_tids *ret, struct error *err);

struct proc_syscall {
	bool running; /* not blocked: everything below is unknown */
	long number;  /* -1: blocked outside a system call */
	uint64_t args[6], sp, pc;
};
must_check int proc_read_syscall(pid_t pid, pid_t tid, struct proc_syscall *ret);
/**
 * proc_task_with_memory() - the thread in whose name /proc shows what the process has in common
 *
 * A leader that has exited before its threads has no memory, program or root directory there any more.
 * Return: @pid; or another of its threads, when that is so
 */
pid_t proc_task_with_memory(pid_t pid);
/** readlink /proc/PID/exe into ret (size PATH_MAX) */
must_check int proc_read_exe(pid_t pid, char *ret, size_t size);
/** bits of AT_* from /proc/PID/auxv; 0 when absent */
must_check int proc_read_auxv(pid_t pid, unsigned long type, uint64_t *ret);
