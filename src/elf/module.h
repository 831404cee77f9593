/* SPDX-License-Identifier: MIT */
/*
 * One ELF file: symbols, function extents, text, DWARF.  Built on elfutils (libelf,
 * libdw, libdwfl; separate debug files by build ID and debuginfod come through it). Files
 * are untrusted: a corrupt one gives an error, never a crash.  One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct elf_module;

/**
 * elf_module_open() - open by path (as seen from this process: pass /proc/PID/root/...
 * yourself) Errors: not ELF, truncated, not x86-64 (says "32-bit" for those), no
 * executable segment.
 */
must_check int elf_module_open(
	const char *path, struct elf_module **ret, struct error *err);
void elf_module_close(struct elf_module *module);

/** elf_module_on_notice() - who is told before something slow is done ("asking debuginfod ...") */
typedef void (*elf_notice_fn)(void *data, const char *text);
void elf_module_on_notice(struct elf_module *module, elf_notice_fn notice, void *data);

const char *elf_module_path(const struct elf_module *module); /* canonical */
/** the file itself, whatever its names are */
void elf_module_file(
	const struct elf_module *module, dev_t *ret_device, ino_t *ret_inode);
/** lowercase hex build ID, "" when there is none */
const char *elf_module_build_id(const struct elf_module *module);
/** does it bring the Go runtime? */
bool elf_module_is_go(const struct elf_module *module);
bool elf_module_is_pie(const struct elf_module *module); /* ET_DYN */
uint64_t elf_module_entry(const struct elf_module *module);
/** path in PT_INTERP, NULL for static programs and libraries without */
const char *elf_module_interpreter(const struct elf_module *module);
bool elf_module_has_dwarf(
	struct elf_module *module); /* loads it: may be slow the first time */

struct elf_segment {
	uint64_t address, file_offset, file_size, memory_size;
	const uint8_t *bytes; /* of file_size bytes, borrowed from the module */
	bool executable, writable;
};
/** PT_LOAD segments in address order */
const struct elf_segment *elf_module_segments(
	const struct elf_module *module, size_t *ret_count);

struct elf_function {
	const char *name;
	const char *
		version; /* of the name as it stands, when symbols have versions; else NULL */
	uint64_t start, end; /* end from st_size, else the next symbol or FDE */
	bool is_exported;    /* a global or weak symbol with default visibility */
	bool is_ifunc;
	bool is_nameless;  /* sub_ADDRESS: known to the unwind tables alone */
	bool is_cold_part; /* foo.cold, foo.part.N: control also enters by jumps from foo
			    */
};
/**
 * elf_module_functions() - .symtab, .dynsym, .gnu_debugdata merged, sorted by address;
 * several names at one address stay several entries
 * Of a file without .symtab, whose rest of it is nowhere on this machine, also what the unwind
 * tables describe and no symbol names: sub_ADDRESS, with the link-time address in hexadecimal.
 */
const struct elf_function *elf_module_functions(
	struct elf_module *module, size_t *ret_count);

/**
 * elf_ifunc_implementations() - what the resolver of an indirect function can choose
 * Found as the addresses of functions that its code takes; *ret in @arena.
 */
size_t elf_ifunc_implementations(struct elf_module *module,
	const struct elf_function *ifunc, struct arena *arena, uint64_t **ret);

/** address of a data or code symbol by its exact name, local ones included; false: none */
bool elf_module_symbol(const struct elf_module *module, const char *name, uint64_t *ret);

/** sorted unique addresses at which a function or FDE begins: symbols, .eh_frame */
const uint64_t *elf_module_function_starts(struct elf_module *module, size_t *ret_count);

/** of those: cold parts of functions (foo.cold), and what only unwind tables know of, which may be parts */
const uint64_t *elf_module_part_starts(struct elf_module *module, size_t *ret_count);

/** sorted: landing pads of .gcc_except_table, code addresses in relative relocations,
 * .init_array */
const uint64_t *elf_module_indirect_targets(struct elf_module *module, size_t *ret_count);

/** the extent [start, end) that covers an address, from symbols and FDEs; false: unknown
 */
bool elf_module_function_at(struct elf_module *module, uint64_t address,
	uint64_t *ret_start, uint64_t *ret_end, const char **ret_name);

/* What is not a function: a variable, or "name@plt". */
struct elf_object {
	const char *name;
	uint64_t start, end;
};
/** elf_module_object_at() - what covers an address that no function covers; NULL: nothing known */
const struct elf_object *elf_module_object_at(
	struct elf_module *module, uint64_t address);

/** load bias of this module mapped with file offset `offset` at `address` (from
 * /proc/PID/maps) */
uint64_t elf_module_bias(
	const struct elf_module *module, uint64_t map_address, uint64_t map_offset);
