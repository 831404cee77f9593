/* SPDX-License-Identifier: MIT */
/* What the files of elf/ share: the module itself and its lazily built tables. */
#pragma once

#include "base/vec.h"
#include "cache/memo.h"
#include "elf/image.h"
#include "elf/mark.h"
#include "elf/module.h"

struct elf_dwarf;

struct elf_fde {
	uint64_t start, end;
	uint64_t lsda; /* 0: none */
	bool is_part;  /* starts in the middle of a frame, as blocks split off do */
};

struct elf_address_list {
	uint64_t *items;
	size_t count, capacity; /* the shape of VEC(uint64_t) */
};

struct elf_module {
	struct elf_image image;
	struct elf_image
		debug_image; /* local separate debug file, for its symbols; fd -1: none */
	char *path;
	char build_id[ELF_BUILD_ID_SIZE];
	const char *interpreter;
	elf_notice_fn notice;
	void *notice_data;
	struct elf_segment *segments;
	size_t segment_count;
	struct arena arena; /* names that are not in a mapped file */

	bool has_functions, has_fdes, has_starts, has_parts, has_targets, has_tried_dwarf,
		has_marks, has_objects;
	VEC(struct elf_function) functions;
	uint64_t *function_max_end; /* [i]: largest end among functions[0..i] */
	VEC(struct elf_fde) fdes;
	struct elf_address_list starts, parts, targets;
	VEC(struct elf_mark) marks;
	VEC(struct elf_object) objects; /* sorted, at different addresses */
	struct elf_dwarf *dwarf;

	/* kept.h */
	struct cache *cache; /* borrowed; NULL: nothing is kept */
	char *identity;
	struct cache_memo *answers;
	VEC(struct cache_blob) kept; /* names of functions are in one */
};

/** bytes behind a link-time address, at least @size of them; NULL when the file does not
 * have them */
const uint8_t *elf_module_bytes(
	const struct elf_module *module, uint64_t address, uint64_t size);
/** bytes behind an address up to the end of its segment's file contents */
const uint8_t *elf_module_bytes_to_end(
	const struct elf_module *module, uint64_t address, uint64_t *ret_size);
bool elf_module_is_text(const struct elf_module *module, uint64_t address);

/** .eh_frame: of that section, or what PT_GNU_EH_FRAME leads to (then up to the segment's end) */
bool elf_module_eh_frame(const struct elf_module *module, const uint8_t **ret,
	uint64_t *ret_size, uint64_t *ret_address);
/** FDEs of .eh_frame (and .debug_frame of the file itself), sorted by start */
const struct elf_fde *elf_module_fdes(struct elf_module *module, size_t *ret_count);
const struct elf_fde *elf_module_fde_at(struct elf_module *module, uint64_t address);

/* kept.h: what an earlier run found, and what is found now for a later one */
bool elf_functions_take(struct elf_module *module);
void elf_functions_keep(struct elf_module *module);
bool elf_addresses_take(
	struct elf_module *module, const char *what, struct elf_address_list *ret);
void elf_addresses_keep(const struct elf_module *module, const char *what,
	const struct elf_address_list *list);

void elf_address_list_sort(struct elf_address_list *list); /* and drop duplicates */
void elf_dwarf_destroy(struct elf_dwarf *dwarf);
/**
 * elf_debug_file_find() - the separate debug file of a module on this machine: by build ID under
 * /usr/lib/debug, or by .gnu_debuglink beside it and under /usr/lib/debug
 * @ret_path: malloc'ed
 * Return: a descriptor, or -ENOENT
 */
int elf_debug_file_find(const struct elf_module *module, char **ret_path);
/** debuginfod is about to be asked, which can take long */
void elf_debug_file_announce(const struct elf_module *module);
/**
 * elf_debug_inflate() - a file whose zstd-compressed debug sections are unpacked, for a libelf that
 * knows zlib only
 * Takes the descriptor; returns it when there is nothing to do.
 */
int elf_debug_inflate(int fd);

/** functions known only to the unwind tables, named sub_ADDRESS, appended to module->functions,
 * which must be sorted; what lies inside a function that is known already is none */
void elf_fde_functions_collect(struct elf_module *module);
/** functions known only to Go's own table (.gopclntab), appended to module->functions */
void elf_go_functions_collect(struct elf_module *module);
/** the first instruction after the stack check: growing the stack runs the entry again */
uint64_t elf_go_probe_address(const struct elf_module *module, uint64_t entry);

/* ---- reading little-endian values from untrusted bytes
 * ----------------------------------------- */

struct elf_cursor {
	const uint8_t *bytes, *end;
	bool is_bad; /* a read went past the end: all later reads give 0 */
};

uint64_t elf_cursor_fixed(struct elf_cursor *cursor, unsigned size);
uint64_t elf_cursor_uleb(struct elf_cursor *cursor);
int64_t elf_cursor_sleb(struct elf_cursor *cursor);
/**
 * elf_cursor_encoded() - a DW_EH_PE_* encoded pointer
 * @address: link-time address of the cursor's position, for pcrel
 * @base:    for datarel and funcrel
 * Return: the value; indirect ones are not followed and give 0
 */
uint64_t elf_cursor_encoded(
	struct elf_cursor *cursor, uint8_t encoding, uint64_t address, uint64_t base);

/** elf_texts_forget() - a file is closed: what text.c knows of its sections is no more; any thread */
void elf_texts_forget(void);
