/* SPDX-License-Identifier: MIT */
/*
 * Threads that call small functions of known shapes as fast as they can and check every
 *result.
 *
 *	uprobe-hammer THREADS [block] [fork] [trap]
 *
 * block: the threads block all signals; fork: one more thread forks children that do the
 *same for a moment; trap: a handler for SIGTRAP is installed, ignored when "trap" is
 *"ignore". Prints "ADDRESS SIZE NAME" of each function, then "ready".  A line on standard
 *input starts the threads, the next one stops them: then prints "NAME CALLS" of each and
 *"sum ok" or "sum wrong", and a third one (or end of file) ends the program.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint64_t (*shape_fn)(uint64_t value, uint64_t *memory);

/* clang-format off */
#define SHAPE(name, body)                                                                          \
	__asm__(".text\n.p2align 4, 0xcc\n.globl shape_" #name "\n.type shape_" #name ", @function\n"  \
		"shape_" #name ":\n" body "\n.size shape_" #name ", . - shape_" #name "\n"               \
		".p2align 4, 0xcc\n");                                                              \
	uint64_t shape_##name(uint64_t value, uint64_t *memory)
/* clang-format on */

/* one long instruction */
SHAPE(single, "mov $5, %eax; add %rdi, %rax; ret");
/* several in the first five bytes: each start but the first is an interior */
SHAPE(window, "push %rbx; mov %rdi, %rbx; lea 5(%rbx), %rax; pop %rbx; ret");
SHAPE(pushes,
	"push %r12; push %r13; push %rbx; lea 5(%rdi), %rax; pop %rbx; pop %r13; pop %r12; ret");
/* shorter than a jump, with padding behind */
SHAPE(tiny, "lea 5(%rdi), %rax; ret");
/* a branch into the first five bytes */
SHAPE(inner, "xor %eax, %eax; 1: inc %eax; cmp $5, %eax; jb 1b; add %rdi, %rax; ret");
/* a loop to the head: each round is a hit */
SHAPE(red_zone, "mov %rdi, -8(%rsp); mov $5, %eax; add -8(%rsp), %rax; ret");
/* flags are live over the second instruction */
SHAPE(memory, "mov %rdi, (%rsi); addq $5, (%rsi); mov (%rsi), %rax; ret");

static const struct {
	const char *name;
	shape_fn fn;
} shapes[] = {
	{"single", shape_single},
	{"window", shape_window},
	{"pushes", shape_pushes},
	{"tiny", shape_tiny},
	{"inner", shape_inner},
	{"red_zone", shape_red_zone},
	{"memory", shape_memory},
};
enum {
	SHAPES = sizeof(shapes) / sizeof(*shapes),
	MAX_THREADS = 256
};

static atomic_bool running, stopping;
static bool block_signals;
static struct {
	_Alignas(128) uint64_t calls[SHAPES];
	bool wrong;
} results[MAX_THREADS];

/* read(2) in the middle of a window: a thread that waits here has its pc inside */
__asm__(".text\n.p2align 4, 0xcc\n.globl shape_wait\n.type shape_wait, @function\n"
	"shape_wait:\nxor %eax, %eax; syscall; ret\n.size shape_wait, . - shape_wait\n"
	".p2align 4, 0xcc\n");
long shape_wait(long fd, void *buffer, long size);

static bool call_all(uint64_t *value, uint64_t *calls)
{
	uint64_t memory = 0;

	for (int i = 0; i < SHAPES; i++) {
		uint64_t got = shapes[i].fn(*value, &memory);
		if (calls)
			calls[i]++;
		if (got != *value + 5)
			return false;
		*value = got;
	}
	return true;
}

