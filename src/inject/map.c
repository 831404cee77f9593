/* SPDX-License-Identifier: MIT */
/* Memory in the target: the session's memfd, arenas for code, the null page. */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "inject/internal.h"

enum {
	PAGE = 4096
};

#define LOWEST_ADDRESS 0x10000ull
#define HEAP_MARGIN \
	(16ull << 20) /* kept clear above the heap, so that brk() can grow \
		       */
#define STACK_MARGIN \
	(16ull << 20) /* kept clear below [stack]: it grows, with a guard gap */
#define NULL_PAGE_HIGH 0x7fff0000ull /* below 2 GiB: reachable by mov %gs:disp32 */
#define NULL_PAGE_LOW  0x1000000ull

int inject_unmap(
	struct inject *inject, uint64_t address, uint64_t size, struct error *err)
{
	const uint64_t args[6] = {address, size};
	return inject_call(inject, "munmap", SYS_munmap, args, NULL, err);
}

/* ---- a file of ours
 * --------------------------------------------------------------------------------- */

/* What recvmsg() needs, as it lies in the scratch page. */
struct receive_block {
	struct msghdr header;
	struct iovec vector;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char byte;
	int pair[2];
};

static int close_in_target(struct inject *inject, int fd)
{
	const uint64_t args[6] = {(uint64_t)fd};
	return inject_call(inject, "close", SYS_close, args, NULL, NULL);
}

/* A thread may have its own file table (unshare(CLONE_FILES)): ask for the victim's where
 * the kernel can (6.9), else for the process's. */
static int fetch_fd(struct inject *inject, int fd, struct error *err)
{
	const unsigned thread_flag = O_EXCL; /* PIDFD_THREAD */
	pid_t tid = utrace_task_tid(inject->task);
	CLEANUP(cleanup_fd) int pidfd = (int)syscall(SYS_pidfd_open, tid, thread_flag);
	if (pidfd < 0)
		pidfd = (int)syscall(SYS_pidfd_open, inject->pid, 0);
	int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0)
		return error_set(err, -errno, "cannot take a socket from process %d: %s",
			inject->pid, strerror(errno));
	return copy;
}

static int send_fd(struct inject *inject, int socket, int fd, struct error *err)
{
	char byte = 0;
	struct iovec vector = {&byte, 1};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		return error_set(err, -errno,
			"cannot send session memory to process %d: %s", inject->pid,
			strerror(errno));
	return 0;
}

static int receive_fd(struct inject *inject, int socket, int *ret, struct error *err)
{
	struct receive_block block = {0};
	uint64_t at = inject->scratch;
	/* These pointers are the target's. */
	uint64_t vector = at + offsetof(struct receive_block, vector);
	uint64_t byte = at + offsetof(struct receive_block, byte);
	uint64_t control = at + offsetof(struct receive_block, control);
	memcpy(&block.header.msg_iov, &vector, sizeof(vector));
	memcpy(&block.header.msg_control, &control, sizeof(control));
	memcpy(&block.vector.iov_base, &byte, sizeof(byte));
	block.vector.iov_len = 1;
	block.header.msg_iovlen = 1;
	block.header.msg_controllen = sizeof(block.control);
	int r = remote_memory_write(inject->memory_fd, at, &block, sizeof(block));
	if (r < 0)
		return error_set(err, r, "cannot write to process %d: %s", inject->pid,
			strerror(-r));
	const uint64_t args[6] = {(uint64_t)socket, at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT};
	r = inject_call(inject, "recvmsg", SYS_recvmsg, args, NULL, err);
	if (r == 0)
		r = remote_memory_read(inject->memory_fd, at, &block, sizeof(block));
	if (r < 0)
		return r;
	struct cmsghdr header;
	memcpy(&header, block.control, sizeof(header));
	if (block.header.msg_flags & MSG_CTRUNC || header.cmsg_type != SCM_RIGHTS ||
		header.cmsg_len < CMSG_LEN(sizeof(int))) {
		error_set(err, -EMFILE, "process %d cannot receive session memory",
			inject->pid);
		error_hint(err, "it has used up its file descriptors (RLIMIT_NOFILE)");
		return -EMFILE;
	}
	memcpy(ret, block.control + CMSG_LEN(0), sizeof(*ret));
	return 0;
}

