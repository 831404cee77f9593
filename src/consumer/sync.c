/* SPDX-License-Identifier: MIT */
/*
 * What is wanted in a process against what is in it.
 *
 *  1. each point of each mapped file where a consumer wants something becomes a patch: a breakpoint if
 *     the tracer has to be told, else a jump if there is one
 *  2. jumps that would overwrite each other's bytes, or those of a breakpoint, become breakpoints
 *  3. patches that are in and not wanted any more, or differently, are taken out
 *  4. the rest is put in; counters (USDT semaphores) are raised after, and lowered before
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/internal.h"
#include "uprobes/mapped.h"

/* ---- filters ---- */

void probe_link_answer(struct probe_link *link, pid_t pid, bool is_wanted)
{
	for (size_t i = 0; i < link->answers.count; i++)
		if (link->answers.items[i].pid == pid) {
			link->answers.items[i].is_wanted = is_wanted;
			return;
		}
	vec_append(&link->answers, ((struct probe_answer){pid, is_wanted}));
}

bool probe_link_wants(struct probe_link *link, pid_t pid)
{
	struct uprobe_consumer *consumer = link->consumer;

	if (!consumer)
		return false;
	for (size_t i = 0; i < link->answers.count; i++)
		if (link->answers.items[i].pid == pid)
			return link->answers.items[i].is_wanted;
	if (!consumer->filter)
		return true;
	bool is_wanted = consumer->filter(consumer, pid);
	probe_link_answer(link, pid, is_wanted);
	return is_wanted;
}

static void forget_answer(struct probe_link *link, pid_t pid)
{
	for (size_t i = 0; i < link->answers.count; i++)
		if (link->answers.items[i].pid == pid) {
			link->answers.items[i] =
				link->answers.items[--link->answers.count];
			return;
		}
}

void probe_forget_answers(struct uprobes *u, pid_t pid)
{
	for (size_t i = 0; i < u->files.count; i++) {
		struct probe_file *file = u->files.items[i];
		for (size_t k = 0; k < file->uprobes.count; k++)
			for (size_t n = 0; n < file->uprobes.items[k]->links.count; n++)
				forget_answer(
					file->uprobes.items[k]->links.items[n], pid);
	}
}

/* ---- what is wanted ---- */

struct wanted {
	struct probe_point *point;
	const struct arch_plan *plan;
	uint64_t bias;
	bool is_told; /* to the tracer */
	bool is_in;   /* as it should be */
	uint64_t signature;
	size_t call_start, call_count; /* in struct sync's calls */
};

struct sync {
	struct uprobes *u;
	struct probe_process *p;
	VEC(struct wanted) wanted;
	VEC(struct arch_handler_call) calls;
	VEC(uint64_t) semaphores;
};

static void find_mapped(const struct probe_file *file, const struct proc_maps *maps,
	struct uprobe_mapped *ret)
{
	uprobe_mapped_find(
		&(struct uprobe_file){file->elf, file->device_inode, file->path}, maps,
		ret);
}

bool probe_process_maps_any(struct uprobes *u, pid_t pid)
{
	struct proc_maps maps = {0};
	struct uprobe_mapped mapped = {0};
	bool found = false;

	if (proc_read_maps(pid, &maps, NULL) < 0)
		return false;
	for (size_t i = 0; i < u->files.count && !found; i++) {
		find_mapped(u->files.items[i], &maps, &mapped);
		found = mapped.biases.count;
	}
	uprobe_mapped_free(&mapped);
	proc_maps_free(&maps);
	return found;
}

static void add_call(struct sync *sync, uint32_t site)
{
	if (site)
		vec_append(&sync->calls,
			((struct arch_handler_call){
				.runtime_address = (uint64_t)sync->u->native_offset,
				.site = site,
				.needs_callee_saved = true,
			}));
}

static void want_link(struct sync *sync, struct wanted *wanted, struct probe_link *link,
	const struct probe_event *event, const struct uprobe_mapped *mapped)
{
	const struct uprobe_consumer *consumer = link->consumer;

	if (!event->is_return)
		wanted->is_told |= consumer->handler || consumer->ret_handler;
	else
		wanted->is_told |= consumer->ret_handler != NULL;
	add_call(sync, event->is_return ? link->return_site : link->site);
	if (!event->is_return)
		add_call(sync, link->entry_site);
	if (event->uprobe->semaphore && !event->is_return &&
		!uprobe_mapped_is_elsewhere(
			mapped, wanted->bias, event->uprobe->semaphore))
		vec_append(&sync->semaphores, event->uprobe->semaphore + wanted->bias);
}

