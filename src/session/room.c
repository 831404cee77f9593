/* SPDX-License-Identifier: MIT */
/*
 * How large session memory is made.  It is sparse: what nobody touches costs nothing but addresses, so
 * it is large wherever addresses are free.  Under a limit on the address space (RLIMIT_AS, which is what
 * `ulimit -v` sets) every address counts, in the tracer and in each process that maps it, and the
 * program needs them more: then fewer threads have room, for fewer records and fewer frames.
 */
#include <errno.h>

#include "base/error.h"
#include "ptrace/ptrace.h"
#include "session/internal.h"

enum {
	SMALLEST_RING = 4096,
	DEFAULT_RING = 2 << 20,
	LARGEST_RING = 1 << 30,
	SHARE = 2,           /* of what is left, the part that we take at most */
	MORE_PATCHES = 4096, /* for what comes with libraries that are opened later */
};

/* The first is what is used where there is no limit. */
static const struct session_room rooms[] = {
	{SESSION_CONTEXTS, LARGEST_RING, ABI_CONTEXT_PAIR_MAX, 256 << 20,
		ABI_JOURNAL_PATCHES_MAX},
	{512, 1 << 20, 1 << 20, 128 << 20, 0},
	{256, 512 << 10, 512 << 10, 64 << 20, 0},
	{128, 256 << 10, 256 << 10, 32 << 20, 0},
	{64, 128 << 10, ABI_CONTEXT_PAIR_MIN, 16 << 20, 0},
	{32, 64 << 10, ABI_CONTEXT_PAIR_MIN, 16 << 20, 0},
	{16, 32 << 10, ABI_CONTEXT_PAIR_MIN, 8 << 20, 0},
	{8, 16 << 10, ABI_CONTEXT_PAIR_MIN, 8 << 20, 0},
};

static uint32_t ring_size(const struct session_options *options)
{
	uint64_t want =
		options->buffer_mb ? (uint64_t)options->buffer_mb << 20 : DEFAULT_RING;
	uint64_t size = SMALLEST_RING;
	while (size < want && size < LARGEST_RING)
		size *= 2;
	return (uint32_t)size;
}

/* A program that we start has our limit, and needs some of it to start. */
static uint64_t addresses_left(const struct session *s, uint64_t own)
{
	struct proc_address_space other = {.left = own};
	if (s->options->pid)
		other = proc_read_address_space(s->options->pid);
	return own < other.left ? own : other.left;
}

/* Of each place the records of some processes: of many where addresses are free. */
static uint32_t patch_count(const struct session *s, uint32_t most)
{
	enum {
		PROCESSES = 256,
		PROCESSES_MIN = 16
	};
	uint64_t sites = s->sites.count,
		 many = sites * PROCESSES + MORE_PATCHES * PROCESSES / PROCESSES_MIN,
		 few = sites * PROCESSES_MIN + MORE_PATCHES;
	uint64_t count = many < most ? many : most;
	return (uint32_t)(count > few ? count : few);
}

/* Return: the addresses that the room takes, or that the smallest would take; it fits if they are left */
static uint64_t choose_within(const struct session *s, uint64_t left, uint64_t fixed,
	uint32_t shards, struct session_room *ret)
{
	uint64_t needed = 0;
	uint32_t ring = ring_size(s->options);

	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
		*ret = rooms[i];
		if (ret->ring_size > ring)
			ret->ring_size = ring;
		if (!s->code.walks_stacks)
			ret->unwind_size = 0;
		ret->patches = patch_count(s, ret->patches);
		/* a pair_top that was scribbled on leads so far beyond the last context */
		needed = fixed + ret->unwind_size + ABI_CONTEXT_PAIR_MAX +
			 (uint64_t)ret->patches * sizeof(struct abi_journal_patch) +
			 (uint64_t)ret->context_count *
				 (shards + ret->pair_size + ret->ring_size);
		if (needed <= left / SHARE)
			break;
	}
	return needed;
}

int session_room_choose(const struct session *s, uint64_t fixed, uint32_t shards,
	struct session_room *ret, struct error *err)
{
	struct session_room room;
	uint64_t own = proc_read_address_space(0).left, left = addresses_left(s, own);
	uint64_t needed = choose_within(s, left, fixed, shards, &room);

	/* A target that has none left: its handlers can still run here. */
	if (needed > left / SHARE && s->options->mode != UPROBE_MODE_INJECT)
		needed = choose_within(s, left = own, fixed, shards, &room);
	if (needed <= left / SHARE) {
		*ret = room;
		return 0;
	}
	error_set(err, -ENOMEM,
		"cannot make room for session memory: it takes %llu KiB of addresses, and "
		"%llu KiB are left",
		(unsigned long long)needed >> 10, (unsigned long long)left >> 10);
	error_hint(err, "address space is limited (RLIMIT_AS): see ulimit -v");
	return -ENOMEM;
}
