/* SPDX-License-Identifier: MIT */
/*
 * Threads that call add() with numbers that anybody can compute.   usage: adding THREADS CALLS
 * KEEP IN SYNC: calls_of() of tests/conformance/run-model.py
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

static long calls;

__attribute__((noinline, noclone, noipa)) long add(long key, long value, const char *name)
{
	return key + value + name[0];
}

static void *run(void *data)
{
	static const char *const names[] = {"zero", "one", "two", "three"};
	uint64_t state = (uint64_t)(uintptr_t)data;
	volatile long sum = 0;
	for (long i = 0; i < calls; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		long key = (long)(state >> 33) % 17;
		sum += add(key, (long)(state >> 40) % 1000 - 500, names[key & 3]);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	int count = argc > 1 ? atoi(argv[1]) : 4;
	calls = argc > 2 ? atol(argv[2]) : 1000;
	for (int i = 0; i < count && i < 64; i++)
		pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < count && i < 64; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