static int open_pair(struct inject *inject, int pair[2], struct error *err)
{
	uint64_t at = inject->scratch + offsetof(struct receive_block, pair);
	const uint64_t args[6] = {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, at};
	int r = inject_call(inject, "socketpair", SYS_socketpair, args, NULL, err);
	if (r == -EMFILE || r == -ENFILE)
		error_hint(err, "it has used up its file descriptors (RLIMIT_NOFILE)");
	if (r < 0)
		return r;
	return remote_memory_read(inject->memory_fd, at, pair, 2 * sizeof(int));
}

/* The one reason that can be told and helped. */
static int explain_no_room(struct inject *inject, uint64_t size, struct error *err)
{
	struct proc_address_space space = proc_read_address_space(inject->pid);
	if (space.left == UINT64_MAX)
		return -ENOMEM;
	return error_set(err, -ENOMEM,
		"process %d has no room for session memory: it takes %llu KiB of addresses, and "
		"%llu KiB are left under its limit (RLIMIT_AS, ulimit -v)",
		inject->pid, (unsigned long long)size >> 10,
		(unsigned long long)space.left >> 10);
}

int inject_map_fd(struct inject *inject, int fd, uint64_t size, uint64_t hint,
	uint64_t *ret_address, struct error *err)
{
	int pair[2], theirs = -1;
	int r = inject_scratch(inject, err);
	if (r == 0)
		r = open_pair(inject, pair, err);
	if (r < 0)
		return r;
	CLEANUP(cleanup_fd) int socket = fetch_fd(inject, pair[0], err);
	r = socket < 0 ? socket : send_fd(inject, socket, fd, err);
	if (r == 0)
		r = receive_fd(inject, pair[1], &theirs, err);
	if (r == 0) {
		const uint64_t args[6] = {hint, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			(uint64_t)theirs, 0};
		r = inject_call(inject, "mmap", SYS_mmap, args, ret_address, err);
		r = r == -ENOMEM ? explain_no_room(inject, size, err) : r;
	}
	/* The program's file table is as before, whatever happened. */
	int closed = theirs < 0 ? 0 : close_in_target(inject, theirs);
	for (int i = 0; i < 2; i++) {
		int one = close_in_target(inject, pair[i]);
		closed = closed < 0 ? closed : one;
	}
	if (r == 0 && closed < 0)
		r = error_set(err, closed,
			"process %d: cannot close our descriptors in it: %s", inject->pid,
			strerror(-closed));
	return r;
}

