/* SPDX-License-Identifier: MIT */
/* What the files of inject/ share. */
#pragma once

#include "base/step.h"
#include "inject/inject.h"
#include "ptrace/ptrace.h"

struct inject {
	struct utrace *utrace;
	pid_t pid;
	int memory_fd;
	bool shadow_stack, force;
	struct inject_stub stub;
	uint64_t scratch; /* a writable page of ours, while a victim is held; 0: none yet
			   */
	bool sync_enrolled;

	/* the victim */
	struct utrace_task *task;     /* NULL: none, or it died */
	struct utrace_engine *engine; /* with a reference; NULL: none */
	bool holding;
	bool calling; /* remote calls were prepared: mask is blocked, stop is clean */
	bool is_unfiltered; /* while they are made no filter is asked */
	bool can_unfilter; /* the kernel lets us do that; known once there was a victim */
	uint64_t signal_mask; /* the program's own */
	uint64_t entry;       /* inject_run_to(): where the breakpoint is; 0: none */
};

/* inject.c */
must_check int inject_check_seccomp(
	const struct proc_status *status, bool force, struct error *err);

/* victim.c */
must_check int inject_take_task(
	struct inject *inject, struct utrace_task *task, struct error *err);
/** block signals and move the victim to a stop from which calls can be made */
must_check int inject_prepare_calls(struct inject *inject, struct error *err);
/** undo it: the registers as they are, the program's mask, a stop the kernel restarts
 * calls from */
must_check int inject_finish_calls(struct inject *inject, struct error *err);
must_check int inject_check_victim(const struct inject *inject, struct error *err);

/* stub.c */
must_check int inject_find_stub(struct inject *inject, struct error *err);
/** make the stub lead to where @regs are, unless it does already */
must_check int inject_write_stub(
	struct inject *inject, const struct user_regs_struct *regs);
void inject_erase_stub(struct inject *inject);

/* call.c */
must_check int inject_scratch(struct inject *inject, struct error *err);
/** inject_syscall() whose failure in the target is an error too; *ret may be NULL */
must_check int inject_call(struct inject *inject, const char *name, long number,
	const uint64_t args[6], uint64_t *ret, struct error *err);

/* map.c */
struct gap_search {
	uint64_t low, high, size;
	uint64_t middle; /* the nearer, the better */
	uint64_t best;   /* 0: none */
};
/** a free place for search->size bytes, clear of heap and stack; 0: none */
uint64_t inject_find_gap(
	const struct proc_maps *maps, uint64_t start_brk, struct gap_search *search);
