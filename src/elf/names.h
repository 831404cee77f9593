/* SPDX-License-Identifier: MIT */
/* Names of functions as people write them: patterns, C++ and Rust names, suggestions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

bool elf_pattern_has_wildcard(const char *pattern); /* * ? [ */

/**
 * elf_pattern_matches_symbol() - FUNC against a symbol
 * Matches the symbol itself, without suffixes of clones (foo.constprop.0), and for mangled names the
 * qualified name or its tail: ns::cls::f, cls::f, f; with template arguments and with parameters when
 * the pattern has them: cls<int>::f, f(int, char const*).
 */
bool elf_pattern_matches_symbol(const char *pattern, const char *symbol);

/** elf_pattern_matches_name() - FUNC against a qualified name that is not mangled, or its tail */
bool elf_pattern_matches_name(const char *pattern, const char *qualified);

/** elf_pattern_matches_file() - FILE matches on whole trailing path components */
bool elf_pattern_matches_file(const char *pattern, const char *path);

/**
 * elf_demangle() - the qualified name in a C++ or Rust symbol, without arguments of any kind
 * Return: false when the symbol is not mangled, or not the name of a function
 */
bool elf_demangle(const char *symbol, char *ret, size_t size);

enum {
	ELF_SIMILAR_MAX = 5
};

/* The closest names found so far, nearest first. */
struct elf_similar {
	const char *wanted;
	size_t count;
	struct {
		const char *name; /* borrowed */
		size_t distance;
	} best[ELF_SIMILAR_MAX];
};

void elf_similar_add(struct elf_similar *similar, const char *name);
/** elf_names_sort_similar() - all of them, nearest first */
void elf_names_sort_similar(const char **names, size_t count, const char *wanted);
/** "foo, bar" */
void elf_similar_print(const struct elf_similar *similar, struct strbuf *out);
