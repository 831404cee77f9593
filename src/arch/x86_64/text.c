/* SPDX-License-Identifier: MIT */
/*
 * Branch targets, found without trusting a disassembly and refused only on proof:
 *
 *  1. Every byte of executable text that could begin a rel8 or rel32 branch is a
 * candidate.  Data in text or a desynchronised decode cannot hide a branch from this
 * (E9Patch, rr).
 *  2. rel32 candidates are collected in one pass over the module, the first time somebody
 * asks, and sorted by target; those that go to a known function start are dropped (nobody
 * asks for heads).  rel8 candidates are at most 130 bytes away: they are looked up in
 * place.
 *  3. A candidate that hits a window is checked against the linear decode of the function
 * it lies in.  When the decode is sound up to there and no instruction that covers the
 * candidate branches into the window, it is two other instructions that happen to look
 * like a branch.
 */
#include "arch/x86_64/text.h"

#include <emmintrin.h>
#include <string.h>

#include "arch/x86_64/flow.h"
#include "base/sort.h"

enum {
	MAX_BACK =
		15, /* an instruction that covers a byte starts at most this far before */
	BLOCK = 16, /* bytes that are looked at together */
};

/* ---- creation ---- */

static int segment_compare(const void *a, const void *b)
{
	const struct text_segment *left = a, *right = b;
	return (left->address > right->address) - (left->address < right->address);
}

static uint64_t *copy_addresses(const uint64_t *addresses, size_t count)
{
	uint64_t *copy = calloc(count + 1, sizeof(*copy));
	if (copy && count)
		memcpy(copy, addresses, count * sizeof(*copy));
	return copy;
}

static void find_span(struct arch_text *text)
{
	uint64_t low = UINT64_MAX, high = 0;
	for (size_t i = 0; i < text->segment_count; i++) {
		const struct text_segment *s = &text->segments[i];
		if (s->is_data)
			continue;
		if (s->address < low)
			low = s->address;
		if (s->address + s->size > high)
			high = s->address + s->size;
	}
	text->low = low;
	text->span = high > low ? high - low : 0;
}

struct arch_text *arch_text_create(const struct arch_text_segment *segments,
	size_t segment_count, const uint64_t *function_starts,
	size_t function_start_count, const uint64_t *indirect_targets,
	size_t indirect_target_count)
{
	struct arch_text *text = calloc(1, sizeof(*text));
	if (!text)
		abort();
	text->segments = calloc(segment_count + 1, sizeof(*text->segments));
	text->starts = copy_addresses(function_starts, function_start_count);
	text->start_count = function_start_count;
	text->indirect = copy_addresses(indirect_targets, indirect_target_count);
	text->indirect_count = indirect_target_count;
	text->ranges = calloc(function_start_count + 1, sizeof(*text->ranges));
	if (!text->segments || !text->starts || !text->indirect || !text->ranges)
		abort();
	for (size_t i = 0; i < segment_count; i++) {
		if (!segments[i].size || !segments[i].bytes ||
			segments[i].address + segments[i].size < segments[i].address)
			continue;
		text->segments[text->segment_count++] =
			(struct text_segment){.address = segments[i].address,
				.bytes = segments[i].bytes,
				.size = segments[i].size,
				.is_data = segments[i].is_data};
	}
	qsort(text->segments, text->segment_count, sizeof(*text->segments),
		segment_compare);
	find_span(text);
	return text;
}

void arch_text_set_parts(struct arch_text *text, const uint64_t *parts, size_t count)
{
	free(text->parts);
	text->parts = copy_addresses(parts, count);
	if (!text->parts)
		abort();
	text->part_count = count;
	free(text->part_uses);
	text->part_uses = NULL;
}

void arch_text_destroy(struct arch_text *text)
{
	if (!text)
		return;
	for (size_t i = 0; i < text->segment_count; i++)
		free(text->segments[i].boundary);
	flow_destroy(text->flow);
	flow_destroy(text->other);
	free(text->segments);
	free(text->starts);
	free(text->indirect);
	free(text->parts);
	free(text->part_uses);
	free(text->ranges);
	if (!text->is_given)
		free((void *)(uintptr_t)text->refs);
	vec_free(&text->slots);
	free(text);
}

/* ---- lookups ---- */

const struct text_segment *text_find(
	const struct arch_text *text, uint64_t address, bool data)
{
	for (size_t i = 0; i < text->segment_count; i++) {
		const struct text_segment *s = &text->segments[i];
		if (address >= s->address && address - s->address < s->size)
			return data || !s->is_data ? s : NULL;
	}
	return NULL;
}

