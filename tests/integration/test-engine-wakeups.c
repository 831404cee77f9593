/* SPDX-License-Identifier: MIT */
/*
 * No stop stays unseen: by a tracer that sleeps until utrace_fd() is readable, and without limit.  If one does,
 * the test does not end.
 */
#include <sys/epoll.h>

#include "engine.h"

static int pipe_fds[2];

/* Nothing but the descriptor wakes it: no slices of time. */
static void sleep_and_dispatch(struct utrace *tracer)
{
	struct pollfd fd = {.fd = utrace_fd(tracer), .events = POLLIN};
	poll(&fd, 1, -1);
	if (utrace_dispatch(tracer, NULL) < 0)
		exit(1);
}

static void reader(void)
{
	char byte;
	advance(&shared->ready);
	while (read(pipe_fds[0], &byte, 1) == 1)
		shared->count++;
}

static void sleep_until_in(pid_t pid, long number)
{
	char path[64], text[64];
	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	for (bool is_in = false; !is_in;) {
		FILE *file = fopen(path, "r");
		is_in = file && fgets(text, sizeof(text), file) && atol(text) == number &&
			text[0] != 'r';
		if (file)
			fclose(file);
		if (utrace_dispatch(utrace, NULL) < 0)
			exit(1);
	}
}

/* The end of the call comes first, and takes the interruption with it. */
static void test_interrupted_twice(void)
{
	pid_t pid = start(reader);
	struct utrace_task *task = seize(pid);
	struct recorder calls = recorder('a'), nothing = recorder('b');
	struct utrace_engine *a = attach(task, &calls, UTRACE_EVENT_SYSCALL);
	struct utrace_engine *b = attach(task, &nothing, 0);
	int held = 0;
	for (; held < 20; held++) {
		sleep_until_in(pid, SYS_read);
		hold(task, b);
		if (utrace_control(task, b, UTRACE_RESUME) < 0)
			break;
	}
	tap_is_long(held, 20, "held again and again in a call that is reported");
	sleep_until_in(pid, SYS_read);
	utrace_detach_process(utrace, pid);
	tap_ok(!utrace_find_task(utrace, pid), "and let go in one");
	(void)!write(pipe_fds[1], "x", 1);
	while (!shared->count)
		usleep(1000);
	tap_is_long(shared->count, 1, "the call goes on");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Its end is reported, and then it is made again. */
static void poller(void)
{
	struct epoll_event event;
	int epoll = epoll_create1(0);
	struct epoll_event wanted = {.events = EPOLLIN};
	epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &wanted);
	advance(&shared->ready);
	shared->result = epoll_wait(epoll, &event, 1, -1);
	shared->error = shared->result < 0 ? errno : 0;
	advance(&shared->ready);
}

static void test_call_goes_on(bool detach)
{
	pid_t pid = start(poller);
	struct utrace_task *task = seize(pid);
	struct recorder calls = recorder('a'), nothing = recorder('b');
	struct utrace_engine *a = attach(task, &calls, UTRACE_EVENT_SYSCALL);
	struct utrace_engine *b = attach(task, &nothing, 0);
	for (int i = 0; i < 5; i++) {
		sleep_until_in(pid, SYS_epoll_wait);
		hold(task, b);
		if (utrace_control(task, b, UTRACE_RESUME) < 0)
			break;
	}
	sleep_until_in(pid, SYS_epoll_wait);
	if (detach)
		utrace_detach_process(utrace, pid);
	(void)!write(pipe_fds[1], "x", 1);
	while (shared->ready < 2)
		dispatch_once();
	tap_ok(shared->result == 1, "a call that is reported is not disturbed by that%s",
		detach ? ", nor by letting go" : "");
	if (shared->result != 1)
		printf("# %ld, error %ld\n", shared->result, shared->error);
	char byte;
	(void)!read(pipe_fds[0], &byte, 1);
	utrace_engine_put(a);
	utrace_engine_put(b);
	if (detach)
		waitpid(pid, NULL, 0);
	else
		finish(pid);
}

/* ---- the exit-stop that SIGKILL leads to while another stop is being dealt with ------------------ */

static void wait_for_exit_stop(pid_t pid)
{
	unsigned long long switches, before = 0;
	char line[128];
	/* it stops again: it has run in between */
	for (int same = 0; same < 20;) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		FILE *file = fopen(path, "r");
		switches = 0;
		while (file && fgets(line, sizeof(line), file))
			sscanf(line, "voluntary_ctxt_switches: %llu", &switches);
		if (file)
			fclose(file);
		same = switches == before ? same + 1 : 0;
		before = switches;
		usleep(1000);
	}
}

static void kill_in_callback(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	if (strncmp(what, "deliver", 7) != 0 && strncmp(what, "term", 4) != 0)
		return;
	pid_t pid = utrace_task_pid(utrace_engine_task(engine));
	kill(pid, SIGKILL);
	wait_for_exit_stop(pid);
}

