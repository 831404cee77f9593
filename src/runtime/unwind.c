/* SPDX-License-Identifier: MIT */
/*
 * Stacks of the traced program.  Everything that scripts see of a stack goes through
 * rt_unwind(); so far it knows the probed place only.
 */
#include <stddef.h>

#include "runtime/internal.h"

uint64_t rt_unwind(struct abi_context *c, uint32_t depth)
{
	return depth == 0 ? c->probe_ip : 0;
}

int64_t rt_fn_frame(struct abi_context *c, int64_t depth)
{
	if (depth < 0 || depth >= rt_session(c)->max_backtrace)
		return 0;
	return (int64_t)rt_unwind(c, (uint32_t)depth);
}
