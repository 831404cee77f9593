/* SPDX-License-Identifier: MIT */
/*
 * From the places a script probes to patches: one list per ELF file, computed once and
 * used for every process that maps the file.
 *
 *  1. each site becomes one entry patch, or one exit patch for every way out of its
 * function
 *  2. patches at one address are one patch with several handlers
 *  3. patches that would overwrite each other's bytes: the later one becomes a
 * breakpoint, then the earlier one; when that does not help either, the later one is
 * refused Every refusal is told with its rule.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"
#include "session/internal.h"
#include "session/kept_plans.h"
#include "session/stap_target.h"

static struct session_module *plan_find_module(struct session *s, const char *path)
{
	for (size_t i = 0; i < s->modules.count; i++)
		if (strcmp(s->modules.items[i].path, path) == 0)
			return &s->modules.items[i];
	return NULL;
}

static struct session_module *plan_add_module(
	struct session *s, const struct stap_location *location)
{
	struct session_module *known = plan_find_module(s, location->module_path);
	if (known)
		return known;
	struct session_module m = {.path = location->module_path};
	m.elf = stap_target_module(location);
	dev_t device;
	ino_t inode;
	elf_module_file(m.elf, &device, &inode);
	m.device_inode = proc_fold_inode(device, inode);
	/* one file by two names: what is patched is the same */
	for (size_t i = 0; i < s->modules.count; i++)
		if (s->modules.items[i].device_inode == m.device_inode)
			return &s->modules.items[i];
	m.is_library = stap_target_is_library(m.path);
	m.text = uprobe_text_create(m.elf);
	vec_append(&s->modules, m);
	return &s->modules.items[s->modules.count - 1];
}

static bool is_same_kind(const struct stap_location *a, const struct stap_location *b)
{
	return a->only_pid == b->only_pid && a->only_program && b->only_program &&
	       strcmp(a->only_program, b->only_program) == 0;
}

static void plan_admit(struct session_module *m, const struct stap_location *location)
{
	if (!location->only_pid && !location->only_program)
		m->is_for_all = true;
	for (size_t i = 0; i < m->meant.count && !m->is_for_all; i++)
		if (is_same_kind(m->meant.items[i], location))
			return;
	if (!m->is_for_all)
		vec_append(&m->meant, location);
}

struct session_module *session_plan_module(
	struct session *s, const struct stap_location *location)
{
	struct session_module *m = plan_add_module(s, location);
	plan_admit(m, location);
	return m;
}

static void plan_refuse(struct session *s, struct session_module *m,
	const struct session_site *site, const char *why)
{
	m->refused++;
	session_warn(s, "probe %s at 0x%llx refused: %s", site->location->pp,
		(unsigned long long)site->location->link_address, why);
}

static struct session_patch *plan_add(struct session_module *m, uint64_t function_start,
	uint64_t function_end, const struct arch_plan *plan)
{
	struct session_patch *patch = vec_push(&m->patches);
	patch->plan = *plan;
	patch->function_start = function_start;
	patch->function_end = function_end;
	return patch;
}

static void plan_add_call(struct session_patch *patch, unsigned int point, uint32_t site)
{
	struct arch_handler_call *call = vec_push(&patch->handlers);
	call->site = site;
	call->point = (uint8_t)point;
}

static void plan_add_semaphore(struct session_module *m, uint64_t address)
{
	for (size_t i = 0; i < m->semaphores.count; i++)
		if (m->semaphores.items[i] == address)
			return;
	vec_append(&m->semaphores, address);
}

static struct arch_plan_options plan_options(const struct session_site *site)
{
	return (struct arch_plan_options){
		.trust_abi_flags = site->location->has_debug_info};
}

static enum kept_wish plan_wish(const struct session_site *site)
{
	if (site->is_entry_part || site->probe->kind != STAP_PROBE_URETURN)
		return KEPT_SITE;
	return site->probe->entry_values.count ? KEPT_EXITS : KEPT_RETURNS;
}

