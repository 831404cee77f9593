/* SPDX-License-Identifier: MIT */
/*
 * What programs do that tracers get wrong: every kind of clone, exec by a thread that is not the leader, a leader
 * that goes first, programs that trace others themselves.  Each under several engines.
 */
#include <linux/sched.h>
#include <sched.h>
#include <sys/ptrace.h>

#include "engine.h"

static char *self;

/* ---- every kind of clone ------------------------------------------------------------------------- */

enum {
	SHARED_PID = 0, /* of shared->values: the child's pid as its creator sees it */
	CHILD_RAN = 1,
};

static int clone_body(void *data)
{
	(void)data;
	syscall(SYS_getppid);
	shared->values[CHILD_RAN] = syscall(SYS_gettid);
	syscall(SYS_exit, 3);
	return 0;
}

static unsigned long clone_flags;

static void cloner(void)
{
	char *stack = mmap(
		NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = -1, tid = 0;
	meet();
	shared->values[SHARED_PID] = clone(clone_body, stack + 65536,
		(int)clone_flags | CLONE_CHILD_CLEARTID, NULL, NULL, NULL, &tid);
	/* a thread, or the test's child: not ours to wait for */
	if (clone_flags & (CLONE_THREAD | CLONE_PARENT)) {
		while (!shared->values[CHILD_RAN])
			sched_yield();
		shared->result = 3;
	} else if (waitpid((pid_t)shared->values[SHARED_PID], &status, __WALL) > 0) {
		shared->result = WEXITSTATUS(status);
	}
	meet();
}

static bool wait_for_child(pid_t pid)
{
	DISPATCH_UNTIL(shared->ready >= 2 || !utrace_first_task(utrace, pid));
	return shared->ready >= 2;
}

static void test_clone(const char *name, unsigned long flags, bool is_told)
{
	struct recorder a = recorder('a'), b = recorder('b');
	clone_flags = flags;
	pid_t pid = start(cloner);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *first = attach(task, &a, UTRACE_EVENT(CLONE)),
			     *second = attach(task, &b,
				     UTRACE_EVENT(CLONE) | UTRACE_EVENT_SYSCALL);
	b.call = SYS_clone;
	send_on();
	bool ran = wait_for_child(pid);
	tap_ok(ran && shared->result == 3 && shared->values[CHILD_RAN],
		"%s: the child runs and ends, its creator sees it", name);
	tap_ok(has_heard("a:clone") == is_told && has_heard("b:clone") == is_told,
		"%s: %s", name,
		is_told ? "both engines hear of it" : "nobody hears of it");
	if (is_told)
		tap_ok(((unsigned long)a.code & ~CLONE_CHILD_CLEARTID) == flags &&
				a.code == b.code,
			"%s: with its flags", name);
	send_on();
	finish(pid);
	if (flags & CLONE_PARENT)
		waitpid((pid_t)shared->values[SHARED_PID], NULL, __WALL);
	utrace_engine_put(first);
	utrace_engine_put(second);
}

/* ---- exec by a thread that is not the leader --------------------------------------------------------- */

static void *exec_self(void *data)
{
	static char how[] = "executed";
	char *argv[] = {self, how, NULL};
	(void)data;
	execv(self, argv);
	_exit(1);
}

static void *only_wait(void *data)
{
	for (;;)
		pause();
	return data;
}

static void execer(void)
{
	pthread_t thread;
	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, only_wait, NULL);
	meet();
	pthread_create(&thread, NULL, exec_self, NULL);
	only_wait(NULL);
}

/* Engines on threads that appear by themselves. */
static struct recorder thread_recorders[2];
static struct utrace_engine *thread_engines[2];

static void on_thread(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	(void)parent;
	(void)data;
	if (!(flags & CLONE_THREAD) || thread_engines[0])
		return;
	for (int i = 0; i < 2; i++) {
		if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &recorder_ops,
			    &thread_recorders[i], &thread_engines[i]) < 0 ||
			utrace_set_events(task, thread_engines[i],
				UTRACE_EVENT(EXEC) | UTRACE_EVENT(DEATH)) < 0)
			exit(1);
	}
}

static void test_exec(void)
{
	struct recorder leader = recorder('l');
	thread_recorders[0] = recorder('a');
	thread_recorders[1] = recorder('b');
	thread_recorders[0].answers[UTRACE_EVENT_NR_EXEC] = UTRACE_STOP;
	pid_t pid = start(execer);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *engine =
		attach(task, &leader, UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
	utrace_on_new_task(utrace, on_thread, NULL);
	send_on();
	DISPATCH_UNTIL(has_heard("b:exec"));
	tap_ok(has_heard("a:exec") && has_heard("l:death") && has_heard("l:reap"),
		"exec by another thread: both its engines hear exec, the leader's its death");
	task = utrace_engine_task(thread_engines[0]);
	tap_is_long(utrace_task_tid(task), pid, "it has the leader's tid");
	tap_is_long(utrace_wait_stopped(task, 100000, NULL), 0, "one of them holds it");
	tap_ok(utrace_next_task(utrace_first_task(utrace, pid), pid) == NULL,
		"it is the only thread that is left");
	if (utrace_control(task, thread_engines[0], UTRACE_RESUME) < 0)
		exit(1);
	tap_is_long(WEXITSTATUS(finish(pid)), 5, "and goes on in the new program");
	tap_ok(has_heard("a:death") && has_heard("b:death"), "both hear the end");
	utrace_on_new_task(utrace, NULL, NULL);
	utrace_engine_put(engine);
	for (int i = 0; i < 2; i++)
		utrace_engine_put(thread_engines[i]);
}

/* ---- a leader that goes first --------------------------------------------------------------------- */

static void *go_on(void *data)
{
	meet();
	meet();
	_exit(9);
	return data;
}

static void leaver(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, go_on, NULL);
	syscall(SYS_exit, 1);
}

