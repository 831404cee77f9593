/* SPDX-License-Identifier: MIT */
/*
 * Where a variable is, and how the part of it that a script wants is brought together.  Optimised code
 * keeps structures in pieces: some in registers, some in memory, some nowhere.
 */
#pragma once

#include "base/vec.h"
#include "elf/access.h"
#include "elf/dwarf_internal.h"

struct elf_op_list {
	struct elf_op *items;
	size_t count, capacity; /* the shape of VEC(struct elf_op) */
};

static inline void elf_emit(
	struct elf_op_list *list, enum elf_op_kind kind, int64_t value)
{
	vec_append(list, ((struct elf_op){kind, value}));
}

enum {
	ELF_PIECES_MAX = 32
};

struct elf_piece {
	size_t op_start,
		op_count; /* in the list of the place: they leave its address or value */
	uint64_t bits;    /* size */
	uint64_t skip;    /* bits of the address or value before the piece's own */
	bool is_value, is_absent;
};

struct elf_place {
	bool is_value;   /* the operations leave the value itself, else its address */
	bool is_pointer; /* a pointer that exists nowhere, to something that may */
	/* with pieces nothing is left until elf_place_settle() has chosen */
	size_t piece_count;
	struct elf_piece pieces[ELF_PIECES_MAX];
	uint64_t offset; /* bits, of what is looked at inside the pieces */
	/* is_pointer: DW_AT_location or DW_AT_const_value of what it points to, and how far into it */
	Dwarf_Attribute pointee;
	uint64_t pointee_offset;
};

/**
 * elf_place_add_piece() - what was emitted since @op_start is one more piece
 * Return: false: too many
 */
bool elf_place_add_piece(struct elf_place *place, const struct elf_op_list *ops,
	const struct elf_piece *piece);

/** elf_place_bytes() - a constant of some bytes; false: too many */
bool elf_place_bytes(struct elf_place *place, struct elf_op_list *ops,
	const uint8_t *bytes, uint64_t size);

/** elf_place_vector() - a vector register, of which not more than @bits are used */
void elf_place_vector(
	struct elf_place *place, struct elf_op_list *ops, unsigned number, uint64_t bits);

/**
 * elf_place_join() - leave the address of @bits bits at place->offset, if they are in memory in one
 * Return: false: they are not, and nothing was changed
 */
bool elf_place_join(struct elf_place *place, struct elf_op_list *ops, uint64_t bits);

/**
 * elf_place_settle() - choose @bits bits at place->offset: the operations then leave their address, or
 * their value when they are in registers or in several pieces
 * Return: false: some of them are nowhere, or they are too many
 */
bool elf_place_settle(struct elf_place *place, struct elf_op_list *ops, uint64_t bits);
