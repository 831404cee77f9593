/* SPDX-License-Identifier: MIT */
/* How the answers of engines are combined: resume actions, system calls, order. */
#include <sys/syscall.h>

#include "fixture.h"

static const char *const names[UTRACE_RESUME_MAX] = {
	"STOP", "INTERRUPT", "REPORT", "SINGLESTEP", "BLOCKSTEP", "RESUME", "DETACH"};

/* ---- pairs of answers --------------------------------------------------------------------------- */

/* Row: what the first engine answers, column: the second; in the order of the names. */
static const char at_boundary[UTRACE_RESUME_MAX][UTRACE_RESUME_MAX + 1] = {
	"hhhhhhh", /* any STOP holds it */
	"hccsbcc", /* at the boundary a report has just been made */
	"hccsbcc",
	"hssssss", /* the smaller step */
	"hbbsbbb",
	"hccsbcc",
	"hccsbcc",
};

/* At a system call's exit: with one more report (and then RESUME from everybody) or without. */
static const char at_exit[UTRACE_RESUME_MAX][UTRACE_RESUME_MAX + 1] = {
	"RRRRRRR", /* stops at the boundary, where it is asked again */
	"RRRRRRR", "RRRRRRR", "RRRssss", "RRRsbbb", "RRRsbyy",
	"RRRsbyc", /* both gone: nobody wants system calls any more */
};

static void test_pair(const char *where, int first, int second, char expected)
{
	bool exit = where[0] == 'e';
	begin(2, UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(SYSCALL_EXIT));
	if (exit) {
		fakes[0].event = (uint32_t)first;
		fakes[1].event = (uint32_t)second;
		sim_syscall(thread, SYS_getppid, true);
		happen();
		sim_syscall(thread, SYS_getppid, false);
	} else {
		fakes[0].boundary = (uint32_t)first;
		fakes[1].boundary = (uint32_t)second;
		if (utrace_control(task, engines[0], UTRACE_INTERRUPT) < 0)
			abort();
		sim_stop(thread, PTRACE_STOP_INTERRUPT, SIGTRAP);
	}
	happen();
	char got = outcome();
	if (exit && strstr(heard, "quiesce"))
		got = 'R';
	else if (exit && strstr(heard, "report"))
		got = 'R';
	/* system calls are wanted by somebody left: 'c' means that it runs */
	if (!exit && got == 'y')
		got = 'c';
	tap_ok(got == expected, "%s: {%s, %s}", where, names[first], names[second]);
	if (got != expected)
		printf("# got %c, want %c (%s)\n", got, expected, heard);
	end(2);
}

static void test_pairs(void)
{
	for (int a = 0; a < UTRACE_RESUME_MAX; a++) {
		for (int b = 0; b < UTRACE_RESUME_MAX; b++) {
			test_pair("boundary", a, b, at_boundary[a][b]);
			test_pair("exit", a, b, at_exit[a][b]);
		}
	}
}

/* ---- what a stop leaves over -------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t answers[ENGINES];
	const char *releases; /* engines that RESUME, one after the other */
	const char *outcomes; /* before, and after each */
} stop_cases[] = {
	{"one STOP", {UTRACE_STOP, UTRACE_RESUME, UTRACE_RESUME}, "a", "hc"},
	{"one STOP, released by others", {UTRACE_STOP, UTRACE_RESUME, UTRACE_RESUME},
		"bca", "hhhc"},
	{"two STOPs", {UTRACE_STOP, UTRACE_STOP, UTRACE_RESUME}, "ab", "hhc"},
	{"two STOPs, in the other order", {UTRACE_STOP, UTRACE_RESUME, UTRACE_STOP}, "ca",
		"hhc"},
	{"two STOPs and a step", {UTRACE_STOP, UTRACE_STOP, UTRACE_SINGLESTEP}, "ab",
		"hhs"},
	{"two STOPs and a block step", {UTRACE_BLOCKSTEP, UTRACE_STOP, UTRACE_STOP}, "bc",
		"hhb"},
	{"STOP and two kinds of steps",
		{UTRACE_BLOCKSTEP, UTRACE_STOP, UTRACE_SINGLESTEP}, "b", "hs"},
	{"STOP and DETACH", {UTRACE_DETACH, UTRACE_STOP, UTRACE_RESUME}, "b", "hc"},
};

