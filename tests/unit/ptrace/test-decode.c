/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/ptrace.h>

#include "ptrace/ptrace.h"
#include "tap.h"

#define STOPPED(signal, event) (((event) << 16) | ((signal) << 8) | 0x7f)

static const struct {
	const char *name;
	int status;
	enum ptrace_stop stop;
	int value;
	bool core;
} cases[] = {
	{"exit 3", 3 << 8, PTRACE_STOP_EXITED, 3, false},
	{"killed", SIGKILL, PTRACE_STOP_KILLED, SIGKILL, false},
	{"dumped core", SIGSEGV | 0x80, PTRACE_STOP_KILLED, SIGSEGV, true},
	{"signal", STOPPED(SIGUSR1, 0), PTRACE_STOP_SIGNAL, SIGUSR1, false},
	{"plain SIGTRAP", STOPPED(SIGTRAP, 0), PTRACE_STOP_SIGNAL, SIGTRAP, false},
	{"syscall", STOPPED(SIGTRAP | 0x80, 0), PTRACE_STOP_SYSCALL, SIGTRAP | 0x80,
		false},
	{"interrupt", STOPPED(SIGTRAP, 128), PTRACE_STOP_INTERRUPT, SIGTRAP, false},
	{"group-stop", STOPPED(SIGTSTP, 128), PTRACE_STOP_GROUP, SIGTSTP, false},
	{"fork", STOPPED(SIGTRAP, PTRACE_EVENT_FORK), PTRACE_STOP_FORK, SIGTRAP, false},
	{"vfork", STOPPED(SIGTRAP, PTRACE_EVENT_VFORK), PTRACE_STOP_VFORK, SIGTRAP,
		false},
	{"clone", STOPPED(SIGTRAP, PTRACE_EVENT_CLONE), PTRACE_STOP_CLONE, SIGTRAP,
		false},
	{"exec", STOPPED(SIGTRAP, PTRACE_EVENT_EXEC), PTRACE_STOP_EXEC, SIGTRAP, false},
	{"vfork done", STOPPED(SIGTRAP, PTRACE_EVENT_VFORK_DONE), PTRACE_STOP_VFORK_DONE,
		SIGTRAP, false},
	{"exit event", STOPPED(SIGTRAP, PTRACE_EVENT_EXIT), PTRACE_STOP_EXIT, SIGTRAP,
		false},
	{"seccomp", STOPPED(SIGTRAP, PTRACE_EVENT_SECCOMP), PTRACE_STOP_SECCOMP, SIGTRAP,
		false},
	{"an event of the future", STOPPED(SIGTRAP, 99), PTRACE_STOP_UNKNOWN, SIGTRAP,
		false},
	{"continued", 0xffff, PTRACE_STOP_UNKNOWN, 0, false},
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ptrace_event event;
		ptrace_decode(42, cases[i].status, &event);
		tap_ok(event.tid == 42 && event.stop == cases[i].stop &&
				event.value == cases[i].value &&
				event.core == cases[i].core &&
				event.status == cases[i].status,
			"%s", cases[i].name);
	}
	return tap_done();
}
