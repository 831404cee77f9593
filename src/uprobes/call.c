/* SPDX-License-Identifier: MIT */
/*
 * Calls of the tracer by our code in the process (abi/call.h): registration of threads.
 *
 * The thread is stopped behind a breakpoint of the agent's.  All that it says is checked: session memory is
 * the process's to write to, and so are its registers.
 */
#include "abi/call.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "abi/context.h"
#include "ptrace/ptrace.h"
#include "uprobes/space.h"

bool call_is_trap(const struct uprobe_space *space, const struct user_regs_struct *regs)
{
	if (space->session.call_offset <= 0)
		return false;
	for (size_t i = 0; i < space->arenas.count; i++) {
		const struct uprobe_arena *arena = &space->arenas.items[i];
		if (!arena->is_padding &&
			regs->rip - BREAKPOINT_SIZE ==
				arena_image(space, arena) +
					(uint64_t)space->session.call_offset)
			return true;
	}
	return false;
}

/* KEEP IN SYNC: call signature (front.S) */
bool call_is_at(int memory_fd, uint64_t pc)
{
	static const uint8_t signature[] = {0x0f, 0x1f, 0x80, 'U', 'T', 'C', 'A'};
	uint8_t bytes[sizeof(signature)];

	return remote_memory_read(memory_fd, pc, bytes, sizeof(bytes)) >= 0 &&
	       !memcmp(bytes, signature, sizeof(bytes));
}

/* Ours of a context of the process; NULL: the address is that of none. */
static struct abi_context *find_context(
	const struct uprobe_space *space, uint64_t address)
{
	const struct uprobe_session *session = &space->session;
	uint64_t offset = address - space->session_address;

	if (offset % _Alignof(struct abi_context) || offset < ABI_GLOBALS_OFFSET ||
		offset >= session->session_size ||
		session->session_size - offset < sizeof(struct abi_context))
		return NULL;
	return (struct abi_context *)(void *)((char *)session->session_memory + offset);
}

/* By the number that the process sees itself; 0: its parent is outside of its namespace. */
static uint32_t parent_of(const struct proc_status *status)
{
	struct proc_status parent;

	if (status->ns_levels <= 1)
		return (uint32_t)status->ppid;
	if (proc_read_status(status->ppid, &parent, NULL) < 0 ||
		parent.ns_levels != status->ns_levels)
		return 0;
	return (uint32_t)parent.ns_tgid;
}

static void fill_identity(struct abi_context *c, const struct proc_status *status)
{
	c->pid = (uint32_t)status->ns_tgid;
	c->tid = (uint32_t)status->ns_pid;
	c->ppid = parent_of(status);
	c->uid = status->uid;
	c->euid = status->euid;
	c->gid = status->gid;
	c->egid = status->egid;
	snprintf(c->comm, sizeof(c->comm), "%.15s", status->name);
}

static bool is_registered(
	const struct uprobe_space *space, const struct user_regs_struct *regs)
{
	return regs->gs_base && find_context(space, regs->gs_base + space->null_context);
}

static bool register_thread(const struct uprobe_space *space,
	struct user_regs_struct *regs, const struct proc_status *status)
{
	struct abi_context *c = find_context(space, regs->rdi);

	if (!c || space->by_ptrace)
		return false;
	if (is_registered(space, regs)) /* by a signal handler's hit, meanwhile */
		return true;
	fill_identity(c, status);
	__atomic_store_n(&c->self, regs->rdi, __ATOMIC_SEQ_CST);
	regs->gs_base = regs->rdi - space->null_context;
	return true;
}

/*
 * The kernel forces a breakpoint's signal on a thread that has it blocked: it unblocks it there, and sets
 * the action back to default.  Threads that block it block all signals, and so this tells.
 */
static void block_if_forced(
	struct uprobe_space *space, pid_t tid, const struct proc_status *status)
{
	const uint64_t trap = SIGNAL_BIT(SIGTRAP), others = SIGNALS_SYNCHRONOUS & ~trap;
	uint64_t mask;

	if (status->sig_blocked & trap || (status->sig_blocked & others) != others)
		return;
	if (!(status->sig_caught & trap))
		space->front_lost |= space->front_signals & trap;
	if (ptrace_get_sigmask(tid, &mask) < 0 ||
		ptrace_set_sigmask(tid, mask | trap) < 0)
		return; /* the thread was killed */
}

static bool can_read(pid_t pid, uint64_t address)
{
	uint8_t byte;
	struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)address, 1};

	/* not /proc/PID/mem, which reads whatever there is */
	return process_vm_readv(pid, &here, 1, &there, 1, 0) == 1;
}

static bool can_write(pid_t pid, uint64_t address)
{
	struct proc_maps maps = {0};
	bool found = false;

	if (!can_read(pid, address) || proc_read_maps(pid, &maps, NULL) < 0)
		return false;
	for (size_t i = 0; i < maps.maps.count && !found; i++)
		found = maps.maps.items[i].write && address >= maps.maps.items[i].start &&
			address < maps.maps.items[i].end;
	proc_maps_free(&maps);
	return found;
}

static bool look_at_page(
	const struct uprobe_space *space, const struct user_regs_struct *regs)
{
	const struct abi_context *c = find_context(space, regs->rdi);

	if (!c)
		return false;
	return regs->rsi == ABI_CALL_WRITABLE ? can_write(space->pid, c->call_argument)
					      : can_read(space->pid, c->call_argument);
}

void call_answer(struct uprobe_space *space, struct utrace_task *task,
	struct user_regs_struct *regs)
{
	struct proc_status status;
	pid_t tid = utrace_task_tid(task);

	regs->rax = 0;
	if (proc_read_status(tid, &status, NULL) < 0)
		return;
	block_if_forced(space, tid, &status);
	if (status.seccomp)
		space_note_filter(space, tid);
	switch (regs->rsi) {
	case ABI_CALL_REGISTER:
		regs->rax = register_thread(space, regs, &status);
		break;
	case ABI_CALL_READABLE:
	case ABI_CALL_WRITABLE:
		regs->rax = look_at_page(space, regs);
		break;
	default:
		break;
	}
}
