/* SPDX-License-Identifier: MIT */
/* Stacks that lead nowhere, or to another stack; variables to name. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FAR __attribute__((noinline, noclone, noipa))

long strange_table[16] = {7};
static volatile int handled;

FAR void leaf(void)
{
	__asm__ volatile("");
}

/* Calls leaf() with a frame pointer of the caller's choice, which its frame is said to be found by. */
__asm__(".text\n"
	".type misled, @function\n"
	"misled:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"	sub $16, %rsp\n"
	"	mov %rdi, %rbp\n"
	".cfi_def_cfa %rbp, 16\n"
	"	call leaf\n"
	".cfi_def_cfa %rsp, 32\n"
	"	add $16, %rsp\n"
	".cfi_def_cfa_offset 16\n"
	"	pop %rbp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".size misled, . - misled\n");
void misled(uint64_t frame);

FAR void handle(int number)
{
	leaf();
	handled = number;
}

/* The handler runs on memory of the heap. */
FAR void elsewhere(void)
{
	stack_t stack = {.ss_size = 65536};
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

int main(int argc, char **argv)
{
	uint64_t loop[2] = {(uint64_t)(uintptr_t)loop, (uint64_t)(uintptr_t)leaf};
	const uint64_t frames[] = {0, 1, 0x1234, 0x7ffffffff000, 0x8000000000000000,
		~0ull, (uint64_t)(uintptr_t)strange_table, (uint64_t)(uintptr_t)loop,
		(uint64_t)(uintptr_t)loop + 4};
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++)
		misled(frames[i]);
	elsewhere();
	printf("%d %ld\n", handled, strange_table[0]);
	return 0;
}
