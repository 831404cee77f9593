/* SPDX-License-Identifier: MIT */
/* Enumerators by name and by value. */
#pragma once

#include "base/arena.h"
#include "elf/module.h"

struct elf_enumerator {
	const char *name;
	int64_t value;
};

struct elf_enumerator_query {
	uint64_t function; /* entry of the function whose unit goes first; 0: none */
	const char *type;  /* all of this type, "color" or "enum color"; NULL: of any */
	const char *name;  /* this one; NULL: all */
};

/**
 * elf_enumerators() - what a query is about, in @arena; of several by that name the first
 * Return: 0; -ENOENT: no such type, enumerator or debug information
 */
must_check int elf_enumerators(struct elf_module *module,
	const struct elf_enumerator_query *query, struct arena *arena,
	struct elf_enumerator **ret, size_t *ret_count, struct error *err);
