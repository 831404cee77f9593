/* SPDX-License-Identifier: MIT */
/*
 * The quiet half of an insertion: nothing here changes the program's text.  Requests
 * become pending sites in the sorted table, each with a verified window, a trampoline and
 * a journal record.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"

enum {
	ROOM_PER_SITE = 320,
	ROOM_PER_HANDLER = 144,
	STAGING_SIZE = 1 << 20
};
static const uint64_t cluster_slack = 64 << 20;

void site_refuse(
	struct uprobe_space *space, struct uprobe_site *site, const struct error *why)
{
	if (site->request) {
		site->request->status = why->code;
		site->request->refused = *why;
	}
	journal_drop_patch(&space->journal, site->journal);
	journal_drop_patch(&space->journal, site->padding_journal);
	site->journal = site->padding_journal = JOURNAL_NONE;
	site->state = SITE_REMOVED;
	site->request = NULL;
	space->refused++;
}

static void refuse_request(struct uprobe_space *space, struct uprobe_request *request,
	int code, const char *why)
{
	request->status = error_set(&request->refused, code, "0x%llx: %s",
		(unsigned long long)request->plan->address, why);
	space->refused++;
}

/* ---- admission
 * ----------------------------------------------------------------------------------- */

static int compare_requests(const void *a, const void *b)
{
	const struct uprobe_request *const *x = a, *const *y = b;
	uint64_t p = (*x)->plan->address + (*x)->bias,
		 q = (*y)->plan->address + (*y)->bias;

	return p < q ? -1 : p > q;
}

static int compare_sites(const void *a, const void *b)
{
	const struct uprobe_site *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static void fill_site(struct uprobe_site *site, struct uprobe_request *request)
{
	const struct arch_plan *plan = request->plan;

	*site = (struct uprobe_site){
		.address = plan->address + request->bias,
		.request = request,
		.state = SITE_PENDING,
		.form = plan->form,
		.journal = JOURNAL_NONE,
		.padding_journal = JOURNAL_NONE,
		.size = plan->size,
		.window = plan->window,
		.notice = request->notice,
		.insn_count = plan->insn_count,
		.is_lodged = plan->is_lodged,
		.is_host = plan->size > ARCH_JUMP_SIZE,
	};
	memcpy(site->insn_offset, plan->insn_offset, sizeof(site->insn_offset));
	memcpy(site->original, plan->original, sizeof(site->original));
	if (plan->form == ARCH_PATCH_JUMP_SHORT) {
		site->padding = plan->padding_address + request->bias;
		memcpy(site->padding_original, plan->padding_original, SITE_PADDING);
	}
}

/* Merges the requests into the table; what is there already is refused. */
static int merge(struct uprobe_space *space, struct uprobe_request **sorted, size_t count)
{
	size_t old = space->sites.count;

	for (size_t i = 0; i < count; i++) {
		struct uprobe_request *request = sorted[i];
		uint64_t address = request->plan->address + request->bias;
		struct uprobe_site key = {.address = address}, *site = NULL;
		if (old)
			site = bsearch(&key, space->sites.items, old, sizeof(key),
				compare_sites);
		if (!site && i &&
			sorted[i - 1]->plan->address + sorted[i - 1]->bias == address) {
			refuse_request(space, request, -EEXIST, "asked for twice");
			continue;
		}
		if (site && site->state != SITE_REMOVED) {
			refuse_request(
				space, request, -EEXIST, "there is a probe already");
			continue;
		}
		fill_site(site ? site : vec_push(&space->sites), request);
	}
	qsort(space->sites.items, space->sites.count, sizeof(*space->sites.items),
		compare_sites);
	return 0;
}

struct range {
	uint64_t start, end;
	struct uprobe_site *site;
};

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Two patches must not touch the same byte; an older one wins, else the lower one. */
static int refuse_overlaps(struct uprobe_space *space, struct error *err)
{
	struct range *ranges = calloc(space->sites.count * 2 + 1, sizeof(*ranges));
	size_t count = 0;

	if (!ranges)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state == SITE_REMOVED)
			continue;
		ranges[count++] =
			(struct range){site->address, site->address + site->size, site};
		if (site_has_padding(site))
			ranges[count++] = (struct range){
				site->padding, site->padding + SITE_PADDING, site};
	}
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	const struct range *last = NULL;
	for (size_t i = 0; i < count; i++) {
		struct range *range = &ranges[i];
		if (range->site->state == SITE_REMOVED)
			continue;
		if (last && last->site->state != SITE_REMOVED &&
			last->end > range->start && last->site != range->site) {
			bool newer = range->site->state == SITE_PENDING;
			struct uprobe_site *loser = newer ? range->site : last->site;
			struct uprobe_site *winner = newer ? last->site : range->site;
			struct error why;
			error_set(&why, -EBUSY, "0x%llx: overlaps the probe at 0x%llx",
				(unsigned long long)loser->request->plan->address,
				(unsigned long long)winner->address);
			site_refuse(space, loser, &why);
			if (loser == range->site)
				continue;
		}
		if (!last || last->site->state == SITE_REMOVED || range->end > last->end)
			last = range;
	}
	free(ranges);
	return 0;
}

