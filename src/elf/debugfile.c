/* SPDX-License-Identifier: MIT */
/*
 * Separate debug files on this machine.  A build ID decides when there is one; a .gnu_debuglink has a
 * checksum of the whole file instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "elf/internal.h"

#define DEBUG_ROOT "/usr/lib/debug"

enum {
	SECTION_SIZE_MAX = 1 << 30
};

/* ---- finding -------------------------------------------------------------------------------------------- */

/* CRC-32 as of IEEE 802.3, four bits at a time. */
static uint32_t checksum(const uint8_t *bytes, uint64_t size)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344,
		0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = ~0u;
	for (uint64_t i = 0; i < size; i++) {
		crc = table[(crc ^ bytes[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ (uint32_t)bytes[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

/* Is this the debug file of the module?  @crc: of .gnu_debuglink, NULL: found by build ID. */
static bool is_right_file(
	const struct elf_module *module, const char *path, const uint32_t *crc)
{
	struct elf_image image;
	char build_id[ELF_BUILD_ID_SIZE];
	if (elf_image_open(&image, path, path, NULL) < 0)
		return false;
	elf_image_build_id(&image, build_id);
	bool is_right = build_id[0] && module->build_id[0]
				? strcmp(build_id, module->build_id) == 0
				: crc && checksum(image.bytes, image.size) == *crc;
	elf_image_close(&image);
	return is_right;
}

static char *try_path(const struct elf_module *module, char *path, const uint32_t *crc)
{
	if (path && access(path, R_OK) == 0 && is_right_file(module, path, crc))
		return path;
	free(path);
	return NULL;
}

must_check static char *format(const char *fmt, ...) printf_like(1, 2);
static char *format(const char *fmt, ...)
{
	char *text;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

static char *find_by_link(const struct elf_module *module)
{
	const struct elf_section *section =
		elf_image_find_section(&module->image, ".gnu_debuglink");
	const char *name = section ? elf_section_string(section, 0) : NULL;
	uint32_t crc;
	if (!name || !name[0] || strchr(name, '/'))
		return NULL;
	uint64_t offset = (strlen(name) + 1 + 3) & ~(uint64_t)3;
	if (offset > section->size || section->size - offset < sizeof(crc))
		return NULL;
	memcpy(&crc, section->bytes + offset, sizeof(crc));
	const char *slash = strrchr(module->path, '/');
	int length = slash ? (int)(slash - module->path) : 0;
	char *found =
		try_path(module, format("%.*s/%s", length, module->path, name), &crc);
	if (!found)
		found = try_path(module,
			format("%.*s/.debug/%s", length, module->path, name), &crc);
	if (!found)
		found = try_path(module,
			format(DEBUG_ROOT "%.*s/%s", length, module->path, name), &crc);
	return found;
}

int elf_debug_file_find(const struct elf_module *module, char **ret_path)
{
	char *path = NULL;
	if (strlen(module->build_id) > 2)
		path = try_path(module,
			format(DEBUG_ROOT "/.build-id/%.2s/%s.debug", module->build_id,
				module->build_id + 2),
			NULL);
	if (!path)
		path = find_by_link(module);
	if (!path)
		return -ENOENT;
	int fd = elf_debug_inflate(open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0) {
		free(path);
		return -ENOENT;
	}
	*ret_path = path;
	return fd;
}

void elf_debug_file_announce(const struct elf_module *module)
{
	const char *servers = getenv("DEBUGINFOD_URLS");
	if (!servers || !servers[0] || !module->build_id[0] || !module->notice)
		return;
	CLEANUP(cleanup_free)
	char *text = format("asking debuginfod for the debug information of %s (%s)",
		module->path, servers);
	if (text)
		module->notice(module->notice_data, text);
}

/* ---- zstd ------------------------------------------------------------------------------------------------ */

static bool is_zstd(const struct elf_section *section, Elf64_Chdr *ret)
{
	if (!(section->flags & SHF_COMPRESSED) || !section->bytes ||
		section->size < sizeof(*ret))
		return false;
	memcpy(ret, section->bytes, sizeof(*ret));
	return ret->ch_type == 2 /* ELFCOMPRESS_ZSTD */ &&
	       ret->ch_size <= SECTION_SIZE_MAX;
}

static bool write_at(int fd, const void *bytes, uint64_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
		if (n <= 0)
			return false;
		bytes = (const char *)bytes + n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return true;
}

/* The unpacked section goes to the end of the copy, and its header tells so. */
static bool unpack_section(const struct elf_image *image, size_t index,
	const Elf64_Chdr *compressed, int copy, uint64_t *end)
{
	const struct elf_section *section = &image->sections[index];
	Elf64_Shdr header;
	uint64_t at = image->header.e_shoff + index * sizeof(header);
	uint64_t offset = (*end + 15) & ~(uint64_t)15;
	CLEANUP(cleanup_free) void *bytes = malloc(compressed->ch_size + 1);
	if (!bytes)
		return false;
	size_t size = ZSTD_decompress(bytes, compressed->ch_size,
		section->bytes + sizeof(*compressed),
		section->size - sizeof(*compressed));
	const uint8_t *raw = elf_image_range(image, at, sizeof(header));
	if (ZSTD_isError(size) || !raw)
		return false;
	memcpy(&header, raw, sizeof(header));
	header.sh_flags &= ~(uint64_t)SHF_COMPRESSED;
	header.sh_offset = offset;
	header.sh_size = size;
	header.sh_addralign = compressed->ch_addralign;
	*end = offset + size;
	return write_at(copy, bytes, size, offset) &&
	       write_at(copy, &header, sizeof(header), at);
}

static int unpack_all(const struct elf_image *image)
{
	Elf64_Chdr compressed;
	uint64_t end = image->size;
	int copy = memfd_create("utrace-debug", MFD_CLOEXEC);
	bool ok = copy >= 0 && write_at(copy, image->bytes, image->size, 0);
	for (size_t i = 0; ok && i < image->section_count; i++) {
		if (is_zstd(&image->sections[i], &compressed))
			ok = unpack_section(image, i, &compressed, copy, &end);
	}
	if (!ok && copy >= 0)
		close(copy);
	return ok ? copy : -1;
}

int elf_debug_inflate(int fd)
{
	struct elf_image image;
	Elf64_Chdr compressed;
	char path[64];
	bool wanted = false;
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (elf_image_open(&image, path, path, NULL) < 0)
		return fd;
	for (size_t i = 0; i < image.section_count && !wanted; i++)
		wanted = is_zstd(&image.sections[i], &compressed);
	int copy = wanted ? unpack_all(&image) : -1;
	elf_image_close(&image);
	if (copy < 0)
		return fd; /* libelf will say that it cannot read it */
	close(fd);
	return copy;
}
