/* SPDX-License-Identifier: MIT */
#include "session/tasks.h"

#include <errno.h>
#include <sched.h>

#include "runtime/runtime.h"
#include "session/ask.h"
#include "session/events.h"
#include "session/perf_events.h"
#include "session/remote.h"
#include "session/watch.h"

enum {
	SAMPLE_FRESH_NS = 50000000,
	DEAD_THREADS_MAX = 16 /* of them have contexts that others wait for */
};

static const struct utrace_engine_ops target_ops;

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The patches a task runs into: a vfork child runs on its parent's memory. */
static struct uprobe_space *task_space(struct session *s, struct utrace_task *task)
{
	struct session_process *p = process_find(s, utrace_task_pid(task));
	if (p && p->shares_parent)
		p = process_find(s, p->parent);
	return p ? p->space : NULL;
}

/* ---- engine callbacks
 * ------------------------------------------------------------------------------- */

static unsigned long wanted_events(struct session *s, struct utrace_task *task)
{
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	unsigned long events = UTRACE_EVENT(CLONE) | UTRACE_EVENT(EXEC) |
			       UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH) |
			       UTRACE_EVENT_SIGNAL_ALL;
	if (p && session_event_is_wanted(s, p, STAP_EVENT_SYSCALL))
		events |= UTRACE_EVENT(SYSCALL_ENTRY);
	if (p && session_event_is_wanted(s, p, STAP_EVENT_SYSCALL_RETURN))
		events |= UTRACE_EVENT(SYSCALL_EXIT);
	if (p && session_event_is_wanted(s, p, STAP_EVENT_PROFILE))
		events |= UTRACE_EVENT(QUIESCE);
	return events;
}

/* Its number there can be read as long as it lives. */
static void thread_remember(struct session *s, struct utrace_task *task)
{
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	pid_t tid = utrace_task_tid(task);
	struct proc_status status;
	if (!p || p->seen_pid == p->pid || proc_read_status(tid, &status, NULL) < 0)
		return;
	vec_append(&s->target_state->elsewhere,
		((struct target_thread){p->pid, tid, p->seen_pid, status.ns_pid, false}));
}

static struct target_thread thread_known(const struct session *s,
	const struct session_process *p, pid_t tid, bool is_exiting)
{
	const struct session_target_state *state = s->target_state;
	pid_t pid = p ? p->pid : 0;
	struct target_thread found = {pid, tid, pid, tid, is_exiting};
	for (size_t i = 0; i < state->elsewhere.count; i++)
		if (state->elsewhere.items[i].tid == tid)
			found = state->elsewhere.items[i];
	found.is_exiting = is_exiting;
	return found;
}

static void thread_forget(struct session *s, pid_t tid)
{
	struct session_target_state *state = s->target_state;
	for (size_t i = 0; i < state->elsewhere.count; i++)
		if (state->elsewhere.items[i].tid == tid) {
			state->elsewhere.items[i] =
				state->elsewhere.items[--state->elsewhere.count];
			return;
		}
}

/* Contexts of handlers that run in the tracer have the tracer's numbers. */
static bool thread_owns(const struct target_thread *thread, const struct abi_context *c)
{
	pid_t tid = (pid_t)c->tid, pid = (pid_t)c->pid;
	bool is_tracers = tid == thread->tid && (pid == thread->pid || !thread->pid);
	return is_tracers || (tid == thread->seen_tid && pid == thread->seen_pid);
}

int session_task_watch(struct session *s, struct utrace_task *task)
{
	struct utrace_engine *engine;
	int r = utrace_attach_task(task,
		UTRACE_ATTACH_CREATE | UTRACE_ATTACH_EXCLUSIVE | UTRACE_ATTACH_MATCH_OPS,
		&target_ops, s, &engine);
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return r;
	r = utrace_set_events(task, engine, wanted_events(s, task));
	utrace_engine_put(engine);
	thread_remember(s, task);
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	if (r == 0 && p) {
		session_perf_add(s, p, utrace_task_tid(task));
		session_watch_thread(s, p, utrace_task_tid(task));
	}
	return r;
}