static void test_killed_in_callback(uint32_t answer, const char *name)
{
	pid_t pid = start(reader);
	struct utrace_task *task = seize(pid);
	struct recorder r = recorder('k');
	r.on_event = kill_in_callback;
	r.answers[UTRACE_EVENT_NR_SIGNAL] = answer;
	struct utrace_engine *engine = attach(task, &r,
		UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH) |
			UTRACE_EVENT(REAP));
	kill(pid, SIGUSR1);
	while (utrace_first_task(utrace, pid))
		sleep_and_dispatch(utrace);
	tap_is_string(heard, "k:term-10 k:ending k:death k:reap", name);
	utrace_engine_put(engine);
}

/* ---- SIGCHLD ------------------------------------------------------------------------------------- */

static void count_calls(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	heard[0] = 0;
}

static void call_once(void)
{
	advance(&shared->ready);
	wait_for(&shared->go, 1);
	for (int i = 0; i < 50; i++)
		syscall(SYS_getppid);
}

/* Dispatches by the descriptor only. */
static int follow(struct utrace *tracer, pid_t pid)
{
	struct recorder r = recorder('f');
	r.call = SYS_getppid;
	r.on_event = count_calls;
	if (utrace_seize_process(tracer, pid, NULL) < 0)
		return -1;
	struct utrace_engine *engine;
	struct utrace_task *task = utrace_find_task(tracer, pid);
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &recorder_ops, &r, &engine) <
			0 ||
		utrace_set_events(task, engine, UTRACE_EVENT(SYSCALL_ENTRY)) < 0)
		return -1;
	advance(&shared->go);
	while (utrace_first_task(tracer, pid))
		sleep_and_dispatch(tracer);
	utrace_engine_put(engine);
	return r.calls;
}

static void test_sigchld(const struct sigaction *action, const char *name)
{
	struct sigaction before, after;
	utrace_destroy(utrace);
	sigaction(SIGCHLD, action, &before);
	if (utrace_create(&utrace, NULL) < 0)
		exit(1);
	tap_is_long(follow(utrace, start(call_once)), 50, name);
	utrace_destroy(utrace);
	sigaction(SIGCHLD, &before, &after);
	tap_ok(after.sa_handler == action->sa_handler &&
			(after.sa_flags & SA_NOCLDSTOP) ==
				(action->sa_flags & SA_NOCLDSTOP),
		"and has its SIGCHLD back afterwards");
	if (utrace_create(&utrace, NULL) < 0)
		exit(1);
}

static void test_launched_ignores(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	char *argv[] = {(char[]){"grep"}, (char[]){"-q"},
		(char[]){"^SigIgn:.*[13579bdf]....$"}, (char[]){"/proc/self/status"},
		NULL};
	struct recorder r = recorder('l');
	struct utrace_task *task;
	utrace_destroy(utrace);
	sigaction(SIGCHLD, &ignore, &before);
	if (utrace_create(&utrace, NULL) < 0 ||
		utrace_launch(utrace, argv, &task, NULL) < 0)
		exit(1);
	struct utrace_engine *engine = attach(task, &r, UTRACE_EVENT(DEATH));
	pid_t pid = utrace_task_pid(task);
	if (utrace_task_release(task) < 0)
		exit(1);
	tap_is_long(finish(pid), 0, "what is launched ignores what its tracer ignored");
	utrace_engine_put(engine);
	utrace_destroy(utrace);
	sigaction(SIGCHLD, &before, NULL);
	if (utrace_create(&utrace, NULL) < 0)
		exit(1);
}

/* ---- several tracers in one program -------------------------------------------------------------- */

static pthread_barrier_t both;

static void busy(void)
{
	advance(&shared->ready);
	for (int i = 0; i < 2000; i++)
		syscall(SYS_getppid);
}

static void *trace_one(void *data)
{
	struct utrace *tracer;
	struct recorder r = recorder('t');
	struct utrace_task *task;
	struct utrace_engine *engine;
	pid_t pid = *(pid_t *)data;
	r.call = SYS_getppid;
	r.on_event = count_calls;
	if (utrace_create(&tracer, NULL) < 0)
		exit(1);
	pthread_barrier_wait(&both);
	if (utrace_seize_process(tracer, pid, NULL) < 0 ||
		!(task = utrace_find_task(tracer, pid)) ||
		utrace_attach_task(
			task, UTRACE_ATTACH_CREATE, &recorder_ops, &r, &engine) < 0 ||
		utrace_set_events(task, engine, UTRACE_EVENT(SYSCALL_ENTRY)) < 0)
		exit(1);
	kill(pid, SIGCONT);
	while (utrace_first_task(tracer, pid))
		sleep_and_dispatch(tracer);
	utrace_engine_put(engine);
	utrace_destroy(tracer);
	*(pid_t *)data = r.calls;
	return NULL;
}

