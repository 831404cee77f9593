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
#include "session/internal.h"
#include "session/stap_target.h"

enum target_work_kind {
	TARGET_WORK_EXEC,
	TARGET_WORK_FORK
};

struct target_work {
	enum target_work_kind kind;
	pid_t pid, parent;
};

struct session_target_state {
	VEC(struct target_work) work;
	VEC(pid_t) dead_threads; /* contexts to free once their rings are read */
};

static const struct utrace_engine_ops target_ops;

/* ---- processes
 * -------------------------------------------------------------------------------------
 */

static struct session_process *process_find(struct session *s, pid_t pid)
{
	for (struct session_process *p = s->processes; p; p = p->next)
		if (p->pid == pid)
			return p;
	return NULL;
}

static struct session_process *process_new(struct session *s, pid_t pid)
{
	struct session_process *p = process_find(s, pid);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	bool *inserted = calloc(s->modules.count + 1, sizeof(*inserted));
	if (!p || !inserted)
		abort();
	p->pid = pid;
	p->inserted = inserted;
	p->next = s->processes;
	s->processes = p;
	return p;
}

static void process_forget_patches(struct session *s, struct session_process *p)
{
	if (p->space)
		uprobe_space_forget(p->space);
	p->space = NULL;
	p->shares_parent = false;
	memset(p->inserted, 0, sizeof(*p->inserted) * s->modules.count);
}

static void process_delete(struct session *s, pid_t pid)
{
	struct session_process *gone = process_find(s, pid);
	if (gone && gone->holds) {
		gone->is_dead = true;
		return;
	}
	for (struct session_process **at = &s->processes; *at; at = &(*at)->next) {
		struct session_process *p = *at;
		if (p->pid != pid)
			continue;
		*at = p->next;
		process_forget_patches(s, p);
		free(p->inserted);
		free(p);
		return;
	}
}

/* Work on a process dispatches events, its own death among them: while somebody holds it, it stays. */
static void process_hold(struct session_process *p)
{
	p->holds++;
}

static void process_drop(struct session *s, struct session_process *p)
{
	if (--p->holds)
		return;
	if (p->has_execed)
		process_forget_patches(s, p);
	p->has_execed = false;
	if (p->is_dead)
		process_delete(s, p->pid);
}

/* The patches a task runs into: a vfork child runs on its parent's memory. */
static struct uprobe_space *task_space(struct session *s, struct utrace_task *task)
{
	struct session_process *p = process_find(s, utrace_task_pid(task));
	if (p && p->shares_parent)
		p = process_find(s, p->parent);
	return p ? p->space : NULL;
}

/* ---- inserting
 * ----------------------------------------------------------------------------------------
 */

static bool module_bias(
	const struct session_module *m, const struct proc_maps *maps, uint64_t *ret)
{
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		if (!map->execute || strcmp(map->path, m->path) != 0)
			continue;
		*ret = elf_module_bias(m->elf, map->start, map->offset);
		return true;
	}
	return false;
}

static bool process_wants(
	struct session *s, const struct session_process *p, const struct proc_maps *maps)
{
	uint64_t bias;
	for (size_t i = 0; i < s->modules.count; i++)
		if (!p->inserted[i] && s->modules.items[i].patches.count &&
			module_bias(&s->modules.items[i], maps, &bias))
			return true;
	return false;
}

static bool session_has_libraries(const struct session *s)
{
	for (size_t i = 0; i < s->modules.count; i++)
		if (s->modules.items[i].is_library)
			return true;
	return false;
}

static void process_report_refused(struct session *s, const struct session_process *p,
	const struct uprobe_request *request)
{
	const struct session_site *site = &s->sites.items[request->handlers[0].site];
	session_warn(s, "probe %s registration error in process %d: %s",
		site->location->pp, p->pid, request->refused.message);
}

static int process_insert(struct session *s, struct session_process *p, struct error *err)
{
	struct proc_maps maps = {0};
	VEC(struct uprobe_request) requests = {0};
	VEC(uint64_t) semaphores = {0};
	int r = proc_read_maps(p->pid, &maps, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->modules.count; i++) {
		struct session_module *m = &s->modules.items[i];
		uint64_t bias;
		if (p->inserted[i] || !module_bias(m, &maps, &bias))
			continue;
		p->inserted[i] = true;
		for (size_t k = 0; k < m->semaphores.count; k++)
			vec_append(&semaphores, m->semaphores.items[k] + bias);
		for (size_t k = 0; k < m->patches.count; k++) {
			struct uprobe_request *request = vec_push(&requests);
			request->plan = &m->patches.items[k].plan;
			request->bias = bias;
			request->own_stack = elf_module_is_go(m->elf);
			request->handlers = m->patches.items[k].handlers.items;
			request->handler_count = m->patches.items[k].handlers.count;
		}
	}
	proc_maps_free(&maps);
	if (requests.count)
		r = uprobe_insert(p->space, requests.items, requests.count, err);
	/* last: the program looks at them before it comes to its marks */
	if (r == 0)
		r = uprobe_raise_semaphores(
			p->space, semaphores.items, semaphores.count, err);
	vec_free(&semaphores);
	for (size_t i = 0; i < requests.count && r == 0; i++)
		if (requests.items[i].status < 0)
			process_report_refused(s, p, &requests.items[i]);
	vec_free(&requests);
	return r;
}

