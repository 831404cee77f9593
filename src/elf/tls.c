/* SPDX-License-Identifier: MIT */
/*
 * "ELF Handling For Thread-Local Storage", variant II.  A program's own block ends at the thread pointer.
 * A library's place is known at run time only, and to the library itself by what the dynamic linker wrote
 * into its global offset table: its module number (R_X86_64_DTPMOD64), with which the thread's vector of
 * blocks is indexed, or the offset of one of its variables to the thread pointer (R_X86_64_TPOFF64).
 */
#include "elf/tls.h"

#include <errno.h>
#include <string.h>

enum {
	VECTOR_OFFSET = 8, /* in the thread control block: glibc and musl agree */
	VECTOR_ENTRY = 16, /* glibc: the block, and what to free */
	VECTOR_ENTRY_MUSL = 8,
};

static const Elf64_Phdr *find_segment(const struct elf_image *image, uint32_t type)
{
	for (size_t i = 0; i < image->program_header_count; i++) {
		if (image->program_headers[i].p_type == type)
			return &image->program_headers[i];
	}
	return NULL;
}

/* Is it what execve(2) starts?  Libraries that can be run, as libc, have an interpreter too. */
static bool is_program(const struct elf_module *module)
{
	const struct elf_section *dynamic =
		elf_image_find_section(&module->image, ".dynamic");
	if (module->image.header.e_type == ET_EXEC || !dynamic || !dynamic->bytes)
		return true;
	for (uint64_t at = 0; dynamic->size - at >= sizeof(Elf64_Dyn);
		at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;
		memcpy(&entry, dynamic->bytes + at, sizeof(entry));
		if (entry.d_tag == DT_FLAGS_1)
			return entry.d_un.d_val & DF_1_PIE;
		if (entry.d_tag == DT_SONAME)
			return false;
	}
	return module->interpreter != NULL;
}

static bool is_musl(const struct elf_module *module)
{
	const struct elf_section *strings =
		elf_image_find_section(&module->image, ".dynstr");
	return strings && strings->bytes &&
	       memmem(strings->bytes, strings->size, "libc.musl-", 10) != NULL;
}

/* A slot of the global offset table that tells. */
struct slot {
	uint64_t address; /* 0: none */
	uint64_t type;
	int64_t variable; /* R_X86_64_TPOFF64: offset in the segment */
};

/* The offset in the segment of what a relocation is about; false: it is another module's. */
static bool slot_variable(const struct elf_image *image,
	const struct elf_section *section, const Elf64_Rela *rela, int64_t *ret)
{
	Elf64_Sym symbol;
	uint64_t index = ELF64_R_SYM(rela->r_info);
	*ret = rela->r_addend;
	if (index == 0)
		return true;
	if (section->link >= image->section_count)
		return false;
	const struct elf_section *symbols = &image->sections[section->link];
	if (!symbols->bytes || index >= symbols->size / sizeof(symbol))
		return false;
	memcpy(&symbol, symbols->bytes + index * sizeof(symbol), sizeof(symbol));
	*ret += (int64_t)symbol.st_value;
	return symbol.st_shndx != SHN_UNDEF;
}

static void look_at(const struct elf_image *image, const struct elf_section *section,
	struct slot *best)
{
	for (uint64_t at = 0; section->size - at >= sizeof(Elf64_Rela);
		at += sizeof(Elf64_Rela)) {
		Elf64_Rela rela;
		struct slot slot;
		memcpy(&rela, section->bytes + at, sizeof(rela));
		slot.address = rela.r_offset;
		slot.type = ELF64_R_TYPE(rela.r_info);
		if ((slot.type == R_X86_64_DTPMOD64 || slot.type == R_X86_64_TPOFF64) &&
			best->type != R_X86_64_TPOFF64 &&
			slot_variable(image, section, &rela, &slot.variable))
			*best = slot;
	}
}

static struct slot find_slot(const struct elf_image *image)
{
	struct slot best = {0};
	for (size_t i = 0; i < image->section_count; i++) {
		const struct elf_section *section = &image->sections[i];
		if (section->type == SHT_RELA && section->bytes &&
			(section->flags & SHF_ALLOC))
			look_at(image, section, &best);
	}
	return best;
}

static void emit_constant(
	struct elf_op_list *ops, int64_t value, enum elf_op_kind operation)
{
	elf_emit(ops, ELF_OP_CONST, value);
	elf_emit(ops, operation, 0);
}

int elf_tls_base(struct elf_module *module, struct elf_op_list *ops, const char **ret_why)
{
	const Elf64_Phdr *segment = find_segment(&module->image, PT_TLS);
	*ret_why = "it is thread-local, and nothing tells where";
	if (!segment)
		return -ENOTSUP;
	elf_emit(ops, ELF_OP_THREAD, 0);
	if (is_program(module)) {
		uint64_t align = segment->p_align ? segment->p_align : 1;
		uint64_t end = segment->p_vaddr + segment->p_memsz;
		end = (end + align - 1) / align * align;
		emit_constant(ops, (int64_t)(end - segment->p_vaddr), ELF_OP_SUB);
		return 0;
	}
	struct slot slot = find_slot(&module->image);
	if (!slot.address)
		return -ENOTSUP;
	if (slot.type == R_X86_64_TPOFF64) {
		elf_emit(ops, ELF_OP_STATIC, (int64_t)slot.address);
		elf_emit(ops, ELF_OP_DEREF, 8);
		elf_emit(ops, ELF_OP_ADD, 0);
		emit_constant(ops, slot.variable, ELF_OP_SUB);
		return 0;
	}
	emit_constant(ops, VECTOR_OFFSET, ELF_OP_ADD);
	elf_emit(ops, ELF_OP_DEREF, 8);
	elf_emit(ops, ELF_OP_STATIC, (int64_t)slot.address);
	elf_emit(ops, ELF_OP_DEREF, 8);
	emit_constant(
		ops, is_musl(module) ? VECTOR_ENTRY_MUSL : VECTOR_ENTRY, ELF_OP_MUL);
	elf_emit(ops, ELF_OP_ADD, 0);
	elf_emit(ops, ELF_OP_DEREF, 8);
	return 0;
}
