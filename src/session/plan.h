/* SPDX-License-Identifier: MIT */
/* What the files that plan patches (plan.c, overlaps.c, describe.c) share. */
#pragma once

#include "session/internal.h"

/** plan_refuse() - tell that a site gets no patch, and why */
void plan_refuse(struct session *s, struct session_module *m,
	const struct session_site *site, const char *why);
/** plan_place_behind() - where a call of a stub returns to, as a place of its own; false: its function never returns */
bool plan_place_behind(const struct session_module *m, const struct stap_location *stub,
	const struct arch_call *call, struct stap_location *ret);
/** plan_resolve_overlaps() - once all patches of the file are known: none overwrites another's bytes */
void plan_resolve_overlaps(struct session *s, struct session_module *m);
/** plan_free_padding() - a short jump whose padding another patch needs becomes a breakpoint */
void plan_free_padding(struct session_module *m);
