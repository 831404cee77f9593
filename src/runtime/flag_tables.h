/* SPDX-License-Identifier: MIT */
/*
 * Names of flags and other values in the arguments of system calls; no pointers, so no relocations.
 * Where several names stand for one bit the first is told.
 */
#pragma once

#include <stdint.h>

struct flag_name {
	uint32_t value;
	char name[36];
};

static const struct flag_name open_flags[] = {
	{0x40, "O_CREAT"},
	{0x80, "O_EXCL"},
	{0x100, "O_NOCTTY"},
	{0x200, "O_TRUNC"},
	{0x400, "O_APPEND"},
	{0x800, "O_NONBLOCK"},
	{0x101000, "O_SYNC"},
	{0x1000, "O_DSYNC"},
	{0x2000, "O_ASYNC"},
	{0x4000, "O_DIRECT"},
	{0x8000, "O_LARGEFILE"},
	{0x10000, "O_DIRECTORY"},
	{0x20000, "O_NOFOLLOW"},
	{0x40000, "O_NOATIME"},
	{0x80000, "O_CLOEXEC"},
	{0x200000, "O_PATH"},
};

static const struct flag_name access_flags[] = {
	{0, "F_OK"},
	{4, "R_OK"},
	{2, "W_OK"},
	{1, "X_OK"},
};

static const struct flag_name faccessat_flags[] = {
	{0x100, "AT_SYMLINK_NOFOLLOW"},
	{0x200, "AT_EACCESS"},
};

static const struct flag_name msync_flags[] = {
	{1, "MS_ASYNC"},
	{2, "MS_INVALIDATE"},
	{4, "MS_SYNC"},
};

static const struct flag_name wait_flags[] = {
	{1, "WNOHANG"},
	{4, "WEXITED"},
	{2, "WSTOPPED"},
	{8, "WCONTINUED"},
	{0x1000000, "WNOWAIT"},
	{0x20000000, "__WNOTHREAD"},
	{0x40000000, "__WALL"},
	{0x80000000, "__WCLONE"},
};

static const struct flag_name msg_flags[] = {
	{1, "MSG_OOB"},
	{2, "MSG_PEEK"},
	{4, "MSG_DONTROUTE"},
	{4, "MSG_TRYHARD"},
	{8, "MSG_CTRUNC"},
	{0x10, "MSG_PROBE"},
	{0x20, "MSG_TRUNC"},
	{0x40, "MSG_DONTWAIT"},
	{0x80, "MSG_EOR"},
	{0x100, "MSG_WAITALL"},
	{0x200, "MSG_FIN"},
	{0x400, "MSG_SYN"},
	{0x800, "MSG_CONFIRM"},
	{0x1000, "MSG_RST"},
	{0x2000, "MSG_ERRQUEUE"},
	{0x4000, "MSG_NOSIGNAL"},
	{0x8000, "MSG_MORE"},
	{0x10000, "MSG_WAITFORONE"},
	{0x20000, "MSG_SENDPAGE_NOTLAST"},
	{0x200, "MSG_EOF"},
	{0x20000000, "MSG_FASTOPEN"},
	{0x40000000, "MSG_CMSG_CLOEXEC"},
};

static const struct flag_name memfd_flags[] = {
	{1, "MFD_CLOEXEC"},
	{2, "MFD_ALLOW_SEALING"},
	{0x80000, "O_CLOEXEC"},
};

static const struct flag_name mlock2_flags[] = {
	{1, "MLOCK_ONFAULT"},
};

static const struct flag_name mlockall_flags[] = {
	{1, "MCL_CURRENT"},
	{2, "MCL_FUTURE"},
	{4, "MCL_ONFAULT"},
};

static const struct flag_name policy_flags[] = {
	{0, "SCHED_OTHER"},
	{1, "SCHED_FIFO"},
	{2, "SCHED_RR"},
	{3, "SCHED_BATCH"},
	{5, "SCHED_IDLE"},
	{6, "SCHED_DEADLINE"},
};

static const struct flag_name priority_flags[] = {
	{0, "PRIO_PROCESS"},
	{1, "PRIO_PGRP"},
	{2, "PRIO_USER"},
};

