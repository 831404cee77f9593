/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <linux/audit.h>
#include <string.h>

static struct sim_thread threads[SIM_THREADS];
static struct ptrace_event events[64];
static size_t event_count;
static int moves;

struct sim_thread *sim_thread(pid_t tid)
{
	for (size_t i = 0; i < SIM_THREADS; i++) {
		if (threads[i].is_alive && threads[i].tid == tid)
			return &threads[i];
	}
	return NULL;
}

struct sim_thread *sim_start(unsigned index)
{
	struct sim_thread *thread = &threads[index];
	*thread = (struct sim_thread){.tid = SIM_PID + (pid_t)index,
		.is_alive = true,
		.state = 'S',
		.regs = {.rip = 0x400000, .orig_rax = UINT64_MAX, .cs = 0x33}};
	return thread;
}

void sim_reset(void)
{
	memset(threads, 0, sizeof(threads));
	event_count = 0;
	moves = 0;
}

static void push(const struct ptrace_event *event)
{
	events[event_count++] = *event;
}

void sim_stop(struct sim_thread *thread, enum ptrace_stop stop, int value)
{
	thread->is_stopped = true;
	thread->state = 't';
	push(&(struct ptrace_event){.tid = thread->tid, .stop = stop, .value = value});
}

void sim_signal(struct sim_thread *thread, int signal)
{
	thread->info = (siginfo_t){.si_signo = signal, .si_code = SI_USER};
	sim_stop(thread, PTRACE_STOP_SIGNAL, signal);
}

void sim_syscall(struct sim_thread *thread, long number, bool entry)
{
	thread->message = entry ? 1 : 2;
	thread->regs.orig_rax = (uint64_t)number;
	thread->regs.rax = entry ? (uint64_t)-ENOSYS : 0;
	sim_stop(thread, PTRACE_STOP_SYSCALL, SIGTRAP | 0x80);
}

void sim_exit(struct sim_thread *thread, int status)
{
	thread->is_stopped = false;
	thread->state = 'Z';
	push(&(struct ptrace_event){.tid = thread->tid,
		.stop = PTRACE_STOP_EXITED,
		.value = status,
		.status = status << 8});
}

/* ---- requests ----------------------------------------------------------------------------------- */

static struct sim_thread *stopped(pid_t tid)
{
	struct sim_thread *thread = sim_thread(tid);
	return thread && thread->is_stopped ? thread : NULL;
}

static int seize(pid_t tid, unsigned long options, struct error *err)
{
	return sim_thread(tid) ? 0 : error_set(err, -ESRCH, "no such process: %d", tid);
}

static int interrupt(pid_t tid)
{
	struct sim_thread *thread = sim_thread(tid);
	if (!thread)
		return -ESRCH;
	thread->interrupts++;
	if (thread->is_listening) /* it traps again at once */
		sim_stop(thread, PTRACE_STOP_GROUP, SIGSTOP);
	thread->is_listening = false;
	return 0;
}

static void stop_at_once(struct sim_thread *thread)
{
	thread->stops_at_once--;
	sim_stop(thread, PTRACE_STOP_VFORK_DONE, SIGTRAP);
	struct ptrace_event last = events[event_count - 1];
	memmove(events + 1, events, (event_count - 1) * sizeof(events[0]));
	events[0] = last;
}

static int move(pid_t tid, enum utrace_motion how, int signal)
{
	struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	thread->moves++;
	thread->moved_at = ++moves;
	thread->motion = how;
	thread->signal = signal;
	thread->is_stopped = false;
	thread->is_listening = how == UTRACE_MOTION_LISTEN;
	thread->state = 'S';
	if (thread->stops_at_once)
		stop_at_once(thread);
	return 0;
}

/* A tid, or -1: any; stops, exits or both. */
static int take(pid_t tid, bool stops, bool exits, struct ptrace_event *ret)
{
	for (size_t i = 0; i < event_count; i++) {
		bool is_exit = events[i].stop == PTRACE_STOP_EXITED;
		if ((tid > 0 && events[i].tid != tid) || (is_exit ? !exits : !stops))
			continue;
		*ret = events[i];
		event_count--;
		memmove(events + i, events + i + 1,
			(event_count - i) * sizeof(events[0]));
		if (is_exit)
			sim_thread(ret->tid)->is_alive = false;
		return 1;
	}
	return 0;
}

static int wait_one(pid_t tid, bool block, struct ptrace_event *ret)
{
	return take(tid, true, true, ret);
}

static int peek_stop(pid_t tid, struct ptrace_event *ret)
{
	return take(tid ? tid : -1, true, false, ret);
}

static int take_stop(pid_t tid, struct ptrace_event *ret)
{
	return 0;
}

static int peek(bool block, struct ptrace_event *ret)
{
	*ret = (struct ptrace_event){0};
	return event_count != 0;
}

