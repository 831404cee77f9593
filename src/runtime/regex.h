/* SPDX-License-Identifier: MIT */
/*
 * A compiled regular expression: made by the tracer (stap/regex.c), run by regex.c.  The program is a
 * list of instructions that threads walk in step, one byte of the text at a time (Thompson, Pike), so the
 * work is at most instructions times bytes, whatever the pattern.
 */
#pragma once

#include <stdint.h>

enum rt_regex_op {
	RT_REGEX_BYTE,  /* the byte x */
	RT_REGEX_CLASS, /* a byte of class x */
	RT_REGEX_SPLIT, /* go on at x, and with less priority at y */
	RT_REGEX_JUMP,  /* go on at x */
	RT_REGEX_SAVE,  /* the place in the text is bound x */
	RT_REGEX_BEGIN, /* only at the start of the text */
	RT_REGEX_END,   /* only at its end */
	RT_REGEX_MATCH,
};

struct rt_regex_instruction {
	uint16_t op, x, y;
};

enum {
	RT_REGEX_MAX_GROUPS = 32, /* the whole match is one */
	RT_REGEX_CLASS_SIZE = 32,
	/* what running one may take of the context's scratch area; the rest is for frames */
	RT_REGEX_MAX_MEMORY = 40 * 1024,
};

struct rt_regex {
	uint32_t count; /* of instructions */
	uint32_t slots; /* bounds to keep, two per group; 0: none are wanted */
	uint8_t first[RT_REGEX_CLASS_SIZE]; /* bytes that a match can start with */
	uint32_t may_be_empty;              /* a match need not start with a byte */
	uint32_t classes; /* offset of the classes, bitmaps, from here */
	struct rt_regex_instruction code[];
};

/** rt_regex_memory() - bytes of scratch that running it takes */
static inline uint64_t rt_regex_memory(uint32_t count, uint32_t slots)
{
	enum {
		PER_INSTRUCTION = 2 * 2 * sizeof(uint16_t) + 2 * 3 * sizeof(uint16_t),
		FIXED = 256
	};
	return FIXED + 2 * slots * sizeof(uint16_t) +
	       (uint64_t)count * (PER_INSTRUCTION + 2 * slots * sizeof(uint16_t));
}

static inline int rt_regex_class_has(const uint8_t *set, unsigned char byte)
{
	return set[byte >> 3] >> (byte & 7) & 1;
}
