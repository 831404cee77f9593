/* SPDX-License-Identifier: MIT */
/* Emulated instructions against the processor: random states, one step each. */
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/arch.h"
#include "tap.h"

enum {
	PAGE = 4096,
	ROUNDS = 300,
	STATUS_FLAGS = 0x8d5,
	UNDEFINED_AF = 0x10
};

#define INSN(text, ...)                                                  \
	{                                                                \
		text, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), 0 \
	}

static const struct {
	const char *name;
	uint8_t bytes[16];
	size_t size;
	unsigned int ignored_flags;
} cases[] = {
	INSN("endbr64", 0xf3, 0x0f, 0x1e, 0xfa),
	INSN("nop", 0x90),
	INSN("nopw", 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00),
	INSN("push %rbp", 0x55),
	INSN("push %r15", 0x41, 0x57),
	INSN("push %rsp", 0x54),
	INSN("push $-2", 0x6a, 0xfe),
	INSN("push 8(%rbx)", 0xff, 0x73, 0x08),
	INSN("pop %rbx", 0x5b),
	INSN("pop %r14", 0x41, 0x5e),
	INSN("pop %rsp", 0x5c),
	INSN("mov %rsp,%rbp", 0x48, 0x89, 0xe5),
	INSN("mov %edi,%eax", 0x89, 0xf8),
	INSN("mov %r9,%r12", 0x4d, 0x89, 0xcc),
	INSN("mov $imm32,%eax", 0xb8, 0x78, 0x56, 0x34, 0x82),
	INSN("movabs $imm,%r8", 0x49, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88),
	INSN("mov $-1,%rdx", 0x48, 0xc7, 0xc2, 0xff, 0xff, 0xff, 0xff),
	INSN("mov 16(%rbx),%rax", 0x48, 0x8b, 0x43, 0x10),
	INSN("mov %ecx,(%rbx,%r13,8)", 0x42, 0x89, 0x0c, 0xeb),
	INSN("mov 0x100(%rip),%rax", 0x48, 0x8b, 0x05, 0x00, 0x01, 0x00, 0x00),
	INSN("movl $5,(%rbx)", 0xc7, 0x03, 5, 0, 0, 0),
	INSN("lea -0x28(%rsp),%rsp", 0x48, 0x8d, 0x64, 0x24, 0xd8),
	INSN("lea (%rdi,%rsi,4),%eax", 0x8d, 0x04, 0xb7),
	INSN("lea 0x10(%rip),%rcx", 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0),
	INSN("sub $0x28,%rsp", 0x48, 0x83, 0xec, 0x28),
	INSN("add $0x28,%rsp", 0x48, 0x83, 0xc4, 0x28),
	INSN("sub %rax,%rdx", 0x48, 0x29, 0xc2),
	INSN("add %ecx,%edi", 0x01, 0xcf),
	INSN("add $-128,%r11", 0x49, 0x83, 0xc3, 0x80),
	INSN("cmp %rsi,%rdi", 0x48, 0x39, 0xf7),
	INSN("cmp $0,%eax", 0x83, 0xf8, 0x00),
	INSN("cmp (%rbx),%rax", 0x48, 0x3b, 0x03),
	{"test %rdi,%rdi", {0x48, 0x85, 0xff}, 3, UNDEFINED_AF},
	{"xor %eax,%eax", {0x31, 0xc0}, 2, UNDEFINED_AF},
	{"xor %r10,%rcx", {0x4c, 0x31, 0xd1}, 3, UNDEFINED_AF},
	{"and $-16,%rsp", {0x48, 0x83, 0xe4, 0xf0}, 4, UNDEFINED_AF},
	{"and %esi,%edx", {0x21, 0xf2}, 2, UNDEFINED_AF},
	{"or %rsi,%rax", {0x48, 0x09, 0xf0}, 3, UNDEFINED_AF},
	{"or $-1,%eax", {0x83, 0xc8, 0xff}, 3, UNDEFINED_AF},
	{"or $1,(%rbx)", {0x83, 0x0b, 0x01}, 3, UNDEFINED_AF},
	{"xor $-2,%dx", {0x66, 0x83, 0xf2, 0xfe}, 4, UNDEFINED_AF},
	INSN("mov %al,%bl", 0x88, 0xc3),
	INSN("mov %ah,%cl", 0x88, 0xe1),
	INSN("mov %cl,%dh", 0x88, 0xce),
	INSN("mov %sil,%r9b", 0x41, 0x88, 0xf1),
	INSN("mov %dx,(%rbx)", 0x66, 0x89, 0x13),
	INSN("mov (%rbx),%cx", 0x66, 0x8b, 0x0b),
	INSN("movb $7,3(%rbx)", 0xc6, 0x43, 0x03, 0x07),
	INSN("cmpb $0,0x20(%rbx)", 0x80, 0x7b, 0x20, 0x00),
	INSN("cmpl $-1,(%rbx)", 0x83, 0x3b, 0xff),
	INSN("cmpq $5,0x100(%rip)", 0x48, 0x83, 0x3d, 0, 1, 0, 0, 5),
	INSN("cmpw $0x1234,(%rbx)", 0x66, 0x81, 0x3b, 0x34, 0x12),
	INSN("cmp %al,%dl", 0x38, 0xc2),
	INSN("cmp %si,%di", 0x66, 0x39, 0xf7),
	{"test $1,%dil", {0x40, 0xf6, 0xc7, 0x01}, 4, UNDEFINED_AF},
	{"testb $8,(%rbx)", {0xf6, 0x03, 0x08}, 3, UNDEFINED_AF},
	{"test %ax,%ax", {0x66, 0x85, 0xc0}, 3, UNDEFINED_AF},
	{"and %cl,%dl", {0x20, 0xca}, 2, UNDEFINED_AF},
	INSN("sub $3,(%rbx)", 0x83, 0x2b, 0x03),
	INSN("add %ch,%dl", 0x00, 0xea),
	INSN("movzbl %dil,%eax", 0x40, 0x0f, 0xb6, 0xc7),
	INSN("movzbl 1(%rbx),%edx", 0x0f, 0xb6, 0x53, 0x01),
	INSN("movzwl %si,%ecx", 0x0f, 0xb7, 0xce),
	INSN("movsbl (%rbx),%eax", 0x0f, 0xbe, 0x03),
	INSN("movsbq %dl,%rax", 0x48, 0x0f, 0xbe, 0xc2),
	INSN("movswl %di,%eax", 0x0f, 0xbf, 0xc7),
	INSN("movsbw %dl,%ax", 0x66, 0x0f, 0xbe, 0xc2),
	INSN("movslq %edi,%rdi", 0x48, 0x63, 0xff),
	INSN("movslq (%rbx),%rax", 0x48, 0x63, 0x03),
	INSN("lea 8(%rdi),%ax", 0x66, 0x8d, 0x47, 0x08),
	INSN("leave", 0xc9),
	INSN("ret", 0xc3),
	INSN("ret $16", 0xc2, 0x10, 0x00),
	INSN("repz ret", 0xf3, 0xc3),
	INSN("jmp rel8", 0xeb, 0x10),
	INSN("jmp rel32", 0xe9, 0x00, 0x01, 0x00, 0x00),
	INSN("call rel32", 0xe8, 0x00, 0x01, 0x00, 0x00),
	INSN("call *%rax", 0xff, 0xd0),
	INSN("call *8(%rbx)", 0xff, 0x53, 0x08),
	INSN("jmp *%r11", 0x41, 0xff, 0xe3),
	INSN("jmp *(%rbx)", 0xff, 0x23),
	INSN("jo", 0x70, 0x10),
	INSN("jno", 0x71, 0x10),
	INSN("jb", 0x72, 0x10),
	INSN("jae", 0x73, 0x10),
	INSN("je", 0x74, 0x10),
	INSN("jne", 0x75, 0x10),
	INSN("jbe", 0x76, 0x10),
	INSN("ja", 0x77, 0x10),
	INSN("js", 0x78, 0x10),
	INSN("jns", 0x79, 0x10),
	INSN("jp", 0x7a, 0x10),
	INSN("jnp", 0x7b, 0x10),
	INSN("jl", 0x7c, 0x10),
	INSN("jge", 0x7d, 0x10),
	INSN("jle", 0x7e, 0x10),
	INSN("jg", 0x7f, 0x10),
	INSN("jg rel32", 0x0f, 0x8f, 0x00, 0x01, 0x00, 0x00),
	INSN("loop", 0xe2, 0x10),
	INSN("loope", 0xe1, 0x10),
	INSN("loopne", 0xe0, 0x10),
	INSN("jrcxz", 0xe3, 0x10),
};