static void plan_entry(struct session *s, struct session_module *m, uint32_t index)
{
	const struct session_site *site = &s->sites.items[index];
	const struct stap_location *l = site->location;
	struct arch_plan_options options = plan_options(site);
	struct arch_plan *plan;
	struct error err = {0};
	size_t count;
	int r = kept_plans_get(m, l, KEPT_SITE, &options, &plan, &count, &err);
	if (r < 0) {
		plan_refuse(s, m, site, err.message);
		return;
	}
	plan_add_call(plan_add(m, l->function_start, l->function_end, plan), 0, index);
	free(plan);
	if (l->semaphore)
		plan_add_semaphore(m, l->semaphore);
}

/*
 * Handlers find the module's load address from where they are against the site's link-time address:
 * the first exit takes the site over, each further one has its own.
 */
static uint32_t plan_exit_site(
	struct session *s, uint32_t index, bool is_first, uint64_t address)
{
	struct session_site site = s->sites.items[index];
	site.link_address = address;
	if (is_first) {
		s->sites.items[index] = site;
		return index;
	}
	vec_append(&s->sites, site);
	return (uint32_t)s->sites.count - 1;
}

static bool plan_point_fires(struct session *s, const struct session_site *site,
	const struct arch_point *point)
{
	if (!point->is_tail_call || !site->probe->uses_return_value)
		return true;
	session_warn(s,
		"probe %s does not fire where the function leaves by a tail call at "
		"0x%llx: there is no return value yet",
		site->location->pp, (unsigned long long)point->address);
	return false;
}

/* Others leave by the same exits: who did not come in by the entry is none of the function's. */
static void plan_pair(struct session *s, struct session_module *m, uint32_t index,
	const struct arch_plan *entry)
{
	struct session_site site = s->sites.items[index];
	const struct stap_location *l = site.location;
	site.is_entry_part = true;
	site.link_address = l->link_address;
	vec_append(&s->sites, site);
	plan_add_call(plan_add(m, l->function_start, l->function_end, entry), 0,
		(uint32_t)s->sites.count - 1);
}

static void plan_tell_paired(struct session *s, uint32_t index)
{
	struct session_site *site = &s->sites.items[index];
	site->is_paired = true;
	site->pair_group = (uint32_t)s->program->probes.count + index;
	if (!site->probe->entry_values.count)
		return;
	/* the entries come before the exits, in the same order */
	struct session_site *entry = &s->sites.items[index - site->probe->location_count];
	entry->is_paired = true;
	entry->pair_group = site->pair_group;
}

static void plan_exits(struct session *s, struct session_module *m, uint32_t index)
{
	const struct session_site copy = s->sites.items[index], *site = &copy;
	bool is_first = true;
	const struct stap_location *l = site->location;
	struct arch_plan_options options = plan_options(site);
	struct arch_plan *plans = NULL;
	size_t count = 0;
	struct error err = {0};
	int r = kept_plans_get(m, l, plan_wish(site), &options, &plans, &count, &err);
	if (r < 0) {
		plan_refuse(s, m, site, err.message);
		return;
	}
	if (count == 0)
		plan_refuse(s, m, site, "the function never returns");
	const struct arch_plan *entry =
		count && !plans[count - 1].points[0].is_exit ? &plans[--count] : NULL;
	if (count && plans[0].points[0].is_shared)
		plan_tell_paired(s, index);
	for (size_t i = 0; i < count; i++) {
		struct session_patch *patch = NULL;
		for (unsigned int k = 0; k < plans[i].point_count; k++) {
			const struct arch_point *point = &plans[i].points[k];
			if (!plan_point_fires(s, site, point))
				continue;
			patch = patch ? patch
				      : plan_add(m, l->function_start, l->function_end,
						&plans[i]);
			plan_add_call(patch, k,
				plan_exit_site(s, index, is_first, point->address));
			is_first = false;
		}
	}
	if (entry && !is_first)
		plan_pair(s, m, index, entry);
	free(plans);
}

