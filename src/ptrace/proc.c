/* SPDX-License-Identifier: MIT */
/* The /proc files a tracer reads.  They are the kernel's, but their strings (names,
 * paths) are the program's: nothing here trusts them to be free of spaces, parentheses or
 * newlines. */
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "ptrace/ptrace.h"

static int missing(pid_t pid, int code, struct error *err)
{
	if (code == -ENOENT || code == -ESRCH)
		return error_set(err, -ESRCH, "no such process: %d", pid);
	return error_set(err, code, "cannot read /proc/%d: %s", pid, strerror(-code));
}

int proc_check_own(struct error *err)
{
	char own[32], number[32];
	ssize_t size = readlink("/proc/self", own, sizeof(own) - 1);

	if (size < 0)
		return error_set(err, -EOPNOTSUPP,
			"/proc is not mounted, or does not show this process");
	own[size] = '\0';
	snprintf(number, sizeof(number), "%d", getpid());
	if (strcmp(own, number) == 0)
		return 0;
	error_set(err, -EOPNOTSUPP,
		"/proc belongs to another PID namespace: this process is %s there, not %s",
		own, number);
	error_hint(err, "mount the namespace's own (unshare --mount-proc)");
	return -EOPNOTSUPP;
}

/* ---- limits ------------------------------------------------------------------------------- */

struct proc_address_space proc_read_address_space(pid_t pid)
{
	struct proc_address_space none = {UINT64_MAX, UINT64_MAX};
	struct rlimit limit;
	char path[64];
	unsigned long long pages;

