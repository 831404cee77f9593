/* SPDX-License-Identifier: MIT */
/* What utrace_attach_task(), utrace_set_events(), utrace_control() and the others return, by the state of the
 * task, and what they do to it. */
#include <sys/syscall.h>

#include "fixture.h"

enum state {
	RUNNING,
	STOPPED,   /* held by another engine, at an event-stop */
	MINE,      /* held by the engine itself */
	LISTENING, /* stopped by job control */
	EXITING,   /* resumed from its exit-stop */
	DYING,     /* in its death report */
	REAPED,    /* in its reap report */
	GONE
};

static const char *const state_names[] = {"running", "held by another", "held",
	"in group-stop", "exiting", "in its death report", "in its reap report", "gone"};

/* What the test does to the second engine in the death or reap report of the first. */
static void (*in_report)(struct utrace_engine *engine);
static enum state in_state;

static void call_in_report(struct utrace_engine *engine)
{
	bool is_reap = strstr(heard, "reap") != NULL;
	if (in_report && is_reap == (in_state == REAPED))
		in_report(engine);
}

static void die_with(void (*what)(struct utrace_engine *), enum state state)
{
	if (utrace_set_events(
		    task, engines[0], UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP)) < 0)
		abort();
	in_report = what;
	in_state = state;
	fakes[0].in_event = call_in_report;
	sim_exit(thread, 0);
	happen();
	in_report = NULL;
	if (state == GONE)
		what(NULL);
}

static void enter(enum state state)
{
	begin(2, UTRACE_EVENT(QUIESCE));
	switch (state) {
	case RUNNING:
		break;
	case STOPPED:
	case MINE:
		if (utrace_control(task, engines[state == MINE ? 0 : 1], UTRACE_STOP) !=
			-EINPROGRESS)
			abort();
		fakes[state == MINE ? 0 : 1].boundary = UTRACE_STOP;
		sim_stop(thread, PTRACE_STOP_INTERRUPT, SIGTRAP);
		happen();
		fakes[0].boundary = fakes[1].boundary = UTRACE_RESUME;
		break;
	case LISTENING:
		sim_stop(thread, PTRACE_STOP_GROUP, SIGSTOP);
		happen();
		break;
	case EXITING:
		sim_stop(thread, PTRACE_STOP_EXIT, SIGTRAP);
		happen();
		break;
	case DYING:
	case REAPED:
	case GONE:
		break;
	}
	heard[0] = 0;
}

/* ---- control ------------------------------------------------------------------------------------ */

#define P -EINPROGRESS
#define S -ESRCH
#define A -EALREADY
#define I -EINVAL

/* By state; in the order STOP, INTERRUPT, REPORT, SINGLESTEP, BLOCKSTEP, RESUME, DETACH, 7. */
static const int control_results[][8] = {
	[RUNNING] = {P, 0, 0, 0, 0, 0, 0, I},
	[STOPPED] = {0, 0, 0, 0, 0, 0, 0, I},
	[MINE] = {0, 0, 0, 0, 0, 0, 0, I},
	[LISTENING] = {0, 0, 0, 0, 0, 0, 0, I},
	[EXITING] = {P, 0, 0, 0, 0, 0, 0, I},
	[DYING] = {S, S, S, S, S, S, A, I},
	[REAPED] = {S, S, S, S, S, S, S, I},
	[GONE] = {S, S, S, S, S, S, S, I},
};

/* Afterwards: '.' has not moved, otherwise as outcome(). */
static const char control_outcomes[][9] = {
	[RUNNING] = "........",
	[STOPPED] = "hhhhhhhh",
	[MINE] = "hccsbcch",
	[LISTENING] = "h.......",
	[EXITING] = "........",
};

static int result, action;

static void control_in_report(struct utrace_engine *engine)
{
	result = utrace_control(task, engines[1], (enum utrace_resume_action)action);
}

static int control_in(enum state state)
{
	result = 1;
	if (state < DYING)
		return utrace_control(
			task, engines[0], (enum utrace_resume_action)action);
	die_with(control_in_report, state);
	return result;
}

