/* SPDX-License-Identifier: MIT */
/*
 * A killing seccomp filter that is put on at each moment of an attach and a detach in turn.
 * usage: test-filter-moments TRACEE-DIRECTORY
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tracees/filter-moments.h"
#include "base/step.h"
#include "ptrace/ptrace.h"
#include "tap.h"
#include "uprobes/uprobes.h"
#include "utrace/uprobes.h"

enum {
	STATUS = 7,    /* of the program untraced */
	GUARD = 60000, /* ms */
	STRIDE = 2     /* there is one before and one after each change */
};

static char program[PATH_MAX];
static struct control *control; /* shared with all programs, one after the other */
static char control_path[] = "/tmp/filter-moments-XXXXXX";
static long steps, moment;
static pid_t tracer;

static void nap(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	nanosleep(&pause, NULL);
}

static bool is_installer_stopped(void)
{
	struct proc_stat stat;
	return proc_read_stat(control->installer, &stat) < 0 || stat.state == 't';
}

/* No filter comes at this moment when the thread that would put it on is held itself. */
static void order_filter(void)
{
	if (is_installer_stopped())
		return;
	__atomic_store_n(&control->order, 1, __ATOMIC_RELEASE);
	for (int i = 0;
		i < GUARD && !__atomic_load_n(&control->filtered, __ATOMIC_ACQUIRE); i++)
		nap();
}

void test_step(void)
{
	if (getpid() == tracer && ++steps == moment)
		order_filter();
}

static pid_t start(void)
{
	memset(control, 0, sizeof(*control));
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, control_path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < GUARD && !__atomic_load_n(&control->ready, __ATOMIC_ACQUIRE);
		i++)
		nap();
	return pid;
}

static int count_hit(struct uprobe_consumer *self, struct utrace_task *task,
	struct user_regs_struct *regs, uint64_t *data)
{
	return 0;
}

static void wait_for_rest(pid_t tid)
{
	struct proc_stat stat;
	for (int i = 0; i < GUARD && proc_read_stat(tid, &stat) == 0 && stat.state != 'S';
		i++)
		nap();
}

/* Return: 0: there was such a moment; 1: it was over before */
static int trace(pid_t target)
{
	struct uprobe_consumer consumer = {.handler = count_hit};
	struct uprobe_place place = {
		.size = sizeof(place), .path = program, .symbol = "work"};
	struct error err = {0};
	struct utrace *utrace;
	struct uprobes *probes;

	tracer = getpid();
	if (utrace_create(&utrace, &err) < 0 ||
		uprobes_create(utrace, NULL, &probes, &err) < 0 ||
		uprobe_register(probes, &place, &consumer, NULL, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return 99;
	}
	/* refused, where the filter came first */
	(void)!uprobes_add_process(probes, target, &err);
	(void)!uprobes_dispatch(probes, &err);
	uprobes_destroy(probes);
	bool reached = steps >= moment;
	uprobe_leave_blocked(utrace);
	utrace_destroy(utrace);
	return !reached;
}

/* Return: the wait status of the program */
static int run(long at, int *ret_tracer)
{
	int status = 0;
	pid_t target = start();

	fflush(stdout);
	moment = at;
	pid_t pid = fork();
	if (!pid) {
		int r = trace(target);
		fflush(stdout);
		_exit(r);
	}
	waitpid(pid, ret_tracer, 0);
	/* as late as the filter can come: all threads are where they were */
	if (!control->order) {
		wait_for_rest(control->sleeper);
		wait_for_rest(control->waiter);
		order_filter();
	}
	for (int i = 0;
		i < GUARD && !__atomic_load_n(&control->filtered, __ATOMIC_ACQUIRE) &&
		waitpid(target, &status, WNOHANG) == 0;
		i++)
		nap();
	__atomic_store_n(&control->end, 1, __ATOMIC_RELEASE);
	if (!status)
		waitpid(target, &status, 0);
	return status;
}

static void open_control(void)
{
	int fd = mkostemp(control_path, O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(*control)) < 0)
		exit(99);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		exit(99);
	close(fd);
}

/* CAP_SYS_ADMIN, no filter of our own, and a kernel that knows of it. */
static bool can_suspend_filters(void)
{
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	bool can = ptrace_seize(pid, PTRACE_O_SUSPEND_SECCOMP, NULL) == 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return can;
}

int main(int argc, char **argv)
{
	int status = 0, how = 0;
	long at = 0, died = 0;

	if (argc < 2)
		return 2;
	if (!can_suspend_filters()) {
		tap_skip("filters cannot be suspended here");
		return tap_done();
	}
	snprintf(program, sizeof(program), "%s/filter-moments", argv[1]);
	open_control();
	do {
		status = run(at += STRIDE, &how);
		if (!WIFEXITED(how) || WEXITSTATUS(how) > 1) {
			tap_ok(false, "the tracer ends by itself (%#x)", how);
			break;
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS) {
			printf("# a filter at moment %ld: the program's status is %#x\n",
				at, status);
			died++;
		}
	} while (WEXITSTATUS(how) == 0);
	tap_is_long(died, 0, "a filter at any moment: the program ends as untraced");
	tap_ok(at > 20, "of %ld moments", at);
	unlink(control_path);
	return tap_done();
}