/* What must be left to the processor. */
static const struct {
	const char *name;
	uint8_t bytes[16];
	size_t size;
} refused[] = {
	{"push %ax", {0x66, 0x50}, 2},
	{"mov %fs:0,%rax", {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, 9},
	{"movd %edi,%xmm0", {0x66, 0x0f, 0x6e, 0xc7}, 4},
	{"mov %ds,%eax", {0x8c, 0xd8}, 2},
	{"lock add %eax,(%rbx)", {0xf0, 0x01, 0x03}, 3},
	{"mov (%ebx),%eax", {0x67, 0x8b, 0x03}, 3},
	{"syscall", {0x0f, 0x05}, 2},
	{"int3", {0xcc}, 1},
	{"adc %rax,%rax", {0x48, 0x11, 0xc0}, 3},
	{"vmovaps %ymm0,%ymm1", {0xc5, 0xfc, 0x28, 0xc8}, 4},
	{"cut off", {0x48, 0x83, 0xec}, 3},
};

/* ---- a process to step --------------------------------------------------------------------------------- */

static uint8_t *code, *data; /* shared with the child, at the same addresses */
static uint64_t random_state = 88172645463325252u;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static pid_t start_child(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return pid;
}

static void randomise(struct user_regs_struct *regs)
{
	unsigned long long *const all[] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rsi,
		&regs->rdi, &regs->r8, &regs->r9, &regs->r10, &regs->r12, &regs->r14,
		&regs->r15};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		*all[i] = random_word() % 3 ? random_word() : random_word() % 3;
	if (random_word() % 2)
		regs->rsi = regs->rdi;
	regs->rbx = (uintptr_t)data + 1024;
	regs->r13 = random_word() % 8;
	regs->rbp = (uintptr_t)data + 2048 + (random_word() % 8) * 8;
	regs->rsp = (uintptr_t)data + 3072;
	/* somewhere to jump to */
	if (random_word() % 2)
		regs->rcx = random_word() % 3;
	regs->r11 = (uintptr_t)code + 512;
	regs->eflags = (random_word() & STATUS_FLAGS) | 0x202;
	for (size_t i = 0; i < PAGE; i += 8) {
		uint64_t word = (uintptr_t)code + 256 + random_word() % 256;
		memcpy(data + i, &word, sizeof(word));
	}
}

