/* SPDX-License-Identifier: MIT */
/* For consumer/, which leaves utrace_on_new_task() to its caller.  Not part of libutrace's interface. */
#pragma once

#include "utrace/utrace.h"

/**
 * utrace_on_orphan() - be told of new processes that have no report_clone()
 * Called after what utrace_on_new_task() has set, which says when that is.
 * @fn NULL: nobody is told.
 */
typedef void (*utrace_orphan_fn)(struct utrace_task *task, void *data);
void utrace_on_orphan(struct utrace *utrace, utrace_orphan_fn fn, void *data);