/* A new task inherits its creator's gs base, but a context has one owner only. */
static void task_clear_gs(struct utrace_task *task)
{
	struct user_regs_struct regs;
	if (utrace_get_regs(task, &regs) < 0 || regs.gs_base == 0)
		return;
	regs.gs_base = 0;
	if (utrace_set_regs(task, &regs) < 0)
		return; /* killed meanwhile */
}

static void task_event(struct session *s, struct utrace_task *task, enum stap_event event)
{
	struct user_regs_struct regs;
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	/* what an end is to tell is learned at the beginning */
	enum stap_event end = event == STAP_EVENT_THREAD_BEGIN    ? STAP_EVENT_THREAD_END
			      : event == STAP_EVENT_PROCESS_BEGIN ? STAP_EVENT_PROCESS_END
								  : event;
	if (p && (session_event_is_wanted(s, p, event) ||
			 session_event_is_wanted(s, p, end)))
		session_event(s, p, utrace_task_tid(task), event,
			utrace_get_regs(task, &regs) == 0 ? &regs : NULL);
}

/* @owner: whose patches it has, NULL: nobody's */
static void target_follow(
	struct session *s, struct utrace_task *task, struct session_process *owner)
{
	pid_t pid = utrace_task_pid(task);
	struct session_process *p = process_new(s, pid);
	if (session_task_watch(s, task) < 0)
		return;
	task_event(s, task, STAP_EVENT_PROCESS_BEGIN);
	if (p->shares_parent)
		session_watch_process(s, p);
	if (p->shares_parent || !owner || !owner->space)
		return;
	process_inherit(p, owner);
	if (s->code.walks_stacks)
		session_ask_remember(s, pid);
	struct error err = {0};
	if (uprobe_space_fork(owner->space, task, &p->space, &err) < 0)
		session_warn(
			s, "cannot follow the forked process %d: %s", pid, err.message);
	session_watch_process(s, p);
}

/* Its creator was killed before it told. */
static void target_new_orphan(struct session *s, struct utrace_task *task)
{
	pid_t pid = utrace_task_pid(task);
	struct session_process *owner = process_of_orphan(s, pid),
			       *p = process_new(s, pid);
	const char *why;
	if (owner) {
		if (!uprobe_space_is_by_ptrace(owner->space, &why))
			task_clear_gs(task);
		p->parent = owner->pid;
		p->patched_as = owner->patched_as;
	}
	target_follow(s, task, owner);
}

void session_task_new(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	struct session *s = data;
	pid_t pid = utrace_task_pid(task);
	const char *why;
	if (!parent) {
		target_new_orphan(s, task);
		return;
	}
	if (task_space(s, parent) &&
		!uprobe_space_is_by_ptrace(task_space(s, parent), &why))
		task_clear_gs(task);
	if (pid == utrace_task_pid(parent)) {
		if (session_task_watch(s, task) == 0)
			task_event(s, task, STAP_EVENT_THREAD_BEGIN);
		return;
	}
	struct session_process *creator = process_find(s, utrace_task_pid(parent));
	struct session_process *p = process_new(s, pid);
	p->parent = creator && creator->shares_parent ? creator->parent
						      : utrace_task_pid(parent);
	p->shares_parent = flags & CLONE_VM;
	p->patched_as = creator ? creator->patched_as : pid;
	target_follow(s, task, process_find(s, p->parent));
}

static uint32_t target_report_clone(uint32_t action, struct utrace_engine *engine,
	unsigned long flags, struct utrace_task *child)
{
	return UTRACE_RESUME;
}

static uint32_t target_report_exec(
	uint32_t action, struct utrace_engine *engine, pid_t former_tid)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	struct session_process *p = process_new(s, utrace_task_pid(task));
	if (s->code.walks_stacks) { /* what has been printed of stacks is about the old program */
		session_ask_begin_past(s, p->pid);
		session_output_drain(s, true);
		session_ask_end_past(s, p->pid);
	}
	if (p->holds)
		p->has_execed = true;
	else
		process_forget_patches(s, p);
	if (s->stopping)
		return UTRACE_RESUME;
	/* the old program's end, the new one's beginning */
	session_event(s, p, p->pid, STAP_EVENT_PROCESS_END, NULL);
	process_learn_program(p);
	session_perf_exec(s, p);
	session_watch_forget(s, p->pid, 0);
	p->is_watched = false;
	(void)!utrace_set_events(task, engine, wanted_events(s, task));
	task_event(s, task, STAP_EVENT_PROCESS_BEGIN);
	vec_append(&s->target_state->work,
		((struct target_work){TARGET_WORK_EXEC, p->pid, p->pid}));
	return UTRACE_STOP;
}

