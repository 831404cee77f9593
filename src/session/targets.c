/* SPDX-License-Identifier: MIT */
/*
 * The processes of a run: launched, attached to, and everything they fork and exec.
 *
 * Engine callbacks run while utrace_dispatch() is on the stack, so they only note what
 * happened and leave the task stopped where work has to follow; session_targets_work()
 * does it from the loop.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <wordexp.h>

#include "runtime/runtime.h"
#include "session/ask.h"
#include "session/events.h"
#include "session/perf_events.h"
#include "session/remote.h"
#include "session/stap_target.h"
#include "session/watch.h"

enum target_work_kind {
	TARGET_WORK_EXEC,
	TARGET_WORK_LOADER
};

struct target_work {
	enum target_work_kind kind;
	pid_t pid, tid;
};

/* A report that a thread was asked for, for timer.profile. */
struct target_sample {
	pid_t tid;
	uint32_t site;
	uint64_t asked_ns;
};

/* A thread as its context has it: by the numbers of its own namespace. */
struct target_thread {
	pid_t pid, tid; /* the tracer's numbers; pid 0: not known any more */
	pid_t seen_pid, seen_tid;
	bool is_exiting; /* not dead yet, but done with the program */
};

struct session_target_state {
	VEC(struct target_thread) elsewhere; /* those in other namespaces */
	VEC(struct target_work) work;
	VEC(struct target_sample) samples;
	VEC(struct target_thread)
	dead_threads; /* contexts to free once their rings are read */
};

enum {
	SAMPLE_FRESH_NS = 50000000,
	DEAD_THREADS_MAX = 16 /* of them have contexts that others wait for */
};

static const struct utrace_engine_ops target_ops;

static void work_free_contexts(struct session *s);

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

static int task_watch(struct session *s, struct utrace_task *task)
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
	if (task_watch(s, task) < 0)
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

