/* SPDX-License-Identifier: MIT */
/* Two functions that are entered with status flags that nobody looks at. */
#include <stdint.h>
#include <stdio.h>

__attribute__((noinline, used)) int entered(int value)
{
	__asm__ volatile("" ::: "memory");
	return value + 1;
}

/* a + b in the processor, and into entered() with the flags of that */
static int add_and_enter(int32_t a, int32_t b)
{
	int result;
	__asm__ volatile("mov %[a], %%edi\n\t"
			 "sub $136, %%rsp\n\t" /* past the red zone, and aligned below */
			 "mov %%rsp, %%rbx\n\t"
			 "and $-16, %%rsp\n\t"
			 "add %[b], %%edi\n\t"
			 "call entered\n\t"
			 "mov %%rbx, %%rsp\n\t"
			 "add $136, %%rsp"
			 : "=a"(result)
			 : [a] "r"(a), [b] "r"(b)
			 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
			 "cc", "memory");
	return result;
}

int main(void)
{
	printf("%d\n", add_and_enter(INT32_MAX, 1));
	printf("%d\n", add_and_enter(-1, 1));
	printf("%d\n", add_and_enter(1, 1));
	return 0;
}