static void test_stops(void)
{
	for (size_t i = 0; i < sizeof(stop_cases) / sizeof(stop_cases[0]); i++) {
		char got[8] = "";
		begin(ENGINES, UTRACE_EVENT(QUIESCE));
		for (int k = 0; k < ENGINES; k++)
			fakes[k].boundary = stop_cases[i].answers[k];
		if (utrace_control(task, engines[0], UTRACE_INTERRUPT) < 0)
			abort();
		sim_stop(thread, PTRACE_STOP_INTERRUPT, SIGTRAP);
		happen();
		got[0] = outcome();
		for (size_t k = 0; stop_cases[i].releases[k]; k++) {
			int which = stop_cases[i].releases[k] - 'a';
			if (utrace_control(task, engines[which], UTRACE_RESUME) < 0)
				abort();
			got[k + 1] = outcome();
		}
		tap_is_string(got, stop_cases[i].outcomes, stop_cases[i].name);
		end(ENGINES);
	}
}

/* ---- system calls ------------------------------------------------------------------------------- */

static void test_abort(void)
{
	for (int bits = 0; bits < 8; bits++) {
		begin(ENGINES, UTRACE_EVENT_SYSCALL);
		for (int i = 0; i < ENGINES; i++)
			fakes[i].event = UTRACE_RESUME |
					 (bits >> i & 1 ? UTRACE_SYSCALL_ABORT : 0);
		sim_syscall(thread, SYS_getppid, true);
		happen();
		bool aborted = thread->regs.orig_rax == UINT64_MAX;
		/* whatever the others say */
		tap_ok(aborted == (bits & 1) &&
				!strcmp(heard, "c:entry b:entry a:entry") &&
				outcome() == 'y',
			"entry: {%s, %s, %s}: the first attached has the last word",
			bits & 1 ? "ABORT" : "RUN", bits & 2 ? "ABORT" : "RUN",
			bits & 4 ? "ABORT" : "RUN");
		heard[0] = 0;
		sim_syscall(thread, aborted ? -1 : SYS_getppid, false);
		happen();
		tap_is_string(heard, "a:leave b:leave c:leave", "exit: in order");
		end(ENGINES);
	}
}

static const struct {
	const char *name;
	unsigned long events;
	const char *outcomes; /* from an event-stop, an entry, an exit */
} call_cases[] = {
	{"no engine wants calls", UTRACE_EVENT(QUIESCE), "ccc"},
	{"entries only", UTRACE_EVENT(SYSCALL_ENTRY), "yyy"},
	{"exits only", UTRACE_EVENT(SYSCALL_EXIT), "yyy"},
	{"both", UTRACE_EVENT_SYSCALL, "yyy"},
};

static void test_traced(void)
{
	for (size_t i = 0; i < sizeof(call_cases) / sizeof(call_cases[0]); i++) {
		char got[4] = "";
		begin(1, call_cases[i].events);
		int kicked = thread->interrupts;
		sim_stop(thread, PTRACE_STOP_INTERRUPT, SIGTRAP);
		happen();
		got[0] = outcome();
		sim_syscall(thread, SYS_read, true);
		happen();
		got[1] = outcome();
		sim_syscall(thread, SYS_read, false);
		happen();
		got[2] = outcome();
		tap_is_string(got, call_cases[i].outcomes, call_cases[i].name);
		tap_is_long(kicked, call_cases[i].outcomes[0] == 'y',
			"it is made to stop once if somebody wants calls");
		end(1);
	}
}

static const struct {
	const char *name, *heard, *outcomes;
	enum utrace_resume_action release;
	uint32_t entry, other;
} entry_cases[] = {
	{"STOP at an entry, RESUME", "c:entry b:entry a:entry", "hy", UTRACE_RESUME,
		UTRACE_STOP, UTRACE_RESUME},
	{"STOP at an entry, REPORT",
		"c:entry b:entry a:entry c:resumed b:resumed a:resumed", "hy",
		UTRACE_REPORT, UTRACE_STOP, UTRACE_RESUME},
	{"STOP at an entry, INTERRUPT",
		"c:entry b:entry a:entry c:resumed b:resumed a:resumed", "hy",
		UTRACE_INTERRUPT, UTRACE_STOP, UTRACE_RESUME},
	{"STOP at an entry and REPORT from another engine",
		"c:entry b:entry a:entry c:resumed b:resumed a:resumed", "hy",
		UTRACE_RESUME, UTRACE_STOP, UTRACE_REPORT},
};

