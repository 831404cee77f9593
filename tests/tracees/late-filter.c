/* SPDX-License-Identifier: MIT */
/*
 * A program that puts a seccomp filter on after it has started: only write, exit_group and
 * the return from signal handlers pass, everything else ends as ACTION says.  It computes the same with and without probes,
 * and makes no other call by itself.
 *
 * usage: late-filter ACTION THREADS [FILE [END]]
 *   ACTION   kill | kill-thread | errno | trap | trace | strict | none
 *   THREADS  that are made before the filter (which is for all of them) and call work() only after it;
 *            one more sleeps all the while
 *   FILE     two bytes, blank at first: the filter is put on when the first is something else, and the end
 *            comes when the second is; "-": at once
 *   END      exit (default) | trap: a breakpoint of its own | segv
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	BATCH = 1000,
	CALLS = 3000 /* of a thread, after the filter */
};

static atomic_int soon, ready, go, done;
static const volatile char *control;
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
	while (!atomic_load(&soon)) /* the last calls */
		usleep(1000);
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

/* Its call is to have begun. */
static void wait_for_sleeper(void)
{
	char path[64], state = 0;
	while (!atomic_load(&sleeper))
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

/* Works until whoever started us has written so many bytes to the file. */
static void work_until(int bytes)
{
	while (control && control[bytes - 1] == ' ')
		for (long i = 0; i < BATCH; i++) {
			work(i);
			pause_a_little();
		}
}

static void open_control(const char *path)
{
	int fd = open(path, O_RDONLY);
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 2, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		exit(3);
	control = at;
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
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
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
	if (argc < 3)
		return 2;
	int threads = atoi(argv[2]);
	if (argc > 3 && strcmp(argv[3], "-"))
		open_control(argv[3]);
	const char *end = argc > 4 ? argv[4] : "exit";
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread, NULL, thread_main, NULL))
			return 3;
	if (threads && pthread_create(&thread, NULL, sleeper_main, NULL))
		return 3;
	if (threads)
		wait_for_sleeper();
	say("ready\n");
	work_until(1);
	atomic_store(&soon, 1);
	while (atomic_load(&ready) < threads)
		__asm__ volatile("pause");
	if (install(argv[1]) < 0)
		return 77;
	say("filtered\n");
	atomic_store(&go, 1);
	work_until(2);
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
