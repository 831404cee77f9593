/* SPDX-License-Identifier: MIT */
/* What is brought into processes: session memory, and the image with the native functions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/image.h"
#include "consumer/internal.h"
#include "runtime/runtime.h"

enum {
	PAGE = 4096,
	NATIVES =
		65536, /* functions of consumers that can be registered, one after the other */
	CONTEXTS = 1024,
	PAIRS_SIZE = 16 * 1024,
	PATCHES = 262144, /* of all processes, at one time */
};

static uint64_t round_up(uint64_t value)
{
	return (value + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void fill_header(struct uprobes *u, struct abi_session *h)
{
	bool native = u->options.in_process;

	h->magic = ABI_MAGIC;
	h->version = ABI_VERSION;
	h->state = ABI_STATE_RUNNING;
	h->max_string = 512;
	h->tracer_pid = (uint32_t)getpid();
	h->tracer_uid = getuid();
	h->site_count = h->native_count = native ? NATIVES : 0;
	h->site_offset = ABI_GLOBALS_OFFSET;
	h->native_offset =
		round_up(h->site_offset + h->site_count * sizeof(struct abi_site));
	h->string_offset =
		round_up(h->native_offset + h->native_count * sizeof(struct abi_native));
	h->shared_offset = h->string_offset + PAGE;
	h->shared_size = u->options.shared_size;
	h->journal_offset = round_up(h->shared_offset + h->shared_size);
	h->context_offset =
		round_up(h->journal_offset + sizeof(struct abi_journal) +
			 (uint64_t)PATCHES * sizeof(struct abi_journal_patch));
	h->context_count = native ? CONTEXTS : 0;
	/* only return addresses are kept, where exits are shared */
	h->pair_offset = (uint32_t)round_up(sizeof(struct abi_context));
	h->pair_size = PAIRS_SIZE;
	h->context_size = h->pair_offset + h->pair_size;
	/* nothing is printed: rings are there for the runtime's sake */
	h->ring_offset = h->context_offset + (uint64_t)h->context_count * h->context_size;
	h->ring_size = PAGE;
	h->total_size = h->ring_offset + (uint64_t)h->context_count * h->ring_size + PAGE;
}

static int map_memory(struct uprobes *u, struct error *err)
{
	struct uprobe_session *s = &u->session;
	const struct abi_session *header = &u->layout;

	fill_header(u, &u->layout);
	s->session_size = header->total_size;
	s->session_fd = memfd_create("utrace", MFD_CLOEXEC);
	if (s->session_fd < 0 || ftruncate(s->session_fd, (off_t)s->session_size) < 0)
		return error_set(err, -errno, "cannot create memory for probes: %s",
			strerror(errno));
	void *memory = mmap(NULL, s->session_size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, s->session_fd, 0);
	if (memory == MAP_FAILED)
		return error_set(
			err, -errno, "cannot map memory for probes: %s", strerror(errno));
	s->session_memory = memory;
	memcpy(memory, header, sizeof(*header));
	struct abi_journal *journal =
		(struct abi_journal *)(void *)((char *)memory + header->journal_offset);
	journal->patch_capacity = PATCHES;
	return 0;
}

static int open_image(struct uprobes *u, struct error *err)
{
	struct uprobe_session *s = &u->session;
	const struct {
		const char *name;
		int64_t *offset;
	} symbols[] = {
		{"agent_register_thread", &s->register_offset},
		{"agent_call_trap", &s->call_offset},
		{"agent_signal_front", &s->front_offset},
		{"agent_restorer", &s->restorer_offset},
		{"agent_read_start", &s->read_start_offset},
		{"agent_read_end", &s->read_end_offset},
		{"agent_read_fixup", &s->read_fixup_offset},
		{"agent_call_native", &u->native_offset},
	};
	int r = agent_link_open(
		utrace_agent_image, utrace_agent_image_size, &u->image, err);

	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols) && r >= 0; i++) {
		*symbols[i].offset = agent_link_symbol(&u->image, symbols[i].name);
		if (*symbols[i].offset < 0)
			r = error_set(err, -ENOENT, "the agent image has no symbol %s",
				symbols[i].name);
	}
	s->image = u->image.bytes;
	s->image_size = u->image.size;
	return r;
}

int probe_memory_create(struct uprobes *u, struct error *err)
{
	u->guardian = -1;
	u->session.session_fd = -1;
	u->session.utrace = u->utrace;
	u->session.mode = u->options.in_process ? UPROBE_MODE_INJECT : UPROBE_MODE_PTRACE;
	u->session.needs_signal_front = u->options.in_process;
	int r = map_memory(u, err);
	if (r >= 0)
		r = open_image(u, err);
	if (r >= 0)
		r = uprobe_guardian_start(u->session.session_fd, u->session.session_size,
			&u->guardian, err);
	return r;
}

