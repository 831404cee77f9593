/* SPDX-License-Identifier: MIT */
/* Engines and events: order, precedence, stops, signals, job control, clone, exec, death.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "tap.h"
#include "utrace/utrace.h"

static struct shared {
	volatile int ready, count, stop, handled;
} * shared;

static struct utrace *utrace;

static void sleep_ms(int ms)
{
	struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&delay, NULL);
}

static void dispatch_ms(int ms)
{
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	for (int i = 0; i < ms; i++) {
		poll(&fd, 1, 1);
		if (utrace_dispatch(utrace, NULL) < 0)
			break;
	}
}

/* A loaded machine takes its time. */
#define DISPATCH_UNTIL(condition)                                      \
	for (int round_ = 0; round_ < 20000 && !(condition); round_++) \
	dispatch_ms(1)

static void dispatch_until_dead(pid_t pid)
{
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	for (int i = 0; i < 20000 && utrace_first_task(utrace, pid); i++) {
		if (utrace_dispatch(utrace, NULL) < 0)
			break;
		if (utrace_first_task(utrace, pid))
			poll(&fd, 1, 1);
	}
}

static void sleeper(void)
{
	shared->ready = 1;
	for (;;)
		pause();
}

static bool is_asleep(pid_t pid)
{
	struct proc_stat stat;
	return proc_read_stat(pid, &stat) < 0 || stat.state == 'S';
}

static pid_t start(void (*body)(void))
{
	memset((void *)shared, 0, sizeof(*shared));
	pid_t pid = fork();
	if (pid == 0) {
		body();
		_exit(7);
	}
	/* on its way into the call a sleeper comes to a stop of its own */
	while (!shared->ready || (body == sleeper && !is_asleep(pid)))
		sleep_ms(1);
	return pid;
}

static struct utrace_task *seize(pid_t pid)
{
	struct error err = {0};
	if (utrace_seize_process(utrace, pid, &err) < 0) {
		printf("# %s\n", err.message);
		exit(1);
	}
	return utrace_find_task(utrace, pid);
}

/* ---- an engine that writes down what it hears
 * --------------------------------------------------- */

static char heard[1024];

struct recorder {
	char name;
	uint32_t quiesce; /* answers */
	uint32_t signal;
	int released;
	int exit_code;
	pid_t new_tid;
	unsigned long flags;
};

static void hear(const struct recorder *recorder, const char *what)
{
	size_t n = strlen(heard);
	snprintf(heard + n, sizeof(heard) - n, "%s%c:%s", n ? " " : "", recorder->name,
		what);
}

static uint32_t on_quiesce(
	uint32_t action, struct utrace_engine *engine, unsigned long event)
{
	struct recorder *recorder = utrace_engine_data(engine);
	if (event == 0)
		hear(recorder, "quiesce");
	return recorder->quiesce;
}

static uint32_t on_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct recorder *recorder = utrace_engine_data(engine);
	char text[32];
	if (utrace_signal_action(action) == UTRACE_SIGNAL_REPORT) {
		hear(recorder, "report");
		return recorder->quiesce | UTRACE_SIGNAL_REPORT;
	}
	snprintf(text, sizeof(text), "signal-%d-%02x", info->si_signo,
		action & UTRACE_SIGNAL_MASK);
	hear(recorder, text);
	return recorder->signal == UINT32_MAX
		       ? (action & UTRACE_SIGNAL_MASK) | UTRACE_RESUME
		       : recorder->signal;
}

static uint32_t on_clone(uint32_t action, struct utrace_engine *engine,
	unsigned long flags, struct utrace_task *child)
{
	struct recorder *recorder = utrace_engine_data(engine);
	struct user_regs_struct regs;
	hear(recorder,
		utrace_get_regs(child, &regs) == 0 && regs.rax == 0 ? "clone" : "clone?");
	recorder->new_tid = utrace_task_tid(child);
	recorder->flags = flags;
	return UTRACE_RESUME;
}

static uint32_t on_jctl(
	uint32_t action, struct utrace_engine *engine, int type, int notify)
{
	hear(utrace_engine_data(engine), type == CLD_STOPPED ? "stopped" : "continued");
	return UTRACE_RESUME;
}

