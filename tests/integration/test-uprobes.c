/* SPDX-License-Identifier: MIT */
/*
 * Patching a program while its threads run.
 * usage: test-uprobes TRACEE-DIRECTORY [ROUNDS]
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/context.h"
#include "abi/session.h"
#include "agent/image.h"
#include "base/step.h"
#include "ptrace/ptrace.h"
#include "tap.h"
#include "uprobes/uprobes.h"

enum {
	MAX_SHAPES = 16,
	CONTEXTS = 64,
	SHARD_BYTES = 4096,
	PATCHES = 1024,
	TEXT = 4096
};

/* ---- the image ---- */

static int64_t symbol(const char *name)
{
	const unsigned char *image = utrace_agent_image;
	const Elf64_Ehdr *header = (const void *)image;
	const Elf64_Shdr *sections = (const void *)(image + header->e_shoff);

	for (size_t i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_DYNSYM)
			continue;
		const Elf64_Sym *symbols = (const void *)(image + sections[i].sh_offset);
		const char *names =
			(const char *)image + sections[sections[i].sh_link].sh_offset;
		for (size_t k = 0; k < sections[i].sh_size / sizeof(*symbols); k++)
			if (!strcmp(names + symbols[k].st_name, name))
				return (int64_t)symbols[k].st_value;
	}
	printf("Bail out! the agent has no symbol %s\n", name);
	exit(99);
}

/* ---- session memory --------------------------------------------------------------------------------- */

static struct uprobe_session session;

static uint64_t round_up(uint64_t value)
{
	return (value + 4095) & ~4095ull;
}

static void make_session(void)
{
	uint64_t journal =
		sizeof(struct abi_journal) + PATCHES * sizeof(struct abi_journal_patch);
	uint64_t context = round_up(sizeof(struct abi_context) + SHARD_BYTES);
	uint64_t size = 4096 + round_up(journal) + CONTEXTS * context;
	int fd = memfd_create("utrace", MFD_CLOEXEC);

	if (session.session_memory) {
		munmap(session.session_memory, session.session_size);
		close(session.session_fd);
	}
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		exit(99);
	struct abi_session *header =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (header == MAP_FAILED)
		exit(99);
	header->magic = ABI_MAGIC;
	header->version = ABI_VERSION;
	header->total_size = size;
	header->state = ABI_STATE_RUNNING;
	header->journal_offset = 4096;
	header->context_offset = 4096 + round_up(journal);
	header->context_size = (uint32_t)context;
	header->context_count = CONTEXTS;
	((struct abi_journal *)((char *)header + 4096))->patch_capacity = PATCHES;
	session = (struct uprobe_session){
		.session_fd = fd,
		.session_memory = header,
		.session_size = size,
		.image = utrace_agent_image,
		.image_size = utrace_agent_image_size,
		.register_offset = symbol("agent_register_thread"),
		.call_offset = symbol("agent_call_trap"),
		.front_offset = symbol("agent_signal_front"),
		.restorer_offset = symbol("agent_restorer"),
		.read_start_offset = symbol("agent_read_start"),
		.read_end_offset = symbol("agent_read_end"),
		.read_fixup_offset = symbol("agent_read_fixup"),
	};
}

static struct abi_context *context(uint32_t slot)
{
	const struct abi_session *header = session.session_memory;
	return (void *)((char *)session.session_memory + header->context_offset +
			(uint64_t)slot * header->context_size);
}

static void free_contexts(void)
{
	((struct abi_session *)session.session_memory)->context_high = 0;
	for (uint32_t i = 0; i < CONTEXTS; i++) {
		context(i)->self = 0;
		context(i)->claimed = 0;
	}
}

static uint64_t count_of(size_t site)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < CONTEXTS; i++)
		sum += ((const uint64_t *)(const void *)context(i)->shards)[site];
	return sum;
}

/* ---- the traced program --------------------------------------------------------------------------- */

struct target {
	pid_t pid;
	int to, from;
	char output[4096];
	size_t size;
	size_t shapes;
	char name[MAX_SHAPES][32];
	uint64_t address[MAX_SHAPES], length[MAX_SHAPES];
	uint64_t text; /* a page or two that hold the shapes */
	unsigned char original[2 * TEXT];
	char *maps;
};

