/* SPDX-License-Identifier: MIT */
/* Forks, vforks and execs itself; every process calls step() a known number of times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline, noclone, noipa)) int step(int n)
{
	return n * 2 + 1;
}

static int work(int n)
{
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum ^= step(i);
	return sum & 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "leaf") == 0)
		return work(10);
	work(1);
	for (int i = 0; i < 5; i++) {
		pid_t child = fork();
		if (child == 0) {
			work(100);
			if (i & 1) {
				execl("/proc/self/exe", "forker", "leaf", (char *)NULL);
				_exit(9);
			}
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	pid_t child = vfork();
	if (child == 0) {
		execl("/proc/self/exe", "forker", "leaf", (char *)NULL);
		_exit(9);
	}
	waitpid(child, NULL, 0);
	work(1000);
	/* 1 + 5*100 + 2*10 (execs) + 10 (vfork exec) + 1000 */
	puts("steps=1531");
	return 0;
}