/* Where a call returns to, as a place of its own; false: its function never returns. */
static bool plan_place_behind(const struct session_module *m,
	const struct stap_location *stub, const struct arch_call *call,
	struct stap_location *ret)
{
	const char *name;
	*ret = *stub;
	ret->link_address = call->behind;
	if (!elf_module_function_at(m->elf, call->address, &ret->function_start,
		    &ret->function_end, &name)) {
		ret->function_start = call->address;
		ret->function_end = call->behind + 1;
	}
	return call->behind < ret->function_end;
}

/* A stub is left by a jump, so its function returns to where the stub was called. */
static void plan_behind_calls(struct session *s, struct session_module *m, uint32_t index)
{
	const struct session_site copy = s->sites.items[index], *site = &copy;
	struct arch_plan_options options = plan_options(site);
	size_t count, jumps = 0, placed = 0, refused = 0;
	const struct arch_call *calls = session_stub_calls(s, m, site->location, &count);
	for (size_t i = 0; i < count; i++) {
		struct stap_location l;
		struct arch_plan plan;
		struct error err = {0};
		jumps += !calls[i].behind;
		if (!calls[i].behind ||
			!plan_place_behind(m, site->location, &calls[i], &l))
			continue;
		if (arch_plan_site(m->text, l.link_address, l.function_start,
			    l.function_end, &options, &plan, &err) < 0) {
			plan_refuse(s, m, site, err.message);
			refused++;
			continue;
		}
		plan_add_call(plan_add(m, l.function_start, l.function_end, &plan), 0,
			plan_exit_site(s, index, placed == 0, l.link_address));
		placed++;
	}
	if (jumps)
		session_warn(s,
			"probe %s does not see the returns of %zu tail call%s: they lead to callers of callers",
			site->location->pp, jumps, jumps > 1 ? "s" : "");
	if (!placed && !jumps && !refused)
		plan_refuse(s, m, site,
			count ? "the function never returns"
			      : "nothing calls the stub directly");
}

static int plan_compare(const void *a, const void *b)
{
	const struct session_patch *left = a, *right = b;
	if (left->plan.address != right->plan.address)
		return left->plan.address < right->plan.address ? -1 : 1;
	bool left_exits = left->plan.points[0].is_exit,
	     right_exits = right->plan.points[0].is_exit;
	if (left_exits != right_exits)
		return left_exits ? 1 : -1;
	/* handlers of one place run in the order of the script */
	uint32_t a_site = left->handlers.items[0].site,
		 b_site = right->handlers.items[0].site;
	return a_site < b_site ? -1 : a_site > b_site;
}

/* Plan the same place again as a one-byte breakpoint. */
static bool plan_as_breakpoint(struct session_module *m, struct session_patch *patch)
{
	struct arch_plan_options options = {.no_jumps = true, .trust_abi_flags = false};
	struct arch_plan plan, *plans = NULL;
	size_t count = 0;
	bool done = false;
	const struct arch_point *point = &patch->plan.points[0];
	if (patch->plan.form == ARCH_PATCH_BREAKPOINT || patch->plan.point_count > 1)
		return false;
	if (!point->is_exit) {
		if (arch_plan_site(m->text, point->address, patch->function_start,
			    patch->function_end, &options, &plan, NULL) < 0)
			return false;
		patch->plan = plan;
		return true;
	}
	if (arch_plan_exits(m->text, patch->function_start, patch->function_end, &options,
		    &plans, &count, NULL) < 0)
		return false;
	for (size_t i = 0; i < count && !done; i++) {
		if (plans[i].point_count > 1 ||
			plans[i].points[0].address != point->address)
			continue;
		patch->plan = plans[i];
		done = true;
	}
	free(plans);
	return done;
}

