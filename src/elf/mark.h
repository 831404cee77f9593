/* SPDX-License-Identifier: MIT */
/*
 * Static marks that programs carry (USDT, sys/sdt.h): notes of type 3 and name "stapsdt" in
 * .note.stapsdt.  Each place where a mark was compiled in has its note.
 */
#pragma once

#include "elf/access.h"

enum {
	ELF_MARK_ARGUMENTS_MAX = 16
};

struct elf_mark {
	const char *provider, *name;
	const char *arguments; /* "-4@%edi 8@8(%rsp)" */
	uint64_t address;      /* link-time addresses, prelinking undone */
	uint64_t semaphore;    /* 16-bit counter of interested tracers; 0: none */
};

/** elf_module_marks() - all marks, by address; borrowed from the module */
const struct elf_mark *elf_module_marks(struct elf_module *module, size_t *ret_count);

/* One argument of a mark: a constant, a register or memory. */
struct elf_operand {
	unsigned size; /* bytes: 1, 2, 4, 8 */
	bool is_signed, is_float;
	enum elf_operand_kind {
		ELF_OPERAND_CONSTANT,
		ELF_OPERAND_REGISTER,
		ELF_OPERAND_MEMORY,
	} kind;
	int64_t number; /* constant, or displacement */
	int base,
		index; /* DWARF numbers; -1: none; base 16: the address is relative to rip */
	unsigned scale;
	bool is_high_byte; /* %ah and its like */
	const char
		*symbol; /* added to the displacement; not NUL-terminated; NULL: none */
	size_t symbol_size;
};

/**
 * elf_operand_parse() - one argument, GNU assembler syntax
 * *text is left after it and the blanks that follow.
 * Return: 0, -ENODATA at the end of the text, -EINVAL with the reason in @err
 */
must_check int elf_operand_parse(
	const char **text, struct elf_operand *ret, struct error *err);

/** how many arguments the text has */
unsigned elf_mark_argument_count(const struct elf_mark *mark);

/** elf_mark_access() - how to read argument @number, from 1 */
must_check int elf_mark_access(struct elf_module *module, const struct elf_mark *mark,
	unsigned number, struct arena *arena, struct elf_access *ret, struct error *err);
