/* SPDX-License-Identifier: MIT */
/*
 * Where threads are.  A blocked thread's pc can be read without touching it
 * (/proc/PID/task/TID/ syscall); only the few that run are interrupted.  Holding a thread
 * is done with an engine of our own, so it does not matter what the session's engine
 * wants meanwhile.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "uprobes/space.h"
#include "utrace/run.h"

enum {
	STOP_TIMEOUT_MS = 2000,
	EVACUATE_MS = 2000,
	MAX_CALLS = 16,
	RUN_ON_USEC = 100,
	RUN_ON_MAX_USEC = 10000,
	SYNC_NAP_NS = 30000000, /* some ticks of the kernel's clock */
	RUN_ON_PAUSES = 100,    /* of a thread that is given no processor */
	EVACUATE_ROUNDS = 20,
	STEPS_MAX = 100000,
	SYSCALL_SIZE = 2
};

/* ---- tasks of an address space
 * ---------------------------------------------------------------- */

static bool shares_memory(pid_t pid, const struct utrace_task *task)
{
	if (utrace_task_pid(task) == pid)
		return true;
	return syscall(SYS_kcmp, pid, utrace_task_tid(task), KCMP_VM, 0, 0) == 0;
}

static struct utrace_task *skip_strangers(struct utrace_task *task, pid_t pid)
{
	while (task && !shares_memory(pid, task))
		task = utrace_next_task(task, 0);
	return task;
}

struct utrace_task *space_first_task(struct utrace *utrace, pid_t pid)
{
	return skip_strangers(utrace_first_task(utrace, 0), pid);
}

struct utrace_task *space_next_task(struct utrace_task *task, pid_t pid)
{
	return skip_strangers(utrace_next_task(task, 0), pid);
}

/* ---- holding
 * -------------------------------------------------------------------------------------
 */

static const struct utrace_engine_ops hold_ops = {0};

static int hold(struct utrace_task *task, struct utrace_engine *engine, struct error *err)
{
	int r = utrace_control(task, engine, UTRACE_STOP);

	if (r < 0 && r != -EINPROGRESS)
		return r;
	return utrace_wait_stopped(task, STOP_TIMEOUT_MS, err);
}

int thread_stop(struct utrace_task *task, struct held_thread *ret, struct error *err)
{
	struct utrace_engine *engine;
	pid_t tid = utrace_task_tid(task);
	int r = utrace_attach_task(task, UTRACE_ATTACH_CREATE, &hold_ops, NULL, &engine);

	if (r < 0)
		return error_set(err, r, "cannot hold thread %d: %s", tid, strerror(-r));
	r = hold(task, engine, err);
	/* Where a call begins nothing can be called in its place: rather where it ends. */
	for (int i = 0; i < MAX_CALLS && r == 0 && utrace_engine_task(engine) &&
			utrace_task_is_at_call(task);
		i++) {
		r = utrace_control(task, engine, UTRACE_RESUME);
		if (r == 0)
			r = hold(task, engine, err);
	}
	*ret = (struct held_thread){.tid = tid, .engine = engine};
	if (r < 0) {
		thread_resume(ret);
		return r;
	}
	return 0;
}

void thread_resume(struct held_thread *thread)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);

	/* where it cannot be led back it makes its call as any other */
	if (task && utrace_task_is_stopped(task))
		(void)!utrace_task_return_to_call(task, false);
	/* -ESRCH: it is gone, and nothing has to run on */
	if (task && utrace_control(task, thread->engine, UTRACE_DETACH) < 0)
		thread->tid = 0;
	utrace_engine_put(thread->engine);
	thread->engine = NULL;
}

/* An interrupt that arrives before it has a processor would be taken before the first instruction, again
 * and again where others want the processor, too. */
static void wait_for_turn(pid_t tid, uint64_t turns, unsigned int usec)
{
	const struct timespec pause = {.tv_nsec = (long)usec * 1000};
	struct proc_stat stat;

	for (int i = 0; i < RUN_ON_PAUSES; i++) {
		nanosleep(&pause, NULL);
		if (!turns || proc_read_turns(tid) != turns ||
			proc_read_stat(tid, &stat) < 0 || stat.state != 'R')
			return;
	}
}

int thread_run_on(struct held_thread *thread, unsigned int usec)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);
	uint64_t turns = proc_read_turns(thread->tid);

	if (!task)
		return -ESRCH;
	int r = utrace_control(task, thread->engine, UTRACE_RESUME);
	if (r < 0)
		return r;
	wait_for_turn(thread->tid, turns, usec);
	r = utrace_dispatch(utrace_task_tracer(task), NULL);
	task = utrace_engine_task(thread->engine);
	if (!task)
		return -ESRCH;
	r = utrace_control(task, thread->engine, UTRACE_STOP);
	if (r < 0 && r != -EINPROGRESS)
		return r;
	return utrace_wait_stopped(task, STOP_TIMEOUT_MS, NULL);
}

