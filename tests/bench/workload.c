/* SPDX-License-Identifier: MIT */
/*
 * The bench's victim: one hot function, called in bursts with pauses between, so that a
 * tracer that writes records can empty its buffers.  Prints the nanoseconds per call of
 * the best burst and of the median burst; the loop around the call is in both, so
 * differences between runs are the probe's cost.
 *
 * usage: workload BURSTS CALLS PAUSE_US [DEPTH]
 * DEPTH: of the stack, counted from main() to work()
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_LTTNG
#include "lttng-tracepoint.h"
#endif

long work(long a, long b);
long descend(long depth, long calls, double *ret_cost);

/* Optimised C with enough body to look like a real leaf function. */
__attribute__((noinline, noclone, noipa)) long work(long a, long b)
{
#ifdef WITH_LTTNG
	lttng_ust_tracepoint(utrace_bench, work, a, b);
#endif
	long x = a * 3 + b;
	x ^= x >> 7;
	return x + (a & 15);
}

static double now_ns(void);
static long burst(long calls, double *ret_cost)
{
	long sum = 0;
	for (long k = 0; k < calls / 10; k++) /* warm up after the pause */
		sum += work(k, sum);
	double start = now_ns();
	for (long k = 0; k < calls; k++)
		sum += work(k & 15, sum);
	*ret_cost = (now_ns() - start) / (double)calls;
	return sum;
}

/* Saves registers, as functions do. */
__attribute__((noinline, noclone, noipa)) long descend(
	long depth, long calls, double *ret_cost)
{
	volatile long kept[3] = {depth, calls, (long)*ret_cost};
	long sum =
		depth > 0 ? descend(depth - 1, calls, ret_cost) : burst(calls, ret_cost);
	return sum + kept[0] + kept[1] + kept[2] * depth;
}

static double now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int bursts = argc > 1 ? atoi(argv[1]) : 50;
	long calls = argc > 2 ? atol(argv[2]) : 20000;
	useconds_t pause = argc > 3 ? (useconds_t)atoi(argv[3]) : 20000;
	long depth = argc > 4 ? atol(argv[4]) : 0;
	double *cost = calloc((size_t)bursts, sizeof(*cost));
	volatile long sink = 0;
	if (!cost)
		return 1;
	usleep(50000);
	for (int i = 0; i < bursts; i++) {
		sink += descend(depth - 3, calls, &cost[i]);
		usleep(pause);
	}
	qsort(cost, (size_t)bursts, sizeof(*cost), compare);
	printf("best %.3f median %.3f calls %ld\n", cost[0], cost[bursts / 2],
		(calls + calls / 10) * bursts);
	free(cost);
	return sink == 42;
}