static uint32_t target_report_syscall(struct utrace_engine *engine, enum stap_event event,
	const struct user_regs_struct *regs)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	if (p)
		session_event(s, p, utrace_task_tid(task), event, regs);
	return UTRACE_RESUME;
}

static uint32_t target_report_syscall_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	return target_report_syscall(engine, STAP_EVENT_SYSCALL, regs) |
	       utrace_syscall_action(action);
}

static uint32_t target_report_syscall_exit(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	return target_report_syscall(engine, STAP_EVENT_SYSCALL_RETURN, regs);
}

static uint32_t target_report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	struct uprobe_space *space = task_space(s, task);
	const void *notice = NULL;
	uint32_t answer;
	if (session_watch_report(s, task, space, regs, info))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	if (!uprobe_report_signal(space, task, action, regs, info, &notice, &answer))
		return answer;
	pid_t pid = utrace_task_pid(task);
	const struct session_process *p = process_find(s, pid);
	bool is_loader = loader_is_notice(notice);
	if (notice && !is_loader && p && !s->stopping)
		session_remote_hit(s, &(struct remote_hit){space, notice, p,
					      utrace_task_tid(task), regs});
	if (notice && uprobe_step_over(space, regs, info))
		return UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
	if (!is_loader || s->stopping || !p || !p->space ||
		(!p->is_arming && !loader_is_consistent(p)))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	vec_append(&s->target_state->work,
		((struct target_work){TARGET_WORK_LOADER, pid, utrace_task_tid(task)}));
	return UTRACE_STOP | UTRACE_SIGNAL_IGN;
}

/* Asked for by session_targets_sample(): the thread is about to go on in user mode. */
static uint32_t target_report_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	pid_t tid = utrace_task_tid(task);
	struct user_regs_struct regs;
	for (size_t i = 0; i < s->target_state->samples.count && !event;) {
		struct target_sample sample = s->target_state->samples.items[i];
		if (sample.tid != tid) {
			i++;
			continue;
		}
		s->target_state->samples.items[i] =
			s->target_state->samples.items[--s->target_state->samples.count];
		/* it has waited for something since: that is no time of the processor */
		if (now_ns() - sample.asked_ns < SAMPLE_FRESH_NS &&
			utrace_get_regs(task, &regs) == 0)
			session_event_sample(
				s, &(struct event_sample){.site = sample.site,
					   .pid = utrace_task_pid(task),
					   .tid = tid,
					   .regs = &regs});
	}
	return UTRACE_RESUME;
}

static uint32_t target_report_exit(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	const struct session_process *p = process_find(s, utrace_task_pid(task));
	session_ask_remember(s, utrace_task_pid(task));
	session_perf_drain_thread(s, utrace_task_tid(task));
	/* its handlers run when the death is heard of, and know the thread still */
	bool has_end = p && (session_event_is_wanted(s, p, STAP_EVENT_PROCESS_END) ||
				    session_event_is_wanted(s, p, STAP_EVENT_THREAD_END));
	if (has_end)
		session_ask_remember_times(s, utrace_task_tid(task));
	if (utrace_task_tid(task) == s->command_pid)
		s->command_status = (int)orig_code;
	/* The kernel tells of new children first: where threads come and go all the time, deaths are
	 * heard of much later.  Without this the contexts would be used up. */
	if (!has_end)
		vec_append(&s->target_state->dead_threads,
			thread_known(s, p, utrace_task_tid(task), true));
	if (s->target_state->dead_threads.count >= DEAD_THREADS_MAX)
		session_tasks_free_contexts(s);
	return UTRACE_RESUME;
}

static void forget_samples(struct session *s, pid_t tid)
{
	struct session_target_state *state = s->target_state;
	for (size_t i = state->samples.count; i-- > 0;)
		if (state->samples.items[i].tid == tid)
			state->samples.items[i] =
				state->samples.items[--state->samples.count];
}

