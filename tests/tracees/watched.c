/* SPDX-License-Identifier: MIT */
/*
 * Writes to variables that probes watch.   usage: watched WRITES [threads|fork|vfork|exec|blocked|held|spin]
 *   threads  four of them write, each does
 *   fork     a child writes, too; of vfork, too
 *   exec     and again as another program
 *   blocked  with all signals blocked
 *   held     when a line comes, with all signals blocked until standard input ends; says "held" when it has
 *   spin     in four threads until standard input ends; of two of them every other write is with signals blocked
 * Prints where `counter` is first ("at ADDRESS"), and at the end "wrote N", which counts what was written.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

enum {
	THREADS = 4,
	PAUSE = 200
};

long counter;
static volatile short narrow;
char table[100];
static volatile int stop;
static volatile long total;

NOINLINE void put(long value)
{
	counter = value;
}

NOINLINE long look(void)
{
	return *(volatile long *)&counter;
}

NOINLINE void put_narrow(int value)
{
	narrow = (short)value;
}

static void put_many(int count)
{
	for (int i = 0; i < count; i++) {
		put(i);
		total += look();
	}
	put_narrow(count);
}

static void *run(void *writes)
{
	put_many(*(int *)writes);
	return NULL;
}

static void *spin(void *masks)
{
	sigset_t all, old;
	long wrote = 0;
	sigfillset(&all);
	while (!stop) {
		if (masks && wrote % 2)
			pthread_sigmask(SIG_SETMASK, &all, &old);
		put(wrote);
		for (volatile int i = 0; i < PAUSE; i++)
			;
		if (masks && wrote % 2)
			pthread_sigmask(SIG_SETMASK, &old, NULL);
		wrote++;
	}
	return NULL;
}

static void put_held(int writes)
{
	sigset_t all, old;
	int byte;
	while ((byte = getchar()) != '\n' && byte != EOF)
		;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	put_many(writes);
	printf("held\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void run_threads(void *(*body)(void *), int *writes)
{
	pthread_t threads[THREADS];
	char byte;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, body,
			    body == run || i % 2 ? writes : NULL))
			abort();
	while (body == spin && read(STDIN_FILENO, &byte, 1) > 0)
		;
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	int writes = argc > 1 ? atoi(argv[1]) : 10;
	volatile int wrote = writes;
	const char *how = argc > 2 ? argv[2] : "";
	sigset_t all;
	printf("at %p\n", (void *)&counter);
	fflush(stdout);
	if (!strcmp(how, "blocked")) {
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
	}
	pid_t child = !strcmp(how, "fork")    ? fork()
		      : !strcmp(how, "vfork") ? vfork()
					      : -1;
	if (child == 0) {
		put_many(writes);
		_exit(0);
	}
	if (child > 0 && waitpid(child, NULL, 0) == child)
		wrote += writes;
	if (!strcmp(how, "threads"))
		run_threads(run, &writes);
	else if (!strcmp(how, "spin"))
		run_threads(spin, &writes);
	else if (!strcmp(how, "held"))
		put_held(writes);
	else
		put_many(writes);
	if (!strcmp(how, "threads"))
		wrote = THREADS * writes;
	if (!strcmp(how, "exec")) {
		printf("wrote %d\n", wrote);
		fflush(stdout);
		execl(argv[0], argv[0], argv[1], (char *)NULL);
	}
	printf("wrote %d\n", wrote);
	return 0;
}
