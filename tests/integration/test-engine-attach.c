/* SPDX-License-Identifier: MIT */
/* Attaching, events, control, barrier, examiner: what they return, and what holds afterwards. */
#include "engine.h"

static void sleeper(void)
{
	meet();
	for (;;)
		pause();
}

static void counter(void)
{
	advance(&shared->ready);
	for (;;)
		shared->count++;
}

static void caller(void)
{
	meet();
	for (;;)
		syscall(SYS_getppid);
}

static bool counts(void)
{
	long before = shared->count;
	DISPATCH_UNTIL(shared->count != before);
	return true;
}

/* It has had its chance: whatever was sent on its way has arrived. */
static bool stands(void)
{
	long before = shared->count;
	for (int i = 0; i < 10; i++)
		dispatch_once();
	return shared->count == before;
}

/* ---- attach ------------------------------------------------------------------------------------- */

static void test_attach(void)
{
	struct recorder ra = recorder('a'), rb = recorder('b');
	struct utrace_engine *a, *b, *c;
	const int create = UTRACE_ATTACH_CREATE, exclusive = UTRACE_ATTACH_EXCLUSIVE;
	const int ops = UTRACE_ATTACH_MATCH_OPS, data = UTRACE_ATTACH_MATCH_DATA;
	static const struct utrace_engine_ops other_ops;
	pid_t pid = start(sleeper);
	tap_is_long(utrace_attach_pid(utrace, pid, 0, NULL, NULL, &a), -ENOENT,
		"a thread that nobody traces: ENOENT");
	tap_is_long(utrace_attach_pid(utrace, pid, create, NULL, NULL, &a), -EINVAL,
		"no ops: EINVAL");
	tap_is_long(utrace_attach_pid(utrace, pid, create | 0x40, &recorder_ops, &ra, &a),
		-EINVAL, "a flag that does not exist: EINVAL");
	tap_ok(!utrace_find_task(utrace, pid), "nothing was seized for that");
	tap_is_long(utrace_attach_pid(utrace, pid, create, &recorder_ops, &ra, &a), 0,
		"create by tid seizes");
	struct utrace_task *task = utrace_find_task(utrace, pid);
	tap_is_long(utrace_attach_task(task, UTRACE_ATTACH_MATCH_MASK, NULL, NULL, &b),
		-EINVAL, "a way to match that does not exist: EINVAL");
	tap_is_long(utrace_attach_task(task, create, &recorder_ops, &rb, &b), 0,
		"create a second one with the same ops");
	tap_ok(a != b, "which is another one");
	tap_is_long(utrace_attach_task(
			    task, create | exclusive | ops, &recorder_ops, &ra, &c),
		-EEXIST, "exclusive and ops match: EEXIST");
	tap_is_long(utrace_attach_task(task, create | exclusive, &other_ops, NULL, &c),
		-EEXIST, "exclusive without a match, any engine there: EEXIST");
	tap_is_long(
		utrace_attach_task(task, create | exclusive | ops, &other_ops, NULL, &c),
		0, "exclusive and nothing matches");
	utrace_engine_put(c);
	tap_is_long(utrace_attach_task(task, 0, NULL, NULL, &c), 0, "look up any");
	tap_ok(c == a, "finds the first");
	utrace_engine_put(c);
	tap_is_long(utrace_attach_task(task, data, NULL, &rb, &c), 0, "look up by data");
	tap_ok(c == b, "finds the second");
	utrace_engine_put(c);
	tap_is_long(utrace_attach_task(task, ops | data, &other_ops, &rb, &c), -ENOENT,
		"both have to match: ENOENT");
	tap_is_long(utrace_control(task, a, UTRACE_DETACH), 0, "detach the first");
	tap_is_long(utrace_attach_task(task, data, NULL, &ra, &c), -ENOENT,
		"a detached one is not found");
	tap_is_long(ra.released, 0, "not released while referenced");
	utrace_engine_put(a);
	tap_is_long(ra.released, 1, "released by the last put");
	utrace_engine_put(b);
	kill_and_finish(pid);
	tap_is_long(rb.released, 1, "released when the task died");
	tap_is_long(utrace_attach_pid(utrace, pid, 0, NULL, NULL, &a), -ESRCH,
		"look up of a dead tid: ESRCH");
	tap_is_long(utrace_attach_pid(utrace, pid, create, &recorder_ops, &ra, &a),
		-ESRCH, "create for a dead tid: ESRCH");
}