static uint64_t sign(const struct sync *sync, const struct wanted *wanted)
{
	const uint64_t prime = 0x100000001b3;
	uint64_t hash = 0xcbf29ce484222325 + wanted->is_told +
			((uint64_t)(wanted->plan == &wanted->point->jump) << 1);

	for (size_t i = 0; i < wanted->call_count; i++)
		hash = (hash ^ sync->calls.items[wanted->call_start + i].site) * prime;
	return hash;
}

static void want_point(struct sync *sync, struct probe_point *point, uint64_t bias,
	const struct uprobe_mapped *mapped)
{
	struct wanted wanted = {
		.point = point, .bias = bias, .call_start = sync->calls.count};

	if (uprobe_mapped_is_elsewhere(mapped, bias, point->address))
		return;
	for (size_t i = 0; i < point->events.count; i++) {
		const struct probe_event *event = &point->events.items[i];
		for (size_t k = 0; k < event->uprobe->links.count; k++) {
			struct probe_link *link = event->uprobe->links.items[k];
			if (probe_link_wants(link, sync->p->pid))
				want_link(sync, &wanted, link, event, mapped);
		}
	}
	wanted.call_count = sync->calls.count - wanted.call_start;
	if (!wanted.is_told && !wanted.call_count)
		return;
	wanted.plan =
		point->has_jump && !wanted.is_told ? &point->jump : &point->breakpoint;
	vec_append(&sync->wanted, wanted);
}

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	uint64_t p = x->plan->address + x->bias, q = y->plan->address + y->bias;

	return p < q ? -1 : p > q;
}

static bool overlap(const struct wanted *a, const struct wanted *b)
{
	return a->bias == b->bias && arch_plans_overlap(a->plan, b->plan);
}

static void resolve_overlaps(struct sync *sync)
{
	if (sync->wanted.count)
		qsort(sync->wanted.items, sync->wanted.count, sizeof(*sync->wanted.items),
			compare_wanted);
	for (size_t i = 0; i < sync->wanted.count; i++) {
		struct wanted *last = i ? &sync->wanted.items[i - 1] : NULL,
			      *next = &sync->wanted.items[i];
		if (last && overlap(last, next))
			next->plan = &next->point->breakpoint;
		if (last && overlap(last, next))
			last->plan = &last->point->breakpoint;
	}
	for (size_t i = 0; i < sync->wanted.count; i++)
		sync->wanted.items[i].signature = sign(sync, &sync->wanted.items[i]);
}

/* ---- the difference ---- */

