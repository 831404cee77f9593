/* SPDX-License-Identifier: MIT */
/* The processes a run has to do with, and what is patched in each. */
#include "session/process.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "session/ask.h"
#include "session/stap_target.h"
#include "session/unwind.h"
#include "session/watch.h"
#include "uprobes/mapped.h"

/* ---- processes
 * -------------------------------------------------------------------------------------
 */

struct session_process *process_find(struct session *s, pid_t pid)
{
	for (struct session_process *p = s->processes; p; p = p->next)
		if (p->pid == pid)
			return p;
	return NULL;
}

struct session_process *process_new(struct session *s, pid_t pid)
{
	struct session_process *p = process_find(s, pid);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->pid = p->patched_as = pid;
	process_learn_program(p);
	p->seen_pid = session_ask_add_process(s, pid);
	p->next = s->processes;
	s->processes = p;
	return p;
}

void process_forget_patches(struct session *s, struct session_process *p)
{
	if (p->is_dead || !p->space || !uprobe_space_survives(p->space)) {
		uprobe_space_forget(p->space);
		p->space = NULL;
	}
	p->shares_parent = false;
	p->loader = 0;
	p->patched.count = 0;
	p->patched_as = p->pid;
	session_unwind_forget(s, p->pid);
	session_ask_forget_maps(s, p->pid);
}

static void process_free(void *process)
{
	struct session_process *p = process;
	vec_free(&p->patched);
	free(p->program);
	free(p);
}

struct session_process *process_of_orphan(struct session *s, pid_t pid)
{
	for (struct session_process *p = s->processes; p; p = p->next)
		if (uprobe_space_was_copied(p->space, pid))
			return p;
	return uprobe_ghosts_find(&s->ghosts, pid);
}

void process_delete(struct session *s, pid_t pid)
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
		session_unwind_forget(s, pid);
		session_ask_forget_maps(s, pid);
		session_ask_remove_process(s, pid);
		s->ghosts.free = process_free;
		if (p->space)
			uprobe_ghosts_add(&s->ghosts, p->space, p);
		else
			process_free(p);
		return;
	}
}

void process_delete_all(struct session *s)
{
	while (s->processes)
		process_delete(s, s->processes->pid);
	uprobe_ghosts_free(&s->ghosts);
}

/* Work on a process dispatches events, its own death among them: while somebody holds it, it stays. */
void process_hold(struct session_process *p)
{
	p->holds++;
}

void process_drop(struct session *s, struct session_process *p)
{
	if (--p->holds)
		return;
	if (p->has_execed)
		process_forget_patches(s, p);
	p->has_execed = false;
	if (p->is_dead)
		process_delete(s, p->pid);
}

void process_learn_program(struct session_process *p)
{
	char path[PATH_MAX];
	free(p->program);
	p->program = proc_read_exe(p->pid, path, sizeof(path)) == 0 ? strdup(path) : NULL;
}

void process_inherit(struct session_process *p, const struct session_process *parent)
{
	for (size_t i = 0; i < parent->patched.count; i++)
		vec_append(&p->patched, parent->patched.items[i]);
	p->loader = parent->loader;
	p->patched_as = parent->patched_as;
}

/* ---- inserting
 * ----------------------------------------------------------------------------------------
 */

static bool has_place(const struct session_process *p, struct process_place place)
{
	for (size_t i = 0; i < p->patched.count; i++)
		if (p->patched.items[i].module == place.module &&
			p->patched.items[i].bias == place.bias)
			return true;
	return false;
}

static struct uprobe_file module_file(const struct session_module *m)
{
	return (struct uprobe_file){m->elf, m->device_inode, m->path};
}

static bool is_mapping_of(const struct session_module *m, const struct proc_map *map)
{
	const struct uprobe_file file = module_file(m);
	return uprobe_file_is_mapped(&file, map);
}

bool process_is_meant(
	const struct session_process *p, const struct stap_location *location, pid_t as)
{
	if (location->only_pid)
		return location->only_pid == as;
	return !location->only_program ||
	       (p->program && strcmp(location->only_program, p->program) == 0);
}

static bool is_probed_in(const struct session_module *m, const struct session_process *p)
{
	bool is_meant = m->is_for_all;
	for (size_t i = 0; i < m->meant.count && !is_meant; i++)
		is_meant = process_is_meant(p, m->meant.items[i], p->patched_as);
	return is_meant && m->patches.count;
}

/* The next place that a module has code at that is probed in the process, in the order of mappings.
 * @cursor: 0 at first */
static bool next_place(const struct session *s, const struct session_process *p,
	const struct proc_maps *maps, size_t *cursor, struct process_place *ret)
{
	size_t modules = s->modules.count;
	for (size_t at; (at = *cursor) < maps->maps.count * modules;) {
		const struct proc_map *map = &maps->maps.items[at / modules];
		const struct session_module *m = &s->modules.items[at % modules];
		if (!map->execute) {
			*cursor = (at / modules + 1) * modules;
			continue;
		}
		++*cursor;
		if (!is_mapping_of(m, map) || !is_probed_in(m, p))
			continue;
		ret->module = at % modules;
		ret->bias = elf_module_bias(m->elf, map->start, map->offset);
		return true;
	}
	return false;
}

