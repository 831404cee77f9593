/* SPDX-License-Identifier: MIT */
/* Signals: kinds, order, replacing, holding, handlers, forced deaths; interrupts; job control. */
#include "engine.h"

static void count_signal(int signal)
{
	shared->count++;
	shared->values[signal]++;
}

/* SIGUSR1: counted (values[10]); SIGUSR2: ignored; SIGHUP: counted, restarts calls (values[1]). */
static void signalled(void)
{
	handle(SIGUSR1, count_signal, 0);
	handle(SIGHUP, count_signal, SA_RESTART);
	signal(SIGUSR2, SIG_IGN);
	for (int i = 0; i < 16; i++) {
		int turn = shared->ready + 1;
		advance(&shared->ready);
		while (shared->go < turn)
			pause();
	}
}

static void let_go(struct utrace_task *task, struct utrace_engine *engine)
{
	if (utrace_control(task, engine, UTRACE_RESUME) < 0)
		exit(1);
}

/* ---- kinds -------------------------------------------------------------------------------------- */

static void test_kinds(void)
{
	static const struct {
		int signal;
		const char *heard, *name;
		unsigned long event;
	} cases[] = {
		{SIGUSR1, "a:deliver-10", "handled: SIGNAL, deliver",
			UTRACE_EVENT(SIGNAL)},
		{SIGUSR2, "a:ign-12", "ignored: SIGNAL_IGN, ign",
			UTRACE_EVENT(SIGNAL_IGN)},
		{SIGWINCH, "a:ign-28", "ignored by default: SIGNAL_IGN, ign",
			UTRACE_EVENT(SIGNAL_IGN)},
		{SIGTSTP, "a:tstp-20", "terminal stop: SIGNAL_STOP, tstp",
			UTRACE_EVENT(SIGNAL_STOP)},
		{SIGSTOP, "a:stop-19", "SIGSTOP: SIGNAL_STOP, stop",
			UTRACE_EVENT(SIGNAL_STOP)},
		{SIGTERM, "a:term-15", "deadly: SIGNAL_TERM, term",
			UTRACE_EVENT(SIGNAL_TERM)},
		{37, "a:term-37", "real-time: SIGNAL_TERM, term",
			UTRACE_EVENT(SIGNAL_TERM)},
		{SIGSEGV, "a:core-11", "dumps core: SIGNAL_CORE, core",
			UTRACE_EVENT(SIGNAL_CORE)},
	};
	struct recorder r = recorder('a');
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, 0);
	r.passes_signals = false;
	r.answers[UTRACE_EVENT_NR_SIGNAL] = UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* nothing but its own kind */
		if (utrace_set_events(task, a, cases[i].event) < 0)
			exit(1);
		forget();
		kill(pid, cases[i].signal);
		DISPATCH_UNTIL(heard[0]);
		tap_is_string(heard, cases[i].heard, cases[i].name);
		if (utrace_set_events(
			    task, a, UTRACE_EVENT_SIGNAL_ALL & ~cases[i].event) < 0)
			exit(1);
	}
	tap_is_long(shared->count, 0, "what is dropped runs no handler and stops nobody");
	forget();
	if (utrace_set_events(task, a, UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(DEATH)) < 0)
		exit(1);
	kill_and_finish(pid);
	tap_is_string(heard, "a:death", "SIGKILL is never reported");
	utrace_engine_put(a);
}

/* ---- replacing, holding ------------------------------------------------------------------------- */

static void test_second_sees(void)
{
	struct recorder ra = recorder('a'), rb = recorder('b');
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &ra, UTRACE_EVENT_SIGNAL_ALL);
	struct utrace_engine *b = attach(task, &rb, UTRACE_EVENT_SIGNAL_ALL);
	ra.passes_signals = false;
	ra.answers[UTRACE_EVENT_NR_SIGNAL] = UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	kill(pid, SIGTERM);
	DISPATCH_UNTIL(has_heard("b:ign-15"));
	tap_is_string(
		heard, "a:term-15 b:ign-15", "the second sees what the first has chosen");
	rb.passes_signals = false;
	rb.answers[UTRACE_EVENT_NR_SIGNAL] = UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
	kill(pid, SIGUSR1);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_ok(true, "and has the last word");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill_and_finish(pid);
}