int thread_regs(const struct held_thread *thread, struct user_regs_struct *ret)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);

	return task ? utrace_get_regs(task, ret) : -ESRCH;
}

int thread_set_regs(const struct held_thread *thread, const struct user_regs_struct *regs)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);

	return task ? utrace_set_regs(task, regs) : -ESRCH;
}

static bool is_held(const struct held_threads *held, pid_t tid)
{
	for (size_t i = 0; i < held->left.count; i++)
		if (held->left.items[i].tid == tid)
			return true;
	for (size_t i = 0; i < held->threads.count; i++)
		if (held->threads.items[i].tid == tid)
			return true;
	for (size_t i = 0; i < held->ended.count; i++)
		if (held->ended.items[i] == tid)
			return true;
	return false;
}

static struct utrace_task *next_unheld(
	struct utrace *utrace, pid_t pid, const struct held_threads *held)
{
	struct utrace_task *task = space_first_task(utrace, pid);

	while (task && is_held(held, utrace_task_tid(task)))
		task = space_next_task(task, pid);
	return task;
}

/* One that was led back into its call a moment ago may be on its way still. */
static int read_call(const struct utrace_task *task, struct proc_syscall *ret)
{
	const struct timespec pause = {.tv_nsec = RUN_ON_USEC * 1000};
	int r;

	for (int i = 0; i < RUN_ON_PAUSES; i++) {
		r = proc_read_syscall(utrace_task_pid(task), utrace_task_tid(task), ret);
		if (r < 0 || !ret->running || !utrace_task_is_returned(task))
			break;
		nanosleep(&pause, NULL);
	}
	return r;
}

/* A call that is interrupted is begun again, and shown to the filter again. */
static bool is_to_be_left(const struct utrace_task *task, struct left_thread *ret)
{
	pid_t tid = utrace_task_tid(task);
	struct proc_syscall call;

	if (utrace_task_is_stopped(task) || read_call(task, &call) < 0 || call.running ||
		call.number < 0 || !inject_is_filtered(tid, false))
		return false;
	*ret = (struct left_thread){tid, call.pc, call.sp};
	return true;
}

void uprobe_leave_blocked(struct utrace *utrace)
{
	struct left_thread left;

	for (struct utrace_task *task = utrace_first_task(utrace, 0); task;
		task = utrace_next_task(task, 0))
		if (is_to_be_left(task, &left))
			utrace_task_leave(task);
}

void threads_sync_cores(void)
{
	const struct timespec nap = {.tv_nsec = SYNC_NAP_NS};

	/* not on machines where processors are kept free of the kernel's clock */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		nanosleep(&nap, NULL);
}

/* The task list changes whenever events are dispatched, so each search begins anew: a
 * thread that was created while others were being stopped is found by the last one. */
int threads_stop(
	struct utrace *utrace, pid_t pid, struct held_threads *ret, struct error *err)
{
	struct utrace_task *task;

	*ret = (struct held_threads){0};
	while ((task = next_unheld(utrace, pid, ret))) {
		struct held_thread thread;
		struct left_thread left;
		pid_t tid = utrace_task_tid(task);
		if (is_to_be_left(task, &left)) {
			vec_append(&ret->left, left);
			continue;
		}
		int r = thread_stop(task, &thread, err);
		if (r == -ESRCH) {
			/* a leader stays until its threads have exited, too */
			vec_append(&ret->ended, tid);
			continue;
		}
		if (r < 0) {
			threads_resume(ret);
			return r;
		}
		vec_append(&ret->threads, thread);
	}
	return 0;
}

/* Those first that make a call again: while the others are held none of these puts a filter on before. */
void threads_resume(struct held_threads *held)
{
	struct user_regs_struct regs;

	for (size_t i = 0; i < held->threads.count; i++)
		if (thread_regs(&held->threads.items[i], &regs) == 0 &&
			(int64_t)regs.orig_rax >= 0)
			thread_resume(&held->threads.items[i]);
	for (size_t i = 0; i < held->threads.count; i++)
		if (held->threads.items[i].engine)
			thread_resume(&held->threads.items[i]);
	vec_free(&held->threads);
	vec_free(&held->left);
	vec_free(&held->ended);
}