static uint32_t target_report_death(
	struct utrace_engine *engine, bool group_dead, int signal)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	pid_t pid = utrace_task_pid(task), tid = utrace_task_tid(task);
	const struct session_process *p = process_find(s, pid);
	if (p && tid != pid)
		session_event(s, p, tid, STAP_EVENT_THREAD_END, NULL);
	if (p && group_dead)
		session_event(s, p, pid, STAP_EVENT_PROCESS_END, NULL);
	vec_append(&s->target_state->dead_threads, thread_known(s, p, tid, false));
	session_perf_remove(s, tid);
	session_watch_forget(s, pid, group_dead ? 0 : tid);
	thread_forget(s, tid);
	forget_samples(s, tid);
	if (!group_dead)
		return UTRACE_RESUME;
	if (pid == s->command_pid)
		s->command_exited = true;
	if (!s->command_pid && pid == s->options->pid)
		s->stopping = true;
	process_delete(s, pid);
	return UTRACE_RESUME;
}

static const struct utrace_engine_ops target_ops = {
	.report_clone = target_report_clone,
	.report_exec = target_report_exec,
	.report_quiesce = target_report_quiesce,
	.report_syscall_entry = target_report_syscall_entry,
	.report_syscall_exit = target_report_syscall_exit,
	.report_signal = target_report_signal,
	.report_exit = target_report_exit,
	.report_death = target_report_death,
};

void session_task_resume(struct utrace_task *task)
{
	struct utrace_engine *engine;
	if (utrace_attach_task(
		    task, UTRACE_ATTACH_MATCH_OPS, &target_ops, NULL, &engine) < 0)
		return;
	if (utrace_control(task, engine, UTRACE_RESUME) < 0) {
		/* it died: its death is reported by itself */
	}
	utrace_engine_put(engine);
}

/* ---- afterwards -------------------------------------------------------------------------------------- */

/* A context whose thread is gone goes back to the pool when everything it said has been
 * read. */
void session_tasks_free_contexts(struct session *s)
{
	struct session_target_state *state = s->target_state;
	for (size_t i = 0; i < state->dead_threads.count; i++)
		if (!state->dead_threads.items[i].is_exiting)
			session_ask_forget_times(s, state->dead_threads.items[i].tid);
	if (!state->dead_threads.count)
		return;
	for (uint32_t slot = 1; slot < session_context_limit(s); slot++) {
		struct abi_context *c = session_context(s, slot);
		for (size_t i = 0; i < state->dead_threads.count && c->claimed; i++) {
			if (!thread_owns(&state->dead_threads.items[i], c))
				continue;
			rt_recover_locks(s->memory.base, slot);
			if (c->ring_head != c->ring_tail)
				session_output_drain(s, true);
			c->self = 0;
			session_remote_forget(s, (pid_t)c->tid);
			__atomic_store_n(&c->claimed, 0, __ATOMIC_RELEASE);
		}
	}
	state->dead_threads.count = 0;
}

/* ---- samples of timer.profile ------------------------------------------------------------------------- */

static bool is_sampled(const struct session *s, pid_t tid, uint32_t site)
{
	const struct session_target_state *state = s->target_state;
	for (size_t i = 0; i < state->samples.count; i++)
		if (state->samples.items[i].tid == tid &&
			state->samples.items[i].site == site)
			return true;
	return false;
}

/* Only threads that run: nothing that waits is interrupted for a profile. */
static void sample_thread(struct session *s, struct utrace_task *task, uint32_t site)
{
	struct proc_syscall call;
	struct utrace_engine *engine;
	pid_t tid = utrace_task_tid(task);
	if (is_sampled(s, tid, site) ||
		proc_read_syscall(utrace_task_pid(task), tid, &call) < 0 ||
		!call.running ||
		utrace_attach_task(
			task, UTRACE_ATTACH_MATCH_OPS, &target_ops, NULL, &engine) < 0)
		return;
	vec_append(
		&s->target_state->samples, ((struct target_sample){tid, site, now_ns()}));
	(void)!utrace_control(task, engine, UTRACE_REPORT); /* it may be dying */
	utrace_engine_put(engine);
}

void session_targets_sample(struct session *s, uint32_t site)
{
	for (struct session_process *p = s->processes; p && !s->stopping; p = p->next) {
		struct utrace_task *task = utrace_first_task(s->utrace, p->pid);
		for (; task; task = utrace_next_task(task, p->pid))
			sample_thread(s, task, site);
	}
}
