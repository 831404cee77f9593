/* SPDX-License-Identifier: MIT */
/* Clone, exec, exit, death; the state of a stopped thread. */
#include <elf.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>

#include "engine.h"

static void let_go(struct utrace_task *task, struct utrace_engine *engine)
{
	if (utrace_control(task, engine, UTRACE_RESUME) < 0)
		exit(1);
}

static void settle(void)
{
	for (int i = 0; i < 5; i++)
		dispatch_once();
}

/* ---- clone -------------------------------------------------------------------------------------- */

static struct recorder child_data;
static struct utrace_engine *child_engine;
static struct user_regs_struct child_regs;

static void hold_child(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (utrace_attach_task(r->child, UTRACE_ATTACH_CREATE, &recorder_ops, &child_data,
		    &child_engine) < 0 ||
		utrace_set_events(r->child, child_engine,
			UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(DEATH)) < 0)
		exit(1);
	r->notify = utrace_control(r->child, child_engine, UTRACE_STOP);
	if (utrace_get_regs(r->child, &child_regs) < 0)
		exit(1);
}

static void fork_counter(void)
{
	meet();
	pid_t pid = fork();
	while (pid == 0)
		shared->count++;
	shared->values[0] = pid;
	meet();
	for (;;)
		pause();
}

static pid_t fork_and_hold(struct recorder *r, struct utrace_engine **ret)
{
	pid_t pid = start(fork_counter);
	struct utrace_task *task = seize(pid);
	child_data = recorder('c');
	child_data.answers[0] = UTRACE_STOP;
	*ret = attach(
		task, r, UTRACE_EVENT(CLONE) | UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
	r->on_event = hold_child;
	send_on();
	DISPATCH_UNTIL(has_heard("p:clone"));
	r->on_event = NULL;
	return pid;
}

static void test_hold_child(void)
{
	struct recorder r = recorder('p');
	struct utrace_engine *engine;
	pid_t pid = fork_and_hold(&r, &engine);
	DISPATCH_UNTIL(shared->ready == 2);
	struct utrace_task *child = utrace_engine_task(child_engine);
	pid_t child_pid = utrace_task_pid(child);
	tap_is_long(r.notify, 0, "STOP of a child in report_clone()");
	tap_is_long((long long)child_regs.rax, 0, "it is the child");
	tap_is_long(child_pid, shared->values[0], "of that pid");
	tap_ok(utrace_task_is_stopped(child) && shared->count == 0,
		"the child has run no instruction, the parent goes on");
	let_go(child, child_engine);
	DISPATCH_UNTIL(shared->count > 0);
	tap_ok(true, "the child runs when it is let go");
	kill(child_pid, SIGKILL);
	utrace_engine_put(child_engine);
	utrace_engine_put(engine);
	finish(child_pid);
	kill_and_finish(pid);
}

static void test_kill_parent(void)
{
	struct recorder r = recorder('p');
	struct utrace_engine *engine;
	pid_t pid = fork_and_hold(&r, &engine);
	forget();
	kill_and_finish(pid);
	tap_is_string(heard, "p:death p:reap", "the parent can be killed meanwhile");
	struct utrace_task *child = utrace_engine_task(child_engine);
	tap_ok(child && utrace_task_is_stopped(child), "the child is still held");
	kill_and_finish(utrace_task_pid(child));
	utrace_engine_put(child_engine);
	utrace_engine_put(engine);
}

/* A report that is asked for in report_clone() comes before the child's first instruction. */
static void report_child(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (utrace_attach_task(r->child, UTRACE_ATTACH_CREATE, &recorder_ops, &child_data,
		    &child_engine) < 0 ||
		utrace_set_events(r->child, child_engine, UTRACE_EVENT(QUIESCE)) < 0 ||
		utrace_control(r->child, child_engine, UTRACE_REPORT) < 0)
		exit(1);
}

static long count_at_report;

static void note_count(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	count_at_report = shared->count;
}

static void test_report_child(void)
{
	struct recorder r = recorder('p');
	pid_t pid = start(fork_counter);
	struct utrace_task *task = seize(pid);
	child_data = recorder('c');
	child_data.on_event = note_count;
	count_at_report = -1;
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(CLONE));
	r.on_event = report_child;
	send_on();
	DISPATCH_UNTIL(has_heard("c:quiesce"));
	tap_is_long(
		count_at_report, 0, "REPORT of a child: before its first instruction");
	DISPATCH_UNTIL(shared->count > 0);
	kill_and_finish(utrace_task_pid(utrace_engine_task(child_engine)));
	utrace_engine_put(child_engine);
	utrace_engine_put(engine);
	kill_and_finish(pid);
}

