/* SPDX-License-Identifier: MIT */
/*
 * A program one of whose threads puts a killing seccomp filter on all of them when it is told to.  Others run,
 * or wait in a call that began before, which the filter does not let pass again.
 *
 * usage: filter-moments FILE   (struct control)
 */
#include "filter-moments.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct control *control;

/* what is probed */
__attribute__((noinline)) long work(long n)
{
	__asm__ volatile("" : "+r"(n)::"memory");
	return n * 3 + 1;
}

static void pause_until(const int *set)
{
	while (!__atomic_load_n(set, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
}

static int install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static void *installer_main(void *data)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	control->installer = (int)syscall(SYS_gettid);
	pause_until(&control->order);
	int r = install();
	__atomic_store_n(&control->filtered, r == 0 ? 1 : -1, __ATOMIC_RELEASE);
	for (;;)
		__asm__ volatile("pause");
	return NULL;
}

/* Two ways to be taken out of a wait: the kernel repeats one as it was, and goes on with the other. */
static void *waiter_main(void *data)
{
	static int word;
	control->waiter = (int)syscall(SYS_gettid);
	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
	return NULL;
}

static void *sleeper_main(void *data)
{
	const struct timespec long_time = {1000, 0};
	control->sleeper = (int)syscall(SYS_gettid);
	for (;;)
		nanosleep(&long_time, NULL);
	return NULL;
}

static int wait_for_rest(const int *tid)
{
	char path[64], state = 0;
	pause_until(tid);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *tid);
	while (state != 'S') {
		FILE *f = fopen(path, "re");
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			return -1;
		fclose(f);
	}
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int fd = argc < 2 ? -1 : open(argv[1], O_RDWR | O_CLOEXEC);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		return 3;
	if (pthread_create(&thread, NULL, installer_main, NULL) ||
		pthread_create(&thread, NULL, sleeper_main, NULL) ||
		pthread_create(&thread, NULL, waiter_main, NULL) ||
		wait_for_rest(&control->sleeper) || wait_for_rest(&control->waiter))
		return 3;
	pause_until(&control->installer);
	__atomic_store_n(&control->ready, 1, __ATOMIC_RELEASE);
	pause_until(&control->end);
	_exit(work(2));
}
