/* SPDX-License-Identifier: MIT */
/* Launching under a system call filter: only the wanted calls stop. */
#include <fcntl.h>
#include <linux/audit.h>
#include <stdio.h>

#include "engine.h"

/* This program is its own target: the shared page comes to it as a descriptor. */
static int page_fd;

static void attach_page(int fd)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		_exit(99);
}

static void make_page(void)
{
	page_fd = memfd_create("page", 0);
	if (page_fd < 0 || ftruncate(page_fd, 4096) < 0)
		exit(1);
	attach_page(page_fd);
}

static long getppid_by_int80(void)
{
	long result;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "0"(64L)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static int target(const char *what)
{
	if (!strcmp(what, "calls")) {
		for (int i = 0; i < 5000; i++)
			syscall(SYS_getuid);
		shared->values[0] = syscall(SYS_getppid);
	} else if (!strcmp(what, "child")) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(syscall(SYS_getppid) == 4711 ? 3 : 4);
		int status;
		waitpid(pid, &status, 0);
		shared->values[0] = WEXITSTATUS(status);
	} else if (!strcmp(what, "int80")) {
		shared->values[0] = getppid_by_int80();
	} else if (!strcmp(what, "environment")) {
		const char *value = getenv("COLOUR");
		shared->values[0] = value && !strcmp(value, "blue") && !getenv("HOME");
	} else {
		advance(&shared->ready);
		for (;;)
			shared->count++;
	}
	return 0;
}

