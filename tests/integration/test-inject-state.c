/* SPDX-License-Identifier: MIT */
/* What a program could notice of a visit: nothing may differ before and after. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/fd.h"
#include "base/strbuf.h"
#include "inject/inject.h"
#include "tap.h"

enum {
	SESSION_SIZE = 1 << 20,
	ARENA_SIZE = 1 << 16
};

static struct shared {
	volatile int ready, waiting_tid, polling_tid,
		polled; /* what epoll_wait() returned */
} * shared;

static struct utrace *utrace;

static void sleep_ms(int ms)
{
	struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&delay, NULL);
}

/* ---- tracees -------------------------------------------------------------------------------------- */

static void on_signal(int signal)
{
}

static void plain(void)
{
	shared->ready = 1;
	for (;;)
		pause();
}

static void spinning(void)
{
	shared->ready = 1;
	for (volatile unsigned i = 0;; i++)
		;
}

static void *thread_body(void *data)
{
	for (;;)
		pause();
	return data;
}

static void threads(void)
{
	struct sigaction action = {
		.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGSEGV, &action, NULL);
	signal(SIGTRAP, SIG_IGN);
	for (int i = 0; i < 8; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, thread_body, NULL);
	}
	plain();
}

static void suspended(void)
{
	sigset_t set;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigdelset(&set, SIGUSR1);
	shared->ready = 1;
	sigsuspend(&set);
}

static void leaderless(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, thread_body, NULL);
	shared->ready = 1;
	pthread_exit(NULL);
}

static void stopped(void)
{
	shared->ready = 1;
	raise(SIGSTOP);
	plain();
}

static pid_t start(void (*body)(void))
{
	shared->ready = 0;
	pid_t pid = fork();
	if (pid == 0) {
		body();
		_exit(0);
	}
	while (!shared->ready)
		sleep_ms(1);
	sleep_ms(20);
	return pid;
}

/* ---- snapshots -------------------------------------------------------------------------------------- */

static void add_lines(struct strbuf *sb, pid_t tid, const char *const *keys)
{
	char path[64], *text, *save = NULL;
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (fd_read_file(path, &text, NULL) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		for (int i = 0; keys[i]; i++) {
			if (!strncmp(line, keys[i], strlen(keys[i])))
				strbuf_printf(sb, "%s\n", line);
		}
	}
	free(text);
}

static void add_descriptors(struct strbuf *sb, pid_t pid)
{
	char path[128], target[256];
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", pid, entry->d_name);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		if (n > 0)
			strbuf_printf(sb, "%s -> %.*s\n", entry->d_name, (int)n, target);
	}
	if (dir)
		closedir(dir);
}

static void take_snapshot(pid_t pid, struct strbuf *ret)
{
	static const char *const keys[] = {"State", "Threads", "SigPnd", "ShdPnd",
		"SigBlk", "SigIgn", "SigCgt", "TracerPid", "FDSize", "VmData", "VmStk",
		NULL};
	struct proc_tids list;
	char path[64], *maps;
	strbuf_init(ret);
	if (proc_list_tasks(pid, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.tids.count; i++)
		add_lines(ret, list.tids.items[i], keys);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/maps", pid,
		list.tids.items[list.tids.count - 1]);
	vec_free(&list.tids);
	add_descriptors(ret, pid);
	if (fd_read_file(path, &maps, NULL) < 0)
		return;
	strbuf_puts(ret, maps);
	free(maps);
}

/* All threads have got where they wait: a thread that is just being created has other signals blocked. */
static void await_rest(pid_t pid)
{
	struct proc_tids list;
	struct proc_stat stat;
	bool at_rest = false;
	while (!at_rest && proc_list_tasks(pid, &list, NULL) == 0) {
		at_rest = true;
		for (size_t i = 0; i < list.tids.count; i++)
			at_rest &= proc_read_stat(list.tids.items[i], &stat) < 0 ||
				   strchr("STZ", stat.state);
		vec_free(&list.tids);
		sleep_ms(1);
	}
}

/* A detached thread needs a moment to be seen in the state it was in. */
static bool returns_to(pid_t pid, const struct strbuf *before, struct strbuf *after)
{
	for (int i = 0; i < 200; i++) {
		take_snapshot(pid, after);
		if (!strcmp(before->data, after->data))
			return true;
		strbuf_deinit(after);
		sleep_ms(1);
	}
	take_snapshot(pid, after);
	return false;
}

