/* SPDX-License-Identifier: MIT */
/* Are the status flags read after an instruction before they are written? */
#pragma once

#include "arch/x86_64/text.h"

/**
 * flags_are_live() - may the code from `address` on read CF PF AF ZF SF OF as they are
 * there?
 * @trust_abi: calls, returns and tail calls do not pass flags
 * Looks at a bounded number of instructions; when in doubt: true.
 */
bool flags_are_live(const struct arch_text *text, uint64_t address, bool trust_abi);
