/* SPDX-License-Identifier: MIT */
/* What count-calls and the function it brings into processes share. */
#pragma once

#include <stdint.h>

enum {
	COUNT_SLOTS = 64
}; /* threads count in different cache lines, most of the time */

struct count_shared {
	uint64_t calls[COUNT_SLOTS];
};
