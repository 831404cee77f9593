/* SPDX-License-Identifier: MIT */
/* A tracer over the simulated world, with engines that answer what a test says. */
#pragma once

#include <errno.h>

#include "sim.h"
#include "tap.h"

enum {
	ENGINES = 3
};

struct fake {
	char name;
	uint32_t event;    /* answer to the event itself */
	uint32_t boundary; /* to report_quiesce(0), report_signal(REPORT or HANDLER) */
	uint32_t other;    /* to report_quiesce() for an event */
	int released;
	void (*in_event)(struct utrace_engine *engine);
};

static struct utrace *world;
static struct sim_thread *thread;
static struct utrace_task *task;
static struct fake fakes[ENGINES];
static struct utrace_engine *engines[ENGINES];
static char heard[1024];
static uint32_t shown; /* the resume action that the last callback was shown */

static uint32_t hear(struct utrace_engine *engine, const char *what, bool is_boundary)
{
	struct fake *fake = utrace_engine_data(engine);
	size_t n = strlen(heard);
	snprintf(heard + n, sizeof(heard) - n, "%s%c:%s", n ? " " : "", fake->name, what);
	if (fake->in_event)
		fake->in_event(engine);
	return is_boundary ? fake->boundary : fake->event;
}

static uint32_t on_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	const struct fake *fake = utrace_engine_data(engine);
	return event ? fake->other : hear(engine, "quiesce", true);
}

static uint32_t on_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	static const char *const names[] = {
		"deliver", "ign", "term", "core", "stop", "tstp", "report", "handler"};
	char text[32];
	uint32_t kind = utrace_signal_action(action);
	bool is_boundary = kind >= UTRACE_SIGNAL_REPORT;
	snprintf(text, sizeof(text), is_boundary ? "%s" : "%s-%d", names[kind >> 4],
		info->si_signo);
	uint32_t answer = hear(engine, text, is_boundary);
	return is_boundary ? answer | kind : answer;
}

static uint32_t on_clone(uint32_t action, struct utrace_engine *engine,
	unsigned long flags, struct utrace_task *child)
{
	return hear(engine, "clone", false);
}

static uint32_t on_jctl(
	uint32_t action, struct utrace_engine *engine, int type, int notify)
{
	return hear(engine, notify ? "JCTL" : "jctl", false);
}

static uint32_t on_exec(uint32_t action, struct utrace_engine *engine, pid_t former)
{
	shown = utrace_resume_action(action);
	return hear(engine, "exec", false);
}

static uint32_t on_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	return hear(engine, action & UTRACE_SYSCALL_RESUMED ? "resumed" : "entry", false);
}

static uint32_t on_leave(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	return hear(engine, "leave", false);
}

static uint32_t on_ending(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	return hear(engine, "exit", false);
}

static uint32_t on_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	return hear(engine, group_dead ? "DEATH" : "death", false);
}

static void on_reap(struct utrace_engine *engine, struct utrace_task *reaped)
{
	hear(engine, "reap", false);
}

static void on_release(void *data)
{
	((struct fake *)data)->released++;
}

static const struct utrace_engine_ops fake_ops = {
	.report_quiesce = on_quiesce,
	.report_signal = on_signal,
	.report_clone = on_clone,
	.report_jctl = on_jctl,
	.report_exec = on_exec,
	.report_syscall_entry = on_entry,
	.report_syscall_exit = on_leave,
	.report_exit = on_ending,
	.report_death = on_death,
	.report_reap = on_reap,
	.release = on_release,
};

__attribute__((unused)) static void happen(void)
{
	if (utrace_dispatch(world, NULL) < 0)
		abort();
}

/* One thread, @count engines that want @events and answer UTRACE_RESUME. */
__attribute__((unused)) static void begin(int count, unsigned long events)
{
	heard[0] = 0;
	sim_reset();
	thread = sim_start(0);
	if (utrace_create_over(&sim_backend, &world, NULL) < 0 ||
		utrace_seize_process(world, SIM_PID, NULL) < 0)
		abort();
	task = utrace_find_task(world, SIM_PID);
	for (int i = 0; i < count; i++) {
		fakes[i] = (struct fake){(char)('a' + i), UTRACE_RESUME, UTRACE_RESUME,
			UTRACE_RESUME, 0, NULL};
		if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &fake_ops, &fakes[i],
			    &engines[i]) < 0 ||
			utrace_set_events(task, engines[i], events) < 0)
			abort();
	}
	happen();
}

__attribute__((unused)) static void end(int count)
{
	for (int i = 0; i < count; i++)
		utrace_engine_put(engines[i]);
	for (unsigned i = 0; i < SIM_THREADS; i++) {
		struct sim_thread *left = sim_thread(SIM_PID + (pid_t)i);
		if (left)
			sim_exit(left, 0);
	}
	happen();
	utrace_destroy(world);
}

/* What became of the thread: h held, c runs, s and b step, y to the next system call, l listening, d let go */
__attribute__((unused)) static char outcome(void)
{
	static const char letters[] = {
		[UTRACE_MOTION_CONT] = 'c',
		[UTRACE_MOTION_SYSCALL] = 'y',
		[UTRACE_MOTION_STEP] = 's',
		[UTRACE_MOTION_BLOCK] = 'b',
		[UTRACE_MOTION_LISTEN] = 'l',
		[UTRACE_MOTION_DETACH] = 'd',
	};
	return thread->is_stopped ? 'h' : letters[thread->motion];
}
