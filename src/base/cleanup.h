/* SPDX-License-Identifier: MIT */
/* Scope-bound release of host resources.  Remote state (registers, patched text) uses
 * goto. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(destroy) __attribute__((cleanup(destroy)))

static inline void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline int steal_fd(int *fd)
{
	int value = *fd;
	*fd = -1;
	return value;
}
