/* SPDX-License-Identifier: MIT */
/*
 * Records in a context's ring.  Positions only grow; data index = position & (ring_size -
 * 1).  A record is contiguous: where it would cross the end, a PAD record fills the rest
 * first.  There is one producer (handlers do not nest), which stores ring_head (release)
 * after the whole record is written, so a consumer never sees half a record even when the
 * producer is killed.
 */
#pragma once

#include <stdint.h>

enum abi_record_kind {
	ABI_RECORD_PAD = 0,
	ABI_RECORD_PRINT = 1, /* id: index of a format in the compiled script */
	ABI_RECORD_ERROR =
		2, /* id: site; payload: struct abi_error_place, then one string */
	ABI_RECORD_WARN = 3,   /* payload: one string */
	ABI_RECORD_SYSTEM = 4, /* payload: one string, for sh -c */
	ABI_RECORD_LOG = 5,    /* payload: one string, printed with a newline */
	/* payload: uint32 enum abi_symbol_style, uint32 process id, then uint64 addresses: each is told on
	 * a line of its own */
	ABI_RECORD_STACK = 6,
};

/* Of a PAD only size and kind exist: as little as 8 bytes may be left before the end. */
struct abi_record {
	uint32_t size; /* whole record, multiple of 8 */
	uint16_t kind;
	uint16_t reserved;
	uint64_t stamp; /* TSC; the same for all records of one handler run */
	uint32_t id;
	uint32_t reserved2;
};

/* Where a script error was raised, and through which calls it came: indexes of the script's places. */
enum {
	ABI_RECORD_CALLERS = 16 /* more are left out, the outer ones */
};
struct abi_error_place {
	uint32_t location, caller_count;
	uint32_t callers[ABI_RECORD_CALLERS]; /* the innermost first */
};

/*
 * PRINT payload: the arguments in order.
 *   long:      uint64
 *   string:    uint32 size, then size bytes (no NUL), zero-padded to a multiple of 8 in
 * total histogram: struct abi_stat and its buckets as they stand in memory (abi/data.h)
 */
