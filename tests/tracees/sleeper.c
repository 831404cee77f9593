/* SPDX-License-Identifier: MIT */
/*
 * Sleeps in epoll_wait for most of its life and counts what a tracer must not cause:
 * early returns. SIGTERM ends it; it then prints "eintr=N calls=N".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static volatile sig_atomic_t done;

static void on_term(int signal)
{
	done = 1;
}

__attribute__((noinline, noclone, noipa)) int tick(int n)
{
	return n + 1;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_term};
	sigaction(SIGTERM, &act, NULL);
	int fd = epoll_create1(0), eintr = 0, calls = 0;
	struct epoll_event event;
	puts("ready");
	fflush(stdout);
	while (!done) {
		int r = epoll_wait(fd, &event, 1, 200);
		if (r < 0 && errno == EINTR && !done)
			eintr++;
		calls = tick(calls);
	}
	printf("eintr=%d calls=%d\n", eintr, calls);
	return 0;
}
