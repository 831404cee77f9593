/* SPDX-License-Identifier: MIT */
#include "ptrace/ptrace.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* glibc's enum spells requests as an enum, musl's as an int: one place converts. */
static int request(int nr, pid_t tid, uintptr_t addr, uintptr_t data)
{
	if (ptrace(nr, tid, addr, data) < 0)
		return -errno;
	return 0;
}

static enum ptrace_stop decode_event(int event, int signal)
{
	switch (event) {
	case PTRACE_EVENT_CLONE:
		return PTRACE_STOP_CLONE;
	case PTRACE_EVENT_FORK:
		return PTRACE_STOP_FORK;
	case PTRACE_EVENT_VFORK:
		return PTRACE_STOP_VFORK;
	case PTRACE_EVENT_VFORK_DONE:
		return PTRACE_STOP_VFORK_DONE;
	case PTRACE_EVENT_EXEC:
		return PTRACE_STOP_EXEC;
	case PTRACE_EVENT_EXIT:
		return PTRACE_STOP_EXIT;
	case PTRACE_EVENT_SECCOMP:
		return PTRACE_STOP_SECCOMP;
	case PTRACE_EVENT_STOP:
		return signal == SIGTRAP ? PTRACE_STOP_INTERRUPT : PTRACE_STOP_GROUP;
	default:
		return PTRACE_STOP_UNKNOWN;
	}
}

void ptrace_decode(pid_t tid, int status, struct ptrace_event *ret)
{
	*ret = (struct ptrace_event){
		.tid = tid, .status = status, .stop = PTRACE_STOP_UNKNOWN};
	if (WIFEXITED(status)) {
		ret->stop = PTRACE_STOP_EXITED;
		ret->value = WEXITSTATUS(status);
		return;
	}
	if (WIFSIGNALED(status)) {
		ret->stop = PTRACE_STOP_KILLED;
		ret->value = WTERMSIG(status);
		ret->core = WCOREDUMP(status);
		return;
	}
	if (!WIFSTOPPED(status))
		return;
	int event = (status >> 16) & 0xff;
	int signal = WSTOPSIG(status);
	ret->value = signal;
	if (event)
		ret->stop = decode_event(event, signal);
	else if (signal == (SIGTRAP | 0x80)) /* PTRACE_O_TRACESYSGOOD */
		ret->stop = PTRACE_STOP_SYSCALL;
	else
		ret->stop = PTRACE_STOP_SIGNAL;
}

int ptrace_wait(pid_t tid, bool block, struct ptrace_event *ret)
{
	int status;
	pid_t got;
	do
		got = waitpid(tid, &status, __WALL | __WNOTHREAD | (block ? 0 : WNOHANG));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got == 0)
		return 0;
	ptrace_decode(got, status, ret);
	return 1;
}

/* Return: 1 and what was found; 0 none; negative errno. */
static int wait_for(pid_t tid, int options, siginfo_t *info)
{
	int r;
	*info = (siginfo_t){0};
	do
		r = waitid(tid ? P_PID : P_ALL, (id_t)tid, info,
			__WALL | __WNOTHREAD | options);
	while (r < 0 && errno == EINTR && options & WNOHANG);
	return r < 0 ? -errno : info->si_pid != 0;
}

static void decode_stopped(const siginfo_t *info, struct ptrace_event *ret)
{
	ptrace_decode(info->si_pid, (int)((unsigned)info->si_status << 8 | 0x7f), ret);
}

int ptrace_take_stop(pid_t tid, struct ptrace_event *ret)
{
	siginfo_t info;
	int r = wait_for(tid, WSTOPPED | WNOHANG, &info);
	if (r > 0)
		decode_stopped(&info, ret);
	return r;
}

static int peek(pid_t tid, int options, struct ptrace_event *ret)
{
	siginfo_t info;
	int r;
	*ret = (struct ptrace_event){0};
	/* a child of ours that nobody traces may stop as well: not for us */
	while ((r = wait_for(tid, options | WNOWAIT, &info)) > 0 &&
		info.si_code == CLD_STOPPED)
		(void)!ptrace_take_stop(info.si_pid, ret);
	if (r > 0 && info.si_code == CLD_TRAPPED)
		decode_stopped(&info, ret);
	return r;
}

int ptrace_peek_stop(pid_t tid, struct ptrace_event *ret)
{
	return peek(tid, WSTOPPED | WNOHANG, ret);
}

int ptrace_peek(bool block, struct ptrace_event *ret)
{
	return peek(0, WSTOPPED | WEXITED | (block ? 0 : WNOHANG), ret);
}

