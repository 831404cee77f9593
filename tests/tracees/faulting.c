/* SPDX-License-Identifier: MIT */
/*
 * Faults in pages, and counts them itself.   usage: faulting PAGES [threads|fork|exec|burn]
 *   threads  four of them, each does
 *   fork     a child does, too
 *   exec     again as another program
 *   burn     and uses the processor, for some tenths of a second
 * Prints "touched N" when all is done.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

enum {
	PAGE = 4096,
	THREADS = 4,
	ROUNDS = 200000000
};

static volatile unsigned long total;

NOINLINE void touch(int pages)
{
	size_t size = (size_t)pages * PAGE;
	char *area = mmap(
		NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		abort();
	madvise(area, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += PAGE)
		((volatile char *)area)[i] = 1;
	munmap(area, size);
	total++;
}

NOINLINE void middle(int pages)
{
	touch(pages);
	total++;
}

NOINLINE void burn(void)
{
	for (int i = 0; i < ROUNDS; i++)
		total += (unsigned long)i;
}

static void *run(void *pages)
{
	middle(*(int *)pages);
	return NULL;
}

static int run_threads(int pages)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, run, &pages))
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return THREADS * pages;
}

int main(int argc, char **argv)
{
	int pages = argc > 1 ? atoi(argv[1]) : 100, touched = pages;
	const char *how = argc > 2 ? argv[2] : "";
	pid_t child = strcmp(how, "fork") ? -1 : fork();
	if (!strcmp(how, "threads"))
		touched = run_threads(pages);
	else
		middle(pages);
	if (child == 0)
		return 0;
	if (child > 0 && waitpid(child, NULL, 0) == child)
		touched += pages;
	if (!strcmp(how, "exec"))
		execl(argv[0], argv[0], argv[1], (char *)NULL);
	if (!strcmp(how, "burn"))
		burn();
	printf("touched %d\n", touched);
	return 0;
}
