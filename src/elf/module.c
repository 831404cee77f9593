/* SPDX-License-Identifier: MIT */
#include "elf/module.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "elf/internal.h"

enum {
	PAGE_SIZE_MASK = 4095
};

static int segment_compare(const void *a, const void *b)
{
	const struct elf_segment *left = a, *right = b;
	return left->address < right->address ? -1 : left->address > right->address;
}

static int module_read_segments(struct elf_module *module, struct error *err)
{
	const struct elf_image *image = &module->image;
	module->segments =
		calloc(image->program_header_count + 1, sizeof(*module->segments));
	if (!module->segments)
		return error_set(err, -ENOMEM, "out of memory");
	bool has_text = false;
	for (size_t i = 0; i < image->program_header_count; i++) {
		const Elf64_Phdr *header = &image->program_headers[i];
		if (header->p_type != PT_LOAD || header->p_memsz == 0)
			continue;
		const uint8_t *bytes =
			elf_image_range(image, header->p_offset, header->p_filesz);
		if (!bytes)
			return error_set(err, -ENOEXEC,
				"%s is truncated: the segment at file offset %#" PRIx64
				" of %#" PRIx64 " bytes ends beyond the file (%#" PRIx64
				" bytes)",
				module->path, header->p_offset, header->p_filesz,
				image->size);
		if (header->p_filesz > header->p_memsz ||
			header->p_vaddr + header->p_memsz < header->p_vaddr)
			return error_set(err, -ENOEXEC,
				"%s is corrupt: impossible segment at address %#" PRIx64,
				module->path, header->p_vaddr);
		module->segments[module->segment_count++] = (struct elf_segment){
			.address = header->p_vaddr,
			.file_offset = header->p_offset,
			.file_size = header->p_filesz,
			.memory_size = header->p_memsz,
			.bytes = bytes,
			.executable = header->p_flags & PF_X,
			.writable = header->p_flags & PF_W,
		};
		has_text = has_text || ((header->p_flags & PF_X) && header->p_filesz);
	}
	if (!has_text)
		return error_set(
			err, -ENOEXEC, "%s has no executable segment", module->path);
	qsort(module->segments, module->segment_count, sizeof(*module->segments),
		segment_compare);
	return 0;
}

static void module_read_interpreter(struct elf_module *module)
{
	for (size_t i = 0; i < module->image.program_header_count; i++) {
		const Elf64_Phdr *header = &module->image.program_headers[i];
		if (header->p_type != PT_INTERP || header->p_filesz == 0)
			continue;
		const uint8_t *bytes = elf_image_range(
			&module->image, header->p_offset, header->p_filesz);
		if (bytes && memchr(bytes, '\0', header->p_filesz))
			module->interpreter = (const char *)bytes;
	}
}

/*
 * /proc/PID/root/... and /proc/self/fd/N resolve to names that mean another file, or
 * none, here: then the path as given is the only one that leads to the file.
 */
static char *canonical_path(const char *path)
{
	char *real = realpath(path, NULL);
	struct stat given, found;
	if (real && stat(path, &given) == 0 && stat(real, &found) == 0 &&
		given.st_dev == found.st_dev && given.st_ino == found.st_ino)
		return real;
	free(real);
	return strdup(path);
}

static int module_check_type(const struct elf_module *module, struct error *err)
{
	switch (module->image.header.e_type) {
	case ET_EXEC:
	case ET_DYN:
		return 0;
	case ET_REL:
		return error_set(err, -ENOEXEC,
			"%s is an object file, not a program or library", module->path);
	case ET_CORE:
		return error_set(err, -ENOEXEC,
			"%s is a core dump, not a program or library", module->path);
	default:
		return error_set(err, -ENOEXEC, "%s is corrupt: unknown ELF type %u",
			module->path, module->image.header.e_type);
	}
}

int elf_module_open(const char *path, struct elf_module **ret, struct error *err)
{
	struct elf_module *module = calloc(1, sizeof(*module));
	if (!module)
		return error_set(err, -ENOMEM, "out of memory");
	arena_init(&module->arena);
	module->image.fd = module->debug_image.fd = -1;
	module->path = canonical_path(path);
	int r = module->path ? 0 : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = elf_image_open(&module->image, path, path, err);
	if (r == 0)
		r = module_check_type(module, err);
	if (r == 0)
		r = module_read_segments(module, err);
	if (r < 0) {
		elf_module_close(module);
		return r;
	}
	module_read_interpreter(module);
	elf_image_build_id(&module->image, module->build_id);
	*ret = module;
	return 0;
}

