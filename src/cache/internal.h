/* SPDX-License-Identifier: MIT */
/* The directory of the cache, for the files of cache/. */
#pragma once

#include "cache/cache.h"

enum {
	CACHE_NAME_SIZE = 48
};

/**
 * cache_directory_open() - $XDG_CACHE_HOME/utrace or ~/.cache/utrace
 * @is_made: make it when it is not there
 * Return: a descriptor; negative errno, also for a directory that others own or may write to
 */
must_check int cache_directory_open(bool is_made, struct error *err);

/** cache_directory_prune() - remove files, the least recently used first, down to @limit bytes */
void cache_directory_prune(int directory, uint64_t limit);

/** cache_directory_limit() - how large it may become: UTRACE_CACHE_MB, or 256 MiB */
uint64_t cache_directory_limit(void);
