/* SPDX-License-Identifier: MIT */
/* System call events: order, precedence, abort, rewriting, stops at the entry; steps and reports. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "engine.h"

static struct recorder ra, rb, rc;
static struct utrace_engine *a, *b, *c;

static void three(struct utrace_task *task, long call, unsigned long events)
{
	ra = recorder('a');
	rb = recorder('b');
	rc = recorder('c');
	ra.call = rb.call = rc.call = call;
	a = attach(task, &ra, events);
	b = attach(task, &rb, events);
	c = attach(task, &rc, events);
}

static void put_three(void)
{
	utrace_engine_put(a);
	utrace_engine_put(b);
	utrace_engine_put(c);
}

static void let_go(struct utrace_task *task, struct utrace_engine *engine)
{
	if (utrace_control(task, engine, UTRACE_RESUME) < 0)
		exit(1);
}

/* ---- order -------------------------------------------------------------------------------------- */

static void ask_parent(void)
{
	meet();
	shared->values[0] = syscall(SYS_getppid);
	shared->error = errno;
	meet();
	shared->values[1] = syscall(SYS_getppid);
	meet();
}

static void test_order(void)
{
	pid_t pid = start(ask_parent);
	struct utrace_task *task = seize(pid);
	three(task, SYS_getppid, UTRACE_EVENT_SYSCALL);
	rc.entry = UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_string(heard, "c:entry b:entry a:entry a:exit b:exit c:exit",
		"entry in reverse order of attaching, exit in order");
	tap_is_long(
		shared->values[0], getpid(), "the first engine's RUN wins over ABORT");
	tap_ok(utrace_syscall_action(rb.action) == UTRACE_SYSCALL_RUN,
		"(the exit has no syscall action)");
	forget();
	rc.entry = UTRACE_RESUME;
	ra.entry = UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	tap_is_string(heard, "c:entry b:entry a:entry a:exit b:exit c:exit",
		"an aborted call has its exit");
	tap_is_long(shared->values[1], -1, "the first engine's ABORT wins over RUN");
	put_three();
	send_on();
	finish(pid);
}

/* ---- precedence --------------------------------------------------------------------------------- */

static void test_report_wins(void)
{
	pid_t pid = start(ask_parent);
	struct utrace_task *task = seize(pid);
	three(task, SYS_getppid, UTRACE_EVENT(SYSCALL_EXIT) | UTRACE_EVENT(QUIESCE));
	rb.exit = UTRACE_SINGLESTEP;
	rc.exit = UTRACE_REPORT;
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_string(heard, "a:exit b:exit c:exit a:quiesce b:quiesce c:quiesce",
		"{RESUME, SINGLESTEP, REPORT}: one more report");
	tap_ok(ra.regs.rip && ra.regs.rip == rc.regs.rip, "before the next instruction");
	put_three();
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	send_on();
	finish(pid);
}

static uint64_t call_end;

static void note_exit(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (!strcmp(what, "exit"))
		call_end = r->regs.rip;
}

static void test_step_wins(void)
{
	pid_t pid = start(ask_parent);
	struct utrace_task *task = seize(pid);
	three(task, SYS_getppid, UTRACE_EVENT(SYSCALL_EXIT) | UTRACE_EVENT(QUIESCE));
	ra.exit = UTRACE_SINGLESTEP;
	rb.exit = UTRACE_BLOCKSTEP;
	ra.on_event = note_exit;
	send_on();
	DISPATCH_UNTIL(has_heard("c:ign-5"));
	uint64_t distance = rc.regs.rip - call_end;
	tap_ok(distance > 0 && distance <= 15,
		"{SINGLESTEP, BLOCKSTEP}: one instruction");
	tap_is_string(heard, "a:exit b:exit c:exit a:ign-5 b:ign-5 c:ign-5",
		"then SIGTRAP, which is not the program's");
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->values[0], getpid(), "the program has not noticed");
	put_three();
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	send_on();
	finish(pid);
}

