/* SPDX-License-Identifier: MIT */
/*
 * What the cache keeps about a module: its tables, and answers that took debug information to find.
 * The key is the build ID with size and time of the file and of its separate debug file: whatever
 * of it changes, nothing old is found.  Files without a build ID are never kept.
 */
#pragma once

#include "cache/memo.h"
#include "elf/module.h"

/** elf_module_use_cache() - before anything is asked of the module; @cache is borrowed, may be NULL */
void elf_module_use_cache(struct elf_module *module, struct cache *cache);

/** elf_module_identity() - what the key is made from; NULL: nothing is kept of it */
const char *elf_module_identity(const struct elf_module *module);

/** elf_module_kept_bytes() - the same, but the bytes stay as long as the module; NULL: not kept */
const uint8_t *elf_module_kept_bytes(
	struct elf_module *module, const char *what, size_t *ret_size);
bool elf_module_kept(
	const struct elf_module *module, const char *what, struct cache_blob *ret);
void elf_module_keep(const struct elf_module *module, const char *what,
	const struct cache_part *parts, size_t count);

/** elf_module_answers() - answers about the module; NULL: nothing is kept */
struct cache_memo *elf_module_answers(struct elf_module *module);

/** elf_module_is_complete() - false: some debug information was not found, now */
bool elf_module_is_complete(struct elf_module *module);
