/* SPDX-License-Identifier: MIT */
/*
 * Engines attached to and detached from threads that end at any moment, by the tracer and by other threads of
 * its program.  Each engine must hear of the end of its thread exactly once, unless it was told that it would
 * not, and be released exactly once.
 * usage: test-engine-races TRACEES [ATTACHES]
 */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>

#include "engine.h"

enum {
	RECENT = 64,
	HELPERS = 2
};

static _Atomic pid_t recent[RECENT];
static unsigned long wanted;
static unsigned long threads, attached, released, reaped, missed, twice, late, loud,
	calls, answers[4];
static atomic_bool done;

/* What an engine carries.  Written by one thread at a time: see each member. */
struct life {
	int reaps;       /* by the tracer's callbacks */
	int deaths;      /* the same */
	bool wants_reap; /* before it is left to itself */
	bool is_over;    /* DETACH has said that nothing comes any more */
	bool is_quiet; /* it wants to hear of the end only, and set_events or the barrier has said so */
};

#define COUNT(counter) __atomic_add_fetch(&(counter), 1, __ATOMIC_RELAXED)

/* Callbacks that take their time now and then: what others do meanwhile is what this is about. */
static void linger(void)
{
	static unsigned turn;
	for (unsigned i = 0; turn % 8 == 0 && i < 20; i++)
		sched_yield();
	turn++;
}

static uint32_t on_its_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct life *life = utrace_engine_data(engine);
	if (__atomic_load_n(&life->is_over, __ATOMIC_ACQUIRE))
		COUNT(late);
	linger();
	__atomic_add_fetch(&life->deaths, 1, __ATOMIC_RELAXED);
	return UTRACE_RESUME;
}

static void on_its_reap(struct utrace_engine *engine, struct utrace_task *task)
{
	struct life *life = utrace_engine_data(engine);
	if (__atomic_load_n(&life->is_over, __ATOMIC_ACQUIRE))
		COUNT(late);
	if (__atomic_add_fetch(&life->reaps, 1, __ATOMIC_RELAXED) > 1)
		COUNT(twice);
	COUNT(reaped);
}

/* Everything else that can be heard. */
static uint32_t on_its_event(struct utrace_engine *engine)
{
	struct life *life = utrace_engine_data(engine);
	COUNT(calls);
	if (__atomic_load_n(&life->is_over, __ATOMIC_ACQUIRE))
		COUNT(late);
	if (__atomic_load_n(&life->is_quiet, __ATOMIC_ACQUIRE))
		COUNT(loud);
	linger();
	return UTRACE_RESUME;
}

static uint32_t on_its_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	return on_its_event(engine);
}

static uint32_t on_its_call(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	return on_its_event(engine) | utrace_syscall_action(action);
}

static uint32_t on_its_exit(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	return on_its_event(engine);
}

static void on_its_release(void *data)
{
	struct life *life = data;
	COUNT(released);
	if (life->wants_reap && !life->is_over && life->reaps != 1)
		COUNT(missed);
	free(life);
}

static const struct utrace_engine_ops life_ops = {
	.report_quiesce = on_its_quiesce,
	.report_syscall_entry = on_its_call,
	.report_syscall_exit = on_its_call,
	.report_exit = on_its_exit,
	.report_death = on_its_death,
	.report_reap = on_its_reap,
	.release = on_its_release,
};

/* ---- what is done to one engine ----------------------------------------------------------------- */

#define AT_ITS_END (UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP))
#define BEFORE     (UTRACE_EVENT(QUIESCE) | UTRACE_EVENT_SYSCALL | UTRACE_EVENT(EXIT))

static void want(
	struct utrace_engine *engine, struct life *life, pid_t tid, unsigned long events)
{
	/* before: it may die as soon as it is set */
	life->wants_reap = true;
	int r = utrace_set_events_pid(utrace, tid, engine, events | AT_ITS_END);
	if (r < 0)
		life->wants_reap = false;
}

static void want_no_more(struct utrace_engine *engine, struct life *life, pid_t tid)
{
	int r = utrace_set_events_pid(utrace, tid, engine, AT_ITS_END);
	if (r == -EINPROGRESS)
		r = utrace_barrier_pid(utrace, tid, engine);
	if (r == 0)
		__atomic_store_n(&life->is_quiet, true, __ATOMIC_RELEASE);
}

static void detach(struct utrace_engine *engine, struct life *life)
{
	struct utrace_task *task = utrace_engine_task(engine);
	int r = task ? utrace_control(task, engine, UTRACE_DETACH) : -ESRCH;
	if (r == -EINPROGRESS && utrace_barrier(task, engine) == -EDEADLK)
		return;
	if (r == 0 || r == -EINPROGRESS)
		__atomic_store_n(&life->is_over, true, __ATOMIC_RELEASE);
	COUNT(answers[r == 0 ? 0 : r == -EINPROGRESS ? 1 : r == -EALREADY ? 2 : 3]);
}

