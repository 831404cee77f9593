/* SPDX-License-Identifier: MIT */
/*
 * Job control and the stops of several engines on the same threads: a thread runs if, and only if, no engine holds
 * it and its process is not stopped, whatever the order in which things happen.   usage: test-engine-stops [SEED]
 */
#include "engine.h"

enum {
	THREADS = 2,
	ENGINES = 2, /* on each thread */
	STEPS = 150
};

/* ---- a process of two threads that count, with two engines on each ------------------------------------ */

static void *count_on(void *data)
{
	volatile long *counter = data;
	advance(&shared->ready);
	for (;;)
		++*counter;
	return NULL;
}

static void counters(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, count_on, (void *)(uintptr_t)&shared->values[1]);
	wait_for(&shared->ready, 1);
	count_on((void *)(uintptr_t)&shared->values[0]);
}

struct world {
	pid_t pid;
	struct utrace_task *tasks[THREADS];
	struct utrace_engine *engines[THREADS][ENGINES];
	struct recorder recorders[THREADS][ENGINES];
	bool held[THREADS][ENGINES];
	bool is_stopped; /* by job control */
};

static void world_begin(struct world *w, unsigned long events)
{
	memset(w, 0, sizeof(*w));
	w->pid = start(counters);
	wait_for(&shared->ready, 2);
	w->tasks[0] = seize(w->pid);
	w->tasks[1] = utrace_next_task(w->tasks[0], w->pid);
	for (int t = 0; t < THREADS; t++) {
		for (int e = 0; e < ENGINES; e++) {
			w->recorders[t][e] = recorder("abcd"[t * ENGINES + e]);
			w->engines[t][e] =
				attach(w->tasks[t], &w->recorders[t][e], events);
		}
	}
	forget();
}

static void world_end(struct world *w)
{
	kill_and_finish(w->pid);
	for (int t = 0; t < THREADS; t++) {
		for (int e = 0; e < ENGINES; e++)
			utrace_engine_put(w->engines[t][e]);
	}
}

static void set_hold(struct world *w, int t, int e, bool hold)
{
	int r = utrace_control(
		w->tasks[t], w->engines[t][e], hold ? UTRACE_STOP : UTRACE_RESUME);
	w->held[t][e] = hold;
	/* who holds it says so whenever it is asked */
	for (int i = 0; i < UTRACE_EVENT_NR_MAX; i++)
		w->recorders[t][e].answers[i] = hold ? UTRACE_STOP : UTRACE_RESUME;
	if (r < 0 && !(hold && r == -EINPROGRESS)) {
		printf("Bail out! control: %s\n", strerror(-r));
		exit(1);
	}
}

static void send_stop(struct world *w, bool stop)
{
	kill(w->pid, stop ? SIGSTOP : SIGCONT);
	w->is_stopped = stop;
}

static char state_of(struct world *w, int t)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", w->pid,
		utrace_task_tid(w->tasks[t]));
	FILE *file = fopen(path, "r");
	const char *at =
		file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	char state = at ? at[2] : '?';
	if (file)
		fclose(file);
	return state;
}

static bool is_held(const struct world *w, int t)
{
	return w->held[t][0] || w->held[t][1];
}

/* On its way to a group-stop it has other stops, and counts in between. */
static bool stands(struct world *w, int t)
{
	long before = shared->values[t];
	for (int i = 0; i < 3; i++) {
		if (utrace_dispatch(utrace, NULL) < 0)
			exit(1);
		if (!strchr("tT", state_of(w, t)) || shared->values[t] != before)
			return false;
		usleep(500);
	}
	return !is_held(w, t) || utrace_task_is_stopped(w->tasks[t]);
}

/* Waited for as long as it takes; one that stands has to go on standing. */
static bool is_as_it_should_be(struct world *w, int t)
{
	long before = shared->values[t];
	if (!is_held(w, t) && !w->is_stopped) {
		DISPATCH_UNTIL(shared->values[t] != before);
		return true;
	}
	DISPATCH_UNTIL(stands(w, t));
	return stands(w, t);
}

static bool is_right(struct world *w)
{
	bool right = true;
	for (int t = 0; t < THREADS; t++)
		right = is_as_it_should_be(w, t) && right;
	return right;
}

/* ---- every order, by chance ------------------------------------------------------------------------- */

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static bool is_stop_pending(pid_t pid)
{
	char path[64], line[128];
	unsigned long long pending = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "ShdPnd: %llx", &pending);
	if (file)
		fclose(file);
	return pending & 1ull << (SIGSTOP - 1);
}

/*
 * The kernel gives a signal of the process to one thread, and to no other when that is taken hold of before it has
 * looked (as every tracer does): so it waits until it has.  What happens to it from there on is up to chance.
 */
static void stop_by_chance(struct world *w)
{
	bool is_taken = false;
	if (!is_right(w))
		return;
	for (int t = 0; t < THREADS; t++)
		is_taken = is_taken || (!is_held(w, t) && !w->is_stopped);
	send_stop(w, true);
	while (is_taken && is_stop_pending(w->pid))
		usleep(100);
}

