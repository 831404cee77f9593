/* SPDX-License-Identifier: MIT */
#include "session/perf_events.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "session/ask.h"
#include "session/events.h"
#include "session/remote.h"

enum {
	STACK_SIZE = 4096,  /* noted of it, a multiple of 8 */
	RING_PAGES = 64,    /* of a thread; a power of two */
	RECORD_MAX = 65536, /* the size of a record is a 16-bit number */
	MAX_EVENTS = 32,
	/* AX..FLAGS and R8..R15; the segment registers between cannot be had on x86-64 */
	LOW_REGISTERS = PERF_REG_X86_FLAGS + 1,
	HIGH_REGISTERS = PERF_REG_X86_R15 - PERF_REG_X86_R8 + 1,
	REGISTERS = LOW_REGISTERS + HIGH_REGISTERS,
};

/* One event of one thread. */
struct perf_source {
	pid_t pid, tid, seen_tid;
	uint32_t site;
	int fd;
	struct perf_event_mmap_page *ring; /* NULL: only counted */
	size_t data_size;
	bool tells_lost; /* read(2) says how many samples found no room; else records do */
};

struct session_perf {
	int epoll;
	uint64_t lost, held_back;
	pthread_mutex_t
		lock; /* of `sources`: counters are read in the thread that answers questions */
	VEC(struct perf_source) sources;
	unsigned char record[RECORD_MAX];
};

/* ---- opening ------------------------------------------------------------------------------ */

static int open_event(struct perf_event_attr *attr, pid_t tid)
{
	return (int)syscall(SYS_perf_event_open, attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Users may be allowed to look at their own programs, but not at what the kernel does for them. */
static int open_allowed(struct perf_event_attr *attr, pid_t tid)
{
	attr->exclude_kernel = 0;
	int fd = open_event(attr, tid);
	if (fd >= 0 || (errno != EACCES && errno != EPERM))
		return fd;
	attr->exclude_kernel = attr->exclude_hv = 1;
	return open_event(attr, tid);
}

/* Linux 6.1 counts losses by itself. */
static int open_for_thread(struct perf_event_attr *attr, pid_t tid, bool *ret_tells_lost)
{
	*ret_tells_lost = attr->sample_period != 0;
	attr->read_format = *ret_tells_lost ? PERF_FORMAT_LOST : 0;
	int fd = open_allowed(attr, tid);
	if (fd >= 0 || errno != EINVAL || !*ret_tells_lost)
		return fd;
	*ret_tells_lost = false;
	attr->read_format = 0;
	return open_allowed(attr, tid);
}

static bool is_kernels(const struct perf_event_attr *attr)
{
	return attr->type == PERF_TYPE_SOFTWARE &&
	       (attr->config == PERF_COUNT_SW_CONTEXT_SWITCHES ||
		       attr->config == PERF_COUNT_SW_CPU_MIGRATIONS);
}

int session_perf_explain(int code, struct error *err)
{
	switch (code) {
	case ENOENT:
	case EOPNOTSUPP:
	case ENODEV:
		return error_set(err, -code, "this machine has no such perf event");
	case EACCES:
	case EPERM:
		error_hint(err,
			"kernel.perf_event_paranoid above 2, or a filter of system calls, "
			"forbids it");
		return error_set(err, -code,
			"this user may not open perf events (kernel.perf_event_paranoid)");
	default:
		return error_set(
			err, -code, "cannot open the perf event: %s", strerror(code));
	}
}

int session_perf_can_count(uint32_t type, uint64_t config, struct error *err)
{
	struct perf_event_attr attr = {
		.type = type, .size = sizeof(attr), .config = config, .disabled = 1};
	CLEANUP(cleanup_fd) int fd = open_allowed(&attr, 0);
	if (fd < 0)
		return session_perf_explain(errno, err);
	if (attr.exclude_kernel && is_kernels(&attr))
		return error_set(err, -EACCES,
			"the kernel switches threads, and this user may not look at the kernel "
			"(kernel.perf_event_paranoid)");
	return 0;
}

static void fill_attr(const struct session *s, const struct stap_perf *perf,
	struct perf_event_attr *ret)
{
	*ret = (struct perf_event_attr){
		.type = perf->type, .size = sizeof(*ret), .config = perf->config};
	if (perf->counter)
		return;
	ret->freq = perf->is_frequency;
	ret->sample_period = perf->interval;
	ret->wakeup_events = 1;
	ret->sample_type = PERF_SAMPLE_REGS_USER;
	ret->sample_regs_user = ((1ull << LOW_REGISTERS) - 1) |
				((1ull << HIGH_REGISTERS) - 1) << PERF_REG_X86_R8;
	if (s->code.walks_stacks) {
		ret->sample_type |= PERF_SAMPLE_STACK_USER;
		ret->sample_stack_user = STACK_SIZE;
	}
}

/* Locked memory is rationed: with less room there are more losses, and those are told. */
static int map_ring(const struct session *s, struct perf_source *source)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t least = s->code.walks_stacks ? RING_PAGES / 4 : 1;
	void *ring = MAP_FAILED;
	for (size_t pages = RING_PAGES; pages >= least && ring == MAP_FAILED;
		pages /= 2) {
		source->data_size = pages * page;
		ring = mmap(NULL, source->data_size + page, PROT_READ | PROT_WRITE,
			MAP_SHARED, source->fd, 0);
	}
	if (ring == MAP_FAILED)
		return -errno;
	source->ring = ring;
	return 0;
}

static void close_source(struct session_perf *perf, struct perf_source *source)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct {
		uint64_t value, lost;
	} counted;
	if (source->tells_lost &&
		read(source->fd, &counted, sizeof(counted)) == sizeof(counted))
		perf->lost += counted.lost;
	if (source->ring)
		munmap(source->ring, source->data_size + page);
	close(source->fd);
}

