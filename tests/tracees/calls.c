/* SPDX-License-Identifier: MIT */
/* System calls with arguments of every kind, between two of access(2); all pointers are in one page of a known place. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE = 0x10000000
};

#define CALL(name, ...)    (void)syscall(SYS_##name, ##__VA_ARGS__)
#define AT(offset)         ((void *)(PAGE + (offset)))
#define TEXT(offset, text) strcpy(AT(offset), text)

struct kernel_sigaction {
	unsigned long handler, flags, restorer, mask;
};

static void files(void)
{
	CALL(open, TEXT(0, "/nowhere/a"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0640);
	CALL(open, AT(0), O_RDONLY | O_NONBLOCK, 0);
	CALL(openat, AT_FDCWD, AT(0), O_WRONLY | O_CREAT | O_EXCL, 0600);
	CALL(openat, 77, TEXT(16, "b\t\"c"), O_RDONLY | O_DIRECTORY);
	CALL(write, 77, TEXT(32, "a\nb"), 3);
	CALL(read, 77, AT(32), 3);
	CALL(pread64, 77, AT(32), 3L, 5L);
	CALL(lseek, 77, -4L, SEEK_END);
	CALL(close, 77);
	CALL(access, AT(0), R_OK | W_OK | X_OK);
	CALL(faccessat, AT_FDCWD, AT(0), F_OK);
	CALL(newfstatat, AT_FDCWD, AT(0), AT(64), AT_SYMLINK_NOFOLLOW);
	CALL(unlinkat, AT_FDCWD, AT(0), AT_REMOVEDIR);
	CALL(mkdir, AT(0), 0755);
	CALL(mknod, AT(0), S_IFIFO | 0600, 0);
	CALL(fcntl, 77, F_SETFD, FD_CLOEXEC);
	CALL(flock, 77, LOCK_EX | LOCK_NB);
	CALL(dup3, 77, 78, O_CLOEXEC);
	CALL(pipe2, NULL, O_NONBLOCK | O_CLOEXEC);
	CALL(fallocate, 77, 3, 0L, 10L);
	CALL(fadvise64, 77, 0L, 0L, 3);
	CALL(setxattr, AT(0), TEXT(96, "user.x"), TEXT(112, "v"), 1, 1);
}

static void memory(void)
{
	CALL(mmap, NULL, 0, PROT_READ | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CALL(mprotect, AT(1), 1, PROT_READ | PROT_WRITE);
	CALL(madvise, AT(1), 1, MADV_DONTNEED);
	CALL(mremap, AT(1), 1, 1, MREMAP_MAYMOVE, NULL);
	CALL(msync, AT(1), 1, MS_SYNC | MS_INVALIDATE);
	CALL(shmget, IPC_PRIVATE, 0, IPC_CREAT | IPC_EXCL | 0600);
	CALL(shmctl, -1, IPC_RMID, NULL);
	CALL(semget, 5, -1, IPC_CREAT | 0600);
}

static void signals(void)
{
	struct kernel_sigaction *act = AT(256);

	*act = (struct kernel_sigaction){.handler = 1};
	CALL(rt_sigaction, SIGUSR1, act, NULL, 8);
	*act = (struct kernel_sigaction){
		PAGE + 512, SA_RESTART | SA_SIGINFO, 0, 1ul << (SIGHUP - 1)};
	CALL(rt_sigaction, SIGUSR1, act, NULL, 4);
	CALL(rt_sigaction, SIGUSR1, NULL, NULL, 8);
	*(unsigned long *)AT(256) = 1ul << (SIGUSR1 - 1) | 1ul << (SIGUSR2 - 1);
	CALL(rt_sigprocmask, SIG_BLOCK, AT(256), NULL, 8);
	CALL(kill, -5000000, SIGTERM);
	CALL(tgkill, -1, -1, 0);
}

static void times(void)
{
	struct timespec *time = AT(256);
	long *four = AT(512);

	*time = (struct timespec){0, 1500};
	CALL(nanosleep, time, NULL);
	CALL(clock_nanosleep, CLOCK_MONOTONIC, 0, time, NULL);
	CALL(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, NULL);
	memcpy(four, (long[]){1, 500, 0, 0}, 32);
	CALL(setitimer, 2, four, NULL);
	CALL(utimes, AT(0), four);
	CALL(utimensat, AT_FDCWD, AT(0), NULL, 0);
	CALL(timerfd_create, CLOCK_REALTIME, 02004000);
	CALL(getrlimit, 7, NULL);
	CALL(setrlimit, 4, AT(1024));
	CALL(getrusage, -1, NULL);
	CALL(getpriority, 0, -2);
	CALL(sched_setscheduler, 0, 99, NULL);
}

static void sockets(void)
{
	struct sockaddr_in *in = AT(256);
	struct sockaddr_un *un = AT(512);

	*in = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(80),
		.sin_addr.s_addr = htonl(0x7f000001)};
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, "/nowhere/s");
	CALL(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, -1);
	CALL(socket, AF_UNIX, 99, 0);
	CALL(connect, 77, in, 16);
	CALL(bind, 77, un, 110);
	CALL(sendto, 77, TEXT(32, "text"), 4, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	CALL(setsockopt, 77, SOL_SOCKET, SO_REUSEADDR, NULL, 0);
	CALL(shutdown, 77, SHUT_RDWR);
	CALL(epoll_create1, EPOLL_CLOEXEC);
	CALL(epoll_ctl, 77, EPOLL_CTL_DEL, 78, NULL);
	CALL(inotify_add_watch, 77, AT(0), 0x300);
}

static void processes(void)
{
	char **words = AT(1024);

	words[0] = TEXT(2048, "program");
	words[1] = TEXT(2080, "a b");
	words[2] = NULL;
	CALL(execve, AT(0), words, NULL);
	CALL(wait4, -7000000, NULL, 3, NULL);
	CALL(prctl, 15, AT(4096 * 4), 0, 0, 0);
	CALL(unshare, -1);
	CALL(futex, AT(8), 128, 1, NULL, NULL, 0);
	CALL(futex, AT(8), 129, 1, NULL, NULL, 0);
	CALL(mount, AT(0), AT(0), TEXT(96, "none"), 1 | 2, NULL);
}

/* None of them does anything. */
static void seldom(void)
{
	CALL(mq_open, TEXT(0, "nowhere/b"), O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	CALL(mq_unlink, AT(0));
	CALL(pkey_alloc, 7, 3);
	CALL(kcmp, 0, 0, 4, 1, 2);
	CALL(preadv2, -1, AT(64), 2, 5L, 0L, 9);
	CALL(ioprio_get, 3, -7);
	CALL(ioprio_set, 1, -7, 2 << 13 | 4);
	CALL(add_key, TEXT(16, "no type"), TEXT(32, "key"), TEXT(48, "load"), 4, -1);
	CALL(swapon, AT(0), -1);
	CALL(userfaultfd, -1);
	CALL(name_to_handle_at, AT_FDCWD, AT(0), NULL, NULL, 0);
	CALL(mbind, 1, 2, 3, NULL, 5, -1);
}

int main(void)
{
	if (mmap(AT(0), 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != AT(0))
		return 1;
	CALL(access, TEXT(0, "begin"), F_OK);
	files();
	memory();
	signals();
	times();
	sockets();
	processes();
	seldom();
	CALL(access, TEXT(0, "end"), F_OK);
	return 0;
}