static void target_new_task(struct utrace_task *task, struct utrace_task *parent,
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
		if (task_watch(s, task) == 0)
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
		work_free_contexts(s);
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

static void target_resume(struct utrace_task *task)
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

static void work_exec(struct session *s, const struct target_work *work)
{
	struct utrace_task *task = utrace_find_task(s->utrace, work->pid);
	struct session_process *p = process_find(s, work->pid);
	struct error err = {0};
	if (!task || !p)
		return;
	process_hold(p);
	int r = session_is_running(s) ? process_arm_at_exec(s, p, task, &err) : 0;
	if (r < 0 && r != -ESRCH)
		session_warn(s, "cannot probe process %d after its exec: %s", p->pid,
			err.message);
	if (r == 0)
		session_watch_process(s, p);
	r = process_release(p, &err);
	process_drop(s, p);
	task = utrace_find_task(s->utrace, work->pid);
	if (task && r != -ESRCH)
		target_resume(task);
}

static void work_loader(struct session *s, const struct target_work *work)
{
	struct utrace_task *task = utrace_find_task(s->utrace, work->tid);
	struct session_process *p = process_find(s, work->pid);
	struct error err = {0};
	if (task && p && p->space && session_is_running(s)) {
		process_hold(p);
		int r = loader_follow(s, p, task, &err);
		if (r < 0 && r != -ESRCH)
			session_warn(s, "cannot probe a library in process %d: %s",
				p->pid, err.message);
		r = process_release(p, &err);
		process_drop(s, p);
		task = r == -ESRCH ? NULL : utrace_find_task(s->utrace, work->tid);
	}
	if (task)
		target_resume(task);
}

/* A context whose thread is gone goes back to the pool when everything it said has been
 * read. */
static void work_free_contexts(struct session *s)
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

void session_targets_work(struct session *s)
{
	struct session_target_state *state = s->target_state;
	for (size_t i = 0; i < state->work.count; i++) {
		struct target_work work =
			state->work.items[i]; /* the list may grow meanwhile */
		if (work.kind == TARGET_WORK_EXEC)
			work_exec(s, &work);
		else
			work_loader(s, &work);
	}
	state->work.count = 0;
	work_free_contexts(s);
}

/* ---- start and stop
 * -------------------------------------------------------------------------------- */

int session_targets_attach(struct session *s, pid_t pid, struct error *err)
{
	int r = uprobe_seize(s->utrace, pid, err);
	if (r < 0)
		return r;
	struct utrace_task *first = NULL;
	struct session_process *p =
		process_new(s, pid); /* says which events are wanted */
	for (struct utrace_task *t = utrace_first_task(s->utrace, pid); t;
		t = utrace_next_task(t, pid)) {
		first = first ? first : t;
		if (task_watch(s, t) < 0)
			continue; /* died meanwhile */
	}
	if (!first) {
		process_delete(s, pid);
		return error_set(err, -ESRCH,
			"process %d ended while it was being attached to", pid);
	}
	process_hold(p);
	/* events alone need nothing in the process */
	if (s->modules.count || session_watch_is_wanted(s, p))
		r = process_arm(s, p, first, err);
	if (r == 0)
		session_watch_process(s, p);
	struct error release_err = {0};
	int released = process_release(p, &release_err);
	process_drop(s, p);
	if (r == 0 && released < 0) {
		*err = release_err;
		r = released;
	}
	return r;
}

bool session_targets_wants(struct session *s, pid_t pid)
{
	struct proc_maps maps = {0};
	struct session_process probe = {.pid = pid, .patched_as = pid};
	bool wanted = false;
	process_learn_program(&probe);
	if (proc_read_maps(pid, &maps, NULL) == 0) {
		wanted = process_wants(s, &probe, &maps);
		proc_maps_free(&maps);
	}
	wanted = wanted || session_event_is_any_wanted(s, &probe);
	free(probe.program);
	return wanted;
}

bool session_targets_wants_any(const struct session *s)
{
	for (size_t i = 0; i < s->sites.count && !s->modules.count; i++)
		if (s->sites.items[i].location && s->sites.items[i].location->event)
			return true;
	return s->modules.count > 0;
}

/* No -c and no -x: every running process of the probed files which the user may trace, and those
 * whose events are asked for. */
static int target_attach_all(struct session *s, struct error *err)
{
	struct proc_tids pids = {0};
	size_t attached = 0;
	int r = proc_list_processes(&pids, err);
	for (size_t i = 0; i < pids.tids.count && r == 0; i++) {
		pid_t pid = pids.tids.items[i];
		struct error one = {0};
		if (pid == getpid() || !session_targets_wants(s, pid))
			continue;
		if (session_targets_attach(s, pid, &one) < 0)
			session_warn(s, "%s", one.message);
		else
			attached++;
	}
	vec_free(&pids.tids);
	if (r == 0 && !attached)
		session_warn(s,
			"no running process has a probed file mapped; those that start later are "
			"probed as soon as they are seen, -c CMD probes one from its first instruction");
	return r;
}

/* Split like a shell; what only a shell can do goes through one. */
int session_split_command(
	struct session *s, const char *command, char ***ret, struct error *err)
{
	wordexp_t words = {0};
	char **argv;
	int r = wordexp(command, &words, WRDE_NOCMD);
	if (r == WRDE_BADCHAR || r == WRDE_CMDSUB) {
		argv = arena_array(&s->arena, char *, 4);
		argv[0] = arena_strdup(&s->arena, "/bin/sh");
		argv[1] = arena_strdup(&s->arena, "-c");
		argv[2] = arena_strdup(&s->arena, command);
		*ret = argv;
		return 0;
	}
	if (r != 0)
		return error_set(err, -EINVAL, "cannot split the command %s: %s", command,
			r == WRDE_SYNTAX ? "unbalanced quotes or parentheses"
					 : "out of memory");
	if (words.we_wordc == 0) {
		wordfree(&words);
		return error_set(err, -EINVAL, "Empty CMD string invalid.");
	}
	argv = arena_array(&s->arena, char *, words.we_wordc + 1);
	for (size_t i = 0; i < words.we_wordc; i++)
		argv[i] = arena_strdup(&s->arena, words.we_wordv[i]);
	wordfree(&words);
	*ret = argv;
	return 0;
}

static int target_launch(struct session *s, struct error *err)
{
	char **argv;
	struct utrace_task *task;
	int r = session_split_command(s, s->options->command, &argv, err);
	if (r < 0)
		return r;
	r = utrace_launch(s->utrace, argv, &task, err);
	if (r < 0)
		return r;
	s->command_pid = utrace_task_pid(task);
	s->memory.header->target_pid = (uint32_t)s->command_pid;
	process_new(s, s->command_pid);
	r = task_watch(s, task);
	if (r < 0)
		return error_set(err, r, "the command ended before it could be probed");
	return 0;
}

/* It has been stopped at its exec all the while. */
static int target_arm_command(struct session *s, struct error *err)
{
	struct utrace_task *task = utrace_find_task(s->utrace, s->command_pid);
	struct session_process *p = process_find(s, s->command_pid);
	if (!task || !p)
		return error_set(
			err, -ESRCH, "the command ended before it could be probed");
	process_hold(p);
	/* on its way to the entry point it makes calls: its beginning is told before theirs */
	session_event_start_process(s, p);
	int r = process_arm_at_exec(s, p, task, err);
	if (r == 0)
		session_watch_process(s, p);
	process_drop(s, p);
	return r;
}

int session_targets_open(struct session *s, struct error *err)
{
	s->target_state = arena_new(&s->arena, struct session_target_state);
	int r = utrace_create(&s->utrace, err);
	if (r < 0)
		return r;
	utrace_on_new_task(s->utrace, target_new_task, s);
	s->uprobes.utrace = s->utrace;
	s->poll_modules = process_may_load_libraries(s, NULL);
	if (s->options->command)
		return target_launch(s, err);
	s->memory.header->target_pid = (uint32_t)s->options->pid;
	return 0;
}

int session_targets_start(struct session *s, struct error *err)
{
	if (s->options->command)
		return target_arm_command(s, err);
	if (s->options->pid)
		return session_targets_attach(s, s->options->pid, err);
	return session_targets_wants_any(s) ? target_attach_all(s, err) : 0;
}

void session_targets_release(struct session *s)
{
	struct session_process *p =
		s->command_pid ? process_find(s, s->command_pid) : NULL;
	struct error err = {0};
	if (!p) {
		session_event_start(s);
		return;
	}
	if (process_release(p, &err) < 0)
		return;
	struct utrace_task *task = utrace_find_task(s->utrace, s->command_pid);
	if (task && utrace_task_is_stopped(task))
		target_resume(task);
}

static void process_poll(struct session *s, struct session_process *p)
{
	struct proc_maps maps = {0};
	struct error err = {0};
	if (p->shares_parent || p->loader || proc_read_maps(p->pid, &maps, NULL) < 0)
		return;
	bool wanted = process_wants(s, p, &maps);
	proc_maps_free(&maps);
	struct utrace_task *task = utrace_first_task(s->utrace, p->pid);
	if (!wanted || !task)
		return;
	int r = process_arm(s, p, task, &err);
	if (r < 0 && r != -ESRCH)
		session_warn(s, "cannot probe a library in process %d: %s", p->pid,
			err.message);
	r = process_release(p, &err);
	if (r < 0 && r != -ESRCH)
		session_warn(s, "process %d: %s", p->pid, err.message);
}

void session_targets_poll(struct session *s)
{
	struct session_process *next;
	for (struct session_process *p = s->processes; p && s->poll_modules; p = next) {
		process_hold(p);
		process_poll(s, p);
		next = p->next;
		process_drop(s, p);
	}
}

void session_targets_settle(struct session *s)
{
	for (struct session_process *p = s->processes, *next; p; p = next) {
		process_hold(p);
		if (p->space)
			uprobe_defer_settle(p->space);
		if (p->space)
			uprobe_look_for_filter(p->space);
		next = p->next;
		process_drop(s, p);
	}
}

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

static struct session_process *process_patched(struct session *s)
{
	for (struct session_process *p = s->processes; p; p = p->next)
		if (p->space)
			return p;
	return NULL;
}

void session_targets_stop(struct session *s)
{
	if (!s->utrace)
		return;
	session_perf_stop(s);
	session_watch_stop(s);
	s->stopping = true;
	for (const struct session_process *p = s->processes; p; p = p->next)
		session_ask_remember(s, p->pid);
	for (struct session_process *p; (p = process_patched(s));) {
		struct error err = {0};
		uint64_t left = 0;
		pid_t pid = p->pid;
		/* breakpoints of the removal still need the space to find their way */
		process_hold(p);
		int r = uprobe_space_remove(p->space, &left, &err);
		p->space = NULL;
		process_drop(s, p);
		if (r < 0 && r != -ESRCH)
			session_warn(s, "process %d: %s", pid, err.message);
		else if (left)
			session_warn(s, "process %d keeps %llu bytes of probe code: %s",
				pid, (unsigned long long)left, err.message);
	}
	uprobe_leave_blocked(s->utrace);
	utrace_detach_process(s->utrace, 0);
}

void session_targets_free(struct session *s)
{
	session_remote_free(s);
	session_newcomers_free(s);
	process_delete_all(s);
	if (s->target_state) {
		vec_free(&s->target_state->work);
		vec_free(&s->target_state->samples);
		vec_free(&s->target_state->dead_threads);
		vec_free(&s->target_state->elsewhere);
	}
	if (s->utrace)
		utrace_destroy(s->utrace);
	s->utrace = NULL;
}
