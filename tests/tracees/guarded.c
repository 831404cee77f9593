/* SPDX-License-Identifier: MIT */
/*
 * Text that is hard to patch, and processes that are hard to get at.   usage: guarded CASE [ARGUMENT]
 * After its preparations it says "ready", calls work() until a line comes on standard input (or 10,000
 * times when that is a terminal or at its end), and prints how often, and whether all results were right.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
enum {
	CALLS = 10000,
	PAGE = 4096,
	NR_MSEAL = 462,
	SKIPPED = 77
};
extern char **environ;
static long calls, wrong;
static int depth_seen;
static jmp_buf back;

/* Keeps values below the stack pointer while the probe runs: a leaf needs no frame. */
__attribute__((noipa)) static long work(long n)
{
	volatile long kept[8];
	for (int i = 0; i < 8; i++)
		kept[i] = n + i;
	long sum = 0;
	for (int i = 0; i < 8; i++)
		sum += kept[i];
	return sum;
}

__attribute__((noipa)) static long rewritten(long n)
{
	return n * 3 + 1;
}

__attribute__((noipa)) static int innermost(void)
{
	void *frames[64];
	depth_seen = backtrace(frames, 64);
	return depth_seen;
}

__attribute__((noipa)) static int middle(void)
{
	return innermost() + 0 * (int)work(1);
}

__attribute__((noipa)) static int outermost(void)
{
	return middle() + 0 * (int)work(1);
}

static void call_once(long (*function)(long))
{
	long n = calls++;
	if (function(n) != n * 8 + 28)
		wrong++;
}

static int wants_end(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	char c;
	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN) && read(0, &c, 1) == 1;
}

static void call_until_told(long (*function)(long))
{
	struct stat s;
	int interactive = fstat(0, &s) == 0 && S_ISFIFO(s.st_mode);
	puts("ready");
	fflush(stdout);
	while (interactive ? !wants_end() : calls < CALLS)
		call_once(function);
}

static void skip_unless(int works, const char *what)
{
	if (works)
		return;
	printf("skipped: %s\n", what);
	exit(SKIPPED);
}

static void seal(void)
{
	uintptr_t page = (uintptr_t)work & ~(uintptr_t)(PAGE - 1);
	skip_unless(syscall(NR_MSEAL, page, PAGE, 0) == 0, "no mseal() here");
}

/* work() of a library that is mapped shared, by hand. */
static void map_shared(const char *path)
{
	int fd = open(path, O_RDONLY);
	void *library = dlopen(path, RTLD_NOW);
	Dl_info info;
	skip_unless(fd >= 0 && library, "no library");
	char *function = dlsym(library, "plugin_work");
	dladdr(function, &info);
	size_t offset = (size_t)(function - (char *)info.dli_fbase);
	off_t page = (off_t)(offset & ~(size_t)(PAGE - 1));
	char *copy = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, page);
	skip_unless(copy != MAP_FAILED, "no shared text");
	dlclose(library);
	puts("ready");
	fflush(stdout);
	while (!wants_end())
		calls += copy[offset % PAGE] != 0;
}

/* A library that is mapped twice, in two namespaces: ten calls by each constructor, one by each destructor. */
static void open_twice(const char *path)
{
	void *copies[] = {dlopen(path, RTLD_NOW), dlmopen(LM_ID_NEWLM, path, RTLD_NOW)};
	for (int i = 0; i < 2; i++) {
		long (*function)(long) = NULL;
		skip_unless(copies[i] != NULL, "no library");
		*(void **)&function = dlsym(copies[i], "plugin_work");
		for (int k = 0; k < 50; k++)
			function(1);
		calls += 61;
	}
	for (int i = 0; i < 2; i++)
		wrong += dlclose(copies[i]) != 0;
}

/* The program changes its own text while it is probed: what it wrote has to stay. */
static void rewrite(void)
{
	static const uint8_t seven[] = {0xb8, 7, 0, 0, 0, 0xc3}; /* mov $7,%eax; ret */
	uintptr_t page = (uintptr_t)rewritten & ~(uintptr_t)(PAGE - 1);
	puts("ready");
	fflush(stdout);
	while (!wants_end())
		wrong += rewritten(calls) != calls * 3 + 1, calls++;
	mprotect((void *)page, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy((void *)(uintptr_t)rewritten, seven, sizeof(seven));
	mprotect((void *)page, 2 * PAGE, PROT_READ | PROT_EXEC);
	puts("rewritten");
	fflush(stdout);
	while (!wants_end())
		wrong += rewritten(calls) != 7, calls++;
}

static void daemonize(void)
{
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();
		if (child) {
			int status = 0;
			waitpid(child, &status, 0);
			exit(status ? 1 : 0);
		}
		setsid();
	}
	while (calls < CALLS)
		call_once(work);
}

static void spawn(const char *self)
{
	for (int i = 0; i < 20; i++) {
		char kind[] = "plain", *args[] = {(char *)(uintptr_t)self, kind, NULL};
		pid_t child;
		int status = 0;
		call_once(work);
		if (posix_spawn(&child, self, NULL, NULL, args, environ) != 0 ||
			waitpid(child, &status, 0) != child || status)
			wrong++;
	}
}

/* setjmp() in a probed function that comes back many times from calls that are left. */
__attribute__((noipa)) static void jump_back(int n)
{
	work(n);
	longjmp(back, n + 1);
}

__attribute__((noipa)) static int comes_again(int times)
{
	int n = setjmp(back);
	if (n < times)
		jump_back(n);
	return n;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "plain";
	if (!strcmp(name, "mdwe"))
		skip_unless(prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0, "no PR_SET_MDWE here");
	else if (!strcmp(name, "undumpable"))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	else if (!strcmp(name, "sealed"))
		seal();
	else if (!strcmp(name, "shared"))
		map_shared(argv[2]);
	else if (!strcmp(name, "twice")) {
		open_twice(argv[2]);
		printf("calls=%ld wrong=%ld\n", calls, wrong);
		return 0;
	} else if (!strcmp(name, "rewrite"))
		rewrite();
	else if (!strcmp(name, "daemon"))
		daemonize();
	else if (!strcmp(name, "spawn"))
		spawn(argv[0]);
	else if (!strcmp(name, "backtrace")) {
		printf("depth=%d\n", outermost());
		return 0;
	} else if (!strcmp(name, "again")) {
		printf("again=%d\n", comes_again(1000));
		return 0;
	} else if (!strcmp(name, "redzone")) {
		for (long i = 0; i < atol(argv[2]); i++)
			call_once(work);
	} else if (!strcmp(name, "crash")) {
		work(1);
		*(volatile int *)(uintptr_t)(argc - 3) = 1; /* an address that is none */
	}
	if (strcmp(name, "shared") && strcmp(name, "rewrite") && strcmp(name, "daemon") &&
		strcmp(name, "spawn") && strcmp(name, "redzone"))
		call_until_told(work);
	printf("calls=%ld wrong=%ld\n", calls, wrong);
	return 0;
}
