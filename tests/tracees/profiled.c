/* SPDX-License-Identifier: MIT */
/*
 * A program that profiles itself, as gperftools do: signals come at any instruction, and the handler looks
 * where, and who called.   usage: profiled SIGNALS [any-order|counted]
 * Prints "ok SIGNALS", or what its handler was told; counted: and how often it has called middle().
 */
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define DRIVER __attribute__((noinline, section("driver_text")))
extern const char __start_driver_text[], __stop_driver_text[];

static struct {
	unsigned long start, end;
} text[32];
static int text_count;
static volatile int samples, strange, lost_stack, received, disordered, in_driver;
static volatile unsigned long strange_at, stack_at;
static volatile long total, calls;
static pthread_t receiver;
static int wanted, any_order;

static int collect(struct dl_phdr_info *info, size_t size, void *data)
{
	for (int i = 0; i < info->dlpi_phnum && text_count < 32; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		text[text_count].start = info->dlpi_addr + header->p_vaddr;
		text[text_count].end = text[text_count].start + header->p_memsz;
		text_count++;
	}
	return 0;
}

static void look(const ucontext_t *uc)
{
	void *frames[64];
	unsigned long rip = (unsigned long)uc->uc_mcontext.gregs[REG_RIP];
	int i = 0;
	while (i < text_count && !(rip >= text[i].start && rip < text[i].end))
		i++;
	if (i == text_count) {
		strange++;
		strange_at = rip;
	}
	if (!in_driver || !pthread_equal(pthread_self(), receiver))
		return;
	int count = backtrace(frames, 64);
	for (i = 0; i < count; i++)
		if ((const char *)frames[i] > __start_driver_text &&
			(const char *)frames[i] <= __stop_driver_text)
			return;
	lost_stack++;
	stack_at = rip;
}

static void on_profile(int number, siginfo_t *info, void *uc)
{
	samples++;
	look(uc);
}

static void on_queued(int number, siginfo_t *info, void *uc)
{
	if ((info->si_value.sival_int != received && !any_order) ||
		info->si_code != SI_QUEUE)
		disordered++;
	received++;
	look(uc);
}

__attribute__((noinline)) long work(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n * 3 + 1;
}

/* Its first instruction is one that nobody emulates. */
long blended(long n);
__asm__(".text\n.type blended,@function\n.globl blended\n"
	"blended: .cfi_startproc\n cvtsi2sd %rdi,%xmm0\n cvttsd2si %xmm0,%rax\n ret\n .cfi_endproc\n"
	".size blended,.-blended\n");

__attribute__((noinline)) long middle(long n)
{
	long sum = work(n) - work(n + 1) + blended(n) - blended(n);
	__asm__ volatile("" : "+r"(sum));
	return sum + n;
}

static void *sender(void *arg)
{
	for (int i = 0; i < wanted; i++) {
		while (pthread_sigqueue(
			receiver, SIGRTMIN, (union sigval){.sival_int = i}))
			usleep(100); /* the queue is full */
		usleep(50);
	}
	return NULL;
}

DRIVER static void driver(void)
{
	in_driver = 1;
	for (long i = 0; received < wanted || samples < 5; i++)
		total += middle(i), calls++;
	in_driver = 0;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *frame;
	struct sigaction action = {
		.sa_sigaction = on_profile, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	wanted = argc > 1 ? atoi(argv[1]) : 1000;
	any_order = argc > 2 && strcmp(argv[2], "any-order") == 0;
	receiver = pthread_self();
	backtrace(&frame, 1); /* loads what it needs */
	dl_iterate_phdr(collect, NULL);
	sigaction(SIGPROF, &action, NULL);
	action.sa_sigaction = on_queued;
	sigaction(SIGRTMIN, &action, NULL);
	setitimer(ITIMER_PROF, &often, NULL);
	pthread_create(&thread, NULL, sender, NULL);
	driver();
	pthread_join(thread, NULL);
	setitimer(ITIMER_PROF, &never, NULL);
	if (strange)
		printf("%d of %d signals at no address of the program, as %#lx\n",
			strange, samples + received, strange_at);
	if (lost_stack)
		printf("%d stacks of %d end early, as at %#lx\n", lost_stack,
			samples + received, stack_at);
	if (disordered || received != wanted)
		printf("%d disordered, %d of %d received\n", disordered, received,
			wanted);
	if (!strange && !lost_stack && !disordered && received == wanted)
		printf("ok %d\n", received);
	if (argc > 2 && !any_order)
		printf("%ld calls\n", calls);
	return strange || lost_stack || disordered || received != wanted;
}
