/* SPDX-License-Identifier: MIT */
/* Lays out session memory and fills what handlers read from it: sites, texts, limits. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "elf/dwarf.h"
#include "session/internal.h"
#include "session/stap_target.h"
#include "session/unwind.h"

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* Texts repeat (a wildcard probe has one pn() and thousands of pp()); equal neighbours
 * share. */
static uint32_t memory_add_text(struct strbuf *texts, const char *text, uint32_t previous)
{
	if (!text)
		text = "";
	if (previous < texts->size && strcmp(texts->data + previous, text) == 0)
		return previous;
	uint32_t at = (uint32_t)texts->size;
	strbuf_append(texts, text, strlen(text) + 1);
	return at;
}

static uint32_t memory_site_type(const struct stap_derived_probe *probe)
{
	enum stap_event event =
		probe->location_count ? probe->locations[0]->event : STAP_EVENT_NONE;
	if (event == STAP_EVENT_PROFILE)
		return ABI_SITE_TYPE_PROFILE;
	if (event == STAP_EVENT_PERF)
		return ABI_SITE_TYPE_PERF;
	if (event == STAP_EVENT_DATA)
		return ABI_SITE_TYPE_DATA;
	if (event)
		return event == STAP_EVENT_SYSCALL || event == STAP_EVENT_SYSCALL_RETURN
			       ? ABI_SITE_TYPE_SYSCALL
			       : ABI_SITE_TYPE_PROCESS;
	if (probe->kind == STAP_PROBE_UPROBE)
		return ABI_SITE_TYPE_UPROBE;
	if (probe->kind == STAP_PROBE_URETURN)
		return ABI_SITE_TYPE_URETPROBE;
	if (probe->kind == STAP_PROBE_CONTROL_FILE)
		return ABI_SITE_TYPE_CONTROL_FILE;
	if (probe->kind != STAP_PROBE_TIMER)
		return ABI_SITE_TYPE_BEGIN_END;
	return strncmp(probe->pp, "timer.jiffies", 13) == 0 ? ABI_SITE_TYPE_TIMER
							    : ABI_SITE_TYPE_HRTIMER;
}

/* Entries of Go functions are probed behind the check of the stack, which changes nothing of it. */
static bool memory_is_edge(const struct stap_location *location)
{
	if (!location->mid_function)
		return true;
	struct elf_module *elf = location->event ? NULL : stap_target_module(location);
	return elf && elf_module_is_go(elf) &&
	       location->link_address ==
		       elf_dwarf_probe_address(elf, location->function_start);
}

static void memory_fill_sites(
	const struct session *s, struct abi_site *sites, struct strbuf *texts)
{
	uint32_t pp = 0, pn = 0, ppfunc = 0;
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct session_site *site = &s->sites.items[i];
		const struct stap_location *location = site->location;
		const struct stap_derived_probe *probe = site->probe;
		pn = memory_add_text(texts, stap_location_name(probe, location), pn);
		pp = memory_add_text(texts, location ? location->pp : probe->pp, pp);
		ppfunc = memory_add_text(texts, location ? location->ppfunc : "", ppfunc);
		sites[i].pp = pp;
		sites[i].pn = pn;
		sites[i].ppfunc = ppfunc;
		sites[i].flags = memory_site_type(probe) << ABI_SITE_TYPE_SHIFT;
		if (!location)
			continue;
		sites[i].link_address = site->link_address;
		sites[i].pair_group = site->pair_group;
		if (site->is_entry_part || probe->kind == STAP_PROBE_UPROBE)
			sites[i].flags |= location->mid_function ? 0 : ABI_SITE_ENTRY;
		else
			sites[i].flags |= ABI_SITE_RETURN;
		if (location->is_behind_calls && sites[i].flags & ABI_SITE_RETURN)
			continue;
		if (memory_is_edge(location) || sites[i].flags & ABI_SITE_RETURN)
			sites[i].flags |= ABI_SITE_EDGE;
	}
}

static const char *memory_limit(const struct session_options *options, const char *name)
{
	const char *value = NULL;
	for (size_t i = 0; i < options->limits.count; i++)
		if (strcmp(options->limits.items[i].name, name) == 0)
			value = options->limits.items[i].value;
	return value;
}

uint32_t session_limit(
	const struct session_options *options, const char *name, uint32_t standard)
{
	const char *value = memory_limit(options, name);
	return value ? (uint32_t)strtoul(value, NULL, 0) : standard;
}

/* "stap_" and something of one's own, as kernel modules are called there. */
static void memory_fill_texts(
	const struct session *s, struct abi_session *h, struct strbuf *texts)
{
	char name[64];
	time_t now = time(NULL);
	struct tm local = {0};
	localtime_r(&now, &local);
	h->tz_offset_seconds = (int32_t)-local.tm_gmtoff;
	h->time_zone = memory_add_text(texts, local.tm_zone, UINT32_MAX);
	if (s->options->module_name[0])
		snprintf(name, sizeof(name), "%s", s->options->module_name);
	else
		snprintf(name, sizeof(name), "stap_%08x_%d",
			(unsigned)(now ^ ((uint64_t)getpid() << 12)), getpid());
	h->module_name = memory_add_text(texts, name, UINT32_MAX);
}