static void vfork_once(void)
{
	meet();
	pid_t pid = vfork();
	if (pid == 0) {
		shared->count = 1;
		_exit(0);
	}
	shared->values[0] = pid;
	meet();
}

static void test_vfork(void)
{
	SKIP_FOR_THREAD_SANITIZER("it makes vfork() a fork()");
	struct recorder r = recorder('p');
	pid_t pid = start(vfork_once);
	struct utrace_task *task = seize(pid);
	r.answers[UTRACE_EVENT_NR_CLONE] = UTRACE_STOP;
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(CLONE));
	send_on();
	DISPATCH_UNTIL(shared->count == 1 && !utrace_next_task(task, 0));
	settle();
	tap_ok(utrace_task_is_stopped(task),
		"vfork: the parent stops before it waits; the child runs and ends");
	tap_ok(r.code & CLONE_VFORK && r.code & CLONE_VM, "the flags tell");
	tap_is_long(shared->values[0], 0, "the parent has not gone on");
	let_go(task, engine);
	DISPATCH_UNTIL(shared->ready == 2);
	tap_ok(shared->values[0] > 0, "and does when it is let go");
	utrace_engine_put(engine);
	send_on();
	finish(pid);
}

/* ---- exec --------------------------------------------------------------------------------------- */

/* Of the threads below; a sanitizer may have one more. */
enum {
	OTHER = 0,
	CALLER = 1
};

static void *exec_other(void *data)
{
	shared->values[CALLER] = gettid();
	while (!__atomic_load_n(&shared->values[OTHER], __ATOMIC_SEQ_CST))
		sched_yield();
	meet();
	execl("/bin/sleep", "sleep", "1000", NULL);
	return data;
}

static void *wait_here(void *data)
{
	if (data)
		__atomic_store_n((volatile long *)data, gettid(), __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return data;
}

static void threaded_exec(void)
{
	pthread_t threads[2];
	pthread_create(
		&threads[0], NULL, wait_here, (void *)(uintptr_t)&shared->values[OTHER]);
	pthread_create(&threads[1], NULL, exec_other, NULL);
	wait_here(NULL);
}

static void test_exec(void)
{
	struct recorder leader = recorder('l'), other = recorder('o'),
			caller = recorder('c');
	pid_t pid = start(threaded_exec);
	struct utrace_task *task = seize(pid);
	const unsigned long events = UTRACE_EVENT(EXEC) | UTRACE_EVENT(EXIT) |
				     UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP);
	struct utrace_engine *l = attach(task, &leader, events);
	task = utrace_find_task(utrace, (pid_t)shared->values[OTHER]);
	struct utrace_engine *o = attach(task, &other, events);
	task = utrace_find_task(utrace, (pid_t)shared->values[CALLER]);
	struct utrace_engine *c = attach(task, &caller, events);
	pid_t former = utrace_task_tid(task);
	send_on();
	DISPATCH_UNTIL(has_heard("c:exec"));
	settle();
	tap_ok(has_heard("l:death") && has_heard("l:reap"),
		"exec: the leader's engine hears death and reap");
	tap_ok(has_heard("o:death") && has_heard("o:reap"), "so does the other thread's");
	tap_ok(!leader.group_dead && !other.group_dead, "not the death of the process");
	tap_ok(!utrace_engine_task(l) && !utrace_engine_task(o), "they are detached");
	tap_is_long(caller.tid, former, "the caller is told its former tid");
	tap_is_long(utrace_task_tid(task), pid, "it has the leader's now");
	tap_ok(utrace_engine_task(c) == task, "and keeps its engine");
	tap_ok(!utrace_find_task(utrace, former), "the former tid is gone");
	forget();
	kill_and_finish(pid);
	tap_is_string(heard, "c:ending c:death c:reap", "exec was reported once");
	tap_ok(caller.group_dead && caller.signal == SIGCHLD, "the process ends with it");
	utrace_engine_put(l);
	utrace_engine_put(o);
	utrace_engine_put(c);
}