/* Bring session memory into a process and patch what it maps.  @task stopped: becomes the
 * victim. */
static int process_arm(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err)
{
	int r = 0;
	if (!p->space)
		r = uprobe_space_create(&s->uprobes, task, &p->space, err);
	if (r == 0)
		r = process_insert(s, p, err);
	return r;
}

/* After an exec: its libraries are there once the dynamic linker has run. */
static int process_arm_at_exec(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(p->pid, &maps, err);
	if (r < 0)
		return r;
	bool wanted = process_wants(s, p, &maps) || session_has_libraries(s);
	proc_maps_free(&maps);
	if (!wanted)
		return 0;
	r = uprobe_space_create(&s->uprobes, task, &p->space, err);
	if (r == 0)
		r = inject_run_to_entry(uprobe_space_inject(p->space), err);
	if (r == 0)
		r = process_insert(s, p, err);
	return r;
}

static int process_release(struct session_process *p, struct error *err)
{
	struct inject *inject = p->space ? uprobe_space_inject(p->space) : NULL;
	if (inject && inject_has_victim(inject))
		return inject_release_victim(inject, err);
	return 0;
}

/* ---- engine callbacks
 * ------------------------------------------------------------------------------- */

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
	r = utrace_set_events(task, engine,
		UTRACE_EVENT(CLONE) | UTRACE_EVENT(EXEC) | UTRACE_EVENT(EXIT) |
			UTRACE_EVENT(DEATH) | UTRACE_EVENT_SIGNAL_ALL);
	utrace_engine_put(engine);
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

static void target_new_task(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	struct session *s = data;
	pid_t pid = utrace_task_pid(task);
	if (task_space(s, parent))
		task_clear_gs(task);
	if (task_watch(s, task) < 0 || pid == utrace_task_pid(parent))
		return;
	struct session_process *creator = process_find(s, utrace_task_pid(parent));
	struct session_process *p = process_new(s, pid);
	p->parent = creator && creator->shares_parent ? creator->parent
						      : utrace_task_pid(parent);
	if (flags & CLONE_VM) {
		p->shares_parent = true;
		return;
	}
	struct session_process *owner = process_find(s, p->parent);
	if (!owner || !owner->space)
		return;
	memcpy(p->inserted, owner->inserted, sizeof(*p->inserted) * s->modules.count);
	struct error err = {0};
	if (uprobe_space_fork(owner->space, task, &p->space, &err) < 0)
		session_warn(
			s, "cannot follow the forked process %d: %s", pid, err.message);
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
	if (p->holds)
		p->has_execed = true;
	else
		process_forget_patches(s, p);
	if (s->stopping)
		return UTRACE_RESUME;
	vec_append(&s->target_state->work,
		((struct target_work){TARGET_WORK_EXEC, p->pid, 0}));
	return UTRACE_STOP;
}

static uint32_t target_report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	struct uprobe_space *space = task_space(s, task);
	if (space && uprobe_report_signal(space, task, regs, info))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	return UTRACE_RESUME | (action & UTRACE_SIGNAL_MASK);
}

static uint32_t target_report_exit(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	if (utrace_task_tid(task) == s->command_pid)
		s->command_status = (int)orig_code;
	return UTRACE_RESUME;
}

static uint32_t target_report_death(
	struct utrace_engine *engine, bool group_dead, int signal)
{
	struct session *s = utrace_engine_data(engine);
	struct utrace_task *task = utrace_engine_task(engine);
	pid_t pid = utrace_task_pid(task);
	vec_append(&s->target_state->dead_threads, utrace_task_tid(task));
	if (!group_dead)
		return UTRACE_RESUME;
	if (pid == s->command_pid)
		s->command_exited = true;
	process_delete(s, pid);
	return UTRACE_RESUME;
}

static const struct utrace_engine_ops target_ops = {
	.report_clone = target_report_clone,
	.report_exec = target_report_exec,
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
	r = process_release(p, &err);
	process_drop(s, p);
	task = utrace_find_task(s->utrace, work->pid);
	if (task && r != -ESRCH)
		target_resume(task);
}

/* A context whose thread is gone goes back to the pool when everything it said has been
 * read. */
