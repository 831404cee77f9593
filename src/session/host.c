/* SPDX-License-Identifier: MIT */
/*
 * begin, end, error and timer probes: the same compiled code as in the targets, run in
 * the tracer on context 0 of the same session memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/agent.h"
#include "session/ask.h"
#include "session/internal.h"

typedef void (*host_handler_fn)(struct abi_context *c, struct abi_regs *regs, uint64_t sp,
	uint64_t ip, uint32_t site);

/* The runtime calls back through context 0, which cannot carry a pointer of ours. */
static struct session *host_session;

static void host_drain(void)
{
	session_output_drain(host_session, true);
}

static bool host_answer(struct abi_context *c)
{
	return session_ask_answer(host_session, c);
}

static void host_fill_context(struct session *s)
{
	struct abi_context *c = session_context(s, 0);
	c->session = (uint64_t)(uintptr_t)s->memory.base;
	c->slot = 0;
	c->claimed = 1;
	c->pid = (uint32_t)getpid();
	c->tid = (uint32_t)gettid();
	c->ppid = (uint32_t)getppid();
	c->uid = getuid();
	c->euid = geteuid();
	c->gid = getgid();
	c->egid = getegid();
	snprintf(c->comm, sizeof(c->comm), "utrace");
	c->self = (uint64_t)(uintptr_t)c;
	s->host.context = c;
}

int session_host_create(struct session *s, struct error *err)
{
	struct session_host *host = &s->host;
	host->size = (AGENT_ARENA_IMAGE + s->code.image_size + 4095) & ~(size_t)4095;
	host->block = mmap(NULL, host->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (host->block == MAP_FAILED) {
		host->block = NULL;
		return error_set(
			err, -errno, "cannot map the script's code: %s", strerror(errno));
	}
	struct agent_arena *arena = (struct agent_arena *)(void *)host->block;
	arena->session = (uint64_t)(uintptr_t)s->memory.base;
	arena->image = (uint64_t)(uintptr_t)host->block + AGENT_ARENA_IMAGE;
	arena->image_size = s->code.image_size;
	arena->tracer_drain = (uint64_t)(uintptr_t)host_drain;
	session_remote_enable(arena);
	arena->tracer_answer = (uint64_t)(uintptr_t)host_answer;
	memcpy(host->block + AGENT_ARENA_IMAGE, s->code.image, s->code.image_size);
	if (mprotect(host->block, host->size, PROT_READ | PROT_EXEC) < 0)
		return error_set(err, -errno,
			"cannot make the script's code executable: %s", strerror(errno));
	host_session = s;
	host_fill_context(s);
	return 0;
}

void session_host_destroy(struct session *s)
{
	if (s->host.block)
		munmap(s->host.block, s->host.size);
	s->host = (struct session_host){0};
	host_session = NULL;
}

void session_host_run_handler(
	struct session *s, struct abi_context *c, const struct host_call *call)
{
	const struct codegen_handler *handler = s->sites.items[call->site].handler;
	unsigned char *code = s->host.block + AGENT_ARENA_IMAGE + handler->code_offset;
	host_handler_fn run = (host_handler_fn)(uintptr_t)code;
	run(c, call->regs, call->sp, call->ip, call->site);
}

void session_host_call(struct session *s, uint32_t site)
{
	session_host_run_handler(s, s->host.context, &(struct host_call){.site = site});
}

static int host_compare_priority(const void *a, const void *b, void *data)
{
	const struct session *s = data;
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	int64_t pl = s->sites.items[left].probe->priority;
	int64_t pr = s->sites.items[right].probe->priority;
	if (pl != pr)
		return pl < pr ? -1 : 1;
	return left < right ? -1 : left > right;
}

/*
 * SystemTap 5.6 makes one handler of the handlers of one point, without -u: an error or exit() in one of them does not keep the
 * others from running.
 */
static bool host_is_one_point(
	const struct stap_derived_probe *probe, const struct stap_derived_probe *other)
{
	return probe->priority == other->priority && !probe->condition &&
	       !other->condition;
}

void session_host_run(struct session *s, enum stap_probe_kind kind)
{
	const struct stap_derived_probe *before = NULL;

	VEC(uint32_t) order = {0};
	for (size_t i = 0; i < s->sites.count; i++)
		if (s->sites.items[i].probe->kind == kind)
			vec_append(&order, (uint32_t)i);
	if (order.count)
		qsort_r(order.items, order.count, sizeof(*order.items),
			host_compare_priority, s);
	for (size_t i = 0; i < order.count; i++) {
		const struct stap_derived_probe *probe =
			s->sites.items[order.items[i]].probe;
		/* an exit() in one begin probe keeps the later ones from starting */
		if (kind == STAP_PROBE_BEGIN && !session_is_running(s) &&
			!(before && !s->options->unoptimized &&
				host_is_one_point(before, probe)))
			break;
		before = probe;
		session_host_call(s, order.items[i]);
	}
	vec_free(&order);
}

bool session_is_running(const struct session *s)
{
	uint32_t state = __atomic_load_n(&s->memory.header->state, __ATOMIC_ACQUIRE);
	return state == ABI_STATE_STARTING || state == ABI_STATE_RUNNING;
}
