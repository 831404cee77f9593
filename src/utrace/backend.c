/* SPDX-License-Identifier: MIT */
/* The real world below the engine core: ptrace(2) and /proc of this machine. */
#include "utrace/backend.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int move(pid_t tid, enum utrace_motion how, int signal)
{
	switch (how) {
	case UTRACE_MOTION_CONT:
		return ptrace_cont(tid, signal);
	case UTRACE_MOTION_SYSCALL:
		return ptrace_syscall(tid, signal);
	case UTRACE_MOTION_STEP:
		return ptrace_singlestep(tid, signal);
	case UTRACE_MOTION_BLOCK:
		return ptrace_singleblock(tid, signal);
	case UTRACE_MOTION_LISTEN:
		return ptrace_listen(tid);
	case UTRACE_MOTION_DETACH:
		return ptrace_detach(tid, signal);
	}
	return -EINVAL;
}

/* process_vm_readv() needs no descriptor; what it cannot read (a page without read permission) may
 * still be read through /proc. */
static int read_memory(pid_t tid, uint64_t address, void *bytes, size_t size)
{
	struct iovec local = {bytes, size}, remote = {(void *)(uintptr_t)address, size};
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	if (n >= 0 && (size_t)n == size)
		return 0;
	if (n < 0 && errno == ESRCH)
		return -ESRCH;
	int fd = remote_memory_open(tid, NULL);
	if (fd < 0)
		return fd;
	int r = remote_memory_read(fd, address, bytes, size);
	close(fd);
	return r;
}

static int write_memory(pid_t tid, uint64_t address, const void *bytes, size_t size)
{
	int fd = remote_memory_open(tid, NULL);
	if (fd < 0)
		return fd;
	int r = remote_memory_write(fd, address, bytes, size);
	close(fd);
	return r;
}

static int read_status(pid_t tid, struct proc_status *ret)
{
	return proc_read_status(tid, ret, NULL);
}

static int list_tasks(pid_t pid, struct proc_tids *ret)
{
	return proc_list_tasks(pid, ret, NULL);
}

static int list_processes(struct proc_tids *ret)
{
	return proc_list_processes(ret, NULL);
}

static bool is_thread(pid_t pid, pid_t tid)
{
	return syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH;
}

static int send_signal(pid_t pid, pid_t tid, const siginfo_t *info)
{
	long r = syscall(SYS_rt_tgsigqueueinfo, pid, tid, info->si_signo, info);
	return r < 0 ? -errno : 0;
}

const struct utrace_backend_ops utrace_ptrace_backend = {
	.seize = ptrace_seize,
	.interrupt = ptrace_interrupt,
	.move = move,
	.wait = ptrace_wait,
	.peek_stop = ptrace_peek_stop,
	.take_stop = ptrace_take_stop,
	.peek = ptrace_peek,
	.peek_exit = ptrace_peek_exit,
	.get_regs = ptrace_get_regs,
	.set_regs = ptrace_set_regs,
	.get_siginfo = ptrace_get_siginfo,
	.set_siginfo = ptrace_set_siginfo,
	.get_sigmask = ptrace_get_sigmask,
	.set_sigmask = ptrace_set_sigmask,
	.get_event_message = ptrace_get_event_message,
	.get_syscall_arch = ptrace_get_syscall_arch,
	.get_regset = ptrace_get_regset,
	.set_regset = ptrace_set_regset,
	.read_memory = read_memory,
	.write_memory = write_memory,
	.read_status = read_status,
	.read_stat = proc_read_stat,
	.read_syscall = proc_read_syscall,
	.list_tasks = list_tasks,
	.list_processes = list_processes,
	.is_thread = is_thread,
	.send_signal = send_signal,
};
