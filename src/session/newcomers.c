/* SPDX-License-Identifier: MIT */
/*
 * Processes of the probed files that start while a run without -c and -x goes on.
 *
 * Nobody tells of them, so the list of processes is looked at ten times a second.  What a process runs
 * is what its number alone does not say: a shell's child has the shell's program until its exec.  A
 * probed library may come later still, so a new program's mappings are looked at for a while.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "session/events.h"
#include "session/process.h"

enum {
	LOOK_NS = 100000000,
	LOOKS = 2,          /* at the mappings of a new program */
	LOOKS_LIBRARY = 15, /* ... when it may map a probed library */
};

struct newcomer {
	pid_t pid;
	uint64_t program; /* its file; 0: not to be known, or none */
	unsigned looks;   /* left */
};

struct session_newcomers {
	VEC(struct newcomer) seen; /* by pid, as /proc lists them */
	int64_t looked_ns;
	bool began;
};

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t program_of(pid_t pid)
{
	char path[32];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)proc_task_with_memory(pid));
	return stat(path, &st) == 0 ? proc_fold_inode(st.st_dev, st.st_ino) : 0;
}

static struct newcomer look_again(
	const struct session *s, const struct newcomer *known, pid_t pid, bool began)
{
	struct newcomer now = {.pid = pid, .program = program_of(pid)};
	if (known && known->program == now.program)
		now.looks = known->looks ? known->looks - 1 : 0;
	else if (now.program && began)
		now.looks = process_may_load_libraries(s, NULL) ? LOOKS_LIBRARY : LOOKS;
	else if (now.program)
		now.looks = 1; /* it was there before, and has been looked at */
	return now;
}

static const struct newcomer *find_known(
	const struct session_newcomers *n, size_t *at, pid_t pid)
{
	while (*at < n->seen.count && n->seen.items[*at].pid < pid)
		++*at;
	return *at < n->seen.count && n->seen.items[*at].pid == pid ? &n->seen.items[*at]
								    : NULL;
}

static void attach(struct session *s, struct newcomer *newcomer)
{
	struct error err = {0};
	int r = session_targets_attach(s, newcomer->pid, &err);
	struct session_process *p = process_find(s, newcomer->pid);
	newcomer->looks = 0;
	if (r < 0 && r != -ESRCH)
		session_warn(s, "%s", err.message);
	if (r == 0 && p)
		session_event_start_process(s, p);
}

static void look(struct session *s, struct session_newcomers *n)
{
	struct proc_tids pids = {0};
	struct session_newcomers next = {.began = true};
	size_t at = 0;
	if (proc_list_processes(&pids, NULL) < 0)
		return;
	for (size_t i = 0; i < pids.tids.count && !s->stopping; i++) {
		pid_t pid = pids.tids.items[i];
		struct newcomer now =
			look_again(s, find_known(n, &at, pid), pid, n->began);
		if (now.looks && pid != getpid() && !process_find(s, pid) &&
			session_targets_wants(s, pid))
			attach(s, &now);
		vec_append(&next.seen, now);
	}
	vec_free(&pids.tids);
	vec_free(&n->seen);
	*n = next;
	n->looked_ns = now_ns();
}

void session_newcomers_look(struct session *s)
{
	if (s->options->command || s->options->pid || s->stopping ||
		!session_targets_wants_any(s))
		return;
	if (!s->newcomers)
		s->newcomers = arena_new(&s->arena, struct session_newcomers);
	if (now_ns() - s->newcomers->looked_ns >= LOOK_NS)
		look(s, s->newcomers);
}

void session_newcomers_free(struct session *s)
{
	if (s->newcomers)
		vec_free(&s->newcomers->seen);
}
