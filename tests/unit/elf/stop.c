/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	STACK_MAX = 64
};

struct machine {
	uint64_t stack[STACK_MAX];
	size_t depth;
};

static void push(struct machine *m, uint64_t value)
{
	if (m->depth == STACK_MAX)
		abort();
	m->stack[m->depth++] = value;
}

static uint64_t pop(struct machine *m)
{
	if (m->depth == 0)
		abort();
	return m->stack[--m->depth];
}

static uint64_t load(uint64_t address, int64_t size)
{
	uint64_t value = 0;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		abort();
	memcpy(&value, (const void *)(uintptr_t)address, (size_t)size);
	return value;
}

static void binary(struct machine *m, enum elf_op_kind kind)
{
	uint64_t right = pop(m), left = pop(m);
	if (kind == ELF_OP_ADD)
		push(m, left + right);
	else if (kind == ELF_OP_SUB)
		push(m, left - right);
	else if (kind == ELF_OP_MUL)
		push(m, left * right);
	else if (kind == ELF_OP_AND)
		push(m, left & right);
	else if (kind == ELF_OP_SHL)
		push(m, left << right);
	else if (kind == ELF_OP_SHR)
		push(m, left >> right);
	else
		abort(); /* no fixture needs it */
}

static void step(struct machine *m, const struct elf_op *op,
	const struct stop_registers *registers, uint64_t bias, const uint64_t *operands)
{
	uint64_t mask =
		op->value < 64 ? (UINT64_C(1) << (op->value & 63)) - 1 : ~UINT64_C(0);
	uint64_t value;
	if (op->kind == ELF_OP_REG)
		push(m, registers->dwarf[op->value]);
	else if (op->kind == ELF_OP_VECTOR)
		push(m, registers->vectors[op->value]);
	else if (op->kind == ELF_OP_CONST)
		push(m, (uint64_t)op->value);
	else if (op->kind == ELF_OP_STATIC)
		push(m, (uint64_t)op->value + bias);
	else if (op->kind == ELF_OP_OPERAND)
		push(m, operands[op->value]);
	else if (op->kind == ELF_OP_DEREF)
		push(m, load(pop(m), op->value));
	else if (op->kind == ELF_OP_ZERO_EXTEND)
		push(m, pop(m) & mask);
	else if (op->kind == ELF_OP_SIGN_EXTEND) {
		value = pop(m) & mask;
		push(m, value >> (op->value - 1) & 1 ? value | ~mask : value);
	} else
		binary(m, op->kind);
}

uint64_t stop_evaluate(const struct elf_access *access,
	const struct stop_registers *registers, uint64_t bias, const uint64_t *operands)
{
	struct machine m = {.depth = 0};
	for (size_t i = 0; i < access->op_count; i++)
		step(&m, &access->ops[i], registers, bias, operands);
	if (m.depth != 1)
		abort();
	return m.stack[0];
}

static struct {
	uint8_t *address;
	uint8_t original;
	bool hit;
	void (*callback)(const struct stop_registers *registers, void *data);
	void *data;
} stop;

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
	static const int order[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
		REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
		REG_R14, REG_R15, REG_RIP};
	ucontext_t *uc = context;
	struct stop_registers registers;
	uc->uc_mcontext.gregs[REG_RIP]--;
	for (int i = 0; i < 17; i++)
		registers.dwarf[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
	memcpy(registers.vectors, uc->uc_mcontext.fpregs->_xmm,
		sizeof(registers.vectors));
	*stop.address = stop.original;
	stop.hit = true;
	stop.callback(&registers, stop.data);
}

void stop_arm(uint64_t address,
	void (*hit)(const struct stop_registers *registers, void *data), void *data)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	uint64_t page = address & ~UINT64_C(4095);
	if (mprotect((void *)(uintptr_t)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) <
		0)
		abort();
	sigaction(SIGTRAP, &action, NULL);
	stop.address = (uint8_t *)(uintptr_t)address;
	stop.original = *stop.address;
	stop.hit = false;
	stop.callback = hit;
	stop.data = data;
	*stop.address = 0xcc;
}

bool stop_disarm(void)
{
	*stop.address = stop.original;
	return stop.hit;
}
