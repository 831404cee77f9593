/* SPDX-License-Identifier: MIT */
/*
 * A part of the program's text is mapped a second time, as V8 does with its built-in functions.   usage: twice N [ADDRESS]
 * ADDRESS: where it is mapped.  Says "ready", reads a line, then calls both copies of doubled() N times, and single() N times.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	PAGE = 4096
};

extern const char first_page[];
volatile unsigned short listeners = 1; /* not 0, and so in the file */

/* It has its page for itself, and is the same wherever it is. */
__asm__(".text\n.p2align 12\n.globl first_page\nfirst_page:\n.globl doubled\n.type doubled,@function\ndoubled:\n"
	" lea (%rdi,%rdi),%rax\n add $1,%rax\n ret\n.size doubled,.-doubled\n.p2align 12\n");
long doubled(long n);

__attribute__((noipa)) long single(long n)
{
	return n * 3;
}

/* Where the page is in the file */
static long file_offset(uint64_t address)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4096];
	uint64_t start, end, offset;
	long found = -1;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
			address >= start && address < end)
			found = (long)(offset + address - start);
	if (maps)
		fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 10, sum = 0;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uintptr_t where = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	void *copy = mmap((void *)where, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
		file_offset((uint64_t)(uintptr_t)first_page));
	long (*second)(long);
	char c;

	if (copy == MAP_FAILED)
		return 1;
	memcpy(&second, &copy, sizeof(second));
	if (write(STDOUT_FILENO, "ready\n", 6) != 6 || read(STDIN_FILENO, &c, 1) != 1)
		return 1;
	for (long i = 0; i < n; i++)
		sum += doubled(i) + second(i) + single(i);
	printf("sum=%ld\n", sum * listeners);
	return 0;
}
