/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"

ssize_t fd_read_file(const char *path, char **ret, struct error *err)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(
			err, -errno, "cannot open %s: %s", path, strerror(errno));
	size_t size = 0, capacity = 4096;
	enum {
		SIZE_MAX_READ = 64 << 20 /* /dev/zero has no end */
	};
	char *data = malloc(capacity + 1);
	if (!data)
		abort();
	for (;;) {
		if (size == capacity) {
			capacity *= 2;
			char *bigger = realloc(data, capacity + 1);
			if (!bigger)
				abort();
			data = bigger;
		}
		ssize_t n = read(fd, data + size, capacity - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int code = -errno;
			free(data);
			return error_set(
				err, code, "cannot read %s: %s", path, strerror(-code));
		}
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > SIZE_MAX_READ) {
			free(data);
			return error_set(err, -EFBIG,
				"cannot read %s: more than %d megabytes", path,
				SIZE_MAX_READ >> 20);
		}
	}
	data[size] = '\0';
	*ret = data;
	return (ssize_t)size;
}

int fd_write_all(int fd, const void *bytes, size_t size)
{
	const char *p = bytes;
	while (size) {
		ssize_t n = write(fd, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}
