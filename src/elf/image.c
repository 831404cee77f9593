/* SPDX-License-Identifier: MIT */
#include "elf/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TABLE_ENTRIES_MAX = 1 << 20
}; /* more program or section headers than any linker writes */

const uint8_t *elf_image_range(
	const struct elf_image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset)
		return NULL;
	return image->bytes + offset;
}

const struct elf_section *elf_image_find_section(
	const struct elf_image *image, const char *name)
{
	for (size_t i = 1; i < image->section_count; i++) {
		if (strcmp(image->sections[i].name, name) == 0)
			return &image->sections[i];
	}
	return NULL;
}

const char *elf_section_string(const struct elf_section *section, uint64_t offset)
{
	if (!section->bytes || offset >= section->size)
		return NULL;
	const char *text = (const char *)section->bytes + offset;
	return memchr(text, '\0', section->size - offset) ? text : NULL;
}

static int image_map(
	struct elf_image *image, const char *path, const char *shown, struct error *err)
{
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (image->fd < 0)
		return error_set(
			err, -errno, "cannot open %s: %s", shown, strerror(errno));
	struct stat st;
	if (fstat(image->fd, &st) < 0)
		return error_set(
			err, -errno, "cannot stat %s: %s", shown, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, -ENOEXEC, "%s is not a regular file", shown);
	if (st.st_size < (off_t)EI_NIDENT)
		return error_set(err, -ENOEXEC, "%s is not an ELF file", shown);
	image->size = (uint64_t)st.st_size;
	image->device = st.st_dev;
	image->inode = st.st_ino;
	void *bytes = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, image->fd, 0);
	if (bytes == MAP_FAILED)
		return error_set(
			err, -errno, "cannot map %s: %s", shown, strerror(errno));
	image->bytes = bytes;
	return 0;
}

static int image_check_header(
	struct elf_image *image, const char *shown, struct error *err)
{
	const uint8_t *ident = image->bytes;
	if (memcmp(ident, ELFMAG, SELFMAG) != 0)
		return error_set(err, -ENOEXEC, "%s is not an ELF file", shown);
	if (ident[EI_CLASS] == ELFCLASS32)
		return error_set(err, -ENOEXEC,
			"%s is a 32-bit program; only x86-64 is supported", shown);
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB)
		return error_set(err, -ENOEXEC,
			"%s is not a little-endian 64-bit ELF file; only x86-64 is supported",
			shown);
	if (image->size < sizeof(image->header))
		return error_set(err, -ENOEXEC,
			"%s is truncated: %" PRIu64 " bytes are no header", shown,
			image->size);
	memcpy(&image->header, image->bytes, sizeof(image->header));
	if (image->header.e_machine != EM_X86_64)
		return error_set(err, -ENOEXEC,
			"%s is for another processor (ELF machine %u); only x86-64 is supported",
			shown, image->header.e_machine);
	return 0;
}

/* Counts above 16 bits live in section header 0 (gABI "extended numbering"). */
static int image_table_counts(struct elf_image *image, uint64_t *ret_sections,
	uint64_t *ret_string_index, const char *shown, struct error *err)
{
	const Elf64_Ehdr *header = &image->header;
	uint64_t sections = header->e_shnum, strings = header->e_shstrndx;
	uint64_t programs = header->e_phnum;
	if (header->e_shoff &&
		(sections == 0 || strings == SHN_XINDEX || programs == PN_XNUM)) {
		const uint8_t *raw =
			elf_image_range(image, header->e_shoff, sizeof(Elf64_Shdr));
		if (!raw)
			return error_set(err, -ENOEXEC,
				"%s is truncated: section headers at %#" PRIx64
				" lie beyond its end (%" PRIu64 " bytes)",
				shown, header->e_shoff, image->size);
		Elf64_Shdr first;
		memcpy(&first, raw, sizeof(first));
		if (sections == 0)
			sections = first.sh_size;
		if (strings == SHN_XINDEX)
			strings = first.sh_link;
		if (programs == PN_XNUM)
			programs = first.sh_info;
	}
	if (!header->e_shoff)
		sections = 0;
	if (!header->e_phoff)
		programs = 0;
	if (sections > TABLE_ENTRIES_MAX || programs > TABLE_ENTRIES_MAX)
		return error_set(
			err, -ENOEXEC, "%s is corrupt: absurd number of headers", shown);
	image->program_header_count = programs;
	*ret_sections = sections;
	*ret_string_index = strings;
	return 0;
}

static int image_read_program_headers(
	struct elf_image *image, const char *shown, struct error *err)
{
	size_t count = image->program_header_count;
	if (count && image->header.e_phentsize != sizeof(Elf64_Phdr))
		return error_set(err, -ENOEXEC,
			"%s is corrupt: program headers of %u bytes", shown,
			image->header.e_phentsize);
	const uint8_t *raw =
		elf_image_range(image, image->header.e_phoff, count * sizeof(Elf64_Phdr));
	if (count && !raw)
		return error_set(err, -ENOEXEC,
			"%s is truncated: program headers at %#" PRIx64
			" lie beyond its end (%" PRIu64 " bytes)",
			shown, image->header.e_phoff, image->size);
	image->program_headers = calloc(count + 1, sizeof(Elf64_Phdr));
	if (!image->program_headers)
		return error_set(err, -ENOMEM, "out of memory");
	if (count)
		memcpy(image->program_headers, raw, count * sizeof(Elf64_Phdr));
	return 0;
}

