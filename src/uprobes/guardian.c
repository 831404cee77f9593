/* SPDX-License-Identifier: MIT */
/*
 * The guardian sleeps in read(2) on a pipe that only the tracer can write to.  A byte:
 * all was put back in order, it leaves.  End of file: the tracer died, however that
 * happened.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/context.h"
#include "base/vec.h"
#include "ptrace/ptrace.h"
#include "uprobes/journal.h"
#include "uprobes/undo.h"
#include "uprobes/uprobes.h"

enum {
	PIPE_FD = 3,
	SESSION_FD = 4,
	TRACER_FD = 5, /* a pidfd */
	DEATH_MS = 10000,
	NAPS = 500, /* of a new tracer that waits for a guardian */
	NAP_NS = 20000000,
	ORPHAN_NAPS = 50, /* for a guardian to begin */
	ROUNDS = 100,     /* of a guardian that is not done at once */
	ROUND_MAX_MS = 1000,
};

struct guarded {
	void *memory;
	uint64_t size;
	uint64_t inode; /* as struct proc_map has it */
	struct journal journal;
};

/* No handler starts any more, whatever becomes of the rest. */
static void mark_dead(struct guarded *guarded)
{
	struct abi_session *session = guarded->memory;
	uint64_t offset = session->context_offset, step = session->context_size;

	__atomic_store_n(&session->state, ABI_STATE_DEAD, __ATOMIC_RELEASE);
	if (step < sizeof(struct abi_context) || offset % 8 || step % 8)
		return;
	for (uint32_t i = 0; i < session->context_count; i++, offset += step) {
		if (offset > guarded->size ||
			guarded->size - offset < sizeof(struct abi_context))
			return;
		struct abi_context *context = (void *)((char *)guarded->memory + offset);
		__atomic_store_n(&context->self, 0, __ATOMIC_RELEASE);
	}
}

static bool maps_session(const struct guarded *guarded, pid_t pid)
{
	struct proc_maps maps = {0};
	bool found = false;

	if (proc_read_maps(pid, &maps, NULL) < 0)
		return false;
	for (size_t i = 0; i < maps.maps.count && !found; i++)
		found = maps.maps.items[i].device_inode == guarded->inode;
	proc_maps_free(&maps);
	return found;
}

static int mark_dead_again(struct undo *undo)
{
	mark_dead(undo->data); /* a thread may have registered meanwhile */
	return 0;
}

static bool has_patch(const struct guarded *guarded, pid_t pid)
{
	const struct abi_journal *journal = guarded->journal.abi;
	uint32_t count = journal_patch_count(&guarded->journal);
	for (uint32_t i = 0; i < count; i++)
		if (journal->patches[i].live && journal->patches[i].pid == (uint32_t)pid)
			return true;
	return false;
}

/* Where nothing could be mapped only the journal names the process, or its parent in case it was forked
 * at the very end. */
static bool is_named(const struct guarded *guarded, pid_t pid)
{
	struct proc_status status;
	if (has_patch(guarded, pid))
		return true;
	return proc_read_status(pid, &status, NULL) == 0 &&
	       has_patch(guarded, status.ppid) && !maps_session(guarded, status.ppid);
}

/* Killed before session memory was mapped, or after it was unmapped. */
static bool has_victim(const struct guarded *guarded, pid_t pid)
{
	const struct abi_journal_victim *victims = guarded->journal.abi->victims;
	for (uint32_t i = 0; i < ABI_JOURNAL_VICTIMS; i++)
		if (victims[i].live && victims[i].pid == (uint32_t)pid)
			return true;
	return false;
}

/* 0, or why it could not be done (now). */
static int undo_here(struct guarded *guarded, pid_t pid)
{
	struct undo undo = {.pid = pid,
		.on_stopped = mark_dead_again,
		.data = guarded,
		.session_inode = guarded->inode,
		.force = ((const struct abi_session *)guarded->memory)->flags &
			 ABI_FLAG_FORCE};
	struct error err;

	undo_select(&undo, guarded->journal.abi, journal_patch_count(&guarded->journal),
		journal_area_count(&guarded->journal));
	/* What failed stays in the journal. */
	int r = undo_run(&undo, &err);
	if (r >= 0)
		journal_drop_process(&guarded->journal, pid);
	else if (undo.semaphores_done)
		journal_drop_semaphores(&guarded->journal, pid);
	undo_deinit(&undo);
	return r < 0 ? r : 0;
}

