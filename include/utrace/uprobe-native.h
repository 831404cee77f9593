/* SPDX-License-Identifier: MIT */
/*
 * For functions that run in a traced process when it comes to a probe: uprobe_code_load() in
 * <utrace/uprobes.h> brings them there.
 *
 * They run inside whatever the program was doing, on its stack: no libc, no system calls, no writable
 * data of their own (what they keep is in hit->shared, which all threads of all processes see: use
 * atomic operations), a few hundred bytes of stack, and general registers only:
 *
 *     cc -c -O2 -fPIC -ffreestanding -mgeneral-regs-only -fno-stack-protector -fcf-protection=none
 *
 * Memory of the program is read with hit->read(), which survives bad addresses.  A probe that is hit
 * by a signal handler while a function runs for the same thread is skipped.
 */
#pragma once

#include <stdint.h>

/* The program's registers; changes are written back. */
struct uprobe_native_regs {
	uint64_t flags; /* not RFLAGS; to be left alone */
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t rbx, rbp, r12, r13, r14, r15;
};

struct uprobe_native_hit {
	struct uprobe_native_regs *regs;
	uint64_t sp; /* the program's stack pointer */
	uint64_t ip; /* the probed instruction; of a return: the one that leaves */
	void *shared;
	uint64_t shared_size;
	uint64_t cookie; /* the consumer's */
	uint32_t pid, tid;
	/* @size: 1, 2, 4 or 8 bytes, the rest of *@value is 0.  0; -1: cannot be read */
	int (*read)(uint64_t address, uint64_t *value, uint32_t size);
};

typedef void uprobe_native_fn(const struct uprobe_native_hit *hit);
