/* SPDX-License-Identifier: MIT */
/* Why a process cannot be traced: one sentence for each reason, as root and as an ordinary user. */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ptrace/ptrace.h"
#include "tap.h"
#include "utrace/utrace.h"

enum {
	NOBODY = 65534
};

static void expect(pid_t pid, int code, const char *part, const char *name)
{
	struct error err = {0};
	struct utrace *utrace;
	if (utrace_create(&utrace, NULL) < 0)
		exit(1);
	int r = utrace_seize_process(utrace, pid, &err);
	utrace_destroy(utrace);
	bool ok = r == code && (code == 0 || strstr(err.message, part));
	tap_ok(ok, "%s", name);
	printf("# %d: %s; %s\n", r, err.message, err.hint);
}

/* The test's counter lives in this process: a child reports by its exit status. */
static void expect_as_nobody(pid_t pid, int code, const char *part, const char *name)
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct error err = {0};
		struct utrace *utrace;
		if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ||
			utrace_create(&utrace, NULL) < 0)
			_exit(2);
		int r = utrace_seize_process(utrace, pid, &err);
		printf("# %d: %s; %s\n", r, err.message, err.hint);
		utrace_destroy(utrace);
		fflush(stdout);
		_exit(r == code && (code == 0 || strstr(err.message, part)) ? 0 : 1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	tap_ok(status == 0, "%s", name);
}

static pid_t start_sleeper(uid_t uid, bool dumpable)
{
	int fds[2];
	char byte;
	if (pipe(fds) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		if (uid && (setgid(uid) < 0 || setuid(uid) < 0))
			_exit(1);
		prctl(PR_SET_DUMPABLE, dumpable);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		(void)!write(fds[1], "", 1);
		for (;;)
			pause();
	}
	(void)!read(fds[0], &byte, 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_gone(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	expect(pid, -EPERM, "zombie", "a zombie");
	waitpid(pid, NULL, 0);
	expect(pid, -ESRCH, "no such process", "no process");
	expect(0, -ESRCH, "no such process", "process 0");
	expect(-1, -ESRCH, "no such process", "process -1");
	expect(getpid(), -EPERM, "tracer itself", "ourselves");
}

static void *idle(void *data)
{
	*(pid_t *)data = gettid();
	for (;;)
		pause();
	return NULL;
}

static void test_thread(void)
{
	pthread_t thread;
	static volatile pid_t tid;
	pthread_create(&thread, NULL, idle, (void *)(uintptr_t)&tid);
	while (!tid)
		usleep(100);
	expect(tid, -ESRCH, "is a thread of process", "a thread's id");
}

static void test_traced(void)
{
	pid_t pid = start_sleeper(0, true);
	pid_t tracer = fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	struct proc_status status = {0};
	while (proc_read_status(pid, &status, NULL) == 0 && !status.tracer)
		usleep(1000);
	expect(pid, -EPERM, "already traced by process", "traced by another");
	end(tracer);
	expect(pid, 0, "", "and free again");
	end(pid);
}

static void test_users(void)
{
	pid_t roots = start_sleeper(0, true), nobodys = start_sleeper(NOBODY, true);
	pid_t secret = start_sleeper(NOBODY, false);
	expect_as_nobody(roots, -EPERM, "it belongs to root", "another user's");
	expect_as_nobody(secret, -EPERM, "permission denied", "an undumpable one");
	expect_as_nobody(nobodys, 0, "", "an ordinary user's own");
	expect(nobodys, 0, "", "root may");
	struct proc_stat stat;
	if (proc_read_stat(2, &stat) == 0 && stat.flags & 0x00200000)
		expect(2, -EPERM, "kernel thread", "a kernel thread");
	end(roots);
	end(nobodys);
	end(secret);
}

int main(void)
{
	test_gone();
	test_thread();
	test_traced();
	if (getuid() == 0)
		test_users();
	else
		expect(1, -EPERM, "it belongs to", "another user's");
	return tap_done();
}
