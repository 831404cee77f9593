/* SPDX-License-Identifier: MIT */
/*
 * Bodies of code as debug information describes them: functions and the inlined copies of functions,
 * the labels in them and the calls they make.  Handles live as long as the module.
 */
#pragma once

#include "elf/dwarf.h"

struct elf_instance;

struct elf_instance_info {
	struct elf_declaration declaration; /* its own name: "f", not "ns::f" */
	uint64_t entry, end;                /* end of the range that holds the entry */
	bool is_inline;
	const struct elf_instance *parent; /* what it is inlined into, else NULL */
};

void elf_instance_describe(
	const struct elf_instance *instance, struct elf_instance_info *ret);

/** elf_instance_follows_abi() - made by a compiler that keeps to the psABI: no assembler, which does
 * as it likes, and no Go, whose assembly is in the units of its packages */
bool elf_instance_follows_abi(const struct elf_instance *instance);

/** elf_instance_qualified() - "ns::cls::f" from the scopes it is declared in; in @arena */
const char *elf_instance_qualified(
	const struct elf_instance *instance, struct arena *arena);

/** the function whose first instruction is at @entry; NULL: not described */
const struct elf_instance *elf_instance_at_entry(
	struct elf_module *module, uint64_t entry);
/** the innermost function or inlined copy that an instruction belongs to; NULL: not described */
const struct elf_instance *elf_instance_at(struct elf_module *module, uint64_t address);

/** elf_instance_offset() - where its description stands: with its entry, what names it in later runs */
uint64_t elf_instance_offset(const struct elf_instance *instance);
/** elf_instance_by_offset() - NULL: there is none */
const struct elf_instance *elf_instance_by_offset(
	struct elf_module *module, uint64_t entry, uint64_t offset);

/** same copy of the same function */
bool elf_instance_is_same(const struct elf_instance *a, const struct elf_instance *b);

/* All inlined copies, unit by unit. */
struct elf_inline_walk {
	size_t unit, index;
};
/**
 * elf_inline_next() - walk inlined copies; @walk starts zeroed; NULL at the end
 * @pattern: FUNC, see elf_instance_matches()
 */
const struct elf_instance *elf_inline_next(
	struct elf_module *module, struct elf_inline_walk *walk, const char *pattern);
/** elf_instance_matches() - FUNC against the names of an instance */
bool elf_instance_matches(const struct elf_instance *instance, const char *pattern);

struct elf_label {
	const char *name;
	uint64_t address;
	const char *file;
	int line;
};
/** elf_instance_labels() - labels of the function that have code; *ret in @arena */
size_t elf_instance_labels(struct elf_module *module, const struct elf_instance *instance,
	struct arena *arena, struct elf_label **ret);

/* A function called from an instance, or inlined into it. */
struct elf_callee {
	const struct elf_instance *instance;
	/* where the call returns to, to tell its calls from those of others; NULL: inlined */
	uint64_t *return_addresses;
	size_t return_address_count;
};
/** elf_instance_callees() - direct callees in the same module, each once; *ret in @arena */
size_t elf_instance_callees(struct elf_module *module,
	const struct elf_instance *instance, struct arena *arena,
	struct elf_callee **ret);