static int peek_exit(pid_t *ret_tid)
{
	for (size_t i = 0; i < event_count; i++) {
		if (events[i].stop != PTRACE_STOP_EXITED)
			continue;
		*ret_tid = events[i].tid;
		return 1;
	}
	return 0;
}

static int get_regs(pid_t tid, struct user_regs_struct *ret)
{
	const struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	*ret = thread->regs;
	return 0;
}

static int set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	thread->regs = *regs;
	return 0;
}

static int get_siginfo(pid_t tid, siginfo_t *ret)
{
	const struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	*ret = thread->info;
	return 0;
}

static int set_siginfo(pid_t tid, const siginfo_t *info)
{
	struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	thread->info = *info;
	return 0;
}

static int get_sigmask(pid_t tid, uint64_t *ret)
{
	const struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	*ret = thread->mask;
	return 0;
}

static int set_sigmask(pid_t tid, uint64_t mask)
{
	struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	thread->mask = mask;
	return 0;
}

static int get_event_message(pid_t tid, unsigned long *ret)
{
	const struct sim_thread *thread = stopped(tid);
	if (!thread)
		return -ESRCH;
	*ret = thread->message;
	return 0;
}

static int get_syscall_arch(pid_t tid, uint32_t *ret)
{
	*ret = AUDIT_ARCH_X86_64;
	return stopped(tid) ? 0 : -ESRCH;
}

static int get_regset(pid_t tid, unsigned type, void *buffer, size_t *size)
{
	return -EINVAL;
}

static int set_regset(pid_t tid, unsigned type, const void *buffer, size_t size)
{
	return -EINVAL;
}

static int read_memory(pid_t tid, uint64_t address, void *bytes, size_t size)
{
	memset(bytes, 0x90, size);
	return 0;
}

static int write_memory(pid_t tid, uint64_t address, const void *bytes, size_t size)
{
	return 0;
}

static int read_status(pid_t tid, struct proc_status *ret)
{
	const struct sim_thread *thread = sim_thread(tid);
	if (!thread)
		return -ESRCH;
	*ret = (struct proc_status){.tgid = SIM_PID,
		.ppid = SIM_PID - 1,
		.tracer = gettid(),
		.state = thread->state,
		.sig_blocked = thread->mask,
		.sig_caught = thread->caught,
		.sig_ignored = thread->ignored};
	return 0;
}

static int read_stat(pid_t tid, struct proc_stat *ret)
{
	const struct sim_thread *thread = sim_thread(tid);
	if (!thread)
		return -ESRCH;
	*ret = (struct proc_stat){.state = thread->state,
		.sig_caught = thread->caught & 0x7fffffff,
		.sig_ignored = thread->ignored & 0x7fffffff,
		.exit_signal = SIGCHLD,
		.threads = 1};
	return 0;
}

static int read_syscall(pid_t pid, pid_t tid, struct proc_syscall *ret)
{
	const struct sim_thread *thread = sim_thread(tid);
	if (!thread)
		return -ESRCH;
	*ret = (struct proc_syscall){.running = thread->in_user_code};
	return 0;
}

static int list_tasks(pid_t pid, struct proc_tids *ret)
{
	*ret = (struct proc_tids){0};
	for (size_t i = 0; i < SIM_THREADS; i++) {
		if (threads[i].is_alive)
			vec_append(&ret->tids, threads[i].tid);
	}
	return ret->tids.count ? 0 : -ESRCH;
}

static int list_processes(struct proc_tids *ret)
{
	*ret = (struct proc_tids){0};
	vec_append(&ret->tids, SIM_PID);
	return 0;
}

static bool is_thread(pid_t pid, pid_t tid)
{
	const struct sim_thread *thread = sim_thread(tid);
	return thread && !thread->is_stranger;
}

static int send_signal(pid_t pid, pid_t tid, const siginfo_t *info)
{
	struct sim_thread *thread = sim_thread(tid);
	if (!thread)
		return -ESRCH;
	thread->sent = info->si_signo;
	thread->sent_info = *info;
	return 0;
}

const struct utrace_backend_ops sim_backend = {
	.seize = seize,
	.interrupt = interrupt,
	.move = move,
	.wait = wait_one,
	.peek_stop = peek_stop,
	.take_stop = take_stop,
	.peek = peek,
	.peek_exit = peek_exit,
	.get_regs = get_regs,
	.set_regs = set_regs,
	.get_siginfo = get_siginfo,
	.set_siginfo = set_siginfo,
	.get_sigmask = get_sigmask,
	.set_sigmask = set_sigmask,
	.get_event_message = get_event_message,
	.get_syscall_arch = get_syscall_arch,
	.get_regset = get_regset,
	.set_regset = set_regset,
	.read_memory = read_memory,
	.write_memory = write_memory,
	.read_status = read_status,
	.read_stat = read_stat,
	.read_syscall = read_syscall,
	.list_tasks = list_tasks,
	.list_processes = list_processes,
	.is_thread = is_thread,
	.send_signal = send_signal,
};
