/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "cache/internal.h"

enum {
	DEFAULT_LIMIT_MB = 256,
	MEGABYTE = 1 << 20,
	STALE_SECONDS = 3600, /* what a run that died left half written */
};

static int directory_path(char *ret, size_t size, char *parent, struct error *err)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int length = -1;
	/* relative paths are invalid by the XDG specification */
	if (cache && cache[0] == '/')
		length = snprintf(parent, size, "%s", cache);
	else if (home && home[0] == '/')
		length = snprintf(parent, size, "%s/.cache", home);
	else
		return error_set(
			err, -ENOENT, "neither XDG_CACHE_HOME nor HOME is a path");
	if (length < 0 || (size_t)length + sizeof("/utrace") > size)
		return error_set(err, -ENAMETOOLONG, "the path of the cache is too long");
	snprintf(ret, size, "%.*s/utrace", length, parent);
	return 0;
}

/* What others could have written to would be as good as their code in our targets. */
static int directory_check(int directory, const char *path, struct error *err)
{
	struct stat st;
	if (fstat(directory, &st) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(err, -EPERM, "%s belongs to user %u", path, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(err, -EPERM, "%s can be written by others", path);
	return 0;
}

int cache_directory_open(bool is_made, struct error *err)
{
	char path[PATH_MAX], parent[PATH_MAX];
	int r = directory_path(path, sizeof(path), parent, err);
	if (r < 0)
		return r;
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (directory < 0 && errno == ENOENT && is_made) {
		(void)!mkdir(parent, S_IRWXU); /* the next one tells */
		if (mkdir(path, S_IRWXU) < 0 && errno != EEXIST)
			return error_set(
				err, -errno, "cannot make %s: %s", path, strerror(errno));
		directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (directory < 0)
		return error_set(
			err, -errno, "cannot open %s: %s", path, strerror(errno));
	r = directory_check(directory, path, err);
	if (r < 0) {
		close(directory);
		return r;
	}
	return directory;
}

uint64_t cache_directory_limit(void)
{
	const char *text = getenv("UTRACE_CACHE_MB");
	char *end;
	unsigned long value = text ? strtoul(text, &end, 10) : 0;
	if (!text || !text[0] || *end || value > UINT32_MAX)
		value = DEFAULT_LIMIT_MB;
	return (uint64_t)value * MEGABYTE;
}

struct entry {
	char name[CACHE_NAME_SIZE];
	int64_t used; /* ns */
	uint64_t size;
};

static int entry_compare(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	if (left->used != right->used)
		return left->used < right->used ? -1 : 1;
	return strcmp(left->name, right->name);
}

static bool is_our_name(const char *name)
{
	size_t digits = strspn(name, "0123456789abcdef");
	return digits == 32 && (!name[digits] || strncmp(name + digits, ".new", 4) == 0);
}

void cache_directory_prune(int directory, uint64_t limit)
{
	VEC(struct entry) entries = {0};
	uint64_t total = 0;
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	if (!list) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *d = readdir(list); d; d = readdir(list)) {
		struct stat st;
		if (!is_our_name(d->d_name) || strlen(d->d_name) >= CACHE_NAME_SIZE ||
			fstatat(directory, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		bool is_left_over =
			d->d_name[32] && time(NULL) - st.st_mtime > STALE_SECONDS;
		if (is_left_over || (limit == 0 && d->d_name[32])) {
			unlinkat(directory, d->d_name, 0);
			continue;
		}
		struct entry *entry = vec_push(&entries);
		strcpy(entry->name, d->d_name);
		entry->used =
			st.st_mtim.tv_sec * (int64_t)1000000000 + st.st_mtim.tv_nsec;
		entry->size = (uint64_t)st.st_size;
		total += entry->size;
	}
	closedir(list);
	if (entries.count)
		qsort(entries.items, entries.count, sizeof(*entries.items),
			entry_compare);
	for (size_t i = 0; i < entries.count && (total > limit || limit == 0); i++) {
		if (unlinkat(directory, entries.items[i].name, 0) == 0)
			total -= entries.items[i].size;
	}
	vec_free(&entries);
}

int cache_clean(struct error *err)
{
	CLEANUP(cleanup_fd) int directory = cache_directory_open(false, err);
	if (directory == -ENOENT)
		return 0;
	if (directory < 0)
		return directory;
	cache_directory_prune(directory, 0);
	return 0;
}