static uint32_t on_exec(uint32_t action, struct utrace_engine *engine, pid_t former)
{
	struct recorder *recorder = utrace_engine_data(engine);
	hear(recorder, "exec");
	recorder->new_tid = former;
	return UTRACE_RESUME;
}

static uint32_t on_exit_stop(
	uint32_t action, struct utrace_engine *engine, long orig, long *code)
{
	struct recorder *recorder = utrace_engine_data(engine);
	hear(recorder, "exit");
	recorder->exit_code = (int)orig;
	return UTRACE_RESUME;
}

static uint32_t on_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	hear(utrace_engine_data(engine), group_dead ? "group-death" : "death");
	return UTRACE_RESUME;
}

static void on_reap(struct utrace_engine *engine, struct utrace_task *task)
{
	hear(utrace_engine_data(engine), "reap");
}

static void on_release(void *data)
{
	((struct recorder *)data)->released++;
}

static const struct utrace_engine_ops ops = {
	.report_quiesce = on_quiesce,
	.report_signal = on_signal,
	.report_clone = on_clone,
	.report_jctl = on_jctl,
	.report_exec = on_exec,
	.report_exit = on_exit_stop,
	.report_death = on_death,
	.report_reap = on_reap,
	.release = on_release,
};

static struct utrace_engine *attach(
	struct utrace_task *task, struct recorder *recorder, unsigned long events)
{
	struct utrace_engine *engine;
	heard[0] = 0;
	int r = utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, recorder, &engine);
	if (r == 0)
		r = utrace_set_events(task, engine, events);
	if (r < 0)
		exit(1);
	return engine;
}

#define RECORDER(letter)                                                       \
	{                                                                      \
		.name = letter, .quiesce = UTRACE_RESUME, .signal = UINT32_MAX \
	}

/* ---- attach, set_events, control
 * ----------------------------------------------------------------- */

static void counter(void)
{
	shared->ready = 1;
	for (;;)
		shared->count++;
}

static void kill_and_wait(pid_t pid)
{
	kill(pid, SIGKILL);
	dispatch_until_dead(pid);
	waitpid(pid, NULL, __WALL);
}

static void test_attach(void)
{
	struct utrace_engine *a, *b, *c;
	struct recorder data = RECORDER('a');
	pid_t pid = start(sleeper);
	struct utrace_task *task = seize(pid);
	const int create = UTRACE_ATTACH_CREATE, match = UTRACE_ATTACH_MATCH_OPS;
	tap_is_long(utrace_attach_task(task, 0, NULL, NULL, &a), -ENOENT,
		"nothing attached: ENOENT");
	tap_is_long(utrace_attach_task(task, create, NULL, NULL, &a), -EINVAL,
		"no ops: EINVAL");
	tap_is_long(utrace_attach_task(task, create, &ops, &data, &a), 0, "create");
	tap_is_long(utrace_attach_task(task, create, &ops, &data, &b), 0,
		"create a second one");
	tap_ok(a != b, "which is another one");
	tap_is_long(utrace_attach_task(task, create | match | UTRACE_ATTACH_EXCLUSIVE,
			    &ops, &data, &c),
		-EEXIST, "exclusive: EEXIST");
	tap_is_long(utrace_attach_task(task, match, &ops, NULL, &c), 0, "look up by ops");
	tap_ok(c == a, "finds the first");
	utrace_engine_put(c);
	tap_is_long(utrace_control(task, a, UTRACE_REPORT), -EINVAL,
		"REPORT without QUIESCE: EINVAL");
	tap_is_long(utrace_control(task, a, 7), -EINVAL, "unknown action: EINVAL");
	tap_is_long(utrace_control(task, a, UTRACE_DETACH), 0, "detach");
	tap_is_long(utrace_control(task, a, UTRACE_RESUME), -ESRCH,
		"control of a detached: ESRCH");
	tap_is_long(
		utrace_set_events(task, a, 0), -ESRCH, "set_events of a detached: ESRCH");
	tap_is_long(utrace_barrier(task, a), -ESRCH, "barrier of a detached: ESRCH");
	tap_is_long(data.released, 0, "not released while referenced");
	utrace_engine_put(a);
	tap_is_long(data.released, 1, "released by the last put");
	utrace_engine_put(b);
	kill_and_wait(pid);
	tap_is_long(data.released, 2, "released when the task died");
}

