// SPDX-License-Identifier: MIT
// compiled and run in the compiler's own process
#include <stdio.h>
#include <stdlib.h>

static unsigned collatz(unsigned n)
{
	unsigned steps = 0;
	for (; n != 1; steps++)
		n = n % 2 ? 3 * n + 1 : n / 2;
	return steps;
}

int main(void)
{
	unsigned long sum = 0;
	for (unsigned i = 1; i < 30000; i++)
		sum += collatz(i);
	for (int i = 0; i < 1000; i++)
		free(malloc(i));
	printf("%lu\n", sum);
	return 0;
}