static void test_stops(void)
{
	pid_t pid = start(ask_parent);
	struct utrace_task *task = seize(pid);
	three(task, SYS_getppid, UTRACE_EVENT(SYSCALL_EXIT) | UTRACE_EVENT(QUIESCE));
	ra.exit = rb.exit = UTRACE_STOP;
	ra.answers[0] = rb.answers[0] = UTRACE_STOP;
	rc.exit = rc.answers[0] = UTRACE_SINGLESTEP;
	rc.on_event = note_exit;
	send_on();
	DISPATCH_UNTIL(has_heard("c:quiesce"));
	tap_is_string(heard, "a:exit b:exit c:exit a:quiesce b:quiesce c:quiesce",
		"a STOP in a place where there is none: one more report");
	tap_ok(utrace_task_is_stopped(task), "where they say STOP again");
	let_go(task, a);
	for (int i = 0; i < 5; i++)
		dispatch_once();
	tap_ok(utrace_task_is_stopped(task), "one RESUME of two: still stopped");
	forget();
	ra.answers[0] = rb.answers[0] = rc.answers[0] = UTRACE_RESUME;
	ra.exit = rb.exit = rc.exit = UTRACE_RESUME;
	let_go(task, b);
	DISPATCH_UNTIL(has_heard("c:ign-5"));
	uint64_t distance = rc.regs.rip - call_end;
	tap_ok(distance > 0 && distance <= 15,
		"after the second the step is made that the third engine asked for");
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->values[0], getpid(), "the program has not noticed");
	put_three();
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	send_on();
	finish(pid);
}

/* ---- steps over system calls -------------------------------------------------------------------- */

static int steps, steps_before;

static void note_steps(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (!strcmp(what, "exit"))
		steps_before = steps;
}

static void keep_stepping(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	steps += !strcmp(what, "ign-5");
	forget(); /* there are thousands */
}

static void test_step_over_call(void)
{
	pid_t pid = start(ask_parent);
	struct utrace_task *task = seize(pid);
	struct recorder stepper = recorder('s'), watcher = recorder('w');
	watcher.call = stepper.call = SYS_getppid;
	struct utrace_engine *w = attach(task, &watcher, UTRACE_EVENT_SYSCALL);
	struct utrace_engine *s = attach(task, &stepper, UTRACE_EVENT(QUIESCE));
	stepper.answers[UTRACE_EVENT_NR_SIGNAL] = UTRACE_SINGLESTEP;
	stepper.answers[0] = UTRACE_STOP;
	stepper.on_event = keep_stepping;
	steps = 0;
	hold(task, s);
	send_on();
	if (utrace_control(task, s, UTRACE_SINGLESTEP) < 0)
		exit(1);
	watcher.on_event = note_steps;
	DISPATCH_UNTIL(watcher.calls == 2 && steps > steps_before + 3);
	tap_is_long(
		watcher.calls, 2, "another engine hears the calls of a stepped thread");
	tap_ok(steps_before > 0, "steps before and after the call");
	utrace_engine_put(w);
	if (utrace_control(task, s, UTRACE_DETACH) < 0)
		exit(1);
	utrace_engine_put(s);
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->values[0], getpid(), "the program has not noticed");
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	send_on();
	finish(pid);
}

/* ---- abort and rewriting ------------------------------------------------------------------------ */

static char directory[64];

static void three_calls(void)
{
	meet();
	shared->values[0] = mkdir(directory, 0700);
	shared->values[1] = errno;
	meet();
	shared->values[2] = syscall(SYS_getppid);
	meet();
	syscall(SYS_exit_group, 3);
	shared->values[3] = 1;
	meet();
}

static void set_result(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	struct utrace_syscall call;
	struct utrace_task *task = utrace_engine_task(engine);
	if (strcmp(what, "exit") != 0 || utrace_get_syscall(task, &call) < 0)
		return;
	r->code = call.number;
	call.result = 4711;
	if (utrace_set_syscall(task, &call) < 0)
		r->code = -1;
}

