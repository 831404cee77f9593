/* SPDX-License-Identifier: MIT */
/*
 * From the places a script probes to patches: one list per ELF file, computed once and
 * used for every process that maps the file.
 *
 * Each site becomes one entry patch, or one exit patch for every way out of its function; then those that would be in
 * each other's way are resolved (overlaps.c).  Every refusal is told with its rule.
 */
#include "session/plan.h"

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

void plan_refuse(struct session *s, struct session_module *m,
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

bool plan_place_behind(const struct session_module *m, const struct stap_location *stub,
	const struct arch_call *call, struct stap_location *ret)
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