static const char *tracee_dir;
static struct utrace *utrace;
static struct {
	pid_t pid;
	struct uprobe_space *space;
} spaces[256];

static struct uprobe_space *space_of(pid_t pid)
{
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++)
		if (spaces[i].pid == pid)
			return spaces[i].space;
	return NULL;
}

static void set_space(pid_t pid, struct uprobe_space *space)
{
	size_t i = 0, count = sizeof(spaces) / sizeof(*spaces);

	while (i < count && spaces[i].pid != pid)
		i++;
	for (size_t j = 0; i == count && j < count; j++)
		if (!spaces[j].pid)
			i = j;
	if (i == count)
		exit(99);
	spaces[i].pid = space ? pid : 0;
	spaces[i].space = space;
}

/* Callbacks run while output is waited for: a thread may be at a breakpoint. */
static void pump(int fd, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
		{.fd = utrace ? utrace_fd(utrace) : -1, .events = POLLIN}};
	struct error err = {0};

	if (poll(fds, 2, timeout_ms) > 0 && fds[1].revents &&
		utrace_dispatch(utrace, &err) < 0)
		printf("# dispatch: %s\n", err.message);
}

static void pump_for(int ms)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		pump(-1, 5);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 +
			 (now.tv_nsec - start.tv_nsec) / 1000000 <
		 ms);
}

/* Return: what the program printed up to @until, NULL when it ended before. */
static char *read_until(struct target *target, const char *until)
{
	target->size = 0;
	for (int i = 0; i < 3000; i++) {
		char *at = target->output + target->size;
		pump(target->from, 10);
		ssize_t n =
			read(target->from, at, sizeof(target->output) - 1 - target->size);
		if (n == 0)
			return NULL;
		if (n < 0)
			continue;
		target->size += (size_t)n;
		target->output[target->size] = 0;
		if (strstr(target->output, until))
			return target->output;
	}
	return NULL;
}

static char *read_maps(pid_t pid)
{
	struct proc_maps maps = {0};
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	/* stacks and heaps come and go; what is executable, shared or low is the question */
	if (!out || proc_read_maps(pid, &maps, NULL) < 0)
		exit(99);
	for (size_t i = 0; i < maps.maps.count; i++) {
		const struct proc_map *map = &maps.maps.items[i];
		if (map->execute || map->shared || strstr(map->path, "utrace"))
			fprintf(out, "%llx-%llx %s\n", (unsigned long long)map->start,
				(unsigned long long)map->end, map->path);
	}
	proc_maps_free(&maps);
	fclose(out);
	return text;
}

static bool read_text(const struct target *target, unsigned char *ret)
{
	int fd = remote_memory_open(target->pid, NULL);
	bool ok = fd >= 0 && remote_memory_read(fd, target->text, ret, 2 * TEXT) >= 0;

	close(fd);
	return ok;
}

