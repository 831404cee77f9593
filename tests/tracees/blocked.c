/* SPDX-License-Identifier: MIT */
/*
 * A program with a handler for faults, which it blocks while look() is called with pointers to nothing: 16, into a page
 * without rights.   Prints what it finds afterwards, the same as alone.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf back;
static volatile int caught;

static void on_fault(int number)
{
	caught++;
	siglongjmp(back, 1);
}

__attribute__((noinline)) void look(const char *text)
{
	__asm__ volatile("" : : "r"(text) : "memory");
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_fault};
	sigset_t all, old;
	char *page = mmap(
		NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 'a', 4096);
	mprotect(page + 4096, 4096, PROT_NONE);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	for (int i = 0; i < 3; i++) {
		look((char *)16);
		look(page);
		look(page + 4096);
		look(page + 4095);
	}
	sigprocmask(SIG_SETMASK, NULL, &all);
	printf("SIGSEGV %s, ", sigismember(&all, SIGSEGV) ? "blocked" : "not blocked");
	sigprocmask(SIG_SETMASK, &old, NULL);
	sigaction(SIGSEGV, NULL, &action);
	printf("its handler %s, ", action.sa_handler == on_fault ? "there" : "lost");
	fflush(stdout);
	if (!sigsetjmp(back, 1))
		page[4096] = 'b';
	printf("%d caught\n", caught);
	return 0;
}
