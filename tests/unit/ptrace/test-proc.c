/* SPDX-License-Identifier: MIT */
/* The parsers of /proc on our own process, whose truth we know. */
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "tap.h"

static void test_maps(void)
{
	struct proc_maps maps;
	char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool found = false, text = false, vdso = false, sorted = true;
	if (proc_read_maps(getpid(), &maps, NULL) < 0)
		exit(1);
	for (size_t i = 0; i < maps.maps.count; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		uint64_t at = (uint64_t)(uintptr_t)page,
			 code = (uint64_t)(uintptr_t)test_maps;
		if (at >= map->start && at < map->end)
			found = map->read && !map->write && !map->execute && !map->shared;
		if (code >= map->start && code < map->end)
			text = map->execute && map->device_inode && map->path[0] == '/';
		vdso = vdso || !strcmp(map->path, "[vdso]");
		sorted = sorted && map->start < map->end &&
			 (i == 0 || maps.maps.items[i - 1].end <= map->start);
	}
	tap_ok(found, "an anonymous page");
	tap_ok(text, "our text");
	tap_ok(vdso, "the vdso");
	tap_ok(sorted, "ranges ascend");
	proc_maps_free(&maps);
	munmap(page, 8192);
}

enum {
	CHURN_PAGES = 400,
	CHURN_READS = 2000,
	KEPT_PAGE = 200,
	PAGE = 4096
};
static char *churned;
static volatile bool churn_stops;

