/* SPDX-License-Identifier: MIT */
/*
 * Stops the test program itself at an address, by a breakpoint and a SIGTRAP handler, and runs access
 * programs on the registers and memory found there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "elf/access.h"

struct stop_registers {
	uint64_t dwarf[17];   /* by DWARF number */
	uint64_t vectors[32]; /* halves of xmm0..xmm15 */
};

/** the value an access program leaves; aborts on a malformed program */
uint64_t stop_evaluate(const struct elf_access *access,
	const struct stop_registers *registers, uint64_t bias, const uint64_t *operands);

/**
 * stop_arm() - put a breakpoint at an address; when it is hit, `hit` runs once in the handler and the
 * program goes on as if nothing had been there
 */
void stop_arm(uint64_t address,
	void (*hit)(const struct stop_registers *registers, void *data), void *data);
/** take the breakpoint out again; was it hit? */
bool stop_disarm(void);
