/* SPDX-License-Identifier: MIT */
#include "elf/place.h"

#include <stdlib.h>

#include "elf/internal.h"

enum {
	VALUE_BITS = 64
};

bool elf_place_add_piece(struct elf_place *place, const struct elf_op_list *ops,
	const struct elf_piece *piece)
{
	if (place->piece_count == ELF_PIECES_MAX)
		return false;
	place->pieces[place->piece_count] = *piece;
	place->pieces[place->piece_count].op_count = ops->count - piece->op_start;
	place->piece_count++;
	return true;
}

bool elf_place_bytes(struct elf_place *place, struct elf_op_list *ops,
	const uint8_t *bytes, uint64_t size)
{
	struct elf_piece piece = {.is_value = true, .op_start = ops->count};
	for (; size; size -= piece.bits / 8) {
		unsigned count = size < 8 ? (unsigned)size : 8;
		struct elf_cursor cursor = {bytes, bytes + count, false};
		piece.op_start = ops->count;
		piece.bits = count * 8;
		uint64_t value = 0;
		for (unsigned i = 0; i < count; i++)
			value |= elf_cursor_fixed(&cursor, 1) << 8 * i;
		elf_emit(ops, ELF_OP_CONST, (int64_t)value);
		if (!elf_place_add_piece(place, ops, &piece))
			return false;
		bytes += count;
	}
	return true;
}

void elf_place_vector(
	struct elf_place *place, struct elf_op_list *ops, unsigned number, uint64_t bits)
{
	for (unsigned half = 0; half < 2 && bits; half++) {
		struct elf_piece piece = {.is_value = true,
			.op_start = ops->count,
			.bits = bits < VALUE_BITS ? bits : VALUE_BITS};
		elf_emit(ops, ELF_OP_VECTOR, (int64_t)(number * 2 + half));
		elf_place_add_piece(place, ops, &piece);
		bits -= piece.bits;
	}
}

/* The part of one piece that is wanted. */
struct part {
	const struct elf_piece *piece;
	const struct elf_op *ops; /* of all pieces */
	uint64_t start, bits;     /* in the address or value of the piece */
	uint64_t position;        /* in the result */
};

static void emit_source(const struct part *part, struct elf_op_list *out)
{
	for (size_t i = 0; i < part->piece->op_count; i++) {
		const struct elf_op *op = &part->ops[part->piece->op_start + i];
		elf_emit(out, op->kind, op->value);
	}
}

static void emit_shift(struct elf_op_list *out, enum elf_op_kind kind, uint64_t bits)
{
	if (!bits)
		return;
	elf_emit(out, ELF_OP_CONST, (int64_t)bits);
	elf_emit(out, kind, 0);
}

static void emit_address(const struct part *part, struct elf_op_list *out)
{
	emit_source(part, out);
	if (part->start < 8)
		return;
	elf_emit(out, ELF_OP_CONST, (int64_t)(part->start / 8));
	elf_emit(out, ELF_OP_ADD, 0);
}

/* Up to 8 bytes from memory: loads are of 1, 2, 4 and 8. */
static uint64_t load_size(const struct part *part)
{
	uint64_t bytes = (part->start % 8 + part->bits + 7) / 8, size = 8;
	while (size > bytes)
		size /= 2;
	return size;
}

/* Brings the bits of a part, or the first of them, to their position; returns how many. */
static uint64_t emit_part(const struct part *part, struct elf_op_list *out)
{
	uint64_t bits = part->bits, start = part->start;
	if (part->piece->is_value) {
		emit_source(part, out);
	} else {
		uint64_t loaded = load_size(part) * 8;
		emit_address(part, out);
		elf_emit(out, ELF_OP_DEREF, (int64_t)(loaded / 8));
		start %= 8;
		if (bits > loaded - start)
			bits = loaded - start;
	}
	emit_shift(out, ELF_OP_SHR, start);
	if (bits < VALUE_BITS)
		elf_emit(out, ELF_OP_ZERO_EXTEND, (int64_t)bits);
	emit_shift(out, ELF_OP_SHL, part->position);
	return bits;
}

/* The piece that has a bit, and where in it; NULL: behind the last. */
static const struct elf_piece *piece_at(
	const struct elf_place *place, uint64_t bit, uint64_t *ret_inside)
{
	for (size_t i = 0; i < place->piece_count; i++) {
		if (bit < place->pieces[i].bits) {
			*ret_inside = bit;
			return &place->pieces[i];
		}
		bit -= place->pieces[i].bits;
	}
	return NULL;
}

static bool gather(const struct elf_place *place, const struct elf_op *ops, uint64_t bits,
	struct elf_op_list *out)
{
	for (uint64_t done = 0; done < bits;) {
		uint64_t inside;
		struct part part = {.ops = ops, .position = done};
		part.piece = piece_at(place, place->offset + done, &inside);
		if (!part.piece || part.piece->is_absent)
			return false;
		part.start = part.piece->skip + inside;
		part.bits = part.piece->bits - inside;
		if (part.bits > bits - done)
			part.bits = bits - done;
		uint64_t got = emit_part(&part, out);
		if (done)
			elf_emit(out, ELF_OP_OR, 0);
		done += got;
	}
	return true;
}

static void replace_ops(
	struct elf_place *place, struct elf_op_list *ops, struct elf_op_list *chosen)
{
	free(ops->items);
	*ops = *chosen;
	place->piece_count = 0;
	place->offset = 0;
}

bool elf_place_join(struct elf_place *place, struct elf_op_list *ops, uint64_t bits)
{
	struct elf_op_list chosen = {0};
	uint64_t inside;
	struct part part = {.ops = ops->items};
	if (place->is_pointer)
		return false;
	if (!place->piece_count)
		return !place->is_value;
	part.piece = piece_at(place, place->offset, &inside);
	if (!part.piece || part.piece->is_absent || part.piece->is_value ||
		part.piece->bits - inside < bits)
		return false;
	part.start = part.piece->skip + inside;
	if (part.start % 8)
		return false;
	emit_address(&part, &chosen);
	replace_ops(place, ops, &chosen);
	place->is_value = false;
	return true;
}

bool elf_place_settle(struct elf_place *place, struct elf_op_list *ops, uint64_t bits)
{
	struct elf_op_list chosen = {0};
	if (elf_place_join(place, ops, bits))
		return true;
	bool done = bits > 0 && bits <= VALUE_BITS &&
		    gather(place, ops->items, bits, &chosen);
	replace_ops(place, ops, &chosen);
	place->is_value = true;
	return done;
}
