/* SPDX-License-Identifier: MIT */
/*
 * process.data probes: data of processes, watched by the processor's debug registers.
 *
 * Each thread has a perf event on a register of its own (perf_event_open(2), which needs no privilege for one's own
 * processes where kernel.perf_event_paranoid is 2 or less).  It stops the thread behind the instruction, by a
 * signal that never reaches the program, and the handler runs in the tracer.  What the kernel does to the data
 * for the program (read(2) into it) is not seen.
 */
#pragma once

#include "session/process.h"

struct session_watch;

/** session_watch_create() - s->watch; NULL where no probe asks for any */
must_check int session_watch_create(struct session *s, struct error *err);
void session_watch_destroy(struct session *s);
bool session_watch_is_any_wanted(const struct session *s);
/** session_watch_is_wanted() - is data of this process meant by some probe? */
bool session_watch_is_wanted(const struct session *s, const struct session_process *p);
/** session_watch_may_come() - some of it is in a library that the process may have mapped later */
bool session_watch_may_come(const struct session *s, const struct session_process *p);
/**
 * session_watch_process() - once it has its space: watch in all of its threads, and in those that come
 * To be called again when it has mapped libraries.
 */
void session_watch_process(struct session *s, struct session_process *p);
/** session_watch_thread() - one that has come */
void session_watch_thread(struct session *s, const struct session_process *p, pid_t tid);
/** session_watch_forget() - the thread has ended (@tid), or all that the process was (@tid 0) */
void session_watch_forget(struct session *s, pid_t pid, pid_t tid);
/**
 * session_watch_report() - for the report_signal callback
 * Return: true: the signal was ours, and is over; false: @info is to be looked at, which may have become another
 */
bool session_watch_report(struct session *s, struct utrace_task *task,
	struct uprobe_space *space, const struct user_regs_struct *regs, siginfo_t *info);
/** session_watch_stop() - nothing is watched from here on; tells what was missed */
void session_watch_stop(struct session *s);
