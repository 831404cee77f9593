/* SPDX-License-Identifier: MIT */
/*
 * Confined to little, and without a C library: calls work() for each byte of its input, then exits with 0 if
 * what that has computed is right.
 * usage: confined plain | strict (seccomp) | memory (no more of it) | exec (no more of it that is executable)
 */
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

enum {
	SET_MDWE = 65, /* Linux 6.3 */
	REFUSE_EXEC_GAIN = 1
};

static volatile long sum;

__attribute__((noinline)) void work(long i)
{
	sum += i;
}

static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static long confine(char how)
{
	struct rlimit64 none = {0, 0};
	switch (how) {
	case 's':
		return call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0);
	case 'm':
		return call(SYS_prlimit64, 0, RLIMIT_AS, (long)&none, 0);
	case 'e':
		return call(SYS_prctl, SET_MDWE, REFUSE_EXEC_GAIN, 0, 0);
	default:
		return 0;
	}
}

__attribute__((used)) static void start(long *stack)
{
	char **argv = (char **)(stack + 1), byte;
	long i = 0, want = 0;
	if (*stack < 2 || confine(argv[1][0]) < 0)
		call(SYS_exit, 77, 0, 0, 0);
	call(SYS_write, 1, (long)"ready\n", 6, 0);
	for (; call(SYS_read, 0, (long)&byte, 1, 0) == 1; i++) {
		work(i);
		want += i;
	}
	call(SYS_exit, i == 0 || sum != want, 0, 0,
		0); /* the one end that strict mode allows */
	__builtin_unreachable();
}

__asm__(".globl _start\n"
	"_start: mov %rsp, %rdi\n\t"
	"and $-16, %rsp\n\t"
	"call start");