static uint32_t replace_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	if (info->si_signo != SIGTERM)
		return UTRACE_RESUME | utrace_signal_action(action);
	info->si_signo = SIGUSR1;
	return UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
}

static void test_replace(void)
{
	static const struct utrace_engine_ops ops = {.report_signal = replace_signal};
	struct utrace_engine *engine;
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) < 0 ||
		utrace_set_events(task, engine, UTRACE_EVENT_SIGNAL_ALL) < 0)
		exit(1);
	kill(pid, SIGTERM);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_ok(true, "SIGTERM delivered as SIGUSR1 runs that handler");
	utrace_engine_put(engine);
	kill_and_finish(pid);
}

static void hold_twice(struct recorder *r, struct utrace_engine *engine, const char *what)
{
	bool again = ++r->code <= 2;
	r->passes_signals = !again;
	r->answers[UTRACE_EVENT_NR_SIGNAL] =
		again ? UTRACE_RESUME | UTRACE_SIGNAL_IGN | UTRACE_SIGNAL_HOLD
		      : UTRACE_RESUME;
}

static void test_hold(void)
{
	struct recorder r = recorder('a');
	union sigval value = {.sival_int = 42};
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, UTRACE_EVENT_SIGNAL_ALL);
	r.on_event = hold_twice;
	sigqueue(pid, SIGUSR1, value);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_is_string(heard, "a:deliver-10 a:deliver-10 a:deliver-10",
		"held signals come again");
	tap_is_long(r.info.si_value.sival_int, 42, "the same ones");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void act_and_hold(
	struct recorder *r, struct utrace_engine *engine, const char *what)
{
	r->passes_signals = false;
	r->answers[UTRACE_EVENT_NR_SIGNAL] =
		++r->code == 1
			? UTRACE_RESUME | UTRACE_SIGNAL_DELIVER | UTRACE_SIGNAL_HOLD
			: UTRACE_RESUME | UTRACE_SIGNAL_DELIVER;
}

static void test_deliver_and_hold(void)
{
	struct recorder r = recorder('a');
	union sigval value = {.sival_int = 43};
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, UTRACE_EVENT_SIGNAL_ALL);
	r.on_event = act_and_hold;
	sigqueue(pid, SIGUSR1, value);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 2);
	tap_is_string(heard, "a:deliver-10 a:deliver-10",
		"delivered and held: the handler runs twice");
	tap_is_long(r.info.si_value.sival_int, 43, "for the same signal");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

/* ---- handlers ----------------------------------------------------------------------------------- */

static void test_handler(uint32_t resume, const char *name)
{
	struct recorder r = recorder('a');
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	r.answers[UTRACE_EVENT_NR_SIGNAL] = resume;
	r.answers[0] = UTRACE_RESUME;
	struct utrace_engine *a =
		attach(task, &r, UTRACE_EVENT(SIGNAL) | UTRACE_EVENT(QUIESCE));
	kill(pid, SIGUSR1);
	DISPATCH_UNTIL(has_heard("a:handler"));
	tap_is_string(heard, "a:deliver-10 a:handler", name);
	tap_ok(r.regs.rip == (uintptr_t)count_signal, "%s: at its first instruction",
		name);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_ok(true, "%s: it runs", name);
	utrace_engine_put(a);
	kill_and_finish(pid);
}

static void test_stop_at_handler(void)
{
	struct recorder r = recorder('a');
	struct user_regs_struct regs = {0};
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	r.answers[UTRACE_EVENT_NR_SIGNAL] = UTRACE_STOP;
	r.answers[0] = UTRACE_STOP;
	struct utrace_engine *a =
		attach(task, &r, UTRACE_EVENT(SIGNAL) | UTRACE_EVENT(QUIESCE));
	kill(pid, SIGUSR1);
	DISPATCH_UNTIL(has_heard("a:handler"));
	for (int i = 0; i < 5; i++)
		dispatch_once();
	tap_ok(utrace_get_regs(task, &regs) == 0 && regs.rip == (uintptr_t)count_signal,
		"held at the first instruction of the handler");
	tap_is_long(shared->values[SIGUSR1], 0, "which has not run");
	let_go(task, a);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_ok(true, "and runs afterwards");
	utrace_engine_put(a);
	kill_and_finish(pid);
}

