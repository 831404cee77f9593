/* SPDX-License-Identifier: MIT */
/* process.begin, .syscall and the like: which handlers an event of a process has, and running them. */
#pragma once

#include "elf/unwind.h"
#include "session/process.h"

/** does some probe wait for it in this process? */
bool session_event_is_wanted(
	const struct session *s, const struct session_process *p, enum stap_event event);
/** run the handlers; @regs: of the stopped thread, NULL when it is not stopped */
/** session_event_is_any_wanted() - whether some probe asks for an event of this very process */
bool session_event_is_any_wanted(
	const struct session *s, const struct session_process *p);

void session_event(struct session *s, const struct session_process *p, pid_t tid,
	enum stap_event event, const struct user_regs_struct *regs);
/* What a thread was at when a probe's handler was due. */
struct event_sample {
	uint32_t site;
	pid_t pid, tid;
	const struct user_regs_struct *regs;
	const struct elf_unwind_stack *stack; /* NULL: the thread is stopped */
};
/** session_event_sample() - run one probe's handler */
void session_event_sample(struct session *s, const struct event_sample *sample);
/** begin events of what is there when the run starts */
void session_event_start(struct session *s);
/** the same for one that came later */
void session_event_start_process(struct session *s, struct session_process *p);