const uint8_t *text_bytes(
	const struct arch_text *text, uint64_t address, bool data, size_t *ret_size)
{
	const struct text_segment *s = text_find(text, address, data);
	if (!s)
		return NULL;
	*ret_size = s->size - (address - s->address);
	return s->bytes + (address - s->address);
}

bool text_decode(const struct arch_text *text, uint64_t address, struct insn *ret)
{
	size_t size;
	const uint8_t *bytes = text_bytes(text, address, false, &size);
	return bytes && insn_decode(bytes, size, address, ret);
}

/* index of the first item >= value */
static size_t lower_bound(const uint64_t *items, size_t count, uint64_t value)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (items[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_in(const uint64_t *items, size_t count, uint64_t low, uint64_t high)
{
	size_t i = lower_bound(items, count, low);
	return i < count && items[i] < high;
}

bool text_is_function_start(const struct arch_text *text, uint64_t address)
{
	return has_in(text->starts, text->start_count, address, address + 1);
}

bool text_has_function_start(const struct arch_text *text, uint64_t low, uint64_t high)
{
	return has_in(text->starts, text->start_count, low, high);
}

size_t text_first_start(const struct arch_text *text, uint64_t address)
{
	return lower_bound(text->starts, text->start_count, address);
}

size_t text_first_part(const struct arch_text *text, uint64_t address)
{
	return lower_bound(text->parts, text->part_count, address);
}

bool text_has_indirect_target(const struct arch_text *text, uint64_t low, uint64_t high)
{
	return has_in(text->indirect, text->indirect_count, low, high);
}

size_t text_first_indirect(const struct arch_text *text, uint64_t address)
{
	return lower_bound(text->indirect, text->indirect_count, address);
}

bool text_chunk(const struct arch_text *text, uint64_t address, uint64_t *ret_start,
	uint64_t *ret_end)
{
	const struct text_segment *s = text_find(text, address, false);
	size_t next = lower_bound(text->starts, text->start_count, address + 1);
	if (!s || next == 0 || text->starts[next - 1] < s->address)
		return false;
	uint64_t end = s->address + s->size;
	*ret_start = text->starts[next - 1];
	*ret_end = next < text->start_count && text->starts[next] < end
			   ? text->starts[next]
			   : end;
	return true;
}

/* ---- instruction boundaries ---- */

static bool is_boundary(const struct text_segment *s, uint64_t address)
{
	uint64_t offset = address - s->address;
	return s->boundary[offset / 8] >> (offset % 8) & 1;
}

static struct text_segment *decode_chunk(
	struct arch_text *text, uint64_t start, uint64_t end, struct text_range *range)
{
	struct text_segment *s =
		(struct text_segment *)(uintptr_t)text_find(text, start, false);
	if (!s->boundary)
		s->boundary = calloc(s->size / 8 + 1, 1);
	if (!s->boundary)
		abort();
	if (range->decoded)
		return s;
	range->decoded = true;
	struct insn insn;
	uint64_t pc = start;
	while (pc < end &&
		insn_decode(s->bytes + (pc - s->address), end - pc, pc, &insn)) {
		/* ring 0 only, or nothing a compiler emits: this is data */
		if ((insn.zydis.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) &&
			insn.zydis.mnemonic != ZYDIS_MNEMONIC_HLT)
			break;
		uint64_t offset = pc - s->address;
		s->boundary[offset / 8] |= (uint8_t)(1u << (offset % 8));
		pc += insn.length;
	}
	range->sound_end = pc;
	return s;
}

/*
 * The chunk around an address, decoded.  NULL: the decode is not sound up to (and
 * including) it.
 */
static struct text_segment *sound_chunk(
	struct arch_text *text, uint64_t address, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start, end;
	if (!text_chunk(text, address, &start, &end))
		return NULL;
	size_t index = lower_bound(text->starts, text->start_count, start);
	struct text_range *range = &text->ranges[index];
	struct text_segment *s = decode_chunk(text, start, end, range);
	if (address >= range->sound_end)
		return NULL;
	*ret_start = start;
	*ret_end = range->sound_end;
	return s;
}

bool text_is_boundary(struct arch_text *text, uint64_t address)
{
	uint64_t start, end;
	const struct text_segment *s = sound_chunk(text, address, &start, &end);
	return !s || is_boundary(s, address);
}

bool text_branch_at(struct arch_text *text, uint64_t source, struct insn *ret)
{
	uint64_t start, end;
	const struct text_segment *s = sound_chunk(text, source, &start, &end);
	if (!s)
		return false;
	uint64_t pc = source;
	while (!is_boundary(s, pc) && pc > start && source - pc < MAX_BACK)
		pc--;
	return is_boundary(s, pc) && text_decode(text, pc, ret);
}

bool text_is_branch(struct arch_text *text, uint64_t source, uint64_t low, uint64_t high)
{
	struct insn insn;
	if (!text_branch_at(text, source, &insn))
		return true;
	return insn.has_target && insn.target >= low && insn.target < high;
}

/* ---- rel32 candidates ---- */

struct ref_scan {
	struct arch_text *text;
	uint8_t *is_start; /* bit per byte of the span */
	VEC(uint64_t) refs;
};

static inline void scan_add(struct ref_scan *scan, uint64_t source,
	unsigned int opcode_size, const uint8_t *bytes)
{
	int32_t displacement;
	memcpy(&displacement, bytes + opcode_size, sizeof(displacement));
	uint64_t target = source + opcode_size + 4 + (uint64_t)(int64_t)displacement;
	uint64_t offset = target - scan->text->low;
	if (offset >= scan->text->span ||
		(scan->is_start[offset / 8] >> (offset % 8) & 1))
		return;
	vec_append(&scan->refs, offset << 32 | (source - scan->text->low));
}

static void scan_byte(struct ref_scan *scan, const struct text_segment *s, size_t i)
{
	const uint8_t *b = s->bytes + i;
	if (i + 5 <= s->size && (b[0] & 0xfe) == 0xe8)
		scan_add(scan, s->address + i, 1, b);
	else if (i + 6 <= s->size && ((b[0] == 0x0f && (b[1] & 0xf0) == 0x80) ||
					     (b[0] == 0xc7 && b[1] == 0xf8)))
		scan_add(scan, s->address + i, 2, b);
}

/* Which of 16 bytes can begin a branch, as a bit for each. */
static inline unsigned scan_block(const uint8_t *b)
{
	__m128i first = _mm_loadu_si128((const __m128i *)(const void *)b);
	__m128i second = _mm_loadu_si128((const __m128i *)(const void *)(b + 1));
	__m128i call = _mm_cmpeq_epi8(_mm_and_si128(first, _mm_set1_epi8((char)0xfe)),
		_mm_set1_epi8((char)0xe8));
	__m128i jcc = _mm_and_si128(_mm_cmpeq_epi8(first, _mm_set1_epi8(0x0f)),
		_mm_cmpeq_epi8(_mm_and_si128(second, _mm_set1_epi8((char)0xf0)),
			_mm_set1_epi8((char)0x80)));
	__m128i xbegin = _mm_and_si128(_mm_cmpeq_epi8(first, _mm_set1_epi8((char)0xc7)),
		_mm_cmpeq_epi8(second, _mm_set1_epi8((char)0xf8)));
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(call, _mm_or_si128(jcc, xbegin)));
}

static void scan_segment(struct ref_scan *scan, const struct text_segment *s)
{
	size_t i = 0;
	for (; i + BLOCK + 1 <= s->size; i += BLOCK) {
		unsigned mask = scan_block(s->bytes + i);
		for (; mask; mask &= mask - 1)
			scan_byte(scan, s, i + (size_t)__builtin_ctz(mask));
	}
	for (; i < s->size; i++)
		scan_byte(scan, s, i);
}

static void scan_refs(struct arch_text *text)
{
	if (text->scanned)
		return;
	text->scanned = true;
	struct ref_scan scan = {.text = text};
	scan.is_start = calloc(text->span / 8 + 1, 1);
	if (!scan.is_start)
		abort();
	for (size_t i = 0; i < text->start_count; i++) {
		uint64_t offset = text->starts[i] - text->low;
		if (offset < text->span)
			scan.is_start[offset / 8] |= (uint8_t)(1u << (offset % 8));
	}
	for (size_t i = 0; i < text->segment_count; i++)
		if (!text->segments[i].is_data)
			scan_segment(&scan, &text->segments[i]);
	free(scan.is_start);
	/* by target; the half behind it makes no difference */
	sort_words(scan.refs.items, scan.refs.count);
	text->refs = scan.refs.items;
	text->ref_count = scan.refs.count;
}

bool arch_text_get_scan(const struct arch_text *text, struct arch_text_scan *ret)
{
	if (!text->scanned || text->is_given)
		return false;
	*ret = (struct arch_text_scan){text->refs, text->ref_count};
	return true;
}

void arch_text_set_scan(struct arch_text *text, const struct arch_text_scan *scan)
{
	if (text->scanned || text->span >> 32)
		return;
	for (size_t i = 0; i < scan->count; i++) {
		uint64_t target = scan->refs[i] >> 32;
		if (target >= text->span || (uint32_t)scan->refs[i] >= text->span ||
			(i && target < scan->refs[i - 1] >> 32))
			return;
	}
	text->refs = scan->refs;
	text->ref_count = scan->count;
	text->scanned = text->is_given = true;
}

/* ---- questions ---- */

static bool is_rel8_opcode(uint8_t byte)
{
	return byte == 0xeb || (byte & 0xf0) == 0x70 || (byte & 0xfc) == 0xe0;
}

bool text_short_branch(
	const struct arch_text *text, uint64_t source, uint64_t *ret_target)
{
	size_t size;
	const uint8_t *b = text_bytes(text, source, false, &size);
	if (!b || size < 2 || !is_rel8_opcode(b[0]))
		return false;
	*ret_target = source + 2 + (uint64_t)(int64_t)(int8_t)b[1];
	return true;
}

size_t text_first_ref(struct arch_text *text, uint64_t target)
{
	if (text->span >> 32)
		return 0;
	scan_refs(text);
	uint64_t low = target > text->low ? target - text->low : 0;
	return lower_bound(text->refs, text->ref_count, low << 32);
}

bool text_ref_at(
	const struct arch_text *text, size_t index, uint64_t high, struct text_ref *ret)
{
	if (!text->scanned || index >= text->ref_count)
		return false;
	*ret = (struct text_ref){.source = text->low + (uint32_t)text->refs[index],
		.target = text->low + (text->refs[index] >> 32)};
	return ret->target < high;
}

static bool find_rel8(struct arch_text *text, uint64_t low, uint64_t high, uint64_t skip,
	uint64_t skip_end, uint64_t *ret_source)
{
	const struct text_segment *s = text_find(text, low, false);
	if (!s)
		return false;
	uint64_t from =
		low - s->address > TEXT_REL8_REACH ? low - TEXT_REL8_REACH : s->address;
	uint64_t to = high + TEXT_REL8_REACH;
	for (uint64_t pc = from; pc < to && pc + 2 <= s->address + s->size; pc++) {
		const uint8_t *b = s->bytes + (pc - s->address);
		uint64_t target = pc + 2 + (uint64_t)(int64_t)(int8_t)b[1];
		if (!is_rel8_opcode(b[0]) || target < low || target >= high)
			continue;
		if (pc >= skip && pc < skip_end)
			continue;
		if (!text_is_branch(text, pc, low, high))
			continue;
		*ret_source = pc;
		return true;
	}
	return false;
}

static bool find_rel32(struct arch_text *text, uint64_t low, uint64_t high, uint64_t skip,
	uint64_t skip_end, uint64_t *ret_source)
{
	if (low < text->low || text->span >> 32)
		return text->span >> 32 != 0;
	scan_refs(text);
	uint64_t low_key = (low - text->low) << 32;
	for (size_t i = lower_bound(text->refs, text->ref_count, low_key);
		i < text->ref_count; i++) {
		if (text->low + (text->refs[i] >> 32) >= high)
			break;
		uint64_t source = text->low + (uint32_t)text->refs[i];
		if (source >= skip && source < skip_end)
			continue;
		if (!text_is_branch(text, source, low, high))
			continue;
		*ret_source = source;
		return true;
	}
	return false;
}

bool text_find_branch(struct arch_text *text, uint64_t low, uint64_t high, uint64_t skip,
	uint64_t skip_end, uint64_t *ret_source)
{
	if (low >= high)
		return false;
	return find_rel8(text, low, high, skip, skip_end, ret_source) ||
	       find_rel32(text, low, high, skip, skip_end, ret_source);
}

bool text_has_branch_from(struct arch_text *text, uint64_t low, uint64_t high,
	uint64_t from, uint64_t from_end)
{
	if (low < text->low || text->span >> 32)
		return false;
	scan_refs(text);
	uint64_t low_key = (low - text->low) << 32;
	for (size_t i = lower_bound(text->refs, text->ref_count, low_key);
		i < text->ref_count; i++) {
		uint64_t target = text->low + (text->refs[i] >> 32);
		if (target >= high)
			break;
		uint64_t source = text->low + (uint32_t)text->refs[i];
		if (source >= from && source < from_end &&
			text_is_branch(text, source, target, target + 1))
			return true;
	}
	return false;
}

/* ---- padding ---- */

const struct arch_text_slot *arch_text_slots(
	const struct arch_text *text, uint64_t *ret_count)
{
	*ret_count = text->slots.count;
	return text->slots.items;
}

void arch_text_set_slots(
	struct arch_text *text, const struct arch_text_slot *slots, uint64_t count)
{
	text->slots.count = 0;
	for (uint64_t i = 0; i < count; i++)
		vec_append(&text->slots, slots[i]);
}

static bool slot_is_free(const struct arch_text *text, uint64_t address, uint64_t owner)
{
	for (size_t i = 0; i < text->slots.count; i++) {
		uint64_t taken = text->slots.items[i].address;
		if (text->slots.items[i].owner != owner &&
			address < taken + ARCH_JUMP_SIZE &&
			taken < address + ARCH_JUMP_SIZE)
			return false;
	}
	return true;
}

static bool slot_of(const struct arch_text *text, uint64_t owner, uint64_t low,
	uint64_t high, uint64_t *ret_address)
{
	for (size_t i = 0; i < text->slots.count; i++) {
		const struct arch_text_slot *slot = &text->slots.items[i];
		if (slot->owner != owner || slot->address < low || slot->address > high)
			continue;
		*ret_address = slot->address;
		return true;
	}
	return false;
}

/* A slot in the filler [run, run_end), which nothing falls into. */
static bool slot_in_run(struct arch_text *text, uint64_t run, uint64_t run_end,
	uint64_t low, uint64_t high, uint64_t owner, uint64_t *ret_address)
{
	uint64_t source;
	uint64_t first = run > low ? run : low;
	for (uint64_t at = first; at <= high && at + ARCH_JUMP_SIZE <= run_end; at++) {
		uint64_t end = at + ARCH_JUMP_SIZE;
		/* who jumps to the filler before the slot would run into it */
		if (!slot_is_free(text, at, owner) ||
			text_has_function_start(text, run, end) ||
			text_has_indirect_target(text, run, end) ||
			text_find_branch(text, run, end, 0, 0, &source))
			continue;
		*vec_push(&text->slots) =
			(struct arch_text_slot){.address = at, .owner = owner};
		*ret_address = at;
		return true;
	}
	return false;
}

static bool find_padding_in_chunk(struct arch_text *text, const struct text_segment *s,
	uint64_t start, uint64_t end, uint64_t low, uint64_t high, uint64_t owner,
	uint64_t *ret_address)
{
	bool ended = false, in_run = false;
	uint64_t run = 0, pc = start;
	/* begin near: any boundary serves, what precedes a run is seen anyway */
	if (low > start + 64) {
		pc = low - 64;
		while (pc > start && !is_boundary(s, pc))
			pc--;
	}
	struct insn insn;
	for (; pc < end && pc < high + 64; pc += insn.length) {
		if (!text_decode(text, pc, &insn))
			return false;
		bool filler = insn_is_padding(&insn);
		if (filler && !in_run && ended) {
			in_run = true;
			run = pc;
		}
		if (!filler && in_run) {
			if (slot_in_run(text, run, pc, low, high, owner, ret_address))
				return true;
			in_run = false;
		}
		if (!filler)
			ended = insn_ends_flow(&insn);
	}
	return in_run && slot_in_run(text, run, pc, low, high, owner, ret_address);
}

bool text_find_padding(struct arch_text *text, uint64_t low, uint64_t high,
	uint64_t owner, uint64_t *ret_address)
{
	if (slot_of(text, owner, low, high, ret_address))
		return true;
	uint64_t start, end;
	for (uint64_t at = low; at <= high;) {
		if (!text_chunk(text, at, &start, &end)) {
			at++;
			continue;
		}
		uint64_t sound_start, sound_end;
		const struct text_segment *s =
			sound_chunk(text, at, &sound_start, &sound_end);
		if (s && find_padding_in_chunk(text, s, sound_start, sound_end, low, high,
				 owner, ret_address))
			return true;
		at = end;
	}
	return false;
}
