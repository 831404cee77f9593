/* SPDX-License-Identifier: MIT */
/* The agent image mapped as an arena of this process, and its symbols. */
#pragma once

#include <elf.h>

#include "agent/agent.h"
#include "agent/image.h"
#include "fixture.h"

static unsigned char *block; /* arena page and image */

__attribute__((unused)) static void *image_symbol(const char *name)
{
	const unsigned char *image = block + AGENT_ARENA_IMAGE;
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)image;
	const Elf64_Phdr *ph =
		(const Elf64_Phdr *)(const void *)(image + header->e_phoff);
	const Elf64_Dyn *dyn = NULL;
	for (int i = 0; i < header->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const Elf64_Dyn *)(const void *)(image + ph[i].p_vaddr);
	const char *strings = NULL;
	const Elf64_Sym *symbols = NULL;
	const uint32_t *hash = NULL;
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		const void *at = image + dyn->d_un.d_ptr;
		if (dyn->d_tag == DT_STRTAB)
			strings = at;
		else if (dyn->d_tag == DT_SYMTAB)
			symbols = at;
		else if (dyn->d_tag == DT_HASH)
			hash = at;
	}
	for (uint32_t i = 0; hash && i < hash[1]; i++)
		if (strcmp(strings + symbols[i].st_name, name) == 0)
			return block + AGENT_ARENA_IMAGE + symbols[i].st_value;
	printf("Bail out! no symbol %s\n", name);
	exit(1);
}

#define SYMBOL(name) ((__typeof__(&name))(uintptr_t)image_symbol(#name))

__attribute__((unused)) static unsigned char *map_arena(
	struct fixture *f, uint64_t null_context)
{
	size_t size =
		(AGENT_ARENA_IMAGE + utrace_agent_image_size + 4095) & ~(size_t)4095;
	unsigned char *at = mmap(
		NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at + AGENT_ARENA_IMAGE, utrace_agent_image, utrace_agent_image_size);
	struct agent_arena *a = (struct agent_arena *)(void *)at;
	a->session = (uint64_t)(uintptr_t)f->session;
	a->null_context = null_context;
	a->image = (uint64_t)(uintptr_t)at + AGENT_ARENA_IMAGE;
	a->image_size = utrace_agent_image_size;
	mprotect(at + AGENT_ARENA_IMAGE, size - AGENT_ARENA_IMAGE, PROT_READ | PROT_EXEC);
	return at;
}

__attribute__((unused)) static void image_map(struct fixture *f)
{
	block = map_arena(f, 0);
}
