/* SPDX-License-Identifier: MIT */
/*
 * Threads that would notice a tracer: each waits in calls that a signal would end early, over and over.
 * usage: many-threads COUNT: until standard input ends; prints "N threads, N rounds, N disturbed", and says
 * "ready" when all are there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static int stop;
static long rounds, disturbed;
static pthread_barrier_t all;

static void *run(void *data)
{
	const struct timespec tick = {.tv_nsec = 20000000};
	struct epoll_event event;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	pthread_barrier_wait(&all);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL) != 0 ||
			epoll_wait(epoll, &event, 1, 20) != 0)
			__atomic_add_fetch(&disturbed, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	close(epoll);
	return data;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 100;
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	pthread_attr_t attr;
	char byte;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&all, NULL, (unsigned)count + 1);
	for (int i = 0; i < count; i++) {
		if (pthread_create(&threads[i], &attr, run, NULL) != 0) {
			fprintf(stderr, "thread %d of %d: cannot create\n", i, count);
			return 1;
		}
	}
	pthread_barrier_wait(&all);
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0 || errno == EINTR)
		;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%d threads, %ld rounds, %ld disturbed\n", count, rounds, disturbed);
	free(threads);
	return disturbed != 0;
}