bool thread_has_pending_trap(pid_t tid)
{
	struct proc_status status;

	return proc_read_status(tid, &status, NULL) >= 0 &&
	       status.sig_pending & ~status.sig_blocked & 1ull << (SIGTRAP - 1);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Hit, and not yet seen by us: on its way to the stop, or in it. */
static bool is_trapping(struct utrace_task *task)
{
	struct proc_stat stat;
	pid_t tid = utrace_task_tid(task);

	if (utrace_task_is_stopped(task) || utrace_task_in_group_stop(task))
		return false;
	return thread_has_pending_trap(tid) ||
	       (proc_read_stat(tid, &stat) >= 0 && stat.state == 't');
}

bool threads_settle_traps(struct uprobe_space *space)
{
	struct utrace *utrace = space->session.utrace;
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	uint64_t deadline = now_ms() + EVACUATE_MS;

	for (;;) {
		struct utrace_task *task = space_first_task(utrace, space->pid);
		while (task && !is_trapping(task))
			task = space_next_task(task, space->pid);
		if (!task)
			return true;
		if (now_ms() >= deadline || poll(&fd, 1, 1) < 0 ||
			utrace_dispatch(utrace, NULL) < 0)
			return false;
	}
}

int threads_run_on(struct uprobe_space *space, unsigned int ms, struct error *err)
{
	struct utrace *utrace = space->session.utrace;
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};
	uint64_t deadline = now_ms() + ms;

	/* signals come as often as they like: each is one event */
	while (now_ms() < deadline) {
		int r = poll(&fd, 1, 1) < 0 && errno != EINTR ? -errno : 0;
		if (r == 0)
			r = utrace_dispatch(utrace, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Not before or in a system call, which may wait for ever, and not where a signal comes first. */
static bool may_step(struct utrace_task *task, pid_t tid)
{
	static const uint8_t syscall_instruction[SYSCALL_SIZE] = {0x0f, 0x05};
	uint8_t bytes[2 * SYSCALL_SIZE];
	struct user_regs_struct regs;
	struct proc_status status;

	return utrace_get_regs(task, &regs) == 0 &&
	       utrace_read_memory(task, regs.rip - SYSCALL_SIZE, bytes, sizeof(bytes)) ==
		       0 &&
	       memcmp(bytes + SYSCALL_SIZE, syscall_instruction, SYSCALL_SIZE) != 0 &&
	       ((int64_t)regs.orig_rax < 0 ||
		       memcmp(bytes, syscall_instruction, SYSCALL_SIZE) != 0) &&
	       proc_read_status(tid, &status, NULL) == 0 &&
	       !(status.sig_pending & ~status.sig_blocked);
}

/*
 * In a group-stop only SIGCONT lets a thread run, whenever that may be.  Instruction by instruction it comes
 * out of our code nevertheless, and nothing of the program is run.
 */
static void step_out(struct held_thread *thread, thread_inside_fn is_inside, void *data)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);
	struct ptrace_event event = {0};
	siginfo_t info;
	int r = 0;

	for (int i = 0; i < STEPS_MAX && r == 0 && is_inside(thread, data) &&
			may_step(task, thread->tid);
		i++) {
		r = utrace_task_run(task, UTRACE_RUN_STEP, &event);
		if (r == 0 && event.stop == PTRACE_STOP_SIGNAL &&
			event.value == SIGTRAP &&
			ptrace_get_siginfo(thread->tid, &info) == 0 &&
			info.si_code == TRAP_TRACE)
			utrace_drop_signal(task);
	}
	/* back to where SIGCONT finds it; one that has ended is seen by whoever looks next */
	while (r == 0 && event.stop && event.stop != PTRACE_STOP_GROUP &&
		event.stop != PTRACE_STOP_INTERRUPT)
		r = utrace_task_run(task, UTRACE_RUN_INTERRUPT, &event);
}

static void move_on(struct held_thread *thread, unsigned int pause,
	thread_inside_fn is_inside, void *data)
{
	struct utrace_task *task = utrace_engine_task(thread->engine);

	if (task && utrace_task_in_group_stop(task) && utrace_task_is_stopped(task))
		step_out(thread, is_inside, data);
	else if (thread_run_on(thread, pause) < 0)
		return; /* gone, or not to be stopped: seen next time */
}

size_t threads_evacuate(struct held_threads *held, thread_inside_fn is_inside, void *data)
{
	uint64_t deadline = now_ms() + EVACUATE_MS;
	unsigned int pause = RUN_ON_USEC;

	for (int round = 0;; round++) {
		size_t inside = 0;
		for (size_t i = 0; i < held->threads.count; i++)
			if (is_inside(&held->threads.items[i], data))
				inside++;
		if (!inside || (round >= EVACUATE_ROUNDS && now_ms() >= deadline))
			return inside;
		for (size_t i = 0; i < held->threads.count; i++) {
			struct held_thread *thread = &held->threads.items[i];
			if (is_inside(thread, data))
				move_on(thread, pause, is_inside, data);
		}
		if (pause < RUN_ON_MAX_USEC)
			pause *= 2;
	}
}

/* ---- interiors
 * --------------------------------------------------------------------------------------
 */

static struct uprobe_site *interior_site(
	struct uprobe_space *space, uint64_t pc, uint64_t *ret)
{
	/* one less: a pc at the very end of a window may belong to it, see
	 * site_redirect() */
	struct uprobe_site *site = site_find(space, pc - 1);

	return site && site->state == SITE_TRANSIENT && site_redirect(site, pc, ret)
		       ? site
		       : NULL;
}

static void mark_unlucky(struct uprobe_site *site, const char *why)
{
	if (site->request && !site->request->status)
		site->request->status =
			error_set(&site->request->refused, -EAGAIN, "0x%llx: %s",
				(unsigned long long)site->request->plan->address, why);
}

static void refuse_interrupted(const struct signal_frame *frame, void *data)
{
	struct uprobe_space *space = data;
	uint64_t copy;
	struct uprobe_site *site = interior_site(space, frame->rip, &copy);

	if (site)
		mark_unlucky(site,
			"a signal handler will return into the middle of the patch");
}

void thread_leave_interior(
	struct uprobe_space *space, const struct held_thread *thread, struct error *err)
{
	struct user_regs_struct regs;
	uint64_t copy;

	if (thread_regs(thread, &regs) < 0)
		return;
	struct uprobe_site *site = interior_site(space, regs.rip, &copy);
	/* A trap that is pending but not reported has its pc one further; its report
	 * moves it. */
	if (site && !(thread_has_pending_trap(thread->tid) &&
			    site_is_insn_start(site, regs.rip - 1 - site->address))) {
		regs.rip = copy;
		if (thread_set_regs(thread, &regs) < 0)
			mark_unlucky(site, "a thread inside the patch cannot be moved");
	}
	inject_scan_frames(space->memory_fd, regs.rsp, refuse_interrupted, space);
}

static void refuse_all_interiors(struct uprobe_space *space, const char *why)
{
	for (size_t i = 0; i < space->sites.count; i++)
		if (space->sites.items[i].state == SITE_TRANSIENT &&
			site_has_interior(&space->sites.items[i]))
			mark_unlucky(&space->sites.items[i], why);
}

static int check_thread(
	struct uprobe_space *space, struct utrace_task *task, struct error *err)
{
	struct proc_syscall now;
	struct held_thread thread;
	uint64_t copy;
	int r = -1;

	if (!utrace_task_is_stopped(task))
		r = proc_read_syscall(utrace_task_pid(task), utrace_task_tid(task), &now);
	if (r >= 0 && !now.running && !interior_site(space, now.pc, &copy)) {
		inject_scan_frames(space->memory_fd, now.sp, refuse_interrupted, space);
		return 0;
	}
	r = thread_stop(task, &thread, err);
	if (r == -ETIMEDOUT) {
		refuse_all_interiors(
			space, "a thread that may be inside the patch cannot be stopped");
		return 0;
	}
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	thread_leave_interior(space, &thread, err);
	thread_resume(&thread);
	return 0;
}

int threads_leave_interiors(struct uprobe_space *space, struct error *err)
{
	VEC(pid_t) seen = {0};
	int r = 0;

	for (;;) {
		struct utrace_task *task =
			space_first_task(space->session.utrace, space->pid);
		for (; task; task = space_next_task(task, space->pid)) {
			size_t i = 0;
			while (i < seen.count && seen.items[i] != utrace_task_tid(task))
				i++;
			if (i == seen.count)
				break;
		}
		if (!task)
			break;
		vec_append(&seen, utrace_task_tid(task));
		r = check_thread(space, task, err);
		if (r < 0)
			break;
	}
	vec_free(&seen);
	return r;
}

/* ---- blocked signals
 * ----------------------------------------------------------------------------- */

void threads_note_blocked(struct uprobe_space *space)
{
	const uint64_t forced =
		1ull << (SIGTRAP - 1) | 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1);
	struct utrace_task *task = space_first_task(space->session.utrace, space->pid);

	space->blocked.count = 0;
	for (; task; task = space_next_task(task, space->pid)) {
		struct proc_status status;
		pid_t tid = utrace_task_tid(task);
		if (proc_read_status(tid, &status, NULL) < 0 ||
			!(status.sig_blocked & forced))
			continue;
		vec_append(&space->blocked,
			((struct blocked_thread){tid, status.sig_blocked & forced}));
	}
}

bool threads_have_trap_blocked(const struct uprobe_space *space)
{
	for (size_t i = 0; i < space->blocked.count; i++)
		if (space->blocked.items[i].mask & 1ull << (SIGTRAP - 1))
			return true;
	return false;
}
