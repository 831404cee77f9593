/* SPDX-License-Identifier: MIT */
/* What is reported of a signal, and what becomes of it. */
#include "fixture.h"

#define ALL         UTRACE_EVENT_SIGNAL_ALL
#define BIT(signal) (1ull << ((signal)-1))

enum disposition {
	DEFAULT,
	CAUGHT,
	IGNORED
};

/* ---- kinds of signals --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int signal;
	enum disposition disposition;
	unsigned long event; /* the one that reports it */
	const char *heard;
} kind_cases[] = {
	{"SIGTERM", SIGTERM, DEFAULT, UTRACE_EVENT(SIGNAL_TERM), "a:term-15"},
	{"SIGTERM with a handler", SIGTERM, CAUGHT, UTRACE_EVENT(SIGNAL), "a:deliver-15"},
	{"SIGTERM, ignored", SIGTERM, IGNORED, UTRACE_EVENT(SIGNAL_IGN), "a:ign-15"},
	{"SIGSEGV", SIGSEGV, DEFAULT, UTRACE_EVENT(SIGNAL_CORE), "a:core-11"},
	{"SIGSYS", SIGSYS, DEFAULT, UTRACE_EVENT(SIGNAL_CORE), "a:core-31"},
	{"SIGTRAP by kill", SIGTRAP, DEFAULT, UTRACE_EVENT(SIGNAL_CORE), "a:core-5"},
	{"SIGCHLD", SIGCHLD, DEFAULT, UTRACE_EVENT(SIGNAL_IGN), "a:ign-17"},
	{"SIGCHLD with a handler", SIGCHLD, CAUGHT, UTRACE_EVENT(SIGNAL), "a:deliver-17"},
	{"SIGCONT", SIGCONT, DEFAULT, UTRACE_EVENT(SIGNAL_IGN), "a:ign-18"},
	{"SIGURG", SIGURG, DEFAULT, UTRACE_EVENT(SIGNAL_IGN), "a:ign-23"},
	{"SIGWINCH", SIGWINCH, DEFAULT, UTRACE_EVENT(SIGNAL_IGN), "a:ign-28"},
	{"SIGSTOP", SIGSTOP, DEFAULT, UTRACE_EVENT(SIGNAL_STOP), "a:stop-19"},
	{"SIGTSTP", SIGTSTP, DEFAULT, UTRACE_EVENT(SIGNAL_STOP), "a:tstp-20"},
	{"SIGTTIN", SIGTTIN, DEFAULT, UTRACE_EVENT(SIGNAL_STOP), "a:tstp-21"},
	{"SIGTTOU, ignored", SIGTTOU, IGNORED, UTRACE_EVENT(SIGNAL_IGN), "a:ign-22"},
	{"real-time", 40, DEFAULT, UTRACE_EVENT(SIGNAL_TERM), "a:term-40"},
	{"real-time with a handler", 40, CAUGHT, UTRACE_EVENT(SIGNAL), "a:deliver-40"},
};

static void dispose(int signal, enum disposition disposition)
{
	thread->caught = disposition == CAUGHT ? BIT(signal) : 0;
	thread->ignored = disposition == IGNORED ? BIT(signal) : 0;
}

static void test_kinds(void)
{
	for (size_t i = 0; i < sizeof(kind_cases) / sizeof(kind_cases[0]); i++) {
		int signal = kind_cases[i].signal;
		begin(1, kind_cases[i].event);
		dispose(signal, kind_cases[i].disposition);
		fakes[0].event = UTRACE_RESUME | UTRACE_SIGNAL_IGN;
		sim_signal(thread, signal);
		happen();
		tap_is_string(heard, kind_cases[i].heard, kind_cases[i].name);
		heard[0] = 0;
		if (utrace_set_events(task, engines[0], ALL & ~kind_cases[i].event) < 0)
			abort();
		sim_signal(thread, signal);
		happen();
		tap_is_string(heard, "", "no other event reports it");
		tap_is_long(thread->signal, signal, "it goes to the program then");
		end(1);
	}
}

/* ---- what becomes of it ------------------------------------------------------------------------- */

#define IGN     UTRACE_SIGNAL_IGN
#define DELIVER UTRACE_SIGNAL_DELIVER
#define TERM    UTRACE_SIGNAL_TERM
#define CORE    UTRACE_SIGNAL_CORE
#define STOP    UTRACE_SIGNAL_STOP
#define TSTP    UTRACE_SIGNAL_TSTP

