/* SPDX-License-Identifier: MIT */
/*
 * make bench: how long the threads of a running program stand still while a tracer attaches.  Each thread looks at
 * the clock all the time; the time between two looks is a pause, less what it spent waiting for a processor
 * (/proc/thread-self/schedstat).  SIGUSR1: begin anew.  SIGTERM: prints the longest pause of each
 * thread, in microseconds, the longest first.
 *   usage: pause THREADS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_THREADS = 64,
	SHORT_NS = 50000 /* not worth a look at the scheduler */
};

static atomic_int generation;
static atomic_bool ended;
static long longest[MOST_THREADS];

static long now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

/* Nanoseconds that the thread was ready to run and did not. */
static long waited(int fd)
{
	char text[128];
	unsigned long long ran, delay = 0;
	ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
	if (size <= 0)
		return 0;
	text[size] = '\0';
	return sscanf(text, "%llu %llu", &ran, &delay) == 2 ? (long)delay : 0;
}

__attribute__((noinline, noclone, noipa)) long tick(long n)
{
	return n * 3 + 1;
}

static void *spin(void *data)
{
	long *mine = data;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC), seen = 0;
	long last = now(), delay = waited(fd), sum = 0;
	while (!ended) {
		sum += tick(sum);
		long at = now();
		if (at - last > SHORT_NS) {
			long delay_now = waited(fd);
			long pause = at - last - (delay_now - delay);
			if (pause > *mine)
				*mine = pause;
			delay = delay_now;
			at = now();
		}
		if (generation != seen) {
			seen = generation;
			*mine = 0;
		}
		last = at;
	}
	return NULL;
}

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		generation++;
	else
		ended = true;
}

static int compare(const void *a, const void *b)
{
	const long *x = a, *y = b;
	return (*x < *y) - (*x > *y);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t threads[MOST_THREADS];
	sigset_t all;
	if (count < 1 || count > MOST_THREADS)
		return 2;
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	sigfillset(&all);
	/* the main thread alone hears signals */
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, spin, &longest[i]) != 0)
			return 1;
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	qsort(longest, (size_t)count, sizeof(*longest), compare);
	for (int i = 0; i < count; i++)
		printf("%ld\n", longest[i] / 1000);
	return 0;
}