/* ---- one visit ---------------------------------------------------------------------------------------- */

static int session_fd;
static char *session;

static int visit_signals(struct inject *inject, uint64_t arena, struct error *err)
{
	const uint64_t front = 0x12345000,
		       signals = 1ull << (SIGSEGV - 1) | 1ull << (SIGTRAP - 1);
	struct agent_sigaction old;
	int r = inject_install_signal_front(
		inject, front, front + 16, arena, signals, err);
	if (r == 0)
		r = remote_memory_read(inject_memory_fd(inject),
			arena + SIGTRAP * sizeof(old), &old, sizeof(old));
	if (r == 0 && old.handler > 1)
		return error_set(err, -EINVAL, "the old action of SIGTRAP is wrong");
	if (r == 0)
		r = inject_remove_signal_front(inject, front, arena, signals, err);
	return r;
}

/* @lasts: the program does not end by itself, so that its thread can be let go and taken again */
static int visit(struct inject *inject, bool lasts, struct error *err)
{
	uint64_t memory, arena, null = 0, same;
	char text[8] = {0};
	int fd = inject_memory_fd(inject);
	int r = inject_map_fd(inject, session_fd, SESSION_SIZE, 0, &memory, err);
	if (r < 0)
		return r;
	strcpy(session, "session");
	r = remote_memory_read(fd, memory, text, sizeof(text));
	if (r < 0 || strcmp(text, "session") != 0)
		return error_set(err, -EIO, "session memory is not shared");
	r = inject_map_arena(inject, 1 << 20, 1ull << 46, ARENA_SIZE, &arena, err);
	if (r == 0)
		r = remote_memory_write(fd, arena, "\xc3", 1);
	if (r == 0)
		r = inject_map_null_context(inject, &null, err);
	if (r < 0)
		return r;
	if (null == 0 || null >> 31)
		return error_set(err, -EIO, "the null page is at 0x%llx",
			(unsigned long long)null);
	same = null;
	if (inject_map_null_context(inject, &same, NULL) != -EEXIST)
		return error_set(err, -EIO, "a taken address is not noticed");
	r = inject_sync_cores(inject, err);
	if (r == 0)
		r = inject_sync_cores(inject, err);
	if (r == 0)
		r = visit_signals(inject, arena, err);
	if (r == 0 && lasts)
		r = inject_release_victim(inject, err);
	if (r == 0 && lasts)
		r = inject_take_victim(inject, err);
	if (r == 0)
		r = inject_unmap(inject, null, 4096, err);
	if (r == 0)
		r = inject_unmap(inject, arena, ARENA_SIZE, err);
	return r == 0 ? inject_unmap(inject, memory, SESSION_SIZE, err) : r;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < 1000 && utrace_first_task(utrace, pid); i++) {
		(void)!utrace_dispatch(utrace, NULL);
		sleep_ms(1);
	}
	waitpid(pid, NULL, __WALL);
}

static void test_visit(const char *name, void (*body)(void))
{
	struct error err = {0};
	struct inject *inject = NULL;
	struct strbuf before, after;
	pid_t pid = start(body);
	if (body != spinning)
		await_rest(pid);
	take_snapshot(pid, &before);
	int r = utrace_seize_process(utrace, pid, &err);
	if (r == 0)
		r = inject_create(utrace, pid, false, &inject, &err);
	if (r == 0)
		r = visit(inject, true, &err);
	inject_destroy(inject);
	utrace_detach_process(utrace, pid);
	tap_ok(r == 0, "%s: everything works", name);
	if (r < 0)
		printf("# %s; %s\n", err.message, err.hint);
	bool same = returns_to(pid, &before, &after);
	tap_ok(same, "%s: nothing has changed", name);
	if (!same)
		printf("# before\n%s\n# after\n%s\n", before.data, after.data);
	strbuf_deinit(&before);
	strbuf_deinit(&after);
	end(pid);
}

/* ---- who waits ----------------------------------------------------------------------------- */

static void *wait_in_futex(void *data)
{
	pthread_mutex_t *mutex = data;
	shared->waiting_tid = gettid();
	pthread_mutex_lock(mutex);
	return NULL;
}

/* It learns of an interruption, and tells. */
static void *wait_in_epoll(void *data)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	shared->polling_tid = gettid();
	shared->polled = epoll_wait(fd, &event, 1, -1);
	return NULL;
}