static void plan_take_handlers(struct session_patch *into, struct session_patch *from)
{
	for (size_t i = 0; i < from->handlers.count; i++) {
		struct arch_handler_call call = from->handlers.items[i];
		int point =
			arch_plan_find_point(&into->plan, &from->plan.points[call.point]);
		call.point = (uint8_t)(point < 0 ? 0 : point);
		vec_append(&into->handlers, call);
	}
	vec_free(&from->handlers);
}

/*
 * Several probes on one function, a return probe's entry part next to an entry probe, or probes whose
 * windows overlap: one patch.
 */
static bool plan_merge(
	struct session_module *m, struct session_patch *into, struct session_patch *from)
{
	struct arch_plan_options options = {0};
	bool all_known = true;
	if (into->handlers.count + from->handlers.count > ARCH_MAX_HANDLERS)
		return false;
	for (unsigned int i = 0; i < from->plan.point_count; i++)
		all_known &=
			arch_plan_find_point(&into->plan, &from->plan.points[i]) >= 0;
	if (!all_known) {
		if (!arch_plans_overlap(&into->plan, &from->plan) ||
			into->function_start != from->function_start ||
			into->function_end != from->function_end ||
			!arch_plans_join(m->text, into->function_start,
				into->function_end, &options, &into->plan, &from->plan,
				&into->plan))
			return false;
	}
	plan_take_handlers(into, from);
	return true;
}

static void plan_resolve_overlaps(struct session *s, struct session_module *m)
{
	if (m->patches.count)
		qsort(m->patches.items, m->patches.count, sizeof(*m->patches.items),
			plan_compare);
	size_t kept = 0;
	for (size_t i = 0; i < m->patches.count; i++) {
		struct session_patch *next = &m->patches.items[i];
		struct session_patch *last = kept ? &m->patches.items[kept - 1] : NULL;
		if (last && plan_merge(m, last, next))
			continue;
		bool clash = last && arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_as_breakpoint(m, next))
			clash = arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_as_breakpoint(m, last))
			clash = arch_plans_overlap(&last->plan, &next->plan);
		if (clash && plan_merge(m, last, next))
			continue;
		if (clash) {
			const struct session_site *site =
				&s->sites.items[next->handlers.items[0].site];
			plan_refuse(s, m, site,
				last->handlers.count < ARCH_MAX_HANDLERS
					? "its bytes belong to the patch of another probe"
					: "too many probes have this place");
			vec_free(&next->handlers);
			continue;
		}
		if (kept != i)
			m->patches.items[kept] = *next;
		kept++;
	}
	m->patches.count = kept;
}

/* Does any patch want the padding that a short jump goes through?  Patches are sorted. */
static bool plan_padding_is_taken(
	const struct session_module *m, const struct session_patch *patch)
{
	size_t low = 0, high = m->patches.count;
	uint64_t padding = patch->plan.padding_address;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->patches.items[middle].plan.address + ARCH_MAX_WINDOW <= padding)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < m->patches.count; low++) {
		const struct session_patch *other = &m->patches.items[low];
		if (other->plan.address >= padding + ARCH_JUMP_SIZE)
			break;
		if (other != patch && arch_plans_overlap(&other->plan, &patch->plan))
			return true;
	}
	return false;
}

/* Neighbours in the list were compared; padding may lie anywhere within reach of a short jump. */
static void plan_free_padding(struct session_module *m)
{
	for (size_t i = 0; i < m->patches.count; i++) {
		struct session_patch *patch = &m->patches.items[i];
		if (patch->plan.form == ARCH_PATCH_JUMP_SHORT &&
			plan_padding_is_taken(m, patch))
			(void)plan_as_breakpoint(m, patch);
	}
}

/* What is kept for a goroutine has little room (runtime/pair_go.c). */
static bool plan_loses_values(const struct session *s, const struct session_module *m,
	const struct session_site *site)
{
	const struct stap_derived_probe *probe = site->probe;
	size_t size = 0;
	for (size_t i = 0; i < probe->entry_values.count; i++)
		size += probe->entry_values.items[i]->type == STAP_TYPE_STRING
				? session_limit(s->options, "MAXSTRINGLEN", 512) + 8
				: sizeof(int64_t);
	return probe->kind == STAP_PROBE_URETURN && size > RT_PAIR_GO_MAX &&
	       elf_module_is_go(m->elf);
}

