/* SPDX-License-Identifier: MIT */
/*
 * Children that call work() as fast as they can, and again from a signal handler, while their parent kills
 * one after the other wherever it stands and forks the next.  usage: killed-children KILLS
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CHILDREN = 3
};

__attribute__((noinline, noclone, noipa)) long work(long n)
{
	return n * 3 + 1;
}

__attribute__((noinline, noclone, noipa)) void done(long kills)
{
	printf("%ld killed\n", kills);
}

static void on_timer(int signal)
{
	work(signal);
}

static void child(int ready)
{
	struct itimerval often = {{0, 300}, {0, 300}};

	signal(SIGALRM, on_timer);
	setitimer(ITIMER_REAL, &often, NULL);
	for (long n = 0;; n++) {
		work(n);
		if (n == 1000 && write(ready, "r", 1) != 1)
			_exit(1);
	}
}

int main(int argc, char **argv)
{
	long kills = argc > 1 ? atol(argv[1]) : 20;
	pid_t children[CHILDREN];
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		return 1;
	for (long n = 0; n < kills + CHILDREN; n++) {
		if (n >= CHILDREN) {
			/* a child that has come far enough: another one is killed then */
			if (read(ready[0], &byte, 1) != 1)
				return 1;
			kill(children[n % CHILDREN], SIGKILL);
			waitpid(children[n % CHILDREN], NULL, 0);
		}
		children[n % CHILDREN] = fork();
		if (children[n % CHILDREN] == 0)
			child(ready[1]);
	}
	for (int i = 0; i < CHILDREN; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	done(kills);
	return 0;
}
