/* SPDX-License-Identifier: MIT */
/*
 * A small linker: the agent's segments at their addresses, the sections of relocatable objects behind
 * them, relocations applied.  Everything is position independent and nothing is writable, so the image
 * can be copied to any address without further work.
 */
#include "agent/link.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
	SECTION_ALIGN = 16,
	IMAGE_LIMIT = 1 << 28
};

struct link {
	const unsigned char *object;
	size_t object_size;
	const Elf64_Ehdr *header;
	const Elf64_Shdr *sections;
	const char *names;
	uint64_t *
		place; /* per section of the object: offset in the image; 0: not loaded */
	const Elf64_Sym *symbols;
	size_t symbol_count;
	const char *strings;
	const char *what; /* the object, for messages */
	struct agent_link *image;
	struct error *error;
};

/* ---- reading ELF files
 * ------------------------------------------------------------------------ */

static bool range_ok(size_t total, uint64_t offset, uint64_t size)
{
	return size <= total && offset <= total - size;
}

static const Elf64_Ehdr *elf_header(const void *file, size_t size, uint16_t type)
{
	const Elf64_Ehdr *header = file;

	if (size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
		header->e_ident[EI_CLASS] != ELFCLASS64 ||
		header->e_machine != EM_X86_64 || header->e_type != type)
		return NULL;
	if (!range_ok(size, header->e_shoff,
		    (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)) ||
		!range_ok(size, header->e_phoff,
			(uint64_t)header->e_phnum * sizeof(Elf64_Phdr)))
		return NULL;
	const Elf64_Shdr *sections = (const void *)((const char *)file + header->e_shoff);
	for (unsigned i = 0; i < header->e_shnum; i++)
		if (sections[i].sh_type != SHT_NOBITS &&
			!range_ok(size, sections[i].sh_offset, sections[i].sh_size))
			return NULL;
	return header;
}

static const Elf64_Shdr *find_section(
	const void *file, const Elf64_Ehdr *header, uint32_t type)
{
	const Elf64_Shdr *sections = (const void *)((const char *)file + header->e_shoff);

	for (unsigned i = 0; i < header->e_shnum; i++)
		if (sections[i].sh_type == type && sections[i].sh_link < header->e_shnum)
			return &sections[i];
	return NULL;
}

/* ---- the agent
 * -------------------------------------------------------------------------------- */

static int agent_error(struct link *l, const char *what)
{
	return error_set(l->error, -ENOEXEC, "agent image: %s", what);
}

/*
 * The image is mapped read-only and nobody relocates it.  The dynamic section and the
 * reserved words of the PLT's table are marked writable but used by the dynamic linker
 * alone, which never sees it.
 */
static int check_agent_sections(
	struct link *l, const void *agent, const Elf64_Ehdr *header)
{
	const Elf64_Shdr *sections =
		(const void *)((const char *)agent + header->e_shoff);
	enum {
		GOT_RESERVED = 3 * sizeof(uint64_t)
	};

	for (unsigned i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *s = &sections[i];

		if (!(s->sh_flags & SHF_ALLOC) || !s->sh_size)
			continue;
		if (s->sh_type == SHT_RELA || s->sh_type == SHT_REL)
			return agent_error(l, "needs relocation");
		if (s->sh_flags & SHF_WRITE && s->sh_type != SHT_DYNAMIC &&
			s->sh_size > GOT_RESERVED)
			return agent_error(l, "has writable data");
	}
	return 0;
}

static int load_agent(struct link *l, const void *agent, size_t size)
{
	const Elf64_Ehdr *header = elf_header(agent, size, ET_DYN);
	uint64_t end = 0;

	if (!header)
		return agent_error(l, "not an x86-64 shared object");
	int r = check_agent_sections(l, agent, header);
	if (r < 0)
		return r;
	const Elf64_Phdr *segments =
		(const void *)((const char *)agent + header->e_phoff);
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *p = &segments[i];

		if (p->p_type != PT_LOAD)
			continue;
		if (!range_ok(size, p->p_offset, p->p_filesz) ||
			p->p_memsz < p->p_filesz ||
			!range_ok(IMAGE_LIMIT, p->p_vaddr, p->p_memsz))
			return agent_error(l, "bad segment");
		if (p->p_vaddr + p->p_memsz > end)
			end = p->p_vaddr + p->p_memsz;
	}
	l->image->bytes = calloc(1, end + 1);
	if (!l->image->bytes)
		return error_set(l->error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			memcpy(l->image->bytes + segments[i].p_vaddr,
				(const char *)agent + segments[i].p_offset,
				segments[i].p_filesz);
	l->image->size = end;
	return 0;
}

