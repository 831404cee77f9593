/* SPDX-License-Identifier: MIT */
/*
 * -F: the run goes on in a child when its probes are in; the parent tells the child's number, or
 * that it failed.
 */
#include "session/background.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The parent: until the child is ready, or has ended. */
static int wait_ready(pid_t child, int fd)
{
	char ready;
	int status;
	if (read(fd, &ready, 1) == 1) {
		printf("%d\n", child);
		return 0;
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int session_background_start(struct session *s, int *ret_status, struct error *err)
{
	int fds[2];
	fflush(stdout);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0) {
		int code = errno;
		close(fds[0]);
		close(fds[1]);
		return error_set(
			err, -code, "cannot go on in the background: %s", strerror(code));
	}
	if (child == 0) {
		close(fds[0]);
		s->background_fd = fds[1];
		setsid();
		return 0;
	}
	close(fds[1]);
	*ret_status = wait_ready(child, fds[0]);
	close(fds[0]);
	return 1;
}

void session_background_ready(struct session *s)
{
	if (s->background_fd < 0)
		return;
	CLEANUP(cleanup_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
		dup2(null, fd);
	(void)!write(s->background_fd, "", 1);
	close(s->background_fd);
	s->background_fd = -1;
}
