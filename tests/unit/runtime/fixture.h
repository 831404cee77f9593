/* SPDX-License-Identifier: MIT */
/* Session memory as the tracer lays it out, in this process. */
#pragma once

#include <string.h>
#include <sys/mman.h>

#include "runtime/functions.h"
#include "runtime/runtime.h"
#include "tap.h"

enum {
	FIXTURE_CONTEXTS = 8,
	FIXTURE_LOCKS = 64,
	FIXTURE_SITES = 4,
	FIXTURE_RING = 4096,
	FIXTURE_SHARDS = 1 << 19,
	FIXTURE_GLOBALS = 1 << 16, /* offset of room for what a test needs */
	FIXTURE_GLOBALS_SIZE = 1 << 20,
	FIXTURE_MAX_STRING = 512,
};

struct fixture {
	struct abi_session *session;
	struct abi_context *tracer, *c; /* context 0 and context 1 */
	struct abi_site *sites;
	char *globals;
};

__attribute__((unused)) static struct abi_context *fixture_context(
	struct fixture *f, uint32_t slot)
{
	char *at = (char *)f->session + f->session->context_offset;
	return (struct abi_context *)(void *)(at +
					      (size_t)slot * f->session->context_size);
}

__attribute__((unused)) static void fixture_init(struct fixture *f)
{
	static const char texts[] =
		"\0process(\"x\").function(\"main@x.c:1\")\0alias\0main";
	uint32_t pair_offset =
		(sizeof(struct abi_context) + FIXTURE_SHARDS + 4095) & ~4095u;
	uint32_t context_size = pair_offset + ABI_CONTEXT_PAIR_MAX;
	uint64_t context_offset = FIXTURE_GLOBALS + FIXTURE_GLOBALS_SIZE;
	uint64_t ring_offset = context_offset + (uint64_t)context_size * FIXTURE_CONTEXTS;
	uint64_t total = ring_offset + (uint64_t)FIXTURE_RING * FIXTURE_CONTEXTS;
	char *base = mmap(
		NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		abort();
	f->session = (struct abi_session *)(void *)base;
	*f->session = (struct abi_session){.magic = ABI_MAGIC,
		.version = ABI_VERSION,
		.total_size = total,
		.state = ABI_STATE_RUNNING,
		.max_string = FIXTURE_MAX_STRING,
		.max_action = 1000,
		.max_trylock = 1000,
		.target_pid = 77,
		.site_offset = 32768,
		.string_offset = 40960,
		.context_offset = context_offset,
		.ring_offset = ring_offset,
		.site_count = FIXTURE_SITES,
		.context_count = FIXTURE_CONTEXTS,
		.context_size = context_size,
		.pair_offset = pair_offset,
		.pair_size = ABI_CONTEXT_PAIR_MAX,
		.ring_size = FIXTURE_RING,
		.lock_count = FIXTURE_LOCKS,
		.context_high = FIXTURE_CONTEXTS,
		.hertz = 1000};
	memcpy(base + f->session->string_offset, texts, sizeof(texts));
	f->sites = (struct abi_site *)(void *)(base + f->session->site_offset);
	for (uint32_t i = 0; i < FIXTURE_SITES; i++)
		f->sites[i] = (struct abi_site){.pp = 1, .pn = 37, .ppfunc = 43};
	f->sites[1].flags = ABI_SITE_ENTRY;
	f->sites[2].flags = ABI_SITE_RETURN;
	f->globals = base + FIXTURE_GLOBALS;
	for (uint32_t i = 0; i < FIXTURE_CONTEXTS; i++) {
		struct abi_context *c = fixture_context(f, i);
		c->slot = i;
		c->claimed = 1;
		c->session = (uint64_t)(uintptr_t)base;
		c->self = (uint64_t)(uintptr_t)c;
		c->pid = 100;
		c->tid = 100 + i;
		strcpy(c->comm, "worker");
	}
	f->tracer = fixture_context(f, 0);
	f->c = fixture_context(f, 1);
}

/* The next complete record of a ring, or NULL; pads are skipped. */
__attribute__((unused)) static struct abi_record *fixture_record(
	struct fixture *f, struct abi_context *c)
{
	uint64_t size = f->session->ring_size;
	char *ring = (char *)f->session + f->session->ring_offset + c->slot * size;
	while (c->ring_tail < __atomic_load_n(&c->ring_head, __ATOMIC_ACQUIRE)) {
		struct abi_record *r =
			(struct abi_record *)(void *)(ring + c->ring_tail % size);
		if (c->ring_tail % size + r->size > size)
			abort(); /* a record is contiguous */
		__atomic_store_n(&c->ring_tail, c->ring_tail + r->size, __ATOMIC_RELEASE);
		if (r->kind != ABI_RECORD_PAD)
			return r;
	}
	return NULL;
}

/* The string at the start of a record's payload, or after a uint64. */
__attribute__((unused)) static const char *fixture_record_text(
	const struct abi_record *r, size_t skip)
{
	static char text[8192];
	const char *at = (const char *)(r + 1) + skip;
	uint32_t size;
	memcpy(&size, at, sizeof(size));
	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, at + sizeof(size), size);
	text[size] = '\0';
	return text;
}
