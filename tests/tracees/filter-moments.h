/* SPDX-License-Identifier: MIT */
/* What filter-moments and whoever started it share. */
#pragma once

struct control {
	int ready;                      /* all threads are where they should be */
	int order;                      /* to put the filter on */
	int filtered;                   /* done; -1: it cannot be */
	int end;                        /* to exit, with 7 */
	int installer, sleeper, waiter; /* tids */
};
