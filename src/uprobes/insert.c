/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "uprobes/space.h"

#define SIGNAL_BIT(signal) (1ull << ((signal)-1))

/* Signals the agent has to take by itself once no tracer does it any more. */
static uint64_t wanted_front(const struct uprobe_space *space)
{
	/* defer.c steps threads, which leaves one more SIGTRAP behind when the tracer is killed */
	uint64_t signals = SIGNAL_BIT(SIGTRAP);

	if (space->session.needs_signal_front)
		signals |= SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS);
	return signals;
}

/* The check of interiors looks at sites that are being changed. */
static void begin_check(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++)
		if (space->sites.items[i].state == SITE_PENDING)
			space->sites.items[i].state = SITE_TRANSIENT;
}

static void end_check(struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state != SITE_TRANSIENT || !site->request)
			continue;
		site->state = SITE_PENDING;
		if (site->request->status) {
			struct error why = site->request->refused;
			site_refuse(space, site, &why);
		}
	}
}

static int change_stopped(struct uprobe_space *space, struct error *err)
{
	struct held_threads held;
	struct error ignored;
	/* The victim must show its own registers. */
	int r = space_release_victim(space, err);

	if (r < 0)
		return r;
	r = threads_stop(space->session.utrace, space->pid, &held, err);
	if (r < 0)
		return r;
	begin_check(space);
	for (size_t i = 0; i < held.threads.count; i++)
		thread_leave_interior(space, &held.threads.items[i], &ignored);
	end_check(space);
	r = poke_insert_stopped(space, err);
	if (r >= 0)
		r = space_sync_stopped(space, err);
	threads_resume(&held);
	return r;
}

/* The victim is the only thread.  It was stopped anywhere, in the middle of a window as well. */
static int change_single(struct uprobe_space *space, struct error *err)
{
	begin_check(space);
	int r = threads_leave_interiors(space, err);
	end_check(space);
	return r < 0 ? r : poke_insert_stopped(space, err);
}

static int change_text(struct uprobe_space *space, struct error *err)
{
	struct error why;

	if (space->is_bare)
		return bare_insert(space, err);
	/* Before the first breakpoint is in the text: a thread that hits one survives the tracer, whose
	 * death lets stopped threads run as well. */
	int r = front_install(space, SIGNAL_BIT(SIGTRAP), err);
	threads_note_blocked(space);
	bool trap_blocked = threads_have_trap_blocked(space);
	if (r >= 0 && trap_blocked)
		r = arena_register_itself(space, err);
	if (r < 0)
		return r;
	if (space_is_single_stopped(space))
		return change_single(space, err);
	/* Tried before the first byte changes: without it nothing may run meanwhile, nor where
	 * a breakpoint is not survived. */
	bool synced = inject_sync_cores(space->inject, &why) >= 0;
	if (!synced || trap_blocked)
		return change_stopped(space, err);
	return poke_insert_live(space, err);
}

static bool has_pending(const struct uprobe_space *space)
{
	for (size_t i = 0; i < space->sites.count; i++)
		if (space->sites.items[i].state == SITE_PENDING)
			return true;
	return false;
}

/* Nothing pending may stay in the table: it would be taken for ours. */
static void settle(struct uprobe_space *space)
{
	struct error why;

	error_set(&why, -ECANCELED, "not inserted");
	for (size_t i = 0; i < space->sites.count; i++) {
		struct uprobe_site *site = &space->sites.items[i];
		if (site->state == SITE_PENDING)
			site_refuse(space, site, &why);
		site->request = NULL;
	}
}

static int insert_pending(struct uprobe_space *space, struct error *err)
{
	int r = place_trampolines(space, err);

	if (r >= 0)
		r = place_journal(space, err);
	place_refuse_lodgers(space);
	if (r >= 0)
		r = arena_publish_traps(space, err);
	space->inserting = true;
	if (r >= 0 && has_pending(space))
		r = change_text(space, err);
	space->inserting = false;
	if (r < 0 || space->is_bare)
		return r;
	/* Refused sites are in the table still, and one that stays a breakpoint needs the
	 * front. */
	bool taken;
	r = space_take_victim(space, &taken, err);
	if (r >= 0)
		r = front_repair(space, err);
	uint64_t wanted = wanted_front(space);
	(void)!threads_settle_traps(space);
	if (r >= 0)
		r = front_install(space, wanted, err);
	return r < 0 ? r : front_remove(space, ~wanted, err);
}

int uprobe_insert(struct uprobe_space *space, struct uprobe_request *requests,
	size_t count, struct error *err)
{
	bool taken = false;
	if (!space->is_bare && space_is_filtered(space))
		return error_set(err, -EPERM,
			"process %d has put a seccomp filter on, which may kill it for a call of ours",
			space->pid);
	int r = place_admit(space, requests, count, err);

	if (r >= 0 && has_pending(space))
		r = space_take_victim(space, &taken, err);
	bool was_held = !taken;
	if (r >= 0 && has_pending(space))
		r = insert_pending(space, err);
	settle(space);
	if (space->inject && inject_has_victim(space->inject) && !was_held) {
		struct error why;
		int released = space_release_victim(space, &why);
		if (released < 0 && r >= 0) {
			r = released;
			if (err)
				*err = why;
		}
	}
	return r;
}