static void refuse_pending(
	struct uprobe_space *space, struct uprobe_site *site, int code, const char *why)
{
	struct error text;

	error_set(&text, code, "0x%llx: %s",
		(unsigned long long)site->request->plan->address, why);
	site_refuse(space, site, &text);
}

/* Text must be a private mapping: a write to a shared one would reach the file. */
static const char *mapping_problem(
	const struct proc_maps *maps, size_t *cursor, struct uprobe_site *site)
{
	uint64_t address = site->address;

	while (*cursor < maps->maps.count && maps->maps.items[*cursor].end <= address)
		++*cursor;
	if (*cursor == maps->maps.count || maps->maps.items[*cursor].start > address)
		return "not mapped";
	const struct proc_map *map = &maps->maps.items[*cursor];
	if (!map->execute)
		return "not in an executable mapping";
	if (map->shared)
		return "text is mapped shared: a change would reach the file";
	site->device_inode = map->device_inode;
	site->file_bias = map->start - map->offset;
	return NULL;
}

static int validate_text(
	struct uprobe_space *space, struct uprobe_site *site, struct text_reader *reader)
{
	uint8_t live[ARCH_MAX_WINDOW];

	if (site->window > sizeof(live) || site->size > SITE_PATCH_MAX ||
		site->size > site->window) {
		refuse_pending(space, site, -EINVAL, "impossible patch plan");
		return 0;
	}
	int r = text_read(reader, site->address, live, site->window);
	if (r == -ESRCH)
		return r;
	if (r < 0)
		refuse_pending(space, site, -EFAULT, "text cannot be read");
	else if (live[0] == BREAKPOINT && site->original[0] != BREAKPOINT)
		refuse_pending(
			space, site, -EBUSY, "somebody else's breakpoint is there");
	else if (memcmp(live, site->original, site->window))
		refuse_pending(
			space, site, -EILSEQ, "text in memory differs from the file");
	return 0;
}

static int validate(struct uprobe_space *space, struct error *err)
{
	struct proc_maps maps = {0};
	struct text_reader reader;
	size_t cursor = 0;
	int r = proc_read_maps(space->pid, &maps, err);

	if (r < 0)
		return r;
	text_reader_init(&reader, space->memory_fd);
	for (size_t i = 0; i < space->sites.count && r >= 0; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		uint8_t first;
		if (site->state != SITE_PENDING)
			continue;
		const char *problem = mapping_problem(&maps, &cursor, site);
		/* another program's mappings say nothing of the memory that is written to */
		if (problem && text_read(&reader, site->address, &first, 1) == -ESRCH)
			r = -ESRCH;
		else if (problem)
			refuse_pending(space, site, -EFAULT, problem);
		else
			r = validate_text(space, site, &reader);
	}
	if (r < 0)
		error_set(err, r, "process %d has ended, or called exec", space->pid);
	/* Padding lies anywhere near its site: a second pass keeps the reader's order. */
	for (size_t i = 0; i < space->sites.count && r >= 0; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		uint8_t live[SITE_PADDING];
		if (site->state != SITE_PENDING || !site->padding)
			continue;
		if (text_read(&reader, site->padding, live, sizeof(live)) < 0 ||
			memcmp(live, site->padding_original, sizeof(live)))
			refuse_pending(space, site, -EILSEQ,
				"padding in memory differs from the file");
	}
	proc_maps_free(&maps);
	return r;
}

int place_admit(struct uprobe_space *space, struct uprobe_request *requests, size_t count,
	struct error *err)
{
	struct uprobe_request **sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		requests[i].status = 0;
		requests[i].refused = (struct error){0};
		sorted[i] = &requests[i];
	}
	qsort(sorted, count, sizeof(*sorted), compare_requests);
	merge(space, sorted, count);
	free(sorted);
	int r = refuse_overlaps(space, err);
	return r < 0 ? r : validate(space, err);
}

