/* SPDX-License-Identifier: MIT */
#include "session/remote.h"

#include <elf.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <uthash.h>

#include "agent/agent.h"
#include "ptrace/ptrace.h"
#include "runtime/runtime.h"
#include "session/process.h"

enum {
	TEXT_PAGE = 4096
};

struct remote_thread {
	pid_t tid;
	uint32_t slot;
	UT_hash_handle hh;
};

/* ---- memory ---------------------------------------------------------------------------------------------- */

/* Whose memory the running handler reads: handlers do not nest, and the runtime cannot carry it. */
static pid_t remote_pid;
static const struct elf_unwind_stack *remote_stack;

const struct elf_unwind_stack *session_remote_stack(void)
{
	return remote_stack;
}

static bool remote_read(uint64_t address, uint32_t size, uint64_t *ret)
{
	struct iovec here = {ret, size}, there = {(void *)(uintptr_t)address, size};
	*ret = 0;
	return remote_pid && (elf_unwind_stack_read(remote_stack, address, size, ret) ||
				     process_vm_readv(remote_pid, &here, 1, &there, 1,
					     0) == (ssize_t)size);
}

static bool remote_write(uint64_t address, uint32_t size, uint64_t *value)
{
	struct iovec here = {value, size}, there = {(void *)(uintptr_t)address, size};
	return remote_pid &&
	       process_vm_writev(remote_pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static struct abi_regs *remote_regs;

static struct abi_regs *get_remote_regs(void)
{
	return remote_regs;
}

static void fill_identity(struct abi_context *c, pid_t pid, pid_t tid)
{
	struct proc_status status;
	if (proc_read_status(tid, &status, NULL) < 0)
		return;
	c->pid = (uint32_t)pid;
	c->tid = (uint32_t)tid;
	c->ppid = (uint32_t)status.ppid;
	c->uid = status.uid;
	c->euid = status.euid;
	c->gid = status.gid;
	c->egid = status.egid;
	c->pgrp = (uint32_t)getpgid(pid);
	c->sid = (uint32_t)getsid(pid);
	snprintf(c->comm, sizeof(c->comm), "%.15s", status.name);
}

/* Read once for each run of a handler that asks. */
static struct user_fpregs_struct remote_vectors;
static bool has_remote_vectors;

static bool remote_state(uint32_t what, uint32_t number, uint64_t *ret)
{
	struct user_regs_struct regs;
	size_t size = sizeof(remote_vectors);
	*ret = 0;
	if (!remote_pid)
		return false;
	if (what == RT_STATE_THREAD_POINTER) {
		if (ptrace_get_regs(remote_pid, &regs) < 0)
			return false;
		*ret = regs.fs_base;
		return true;
	}
	if (!has_remote_vectors &&
		ptrace_get_regset(remote_pid, NT_PRFPREG, &remote_vectors, &size) < 0)
		return false;
	has_remote_vectors = true;
	memcpy(ret, (const unsigned char *)remote_vectors.xmm_space + 8 * (number % 32),
		sizeof(*ret));
	return true;
}

/* Programs rename themselves, and change their users; few handlers ask. */
static struct abi_context *stale_context;

static void renew_identity(void)
{
	if (stale_context)
		fill_identity(stale_context, (pid_t)stale_context->pid,
			(pid_t)stale_context->tid);
	stale_context = NULL;
}

void session_remote_enable(struct agent_arena *arena)
{
	arena->tracer_identity = (uint64_t)(uintptr_t)renew_identity;
	arena->tracer_read = (uint64_t)(uintptr_t)remote_read;
	arena->tracer_write = (uint64_t)(uintptr_t)remote_write;
	arena->tracer_regs = (uint64_t)(uintptr_t)get_remote_regs;
	arena->tracer_state = (uint64_t)(uintptr_t)remote_state;
}

/* ---- contexts --------------------------------------------------------------------------------------------- */

static void raise_high(struct abi_session *header, uint32_t high)
{
	uint32_t old = __atomic_load_n(&header->context_high, __ATOMIC_RELAXED);
	while (old < high && !__atomic_compare_exchange_n(&header->context_high, &old,
				     high, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

/* 0: all are taken. */
static uint32_t claim_slot(struct session *s)
{
	struct abi_session *header = s->memory.header;
	for (uint32_t slot = 1; slot < s->memory.context_count; slot++) {
		uint32_t free = 0;
		if (!__atomic_compare_exchange_n(&session_context(s, slot)->claimed,
			    &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		raise_high(header, slot + 1);
		return slot;
	}
	__atomic_fetch_add(&header->register_failures, 1, __ATOMIC_RELAXED);
	return 0;
}

static struct abi_context *find_context(struct session *s, pid_t pid, pid_t tid)
{
	struct remote_thread *thread;
	HASH_FIND_INT(s->remote_threads, &tid, thread);
	if (thread)
		return session_context(s, thread->slot);
	uint32_t slot = claim_slot(s);
	if (!slot)
		return NULL;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		abort();
	thread->tid = tid;
	thread->slot = slot;
	HASH_ADD_INT(s->remote_threads, tid, thread);
	struct abi_context *c = session_context(s, slot);
	c->session = (uint64_t)(uintptr_t)s->memory.base;
	c->slot = slot;
	c->depth = c->error = c->locks_held = c->scratch_top = 0;
	c->error_caller_count = 0;
	c->nesting = c->location = c->frame_count = 0;
	c->pair_top = c->pair_limit = c->pair_dropped = 0;
	c->stamp = c->regs = c->random_state = c->tokenize_offset = 0;
	c->indent_depth = 0;
	c->match_groups = 0;
	c->tokenize_text[0] = '\0';
	c->self = (uint64_t)(uintptr_t)c;
	c->pid = (uint32_t)pid;
	c->tid = (uint32_t)tid;
	fill_identity(c, pid, tid);
	return c;
}

void session_remote_prepare(struct session *s, pid_t pid, pid_t tid)
{
	(void)find_context(s, pid, tid);
}

void session_remote_forget(struct session *s, pid_t tid)
{
	struct remote_thread *thread;
	HASH_FIND_INT(s->remote_threads, &tid, thread);
	if (!thread)
		return;
	HASH_DEL(s->remote_threads, thread);
	free(thread);
}

void session_remote_free(struct session *s)
{
	struct remote_thread *thread, *next;
	HASH_ITER(hh, s->remote_threads, thread, next)
	session_remote_forget(s, thread->tid);
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

void session_remote_regs(const struct user_regs_struct *from, struct abi_regs *ret)
{
	*ret = (struct abi_regs){
		/* as lahf and seto leave them: arch/arch.h */
		.flags = (from->eflags & 0xff) << 8 | (from->eflags >> 11 & 1),
		.r11 = from->r11,
		.r10 = from->r10,
		.r9 = from->r9,
		.r8 = from->r8,
		.rdi = from->rdi,
		.rsi = from->rsi,
		.rdx = from->rdx,
		.rcx = from->rcx,
		.rax = from->rax,
		.rbx = from->rbx,
		.rbp = from->rbp,
		.r12 = from->r12,
		.r13 = from->r13,
		.r14 = from->r14,
		.r15 = from->r15,
	};
}

void session_remote_set_regs(const struct abi_regs *from, struct user_regs_struct *ret)
{
	const uint64_t status = 0xd5, overflow = 1u << 11; /* SF ZF AF PF CF; OF */
	ret->eflags = (ret->eflags & ~(status | overflow)) | (from->flags >> 8 & status) |
		      (from->flags & 1) << 11;
	ret->r11 = from->r11;
	ret->r10 = from->r10;
	ret->r9 = from->r9;
	ret->r8 = from->r8;
	ret->rdi = from->rdi;
	ret->rsi = from->rsi;
	ret->rdx = from->rdx;
	ret->rcx = from->rcx;
	ret->rax = from->rax;
	ret->rbx = from->rbx;
	ret->rbp = from->rbp;
	ret->r12 = from->r12;
	ret->r13 = from->r13;
	ret->r14 = from->r14;
	ret->r15 = from->r15;
}

void session_remote_call(struct session *s, const struct remote_probe *probe)
{
	struct abi_context *c = find_context(s, probe->pid, probe->tid);
	struct abi_regs none = {0};
	struct host_call call = {.site = probe->site,
		.regs = probe->regs ? probe->regs : &none,
		.sp = probe->sp,
		.ip = probe->ip};
	if (!c)
		return;
	stale_context = probe->is_over ? NULL : c;
	/* a thread that has ended has no memory, but its process has */
	remote_pid = probe->is_over ? probe->pid : probe->tid;
	remote_regs = probe->regs;
	remote_stack = probe->stack;
	has_remote_vectors = false;
	session_host_run_handler(s, c, &call);
	remote_pid = 0;
	remote_regs = NULL;
	remote_stack = NULL;
	stale_context = NULL;
}

/* KEEP IN SYNC: what a trampoline passes (arch/arch.h) */
void session_remote_hit(struct session *s, const struct remote_hit *hit)
{
	const struct arch_plan *plan = &hit->patch->plan;
	struct abi_regs regs;
	session_remote_regs(hit->regs, &regs);
	struct remote_probe probe = {.pid = hit->process->pid,
		.tid = hit->tid,
		.regs = &regs,
		.sp = hit->regs->rsp};
	/* link-time addresses: a page is a page wherever the file is mapped */
	for (size_t i = 0; i < hit->patch->handlers.count; i++) {
		const struct arch_handler_call *call = &hit->patch->handlers.items[i];
		const struct arch_point *point = &plan->points[call->point];
		uint64_t bias = hit->regs->rip - plan->address - point->offset;
		if (bias % TEXT_PAGE || !session_is_running(s) ||
			!process_is_meant(hit->process,
				s->sites.items[call->site].location,
				hit->process->patched_as) ||
			(point->is_conditional &&
				!uprobe_branch_is_taken(hit->space, hit->regs)))
			continue;
		probe.site = call->site;
		probe.ip = point->address + bias;
		session_remote_call(s, &probe);
	}
	session_remote_set_regs(&regs, hit->regs);
}