static const struct flag_name shutdown_flags[] = {
	{0, "SHUT_RD"},
	{1, "SHUT_WR"},
	{2, "SHUT_RDWR"},
};

static const struct flag_name waitid_flags[] = {
	{0, "P_ALL"},
	{1, "P_PID"},
	{2, "P_PGID"},
};

static const struct flag_name futex_flags[] = {
	{0, "FUTEX_WAIT"},
	{1, "FUTEX_WAKE"},
	{2, "FUTEX_FD"},
	{3, "FUTEX_REQUEUE"},
	{4, "FUTEX_CMP_REQUEUE"},
	{5, "FUTEX_WAKE_OP"},
	{6, "FUTEX_LOCK_PI"},
	{7, "FUTEX_UNLOCK_PI"},
	{8, "FUTEX_TRYLOCK_PI"},
	{9, "FUTEX_WAIT_BITSET"},
	{0xa, "FUTEX_WAKE_BITSET"},
	{0xb, "FUTEX_WAIT_REQUEUE_PI"},
	{0xc, "FUTEX_CMP_REQUEUE_PI"},
	{0x80, "FUTEX_WAIT_PRIVATE"},
	{0x81, "FUTEX_WAKE_PRIVATE"},
	{0x83, "FUTEX_REQUEUE_PRIVATE"},
	{0x84, "FUTEX_CMP_REQUEUE_PRIVATE"},
	{0x85, "FUTEX_WAKE_OP_PRIVATE"},
	{0x86, "FUTEX_LOCK_PI_PRIVATE"},
	{0x87, "FUTEX_UNLOCK_PI_PRIVATE"},
	{0x88, "FUTEX_TRYLOCK_PI_PRIVATE"},
	{0x89, "FUTEX_WAIT_BITSET_PRIVATE"},
	{0x8a, "FUTEX_WAKE_BITSET_PRIVATE"},
	{0x8b, "FUTEX_WAIT_REQUEUE_PI_PRIVATE"},
	{0x8c, "FUTEX_CMP_REQUEUE_PI_PRIVATE"},
};

static const struct flag_name mount_flags[] = {
	{1, "MS_RDONLY"},
	{2, "MS_NOSUID"},
	{4, "MS_NODEV"},
	{8, "MS_NOEXEC"},
	{0x10, "MS_SYNCHRONOUS"},
	{0x20, "MS_REMOUNT"},
	{0x40, "MS_MANDLOCK"},
	{0x80, "MS_DIRSYNC"},
	{0x400, "MS_NOATIME"},
	{0x800, "MS_NODIRATIME"},
	{0x1000, "MS_BIND"},
	{0x2000, "MS_MOVE"},
	{0x4000, "MS_REC"},
	{0x8000, "MS_SILENT"},
	{0x10000, "MS_POSIXACL"},
	{0x20000, "MS_UNBINDABLE"},
	{0x40000, "MS_PRIVATE"},
	{0x80000, "MS_SLAVE"},
	{0x100000, "MS_SHARED"},
	{0x200000, "MS_RELATIME"},
	{0x400000, "MS_KERNMOUNT"},
	{0x800000, "MS_I_VERSION"},
	{0x1000000, "MS_STRICTATIME"},
};

static const struct flag_name umount_flags[] = {
	{1, "MNT_FORCE"},
	{2, "MNT_DETACH"},
	{4, "MNT_EXPIRE"},
	{8, "UMOUNT_NOFOLLOW"},
};

static const struct flag_name mremap_flags[] = {
	{1, "MREMAP_MAYMOVE"},
	{2, "MREMAP_FIXED"},
};

static const struct flag_name madvise_flags[] = {
	{0, "MADV_NORMAL"},
	{1, "MADV_RANDOM"},
	{2, "MADV_SEQUENTIAL"},
	{3, "MADV_WILLNEED"},
	{4, "MADV_DONTNEED"},
	{8, "MADV_FREE"},
	{9, "MADV_REMOVE"},
	{0xa, "MADV_DONTFORK"},
	{0xb, "MADV_DOFORK"},
	{0x64, "MADV_HWPOISON"},
	{0x65, "MADV_SOFT_OFFLINE"},
	{0xc, "MADV_MERGEABLE"},
	{0xd, "MADV_UNMERGEABLE"},
	{0xe, "MADV_HUGEPAGE"},
	{0xf, "MADV_NOHUGEPAGE"},
	{0x10, "MADV_DONTDUMP"},
	{0x11, "MADV_DODUMP"},
};