void elf_module_close(struct elf_module *module)
{
	if (!module)
		return;
	elf_dwarf_destroy(module->dwarf);
	elf_texts_forget();
	vec_free(&module->functions);
	vec_free(&module->fdes);
	vec_free(&module->starts);
	vec_free(&module->parts);
	vec_free(&module->targets);
	vec_free(&module->marks);
	vec_free(&module->objects);
	free(module->function_max_end);
	free(module->segments);
	free(module->path);
	arena_deinit(&module->arena);
	elf_image_close(&module->debug_image);
	elf_image_close(&module->image);
	cache_memo_close(module->answers);
	for (size_t i = 0; i < module->kept.count; i++)
		cache_blob_release(&module->kept.items[i]);
	vec_free(&module->kept);
	free(module->identity);
	free(module);
}

void elf_module_file(const struct elf_module *module, dev_t *ret_device, ino_t *ret_inode)
{
	*ret_device = module->image.device;
	*ret_inode = module->image.inode;
}

void elf_module_on_notice(struct elf_module *module, elf_notice_fn notice, void *data)
{
	module->notice = notice;
	module->notice_data = data;
}

const char *elf_module_path(const struct elf_module *module)
{
	return module->path;
}

const char *elf_module_build_id(const struct elf_module *module)
{
	return module->build_id;
}

bool elf_module_is_pie(const struct elf_module *module)
{
	return module->image.header.e_type == ET_DYN;
}

uint64_t elf_module_entry(const struct elf_module *module)
{
	return module->image.header.e_entry;
}

const char *elf_module_interpreter(const struct elf_module *module)
{
	return module->interpreter;
}

const struct elf_segment *elf_module_segments(
	const struct elf_module *module, size_t *ret_count)
{
	*ret_count = module->segment_count;
	return module->segments;
}

static const struct elf_segment *segment_at(
	const struct elf_module *module, uint64_t address)
{
	for (size_t i = 0; i < module->segment_count; i++) {
		const struct elf_segment *segment = &module->segments[i];
		if (address >= segment->address &&
			address - segment->address < segment->file_size)
			return segment;
	}
	return NULL;
}

const uint8_t *elf_module_bytes_to_end(
	const struct elf_module *module, uint64_t address, uint64_t *ret_size)
{
	const struct elf_segment *segment = segment_at(module, address);
	if (!segment)
		return NULL;
	*ret_size = segment->file_size - (address - segment->address);
	return segment->bytes + (address - segment->address);
}

const uint8_t *elf_module_bytes(
	const struct elf_module *module, uint64_t address, uint64_t size)
{
	uint64_t available;
	const uint8_t *bytes = elf_module_bytes_to_end(module, address, &available);
	return bytes && size <= available ? bytes : NULL;
}

bool elf_module_is_text(const struct elf_module *module, uint64_t address)
{
	const struct elf_segment *segment = segment_at(module, address);
	return segment && segment->executable;
}

/*
 * A mapping begins at the page of its segment's first byte.  Two segments can share a
 * page of the file: an exact start wins, and text among those, since that is what callers
 * look for.
 */
uint64_t elf_module_bias(
	const struct elf_module *module, uint64_t map_address, uint64_t map_offset)
{
	const struct elf_segment *best = NULL;
	int best_score = 0;
	for (size_t i = 0; i < module->segment_count; i++) {
		const struct elf_segment *segment = &module->segments[i];
		uint64_t start = segment->file_offset & ~(uint64_t)PAGE_SIZE_MASK;
		if (map_offset < start ||
			map_offset >= segment->file_offset + segment->file_size)
			continue;
		int score = 1 + 2 * (map_offset == start) + (segment->executable ? 1 : 0);
		if (score > best_score) {
			best = segment;
			best_score = score;
		}
	}
	if (!best)
		return map_address - map_offset;
	uint64_t page_offset = best->file_offset & ~(uint64_t)PAGE_SIZE_MASK;
	uint64_t page_address = best->address & ~(uint64_t)PAGE_SIZE_MASK;
	return map_address - (page_address + (map_offset - page_offset));
}