bool process_wants(
	struct session *s, const struct session_process *p, const struct proc_maps *maps)
{
	struct process_place place;
	for (size_t cursor = 0; next_place(s, p, maps, &cursor, &place);)
		if (!has_place(p, place))
			return true;
	return false;
}

bool process_may_load_libraries(const struct session *s, const struct session_process *p)
{
	for (size_t i = 0; i < s->modules.count; i++)
		if (s->modules.items[i].is_library &&
			(!p || is_probed_in(&s->modules.items[i], p)))
			return true;
	return session_watch_may_come(s, p) ||
	       (s->unwind && s->modules.count); /* their frames will be on stacks */
}

static void process_report_refused(struct session *s, const struct session_process *p,
	const struct uprobe_request *request)
{
	const struct session_patch *patch = request->notice;
	if (!patch && !request->handler_count)
		return; /* a host: its lodger is refused as well, and told */
	const struct session_site *site =
		&s->sites.items[(patch ? patch->handlers.items : request->handlers)[0]
					.site];
	session_warn(s, "probe %s registration error in process %d: %s",
		site->location->pp, p->pid, request->refused.message);
}

struct insertion {
	struct session *s;
	const struct session_process *process;
	VEC(struct uprobe_request) requests;
	VEC(uint64_t) semaphores;
	struct uprobe_mapped mapped; /* the module's file */
	struct arena scratch;        /* what requests point to */
};

static bool is_first_there(const struct arch_plan *plan, unsigned int point)
{
	for (unsigned int i = 0; i < point; i++)
		if (plan->points[i].offset == plan->points[point].offset)
			return false;
	return true;
}

/* Handlers in the tracer need no window: a breakpoint where each point of the patch is. */
static void insert_breakpoints(
	struct insertion *insertion, const struct session_patch *patch)
{
	const struct arch_plan *plan = &patch->plan;
	for (unsigned int i = 0; i < plan->point_count; i++) {
		size_t offset = plan->points[i].offset;
		struct arch_plan *single =
			arena_new(&insertion->scratch, struct arch_plan);
		struct uprobe_request *request;
		if (!is_first_there(plan, i))
			continue;
		/* cannot fail: the instruction has been displaced in the plan already */
		if (arch_plan_breakpoint(plan->original + offset, plan->window - offset,
			    plan->address + offset, single, NULL) < 0)
			continue;
		request = vec_push(&insertion->requests);
		request->plan = single;
		request->notice = patch;
	}
}

/* How many handlers of a patch are meant for the process; @ret gets them when it is not NULL. */
static size_t meant_handlers(const struct insertion *insertion,
	const struct session_patch *patch, struct arch_handler_call *ret)
{
	size_t count = 0;
	for (size_t i = 0; i < patch->handlers.count; i++) {
		const struct arch_handler_call *call = &patch->handlers.items[i];
		if (!process_is_meant(insertion->process,
			    insertion->s->sites.items[call->site].location,
			    insertion->process->patched_as))
			continue;
		if (ret)
			ret[count] = *call;
		count++;
	}
	return count;
}

static void insert_patch(struct insertion *insertion, const struct session_patch *patch,
	size_t meant, bool own_stack)
{
	struct uprobe_request *request = vec_push(&insertion->requests);
	request->plan = &patch->plan;
	request->own_stack = own_stack;
	request->handlers = patch->handlers.items;
	request->handler_count = meant;
	if (meant < patch->handlers.count) {
		struct arch_handler_call *calls =
			arena_array(&insertion->scratch, struct arch_handler_call, meant);
		meant_handlers(insertion, patch, calls);
		request->handlers = calls;
	}
}

static void insert_module(struct insertion *insertion, const struct session_module *m,
	uint64_t bias, bool by_ptrace)
{
	size_t first = insertion->requests.count;
	for (size_t i = 0; i < m->semaphores.count; i++)
		if (!uprobe_mapped_is_elsewhere(
			    &insertion->mapped, bias, m->semaphores.items[i]))
			vec_append(&insertion->semaphores, m->semaphores.items[i] + bias);
	for (size_t i = 0; i < m->patches.count; i++) {
		const struct session_patch *patch = &m->patches.items[i];
		size_t meant = meant_handlers(insertion, patch, NULL);
		if ((!meant && patch->handlers.count) ||
			uprobe_mapped_is_elsewhere(
				&insertion->mapped, bias, patch->plan.address))
			continue;
		if (by_ptrace)
			insert_breakpoints(insertion, patch);
		else
			insert_patch(insertion, patch, meant, elf_module_is_go(m->elf));
	}
	for (size_t i = first; i < insertion->requests.count; i++)
		insertion->requests.items[i].bias = bias;
}

