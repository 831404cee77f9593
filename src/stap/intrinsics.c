/* SPDX-License-Identifier: MIT */
#include "stap/intrinsics.h"

#include <string.h>

#include "stap/semantic.h"

enum {
	L = STAP_TYPE_LONG,
	S = STAP_TYPE_STRING,
	V = STAP_TYPE_UNKNOWN,
	FALLIBLE = STAP_INTRINSIC_FALLIBLE,
	REGS = STAP_INTRINSIC_REGS,
	PURE = STAP_INTRINSIC_PURE,
	CALLEE_SAVED = STAP_INTRINSIC_CALLEE_SAVED,
	MEMORY = STAP_INTRINSIC_MEMORY,
	GURU = STAP_INTRINSIC_GURU,
	SYMBOLS = STAP_INTRINSIC_SYMBOLS,
	STACKS = STAP_INTRINSIC_STACKS,
};

#define INTRINSIC(name, result, arguments, names, flags, symbol) \
	{name, (enum stap_type)(result), arguments, names, flags, #symbol},
static const struct stap_intrinsic intrinsics[] = {STAP_INTRINSICS(INTRINSIC)};
enum {
	INTRINSIC_COUNT = sizeof(intrinsics) / sizeof(intrinsics[0])
};

const struct stap_intrinsic *stap_intrinsic_find(
	const char *name, uint32_t argument_count)
{
	for (uint32_t i = 0; i < INTRINSIC_COUNT; i++) {
		if (strlen(intrinsics[i].arguments) == argument_count &&
			!strcmp(intrinsics[i].name, name))
			return &intrinsics[i];
	}
	return NULL;
}

bool stap_intrinsic_asks_groups(const struct stap_intrinsic *intrinsic)
{
	return !strncmp(intrinsic->symbol, "rt_fn_matched", 13) ||
	       !strcmp(intrinsic->symbol, "rt_fn_ngroups");
}

bool stap_intrinsic_exists(const char *name)
{
	for (uint32_t i = 0; i < INTRINSIC_COUNT; i++) {
		if (!strcmp(intrinsics[i].name, name))
			return true;
	}
	return false;
}

const struct stap_intrinsic *stap_intrinsic_at(uint32_t index)
{
	return index < INTRINSIC_COUNT ? &intrinsics[index] : NULL;
}
