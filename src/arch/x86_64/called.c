/* SPDX-License-Identifier: MIT */
/*
 * Which starts that may be mere parts of functions are functions all the same.  Unwind tables tell where code
 * begins, not what it is: a part that was split off, and is jumped to by its function, has its own entry there.
 * What is called, or whose address is taken, is a function; so is what is jumped to from several places apart.
 *
 * One pass over the module, the first time somebody asks: whatever bytes look like such an instruction count.
 * That takes a part for a function now and then, and never a function for a part.
 */
#include <string.h>

#include "arch/x86_64/text.h"

enum {
	USE_TAKEN = 1u << 0,
	USE_JUMPED = 1u << 1,
	ABSOLUTE_LOW = 0x10000, /* addresses below look like any other number */
};

struct use_scan {
	struct arch_text *text;
	uint8_t *is_part;    /* bit per byte of the span */
	uint64_t *jumped_by; /* for each part: the chunk of the first jump */
};

static void note_use(struct use_scan *scan, uint64_t source, uint64_t target, bool jumps)
{
	struct arch_text *text = scan->text;
	uint64_t offset = target - text->low, start, end;
	if (offset >= text->span || !(scan->is_part[offset / 8] >> (offset % 8) & 1))
		return;
	size_t part = text_first_part(text, target);
	if (!jumps) {
		text->part_uses[part] |= USE_TAKEN;
		return;
	}
	if (!text_chunk(text, source, &start, &end))
		return;
	if (text->part_uses[part] & USE_JUMPED && scan->jumped_by[part] != start)
		text->part_uses[part] |= USE_TAKEN;
	text->part_uses[part] |= USE_JUMPED;
	scan->jumped_by[part] = start;
}

static uint64_t behind(const uint8_t *b, uint64_t address, unsigned int opcode_size)
{
	int32_t displacement;
	memcpy(&displacement, b + opcode_size, sizeof(displacement));
	return address + opcode_size + 4 + (uint64_t)(int64_t)displacement;
}

static uint64_t immediate(const uint8_t *b)
{
	uint32_t value;
	memcpy(&value, b, sizeof(value));
	return value;
}

/* call, jmp and jcc; lea disp(%rip); mov and push of an address */
static void note_instruction(struct use_scan *scan, const uint8_t *b, uint64_t address)
{
	bool absolute = scan->text->low >= ABSOLUTE_LOW;
	if (b[0] == 0xe8 || b[0] == 0xe9)
		note_use(scan, address, behind(b, address, 1), b[0] == 0xe9);
	else if (b[0] == 0x0f && (b[1] & 0xf0) == 0x80)
		note_use(scan, address, behind(b, address, 2), true);
	else if (b[0] == 0x8d && (b[1] & 0xc7) == 0x05)
		note_use(scan, address, behind(b, address, 2), false);
	else if (absolute && ((b[0] & 0xf8) == 0xb8 || b[0] == 0x68))
		note_use(scan, address, immediate(b + 1), false);
	else if (absolute && b[0] == 0xc7)
		note_use(scan, address, immediate(b + 2), false);
}

static void scan_code(struct use_scan *scan, const struct text_segment *s)
{
	for (size_t i = 0; i + 6 <= s->size; i++)
		note_instruction(scan, s->bytes + i, s->address + i);
}

/* Pointers that are not relocated; those that are stand among the indirect targets. */
static void scan_data(struct use_scan *scan, const struct text_segment *s)
{
	uint64_t word;
	for (size_t i = -s->address & 7; i + sizeof(word) <= s->size; i += sizeof(word)) {
		memcpy(&word, s->bytes + i, sizeof(word));
		note_use(scan, s->address + i, word, false);
	}
}

static void scan_uses(struct arch_text *text)
{
	struct use_scan scan = {.text = text};
	text->part_uses = calloc(text->part_count + 1, 1);
	scan.jumped_by = calloc(text->part_count + 1, sizeof(*scan.jumped_by));
	scan.is_part = calloc(text->span / 8 + 1, 1);
	if (!text->part_uses || !scan.jumped_by || !scan.is_part)
		abort();
	for (size_t i = 0; i < text->part_count; i++) {
		uint64_t offset = text->parts[i] - text->low;
		if (offset < text->span)
			scan.is_part[offset / 8] |= (uint8_t)(1u << (offset % 8));
		if (text_has_indirect_target(text, text->parts[i], text->parts[i] + 1))
			text->part_uses[i] = USE_TAKEN;
	}
	for (size_t i = 0; i < text->segment_count; i++) {
		if (text->segments[i].is_data)
			scan_data(&scan, &text->segments[i]);
		else
			scan_code(&scan, &text->segments[i]);
	}
	free(scan.is_part);
	free(scan.jumped_by);
}

bool text_is_part(struct arch_text *text, uint64_t address)
{
	size_t part = text_first_part(text, address);
	if (part == text->part_count || text->parts[part] != address)
		return false;
	if (!text->part_uses)
		scan_uses(text);
	return !(text->part_uses[part] & USE_TAKEN);
}
