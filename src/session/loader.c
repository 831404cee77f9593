/* SPDX-License-Identifier: MIT */
/*
 * Following dlopen() and dlclose().
 *
 * The dynamic linker calls an empty function before and after each change of its list of modules, for
 * debuggers to put a breakpoint on (glibc's and musl's <link.h>).  The thread that stops there waits
 * until what it has mapped is patched, before any code of it has run; and before anything is unmapped
 * it has to pass by here as well, so that no patch is written to what goes away.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "session/process.h"

enum {
	INSN_MAX = 16,
	MAX_HEADERS = 64,
	MAX_DYNAMIC = 512
};

static int read_process(
	const struct session_process *p, uint64_t address, void *bytes, size_t size)
{
	return remote_memory_read(uprobe_space_memory_fd(p->space), address, bytes, size);
}

/* DT_DEBUG of the program leads to struct r_debug, once the dynamic linker has run. */
static uint64_t find_debug(const struct session_process *p)
{
	Elf64_Phdr headers[MAX_HEADERS];
	uint64_t at = 0, count = 0, bias = 0, dynamic = 0;
	if (proc_read_auxv(p->pid, AT_PHDR, &at) < 0 ||
		proc_read_auxv(p->pid, AT_PHNUM, &count) < 0 || !at ||
		count > MAX_HEADERS ||
		read_process(p, at, headers, count * sizeof(*headers)) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (headers[i].p_type == PT_PHDR)
			bias = at - headers[i].p_vaddr;
		else if (headers[i].p_type == PT_DYNAMIC)
			dynamic = headers[i].p_vaddr;
	}
	for (size_t i = 0; dynamic && i < MAX_DYNAMIC; i++) {
		Elf64_Dyn entry;
		if (read_process(p, dynamic + bias + i * sizeof(entry), &entry,
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

bool loader_is_notice(const void *notice)
{
	return notice == &watch_notice;
}

static int insert_watch(struct session_process *p, uint64_t address, struct error *err)
{
	uint8_t bytes[INSN_MAX];
	struct arch_plan plan;
	struct uprobe_request request = {.plan = &plan, .notice = &watch_notice};
	int r = read_process(p, address, bytes, sizeof(bytes));
	if (r == 0)
		r = arch_plan_breakpoint(bytes, sizeof(bytes), address, &plan, err);
	if (r == 0)
		r = uprobe_insert(p->space, &request, 1, err);
	if (r == 0 && request.status < 0)
		r = request.status;
	return r;
}

int loader_watch(struct session *s, struct session_process *p, struct error *err)
{
	struct r_debug debug = {0};
	uint64_t at;
	if (p->loader || !p->space || !process_may_load_libraries(s))
		return 0;
	at = find_debug(p);
	if (at && read_process(p, at, &debug, sizeof(debug)) < 0)
		return 0;
	/* Before the dynamic linker has run; where we have not run the program to its entry point. */
	if (!debug.r_brk && !uprobe_space_inject(p->space))
		(void)!proc_read_auxv(p->pid, AT_ENTRY, &debug.r_brk);
	if (!debug.r_brk)
		return 0;
	int r = insert_watch(p, debug.r_brk, err);
	if (r == 0)
		p->loader = at;
	/* without it libraries are found by looking now and then */
	return r == -ESRCH ? r : 0;
}

bool loader_is_consistent(const struct session_process *p)
{
	struct r_debug debug = {.r_state = RT_CONSISTENT};
	(void)!read_process(p, p->loader, &debug, sizeof(debug));
	return debug.r_state == RT_CONSISTENT;
}

int loader_follow(struct session *s, struct session_process *p, struct utrace_task *task,
	struct error *err)
{
	int r = uprobe_space_forget_unmapped(p->space, err);
	if (r == 0)
		r = process_forget_unmapped(s, p, err);
	return r < 0 ? r : process_arm(s, p, task, err);
}
