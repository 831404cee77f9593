/* SPDX-License-Identifier: MIT */
/*
 * Functions that leave by each other's exits.
 *   neighbours          calls each of them, known numbers of times
 *   neighbours inside   says "inside" within a call of runs_on() and of lone(), reads a line, and goes on
 *   neighbours libc N M calls strcasecmp() N times and strcasecmp_l() M times
 */
#include <locale.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

typedef void (*callback)(void);
int runs_on(int n, callback f), neighbour(int n, callback f), elsewhere(int n);
int middle(int n), jumper(int n), subroutines(int n);

#define FUNCTION(name)                                                 \
	".globl " name "\n.type " name ",@function\n.p2align 4\n" name \
	":\n .cfi_startproc\n"
#define END(name) " .cfi_endproc\n.size " name ",.-" name "\n"

/* clang-format off */
__asm__(".text\n"
	/* two instructions that run into what follows */
	".globl runs_on\n.type runs_on,@function\n.p2align 4\nruns_on:\n"
	" mov $5,%eax\n nop\n"
	".size runs_on,.-runs_on\n"
	".globl neighbour\n.type neighbour,@function\nneighbour:\n .cfi_startproc\n"
	" push %rbx\n .cfi_adjust_cfa_offset 8\n mov %edi,%ebx\n test %rsi,%rsi\n jz 1f\n call *%rsi\n"
	"1: mov %ebx,%edi\n pop %rbx\n .cfi_adjust_cfa_offset -8\n test %edi,%edi\n js elsewhere\n"
	" lea 1(%rdi),%eax\n ret\n"
	END("neighbour")
	FUNCTION("elsewhere") " lea -1(%rdi),%eax\n ret\n" END("elsewhere")
	/* others jump behind its first instruction */
	FUNCTION("middle") " add $1,%edi\n.Lmiddle: lea 1(%rdi),%eax\n nopl 0(%rax)\n ret\n" END("middle")
	FUNCTION("jumper") " add $7,%edi\n jmp .Lmiddle\n" END("jumper")
	/* its second half is called by the first one */
	FUNCTION("subroutines") " mov %edi,%eax\n call .Lsub\n call .Lsub\n nopl 0(%rax)\n ret\n"
	".Lsub: add $1,%eax\n nopl 0(%rax)\n ret\n" END("subroutines"));
/* clang-format on */

__attribute__((noipa)) int lone(int n, callback f)
{
	if (f)
		f();
	return n + 1;
}
int other_name(int n, callback f) __attribute__((weak, alias("lone")));

__attribute__((noipa, cold)) void complain(int n)
{
	if (n == 12345)
		puts("no");
}

/* Its unlikely half is split off, and comes back. */
__attribute__((noipa)) int split(int n)
{
	if (__builtin_expect(n < 0, 0)) {
		complain(n);
		n = -n;
	}
	return n * 3;
}

static jmp_buf out;
static int depth;

static void jump_out(void)
{
	longjmp(out, 1);
}

static void recurse(void)
{
	if (--depth > 0)
		runs_on(depth, recurse);
}

static void wait_for_line(void)
{
	char c;
	if (write(STDOUT_FILENO, "inside\n", 7) != 7)
		return;
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

/* From the same frame, so that the return addresses are in the same place. */
static int left_behind(void)
{
	volatile int sum = 0, i;

	for (i = 0; i < 3; i++) {
		if (!setjmp(out))
			sum += runs_on(i, jump_out);
		sum += neighbour(i, NULL);
	}
	return sum;
}

/* Through pointers: compilers know what these do. */
static int call_libc(int n, int m)
{
	int (*volatile plain)(const char *, const char *) = strcasecmp;
	int (*volatile local)(const char *, const char *, locale_t) = strcasecmp_l;
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += plain("Hello", "hELLO");
	for (int i = 0; i < m; i++)
		sum += local("World", "wORLD", c);
	freelocale(c);
	return sum;
}

int main(int argc, char **argv)
{
	int sum = 0;

	if (argc > 3 && strcmp(argv[1], "libc") == 0) {
		printf("libc=%d\n", call_libc(atoi(argv[2]), atoi(argv[3])));
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "inside") == 0) {
		sum += runs_on(1, wait_for_line);
		sum += lone(1, wait_for_line);
	}
	for (int i = 0; i < 10; i++)
		sum += runs_on(i, NULL) + middle(i) + subroutines(i) + lone(i, NULL) +
		       split(i - 5);
	for (int i = 0; i < 1000; i++)
		sum += neighbour(i, NULL) + jumper(i) + other_name(i, NULL);
	for (int i = 0; i < 20; i++)
		sum += runs_on(-i - 1, NULL); /* by a tail call */
	depth = 5;
	sum += runs_on(depth, recurse);
	sum += left_behind();
	printf("sum=%d\n", sum);
	return 0;
}
