/* SPDX-License-Identifier: MIT */
#include "elf/unwind.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

enum {
	FRESH_S = 1 /* what was known of the mappings is believed that long */
};

struct elf_unwinder {
	Dwfl *dwfl;
	pid_t pid;
	time_t read_s;
	const uint64_t *registers;
	const struct elf_unwind_stack *stack;
	uint64_t *frames;
	size_t count, limit;
};

bool elf_unwind_stack_read(
	const struct elf_unwind_stack *stack, uint64_t address, uint64_t size, void *ret)
{
	if (!stack || address < stack->start || size > stack->size ||
		address - stack->start > stack->size - size)
		return false;
	memcpy(ret, (const char *)stack->data + (address - stack->start), size);
	return true;
}

static pid_t next_thread(Dwfl *dwfl, void *data, void **state)
{
	struct elf_unwinder *u = data;
	if (*state)
		return 0;
	*state = u;
	return u->pid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *data, void **state)
{
	*state = data;
	return true;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret, void *data)
{
	const struct elf_unwinder *u = data;
	struct iovec local = {ret, sizeof(*ret)};
	struct iovec remote = {(void *)(uintptr_t)address, sizeof(*ret)};
	return elf_unwind_stack_read(u->stack, address, sizeof(*ret), ret) ||
	       process_vm_readv(u->pid, &local, 1, &remote, 1, 0) ==
		       (ssize_t)sizeof(*ret);
}

static bool set_registers(Dwfl_Thread *thread, void *state)
{
	const struct elf_unwinder *u = state;
	return dwfl_thread_state_registers(thread, 0, ELF_UNWIND_REGISTERS, u->registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_word,
	.set_initial_registers = set_registers,
};

static int no_debug_file(Dwfl_Module *module, void **data, const char *name,
	Dwarf_Addr base, const char *file, const char *link, GElf_Word crc, char **ret)
{
	return -1; /* the file's own .eh_frame is enough */
}

/* The process may live in another mount namespace. */
static int find_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
	char **ret_file, Elf **ret_elf)
{
	const struct elf_unwinder *u = *data;
	char path[PATH_MAX + 32];
	if (name[0] != '/' || !u)
		return dwfl_linux_proc_find_elf(
			module, data, name, base, ret_file, ret_elf);
	snprintf(path, sizeof(path), "/proc/%d/root%s", u->pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return dwfl_linux_proc_find_elf(
			module, data, name, base, ret_file, ret_elf);
	*ret_file = strdup(path);
	return fd;
}

static int know_module(Dwfl_Module *module, void **data, const char *name,
	Dwarf_Addr base, void *unwinder)
{
	*data = unwinder;
	return DWARF_CB_OK;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = no_debug_file,
};

static int keep_frame(Dwfl_Frame *frame, void *data)
{
	struct elf_unwinder *u = data;
	Dwarf_Addr pc;
	bool activation;
	if (u->count == u->limit || !dwfl_frame_pc(frame, &pc, &activation) || !pc)
		return DWARF_CB_ABORT;
	u->frames[u->count++] = pc;
	return DWARF_CB_OK;
}

static bool know_process(struct elf_unwinder *u, pid_t pid)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (u->dwfl && u->pid == pid && now.tv_sec - u->read_s <= FRESH_S)
		return true;
	dwfl_end(u->dwfl);
	u->pid = pid;
	u->read_s = now.tv_sec;
	u->dwfl = dwfl_begin(&callbacks);
	if (u->dwfl && dwfl_linux_proc_report(u->dwfl, pid) == 0 &&
		dwfl_report_end(u->dwfl, NULL, NULL) == 0 &&
		dwfl_getmodules(u->dwfl, know_module, u, 0) == 0 &&
		dwfl_attach_state(u->dwfl, NULL, pid, &thread_callbacks, u))
		return true;
	dwfl_end(u->dwfl);
	u->dwfl = NULL;
	return false;
}

struct elf_unwinder *elf_unwinder_create(void)
{
	struct elf_unwinder *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	return u;
}

void elf_unwinder_destroy(struct elf_unwinder *u)
{
	if (u)
		dwfl_end(u->dwfl);
	free(u);
}

void elf_unwinder_forget(struct elf_unwinder *u, pid_t pid)
{
	if (u->pid == pid)
		u->pid = 0;
}

size_t elf_unwind(struct elf_unwinder *u, pid_t pid,
	const uint64_t registers[ELF_UNWIND_REGISTERS],
	const struct elf_unwind_stack *stack, uint64_t *ret, size_t limit)
{
	if (!know_process(u, pid))
		return 0;
	u->registers = registers;
	u->stack = stack;
	u->frames = ret;
	u->count = 0;
	u->limit = limit;
	/* ends with an error where no information is: what was found until then counts */
	(void)dwfl_getthread_frames(u->dwfl, pid, keep_frame, u);
	return u->count;
}