static const struct flag_name fadvise_flags[] = {
	{0, "POSIX_FADV_NORMAL"},
	{1, "POSIX_FADV_RANDOM"},
	{2, "POSIX_FADV_SEQUENTIAL"},
	{3, "POSIX_FADV_WILLNEED"},
	{4, "POSIX_FADV_DONTNEED"},
	{5, "POSIX_FADV_NOREUSE"},
};

static const struct flag_name fcntl_flags[] = {
	{0, "F_DUPFD"},
	{1, "F_GETFD"},
	{2, "F_SETFD"},
	{3, "F_GETFL"},
	{4, "F_SETFL"},
	{5, "F_GETLK"},
	{6, "F_SETLK"},
	{7, "F_SETLKW"},
	{8, "F_SETOWN"},
	{9, "F_GETOWN"},
	{0xa, "F_SETSIG"},
	{0xb, "F_GETSIG"},
	{0xc, "F_GETLK64"},
	{0xd, "F_SETLK64"},
	{0xe, "F_SETLKW64"},
	{0xf, "F_SETOWN_EX"},
	{0x10, "F_GETOWN_EX"},
	{0x11, "F_GETOWNER_UIDS"},
	{0x400, "F_SETLEASE"},
	{0x401, "F_GETLEASE"},
	{0x406, "F_DUPFD_CLOEXEC"},
	{0x402, "F_NOTIFY"},
	{0x407, "F_SETPIPE_SZ"},
	{0x408, "F_GETPIPE_SZ"},
};

static const struct flag_name whence_flags[] = {
	{0, "SEEK_SET"},
	{1, "SEEK_CUR"},
	{2, "SEEK_END"},
	{3, "SEEK_DATA"},
	{4, "SEEK_HOLE"},
};

static const struct flag_name sockopt_flags[] = {
	{1, "SO_DEBUG"},
	{2, "SO_REUSEADDR"},
	{3, "SO_TYPE"},
	{4, "SO_ERROR"},
	{5, "SO_DONTROUTE"},
	{6, "SO_BROADCAST"},
	{7, "SO_SNDBUF"},
	{8, "SO_RCVBUF"},
	{0x20, "SO_SNDBUFFORCE"},
	{0x21, "SO_RCVBUFFORCE"},
	{9, "SO_KEEPALIVE"},
	{0xa, "SO_OOBINLINE"},
	{0xb, "SO_NO_CHECK"},
	{0xc, "SO_PRIORITY"},
	{0xd, "SO_LINGER"},
	{0xe, "SO_BSDCOMPAT"},
	{0xf, "SO_REUSEPORT"},
	{0x10, "SO_PASSCRED"},
	{0x11, "SO_PEERCRED"},
	{0x12, "SO_RCVLOWAT"},
	{0x13, "SO_SNDLOWAT"},
	{0x14, "SO_RCVTIMEO"},
	{0x15, "SO_SNDTIMEO"},
	{0x16, "SO_SECURITY_AUTHENTICATION"},
	{0x17, "SO_SECURITY_ENCRYPTION_TRANSPORT"},
	{0x18, "SO_SECURITY_ENCRYPTION_NETWORK"},
	{0x19, "SO_BINDTODEVICE"},
	{0x1a, "SO_ATTACH_FILTER"},
	{0x1b, "SO_DETACH_FILTER"},
	{0x1c, "SO_PEERNAME"},
	{0x1d, "SO_TIMESTAMP"},
	{0x1e, "SO_ACCEPTCONN"},
	{0x1f, "SO_PEERSEC"},
	{0x22, "SO_PASSSEC"},
	{0x23, "SO_TIMESTAMPNS"},
	{0x24, "SO_MARK"},
	{0x25, "SO_TIMESTAMPING"},
	{0x26, "SO_PROTOCOL"},
	{0x27, "SO_DOMAIN"},
	{0x28, "SO_RXQ_OVFL"},
	{0x29, "SO_WIFI_STATUS"},
	{0x2a, "SO_PEEK_OFF"},
	{0x2b, "SO_NOFCS"},
	{0x2c, "SO_LOCK_FILTER"},
	{0x2d, "SO_SELECT_ERR_QUEUE"},
	{0x2e, "SO_BUSY_POLL"},
	{0x2f, "SO_MAX_PACING_RATE"},
	{0x30, "SO_BPF_EXTENSIONS"},
	{0x31, "SO_INCOMING_CPU"},
	{0x32, "SO_ATTACH_BPF"},
	{0x39, "SO_COOKIE"},
	{0x3c, "SO_ZEROCOPY"},
};