static struct wanted *find_wanted(struct sync *sync, uint64_t address)
{
	for (size_t low = 0, high = sync->wanted.count; low < high;) {
		size_t middle = low + (high - low) / 2;
		struct wanted *wanted = &sync->wanted.items[middle];
		uint64_t at = wanted->plan->address + wanted->bias;
		if (at == address)
			return wanted;
		if (at < address)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int take_out(struct sync *sync, struct error *err)
{
	struct probe_process *p = sync->p;
	VEC(uint64_t) leaving = {0};
	size_t kept = 0, foreign = 0;

	for (size_t i = 0; i < p->live.count; i++) {
		struct probe_live live = p->live.items[i];
		struct wanted *wanted = find_wanted(sync, live.address);
		if (wanted && wanted->signature == live.signature) {
			wanted->is_in = true;
			p->live.items[kept++] = live;
		} else if (!live.is_refused) {
			vec_append(&leaving, live.address);
		}
	}
	p->live.count = kept;
	int r = uprobe_remove(p->space, leaving.items, leaving.count, &foreign, err);
	if (r >= 0 && foreign)
		probes_warn(sync->u, p->pid,
			"process %d: %zu probes stay, because somebody else has written over them",
			p->pid, foreign);
	vec_free(&leaving);
	return r;
}

static void fill_request(
	struct sync *sync, const struct wanted *wanted, struct uprobe_request *request)
{
	request->plan = wanted->plan;
	request->bias = wanted->bias;
	request->notice = wanted->is_told ? wanted->point : NULL;
	request->handlers =
		wanted->call_count ? sync->calls.items + wanted->call_start : NULL;
	request->handler_count = wanted->call_count;
	request->own_stack = elf_module_is_go(wanted->point->file->elf);
}

static void note_inserted(struct sync *sync, const struct wanted *wanted,
	const struct uprobe_request *request)
{
	struct probe_process *p = sync->p;

	vec_append(&p->live,
		((struct probe_live){wanted->point, wanted->plan->address + wanted->bias,
			wanted->signature, request->status < 0}));
	if (request->status < 0)
		probes_warn(sync->u, p->pid, "process %d: %s is not probed at %s", p->pid,
			wanted->point->file->path, request->refused.message);
}

static int put_in(struct sync *sync, struct error *err)
{
	struct probe_process *p = sync->p;
	struct uprobe_request *requests =
		calloc(sync->wanted.count + 1, sizeof(*requests));
	size_t count = 0;

	if (!requests)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < sync->wanted.count; i++)
		if (!sync->wanted.items[i].is_in)
			fill_request(sync, &sync->wanted.items[i], &requests[count++]);
	int r = count ? uprobe_insert(p->space, requests, count, err) : 0;
	count = 0;
	for (size_t i = 0; i < sync->wanted.count && r >= 0; i++)
		if (!sync->wanted.items[i].is_in)
			note_inserted(sync, &sync->wanted.items[i], &requests[count++]);
	free(requests);
	return r;
}

/* Is the patch where its point is mapped?  A window begins some bytes before or behind it. */
static bool is_mapped(const struct probe_live *live, const struct uprobe_mapped *mapped)
{
	for (size_t i = 0; i < mapped->biases.count; i++) {
		uint64_t bias = mapped->biases.items[i];
		if (live->address - bias - live->point->address + ARCH_MAX_WINDOW <
				2 * ARCH_MAX_WINDOW &&
			!uprobe_mapped_is_elsewhere(mapped, bias, live->point->address))
			return true;
	}
	return false;
}

static void forget_unmapped(struct sync *sync, const struct proc_maps *maps)
{
	struct probe_process *p = sync->p;
	struct uprobe_mapped mapped = {0};
	const struct probe_file *file = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < p->live.count; i++) {
		const struct probe_live live = p->live.items[i];
		if (live.point->file != file) {
			file = live.point->file;
			find_mapped(file, maps, &mapped);
		}
		if (is_mapped(&live, &mapped))
			p->live.items[kept++] = live;
	}
	p->live.count = kept;
	uprobe_mapped_free(&mapped);
}

static void want_file(
	struct sync *sync, const struct probe_file *file, const struct proc_maps *maps)
{
	struct uprobe_mapped mapped = {0};

	find_mapped(file, maps, &mapped);
	for (size_t i = 0; i < mapped.biases.count; i++)
		for (size_t k = 0; k < file->points.count; k++)
			want_point(sync, file->points.items[k], mapped.biases.items[i],
				&mapped);
	uprobe_mapped_free(&mapped);
}

static int change_text(struct sync *sync, struct error *err)
{
	struct probe_process *p = sync->p;

	uprobe_keep_semaphores(p->space, sync->semaphores.items, sync->semaphores.count);
	int r = take_out(sync, err);
	if (r >= 0)
		r = put_in(sync, err);
	if (r >= 0 && sync->semaphores.count)
		r = uprobe_raise_semaphores(
			p->space, sync->semaphores.items, sync->semaphores.count, err);
	return r;
}

int probe_sync(struct uprobes *u, struct probe_process *p, struct error *err)
{
	struct sync sync = {.u = u, .p = p};
	struct proc_maps maps = {0};
	int r = p->space ? proc_read_maps(p->pid, &maps, err) : 0;

	if (r < 0 || !p->space)
		return r;
	u->callbacks++; /* filters are asked */
	for (size_t i = 0; i < u->files.count; i++)
		want_file(&sync, u->files.items[i], &maps);
	u->callbacks--;
	r = uprobe_space_forget_unmapped(p->space, err);
	if (r >= 0) {
		forget_unmapped(&sync, &maps);
		resolve_overlaps(&sync);
		r = change_text(&sync, err);
	}
	proc_maps_free(&maps);
	vec_free(&sync.wanted);
	vec_free(&sync.calls);
	vec_free(&sync.semaphores);
	return r;
}