static void stopped_busy(void)
{
	advance(&shared->ready);
	kill(getpid(), SIGSTOP);
	busy();
}

static void test_two_tracers(void)
{
	pthread_t threads[2];
	pid_t pids[2];
	sigset_t set;
	utrace_destroy(utrace);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD); /* as utrace_create() wants it in all threads */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 2; i++) {
		pids[i] = start(stopped_busy);
		waitpid(pids[i], NULL, WUNTRACED);
	}
	pthread_barrier_init(&both, NULL, 2);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, trace_one, &pids[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	tap_is_long(
		pids[0], 2000, "two tracers in one program: the first hears all calls");
	tap_is_long(pids[1], 2000, "so does the second");
	if (utrace_create(&utrace, NULL) < 0)
		exit(1);
}

/* ---- many at once ------------------------------------------------------------------------------- */

enum {
	MANY = 200
};

static void *call_for_ever(void *data)
{
	for (;;)
		syscall(SYS_getppid);
	return data;
}

static void many_callers(void)
{
	pthread_t thread;
	for (int i = 1; i < MANY; i++) {
		if (pthread_create(&thread, NULL, call_for_ever, NULL) != 0)
			_exit(1);
	}
	meet();
	call_for_ever(NULL);
}

struct caller {
	long stops;
};

static uint32_t count_call(
	uint32_t action, struct utrace_engine *engine, struct user_regs_struct *regs)
{
	((struct caller *)utrace_engine_data(engine))->stops++;
	return UTRACE_RESUME | utrace_syscall_action(action);
}

static const struct utrace_engine_ops count_ops = {.report_syscall_entry = count_call};

/* More stops than one tracer can answer: each thread has its turn. */
static void test_fairness(int (*next)(void))
{
	static struct caller callers[MANY];
	struct utrace_engine *engines[MANY];
	int count = 0;
	pid_t pid = start(many_callers);
	struct utrace_task *task = seize(pid);
	memset(callers, 0, sizeof(callers));
	for (; task && count < MANY; task = utrace_next_task(task, pid), count++) {
		if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &count_ops,
			    &callers[count], &engines[count]) < 0 ||
			utrace_set_events(
				task, engines[count], UTRACE_EVENT(SYSCALL_ENTRY)) < 0)
			exit(1);
	}
	send_on();
	/* how soon is the scheduler's to say, too: the test ends if all are heard often */
	for (bool all = false; !all;) {
		if (next() < 0)
			exit(1);
		all = true;
		for (int i = 0; i < count && all; i++)
			all = callers[i].stops >= 20;
	}
	for (int i = 0; i < count; i++)
		utrace_engine_put(engines[i]);
	kill_and_finish(pid);
	tap_is_long(count, MANY, "threads that stop all the time: all are heard");
}

static int next_by_poll(void)
{
	sleep_and_dispatch(utrace);
	return 0;
}

static int next_by_wait(void)
{
	return utrace_wait(utrace, NULL);
}

/* ---- utrace_wait() ------------------------------------------------------------------------------ */

static void exit_at_once(void)
{
	meet();
}

static void test_wait(void)
{
	struct utrace_error err = {0};
	tap_is_long(utrace_wait(utrace, &err), -ECHILD,
		"utrace_wait() with nothing to wait for");
	pid_t other = fork();
	if (other == 0)
		_exit(0);
	siginfo_t info;
	waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT);
	pid_t pid = start(exit_at_once);
	struct recorder all = recorder('a');
	struct utrace_engine *a = attach(seize(pid), &all,
		UTRACE_EVENT_SYSCALL | UTRACE_EVENT(EXIT) | UTRACE_EVENT(DEATH));
	send_on();
	int r = 0;
	while (r == 0 && utrace_first_task(utrace, pid))
		r = utrace_wait(utrace, &err);
	tap_is_long(r, 0,
		"it hears of everything while a child that nobody traces waits to be reaped");
	tap_ok(has_heard("a:ending") && has_heard("a:death"), "the end, too");
	tap_is_long(waitpid(other, NULL, 0), other, "and leaves that child alone");
	utrace_engine_put(a);
}

int main(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	const struct sigaction no_stops = {
		.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
	set_up();
	if (pipe(pipe_fds) < 0)
		return 1;
	test_interrupted_twice();
	test_call_goes_on(false);
	test_call_goes_on(true);
	test_killed_in_callback(
		UTRACE_RESUME, "killed while its signal is reported: its exit is, too");
	test_killed_in_callback(UTRACE_STOP, "the same when the engine wants it held");
	test_sigchld(&ignore, "a program that ignores SIGCHLD hears of all stops");
	test_sigchld(&no_stops, "so does one with SA_NOCLDSTOP");
	test_launched_ignores();
	test_two_tracers();
	test_fairness(next_by_poll);
	test_fairness(next_by_wait);
	test_wait();
	utrace_destroy(utrace);
	return tap_done();
}
