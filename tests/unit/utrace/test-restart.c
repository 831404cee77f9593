/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/syscall.h>

#include "tap.h"
#include "utrace/run.h"

static const struct {
	const char *name;
	long number, result;
	bool repaired;
} cases[] = {
	{"epoll_wait", SYS_epoll_wait, -EINTR, true},
	{"epoll_pwait2", SYS_epoll_pwait2, -EINTR, true},
	{"semtimedop", SYS_semtimedop, -EINTR, true},
	{"sigtimedwait", SYS_rt_sigtimedwait, -EINTR, true},
	{"recvfrom with a timeout", SYS_recvfrom, -EINTR, true},
	{"io_getevents", SYS_io_getevents, -EINTR, true},
	{"a result", SYS_epoll_wait, 1, false},
	{"another error", SYS_epoll_wait, -EBADF, false},
	{"the kernel restarts this", SYS_read, -512, false},
	{"and this, with a timeout", SYS_nanosleep, -516, false},
	{"close is over, whatever it says", SYS_close, -EINTR, false},
	{"not in a call", -1, -EINTR, false},
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct user_regs_struct regs = {.rip = 0x1000,
			.rax = (uint64_t)cases[i].result,
			.orig_rax = (uint64_t)cases[i].number,
			.rdi = 3};
		struct user_regs_struct before = regs;
		bool repaired = utrace_repair_interrupted_syscall(&regs);
		bool ok = repaired ? regs.rip == 0xffe && regs.rax == before.orig_rax &&
					     regs.orig_rax == UINT64_MAX && regs.rdi == 3
				   : !memcmp(&regs, &before, sizeof(regs));
		tap_ok(ok && repaired == cases[i].repaired, "%s", cases[i].name);
	}
	return tap_done();
}
