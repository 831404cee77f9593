/* SPDX-License-Identifier: MIT */
/*
 * A world of threads that exist only here: the engine core runs on it without ptrace.  A test says what
 * happens to a thread, dispatches, and looks at what the core has done to it.
 */
#pragma once

#include "utrace/internal.h"

enum {
	SIM_PID = 1000,
	SIM_THREADS = 8
};

struct sim_thread {
	pid_t tid;
	bool is_alive, is_stopped, is_listening;
	struct user_regs_struct regs;
	siginfo_t info;
	uint64_t mask, caught, ignored;
	unsigned long message;
	char state; /* of /proc */
	bool in_user_code;
	bool is_stranger; /* of another process by now */
	int stops_at_once; /* so often it stops again as soon as it is moved, and is offered first */
	/* what was done to it */
	int moves, interrupts;
	int moved_at; /* the number of its last move among those of all threads */
	enum utrace_motion motion;
	int signal; /* of the last move */
	int sent;   /* signal sent to it */
	siginfo_t sent_info;
};

extern const struct utrace_backend_ops sim_backend;

/** thread @index of process SIM_PID, alive and running; its tid is SIM_PID + index */
struct sim_thread *sim_start(unsigned index);
struct sim_thread *sim_thread(pid_t tid);
/** it stops like this */
void sim_stop(struct sim_thread *thread, enum ptrace_stop stop, int value);
void sim_signal(struct sim_thread *thread, int signal);
void sim_syscall(struct sim_thread *thread, long number, bool entry);
void sim_exit(struct sim_thread *thread, int status);
void sim_reset(void);
