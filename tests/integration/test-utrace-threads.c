/* SPDX-License-Identifier: MIT */
/* Many threads, threads that come and go, processes that come and go. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject/inject.h"
#include "tap.h"

enum {
	THREADS = 1000,
	CHURN_ROUNDS = 30
};

static struct shared {
	volatile int ready, stop, failed;
	volatile unsigned created;
} * shared;

static struct utrace *utrace;

static int64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ll + ts.tv_nsec / 1000;
}

static void sleep_ms(int ms)
{
	struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&delay, NULL);
}

static void dispatch_ms(int ms)
{
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	for (int64_t end = now_us() + ms * 1000ll; now_us() < end;) {
		poll(&fd, 1, 1);
		if (utrace_dispatch(utrace, NULL) < 0)
			break;
	}
}

static pid_t start(void (*body)(void))
{
	memset((void *)shared, 0, sizeof(*shared));
	pid_t pid = fork();
	if (pid == 0) {
		body();
		_exit(shared->failed ? 1 : 0);
	}
	while (!shared->ready)
		sleep_ms(1);
	return pid;
}

static int end(pid_t pid)
{
	int status = 0;
	shared->stop = 1;
	for (int i = 0; i < 5000 && utrace_first_task(utrace, pid); i++) {
		(void)!utrace_dispatch(utrace, NULL);
		sleep_ms(1);
	}
	for (int i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) == 0; i++)
		sleep_ms(1);
	return status;
}

static void *wait_for_stop(void *data)
{
	while (!shared->stop)
		sleep_ms(100);
	return data;
}

static void many_threads(void)
{
	pthread_attr_t attr;
	static pthread_t threads[THREADS];
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], &attr, wait_for_stop, NULL) != 0)
			shared->failed = 1;
	}
	shared->ready = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *short_life(void *data)
{
	shared->created++;
	return data;
}

static void thread_churn(void)
{
	shared->ready = 1;
	while (!shared->stop) {
		pthread_t threads[4];
		for (int i = 0; i < 4; i++) {
			if (pthread_create(&threads[i], NULL, short_life, NULL) != 0)
				shared->failed = 1;
		}
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
}

static void *fork_body(void *data)
{
	while (!shared->stop) {
		int status;
		pid_t pid = shared->created++ % 2 ? fork() : vfork();
		if (pid == 0)
			_exit(5);
		if (pid < 0 || waitpid(pid, &status, 0) != pid ||
			WEXITSTATUS(status) != 5)
			shared->failed = 1;
	}
	return data;
}

static void fork_churn(void)
{
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, fork_body, NULL);
	shared->ready = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static void signalled(int signal)
{
	shared->created++;
}

/* Threads that are hit by signals all the time, in a call that these end with EINTR. */
static void *signal_body(void *data)
{
	while (!shared->stop) {
		struct timespec delay = {0, 1000000};
		if (nanosleep(&delay, NULL) < 0 && errno != EINTR)
			shared->failed = 1;
	}
	return data;
}

