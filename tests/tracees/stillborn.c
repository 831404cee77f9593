/* SPDX-License-Identifier: MIT */
/*
 * Processes that are killed while their threads create threads, or while they fork, so that some of what they create
 * is there, or has ended, before anybody has heard of it.
 * usage: stillborn COUNT [forks]: waits for a line, prints how many processes were killed, and ends when standard
 * input does.  forks: children run once and stay; their parent is this process then
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CREATORS = 3,
	STACK = 64 * 1024,
	LIFE_NS = 3000000 /* at most */
};

__attribute__((noinline, noclone, noipa)) void *live(void *data)
{
	return data;
}

static void *create_threads(void *data)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK);
	for (;;)
		(void)pthread_create(&thread, &attributes, live, data);
	return data;
}

static void fork_until_killed(void)
{
	const struct timespec pause_time = {.tv_nsec = 2000000};
	for (;;) {
		if (fork() == 0) {
			live(NULL);
			alarm(120); /* should nobody kill it */
			pause();
			_exit(0);
		}
		nanosleep(&pause_time, NULL);
	}
}

static void create_until_killed(void)
{
	pthread_t thread;
	for (int i = 0; i < CREATORS; i++)
		pthread_create(&thread, NULL, create_threads, NULL);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 100, killed = 0;
	bool forks = argc > 2;
	unsigned seed = 1;
	char line[16];
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (long i = 0; i < count; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0 && forks)
			fork_until_killed();
		if (pid == 0)
			create_until_killed();
		seed = seed * 1103515245 + 12345;
		const struct timespec life = {.tv_nsec = (long)((seed >> 8) % LIFE_NS)};
		nanosleep(&life, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	printf("%ld killed\n", killed);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}
