/* SPDX-License-Identifier: MIT */
/*
 * Callbacks of the engine that is on every thread.
 *
 * Returns are paired with calls by the address of the return address: a frame is pushed where a function
 * is entered, and at an exit the frames of that stack slot are taken, with everything above them.  Frames
 * that longjmp() or an exception has left go with the next outer return, or when they are too many.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "consumer/internal.h"

enum {
	FRAMES_MAX = 16384 /* of a thread */
};

static const struct utrace_engine_ops probe_ops;

/* ---- frames ---- */

/* What lies below a stack pointer that goes on downwards is gone, if it is the same stack. */
static void drop_left(struct probe_thread *thread, uint64_t sp)
{
	size_t kept = 0;

	for (size_t i = 0; i < thread->frames.count; i++)
		if (thread->frames.items[i].sp > sp)
			thread->frames.items[kept++] = thread->frames.items[i];
	thread->frames.count = kept;
}

static void push_frame(
	struct probe_thread *thread, struct probe_link *link, uint64_t sp, uint64_t data)
{
	if (thread->frames.count >= FRAMES_MAX)
		drop_left(thread, sp);
	if (thread->frames.count >= FRAMES_MAX) {
		link->uprobe->missed++;
		return;
	}
	vec_append(&thread->frames,
		((struct probe_frame){link, link->generation, sp, data}));
}

/* ---- events at a point ---- */

struct hit {
	struct uprobes *u;
	struct probe_thread *thread;
	struct utrace_task *task;
	struct user_regs_struct *regs;
	pid_t owner; /* the process whose memory it is */
	uint64_t bias;
};

static void call_handler(const struct hit *hit, struct probe_link *link)
{
	struct uprobe_consumer *consumer = link->consumer;
	uint64_t data = 0;
	uint64_t sp = hit->regs->rsp;
	int result = 0;

	if (consumer->handler) {
		link->uprobe->hits++;
		result = consumer->handler(consumer, hit->task, hit->regs, &data);
	}
	if (result & UPROBE_HANDLER_REMOVE) {
		probe_link_answer(link, hit->owner, false);
		hit->u->dirty = true;
	}
	/* it may have unregistered itself */
	if (link->consumer && link->consumer->ret_handler &&
		!(result & UPROBE_HANDLER_IGNORE))
		push_frame(hit->thread, link, sp, data);
}

static void call_ret_handler(const struct hit *hit, struct probe_frame *frame)
{
	struct uprobe_consumer *consumer = frame->link->consumer;

	if (!consumer || frame->generation != frame->link->generation ||
		!consumer->ret_handler || !probe_link_wants(frame->link, hit->owner))
		return;
	frame->link->uprobe->hits++;
	consumer->ret_handler(consumer, hit->task,
		frame->link->uprobe->address + hit->bias, hit->regs, &frame->data);
}

static void enter_function(const struct hit *hit, struct uprobe *uprobe)
{
	struct probe_thread *thread = hit->thread;

	/* whoever had its return address there has left without a word: longjmp(), or a tail call */
	while (uprobe->address == uprobe->start && thread->frames.count &&
		thread->frames.items[thread->frames.count - 1].sp == hit->regs->rsp)
		thread->frames.count--;
	/* those that a callback adds are not called this time */
	size_t count = uprobe->links.count;

	for (size_t i = 0; i < count; i++) {
		struct probe_link *link = uprobe->links.items[i];
		if (link->consumer &&
			(link->consumer->handler || link->consumer->ret_handler) &&
			probe_link_wants(link, hit->owner))
			call_handler(hit, link);
	}
}

static void leave_function(const struct hit *hit, struct uprobe *uprobe)
{
	struct probe_thread *thread = hit->thread;
	uint64_t sp = hit->regs->rsp;
	size_t end = thread->frames.count, start;
	VEC(struct probe_frame) returning = {0};

	while (end && !(thread->frames.items[end - 1].sp == sp &&
			      thread->frames.items[end - 1].link->uprobe == uprobe))
		end--;
	if (!end)
		return; /* entered before it was probed */
	for (start = end; start && thread->frames.items[start - 1].sp == sp; start--)
		if (thread->frames.items[start - 1].link->uprobe == uprobe)
			vec_append(&returning, thread->frames.items[start - 1]);
	/* callbacks may dispatch, and the thread's frames with them */
	thread->frames.count = start;
	while (returning.count)
		call_ret_handler(hit, &returning.items[--returning.count]);
	vec_free(&returning);
}