static int process_insert(struct session *s, struct session_process *p, struct error *err)
{
	session_ask_forget_maps(s, p->pid);
	session_unwind_follow(s, p->pid);
	session_ask_remember(s, p->pid);
	struct proc_maps maps = {0};
	struct insertion insertion = {.s = s, .process = p};
	arena_init(&insertion.scratch);
	const char *why;
	bool by_ptrace = uprobe_space_is_by_ptrace(p->space, &why);
	int r = proc_read_maps(p->pid, &maps, err);
	if (r < 0)
		return r;
	struct process_place place;
	for (size_t cursor = 0; next_place(s, p, &maps, &cursor, &place);) {
		if (has_place(p, place))
			continue;
		vec_append(&p->patched, place);
		const struct session_module *m = &s->modules.items[place.module];
		const struct uprobe_file file = module_file(m);
		uprobe_mapped_find(&file, &maps, &insertion.mapped);
		insert_module(&insertion, m, place.bias, by_ptrace);
	}
	proc_maps_free(&maps);
	if (insertion.requests.count)
		r = uprobe_insert(p->space, insertion.requests.items,
			insertion.requests.count, err);
	/* last: the program looks at them before it comes to its marks */
	if (r == 0)
		r = uprobe_raise_semaphores(p->space, insertion.semaphores.items,
			insertion.semaphores.count, err);
	for (size_t i = 0; i < insertion.requests.count && r == 0; i++)
		if (insertion.requests.items[i].status < 0)
			process_report_refused(s, p, &insertion.requests.items[i]);
	vec_free(&insertion.semaphores);
	uprobe_mapped_free(&insertion.mapped);
	vec_free(&insertion.requests);
	arena_deinit(&insertion.scratch);
	return r;
}

static int process_create_space(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err)
{
	const char *why = NULL;
	int r = uprobe_space_create(&s->uprobes, task, &p->space, err);
	if (r == 0 && uprobe_space_is_by_ptrace(p->space, &why) && why)
		session_warn(s,
			"%s: probes stop its threads, and handlers run in utrace itself (--mode=ptrace)",
			why);
	return r;
}

/* Bring session memory into a process and patch what it maps.  @task stopped: becomes the
 * victim. */
int process_arm(struct session *s, struct session_process *p, struct utrace_task *task,
	struct error *err)
{
	int r = 0;
	bool is_new = !p->space;
	if (is_new)
		r = process_create_space(s, p, task, err);
	/* Threads that load and unload libraries wait at the watch meanwhile. */
	if (r == 0)
		r = loader_watch(s, p, err);
	if (r == 0 && is_new)
		r = loader_settle(s, p, err);
	if (r < 0)
		return r;
	p->is_arming = true;
	r = process_insert(s, p, err);
	p->is_arming = false;
	return r;
}

int process_forget_unmapped(
	struct session *s, struct session_process *p, struct error *err)
{
	struct proc_maps maps = {0};
	int r = proc_read_maps(p->pid, &maps, err);
	if (r < 0)
		return r;
	size_t kept = 0;
	for (size_t i = 0; i < p->patched.count; i++) {
		struct process_place place, was = p->patched.items[i];
		bool is_there = false;
		for (size_t cursor = 0;
			!is_there && next_place(s, p, &maps, &cursor, &place);)
			is_there = place.module == was.module && place.bias == was.bias;
		if (is_there)
			p->patched.items[kept++] = was;
	}
	p->patched.count = kept;
	proc_maps_free(&maps);
	return 0;
}

/* After an exec: its libraries are there once the dynamic linker has run. */
int process_arm_at_exec(struct session *s, struct session_process *p,
	struct utrace_task *task, struct error *err)
{
	struct proc_maps maps = {0};
	uint64_t left;
	/* what was brought in before the exec was told of is in the way of what has to be done at the beginning */
	int r = p->space ? uprobe_space_remove(p->space, &left, err) : 0;
	p->space = NULL;
	if (r == 0)
		r = proc_read_maps(p->pid, &maps, err);
	if (r < 0)
		return r;
	bool wanted = process_wants(s, p, &maps) || process_may_load_libraries(s, p) ||
		      session_watch_is_wanted(s, p);
	proc_maps_free(&maps);
	if (!wanted)
		return 0;
	r = process_create_space(s, p, task, err);
	if (r == 0 && uprobe_space_inject(p->space))
		r = uprobe_run_to_entry(p->space, err);
	if (r == 0)
		r = process_insert(s, p, err);
	return r < 0 ? r : loader_watch(s, p, err);
}

int process_release(struct session_process *p, struct error *err)
{
	struct inject *inject = p->space ? uprobe_space_inject(p->space) : NULL;
	if (inject && inject_has_victim(inject))
		return inject_release_victim(inject, err);
	return 0;
}