static void one_polls(void)
{
	pthread_t thread;
	shared->ready = 1;
	pthread_create(&thread, NULL, wait_in_epoll, NULL);
	for (volatile unsigned i = 0;; i++)
		;
}

static void one_waits(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, wait_in_futex, &mutex);
	one_polls();
}

static void await_call(pid_t pid, const volatile int *tid, long number)
{
	struct proc_syscall call = {.running = true};
	while (!*tid || proc_read_syscall(pid, *tid, &call) < 0 || call.running ||
		call.number != number)
		sleep_ms(1);
}

/* What takes long is done by a thread that has nothing else to do, and never by one that would notice. */
static void test_at_rest(const char *name, void (*body)(void), bool expected)
{
	struct error err = {0};
	struct inject *inject = NULL;
	shared->waiting_tid = shared->polling_tid = 0;
	shared->polled = 1;
	pid_t pid = start(body);
	await_call(pid, &shared->polling_tid, SYS_epoll_wait);
	if (expected)
		await_call(pid, &shared->waiting_tid, SYS_futex);
	int r = utrace_seize_process(utrace, pid, &err);
	if (r == 0)
		r = inject_create(utrace, pid, false, &inject, &err);
	tap_ok(r == 0 && inject_victim_tid(inject) == pid,
		"%s: a running thread is taken", name);
	if (r == 0) {
		tap_ok(!inject_take_at_rest(inject), "%s: no second one", name);
		r = inject_release_victim(inject, &err);
	}
	bool taken = r == 0 && inject_take_at_rest(inject);
	tap_ok(taken == expected &&
			(!taken || inject_victim_tid(inject) == shared->waiting_tid),
		"%s: %s", name, expected ? "so is the one that waits" : "no other");
	if (taken)
		r = inject_enrol_sync(inject, &err);
	if (r == 0 && taken)
		r = inject_release_victim(inject, &err);
	if (r == 0)
		r = inject_take_victim(inject, &err);
	if (r == 0)
		r = inject_sync_cores(inject, &err);
	tap_ok(r == 0 && inject_victim_tid(inject) == pid, "%s: cores are synchronised",
		name);
	if (r < 0)
		printf("# %s; %s\n", err.message, err.hint);
	inject_destroy(inject);
	utrace_detach_process(utrace, pid);
	tap_is_long(shared->polled, 1, "the poll goes on");
	end(pid);
}

/* ---- a signal in the call stub ------------------------------------------------------------ */

static int frames_result;

/* The instruction that was interrupted plays the stub. */
static void send_home(int signal, siginfo_t *info, void *data)
{
	const greg_t *g = ((const ucontext_t *)data)->uc_mcontext.gregs;
	const struct arch_call_home home = {.rax = 77,
		.rcx = (uint64_t)g[REG_RCX],
		.rdx = (uint64_t)g[REG_RDX],
		.rsi = (uint64_t)g[REG_RSI],
		.rdi = (uint64_t)g[REG_RDI],
		.r8 = 0x5555,
		.r9 = (uint64_t)g[REG_R9],
		.r10 = (uint64_t)g[REG_R10],
		.r11 = (uint64_t)g[REG_R11],
		.rip = (uint64_t)g[REG_RIP]};
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	frames_result = inject_leave_stub_frames(fd,
		(uint64_t)(uintptr_t)__builtin_frame_address(0), home.rip - 16, &home);
	close(fd);
}

static void test_frames(void)
{
	struct sigaction action = {.sa_sigaction = send_home, .sa_flags = SA_SIGINFO};
	register long r8 __asm__("r8") = 1;
	long rax = SYS_tgkill;

	sigaction(SIGUSR2, &action, NULL);
	__asm__ volatile("syscall"
			 : "+a"(rax), "+r"(r8)
			 : "D"(getpid()), "S"(gettid()), "d"(SIGUSR2)
			 : "rcx", "r11", "memory");
	long got = r8;
	tap_ok(frames_result == 0 && got == 0x5555 && rax == 77,
		"a handler returns home, not into the stub");
}

/* ---- launching -------------------------------------------------------------------------------------------- */

static bool stands_at_entry(struct utrace_task *task, int fd)
{
	struct user_regs_struct regs;
	uint64_t entry = 0;
	unsigned char byte = 0xcc;
	return proc_read_auxv(utrace_task_pid(task), AT_ENTRY, &entry) == 0 &&
	       utrace_get_regs(task, &regs) == 0 && regs.rip == entry &&
	       remote_memory_read(fd, entry, &byte, 1) == 0 && byte != 0xcc;
}