static void signal_churn(void)
{
	pthread_t threads[3];
	signal(SIGUSR1, signalled);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, signal_body, NULL);
	shared->ready = 1;
	while (!shared->stop) {
		pthread_kill(threads[0], SIGUSR1);
		pthread_kill(threads[1], SIGUSR1);
		kill(getpid(), SIGWINCH);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static void test_thousand(void)
{
	struct error err = {0};
	pid_t pid = start(many_threads);
	bool ok = true;
	for (int round = 0; round < 3; round++) {
		int64_t begin = now_us();
		int r = utrace_seize_process(utrace, pid, &err);
		int64_t seized = now_us();
		int count = 0;
		struct utrace_task *task = utrace_first_task(utrace, pid);
		for (; task; task = utrace_next_task(task, pid))
			count++;
		utrace_detach_process(utrace, pid);
		ok = ok && r == 0 && count == THREADS + 1 &&
		     !utrace_first_task(utrace, 0);
		printf("# %d threads seized in %lld us, detached in %lld us\n", count,
			(long long)(seized - begin), (long long)(now_us() - seized));
	}
	tap_ok(ok, "a thousand threads are seized and let go");
	tap_is_long(end(pid), 0, "they go on");
}

static int visit(pid_t pid, struct error *err)
{
	const uint64_t args[6] = {0};
	struct inject *inject = NULL;
	int64_t got = 0;
	int r = inject_create(utrace, pid, false, &inject, err);
	for (int i = 0; r == 0 && i < 10; i++) {
		r = inject_syscall(inject, SYS_getpid, args, &got, err);
		if (r == 0 && got != pid)
			r = error_set(err, -EIO, "getpid gave %lld", (long long)got);
		if (r == 0)
			r = inject_sync_cores(inject, err);
		if (r == 0)
			r = inject_release_victim(inject, err);
		if (r == 0)
			r = inject_take_victim(inject, err);
	}
	inject_destroy(inject);
	return r == -ESRCH ? 0 : r; /* a victim may end its life in good order */
}

static void test_churn(const char *name, void (*body)(void))
{
	struct error err = {0};
	pid_t pid = start(body);
	int r = 0;
	for (int round = 0; round < CHURN_ROUNDS && r == 0; round++) {
		r = utrace_seize_process(utrace, pid, &err);
		if (r == 0)
			dispatch_ms(10);
		if (r == 0)
			r = visit(pid, &err);
		utrace_detach_process(utrace, 0);
		unsigned created = shared->created;
		for (int i = 0; i < 1000 && shared->created == created; i++)
			sleep_ms(1);
		if (r == 0 && shared->created == created)
			r = error_set(&err, -EIO, "round %d: it does not go on", round);
		if (r == 0 && utrace_first_task(utrace, 0))
			r = error_set(&err, -EIO, "round %d: %d is left", round,
				utrace_task_tid(utrace_first_task(utrace, 0)));
	}
	tap_ok(r == 0, "%s: seized, used and let go", name);
	if (r < 0)
		printf("# %s\n", err.message);
	tap_is_long(end(pid), 0, "it ends well");
}

/* ---- a leader that waits in its exit-stop while other threads live ------------------------------ */

static uint32_t hold_exit(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	return UTRACE_STOP;
}

static const struct utrace_engine_ops hold_exit_ops = {.report_exit = hold_exit};

static void leader_exits(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, wait_for_stop, NULL);
	shared->ready = 1;
	while (!shared->failed) /* "go" */
		sleep_ms(1);
	shared->failed = 0;
	syscall(SYS_exit, 0);
}

static void test_exiting_leader(void)
{
	struct error err = {0};
	struct utrace_engine *engine;
	struct ptrace_event event;
	struct inject *inject = NULL;
	pid_t pid = start(leader_exits);
	int r = utrace_seize_process(utrace, pid, &err);
	struct utrace_task *leader = utrace_find_task(utrace, pid);
	if (r == 0)
		r = utrace_attach_task(
			leader, UTRACE_ATTACH_CREATE, &hold_exit_ops, NULL, &engine);
	if (r == 0)
		r = utrace_set_events(leader, engine, UTRACE_EVENT(EXIT));
	shared->failed = 1;
	for (int i = 0; r == 0 && i < 5000 && !utrace_task_is_stopped(leader); i++)
		dispatch_ms(1);
	tap_ok(r == 0 && utrace_task_stop(leader) == PTRACE_STOP_EXIT,
		"a leader is held at its exit");
	tap_is_long(utrace_task_run(leader, UTRACE_RUN_INTERRUPT, &event), -ESRCH,
		"it does not run any more");
	tap_is_long(inject_create_at(leader, false, &inject, &err), -ESRCH,
		"it makes no calls for us");
	tap_is_long(inject_create(utrace, pid, false, &inject, &err), 0,
		"its other thread does");
	inject_destroy(inject);
	utrace_engine_put(engine);
	utrace_detach_process(utrace, pid);
	tap_is_long(end(pid), 0, "it ends well");
}

/* A killed tracer leaves running programs behind. */
static void test_killed_tracer(void)
{
	pid_t pid = start(thread_churn);
	for (int round = 0; round < 10; round++) {
		pid_t tracer = fork();
		if (tracer == 0) {
			struct error err;
			utrace_detach_process(utrace, 0);
			if (utrace_seize_process(utrace, pid, &err) < 0)
				_exit(1);
			for (;;)
				dispatch_ms(100);
		}
		sleep_ms(20 + round * 3);
		kill(tracer, SIGKILL);
		waitpid(tracer, NULL, 0);
	}
	unsigned created = shared->created;
	for (int i = 0; i < 1000 && shared->created == created; i++)
		sleep_ms(1);
	tap_ok(shared->created != created,
		"the program runs after its tracer was killed");
	tap_is_long(end(pid), 0, "it ends well");
}

int main(void)
{
	struct error err = {0};
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (utrace_create(&utrace, &err) < 0)
		return 1;
	test_thousand();
	test_churn("threads that come and go", thread_churn);
	test_churn("processes that come and go", fork_churn);
	test_churn("signals all the time", signal_churn);
	test_exiting_leader();
	test_killed_tracer();
	utrace_destroy(utrace);
	return tap_done();
}