/*
 * What traces threads has to end before all of them are let go: under a filter they are left in their calls; a leader
 * that is dead before its threads can be neither detached nor reaped, and would stay a zombie of ours, which nobody
 * else can wait for.
 */
static int undo_process(struct guarded *guarded, pid_t pid)
{
	int status = 0;

	pid_t child = fork();
	if (!child) {
		int r = undo_here(guarded, pid);
		_exit(r < 0 &&
			r != -EPERM); /* memory that has to stay: nothing more can be done */
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -EAGAIN;
	return status ? -EBUSY : 0;
}

/* Nothing can be better before somebody else has acted. */
static bool has_to_wait(pid_t pid)
{
	struct proc_status status;

	return proc_read_status(pid, &status, NULL) == 0 &&
	       (status.tracer || status.state == 'T');
}

struct undo_round {
	bool is_first;
	size_t failed, waiting;
};

/* Every process that has session memory mapped, also fork children that nobody followed. */
static void undo_all(struct guarded *guarded, struct undo_round *round)
{
	struct proc_tids processes = {0};

	if (proc_list_processes(&processes, NULL) < 0)
		return;
	for (size_t i = 0; i < processes.tids.count; i++) {
		pid_t pid = processes.tids.items[i];
		if (pid == getpid() ||
			!(maps_session(guarded, pid) || has_victim(guarded, pid) ||
				is_named(guarded, pid)))
			continue;
		if (!round->is_first && has_to_wait(pid))
			round->waiting++;
		else if (undo_process(guarded, pid) < 0)
			round->failed++;
	}
	vec_free(&processes.tids);
}

/*
 * A thread may be in a displaced system call, or given no processor; a debugger may have the process, or its user
 * have stopped it.  Tried again less and less often; where only others can act it is waited for them.
 */
static void undo_until_done(struct guarded *guarded)
{
	struct undo_round round = {.is_first = true};
	unsigned int nap_ms = 10;

	for (int left = ROUNDS; left > 0; left -= round.failed > 0) {
		round.failed = round.waiting = 0;
		undo_all(guarded, &round);
		if (!round.failed && !round.waiting)
			return;
		round.is_first = false;
		const struct timespec nap = {
			nap_ms / 1000, (long)(nap_ms % 1000) * 1000000};
		nanosleep(&nap, NULL);
		nap_ms = nap_ms * 2 < ROUND_MAX_MS ? nap_ms * 2 : ROUND_MAX_MS;
	}
}

/*
 * The end of file comes when the first of its descriptors are closed.  Those of watched data (watch.c) may be among
 * the last, and send signals until then that need the front.
 */
static void wait_for_death(void)
{
	struct pollfd tracer = {.fd = TRACER_FD, .events = POLLIN};

	while (poll(&tracer, 1, DEATH_MS) < 0 && errno == EINTR)
		;
}

static void watch_tracer(uint64_t session_size)
{
	struct guarded guarded = {.size = session_size};
	struct stat st;
	char byte;
	ssize_t n;

	if (fstat(SESSION_FD, &st) < 0)
		return;
	guarded.inode = proc_fold_inode(st.st_dev, st.st_ino);
	guarded.memory = mmap(
		NULL, session_size, PROT_READ | PROT_WRITE, MAP_SHARED, SESSION_FD, 0);
	if (guarded.memory == MAP_FAILED)
		return;
	do {
		n = read(PIPE_FD, &byte, 1);
	} while (n < 0 && errno == EINTR);
	/* The header may not have been filled in when we were started. */
	if (n != 0 ||
		journal_open(&guarded.journal, guarded.memory, session_size, NULL) < 0)
		return;
	mark_dead(&guarded);
	wait_for_death();
	undo_until_done(&guarded);
}

static const char guardian_name[] = "utrace-guardian";

/* Terminal signals that end the tracer must not end its guardian. */
static void shield(void)
{
	const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE,
		SIGALRM, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_NAME, guardian_name);
	prctl(PR_SET_PDEATHSIG, 0);
}

