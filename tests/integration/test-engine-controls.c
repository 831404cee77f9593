/* SPDX-License-Identifier: MIT */
/*
 * Other threads control an engine while the tracer dispatches: its task is stopped, runs, is examined and is
 * killed meanwhile.  What they are told is among the documented answers, and every wait of theirs ends.
 */
#include <sched.h>

#include "engine.h"

enum {
	ROUNDS = 40,
	TURNS = 25, /* of a controller, before its task is killed */
	EXAMINED = 60,
};

static void counter(void)
{
	advance(&shared->ready);
	for (;;) {
		shared->count++;
		getppid();
	}
}

struct controller {
	struct utrace_task *task;
	struct utrace_engine *engine;
	pid_t tid;
	pthread_t thread;
	volatile bool ends; /* it has been asked to, or its engine is detached */
	volatile long turns;
	long wrong; /* an answer that is none of the documented ones */
};

static bool is_one_of(int r, const int *answers)
{
	while (*answers && *answers != r)
		answers++;
	return r == 0 || *answers == r;
}

static void *control(void *data)
{
	static const int answers[] = {-EINPROGRESS, -EALREADY, -ESRCH, 0};
	static const int waited[] = {-ESRCH, 0};
	struct controller *c = data;
	while (!c->ends) {
		int stop = utrace_control_pid(utrace, c->tid, c->engine, UTRACE_STOP);
		int barrier = utrace_barrier(c->task, c->engine);
		int resume = utrace_control_pid(utrace, c->tid, c->engine, UTRACE_RESUME);
		if (!is_one_of(stop, answers) || !is_one_of(resume, answers) ||
			!is_one_of(barrier, waited))
			c->wrong = stop ? stop : resume ? resume : barrier;
		if (barrier == -ESRCH)
			c->ends = true;
		c->turns++;
	}
	return NULL;
}

/* The barrier is waited for on the other thread when the task is killed; it does not outlive the engine. */
static void test_killed(void)
{
	long wrong = 0, released = 0;
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = start(counter);
		struct recorder r = recorder('a');
		struct controller c = {.task = seize(pid), .tid = pid};
		r.answers[0] = i & 1 ? UTRACE_STOP : UTRACE_RESUME;
		c.engine = attach(c.task, &r,
			UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(DEATH) |
				(i & 2 ? UTRACE_EVENT_SYSCALL : 0));
		pthread_create(&c.thread, NULL, control, &c);
		DISPATCH_UNTIL(c.turns >= TURNS);
		kill(pid, SIGKILL);
		DISPATCH_UNTIL(!utrace_first_task(utrace, pid));
		pthread_join(c.thread, NULL);
		wrong = c.wrong ? c.wrong : wrong;
		utrace_engine_put(c.engine);
		released += r.released;
	}
	tap_is_long(wrong, 0, "only documented answers while the task is killed");
	tap_is_long(released, ROUNDS,
		"... every barrier ends, every engine is released once");
}

static void *toggle(void *data)
{
	struct controller *c = data;
	while (!c->ends) {
		int r = utrace_control_pid(utrace, c->tid, c->engine,
			c->turns & 1 ? UTRACE_RESUME : UTRACE_STOP);
		if (r < 0 && r != -EINPROGRESS)
			c->wrong = r;
		c->turns++;
		sched_yield();
	}
	return NULL;
}

/* What the examiner calls one stop is one: the program has not gone on. */
static void test_examined(void)
{
	pid_t pid = start(counter);
	struct recorder r = recorder('a');
	struct controller c = {.task = seize(pid), .tid = pid};
	long same = 0, moved = 0, wrong = 0;
	r.answers[0] = UTRACE_STOP;
	c.engine = attach(c.task, &r, UTRACE_EVENT(QUIESCE));
	pthread_create(&c.thread, NULL, toggle, &c);
	for (int i = 0; same < EXAMINED; i++) {
		struct utrace_examiner examiner;
		dispatch_once();
		if (utrace_prepare_examine(c.task, c.engine, &examiner) < 0)
			continue;
		long before = shared->count;
		/* runs, and is held again */
		for (int k = 0; k < 6 && i & 1; k++)
			dispatch_once();
		long after = shared->count;
		int answer = utrace_finish_examine(c.task, c.engine, &examiner);
		same += answer == 0;
		moved += answer == 0 && before != after;
		wrong += answer < 0 && answer != -EAGAIN && answer != -EINVAL;
	}
	c.ends = true;
	pthread_join(c.thread, NULL);
	tap_is_long(moved, 0, "examined: where it was one stop the program stood still");
	tap_is_long(wrong, 0, "... else it is said that it ran, or that nobody holds it");
	tap_is_long(c.wrong, 0, "... and the other thread's STOP and RESUME do not fail");
	kill_and_finish(pid);
	utrace_engine_put(c.engine);
	tap_is_long(r.released, 1, "... the engine is released once");
}

int main(void)
{
	set_up();
	test_killed();
	test_examined();
	utrace_destroy(utrace);
	return tap_done();
}