static const struct flag_name sockopt_level_flags[] = {
	{0, "SOL_IP"},
	{1, "SOL_SOCKET"},
	{6, "SOL_TCP"},
	{0x11, "SOL_UDP"},
	{0x29, "SOL_IPV6"},
	{0x3a, "SOL_ICMPV6"},
	{0x84, "SOL_SCTP"},
	{0x88, "SOL_UDPLITE"},
	{0xff, "SOL_RAW"},
	{0x107, "SOL_PACKET"},
	{0x10e, "SOL_NETLINK"},
};

static const struct flag_name family_flags[] = {
	{0, "PF_UNSPEC"},
	{1, "PF_LOCAL"},
	{2, "PF_INET"},
	{3, "PF_AX25"},
	{4, "PF_IPX"},
	{5, "PF_APPLETALK"},
	{6, "PF_NETROM"},
	{7, "PF_BRIDGE"},
	{8, "PF_ATMPVC"},
	{9, "PF_X25"},
	{0xa, "PF_INET6"},
	{0xb, "PF_ROSE"},
	{0xc, "PF_DECnet"},
	{0xd, "PF_NETBEUI"},
	{0xe, "PF_SECURITY"},
	{0xf, "PF_KEY"},
	{0x10, "PF_NETLINK"},
	{0x11, "PF_PACKET"},
	{0x12, "PF_ASH"},
	{0x13, "PF_ECONET"},
	{0x14, "PF_ATMSVC"},
	{0x15, "PF_RDS"},
	{0x16, "PF_SNA"},
	{0x17, "PF_IRDA"},
	{0x18, "PF_PPPOX"},
	{0x19, "PF_WANPIPE"},
	{0x1a, "PF_LLC"},
	{0x1b, "PF_IB"},
	{0x1d, "PF_CAN"},
	{0x1e, "PF_TIPC"},
	{0x1f, "PF_BLUETOOTH"},
	{0x20, "PF_IUCV"},
	{0x21, "PF_RXRPC"},
	{0x22, "PF_ISDN"},
	{0x23, "PF_PHONET"},
	{0x24, "PF_IEEE802154"},
	{0x25, "PF_CAIF"},
	{0x26, "PF_ALG"},
	{0x27, "PF_NFC"},
	{0x28, "PF_VSOCK"},
};

static const struct flag_name socket_type_flags[] = {
	{1, "SOCK_STREAM"},
	{2, "SOCK_DGRAM"},
	{3, "SOCK_RAW"},
	{4, "SOCK_RDM"},
	{5, "SOCK_SEQPACKET"},
	{6, "SOCK_DCCP"},
	{0xa, "SOCK_PACKET"},
};

static const struct flag_name protocol_flags[] = {
	{0, "IPPROTO_IP"},
	{1, "IPPROTO_ICMP"},
	{2, "IPPROTO_IGMP"},
	{4, "IPPROTO_IPIP"},
	{6, "IPPROTO_TCP"},
	{8, "IPPROTO_EGP"},
	{0xc, "IPPROTO_PUP"},
	{0x11, "IPPROTO_UDP"},
	{0x16, "IPPROTO_IDP"},
	{0x1d, "IPPROTO_TP"},
	{0x21, "IPPROTO_DCCP"},
	{0x29, "IPPROTO_IPV6"},
	{0x2e, "IPPROTO_RSVP"},
	{0x2f, "IPPROTO_GRE"},
	{0x32, "IPPROTO_ESP"},
	{0x33, "IPPROTO_AH"},
	{0x5c, "IPPROTO_MTP"},
	{0x62, "IPPROTO_ENCAP"},
	{0x67, "IPPROTO_PIM"},
	{0x6c, "IPPROTO_COMP"},
	{0x84, "IPPROTO_SCTP"},
	{0x88, "IPPROTO_UDPLITE"},
	{0xff, "IPPROTO_RAW"},
};