static void start_target(struct target *target, const char *threads, const char *option,
	const char *option2)
{
	char path[4096];
	int to[2], from[2];

	memset(target, 0, sizeof(*target));
	snprintf(path, sizeof(path), "%s/uprobe-hammer", tracee_dir);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		exit(99);
	target->pid = fork();
	if (!target->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(path, path, threads, option, option2, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	target->to = to[1];
	target->from = from[0];
	fcntl(target->from, F_SETFL, O_NONBLOCK);
	char *output = read_until(target, "ready\n");
	if (!output) {
		printf("Bail out! %s does not start\n", path);
		exit(99);
	}
	uint64_t lowest = UINT64_MAX;
	for (char *line = output; strncmp(line, "ready", 5);
		line = strchr(line, '\n') + 1) {
		size_t i = target->shapes++;
		unsigned long long address = 0, length = 0;
		if (sscanf(line, "%llx %llu %31s", &address, &length, target->name[i]) !=
			3)
			exit(99);
		target->address[i] = address;
		target->length[i] = length;
		lowest = address < lowest ? address : lowest;
	}
	target->text = lowest & ~(uint64_t)(TEXT - 1);
	target->maps = read_maps(target->pid);
	if (!read_text(target, target->original))
		exit(99);
}

static void tell(const struct target *target)
{
	if (write(target->to, "\n", 1) != 1)
		printf("# cannot tell the program\n");
}

static bool is_clean(const struct target *target, const char *when)
{
	unsigned char now[2 * TEXT];
	char *maps = read_maps(target->pid);
	bool text = read_text(target, now) && !memcmp(now, target->original, sizeof(now));
	bool same = !strcmp(maps, target->maps);

	for (size_t i = 0; !text && i < sizeof(now); i++)
		if (now[i] != target->original[i]) {
			printf("# %s: text differs at %#llx: %02x, was %02x\n", when,
				(unsigned long long)target->text + i, now[i],
				target->original[i]);
			break;
		}
	if (!same)
		printf("# %s: maps were\n%s# and are\n%s", when, target->maps, maps);
	free(maps);
	return text && same;
}

/* Stops the threads, checks the sum and the exit status; counts[] from the program when asked for. */
static bool finish_target(struct target *target, uint64_t *counts)
{
	int status = 0;

	tell(target);
	char *output = read_until(target, "sum ");
	bool ok = output && strstr(output, "sum ok");
	if (!ok)
		printf("# program printed: %s\n", output ? output : "nothing");
	for (size_t i = 0; output && counts && i < target->shapes; i++) {
		char key[40];
		snprintf(key, sizeof(key), "%s ", target->name[i]);
		const char *at = strstr(output, key);
		counts[i] = at ? strtoull(at + strlen(key), NULL, 10) : 0;
	}
	return ok && status == 0;
}

static void end_target(struct target *target)
{
	if (utrace)
		utrace_destroy(utrace);
	utrace = NULL;
	kill(target->pid, SIGKILL);
	waitpid(target->pid, NULL, 0);
	close(target->to);
	close(target->from);
	free(target->maps);
}

/* ---- the tracer ----------------------------------------------------------------------------------- */

static uint32_t report_signal(uint32_t action, struct utrace_engine *engine,
	struct user_regs_struct *regs, siginfo_t *info)
{
	struct utrace_task *task = utrace_engine_task(engine);
	struct uprobe_space *space = space_of(utrace_task_pid(task));

	const void *notice;
	uint32_t answer;
	if (uprobe_report_signal(space, task, action, regs, info, &notice, &answer))
		return UTRACE_RESUME | UTRACE_SIGNAL_IGN;
	if (info->si_signo == SIGTRAP || info->si_signo == SIGSEGV ||
		info->si_signo == SIGILL)
		printf("# signal %d code %d at %#llx of process %d, space %p\n",
			info->si_signo, info->si_code, (unsigned long long)regs->rip,
			utrace_task_pid(task), (void *)space);
	return answer;
}

static uint32_t report_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	struct utrace_task *task = utrace_engine_task(engine);
	pid_t pid = task ? utrace_task_pid(task) : 0;

	if (group_dead && space_of(pid)) {
		uprobe_space_forget(space_of(pid));
		set_space(pid, NULL);
	}
	return UTRACE_RESUME;
}

static const struct utrace_engine_ops ops = {
	.report_signal = report_signal, .report_death = report_death};

static void watch(struct utrace_task *task)
{
	struct utrace_engine *engine;

	if (utrace_attach_task(task, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) < 0)
		return;
	if (utrace_set_events(
		    task, engine, UTRACE_EVENT_SIGNAL_ALL | UTRACE_EVENT(DEATH)) < 0)
		printf("# cannot watch a task\n");
	utrace_engine_put(engine);
}

static void new_task(struct utrace_task *task, struct utrace_task *parent,
	unsigned long flags, void *data)
{
	struct uprobe_space *space = space_of(utrace_task_pid(parent)), *child;
	struct user_regs_struct regs;
	struct error err = {0};
	pid_t pid = utrace_task_pid(task);

	watch(task);
	if (utrace_get_regs(task, &regs) >= 0 && regs.gs_base) {
		regs.gs_base = 0;
		if (utrace_set_regs(task, &regs) < 0)
			return;
	}
	if (pid == utrace_task_pid(parent) || !space)
		return;
	/* an earlier process of this number is long gone */
	if (space_of(pid))
		uprobe_space_forget(space_of(pid));
	set_space(pid, NULL);
	int r = uprobe_space_fork(space, task, &child, &err);
	if (r < 0 && r != -ENOENT) /* -ENOENT: forked before it was probed */
		printf("# fork: %s\n", err.message);
	else if (r >= 0)
		set_space(pid, child);
}

static bool seize(const struct target *target)
{
	struct error err = {0};

	if (utrace_create(&utrace, &err) < 0 ||
		utrace_seize_process(utrace, target->pid, &err) < 0) {
		printf("# seize: %s\n", err.message);
		return false;
	}
	utrace_on_new_task(utrace, new_task, NULL);
	struct utrace_task *task = utrace_first_task(utrace, 0);
	for (; task; task = utrace_next_task(task, 0))
		watch(task);
	session.utrace = utrace;
	return true;
}

struct plans {
	struct arch_plan plan[MAX_SHAPES];
	struct arch_handler_call call[MAX_SHAPES];
	struct uprobe_request request[MAX_SHAPES];
	size_t count;
};

static bool make_plans(const struct target *target, struct plans *ret, bool no_jumps)
{
	const struct arch_text_segment segment = {
		.address = target->text, .bytes = target->original, .size = 2 * TEXT};
	uint64_t starts[MAX_SHAPES];
	struct error err = {0};
	bool ok = true;

	memset(ret, 0, sizeof(*ret));
	memcpy(starts, target->address, sizeof(starts));
	for (size_t i = 1; i < target->shapes; i++)
		for (size_t j = i; j && starts[j] < starts[j - 1]; j--) {
			uint64_t swap = starts[j];
			starts[j] = starts[j - 1];
			starts[j - 1] = swap;
		}
	struct arch_text *text =
		arch_text_create(&segment, 1, starts, target->shapes, NULL, 0);
	const struct arch_plan_options options = {.no_jumps = no_jumps};
	for (size_t i = 0; i < target->shapes; i++) {
		struct uprobe_request *request = &ret->request[i];
		if (arch_plan_site(text, target->address[i], target->address[i],
			    target->address[i] + target->length[i], &options,
			    &ret->plan[i], &err) < 0) {
			printf("# plan %s: %s\n", target->name[i], err.message);
			ok = false;
		}
		ret->call[i] = (struct arch_handler_call){.site = (uint32_t)i,
			.is_inline_count = true,
			.inline_shard_offset = (uint32_t)(ABI_CONTEXT_SHARDS + 8 * i),
			.inline_increment = 1};
		*request = (struct uprobe_request){.plan = &ret->plan[i],
			.handlers = &ret->call[i],
			.handler_count = 1};
	}
	ret->count = target->shapes;
	arch_text_destroy(text);
	return ok;
}

static bool insert(const struct target *target, struct plans *plans, size_t *ret_refused)
{
	struct error err = {0};
	struct uprobe_space *space;
	struct utrace_task *task = utrace_first_task(utrace, target->pid);

	if (!task || uprobe_space_create(&session, task, &space, &err) < 0) {
		printf("# create: %s\n", err.message);
		return false;
	}
	set_space(target->pid, space);
	if (uprobe_insert(space, plans->request, plans->count, &err) < 0) {
		printf("# insert: %s\n", err.message);
		return false;
	}
	*ret_refused = 0;
	for (size_t i = 0; i < plans->count; i++)
		if (plans->request[i].status < 0) {
			printf("# %s refused: %s\n", target->name[i],
				plans->request[i].refused.message);
			++*ret_refused;
		}
	return true;
}

static bool take_out(const struct target *target)
{
	struct error err = {0};
	uint64_t left = 0;
	int r = uprobe_space_remove(space_of(target->pid), &left, &err);

	set_space(target->pid, NULL);
	if (r < 0 || left)
		printf("# remove: %d, %llu bytes left: %s\n", r, (unsigned long long)left,
			err.message);
	free_contexts();
	return r >= 0 && !left;
}

/* ---- tests ------------------------------------------------------------------------------------------ */

static void test_counts(bool no_jumps)
{
	const char *what = no_jumps ? "breakpoints" : "jumps";
	struct target target;
	struct plans plans;
	struct uprobe_counts counts;
	uint64_t want[MAX_SHAPES] = {0};
	size_t refused = 0;

	make_session();
	start_target(&target, "4", NULL, NULL);
	bool ok = seize(&target) && make_plans(&target, &plans, no_jumps) &&
		  insert(&target, &plans, &refused);
	tap_ok(ok && !refused, "%s: all sites are inserted", what);
	if (ok) {
		uprobe_space_counts(space_of(target.pid), &counts);
		printf("# %zu sites: %zu jumps, %zu windows, %zu short, %zu breakpoints\n",
			counts.sites, counts.jumps, counts.windows, counts.shorts,
			counts.breakpoints);
		tell(&target);
		pump_for(300);
		ok = finish_target(&target, want);
		tap_ok(ok, "%s: the program computes the same", what);
		bool equal = true;
		for (size_t i = 0; i < target.shapes; i++) {
			if (!strcmp(target.name[i], "wait"))
				continue; /* its only call began before */
			if (count_of(i) != want[i])
				printf("# %s: counted %llu of %llu calls\n",
					target.name[i], (unsigned long long)count_of(i),
					(unsigned long long)want[i]);
			equal &= count_of(i) == want[i] && want[i] > 0;
		}
		tap_ok(equal, "%s: every call is counted once", what);
		tap_ok(take_out(&target), "%s: all is removed", what);
		tap_ok(is_clean(&target, what), "%s: text and mappings are as before",
			what);
	}
	end_target(&target);
}

static uint64_t signal_state(pid_t pid)
{
	struct proc_status status = {0};

	if (proc_read_status(pid, &status, NULL) < 0)
		return 0;
	return status.sig_ignored ^ status.sig_caught << 1;
}

static void test_cycles(
	const char *name, const char *option, const char *option2, int rounds)
{
	struct target target;
	struct plans plans;
	size_t refused, total = 0;
	int done = 0;
	bool ok;

	make_session();
	start_target(&target, "8", option, option2);
	uint64_t signals = signal_state(target.pid);
	ok = seize(&target) && make_plans(&target, &plans, false);
	tell(&target);
	for (; ok && done < rounds; done++) {
		ok = insert(&target, &plans, &refused);
		total += refused;
		pump(-1, 0);
		ok = ok && take_out(&target) && is_clean(&target, name);
		pump(-1, 0);
	}
	tap_ok(ok, "%s: inserted and removed %d times, text and mappings clean", name,
		done);
	tap_is_long((long long)total, 0, "no site was refused");
	tap_ok(signal_state(target.pid) == signals, "%s: signal actions are as before",
		name);
	tap_ok(finish_target(&target, NULL), "%s: the program computes the same", name);
	end_target(&target);
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		if (spaces[i].pid)
			uprobe_space_forget(spaces[i].space);
		spaces[i].pid = 0;
		spaces[i].space = NULL;
	}
}