static void test_entry_stops(void)
{
	for (size_t i = 0; i < sizeof(entry_cases) / sizeof(entry_cases[0]); i++) {
		char got[3] = "";
		begin(ENGINES, UTRACE_EVENT(QUIESCE) | UTRACE_EVENT_SYSCALL);
		fakes[1].event = entry_cases[i].entry;
		fakes[2].event = entry_cases[i].other;
		sim_syscall(thread, SYS_read, true);
		happen();
		got[0] = outcome();
		fakes[1].event = fakes[2].event = UTRACE_RESUME;
		if (utrace_control(task, engines[1], entry_cases[i].release) < 0)
			abort();
		happen();
		got[1] = outcome();
		tap_is_string(got, entry_cases[i].outcomes, entry_cases[i].name);
		tap_is_string(heard, entry_cases[i].heard, "what is reported");
		end(ENGINES);
	}
}

/* ---- order and membership ----------------------------------------------------------------------- */

static struct utrace_engine *late;
static struct fake late_fake;

static void attach_late(struct utrace_engine *engine)
{
	late_fake =
		(struct fake){'l', UTRACE_RESUME, UTRACE_RESUME, UTRACE_RESUME, 0, NULL};
	if (late ||
		utrace_attach_task(
			task, UTRACE_ATTACH_CREATE, &fake_ops, &late_fake, &late) < 0 ||
		utrace_set_events(task, late, ~0ul) < 0)
		return;
}

static void detach_third(struct utrace_engine *engine)
{
	if (utrace_control(task, engines[2], UTRACE_DETACH) < 0)
		return;
}

static void test_membership(void)
{
	begin(ENGINES, UTRACE_EVENT(EXEC));
	late = NULL;
	fakes[0].in_event = attach_late;
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_is_string(heard, "a:exec b:exec c:exec",
		"an engine attached in a report is not in it");
	fakes[0].in_event = NULL;
	heard[0] = 0;
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_is_string(
		heard, "a:exec b:exec c:exec l:exec", "but in the next, as the last");
	heard[0] = 0;
	fakes[0].in_event = detach_third;
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_is_string(heard, "a:exec b:exec l:exec",
		"one that is detached in a report is called no more");
	tap_is_long(fakes[2].released, 0, "and lives while it is referenced");
	utrace_engine_put(late);
	end(ENGINES);
	tap_is_long(fakes[2].released, 1, "released once");
}

static void test_quiesce_first(void)
{
	begin(2, UTRACE_EVENT(QUIESCE));
	if (utrace_set_events(task, engines[1], UTRACE_EVENT(EXEC)) < 0)
		abort();
	fakes[0].other = UTRACE_STOP;
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_ok(!strcmp(heard, "b:exec a:quiesce") && outcome() == 'c',
		"an engine with QUIESCE is asked before others' events");
	fakes[0].other = UTRACE_DETACH;
	heard[0] = 0;
	if (utrace_set_events(
		    task, engines[0], UTRACE_EVENT(QUIESCE) | UTRACE_EVENT(EXEC)) < 0)
		abort();
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_is_string(heard, "b:exec", "its DETACH leaves out the event itself");
	end(2);
}

static void test_shown(void)
{
	begin(ENGINES, UTRACE_EVENT(EXEC));
	for (uint32_t answer = 0; answer < UTRACE_RESUME; answer++) {
		fakes[0].event = answer;
		sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
		happen();
		tap_is_long(shown, answer, "what others have chosen is shown");
		if (utrace_control(task, engines[0], UTRACE_RESUME) < 0)
			abort();
	}
	fakes[0].event = UTRACE_RESUME;
	if (utrace_set_events(task, engines[0], 0) < 0 ||
		utrace_control(task, engines[0], UTRACE_STOP) != -EINPROGRESS)
		abort();
	sim_stop(thread, PTRACE_STOP_EXEC, SIGTRAP);
	happen();
	tap_ok(shown == UTRACE_STOP && outcome() == 'h',
		"an engine that holds counts, called or not");
	end(ENGINES);
}

int main(void)
{
	test_pairs();
	test_stops();
	test_abort();
	test_traced();
	test_entry_stops();
	test_membership();
	test_quiesce_first();
	test_shown();
	return tap_done();
}
