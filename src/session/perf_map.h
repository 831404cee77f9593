/* SPDX-License-Identifier: MIT */
/*
 * Names of generated code: /tmp/perf-PID.map, which node, the JVM, PyPy and others write for perf(1) when
 * they are asked to.  The file is the program's: nothing in it is believed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct perf_map;

struct perf_map *perf_map_create(pid_t pid);
void perf_map_destroy(struct perf_map *map);

struct perf_map_entry {
	uint64_t start, size;
	const char *name; /* until the next perf_map_find() */
};
/** perf_map_find() - what covers an address; the file is read again when it has grown */
bool perf_map_find(struct perf_map *map, uint64_t address, struct perf_map_entry *ret);
