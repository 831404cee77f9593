/* SPDX-License-Identifier: MIT */
#include "session/perf_map.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/vec.h"
#include "ptrace/ptrace.h"

enum {
	SIZE_MAX_READ = 1 << 26,
	PATIENCE_MS = 500 /* between two looks at the file */
};

struct perf_map {
	pid_t pid, seen_pid; /* as the tracer and the process see it */
	off_t size;          /* of the file, when it was read */
	uint64_t looked_ms;
	char *text;
	VEC(struct perf_map_entry)
	entries; /* sorted; of equal ones the last is the newest */
};

struct perf_map *perf_map_create(pid_t pid)
{
	struct perf_map *map = calloc(1, sizeof(*map));
	struct proc_status status;
	if (!map)
		abort();
	map->pid = map->seen_pid = pid;
	if (proc_read_status(pid, &status, NULL) == 0 && status.ns_pid)
		map->seen_pid = status.ns_pid;
	return map;
}

void perf_map_destroy(struct perf_map *map)
{
	if (!map)
		return;
	vec_free(&map->entries);
	free(map->text);
	free(map);
}

/* Stable in the order of the file, so that what was generated later at one address counts. */
static int compare(const void *a, const void *b)
{
	const struct perf_map_entry *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* "START SIZE name\n", in hexadecimal.  A last line without its end is still being written. */
static void parse(struct perf_map *map)
{
	map->entries.count = 0;
	for (char *line = map->text, *end; (end = strchr(line, '\n')); line = end + 1) {
		struct perf_map_entry entry;
		char *at;
		*end = '\0';
		entry.start = strtoull(line, &at, 16);
		entry.size = strtoull(at, &at, 16);
		if (*at != ' ' || !entry.size || entry.start + entry.size < entry.start)
			continue;
		for (char *c = ++at; *c; c++)
			if (iscntrl((unsigned char)*c))
				*c = '?';
		entry.name = at;
		vec_append(&map->entries, entry);
	}
	if (map->entries.count)
		qsort(map->entries.items, map->entries.count, sizeof(*map->entries.items),
			compare);
}

static int open_file(const struct perf_map *map)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map",
		proc_task_with_memory(map->pid), map->seen_pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0 && kill(map->pid, 0) < 0) { /* it has ended */
		snprintf(path, sizeof(path), "/tmp/perf-%d.map", map->pid);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	}
	return fd;
}

static void load(struct perf_map *map)
{
	struct stat st;
	int fd = open_file(map);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size != map->size &&
		st.st_size <= SIZE_MAX_READ) {
		char *text = malloc((size_t)st.st_size + 1);
		ssize_t size = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
		if (size >= 0) {
			text[size] = '\0';
			free(map->text);
			map->text = text;
			map->size = st.st_size;
			parse(map);
		} else {
			free(text);
		}
	}
	close(fd);
}

static bool find(const struct perf_map *map, uint64_t address, struct perf_map_entry *ret)
{
	size_t low = 0, high = map->entries.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (map->entries.items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - map->entries.items[low - 1].start >=
			    map->entries.items[low - 1].size)
		return false;
	*ret = map->entries.items[low - 1];
	return true;
}

bool perf_map_find(struct perf_map *map, uint64_t address, struct perf_map_entry *ret)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	uint64_t now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (!map->looked_ms || now_ms - map->looked_ms >= PATIENCE_MS) {
		map->looked_ms = now_ms;
		load(map);
	}
	return find(map, address, ret);
}