/* ---- gaps
 * --------------------------------------------------------------------------------------------
 */

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* [start, end) is free: where in it? */
static void consider_gap(struct gap_search *search, uint64_t start, uint64_t end)
{
	uint64_t low = start > search->low ? start : search->low;
	uint64_t high = end < search->high ? end : search->high;
	low = (low + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	high &= ~(uint64_t)(PAGE - 1);
	if (low >= high || high - low < search->size)
		return;
	uint64_t at = search->middle & ~(uint64_t)(PAGE - 1);
	if (at < low)
		at = low;
	if (at > high - search->size)
		at = high - search->size;
	if (!search->best ||
		distance(at, search->middle) < distance(search->best, search->middle))
		search->best = at;
}

uint64_t inject_find_gap(
	const struct proc_maps *maps, uint64_t start_brk, struct gap_search *search)
{
	uint64_t end = LOWEST_ADDRESS;
	search->best = 0;
	for (size_t i = 0; i < maps->maps.count; i++) {
		const struct proc_map *map = &maps->maps.items[i];
		uint64_t limit = map->start - PAGE;
		if (!strcmp(map->path, "[stack]"))
			limit = map->start - STACK_MARGIN;
		if (map->start <= start_brk || start_brk < end) {
			consider_gap(search, end, limit);
		} else { /* the heap begins (or will begin) in this gap */
			consider_gap(search, end, start_brk);
			consider_gap(search, start_brk + HEAP_MARGIN, limit);
		}
		end = map->end + PAGE;
		if (!strcmp(map->path, "[heap]") || map->end == start_brk)
			end = map->end + HEAP_MARGIN;
	}
	return search->best;
}

static int map_at(struct inject *inject, uint64_t address, uint64_t size, int protection,
	struct error *err)
{
	const uint64_t args[6] = {address, size, (uint64_t)protection,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0};
	uint64_t got;
	int r = inject_call(inject, "mmap", SYS_mmap, args, &got, err);
	if (r < 0 || got == address)
		return r;
	/* Before Linux 4.17 the flag is unknown and the address a mere hint. */
	r = inject_unmap(inject, got, size, err);
	return r < 0 ? r
		     : error_set(err, -EEXIST, "process %d: 0x%llx is taken", inject->pid,
			       (unsigned long long)address);
}

/* For readers of /proc/PID/maps; kernels without CONFIG_ANON_VMA_NAME refuse, which is
 * fine. */
static void name_map(struct inject *inject, uint64_t address, uint64_t size)
{
	static const char name[] = "utrace";
	const uint64_t set_vma = 0x53564d41,
		       anon_name = 0; /* PR_SET_VMA, PR_SET_VMA_ANON_NAME */
	if (inject_scratch(inject, NULL) < 0 ||
		remote_memory_write(
			inject->memory_fd, inject->scratch, name, sizeof(name)) < 0)
		return;
	const uint64_t args[6] = {set_vma, anon_name, address, size, inject->scratch};
	int64_t result;
	(void)!inject_syscall(inject, SYS_prctl, args, &result, NULL);
}

static int find_gap_now(struct inject *inject, struct gap_search *search,
	uint64_t *ret_address, struct error *err)
{
	struct proc_maps maps;
	struct proc_stat stat = {0};
	int r = inject_check_victim(inject, err);
	if (r == 0)
		r = proc_read_maps(utrace_task_tid(inject->task), &maps, err);
	if (r < 0)
		return r;
	(void)!proc_read_stat(utrace_task_tid(inject->task), &stat);
	*ret_address = inject_find_gap(&maps, stat.start_brk, search);
	proc_maps_free(&maps);
	return *ret_address
		       ? 0
		       : error_set(err, -ENOMEM,
				 "process %d has no free %llu bytes between 0x%llx and 0x%llx",
				 inject->pid, (unsigned long long)search->size,
				 (unsigned long long)search->low,
				 (unsigned long long)search->high);
}

static int map_in_gap(struct inject *inject, struct gap_search *search, int protection,
	uint64_t *ret_address, struct error *err)
{
	/* Other threads map memory too: look again when the gap has gone. */
	for (int attempt = 0; attempt < 16; attempt++) {
		int r = find_gap_now(inject, search, ret_address, err);
		if (r == 0)
			r = map_at(inject, *ret_address, search->size, protection, err);
		if (r != -EEXIST)
			return r;
	}
	return error_set(
		err, -EEXIST, "process %d changes its memory map too fast", inject->pid);
}

int inject_map_arena(struct inject *inject, uint64_t low, uint64_t high, uint64_t size,
	uint64_t *ret_address, struct error *err)
{
	struct gap_search search = {.low = low,
		.high = high,
		.size = (size + PAGE - 1) & -PAGE,
		.middle = low + (high - low) / 2};
	uint64_t at;
	int r = map_in_gap(inject, &search, PROT_READ | PROT_EXEC, &at, err);
	if (r < 0)
		return r;
	name_map(inject, at, search.size);
	*ret_address = at;
	return 0;
}

int inject_map_null_context(struct inject *inject, uint64_t *address, struct error *err)
{
	struct gap_search search = {.low = NULL_PAGE_LOW,
		.high = NULL_PAGE_HIGH + PAGE,
		.size = PAGE,
		.middle = NULL_PAGE_HIGH};
	uint64_t at;
	if (*address)
		return map_at(inject, *address, PAGE, PROT_READ, err);
	int r = map_in_gap(inject, &search, PROT_READ, &at, err);
	if (r == 0)
		*address = at;
	return r;
}

/* ---- serialising
 * ----------------------------------------------------------------------------------------
 */

int inject_enrol_sync(struct inject *inject, struct error *err)
{
	const uint64_t args[6] = {MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE};
	int r = 0;
	if (!inject->sync_enrolled)
		r = inject_call(inject, "membarrier", SYS_membarrier, args, NULL, err);
	inject->sync_enrolled |= r == 0;
	return r;
}

int inject_sync_cores(struct inject *inject, struct error *err)
{
	const uint64_t args[6] = {MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE};
	int r = inject_enrol_sync(inject, err);
	return r < 0 ? r
		     : inject_call(inject, "membarrier", SYS_membarrier, args, NULL, err);
}
