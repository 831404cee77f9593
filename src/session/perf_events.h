/* SPDX-License-Identifier: MIT */
/*
 * perf.* probes: the events of perf_event_open(2), opened for each thread of the processes that a
 * probe means.  A thread is not stopped for a sample: the kernel notes its registers and, for handlers
 * that look at stacks, the top of its stack.  Handlers run in the tracer on what was noted; other
 * memory they read as it is by then.
 */
#pragma once

#include "session/process.h"

struct session_perf;

/** session_perf_can_count() - is there such an event for this user; the reason why not in @err */
must_check int session_perf_can_count(uint32_t type, uint64_t config, struct error *err);
/** session_perf_explain() - why perf_event_open(2) failed; @code: of errno */
int session_perf_explain(int code, struct error *err);
/** session_perf_create() - s->perf; NULL where no probe asks for any */
must_check int session_perf_create(struct session *s, struct error *err);
void session_perf_destroy(struct session *s);
/** session_perf_fd() - readable when samples wait; -1: none will */
int session_perf_fd(const struct session *s);
/** session_perf_add() - begin to count in a thread, which should be stopped */
void session_perf_add(struct session *s, const struct session_process *p, pid_t tid);
/** session_perf_drain_thread() - it is about to end: its samples are looked at while it is known */
void session_perf_drain_thread(struct session *s, pid_t tid);
/** session_perf_remove() - the thread has ended */
void session_perf_remove(struct session *s, pid_t tid);
/** session_perf_exec() - the process runs another program, in one thread */
void session_perf_exec(struct session *s, const struct session_process *p);
/** session_perf_drain() - run the handlers of the samples that wait */
void session_perf_drain(struct session *s);
/** session_perf_stop() - nothing is counted from here on; tells what was lost */
void session_perf_stop(struct session *s);
/**
 * session_perf_read() - what @perf() of a thread is
 * @tid: as the tracer or as the process itself sees it
 * Context: any thread.
 */
bool session_perf_read(
	struct session *s, pid_t pid, pid_t tid, const char *counter, int64_t *ret);