static int image_read_sections(struct elf_image *image, uint64_t count,
	uint64_t string_index, const char *shown, struct error *err)
{
	if (count && image->header.e_shentsize != sizeof(Elf64_Shdr))
		return error_set(err, -ENOEXEC,
			"%s is corrupt: section headers of %u bytes", shown,
			image->header.e_shentsize);
	const uint8_t *raw =
		elf_image_range(image, image->header.e_shoff, count * sizeof(Elf64_Shdr));
	if (count && !raw)
		return error_set(err, -ENOEXEC,
			"%s is truncated: section headers at %#" PRIx64
			" lie beyond its end (%" PRIu64 " bytes)",
			shown, image->header.e_shoff, image->size);
	image->sections = calloc(count + 1, sizeof(*image->sections));
	if (!image->sections)
		return error_set(err, -ENOMEM, "out of memory");
	image->section_count = count;
	for (size_t pass = 0; pass < 2;
		pass++) { /* names need the string section first */
		for (size_t i = 0; i < count; i++) {
			Elf64_Shdr header;
			memcpy(&header, raw + i * sizeof(header), sizeof(header));
			struct elf_section *section = &image->sections[i];
			if (pass == 1) {
				const char *name = NULL;
				if (string_index < count)
					name = elf_section_string(
						&image->sections[string_index],
						header.sh_name);
				section->name = name ? name : "";
				continue;
			}
			section->type = header.sh_type;
			section->link = header.sh_link;
			section->flags = header.sh_flags;
			section->address = header.sh_addr;
			section->offset = header.sh_offset;
			section->size = header.sh_size;
			if (header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL)
				section->bytes = elf_image_range(
					image, header.sh_offset, header.sh_size);
		}
	}
	return 0;
}

int elf_image_open(struct elf_image *image, const char *path, const char *shown_path,
	struct error *err)
{
	*image = (struct elf_image){.fd = -1};
	uint64_t sections = 0, string_index = 0;
	int r = image_map(image, path, shown_path, err);
	if (r == 0)
		r = image_check_header(image, shown_path, err);
	if (r == 0)
		r = image_table_counts(image, &sections, &string_index, shown_path, err);
	if (r == 0)
		r = image_read_program_headers(image, shown_path, err);
	if (r == 0)
		r = image_read_sections(image, sections, string_index, shown_path, err);
	if (r < 0)
		elf_image_close(image);
	return r;
}

void elf_image_close(struct elf_image *image)
{
	if (image->bytes)
		munmap((void *)(uintptr_t)image->bytes, image->size);
	if (image->fd >= 0)
		close(image->fd);
	free(image->program_headers);
	free(image->sections);
	*image = (struct elf_image){.fd = -1};
}

/* True when the notes in [bytes, bytes + size) hold a build ID. */
static bool notes_build_id(const uint8_t *bytes, uint64_t size, uint64_t align, char *ret)
{
	align = align == 8 ? 8 : 4;
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, bytes, sizeof(note));
		uint64_t name_end = sizeof(note) + (uint64_t)note.n_namesz;
		uint64_t data = (name_end + align - 1) & ~(align - 1);
		uint64_t next = (data + note.n_descsz + align - 1) & ~(align - 1);
		if (name_end > size || data > size || note.n_descsz > size - data)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(bytes + sizeof(note), "GNU", 4) == 0 &&
			note.n_descsz > 0 &&
			note.n_descsz <= (ELF_BUILD_ID_SIZE - 1) / 2) {
			for (uint32_t i = 0; i < note.n_descsz; i++) {
				ret[2 * i] = "0123456789abcdef"[bytes[data + i] >> 4];
				ret[2 * i + 1] = "0123456789abcdef"[bytes[data + i] & 15];
			}
			ret[2 * note.n_descsz] = '\0';
			return true;
		}
		if (next >= size)
			return false;
		bytes += next;
		size -= next;
	}
	return false;
}

void elf_image_build_id(const struct elf_image *image, char *ret)
{
	ret[0] = '\0';
	for (size_t i = 0; i < image->section_count; i++) {
		const struct elf_section *section = &image->sections[i];
		if (section->type == SHT_NOTE && section->bytes &&
			notes_build_id(section->bytes, section->size, 4, ret))
			return;
	}
	for (size_t i = 0; i < image->program_header_count; i++) {
		const Elf64_Phdr *header = &image->program_headers[i];
		if (header->p_type != PT_NOTE)
			continue;
		const uint8_t *bytes =
			elf_image_range(image, header->p_offset, header->p_filesz);
		if (bytes &&
			notes_build_id(bytes, header->p_filesz, header->p_align, ret))
			return;
	}
}