static struct utrace_task *launch(
	const char *what, const long *calls, size_t count, char **environment)
{
	char number[16];
	struct utrace_error err = {0};
	struct utrace_task *task = NULL;
	snprintf(number, sizeof(number), "%d", page_fd);
	char *argv[] = {strdup("/proc/self/exe"), strdup(what), number, NULL};
	struct utrace_launch_options options = {
		.size = sizeof(options),
		.argv = argv,
		.environment = environment,
		.syscalls = calls,
		.syscall_count = count,
	};
	memset((void *)(uintptr_t)shared, 0, sizeof(*shared));
	if (utrace_launch_with(utrace, &options, &task, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	free(argv[0]);
	free(argv[1]);
	return task;
}

static const long wanted[] = {SYS_getppid};

static void give_4711(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	struct utrace_syscall call;
	struct utrace_task *task = utrace_engine_task(engine);
	if (!strcmp(what, "death"))
		return;
	if (utrace_get_syscall(task, &call) < 0)
		exit(1);
	r->code = (long)call.arch;
	r->tid = (pid_t)call.number;
	if (strcmp(what, "exit") != 0)
		return;
	call.result = 4711;
	if (utrace_set_syscall(task, &call) < 0)
		exit(1);
}

static void test_filter(void)
{
	struct recorder r = recorder('a');
	struct utrace_task *task = launch("calls", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	r.on_event = give_4711;
	struct utrace_engine *engine =
		attach(task, &r, UTRACE_EVENT_SYSCALL | UTRACE_EVENT(DEATH));
	if (utrace_task_release(task) < 0)
		exit(1);
	int status = finish(pid);
	tap_is_string(
		heard, "a:entry a:exit a:death", "only the wanted call is reported");
	tap_is_long(r.tid, SYS_getppid, "it is the one");
	tap_is_long(shared->values[0], 4711, "its result can be set");
	tap_is_long(status, 0, "the program ends well");
	utrace_engine_put(engine);
}

static void test_entry_only(void)
{
	struct recorder r = recorder('a');
	struct utrace_task *task = launch("calls", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	r.entry = UTRACE_RESUME | UTRACE_SYSCALL_ABORT;
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(SYSCALL_ENTRY));
	if (utrace_task_release(task) < 0)
		exit(1);
	finish(pid);
	tap_is_string(heard, "a:entry", "entries without exits");
	tap_is_long(shared->values[0], -1, "aborted");
	utrace_engine_put(engine);
}

static void test_no_engine(void)
{
	struct utrace_task *task = launch("calls", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	if (utrace_task_release(task) < 0)
		exit(1);
	finish(pid);
	tap_is_long(shared->values[0], getpid(), "without an engine the call is made");
}

static void follow(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	struct utrace_engine *engine;
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &recorder_ops, data, &engine) <
			0 ||
		utrace_set_events(task, engine, UTRACE_EVENT_SYSCALL) < 0)
		exit(1);
	utrace_engine_put(engine);
}

static void test_child(void)
{
	struct recorder r = recorder('c');
	struct utrace_task *task = launch("child", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	r.on_event = give_4711;
	forget();
	utrace_on_new_task(utrace, follow, &r);
	if (utrace_task_release(task) < 0)
		exit(1);
	finish(pid);
	utrace_on_new_task(utrace, NULL, NULL);
	tap_is_string(heard, "c:entry c:exit", "children are under the filter too");
	tap_is_long(shared->values[0], 3, "and their calls can be changed");
}

/* Without IA-32 emulation it is -ENOSYS, or SIGSEGV. */
static bool has_int80(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(getppid_by_int80() == -ENOSYS);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void test_other_architecture(void)
{
	if (!has_int80()) {
		tap_skip("this kernel has no 32-bit calls");
		return;
	}
	struct recorder r = recorder('a');
	struct utrace_task *task = launch("int80", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	r.on_event = give_4711;
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT_SYSCALL);
	if (utrace_task_release(task) < 0)
		exit(1);
	finish(pid);
	tap_ok(r.code == AUDIT_ARCH_I386 && r.tid == 64,
		"int $0x80 is not a way around: it is told as such");
	tap_is_long(shared->values[0], 4711, "its result is set");
	utrace_engine_put(engine);
}

static void test_detach_kills(void)
{
	struct utrace_task *task = launch("spin", wanted, 1, NULL);
	pid_t pid = utrace_task_pid(task);
	if (utrace_task_release(task) < 0)
		exit(1);
	DISPATCH_UNTIL(shared->count);
	utrace_detach_process(utrace, pid);
	tap_ok(kill(pid, 0) < 0, "it cannot be let go: it is killed");
}

static void test_killed_tracer(bool filtered)
{
	memset((void *)(uintptr_t)shared, 0, sizeof(*shared));
	pid_t tracer = fork();
	if (tracer == 0) {
		utrace_destroy(utrace);
		if (utrace_create(&utrace, NULL) < 0)
			_exit(1);
		struct utrace_task *task =
			launch("spin", filtered ? wanted : NULL, 1, NULL);
		shared->values[1] = utrace_task_pid(task);
		if (utrace_task_release(task) < 0)
			_exit(1);
		for (;;)
			dispatch_once();
	}
	while (!shared->count)
		usleep(1000);
	pid_t pid = (pid_t)shared->values[1];
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	long before = shared->count;
	if (filtered) {
		while (kill(pid, 0) == 0)
			usleep(1000);
		tap_ok(true, "with a filter it dies with its tracer");
	} else {
		while (shared->count == before)
			usleep(1000);
		tap_ok(true, "without one it goes on when its tracer is killed");
		kill(pid, SIGKILL);
	}
}

static void test_options(void)
{
	struct utrace_error err = {0};
	struct utrace_task *task;
	char *argv[] = {NULL}, *environment[] = {(char[]){"COLOUR=blue"}, NULL};
	struct utrace_launch_options options = {.size = 1, .argv = argv};
	tap_is_long(utrace_launch_with(utrace, &options, &task, &err), -EINVAL,
		"options of another size: EINVAL");
	options.size = sizeof(options);
	tap_is_long(utrace_launch_with(utrace, &options, &task, &err), -EINVAL,
		"no program: EINVAL");
	task = launch("environment", NULL, 0, environment);
	pid_t pid = utrace_task_pid(task);
	if (utrace_task_release(task) < 0)
		exit(1);
	finish(pid);
	tap_is_long(shared->values[0], 1, "an environment of its own");
}

/* ---- threads in the child before its exec --------------------------------------------------------- */

static void *idle(void *data)
{
	for (;;)
		pause();
	return data;
}

static bool starts_thread;

static void start_thread(void)
{
	pthread_t thread;
	if (starts_thread)
		pthread_create(&thread, NULL, idle, NULL);
}

/* Libraries do so: allocators, sanitizers. */
static void test_thread_at_fork(void)
{
	struct utrace_error err = {0};
	struct utrace_task *task = NULL;
	struct recorder r = recorder('a');
	char *argv[] = {(char[]){"true"}, NULL};
	pthread_atfork(NULL, NULL, start_thread);
	starts_thread = true;
	int code = utrace_launch(utrace, argv, &task, &err);
	starts_thread = false;
	tap_is_long(code, 0,
		"a handler of fork that starts a thread in the child is no obstacle");
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(DEATH));
	if (utrace_control(task, engine, UTRACE_RESUME) < 0)
		tap_ok(false, "resumed");
	tap_is_long(finish(utrace_task_pid(task)), 0, "the program runs and ends");
	utrace_engine_put(engine);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		attach_page(atoi(argv[2]));
		/* not exit(): a leak checker would want to ptrace */
		_exit(target(argv[1]));
	}
	set_up();
	make_page();
	test_filter();
	test_entry_only();
	test_no_engine();
	test_child();
	test_other_architecture();
	test_detach_kills();
	test_killed_tracer(true);
	test_killed_tracer(false);
	test_options();
	test_thread_at_fork();
	utrace_destroy(utrace);
	return tap_done();
}