static void *hammer(void *data)
{
	int self = (int)(intptr_t)data;
	uint64_t value = (uint64_t)self << 32;
	sigset_t all;

	sigfillset(&all);
	if (block_signals)
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!atomic_load_explicit(&running, memory_order_acquire))
		usleep(1000);
	while (!atomic_load_explicit(&stopping, memory_order_relaxed))
		for (int i = 0; i < 64; i++)
			if (!call_all(&value, results[self].calls))
				results[self].wrong = true;
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	if (block_signals && !sigismember(&now, SIGTRAP)) {
		fprintf(stderr, "hammer: SIGTRAP is no longer blocked\n");
		results[self].wrong = true;
	}
	return NULL;
}

static void *forker(void *data)
{
	uint64_t value = 1;
	int status;

	while (!atomic_load(&running))
		usleep(1000);
	while (!atomic_load(&stopping)) {
		pid_t child = fork();
		if (!child) {
			for (int i = 0; i < 2000; i++)
				if (!call_all(&value, NULL))
					_exit(1);
			_exit(0);
		}
		if (waitpid(child, &status, 0) != child || status) {
			fprintf(stderr, "hammer: a forked child ended with status 0x%x\n",
				status);
			results[0].wrong = true;
		}
		usleep(2000);
	}
	return NULL;
}

static void *waiter(void *data)
{
	int fd = (int)(intptr_t)data;
	char byte;

	if (shape_wait(fd, &byte, 1) != 1) {
		fprintf(stderr, "hammer: the blocked read was disturbed\n");
		results[1].wrong = true;
	}
	return NULL;
}

static void on_trap(int signal)
{
	static const char text[] = "hammer: a stray SIGTRAP\n";

	results[0].wrong = true;
	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(3);
}

static void print_shape(const char *name, const void *address, size_t size)
{
	printf("%#lx %zu %s\n", (unsigned long)address, size, name);
}

/* Functions are padded with int3: their size ends at the first after a ret. */
static size_t size_of(const void *function)
{
	const unsigned char *bytes = function;
	size_t size = 0;

	while (bytes[size] != 0xc3)
		size++;
	return size + 1;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 4, pipes[2];
	bool forks = false;
	char line[64];
	pthread_t ids[MAX_THREADS], fork_id, wait_id;

	for (int i = 2; i < argc; i++) {
		block_signals |= !strcmp(argv[i], "block");
		forks |= !strcmp(argv[i], "fork");
		if (!strcmp(argv[i], "trap"))
			signal(SIGTRAP, on_trap);
		if (!strcmp(argv[i], "ignore"))
			signal(SIGTRAP, SIG_IGN);
	}
	if (threads < 1 || threads > MAX_THREADS || pipe(pipes) < 0)
		return 2;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, hammer, (void *)(intptr_t)i))
			return 2;
	if (forks && pthread_create(&fork_id, NULL, forker, NULL))
		return 2;
	if (pthread_create(&wait_id, NULL, waiter, (void *)(intptr_t)pipes[0]))
		return 2;
	for (int i = 0; i < SHAPES; i++)
		print_shape(shapes[i].name, (const void *)(uintptr_t)shapes[i].fn,
			size_of((const void *)(uintptr_t)shapes[i].fn));
	print_shape("wait", (const void *)(uintptr_t)shape_wait,
		size_of((const void *)(uintptr_t)shape_wait));
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	atomic_store(&running, true);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
	atomic_store(&stopping, true);
	if (write(pipes[1], "x", 1) != 1)
		return 2;
	uint64_t total[SHAPES] = {0};
	bool wrong = false;
	for (int i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		for (int s = 0; s < SHAPES; s++)
			total[s] += results[i].calls[s];
	}
	if (forks)
		pthread_join(fork_id, NULL);
	pthread_join(wait_id, NULL);
	for (int i = 0; i < MAX_THREADS; i++)
		wrong |= results[i].wrong;
	for (int s = 0; s < SHAPES; s++)
		printf("%s %llu\n", shapes[s].name, (unsigned long long)total[s]);
	printf("sum %s\n", wrong ? "wrong" : "ok");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	return 0;
}
