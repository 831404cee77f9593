/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "ptrace/ptrace.h"

int remote_memory_open(pid_t pid, struct error *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", proc_task_with_memory(pid));
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	/* Kernels that restrict forced access (proc_mem.force_override=) may refuse
	 * writing. */
	int code = -errno;
	if (code == -EACCES || code == -EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (code == -ENOENT)
		code = -ESRCH;
	return error_set(err, code, "cannot open the memory of process %d: %s", pid,
		strerror(-code));
}

int remote_memory_read(int fd, uint64_t address, void *bytes, size_t size)
{
	char *at = bytes;
	while (size) {
		ssize_t n = pread(fd, at, size, (off_t)address);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EIO ? -EFAULT : -errno;
		if (n == 0)
			return -ESRCH; /* the address space is gone */
		at += n;
		address += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* Any stopped thread of the process can poke; /proc/self/fd tells whose memory @fd is. */
static int find_stopped_thread(int fd, pid_t *ret)
{
	char link[64], target[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	int pid;
	if (sscanf(target, "/proc/%d/mem", &pid) != 1)
		return -EBADF;
	struct proc_tids list;
	int r = proc_list_tasks(pid, &list, NULL);
	if (r < 0)
		return r;
	r = -ESRCH;
	for (size_t i = 0; i < list.tids.count && r < 0; i++) {
		struct user_regs_struct regs;
		r = ptrace_get_regs(list.tids.items[i], &regs);
		if (r == 0)
			*ret = list.tids.items[i];
	}
	vec_free(&list.tids);
	return r;
}

static int poke(int fd, uint64_t address, const void *bytes, size_t size)
{
	const char *from = bytes;
	pid_t tid;
	int r = find_stopped_thread(fd, &tid);
	if (r < 0)
		return r;
	while (size) {
		uint64_t word_at = address & ~7ull;
		size_t skip = address - word_at;
		size_t part = sizeof(long) - skip < size ? sizeof(long) - skip : size;
		errno = 0;
		long word = ptrace(PTRACE_PEEKDATA, tid, word_at, NULL);
		if (errno)
			return errno == EIO ? -EFAULT : -errno;
		memcpy((char *)&word + skip, from, part);
		if (ptrace(PTRACE_POKEDATA, tid, word_at, word) < 0)
			return errno == EIO ? -EFAULT : -errno;
		from += part;
		address += part;
		size -= part;
	}
	return 0;
}

int remote_memory_write(int fd, uint64_t address, const void *bytes, size_t size)
{
	const char *from = bytes;
	while (size) {
		ssize_t n = pwrite(fd, from, size, (off_t)address);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EIO || errno == EPERM || errno == EACCES ||
				     errno == EBADF)) {
			int code = errno;
			int r = poke(fd, address, from, size);
			return r < 0 && code == EIO ? -EFAULT : r;
		}
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESRCH;
		from += n;
		address += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}
