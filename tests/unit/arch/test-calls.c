/* SPDX-License-Identifier: MIT */
/* Who calls a function: by instructions, not by what looks like one. */
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "tap.h"

enum {
	BASE = 0x400000,
	STUBS = 0x60, /* two of 16 bytes */
	SIZE = 0x80
};

static uint8_t code[SIZE];

static void put(size_t at, uint8_t opcode, uint64_t target)
{
	int32_t displacement = (int32_t)(target - (at + 5));
	code[at] = opcode;
	memcpy(code + at + 1, &displacement, sizeof(displacement));
}

int main(void)
{
	const uint64_t starts[] = {BASE, BASE + 0x40, BASE + STUBS, BASE + STUBS + 0x10};
	struct arch_text_segment segment = {BASE, code, SIZE, false};
	struct arch_call *calls;

	memset(code, 0x90, sizeof(code));
	put(0x00, 0xe8, STUBS + 0x10);
	put(0x05, 0xe8, STUBS);
	code[0x0a] = 0xb8; /* mov $..., %eax whose bytes look like a call */
	put(0x0b, 0xe8, STUBS);
	code[0x10] = 0xc3;
	put(0x40, 0xe8, 0); /* somewhere else */
	code[0x45] = 0x0f;  /* je */
	put(0x46, 0x84, STUBS);
	put(0x4b, 0xe9, STUBS);
	put(STUBS, 0xe9, STUBS + 0x10); /* from inside */
	struct arch_text *text = arch_text_create(&segment, 1, starts, 4, NULL, 0);
	size_t count = arch_text_calls(text, BASE + STUBS, BASE + STUBS + 0x20, &calls);
	const struct arch_call expected[] = {
		{BASE + STUBS, BASE + 0x05, BASE + 0x0a},
		{BASE + STUBS, BASE + 0x45, 0},
		{BASE + STUBS, BASE + 0x4b, 0},
		{BASE + STUBS + 0x10, BASE + 0x00, BASE + 0x05},
	};
	const char *const names[] = {
		"a call", "a conditional jump", "a jump", "another function"};
	tap_is_long((long)count, 4, "as many as there are");
	for (size_t i = 0; i < count && i < 4; i++)
		tap_ok(!memcmp(&calls[i], &expected[i], sizeof(calls[i])), "%s",
			names[i]);
	free(calls);
	arch_text_destroy(text);
	return tap_done();
}