static void disturb(struct utrace_engine *engine, pid_t tid, unsigned seed)
{
	if (seed & 1 && utrace_control_pid(utrace, tid, engine, UTRACE_STOP) > 0)
		COUNT(late);
	if (seed & 2 && utrace_control_pid(utrace, tid, engine, UTRACE_INTERRUPT) > 0)
		COUNT(late);
	if (utrace_control_pid(utrace, tid, engine, UTRACE_RESUME) > 0)
		COUNT(late);
}

static void attach_one(pid_t tid, unsigned seed)
{
	struct utrace_engine *engine;
	struct life *life = calloc(1, sizeof(*life));
	int r = utrace_attach_pid(
		utrace, tid, UTRACE_ATTACH_CREATE, &life_ops, life, &engine);
	if (r < 0) {
		free(life);
		return;
	}
	COUNT(attached);
	want(engine, life, tid, seed & 16 ? BEFORE : 0);
	if (seed & 32)
		want_no_more(engine, life, tid);
	if (seed & 4)
		disturb(engine, tid, seed);
	if (seed & 8)
		detach(engine, life);
	utrace_engine_put(engine);
}

/* ---- who does it -------------------------------------------------------------------------------- */

static void *help(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data * 7919u;
	while (!done) {
		seed = seed * 1103515245u + 12345u;
		/* Few engines for each thread: it is their ends that count. */
		pid_t tid = atomic_exchange(&recent[(seed >> 8) % RECENT], 0);
		for (unsigned i = 0; tid && i < 4; i++)
			attach_one(tid, (seed >> 16) + i * 37);
		if (!tid)
			sched_yield();
	}
	return NULL;
}

static void on_new_thread(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	static unsigned next;
	pid_t tid = utrace_task_tid(task);
	threads++;
	recent[next++ % RECENT] = tid;
	attach_one(tid, next * 2654435761u >> 20);
}

static struct utrace_task *launch_churn(const char *tracees, int *ret_input)
{
	struct utrace_error err = {0};
	struct utrace_task *task = NULL;
	char path[4096];
	int fds[2];
	snprintf(path, sizeof(path), "%s/churn", tracees);
	char *argv[] = {path, (char[]){"3"}, NULL};
	if (pipe2(fds, O_CLOEXEC) < 0 || dup2(fds[0], 0) < 0)
		exit(1);
	if (utrace_launch(utrace, argv, &task, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	close(fds[0]);
	*ret_input = fds[1];
	return task;
}

int main(int argc, char **argv)
{
	pthread_t helpers[HELPERS];
	struct recorder r = recorder('p');
	int input;
	wanted = argc > 2 ? strtoul(argv[2], NULL, 0) : 3000;
	set_up();
	/* its output would be taken for ours */
	int out = dup(1);
	dup2(2, 1);
	struct utrace_task *task = launch_churn(argv[1], &input);
	fflush(stdout);
	dup2(out, 1);
	pid_t pid = utrace_task_pid(task);
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(DEATH));
	utrace_on_new_task(utrace, on_new_thread, NULL);
	for (uintptr_t i = 0; i < HELPERS; i++)
		pthread_create(&helpers[i], NULL, help, (void *)(i + 1));
	if (utrace_task_release(task) < 0)
		exit(1);
	DISPATCH_UNTIL(__atomic_load_n(&attached, __ATOMIC_RELAXED) >= wanted);
	done = true;
	for (int i = 0; i < HELPERS; i++)
		pthread_join(helpers[i], NULL);
	close(input);
	int status = finish(pid);
	utrace_engine_put(engine);
	printf("# %lu threads, %lu engines, %lu calls, %lu reaped; DETACH: %lu done, %lu in progress, %lu already, %lu gone\n",
		threads, attached, calls, reaped, answers[0], answers[1], answers[2],
		answers[3]);
	tap_ok(attached >= wanted, "%lu attaches", wanted);
	tap_is_long((long long)released, (long long)attached, "each engine is released");
	tap_is_long((long long)missed, 0, "no reap is missed");
	tap_is_long((long long)twice, 0, "none is doubled");
	tap_is_long((long long)late, 0, "none comes after DETACH has said so");
	tap_is_long((long long)loud, 0, "none of events that are not wanted any more");
	tap_is_long(status, 0, "the program has not noticed");
	utrace_destroy(utrace);
	return tap_done();
}
