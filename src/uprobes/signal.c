/* SPDX-License-Identifier: MIT */
/*
 * Signals that are ours.  The kernel forces synchronous signals: one that the thread had
 * blocked is unblocked for it.  That is put back here.
 */
#include <signal.h>
#include <string.h>
#include <x86intrin.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

/* Sent by the kernel for an int3, and never by kill(2). */
static bool is_breakpoint(const siginfo_t *info)
{
	return info->si_signo == SIGTRAP &&
	       (info->si_code == SI_KERNEL || info->si_code == 1);
}

/* A breakpoint that is gone again when its signal is looked at: the instruction is run
 * anew. */
static bool is_stale(struct uprobe_space *space, uint64_t address)
{
	uint8_t byte;

	return remote_memory_read(space->memory_fd, address, &byte, 1) >= 0 &&
	       byte != BREAKPOINT;
}

static bool take_trap(struct uprobe_space *space, struct user_regs_struct *regs,
	const void **ret_notice)
{
	uint64_t address = regs->rip - 1;
	struct uprobe_site *site = site_find(space, address);

	if (!site)
		return false;
	if (site->state == SITE_PENDING || site->state == SITE_REMOVED) {
		if (!is_stale(space, address))
			return false;
		regs->rip = address;
		return true;
	}
	if (address != site->address &&
		(address - site->address >= site->size ||
			!site_is_insn_start(site, address - site->address)))
		return false;
	*ret_notice = address == site->address ? site->notice : NULL;
	regs->rip = *ret_notice ? address : site_trap_target(site, address);
	return true;
}

static bool take_fault(struct uprobe_space *space, struct user_regs_struct *regs)
{
	const struct uprobe_session *session = &space->session;

	for (size_t i = 0; i < space->arenas.count; i++) {
		uint64_t image = arena_image(space, &space->arenas.items[i]);
		uint64_t offset = regs->rip - image;
		if (offset < (uint64_t)session->read_start_offset ||
			offset >= (uint64_t)session->read_end_offset)
			continue;
		regs->rip = image + (uint64_t)session->read_fixup_offset;
		return true;
	}
	return false;
}

/*
 * In strict seccomp mode the time stamp counter may not be read: our code reads it, and gets ours.
 */
static bool take_counter(struct uprobe_space *space, struct user_regs_struct *regs)
{
	static const uint8_t rdtsc[] = {0x0f, 0x31}, rdtscp[] = {0x0f, 0x01, 0xf9};
	uint8_t bytes[sizeof(rdtscp)];
	unsigned int processor;

	if (!arena_image_contains(space, regs->rip) ||
		remote_memory_read(space->memory_fd, regs->rip, bytes, sizeof(bytes)) < 0)
		return false;
	bool has_processor = !memcmp(bytes, rdtscp, sizeof(rdtscp));
	if (!has_processor && memcmp(bytes, rdtsc, sizeof(rdtsc)) != 0)
		return false;
	uint64_t now = __rdtscp(&processor);
	regs->rax = (uint32_t)now;
	regs->rdx = now >> 32;
	if (has_processor)
		regs->rcx = processor;
	regs->rip += has_processor ? sizeof(rdtscp) : sizeof(rdtsc);
	return true;
}

static bool is_fault(const siginfo_t *info)
{
	return info->si_code > 0 &&
	       (info->si_signo == SIGSEGV || info->si_signo == SIGBUS ||
		       info->si_signo == SIGILL || info->si_signo == SIGFPE);
}

/*
 * The program's own handler gets the address of the instruction, not that of its copy: it may look it
 * up (Go, the JVM), and its return runs it again.  That is why an instruction whose text is under the
 * patch behind the head is left where it is: its bytes are not there to be run.
 */
static void take_home(struct uprobe_space *space, struct user_regs_struct *regs)
{
	if (!arena_contains(space, regs->rip))
		return;
	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		uint64_t offset = regs->rip - site->trampoline;
		if (!site->trampoline || offset >= site->trampoline_size)
			continue;
		for (size_t k = 0; k < site->map_count; k++) {
			const struct arch_pc_map_entry *entry = &site->map[k];
			bool pushed = offset && entry->pushed_offset == offset;
			bool covered = entry->original_offset &&
				       entry->original_offset < site->size;
			if ((entry->trampoline_offset != offset && !pushed) || covered)
				continue;
			regs->rip = site->address + entry->original_offset;
			regs->rsp += pushed ? sizeof(uint64_t) : 0;
			return;
		}
	}
}

static void block_again(struct uprobe_space *space, pid_t tid, int signal)
{
	uint64_t bit = 1ull << (signal - 1), mask;

	for (size_t i = 0; i < space->blocked.count; i++) {
		const struct blocked_thread *blocked = &space->blocked.items[i];
		if (blocked->tid != tid || !(blocked->mask & bit))
			continue;
		/* The kernel also reset the action to default: see front_repair(). */
		space->front_lost |= bit & space->front_signals;
		if (ptrace_get_sigmask(tid, &mask) < 0 ||
			ptrace_set_sigmask(tid, mask | bit) < 0)
			return; /* the thread was killed */
	}
}

bool signal_resolve(struct uprobe_space *space, struct utrace_task *task,
	struct user_regs_struct *regs, const siginfo_t *info, const void **ret_notice)
{
	bool ours = false;

	*ret_notice = NULL;
	if (is_breakpoint(info)) {
		ours = call_is_trap(space, regs);
		if (ours)
			call_answer(space, task, regs);
		else
			ours = take_trap(space, regs, ret_notice);
		if (*ret_notice == &entry_notice)
			*ret_notice = NULL; /* inject/ holds the thread there */
	} else if ((info->si_signo == SIGSEGV || info->si_signo == SIGBUS) &&
		   info->si_code > 0)
		ours = take_fault(space, regs) ||
		       (info->si_code == SI_KERNEL && take_counter(space, regs));
	if (ours)
		block_again(space, utrace_task_tid(task), info->si_signo);
	else if (is_fault(info))
		take_home(space, regs);
	return ours;
}
