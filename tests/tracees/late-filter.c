/* SPDX-License-Identifier: MIT */
/*
 * A program that puts a seccomp filter on after it has started: only write, exit_group and the return from
 * signal handlers pass, everything else ends as ACTION says.  It computes the same with and without probes,
 * and makes no other call by itself.
 *
 * usage: late-filter ACTION THREADS SECONDS [END]
 *   ACTION   kill | kill-thread | errno | trap | trace | strict | none
 *   THREADS  that are made before the filter (which is for all of them) and call work() only after it;
 *            one more sleeps all the while
 *   SECONDS  of work before the filter, and after it
 *   END      exit (default) | trap: a breakpoint of its own | segv
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 1000,
	CALLS = 3000 /* of a thread, after the filter */
};

static atomic_int ready, go, done;
static atomic_long sum;
static atomic_int sleeper; /* its tid */

/* what is probed */
__attribute__((noinline)) long work(long n)
{
	__asm__ volatile("" : "+r"(n)::"memory");
	return n * 3 + 1;
}

static void pause_a_little(void)
{
	for (int i = 0; i < 200; i++)
		__asm__ volatile("pause");
}

static void *thread_main(void *data)
{
	long own = 0;
	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&go))
		__asm__ volatile("pause");
	for (long i = 0; i < CALLS; i++) {
		own += work(i);
		pause_a_little();
	}
	atomic_fetch_add(&sum, own);
	atomic_fetch_add(&done, 1);
	for (;;) /* to end would be a call */
		__asm__ volatile("pause");
	return NULL;
}

static void *sleeper_main(void *data)
{
	atomic_store(&sleeper, (int)syscall(SYS_gettid));
	for (;;)
		sleep(1000);
	return NULL;
}

/* Threads make calls when they begin, and the sleeper's one is to have begun. */
static void wait_for_threads(int threads)
{
	char path[64], state = 0;
	while (atomic_load(&ready) < threads || !atomic_load(&sleeper))
		usleep(1000);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&sleeper));
	while (state != 'S') {
		FILE *f = fopen(path, "re");
		usleep(1000);
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			exit(3);
		fclose(f);
	}
}

static void say(const char *text)
{
	if (syscall(SYS_write, 1, text, strlen(text)) < 0)
		_exit(3);
}

static void work_batch(void)
{
	for (long i = 0; i < BATCH; i++) {
		work(i);
		pause_a_little();
	}
}

/* batches in that time */
static long work_for(double seconds)
{
	struct timespec start, now;
	long batches = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		work_batch();
		batches++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - start.tv_sec) +
			 (double)(now.tv_nsec - start.tv_nsec) / 1e9 <
		 seconds);
	return batches;
}

static int install(const char *action)
{
	static const struct {
		const char *name;
		unsigned answer;
	} actions[] = {
		{"kill", SECCOMP_RET_KILL_PROCESS},
		{"kill-thread", SECCOMP_RET_KILL_THREAD},
		{"errno", SECCOMP_RET_ERRNO | 1},
		{"trap", SECCOMP_RET_TRAP},
		{"trace", SECCOMP_RET_TRACE},
	};
	unsigned answer = SECCOMP_RET_ALLOW;
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (!strcmp(action, actions[i].name))
			answer = actions[i].answer;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	if (!strcmp(action, "none"))
		return 0;
	if (!strcmp(action, "strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_TSYNC, &program);
}

int main(int argc, char **argv)
{
	char text[64];
	pthread_t thread;
	if (argc < 4)
		return 2;
	int threads = atoi(argv[2]);
	double seconds = strtod(argv[3], NULL);
	const char *end = argc > 4 ? argv[4] : "exit";
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread, NULL, thread_main, NULL))
			return 3;
	if (threads && pthread_create(&thread, NULL, sleeper_main, NULL))
		return 3;
	if (threads)
		wait_for_threads(threads);
	say("ready\n");
	long batches = seconds > 0 ? work_for(seconds) : 0;
	if (install(argv[1]) < 0)
		return 77;
	say("filtered\n");
	atomic_store(&go, 1);
	for (long i = 0; i < batches; i++)
		work_batch();
	long own = 0;
	for (long i = 0; i < CALLS; i++)
		own += work(i);
	while (atomic_load(&done) < threads)
		__asm__ volatile("pause");
	snprintf(text, sizeof(text), "sum=%ld\n", own + atomic_load(&sum));
	say(text);
	if (!strcmp(end, "trap"))
		__asm__ volatile("int3");
	else if (!strcmp(end, "segv"))
		*(volatile int *)NULL = 0;
	/* in strict mode exit_group is not among what may be called */
	for (;;)
		syscall(strcmp(argv[1], "strict") ? SYS_exit_group : SYS_exit, 7);
}