static void step_by_chance(struct world *w, unsigned *seed, char *trace)
{
	unsigned what = next_random(seed) % 6;
	int t = (int)(next_random(seed) % THREADS),
	    e = (int)(next_random(seed) % ENGINES);
	size_t n = strlen(trace);
	if (what == 0)
		stop_by_chance(w);
	else if (what == 1)
		send_stop(w, false);
	else
		set_hold(w, t, e, what < 4);
	/* the last steps, for the one who has to find out */
	if (n > 60)
		memmove(trace, trace + 3, n - 2), n -= 3;
	if (what < 2)
		snprintf(trace + n, 4, " %s", what == 0 ? "ST" : "CO");
	else
		snprintf(trace + n, 4, " %c%c", what < 4 ? '+' : '-',
			'a' + t * ENGINES + e);
}

static unsigned first_seed; /* of what is made up */

static void test_by_chance(unsigned long events, const char *name)
{
	struct world w;
	unsigned seed = first_seed;
	char trace[80] = "";
	int step;
	printf("# seed %u\n", seed);
	world_begin(&w, events);
	bool right = is_right(&w);
	for (step = 0; right && step < STEPS; step++) {
		step_by_chance(&w, &seed, trace);
		/* often several at once, with nothing seen in between */
		if (next_random(&seed) % 3)
			right = is_right(&w);
		forget();
	}
	tap_ok(right, "%s: runs if and only if nobody stops it", name);
	if (!right)
		printf("# after %d steps:%s\n", step, trace);
	world_end(&w);
}

/* ---- some orders, and what is heard of them ----------------------------------------------------------- */

static bool all_in_group_stop(const struct world *w)
{
	return utrace_task_in_group_stop(w->tasks[0]) &&
	       utrace_task_in_group_stop(w->tasks[1]);
}

