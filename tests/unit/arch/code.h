/* SPDX-License-Identifier: MIT */
/* Machine code for tests, written as assembly: CODE(name, text) makes the bytes code_name[]. */
#pragma once

#include <stdint.h>

#define CODE(name, text)                                  \
	__asm__(".pushsection .rodata\n"                  \
		".balign 64\ncode_" #name ":\n" text "\n" \
		"code_end_" #name ": .byte 0\n"           \
		".popsection\n");                         \
	extern const uint8_t code_##name[], code_end_##name[]

#define CODE_BYTES(name) code_##name, code_end_##name
