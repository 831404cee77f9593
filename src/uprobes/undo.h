/* SPDX-License-Identifier: MIT */
/*
 * Undoing what a dead tracer left in a process, from nothing but its journal.  Used by
 * the guardian and by `utrace heal`.  The journal was writable by the process itself, so
 * every record is checked against its text and its mappings before anything is done; at
 * worst a process confuses itself.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "abi/session.h"
#include "base/error.h"
#include "base/vec.h"

struct undo_patches {
	VEC(struct abi_journal_patch) items;
};
struct undo_areas {
	VEC(struct abi_journal_area) items;
};

struct undo_victims {
	VEC(struct abi_journal_victim) items;
};

struct undo {
	pid_t pid;
	int memory_fd; /* while it runs */
	struct undo_patches
		patches; /* of this process, or of the one it was forked from */
	struct undo_patches semaphores; /* counters that the tracer had raised */
	struct undo_areas areas;
	struct undo_victims victims; /* of the whole session */
	/* called once all threads are stopped: mark the session dead; NULL: nothing to do
	 */
	int (*on_stopped)(struct undo *undo);
	void *data;
	uint64_t session_inode; /* of session memory, as struct proc_map has it */
	bool force;             /* a filter is no reason to make no call */
	bool semaphores_done;   /* result: they are lowered, their records must go */
	size_t restored;        /* result: patches whose text was changed back */
};

/**
 * undo_select() - copy the journal's records for a process
 * A process without records is a fork child nobody followed: it gets all records, and
 * what does not fit its text is skipped.
 */
void undo_select(struct undo *undo, const struct abi_journal *journal,
	uint32_t patch_count, uint32_t area_count);
void undo_deinit(struct undo *undo);

/** heal_is_wanted() - a process has session memory whose tracer has died */
bool heal_is_wanted(pid_t pid);

/** lower the counters again; the threads are stopped */
void undo_semaphores(const struct undo *undo, int memory_fd);

/* ---- undo_memory.c ------------------------------------------------------------------------------------ */

struct held_threads;

bool undo_in_arena(const struct undo *undo, uint64_t address);
/** undo_find_areas() - look which of the journal's areas are there, and no others */
must_check int undo_find_areas(struct undo *undo, int memory_fd, struct error *err);
/** undo_remove_memory() - the front and all mappings; no thread is inside; -EPERM: it has to stay */
must_check int undo_remove_memory(
	struct undo *undo, struct held_threads *held, int memory_fd, struct error *err);

/** undo_run() - seize, restore, unmap; -EBUSY, -EPERM: text is restored, memory had to stay */
must_check int undo_run(struct undo *undo, struct error *err);
