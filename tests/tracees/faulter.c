/* SPDX-License-Identifier: MIT */
/*
 * Instructions that fault, and a handler that looks where: what a runtime with implicit null checks does.
 * Prints "ok", or what its handler was told.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

long load(const long *from), load_behind(const long *from, long n);
void call_through(const void *table);
extern const char load_behind_at[], call_through_at[];

/* First in its function; in the middle of one; a call through memory that holds no code address. */
__asm__(".text\n.balign 16\n.globl load\n.type load,@function\nload: mov 0x100(%rdi),%rax\n ret\n"
	".size load,.-load\n.balign 16\n"
	".globl load_behind\n.type load_behind,@function\nload_behind: lea 0x12345(%rsi),%rax\n"
	"load_behind_at: add 0x100(%rdi),%rax\n ret\n"
	".size load_behind,.-load_behind\n.balign 16\n"
	".globl call_through\n.type call_through,@function\ncall_through: lea -8(%rsp),%rsp\n"
	"call_through_at: call *0x100(%rdi)\n add $8,%rsp\n ret\n"
	".size call_through,.-call_through\n");

static long good[64];
static volatile unsigned long seen_rip, seen_rsp;
static volatile int faults;

static void nothing(void)
{
}

/* Mends the operand: the instruction runs again. */
static void on_fault(int number, siginfo_t *info, void *opaque)
{
	ucontext_t *uc = opaque;
	faults++;
	seen_rip = (unsigned long)uc->uc_mcontext.gregs[REG_RIP];
	seen_rsp = (unsigned long)uc->uc_mcontext.gregs[REG_RSP];
	uc->uc_mcontext.gregs[REG_RDI] = (greg_t)(unsigned long)good;
}

static int bad;

static void expect(const char *name, unsigned long at)
{
	if (seen_rip != at || faults != 1) {
		printf("%s: fault %d at %#lx, not %#lx\n", name, faults, seen_rip, at);
		bad = 1;
	}
	faults = 0;
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	void (*to)(void) = nothing;
	static unsigned long nowhere[64];
	sigaction(SIGSEGV, &action, NULL);
	memcpy(&good[32], &to, sizeof(to));
	nowhere[32] = 0x8000000000000000; /* no address */
	for (int i = 0; i < 1000 && !bad; i++) {
		long sum = load(NULL);
		expect("load", (unsigned long)load);
		sum -= load_behind(NULL, 7) - 0x12345 - 7;
		expect("load_behind", (unsigned long)load_behind_at);
		call_through(nowhere);
		expect("call_through", (unsigned long)call_through_at);
		if (sum) {
			printf("load: wrong sum\n");
			bad = 1;
		}
	}
	if (!bad)
		puts("ok");
	return bad;
}
