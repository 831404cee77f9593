/* SPDX-License-Identifier: MIT */
/* Who calls a function: candidates by their bytes, of which those count that are instructions. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/text.h"

enum {
	CALL = 0xe8,
	JUMP = 0xe9
};

struct call_list {
	struct arch_call *items;
	size_t count, capacity; /* the shape of VEC(struct arch_call) */
};

/* Size of the opcode that may begin at @b, in front of a displacement of 32 bits; 0: none. */
static size_t opcode_size(const uint8_t *b)
{
	if (b[0] == CALL || b[0] == JUMP)
		return 1;
	return b[0] == 0x0f && (b[1] & 0xf0) == 0x80 ? 2 : 0;
}

static void find_in_segment(struct arch_text *text, const struct text_segment *s,
	uint64_t low, uint64_t high, struct call_list *list)
{
	for (size_t i = 0; i + 6 <= s->size; i++) {
		const uint8_t *b = s->bytes + i;
		size_t size = opcode_size(b);
		if (!size)
			continue;
		int32_t displacement;
		memcpy(&displacement, b + size, sizeof(displacement));
		uint64_t source = s->address + i, behind = source + size + 4;
		uint64_t target = behind + (uint64_t)(int64_t)displacement;
		if (target - low >= high - low || source - low < high - low ||
			!text_is_boundary(text, source) ||
			!text_is_branch(text, source, low, high))
			continue;
		struct arch_call call = {target, source, b[0] == CALL ? behind : 0};
		vec_append(list, call);
	}
}

static int call_compare(const void *a, const void *b)
{
	const struct arch_call *x = a, *y = b;
	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

size_t arch_text_calls(
	struct arch_text *text, uint64_t low, uint64_t high, struct arch_call **ret)
{
	struct call_list list = {0};
	for (size_t i = 0; i < text->segment_count; i++)
		if (!text->segments[i].is_data)
			find_in_segment(text, &text->segments[i], low, high, &list);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), call_compare);
	*ret = list.items;
	return list.count;
}
