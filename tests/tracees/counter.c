/* SPDX-License-Identifier: MIT */
/*
 * Threads that hammer a few functions and keep their own counts, printed at the end: what
 * a tracer's counts must equal.   usage: counter THREADS CALLS
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static long calls;

__attribute__((noinline, noclone, noipa)) long leaf(long a, long b)
{
	return a * 31 + (b ^ a);
}

__attribute__((noinline, noclone, noipa)) long branchy(long n)
{
	if (n & 1)
		return leaf(n, 3) + 1;
	if (n & 2)
		return -n;
	return leaf(n, n) ^ n;
}

__attribute__((noinline, noclone, noipa)) long recurse(long n)
{
	if (n <= 0)
		return 1;
	long r = recurse(n - 1);
	return (r ^ (r >> 3)) + n; /* not a loop in disguise */
}

static void *hammer(void *data)
{
	long sum = (long)data;
	for (long i = 0; i < calls; i++)
		sum += branchy(i) + recurse(i & 3);
	return (void *)sum;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	calls = argc > 2 ? atol(argv[2]) : 1000;
	pthread_t *ids = calloc((size_t)threads, sizeof(*ids));
	long sum = 0, leafs = 0;
	if (!ids)
		return 1;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, hammer, (void *)(long)i))
			return 1;
	for (int i = 0; i < threads; i++) {
		void *result;
		pthread_join(ids[i], &result);
		sum += (long)result;
	}
	for (long i = 0; i < calls; i++)
		leafs += (i & 1) || !(i & 2);
	printf("branchy=%ld leaf=%ld sum=%ld\n", calls * threads, leafs * threads, sum);
	free(ids);
	return 0;
}
