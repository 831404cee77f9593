/* SPDX-License-Identifier: MIT */
/*
 * The call stub: where the victim makes system calls for us, and its way home should the tracer be
 * killed meanwhile (arch_call_stub()).
 *
 * The stub needs executable memory before anything of ours can be mapped.  It lies in what is left of
 * the last page behind a module's executable segment: mapped, private, and no code of anybody's.
 * It stands there only while calls are being made.
 */
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "inject/internal.h"

enum {
	PAGE = 4096,
	MAX_PROGRAM_HEADERS = 64,
	STOP_TIMEOUT_MS = 1000
};

/* End of the file's contents in the executable segment that ends in @map; 0: not an ELF module. */
static uint64_t segment_end(int fd, uint64_t module, const struct proc_map *map)
{
	Elf64_Ehdr header;
	Elf64_Phdr segments[MAX_PROGRAM_HEADERS];
	uint64_t first = UINT64_MAX, end = 0;
	if (remote_memory_read(fd, module, &header, sizeof(header)) < 0 ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_phentsize != sizeof(*segments) ||
		header.e_phnum > MAX_PROGRAM_HEADERS || header.e_phoff > PAGE ||
		remote_memory_read(fd, module + header.e_phoff, segments,
			header.e_phnum * sizeof(*segments)) < 0)
		return 0;
	for (size_t i = 0; i < header.e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_vaddr < first)
			first = segments[i].p_vaddr & ~(uint64_t)(PAGE - 1);
	for (size_t i = 0; i < header.e_phnum; i++) {
		uint64_t at = module - first + segments[i].p_vaddr + segments[i].p_filesz;
		if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X &&
			segments[i].p_filesz == segments[i].p_memsz && at > map->start &&
			at <= map->end)
			end = at;
	}
	return end;
}

static const uint8_t zero[ARCH_CALL_STUB_MAX];

/* In the vdso section headers may follow the segment.  A tracer that was killed together with its
 * guardian may have left its stub. */
static bool is_blank(int fd, uint64_t address)
{
	uint8_t bytes[ARCH_CALL_STUB_MAX];
	struct arch_call_home home;
	return remote_memory_read(fd, address, bytes, sizeof(bytes)) == 0 &&
	       (!memcmp(bytes, zero, sizeof(bytes)) || arch_call_stub_home(bytes, &home));
}

static uint64_t module_start(const struct proc_maps *maps, size_t i)
{
	const struct proc_map *map = &maps->maps.items[i];
	while (i > 0 && maps->maps.items[i].offset &&
		!strcmp(maps->maps.items[i - 1].path, map->path))
		i--;
	return maps->maps.items[i].start;
}

static bool is_vdso(const struct proc_map *map)
{
	return !strcmp(map->path, "[vdso]");
}

/* From the end of the code to the end of its page, where that leaves room for a stub. */
static bool page_rest(int fd, const struct proc_maps *maps, size_t i, uint64_t *ret_start,
	uint64_t *ret_end)
{
	const struct proc_map *map = &maps->maps.items[i];
	if (!map->execute || map->shared || (!is_vdso(map) && !map->device_inode))
		return false;
	*ret_start = segment_end(fd, module_start(maps, i), map);
	*ret_end = (*ret_start + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	return *ret_start && *ret_end <= map->end &&
	       *ret_end - *ret_start >= ARCH_CALL_STUB_MAX;
}

static uint64_t padding_of(int fd, const struct proc_maps *maps, size_t i)
{
	uint64_t start, end;
	if (!page_rest(fd, maps, i, &start, &end))
		return 0;
	uint64_t at = end - ARCH_CALL_STUB_MAX;
	return !is_vdso(&maps->maps.items[i]) || is_blank(fd, at) ? at : 0;
}

bool inject_find_padding(int memory_fd, const struct proc_maps *maps, size_t index,
	struct inject_padding *ret)
{
	uint64_t end;
	if (is_vdso(&maps->maps.items[index]) ||
		!page_rest(memory_fd, maps, index, &ret->start, &end))
		return false;
	ret->end = end - ARCH_CALL_STUB_MAX;
	return true;
}

/* A stopped thread that is in the stub goes home now, by our hand; or later, from its signal handler. */
static int send_home(const struct inject *inject, struct utrace_task *task,
	const struct arch_call_home *home)
{
	uint64_t stub_address = inject->stub.address;
	struct user_regs_struct regs;
	int r = utrace_get_regs(task, &regs);
	if (r < 0)
		return r;
	if (regs.rip - stub_address >= ARCH_CALL_STUB_MAX)
		return inject_leave_stub_frames(
			inject->memory_fd, regs.rsp, stub_address, home);
	regs.rax = home->rax;
	regs.rcx = home->rcx;
	regs.rdx = home->rdx;
	regs.rsi = home->rsi;
	regs.rdi = home->rdi;
	regs.r8 = home->r8;
	regs.r9 = home->r9;
	regs.r10 = home->r10;
	regs.r11 = home->r11;
	regs.rip = home->rip;
	regs.orig_rax = UINT64_MAX;
	r = utrace_set_regs(task, &regs);
	return r < 0 ? r : ptrace_set_sigmask(utrace_task_tid(task), home->signal_mask);
}

/*
 * A tracer was killed, and its victim may be on its way home in this very moment: before the stub
 * is written anew every thread must have left it.
 */
static int clear_stub(struct inject *inject, const struct arch_call_home *home)
{
	static const struct utrace_engine_ops ops = {0};
	struct utrace *utrace = inject->utrace;
	struct proc_tids list;
	int r = proc_list_tasks(inject->pid, &list, NULL);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.tids.count; i++) {
		struct utrace_engine *engine;
		struct utrace_task *task = utrace_find_task(utrace, list.tids.items[i]);
		if (!task || utrace_attach_task(
				     task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) < 0)
			continue;
		int s = utrace_control(task, engine, UTRACE_STOP);
		if (s == -EINPROGRESS)
			s = utrace_wait_stopped(task, STOP_TIMEOUT_MS, NULL);
		task = utrace_engine_task(engine);
		if (s == 0 && task)
			s = send_home(inject, task, home);
		if (task)
			(void)!utrace_control(task, engine, UTRACE_DETACH);
		utrace_engine_put(engine);
		if (s < 0 && s != -ESRCH)
			r = s;
	}
	vec_free(&list.tids);
	return r;
}