static void memory_fill_header(struct session *s, struct abi_session *h)
{
	const struct session_options *options = s->options;
	h->magic = ABI_MAGIC;
	h->version = ABI_VERSION;
	h->state = ABI_STATE_STARTING;
	if (options->force)
		h->flags |= ABI_FLAG_FORCE;
	if (options->suppress_handler_errors)
		h->flags |= ABI_FLAG_SUPPRESS_ERRORS;
	h->max_errors = session_limit(options, "MAXERRORS", 0);
	h->max_string = session_limit(options, "MAXSTRINGLEN", 512);
	h->max_skipped = session_limit(options, "MAXSKIPPED", 100);
	h->max_action = session_limit(options, "MAXACTION", 1000);
	h->max_trylock = session_limit(options, "MAXTRYLOCK", 1000);
	h->max_backtrace = session_limit(options, "MAXBACKTRACE", 20);
	h->tracer_pid = (uint32_t)getpid();
	h->tracer_uid = getuid();
	h->lock_count = s->code.lock_count;
	h->hertz = STAP_JIFFIES_HZ;
}

static void memory_fill_room(
	struct session *s, const struct session_room *room, struct abi_session *h)
{
	h->context_offset = align_up(
		h->journal_offset + sizeof(struct abi_journal) +
			(uint64_t)room->patches * sizeof(struct abi_journal_patch),
		4096);
	h->context_count = room->context_count;
	h->pair_offset = s->code.context_size;
	h->pair_size = room->pair_size;
	h->context_size = h->pair_offset + h->pair_size;
	h->ring_offset = h->context_offset + (uint64_t)h->context_size * h->context_count;
	h->ring_size = room->ring_size;
	h->total_size = h->ring_offset + (uint64_t)h->ring_size * h->context_count;
	h->unwind_offset = room->unwind_size ? h->total_size : 0;
	h->total_size += room->unwind_size + ABI_CONTEXT_PAIR_MAX;
	s->memory.unwind_offset = h->unwind_offset;
	s->memory.unwind_size = room->unwind_size;
	s->memory.context_count = h->context_count;
}

int session_memory_create(struct session *s, struct error *err)
{
	struct session_memory *m = &s->memory;
	struct strbuf texts;
	strbuf_init(&texts);
	uint64_t site_size = sizeof(struct abi_site) * s->sites.count;
	struct abi_site *sites = calloc(s->sites.count + 1, sizeof(*sites));
	if (!sites)
		abort();
	memory_fill_sites(s, sites, &texts);

	struct abi_session h = {0};
	memory_fill_header(s, &h);
	memory_fill_texts(s, &h, &texts);
	h.site_offset = align_up(ABI_GLOBALS_OFFSET + s->code.globals_size, 4096);
	h.site_count = (uint32_t)s->sites.count;
	h.string_offset = h.site_offset + site_size;
	h.journal_offset = align_up(h.string_offset + texts.size, 4096);
	struct session_room room;
	int result = session_room_choose(s,
		align_up(h.journal_offset + sizeof(struct abi_journal), 4096),
		s->code.context_size, &room, err);
	if (result < 0)
		goto out;
	memory_fill_room(s, &room, &h);

	m->size = h.total_size;
	m->fd = memfd_create("utrace", MFD_CLOEXEC);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size) < 0) {
		result = error_set(err, -errno, "cannot create session memory: %s%s",
			strerror(errno),
			errno == EFBIG ? " (RLIMIT_FSIZE, ulimit -f)" : "");
		goto out;
	}
	m->base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		m->fd, 0);
	if (m->base == MAP_FAILED) {
		result = error_set(
			err, -errno, "cannot map session memory: %s", strerror(errno));
		m->base = NULL;
		goto out;
	}
	char *base = m->base;
	m->header = m->base;
	*m->header = h;
	memcpy(base + h.site_offset, sites, site_size);
	memcpy(base + h.string_offset, texts.data, texts.size);
	m->journal = (struct abi_journal *)(void *)(base + h.journal_offset);
	m->journal->patch_capacity = room.patches;
	codegen_init_globals(&s->code, m->base, h.max_string);
out:
	free(sites);
	strbuf_deinit(&texts);
	return result;
}

void session_memory_destroy(struct session *s)
{
	if (s->memory.base)
		munmap(s->memory.base, s->memory.size);
	if (s->memory.fd > 0)
		close(s->memory.fd);
	s->memory = (struct session_memory){.fd = -1};
}

uint32_t session_context_limit(const struct session *s)
{
	/* targets can write the header: it bounds the walk, what we know bounds it */
	uint32_t high =
		__atomic_load_n(&s->memory.header->context_high, __ATOMIC_ACQUIRE);
	if (high < 1)
		return 1; /* the tracer's own */
	return high < s->memory.context_count ? high : s->memory.context_count;
}

struct abi_context *session_context(const struct session *s, uint32_t slot)
{
	const struct abi_session *h = s->memory.header;
	char *base = s->memory.base;
	return (struct abi_context *)(void *)(base + h->context_offset +
					      (uint64_t)slot * h->context_size);
}
