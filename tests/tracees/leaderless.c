/* SPDX-License-Identifier: MIT */
/* A thread calls work() until it is killed; the first thread ends at a line of standard input. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

volatile unsigned long counter;

__attribute__((noinline, noclone, noipa)) unsigned long work(unsigned long n)
{
	return counter += n & 1;
}

static void *labour(void *unused)
{
	for (unsigned long n = 0;; n++) {
		work(n);
		usleep(1000);
	}
	return unused;
}

int main(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, labour, NULL) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	getchar();
	pthread_exit(NULL);
}
