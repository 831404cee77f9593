/* SPDX-License-Identifier: MIT */
/*
 * For tests of engines, against the library's interface only: children that share a page with the test, a
 * tracer, waiting for what is to happen, and an engine that writes down what it hears.
 */
#pragma once

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utrace/utrace.h>

#include "tap.h"

struct shared {
	int ready, go; /* counters: the child's turn, the test's turn */
	long count, result, error;
	long values[16];
};
static volatile struct shared *shared;
static struct utrace *utrace;

/* ---- children ----------------------------------------------------------------------------------- */

static void wait_for(volatile int *word, int value)
{
	for (int now; (now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < value;)
		syscall(SYS_futex, word, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void advance(volatile int *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 64, NULL, NULL, 0);
}

/* In the child: tell that the next place is reached, and wait to be sent on. */
__attribute__((unused)) static void meet(void)
{
	int turn = shared->ready + 1;
	advance(&shared->ready);
	wait_for(&shared->go, turn);
}

__attribute__((unused)) static void send_on(void)
{
	advance(&shared->go);
}

/* This sanitizer has a thread of its own in every program that has threads. */
#ifdef __SANITIZE_THREAD__
#define SKIP_FOR_THREAD_SANITIZER(why) \
	do {                           \
		tap_skip(why);         \
		return;                \
	} while (0)
#else
#define SKIP_FOR_THREAD_SANITIZER(why) ((void)0)
#endif

/*
 * In the child: a handler that is run at once, and at the address that was given.  The sanitizers' sigaction()
 * puts their own before it.
 */
__asm__(".pushsection .text\n"
	"engine_test_restorer:\n\t"
	"mov $15, %eax\n\t" /* rt_sigreturn */
	"syscall\n"
	".popsection");

__attribute__((unused)) static void handle(
	int signal, void (*handler)(int), unsigned long flags)
{
	extern const char engine_test_restorer[] __attribute__((visibility("hidden")));
	const struct {
		void (*handler)(int);
		unsigned long flags;
		const char *restorer;
		unsigned long mask;
	} action = {
		handler, flags | 0x04000000 /* SA_RESTORER */, engine_test_restorer, 0};
	syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof(action.mask));
}

/* Its exit status is 7 unless it exits by itself. */
__attribute__((unused)) static pid_t start(void (*body)(void))
{
	memset((void *)(uintptr_t)shared, 0, sizeof(*shared));
	fflush(stdout);
	/* fork() would bring a sanitizer's own thread into the child */
	pid_t pid = _Fork();
	if (pid == 0) {
		for (int i = 1; i < 32; i++) /* a sanitizer's */
			signal(i, SIG_DFL);
		pthread_sigmask(SIG_SETMASK, &(sigset_t){0}, NULL);
		body();
		_exit(7);
	}
	wait_for(&shared->ready, 1);
	return pid;
}

/* ---- the tracer --------------------------------------------------------------------------------- */

__attribute__((unused)) static void set_up(void)
{
	struct utrace_error err = {0};
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (utrace_create(&utrace, &err) == 0)
		return;
	printf("Bail out! %s\n", err.message);
	exit(1);
}

static void dispatch_once(void)
{
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	poll(&fd, 1, 20);
	if (utrace_dispatch(utrace, NULL) < 0)
		exit(1);
}

/* No limit of time: the runner has one. */
#define DISPATCH_UNTIL(condition)        \
	do {                             \
		while (!(condition))     \
			dispatch_once(); \
	} while (0)

__attribute__((unused)) static struct utrace_task *seize(pid_t pid)
{
	struct utrace_error err = {0};
	if (utrace_seize_process(utrace, pid, &err) == 0)
		return utrace_find_task(utrace, pid);
	printf("Bail out! %s\n", err.message);
	exit(1);
}

__attribute__((unused)) static void hold(
	struct utrace_task *task, struct utrace_engine *engine)
{
	int r = utrace_control(task, engine, UTRACE_STOP);
	if (r == -EINPROGRESS)
		r = utrace_wait_stopped(task, 100000, NULL);
	if (r < 0) {
		printf("Bail out! the thread does not stop: %s\n", strerror(-r));
		exit(1);
	}
}

static int last_status; /* of what died last, if an engine asked for DEATH */

/* Return: the wait status.  The tracer is the parent too: the status is the library's. */
__attribute__((unused)) static int finish(pid_t pid)
{
	last_status = -1;
	DISPATCH_UNTIL(!utrace_first_task(utrace, pid));
	return last_status;
}

__attribute__((unused)) static int kill_and_finish(pid_t pid)
{
	kill(pid, SIGKILL);
	return finish(pid);
}

/* ---- an engine that writes down what it hears --------------------------------------------------- */

struct recorder {
	char name;
	uint32_t answers[UTRACE_EVENT_NR_MAX]; /* by event; [0]: to report_quiesce(0) */
	uint32_t entry, exit;                  /* syscall answers: resume and ABORT */
	long call;           /* the only one to be written down; -1: all */
	bool passes_signals; /* answer with the signal action it was shown */
	int calls;           /* callbacks so far */
	int released;
	void (*on_event)(struct recorder *recorder, struct utrace_engine *engine,
		const char *what);
	/* what came last */
	struct user_regs_struct regs;
	siginfo_t info;
	uint32_t action;
	struct utrace_task *child;
	long code;
	int notify, signal;
	bool group_dead;
	pid_t tid;
};

static _Thread_local char heard[4096];

__attribute__((unused)) static struct recorder recorder(char name)
{
	struct recorder r = {.name = name,
		.call = -1,
		.passes_signals = true,
		.entry = UTRACE_RESUME,
		.exit = UTRACE_RESUME};
	for (int i = 0; i < UTRACE_EVENT_NR_MAX; i++)
		r.answers[i] = UTRACE_RESUME;
	return r;
}

static void hear(struct utrace_engine *engine, const char *what)
{
	struct recorder *r = utrace_engine_data(engine);
	size_t n = strlen(heard);
	r->calls++;
	snprintf(heard + n, sizeof(heard) - n, "%s%c:%s", n ? " " : "", r->name, what);
	if (r->on_event)
		r->on_event(r, engine, what);
}

__attribute__((unused)) static bool has_heard(const char *what)
{
	size_t n = strlen(what);
	for (const char *at = heard; (at = strstr(at, what)); at++) {
		if ((at == heard || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
			return true;
	}
	return false;
}

static uint32_t on_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	struct recorder *r = utrace_engine_data(engine);
	if (event)
		return UTRACE_RESUME;
	r->action = action;
	if (utrace_get_regs(utrace_engine_task(engine), &r->regs) < 0)
		r->regs.rip = 0;
	hear(engine, "quiesce");
	return r->answers[0];
}

static uint32_t on_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct recorder *r = utrace_engine_data(engine);
	static const char *const names[] = {
		"deliver", "ign", "term", "core", "stop", "tstp", "report", "handler"};
	char text[32];
	uint32_t what = utrace_signal_action(action);
	bool is_signal = what != UTRACE_SIGNAL_REPORT && what != UTRACE_SIGNAL_HANDLER;
	r->regs = *regs;
	r->info = *info;
	r->action = action;
	if (is_signal)
		snprintf(text, sizeof(text), "%s-%d", names[what >> 4], info->si_signo);
	else
		snprintf(text, sizeof(text), "%s", names[what >> 4]);
	hear(engine, text);
	uint32_t answer = r->answers[is_signal ? UTRACE_EVENT_NR_SIGNAL : 0];
	return r->passes_signals || !is_signal ? answer | what : answer;
}

static uint32_t on_clone(uint32_t action, struct utrace_engine *engine,
	unsigned long flags, struct utrace_task *child)
{
	struct recorder *r = utrace_engine_data(engine);
	r->child = child;
	r->code = (long)flags;
	hear(engine, "clone");
	return r->answers[UTRACE_EVENT_NR_CLONE];
}

static uint32_t on_jctl(
	uint32_t action, struct utrace_engine *engine, int type, int notify)
{
	struct recorder *r = utrace_engine_data(engine);
	r->notify = notify;
	hear(engine, type == CLD_STOPPED ? (notify ? "STOPPED" : "stopped")
					 : (notify ? "CONTINUED" : "continued"));
	return r->answers[UTRACE_EVENT_NR_JCTL];
}

static uint32_t on_exec(uint32_t action, struct utrace_engine *engine, pid_t former_tid)
{
	struct recorder *r = utrace_engine_data(engine);
	r->tid = former_tid;
	hear(engine, "exec");
	return r->answers[UTRACE_EVENT_NR_EXEC];
}

static uint32_t on_entry(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct recorder *r = utrace_engine_data(engine);
	if (r->call >= 0 && (long)regs->orig_rax != r->call)
		return UTRACE_RESUME | (action & UTRACE_SYSCALL_MASK);
	r->action = action;
	r->regs = *regs;
	hear(engine, action & UTRACE_SYSCALL_RESUMED ? "resumed" : "entry");
	return r->entry;
}

static uint32_t on_exit_call(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	struct recorder *r = utrace_engine_data(engine);
	struct utrace_syscall call;
	if (utrace_get_syscall(utrace_engine_task(engine), &call) < 0 ||
		(r->call >= 0 && call.number != r->call))
		return UTRACE_RESUME;
	r->action = action;
	r->regs = *regs;
	hear(engine, "exit");
	return r->exit;
}

static uint32_t on_ending(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	struct recorder *r = utrace_engine_data(engine);
	r->code = orig_code;
	hear(engine, "ending");
	return r->answers[UTRACE_EVENT_NR_EXIT];
}

static uint32_t on_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct recorder *r = utrace_engine_data(engine);
	r->group_dead = group_dead;
	last_status = utrace_task_status(utrace_engine_task(engine));
	r->signal = signal;
	hear(engine, "death");
	return UTRACE_RESUME;
}

static void on_reap(struct utrace_engine *engine, struct utrace_task *task)
{
	hear(engine, "reap");
}

static void on_release(void *data)
{
	((struct recorder *)data)->released++;
}

static const struct utrace_engine_ops recorder_ops = {
	.report_quiesce = on_quiesce,
	.report_signal = on_signal,
	.report_clone = on_clone,
	.report_jctl = on_jctl,
	.report_exec = on_exec,
	.report_syscall_entry = on_entry,
	.report_syscall_exit = on_exit_call,
	.report_exit = on_ending,
	.report_death = on_death,
	.report_reap = on_reap,
	.release = on_release,
};

/* Starts a new record. */
__attribute__((unused)) static struct utrace_engine *attach(
	struct utrace_task *task, struct recorder *data, unsigned long events)
{
	struct utrace_engine *engine;
	heard[0] = 0;
	int r = utrace_attach_task(
		task, UTRACE_ATTACH_CREATE, &recorder_ops, data, &engine);
	if (r == 0)
		r = utrace_set_events(task, engine, events);
	if (r == 0)
		return engine;
	printf("Bail out! cannot attach an engine: %s\n", strerror(-r));
	exit(1);
}

__attribute__((unused)) static void forget(void)
{
	heard[0] = 0;
}