/* A stop that was asked for before: the signal waits, decided upon. */
static void test_stop_before_signal(void)
{
	struct recorder r = recorder('a');
	struct utrace_engine *b;
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, UTRACE_EVENT(SIGNAL));
	static const struct utrace_engine_ops none;
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &none, NULL, &b) < 0)
		exit(1);
	hold(task, b);
	kill(pid, SIGUSR1);
	for (int i = 0; i < 5; i++)
		dispatch_once();
	tap_is_string(heard, "", "nothing is reported while it is held");
	let_go(task, b);
	DISPATCH_UNTIL(shared->values[SIGUSR1] == 1);
	tap_is_string(heard, "a:deliver-10", "but afterwards");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill_and_finish(pid);
}

/* ---- forced deaths ------------------------------------------------------------------------------ */

struct death {
	int sent, becomes;
	uint32_t action;
};

static uint32_t kill_with(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	const struct death *death = utrace_engine_data(engine);
	if (info->si_signo != death->sent)
		return UTRACE_RESUME | utrace_signal_action(action);
	info->si_signo = death->becomes;
	return UTRACE_RESUME | death->action;
}

static uint32_t note_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	last_status = utrace_task_status(utrace_engine_task(engine));
	return UTRACE_DETACH;
}

static const struct utrace_engine_ops killer_ops = {
	.report_signal = kill_with, .report_death = note_death};

static void test_forced_deaths(void)
{
	static const struct {
		struct death death;
		int expected;
		const char *name;
	} cases[] = {
		{{SIGWINCH, SIGTERM, UTRACE_SIGNAL_TERM}, SIGTERM,
			"TERM with a signal that kills by default"},
		{{SIGWINCH, SIGUSR1, UTRACE_SIGNAL_TERM}, SIGUSR1,
			"TERM with SIGUSR1, which has a handler"},
		{{SIGUSR1, SIGUSR1, UTRACE_SIGNAL_TERM}, SIGUSR1,
			"TERM with the signal that came, in spite of its handler"},
		{{SIGWINCH, SIGUSR2, UTRACE_SIGNAL_TERM}, SIGUSR2,
			"TERM with SIGUSR2, which is ignored"},
		{{SIGWINCH, SIGQUIT, UTRACE_SIGNAL_CORE}, SIGQUIT, "CORE with SIGQUIT"},
		{{SIGWINCH, SIGUSR1 | 0x80, UTRACE_SIGNAL_TERM}, SIGTRAP,
			"0x80 in the number is refused: SIGTRAP"},
		{{SIGWINCH, SIGCHLD, UTRACE_SIGNAL_TERM}, SIGKILL,
			"one that never kills: SIGKILL"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct utrace_engine *engine;
		pid_t pid = start(signalled);
		struct utrace_task *task = seize(pid);
		if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &killer_ops,
			    (void *)(uintptr_t)&cases[i].death, &engine) < 0 ||
			utrace_set_events(task, engine,
				UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(DEATH)) < 0)
			exit(1);
		kill(pid, cases[i].death.sent);
		int status = finish(pid);
		tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == cases[i].expected, "%s",
			cases[i].name);
		if (WTERMSIG(status) != cases[i].expected)
			printf("# status %x\n", status);
		tap_is_long(shared->count, 0, "no handler has run");
		utrace_engine_put(engine);
	}
}

static uint32_t inject(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct death *death = utrace_engine_data(engine);
	if (utrace_signal_action(action) != UTRACE_SIGNAL_REPORT || !death->becomes)
		return UTRACE_RESUME | utrace_signal_action(action);
	memset(info, 0, sizeof(*info));
	info->si_signo = death->becomes;
	info->si_code = SI_QUEUE;
	death->becomes = 0;
	return UTRACE_RESUME | death->action;
}