static const struct {
	const char *name;
	int signal;
	enum disposition disposition;
	uint32_t first, second; /* answers */
	const char *heard;
	int delivered; /* to the program, by the kernel */
	char outcome;
} fate_cases[] = {
	{"dropped by the last", SIGTERM, DEFAULT, DELIVER | UTRACE_RESUME,
		IGN | UTRACE_RESUME, "a:term-15 b:deliver-15", 0, 'c'},
	{"dropped by the first only", SIGTERM, CAUGHT, IGN | UTRACE_RESUME,
		DELIVER | UTRACE_RESUME, "a:deliver-15 b:ign-15", SIGTERM, 'c'},
	{"what the program ignores stays the kernel's to ignore", SIGTERM, IGNORED,
		IGN | UTRACE_RESUME, IGN | UTRACE_RESUME, "a:ign-15 b:ign-15", SIGTERM,
		'c'},
	{"TERM as it is", SIGTERM, DEFAULT, TERM | UTRACE_RESUME, TERM | UTRACE_RESUME,
		"a:term-15 b:term-15", SIGTERM, 'c'},
	{"TERM instead of ignoring it, by default", SIGCHLD, DEFAULT, IGN | UTRACE_RESUME,
		TERM | UTRACE_RESUME, "a:ign-17 b:ign-17", SIGKILL, 'c'},
	{"TERM for a stop signal", SIGTSTP, DEFAULT, TSTP | UTRACE_RESUME,
		TERM | UTRACE_RESUME, "a:tstp-20 b:tstp-20", SIGKILL, 'c'},
	{"STOP instead of death", SIGTERM, DEFAULT, STOP | UTRACE_RESUME,
		STOP | UTRACE_RESUME, "a:term-15 b:stop-15", SIGSTOP, 'c'},
	{"TSTP instead of death", SIGTERM, DEFAULT, TSTP | UTRACE_RESUME,
		TSTP | UTRACE_RESUME, "a:term-15 b:tstp-15", SIGSTOP, 'c'},
	{"TSTP as it is", SIGTSTP, DEFAULT, TSTP | UTRACE_RESUME, TSTP | UTRACE_RESUME,
		"a:tstp-20 b:tstp-20", SIGTSTP, 'c'},
	{"dropped, and a step", SIGTERM, DEFAULT, IGN | UTRACE_SINGLESTEP,
		IGN | UTRACE_RESUME, "a:term-15 b:ign-15", 0, 's'},
	{"delivered, and a block step", SIGTERM, CAUGHT, DELIVER | UTRACE_BLOCKSTEP,
		DELIVER | UTRACE_RESUME, "a:deliver-15 b:deliver-15", SIGTERM, 'b'},
	{"dropped, and held", SIGTERM, DEFAULT, IGN | UTRACE_STOP, IGN | UTRACE_RESUME,
		"a:term-15 b:ign-15", 0, 'h'},
	{"ignored by the program, and held", SIGTERM, IGNORED, IGN | UTRACE_STOP,
		IGN | UTRACE_RESUME, "a:ign-15 b:ign-15", 0, 'h'},
	{"a handler comes before a stop: stepped to its first instruction", SIGTERM,
		CAUGHT, DELIVER | UTRACE_STOP, DELIVER | UTRACE_RESUME,
		"a:deliver-15 b:deliver-15", SIGTERM, 's'},
	{"so does a death", SIGTERM, DEFAULT, TERM | UTRACE_STOP, TERM | UTRACE_RESUME,
		"a:term-15 b:term-15", SIGTERM, 'c'},
	{"REPORT and INTERRUPT are as RESUME here", SIGTERM, CAUGHT,
		DELIVER | UTRACE_REPORT, DELIVER | UTRACE_INTERRUPT,
		"a:deliver-15 b:deliver-15", SIGTERM, 'c'},
};

static void test_fates(void)
{
	for (size_t i = 0; i < sizeof(fate_cases) / sizeof(fate_cases[0]); i++) {
		begin(2, ALL);
		dispose(fate_cases[i].signal, fate_cases[i].disposition);
		fakes[0].event = fate_cases[i].first;
		fakes[1].event = fate_cases[i].second;
		sim_signal(thread, fate_cases[i].signal);
		happen();
		char want[64], got[64];
		snprintf(want, sizeof(want), "%c %d %s", fate_cases[i].outcome,
			fate_cases[i].delivered, fate_cases[i].heard);
		snprintf(got, sizeof(got), "%c %d %s", outcome(), thread->signal, heard);
		tap_is_string(got, want, fate_cases[i].name);
		end(2);
	}
}

/* ---- stops, holding, handlers ------------------------------------------------------------------- */

static void test_held_before(void)
{
	begin(2, ALL);
	dispose(SIGTERM, CAUGHT);
	tap_is_long(utrace_control(task, engines[1], UTRACE_STOP), -EINPROGRESS,
		"a stop is asked for");
	fakes[0].event = DELIVER | UTRACE_RESUME;
	fakes[1].event = DELIVER | UTRACE_STOP;
	sim_signal(thread, SIGTERM);
	happen();
	tap_ok(outcome() == 'h', "a signal comes first: held with it");
	if (utrace_control(task, engines[1], UTRACE_RESUME) < 0)
		abort();
	tap_ok(outcome() == 'c' && thread->signal == SIGTERM,
		"delivered when it goes on");
	end(2);
}

