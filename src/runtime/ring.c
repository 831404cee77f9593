/* SPDX-License-Identifier: MIT */
/*
 * Producer side of a context's ring; abi/record.h has the layout.
 *
 * Memory: ring_head is released after the whole record is written and acquired by the
 * consumer; ring_tail is released by the consumer after it copied a record and acquired
 * here before its bytes are reused.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	ALIGNMENT = 8
};

static inline char *ring_base(struct abi_context *c)
{
	struct abi_session *s = rt_session(c);
	return (char *)s + s->ring_offset + (uint64_t)c->slot * s->ring_size;
}

static inline void *put_header(
	struct abi_context *c, void *at, uint32_t kind, uint32_t id, uint64_t need)
{
	if (!c->stamp)
		c->stamp = rt_tsc();
	struct abi_record *r = at;
	*r = (struct abi_record){.size = (uint32_t)need,
		.kind = (uint16_t)kind,
		.stamp = c->stamp,
		.id = id};
	return r + 1;
}

static bool make_room(struct abi_context *c, uint64_t end, uint64_t size)
{
	c->ring_cached_tail = __atomic_load_n(&c->ring_tail, __ATOMIC_ACQUIRE);
	if (end - c->ring_cached_tail <= size)
		return true;
	if (end - c->ring_head <= size && rt_drain(c)) {
		c->ring_cached_tail = __atomic_load_n(&c->ring_tail, __ATOMIC_ACQUIRE);
		if (end - c->ring_cached_tail <= size)
			return true;
	}
	c->ring_lost++;
	return false;
}

/* The record would cross the ring's end, or more than what we know to be free; or time
 * stamps are not those of the TSC. */
static RT_NOINLINE void *reserve_slowly(
	struct abi_context *c, uint32_t kind, uint32_t id, uint64_t need)
{
	uint64_t size = rt_session(c)->ring_size;
	char *base = ring_base(c);
	uint64_t at = c->ring_head & (size - 1);
	uint64_t skip = at + need > size ? size - at : 0;
	uint64_t end = c->ring_head + skip + need;
	if (end - c->ring_cached_tail > size && !make_room(c, end, size))
		return NULL;
	if (skip) {
		struct abi_record *pad = (struct abi_record *)(void *)(base + at);
		pad->size = (uint32_t)skip;
		pad->kind = ABI_RECORD_PAD;
		at = 0;
	}
	if (!c->stamp)
		c->stamp = rt_stamp(c);
	c->ring_next = end;
	return put_header(c, base + at, kind, id, need);
}

void *rt_record_reserve(
	struct abi_context *c, uint32_t kind, uint32_t id, uint32_t payload)
{
	const struct abi_session *s = rt_session(c);
	uint64_t size = s->ring_size;
	uint64_t need = (sizeof(struct abi_record) + (uint64_t)payload + ALIGNMENT - 1) &
			~(ALIGNMENT - 1ull);
	uint64_t at = c->ring_head & (size - 1), end = c->ring_head + need;
	if (RT_UNLIKELY(at + need > size || end - c->ring_cached_tail > size ||
			(s->flags & ABI_FLAG_TSC_UNUSABLE)))
		return reserve_slowly(c, kind, id, need);
	c->ring_next = end;
	return put_header(c, ring_base(c) + at, kind, id, need);
}

void rt_record_commit(struct abi_context *c)
{
	__atomic_store_n(&c->ring_head, c->ring_next, __ATOMIC_RELEASE);
}

/* ---- strings in records -------------------------------------------------- */
/* uint32 size, the bytes, zeros up to a multiple of 8 */

uint32_t rt_record_string_size(const char *s)
{
	uint32_t size = (uint32_t)sizeof(uint32_t) + rt_length(s, RT_STRING_LIMIT);
	return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1u);
}

void *rt_record_bytes(void *at, const void *bytes, uint32_t size)
{
	uint32_t total = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1u);
	rt_copy(at, bytes, size);
	rt_zero((char *)at + size, total - size);
	return (char *)at + total;
}

void *rt_record_string(void *at, const char *s)
{
	char *text = (char *)at + sizeof(uint32_t);
	uint32_t n = 0, rest;
	uint64_t word;
	for (;; n += RT_WORD) {
		word = rt_word(s + n);
		if (rt_word_ends(word) || n >= RT_STRING_LIMIT)
			break;
		*(rt_unaligned *)(void *)(text + n) = word;
	}
	/* the last bytes with zeros behind them, up to where the next argument begins and no further */
	rest = n < RT_STRING_LIMIT ? rt_word_length(word) : 0;
	*(uint32_t *)at = n + rest;
	*(uint32_t *)(void *)(text + n) = rest ? (uint32_t)word : 0;
	if (rest <= sizeof(uint32_t))
		return text + n + sizeof(uint32_t);
	*(rt_unaligned *)(void *)(text + n + sizeof(uint32_t)) = word >> 32;
	return text + n + sizeof(uint32_t) + RT_WORD;
}

void rt_message(struct abi_context *c, uint32_t kind, const char *text)
{
	void *payload = rt_record_reserve(c, kind, c->site, rt_record_string_size(text));
	if (!payload)
		return;
	rt_record_string(payload, text);
	rt_record_commit(c);
}

void rt_fn_warn(struct abi_context *c, const char *text)
{
	rt_message(c, ABI_RECORD_WARN, text);
}

void rt_fn_log(struct abi_context *c, const char *text)
{
	rt_message(c, ABI_RECORD_LOG, text);
}

void rt_fn_system(struct abi_context *c, const char *command)
{
	rt_message(c, ABI_RECORD_SYSTEM, command);
}
