/* SPDX-License-Identifier: MIT */
/*
 * Values captured at a function's entry, waiting for its return: a stack of blocks in the
 * context.
 *
 *   data, a multiple of 8 | struct pair_foot        ... c->pair_top is after the last
 * foot
 *
 * A block belongs to (group, stack pointer at entry).  Frames may be left without
 * returning (longjmp, exceptions), and a thread may switch stacks (coroutines), so blocks
 * are found by exact match and never thrown away for their place alone, except when room
 * is short.
 */
#include <stddef.h>

#include "runtime/internal.h"

struct pair_foot {
	uint64_t sp;
	uint32_t group;
	uint32_t size; /* of data and foot */
};

enum {
	FOOT = sizeof(struct pair_foot),
	STACK_SPAN = 8 << 20
};
#define GROUP_DEAD \
	0xffffffffu /* popped; goes when it is on top, or when room is short \
		     */

/* The block that ends at `top`; NULL: none, or not plausible. */
static struct pair_foot *foot_below(struct abi_context *c, uint32_t top)
{
	if (top < FOOT || top > ABI_CONTEXT_PAIR_SIZE || top % 8)
		return NULL;
	struct pair_foot *foot = (struct pair_foot *)(void *)(c->pair + top - FOOT);
	return foot->size >= FOOT && foot->size <= top && foot->size % 8 == 0 ? foot
									      : NULL;
}

static void *data_of(struct abi_context *c, uint32_t top, const struct pair_foot *foot)
{
	return c->pair + top - foot->size;
}

/* A frame at `sp` is being entered, so on the same stack nothing at or below `sp` is
 * alive. */
static bool is_stale(const struct pair_foot *foot, uint64_t sp)
{
	return foot->group == GROUP_DEAD || (foot->sp < sp && sp - foot->sp < STACK_SPAN);
}

static void trim(struct abi_context *c)
{
	struct pair_foot *foot = foot_below(c, c->pair_top);
	while (foot && foot->group == GROUP_DEAD) {
		c->pair_top -= foot->size;
		foot = foot_below(c, c->pair_top);
	}
	if (!foot)
		c->pair_top = 0;
}

static void remove_range(struct abi_context *c, uint32_t from, uint32_t to)
{
	rt_copy(c->pair + from, c->pair + to, c->pair_top - to);
	c->pair_top -= to - from;
}

/* Make room: stale blocks first, then the oldest ones. */
static RT_NOINLINE void make_room(struct abi_context *c, uint64_t sp, uint32_t need)
{
	uint32_t top = c->pair_top;
	for (struct pair_foot *foot = foot_below(c, top); foot;
		foot = foot_below(c, top)) {
		uint32_t size = foot->size;
		if (is_stale(foot, sp))
			remove_range(c, top - size, top);
		top -= size;
	}
	/* Sizes are at the ends of blocks: walk down to the block that begins within
	 * reach. */
	uint32_t cut = c->pair_top;
	while (c->pair_top - cut + need <= ABI_CONTEXT_PAIR_SIZE) {
		struct pair_foot *foot = foot_below(c, cut);
		if (!foot ||
			c->pair_top - (cut - foot->size) + need > ABI_CONTEXT_PAIR_SIZE)
			break;
		cut -= foot->size;
	}
	if (c->pair_top + need > ABI_CONTEXT_PAIR_SIZE)
		remove_range(c, 0, cut);
}

/* The same frame entered again without having returned: its block is used again. */
static void *reuse(struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size)
{
	uint32_t top = c->pair_top;
	struct pair_foot *foot = foot_below(c, top);
	for (; foot && foot->sp <= sp; foot = foot_below(c, top)) {
		if (foot->sp == sp && foot->group == group) {
			if (foot->size == size)
				return data_of(c, top, foot);
			foot->group = GROUP_DEAD;
		}
		top -= foot->size;
	}
	return NULL;
}

void *rt_pair_push(struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size)
{
	if (size > ABI_CONTEXT_PAIR_SIZE - FOOT)
		size = ABI_CONTEXT_PAIR_SIZE - FOOT;
	uint32_t need = ((size + 7u) & ~7u) + FOOT;
	trim(c);
	void *data = reuse(c, group, sp, need);
	if (data)
		return data;
	if (c->pair_top + need > ABI_CONTEXT_PAIR_SIZE)
		make_room(c, sp, need);
	data = c->pair + c->pair_top;
	c->pair_top += need;
	struct pair_foot *foot =
		(struct pair_foot *)(void *)(c->pair + c->pair_top - FOOT);
	*foot = (struct pair_foot){.sp = sp, .group = group, .size = need};
	return data;
}

void *rt_pair_pop(struct abi_context *c, uint32_t group, uint64_t sp)
{
	uint32_t top = c->pair_top;
	for (struct pair_foot *foot = foot_below(c, top); foot;
		foot = foot_below(c, top)) {
		if (foot->sp == sp && foot->group == group) {
			/* the data stays readable until the next push */
			foot->group = GROUP_DEAD;
			return data_of(c, top, foot);
		}
		top -= foot->size;
	}
	return NULL;
}
