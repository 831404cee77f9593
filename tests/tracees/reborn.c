/* SPDX-License-Identifier: MIT */
/* A program that executes itself again and again.   usage: reborn COUNT [FILE]: until there is the file; status 7 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline, noclone, noipa)) long tick(long n)
{
	return n + 1;
}

int main(int argc, char **argv)
{
	char text[32];
	long n = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	for (int i = 0; i < 3; i++)
		n = tick(n) - 1;
	if (n <= 0 || (argc > 2 && access(argv[2], F_OK) == 0))
		return 7;
	snprintf(text, sizeof(text), "%ld", n - 1);
	execl(argv[0], argv[0], text, argv[2], (char *)NULL);
	return 1;
}
