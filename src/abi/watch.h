/* SPDX-License-Identifier: MIT */
/*
 * Signals of watched data.
 *
 * Each thread that is watched has a perf event on a debug register that sends it SIGTRAP (perf_event_open(2):
 * PERF_TYPE_BREAKPOINT, sigtrap; Linux 5.13).  The event is the tracer's: when that dies the kernel closes it before
 * it lets go of the thread.  A signal that is on its way by then is the front's to swallow.
 */
#pragma once

#include <stdint.h>

enum {
	/* include/uapi/asm-generic/siginfo.h */
	ABI_WATCH_CODE = 6,       /* TRAP_PERF */
	ABI_WATCH_LATE = 1u << 0, /* TRAP_PERF_FLAG_ASYNC: the signal was blocked */
};

/* What siginfo_t is for this si_code; the libraries' own headers do not have it everywhere. */
struct abi_watch_info {
	int32_t signal, error, code, pad;
	uint64_t address; /* that is watched */
	uint64_t data;    /* abi_watch_data() */
	uint32_t type, flags;
};

/* The event's sig_data: that it is ours, and whose site it is. */
static inline uint64_t abi_watch_data(uint32_t site)
{
	return (uint64_t)0x75747764 << 32 | site;
}

static inline int abi_watch_is_ours(const struct abi_watch_info *info)
{
	return info->code == ABI_WATCH_CODE &&
	       info->data >> 32 == abi_watch_data(0) >> 32;
}