static bool plan_wants_exits(const struct session_site *site)
{
	return site->probe->kind == STAP_PROBE_URETURN && !site->is_entry_part;
}

static bool plan_is_behind_calls(const struct session_site *site)
{
	return plan_wants_exits(site) && site->location->is_behind_calls;
}

static bool plan_is_of_event(const struct session_site *site)
{
	return !site->location || site->location->event;
}

/* What is going to be asked decides what can be taken from the cache. */
static void plan_recall(struct session *s)
{
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct session_site *site = &s->sites.items[i];
		if (plan_is_of_event(site))
			continue;
		struct session_module *m = session_plan_module(s, site->location);
		struct arch_plan_options options = plan_options(site);
		if (plan_is_behind_calls(site))
			continue;
		if (!plan_loses_values(s, m, site))
			kept_plans_ask(m, site->location, plan_wish(site), &options);
	}
	for (size_t i = 0; i < s->modules.count; i++)
		kept_plans_recall(&s->modules.items[i]);
}

/* Which handlers have to be there. */
static void plan_tell_pairs(struct session *s)
{
	for (size_t i = 0; i < s->program->probes.count; i++) {
		struct stap_derived_probe *probe = s->program->probes.items[i];
		probe->is_paired_somewhere = false;
		probe->is_paired_everywhere = true;
	}
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct session_site *site = &s->sites.items[i];
		struct stap_derived_probe *probe =
			s->program->probes.items[site->probe->index];
		probe->is_paired_somewhere |= site->is_paired;
		if (!site->is_entry_part)
			probe->is_paired_everywhere &= site->is_paired;
	}
}

int session_plan(struct session *s, struct error *err)
{
	uint32_t count = (uint32_t)s->sites.count; /* exits add to them */
	plan_recall(s);
	for (uint32_t i = 0; i < count; i++) {
		const struct session_site *site = &s->sites.items[i];
		if (plan_is_of_event(site))
			continue;
		struct session_module *m = session_plan_module(s, site->location);
		s->uprobe_count++;
		if (plan_loses_values(s, m, site)) {
			if (!site->is_entry_part)
				plan_refuse(s, m, site,
					"it keeps more from the entry than there is room for with a goroutine: "
					"strings are long");
			continue;
		}
		if (plan_is_behind_calls(site))
			plan_behind_calls(s, m, i);
		else if (plan_wants_exits(site))
			plan_exits(s, m, i);
		else
			plan_entry(s, m, i);
	}
	session_plan_keepers(s, count);
	plan_tell_pairs(s);
	size_t patches = 0;
	for (size_t i = 0; i < s->modules.count; i++)
		kept_plans_keep(&s->modules.items[i]);
	for (size_t i = 0; i < s->modules.count; i++) {
		plan_resolve_overlaps(s, &s->modules.items[i]);
		plan_free_padding(&s->modules.items[i]);
		patches += s->modules.items[i].patches.count;
		session_plan_lodge(&s->modules.items[i]);
	}
	for (size_t i = 0; i < s->modules.count; i++)
		uprobe_text_keep(s->modules.items[i].elf, s->modules.items[i].text);
	if (s->uprobe_count && !patches)
		return error_set(err, -EINVAL,
			"none of the %zu probe points can be placed", s->uprobe_count);
	return 0;
}

static void bind_call(const struct session *s, struct arch_handler_call *call)
{
	const struct codegen_handler *h = s->sites.items[call->site].handler;
	call->runtime_address = h->code_offset;
	call->needs_callee_saved = h->needs_callee_saved;
	call->is_inline_count = h->is_inline_count;
	call->inline_shard_offset = h->inline_shard_offset;
	call->inline_increment = h->inline_increment;
}