static void test_stop_resume(void)
{
	struct recorder ra = RECORDER('a'), rb = RECORDER('b');
	pid_t pid = start(counter);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, 0), *b = attach(task, &rb, 0);
	struct error err = {0};
	tap_is_long(utrace_control(task, a, UTRACE_STOP), -EINPROGRESS,
		"STOP of a running task");
	tap_is_long(utrace_control(task, b, UTRACE_STOP), -EINPROGRESS,
		"STOP by another engine");
	tap_is_long(utrace_wait_stopped(task, 1000, &err), 0, "it stops");
	int count = shared->count;
	sleep_ms(5);
	tap_is_long(shared->count, count, "it does not run");
	tap_is_long(utrace_control(task, a, UTRACE_RESUME), 0, "one lets go");
	dispatch_ms(5);
	tap_is_long(shared->count, count, "the other still holds it");
	tap_is_long(utrace_control(task, b, UTRACE_DETACH), 0, "the other goes");
	DISPATCH_UNTIL(shared->count != count);
	tap_ok(shared->count != count, "it runs");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill_and_wait(pid);
}

static void test_quiesce(void)
{
	struct recorder ra = RECORDER('a'), rb = RECORDER('b');
	pid_t pid = start(sleeper);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT(QUIESCE));
	struct utrace_engine *b = attach(task, &rb, UTRACE_EVENT(QUIESCE));
	tap_is_long(utrace_control(task, b, UTRACE_REPORT), 0, "REPORT");
	dispatch_ms(5);
	tap_is_string(heard, "", "waits for a natural stop");
	tap_is_long(utrace_control(task, a, UTRACE_INTERRUPT), 0, "INTERRUPT");
	DISPATCH_UNTIL(strstr(heard, "b:report"));
	tap_is_string(heard, "a:report b:report", "is heard by all, in attach order");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill_and_wait(pid);
}

/* ---- signals
 * -----------------------------------------------------------------------------------------
 */

static void count_signal(int signal)
{
	shared->handled++;
}

static void signalled(void)
{
	signal(SIGUSR1, count_signal);
	signal(SIGUSR2, SIG_IGN);
	sleeper();
}

static void test_signals(void)
{
	static const struct {
		int signal;
		unsigned long event;
		const char *heard, *name;
	} cases[] = {
		{SIGUSR1, UTRACE_EVENT(SIGNAL), "a:signal-10-00", "handled"},
		{SIGUSR2, UTRACE_EVENT(SIGNAL_IGN), "a:signal-12-10", "ignored"},
		{SIGWINCH, UTRACE_EVENT(SIGNAL_IGN), "a:signal-28-10",
			"ignored by default"},
		{SIGUSR1, UTRACE_EVENT(SIGNAL_TERM), "", "handled is not fatal"},
	};
	struct recorder ra = RECORDER('a');
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		heard[0] = 0;
		if (utrace_set_events(task, a, cases[i].event) < 0)
			exit(1);
		kill(pid, cases[i].signal);
		DISPATCH_UNTIL(strcmp(heard, cases[i].heard) == 0);
		tap_is_string(heard, cases[i].heard, cases[i].name);
	}
	DISPATCH_UNTIL(shared->handled == 2);
	tap_is_long(shared->handled, 2, "handlers run");
	heard[0] = 0;
	ra.signal = UTRACE_SIGNAL_IGN | UTRACE_RESUME;
	if (utrace_set_events(task, a, UTRACE_EVENT_SIGNAL_ALL) < 0)
		exit(1);
	kill(pid, SIGTERM);
	kill(pid, SIGUSR1);
	DISPATCH_UNTIL(strstr(heard, "signal-15") && strstr(heard, "signal-10"));
	dispatch_ms(5);
	tap_is_long(shared->handled, 2, "IGN keeps a handler from running");
	tap_ok(kill(pid, 0) == 0 && utrace_find_task(utrace, pid),
		"and a program from dying");
	ra.signal = UINT32_MAX;
	utrace_engine_put(a);
	kill(pid, SIGTERM);
	dispatch_until_dead(pid);
	tap_ok(strstr(heard, "a:signal-15-20"), "TERM is classified");
}

