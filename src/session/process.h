/* SPDX-License-Identifier: MIT */
/*
 * The table of traced processes.  Work on a process dispatches events, its own death among them: hold
 * it meanwhile, and it stays in the table.
 */
#pragma once

#include "session/internal.h"

/* Where a module is patched: a process may have mapped it more than once (dlmopen). */
struct process_place {
	size_t module; /* index */
	uint64_t bias;
};

struct session_process {
	pid_t pid;
	pid_t seen_pid; /* its number in its own namespace */
	pid_t patched_as; /* the process whose patches it has: its own, or those of one it was
			     forked from */
	pid_t parent;     /* whose memory it shares or copied */
	struct uprobe_space *space; /* NULL: nothing of ours in it */
	char *program;              /* what it runs, canonical; NULL: unknown */
	uint64_t loader;            /* address of its struct r_debug, watched; 0: none */
	bool shares_parent; /* a vfork child before its exec: the memory is the parent's
			     */
	VEC(struct process_place) patched;
	unsigned holds;  /* in use further up the stack */
	bool is_dead;    /* to be deleted when nobody holds it */
	bool is_arming;  /* nobody may map or unmap libraries */
	bool is_watched; /* the front is in: threads that come are watched, watch.h */
	bool has_execed; /* its patches are to be forgotten then */
	struct session_process *next;
};

/** look again what it runs */
void process_learn_program(struct session_process *p);
struct session_process *process_find(struct session *s, pid_t pid);
struct session_process *process_new(
	struct session *s, pid_t pid); /* or the one there is */
void process_delete(struct session *s, pid_t pid);
void process_delete_all(struct session *s);
/** process_of_orphan() - the process that one of an unknown parent is a copy of, dead or not; NULL: nothing
 * of ours is in it */
struct session_process *process_of_orphan(struct session *s, pid_t pid);
void process_hold(struct session_process *p);
void process_drop(struct session *s, struct session_process *p);
void process_forget_patches(struct session *s, struct session_process *p);
/** what is patched in a process that was forked holds for its child */
void process_inherit(struct session_process *p, const struct session_process *parent);

/**
 * process_is_meant() - is it one of those that a point names by number or program
 * @as: the number it goes by: a forked process keeps the patches that its parent was meant for
 */
bool process_is_meant(
	const struct session_process *p, const struct stap_location *location, pid_t as);
/** does it map a probed file that is not patched yet? */
bool process_wants(
	struct session *s, const struct session_process *p, const struct proc_maps *maps);
/** some file that is probed in it (NULL: in any) is a library: it may be mapped at any time */
bool process_may_load_libraries(const struct session *s, const struct session_process *p);
/** bring session memory into a process and patch what it maps; @task stopped: becomes the victim */
must_check int process_arm(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err);
/** after an exec: its libraries are there once the dynamic linker has run */
must_check int process_arm_at_exec(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err);
/** what it has unmapped may be mapped and patched again */
must_check int process_forget_unmapped(
	struct session *s, struct session_process *p, struct error *err);
must_check int process_release(struct session_process *p, struct error *err);

/* ---- loader.c -------------------------------------------------------------------------------------- */

/**
 * loader_watch() - be told when the dynamic linker has mapped or unmapped something
 * A breakpoint where debuggers have theirs (r_brk of struct r_debug, <link.h>).  Programs without a
 * dynamic linker are left alone.
 */
must_check int loader_watch(
	struct session *s, struct session_process *p, struct error *err);
/** when it has just been attached to: let a thread that is changing the link map finish that */
must_check int loader_settle(
	struct session *s, struct session_process *p, struct error *err);
/** is a breakpoint's notice that of the watch? */
bool loader_is_notice(const void *notice);
/** the link map is complete: nothing is just being added or deleted */
bool loader_is_consistent(const struct session_process *p);
/** patch what is new, forget what is gone */
must_check int loader_follow(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err);
