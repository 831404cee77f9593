/* SPDX-License-Identifier: MIT */
/* The agent's signal front: installed over the program's own actions, which it passes
 * signals to. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/agent.h"
#include "inject/internal.h"

enum {
	KERNEL_SA_RESTORER = 0x04000000,
	KERNEL_SIGSET_SIZE = 8
};

/* rt_sigaction(); the scratch page holds the new action, then the old one. */
static int change_action(struct inject *inject, int signal,
	const struct agent_sigaction *new, struct agent_sigaction *ret_old,
	struct error *err)
{
	uint64_t at = inject->scratch, old_at = at + sizeof(*new);
	int r = 0;
	if (new)
		r = remote_memory_write(inject->memory_fd, at, new, sizeof(*new));
	if (r < 0)
		return error_set(err, r, "cannot write to process %d: %s", inject->pid,
			strerror(-r));
	const uint64_t args[6] = {
		(uint64_t)signal, new ? at : 0, old_at, KERNEL_SIGSET_SIZE};
	r = inject_call(inject, "rt_sigaction", SYS_rt_sigaction, args, NULL, err);
	if (r < 0 || !ret_old)
		return r;
	return remote_memory_read(inject->memory_fd, old_at, ret_old, sizeof(*ret_old));
}

static bool has_handler(const struct agent_sigaction *action)
{
	return action->handler != (uint64_t)(uintptr_t)SIG_DFL &&
	       action->handler != (uint64_t)(uintptr_t)SIG_IGN;
}

/*
 * The front runs the program's handler inside the frame the kernel built for the front:
 * on the stack and under the mask that the program asked for.  SA_RESETHAND is the
 * front's to honour.
 */
static struct agent_sigaction front_action(
	const struct agent_sigaction *old, uint64_t front, uint64_t restorer)
{
	struct agent_sigaction action = {.handler = front, .restorer = restorer};
	action.flags = SA_SIGINFO | KERNEL_SA_RESTORER;
	if (has_handler(old)) {
		action.flags |= old->flags & (SA_ONSTACK | SA_RESTART | SA_NODEFER);
		action.mask = old->mask;
	} else {
		/* blocked while it runs: see raise_blocked() of the agent */
		action.flags |= SA_ONSTACK | SA_RESTART;
	}
	return action;
}

static int save_action(struct inject *inject, uint64_t table, int signal,
	const struct agent_sigaction *action, struct error *err)
{
	uint64_t at = table + (uint64_t)signal * sizeof(*action);
	int r = remote_memory_write(inject->memory_fd, at, action, sizeof(*action));
	return r < 0 ? error_set(err, r, "cannot write to process %d: %s", inject->pid,
			       strerror(-r))
		     : 0;
}

static int install_one(struct inject *inject, int signal, uint64_t front,
	uint64_t restorer, uint64_t table, struct error *err)
{
	struct agent_sigaction old, replaced;
	int r = change_action(inject, signal, NULL, &old, err);
	if (r < 0 || old.handler == front)
		return r;
	/* The front may run as soon as it is installed: it needs the old action before
	 * that. */
	r = save_action(inject, table, signal, &old, err);
	if (r < 0)
		return r;
	struct agent_sigaction action = front_action(&old, front, restorer);
	r = change_action(inject, signal, &action, &replaced, err);
	if (r < 0 || memcmp(&old, &replaced, sizeof(old)) == 0)
		return r;
	/* Another thread changed it in between. */
	r = save_action(inject, table, signal, &replaced, err);
	if (r < 0)
		return r;
	action = front_action(&replaced, front, restorer);
	return change_action(inject, signal, &action, NULL, err);
}

int inject_install_signal_front(struct inject *inject, uint64_t front, uint64_t restorer,
	uint64_t table, uint64_t signals, struct error *err)
{
	int r = inject_scratch(inject, err);
	for (int signal = 1; r == 0 && signal < AGENT_SIGNALS; signal++) {
		if (signals >> (signal - 1) & 1)
			r = install_one(inject, signal, front, restorer, table, err);
	}
	return r;
}

static int remove_one(struct inject *inject, int signal, uint64_t front, uint64_t table,
	struct error *err)
{
	struct agent_sigaction now, old;
	int r = change_action(inject, signal, NULL, &now, err);
	if (r < 0 || now.handler != front)
		return r; /* the program has put its own in place: that stays */
	uint64_t at = table + (uint64_t)signal * sizeof(old);
	r = remote_memory_read(inject->memory_fd, at, &old, sizeof(old));
	if (r < 0)
		return error_set(err, r, "cannot read from process %d: %s", inject->pid,
			strerror(-r));
	return change_action(inject, signal, &old, NULL, err);
}

int inject_remove_signal_front(struct inject *inject, uint64_t front, uint64_t table,
	uint64_t signals, struct error *err)
{
	int r = inject_scratch(inject, err);
	for (int signal = 1; r == 0 && signal < AGENT_SIGNALS; signal++) {
		if (signals >> (signal - 1) & 1)
			r = remove_one(inject, signal, front, table, err);
	}
	return r;
}

int inject_get_signal_action(
	struct inject *inject, int signal, struct agent_sigaction *ret, struct error *err)
{
	int r = inject_scratch(inject, err);
	return r < 0 ? r : change_action(inject, signal, NULL, ret, err);
}