/* Threads that nobody holds have to stop, too: the signal does not wait in the one that is. */
static void test_stop_signal_while_held(void)
{
	begin(2, 0);
	if (utrace_control(task, engines[1], UTRACE_STOP) != -EINPROGRESS)
		abort();
	sim_signal(thread, SIGSTOP);
	happen();
	tap_ok(outcome() == 'c' && thread->signal == SIGSTOP,
		"one that stops the process does so first");
	sim_stop(thread, PTRACE_STOP_GROUP, SIGSTOP);
	happen();
	tap_ok(outcome() == 'h', "and then the thread is held");
	end(2);
}

static void test_hold(void)
{
	begin(1, ALL);
	fakes[0].event = IGN | UTRACE_STOP | UTRACE_SIGNAL_HOLD;
	sim_signal(thread, SIGTERM);
	happen();
	tap_ok(outcome() == 'h' && !strcmp(heard, "a:term-15"), "held, with its signal");
	fakes[0].event = TERM | UTRACE_RESUME;
	if (utrace_control(task, engines[0], UTRACE_RESUME) < 0)
		abort();
	happen();
	tap_is_string(heard, "a:term-15 a:term-15", "which is reported again");
	tap_ok(outcome() == 'c' && thread->signal == SIGTERM, "and delivered");
	end(1);
}

static void test_parked(void)
{
	begin(1, ALL | UTRACE_EVENT(QUIESCE));
	fakes[0].event = IGN | UTRACE_STOP;
	sim_signal(thread, SIGTERM);
	happen();
	fakes[0].boundary = UTRACE_RESUME;
	if (utrace_control(task, engines[0], UTRACE_INTERRUPT) < 0)
		abort();
	happen();
	tap_ok(outcome() == 'c' && thread->signal == 0,
		"a dropped signal stays dropped after the stop");
	end(1);
}

static void test_handler_report(void)
{
	begin(2, ALL | UTRACE_EVENT(QUIESCE));
	dispose(SIGTERM, CAUGHT);
	fakes[0].event = DELIVER | UTRACE_STOP;
	fakes[1].event = DELIVER | UTRACE_RESUME;
	fakes[0].boundary = UTRACE_STOP;
	sim_signal(thread, SIGTERM);
	happen();
	heard[0] = 0;
	/* what the kernel tells a stepping tracer when it has set up a handler */
	thread->info = (siginfo_t){.si_signo = SIGTRAP, .si_code = SIGTRAP};
	sim_stop(thread, PTRACE_STOP_SIGNAL, SIGTRAP);
	happen();
	tap_ok(!strcmp(heard, "a:handler b:handler") && outcome() == 'h',
		"at the handler's first instruction: reported and held");
	if (utrace_control(task, engines[0], UTRACE_RESUME) < 0)
		abort();
	tap_ok(outcome() == 'c' && thread->signal == 0, "it goes on without a signal");
	end(2);
}

static void test_step_trap(void)
{
	begin(1, ALL | UTRACE_EVENT(QUIESCE));
	fakes[0].boundary = UTRACE_SINGLESTEP;
	if (utrace_control(task, engines[0], UTRACE_INTERRUPT) < 0)
		abort();
	sim_stop(thread, PTRACE_STOP_INTERRUPT, SIGTRAP);
	happen();
	heard[0] = 0;
	fakes[0].event = IGN | UTRACE_RESUME;
	thread->info = (siginfo_t){.si_signo = SIGTRAP, .si_code = TRAP_TRACE};
	sim_stop(thread, PTRACE_STOP_SIGNAL, SIGTRAP);
	happen();
	tap_is_string(heard, "a:ign-5", "the trap of a step is not the program's");
	tap_is_long(thread->signal, 0, "and not delivered");
	heard[0] = 0;
	sim_stop(thread, PTRACE_STOP_SIGNAL, SIGTRAP);
	happen();
	tap_is_string(heard, "a:core-5", "one without a step is");
	end(1);
}

static void test_made_up(void)
{
	begin(1, ALL);
	dispose(SIGTERM, CAUGHT);
	fakes[0].event = DELIVER | UTRACE_SIGNAL_HOLD | UTRACE_RESUME;
	sim_signal(thread, SIGTERM);
	happen();
	tap_ok(outcome() == 'c' && thread->signal == SIGTERM && thread->sent == SIGTERM,
		"delivered and held back: sent once more");
	heard[0] = 0;
	fakes[0].event = IGN | UTRACE_RESUME;
	thread->info = thread->sent_info;
	sim_stop(thread, PTRACE_STOP_SIGNAL, SIGTERM);
	happen();
	tap_is_string(heard, "a:deliver-15", "it is reported when it comes");
	tap_is_long(thread->signal, 0, "like any other");
	end(1);
}

int main(void)
{
	test_kinds();
	test_fates();
	test_held_before();
	test_stop_signal_while_held();
	test_hold();
	test_parked();
	test_handler_report();
	test_step_trap();
	test_made_up();
	return tap_done();
}
