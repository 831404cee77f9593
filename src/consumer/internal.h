/* SPDX-License-Identifier: MIT */
/*
 * The inside of libutrace-uprobes (include/utrace/uprobes.h), on top of uprobes/.
 *
 *   struct uprobes      everything of one tracer
 *   struct probe_file   an ELF file with probes; identity: its inode
 *   struct probe_point  an instruction of a file where something may be wanted: the notice of its breakpoint
 *   struct uprobe       a place the user named: a point, and for return probes those of the exits
 *   struct probe_link   a consumer at a uprobe
 *   struct probe_process, struct probe_thread
 *
 * Registering changes these tables only.  probes_settle() then brings the text of every process into line
 * with them (sync.c): what is wanted is planned anew, what differs is taken out, the rest put in.  It never
 * runs inside a callback, where threads cannot be waited for; callbacks leave `dirty` behind.
 *
 * Files, uprobes and points live until the end: a late signal may still name them.
 */
#pragma once

#include "abi/context.h"
#include "abi/session.h"
#include "agent/link.h"
#include "base/error.h"
#include "base/vec.h"
#include "elf/module.h"
#include "uprobes/uprobes.h"
/* after base/error.h, which says what struct utrace_error is here */
#include <utrace/uprobes.h>

struct probe_answer { /* of a filter */
	pid_t pid;
	bool is_wanted;
};

struct probe_link {
	struct uprobe *uprobe;
	struct uprobe_consumer *consumer; /* NULL: unregistered; to be used again */
	uint64_t generation;              /* counts its consumers */
	VEC(struct probe_answer) answers;
	uint32_t site, return_site; /* of its native functions; 0: none */
	uint32_t
		entry_site; /* what return_site takes where exits are shared; 0: nothing */
};

struct uprobe {
	struct uprobes *owner;
	struct probe_file *file;
	struct probe_point *point;
	uint64_t address, start, end; /* link-time, as all addresses of files here */
	uint64_t offset, ref_ctr_offset;
	uint64_t semaphore; /* 0: none */
	bool has_exits, shares_exits;
	size_t exits, tail_calls;
	uint64_t hits, missed;
	VEC(struct probe_link *) links;
};

struct probe_event {
	struct uprobe *uprobe;
	bool is_return, is_conditional;
};

struct probe_point {
	struct probe_file *file;
	uint64_t address;
	struct arch_plan breakpoint, jump;
	bool has_jump; /* else jump would be a breakpoint too */
	VEC(struct probe_event) events;
};

struct probe_file {
	char *path; /* canonical */
	uint64_t device_inode, size;
	struct elf_module *elf;
	struct arch_text *text;
	const struct elf_function **by_name; /* NULL: nobody has asked */
	size_t name_count;
	VEC(struct uprobe *) uprobes;
	VEC(struct probe_point *) points; /* sorted by address */
};

struct uprobe_code {
	uint64_t offset; /* in the image */
};

/* A call of a function whose return somebody waits for. */
struct probe_frame {
	struct probe_link *link;
	uint64_t generation; /* the link's, then */
	uint64_t sp;         /* where its return address is */
	uint64_t data;
};

struct probe_thread { /* the data of its engine */
	struct uprobes *owner;
	VEC(struct probe_frame) frames;
};

struct probe_live { /* a patch in a process */
	const struct probe_point *point;
	uint64_t address;   /* runtime address of the patch */
	uint64_t signature; /* what it does */
	bool is_refused;
};

struct probe_process {
	pid_t pid, parent;
	bool shares_parent; /* a vfork child before its exec: the memory is the parent's */
	struct uprobe_space *space;
	uint64_t loader; /* its struct r_debug, watched; 0: none */
	VEC(struct probe_live) live;
	unsigned int holds; /* in use further up the stack */
	bool is_arming;     /* nobody may map or unmap libraries */
	bool is_dead, has_execed;
	struct probe_process *next;
};

enum probe_work_kind {
	PROBE_WORK_EXEC,
	PROBE_WORK_LOADER
};

struct probe_work {
	enum probe_work_kind kind;
	pid_t pid, tid;
};

