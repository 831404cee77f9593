/* SPDX-License-Identifier: MIT */
#include <sys/syscall.h>

#include "arch/x86_64/emit.h"

enum {
	SIG_SETMASK_HOW = 2,
	SIGSET_SIZE = 8
};

/* movabs; flags are the program's own from the first instruction on, so none may touch them */
static void emit_load(struct emitter *e, unsigned reg, uint64_t value)
{
	EMIT(e, reg >= 8 ? 0x49 : 0x48, (uint8_t)(0xb8 | (reg & 7)));
	emit_u64(e, value);
}

static void emit_load_small(struct emitter *e, unsigned reg, uint32_t value)
{
	if (reg >= 8)
		EMIT(e, 0x41);
	EMIT(e, (uint8_t)(0xb8 | (reg & 7)));
	emit_u32(e, value);
}

enum {
	RAX,
	RCX,
	RDX,
	RSI = 6,
	RDI,
	R8,
	R9,
	R10,
	R11
};

enum {
	HOME_REGISTERS = 9,
	LOAD_SIZE = 10,
	PREFIX_SIZE = 32, /* the two system calls */
	JUMP_SIZE = 6
};

/* In the order in which the stub sets them. */
static void list_registers(struct arch_call_home *home, uint64_t *ret[HOME_REGISTERS])
{
	uint64_t *const registers[] = {&home->rax, &home->rcx, &home->rdx, &home->rsi,
		&home->rdi, &home->r8, &home->r9, &home->r10, &home->r11};
	memcpy(ret, registers, sizeof(registers));
}

size_t arch_call_stub(const struct arch_call_home *home, uint8_t ret[ARCH_CALL_STUB_MAX])
{
	static const uint8_t numbers[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11};
	struct emitter e = {.bytes = ret, .capacity = ARCH_CALL_STUB_MAX};
	struct arch_call_home copy = *home;
	uint64_t *registers[HOME_REGISTERS];
	list_registers(&copy, registers);
	EMIT(&e, 0x0f, 0x05); /* syscall: ours */
	/* rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8) */
	emit_load_small(&e, RAX, SYS_rt_sigprocmask);
	emit_load_small(&e, RDI, SIG_SETMASK_HOW);
	EMIT(&e, 0x48, 0x8d, 0x35); /* lea mask(%rip),%rsi */
	size_t mask = e.size;
	emit_u32(&e, 0);
	emit_load_small(&e, RDX, 0);
	emit_load_small(&e, R10, SIGSET_SIZE);
	EMIT(&e, 0x0f, 0x05);
	for (size_t i = 0; i < HOME_REGISTERS; i++)
		emit_load(&e, numbers[i], *registers[i]);
	EMIT(&e, 0xff, 0x25); /* jmp *0(%rip) */
	emit_u32(&e, 0);
	emit_u64(&e, home->rip);
	emit_patch_rel32(&e, mask, e.size);
	emit_u64(&e, home->signal_mask);
	return e.size;
}

bool arch_call_stub_home(
	const uint8_t bytes[ARCH_CALL_STUB_MAX], struct arch_call_home *ret)
{
	uint8_t same[ARCH_CALL_STUB_MAX];
	uint64_t *registers[HOME_REGISTERS];
	const uint8_t *at = bytes + PREFIX_SIZE;
	list_registers(ret, registers);
	for (size_t i = 0; i < HOME_REGISTERS; i++, at += LOAD_SIZE)
		memcpy(registers[i], at + 2, sizeof(uint64_t));
	memcpy(&ret->rip, at + JUMP_SIZE, sizeof(ret->rip));
	memcpy(&ret->signal_mask, at + JUMP_SIZE + sizeof(ret->rip),
		sizeof(ret->signal_mask));
	return !memcmp(bytes, same, arch_call_stub(ret, same));
}