static const struct flag_name epoll_op_flags[] = {
	{1, "EPOLL_CTL_ADD"},
	{3, "EPOLL_CTL_MOD"},
	{2, "EPOLL_CTL_DEL"},
};

static const struct flag_name limit_flags[] = {
	{0xffffffff, "RLIM_INFINITY"},
	{0, "RLIMIT_CPU"},
	{1, "RLIMIT_FSIZE"},
	{2, "RLIMIT_DATA"},
	{3, "RLIMIT_STACK"},
	{4, "RLIMIT_CORE"},
	{5, "RLIMIT_RSS"},
	{6, "RLIMIT_NPROC"},
	{7, "RLIMIT_NOFILE"},
	{8, "RLIMIT_MEMLOCK"},
	{9, "RLIMIT_AS"},
	{0xa, "RLIMIT_LOCKS"},
	{0xb, "RLIMIT_SIGPENDING"},
	{0xc, "RLIMIT_MSGQUEUE"},
	{0xd, "RLIMIT_NICE"},
	{0xe, "RLIMIT_RTPRIO"},
	{0xf, "RLIMIT_RTTIME"},
	{0x10, "RLIM_NLIMITS"},
};

static const struct flag_name rusage_flags[] = {
	{0, "RUSAGE_SELF"},
	{0xffffffff, "RUSAGE_CHILDREN"},
	{0xfffffffe, "RUSAGE_BOTH"},
	{1, "RUSAGE_THREAD"},
};

static const struct flag_name signal_flags[] = {
	{0, "SIG_0"},
	{1, "SIGHUP"},
	{2, "SIGINT"},
	{3, "SIGQUIT"},
	{4, "SIGILL"},
	{5, "SIGTRAP"},
	{6, "SIGABRT"},
	{7, "SIGBUS"},
	{8, "SIGFPE"},
	{9, "SIGKILL"},
	{0xa, "SIGUSR1"},
	{0xb, "SIGSEGV"},
	{0xd, "SIGPIPE"},
	{0xc, "SIGUSR2"},
	{0xe, "SIGALRM"},
	{0xf, "SIGTERM"},
	{0x11, "SIGCHLD"},
	{0x12, "SIGCONT"},
	{0x13, "SIGSTOP"},
	{0x14, "SIGTSTP"},
	{0x15, "SIGTTIN"},
	{0x16, "SIGTTOU"},
	{0x17, "SIGURG"},
	{0x18, "SIGXCPU"},
	{0x19, "SIGXFSZ"},
	{0x1a, "SIGVTALRM"},
	{0x1b, "SIGPROF"},
	{0x1c, "SIGWINCH"},
	{0x1d, "SIGIO/SIGPOLL"},
	{0x1e, "SIGPWR"},
	{0x1f, "SIGSYS"},
	{0x85, "TRACESYSGOOD"},
};

static const struct flag_name fork_flags[] = {
	{0x100, "CLONE_VM"},
	{0x200, "CLONE_FS"},
	{0x400, "CLONE_FILES"},
	{0x800, "CLONE_SIGHAND"},
	{0x2000, "CLONE_PTRACE"},
	{0x4000, "CLONE_VFORK"},
	{0x8000, "CLONE_PARENT"},
	{0x10000, "CLONE_THREAD"},
	{0x20000, "CLONE_NEWNS"},
	{0x40000, "CLONE_SYSVSEM"},
	{0x80000, "CLONE_SETTLS"},
	{0x100000, "CLONE_PARENT_SETTID"},
	{0x200000, "CLONE_CHILD_CLEARTID"},
	{0x400000, "CLONE_DETACHED"},
	{0x800000, "CLONE_UNTRACED"},
	{0x1000000, "CLONE_CHILD_SETTID"},
	{0x4000000, "CLONE_NEWUTS"},
	{0x8000000, "CLONE_NEWIPC"},
	{0x10000000, "CLONE_NEWUSER"},
	{0x20000000, "CLONE_NEWPID"},
	{0x40000000, "CLONE_NEWNET"},
	{0x80000000, "CLONE_IO"},
};