static void bind_sites(struct session *s)
{
	enum {
		KINDS = 4
	};
	size_t count = s->program->probes.count;
	const struct codegen_handler **handlers =
		calloc(count * KINDS + 1, sizeof(struct codegen_handler *));
	if (!handlers)
		abort();
	for (uint32_t i = 0; i < s->code.handler_count; i++) {
		const struct codegen_handler *h = &s->code.handlers[i];
		handlers[h->probe->index * KINDS + 2 * h->is_paired + h->is_entry_part] =
			h;
	}
	for (size_t i = 0; i < s->sites.count; i++) {
		struct session_site *site = &s->sites.items[i];
		site->handler =
			site->is_keeper
				? &s->keeper
				: handlers[site->probe->index * KINDS +
					   2 * site->is_paired + site->is_entry_part];
		assert(site->handler);
	}
	free(handlers);
}

int session_plan_bind(struct session *s, struct error *err)
{
	int64_t keeper = codegen_symbol(&s->code, "rt_entered");
	if (keeper < 0)
		return error_set(
			err, -ENOENT, "the agent image has no symbol rt_entered");
	s->keeper = (struct codegen_handler){
		.is_entry_part = true, .code_offset = (uint32_t)keeper};
	bind_sites(s);
	for (size_t i = 0; i < s->modules.count; i++) {
		struct session_module *m = &s->modules.items[i];
		for (size_t k = 0; k < m->patches.count; k++) {
			struct session_patch *patch = &m->patches.items[k];
			for (size_t n = 0; n < patch->handlers.count; n++)
				bind_call(s, &patch->handlers.items[n]);
		}
	}
	return 0;
}

/* ---- telling ---------------------------------------------------------------------------------------------- */

static void describe_plan(const struct arch_plan *plan, struct strbuf *out)
{
	const struct arch_point *point = &plan->points[0];
	strbuf_printf(out, "    %#llx: ", (unsigned long long)point->address);
	switch (plan->form) {
	case ARCH_PATCH_JUMP_SINGLE:
		strbuf_printf(out, "jump over one instruction");
		break;
	case ARCH_PATCH_JUMP_WINDOW:
		strbuf_printf(out, "jump over %u instructions", plan->insn_count);
		break;
	case ARCH_PATCH_JUMP_SHORT:
		strbuf_printf(out,
			plan->is_lodged ? "short jump through other instructions at %#llx"
					: "short jump to padding at %#llx",
			(unsigned long long)plan->padding_address);
		break;
	case ARCH_PATCH_BREAKPOINT:
		strbuf_printf(out, "breakpoint");
		break;
	}
	strbuf_printf(out, ", %u byte%s at %#llx", plan->window,
		plan->window == 1 ? "" : "s", (unsigned long long)plan->address);
	for (unsigned int i = 0; i < plan->point_count; i++) {
		point = &plan->points[i];
		if (point->is_exit)
			strbuf_printf(out, ", %sexit%s at %#llx",
				point->is_conditional ? "conditional " : "",
				point->is_tail_call ? " by a tail call" : "",
				(unsigned long long)point->address);
	}
	if (plan->no_jump)
		strbuf_printf(out, ": no jump, %s (at %#llx)", plan->no_jump,
			(unsigned long long)plan->no_jump_at);
	strbuf_putc(out, '\n');
}

static void describe_refusal(
	const struct stap_location *l, const struct error *err, struct strbuf *out)
{
	strbuf_printf(out, "    %#llx: refused: %s\n",
		(unsigned long long)l->link_address, err->message);
}

struct planned {
	const struct arch_plan *plans;
	size_t count, own;
};

static bool is_unplanned(void *data, uint64_t low, uint64_t high)
{
	const struct planned *planned = data;
	for (size_t i = 0; i < planned->count; i++)
		if (i != planned->own && planned->plans[i].address < high &&
			low < planned->plans[i].address + planned->plans[i].window)
			return false;
	return true;
}

