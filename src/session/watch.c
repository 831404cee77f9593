/* SPDX-License-Identifier: MIT */
#include "session/watch.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/watch.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "session/events.h"
#include "session/perf_events.h"
#include "session/stap_target.h"
#include "uprobes/mapped.h"

/* One place in one thread. */
struct watch {
	pid_t pid, tid;
	uint32_t site;
	uint64_t address;
	int fd;        /* counts the accesses */
	uint64_t seen; /* of them */
};

/* Where the data of a site is in a process. */
struct watch_place {
	pid_t pid;
	uint32_t site;
	uint64_t address;
};

struct session_watch {
	VEC(struct watch) watches;
	VEC(struct watch_place) places;
	uint64_t missed;
};

/* ---- opening -------------------------------------------------------------------------------------- */

static bool is_data(const struct session_site *site)
{
	return site->location && site->location->event == STAP_EVENT_DATA;
}

static int open_watch(const struct session *s, uint32_t site, uint64_t address, pid_t tid)
{
	const struct stap_location *location = s->sites.items[site].location;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.bp_type = location->data_is_read ? HW_BREAKPOINT_RW : HW_BREAKPOINT_W,
		.bp_addr = address,
		.bp_len = location->data_size,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.sigtrap = 1,
		.remove_on_exec = 1,
		.sig_data = abi_watch_data(site),
	};
	int fd = (int)syscall(
		SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int explain(int code, struct error *err)
{
	switch (code) {
	case -ENOSPC:
		return error_set(
			err, code, "the debug registers of the processor are all in use");
	case -E2BIG:
	case -EINVAL:
		return error_set(err, code,
			"this kernel cannot watch the data of a program for its tracer (that takes "
			"Linux 5.13)");
	default:
		return session_perf_explain(-code, err);
	}
}

/* What would be refused for any thread is told before the program runs. */
static int try_watch(const struct session *s, uint32_t site, struct error *err)
{
	static uint64_t nobody_writes;
	struct error why = {0};
	CLEANUP(cleanup_fd)
	int fd = open_watch(s, site, (uint64_t)(uintptr_t)&nobody_writes, 0);
	if (fd >= 0)
		return 0;
	explain(fd, &why);
	error_hint(err, "%s", why.hint);
	return error_set(
		err, fd, "probe %s: %s", s->sites.items[site].location->pp, why.message);
}

int session_watch_create(struct session *s, struct error *err)
{
	int r = 0;
	for (size_t i = 0; i < s->sites.count && r == 0; i++) {
		if (!is_data(&s->sites.items[i]))
			continue;
		if (!s->watch)
			s->watch = calloc(1, sizeof(*s->watch));
		if (!s->watch)
			abort();
		r = try_watch(s, (uint32_t)i, err);
	}
	return r;
}

/* ---- processes and threads -------------------------------------------------------------------------- */

bool session_watch_is_any_wanted(const struct session *s)
{
	for (size_t i = 0; i < s->event_sites.count; i++)
		if (is_data(&s->sites.items[s->event_sites.items[i]]))
			return true;
	return false;
}

bool session_watch_is_wanted(const struct session *s, const struct session_process *p)
{
	for (size_t i = 0; s->watch && i < s->event_sites.count; i++) {
		const struct session_site *site =
			&s->sites.items[s->event_sites.items[i]];
		if (is_data(site) && process_is_meant(p, site->location, p->pid))
			return true;
	}
	return false;
}

bool session_watch_may_come(const struct session *s, const struct session_process *p)
{
	for (size_t i = 0; s->watch && i < s->event_sites.count; i++) {
		const struct session_site *site =
			&s->sites.items[s->event_sites.items[i]];
		if (is_data(site) && !site->location->data_is_absolute &&
			stap_target_is_library(site->location->module_path) &&
			(!p || process_is_meant(p, site->location, p->pid)))
			return true;
	}
	return false;
}

static void close_watch(struct session_watch *watch, size_t index)
{
	close(watch->watches.items[index].fd);
	watch->watches.items[index] = watch->watches.items[--watch->watches.count];
}

/* Of a file that is mapped more than once (dlmopen) each. */
static void add_places(
	struct session *s, pid_t pid, uint32_t site, const struct proc_maps *maps)
{
	const struct stap_location *location = s->sites.items[site].location;
	struct uprobe_file file = {
		.elf = stap_target_module(location), .path = location->module_path};
	struct watch_place place = {pid, site, location->link_address};
	struct uprobe_mapped mapped = {0};
	dev_t device;
	ino_t inode;
	if (location->data_is_absolute) {
		vec_append(&s->watch->places, place);
		return;
	}
	elf_module_file(file.elf, &device, &inode);
	file.device_inode = proc_fold_inode(device, inode);
	uprobe_mapped_find(&file, maps, &mapped);
	for (size_t i = 0; i < mapped.biases.count; i++) {
		uint64_t bias = mapped.biases.items[i];
		place.address = location->link_address + bias;
		if (!uprobe_mapped_is_elsewhere(&mapped, bias, location->link_address))
			vec_append(&s->watch->places, place);
	}
	uprobe_mapped_free(&mapped);
}

static bool is_place(const struct session_watch *all, const struct watch *watch)
{
	for (size_t i = 0; i < all->places.count; i++) {
		const struct watch_place *place = &all->places.items[i];
		if (place->pid == watch->pid && place->site == watch->site &&
			place->address == watch->address)
			return true;
	}
	return false;
}

static void forget_places(struct session_watch *all, pid_t pid)
{
	for (size_t i = all->places.count; i-- > 0;)
		if (all->places.items[i].pid == pid)
			all->places.items[i] = all->places.items[--all->places.count];
}

static void find_places(struct session *s, const struct session_process *p)
{
	struct session_watch *all = s->watch;
	struct proc_maps maps = {0};
	if (proc_read_maps(p->pid, &maps, NULL) < 0)
		return;
	forget_places(all, p->pid);
	for (size_t i = 0; i < s->event_sites.count; i++) {
		uint32_t site = s->event_sites.items[i];
		if (is_data(&s->sites.items[site]) &&
			process_is_meant(p, s->sites.items[site].location, p->pid))
			add_places(s, p->pid, site, &maps);
	}
	proc_maps_free(&maps);
	for (size_t i = all->watches.count; i-- > 0;)
		if (all->watches.items[i].pid == p->pid &&
			!is_place(all, &all->watches.items[i]))
			close_watch(all, i);
}

static bool is_watched(const struct session_watch *all, const struct watch *watch)
{
	for (size_t i = 0; i < all->watches.count; i++)
		if (all->watches.items[i].tid == watch->tid &&
			all->watches.items[i].site == watch->site &&
			all->watches.items[i].address == watch->address)
			return true;
	return false;
}

static void watch_place(struct session *s, pid_t tid, const struct watch_place *place)
{
	struct watch watch = {.pid = place->pid,
		.tid = tid,
		.site = place->site,
		.address = place->address};
	struct error err = {0};
	if (is_watched(s->watch, &watch))
		return;
	watch.fd = open_watch(s, place->site, place->address, tid);
	if (watch.fd >= 0) {
		vec_append(&s->watch->watches, watch);
	} else if (watch.fd != -ESRCH) {
		explain(watch.fd, &err);
		session_warn(s, "thread %d is left out by %s: %s", tid,
			s->sites.items[place->site].location->pp, err.message);
	}
}

void session_watch_thread(struct session *s, const struct session_process *p, pid_t tid)
{
	if (!p->is_watched || s->stopping)
		return;
	for (size_t i = 0; i < s->watch->places.count; i++)
		if (s->watch->places.items[i].pid == p->pid)
			watch_place(s, tid, &s->watch->places.items[i]);
}

/* Without the front the last signal would outlive a tracer that is killed.  A vfork child has its parent's. */
void session_watch_process(struct session *s, struct session_process *p)
{
	struct error err = {0};
	if (!session_watch_is_wanted(s, p) || (!p->space && !p->shares_parent))
		return;
	int r = p->space ? uprobe_keep_front(p->space, &err) : 0;
	if (r < 0 && r != -ESRCH)
		session_warn(
			s, "data of process %d is not watched: %s", p->pid, err.message);
	if (r < 0)
		return;
	p->is_watched = true;
	find_places(s, p);
	struct utrace_task *task = utrace_first_task(s->utrace, p->pid);
	for (; task; task = utrace_next_task(task, p->pid))
		session_watch_thread(s, p, utrace_task_tid(task));
}

/* What the thread did not stop at, and will not. */
static void count_missed(struct session_watch *all, const struct watch *watch)
{
	uint64_t count;
	if (read(watch->fd, &count, sizeof(count)) == sizeof(count) &&
		count > watch->seen)
		all->missed += count - watch->seen;
}

void session_watch_forget(struct session *s, pid_t pid, pid_t tid)
{
	struct session_watch *watch = s->watch;
	for (size_t i = watch ? watch->watches.count : 0; i-- > 0;)
		if (watch->watches.items[i].pid == pid &&
			(!tid || watch->watches.items[i].tid == tid)) {
			count_missed(watch, &watch->watches.items[i]);
			close_watch(watch, i);
		}
	if (watch && !tid)
		forget_places(watch, pid);
}

/* ---- hits -------------------------------------------------------------------------------------------- */

/*
 * Of the signals of one instruction that several probes wait for the thread gets the first: SIGTRAP does not queue.
 * The others have counted.
 */
static bool has_hit(struct session_watch *all, struct watch *watch,
	const struct uprobe_watch_hit *told)
{
	bool is_told = watch->site == told->site && watch->address == told->address;
	uint64_t count;
	if (is_told && !told->is_late) {
		watch->seen++;
		return true;
	}
	if (read(watch->fd, &count, sizeof(count)) != sizeof(count) ||
		count <= watch->seen)
		return is_told;
	all->missed += count - watch->seen - 1;
	watch->seen = count;
	return true;
}

static void run_handlers(struct session *s, struct utrace_task *task,
	const struct uprobe_watch_hit *told, bool is_own,
	const struct user_regs_struct *regs)
{
	pid_t tid = utrace_task_tid(task);
	for (size_t i = 0; i < s->watch->watches.count; i++) {
		struct watch *watch = &s->watch->watches.items[i];
		struct event_sample sample = {
			.site = watch->site, .pid = watch->pid, .tid = tid, .regs = regs};
		if (watch->tid == tid && has_hit(s->watch, watch, told) && !is_own)
			session_event_sample(s, &sample);
	}
}

bool session_watch_report(struct session *s, struct utrace_task *task,
	struct uprobe_space *space, const struct user_regs_struct *regs, siginfo_t *info)
{
	struct user_regs_struct shown = *regs;
	struct uprobe_watch_hit hit;
	enum uprobe_watch what = uprobe_report_watch(space, regs, info, &hit);
	if (what == UPROBE_WATCH_NONE)
		return false;
	if (space)
		shown.rip = uprobe_home_after(space, regs->rip);
	if (s->watch)
		run_handlers(s, task, &hit, what == UPROBE_WATCH_OWN, &shown);
	return what != UPROBE_WATCH_WITH_BREAKPOINT;
}

/* ---- the end ------------------------------------------------------------------------------------------ */

static bool has_trap_blocked(pid_t tid)
{
	struct proc_status status;
	return proc_read_status(tid, &status, NULL) == 0 &&
	       status.sig_blocked & 1ull << (SIGTRAP - 1);
}

void session_watch_stop(struct session *s)
{
	if (!s->watch)
		return;
	while (s->watch->watches.count) {
		size_t last = s->watch->watches.count - 1;
		/* the others were about to be told of when the run ended */
		if (has_trap_blocked(s->watch->watches.items[last].tid))
			count_missed(s->watch, &s->watch->watches.items[last]);
		close_watch(s->watch, last);
	}
	if (s->watch->missed)
		session_warn(s,
			"%llu accesses to watched data were not seen: SIGTRAP was blocked",
			(unsigned long long)s->watch->missed);
}

void session_watch_destroy(struct session *s)
{
	if (!s->watch)
		return;
	while (s->watch->watches.count)
		close_watch(s->watch, s->watch->watches.count - 1);
	vec_free(&s->watch->watches);
	vec_free(&s->watch->places);
	free(s->watch);
	s->watch = NULL;
}