/* Mappings come, go, and become one with their neighbours; one of them is left alone. */
static void *churn(void *data)
{
	unsigned random = 1;
	while (!churn_stops) {
		random = random * 1664525 + 1013904223;
		unsigned page = (random >> 8) % CHURN_PAGES;
		char *at = churned + (size_t)page * PAGE;
		if (page == KEPT_PAGE)
			continue;
		if (random >> 31)
			mprotect(at, PAGE,
				random >> 30 & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
		else /* no holes: something else might come to lie there */
			mmap(at, PAGE, random >> 30 & 1 ? PROT_READ : PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	return NULL;
}

/* Is the page that is left alone where it is, and does nothing overlap? */
static void look_at_churn(bool *ret_found, bool *ret_sorted)
{
	struct proc_maps maps;
	uint64_t kept = (uint64_t)(uintptr_t)churned + KEPT_PAGE * PAGE;
	bool found = false;
	if (proc_read_maps(getpid(), &maps, NULL) < 0)
		exit(1);
	for (size_t i = 0; i < maps.maps.count; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		found |= kept >= map->start && kept < map->end && map->execute;
		*ret_sorted &= map->start < map->end &&
			       (i == 0 || maps.maps.items[i - 1].end <= map->start);
	}
	*ret_found &= found;
	proc_maps_free(&maps);
}

static void test_changing_maps(void)
{
	pthread_t thread;
	bool found = true, sorted = true;
	churned = mmap(NULL, (size_t)CHURN_PAGES * PAGE, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(churned + KEPT_PAGE * PAGE, PAGE, PROT_READ | PROT_EXEC);
	if (pthread_create(&thread, NULL, churn, NULL) != 0)
		exit(1);
	for (int i = 0; i < CHURN_READS; i++)
		look_at_churn(&found, &sorted);
	churn_stops = true;
	pthread_join(thread, NULL);
	tap_ok(found, "a mapping among others that come and go");
	tap_ok(sorted, "nothing overlaps");
	munmap(churned, (size_t)CHURN_PAGES * PAGE);
}

static void test_status(void)
{
	struct proc_status status;
	struct proc_stat stat;
	signal(SIGUSR2, SIG_IGN);
	prctl(PR_SET_NAME, "a) b (c:\t9");
	tap_is_long(proc_read_status(getpid(), &status, NULL), 0, "status is read");
	tap_ok(status.tgid == getpid() && status.ppid == getppid() &&
			status.uid == getuid() && status.tracer == 0 &&
			status.state == 'R',
		"ids and state");
	tap_ok(status.sig_ignored >> (SIGUSR2 - 1) & 1, "ignored signals");
	tap_is_long(proc_read_stat(getpid(), &stat), 0, "stat is read past a nasty name");
	tap_ok(stat.state == 'R' && stat.start_brk &&
			stat.start_brk <= (uintptr_t)sbrk(0),
		"state and brk");
	struct error err = {0};
	tap_is_long(proc_read_status(INT_MAX, &status, &err), -ESRCH, "no such process");
	tap_is_string(err.message, "no such process: 2147483647", "which is said");
}

enum {
	THREADS = 4
};

static void *tell_tid(void *data)
{
	__atomic_store_n((pid_t *)data, gettid(), __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

/* Tids wrap around: an older thread may have the greater one. */
static void test_order(void)
{
	struct proc_tids list;
	pid_t tids[1 + THREADS] = {getpid()};
	pthread_t thread;
	for (int i = 1; i <= THREADS; i++) {
		if (pthread_create(&thread, NULL, tell_tid, &tids[i]) != 0)
			exit(1);
		while (!__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST))
			sched_yield();
	}
	if (proc_list_tasks(getpid(), &list, NULL) < 0)
		exit(1);
	tap_ok(list.tids.count == 1 + THREADS &&
			!memcmp(list.tids.items, tids, sizeof(tids)),
		"our threads are listed, the oldest first");
	vec_free(&list.tids);
}

static void test_lists(void)
{
	struct proc_tids list;
	bool found = false;
	if (proc_list_processes(&list, NULL) < 0)
		exit(1);
	for (size_t i = 0; i < list.tids.count; i++)
		found = found || list.tids.items[i] == getppid();
	tap_ok(found || getppid() == 0, "our parent is listed");
	vec_free(&list.tids);
}

static void test_small(void)
{
	char exe[PATH_MAX];
	uint64_t entry;
	tap_ok(proc_read_exe(getpid(), exe, sizeof(exe)) == 0 && exe[0] == '/', "exe");
	tap_ok(proc_read_auxv(getpid(), AT_ENTRY, &entry) == 0 &&
			entry == getauxval(AT_ENTRY),
		"auxv");
	tap_ok(proc_read_auxv(getpid(), 0x7777, &entry) == 0 && entry == 0,
		"absent in auxv");
	struct proc_syscall call;
	pid_t pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	int r = -1;
	for (int i = 0; i < 1000; i++) {
		r = proc_read_syscall(pid, pid, &call);
		if (r < 0 || (!call.running && call.number == SYS_pause))
			break;
		usleep(1000);
	}
	tap_ok(r == 0 && call.number == SYS_pause && call.pc && call.sp,
		"a blocked call");
	kill(pid, SIGKILL);
}

static void test_memory(void)
{
	static const char text[] = "read-only text";
	char buffer[sizeof(text)] = {0}, *page;
	int fd = remote_memory_open(getpid(), NULL);
	uint64_t at = (uint64_t)(uintptr_t)text;
	tap_ok(fd >= 0 && remote_memory_read(fd, at, buffer, sizeof(text)) == 0 &&
			!strcmp(buffer, text),
		"read");
	page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);
	at = (uint64_t)(uintptr_t)page + 4096 - 8;
	tap_is_long(remote_memory_write(fd, at, "12345678", 8), 0,
		"write to a read-only page");
	tap_ok(!memcmp(page + 4096 - 8, "12345678", 8), "it arrives");
	tap_is_long(remote_memory_read(fd, at, buffer, 9), -EFAULT, "read over the end");
	tap_is_long(remote_memory_write(fd, at, "123456789", 9), -EFAULT,
		"write over the end");
	tap_is_long(remote_memory_read(fd, 0, buffer, 1), -EFAULT, "read of address 0");
	close(fd);
}

int main(void)
{
	test_maps();
	test_changing_maps();
	test_status();
	test_lists();
	test_small();
	test_memory();
	test_order();
	return tap_done();
}
