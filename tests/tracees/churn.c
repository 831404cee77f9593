/* SPDX-License-Identifier: MIT */
/* Threads that come and go.   usage: churn CREATORS: each creates short-lived threads until standard input ends */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int stop, failed;
static volatile long created;

static void *short_life(void *data)
{
	__atomic_add_fetch(&created, 1, __ATOMIC_RELAXED);
	return data;
}

static void *create(void *data)
{
	while (!stop) {
		pthread_t threads[4];
		int count = 0;
		while (count < 4 &&
			pthread_create(&threads[count], NULL, short_life, NULL) == 0)
			count++;
		failed |= count < 4;
		while (count > 0)
			failed |= pthread_join(threads[--count], NULL) != 0;
	}
	return data;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	char byte;
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, create, NULL);
	while (read(0, &byte, 1) > 0)
		;
	stop = 1;
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%ld threads%s\n", created, failed ? ", failed" : "");
	free(threads);
	return failed;
}
