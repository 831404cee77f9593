/* SPDX-License-Identifier: MIT */
/*
 * make bench: what engines cost, beside the same done by hand with ptrace(2), in one run on one CPU.  Each
 * figure is the best of some rounds.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utrace/utrace.h>

enum {
	ROUNDS = 7,
	CALLS = 200000,
	STOPS = 10000,
	THREADS = 4096
};

static volatile struct {
	long go, done, ready;
} * shared;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void stay_on(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* ---- an engine that asks for nothing ------------------------------------------------------------- */

/* Of its own processor time: what else the machine does is no cost of ours. */
static double own_time(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double call_for_a_while(void)
{
	double best = 1e9;
	for (int i = 0; i < ROUNDS; i++) {
		double start = own_time();
		for (int k = 0; k < CALLS; k++)
			syscall(SYS_getppid);
		double end = own_time() - start;
		best = end < best ? end : best;
	}
	return best / CALLS * 1e9;
}

static const struct utrace_engine_ops nothing = {0};

static void bench_idle_engine(void)
{
	struct utrace *utrace;
	struct utrace_engine *engine;
	volatile double *results = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	if (pid == 0) {
		results[0] = call_for_a_while();
		shared->ready = 1;
		while (!shared->go)
			sched_yield();
		results[1] = call_for_a_while();
		_exit(0);
	}
	while (!shared->ready)
		usleep(1000);
	if (utrace_create(&utrace, NULL) < 0 ||
		utrace_seize_process(utrace, pid, NULL) < 0 ||
		utrace_attach_pid(
			utrace, pid, UTRACE_ATTACH_CREATE, &nothing, NULL, &engine) < 0)
		die("attach");
	shared->go = 1;
	while (utrace_first_task(utrace, 0)) {
		struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
		poll(&fd, 1, -1);
		if (utrace_dispatch(utrace, NULL) < 0)
			die("dispatch");
	}
	printf("%-44s %10.2f   untraced %.2f ns, ratio %.3f\n",
		"engine that wants nothing: getppid, ns", results[1], results[0],
		results[1] / results[0]);
	utrace_engine_put(engine);
	utrace_destroy(utrace);
}

/* ---- one stop and on ------------------------------------------------------------------------------ */

static pid_t start_caller(void)
{
	shared->go = 0;
	pid_t pid = fork();
	if (pid == 0) {
		while (!shared->go)
			sched_yield();
		for (;;)
			syscall(SYS_getppid);
	}
	return pid;
}

/* What any program has to do that waits for stops and for something else: SIGCHLD through a descriptor, which it
 * polls and reads before it asks. */
struct poller {
	sigset_t before;
	int epoll, signals;
};

static struct poller start_polling(void)
{
	struct poller poller;
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &poller.before);
	poller.signals = signalfd(-1, &set, SFD_NONBLOCK);
	poller.epoll = epoll_create1(0);
	if (poller.signals < 0 || poller.epoll < 0 ||
		epoll_ctl(poller.epoll, EPOLL_CTL_ADD, poller.signals, &event) < 0)
		die("epoll");
	return poller;
}

static void poll_once(const struct poller *poller)
{
	struct signalfd_siginfo info;
	struct pollfd fd = {.fd = poller->epoll, .events = POLLIN};
	poll(&fd, 1, -1);
	(void)!read(poller->signals, &info, sizeof(info));
}

static void stop_polling(const struct poller *poller)
{
	struct signalfd_siginfo info;
	(void)!read(poller->signals, &info, sizeof(info));
	close(poller->epoll);
	close(poller->signals);
	sigprocmask(SIG_SETMASK, &poller->before, NULL);
}

static double stop_by_hand(bool by_poll)
{
	int status;
	pid_t pid = start_caller();
	struct poller poller = {.epoll = -1};
	if (by_poll)
		poller = start_polling();
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 ||
		ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 ||
		waitpid(pid, &status, __WALL) < 0)
		die("ptrace");
	shared->go = 1;
	double start = now();
	for (int i = 0; i < STOPS; i++) {
		struct user_regs_struct regs;
		if (ptrace(PTRACE_SYSCALL, pid, 0, 0) < 0)
			die("ptrace");
		if (by_poll)
			poll_once(&poller);
		if (waitpid(pid, &status, __WALL) < 0 ||
			ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0)
			die("ptrace");
	}
	double end = now() - start;
	kill(pid, SIGKILL);
	waitpid(pid, &status, __WALL);
	if (by_poll)
		stop_polling(&poller);
	return end / STOPS * 1e9;
}

static long stops;

static uint32_t count_stop(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	(void)engine;
	(void)regs;
	stops++;
	return UTRACE_RESUME | utrace_syscall_action(action);
}

static const struct utrace_engine_ops counting = {
	.report_syscall_entry = count_stop, .report_syscall_exit = count_stop};

