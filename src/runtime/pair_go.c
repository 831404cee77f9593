/* SPDX-License-Identifier: MIT */
/*
 * Values captured at the entry of a Go function, waiting for its return: a table that all threads share.
 *
 * A goroutine may return on another thread than the one it entered on, and its stack may have been moved
 * in between.  What stays is the goroutine itself (runtime.g, which its thread's storage points to) and how
 * deep it is: the top of its stack less its stack pointer.  That a word is a goroutine is proven by
 * its first two words, the bounds of its stack, between which the stack pointer lies; where that is not so
 * (threads of C in the same process) the frames of the thread count, as everywhere else.
 *
 * A goroutine runs on one thread at a time, so nobody else touches what is its own.  Slots are taken
 * and given back by compare and swap.  The table is where slot 0's context, the tracer's, would have pairs:
 * none of its handlers has an entry.  What finds no room is counted.
 */
#include "runtime/internal.h"

enum {
	SLOT = 256,
	SEARCH = 64,   /* slots looked at */
	G_OFFSET = -8, /* of the thread pointer: the ABI of Go on Linux */
	STACK_SPAN_MAX = 1 << 30,
};
#define DEPTH_DEAD \
	UINT64_MAX /* popped; its data is readable until the thread's next push or pop */

struct go_slot {
	uint64_t g; /* 0: free */
	uint64_t depth;
	uint32_t group, size;
	unsigned char data[SLOT - 24];
};
_Static_assert(sizeof(struct go_slot) == SLOT, "slots fill the table");
_Static_assert(
	sizeof(((struct go_slot *)0)->data) == RT_PAIR_GO_MAX, "what the session allows");

struct goroutine {
	uint64_t g, depth;
};

/* What its thread is running: Go does without the pointer to itself that C has there. */
static struct rt_read current(struct abi_context *c)
{
	if (!rt_is_tracer(c))
		return rt_thread_word_here(G_OFFSET);
	struct rt_read base = rt_tracer_state(RT_STATE_THREAD_POINTER, 0);
	return base.fault ? base
			  : rt_read_user(c, base.value + (uint64_t)(int64_t)G_OFFSET, 8);
}

static bool find_goroutine(struct abi_context *c, uint64_t sp, struct goroutine *ret)
{
	struct rt_read g = current(c);
	if (g.fault || !g.value || g.value % 8)
		return false;
	struct rt_read low = rt_read_user(c, g.value, 8);
	struct rt_read high = rt_read_user(c, g.value + 8, 8);
	if (low.fault || high.fault || low.value >= sp || sp > high.value ||
		high.value - low.value > STACK_SPAN_MAX)
		return false;
	*ret = (struct goroutine){g.value, high.value - sp};
	return true;
}

static struct go_slot *table(struct abi_context *c, uint32_t *ret_count)
{
	struct abi_session *s = rt_session(c);
	uint32_t size =
		s->pair_size < ABI_CONTEXT_PAIR_MAX ? s->pair_size : ABI_CONTEXT_PAIR_MAX;
	*ret_count = size / SLOT;
	return (struct go_slot *)(void *)((unsigned char *)rt_context(s, 0) +
					  s->pair_offset);
}

/* Some entry found no room; it may return, or not. */
static uint32_t *dropped(struct abi_context *c)
{
	return &rt_context(rt_session(c), 0)->pair_dropped;
}

static uint32_t hash(const struct goroutine *g, uint32_t group)
{
	uint64_t h = (g->g >> 3) * 0x9e3779b97f4a7c15u;
	h ^= (g->depth >> 3) * 0xc2b2ae3d27d4eb4fu + group;
	h *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

/* What the thread popped last: nobody reads it any more. */
static void settle(struct abi_context *c, struct go_slot *slots, uint32_t count)
{
	uint32_t index = c->pair_go_popped;
	if (!index || index > count)
		return;
	c->pair_go_popped = 0;
	/* its goroutine, on whatever thread, may have taken it again already */
	struct go_slot *slot = &slots[index - 1];
	uint64_t dead = DEPTH_DEAD;
	if (__atomic_compare_exchange_n(
		    &slot->depth, &dead, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		__atomic_store_n(&slot->g, 0, __ATOMIC_RELEASE);
}

static bool is_for(const struct go_slot *slot, const struct goroutine *g, uint32_t group)
{
	return __atomic_load_n(&slot->g, __ATOMIC_ACQUIRE) == g->g &&
	       __atomic_load_n(&slot->depth, __ATOMIC_ACQUIRE) == g->depth &&
	       slot->group == group;
}

static bool take(struct go_slot *slot, const struct goroutine *g)
{
	uint64_t free_word = 0;
	return __atomic_load_n(&slot->g, __ATOMIC_RELAXED) == 0 &&
	       __atomic_compare_exchange_n(&slot->g, &free_word, g->g, false,
		       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Frames below the one that is entered have been left without a return. */
static bool is_left(const struct go_slot *slot, const struct goroutine *g)
{
	uint64_t depth = __atomic_load_n(&slot->depth, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&slot->g, __ATOMIC_ACQUIRE) == g->g &&
	       depth != DEPTH_DEAD && depth > g->depth;
}

static struct go_slot *find_room(
	struct go_slot *slots, uint32_t count, const struct goroutine *g, uint32_t group)
{
	uint32_t at = hash(g, group);
	for (uint32_t i = 0; i < SEARCH; i++)
		if (is_for(&slots[(at + i) % count], g, group))
			return &slots[(at + i) % count];
	for (uint32_t i = 0; i < SEARCH; i++) {
		struct go_slot *slot = &slots[(at + i) % count];
		if (is_left(slot, g) || take(slot, g))
			return slot;
	}
	return NULL;
}

void *rt_pair_push_go(struct abi_context *c, uint32_t group, uint64_t sp, uint32_t size)
{
	struct goroutine g;
	uint32_t count;
	struct go_slot *slots = table(c, &count);
	if (!count || !find_goroutine(c, sp, &g))
		return rt_pair_push(c, group, sp, size);
	settle(c, slots, count);
	struct go_slot *slot =
		size <= RT_PAIR_GO_MAX ? find_room(slots, count, &g, group) : NULL;
	if (!slot) {
		__atomic_store_n(dropped(c), 1, __ATOMIC_RELAXED);
		return rt_pair_push(c, RT_PAIR_NOBODY, sp, size);
	}
	slot->group = group;
	slot->size = size;
	__atomic_store_n(&slot->depth, g.depth, __ATOMIC_RELEASE);
	return slot->data;
}

void *rt_pair_pop_go(struct abi_context *c, uint32_t group, uint64_t sp)
{
	struct goroutine g;
	uint32_t count;
	struct go_slot *slots = table(c, &count);
	if (!count || !find_goroutine(c, sp, &g))
		return rt_pair_pop(c, group, sp);
	settle(c, slots, count);
	uint32_t at = hash(&g, group);
	for (uint32_t i = 0; i < SEARCH; i++) {
		uint32_t index = (at + i) % count;
		if (!is_for(&slots[index], &g, group))
			continue;
		__atomic_store_n(&slots[index].depth, DEPTH_DEAD, __ATOMIC_RELEASE);
		c->pair_go_popped = index + 1;
		return slots[index].data;
	}
	if (__atomic_load_n(dropped(c), __ATOMIC_RELAXED))
		__atomic_fetch_add(&rt_session(c)->pairs_lost, 1, __ATOMIC_RELAXED);
	return NULL;
}
