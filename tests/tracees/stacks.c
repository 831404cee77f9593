/* SPDX-License-Identifier: MIT */
/* Calls through a library, a signal handler, and frames without frame pointers. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define FAR __attribute__((noinline, noclone))

FAR int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

FAR int sort_some(int *values)
{
	volatile char room[300];
	room[3] = 1;
	qsort(values, 4, sizeof(*values), compare);
	return values[0] + room[3];
}

static volatile int handled;

FAR void handle(int number)
{
	handled = number;
}

FAR int interrupted(void)
{
	raise(SIGUSR1);
	return handled;
}

int main(void)
{
	int values[4] = {4, 3, 2, 1};
	signal(SIGUSR1, handle);
	printf("%d %d\n", sort_some(values), interrupted());
	return 0;
}
