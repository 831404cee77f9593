/* SPDX-License-Identifier: MIT */
/* Runs in the traced process: see <utrace/uprobe-native.h> for what it may do. */
#include "count-hit.h"

#include <utrace/uprobe-native.h>

uprobe_native_fn count_hit;

void count_hit(const struct uprobe_native_hit *hit)
{
	struct count_shared *shared = hit->shared;
	__atomic_fetch_add(&shared->calls[hit->tid % COUNT_SLOTS], 1, __ATOMIC_RELAXED);
}