static void work_free_contexts(struct session *s)
{
	struct session_target_state *state = s->target_state;
	if (!state->dead_threads.count)
		return;
	for (uint32_t slot = 1; slot < session_context_limit(s); slot++) {
		struct abi_context *c = session_context(s, slot);
		for (size_t i = 0; i < state->dead_threads.count && c->claimed; i++) {
			if ((pid_t)c->tid != state->dead_threads.items[i])
				continue;
			rt_recover_locks(s->memory.base, slot);
			if (c->ring_head != c->ring_tail)
				session_output_drain(s, true);
			c->self = 0;
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
		work_exec(s, &work);
	}
	state->work.count = 0;
	work_free_contexts(s);
}

/* ---- start and stop
 * -------------------------------------------------------------------------------- */

static int target_attach(struct session *s, pid_t pid, struct error *err)
{
	int r = utrace_seize_process(s->utrace, pid, err);
	if (r < 0)
		return r;
	struct utrace_task *first = NULL;
	for (struct utrace_task *t = utrace_first_task(s->utrace, pid); t;
		t = utrace_next_task(t, pid)) {
		first = first ? first : t;
		if (task_watch(s, t) < 0)
			continue; /* died meanwhile */
	}
	if (!first)
		return error_set(err, -ESRCH,
			"process %d ended while it was being attached to", pid);
	struct session_process *p = process_new(s, pid);
	process_hold(p);
	r = process_arm(s, p, first, err);
	struct error release_err = {0};
	int released = process_release(p, &release_err);
	process_drop(s, p);
	if (r == 0 && released < 0) {
		*err = release_err;
		r = released;
	}
	return r;
}

static bool process_maps_module(struct session *s, pid_t pid)
{
	struct proc_maps maps = {0};
	bool *none = calloc(s->modules.count + 1, sizeof(*none));
	if (!none)
		abort();
	struct session_process probe = {.pid = pid, .inserted = none};
	bool wanted = false;
	if (proc_read_maps(pid, &maps, NULL) == 0) {
		wanted = process_wants(s, &probe, &maps);
		proc_maps_free(&maps);
	}
	free(none);
	return wanted;
}

/* No -c and no -x: every running process of the probed files which the user may trace. */
static int target_attach_all(struct session *s, struct error *err)
{
	struct proc_tids pids = {0};
	size_t attached = 0;
	int r = proc_list_processes(&pids, err);
	for (size_t i = 0; i < pids.tids.count && r == 0; i++) {
		pid_t pid = pids.tids.items[i];
		struct error one = {0};
		if (pid == getpid() || !process_maps_module(s, pid))
			continue;
		if (target_attach(s, pid, &one) < 0)
			session_warn(s, "%s", one.message);
		else
			attached++;
	}
	vec_free(&pids.tids);
	if (r == 0 && !attached)
		session_warn(s,
			"no running process has a probed file mapped: start it with -c CMD, or "
			"name it with -x PID");
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
	struct session_process *p = process_new(s, s->command_pid);
	r = task_watch(s, task);
	if (r < 0)
		return error_set(err, r, "the command ended before it could be probed");
	process_hold(p);
	r = process_arm_at_exec(s, p, task, err);
	process_drop(s, p);
	return r;
}

int session_targets_start(struct session *s, struct error *err)
{
	s->target_state = arena_new(&s->arena, struct session_target_state);
	int r = utrace_create(&s->utrace, err);
	if (r < 0)
		return r;
	utrace_on_new_task(s->utrace, target_new_task, s);
	s->uprobes.utrace = s->utrace;
	s->poll_modules = session_has_libraries(s);
	if (s->options->command)
		return target_launch(s, err);
	if (s->options->pid) {
		s->memory.header->target_pid = (uint32_t)s->options->pid;
		return target_attach(s, s->options->pid, err);
	}
	return s->modules.count ? target_attach_all(s, err) : 0;
}

void session_targets_release(struct session *s)
{
	struct session_process *p =
		s->command_pid ? process_find(s, s->command_pid) : NULL;
	struct error err = {0};
	if (!p)
		return;
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
	if (p->shares_parent || proc_read_maps(p->pid, &maps, NULL) < 0)
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
	s->stopping = true;
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
			session_warn(s,
				"process %d keeps %llu bytes of probe code that a thread may still run: %s",
				pid, (unsigned long long)left, err.message);
	}
	utrace_detach_process(s->utrace, 0);
}

void session_targets_free(struct session *s)
{
	while (s->processes)
		process_delete(s, s->processes->pid);
	if (s->target_state) {
		vec_free(&s->target_state->work);
		vec_free(&s->target_state->dead_threads);
	}
	if (s->utrace)
		utrace_destroy(s->utrace);
	s->utrace = NULL;
}