static int add_symbol(struct link *l, const char *name, int64_t offset)
{
	struct agent_link *result = l->image;
	uint32_t count = result->symbol_count;

	if ((count & (count - 1)) == 0) {
		size_t room = count ? count * 2 : 1;
		void *grown = realloc(result->symbols, room * sizeof(*result->symbols));
		if (!grown)
			return error_set(l->error, -ENOMEM, "out of memory");
		result->symbols = grown;
	}
	result->symbols[count].name = strdup(name);
	result->symbols[count].offset = offset;
	if (!result->symbols[count].name)
		return error_set(l->error, -ENOMEM, "out of memory");
	result->symbol_count++;
	return 0;
}

static int compare_symbols(const void *a, const void *b)
{
	return strcmp(((const struct agent_symbol *)a)->name,
		((const struct agent_symbol *)b)->name);
}

/* Defined symbols of an ELF file, by @place of their section (NULL: their value as it
 * is). */
static int collect_symbols(struct link *l, const void *file, const Elf64_Ehdr *header,
	const Elf64_Shdr *table)
{
	const Elf64_Shdr *sections = (const void *)((const char *)file + header->e_shoff);
	const Elf64_Shdr *strings = &sections[table->sh_link];
	const Elf64_Sym *symbols = (const void *)((const char *)file + table->sh_offset);

	for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
		const Elf64_Sym *s = &symbols[i];
		const char *name = (const char *)file + strings->sh_offset + s->st_name;

		if (s->st_shndx == SHN_UNDEF || ELF64_ST_BIND(s->st_info) == STB_LOCAL ||
			s->st_name >= strings->sh_size ||
			!memchr(name, 0, strings->sh_size - s->st_name))
			continue;
		int r = add_symbol(l, name, (int64_t)s->st_value);
		if (r < 0)
			return r;
	}
	return 0;
}

static void sort_symbols(struct agent_link *image)
{
	qsort(image->symbols, image->symbol_count, sizeof(*image->symbols),
		compare_symbols);
}

int agent_link_export(struct agent_link *image,
	const struct agent_link_function *functions, size_t count, struct error *err)
{
	struct link l = {.image = image, .error = err};
	int r = 0;

	for (size_t i = 0; i < count && r >= 0; i++)
		r = add_symbol(&l, functions[i].name, (int64_t)functions[i].offset);
	sort_symbols(image);
	return r;
}

static int agent_symbols(struct link *l, const void *agent, size_t size)
{
	const Elf64_Ehdr *header = elf_header(agent, size, ET_DYN);
	const Elf64_Shdr *table = header ? find_section(agent, header, SHT_DYNSYM) : NULL;

	if (!table)
		return agent_error(l, "no symbols");
	int r = collect_symbols(l, agent, header, table);
	if (r >= 0)
		r = add_symbol(l, AGENT_LINK_ARENA, -AGENT_ARENA_IMAGE);
	if (r < 0)
		return r;
	sort_symbols(l->image);
	return 0;
}

int64_t agent_link_symbol(const struct agent_link *result, const char *name)
{
	struct agent_symbol key;
	const struct agent_symbol *found;

	memset(&key, 0, sizeof(key));
	/* bsearch only reads it */
	memcpy(&key.name, &name, sizeof(name));
	if (!result->symbol_count)
		return -ENOENT;
	found = bsearch(&key, result->symbols, result->symbol_count, sizeof(key),
		compare_symbols);
	return found ? found->offset : -ENOENT;
}

/* ---- an object
 * ---------------------------------------------------------------------- */

static const char *section_name(struct link *l, const Elf64_Shdr *section)
{
	return l->names + section->sh_name;
}

static int object_error(struct link *l, const char *what, const char *name)
{
	return error_set(l->error, -ENOEXEC, "%s: %s%s%s", l->what, what, name ? " " : "",
		name ? name : "");
}