static int open_source(struct session *s, struct perf_source *source, struct error *err)
{
	const struct stap_perf *perf = s->sites.items[source->site].probe->perf;
	struct perf_event_attr attr;
	fill_attr(s, perf, &attr);
	source->fd = open_for_thread(&attr, source->tid, &source->tells_lost);
	if (source->fd < 0)
		return errno == ESRCH ? -ESRCH : session_perf_explain(errno, err);
	int r = perf->counter ? 0 : map_ring(s, source);
	if (r < 0)
		error_set(err, r, "cannot map a buffer for samples: %s", strerror(-r));
	struct epoll_event event = {.events = EPOLLIN, .data.fd = source->fd};
	if (r == 0 && source->ring && source->tid &&
		epoll_ctl(s->perf->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0)
		r = error_set(
			err, -errno, "cannot wait for samples: %s", strerror(errno));
	if (r < 0)
		close_source(s->perf, source);
	return r;
}

/* ---- samples ------------------------------------------------------------------------------ */

/* What PERF_RECORD_SAMPLE is with the sample_type of fill_attr(). */
struct sample {
	uint64_t abi;
	uint64_t registers[REGISTERS];
	uint64_t stack_size;
	/* the stack itself, and how much of it is true */
};

static void fill_registers(const uint64_t *from, struct user_regs_struct *ret)
{
	const uint64_t *high = from + LOW_REGISTERS;
	*ret = (struct user_regs_struct){
		.rax = from[PERF_REG_X86_AX],
		.rbx = from[PERF_REG_X86_BX],
		.rcx = from[PERF_REG_X86_CX],
		.rdx = from[PERF_REG_X86_DX],
		.rsi = from[PERF_REG_X86_SI],
		.rdi = from[PERF_REG_X86_DI],
		.rbp = from[PERF_REG_X86_BP],
		.rsp = from[PERF_REG_X86_SP],
		.rip = from[PERF_REG_X86_IP],
		.eflags = from[PERF_REG_X86_FLAGS],
		.r8 = high[0],
		.r9 = high[1],
		.r10 = high[2],
		.r11 = high[3],
		.r12 = high[4],
		.r13 = high[5],
		.r14 = high[6],
		.r15 = high[7],
	};
}

static void take_sample(struct session *s, const struct perf_source *source,
	const unsigned char *data, size_t size)
{
	struct sample sample = {0};
	struct user_regs_struct regs;
	struct elf_unwind_stack stack = {0};
	size_t plain = offsetof(struct sample, stack_size);
	if (size < plain)
		return;
	memcpy(&sample, data, size < sizeof(sample) ? plain : sizeof(sample));
	if (sample.abi != PERF_SAMPLE_REGS_ABI_64)
		return;
	fill_registers(sample.registers, &regs);
	if (size >= sizeof(sample) && sample.stack_size <= size - sizeof(sample) &&
		size - sizeof(sample) - sample.stack_size >= sizeof(uint64_t)) {
		uint64_t true_size;
		memcpy(&true_size, data + sizeof(sample) + sample.stack_size,
			sizeof(true_size));
		stack = (struct elf_unwind_stack){.start = regs.rsp,
			.size = true_size < sample.stack_size ? true_size
							      : sample.stack_size,
			.data = data + sizeof(sample)};
	}
	session_event_sample(s, &(struct event_sample){.site = source->site,
					.pid = source->pid,
					.tid = source->tid,
					.regs = &regs,
					.stack = stack.size ? &stack : NULL});
}

static void copy_out(
	const struct perf_source *source, uint64_t at, void *ret, size_t size)
{
	const unsigned char *data =
		(const unsigned char *)source->ring + sysconf(_SC_PAGESIZE);
	size_t offset = at % source->data_size;
	size_t first =
		source->data_size - offset < size ? source->data_size - offset : size;
	memcpy(ret, data + offset, first);
	memcpy((unsigned char *)ret + first, data, size - first);
}

static void drain_source(struct session *s, const struct perf_source *source)
{
	struct session_perf *perf = s->perf;
	struct perf_event_mmap_page *ring = source->ring;
	if (!ring)
		return;
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->data_tail;
	while (tail < head) {
		struct perf_event_header header;
		copy_out(source, tail, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > head - tail)
			break;
		size_t size = header.size - sizeof(header);
		copy_out(source, tail + sizeof(header), perf->record, size);
		tail += header.size;
		__atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
		if (header.type == PERF_RECORD_SAMPLE)
			take_sample(s, source, perf->record, size);
		else if (header.type == PERF_RECORD_LOST &&
			 size >= 2 * sizeof(uint64_t)) {
			uint64_t lost;
			memcpy(&lost, perf->record + sizeof(uint64_t), sizeof(lost));
			perf->lost += lost;
		}
	}
}

/*
 * perf events are ready once: whoever polls them takes that away, and the outer epoll polls what is in
 * this one.  So all rings are looked at; only an event whose thread is gone stays ready, for ever.
 */
void session_perf_drain(struct session *s)
{
	struct epoll_event events[MAX_EVENTS];
	if (!s->perf)
		return;
	int count = epoll_wait(s->perf->epoll, events, MAX_EVENTS, 0);
	for (int i = 0; i < count; i++)
		if (events[i].events & EPOLLHUP)
			epoll_ctl(s->perf->epoll, EPOLL_CTL_DEL, events[i].data.fd, NULL);
	for (size_t i = 0; i < s->perf->sources.count; i++)
		drain_source(s, &s->perf->sources.items[i]);
}

/* ---- threads ------------------------------------------------------------------------------ */

static bool is_perf(const struct session_site *site)
{
	return site->location && site->location->event == STAP_EVENT_PERF;
}

void session_perf_add(struct session *s, const struct session_process *p, pid_t tid)
{
	struct proc_status status;
	pid_t seen_tid = tid;
	if (!s->perf)
		return;
	/* samples may be looked at when it has called exec already */
	session_ask_remember(s, p->pid);
	if (p->seen_pid != p->pid && proc_read_status(tid, &status, NULL) == 0)
		seen_tid = status.ns_pid;
	for (size_t i = 0; i < s->sites.count; i++) {
		struct perf_source source = {.pid = p->pid,
			.tid = tid,
			.seen_tid = seen_tid,
			.site = (uint32_t)i};
		struct error err = {0};
		if (!is_perf(&s->sites.items[i]) ||
			!process_is_meant(p, s->sites.items[i].location, p->pid))
			continue;
		int r = open_source(s, &source, &err);
		if (r < 0 && r != -ESRCH)
			session_warn(s, "thread %d is left out by %s: %s", tid,
				s->sites.items[i].location->pp, err.message);
		if (r < 0)
			continue;
		pthread_mutex_lock(&s->perf->lock);
		vec_append(&s->perf->sources, source);
		pthread_mutex_unlock(&s->perf->lock);
	}
}

void session_perf_drain_thread(struct session *s, pid_t tid)
{
	for (size_t i = 0; s->perf && i < s->perf->sources.count; i++)
		if (s->perf->sources.items[i].tid == tid)
			drain_source(s, &s->perf->sources.items[i]);
}

static void remove_source(struct session *s, size_t index)
{
	struct session_perf *perf = s->perf;
	struct perf_source source = perf->sources.items[index];
	drain_source(s, &source);
	pthread_mutex_lock(&perf->lock);
	perf->sources.items[index] = perf->sources.items[--perf->sources.count];
	pthread_mutex_unlock(&perf->lock);
	close_source(s->perf, &source);
}

void session_perf_remove(struct session *s, pid_t tid)
{
	for (size_t i = s->perf ? s->perf->sources.count : 0; i-- > 0;)
		if (s->perf->sources.items[i].tid == tid)
			remove_source(s, i);
}

void session_perf_exec(struct session *s, const struct session_process *p)
{
	if (!s->perf)
		return;
	session_ask_begin_past(s, p->pid);
	for (size_t i = s->perf->sources.count; i-- > 0;)
		if (s->perf->sources.items[i].pid == p->pid)
			remove_source(s, i);
	session_ask_end_past(s, p->pid);
	session_perf_add(s, p, p->pid);
}

/* Counters go, too: the processes are let go of next. */
void session_perf_stop(struct session *s)
{
	if (!s->perf)
		return;
	while (s->perf->sources.count)
		remove_source(s, s->perf->sources.count - 1);
	if (s->perf->lost)
		session_warn(s, "%llu samples of perf probes did not fit their buffers",
			(unsigned long long)s->perf->lost);
	if (s->perf->held_back)
		session_warn(s,
			"the kernel held back samples of perf probes %llu times "
			"(kernel.perf_event_max_sample_rate)",
			(unsigned long long)s->perf->held_back);
}

bool session_perf_read(
	struct session *s, pid_t pid, pid_t tid, const char *counter, int64_t *ret)
{
	bool is_read = false;
	if (!s->perf)
		return false;
	pthread_mutex_lock(&s->perf->lock);
	for (size_t i = 0; i < s->perf->sources.count && !is_read; i++) {
		const struct perf_source *source = &s->perf->sources.items[i];
		const char *name = s->sites.items[source->site].probe->perf->counter;
		is_read = source->pid == pid &&
			  (source->tid == tid || source->seen_tid == tid) && name &&
			  strcmp(name, counter) == 0 &&
			  read(source->fd, ret, sizeof(*ret)) == sizeof(*ret);
	}
	pthread_mutex_unlock(&s->perf->lock);
	return is_read;
}

/* ---- life --------------------------------------------------------------------------------- */

/* What would be refused for any thread is told before the program runs. */
static int try_site(struct session *s, uint32_t site, struct error *err)
{
	struct perf_source source = {.site = site};
	struct error why = {0};
	int r = open_source(s, &source, &why);
	if (r < 0)
		return error_set(err, r, "probe %s: %s",
			s->sites.items[site].location->pp, why.message);
	close_source(s->perf, &source);
	return 0;
}

int session_perf_create(struct session *s, struct error *err)
{
	int r = 0;
	for (size_t i = 0; i < s->sites.count && r == 0; i++) {
		if (!is_perf(&s->sites.items[i]))
			continue;
		if (!s->perf) {
			s->perf = calloc(1, sizeof(*s->perf));
			if (!s->perf)
				abort();
			pthread_mutex_init(&s->perf->lock, NULL);
			s->perf->epoll = epoll_create1(EPOLL_CLOEXEC);
			if (s->perf->epoll < 0)
				return error_set(
					err, -errno, "epoll_create: %s", strerror(errno));
		}
		r = try_site(s, (uint32_t)i, err);
	}
	return r;
}

int session_perf_fd(const struct session *s)
{
	return s->perf ? s->perf->epoll : -1;
}

void session_perf_destroy(struct session *s)
{
	if (!s->perf)
		return;
	for (size_t i = 0; i < s->perf->sources.count; i++)
		close_source(s->perf, &s->perf->sources.items[i]);
	vec_free(&s->perf->sources);
	pthread_mutex_destroy(&s->perf->lock);
	if (s->perf->epoll >= 0)
		close(s->perf->epoll);
	free(s->perf);
	s->perf = NULL;
}
