/* SPDX-License-Identifier: MIT */
/*
 * Stacks of other processes, by call frame information: no frame pointers are needed.  The thread
 * waits meanwhile, at a place whose registers the caller knows.  One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	/* numbered as DWARF does: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, return address */
	ELF_UNWIND_REGISTERS = 17,
	ELF_UNWIND_RBX = 3,
	ELF_UNWIND_RBP = 6,
	ELF_UNWIND_RSP = 7,
	ELF_UNWIND_R12 = 12,
	ELF_UNWIND_PC = 16,
};

struct elf_unwinder;

/* Memory as it was when the registers were: what is here is not read from the process. */
struct elf_unwind_stack {
	uint64_t start, size;
	const void *data;
};
/** elf_unwind_stack_read() - false: not all of it is in there; @stack may be NULL */
bool elf_unwind_stack_read(
	const struct elf_unwind_stack *stack, uint64_t address, uint64_t size, void *ret);

struct elf_unwinder *elf_unwinder_create(void);
void elf_unwinder_destroy(struct elf_unwinder *unwinder);

/** elf_unwinder_forget() - the process has mapped something else by now */
void elf_unwinder_forget(struct elf_unwinder *unwinder, pid_t pid);

/**
 * elf_unwind() - the program counters of the frames, the innermost first
 * @stack: NULL: all is read from the process
 * Return: how many; 0: nothing is known of the process
 */
size_t elf_unwind(struct elf_unwinder *unwinder, pid_t pid,
	const uint64_t registers[ELF_UNWIND_REGISTERS],
	const struct elf_unwind_stack *stack, uint64_t *ret, size_t limit);