static void test_kernel_thread(void)
{
	static const struct utrace_engine_ops ops;
	struct utrace_engine *engine;
	char name[16] = "";
	FILE *file = fopen("/proc/2/comm", "r");
	if (file && !fgets(name, sizeof(name), file))
		name[0] = 0;
	if (file)
		fclose(file);
	if (strcmp(name, "kthreadd\n") != 0) {
		tap_skip("a kernel thread: none is to be seen here");
		return;
	}
	tap_is_long(
		utrace_attach_pid(utrace, 2, UTRACE_ATTACH_CREATE, &ops, NULL, &engine),
		-EPERM, "a kernel thread: EPERM");
}

/* ---- a new engine ------------------------------------------------------------------------------- */

static struct recorder late;
static struct utrace_engine *late_engine;

static void attach_late(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (late_engine || strcmp(what, "entry") != 0)
		return;
	struct utrace_task *task = utrace_engine_task(engine);
	if (utrace_attach_task(
		    task, UTRACE_ATTACH_CREATE, &recorder_ops, &late, &late_engine) < 0 ||
		utrace_set_events(task, late_engine, UTRACE_EVENT_SYSCALL) < 0)
		exit(1);
}

static void call_once(void)
{
	meet();
	syscall(SYS_getppid);
	meet();
}

static void test_new_engine(void)
{
	struct recorder ra = recorder('a'), none = recorder('n');
	pid_t pid = start(call_once);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *n = attach(task, &none, 0);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT_SYSCALL);
	late = recorder('l');
	late.call = ra.call = SYS_getppid;
	ra.on_event = attach_late;
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_string(heard, "a:entry a:exit l:exit",
		"an engine attached in an entry hears that call's exit only");
	tap_is_long(none.calls, 0, "an engine that wants nothing hears nothing");
	utrace_engine_put(n);
	utrace_engine_put(a);
	utrace_engine_put(late_engine);
	send_on();
	finish(pid);
}

/* ---- events ------------------------------------------------------------------------------------- */

static volatile int inside, go_on;

static bool has(volatile int *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST) != 0;
}

static void block(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (r->call != SYS_getppid || has(&inside))
		return;
	advance(&inside);
	wait_for(&go_on, 1);
}

struct other_thread {
	struct utrace_task *task;
	struct utrace_engine *engine;
	int added, removed, barrier, detached, gone;
};

static void *set_from_outside(void *data)
{
	struct other_thread *t = data;
	wait_for(&inside, 1);
	t->added = utrace_set_events(
		t->task, t->engine, UTRACE_EVENT_SYSCALL | UTRACE_EVENT(QUIESCE));
	t->removed = utrace_set_events(t->task, t->engine, UTRACE_EVENT(SYSCALL_ENTRY));
	t->detached = utrace_control(t->task, t->engine, UTRACE_DETACH);
	advance(&go_on);
	t->barrier = utrace_barrier(t->task, t->engine);
	t->gone = utrace_control(t->task, t->engine, UTRACE_RESUME);
	return NULL;
}