/* ---- a tracer that dies --------------------------------------------------------------------------- */

static long steps, die_at;
static pid_t doomed; /* not its guardian */
void test_step(void)
{
	if (getpid() == doomed && ++steps == die_at)
		kill(getpid(), SIGKILL);
}

/* Of this session: others may be at work for somebody else. */
static bool is_our_guardian(pid_t pid)
{
	enum {
		GUARDIAN_SESSION_FD = 4
	};
	struct proc_status status = {0};
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, GUARDIAN_SESSION_FD);
	return proc_read_status(pid, &status, NULL) >= 0 &&
	       !strcmp(status.name, "utrace-guardian") && status.state != 'Z' &&
	       stat(path, &theirs) == 0 && fstat(session.session_fd, &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* Is there a guardian at work? */
static bool is_guarded(void)
{
	struct proc_tids tids = {0};
	bool found = false;

	if (proc_list_processes(&tids, NULL) < 0)
		return false;
	for (size_t i = 0; i < tids.tids.count && !found; i++)
		found = is_our_guardian(tids.tids.items[i]);
	vec_free(&tids.tids);
	return found;
}

/* The tracer as a process of its own: inserts, removes, over and over, and dies at a step. */
static pid_t doomed_tracer(const struct target *target, long at, bool guarded)
{
	struct plans plans;
	struct error err = {0};
	size_t refused;
	int guardian;

	fflush(stdout);
	pid_t pid = fork();
	if (pid)
		return pid;
	steps = 0;
	die_at = at;
	doomed = getpid();
	if (guarded && uprobe_guardian_start(session.session_fd, session.session_size,
			       &guardian, &err) < 0)
		_exit(1);
	while (guarded && !is_guarded())
		pump(-1, 1);
	bool ok = seize(target) && make_plans(target, &plans, false);
	for (int i = 0; ok && i < 100; i++) {
		ok = insert(target, &plans, &refused);
		pump(-1, 0);
		ok = ok && take_out(target);
	}
	fflush(stdout);
	_exit(ok ? 3 : 2);
}

static bool is_traced(pid_t pid)
{
	struct proc_tids tids = {0};
	bool traced = false;

	if (proc_list_tasks(pid, &tids, NULL) < 0)
		return false;
	for (size_t i = 0; i < tids.tids.count; i++) {
		struct proc_status status = {0};
		if (proc_read_status(tids.tids.items[i], &status, NULL) >= 0)
			traced |= status.tracer != 0;
	}
	vec_free(&tids.tids);
	return traced;
}

static bool wait_clean(const struct target *target)
{
	for (int i = 0; i < 6000; i++) {
		char *maps = read_maps(target->pid);
		bool same = !strcmp(maps, target->maps);
		free(maps);
		if (same && !is_guarded() && !is_traced(target->pid))
			break;
		const struct timespec pause = {.tv_nsec = 10000000};
		nanosleep(&pause, NULL);
	}
	return is_clean(target, "after the tracer died");
}

static void test_crash(bool guarded, int points, const char *option)
{
	struct target target;
	int status, survived = 0;
	long at = 0;

	make_session();
	start_target(&target, "4", option, NULL);
	tell(&target);
	for (int i = 0; i < points; i++) {
		/* every step of the first rounds, then wider and wider apart */
		at += 1 + i / 20;
		make_session();
		pid_t tracer = doomed_tracer(&target, at, guarded);
		waitpid(tracer, &status, 0);
		if (!WIFSIGNALED(status)) {
			printf("# the tracer ended with status %#x at step %ld\n", status,
				at);
			break;
		}
		bool ok = true;
		if (!guarded) {
			struct error err = {0};
			size_t patches = 0;
			int r = uprobe_heal(target.pid, &patches, &err);
			if (r < 0 && r != -ENOENT) {
				printf("# heal after step %ld: %s\n", at, err.message);
				ok = false;
			}
		}
		int dead = waitpid(target.pid, &status, WNOHANG) != 0;
		if (dead || !wait_clean(&target) || !ok) {
			printf("# killed at step %ld: the program %s (status %#x)\n", at,
				dead ? "died" : "is not clean", dead ? status : 0);
			break;
		}
		survived++;
	}
	const char *who = guarded ? "guardian" : "heal";
	tap_is_long(survived, points, who);
	tap_ok(survived == points && finish_target(&target, NULL),
		"%s: the program computes the same", who);
	end_target(&target);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 100;
	const char *only = getenv("TEST_ONLY");

	if (argc < 2)
		return 2;
	tracee_dir = argv[1];
	signal(SIGPIPE, SIG_IGN);
#define WANTED(name) (!only || !strcmp(only, name))
	if (WANTED("counts"))
		test_counts(false);
	if (WANTED("breakpoints"))
		test_counts(true);
	if (WANTED("plain"))
		test_cycles("plain", NULL, NULL, rounds);
	if (WANTED("block"))
		test_cycles("all signals blocked", "block", NULL, rounds);
	if (WANTED("fork"))
		test_cycles("forking", "fork", NULL, rounds);
	if (WANTED("guardian"))
		test_crash(true, rounds * 2, NULL);
	if (WANTED("heal"))
		test_crash(false, rounds * 2, NULL);
	if (WANTED("blocked"))
		test_crash(true, rounds * 2, "block");
	return tap_done();
}