/* ---- trampolines
 * ----------------------------------------------------------------------------------- */

struct staging { /* trampolines on their way to an arena */
	uint64_t address;
	size_t size;
	uint8_t *bytes;
};

static int flush(struct uprobe_space *space, struct staging *staging)
{
	int r = 0;

	if (staging->size) {
		step();
		r = remote_memory_write(space->memory_fd, staging->address,
			staging->bytes, staging->size);
	}
	staging->size = 0;
	return r;
}

static uint64_t room_for(const struct uprobe_request *request)
{
	return ROOM_PER_SITE * (1 + (uint64_t)request->plan->point_count) +
	       ROOM_PER_HANDLER * (uint64_t)request->handler_count;
}

/* Maps an arena for the pending site at @first and as many that follow as can share one.
 * When there is no room all of them are refused; they would only fail one by one. */
static int map_for(struct uprobe_space *space, size_t first)
{
	uint64_t low = 0, high = UINT64_MAX, room = ARCH_TRAMPOLINE_MAX;
	uint64_t overhead = space->session.image_size + cluster_slack;
	struct error why;
	size_t i;

	for (i = first; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		uint64_t site_low, site_high;
		if (site->state != SITE_PENDING || site->trampoline)
			continue;
		arch_arena_bounds(site->request->plan, 1, site->request->bias, &site_low,
			&site_high);
		site_low = site_low > low ? site_low : low;
		site_high = site_high < high ? site_high : high;
		uint64_t needed = room + room_for(site->request);
		if (i > first && (site_low >= site_high ||
					 site_high - site_low < needed + overhead))
			break;
		low = site_low;
		high = site_high;
		room = needed;
	}
	int r = arena_map(space, low, high, room, &why);
	for (size_t j = first; r < 0 && j < i; j++) {
		struct uprobe_site *site = &space->sites.items[j];
		if (site->state == SITE_PENDING && !site->trampoline)
			site_refuse(space, site, &why);
	}
	return r;
}

static int map_padding_for(struct uprobe_space *space, struct uprobe_site *site)
{
	uint64_t low, high;
	struct error why;
	arch_arena_bounds(site->request->plan, 1, site->request->bias, &low, &high);
	int r = bare_map(space, low, high, &why);
	if (r < 0)
		site_refuse(space, site, &why);
	return r;
}

static int emit(struct uprobe_space *space, struct uprobe_site *site,
	struct uprobe_arena *arena, struct arch_trampoline *ret, struct error *why)
{
	const struct uprobe_request *request = site->request;
	struct arch_handler_call handlers[ARCH_MAX_HANDLERS];
	uint64_t image = arena_image(space, arena);

	if (space->by_ptrace && (request->handler_count || !request->notice))
		return error_set(why, -EINVAL,
			"0x%llx: handlers cannot run in this process",
			(unsigned long long)request->plan->address);
	if (request->handler_count > ARCH_MAX_HANDLERS)
		return error_set(why, -E2BIG,
			"0x%llx: more than %d handlers at one place",
			(unsigned long long)request->plan->address, ARCH_MAX_HANDLERS);
	for (size_t i = 0; i < request->handler_count; i++) {
		handlers[i] = request->handlers[i];
		handlers[i].runtime_address += image;
	}
	struct arch_trampoline_request wanted = {
		.plan = request->plan,
		.bias = request->bias,
		.runtime_address = arena->address + arena->used,
		.runtime_register = image + (uint64_t)space->session.register_offset,
		.null_context = (int32_t)space->null_context,
		.own_stack = request->own_stack,
		.handlers = handlers,
		.handler_count = request->handler_count,
	};
	int r = arch_trampoline_emit(&wanted, ret, why);
	if (r < 0)
		return r;
	if (arena->is_padding && ret->size > BARE_SLOT_MAX)
		return error_set(why, -ENOSPC,
			"0x%llx: no room for a copy of the instruction",
			(unsigned long long)request->plan->address);
	site->trampoline = wanted.runtime_address;
	site->trampoline_size = ret->size;
	site->map_count = ret->map_count;
	memcpy(site->map, ret->map, sizeof(site->map));
	return 0;
}