static const struct flag_name at_flags[] = {
	{0x100, "AT_SYMLINK_NOFOLLOW"},
	{0x200, "AT_REMOVEDIR"},
	{0x400, "AT_SYMLINK_FOLLOW"},
	{0x800, "AT_NO_AUTOMOUNT"},
	{0x1000, "AT_EMPTY_PATH"},
};

static const struct flag_name epoll_create_flags[] = {
	{0x80000, "EPOLL_CLOEXEC"},
};

static const struct flag_name eventfd_flags[] = {
	{0x800, "EFD_NONBLOCK"},
	{0x80000, "EFD_CLOEXEC"},
	{1, "EFD_SEMAPHORE"},
};

static const struct flag_name signalfd_flags[] = {
	{0x800, "SFD_NONBLOCK"},
	{0x80000, "SFD_CLOEXEC"},
};

static const struct flag_name inotify_init_flags[] = {
	{0x800, "IN_NONBLOCK"},
	{0x80000, "IN_CLOEXEC"},
};

static const struct flag_name inotify_flags[] = {
	{1, "IN_ACCESS"},
	{2, "IN_MODIFY"},
	{4, "IN_ATTRIB"},
	{8, "IN_CLOSE_WRITE"},
	{0x10, "IN_CLOSE_NOWRITE"},
	{0x20, "IN_OPEN"},
	{0x40, "IN_MOVED_FROM"},
	{0x80, "IN_MOVED_TO"},
	{0x100, "IN_CREATE"},
	{0x200, "IN_DELETE"},
	{0x400, "IN_DELETE_SELF"},
	{0x800, "IN_MOVE_SELF"},
	{0x2000, "IN_UNMOUNT"},
	{0x4000, "IN_Q_OVERFLOW"},
	{0x8000, "IN_IGNORED"},
	{0x1000000, "IN_ONLYDIR"},
	{0x2000000, "IN_DONT_FOLLOW"},
	{0x4000000, "IN_EXCL_UNLINK"},
	{0x20000000, "IN_MASK_ADD"},
	{0x40000000, "IN_ISDIR"},
	{0x80000000, "IN_ONESHOT"},
};

static const struct flag_name shmat_flags[] = {
	{0x1000, "SHM_RDONLY"},
	{0x2000, "SHM_RND"},
	{0x4000, "SHM_REMAP"},
	{0x8000, "SHM_EXEC"},
};

static const struct flag_name prot_flags[] = {
	{0, "PROT_NONE"},
	{1, "PROT_READ"},
	{2, "PROT_WRITE"},
	{4, "PROT_EXEC"},
	{8, "PROT_SEM"},
	{0x1000000, "PROT_GROWSDOWN"},
	{0x2000000, "PROT_GROWSUP"},
};

static const struct flag_name mmap_flags[] = {
	{1, "MAP_SHARED"},
	{2, "MAP_PRIVATE"},
	{0x10, "MAP_FIXED"},
	{0x20, "MAP_ANONYMOUS"},
	{0x100, "MAP_GROWSDOWN"},
	{0x800, "MAP_DENYWRITE"},
	{0x1000, "MAP_EXECUTABLE"},
	{0x2000, "MAP_LOCKED"},
	{0x4000, "MAP_NORESERVE"},
	{0x8000, "MAP_POPULATE"},
	{0x10000, "MAP_NONBLOCK"},
	{0x20000, "MAP_STACK"},
	{0x40000, "MAP_HUGETLB"},
	{0x4000000, "MAP_UNINITIALIZED"},
	{0x40, "MAP_32BIT"},
};

static const struct flag_name handler_flags[] = {
	{0, "SIG_DFL"},
	{1, "SIG_IGN"},
};