static void test_other_thread(void)
{
	struct recorder ra = recorder('a');
	pthread_t thread;
	pid_t pid = start(caller);
	struct utrace_task *task = seize(pid);
	ra.call = SYS_getppid;
	ra.on_event = block;
	inside = go_on = 0;
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT_SYSCALL);
	struct other_thread other = {.task = task, .engine = a};
	pthread_create(&thread, NULL, set_from_outside, &other);
	send_on();
	DISPATCH_UNTIL(has(&inside) && !utrace_engine_task(a));
	pthread_join(thread, NULL);
	tap_is_long(other.added, 0, "another thread, in a callback: adding events");
	tap_is_long(other.removed, -EINPROGRESS, "removing some: EINPROGRESS");
	tap_is_long(other.detached, -EINPROGRESS, "detaching: EINPROGRESS");
	tap_is_long(other.barrier, -ESRCH, "then the barrier says it is off: ESRCH");
	tap_is_long(other.gone, -ESRCH, "then control gives ESRCH");
	int calls = ra.calls;
	for (int i = 0; i < 5; i++)
		dispatch_once();
	tap_is_long(ra.calls, calls, "and no callback comes any more");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void *wait_from_outside(void *data)
{
	struct other_thread *t = data;
	wait_for(&inside, 1);
	t->removed = utrace_set_events(t->task, t->engine, UTRACE_EVENT(SYSCALL_EXIT));
	advance(&go_on);
	t->barrier = utrace_barrier(t->task, t->engine);
	return NULL;
}

static void test_barrier(void)
{
	struct recorder ra = recorder('a');
	pthread_t thread;
	pid_t pid = start(caller);
	struct utrace_task *task = seize(pid);
	ra.call = SYS_getppid;
	ra.on_event = block;
	inside = go_on = 0;
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT_SYSCALL);
	struct other_thread other = {.task = task, .engine = a};
	pthread_create(&thread, NULL, wait_from_outside, &other);
	send_on();
	DISPATCH_UNTIL(has(&inside));
	pthread_join(thread, NULL);
	tap_is_long(other.removed, -EINPROGRESS, "removing in a callback: EINPROGRESS");
	tap_is_long(other.barrier, 0, "then the barrier is 0");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void nothing(int signal)
{
}

static void *barrier_from_outside(void *data)
{
	struct other_thread *t = data;
	wait_for(&inside, 1);
	t->barrier = utrace_barrier(t->task, t->engine);
	advance(&go_on);
	return NULL;
}

static pthread_t waiter;

/* The barrier may not have begun to wait: once is not enough. */
static void interrupt_waiter(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (has(&inside))
		return;
	r->code = utrace_barrier(utrace_engine_task(engine), engine);
	advance(&inside);
	while (!has(&go_on)) {
		pthread_kill(waiter, SIGUSR1);
		usleep(1000);
	}
}

static void test_barrier_signal(void)
{
	struct recorder ra = recorder('a');
	struct sigaction action = {.sa_handler = nothing};
	sigaction(SIGUSR1, &action, NULL);
	pid_t pid = start(caller);
	struct utrace_task *task = seize(pid);
	ra.call = SYS_getppid;
	ra.on_event = interrupt_waiter;
	inside = go_on = 0;
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT(SYSCALL_ENTRY));
	struct other_thread other = {.task = task, .engine = a};
	pthread_create(&waiter, NULL, barrier_from_outside, &other);
	send_on();
	DISPATCH_UNTIL(has(&go_on));
	pthread_join(waiter, NULL);
	tap_is_long(ra.code, 0, "barrier in one's own callback: 0");
	tap_is_long(other.barrier, -EINTR, "barrier interrupted by a signal: EINTR");
	tap_is_long(utrace_barrier(task, a), 0, "nothing runs: 0");
	tap_is_long(utrace_barrier_pid(utrace, pid, a), 0, "by tid");
	tap_is_long(utrace_control(task, a, UTRACE_DETACH), 0, "detach");
	tap_is_long(utrace_barrier(task, a), -ESRCH, "barrier of a removed one: ESRCH");
	tap_is_long(utrace_set_events(task, a, 0), -ESRCH, "set_events: ESRCH");
	tap_is_long(utrace_set_events_pid(utrace, pid, a, 0), -ESRCH, "by tid: ESRCH");
	tap_is_long(utrace_control_pid(utrace, 1 << 30, a, UTRACE_STOP), -ESRCH,
		"no such tid: ESRCH");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

/* In the death report of the first: what can be changed of the second, and of itself? */
static struct recorder *second;
static struct utrace_engine *second_engine;
static int dying[6];

