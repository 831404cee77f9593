/* SPDX-License-Identifier: MIT */
/* Statistics and maps in session memory.  Offsets are from the start of the struct
 * itself. */
#pragma once

#include <stdint.h>

enum abi_hist_kind {
	ABI_HIST_NONE = 0,
	ABI_HIST_LOG =
		1, /* 128 buckets: 64 is value 0, 65 is 1, 66 is 2..3; 63 is -1, ... */
	ABI_HIST_LINEAR = 2, /* 0: below low; 1..n; last: above high */
};

enum {
	ABI_HIST_LOG_BUCKETS = 128
};

/* What a statistic accumulates; constant, placed in the code's read-only data by codegen
 * and also known to the tracer. */
struct abi_stat_desc {
	uint32_t size; /* of struct abi_stat with its buckets */
	uint32_t hist; /* enum abi_hist_kind */
	int64_t low, high, width;
	uint32_t bucket_count;
	uint32_t variance_shift; /* 0..63, or ABI_STAT_NO_VARIANCE: never asked for */
};
enum {
	ABI_STAT_NO_VARIANCE = 1 << 30
};

struct abi_stat {
	uint64_t epoch; /* shards: older than the variable's epoch means empty */
	int64_t count, sum, min, max;
	int64_t mean, m2;        /* SystemTap's integer Welford recurrence, shifted */
	uint64_t variance_shift; /* of mean and m2: a reader needs no descriptor */
	uint64_t buckets[];
};

/* Storage of a sharded counter or statistic in the globals region; the shards live in
 * contexts. */
struct abi_shared_counter {
	uint64_t base; /* value = base + sum of shards */
};
struct abi_shared_stat {
	uint64_t epoch;
};

enum abi_value_type {
	ABI_VALUE_LONG = 0,
	ABI_VALUE_STRING = 1,
	ABI_VALUE_STAT = 2
};

enum {
	ABI_MAP_MAX_KEYS = 10
};
#define ABI_MAP_NONE 0xffffffffu

/*
 * A map: `max_entries` preallocated entries, chained hashing, and a doubly linked list
 * that keeps insertion order (a sorted foreach reorders it in place).  The tracer zeroes
 * the region and calls rt_map_init().  All access is under the global's lock.
 *
 *   struct abi_map | uint32 buckets[bucket_count] | entries[max_entries] of entry_size
 *   entry: struct abi_map_entry | keys (uint64 each, or char[max_string]) | value
 *
 * Every link in memory (buckets, chain, prev, next, head, tail, free) is an entry's index
 * + 1, 0 at the end, and `fresh` counts the entries ever handed out: zeroed memory is an
 * empty map, and a big array costs only the pages it uses.
 */
struct abi_map {
	uint32_t magic;
	uint32_t key_count;
	uint32_t key_strings; /* bit i: key i is a string */
	uint32_t value_type;  /* enum abi_value_type */
	uint32_t value_size;
	uint32_t max_string;
	uint32_t max_entries;
	uint32_t wrap;         /* evict the oldest instead of failing */
	uint32_t sized;        /* declared with [N]: changes the overflow message */
	uint32_t bucket_count; /* power of two */
	uint32_t entry_size, value_offset;
	uint32_t buckets_offset, entries_offset;
	uint32_t count, head, tail, free, fresh;
	uint32_t reserved;
	uint32_t key_offset[ABI_MAP_MAX_KEYS];
	uint64_t total_size;
};

struct abi_map_entry {
	uint32_t hash;
	uint32_t chain; /* next in bucket, or next free */
	uint32_t prev, next;
};

/*
 * A thread's own part of an array that is only counted up (runtime/cell.c), in its context: the head,
 * and ABI_CELLS cells of cell_size bytes.
 */
enum {
	ABI_CELLS = 256,    /* a power of two */
	ABI_CELL_TEXT = 32, /* a key that is a string, filled up with zeros */
	ABI_CELL_MAX_KEYS = 5,
};

struct abi_cells {
	uint32_t linked; /* cells that have a link */
	uint32_t used;   /* some cell ever had one */
	uint64_t reserved[7];
};

struct abi_cell {
	uint32_t link;      /* its element, as in abi_map; 0: none (any more) */
	uint32_t conflicts; /* other keys that wanted it */
	/* all that its thread has added, to this and to other elements; of a statistic: odd while its thread writes
	 */
	uint64_t delta;
	uint64_t
		folded; /* of it, what the array has; of a statistic: how many values of it */
	uint64_t key[]; /* longs, and strings of ABI_CELL_TEXT bytes */
};

/* Read-only data of the code. */
struct abi_cells_desc {
	uint32_t map_offset;   /* from the start of session memory */
	uint32_t shard_offset; /* from the start of a context */
	uint32_t cell_size;
	uint32_t lock; /* of the array */
	uint32_t key_count, key_strings;
	/* in a cell, of the abi_stat of what its thread has added since the cell got its key, with the sum of what the
	 * array has for its epoch; 0: the values are numbers */
	uint32_t stat_offset;
	uint32_t reserved;
	struct abi_stat_desc stat;
};
