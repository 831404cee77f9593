/* SPDX-License-Identifier: MIT */
/*
 * A blocked system call must not notice that its thread is seized, interrupted, used for
 * remote calls and let go, nor that a signal it ignores has passed by; and a handler must
 * interrupt it as without a tracer.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject/inject.h"
#include "tap.h"
#include "utrace/utrace.h"

enum {
	ROUNDS = 100,
	INJECT_ROUNDS = 20
};

/* One page shared by the test and its children. */
static struct shared {
	int ready, result, error;
	int futex;
	volatile int handled;
} * shared;

static int wake[2]; /* the call ends when a byte arrives here (both ends are a socket
		       pair) */
static int semaphore, queue;

static int wait_read(void)
{
	char byte;
	return (int)read(wake[0], &byte, 1);
}

static int wait_recv_timeout(void)
{
	struct timeval timeout = {30, 0};
	char byte;
	setsockopt(wake[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return (int)recv(wake[0], &byte, 1, 0);
}

static int epoll_on_wake(void)
{
	int fd = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};
	epoll_ctl(fd, EPOLL_CTL_ADD, wake[0], &event);
	return fd;
}

static int wait_epoll(void)
{
	struct epoll_event event;
	return epoll_wait(epoll_on_wake(), &event, 1, 30000);
}

static int wait_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2); /* end_call() sends it to everybody */
	return epoll_pwait(epoll_on_wake(), &event, 1, -1, &mask);
}

static int wait_epoll_pwait2(void)
{
	struct epoll_event event;
	struct timespec timeout = {30, 0};
	return (int)syscall(
		SYS_epoll_pwait2, epoll_on_wake(), &event, 1, &timeout, NULL, 8);
}

static int wait_poll(void)
{
	struct pollfd fd = {.fd = wake[0], .events = POLLIN};
	return poll(&fd, 1, 30000);
}

static int wait_ppoll(void)
{
	struct pollfd fd = {.fd = wake[0], .events = POLLIN};
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2); /* end_call() sends it to everybody */
	return ppoll(&fd, 1, NULL, &mask);
}

static int wait_select(void)
{
	fd_set set;
	struct timeval timeout = {30, 0};
	FD_ZERO(&set);
	FD_SET(wake[0], &set);
	return select(wake[0] + 1, &set, NULL, NULL, &timeout);
}

static int wait_semtimedop(void)
{
	struct sembuf op = {.sem_num = 0, .sem_op = -1};
	struct timespec timeout = {30, 0};
	return semtimedop(semaphore, &op, 1, &timeout) == 0 ? 1 : -1;
}

static int wait_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;
	return msgrcv(queue, &message, sizeof(message.text), 0, 0) >= 0 ? 1 : -1;
}

static int wait_sigtimedwait(void)
{
	sigset_t set;
	struct timespec timeout = {30, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &timeout) == SIGUSR2 ? 1 : -1;
}

static int wait_futex(void)
{
	struct timespec timeout = {30, 0};
	int r = (int)syscall(SYS_futex, &shared->futex, FUTEX_WAIT, 0, &timeout);
	/* The word may change just before the call is issued again. */
	return r == 0 || errno == EAGAIN ? 1 : -1;
}

static int wait_nanosleep(void)
{
	struct timespec delay = {0, 700000000};
	return nanosleep(&delay, NULL) == 0 ? 1 : -1;
}

static int wait_child(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		wait_read();
		_exit(0);
	}
	return waitpid(pid, NULL, 0) == pid ? 1 : -1;
}

static int wait_inotify(void)
{
	char path[] = "/tmp/utrace-restart-XXXXXX", buffer[512];
	int file = mkstemp(path), fd = inotify_init();
	inotify_add_watch(fd, path, IN_ATTRIB);
	if (fork() == 0) {
		wait_read();
		fchmod(file, 0600);
		_exit(0);
	}
	int n = (int)read(fd, buffer, sizeof(buffer));
	int error = errno;
	unlink(path);
	errno = error;
	return n > 0 ? 1 : n;
}

static const struct call {
	const char *name;
	int (*wait)(void); /* 1: ended as it should */
} calls[] = {
	{"read", wait_read},
	{"recv with SO_RCVTIMEO", wait_recv_timeout},
	{"epoll_wait", wait_epoll},
	{"epoll_pwait", wait_epoll_pwait},
	{"epoll_pwait2", wait_epoll_pwait2},
	{"poll", wait_poll},
	{"ppoll", wait_ppoll},
	{"select", wait_select},
	{"semtimedop", wait_semtimedop},
	{"msgrcv", wait_msgrcv},
	{"sigtimedwait", wait_sigtimedwait},
	{"futex", wait_futex},
	{"nanosleep", wait_nanosleep},
	{"wait4", wait_child},
	{"inotify read", wait_inotify},
};

static void on_signal(int signal)
{
	shared->handled++;
}

static pid_t start(const struct call *call)
{
	memset(shared, 0, sizeof(*shared));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, wake) < 0)
		abort();
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	pid_t pid = fork();
	if (pid)
		return pid;
	sigset_t set;
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigaction(SIGUSR1, &action, NULL);
	__atomic_store_n(&shared->ready, 1, __ATOMIC_RELEASE);
	shared->result = call->wait();
	shared->error = errno;
	_exit(0);
}

static void sleep_ms(int ms)
{
	struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&delay, NULL);
}

static bool is_blocked(pid_t pid)
{
	struct proc_syscall call;
	return proc_read_syscall(pid, pid, &call) == 0 && !call.running;
}

static void wait_blocked(pid_t pid)
{
	while (!__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) || !is_blocked(pid))
		sleep_ms(1);
	sleep_ms(2);
}