/* A detached thread goes back to its group-stop by itself, in its own time. */
static bool becomes_stopped(pid_t pid)
{
	struct proc_status status = {0};
	for (int i = 0; i < 20000 && status.state != 'T'; i++) {
		sleep_ms(1);
		if (proc_read_status(pid, &status, NULL) < 0)
			return false;
	}
	return status.state == 'T';
}

static void test_job_control(void)
{
	struct recorder ra = RECORDER('a');
	pid_t pid = start(counter);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT(JCTL));
	kill(pid, SIGSTOP);
	DISPATCH_UNTIL(utrace_task_in_group_stop(task));
	int count = shared->count;
	sleep_ms(5);
	tap_is_long(shared->count, count, "SIGSTOP stops it");
	tap_ok(utrace_task_in_group_stop(task), "which shows");
	tap_is_long(utrace_control(task, a, UTRACE_INTERRUPT), 0, "an interrupt");
	dispatch_ms(5);
	tap_is_long(shared->count, count, "does not start it");
	kill(pid, SIGCONT);
	DISPATCH_UNTIL(shared->count != count && strstr(heard, "continued"));
	tap_ok(shared->count != count, "SIGCONT does");
	tap_is_string(heard, "a:stopped a:continued", "both are reported once");
	kill(pid, SIGSTOP);
	DISPATCH_UNTIL(utrace_task_in_group_stop(task));
	utrace_detach_process(utrace, pid);
	tap_ok(becomes_stopped(pid), "detached, it stays stopped");
	seize(pid);
	dispatch_ms(5);
	utrace_detach_process(utrace, pid);
	tap_ok(becomes_stopped(pid), "seized and detached, too");
	utrace_engine_put(a);
	kill_and_wait(pid);
}

/* ---- clone, exec, death
 * -------------------------------------------------------------------------------- */

static void *thread_body(void *data)
{
	shared->count++;
	return data;
}

static void creator(void)
{
	shared->ready = 1;
	while (!shared->stop)
		sleep_ms(1);
	pthread_t thread;
	pthread_create(&thread, NULL, thread_body, NULL);
	pthread_join(thread, NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(3);
	waitpid(pid, NULL, 0);
	pid = vfork();
	if (pid == 0)
		_exit(4);
	waitpid(pid, NULL, 0);
}

static int new_tasks, new_threads;

static void on_new_task(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	struct user_regs_struct regs;
	new_tasks++;
	if (parent && utrace_task_pid(parent) == utrace_task_pid(task))
		new_threads++;
	if (utrace_get_regs(task, &regs) < 0 || utrace_set_regs(task, &regs) < 0)
		new_tasks = -100;
}

static void test_clone(void)
{
	struct recorder ra = RECORDER('a');
	pid_t pid = start(creator);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra,
		UTRACE_EVENT(CLONE) | UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH) |
			UTRACE_EVENT(REAP));
	utrace_on_new_task(utrace, on_new_task, NULL);
	shared->stop = 1;
	dispatch_until_dead(0);
	utrace_on_new_task(utrace, NULL, NULL);
	tap_is_string(heard, "a:clone a:clone a:clone a:exit a:group-death a:reap",
		"thread, fork, vfork, exit, death and reap are reported");
	tap_is_long(new_tasks, 3, "new tasks are announced");
	tap_is_long(new_threads, 1, "one of them is a thread");
	tap_ok(ra.flags & CLONE_VFORK && ra.flags & CLONE_VM, "vfork's flags");
	tap_is_long(ra.exit_code, 7 << 8, "the exit code");
	utrace_engine_put(a);
	tap_is_long(ra.released, 1, "released");
}

static void *exec_body(void *data)
{
	while (!shared->stop)
		sleep_ms(1);
	execl("/bin/true", "true", NULL);
	return data;
}

static void *pause_body(void *data)
{
	for (;;)
		pause();
	return data;
}

static void threaded_exec(void)
{
	pthread_t threads[4];
	pthread_create(&threads[0], NULL, exec_body, NULL);
	for (int i = 1; i < 4; i++)
		pthread_create(&threads[i], NULL, pause_body, NULL);
	shared->ready = 1;
	for (;;)
		pause();
}