static void change_dying(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	struct utrace_task *task = utrace_engine_task(engine);
	if (!strcmp(what, "death")) {
		dying[0] = utrace_set_events(
			task, second_engine, UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
		dying[1] = utrace_set_events(task, engine, UTRACE_EVENT(REAP));
		dying[2] = utrace_set_events(
			task, second_engine, UTRACE_EVENT(EXIT) | UTRACE_EVENT(REAP));
		dying[3] = utrace_control(task, second_engine, UTRACE_DETACH);
	} else if (!strcmp(what, "reap")) {
		dying[4] = utrace_set_events(task, engine, UTRACE_EVENT(DEATH));
		dying[5] = utrace_control(task, engine, UTRACE_DETACH);
	}
}

static void test_zombie(void)
{
	struct recorder ra = recorder('a'), rb = recorder('b');
	pid_t pid = start(sleeper);
	struct utrace_task *task = seize(pid);
	ra.on_event = change_dying;
	second = &rb;
	struct utrace_engine *a =
		attach(task, &ra, UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
	second_engine = attach(task, &rb, UTRACE_EVENT(REAP));
	kill_and_finish(pid);
	tap_is_long(dying[0], -EALREADY, "zombie: setting DEATH: EALREADY");
	tap_is_long(dying[1], -EALREADY, "in the death report: clearing it: EALREADY");
	tap_is_long(dying[2], 0, "other bits can be changed");
	tap_is_long(dying[3], -EALREADY, "detaching in a death report: EALREADY");
	tap_is_long(dying[4], -EALREADY, "in the reap report: clearing REAP: EALREADY");
	tap_is_long(dying[5], -ESRCH, "detaching then: ESRCH");
	tap_is_string(heard, "a:death a:reap b:reap", "and what was said comes");
	utrace_engine_put(a);
	utrace_engine_put(second_engine);
}

/* ---- control ------------------------------------------------------------------------------------ */

static void test_control(void)
{
	struct recorder ra = recorder('a');
	pid_t pid = start(counter);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, 0);
	tap_is_long(utrace_control(task, a, UTRACE_REPORT), -EINVAL,
		"REPORT without QUIESCE: EINVAL");
	tap_is_long(utrace_control(task, a, UTRACE_SINGLESTEP), -EINVAL,
		"SINGLESTEP without QUIESCE: EINVAL");
	tap_is_long(utrace_control(task, a, UTRACE_BLOCKSTEP), -EINVAL,
		"BLOCKSTEP without QUIESCE: EINVAL");
	tap_is_long(utrace_control(task, a, UTRACE_RESUME_MAX), -EINVAL, "7: EINVAL");
	tap_is_long(utrace_control(task, a, 99), -EINVAL, "99: EINVAL");
	ra.answers[0] = UTRACE_STOP;
	tap_is_long(utrace_set_events(task, a, UTRACE_EVENT(QUIESCE)), 0, "with QUIESCE");
	tap_is_long(utrace_control(task, a, UTRACE_STOP), -EINPROGRESS,
		"STOP of a running thread: EINPROGRESS");
	tap_is_long(utrace_wait_stopped(task, 100000, NULL), 0, "it stops");
	tap_is_string(heard, "a:quiesce", "report_quiesce() was called");
	tap_ok(stands(), "it stands");
	tap_is_long(utrace_control_pid(utrace, pid, a, UTRACE_STOP), 0,
		"STOP of a stopped one: 0");
	ra.answers[0] = UTRACE_RESUME;
	tap_is_long(utrace_control(task, a, UTRACE_REPORT), 0, "REPORT of a stopped one");
	forget();
	DISPATCH_UNTIL(has_heard("a:quiesce"));
	tap_ok(counts(), "it runs after the report");
	forget();
	tap_is_long(utrace_control(task, a, UTRACE_REPORT), 0,
		"REPORT of one that runs user code");
	DISPATCH_UNTIL(has_heard("a:quiesce"));
	tap_ok(true, "is heard");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void test_job_stopped(void)
{
	struct recorder ra = recorder('a');
	pid_t pid = start(counter);
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT(JCTL));
	DISPATCH_UNTIL(utrace_task_in_group_stop(task));
	tap_is_long(utrace_control(task, a, UTRACE_STOP), 0,
		"STOP of a process stopped by job control: 0");
	kill(pid, SIGCONT);
	tap_ok(stands(), "SIGCONT does not run it");
	tap_is_long(utrace_control(task, a, UTRACE_RESUME), 0, "RESUME");
	DISPATCH_UNTIL(has_heard("a:CONTINUED"));
	tap_ok(counts(), "it runs then");
	forget();
	kill(pid, SIGSTOP);
	DISPATCH_UNTIL(has_heard("a:STOPPED"));
	tap_is_long(utrace_control(task, a, UTRACE_STOP), 0, "STOP it once more");
	tap_is_long(
		utrace_control(task, a, UTRACE_RESUME), 0, "RESUME while it is stopped");
	tap_ok(stands() && utrace_task_in_group_stop(task), "leaves it to job control");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void detach_in_callback(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	r->exit = UTRACE_DETACH;
}

static void test_detach_in_callback(void)
{
	struct recorder ra = recorder('a'), rb = recorder('b');
	pid_t pid = start(caller);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT(SYSCALL_EXIT));
	struct utrace_engine *b = attach(task, &rb, UTRACE_EVENT(SYSCALL_EXIT));
	ra.call = rb.call = SYS_getppid;
	ra.on_event = detach_in_callback;
	send_on();
	DISPATCH_UNTIL(rb.calls >= 20);
	tap_is_long(ra.calls, 1, "an engine that answers DETACH is not called again");
	tap_is_long(ra.released, 0, "not released while the test has a reference");
	tap_is_long(utrace_control(task, a, UTRACE_STOP), -ESRCH, "control: ESRCH");
	tap_ok(!utrace_engine_task(a) && utrace_engine_data(a) == &ra,
		"the engine itself is still there");
	utrace_engine_put(a);
	tap_is_long(ra.released, 1, "released exactly once");
	utrace_engine_put(b);
	kill_and_finish(pid);
}

/* ---- examiner ----------------------------------------------------------------------------------- */

static void test_examiner(void)
{
	struct recorder ra = recorder('a'), rb = recorder('b');
	struct utrace_examiner exam;
	pid_t pid = start(counter);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, 0), *b = attach(task, &rb, 0);
	tap_is_long(utrace_prepare_examine(task, a, &exam), -EINVAL,
		"examine without a stop: EINVAL");
	hold(task, a);
	tap_is_long(utrace_prepare_examine(task, b, &exam), -EINVAL,
		"held by another engine only: EINVAL");
	tap_is_long(utrace_prepare_examine(task, a, &exam), 0, "held: 0");
	tap_is_long(utrace_finish_examine(task, a, &exam), 0, "nothing happened: 0");
	if (utrace_control(task, a, UTRACE_RESUME) < 0)
		exit(1);
	hold(task, a);
	tap_is_long(utrace_finish_examine(task, a, &exam), -EAGAIN, "it ran: EAGAIN");
	tap_is_long(utrace_prepare_examine(task, a, &exam), 0, "again: 0");
	kill(pid, SIGKILL);
	struct user_regs_struct regs;
	siginfo_t info;
	/* until the kill has taken it out of its stop */
	while (utrace_get_regs(task, &regs) == 0 &&
		utrace_get_siginfo(task, &info) == 0 && info.si_code >> 8 != 6)
		usleep(1000);
	tap_is_long(utrace_finish_examine(task, a, &exam), -EAGAIN,
		"killed in between: EAGAIN");
	finish(pid);
	tap_is_long(utrace_prepare_examine(task, a, &exam), -ESRCH, "dead: ESRCH");
	utrace_engine_put(a);
	utrace_engine_put(b);
}

int main(void)
{
	set_up();
	test_attach();
	test_kernel_thread();
	test_new_engine();
	test_other_thread();
	test_barrier();
	test_barrier_signal();
	test_zombie();
	test_control();
	test_job_stopped();
	test_detach_in_callback();
	test_examiner();
	utrace_destroy(utrace);
	return tap_done();
}
