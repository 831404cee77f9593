/* SPDX-License-Identifier: MIT */
/* Dies of a SIGSEGV two functions below main. */
__attribute__((noinline)) void write_there(volatile int *where)
{
	*where = 1;
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void call_it(volatile int *where)
{
	write_there(where);
	__asm__ volatile("" ::: "memory");
}

int main(void)
{
	call_it((volatile int *)0x10);
	return 0;
}
