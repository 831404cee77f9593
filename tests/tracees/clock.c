/* SPDX-License-Identifier: MIT */
/* Tells a function what time it is, over and over, from several threads.   usage: clock THREADS CALLS */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static long calls;

__attribute__((noinline, noclone, noipa)) void tick(long mono, long wall)
{
	__asm__ volatile("" : : "r"(mono), "r"(wall));
}

static long now(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

static void *run(void *data)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	for (long i = 0; i < calls; i++) {
		tick(now(CLOCK_MONOTONIC), now(CLOCK_REALTIME));
		if (i % 1000 == 0)
			nanosleep(&nap, NULL);
	}
	return data;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	calls = argc > 2 ? atol(argv[2]) : 1000;
	for (int i = 0; threads && i < count; i++)
		pthread_create(&threads[i], NULL, run, NULL);
	for (int i = 0; threads && i < count; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	return 0;
}