static void test_control(void)
{
	for (int state = RUNNING; state <= GONE; state++) {
		for (action = 0; action < 8; action++) {
			enter((enum state)state);
			int moves = thread->moves;
			int got = control_in((enum state)state);
			tap_is_long(
				got, control_results[state][action], state_names[state]);
			if (state < DYING) {
				happen();
				char now = thread->moves == moves && !thread->is_stopped
						   ? '.'
						   : outcome();
				char want = control_outcomes[state][action];
				tap_ok(now == want, "%s, action %d: %c",
					state_names[state], action, want);
				if (now != want)
					printf("# got %c\n", now);
			}
			end(2);
		}
	}
}

static void test_interrupts(void)
{
	static const struct {
		const char *name;
		enum utrace_resume_action action;
		bool in_user_code;
		int interrupts;
	} cases[] = {
		{"STOP interrupts", UTRACE_STOP, false, 1},
		{"INTERRUPT interrupts", UTRACE_INTERRUPT, false, 1},
		{"REPORT does not, in a system call", UTRACE_REPORT, false, 0},
		{"REPORT does, in user code", UTRACE_REPORT, true, 1},
		{"SINGLESTEP does not", UTRACE_SINGLESTEP, true, 0},
		{"RESUME does not", UTRACE_RESUME, false, 0},
		{"DETACH does not", UTRACE_DETACH, false, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(1, UTRACE_EVENT(QUIESCE));
		thread->in_user_code = cases[i].in_user_code;
		int r = utrace_control(task, engines[0], cases[i].action);
		tap_ok((r == 0 || r == -EINPROGRESS) &&
				thread->interrupts == cases[i].interrupts,
			"%s", cases[i].name);
		/* once is enough */
		(void)!utrace_control(task, engines[0], cases[i].action);
		tap_is_long(thread->interrupts, cases[i].interrupts, "and not twice");
		end(1);
	}
}

/* ---- events ------------------------------------------------------------------------------------- */

#define D UTRACE_EVENT(DEATH)
#define Q UTRACE_EVENT(QUIESCE)
#define R UTRACE_EVENT(REAP)
#define X UTRACE_EVENT(EXEC)

static const struct {
	const char *name;
	enum state state;
	unsigned long before, after;
	int result;
} event_cases[] = {
	{"adding", RUNNING, 0, D | Q | R | X, 0},
	{"removing", RUNNING, D | Q | R | X, 0, 0},
	{"in the death report: adding DEATH", DYING, R, R | D, A},
	{"in the death report: adding QUIESCE", DYING, R, R | Q, A},
	{"in the death report: removing DEATH", DYING, D | R, R, A},
	{"in the death report: removing QUIESCE", DYING, Q | R, R, A},
	{"in the death report: removing REAP", DYING, D | R, D, 0},
	{"in the death report: adding REAP", DYING, D, D | R, 0},
	{"in the death report: other events", DYING, D | X, D, 0},
	{"in the reap report: removing REAP", REAPED, D | R, D, A},
	{"in the reap report: other events", REAPED, D | R, D | R | X, 0},
	{"gone", GONE, D, 0, S},
};

static unsigned long new_events;

static void set_in_report(struct utrace_engine *engine)
{
	result = utrace_set_events(task, engines[1], new_events);
}

static void test_events(void)
{
	for (size_t i = 0; i < sizeof(event_cases) / sizeof(event_cases[0]); i++) {
		enter(RUNNING);
		if (utrace_set_events(task, engines[1], event_cases[i].before) < 0)
			abort();
		new_events = event_cases[i].after;
		result = 1;
		if (event_cases[i].state == RUNNING)
			set_in_report(NULL);
		else
			die_with(set_in_report, event_cases[i].state);
		tap_is_long(result, event_cases[i].result, event_cases[i].name);
		end(2);
	}
}

/* ---- attaching ---------------------------------------------------------------------------------- */

#define CREATE UTRACE_ATTACH_CREATE
#define ONLY   UTRACE_ATTACH_EXCLUSIVE
#define OPS    UTRACE_ATTACH_MATCH_OPS
#define DATA   UTRACE_ATTACH_MATCH_DATA

static const struct utrace_engine_ops other_ops;

static const struct {
	const char *name;
	int flags;
	bool same_ops, same_data; /* as the first engine's */
	int result, found;        /* which engine: 0, 1; 2: a new one */
} attach_cases[] = {
	{"any", 0, false, false, 0, 0},
	{"by ops", OPS, true, false, 0, 0},
	{"by ops that nobody has", OPS, false, true, -ENOENT, 0},
	{"by data", DATA, false, true, 0, 0},
	{"by data that nobody has", DATA, true, false, -ENOENT, 0},
	{"by both", OPS | DATA, true, true, 0, 0},
	{"by both, one differs", OPS | DATA, true, false, -ENOENT, 0},
	{"create", CREATE, true, true, 0, 2},
	{"create, match without exclusive", CREATE | OPS, true, true, 0, 2},
	{"create exclusive", CREATE | ONLY, false, false, -EEXIST, 0},
	{"create exclusive by ops", CREATE | ONLY | OPS, true, false, -EEXIST, 0},
	{"create exclusive by ops that nobody has", CREATE | ONLY | OPS, false, true, 0,
		2},
	{"create exclusive by data", CREATE | ONLY | DATA, false, true, -EEXIST, 0},
	{"create exclusive by both, one differs", CREATE | ONLY | OPS | DATA, true, false,
		0, 2},
};

static void test_attach(void)
{
	for (size_t i = 0; i < sizeof(attach_cases) / sizeof(attach_cases[0]); i++) {
		struct utrace_engine *engine = NULL;
		begin(2, 0);
		struct fake mine = {'x', 0, 0, 0, 0, NULL};
		int r = utrace_attach_task(task, attach_cases[i].flags,
			attach_cases[i].same_ops ? &fake_ops : &other_ops,
			attach_cases[i].same_data ? &fakes[0] : &mine, &engine);
		bool is_new = engine && engine != engines[0] && engine != engines[1];
		tap_ok(r == attach_cases[i].result &&
				(r < 0 || is_new == (attach_cases[i].found == 2)),
			"%s", attach_cases[i].name);
		tap_ok(r < 0 || is_new || engine == engines[attach_cases[i].found],
			"(the right one)");
		utrace_engine_put(engine);
		end(2);
	}
}

static struct utrace_engine *zombie_engine;
static struct fake zombie = {'z', UTRACE_RESUME, UTRACE_RESUME, UTRACE_RESUME, 0, NULL};

static void attach_in_report(struct utrace_engine *engine)
{
	result = utrace_attach_task(task, CREATE, &fake_ops, &zombie, &zombie_engine);
	if (result == 0 && utrace_set_events(task, zombie_engine, R) < 0)
		abort();
}

static void test_attach_zombie(bool reaped)
{
	zombie_engine = NULL;
	enter(RUNNING);
	die_with(attach_in_report, reaped ? REAPED : DYING);
	tap_is_long(result, reaped ? -ESRCH : 0,
		reaped ? "attach in the reap report" : "attach in the death report");
	tap_ok(reaped == !strstr(heard, "z:reap"), "such an engine gets REAP only");
	utrace_engine_put(zombie_engine);
	end(2);
}

/* ---- death -------------------------------------------------------------------------------------- */

static void test_death(void)
{
	begin(ENGINES, D | R);
	if (utrace_set_events(task, engines[1], D) < 0 ||
		utrace_set_events(task, engines[2], R) < 0)
		abort();
	sim_exit(thread, 0);
	happen();
	tap_is_string(heard, "a:DEATH b:DEATH a:reap c:reap", "death of all, then reap");
	tap_ok(!utrace_engine_task(engines[0]) && !utrace_engine_task(engines[1]),
		"all are detached");
	end(ENGINES);
	tap_ok(fakes[0].released == 1 && fakes[1].released == 1 && fakes[2].released == 1,
		"each is released once");
	begin(ENGINES, D | R);
	fakes[0].event = UTRACE_DETACH;
	sim_exit(thread, 0);
	happen();
	tap_is_string(heard, "a:DEATH b:DEATH c:DEATH b:reap c:reap",
		"DETACH as the answer to a death: no reap");
	end(ENGINES);
}

static void test_killed_at_exit(void)
{
	static const struct {
		const char *name;
		unsigned long status;
		char outcome;
	} cases[] = {
		{"exit: held by STOP", 3 << 8, 'h'},
		{"killed by a signal: held", SIGSEGV, 'h'},
		{"killed by SIGKILL: nothing holds it", SIGKILL, 'c'},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(1, UTRACE_EVENT(EXIT));
		fakes[0].event = UTRACE_STOP;
		thread->message = cases[i].status;
		sim_stop(thread, PTRACE_STOP_EXIT, SIGTRAP);
		happen();
		tap_ok(!strcmp(heard, "a:exit") && outcome() == cases[i].outcome, "%s",
			cases[i].name);
		end(1);
	}
}

/* The kernel offers the same thread first, however often: the others have their turn. */
static void test_fairness(void)
{
	enum {
		BUSY = 2000,
		ROUND = 64 /* of dispatch.c */
	};
	begin(1, 0);
	struct sim_thread *busy = thread, *other;
	sim_start(1);
	sim_start(2);
	if (utrace_seize_process(world, SIM_PID, NULL) < 0)
		abort();
	other = sim_thread(SIM_PID + 2);
	busy->stops_at_once = BUSY;
	sim_stop(busy, PTRACE_STOP_VFORK_DONE, SIGTRAP);
	sim_stop(other, PTRACE_STOP_VFORK_DONE, SIGTRAP);
	happen();
	tap_is_long(
		busy->moves, BUSY + 1, "a thread that stops all the time is answered");
	tap_ok(other->moved_at && other->moved_at <= 2 * ROUND,
		"another one, too, before that ends (after %d)", other->moved_at);
	end(1);
}

/* The same when nobody has told of it: its parent was killed before that. */
static void test_fairness_to_strangers(void)
{
	enum {
		BUSY = 200000
	};
	begin(1, 0);
	struct sim_thread *busy = thread, *killed;
	sim_start(1);
	if (utrace_seize_process(world, SIM_PID, NULL) < 0)
		abort();
	killed = sim_start(2);
	busy->stops_at_once = BUSY;
	sim_stop(busy, PTRACE_STOP_VFORK_DONE, SIGTRAP);
	sim_stop(killed, PTRACE_STOP_EXIT, SIGTRAP);
	sim_exit(sim_thread(SIM_PID + 1), 0);
	while (!killed->moved_at && busy->moves < BUSY)
		happen();
	tap_ok(killed->moved_at && killed->moved_at < BUSY,
		"one that nobody knows of goes on to its end (after %d)",
		killed->moved_at);
	tap_ok(!utrace_find_task(world, SIM_PID + 1), "one that has ended is reaped");
	while (busy->stops_at_once)
		happen();
	end(1);
}

static int announced;

static void count_new(struct utrace_task *new_task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	announced++;
}

/* It waits for its creator, whatever becomes of other processes: nobody traces the parent of theirs. */
static void test_unborn_thread(void)
{
	begin(1, 0);
	struct sim_thread *unborn = sim_start(1);
	utrace_on_new_task(world, count_new, NULL);
	announced = 0;
	sim_stop(unborn, PTRACE_STOP_INTERRUPT, SIGTRAP);
	happen();
	utrace_lock(world);
	utrace_adopt_orphans(world);
	utrace_unlock(world);
	tap_ok(!announced && !unborn->moves,
		"a thread that was not told of yet is no orphan");
	sim_stop(unborn, PTRACE_STOP_EXIT, SIGTRAP);
	happen();
	tap_ok(unborn->moves, "killed, it goes on to its end");
	end(1);
}

/* Between the list of a process's threads and PTRACE_SEIZE a tid can be used again. */
static void test_reused_tid(void)
{
	begin(1, UTRACE_EVENT(QUIESCE));
	struct sim_thread *stranger = sim_start(1);
	stranger->is_stranger = true;
	utrace_on_new_task(world, count_new, NULL);
	tap_is_long(utrace_seize_process(world, SIM_PID, NULL), 0,
		"a tid that is another process's by now");
	tap_is_long(stranger->interrupts, 1, "is stopped");
	sim_stop(stranger, PTRACE_STOP_INTERRUPT, SIGTRAP);
	happen();
	tap_is_long(stranger->motion, UTRACE_MOTION_DETACH, "and let go");
	tap_ok(!utrace_find_task(world, stranger->tid) && !announced,
		"nobody hears of it");
	end(1);
}

int main(void)
{
	test_control();
	test_interrupts();
	test_events();
	test_attach();
	test_attach_zombie(false);
	test_attach_zombie(true);
	test_death();
	test_killed_at_exit();
	test_fairness();
	test_fairness_to_strangers();
	test_unborn_thread();
	test_reused_tid();
	return tap_done();
}