static double stop_by_engine(bool by_poll)
{
	struct utrace *utrace;
	struct utrace_engine *engine;
	pid_t pid = start_caller();
	if (utrace_create(&utrace, NULL) < 0 ||
		utrace_seize_process(utrace, pid, NULL) < 0 ||
		utrace_attach_pid(utrace, pid, UTRACE_ATTACH_CREATE, &counting, NULL,
			&engine) < 0 ||
		utrace_set_events(
			utrace_engine_task(engine), engine, UTRACE_EVENT_SYSCALL) < 0)
		die("attach");
	shared->go = 1;
	double start = 0;
	stops = 0;
	for (long from = -1; from < 0 || stops < from + STOPS;) {
		struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
		if (by_poll)
			poll(&fd, 1, -1);
		if ((by_poll ? utrace_dispatch(utrace, NULL)
			     : utrace_wait(utrace, NULL)) < 0)
			die("dispatch");
		if (from < 0 && stops)
			from = stops, start = now();
	}
	double end = now() - start;
	kill(pid, SIGKILL);
	utrace_engine_put(engine);
	utrace_destroy(utrace);
	waitpid(pid, NULL, __WALL);
	return end / STOPS * 1e9;
}

static void bench_stops(void)
{
	double hand = 1e9, wait = 1e9, poll = 1e9, hand_poll = 1e9;
	for (int i = 0; i < ROUNDS; i++) {
		double a = stop_by_hand(false), b = stop_by_engine(false),
		       c = stop_by_engine(true), d = stop_by_hand(true);
		hand = a < hand ? a : hand;
		wait = b < wait ? b : wait;
		poll = c < poll ? c : poll;
		hand_poll = d < hand_poll ? d : hand_poll;
	}
	printf("%-44s %10.0f   bare ptrace loop %.0f ns, ratio %.2f\n",
		"stop, report with registers, resume, ns", wait, hand, wait / hand);
	printf("%-44s %10.0f   bare loop that polls %.0f ns, ratio %.2f\n",
		"the same by poll(2) and utrace_dispatch()", poll, hand_poll,
		poll / hand_poll);
}

/* ---- taking hold of many threads ------------------------------------------------------------------ */

static void *wait_for_ever(void *data)
{
	for (;;)
		pause();
	return data;
}

static pid_t start_many(void)
{
	shared->ready = 0;
	pid_t pid = fork();
	if (pid == 0) {
		pthread_attr_t attr;
		pthread_t thread;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 65536);
		for (int i = 1; i < THREADS; i++) {
			if (pthread_create(&thread, &attr, wait_for_ever, NULL) != 0)
				_exit(1);
		}
		shared->ready = 1;
		wait_for_ever(NULL);
	}
	while (!shared->ready && kill(pid, 0) == 0)
		usleep(1000);
	return pid;
}

static void end_many(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* One look for the threads is the least that anybody needs. */
static double seize_by_hand(pid_t pid)
{
	char path[64];
	double start = now();
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *folder = opendir(path);
	const struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		pid_t tid = (pid_t)atoi(entry->d_name);
		if (tid && ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
			die("PTRACE_SEIZE");
	}
	if (folder)
		closedir(folder);
	return now() - start;
}

/* In a process of its own: what it holds goes with it. */
static double seize_by_peer(pid_t pid)
{
	volatile double *result = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t peer = fork();
	if (peer == 0) {
		*result = seize_by_hand(pid);
		_exit(0);
	}
	waitpid(peer, NULL, 0);
	return *result;
}

static double seize_by_engine(pid_t pid, double *ret_detach)
{
	struct utrace *utrace;
	size_t count = 0;
	if (utrace_create(&utrace, NULL) < 0)
		die("utrace_create");
	double start = now();
	if (utrace_seize_process(utrace, pid, NULL) < 0)
		die("utrace_seize_process");
	double engine = now() - start;
	struct utrace_task *task = utrace_first_task(utrace, pid);
	for (; task; task = utrace_next_task(task, pid))
		count++;
	if (count != THREADS)
		die("threads are missing");
	start = now();
	utrace_destroy(utrace);
	*ret_detach = now() - start;
	return engine;
}

static void bench_attach(void)
{
	double hand = 1e9, engine = 1e9, detach = 1e9;
	pid_t pid = start_many();
	for (int i = 0; i < ROUNDS; i++) {
		double c, a = seize_by_peer(pid), b = seize_by_engine(pid, &c);
		hand = a < hand ? a : hand;
		engine = b < engine ? b : engine;
		detach = c < detach ? c : detach;
	}
	end_many(pid);
	printf("%-44s %10.1f   bare PTRACE_SEIZE loop %.1f ms, ratio %.2f\n",
		"attach to 4,096 threads, ms", engine * 1e3, hand * 1e3, engine / hand);
	printf("%-44s %10.1f\n", "detach from them, ms", detach * 1e3);
}

int main(void)
{
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setbuf(stdout, NULL);
	stay_on(0);
	bench_idle_engine();
	bench_stops();
	bench_attach();
	return 0;
}