static const struct utrace_engine_ops injector_ops = {
	.report_signal = inject, .report_death = note_death};

static struct utrace_engine *interrupt_with(struct utrace_task *task, struct death *death)
{
	struct utrace_engine *engine;
	if (utrace_attach_task(
		    task, UTRACE_ATTACH_CREATE, &injector_ops, death, &engine) < 0 ||
		utrace_set_events(
			task, engine, UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(DEATH)) < 0 ||
		utrace_control(task, engine, UTRACE_INTERRUPT) < 0)
		exit(1);
	return engine;
}

static void test_injected_death(void)
{
	struct death death = {.becomes = SIGUSR1, .action = UTRACE_SIGNAL_TERM};
	pid_t pid = start(signalled);
	struct utrace_engine *engine = interrupt_with(seize(pid), &death);
	int status = finish(pid);
	tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1,
		"TERM with SIGUSR1 out of nowhere: the status shows it");
	utrace_engine_put(engine);
}

/* ---- interrupts --------------------------------------------------------------------------------- */

static int pipe_fds[2];

/* Handled without SA_RESTART: SIGUSR1; with it: SIGHUP. */
static void reader(void)
{
	char byte = 0;
	handle(SIGUSR1, count_signal, 0);
	handle(SIGHUP, count_signal, SA_RESTART);
	advance(&shared->ready);
	shared->result = read(pipe_fds[0], &byte, 1);
	shared->error = errno;
	meet();
}

static pid_t start_reader(void)
{
	if (pipe(pipe_fds) < 0)
		exit(1);
	return start(reader);
}

static void end_reader(pid_t pid)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	kill_and_finish(pid);
}

static void feed(void)
{
	if (write(pipe_fds[1], "x", 1) != 1)
		exit(1);
}

/* The thread sleeps in read(2). */
static void wait_asleep(pid_t pid)
{
	char path[64], text[64];
	do {
		snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
		FILE *file = fopen(path, "r");
		if (!file || !fgets(text, sizeof(text), file))
			text[0] = 0;
		if (file)
			fclose(file);
		dispatch_once();
	} while (strncmp(text, "0 ", 2) != 0);
}

static void test_interrupt(void)
{
	struct recorder r = recorder('a');
	pid_t pid = start_reader();
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, UTRACE_EVENT(QUIESCE));
	wait_asleep(pid);
	if (utrace_control(task, a, UTRACE_INTERRUPT) < 0)
		exit(1);
	DISPATCH_UNTIL(heard[0]);
	tap_is_string(heard, "a:report", "INTERRUPT of a read: report_signal(REPORT)");
	wait_asleep(pid);
	feed();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_is_long(shared->result, 1, "the read is restarted");
	utrace_engine_put(a);
	end_reader(pid);
}

static void test_interrupting_signal(int signal, int result, int error, const char *name)
{
	struct death death = {.becomes = signal, .action = UTRACE_SIGNAL_DELIVER};
	pid_t pid = start_reader();
	struct utrace_task *task = seize(pid);
	wait_asleep(pid);
	struct utrace_engine *engine = interrupt_with(task, &death);
	DISPATCH_UNTIL(shared->count == 1);
	if (result == 1)
		feed();
	DISPATCH_UNTIL(shared->ready == 2);
	tap_ok(shared->result == result && (result > 0 || shared->error == error), "%s",
		name);
	utrace_engine_put(engine);
	end_reader(pid);
}

static void test_lazy_report(void)
{
	struct recorder r = recorder('a');
	pid_t pid = start_reader();
	struct utrace_task *task = seize(pid);
	struct utrace_engine *a = attach(task, &r, UTRACE_EVENT(QUIESCE));
	wait_asleep(pid);
	if (utrace_control(task, a, UTRACE_REPORT) < 0)
		exit(1);
	for (int i = 0; i < 5; i++)
		dispatch_once();
	tap_is_string(heard, "", "REPORT does not disturb a read");
	feed();
	DISPATCH_UNTIL(shared->ready == 2);
	kill(pid, SIGWINCH); /* any stop will do */
	DISPATCH_UNTIL(has_heard("a:quiesce"));
	tap_is_string(heard, "a:ign-28 a:quiesce", "it is made at the next stop");
	utrace_engine_put(a);
	end_reader(pid);
}

