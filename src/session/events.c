/* SPDX-License-Identifier: MIT */
#include "session/events.h"

#include <string.h>

#include "session/remote.h"

static bool site_has_event(const struct session_site *site,
	const struct session_process *p, enum stap_event event)
{
	return site->location && site->location->event == event &&
	       process_is_meant(p, site->location, p->pid);
}

static const struct session_site *event_site(const struct session *s, size_t i)
{
	return &s->sites.items[s->event_sites.items[i]];
}

bool session_event_is_wanted(
	const struct session *s, const struct session_process *p, enum stap_event event)
{
	for (size_t i = 0; i < s->event_sites.count; i++)
		if (site_has_event(event_site(s, i), p, event))
			return true;
	return false;
}

bool session_event_is_any_wanted(const struct session *s, const struct session_process *p)
{
	for (size_t i = 0; i < s->event_sites.count; i++)
		if (process_is_meant(p, event_site(s, i)->location, p->pid))
			return true;
	return false;
}

/* KEEP IN SYNC: registers of system calls (session/target_events.c) */
static void fill_regs(const struct user_regs_struct *regs, struct abi_regs *ret)
{
	session_remote_regs(regs, ret);
	/* the instruction itself clobbers rcx: the number of the call is there */
	if ((int64_t)regs->orig_rax >= 0)
		ret->rcx = regs->orig_rax;
}

void session_event(struct session *s, const struct session_process *p, pid_t tid,
	enum stap_event event, const struct user_regs_struct *regs)
{
	struct abi_regs copy;
	struct remote_probe probe = {.pid = p->pid,
		.tid = tid,
		.is_over = event == STAP_EVENT_PROCESS_END ||
			   event == STAP_EVENT_THREAD_END};
	/* the end comes when nothing can be learned any more */
	if ((event == STAP_EVENT_PROCESS_BEGIN &&
		    session_event_is_wanted(s, p, STAP_EVENT_PROCESS_END)) ||
		(event == STAP_EVENT_THREAD_BEGIN &&
			session_event_is_wanted(s, p, STAP_EVENT_THREAD_END)))
		session_remote_prepare(s, p->pid, tid);
	if (regs) {
		fill_regs(regs, &copy);
		probe.regs = &copy;
		probe.sp = regs->rsp;
		probe.ip = regs->rip;
	}
	for (size_t i = 0; i < s->event_sites.count; i++) {
		/* exit() in one handler keeps the later ones from running */
		if (!session_is_running(s) || s->stopping)
			return;
		if (!site_has_event(event_site(s, i), p, event))
			continue;
		probe.site = s->event_sites.items[i];
		session_remote_call(s, &probe);
	}
}

void session_event_sample(struct session *s, const struct event_sample *sample)
{
	struct abi_regs copy;
	session_remote_regs(sample->regs, &copy);
	if (session_is_running(s) && !s->stopping)
		session_remote_call(s, &(struct remote_probe){.site = sample->site,
					       .pid = sample->pid,
					       .tid = sample->tid,
					       .regs = &copy,
					       .sp = sample->regs->rsp,
					       .ip = sample->regs->rip,
					       .stack = sample->stack});
}

static void start_thread(struct session *s, struct session_process *p, pid_t tid)
{
	struct user_regs_struct regs;
	struct utrace_task *task = utrace_find_task(s->utrace, tid);
	bool is_leader = tid == p->pid;
	bool has_regs =
		task && utrace_task_is_stopped(task) && utrace_get_regs(task, &regs) == 0;
	session_event(s, p, tid,
		is_leader ? STAP_EVENT_PROCESS_BEGIN : STAP_EVENT_THREAD_BEGIN,
		has_regs ? &regs : NULL);
}

void session_event_start_process(struct session *s, struct session_process *p)
{
	VEC(pid_t) tids = {0};
	struct utrace_task *task = utrace_first_task(s->utrace, p->pid);
	for (; task; task = utrace_next_task(task, p->pid))
		vec_append(&tids, utrace_task_tid(task));
	start_thread(s, p, p->pid);
	for (size_t i = 0; i < tids.count; i++)
		if (tids.items[i] != p->pid)
			start_thread(s, p, tids.items[i]);
	vec_free(&tids);
}

void session_event_start(struct session *s)
{
	for (struct session_process *p = s->processes; p; p = p->next)
		session_event_start_process(s, p);
}