static const struct flag_name sa_flags[] = {
	{1, "SA_NOCLDSTOP"},
	{2, "SA_NOCLDWAIT"},
	{0x80000000, "SA_RESETHAND"},
	{0x8000000, "SA_ONSTACK"},
	{0x10000000, "SA_RESTART"},
	{0x40000000, "SA_NODEFER"},
	{4, "SA_SIGINFO"},
	{0x4000000, "SA_RESTORER"},
};

static const struct flag_name how_flags[] = {
	{0, "SIG_BLOCK"},
	{1, "SIG_UNBLOCK"},
	{2, "SIG_SETMASK"},
};

static const struct flag_name itimer_flags[] = {
	{0, "ITIMER_REAL"},
	{1, "ITIMER_VIRTUAL"},
	{2, "ITIMER_PROF"},
};

static const struct flag_name clock_flags[] = {
	{0, "CLOCK_REALTIME"},
	{1, "CLOCK_MONOTONIC"},
	{2, "CLOCK_PROCESS_CPUTIME_ID"},
	{3, "CLOCK_THREAD_CPUTIME_ID"},
	{4, "CLOCK_MONOTONIC_RAW"},
	{5, "CLOCK_REALTIME_COARSE"},
	{6, "CLOCK_MONOTONIC_COARSE"},
	{7, "CLOCK_BOOTTIME"},
	{8, "CLOCK_REALTIME_ALARM"},
	{9, "CLOCK_BOOTTIME_ALARM"},
	{0xa, "CLOCK_SGI_CYCLE"},
	{0xb, "CLOCK_TAI"},
};

static const struct flag_name flock_flags[] = {
	{1, "LOCK_SH"},
	{2, "LOCK_EX"},
	{4, "LOCK_NB"},
	{8, "LOCK_UN"},
	{0x20, "LOCK_MAND"},
	{0x40, "LOCK_READ"},
	{0x80, "LOCK_WRITE"},
	{0xc0, "LOCK_RW"},
};

static const struct flag_name pipe_flags[] = {
	{0x800, "O_NONBLOCK"},
	{0x80000, "O_CLOEXEC"},
	{0x4000, "O_DIRECT"},
};

static const struct flag_name timer_flags[] = {
	{1, "TIMER_ABSTIME"},
};

static const struct flag_name timerfd_flags[] = {
	{0x800, "TFD_NONBLOCK"},
	{0x80000, "TFD_CLOEXEC"},
};

static const struct flag_name timerfd_set_flags[] = {
	{1, "TFD_TIMER_ABSTIME"},
	{2, "TFD_TIMER_CANCEL_ON_SET"},
};

static const struct flag_name getrandom_flags[] = {
	{1, "GRND_NONBLOCK"},
	{2, "GRND_RANDOM"},
};

static const struct flag_name splice_flags[] = {
	{1, "SPLICE_F_MOVE"},
	{2, "SPLICE_F_NONBLOCK"},
	{4, "SPLICE_F_MORE"},
	{8, "SPLICE_F_GIFT"},
};

static const struct flag_name fallocate_flags[] = {
	{1, "FALLOC_FL_KEEP_SIZE"},
	{2, "FALLOC_FL_PUNCH_HOLE"},
	{4, "FALLOC_FL_NO_HIDE_STALE"},
	{8, "FALLOC_FL_COLLAPSE_RANGE"},
	{0x10, "FALLOC_FL_ZERO_RANGE"},
};