/* Only these descriptors stay: an inherited one would keep somebody's pipe or terminal open. */
static int keep_descriptors(int pipe_fd, int session_fd, int tracer_fd)
{
	int null = open("/dev/null", O_RDWR);
	/* out of the way of the numbers they get; before Linux 5.3 nothing stands for the tracer */
	int a = fcntl(pipe_fd, F_DUPFD, 10), b = fcntl(session_fd, F_DUPFD, 10),
	    c = fcntl(tracer_fd < 0 ? null : tracer_fd, F_DUPFD, 10);

	if (null < 0 || a < 0 || b < 0 || c < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	if (dup2(a, PIPE_FD) < 0 || dup2(b, SESSION_FD) < 0 || dup2(c, TRACER_FD) < 0)
		return -errno;
	return close_range(TRACER_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

static _Noreturn void guardian(
	int pipe_fd, int session_fd, int tracer_fd, uint64_t session_size)
{
	shield();
	if (keep_descriptors(pipe_fd, session_fd, tracer_fd) >= 0)
		watch_tracer(session_size);
	_exit(0);
}

int uprobe_guardian_start(
	int session_fd, uint64_t session_size, int *ret_pipe, struct error *err)
{
	int fds[2], status;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(
			err, -errno, "cannot create a pipe: %s", strerror(errno));
	int tracer = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t child = fork();
	if (child < 0) {
		int r = -errno;
		if (tracer >= 0)
			close(tracer);
		close(fds[0]);
		close(fds[1]);
		return error_set(err, r, "cannot start the guardian: %s", strerror(-r));
	}
	if (!child) {
		/* Twice, so that the guardian is nobody's child: not to be waited for,
		 * and in no process group or session of the user's. */
		setsid();
		pid_t second = fork();
		if (!second)
			guardian(fds[0], session_fd, tracer, session_size);
		_exit(second < 0);
	}
	close(fds[0]);
	if (tracer >= 0)
		close(tracer);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			break;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		close(fds[1]);
		return error_set(err, -EAGAIN, "cannot start the guardian");
	}
	*ret_pipe = fds[1];
	return 0;
}

void uprobe_guardian_dismiss(int pipe)
{
	if (pipe < 0)
		return;
	/* EPIPE: it is gone already; its closing is all there is to do */
	sigset_t block, old;
	sigemptyset(&block);
	sigaddset(&block, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	if (write(pipe, "q", 1) < 0 && errno == EPIPE) {
		const struct timespec now = {0};
		sigtimedwait(&block, NULL, &now);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(pipe);
}

static bool is_being_mended(pid_t pid)
{
	struct proc_status status, tracer;

	return proc_read_status(pid, &status, NULL) == 0 && status.tracer &&
	       proc_read_status(status.tracer, &tracer, NULL) == 0 &&
	       strcmp(tracer.name, guardian_name) == 0;
}

/* The guardian was killed as well, if it does not come soon: what they left would be in our way. */
static void heal_orphan(pid_t pid)
{
	const struct timespec nap = {0, NAP_NS};
	struct error why;
	size_t patches;

	for (int naps = 0; naps < ORPHAN_NAPS; naps++) {
		if (!heal_is_wanted(pid) || is_being_mended(pid))
			return;
		nanosleep(&nap, NULL);
	}
	/* where it fails so does what comes next, and tells */
	(void)!uprobe_heal(pid, &patches, &why);
}

int uprobe_seize(struct utrace *utrace, pid_t pid, struct error *err)
{
	const struct timespec nap = {0, NAP_NS};
	int naps = NAPS, r;

	heal_orphan(pid);

	do {
		for (; naps && is_being_mended(pid); naps--)
			nanosleep(&nap, NULL);
		r = utrace_seize_process(utrace, pid, err);
	} while (r == -EPERM && naps && is_being_mended(pid));
	return r;
}