static bool is_zombie(pid_t pid)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");
	const char *at =
		file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	bool is = at && at[2] == 'Z';
	if (file)
		fclose(file);
	return is;
}

static void test_leader(bool then_destroy)
{
	struct recorder a = recorder('a'), b = recorder('b');
	struct utrace_error err = {0};
	pid_t pid = start(leaver);
	while (!is_zombie(pid))
		sched_yield();
	tap_is_long(utrace_seize_process(utrace, pid, &err), 0,
		"a process whose leader has exited can be taken hold of");
	struct utrace_task *task = utrace_first_task(utrace, pid);
	tap_ok(task && utrace_task_tid(task) != pid, "by the thread that is left");
	struct utrace_engine *first = attach(task, &a, UTRACE_EVENT(DEATH)),
			     *second = attach(task, &b, UTRACE_EVENT_SYSCALL);
	send_on();
	if (then_destroy) {
		utrace_detach_process(utrace, pid);
		send_on();
	} else {
		send_on();
		finish(pid);
		tap_ok(has_heard("a:death") && has_heard("b:entry"),
			"its engines hear its calls and its end");
	}
	int status = 0;
	waitpid(pid, &status, 0);
	tap_is_long(WEXITSTATUS(status), 9, "the parent gets the status of the process");
	utrace_engine_put(first);
	utrace_engine_put(second);
}

/* ---- programs that trace -------------------------------------------------------------------------- */

static void debugger(void)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		shared->result = ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 ? errno : 0;
		only_wait(NULL);
	}
	meet();
	shared->error = ptrace(PTRACE_ATTACH, child, 0, 0) < 0 ? errno : 0;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	meet();
}

static void starts_later(void)
{
	meet();
	debugger();
}

static void test_debugger(void)
{
	pid_t pid = start(starts_later);
	struct recorder a = recorder('a'), b = recorder('b');
	struct utrace_task *task = seize(pid);
	struct utrace_engine *first = attach(task, &a, UTRACE_EVENT_SYSCALL),
			     *second = attach(task, &b, UTRACE_EVENT(CLONE));
	send_on();
	DISPATCH_UNTIL(shared->ready >= 2 && shared->result);
	send_on();
	DISPATCH_UNTIL(shared->ready >= 3);
	tap_is_long(shared->result, EPERM, "a traced program's PTRACE_TRACEME: EPERM");
	tap_is_long(shared->error, EPERM, "its PTRACE_ATTACH to its child: EPERM");
	send_on();
	finish(pid);
	utrace_engine_put(first);
	utrace_engine_put(second);
}

enum {
	STEPS = 1000
};

static void steps_its_child(void)
{
	int status;
	long steps = 0;
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (;;)
			shared->count++;
	}
	waitpid(child, &status, 0);
	meet();
	while (steps < STEPS && ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0 &&
		waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
		WSTOPSIG(status) == SIGTRAP)
		steps++;
	shared->result = steps;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	meet();
}

static void test_tracing_before(void)
{
	pid_t pid = start(steps_its_child);
	struct recorder a = recorder('a'), b = recorder('b');
	struct utrace_task *task = seize(pid);
	struct utrace_engine *first = attach(task, &a, UTRACE_EVENT_SYSCALL),
			     *second = attach(task, &b, UTRACE_EVENT_SIGNAL_ALL);
	send_on();
	DISPATCH_UNTIL(shared->ready >= 2);
	tap_is_long(shared->result, STEPS,
		"a program that traces another already goes on doing so");
	send_on();
	finish(pid);
	utrace_engine_put(first);
	utrace_engine_put(second);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "executed"))
		_exit(5); /* at once: no sanitizer looks for leaks, which would need to trace */
	self = argv[0];
	set_up();
	test_clone("fork", SIGCHLD, true);
#ifdef __SANITIZE_THREAD__
	tap_skip(
		"CLONE_VM: this sanitizer cannot have two threads with one thread pointer");
#else
	test_clone("CLONE_VM", CLONE_VM | SIGCHLD, true);
#endif
	test_clone("CLONE_VM|CLONE_VFORK", CLONE_VM | CLONE_VFORK | SIGCHLD, true);
	test_clone("CLONE_FILES|CLONE_FS", CLONE_FILES | CLONE_FS | SIGCHLD, true);
	test_clone("without a signal", 0, true);
	test_clone("CLONE_PARENT", CLONE_PARENT | SIGCHLD, true);
	test_clone("CLONE_PTRACE", CLONE_PTRACE | SIGCHLD, true);
	test_clone("CLONE_THREAD",
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			CLONE_SYSVSEM,
		true);
	test_clone("CLONE_UNTRACED", CLONE_UNTRACED | SIGCHLD, false);
	test_exec();
	test_leader(false);
	test_leader(true);
	test_debugger();
	test_tracing_before();
	utrace_destroy(utrace);
	return tap_done();
}