static void end_call(pid_t pid)
{
	struct sembuf op = {.sem_num = 0, .sem_op = 1};
	struct {
		long type;
		char text[8];
	} message = {1, ""};
	(void)!write(wake[1], "ab", 2);
	shared->futex = 1;
	syscall(SYS_futex, &shared->futex, FUTEX_WAKE, 1);
	semop(semaphore, &op, 1);
	(void)!msgsnd(queue, &message, 8, 0);
	kill(pid, SIGUSR2);
}

static void clean_up(void)
{
	semctl(semaphore, 0, IPC_RMID);
	msgctl(queue, IPC_RMID, NULL);
	close(wake[0]);
	close(wake[1]);
}

static void expect(const struct call *call, const char *what, int result, int error)
{
	bool same = shared->result == result && (result >= 0 || shared->error == error);
	tap_ok(same, "%s: %s", call->name, what);
	if (!same)
		printf("# result %d, errno %d (%s)\n", shared->result, shared->error,
			strerror(shared->error));
}

static void note(const struct error *err)
{
	printf("# %s\n", err->message);
}

static void test_attach_detach(struct utrace *utrace, const struct call *call)
{
	pid_t pid = start(call);
	struct error err = {0};
	wait_blocked(pid);
	for (int i = 0; i < ROUNDS; i++) {
		if (utrace_seize_process(utrace, pid, &err) < 0) {
			note(&err);
			break;
		}
		utrace_detach_process(utrace, pid);
		if (call->wait == wait_nanosleep && i > ROUNDS / 2)
			sleep_ms(1);
	}
	end_call(pid);
	waitpid(pid, NULL, 0);
	expect(call, "attach and detach are not noticed", 1, 0);
	clean_up();
}

static void run_until_dead(struct utrace *utrace, pid_t pid)
{
	while (utrace_first_task(utrace, pid)) {
		if (utrace_dispatch(utrace, NULL) < 0)
			break;
		sleep_ms(1);
	}
}

static void test_remote_calls(struct utrace *utrace, const struct call *call)
{
	pid_t pid = start(call);
	struct error err = {0};
	const uint64_t args[6] = {0};
	struct inject *inject = NULL;
	bool ok = true;
	wait_blocked(pid);
	int r = utrace_seize_process(utrace, pid, &err);
	if (r == 0)
		r = inject_create(utrace, pid, false, &inject, &err);
	for (int i = 0; r == 0 && i < INJECT_ROUNDS; i++) {
		int64_t got = 0;
		uint64_t address;
		r = inject_syscall(inject, SYS_getpid, args, &got, &err);
		ok = ok && got == pid;
		if (r == 0)
			r = inject_map_arena(
				inject, 1 << 20, 1ull << 46, 8192, &address, &err);
		if (r == 0)
			r = inject_unmap(inject, address, 8192, &err);
		if (r == 0)
			r = inject_release_victim(inject, &err);
		if (r == 0)
			r = inject_take_victim(inject, &err);
	}
	if (r < 0)
		note(&err);
	tap_ok(r == 0 && ok, "%s: remote calls work", call->name);
	inject_destroy(inject);
	end_call(pid);
	run_until_dead(utrace, pid);
	expect(call, "remote calls are not noticed", 1, 0);
	clean_up();
}

static void test_signals(struct utrace *utrace, const struct call *call, bool handled)
{
	pid_t pid = start(call);
	struct error err = {0};
	wait_blocked(pid);
	if (utrace_seize_process(utrace, pid, &err) < 0)
		note(&err);
	for (int i = 0; i < 3; i++) {
		kill(pid, handled ? SIGUSR1 : SIGWINCH);
		for (int n = 0; n < 10; n++) {
			(void)!utrace_dispatch(utrace, NULL);
			sleep_ms(1);
		}
		if (handled)
			break;
	}
	if (!handled)
		end_call(pid);
	run_until_dead(utrace, pid);
	if (handled)
		expect(call, "a handler interrupts it", -1, EINTR);
	else
		expect(call, "an ignored signal is not noticed", 1, 0);
	end_call(pid);
	clean_up();
}

/* The handler is due while the thread stands in a stop where its call has been rewound.
 */
static void test_signal_in_stop(struct utrace *utrace, const struct call *call)
{
	pid_t pid = start(call);
	struct error err = {0};
	struct inject *inject = NULL;
	wait_blocked(pid);
	int r = utrace_seize_process(utrace, pid, &err);
	if (r == 0)
		r = inject_create(utrace, pid, false, &inject, &err);
	const uint64_t args[6] = {0};
	int64_t got;
	if (r == 0)
		r = inject_syscall(inject, SYS_getpid, args, &got, &err);
	kill(pid, SIGUSR1);
	if (r == 0)
		r = inject_syscall(inject, SYS_getpid, args, &got, &err);
	if (r < 0)
		note(&err);
	inject_destroy(inject);
	run_until_dead(utrace, pid);
	tap_ok(shared->handled == 1, "%s: a handler that is due during remote calls runs",
		call->name);
	expect(call, "it interrupts the call", -1, EINTR);
	end_call(pid);
	clean_up();
}

int main(void)
{
	struct utrace *utrace;
	struct error err = {0};
	shared = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || utrace_create(&utrace, &err) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		test_attach_detach(utrace, &calls[i]);
		test_remote_calls(utrace, &calls[i]);
		test_signals(utrace, &calls[i], false);
		test_signals(utrace, &calls[i], true);
		test_signal_in_stop(utrace, &calls[i]);
	}
	utrace_destroy(utrace);
	return tap_done();
}
