/* SPDX-License-Identifier: MIT */
/*
 * Hidden probes at the entries of functions whose arguments are wanted further on, where registers have other values
 * (STAP_ACCESS_ENTRY).  They all run the same code of the agent, rt_entered().
 */
#include <errno.h>
#include <string.h>

#include "session/internal.h"
#include "session/stap_target.h"
#include "stap/target.h"

struct entries {
	const struct stap_derived_probe *probe;
	VEC(uint64_t) items; /* link-time addresses */
};

static void add_entry(struct entries *entries, uint64_t address)
{
	for (size_t i = 0; i < entries->items.count; i++)
		if (entries->items.items[i] == address)
			return;
	vec_append(&entries->items, address);
}

static bool look_at(struct stap_expr *expr, void *data)
{
	const struct stap_access *access =
		expr->kind == STAP_EXPR_TARGET ? expr->target.access : NULL;
	for (uint32_t i = 1; access && i < access->op_count; i++)
		if (access->ops[i].kind == STAP_ACCESS_ENTRY &&
			access->ops[i - 1].kind == STAP_ACCESS_STATIC)
			add_entry(data, (uint64_t)access->ops[i - 1].value);
	return true;
}

static void find_entries(const struct stap_derived_probe *probe, struct entries *ret)
{
	if (ret->probe == probe)
		return;
	ret->probe = probe;
	ret->items.count = 0;
	stap_walk(probe->body, look_at, ret);
	if (probe->condition)
		stap_walk_expr(probe->condition, look_at, ret);
	for (size_t i = 0; i < probe->entry_values.count; i++)
		stap_walk_expr(probe->entry_values.items[i], look_at, ret);
}

static bool is_kept(const struct session *s, const struct session_module *m, size_t first,
	uint64_t address)
{
	for (size_t i = first; i < s->sites.count; i++)
		if (s->sites.items[i].link_address == address &&
			stap_target_module(s->sites.items[i].location) == m->elf)
			return true;
	return false;
}

static int plan_keeper(struct session *s, struct session_module *m,
	const struct session_site *wants, uint64_t address, struct error *err)
{
	struct arch_plan_options options = {
		.trust_abi_flags = wants->location->has_debug_info};
	struct arch_plan plan;
	uint64_t start, end;
	const char *name;
	if (!elf_module_function_at(m->elf, address, &start, &end, &name) ||
		start != address)
		return error_set(err, -ENOENT, "no function begins there");
	int r = arch_plan_site(m->text, address, start, end, &options, &plan, err);
	if (r < 0)
		return r;
	vec_append(&s->sites, ((struct session_site){.probe = wants->probe,
				      .location = wants->location,
				      .link_address = address,
				      .is_entry_part = true,
				      .is_keeper = true}));
	struct session_patch *patch = vec_push(&m->patches);
	patch->plan = plan;
	patch->function_start = start;
	patch->function_end = end;
	vec_append(&patch->handlers,
		((struct arch_handler_call){.site = (uint32_t)s->sites.count - 1}));
	return 0;
}

void session_plan_keepers(struct session *s, size_t site_count)
{
	size_t first = s->sites.count;
	struct entries entries = {0};
	for (size_t i = 0; i < site_count; i++) {
		/* adding some moves them */
		const struct session_site wants = s->sites.items[i];
		if (!wants.location || wants.location->event)
			continue;
		find_entries(wants.probe, &entries);
		for (size_t k = 0; k < entries.items.count; k++) {
			struct session_module *m = session_plan_module(s, wants.location);
			uint64_t address = entries.items.items[k];
			struct error err = {0};
			if (is_kept(s, m, first, address) ||
				plan_keeper(s, m, &wants, address, &err) == 0)
				continue;
			session_warn(s,
				"probe %s does not know values from the function's entry at 0x%llx: %s",
				wants.location->pp, (unsigned long long)address,
				err.message);
		}
	}
	vec_free(&entries.items);
}