/* As it would be without other probes. */
static void describe_planned(struct session_module *m, const struct stap_location *l,
	const struct arch_plan_options *options, const struct arch_plan *plans,
	size_t count, struct strbuf *out)
{
	for (size_t i = 0; i < count; i++) {
		struct planned planned = {plans, count, i};
		struct arch_plan lodger, host;
		bool lodges = arch_plan_lodge(m->text, l->function_start, l->function_end,
			options, &plans[i], is_unplanned, &planned, &lodger, &host);
		describe_plan(lodges ? &lodger : &plans[i], out);
	}
}

static void describe_site(
	struct session_module *m, const struct stap_location *l, struct strbuf *out)
{
	struct arch_plan_options options = {.trust_abi_flags = l->has_debug_info};
	struct arch_plan plan;
	struct error err = {0};
	if (arch_plan_site(m->text, l->link_address, l->function_start, l->function_end,
		    &options, &plan, &err) < 0)
		describe_refusal(l, &err, out);
	else
		describe_planned(m, l, &options, &plan, 1, out);
}

static void describe_entrance(struct session_module *m, const struct stap_location *l,
	uint64_t entrance, struct strbuf *out)
{
	uint64_t start, end;
	const char *name;
	strbuf_printf(out, "    others come to its exits at %#llx",
		(unsigned long long)entrance);
	if (elf_module_function_at(m->elf, entrance, &start, &end, &name) && name)
		strbuf_printf(
			out, " (%s+%#llx)", name, (unsigned long long)(entrance - start));
	strbuf_printf(out, ": only those count that came in by the entry\n");
	describe_site(m, l, out);
}

static void describe_exits(
	struct session_module *m, const struct stap_location *l, struct strbuf *out)
{
	struct arch_plan_options options = {.trust_abi_flags = l->has_debug_info};
	struct arch_plan *plans = NULL;
	struct error err = {0};
	size_t count = 0;
	uint64_t entrance;
	if (arch_find_entrance(m->text, l->function_start, l->function_end, &entrance))
		describe_entrance(m, l, entrance, out);
	if (arch_plan_exits(m->text, l->function_start, l->function_end, &options, &plans,
		    &count, &err) < 0)
		describe_refusal(l, &err, out);
	else if (count == 0)
		strbuf_printf(out, "    %#llx: refused: the function never returns\n",
			(unsigned long long)l->link_address);
	describe_planned(m, l, &options, plans, count, out);
	free(plans);
}

static void describe_behind_calls(struct session *s, struct session_module *m,
	const struct stap_location *l, struct strbuf *out)
{
	size_t count;
	const struct arch_call *calls = session_stub_calls(s, m, l, &count);
	struct stap_location behind;
	for (size_t i = 0; i < count; i++)
		if (calls[i].behind && plan_place_behind(m, l, &calls[i], &behind))
			describe_site(m, &behind, out);
}

void session_plan_describe(
	struct session *s, const struct stap_location *location, struct strbuf *out)
{
	struct session_module *m = session_plan_module(s, location);
	if (location->is_behind_calls)
		describe_behind_calls(s, m, location, out);
	else if (location->is_return)
		describe_exits(m, location, out);
	else
		describe_site(m, location, out);
	if (location->semaphore)
		strbuf_printf(out, "    raises the semaphore at %#llx\n",
			(unsigned long long)location->semaphore);
}

void session_plan_free(struct session *s)
{
	for (size_t i = 0; i < s->modules.count; i++) {
		struct session_module *m = &s->modules.items[i];
		for (size_t k = 0; k < m->patches.count; k++)
			vec_free(&m->patches.items[k].handlers);
		vec_free(&m->patches);
		vec_free(&m->semaphores);
		vec_free(&m->meant);
		arch_text_destroy(m->text);
		free(m->calls);
		kept_plans_free(m->kept);
	}
	vec_free(&s->modules);
}