static void hit_point(const struct hit *hit, const struct probe_point *point,
	struct uprobe_space *space)
{
	size_t count = point->events.count;

	for (size_t i = 0; i < count; i++) {
		const struct probe_event event = point->events.items[i];
		if (!event.is_return)
			enter_function(hit, event.uprobe);
		else if (!event.is_conditional ||
			 uprobe_branch_is_taken(space, hit->regs))
			leave_function(hit, event.uprobe);
	}
}

/* Return: false: a callback has sent the thread somewhere else */
static bool report_hit(
	struct hit *hit, struct uprobe_space *space, const struct probe_point *point)
{
	const struct arch_point *place = &point->breakpoint.points[0];
	struct user_regs_struct *regs = hit->regs;
	/* behind an endbr64 that was left in place */
	uint64_t shift = point->breakpoint.address + place->offset - point->address;
	uint64_t rip = regs->rip;

	hit->owner = uprobe_space_pid(space);
	hit->bias = rip - shift - point->address;
	regs->rip = rip - shift;
	hit->u->callbacks++;
	hit_point(hit, point, space);
	hit->u->callbacks--;
	if (regs->rip != rip - shift)
		return false;
	regs->rip = rip;
	return true;
}

/* ---- callbacks ---- */

static void add_work(
	struct uprobes *u, enum probe_work_kind kind, struct utrace_task *task)
{
	vec_append(&u->work, ((struct probe_work){kind, utrace_task_pid(task),
				     utrace_task_tid(task)}));
}

static uint32_t probe_report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct probe_thread *thread = utrace_engine_data(engine);
	struct uprobes *u = thread->owner;
	struct utrace_task *task = utrace_engine_task(engine);
	struct uprobe_space *space = probe_task_space(u, task);
	const void *notice = NULL;
	uint32_t answer;

	if (!uprobe_report_signal(space, task, action, regs, info, &notice, &answer))
		return answer;
	bool is_loader = uprobe_loader_is_notice(notice);
	struct hit hit = {.u = u, .thread = thread, .task = task, .regs = regs};
	if (notice && !is_loader && !u->stopping && !report_hit(&hit, space, notice))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	if (notice && uprobe_step_over(space, regs, info))
		return UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
	struct probe_process *p = probe_process_find(u, utrace_task_pid(task));
	if (!is_loader || u->stopping || !p || !p->space ||
		(!p->is_arming && !uprobe_loader_is_consistent(p->space, p->loader)))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	add_work(u, PROBE_WORK_LOADER, task);
	return UTRACE_STOP | UTRACE_SIGNAL_IGN;
}

/* A new task inherits its creator's gs base, but a context has one owner only. */
static void clear_gs(struct utrace_task *task)
{
	struct user_regs_struct regs;

	if (utrace_get_regs(task, &regs) < 0 || !regs.gs_base)
		return;
	regs.gs_base = 0;
	if (utrace_set_regs(task, &regs) < 0)
		return; /* killed meanwhile */
}

/* @owner: whose patches it has */
static void inherit(
	struct uprobes *u, struct utrace_task *child, const struct probe_process *owner)
{
	struct probe_process *p = probe_process_new(u, utrace_task_pid(child));
	struct error err = {0};

	p->parent = owner->pid;
	p->loader = owner->loader;
	for (size_t i = 0; i < owner->live.count; i++)
		vec_append(&p->live, owner->live.items[i]);
	u->dirty = true; /* filters may think otherwise of the child */
	if (uprobe_space_fork(owner->space, child, &p->space, &err) < 0)
		probes_warn(u, p->pid, "cannot follow the forked process %d: %s", p->pid,
			err.message);
}

static void follow_fork(
	struct uprobes *u, struct utrace_task *child, pid_t parent, bool shares)
{
	const struct probe_process *creator = probe_process_find(u, parent), *owner;

	if (!creator)
		return;
	struct probe_process *p = probe_process_new(u, utrace_task_pid(child));
	p->parent = creator->shares_parent ? creator->parent : parent;
	p->shares_parent = shares;
	owner = probe_process_find(u, p->parent);
	if (!shares && owner && owner->space)
		inherit(u, child, owner);
}