static int count_heard(const char *what)
{
	int n = 0;
	for (const char *at = heard; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void begin_stopped(struct world *w, unsigned long events)
{
	world_begin(w, events);
	send_stop(w, true);
	DISPATCH_UNTIL(all_in_group_stop(w));
}

/* Each engine of each thread hears of it, with the whole process's change told once to each of one thread. */
static void test_each_hears(void)
{
	struct world w;
	begin_stopped(&w, UTRACE_EVENT(JCTL));
	tap_is_long(count_heard("topped"), 2, "the thread that stops first: both hear");
	tap_is_long(count_heard("STOPPED"), 2, "the last: both, and that it is the last");
	forget();
	send_stop(&w, false);
	DISPATCH_UNTIL(count_heard("ONTINUED") + count_heard("ontinued") == 4);
	tap_is_long(count_heard("CONTINUED"), 2, "continued: the first is told to both");
	tap_ok(is_right(&w), "they run");
	world_end(&w);
}

static void test_held_through_cont(void)
{
	struct world w;
	begin_stopped(&w, UTRACE_EVENT(JCTL));
	tap_is_long(utrace_control(w.tasks[0], w.engines[0][0], UTRACE_STOP), 0,
		"STOP by one engine in a group-stop: 0");
	tap_is_long(utrace_control(w.tasks[0], w.engines[0][1], UTRACE_STOP), 0,
		"by the other: 0");
	w.held[0][0] = w.held[0][1] = true;
	send_stop(&w, false);
	tap_ok(is_right(&w), "SIGCONT runs the other thread only");
	set_hold(&w, 0, 0, false);
	tap_ok(is_right(&w), "RESUME by one leaves it held by the other");
	forget();
	set_hold(&w, 0, 1, false);
	tap_ok(is_right(&w), "by both: it runs");
	tap_ok(has_heard("a:continued") && has_heard("b:continued"),
		"both hear that it continues");
	world_end(&w);
}

static void test_joins_later(void)
{
	struct world w;
	world_begin(&w, UTRACE_EVENT(JCTL));
	set_hold(&w, 0, 0, true);
	hold(w.tasks[0], w.engines[0][0]);
	send_stop(&w, true);
	DISPATCH_UNTIL(utrace_task_in_group_stop(w.tasks[1]));
	tap_ok(!utrace_task_in_group_stop(w.tasks[0]) && is_right(&w),
		"a thread that is held is not in the group-stop yet");
	forget();
	set_hold(&w, 0, 0, false);
	DISPATCH_UNTIL(all_in_group_stop(&w));
	tap_is_string(heard, "a:STOPPED b:STOPPED", "let go, it joins, as the last");
	tap_ok(is_right(&w), "and stands");
	send_stop(&w, false);
	tap_ok(is_right(&w), "until SIGCONT");
	world_end(&w);
}

/* Stopped and continued while it was held: nothing has happened to it. */
static void test_over_while_held(void)
{
	struct world w;
	world_begin(&w, UTRACE_EVENT(JCTL));
	set_hold(&w, 0, 0, true);
	hold(w.tasks[0], w.engines[0][0]);
	send_stop(&w, true);
	DISPATCH_UNTIL(utrace_task_in_group_stop(w.tasks[1]));
	send_stop(&w, false);
	tap_ok(is_right(&w), "stopped and continued while one thread is held");
	forget();
	set_hold(&w, 0, 0, false);
	tap_ok(is_right(&w), "which runs when it is let go");
	tap_ok(count_heard("a:") == 0 && !utrace_task_in_group_stop(w.tasks[0]),
		"and was never in a group-stop");
	world_end(&w);
}

/* A report does not end a group-stop; it comes when the thread goes on. */
static void test_reports(enum utrace_resume_action action, const char *name)
{
	struct world w;
	begin_stopped(&w, UTRACE_EVENT(QUIESCE));
	const char *what = action == UTRACE_INTERRUPT ? "a:report" : "a:quiesce";
	forget();
	int r = utrace_control(w.tasks[0], w.engines[0][0], action);
	tap_ok(r == 0 && is_right(&w) && !has_heard(what), "%s in a group-stop: it stays",
		name);
	send_stop(&w, false);
	DISPATCH_UNTIL(has_heard(what));
	tap_ok(is_right(&w), "%s: the report comes after SIGCONT", name);
	world_end(&w);
}

static void test_detach(void)
{
	struct world w;
	struct recorder late = recorder('l');
	begin_stopped(&w, 0);
	set_hold(&w, 0, 0, true);
	set_hold(&w, 0, 1, true);
	tap_is_long(utrace_control(w.tasks[0], w.engines[0][0], UTRACE_DETACH), 0,
		"DETACH of one that holds, in a group-stop: 0");
	w.held[0][0] = false;
	send_stop(&w, false);
	tap_ok(is_right(&w), "the other holds on after SIGCONT");
	tap_is_long(utrace_control(w.tasks[0], w.engines[0][1], UTRACE_DETACH), 0,
		"DETACH of the other: 0");
	w.held[0][1] = false;
	tap_ok(is_right(&w), "it runs");
	send_stop(&w, true);
	DISPATCH_UNTIL(all_in_group_stop(&w));
	struct utrace_engine *engine = attach(w.tasks[0], &late, UTRACE_EVENT(JCTL));
	tap_is_long(utrace_control(w.tasks[0], engine, UTRACE_STOP), 0,
		"an engine that comes while it is stopped holds it: 0");
	send_stop(&w, false);
	w.held[0][0] = true; /* as if */
	tap_ok(is_right(&w), "through SIGCONT");
	utrace_engine_put(engine);
	world_end(&w);
}

static void test_killed(void)
{
	struct world w;
	begin_stopped(&w, UTRACE_EVENT(DEATH));
	set_hold(&w, 0, 0, true);
	forget();
	int status = kill_and_finish(w.pid);
	tap_ok(WIFSIGNALED(status) && count_heard("death") == 4,
		"SIGKILL ends what is held and stopped; all engines hear");
	for (int t = 0; t < THREADS; t++) {
		for (int e = 0; e < ENGINES; e++)
			utrace_engine_put(w.engines[t][e]);
	}
}

/* Letting go leaves a stopped process as it is. */
static void test_let_go(bool held)
{
	struct world w;
	begin_stopped(&w, 0);
	pid_t tids[THREADS] = {utrace_task_tid(w.tasks[0]), utrace_task_tid(w.tasks[1])};
	if (held)
		set_hold(&w, 0, 0, true), set_hold(&w, 1, 1, true);
	utrace_detach_process(utrace, w.pid);
	long counts[2] = {shared->values[0], shared->values[1]};
	usleep(20000);
	tap_ok(counts[0] == shared->values[0] && counts[1] == shared->values[1] &&
			!utrace_find_task(utrace, tids[0]) &&
			!utrace_find_task(utrace, tids[1]),
		"let go of%s: it stays stopped", held ? ", held by engines" : "");
	kill(w.pid, SIGCONT);
	for (int t = 0; t < THREADS; t++) {
		while (shared->values[t] == counts[t])
			usleep(1000);
	}
	tap_ok(true, "until SIGCONT");
	kill(w.pid, SIGKILL);
	waitpid(w.pid, NULL, 0);
	for (int t = 0; t < THREADS; t++) {
		for (int e = 0; e < ENGINES; e++)
			utrace_engine_put(w.engines[t][e]);
	}
}

static void test_all(void)
{
	SKIP_FOR_THREAD_SANITIZER("its own thread would have to be held, too");
	test_each_hears();
	test_held_through_cont();
	test_joins_later();
	test_over_while_held();
	test_reports(UTRACE_INTERRUPT, "INTERRUPT");
	test_reports(UTRACE_REPORT, "REPORT");
	test_detach();
	test_killed();
	test_let_go(false);
	test_let_go(true);
	test_by_chance(0, "without events");
	test_by_chance(UTRACE_EVENT(JCTL), "with JCTL");
	test_by_chance(
		UTRACE_EVENT(JCTL) | UTRACE_EVENT(QUIESCE) | UTRACE_EVENT_SIGNAL_ALL,
		"with reports of everything");
}

int main(int argc, char **argv)
{
	first_seed = argc > 1 ? (unsigned)atoi(argv[1]) : (unsigned)getpid();
	set_up();
	test_all();
	utrace_destroy(utrace);
	return tap_done();
}