static void test_abort(void)
{
	struct stat stat_buffer;
	snprintf(directory, sizeof(directory), "/tmp/utrace-abort-%d", getpid());
	pid_t pid = start(three_calls);
	struct utrace_task *task = seize(pid);
	struct recorder r = recorder('a');
	r.call = SYS_mkdir;
	r.entry = UTRACE_SYSCALL_ABORT | UTRACE_RESUME;
	struct utrace_engine *engine =
		attach(task, &r, UTRACE_EVENT_SYSCALL | UTRACE_EVENT(DEATH));
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_ok(shared->values[0] == -1 && shared->values[1] == ENOSYS,
		"an aborted call gives ENOSYS");
	tap_is_string(heard, "a:entry a:exit", "its exit is reported");
	tap_ok(stat(directory, &stat_buffer) < 0, "it has no effect");
	r.call = SYS_getppid;
	r.on_event = set_result;
	send_on();
	DISPATCH_UNTIL(shared->ready == 3);
	tap_is_long(
		shared->values[2], 4711, "a result that an engine has set at the exit");
	tap_is_long(r.code, SYS_getppid, "where the call still has its number");
	r.call = SYS_exit_group;
	r.on_event = NULL;
	send_on();
	DISPATCH_UNTIL(shared->ready == 4);
	tap_is_long(shared->values[3], 1, "exit_group aborted: the process goes on");
	utrace_engine_put(engine);
	send_on();
	tap_is_long(WEXITSTATUS(finish(pid)), 7, "and ends in its own time");
}

static void write_calls(void)
{
	static const char text[] = "original";
	int fds[2];
	if (pipe(fds) < 0)
		_exit(1);
	meet();
	shared->values[0] = write(fds[1], text, 8);
	shared->values[1] = read(fds[0], (char *)(uintptr_t)&shared->values[4], 8);
	meet();
}

static void shorten(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	struct utrace_syscall call;
	struct utrace_task *task = utrace_engine_task(engine);
	if (strcmp(what, "entry") != 0 || utrace_get_syscall(task, &call) < 0)
		return;
	call.args[2] = 4;
	if (utrace_set_syscall(task, &call) < 0)
		r->code = -1;
}

static void test_rewrite(void)
{
	pid_t pid = start(write_calls);
	struct utrace_task *task = seize(pid);
	struct recorder first = recorder('f'), last = recorder('l');
	first.call = last.call = SYS_write;
	last.on_event = shorten;
	struct utrace_engine *f = attach(task, &first, UTRACE_EVENT_SYSCALL);
	struct utrace_engine *l = attach(task, &last, UTRACE_EVENT_SYSCALL);
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->values[0], 4, "arguments that an engine has changed");
	tap_is_long((long long)first.regs.rdx, 4, "are seen by those called after it");
	tap_ok(!memcmp((const char *)(uintptr_t)&shared->values[4], "orig\0", 5),
		"and by the kernel");
	utrace_engine_put(f);
	utrace_engine_put(l);
	send_on();
	finish(pid);
}

/* ---- stops at the entry ------------------------------------------------------------------------- */

static void change_argument(struct utrace_task *task)
{
	struct utrace_syscall call;
	if (utrace_get_syscall(task, &call) < 0)
		exit(1);
	call.args[2] = 2;
	if (utrace_set_syscall(task, &call) < 0)
		exit(1);
}

static void test_entry_stop(bool report)
{
	const char *how = report ? "REPORT" : "RESUME";
	pid_t pid = start(write_calls);
	struct utrace_task *task = seize(pid);
	struct recorder r = recorder('a'), other = recorder('o');
	r.call = other.call = SYS_write;
	r.entry = UTRACE_STOP;
	struct utrace_engine *o = attach(task, &other, UTRACE_EVENT_SYSCALL);
	struct utrace_engine *engine =
		attach(task, &r, UTRACE_EVENT_SYSCALL | UTRACE_EVENT(QUIESCE));
	send_on();
	DISPATCH_UNTIL(has_heard("o:entry"));
	tap_ok(utrace_task_is_stopped(task), "%s: held at the entry", how);
	change_argument(task);
	r.entry = UTRACE_RESUME;
	if (utrace_control(task, engine, report ? UTRACE_REPORT : UTRACE_RESUME) < 0)
		exit(1);
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_string(heard,
		report ? "a:entry o:entry a:resumed o:resumed o:exit a:exit"
		       : "a:entry o:entry o:exit a:exit",
		report ? "REPORT: the entry is reported again"
		       : "RESUME: the entry is not reported again");
	tap_is_long(shared->values[0], 2, "what was changed meanwhile counts");
	if (report)
		tap_ok(other.action != UINT32_MAX && r.regs.rdx == 2,
			"and is seen in that report");
	utrace_engine_put(o);
	utrace_engine_put(engine);
	send_on();
	finish(pid);
}