/* ---- job control -------------------------------------------------------------------------------- */

static void *sleep_on(void *data)
{
	advance(&shared->ready);
	for (;;)
		shared->count++;
	return data;
}

static void two_threads(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, sleep_on, NULL);
	wait_for(&shared->ready, 1);
	sleep_on(NULL);
}

static int count_heard(const char *what)
{
	int n = 0;
	for (const char *at = heard; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void test_job_control(void)
{
	SKIP_FOR_THREAD_SANITIZER("its own thread would be the last that stops");
	struct recorder ra = recorder('a'), rb = recorder('b');
	pid_t pid = start(two_threads);
	wait_for(&shared->ready, 2);
	struct utrace_task *leader = seize(pid), *other = utrace_next_task(leader, pid);
	struct utrace_engine *a = attach(leader, &ra, UTRACE_EVENT(JCTL));
	struct utrace_engine *b = attach(other, &rb, UTRACE_EVENT(JCTL));
	kill(pid, SIGSTOP);
	DISPATCH_UNTIL(count_heard("topped") + count_heard("TOPPED") == 2);
	tap_is_long(count_heard("STOPPED"), 1, "the last that stops has notify set");
	tap_ok(strstr(heard, "STOPPED") > strstr(heard, "stopped"), "and it is the last");
	forget();
	kill(pid, SIGCONT);
	DISPATCH_UNTIL(count_heard("ntinued") + count_heard("NTINUED") == 2);
	tap_is_long(
		count_heard("CONTINUED"), 1, "the first that continues has notify set");
	forget();
	hold(other, b);
	kill(pid, SIGSTOP);
	DISPATCH_UNTIL(has_heard("a:stopped") || has_heard("a:STOPPED"));
	let_go(other, b);
	DISPATCH_UNTIL(has_heard("b:STOPPED"));
	tap_ok(utrace_task_in_group_stop(other),
		"a thread that was held takes part in the stop when it is let go");
	utrace_engine_put(a);
	utrace_engine_put(b);
	kill_and_finish(pid);
}

static uint32_t stop_instead(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	if (info->si_signo != SIGUSR1)
		return UTRACE_RESUME | utrace_signal_action(action);
	return UTRACE_RESUME | UTRACE_SIGNAL_STOP;
}

static void test_forced_stop(void)
{
	static const struct utrace_engine_ops ops = {.report_signal = stop_instead};
	struct utrace_engine *engine;
	pid_t pid = start(signalled);
	struct utrace_task *task = seize(pid);
	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) < 0 ||
		utrace_set_events(task, engine, UTRACE_EVENT_SIGNAL_ALL) < 0)
		exit(1);
	kill(pid, SIGUSR1);
	DISPATCH_UNTIL(utrace_task_in_group_stop(task));
	tap_is_long(
		shared->count, 0, "STOP for a signal with a handler: the process stops");
	kill(pid, SIGCONT);
	DISPATCH_UNTIL(!utrace_task_in_group_stop(task));
	kill(pid, SIGHUP);
	DISPATCH_UNTIL(shared->values[SIGHUP] == 1);
	tap_ok(true, "and goes on after SIGCONT");
	utrace_engine_put(engine);
	kill_and_finish(pid);
}

int main(void)
{
	set_up();
	test_kinds();
	test_second_sees();
	test_replace();
	test_hold();
	test_deliver_and_hold();
	test_handler(UTRACE_SINGLESTEP, "deliver and step");
	test_handler(UTRACE_STOP, "deliver and stop");
	test_stop_at_handler();
	test_stop_before_signal();
	test_forced_deaths();
	test_injected_death();
	test_interrupt();
	test_interrupting_signal(
		SIGUSR1, -1, EINTR, "a handler without SA_RESTART: the read gives EINTR");
	test_interrupting_signal(
		SIGHUP, 1, 0, "a handler with SA_RESTART: the read is restarted");
	test_lazy_report();
	test_job_control();
	test_forced_stop();
	utrace_destroy(utrace);
	return tap_done();
}