/* ---- exit --------------------------------------------------------------------------------------- */

static void exit_five(void)
{
	meet();
	_exit(5);
}

static uint32_t change_code(
	uint32_t action, struct utrace_engine *engine, long orig_code, long *code)
{
	long *seen = utrace_engine_data(engine);
	seen[0] = orig_code;
	seen[1] = *code;
	*code = 6 << 8;
	return UTRACE_STOP;
}

static bool reads(pid_t pid, const char *name)
{
	char path[64], text[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	close(fd);
	return n > 0;
}

static void test_exit(void)
{
	static const struct utrace_engine_ops ops = {.report_exit = change_code};
	struct recorder r = recorder('r');
	struct user_regs_struct regs;
	long first[2] = {0}, second[2] = {0};
	struct utrace_engine *a, *b;
	pid_t pid = start(exit_five);
	struct utrace_task *task = seize(pid);
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, first, &a) < 0 ||
		utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, second, &b) < 0 ||
		utrace_set_events(task, a, UTRACE_EVENT(EXIT)) < 0 ||
		utrace_set_events(task, b, UTRACE_EVENT(EXIT)) < 0)
		exit(1);
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(DEATH));
	send_on();
	DISPATCH_UNTIL(second[0]);
	tap_is_long(first[0], 5 << 8, "exit: the status that will be seen");
	tap_ok(second[0] == 5 << 8 && second[1] == 6 << 8,
		"what one engine writes to *code the next one reads; orig_code stays");
	tap_ok(utrace_task_is_stopped(task), "STOP holds it there");
	tap_ok(reads(pid, "maps") && reads(pid, "environ"),
		"its maps and environment can be read");
	tap_ok(utrace_get_regs(task, &regs) == 0 && regs.orig_rax == SYS_exit_group,
		"and its registers");
	let_go(task, a);
	let_go(task, b);
	tap_is_long(WEXITSTATUS(finish(pid)), 5, "it exits");
	utrace_engine_put(a);
	utrace_engine_put(b);
	utrace_engine_put(engine);
}

/* The way to change it from user space. */
static void exit_with_six(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	struct utrace_syscall call;
	struct utrace_task *task = utrace_engine_task(engine);
	if (strcmp(what, "entry") != 0 || utrace_get_syscall(task, &call) < 0)
		return;
	call.args[0] = 6;
	if (utrace_set_syscall(task, &call) < 0)
		exit(1);
}

static void test_change_exit(void)
{
	struct recorder r = recorder('r');
	pid_t pid = start(exit_five);
	struct utrace_task *task = seize(pid);
	r.call = SYS_exit_group;
	r.on_event = exit_with_six;
	struct utrace_engine *engine = attach(task, &r,
		UTRACE_EVENT(SYSCALL_ENTRY) | UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH));
	send_on();
	int status = finish(pid);
	tap_is_long(
		r.code, 6 << 8, "an argument of exit_group that was changed: at exit");
	tap_is_long(WEXITSTATUS(status), 6, "and in the status");
	utrace_engine_put(engine);
}

static void test_killed_exit(void)
{
	struct recorder r = recorder('r');
	pid_t pid = start(exit_five);
	struct utrace_task *task = seize(pid);
	r.answers[UTRACE_EVENT_NR_EXIT] = UTRACE_STOP;
	struct utrace_engine *engine =
		attach(task, &r, UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH));
	hold(task, engine);
	int status = kill_and_finish(pid);
	tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		"SIGKILL beats a STOP, also one at the exit");
	tap_is_string(heard, "r:ending r:death", "which are reported");
	utrace_engine_put(engine);
}

/* ---- state -------------------------------------------------------------------------------------- */