static void make_directory(void)
{
	meet();
	mkdir(directory, 0700);
	meet();
}

static void test_kill_at_entry(void)
{
	struct stat stat_buffer;
	pid_t pid = start(make_directory);
	struct utrace_task *task = seize(pid);
	struct recorder r = recorder('a');
	r.call = SYS_mkdir;
	r.entry = UTRACE_STOP;
	struct utrace_engine *engine = attach(task, &r,
		UTRACE_EVENT_SYSCALL | UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
	send_on();
	DISPATCH_UNTIL(has_heard("a:entry"));
	int status = kill_and_finish(pid);
	tap_is_string(
		heard, "a:entry a:death a:reap", "killed at the entry: death, reap");
	tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "by SIGKILL");
	tap_ok(stat(directory, &stat_buffer) < 0, "the call was not made");
	utrace_engine_put(engine);
}

/* The answer of DETACH and what comes afterwards have to agree, whoever is faster. */
static void test_detach_race(void)
{
	int answers[3] = {0}, wrong = 0;
	for (int round = 0; round < 200; round++) {
		pid_t pid = start(make_directory);
		struct utrace_task *task = seize(pid);
		struct recorder r = recorder('a');
		r.call = SYS_mkdir;
		r.entry = UTRACE_STOP;
		struct utrace_engine *engine = attach(task, &r,
			UTRACE_EVENT_SYSCALL | UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
		send_on();
		DISPATCH_UNTIL(has_heard("a:entry"));
		kill(pid, SIGKILL);
		for (int i = 0; i < round % 4; i++)
			dispatch_once();
		int result = utrace_control_pid(utrace, pid, engine, UTRACE_DETACH);
		int calls = r.calls;
		finish(pid);
		answers[0] += result == 0;
		answers[1] += result == -EALREADY;
		answers[2] += result == -ESRCH;
		if (result == 0)
			wrong += r.calls != calls;
		else
			wrong += !has_heard("a:reap");
		utrace_engine_put(engine);
		wrong += r.released != 1;
	}
	printf("# 0: %d, EALREADY: %d, ESRCH: %d\n", answers[0], answers[1], answers[2]);
	tap_is_long(answers[0] + answers[1] + answers[2], 200,
		"DETACH against SIGKILL gives 0, EALREADY or ESRCH");
	tap_is_long(wrong, 0, "and callbacks come as it says");
	rmdir(directory);
}

/* ---- what it costs when nobody asks ------------------------------------------------------------- */

static void loop(void)
{
	meet();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5000; i++)
			syscall(SYS_getppid);
		meet();
	}
}

static long switches(pid_t pid)
{
	char path[64], line[128];
	long n, sum = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
			sum += n;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Each stop is a voluntary switch of the thread. */
static long stops_of_round(pid_t pid, int round)
{
	long before = switches(pid);
	send_on();
	DISPATCH_UNTIL(shared->ready == round + 1);
	return switches(pid) - before;
}

static void test_stale_flags(void)
{
	pid_t pid = start(loop);
	struct utrace_task *task = seize(pid);
	struct recorder r = recorder('a');
	struct utrace_engine *engine = attach(task, &r, 0);
	long without = stops_of_round(pid, 1);
	tap_ok(without < 100, "an engine that wants nothing: no stops (%ld)", without);
	r.call = SYS_getppid;
	if (utrace_set_events(task, engine, UTRACE_EVENT_SYSCALL) < 0)
		exit(1);
	long with = stops_of_round(pid, 2);
	tap_ok(with >= 10000, "one that wants system calls: two for each (%ld)", with);
	tap_is_long(r.calls, 10000, "all of them reported");
	if (utrace_set_events(task, engine, 0) < 0)
		exit(1);
	long after = stops_of_round(pid, 3);
	tap_ok(after < 100, "none again when it wants none (%ld)", after);
	utrace_engine_put(engine);
	send_on();
	finish(pid);
}

int main(void)
{
	set_up();
	test_order();
	test_report_wins();
	test_step_wins();
	test_stops();
	test_step_over_call();
	test_abort();
	test_rewrite();
	test_entry_stop(true);
	test_entry_stop(false);
	test_kill_at_entry();
	test_detach_race();
	test_stale_flags();
	utrace_destroy(utrace);
	return tap_done();
}
