/* SPDX-License-Identifier: MIT */
/*
 * Writing machine code into a bounded buffer at a known runtime address.  Errors stick:
 * emit everything, then look at `error` once.
 */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "arch/arch.h"

struct emitter {
	uint8_t *bytes;
	size_t size, capacity;
	uint64_t address;     /* runtime address of bytes[0] */
	int error;            /* 0, -ENOSPC, -ERANGE */
	uint64_t unreachable; /* what was out of range */
};

static inline uint64_t emit_here(const struct emitter *e)
{
	return e->address + e->size;
}

static inline void emit(struct emitter *e, const void *bytes, size_t size)
{
	if (size > e->capacity - e->size) {
		e->error = -ENOSPC;
		return;
	}
	memcpy(e->bytes + e->size, bytes, size);
	e->size += size;
}

/* EMIT(e, 0x48, 0x89, 0xe6) */
#define EMIT(e, ...) \
	emit((e), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static inline void emit_u32(struct emitter *e, uint32_t value)
{
	emit(e, &value, sizeof(value));
}

static inline void emit_u64(struct emitter *e, uint64_t value)
{
	emit(e, &value, sizeof(value));
}

/** emit_fits() - can a disp32 counted from `from` reach? */
static inline bool emit_fits(uint64_t from, uint64_t target)
{
	int64_t distance = (int64_t)(target - from);
	return distance == (int32_t)distance;
}

/** emit_rel32() - displacement to a runtime address from an instruction with `tail` bytes
 * behind it */
static inline void emit_rel32(struct emitter *e, uint64_t target, unsigned int tail)
{
	uint64_t from = emit_here(e) + 4 + tail;
	if (!emit_fits(from, target)) {
		e->error = -ERANGE;
		e->unreachable = target;
	}
	emit_u32(e, (uint32_t)(target - from));
}

static inline void emit_jmp(struct emitter *e, uint64_t target)
{
	EMIT(e, 0xe9);
	emit_rel32(e, target, 0);
}

/** emit_jcc() - condition: the low nibble of the opcode */
static inline void emit_jcc(struct emitter *e, uint8_t condition, uint64_t target)
{
	EMIT(e, 0x0f, (uint8_t)(0x80 | condition));
	emit_rel32(e, target, 0);
}

/** emit_patch_rel32() - let the displacement at offset `at` lead to offset `target` */
static inline void emit_patch_rel32(struct emitter *e, size_t at, size_t target)
{
	uint32_t value = (uint32_t)(target - (at + 4));
	if (!e->error)
		memcpy(e->bytes + at, &value, sizeof(value));
}

/* condition codes */
enum {
	EMIT_Z = 0x4,
	EMIT_NZ = 0x5
};
