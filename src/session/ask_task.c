/* SPDX-License-Identifier: MIT */
/* What /proc knows of a thread or a process. */
#include "session/ask.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

enum {
	NS_PER_S = 1000000000,
	/* fields of /proc/PID/stat, proc(5) */
	STAT_STATE = 3,
	STAT_PARENT = 4,
	STAT_USER_TIME = 14,
	STAT_SYSTEM_TIME = 15,
	STAT_PRIORITY = 18,
	STAT_NICE = 19,
	STAT_START_TIME = 22,
	STAT_CPU = 39,
	/* and of /proc/PID/statm */
	STATM_SIZE = 1,
	STATM_RSS = 2,
	STATM_SHARED = 3,
	STATM_TEXT = 4,
	STATM_DATA = 6,
};

static char *read_file(pid_t task, const char *name, size_t *ret_size)
{
	char path[64];
	char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/%s", task, name);
	ssize_t size = fd_read_file(path, &text, NULL);
	*ret_size = size < 0 ? 0 : (size_t)size;
	return size < 0 ? NULL : text;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* Field @wanted of words that are counted from @first. */
static const char *find_word(char *text, int first, int wanted)
{
	char *save = NULL;
	for (char *word = strtok_r(text, " \n", &save); word;
		word = strtok_r(NULL, " \n", &save))
		if (first++ == wanted)
			return word;
	return "";
}

/* The kernel's TASK_* for the letter in /proc. */
static int64_t state_number(char letter)
{
	static const struct {
		char letter;
		int64_t state;
	} states[] = {{'R', 0}, {'S', 1}, {'D', 2}, {'T', 4}, {'t', 8}, {'X', 16},
		{'Z', 32}, {'P', 64}, {'I', 1026}};
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (states[i].letter == letter)
			return states[i].state;
	return 0;
}

static int64_t ticks_to_ns(const char *ticks)
{
	int64_t hertz = sysconf(_SC_CLK_TCK);
	return strtoll(ticks, NULL, 10) * (NS_PER_S / (hertz > 0 ? hertz : 100));
}

static bool stat_number(pid_t task, int field, int64_t *ret)
{
	size_t size;
	char name[32];
	/* /proc/TID itself tells the times of the whole process */
	snprintf(name, sizeof(name), "task/%d/stat", task);
	CLEANUP(cleanup_free) char *text = read_file(task, name, &size);
	/* the name is in parentheses and may contain any; the last one ends it */
	char *at = text ? strrchr(text, ')') : NULL;
	if (!at)
		return false;
	const char *word = find_word(at + 1, STAT_STATE, field);
	if (field == STAT_STATE)
		*ret = state_number(word[0]);
	else if (field == STAT_USER_TIME || field == STAT_SYSTEM_TIME ||
		 field == STAT_START_TIME)
		*ret = ticks_to_ns(word);
	else
		*ret = strtoll(word, NULL, 10);
	return true;
}

static bool statm_number(pid_t task, int field, int64_t *ret)
{
	size_t size;
	CLEANUP(cleanup_free) char *text = read_file(task, "statm", &size);
	if (!text)
		return false;
	*ret = strtoll(find_word(text, STATM_SIZE, field), NULL, 10);
	return true;
}

static bool status_number(pid_t task, enum abi_task_number what, int64_t *ret)
{
	struct proc_status status;
	if (proc_read_status(task, &status, NULL) < 0)
		return false;
	*ret = what == ABI_TASK_PID               ? status.tgid
	       : what == ABI_TASK_UID             ? status.uid
	       : what == ABI_TASK_EUID            ? status.euid
	       : what == ABI_TASK_GID             ? status.gid
	       : what == ABI_TASK_EGID            ? status.egid
	       : what == ABI_TASK_SIGNALS_BLOCKED ? (int64_t)status.sig_blocked
						  : 1;
	return true;
}

static bool count_files(pid_t task, int64_t *ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", task);
	DIR *dir = opendir(path);
	if (!dir)
		return false;
	*ret = 0;
	for (const struct dirent *entry; (entry = readdir(dir));)
		*ret += entry->d_name[0] != '.';
	closedir(dir);
	return true;
}

static bool max_files(pid_t task, int64_t *ret)
{
	size_t size;
	CLEANUP(cleanup_free) char *text = read_file(task, "status", &size);
	const char *line = text ? strstr(text, "\nFDSize:") : NULL;
	if (!line)
		return false;
	*ret = strtoll(line + strlen("\nFDSize:"), NULL, 10);
	return true;
}

static bool limit_number(pid_t task, int64_t which, int64_t *ret)
{
	struct rlimit limit;
	if (which < 0 || which >= RLIM_NLIMITS ||
		prlimit(task, (int)which, NULL, &limit) < 0) {
		*ret = -1;
		return true;
	}
	*ret = limit.rlim_cur == RLIM_INFINITY ? -1 : (int64_t)limit.rlim_cur;
	return true;
}

static bool has_file(pid_t task, int64_t fd, int64_t *ret)
{
	char path[64], target[16];
	snprintf(path, sizeof(path), "/proc/%d/fd/%" PRId64, task, fd);
	*ret = readlink(path, target, sizeof(target)) > 0;
	return true;
}

static bool task_number(pid_t task, int64_t what, int64_t index, int64_t *ret)
{
	static const int stat_fields[] = {
		[ABI_TASK_PARENT] = STAT_PARENT,
		[ABI_TASK_STATE] = STAT_STATE,
		[ABI_TASK_PRIORITY] = STAT_PRIORITY,
		[ABI_TASK_NICE] = STAT_NICE,
		[ABI_TASK_CPU] = STAT_CPU,
		[ABI_TASK_USER_TIME] = STAT_USER_TIME,
		[ABI_TASK_SYSTEM_TIME] = STAT_SYSTEM_TIME,
		[ABI_TASK_START_TIME] = STAT_START_TIME,
	};
	static const int statm_fields[] = {
		[ABI_TASK_MEMORY_SIZE] = STATM_SIZE,
		[ABI_TASK_MEMORY_RSS] = STATM_RSS,
		[ABI_TASK_MEMORY_SHARED] = STATM_SHARED,
		[ABI_TASK_MEMORY_TEXT] = STATM_TEXT,
		[ABI_TASK_MEMORY_DATA] = STATM_DATA,
	};
	int64_t stat_count = sizeof(stat_fields) / sizeof(*stat_fields);
	int64_t statm_count = sizeof(statm_fields) / sizeof(*statm_fields);
	if (what >= 0 && what < stat_count && stat_fields[what])
		return stat_number(task, stat_fields[what], ret);
	if (what >= 0 && what < statm_count && statm_fields[what])
		return statm_number(task, statm_fields[what], ret);
	switch (what) {
	case ABI_TASK_OPEN_FILES:
		return count_files(task, ret);
	case ABI_TASK_MAX_FILES:
		return max_files(task, ret);
	case ABI_TASK_LIMIT:
		return limit_number(task, index, ret);
	case ABI_TASK_FILE_EXISTS:
		return has_file(task, index, ret);
	default:
		return status_number(task, (enum abi_task_number)what, ret);
	}
}

static bool is_task(int64_t number)
{
	return number > 0 && number <= INT_MAX;
}

void ask_task_number(const struct ask_question *question, struct ask_answer *answer)
{
	int64_t task = question->arguments[0];
	answer->failed =
		!is_task(task) || !task_number((pid_t)task, question->arguments[1],
					  question->arguments[2], &answer->result);
}

/* ---- texts -------------------------------------------------------------------------------- */

static void put_link(pid_t task, const char *name, struct ask_answer *answer)
{
	char path[64], target[PATH_MAX];
	snprintf(path, sizeof(path), "/proc/%d/%s", task, name);
	ssize_t size = readlink(path, target, sizeof(target));
	answer->failed = size < 0;
	if (size > 0)
		strbuf_append(&answer->text, target, (size_t)size);
}

void ask_task_text(const struct ask_question *question, struct ask_answer *answer)
{
	pid_t task = (pid_t)question->arguments[0];
	char name[32];
	if (!is_task(question->arguments[0])) {
		answer->failed = true;
		return;
	}
	switch (question->arguments[1]) {
	case ABI_TASK_NAME: {
		size_t size;
		CLEANUP(cleanup_free) char *text = read_file(task, "comm", &size);
		answer->failed = !text;
		if (size)
			strbuf_append(&answer->text, text, size - 1);
		break;
	}
	case ABI_TASK_EXECUTABLE:
		put_link(task, "exe", answer);
		break;
	case ABI_TASK_DIRECTORY:
		put_link(task, "cwd", answer);
		break;
	case ABI_TASK_FILE:
		snprintf(name, sizeof(name), "fd/%" PRId64, question->arguments[2]);
		put_link(task, name, answer);
		break;
	default:
		answer->failed = true;
		break;
	}
}

/* Handlers that belong to no process run in this one. */
static pid_t asked_pid(const struct ask_question *question)
{
	return question->pid ? question->pid : getpid();
}

/* Arguments first to last, an empty one in quotes as SystemTap has it. */
void ask_arguments(const struct ask_question *question, struct ask_answer *answer)
{
	int64_t first = question->arguments[0], last = question->arguments[1], number = 0;
	size_t size;
	CLEANUP(cleanup_free)
	char *text = read_file(asked_pid(question), "cmdline", &size);
	if (!text) {
		answer->failed = true;
		return;
	}
	for (size_t at = 0; at < size && (last < 0 || number <= last); number++) {
		const char *argument = text + at;
		size_t length = strnlen(argument, size - at);
		at += length + 1;
		if (number < first)
			continue;
		if (number > first)
			strbuf_puts(&answer->text, question->text);
		if (number > first && !length)
			strbuf_puts(&answer->text, "\"\"");
		strbuf_append(&answer->text, argument, length);
	}
}

void ask_environment(const struct ask_question *question, struct ask_answer *answer)
{
	size_t size, length = strlen(question->text);
	CLEANUP(cleanup_free)
	char *text = read_file(asked_pid(question), "environ", &size);
	answer->failed = true;
	for (size_t at = 0; length && at < size;
		at += strnlen(text + at, size - at) + 1) {
		const char *entry = text + at;
		if (strnlen(entry, size - at) <= length || entry[length] != '=' ||
			memcmp(entry, question->text, length) != 0)
			continue;
		strbuf_append(&answer->text, entry + length + 1,
			strnlen(entry, size - at) - length - 1);
		answer->failed = false;
		break;
	}
}

void ask_descendant(
	pid_t target, const struct ask_question *question, struct ask_answer *answer)
{
	enum {
		GENERATIONS_MAX = 1000
	};
	int64_t pid = question->arguments[0];
	for (int i = 0; i < GENERATIONS_MAX && target > 0 && is_task(pid); i++) {
		if (pid == target) {
			answer->result = 1;
			return;
		}
		if (!stat_number((pid_t)pid, STAT_PARENT, &pid))
			return;
	}
}