struct uprobes {
	struct utrace *utrace;
	struct uprobes_options options;
	struct uprobe_session session;
	struct abi_session
		layout; /* of session memory; what is in there processes can write */
	struct agent_link image;
	int64_t native_offset; /* agent_call_native() in it */
	uint32_t site_count;   /* used of the native table; 0 stands for none */
	int guardian;
	VEC(struct probe_file *) files;
	VEC(struct uprobe_code *) codes;
	VEC(struct probe_work) work;
	VEC(pid_t) dead_threads; /* contexts to free */
	struct probe_process *processes;
	struct uprobe_ghosts ghosts;
	unsigned int callbacks; /* running */
	int64_t settled_ms;     /* when held-back signals were looked at last */
	bool is_settling, dirty, stopping;
};

void probes_warn(struct uprobes *u, pid_t pid, const char *fmt, ...) printf_like(3, 4);

/* ---- file.c ------------------------------------------------------------------------------------------ */

/** the uprobe of a place, made or found; nothing is changed when it is refused */
must_check int probe_find_place(struct uprobes *u, const struct uprobe_place *place,
	struct uprobe **ret, struct error *err);
/** plan its exits, if that has not been done */
must_check int probe_plan_exits(struct uprobe *uprobe, struct error *err);
void probe_file_free(struct probe_file *file);

/* ---- native.c ---------------------------------------------------------------------------------------- */

/** session memory, the image and the guardian */
must_check int probe_memory_create(struct uprobes *u, struct error *err);
void probe_memory_destroy(struct uprobes *u);
/** give a native function of a consumer a number; 0: none are left */
uint32_t probe_native_add(
	struct uprobes *u, const struct uprobe_code *code, uint64_t cookie);
/** probe_native_pair() - have it run only for calls that were seen to begin; the site for the entry, 0: none are left */
uint32_t probe_native_pair(struct uprobes *u, uint32_t site);
/** handlers run no more */
void probe_memory_stop(struct uprobes *u);
/** contexts of threads that are gone */
void probe_free_contexts(struct uprobes *u);

/* ---- process.c --------------------------------------------------------------------------------------- */

struct probe_process *probe_process_find(struct uprobes *u, pid_t pid);
struct probe_process *probe_process_new(
	struct uprobes *u, pid_t pid); /* or the one there is */
void probe_process_delete(struct uprobes *u, pid_t pid);
void probe_process_free(void *process); /* of one that is in no table */
/** the process that one of an unknown parent is a copy of, dead or not; NULL: nothing of ours is in it */
struct probe_process *probe_process_of_orphan(struct uprobes *u, pid_t pid);
void probe_process_hold(struct probe_process *p);
void probe_process_drop(struct uprobes *u, struct probe_process *p);
/** it is gone or has called exec: nothing to undo */
void probe_process_forget(struct probe_process *p);
/** the patches a task runs into: a vfork child runs on its parent's memory */
struct uprobe_space *probe_task_space(struct uprobes *u, struct utrace_task *task);
/** do everything that callbacks have left to do; not from a callback */
void probes_settle(struct uprobes *u);

/* ---- sync.c ------------------------------------------------------------------------------------------ */

/** bring the text of a process into line with what is wanted in it */
must_check int probe_sync(struct uprobes *u, struct probe_process *p, struct error *err);
/** does it map a file with probes? */
bool probe_process_maps_any(struct uprobes *u, pid_t pid);
/** does a consumer want the process?  The filter is asked once */
bool probe_link_wants(struct probe_link *link, pid_t pid);
void probe_link_answer(struct probe_link *link, pid_t pid, bool is_wanted);
void probe_forget_answers(struct uprobes *u, pid_t pid);

/* ---- hit.c ------------------------------------------------------------------------------------------- */

/** have our callbacks on a task; its thread's frames are copied from @parent, if there is one */
must_check int probe_watch(
	struct uprobes *u, struct utrace_task *task, const struct probe_thread *parent);
void probe_unwatch(struct utrace_task *task);
/** utrace_on_orphan(): a new process whose creator was killed before it told */
void probe_report_orphan(struct utrace_task *task, void *uprobes);
/** let a task run that report_exec() or the loader's breakpoint has held */
void probe_resume(struct utrace_task *task);
