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
 *
 * Popped blocks go when they are on top.  Of those below others (coroutines) the stack is
 * swept when it has grown to twice what the last sweep left, so it stays small although it
 * has room for a hundred thousand frames.  A return whose block had to go is counted.
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
	STACK_SPAN = 8 << 20,
	FIRST_LIMIT = 16 * 1024, /* a power of two, as the size is */
	REUSE_REACH = 64,        /* blocks looked at */
	LEFT_SPAN = 256 * 1024,  /* less than from one stack to the next */
};
#define GROUP_DEAD \
	0xffffffffu /* popped; goes when it is on top, or when room is short \
		     */

/* The session's word for it may have been scribbled on. */
static uint32_t room(const struct abi_context *c)
{
	uint32_t size = rt_session(c)->pair_size;
	return size < ABI_CONTEXT_PAIR_MAX ? size : ABI_CONTEXT_PAIR_MAX;
}

static unsigned char *pairs(struct abi_context *c)
{
	return (unsigned char *)c + rt_session(c)->pair_offset;
}

/* The block that ends at `top`; NULL: none, or not plausible. */
static struct pair_foot *foot_below(struct abi_context *c, uint32_t top)
{
	if (top < FOOT || top > room(c) || top % 8)
		return NULL;
	struct pair_foot *foot = (struct pair_foot *)(void *)(pairs(c) + top - FOOT);
	return foot->size >= FOOT && foot->size <= top && foot->size % 8 == 0 ? foot
									      : NULL;
}

static void *data_of(struct abi_context *c, uint32_t top, const struct pair_foot *foot)
{
	return pairs(c) + top - foot->size;
}

/* A frame at `sp` is being entered, so on the same stack nothing at or below `sp` is
 * alive. */
static bool is_stale(const struct pair_foot *foot, uint64_t sp)
{
	return foot->group == GROUP_DEAD || (foot->sp < sp && sp - foot->sp < STACK_SPAN);
}

static bool is_dead(const struct pair_foot *foot, uint64_t sp)
{
	(void)sp;
	return foot->group == GROUP_DEAD;
}

/* rt_copy() goes from the first byte on; this one from the last. */
static void move_up(unsigned char *to, const unsigned char *from, uint32_t size)
{
	for (uint32_t i = size / 8; i-- > 0;)
		((uint64_t *)(void *)to)[i] = ((const uint64_t *)(const void *)from)[i];
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

/* Keep the blocks that `goes` says no to: they are moved up against the end in one pass from
 * the top, because sizes are at the ends of blocks, and then down to the start. */
static void sweep(struct abi_context *c, bool (*goes)(const struct pair_foot *, uint64_t),
	uint64_t sp)
{
	uint32_t end = c->pair_top, top = end, kept = end;
	for (struct pair_foot *foot = foot_below(c, top); foot;
		foot = foot_below(c, top)) {
		uint32_t size = foot->size;
		if (!goes(foot, sp)) {
			kept -= size;
			if (kept != top - size)
				move_up(pairs(c) + kept, pairs(c) + top - size, size);
		}
		top -= size;
	}
	kept = end > room(c) ? end : kept;
	rt_copy(pairs(c), pairs(c) + kept, end - kept);
	c->pair_top = end - kept;
}

/* The oldest blocks go until the rest and `need` take no more than half: making room one
 * block at a time would move all of the others each time. */
static void drop_oldest(struct abi_context *c, uint32_t need)
{
	uint32_t cut = c->pair_top;
	for (struct pair_foot *foot = foot_below(c, cut);
		foot && c->pair_top - cut + foot->size + need <= room(c) / 2;
		foot = foot_below(c, cut))
		cut -= foot->size;
	rt_copy(pairs(c), pairs(c) + cut, c->pair_top - cut);
	c->pair_top -= cut;
}

static RT_NOINLINE void make_room(struct abi_context *c, uint64_t sp, uint32_t need)
{
	sweep(c, is_dead, sp);
	uint32_t limit = FIRST_LIMIT;
	while (limit < 2 * (c->pair_top + need) && limit < room(c))
		limit *= 2;
	c->pair_limit = limit;
	if (c->pair_top + need <= limit)
		return;
	c->pair_dropped = 1;
	sweep(c, is_stale, sp);
	if (c->pair_top + need > limit)
		drop_oldest(c, need);
}

/* The same frame entered again without having returned: its block is used again.  Where it is
 * deep below others it stays: the new one hides it. */
static void *reuse(struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size)
{
	uint32_t top = c->pair_top;
	struct pair_foot *foot = foot_below(c, top);
	for (uint32_t i = 0; i < REUSE_REACH && foot && foot->sp <= sp;
		i++, foot = foot_below(c, top)) {
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
	if (size > room(c) - FOOT)
		size = room(c) - FOOT;
	uint32_t need = ((size + 7u) & ~7u) + FOOT;
	trim(c);
	void *data = reuse(c, group, sp, need);
	if (data)
		return data;
	/* the program may have scribbled on the limit */
	if (c->pair_top + need > c->pair_limit || c->pair_top + need > room(c))
		make_room(c, sp, need);
	data = pairs(c) + c->pair_top;
	c->pair_top += need;
	struct pair_foot *foot =
		(struct pair_foot *)(void *)(pairs(c) + c->pair_top - FOOT);
	*foot = (struct pair_foot){.sp = sp, .group = group, .size = need};
	return data;
}

void *rt_pair_find(struct abi_context *c, uint32_t group, uint64_t sp)
{
	uint32_t top = c->pair_top;
	for (struct pair_foot *foot = foot_below(c, top); foot;
		foot = foot_below(c, top)) {
		if (foot->sp == sp && foot->group == group)
			return data_of(c, top, foot);
		top -= foot->size;
	}
	return NULL;
}

void rt_pair_drop_left(struct abi_context *c, uint32_t group, uint64_t sp)
{
	trim(c);
	struct pair_foot *foot = foot_below(c, c->pair_top);
	while (foot && foot->group == group && foot->sp < sp &&
		sp - foot->sp < LEFT_SPAN) {
		c->pair_top -= foot->size;
		trim(c);
		foot = foot_below(c, c->pair_top);
	}
}

void *rt_pair_pop(struct abi_context *c, uint32_t group, uint64_t sp)
{
	trim(c);
	uint32_t top = c->pair_top;
	for (struct pair_foot *foot = foot_below(c, top); foot;
		foot = foot_below(c, top)) {
		if (foot->sp == sp && foot->group == group) {
			/* the data stays readable until the next push or pop */
			foot->group = GROUP_DEAD;
			return data_of(c, top, foot);
		}
		top -= foot->size;
	}
	if (c->pair_dropped)
		__atomic_fetch_add(&rt_session(c)->pairs_lost, 1, __ATOMIC_RELAXED);
	return NULL;
}