/* The vdso and the program itself stay as long as the process; libraries may be unloaded. */
static int find_place(pid_t tid, int fd, uint64_t *ret, struct error *err)
{
	struct proc_maps maps;
	char exe[PATH_MAX] = "";
	uint64_t found = 0;
	int r = proc_read_maps(tid, &maps, err);
	if (r < 0)
		return r;
	(void)!proc_read_exe(tid, exe, sizeof(exe));
	for (int pass = 0; pass < 3 && !found; pass++)
		for (size_t i = 0; i < maps.maps.count && !found; i++) {
			const struct proc_map *map = &maps.maps.items[i];
			bool wanted = pass == 0   ? !strcmp(map->path, "[vdso]")
				      : pass == 1 ? !strcmp(map->path, exe)
						  : true;
			if (wanted)
				found = padding_of(fd, &maps, i);
		}
	proc_maps_free(&maps);
	*ret = found;
	return 0;
}

bool inject_has_orphan(pid_t pid, int memory_fd)
{
	uint8_t bytes[ARCH_CALL_STUB_MAX];
	struct arch_call_home home;
	uint64_t at;
	return find_place(pid, memory_fd, &at, NULL) == 0 && at &&
	       remote_memory_read(memory_fd, at, bytes, sizeof(bytes)) == 0 &&
	       arch_call_stub_home(bytes, &home);
}

int inject_find_stub(struct inject *inject, struct error *err)
{
	int fd = inject->memory_fd;
	uint64_t found;
	int r = find_place(utrace_task_tid(inject->task), fd, &found, err);
	if (r < 0)
		return r;
	if (!found)
		return error_set(err, -ENOSPC,
			"process %d has no place for the %d bytes that make our system calls",
			inject->pid, ARCH_CALL_STUB_MAX);
	inject->stub.address = found;
	r = remote_memory_read(
		fd, found, inject->stub.original, sizeof(inject->stub.original));
	struct arch_call_home home;
	if (r == 0 && arch_call_stub_home(inject->stub.original, &home)) {
		r = clear_stub(inject, &home);
		if (r < 0) /* somebody may be in it still */
			return error_set(err, r,
				"process %d: cannot move threads out of what a dead tracer left: %s",
				inject->pid, strerror(-r));
		memset(inject->stub.original, 0, sizeof(inject->stub.original));
		inject->stub.size = sizeof(inject->stub.original); /* to be erased */
	}
	return r < 0 ? error_set(err, r, "cannot read text of process %d: %s",
			       inject->pid, strerror(-r))
		     : 0;
}

/*
 * Where the victim goes on by itself.  A call that was interrupted is made again, which the kernel
 * does when a tracer lets go of a thread, but not for one that comes from here.  A timeout then
 * begins anew.
 */
static struct arch_call_home find_home(
	const struct user_regs_struct *regs, uint64_t signal_mask)
{
	enum {
		RESTARTSYS = 512,
		RESTARTNOINTR = 513,
		RESTARTNOHAND = 514,
		RESTART_RESTARTBLOCK = 516,
		SYSCALL_SIZE = 2
	};
	struct arch_call_home home = {
		.rax = regs->rax,
		.rcx = regs->rcx,
		.rdx = regs->rdx,
		.rsi = regs->rsi,
		.rdi = regs->rdi,
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.rip = regs->rip,
		.signal_mask = signal_mask,
	};
	if ((int64_t)regs->orig_rax < 0)
		return home;
	switch (-(int64_t)regs->rax) {
	case RESTARTSYS:
	case RESTARTNOINTR:
	case RESTARTNOHAND:
	case RESTART_RESTARTBLOCK:
		home.rax = regs->orig_rax;
		home.rip -= SYSCALL_SIZE;
		break;
	default:
		break;
	}
	return home;
}

int inject_write_stub(struct inject *inject, const struct user_regs_struct *regs)
{
	struct inject_stub *stub = &inject->stub;
	uint8_t bytes[ARCH_CALL_STUB_MAX];
	const struct arch_call_home home = find_home(regs, inject->signal_mask);
	if (stub->size && !memcmp(&home, &stub->home, sizeof(home)))
		return 0;
	size_t size = arch_call_stub(&home, bytes);
	int r = remote_memory_write(inject->memory_fd, stub->address, bytes, size);
	if (r < 0)
		return r;
	stub->size = size;
	stub->home = home;
	return 0;
}

void inject_erase_stub(struct inject *inject)
{
	struct inject_stub *stub = &inject->stub;
	/* it may fail: the process is gone */
	if (stub->size && remote_memory_write(inject->memory_fd, stub->address,
				  stub->original, stub->size) == 0)
		stub->size = 0;
}

int inject_clean_child(const struct inject *parent, int child_memory_fd)
{
	const struct inject_stub *stub = &parent->stub;
	uint8_t bytes[sizeof(stub->original)];
	int r = remote_memory_read(child_memory_fd, stub->address, bytes, sizeof(bytes));
	if (r < 0 || !memcmp(bytes, stub->original, sizeof(bytes)))
		return r;
	return remote_memory_write(
		child_memory_fd, stub->address, stub->original, sizeof(bytes));
}
