/* SPDX-License-Identifier: MIT */
/*
 * The processes of a run: launched, attached to, and everything they fork and exec.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

#include "session/ask.h"
#include "session/events.h"
#include "session/perf_events.h"
#include "session/remote.h"
#include "session/stap_target.h"
#include "session/tasks.h"
#include "session/watch.h"

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
		session_task_resume(task);
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
		if (r == 0)
			session_watch_process(s, p);
		r = process_release(p, &err);
		process_drop(s, p);
		task = r == -ESRCH ? NULL : utrace_find_task(s->utrace, work->tid);
	}
	if (task)
		session_task_resume(task);
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
	session_tasks_free_contexts(s);
}

/* ---- start and stop
 * -------------------------------------------------------------------------------- */

static bool has_execed(const void *session, pid_t pid)
{
	const struct session_target_state *state =
		((const struct session *)session)->target_state;
	for (size_t i = 0; i < state->work.count; i++)
		if (state->work.items[i].kind == TARGET_WORK_EXEC &&
			state->work.items[i].pid == pid)
			return true;
	return false;
}

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
		if (session_task_watch(s, t) < 0)
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
	else if (r == -ESRCH) /* the loop goes on with it when it is another program */
		r = uprobe_await_exec(s->utrace, pid, has_execed, s, err);
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
	r = session_task_watch(s, task);
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
	utrace_on_new_task(s->utrace, session_task_new, s);
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
		session_task_resume(task);
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