static void test_exec(void)
{
	struct recorder recorders[8];
	struct utrace_engine *engines[8];
	size_t count = 0;
	pid_t pid = start(threaded_exec);
	seize(pid);
	struct utrace_task *task = utrace_first_task(utrace, pid);
	for (; task && count < 8; task = utrace_next_task(task, pid)) {
		recorders[count] = (struct recorder)RECORDER((char)('a' + count));
		engines[count] = attach(task, &recorders[count],
			UTRACE_EVENT(EXEC) | UTRACE_EVENT(DEATH) | UTRACE_EVENT(EXIT));
		count++;
	}
	tap_is_long((long long)count, 5, "five threads");
	shared->stop = 1;
	dispatch_until_dead(pid);
	tap_ok(strstr(heard, "b:exec"), "the caller of exec hears it");
	const char *dead = strstr(heard, "a:death"), *exec = strstr(heard, "b:exec");
	tap_ok(dead && exec && dead < exec, "the old leader died before");
	tap_ok(strstr(heard, "b:group-death"), "the caller lives on as the leader");
	tap_ok(recorders[1].new_tid != pid && recorders[1].new_tid > 0,
		"its former tid is told");
	tap_is_long(recorders[1].exit_code, 0, "true exits with 0");
	printf("# %s\n", heard);
	for (size_t i = 0; i < count; i++)
		utrace_engine_put(engines[i]);
}

static void test_kill_in_stop(void)
{
	struct recorder ra = RECORDER('a');
	pid_t pid = start(counter);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a =
		attach(task, &ra, UTRACE_EVENT(DEATH) | UTRACE_EVENT(REAP));
	struct error err = {0};
	struct user_regs_struct regs;
	(void)!utrace_control(task, a, UTRACE_STOP);
	(void)!utrace_wait_stopped(task, 1000, &err);
	kill(pid, SIGKILL);
	for (int i = 0; i < 100 && utrace_get_regs(task, &regs) == 0; i++)
		sleep_ms(1);
	tap_is_long(utrace_control(task, a, UTRACE_RESUME), 0, "resuming a killed task");
	dispatch_until_dead(pid);
	tap_is_string(heard, "a:group-death a:reap", "its death is reported");
	tap_is_long(utrace_control(task, a, UTRACE_RESUME), -ESRCH, "then it is gone");
	utrace_engine_put(a);
}

/* ---- launch
 * ------------------------------------------------------------------------------------------------
 */

static void test_launch(void)
{
	static const struct {
		const char *name, *file;
		int result;
	} cases[] = {
		{"found in PATH", "true", 0},
		{"not in PATH", "no-such-command-here", -ENOENT},
		{"no such file", "/no/such/file", -ENOENT},
		{"not executable", "/etc/passwd", -EACCES},
		{"a directory", "/tmp", -EACCES},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[] = {strdup(cases[i].file), NULL};
		struct error err = {0};
		struct utrace_task *task = NULL;
		tap_is_long(utrace_launch(utrace, argv, &task, &err), cases[i].result,
			cases[i].name);
		if (err.code)
			printf("# %s; %s\n", err.message, err.hint);
		if (task) {
			tap_ok(utrace_task_is_stopped(task), "it is held");
			(void)!utrace_task_release(task);
			dispatch_until_dead(0);
		}
		free(argv[0]);
	}
	tap_is_long(waitpid(-1, NULL, WNOHANG | __WALL), -1, "no child is left behind");
}

static void test_foreign_child(void)
{
	pid_t foreign = fork();
	if (foreign == 0)
		_exit(42);
	siginfo_t info;
	waitid(P_PID, (id_t)foreign, &info, WEXITED | WNOWAIT);
	pid_t pid = start(sleeper);
	seize(pid);
	kill_and_wait(pid);
	int status = 0;
	tap_is_long(waitpid(foreign, &status, 0), foreign,
		"a child nobody traces is left to its parent");
	tap_is_long(WEXITSTATUS(status), 42, "with its status");
	tap_ok(!utrace_find_task(utrace, pid), "the traced one was reaped meanwhile");
}

int main(void)
{
	struct error err = {0};
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (utrace_create(&utrace, &err) < 0)
		return 1;
	test_attach();
	test_stop_resume();
	test_quiesce();
	test_signals();
	test_job_control();
	test_clone();
	test_exec();
	test_kill_in_stop();
	test_launch();
	test_foreign_child();
	utrace_destroy(utrace);
	return tap_done();
}