static int memory_read(void *unused, uint64_t address, void *bytes, size_t size)
{
	memcpy(bytes, (const void *)(uintptr_t)address, size);
	return 0;
}

static int memory_write(void *unused, uint64_t address, const void *bytes, size_t size)
{
	memcpy((void *)(uintptr_t)address, bytes, size);
	return 0;
}

static const struct arch_memory memory = {.read = memory_read, .write = memory_write};

static bool same_regs(
	struct user_regs_struct a, struct user_regs_struct b, unsigned int ignored)
{
	a.eflags = a.eflags & STATUS_FLAGS & ~ignored;
	b.eflags = b.eflags & STATUS_FLAGS & ~ignored;
	a.orig_rax = b.orig_rax;
	return !memcmp(&a, &b, sizeof(a));
}

static bool step(pid_t pid, struct user_regs_struct *regs)
{
	int status;
	return ptrace(PTRACE_SETREGS, pid, 0, regs) == 0 &&
	       ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0 &&
	       waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
	       WSTOPSIG(status) == SIGTRAP && ptrace(PTRACE_GETREGS, pid, 0, regs) == 0;
}

static void test_case(pid_t pid, size_t i)
{
	static uint8_t before[PAGE], real[PAGE];
	struct user_regs_struct start, stepped, emulated;
	bool ok = true, taken, was_taken = false, was_not = false;
	ptrace(PTRACE_GETREGS, pid, 0, &start);
	start.orig_rax = ~0ull;
	start.rip = (uintptr_t)code;
	memset(code, 0x90, PAGE);
	memcpy(code, cases[i].bytes, cases[i].size);
	for (int round = 0; ok && round < ROUNDS; round++) {
		randomise(&start);
		if (!strcmp(cases[i].name, "call *%rax"))
			start.rax = start.r11;
		memcpy(before, data, PAGE);
		stepped = emulated = start;
		ok = step(pid, &stepped);
		memcpy(real, data, PAGE);
		memcpy(data, before, PAGE);
		ok = ok &&
		     arch_emulate(cases[i].bytes, cases[i].size, (uintptr_t)code, &memory,
			     &emulated, &taken) &&
		     same_regs(stepped, emulated, cases[i].ignored_flags) &&
		     !memcmp(real, data, PAGE);
		was_taken |= emulated.rip != (uintptr_t)code + cases[i].size;
		was_not |= emulated.rip == (uintptr_t)code + cases[i].size;
	}
	bool is_conditional = (cases[i].bytes[0] & 0xf0) == 0x70;
	tap_ok(ok && (!is_conditional || (was_taken && was_not)), "%s", cases[i].name);
}

int main(void)
{
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	data = mmap(
		NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || data == MAP_FAILED)
		return 1;
	pid_t pid = start_child();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		test_case(pid, i);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct user_regs_struct regs = {.rip = (uintptr_t)code}, same = regs;
		bool taken;
		tap_ok(!arch_emulate(refused[i].bytes, refused[i].size, (uintptr_t)code,
			       &memory, &regs, &taken) &&
				!memcmp(&regs, &same, sizeof(regs)),
			"not: %s", refused[i].name);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return tap_done();
}