static int run_to_entry(
	struct inject *inject, struct utrace_task *task, struct error *err)
{
	const unsigned char breakpoint = 0xcc;
	unsigned char original;
	uint64_t entry;
	int fd = inject_memory_fd(inject);
	int r = proc_read_auxv(utrace_task_pid(task), AT_ENTRY, &entry);
	if (r == 0)
		r = remote_memory_read(fd, entry, &original, 1);
	if (r == 0)
		r = remote_memory_write(fd, entry, &breakpoint, 1);
	if (r == 0)
		r = inject_run_to(inject, entry, err);
	return r < 0 ? r : remote_memory_write(fd, entry, &original, 1);
}

static void test_launch(const char *name, const char *file)
{
	char *argv[] = {strdup(file), NULL};
	struct error err = {0};
	struct utrace_task *task = NULL;
	struct inject *inject = NULL;
	int r = utrace_launch(utrace, argv, &task, &err);
	if (r == 0)
		r = inject_create_at(task, false, &inject, &err);
	if (r == 0)
		r = visit(inject, false, &err);
	tap_ok(r == 0, "%s: a visit at exec", name);
	if (r == 0)
		r = run_to_entry(inject, task, &err);
	tap_ok(r == 0 && stands_at_entry(task, inject_memory_fd(inject)),
		"%s: at its entry", name);
	if (r == 0)
		r = visit(inject, false, &err);
	tap_ok(r == 0, "%s: a visit there", name);
	if (r < 0)
		printf("# %s; %s\n", err.message, err.hint);
	pid_t pid = task ? utrace_task_pid(task) : -1;
	inject_destroy(inject);
	for (int i = 0; i < 2000 && utrace_first_task(utrace, pid); i++) {
		(void)!utrace_dispatch(utrace, NULL);
		sleep_ms(1);
	}
	tap_ok(!utrace_first_task(utrace, pid), "%s: it ends", name);
	free(argv[0]);
}

/* ---- refusals ----------------------------------------------------------------------------------------------- */

static void full_table(void)
{
	struct rlimit limit = {8, 8};
	setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(0) >= 0)
		;
	plain();
}

static void strict(void)
{
	shared->ready = 1;
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	for (;;)
		;
}

static void filtered(void)
{
	struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	struct sock_fprog program = {1, &allow};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	plain();
}

static void gs_user(void)
{
	syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, 0x1000);
	plain();
}

static void test_refusals(void)
{
	static const struct {
		const char *name;
		void (*body)(void);
		bool force;
		int result;
	} cases[] = {
		{"no descriptor left", full_table, false, -EMFILE},
		{"strict seccomp", strict, true, -EPERM},
		{"a seccomp filter", filtered, false, -EPERM},
		{"a seccomp filter, by force", filtered, true, 0},
		{"gs base in use", gs_user, false, -EOPNOTSUPP},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};
		struct inject *inject = NULL;
		pid_t pid = start(cases[i].body);
		int r = utrace_seize_process(utrace, pid, &err);
		if (r == 0)
			r = inject_create(utrace, pid, cases[i].force, &inject, &err);
		if (r == 0)
			r = visit(inject, true, &err);
		tap_is_long(r, cases[i].result, cases[i].name);
		if (r < 0)
			printf("# %s; %s\n", err.message, err.hint);
		inject_destroy(inject);
		utrace_detach_process(utrace, pid);
		end(pid);
	}
}

int main(int argc, char **argv)
{
	struct error err = {0};
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	session_fd = memfd_create("utrace", MFD_CLOEXEC);
	if (ftruncate(session_fd, SESSION_SIZE) < 0 || utrace_create(&utrace, &err) < 0)
		return 1;
	session = mmap(
		NULL, SESSION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, session_fd, 0);
	test_visit("asleep", plain);
	test_visit("running", spinning);
	test_visit("threads", threads);
	test_visit("in sigsuspend", suspended);
	test_visit("leader gone", leaderless);
	test_visit("stopped", stopped);
	test_launch("dynamic", "/bin/true");
	if (argc > 1)
		test_launch("static", argv[1]);
	test_frames();
	test_at_rest("one waits", one_waits, true);
	test_at_rest("one polls", one_polls, false);
	test_refusals();
	utrace_destroy(utrace);
	return tap_done();
}
