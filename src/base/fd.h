/* SPDX-License-Identifier: MIT */
/* Whole-file reads and full writes. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/**
 * fd_read_file() - read a whole (possibly /proc) file
 * @ret: set on success; NUL-terminated; free() it
 * Return: size, or negative errno (no @err text for -ENOENT/-ESRCH beyond the standard
 * one)
 */
must_check ssize_t fd_read_file(const char *path, char **ret, struct error *err);

/** fd_write_all() - write everything, retrying short writes and EINTR; 0 or negative
 * errno */
must_check int fd_write_all(int fd, const void *bytes, size_t size);
