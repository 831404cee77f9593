/* SPDX-License-Identifier: MIT */
/* Single plans, from the cache where an earlier run asked the same of the same file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "arch/arch.h"
#include "base/error.h"

struct session_module;
struct stap_location;
struct kept_plans;

enum kept_wish {
	KEPT_SITE,
	KEPT_EXITS,
	KEPT_RETURNS, /* exits; when they are shared, also the entry, as the last one */
};

/** kept_plans_ask() - first all that will be asked of a module, in the order of kept_plans_get() */
void kept_plans_ask(struct session_module *m, const struct stap_location *l,
	enum kept_wish wish, const struct arch_plan_options *options);
/** kept_plans_recall() - then look it up */
void kept_plans_recall(struct session_module *m);
/**
 * kept_plans_get() - then the answers, one by one: of arch_plan_site() or arch_plan_exits()
 * @ret: malloc'ed, free() it
 */
must_check int kept_plans_get(struct session_module *m, const struct stap_location *l,
	enum kept_wish wish, const struct arch_plan_options *options,
	struct arch_plan **ret, size_t *ret_count, struct error *err);
/** kept_plans_keep() - after the last one */
void kept_plans_keep(struct session_module *m);
void kept_plans_free(struct kept_plans *kept);