static int open_object(struct link *l)
{
	l->header = elf_header(l->object, l->object_size, ET_REL);
	if (!l->header || l->header->e_shstrndx >= l->header->e_shnum)
		return object_error(l, "not a relocatable object", NULL);
	l->sections = (const void *)(l->object + l->header->e_shoff);
	l->names = (const char *)l->object + l->sections[l->header->e_shstrndx].sh_offset;
	const Elf64_Shdr *table = find_section(l->object, l->header, SHT_SYMTAB);
	if (!table)
		return object_error(l, "no symbols", NULL);
	l->symbols = (const void *)(l->object + table->sh_offset);
	l->symbol_count = table->sh_size / sizeof(Elf64_Sym);
	l->strings = (const char *)l->object + l->sections[table->sh_link].sh_offset;
	l->place = calloc(l->header->e_shnum, sizeof(*l->place));
	return l->place ? 0 : error_set(l->error, -ENOMEM, "out of memory");
}

/* Notes and unwind tables: nobody reads them in the image. */
static bool is_for_others(struct link *l, const Elf64_Shdr *section)
{
	return section->sh_type == SHT_NOTE || section->sh_type == SHT_X86_64_UNWIND ||
	       !strcmp(section_name(l, section), ".eh_frame");
}

static int place_sections(struct link *l)
{
	uint64_t at = l->image->size;

	for (unsigned i = 0; i < l->header->e_shnum; i++) {
		const Elf64_Shdr *s = &l->sections[i];

		if (!(s->sh_flags & SHF_ALLOC) || !s->sh_size || is_for_others(l, s))
			continue;
		if (s->sh_flags & SHF_WRITE || s->sh_type != SHT_PROGBITS ||
			s->sh_addralign > 4096 || s->sh_size > IMAGE_LIMIT)
			return object_error(l,
				s->sh_flags & SHF_WRITE
					? "there is no place for writable data: section"
					: "cannot place section",
				section_name(l, s));
		uint64_t align =
			s->sh_addralign > SECTION_ALIGN ? s->sh_addralign : SECTION_ALIGN;
		at = (at + align - 1) & ~(align - 1);
		l->place[i] = at;
		at += s->sh_size;
	}
	if (at > IMAGE_LIMIT)
		return object_error(l, "too big", NULL);
	unsigned char *grown = realloc(l->image->bytes, at + 1);
	if (!grown)
		return error_set(l->error, -ENOMEM, "out of memory");
	memset(grown + l->image->size, 0, at - l->image->size);
	l->image->bytes = grown;
	l->image->size = at;
	for (unsigned i = 0; i < l->header->e_shnum; i++)
		if (l->place[i])
			memcpy(grown + l->place[i], l->object + l->sections[i].sh_offset,
				l->sections[i].sh_size);
	return 0;
}

static int symbol_address(struct link *l, uint32_t index, int64_t *ret)
{
	if (index >= l->symbol_count)
		return object_error(l, "bad symbol number", NULL);
	const Elf64_Sym *s = &l->symbols[index];
	const char *name = l->strings + s->st_name;
	if (s->st_shndx == SHN_UNDEF) {
		*ret = agent_link_symbol(l->image, name);
		return *ret == -ENOENT ? object_error(l, "undefined symbol", name) : 0;
	}
	if (s->st_shndx >= l->header->e_shnum || !l->place[s->st_shndx])
		return object_error(l, "symbol in a section that is not loaded:", name);
	*ret = (int64_t)(l->place[s->st_shndx] + s->st_value);
	return 0;
}

static int relocate_one(struct link *l, const Elf64_Rela *rela, unsigned target)
{
	unsigned type = ELF64_R_TYPE(rela->r_info);
	int64_t value;

	/* an undefined symbol is the better message */
	int r = symbol_address(l, (uint32_t)ELF64_R_SYM(rela->r_info), &value);
	if (r < 0)
		return r;
	if (type != R_X86_64_PC32 && type != R_X86_64_PLT32)
		return error_set(
			l->error, -ENOEXEC, "%s: relocation of type %u", l->what, type);
	if (!range_ok(l->sections[target].sh_size, rela->r_offset, sizeof(int32_t)))
		return object_error(l, "relocation outside its section", NULL);
	uint64_t place = l->place[target] + rela->r_offset;
	value += rela->r_addend - (int64_t)place;
	if (value != (int32_t)value)
		return object_error(l, "relocation out of range", NULL);
	int32_t stored = (int32_t)value;
	memcpy(l->image->bytes + place, &stored, sizeof(stored));
	return 0;
}

