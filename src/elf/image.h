/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one x86-64 ELF file, mapped read-only, with its header tables checked.
 * Everything handed out lies inside the file.  Nothing beyond the tables is interpreted
 * here, so this serves programs and separate debug files alike.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct elf_section {
	const char *name;
	uint32_t type, link;
	uint64_t flags, address, offset, size;
	const uint8_t *bytes; /* NULL: no contents in this file */
};

struct elf_image {
	int fd;
	const uint8_t *bytes;
	uint64_t size;
	dev_t device;
	ino_t inode;
	Elf64_Ehdr header;
	Elf64_Phdr *program_headers;
	size_t program_header_count;
	struct elf_section *sections;
	size_t section_count;
};

/** elf_image_open() - map a file and check its tables; @shown_path is what messages call
 * it */
must_check int elf_image_open(struct elf_image *image, const char *path,
	const char *shown_path, struct error *err);
void elf_image_close(struct elf_image *image);

/** a range of the file, or NULL when it does not lie inside */
const uint8_t *elf_image_range(
	const struct elf_image *image, uint64_t offset, uint64_t size);
/** the first section of that name, or NULL */
const struct elf_section *elf_image_find_section(
	const struct elf_image *image, const char *name);
/** NUL-terminated string at an offset of a string section, or NULL */
const char *elf_section_string(const struct elf_section *section, uint64_t offset);

/**
 * elf_image_build_id() - lowercase hex of the GNU build ID note
 * @ret: at least ELF_BUILD_ID_SIZE bytes; "" when there is none
 */
enum {
	ELF_BUILD_ID_SIZE = 2 * 64 + 1
};
void elf_image_build_id(const struct elf_image *image, char *ret);
