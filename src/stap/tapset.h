/* SPDX-License-Identifier: MIT */
/*
 * The library: all .stp and .stpm files of some folders, parsed.  Of a folder, its subfolders
 * dyninst/ARCH, dyninst and ARCH come first (the names SystemTap has for handlers that run inside
 * the traced process); a file that was met before, by inode or by name within its folder, is left
 * out.
 */
#pragma once

#include "stap/parser.h"

struct stap_tapset;

/**
 * stap_tapset_load() - read and parse the library
 * @dirs: most important first, the program's own; one that does not exist is skipped
 * A file with errors is left out with a warning in @diag.
 * Return: the library, never NULL; stap_tapset_free() it, its nodes live in @arena.
 */
struct stap_tapset *stap_tapset_load(struct arena *arena, const char *const *dirs,
	uint32_t dir_count, const struct stap_parse_options *options,
	struct stap_diagnostics *diag);
void stap_tapset_free(struct stap_tapset *tapset); /* accepts NULL */

const struct stap_macros *stap_tapset_macros(const struct stap_tapset *tapset);
const struct stap_file *const *stap_tapset_files(
	const struct stap_tapset *tapset, uint32_t *ret_count);
/** is it one of the library's files, by whatever name? */
bool stap_tapset_holds(const struct stap_tapset *tapset, const char *path);
uint32_t stap_tapset_file_count(const struct stap_tapset *tapset);