/* The bytes that go into the text: needs to know where the trampoline is. */
static int fill_patch(struct uprobe_site *site, struct error *why)
{
	const struct uprobe_request *request = site->request;
	uint8_t bytes[ARCH_MAX_WINDOW];
	int r;

	if (site->form == ARCH_PATCH_BREAKPOINT) {
		site->patch[0] = BREAKPOINT;
		return 0;
	}
	r = arch_patch_bytes(request->plan, request->bias, site->trampoline, bytes);
	if (r < 0)
		return error_set(why, r, "0x%llx: trampoline out of reach",
			(unsigned long long)request->plan->address);
	memcpy(site->patch, bytes, site->size);
	if (!site->padding)
		return 0;
	r = arch_padding_bytes(
		request->plan, request->bias, site->trampoline, site->padding_patch);
	if (r < 0)
		return error_set(why, r, "0x%llx: trampoline out of reach",
			(unsigned long long)request->plan->address);
	return 0;
}

static int place_one(struct uprobe_space *space, size_t index, struct staging *staging)
{
	struct uprobe_site *site = &space->sites.items[index];
	struct arch_trampoline trampoline;
	struct error why = {0};
	uint64_t low, high;
	int r;

	if (space->is_bare && site->form == ARCH_PATCH_BREAKPOINT &&
		bare_can_emulate(site)) {
		site->is_emulated = true;
		return fill_patch(site, &why);
	}
	arch_arena_bounds(site->request->plan, 1, site->request->bias, &low, &high);
	struct uprobe_arena *arena = arena_find(
		space, low, high, space->is_bare ? BARE_SLOT_MAX : ARCH_TRAMPOLINE_MAX);
	if (!arena) {
		r = space->is_bare ? map_padding_for(space, site) : map_for(space, index);
		if (r == -ESRCH)
			return r;
		if (r < 0)
			return 0; /* refused */
		arena = &space->arenas.items[space->arenas.count - 1];
	}
	r = emit(space, site, arena, &trampoline, &why);
	if (r >= 0)
		r = fill_patch(site, &why);
	if (r < 0) {
		site_refuse(space, site, &why);
		return 0;
	}
	if (staging->size && (staging->address + staging->size != site->trampoline ||
				     staging->size + trampoline.size > STAGING_SIZE)) {
		r = flush(space, staging);
		if (r < 0)
			return r;
	}
	if (!staging->size)
		staging->address = site->trampoline;
	memcpy(staging->bytes + staging->size, trampoline.bytes, trampoline.size);
	staging->size += trampoline.size;
	arena->used += trampoline.size;
	return 0;
}

void place_refuse_lodgers(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		const struct uprobe_site *host = site_host(space, site);
		if (site->state == SITE_PENDING && site->is_lodged &&
			(!host || host->state != SITE_PENDING))
			refuse_pending(space, site, -EBUSY,
				"the instructions that its jump leads through cannot be displaced");
	}
}

/* Long jumps of lodgers are part of their hosts' patches. */
static void place_lodgers(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		const struct uprobe_site *site = &space->sites.items[i];
		struct uprobe_site *host = site_host(space, site);
		if (site->state == SITE_PENDING && host && host->state == SITE_PENDING)
			memcpy(host->patch + (site->padding - host->address),
				site->padding_patch, SITE_PADDING);
	}
	place_refuse_lodgers(space);
}

int place_trampolines(struct uprobe_space *space, struct error *err)
{
	struct staging staging = {.bytes = malloc(STAGING_SIZE)};
	int r = 0;

	if (!staging.bytes)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < space->sites.count && r >= 0; i++)
		if (space->sites.items[i].state == SITE_PENDING)
			r = place_one(space, i, &staging);
	if (r >= 0)
		r = flush(space, &staging);
	free(staging.bytes);
	place_lodgers(space);
	if (r < 0)
		return error_set(err, r, "cannot write trampolines to process %d: %s",
			space->pid, strerror(-r));
	return 0;
}

/* ---- journal
 * -----------------------------------------------------------------------------------------
 */

int site_journal(struct uprobe_space *space, struct uprobe_site *site)
{
	int r = journal_add_patch(&space->journal, space->pid, site->address,
		site->original, site->size, &site->journal);

	if (r >= 0 && site->padding)
		r = journal_add_patch(&space->journal, space->pid, site->padding,
			site->padding_original, SITE_PADDING, &site->padding_journal);
	if (r >= 0 && site->padding)
		journal_link_padding(
			&space->journal, site->padding_journal, site->address);
	return r;
}

int place_journal(struct uprobe_space *space, struct error *err)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_PENDING)
			continue;
		int r = site_journal(space, site);
		if (r < 0)
			refuse_pending(space, site, r, "undo journal is full");
	}
	return 0;
}
