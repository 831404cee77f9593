/* SPDX-License-Identifier: MIT */
/*
 * A seccomp filter that stops a program for its tracer at some system calls and lets all others pass.  The
 * kernel remembers which calls always pass and does not even run the filter for them (Linux 5.11).
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "utrace/internal.h"

enum {
	X32_BIT = 0x40000000,
	FIXED = 7
};

static struct sock_filter load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter answer(uint32_t value)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

/* Skips the next instruction unless equal. */
static struct sock_filter equals(uint32_t value)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

static size_t write_filter(const long *calls, size_t count, struct sock_filter *code)
{
	size_t n = 0;
	/* Other architectures' calls have other numbers: all of them stop. */
	code[n++] = load(offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = answer(SECCOMP_RET_TRACE);
	code[n++] = load(offsetof(struct seccomp_data, nr));
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	code[n++] = answer(SECCOMP_RET_TRACE);
	for (size_t i = 0; i < count; i++) {
		code[n++] = equals((uint32_t)calls[i]);
		code[n++] = answer(SECCOMP_RET_TRACE);
	}
	code[n++] = answer(SECCOMP_RET_ALLOW);
	return n;
}

int utrace_install_filter(const long *calls, size_t count)
{
	if (count > (BPF_MAXINSNS - FIXED) / 2)
		return -EINVAL;
	struct sock_filter *code = calloc(2 * count + FIXED, sizeof(*code));
	if (!code)
		return -ENOMEM;
	struct sock_fprog program = {
		.len = (unsigned short)write_filter(calls, count, code), .filter = code};
	int r = 0;
	/* With CAP_SYS_ADMIN it works without giving up set-user-ID programs. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 &&
		(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0))
		r = -errno;
	free(code);
	return r;
}