static void compute(void)
{
	double x = 1.5;
	uint64_t marker = 0x1122334455667788;
	advance(&shared->ready);
	shared->values[1] = (long)(uintptr_t)&shared->values[8];
	strcpy((char *)(uintptr_t)&shared->values[8], "a string");
	/* xmm7, r15, until told otherwise */
	__asm__ volatile("movsd %[x], %%xmm7\n\t"
			 "mov %[marker], %%r15\n\t"
			 "movl $1, %[count]\n"
			 "1: cmpl $0, %[go]\n\t"
			 "je 1b\n\t"
			 "movsd %%xmm7, %[x]\n\t"
			 "mov %%r15, %[marker]"
			 : [x] "+m"(x), [marker] "+m"(marker), [count] "=m"(shared->error)
			 : [go] "m"(shared->go)
			 : "xmm7", "r15", "memory", "cc");
	shared->values[2] = (long)marker;
	shared->values[3] = (long)(x * 10);
	meet();
}

static void test_state(void)
{
	struct recorder r = recorder('r');
	struct user_regs_struct regs, set;
	struct user_fpregs_struct fp;
	char xstate[16384], text[16], small[5];
	size_t size = sizeof(set);
	uint64_t mask = 0;
	siginfo_t info;
	pid_t pid = start(compute);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *engine = attach(task, &r, 0);
	tap_is_long(utrace_get_regs(task, &regs), -ESRCH,
		"registers of a running one: ESRCH");
	tap_is_long(utrace_get_regset(task, NT_PRSTATUS, &set, &size), -ESRCH,
		"a register set: ESRCH");
	DISPATCH_UNTIL(shared->error);
	hold(task, engine);
	tap_ok(utrace_get_regs(task, &regs) == 0 && regs.r15 == 0x1122334455667788,
		"general registers");
	tap_ok(utrace_get_regset(task, NT_PRSTATUS, &set, &size) == 0 &&
			size == sizeof(set) && set.r15 == regs.r15,
		"the same as a set");
	regs.r15 = 0x42;
	tap_is_long(utrace_set_regs(task, &regs), 0, "are set");
	double x = 0;
	tap_is_long(utrace_get_fpregs(task, &fp), 0, "floating point registers");
	memcpy(&x, &fp.xmm_space[7 * 4], sizeof(x));
	tap_ok(x == 1.5, "hold what the program has put there");
	x = 2.5;
	memcpy(&fp.xmm_space[7 * 4], &x, sizeof(x));
	tap_is_long(utrace_set_fpregs(task, &fp), 0, "are set");
	size = sizeof(xstate);
	tap_ok(utrace_get_regset(task, NT_X86_XSTATE, xstate, &size) == 0 && size >= 576,
		"the extended state (%zu bytes)", size);
	tap_is_long(utrace_set_regset(task, NT_X86_XSTATE, xstate, size), 0, "is set");
	tap_is_long(utrace_get_regset(task, 0x7777, xstate, &size), -EINVAL,
		"no such set: EINVAL");
	tap_ok(utrace_get_siginfo(task, &info) == 0 && info.si_signo == SIGTRAP,
		"what the stop is about");
	tap_is_long(utrace_get_sigmask(task, &mask), 0, "its signal mask");
	tap_is_long(utrace_set_sigmask(task, mask), 0, "is set");
	uint64_t address = (uint64_t)shared->values[1];
	tap_ok(utrace_read_string(task, address, text, sizeof(text)) == 8 &&
			!strcmp(text, "a string"),
		"a string");
	tap_ok(utrace_read_string(task, address, small, sizeof(small)) == 4 &&
			!strcmp(small, "a st"),
		"one that is cut off");
	tap_is_long(utrace_write_memory(task, address, "A", 1), 0, "memory is written");
	tap_ok(utrace_read_memory(task, address, text, 1) == 0 && text[0] == 'A',
		"and read");
	tap_is_long(
		utrace_read_memory(task, 8, text, 1), -EFAULT, "where none is: EFAULT");
	tap_is_long(utrace_write_memory(
			    task, (uintptr_t)compute, (void *)(uintptr_t)compute, 1),
		0, "text is written, too");
	let_go(task, engine);
	send_on();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->values[2], 0x42, "the program has the changed registers");
	tap_is_long(shared->values[3], 25, "of both kinds");
	utrace_engine_put(engine);
	send_on();
	finish(pid);
}

int main(void)
{
	set_up();
	test_hold_child();
	test_kill_parent();
	test_report_child();
	test_vfork();
	test_exec();
	test_exit();
	test_change_exit();
	test_killed_exit();
	test_state();
	utrace_destroy(utrace);
	return tap_done();
}
