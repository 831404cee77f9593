/* SPDX-License-Identifier: MIT */
/*
 * Does what lines of standard input say, and answers each with a line:
 *   c N   calls outer() N times      r N   recursion N deep       j     leaves two calls by longjmp()
 *   f N   a child calls outer() N times                           e     runs itself again
 *   v N   the same in a vfork() child                             l PATH  calls plugin_work() of a library
 *   s     the value of the counter                                n N   calls runs_on() N times, neighbour() 10 N times
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__extension__ volatile unsigned short probed_semaphore
	__attribute__((section(".probes"), used));

/* What <sys/sdt.h> makes of a mark probed:call with one argument, for machines without it. */
#define MARK(argument)                                                                  \
	__asm__ volatile(                                                               \
		"990: nop\n"                                                            \
		".pushsection .note.stapsdt,\"?\",\"note\"\n"                           \
		".balign 4; .4byte 992f-991f, 994f-993f, 3\n"                           \
		"991: .asciz \"stapsdt\"\n"                                             \
		"992: .balign 4\n"                                                      \
		"993: .8byte 990b, probed_base, probed_semaphore\n"                     \
		".asciz \"probed\"; .asciz \"call\"; .asciz \"-8@%0\"\n"                \
		"994: .balign 4\n"                                                      \
		".popsection\n"                                                         \
		".ifndef probed_base\n"                                                 \
		".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
		"probed_base: .space 1\n"                                               \
		".popsection\n"                                                         \
		".endif\n" ::"nor"(argument))

static jmp_buf escape;
static volatile int escaping;

__attribute__((noinline, noclone, noipa)) long inner(long n, const char *text)
{
	if (escaping && n == 0)
		longjmp(escape, 1);
	return n * 3 + text[0];
}

__attribute__((noinline, noclone, noipa)) long outer(long n)
{
	if (probed_semaphore)
		MARK(n);
	return inner(n, "abc") + inner(n + 1, "xyz");
}

__attribute__((noinline, noclone, noipa)) long deep(long n)
{
	return n ? deep(n - 1) + inner(n, "d") : 0;
}

/* It runs into the next one: they have the same exit. */
long runs_on(long n), neighbour(long n);
__asm__(".text\n.globl runs_on\n.type runs_on,@function\n.p2align 4\n"
	"runs_on:\n mov $5,%eax\n nop\n.size runs_on,.-runs_on\n"
	".globl neighbour\n.type neighbour,@function\n"
	"neighbour:\n lea 1(%rdi),%rax\n nopl 0(%rax)\n ret\n.size neighbour,.-neighbour\n.p2align 4\n");

static long call_neighbours(long n)
{
	long sum = 0;
	for (long i = 0; i < 10 * n; i++)
		sum += neighbour(i) + (i % 10 ? 0 : runs_on(i));
	return sum;
}

static long work(long n)
{
	long sum = 0;
	for (long i = 0; i < n; i++)
		sum += outer(i);
	return sum;
}

static int exit_status(pid_t child)
{
	int status = -1;
	waitpid(child, &status, 0);
	return status;
}

static long call_plugin(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	if (!library)
		return -1;
	long (*work_there)(long);
	*(void **)&work_there = dlsym(library, "plugin_work"); /* as dlopen(3) has it */
	long result = work_there ? work_there(20) : -2;
	dlclose(library);
	return result;
}

static long obey(char *line, char **argv)
{
	long n = atol(line + 1);
	pid_t child;
	switch (line[0]) {
	case 'c':
		return work(n);
	case 'r':
		return deep(n);
	case 'j':
		escaping = 1;
		if (!setjmp(escape))
			outer(0);
		escaping = 0;
		return work(1);
	case 'f':
		child = fork();
		if (!child)
			_exit(work(n) == 0);
		return exit_status(child);
	case 'v':
		child = vfork();
		if (!child) {
			outer(n);
			_exit(0);
		}
		return exit_status(child);
	case 'e':
		execv("/proc/self/exe", argv);
		return -1;
	case 'l':
		return call_plugin(line + 2);
	case 's':
		return probed_semaphore;
	case 'n':
		return call_neighbours(n);
	default:
		return -1;
	}
}

int main(int argc, char **argv)
{
	static char line[4096];
	setvbuf(stdin, NULL, _IONBF, 0);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		printf("%ld\n", obey(line, argv));
		fflush(stdout);
	}
	return 0;
}