void probe_report_orphan(struct utrace_task *task, void *uprobes)
{
	struct uprobes *u = uprobes;
	const struct probe_process *owner =
		probe_process_of_orphan(u, utrace_task_pid(task));

	if (!owner)
		return;
	if (u->options.in_process)
		clear_gs(task);
	if (probe_watch(u, task, NULL) >= 0)
		inherit(u, task, owner);
}

static uint32_t probe_report_clone(uint32_t action, struct utrace_engine *engine,
	unsigned long flags, struct utrace_task *child)
{
	struct probe_thread *thread = utrace_engine_data(engine);
	struct uprobes *u = thread->owner;
	pid_t parent = utrace_task_pid(utrace_engine_task(engine));
	bool is_process = utrace_task_pid(child) != parent;

	if (u->options.in_process)
		clear_gs(child);
	/* a thread begins with an empty stack */
	if (probe_watch(u, child, is_process ? thread : NULL) < 0)
		return UTRACE_RESUME;
	if (is_process)
		follow_fork(u, child, parent, flags & CLONE_VM);
	return UTRACE_RESUME;
}

static uint32_t probe_report_exec(
	uint32_t action, struct utrace_engine *engine, pid_t former_tid)
{
	struct probe_thread *thread = utrace_engine_data(engine);
	struct uprobes *u = thread->owner;
	struct utrace_task *task = utrace_engine_task(engine);
	struct probe_process *p = probe_process_find(u, utrace_task_pid(task));

	thread->frames.count = 0;
	if (!p)
		return UTRACE_RESUME;
	if (p->holds)
		p->has_execed = true;
	else
		probe_process_forget(p);
	if (u->stopping)
		return UTRACE_RESUME;
	/* another program: filters are asked anew */
	probe_forget_answers(u, p->pid);
	add_work(u, PROBE_WORK_EXEC, task);
	return UTRACE_STOP;
}

static uint32_t probe_report_death(
	struct utrace_engine *engine, bool group_dead, int signal)
{
	struct probe_thread *thread = utrace_engine_data(engine);
	struct uprobes *u = thread->owner;
	struct utrace_task *task = utrace_engine_task(engine);

	vec_append(&u->dead_threads, utrace_task_tid(task));
	if (group_dead)
		probe_process_delete(u, utrace_task_pid(task));
	return UTRACE_RESUME;
}

static void probe_release(void *data)
{
	struct probe_thread *thread = data;

	vec_free(&thread->frames);
	free(thread);
}

static const struct utrace_engine_ops probe_ops = {
	.report_signal = probe_report_signal,
	.report_clone = probe_report_clone,
	.report_exec = probe_report_exec,
	.report_death = probe_report_death,
	.release = probe_release,
};

int probe_watch(
	struct uprobes *u, struct utrace_task *task, const struct probe_thread *parent)
{
	struct utrace_engine *engine;
	struct probe_thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return -ENOMEM;
	thread->owner = u;
	int r = utrace_attach_task(task,
		UTRACE_ATTACH_CREATE | UTRACE_ATTACH_EXCLUSIVE | UTRACE_ATTACH_MATCH_OPS,
		&probe_ops, thread, &engine);
	if (r < 0) {
		free(thread);
		return r == -EEXIST ? 0 : r;
	}
	for (size_t i = 0; parent && i < parent->frames.count; i++)
		vec_append(&thread->frames, parent->frames.items[i]);
	r = utrace_set_events(task, engine,
		UTRACE_EVENT(CLONE) | UTRACE_EVENT(EXEC) | UTRACE_EVENT(DEATH) |
			UTRACE_EVENT_SIGNAL_ALL);
	utrace_engine_put(engine);
	return r;
}

static void control(struct utrace_task *task, enum utrace_resume_action action)
{
	struct utrace_engine *engine;

	if (utrace_attach_task(task, UTRACE_ATTACH_MATCH_OPS, &probe_ops, NULL, &engine) <
		0)
		return;
	if (utrace_control(task, engine, action) < 0) {
		/* it died: its death is reported by itself */
	}
	utrace_engine_put(engine);
}

void probe_unwatch(struct utrace_task *task)
{
	control(task, UTRACE_DETACH);
}

void probe_resume(struct utrace_task *task)
{
	control(task, UTRACE_RESUME);
}