int ptrace_peek_exit(pid_t *ret_tid)
{
	siginfo_t info;
	int r = wait_for(0, WEXITED | WNOWAIT | WNOHANG, &info);
	if (r > 0)
		*ret_tid = info.si_pid;
	return r;
}

int ptrace_set_options(pid_t tid, unsigned long options)
{
	return request(PTRACE_SETOPTIONS, tid, 0, options);
}

int ptrace_interrupt(pid_t tid)
{
	return request(PTRACE_INTERRUPT, tid, 0, 0);
}

int ptrace_cont(pid_t tid, int signal)
{
	return request(PTRACE_CONT, tid, 0, (uintptr_t)signal);
}

int ptrace_syscall(pid_t tid, int signal)
{
	return request(PTRACE_SYSCALL, tid, 0, (uintptr_t)signal);
}

int ptrace_singlestep(pid_t tid, int signal)
{
	return request(PTRACE_SINGLESTEP, tid, 0, (uintptr_t)signal);
}

int ptrace_singleblock(pid_t tid, int signal)
{
	return request(33 /* PTRACE_SINGLEBLOCK, missing in glibc's enum */, tid, 0,
		(uintptr_t)signal);
}

int ptrace_listen(pid_t tid)
{
	return request(PTRACE_LISTEN, tid, 0, 0);
}

int ptrace_detach(pid_t tid, int signal)
{
	return request(PTRACE_DETACH, tid, 0, (uintptr_t)signal);
}

int ptrace_get_regs(pid_t tid, struct user_regs_struct *ret)
{
	return request(PTRACE_GETREGS, tid, 0, (uintptr_t)ret);
}

int ptrace_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return request(PTRACE_SETREGS, tid, 0, (uintptr_t)regs);
}

int ptrace_get_siginfo(pid_t tid, siginfo_t *ret)
{
	return request(PTRACE_GETSIGINFO, tid, 0, (uintptr_t)ret);
}

int ptrace_set_siginfo(pid_t tid, const siginfo_t *info)
{
	return request(PTRACE_SETSIGINFO, tid, 0, (uintptr_t)info);
}

int ptrace_peek_signal(pid_t tid, int signal, siginfo_t *ret)
{
	struct __ptrace_peeksiginfo_args args = {.nr = 1};
	long count;
	while ((count = ptrace(PTRACE_PEEKSIGINFO, tid, &args, ret)) > 0) {
		if (ret->si_signo == signal)
			return 0;
		args.off++;
	}
	return count < 0 ? -errno : -ENOENT;
}

int ptrace_get_sigmask(pid_t tid, uint64_t *ret)
{
	return request(PTRACE_GETSIGMASK, tid, sizeof(*ret), (uintptr_t)ret);
}

int ptrace_set_sigmask(pid_t tid, uint64_t mask)
{
	return request(PTRACE_SETSIGMASK, tid, sizeof(mask), (uintptr_t)&mask);
}

int ptrace_get_event_message(pid_t tid, unsigned long *ret)
{
	return request(PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)ret);
}

int ptrace_get_regset(pid_t tid, unsigned type, void *buffer, size_t *size)
{
	struct iovec vector = {buffer, *size};
	int r = request(PTRACE_GETREGSET, tid, type, (uintptr_t)&vector);
	if (r == 0)
		*size = vector.iov_len;
	return r;
}

int ptrace_set_regset(pid_t tid, unsigned type, const void *buffer, size_t size)
{
	struct iovec vector = {(void *)(uintptr_t)buffer, size};
	return request(PTRACE_SETREGSET, tid, type, (uintptr_t)&vector);
}

int ptrace_get_syscall_arch(pid_t tid, uint32_t *ret)
{
	/* the beginning of struct ptrace_syscall_info of <linux/ptrace.h>, Linux 5.3 */
	struct {
		uint8_t op, pad[3];
		uint32_t arch;
	} info = {0};
	const int get_syscall_info = 0x420e;
	if (ptrace(get_syscall_info, tid, sizeof(info), &info) < 0)
		return -errno;
	if (info.op == 0) /* none */
		return -EINVAL;
	*ret = info.arch;
	return 0;
}

int ptrace_get_rseq(pid_t tid, uint64_t *ret_address)
{
	/* struct ptrace_rseq_configuration of <linux/ptrace.h>, Linux 5.13 */
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} config = {0};
	const int get_rseq_configuration = 0x420f;
	if (ptrace(get_rseq_configuration, tid, sizeof(config), &config) < 0)
		return -errno;
	*ret_address = config.address;
	return 0;
}
