/* SPDX-License-Identifier: MIT */
/* From source lines to instructions: FUNC@FILE:LINE of .statement probes. */
#pragma once

#include "elf/instance.h"

enum elf_line_kind {
	ELF_LINES_NUMBERED, /* :12 and :10,15-20 */
	ELF_LINES_RELATIVE, /* +3: from the line the function is declared on */
	ELF_LINES_ALL,      /* :* */
};

struct elf_line_range {
	int first, last;
};

struct elf_line_query {
	const char *function; /* pattern */
	const char *file;     /* pattern for whole trailing path components; NULL: any */
	enum elf_line_kind kind;
	const struct elf_line_range *ranges; /* NUMBERED */
	size_t range_count;
	int offset;      /* RELATIVE */
	bool is_nearest; /* a line without code stands for the nearest one that has some */
};

/* The first instruction of a line in one function, or in one inlined copy. */
struct elf_line_place {
	const struct elf_instance *instance; /* the innermost that the pattern matches */
	const char *file;
	int line;
	uint64_t address;
};

/**
 * elf_lines_find() - places in the order of their lines; *ret in @arena
 * Return: 0; -ENOENT with SystemTap's words in @err when there are none
 */
must_check int elf_lines_find(struct elf_module *module,
	const struct elf_line_query *query, struct arena *arena,
	struct elf_line_place **ret, size_t *ret_count, struct error *err);

/** elf_line_at() - source line of an instruction; false: unknown */
bool elf_line_at(struct elf_module *module, uint64_t address, const char **ret_file,
	int *ret_line);

/** elf_line_end() - where the row that covers an address ends; 0: no row does.  *ret_start: where it
 * starts */
uint64_t elf_line_end(struct elf_module *module, uint64_t address, uint64_t *ret_start);