static int relocate(struct link *l)
{
	for (unsigned i = 0; i < l->header->e_shnum; i++) {
		const Elf64_Shdr *s = &l->sections[i];

		if (s->sh_type != SHT_RELA || s->sh_info >= l->header->e_shnum ||
			!l->place[s->sh_info])
			continue;
		const Elf64_Rela *rela = (const void *)(l->object + s->sh_offset);
		for (size_t k = 0; k < s->sh_size / sizeof(*rela); k++) {
			int r = relocate_one(l, &rela[k], s->sh_info);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool symbol_is_named(
	const struct link *l, const Elf64_Sym *symbol, const char *name)
{
	const Elf64_Shdr *table = find_section(l->object, l->header, SHT_SYMTAB);
	size_t room = l->sections[table->sh_link].sh_size;

	return symbol->st_name < room &&
	       strnlen(l->strings + symbol->st_name, room - symbol->st_name) ==
		       strlen(name) &&
	       !strcmp(l->strings + symbol->st_name, name);
}

static int find_function(struct link *l, struct agent_link_function *function)
{
	for (size_t i = 0; i < l->symbol_count; i++) {
		const Elf64_Sym *s = &l->symbols[i];

		if (s->st_shndx == SHN_UNDEF || s->st_shndx >= l->header->e_shnum ||
			!l->place[s->st_shndx] || !symbol_is_named(l, s, function->name))
			continue;
		function->offset = l->place[s->st_shndx] + s->st_value;
		return 0;
	}
	return error_set(
		l->error, -ENOENT, "%s: no function %s", l->what, function->name);
}

int agent_link_open(
	const void *agent, size_t size, struct agent_link *ret, struct error *err)
{
	struct link l = {.image = ret, .error = err};
	int r = load_agent(&l, agent, size);

	return r < 0 ? r : agent_symbols(&l, agent, size);
}

static int check_code(const struct link *l, const struct agent_link_object *object)
{
	int r = 0;

	for (unsigned i = 0; i < l->header->e_shnum && r >= 0 && object->check; i++)
		if (l->place[i] && l->sections[i].sh_flags & SHF_EXECINSTR)
			r = object->check(l->object + l->sections[i].sh_offset,
				l->sections[i].sh_size, l->error);
	return r;
}

int agent_link_add_object(struct agent_link *image,
	const struct agent_link_object *object, struct agent_link_function *functions,
	size_t count, struct error *err)
{
	struct link l = {.object = object->bytes,
		.object_size = object->size,
		.what = object->what,
		.image = image,
		.error = err};
	size_t size = image->size;
	int r = open_object(&l);

	if (r >= 0)
		r = place_sections(&l);
	if (r >= 0)
		r = check_code(&l, object);
	if (r >= 0)
		r = relocate(&l);
	for (size_t i = 0; i < count && r >= 0; i++)
		r = find_function(&l, &functions[i]);
	if (r < 0)
		image->size = size;
	free(l.place);
	return r;
}

int agent_link_add_bytes(
	struct agent_link *image, const void *bytes, size_t size, uint64_t *ret_offset)
{
	size_t at = (image->size + SECTION_ALIGN - 1) & ~(size_t)(SECTION_ALIGN - 1);

	if (size > IMAGE_LIMIT || at + size > IMAGE_LIMIT)
		return -E2BIG;
	unsigned char *grown = realloc(image->bytes, at + size + 1);
	if (!grown)
		return -ENOMEM;
	memset(grown + image->size, 0, at - image->size);
	memcpy(grown + at, bytes, size);
	image->bytes = grown;
	image->size = at + size;
	*ret_offset = at;
	return 0;
}

void agent_link_close(struct agent_link *image)
{
	for (uint32_t i = 0; i < image->symbol_count; i++)
		free(image->symbols[i].name);
	free(image->symbols);
	free(image->bytes);
	memset(image, 0, sizeof(*image));
}
