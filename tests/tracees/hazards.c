/* SPDX-License-Identifier: MIT */
/*
 * Frames that end, move or repeat in unusual ways.   usage: hazards CASE COUNT
 * Prints "calls=N returns=N sum=N" of work(): every call that began, every one that came back by
 * itself, and the sum of the arguments of those.  Nothing of it depends on chance.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	STACK = 64 * 1024
};
static atomic_long calls, returns, sum;
static long count;
static jmp_buf back;
static sigjmp_buf signal_back;
static ucontext_t home, fiber[16];
static int turn;

__attribute__((noipa)) static long leaf(long n)
{
	return n * 3 + 1;
}

/* What is probed: calls `inner`, which may never come back. */
__attribute__((noipa)) static long work(long n, void (*inner)(long))
{
	calls++;
	if (inner)
		inner(n);
	returns++;
	sum += n;
	return leaf(n);
}

__attribute__((noipa)) static long recurse(long n)
{
	calls++;
	long below = n ? recurse(n - 1) : 0;
	returns++;
	sum += n;
	return below + (n & 1);
}

/* ---- one function for each case */

static void jump(long n)
{
	if (n % 3 == 0)
		longjmp(back, 1);
	if (n % 3 == 1)
		work(n + 2, jump); /* two frames are left at once */
}

static void run_longjmp(void)
{
	for (volatile long i = 0; i < count; i++)
		if (!setjmp(back))
			work(i, jump);
}

static void yield(long n)
{
	(void)n;
	int from = turn;
	turn = (turn + 1) % 16;
	swapcontext(&fiber[from], &fiber[turn]);
}

static void fiber_main(int id)
{
	for (long i = 0; i < count; i++)
		work(id * 100000 + i, yield);
	/* all have as many yields: the next one has done its last, too, or is about to */
	if (id < 15) {
		turn = id + 1;
		setcontext(&fiber[turn]);
	}
}

static void run_fibers(void)
{
	char *stacks = mmap(NULL, 16 * STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 16; i++) {
		getcontext(&fiber[i]);
		fiber[i].uc_stack.ss_sp = stacks + i * STACK;
		fiber[i].uc_stack.ss_size = STACK;
		fiber[i].uc_link = &home;
		makecontext(&fiber[i], (void (*)(void))fiber_main, 1, i);
	}
	swapcontext(&home, &fiber[0]);
}

static void leave_thread(long n)
{
	if (n % 2)
		pthread_exit(NULL);
}

static void *exiting(void *arg)
{
	work((long)arg, leave_thread);
	return NULL;
}

static void sleep_until_cancelled(long n)
{
	(void)n;
	for (;;)
		pause();
}

static void *cancelled(void *arg)
{
	work((long)arg, sleep_until_cancelled);
	return NULL;
}

static void run_threads(void *(*main)(void *), int cancel)
{
	for (long i = 0; i < count; i++) {
		pthread_t t;
		long before = calls;
		pthread_create(&t, NULL, main, (void *)i);
		while (cancel && calls == before)
			sched_yield();
		if (cancel)
			pthread_cancel(t);
		pthread_join(t, NULL);
	}
}

static int clone_main(void *arg)
{
	for (long i = 0; i < 10; i++)
		work((long)arg + i, NULL);
	return 0;
}

/* Processes that share memory but are no threads of ours. */
static void run_clone(void)
{
	char *stack = mmap(
		NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < count; i++) {
		int flags = CLONE_VM | SIGCHLD | (i % 2 ? CLONE_VFORK : 0);
		pid_t pid = clone(clone_main, stack + STACK, flags, (void *)(i * 100));
		int status;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			printf("child: status %x\n", status);
			exit(1);
		}
	}
}

static void on_alternate_stack(int sig)
{
	(void)sig;
	long n = returns;
	work(n, NULL);
	recurse(5);
	if (n % 4 == 1)
		siglongjmp(signal_back, 1);
}

static void raise_one(long n)
{
	(void)n;
	raise(SIGUSR1);
}

static void take_alternate_stack(int signo, void (*handler)(int))
{
	stack_t s = {.ss_sp = malloc(STACK), .ss_size = STACK};
	struct sigaction action = {
		.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
	sigaltstack(&s, NULL);
	sigaction(signo, &action, NULL);
}

static void run_altstack(void)
{
	take_alternate_stack(SIGUSR1, on_alternate_stack);
	for (volatile long i = 0; i < count; i++)
		if (!sigsetjmp(signal_back, 1))
			work(i, raise_one);
}

static void on_tick(int sig)
{
	(void)sig;
	work(1, NULL);
}

/* A signal each 100 microseconds, whose handler calls what is being probed. */
static void run_storm(void)
{
	take_alternate_stack(SIGALRM, on_tick);
	struct itimerval t = {{0, 100}, {0, 100}};
	setitimer(ITIMER_REAL, &t, NULL);
	for (long i = 0; i < count; i++)
		work(1, NULL);
	memset(&t, 0, sizeof(t));
	setitimer(ITIMER_REAL, &t, NULL);
}

static void run_deep(void)
{
	long odd = recurse(count);
	if (odd != (count + 1) / 2)
		printf("wrong: %ld\n", odd);
}

static void *deep_thread(void *arg)
{
	(void)arg;
	run_deep();
	return NULL;
}

/* The answer of a function in assembly is in a flag. */
static void run_flags(void)
{
	for (long i = 0; i < count; i++) {
		uint8_t carry;
		calls++;
		__asm__ volatile("mov %1, %%rdi\n\tmov %2, %%rsi\n\tcall above\n\tsetc %0"
				 : "=q"(carry)
				 : "r"(i % 7), "r"(i % 5)
				 : "rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10",
				 "r11", "cc", "memory");
		returns++;
		sum += carry;
	}
}

/* The frame is left where there is no room for a jump: both results are known. */
long dense(long n);
static void *dense_thread(void *arg)
{
	(void)arg;
	for (long i = 0; i < count; i++) {
		long n = i % 3;
		atomic_fetch_add(&calls, 1);
		if (dense(n) != (n ? n + 63 : 7)) {
			printf("wrong\n");
			exit(1);
		}
		atomic_fetch_add(&returns, 1);
		atomic_fetch_add(&sum, n);
	}
	return NULL;
}

static void run_dense(void)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, dense_thread, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	count = argc > 2 ? atol(argv[2]) : 10;
	pthread_attr_t big;
	pthread_t t;

	if (!strcmp(name, "longjmp"))
		run_longjmp();
	else if (!strcmp(name, "fibers"))
		run_fibers();
	else if (!strcmp(name, "exit"))
		run_threads(exiting, 0);
	else if (!strcmp(name, "cancel"))
		run_threads(cancelled, 1);
	else if (!strcmp(name, "clone"))
		run_clone();
	else if (!strcmp(name, "altstack"))
		run_altstack();
	else if (!strcmp(name, "flags"))
		run_flags();
	else if (!strcmp(name, "dense"))
		run_dense();
	else if (!strcmp(name, "storm"))
		run_storm();
	else if (!strcmp(name, "deep")) {
		pthread_attr_init(&big);
		pthread_attr_setstacksize(&big, (size_t)count * 64 + (1 << 20));
		pthread_create(&t, &big, deep_thread, NULL);
		pthread_join(t, NULL);
	} else
		return 2;
	printf("calls=%ld returns=%ld sum=%ld\n", (long)calls, (long)returns, (long)sum);
	return 0;
}