void probe_memory_destroy(struct uprobes *u)
{
	uprobe_guardian_dismiss(u->guardian);
	if (u->session.session_memory)
		munmap(u->session.session_memory, u->session.session_size);
	if (u->session.session_fd >= 0)
		close(u->session.session_fd);
	agent_link_close(&u->image);
	for (size_t i = 0; i < u->codes.count; i++)
		free(u->codes.items[i]);
	vec_free(&u->codes);
}

void probe_memory_stop(struct uprobes *u)
{
	if (u->session.session_memory)
		rt_session_stop(u->session.session_memory, ABI_STATE_STOPPING);
}

static struct abi_context *context(const struct uprobes *u, uint32_t slot)
{
	return (struct abi_context *)(void *)((char *)u->session.session_memory +
					      u->layout.context_offset +
					      (uint64_t)slot * u->layout.context_size);
}

void probe_free_contexts(struct uprobes *u)
{
	for (uint32_t slot = 1;
		slot < CONTEXTS && u->options.in_process && u->dead_threads.count;
		slot++) {
		struct abi_context *c = context(u, slot);
		for (size_t i = 0; i < u->dead_threads.count && c->claimed; i++) {
			if ((pid_t)c->tid != u->dead_threads.items[i])
				continue;
			c->self = 0;
			__atomic_store_n(&c->claimed, 0, __ATOMIC_RELEASE);
		}
	}
	u->dead_threads.count = 0;
}

static struct abi_native *natives_of(const struct uprobes *u)
{
	return (struct abi_native *)(void *)((char *)u->session.session_memory +
					     u->layout.native_offset);
}

uint32_t probe_native_pair(struct uprobes *u, uint32_t site)
{
	struct abi_native *natives = natives_of(u);

	if (u->site_count + 1 >= NATIVES)
		return 0;
	natives[site].pair = site;
	natives[++u->site_count] = (struct abi_native){.pair = site, .is_entry = 1};
	return u->site_count;
}

uint32_t probe_native_add(
	struct uprobes *u, const struct uprobe_code *code, uint64_t cookie)
{
	struct abi_native *natives = natives_of(u);

	if (u->site_count + 1 >= NATIVES)
		return 0;
	natives[++u->site_count] =
		(struct abi_native){.code_offset = code->offset, .cookie = cookie};
	return u->site_count;
}

/* ---- the interface ---- */

static int add_code(struct uprobes *u, const void *bytes, size_t size, const char *symbol,
	uint64_t *ret, struct error *err)
{
	struct agent_link_function function = {.name = symbol};
	const struct agent_link_object object = {
		"native code", bytes, size, arch_check_guest};
	size_t before = u->image.size;
	int r;

	if (symbol) {
		r = agent_link_add_object(&u->image, &object, &function, 1, err);
		*ret = function.offset;
		return r < 0 ? r : 0;
	}
	r = arch_check_guest(bytes, size, err);
	if (r >= 0)
		r = agent_link_add_bytes(&u->image, bytes, size, ret);
	if (r == -E2BIG || r == -ENOMEM)
		error_set(err, r, "native code: no room for %zu bytes", size);
	if (r < 0)
		u->image.size = before;
	return r;
}

int uprobe_code_load(struct uprobes *u, const void *bytes, size_t size,
	const char *symbol, const struct uprobe_code **ret, struct utrace_error *err)
{
	uint64_t offset;

	if (!u->options.in_process)
		return error_set(err, -EOPNOTSUPP,
			"native code needs probes that were created with in_process");
	if (u->processes)
		return error_set(err, -EBUSY,
			"native code has to be loaded before processes are added");
	if (!size || !bytes)
		return error_set(err, -EINVAL, "no native code");
	struct uprobe_code *code = calloc(1, sizeof(*code));
	if (!code)
		return error_set(err, -ENOMEM, "out of memory");
	int r = add_code(u, bytes, size, symbol, &offset, err);
	u->session.image = u->image.bytes;
	u->session.image_size = u->image.size;
	if (r < 0) {
		free(code);
		return r;
	}
	code->offset = offset;
	vec_append(&u->codes, code);
	*ret = code;
	return 0;
}

void *uprobes_shared(const struct uprobes *u)
{
	return u->options.shared_size
		       ? (char *)u->session.session_memory + u->layout.shared_offset
		       : NULL;
}