	if (prlimit(pid, RLIMIT_AS, NULL, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return none;
	snprintf(path, sizeof(path), "/proc/%d/statm", pid ? pid : getpid());
	FILE *file = fopen(path, "re");
	int found = file ? fscanf(file, "%llu", &pages) : 0;
	if (file)
		fclose(file);
	if (found != 1)
		return none;
	uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return (struct proc_address_space){
		limit.rlim_cur, used < limit.rlim_cur ? limit.rlim_cur - used : 0};
}

/* ---- maps
 * -------------------------------------------------------------------------------------
 */

/* Devices differ in their low bits, inodes rarely use their top ones. */
uint64_t proc_fold_inode(dev_t device, uint64_t inode)
{
	return inode ^ ((uint64_t)major(device) << 52) ^ ((uint64_t)minor(device) << 40);
}

static bool parse_map(char *line, struct proc_map *ret)
{
	char mode[5];
	unsigned device_major, device_minor;
	uint64_t inode;
	int path_at = -1;
	int n = sscanf(line,
		"%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		&ret->start, &ret->end, mode, &ret->offset, &device_major, &device_minor,
		&inode, &path_at);
	if (n != 7 || path_at < 0)
		return false;
	ret->read = mode[0] == 'r';
	ret->write = mode[1] == 'w';
	ret->execute = mode[2] == 'x';
	ret->shared = mode[3] == 's';
	ret->device_inode =
		inode ? proc_fold_inode(makedev(device_major, device_minor), inode) : 0;
	ret->path = line + path_at;
	return true;
}

/*
 * The file comes in pieces, and the next one begins where the last mapping ended, as it was then.  One that has grown
 * downwards since, or become one with its neighbour, comes once more: what was read last holds.
 */
static void add_map(struct proc_maps *maps, const struct proc_map *map)
{
	while (maps->maps.count) {
		struct proc_map *last = &maps->maps.items[maps->maps.count - 1];
		if (last->end <= map->start)
			break;
		if (last->start < map->start) {
			last->end = map->start;
			break;
		}
		maps->maps.count--;
	}
	vec_append(&maps->maps, *map);
}

int proc_read_maps(pid_t pid, struct proc_maps *ret, struct error *err)
{
	char path[64];
	struct proc_maps maps = {0};
	snprintf(path, sizeof(path), "/proc/%d/maps", proc_task_with_memory(pid));
	ssize_t size = fd_read_file(path, &maps.text, NULL);
	if (size < 0)
		return missing(pid, (int)size, err);
	char *line = maps.text;
	while (*line) {
		char *end = strchrnul(line, '\n');
		char *next = *end ? end + 1 : end;
		*end = 0;
		struct proc_map map;
		if (parse_map(line, &map))
			add_map(&maps, &map);
		line = next;
	}
	*ret = maps;
	return 0;
}

void proc_maps_free(struct proc_maps *maps)
{
	vec_free(&maps->maps);
	free(maps->text);
	maps->text = NULL;
}

/* ---- status, stat
 * ----------------------------------------------------------------------------- */

static int parse_innermost(const char *value, int *ret_levels)
{
	*ret_levels = 1;
	for (const char *tab; (tab = strchr(value, '\t')); value = tab + 1)
		++*ret_levels;
	return atoi(value);
}

static void parse_status_line(const char *key, const char *value, struct proc_status *ret)
{
	unsigned a, b;
	if (!strcmp(key, "Tgid"))
		ret->tgid = atoi(value);
	else if (!strcmp(key, "PPid"))
		ret->ppid = atoi(value);
	else if (!strcmp(key, "TracerPid"))
		ret->tracer = atoi(value);
	else if (!strcmp(key, "State"))
		ret->state = value[0];
	else if (!strcmp(key, "Uid") && sscanf(value, "%u %u", &a, &b) == 2)
		ret->uid = a, ret->euid = b;
	else if (!strcmp(key, "Gid") && sscanf(value, "%u %u", &a, &b) == 2)
		ret->gid = a, ret->egid = b;
	else if (!strcmp(key, "Seccomp"))
		ret->seccomp = atoi(value);
	else if (!strcmp(key, "Seccomp_filters"))
		ret->seccomp_filters = atoi(value);
	else if (!strcmp(key, "NoNewPrivs"))
		ret->no_new_privs = atoi(value) != 0;
	else if (!strcmp(key, "SigPnd") || !strcmp(key, "ShdPnd"))
		ret->sig_pending |= strtoull(value, NULL, 16);
	else if (!strcmp(key, "SigBlk"))
		ret->sig_blocked = strtoull(value, NULL, 16);
	else if (!strcmp(key, "SigIgn"))
		ret->sig_ignored = strtoull(value, NULL, 16);
	else if (!strcmp(key, "SigCgt"))
		ret->sig_caught = strtoull(value, NULL, 16);
	else if (!strcmp(key, "voluntary_ctxt_switches") ||
		 !strcmp(key, "nonvoluntary_ctxt_switches"))
		ret->switches += strtoull(value, NULL, 10);
	else if (!strcmp(key, "Name"))
		snprintf(ret->name, sizeof(ret->name), "%s", value);
	else if (!strcmp(key, "x86_Thread_features"))
		ret->shadow_stack = strstr(value, "shstk") != NULL;
	else if (!strcmp(key, "NSpid"))
		ret->ns_pid = parse_innermost(value, &ret->ns_levels);
	else if (!strcmp(key, "NStgid"))
		ret->ns_tgid = parse_innermost(value, &ret->ns_levels);
}

int proc_read_status(pid_t tid, struct proc_status *ret, struct error *err)
{
	char path[64];
	CLEANUP(cleanup_free) char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	ssize_t size = fd_read_file(path, &text, NULL);
	if (size < 0)
		return missing(tid, (int)size, err);
	struct proc_status status = {0};
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(line, ':');
		if (!colon)
			continue;
		*colon++ = 0;
		while (*colon == '\t' || *colon == ' ')
			colon++;
		parse_status_line(line, colon, &status);
	}
	if (!status.tgid)
		return missing(tid, -ESRCH, err);
	*ret = status;
	return 0;
}

int proc_read_stat(pid_t tid, struct proc_stat *ret)
{
	char path[64];
	CLEANUP(cleanup_free) char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	ssize_t size = fd_read_file(path, &text, NULL);
	if (size < 0)
		return size == -ENOENT ? -ESRCH : (int)size;
	/* The name is in parentheses and may contain any; the last one ends it. */
	char *at = strrchr(text, ')');
	if (!at)
		return -EINVAL;
	struct proc_stat stat = {0};
	char *save = NULL;
	int field = 3;
	for (char *word = strtok_r(at + 1, " \n", &save); word; field++) {
		switch (field) {
		case 3:
			stat.state = word[0];
			break;
		case 9:
			stat.flags = (uint32_t)strtoul(word, NULL, 10);
			break;
		case 20:
			stat.threads = (unsigned)strtoul(word, NULL, 10);
			break;
		case 22:
			stat.start_time = strtoull(word, NULL, 10);
			break;
		case 33:
			stat.sig_ignored = strtoull(word, NULL, 10);
			break;
		case 34:
			stat.sig_caught = strtoull(word, NULL, 10);
			break;
		case 38:
			stat.exit_signal = atoi(word);
			break;
		case 47:
			stat.start_brk = strtoull(word, NULL, 10);
			break;
		default:
			break;
		}
		word = strtok_r(NULL, " \n", &save);
	}
	*ret = stat;
	return 0;
}

uint64_t proc_read_turns(pid_t tid)
{
	char path[64];
	CLEANUP(cleanup_free) char *text = NULL;
	uint64_t turns = 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	/* nanoseconds on a processor, nanoseconds of waiting for one, turns */
	if (fd_read_file(path, &text, NULL) > 0 &&
		sscanf(text, "%*u %*u %" SCNu64, &turns) != 1)
		return 0;
	return turns;
}

/* ---- directories
 * ------------------------------------------------------------------------------ */

static int list_numbers(const char *path, struct proc_tids *ret)
{
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	struct proc_tids list = {0};
	const struct dirent *entry;
	errno = 0;
	while ((entry = readdir(dir))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			vec_append(&list.tids, atoi(entry->d_name));
	}
	int code = -errno;
	closedir(dir);
	if (code < 0 && list.tids.count == 0) {
		vec_free(&list.tids);
		return code;
	}
	*ret = list;
	return 0;
}

int proc_list_tasks(pid_t pid, struct proc_tids *ret, struct error *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	int r = list_numbers(path, ret);
	return r < 0 ? missing(pid, r, err) : 0;
}

int proc_list_processes(struct proc_tids *ret, struct error *err)
{
	int r = list_numbers("/proc", ret);
	return r < 0 ? error_set(err, r, "cannot read /proc: %s", strerror(-r)) : 0;
}

/* ---- small ones
 * ------------------------------------------------------------------------------- */

int proc_read_syscall(pid_t pid, pid_t tid, struct proc_syscall *ret)
{
	char path[64];
	CLEANUP(cleanup_free) char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	ssize_t size = fd_read_file(path, &text, NULL);
	if (size < 0)
		return size == -ENOENT ? -ESRCH : (int)size;
	struct proc_syscall call = {0};
	if (!strncmp(text, "running", 7)) {
		call.running = true;
		*ret = call;
		return 0;
	}
	int n = sscanf(text,
		"%ld 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64
		" 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64,
		&call.number, &call.args[0], &call.args[1], &call.args[2], &call.args[3],
		&call.args[4], &call.args[5], &call.sp, &call.pc);
	if (n >= 3 && call.number == -1) { /* -1 SP PC */
		call.sp = call.args[0];
		call.pc = call.args[1];
		memset(call.args, 0, sizeof(call.args));
	} else if (n != 9) {
		return -EINVAL;
	}
	*ret = call;
	return 0;
}

static bool has_memory(pid_t tid)
{
	char path[64], program[2];
	snprintf(path, sizeof(path), "/proc/%d/exe", tid);
	return readlink(path, program, sizeof(program)) > 0;
}

pid_t proc_task_with_memory(pid_t pid)
{
	struct proc_tids list;
	if (has_memory(pid) || proc_list_tasks(pid, &list, NULL) < 0)
		return pid;
	pid_t found = pid;
	for (size_t i = 0; i < list.tids.count && found == pid; i++) {
		if (has_memory(list.tids.items[i]))
			found = list.tids.items[i];
	}
	vec_free(&list.tids);
	return found;
}

int proc_read_exe(pid_t pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/exe", proc_task_with_memory(pid));
	ssize_t n = readlink(path, ret, size - 1);
	if (n < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	ret[n] = 0;
	return 0;
}

int proc_read_auxv(pid_t pid, unsigned long type, uint64_t *ret)
{
	char path[64];
	CLEANUP(cleanup_free) char *bytes = NULL;
	snprintf(path, sizeof(path), "/proc/%d/auxv", proc_task_with_memory(pid));
	ssize_t size = fd_read_file(path, &bytes, NULL);
	if (size < 0)
		return size == -ENOENT ? -ESRCH : (int)size;
	*ret = 0;
	for (size_t at = 0; at + 16 <= (size_t)size; at += 16) {
		uint64_t pair[2];
		memcpy(pair, bytes + at, sizeof(pair));
		if (pair[0] == type) {
			*ret = pair[1];
			break;
		}
	}
	return 0;
}
