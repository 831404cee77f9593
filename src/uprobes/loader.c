/* SPDX-License-Identifier: MIT */
/* Where the dynamic linker tells debuggers of its list of modules: r_brk of struct r_debug, <link.h>. */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	INSN_MAX = 16,
	MAX_HEADERS = 64,
	MAX_DYNAMIC = 512
};

static int read_process(
	const struct uprobe_space *space, uint64_t address, void *bytes, size_t size)
{
	return remote_memory_read(space->memory_fd, address, bytes, size);
}

/* DT_DEBUG of the program leads to struct r_debug, once the dynamic linker has run. */
uint64_t uprobe_loader_find(const struct uprobe_space *space)
{
	Elf64_Phdr headers[MAX_HEADERS];
	uint64_t at = 0, count = 0, bias = 0, dynamic = 0;
	if (proc_read_auxv(space->pid, AT_PHDR, &at) < 0 ||
		proc_read_auxv(space->pid, AT_PHNUM, &count) < 0 || !at ||
		count > MAX_HEADERS ||
		read_process(space, at, headers, count * sizeof(*headers)) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (headers[i].p_type == PT_PHDR)
			bias = at - headers[i].p_vaddr;
		else if (headers[i].p_type == PT_DYNAMIC)
			dynamic = headers[i].p_vaddr;
	}
	for (size_t i = 0; dynamic && i < MAX_DYNAMIC; i++) {
		Elf64_Dyn entry;
		if (read_process(space, dynamic + bias + i * sizeof(entry), &entry,
			    sizeof(entry)) < 0 ||
			entry.d_tag == DT_NULL)
			return 0;
		if (entry.d_tag == DT_DEBUG)
			return entry.d_un.d_ptr;
	}
	return 0;
}

/* What the breakpoint's notice points to. */
static const char watch_notice;

bool uprobe_loader_is_notice(const void *notice)
{
	return notice == &watch_notice;
}

int space_insert_notice(struct uprobe_space *space, uint64_t address, const void *notice,
	struct error *err)
{
	uint8_t bytes[INSN_MAX];
	struct arch_plan plan;
	struct uprobe_request request = {.plan = &plan, .notice = notice};
	int r = read_process(space, address, bytes, sizeof(bytes));
	if (r == 0)
		r = arch_plan_breakpoint(bytes, sizeof(bytes), address, &plan, err);
	if (r == 0)
		r = uprobe_insert(space, &request, 1, err);
	if (r == 0 && request.status < 0)
		r = error_set(err, request.status, "%s", request.refused.message);
	return r;
}

int uprobe_loader_watch(struct uprobe_space *space, uint64_t debug, struct error *err)
{
	struct r_debug list = {0};
	if (debug && read_process(space, debug, &list, sizeof(list)) < 0)
		return 0;
	/* Before the dynamic linker has run; where we have not run the program to its entry point. */
	if (!list.r_brk && !space->inject)
		(void)!proc_read_auxv(space->pid, AT_ENTRY, &list.r_brk);
	if (!list.r_brk)
		return 0;
	int r = space_insert_notice(space, list.r_brk, &watch_notice, err);
	return r < 0 ? r : 1;
}

bool uprobe_loader_is_consistent(const struct uprobe_space *space, uint64_t debug)
{
	struct r_debug list = {.r_state = RT_CONSISTENT};
	(void)!read_process(space, debug, &list, sizeof(list));
	return list.r_state == RT_CONSISTENT;
}