static const struct flag_name prctl_flags[] = {
	{1, "PR_SET_PDEATHSIG"},
	{2, "PR_GET_PDEATHSIG"},
	{3, "PR_GET_DUMPABLE"},
	{4, "PR_SET_DUMPABLE"},
	{5, "PR_GET_UNALIGN"},
	{6, "PR_SET_UNALIGN"},
	{7, "PR_GET_KEEPCAPS"},
	{8, "PR_SET_KEEPCAPS"},
	{9, "PR_GET_FPEMU"},
	{0xa, "PR_SET_FPEMU"},
	{0xb, "PR_GET_FPEXC"},
	{0xc, "PR_SET_FPEXC"},
	{0xd, "PR_GET_TIMING"},
	{0xe, "PR_SET_TIMING"},
	{0xf, "PR_SET_NAME"},
	{0x10, "PR_GET_NAME"},
	{0x13, "PR_GET_ENDIAN"},
	{0x14, "PR_SET_ENDIAN"},
	{0x15, "PR_GET_SECCOMP"},
	{0x16, "PR_SET_SECCOMP"},
	{0x17, "PR_CAPBSET_READ"},
	{0x18, "PR_CAPBSET_DROP"},
	{0x19, "PR_GET_TSC"},
	{0x1a, "PR_SET_TSC"},
	{0x1b, "PR_GET_SECUREBITS"},
	{0x1c, "PR_SET_SECUREBITS"},
	{0x1d, "PR_SET_TIMERSLACK"},
	{0x1e, "PR_GET_TIMERSLACK"},
	{0x1f, "PR_TASK_PERF_EVENTS_DISABLE"},
	{0x20, "PR_TASK_PERF_EVENTS_ENABLE"},
	{0x21, "PR_MCE_KILL"},
	{0x22, "PR_MCE_KILL_GET"},
	{0x23, "PR_SET_MM"},
	{0x59616d61, "PR_SET_PTRACER"},
	{0x24, "PR_SET_CHILD_SUBREAPER"},
	{0x25, "PR_GET_CHILD_SUBREAPER"},
	{0x26, "PR_SET_NO_NEW_PRIVS"},
	{0x27, "PR_GET_NO_NEW_PRIVS"},
};

static const struct flag_name arch_prctl_flags[] = {
	{0x1001, "ARCH_SET_GS"},
	{0x1002, "ARCH_SET_FS"},
	{0x1003, "ARCH_GET_FS"},
	{0x1004, "ARCH_GET_GS"},
};

static const struct flag_name ipc_flags[] = {
	{0x200, "IPC_CREAT"},
	{0x400, "IPC_EXCL"},
	{0x800, "SHM_HUGETLB"},
	{0x1000, "SHM_NORESERVE"},
};

static const struct flag_name ipc_cmd_flags[] = {
	{0, "IPC_RMID"},
	{1, "IPC_SET"},
	{2, "IPC_STAT"},
	{3, "IPC_INFO"},
};

static const struct flag_name msgflg_flags[] = {
	{0x1000, "MSG_NOERROR"},
	{0x2000, "MSG_EXCEPT"},
	{0x800, "IPC_NOWAIT"},
};

static const struct flag_name xattr_flags[] = {
	{1, "XATTR_CREATE"},
	{2, "XATTR_REPLACE"},
};

/* KEEP IN SYNC: flag tables (tapset/flags.stp), by position */
#define FLAG_TABLES(X)   \
	X(open)          \
	X(access)        \
	X(faccessat)     \
	X(msync)         \
	X(wait)          \
	X(msg)           \
	X(memfd)         \
	X(mlock2)        \
	X(mlockall)      \
	X(policy)        \
	X(priority)      \
	X(shutdown)      \
	X(waitid)        \
	X(futex)         \
	X(mount)         \
	X(umount)        \
	X(mremap)        \
	X(madvise)       \
	X(fadvise)       \
	X(fcntl)         \
	X(whence)        \
	X(sockopt)       \
	X(sockopt_level) \
	X(family)        \
	X(socket_type)   \
	X(protocol)      \
	X(epoll_op)      \
	X(limit)         \
	X(rusage)        \
	X(signal)        \
	X(fork)          \
	X(at)            \
	X(epoll_create)  \
	X(eventfd)       \
	X(signalfd)      \
	X(inotify_init)  \
	X(inotify)       \
	X(shmat)         \
	X(prot)          \
	X(mmap)          \
	X(handler)       \
	X(sa)            \
	X(how)           \
	X(itimer)        \
	X(clock)         \
	X(flock)         \
	X(pipe)          \
	X(timer)         \
	X(timerfd)       \
	X(timerfd_set)   \
	X(getrandom)     \
	X(splice)        \
	X(fallocate)     \
	X(prctl)         \
	X(arch_prctl)    \
	X(ipc)           \
	X(ipc_cmd)       \
	X(msgflg)        \
	X(xattr)
