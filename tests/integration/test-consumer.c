/* SPDX-License-Identifier: MIT */
/*
 * The public uprobes interface against a program that does what it is told.
 * usage: test-consumer TRACEE-DIRECTORY
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utrace/uprobes.h>

#include "tap.h"

static const char *tracee_dir;
static char program[PATH_MAX], plugin[PATH_MAX];
static struct utrace *utrace;
static struct uprobes *probes;
static int warnings;

static void note_warning(void *data, pid_t pid, const char *text)
{
	printf("# warning: %s\n", text);
	warnings++;
}

/* ---- a program to talk to ---- */

struct program {
	pid_t pid;
	int to, from;
};

static void serve(int timeout_ms)
{
	struct utrace_error err = {0};
	struct pollfd fd = {.fd = utrace_fd(utrace), .events = POLLIN};

	poll(&fd, 1, timeout_ms);
	if (uprobes_dispatch(probes, &err) < 0)
		printf("# %s\n", err.message);
}

static struct program start_quiet(char **argv)
{
	int in[2], out[2];
	struct program ret = {0};

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		exit(99);
	ret.pid = fork();
	if (!ret.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[0], argv);
		_exit(99);
	}
	close(in[0]);
	close(out[1]);
	ret.to = in[1];
	ret.from = out[0];
	return ret;
}

/* One that says when it is ready. */
static struct program start_as(char **argv)
{
	struct program ret = start_quiet(argv);
	char ready[8];

	if (read(ret.from, ready, sizeof(ready)) != 6)
		exit(99);
	return ret;
}

static struct program start(void)
{
	char *argv[] = {program, NULL};

	return start_as(argv);
}

/* Its answer; callbacks run meanwhile. */
static long tell(const struct program *p, const char *line)
{
	char answer[32] = {0};
	size_t size = 0;

	if (write(p->to, line, strlen(line)) < 0)
		return LONG_MIN;
	for (;;) {
		struct pollfd fds[] = {
			{.fd = utrace ? utrace_fd(utrace) : -1, .events = POLLIN},
			{.fd = p->from, .events = POLLIN}};
		poll(fds, 2, -1);
		if (fds[0].revents)
			serve(0);
		if (!(fds[1].revents & (POLLIN | POLLHUP)))
			continue;
		ssize_t n = read(p->from, answer + size, sizeof(answer) - 1 - size);
		if (n <= 0)
			return LONG_MIN;
		size += (size_t)n;
		if (answer[size - 1] == '\n')
			return atol(answer);
	}
}

static int death_status;

static uint32_t note_death(struct utrace_engine *engine, bool group_dead, int signal)
{
	death_status = utrace_task_status(utrace_engine_task(engine));
	return UTRACE_DETACH;
}

/* Traced by its parent it is reaped by the tracer, which knows its status then. */
static int finish_traced(const struct program *p)
{
	static const struct utrace_engine_ops ops = {.report_death = note_death};
	struct utrace_engine *engine;

	death_status = -1;
	if (utrace_attach_pid(utrace, p->pid, UTRACE_ATTACH_CREATE, &ops, NULL, &engine) <
		0)
		return -1;
	int r = utrace_set_events(
		utrace_engine_task(engine), engine, UTRACE_EVENT(DEATH));
	while (r == 0 && utrace_first_task(utrace, p->pid))
		serve(100);
	utrace_engine_put(engine);
	return death_status;
}

static int finish(struct program *p)
{
	int status = -1;

	close(p->to);
	if (probes)
		status = finish_traced(p);
	else
		waitpid(p->pid, &status, 0);
	close(p->from);
	return status;
}

static void begin_with(const struct uprobes_options *options)
{
	struct utrace_error err = {0};

	if (utrace_create(&utrace, &err) < 0 ||
		uprobes_create(utrace, options, &probes, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(99);
	}
}

static void begin(bool in_process)
{
	struct uprobes_options options = {.size = sizeof(options),
		.in_process = in_process,
		.shared_size = in_process ? 4096 : 0,
		.warn = note_warning};

	warnings = 0;
	begin_with(&options);
}

static void end(void)
{
	uprobes_destroy(probes);
	utrace_destroy(utrace);
	probes = NULL;
	utrace = NULL;
}

static bool add(const struct program *p)
{
	struct utrace_error err = {0};
	bool ok = uprobes_add_process(probes, p->pid, &err) == 0;

	if (!ok)
		printf("# %s\n", err.message);
	return ok;
}

static struct uprobe_place at(const char *symbol)
{
	return (struct uprobe_place){
		.size = sizeof(struct uprobe_place), .path = program, .symbol = symbol};
}

static struct uprobe *reg(const char *symbol, struct uprobe_consumer *consumer)
{
	struct utrace_error err = {0};
	struct uprobe_place place = at(symbol);
	struct uprobe *ret = NULL;

	if (uprobe_register(probes, &place, consumer, &ret, &err) < 0)
		printf("# %s\n", err.message);
	return ret;
}

/* Offset in the file of a symbol, -1: none. */
static long symbol_offset(const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	const char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return -1;
	const Elf64_Ehdr *header = (const void *)file;
	const Elf64_Shdr *sections = (const void *)(file + header->e_shoff);
	long ret = -1;
	for (size_t i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		const Elf64_Sym *symbols = (const void *)(file + sections[i].sh_offset);
		const char *names = file + sections[sections[i].sh_link].sh_offset;
		for (size_t k = 0; k < sections[i].sh_size / sizeof(*symbols); k++) {
			const Elf64_Shdr *in = &sections[symbols[k].st_shndx];
			if (strcmp(names + symbols[k].st_name, name) == 0)
				ret = (long)(symbols[k].st_value - in->sh_addr +
					     in->sh_offset);
		}
	}
	munmap((void *)(uintptr_t)file, (size_t)st.st_size);
	return ret;
}

/* ---- consumers ---- */

struct counter {
	struct uprobe_consumer consumer; /* first */
	long entries, returns, sum, wrong;
	pid_t refuse;         /* filter() says no to it */
	int result;           /* of handler() */
	struct uprobe *leave; /* unregistered at the next entry */
};

static int count_entry(struct uprobe_consumer *self, struct utrace_task *task,
	struct user_regs_struct *regs, uint64_t *data)
{
	struct counter *c = (struct counter *)self;
	char text[4] = {0};

	c->entries++;
	*data = regs->rdi;
	if (c->leave && uprobe_unregister(c->leave, self) == 0)
		c->leave = NULL;
	if (regs->rsi && utrace_read_memory(task, regs->rsi, text, 1) == 0)
		c->sum += text[0];
	return c->result;
}

static int count_return(struct uprobe_consumer *self, struct utrace_task *task,
	uint64_t function, struct user_regs_struct *regs, uint64_t *data)
{
	struct counter *c = (struct counter *)self;

	c->returns++;
	long text = (long)regs->rax - (long)*data * 3;
	if (!function || (text != 'a' && text != 'x'))
		c->wrong++;
	return 0;
}

static bool refuse_one(struct uprobe_consumer *self, pid_t pid)
{
	return pid != ((struct counter *)self)->refuse;
}

static const char push_rdi_shared[] = /* lock incq (hit->shared); ret */
	"\x48\x8b\x47\x18"            /* mov 24(%rdi),%rax */
	"\xf0\x48\xff\x00"            /* lock incq (%rax) */
	"\xc3";

static struct counter both(void)
{
	return (struct counter){
		.consumer = {.handler = count_entry, .ret_handler = count_return}};
}

static struct counter entries(void)
{
	return (struct counter){.consumer = {.handler = count_entry}};
}

/* ---- tests ---- */

static void test_two_consumers(void)
{
	struct program p = start();
	long plain = tell(&p, "c 5\n");
	struct counter a = entries(), b = both();

	begin(false);
	bool ok = reg("outer", &a.consumer) && add(&p);
	struct uprobe *inner = reg("inner", &b.consumer);
	tap_ok(ok && inner, "registered before and after the process was added");
	tap_is_long(tell(&p, "c 5\n"), plain, "the program computes what it did");
	tap_is_long(a.entries, 5, "outer() is entered five times");
	tap_is_long(b.entries, 10, "inner() ten times");
	tap_is_long(b.returns, 10, "and returns as often");
	struct counter c = entries();
	tap_ok(reg("inner", &c.consumer) == inner,
		"a second consumer gets the same uprobe");
	tell(&p, "c 3\n");
	tap_is_long(b.entries, 16, "the first is still called");
	tap_is_long(c.entries, 6, "and so is the second");
	tap_is_long(c.sum, 3 * ('a' + 'x'), "which reads the program's memory");
	struct uprobe_info info = {.size = sizeof(info)};
	tap_ok(uprobe_get_info(inner, &info) == 0 && info.processes == 1 &&
			info.exits >= 1 && !info.refused && info.hits == 16 + 16 + 6,
		"uprobe_get_info() says so");
	tap_is_long(uprobe_unregister(inner, &b.consumer), 0, "unregister the first");
	tell(&p, "c 2\n");
	tap_is_long(b.entries, 16, "it is called no more");
	tap_is_long(c.entries, 10, "the second goes on");
	tap_is_long(uprobe_unregister(inner, &b.consumer), -ENOENT, "twice is an error");
	uprobe_unregister(inner, &c.consumer);
	tap_is_long(tell(&p, "c 5\n"), plain, "nothing is left to disturb it");
	tap_is_long(c.entries, 10, "nobody is called");
	end();
	tap_is_long(tell(&p, "c 5\n"), plain, "nor after the end");
	tap_is_long(finish(&p), 0, "it ends as it should");
	tap_is_long(warnings, 0, "without a warning");
}

static void test_returns(void)
{
	struct program p = start();
	struct counter deep = both(), inner = both();

	begin(false);
	add(&p);
	reg("deep", &deep.consumer);
	reg("inner", &inner.consumer);
	tell(&p, "r 500\n");
	tap_is_long(deep.returns, 501, "every level of a recursion returns");
	inner = both();
	tell(&p, "j\n");
	tap_is_long(inner.entries, 3, "a call left by longjmp() is entered");
	tap_is_long(inner.returns, 2, "and does not return");
	tap_is_long(inner.wrong, 0, "later returns get their own data");
	inner = both();
	inner.result = UPROBE_HANDLER_IGNORE;
	tell(&p, "c 2\n");
	tap_is_long(inner.entries, 4, "a handler that ignores");
	tap_is_long(inner.returns, 0, "has no returns");
	end();
	tap_is_long(finish(&p), 0, "it ends as it should");
}

static void test_filter(void)
{
	struct program p = start(), q = start();
	struct counter a = entries();

	begin(false);
	a.consumer.filter = refuse_one;
	a.refuse = p.pid;
	struct uprobe *u = reg("inner", &a.consumer);
	tap_ok(add(&p) && add(&q), "two processes");
	tell(&p, "c 1\n");
	tap_is_long(a.entries, 0, "the filter refuses the first");
	tell(&q, "c 1\n");
	tap_is_long(a.entries, 2, "and wants the second");
	struct uprobe_info info = {.size = sizeof(info)};
	tap_ok(uprobe_get_info(u, &info) == 0 && info.processes == 1,
		"which is patched alone");
	a.refuse = q.pid;
	tap_is_long(uprobe_apply(u, &a.consumer), 0, "it has changed its mind");
	tell(&p, "c 1\n");
	tell(&q, "c 1\n");
	tap_is_long(a.entries, 4, "now it is the other way round");
	a.refuse = 0;
	a.result = UPROBE_HANDLER_REMOVE;
	tap_is_long(uprobe_apply(u, &a.consumer), 0, "it wants both");
	tell(&p, "c 10\n");
	tap_is_long(a.entries, 5, "until the handler asks for removal");
	tell(&q, "c 10\n");
	tap_is_long(a.entries, 6, "in each process for itself");
	end();
	tap_ok(finish(&p) == 0 && finish(&q) == 0, "they end as they should");
}

static void test_unregister_inside(void)
{
	struct program p = start();
	struct counter a = both(), b = entries();

	begin(false);
	add(&p);
	reg("inner", &b.consumer);
	a.leave = reg("inner", &a.consumer);
	tell(&p, "c 5\n");
	tap_is_long(a.entries, 1, "a consumer that unregisters itself is called once");
	tap_is_long(a.returns, 0, "and not for the return");
	tap_is_long(b.entries, 10, "its neighbour goes on");
	b.leave = NULL;
	struct counter many[20];
	struct uprobe_registration registrations[40] = {0};
	for (int i = 0; i < 40; i++) {
		many[i / 2] = entries();
		registrations[i].consumer = &many[i / 2].consumer;
		registrations[i].place = at(i % 2 ? "outer" : "inner");
	}
	registrations[7].place.symbol = "no_such_function";
	struct utrace_error err = {0};
	tap_is_long(uprobe_register_many(probes, registrations, 40, &err), 1,
		"of forty registrations one is refused");
	tap_ok(registrations[7].status == -ENOENT && !registrations[7].uprobe &&
			strstr(err.message, "no_such_function"),
		"and the words say which");
	tell(&p, "c 1\n");
	tap_ok(many[0].entries == 3 && many[3].entries == 2 && many[19].entries == 3,
		"the others are called");
	uprobe_unregister_many(registrations, 40);
	tell(&p, "c 1\n");
	tap_is_long(many[0].entries, 3, "none is called after they are unregistered");
	end();
	tap_is_long(finish(&p), 0, "it ends as it should");
}

static void test_following(void)
{
	struct program p = start();
	struct counter a = both(), b = entries();
	char line[PATH_MAX + 4];

	begin(false);
	reg("inner", &a.consumer);
	add(&p);
	tap_is_long(tell(&p, "f 5\n"), 0, "a forked child works");
	tap_is_long(a.entries, 10, "and is probed");
	tap_is_long(a.returns, 10, "its returns too");
	tap_is_long(tell(&p, "v 1\n"), 0, "a vforked one");
	tap_is_long(a.entries, 12, "likewise");
	struct utrace_error err = {0};
	struct uprobe_place place = {
		.size = sizeof(place), .path = plugin, .symbol = "plugin_work"};
	tap_is_long(uprobe_register(probes, &place, &b.consumer, NULL, &err), 0,
		"a library that nobody has mapped");
	snprintf(line, sizeof(line), "l %s\n", plugin);
	tell(&p, line);
	tap_is_long(b.entries, 12, "is probed from its constructor to its destructor");
	tell(&p, line);
	tap_is_long(b.entries, 24, "and when it comes again");
	a = both();
	tap_is_long(tell(&p, "e\n"), 0, "after an exec");
	tell(&p, "c 2\n");
	tap_is_long(a.entries, 4, "the new program is probed");
	kill(p.pid, SIGKILL);
	tap_is_long(finish(&p), SIGKILL, "a killed program is forgotten");
	end();
	tap_is_long(warnings, 0, "without a warning");
}

/* ---- processes that are killed while they fork ---- */

struct remains {
	pid_t of;
	char path[PATH_MAX]; /* what they run */
	long offset;         /* of the probed function in it */
	long processes, dead, patched, held;
};

/* Is the probed function as the file has it? */
static bool is_clean(const struct remains *remains, const char *directory)
{
	char name[PATH_MAX], line[PATH_MAX + 128];
	unsigned char there[16], in_file[16] = {0};
	unsigned long start, end, offset, at = 0;

	snprintf(name, sizeof(name), "%s/maps", directory);
	FILE *maps = fopen(name, "re");
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r-xp %lx", &start, &end, &offset) == 3 && !at &&
			strstr(line, remains->path))
			at = start + (unsigned long)remains->offset - offset;
	if (maps)
		fclose(maps);
	snprintf(name, sizeof(name), "%s/mem", directory);
	int memory = open(name, O_RDONLY | O_CLOEXEC);
	int file = open(remains->path, O_RDONLY | O_CLOEXEC);
	bool same = pread(memory, there, sizeof(there), (off_t)at) == sizeof(there) &&
		    pread(file, in_file, sizeof(in_file), remains->offset) ==
			    sizeof(in_file) &&
		    memcmp(there, in_file, sizeof(there)) == 0;
	close(memory);
	close(file);
	return same;
}

static void look_at(struct remains *remains, pid_t pid)
{
	char directory[64], name[96], text[512] = {0}, state = 0;
	int parent = 0;

	snprintf(directory, sizeof(directory), "/proc/%d", pid);
	snprintf(name, sizeof(name), "%s/stat", directory);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	const char *rest =
		read(fd, text, sizeof(text) - 1) > 0 ? strrchr(text, ')') : NULL;
	close(fd);
	if (!rest || sscanf(rest, ") %c %d", &state, &parent) != 2 ||
		parent != remains->of)
		return;
	remains->processes++;
	remains->dead += state == 'Z';
	remains->held += state == 't';
	remains->patched += state != 'Z' && !is_clean(remains, directory);
	kill(pid, SIGKILL);
}

/* Counts the children of the program, and kills them. */
static void look_at_remains(struct remains *remains)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (atoi(entry->d_name) > 0)
			look_at(remains, atoi(entry->d_name));
	if (proc)
		closedir(proc);
}

/* It is on its way into the program, or not yet, or has just come. */
static bool add_at_exec(bool in_process, struct counter *a, long spins)
{
	struct program p;
	char *argv[] = {program, NULL};
	bool ok;

	begin(in_process);
	*a = entries();
	ok = reg("inner", &a->consumer);
	p = start_quiet(argv);
	for (volatile long i = 0; i < spins; i++)
		;
	ok = ok && add(&p) && tell(&p, "") == 0; /* "ready" is no number */
	tell(&p, "c 2\n");
	ok = ok && a->entries == 4 && warnings == 0;
	tell(&p, "c 0\n");
	ok = finish(&p) == 0 && ok;
	end();
	return ok;
}

static void test_add_at_exec(bool in_process)
{
	struct counter a;
	int right = 0, rounds = 100;

	for (int i = 0; i < rounds; i++)
		right += add_at_exec(in_process, &a, (long)i * 3000);
	tap_is_long(right, rounds, "processes that are added while they call exec");
}

static void test_orphans(bool in_process)
{
	struct remains remains = {0};
	char count[] = "60", how[] = "forks";
	char *argv[] = {remains.path, count, how, NULL};
	const struct uprobe_code *code = NULL;
	struct utrace_error err = {0};
	struct counter a = entries();
	struct uprobe_place live = {
		.size = sizeof(live), .path = remains.path, .symbol = "live"};

	snprintf(remains.path, sizeof(remains.path), "%s/stillborn", tracee_dir);
	remains.offset = symbol_offset(remains.path, "live");
	struct program p = start_quiet(argv);
	remains.of = p.pid;
	begin(in_process);
	if (in_process && uprobe_code_load(probes, push_rdi_shared,
				  sizeof(push_rdi_shared) - 1, NULL, &code, &err) == 0)
		a.consumer = (struct uprobe_consumer){.code = code};
	tap_ok(uprobe_register(probes, &live, &a.consumer, NULL, &err) == 0 && add(&p),
		"processes that are killed while they fork %s", err.message);
	tap_is_long(tell(&p, "\n"), 60, "all of them are killed");
	for (int i = 0; i < 30; i++)
		serve(100); /* their children tell by nothing but that nobody tells of them */
	tap_ok(in_process ? *(long *)uprobes_shared(probes) > 0 : a.entries > 0,
		"their children are probed");
	end();
	look_at_remains(&remains);
	tap_ok(remains.processes > 0, "... %ld of them", remains.processes);
	tap_is_long(remains.dead, 0, "... none died of it");
	tap_is_long(remains.held, 0, "... none is held");
	tap_is_long(remains.patched, 0, "... text as before in all of them");
	tap_is_long(warnings, 0, "without a warning");
	tap_is_long(finish(&p), 0, "it ends as it should");
}

/* A part of the text is mapped twice, above the rest or below it. */
static void test_mapped_twice(const char *where)
{
	char path[PATH_MAX], calls[] = "100", address[32];
	char *argv[] = {path, calls, address, NULL};
	struct counter once = entries(), twice = both();
	struct uprobe_place single = {
		.size = sizeof(single), .path = path, .symbol = "single"};
	struct uprobe_place doubled = {
		.size = sizeof(doubled), .path = path, .symbol = "doubled"};
	struct uprobe_info info = {.size = sizeof(info)};
	struct utrace_error err = {0};
	struct uprobe *uprobe = NULL;

	snprintf(path, sizeof(path), "%s/twice", tracee_dir);
	snprintf(address, sizeof(address), "%s", where);
	struct program p = start_as(argv);
	begin(false);
	doubled.ref_ctr_offset = (uint64_t)symbol_offset(path, "listeners");
	bool ok =
		uprobe_register(probes, &single, &once.consumer, NULL, &err) == 0 &&
		uprobe_register(probes, &doubled, &twice.consumer, &uprobe, &err) == 0 &&
		add(&p) && uprobe_get_info(uprobe, &info) == 0;
	tap_ok(ok, "a part of the text is mapped at %s too %s", where, err.message);
	tap_is_long((long)info.processes, 1, "... which is in one process");
	tell(&p, "\n");
	tap_is_long(twice.entries, 200, "both copies of it are probed");
	tap_is_long(twice.returns, 200, "... and their returns");
	tap_is_long(once.entries, 100, "the rest once");
	tap_is_long(warnings, 0, "without a warning");
	tap_is_long(finish(&p), 0, "it ends as it should");
	end();
}

static void test_semaphore(void)
{
	struct program p = start();
	struct counter a = entries();
	struct uprobe_place place = at("inner");
	struct utrace_error err = {0};
	struct uprobe *u;

	begin(false);
	add(&p);
	tap_is_long(tell(&p, "s\n"), 0, "the counter is 0");
	place.ref_ctr_offset = (uint64_t)symbol_offset(program, "probed_semaphore");
	int r = uprobe_register(probes, &place, &a.consumer, &u, &err);
	tap_ok(r == 0, "register with a counter %s", err.message);
	tap_is_long(tell(&p, "s\n"), 1, "it is 1 while the place is probed");
	struct counter b = entries();
	tap_is_long(
		uprobe_register(probes, &place, &b.consumer, NULL, &err), 0, "once more");
	tap_is_long(tell(&p, "s\n"), 1, "it is 1 however many listen");
	struct uprobe_place other = at("inner");
	tap_is_long(uprobe_register(probes, &other, &a.consumer, NULL, &err), -EINVAL,
		"another counter for the same place is refused");
	uprobe_unregister(u, &a.consumer);
	uprobe_unregister(u, &b.consumer);
	tap_is_long(tell(&p, "s\n"), 0, "and 0 afterwards");
	end();
	tap_is_long(finish(&p), 0, "it ends as it should");
}

static void test_errors(void)
{
	struct counter a = entries(), r = both();
	struct uprobe_consumer empty = {0};
	struct uprobe_place inner = at("inner"), missing = at("nothing"),
			    middle = at("inner"), past = at(NULL), data = at(NULL),
			    nowhere = at("inner"), text = at(NULL), odd = at("inner"),
			    small = at("inner");
	struct utrace_error err = {0};

	begin(false);
	middle.offset = 1;
	past.offset = 1u << 30;
	data.offset = (uint64_t)symbol_offset(program, "probed_semaphore");
	nowhere.path = "/nonexistent/file";
	text.path = "/etc/passwd";
	odd.ref_ctr_offset = 3;
	small.size = 8;
	const struct {
		const char *name, *words;
		struct uprobe_place *place;
		struct uprobe_consumer *consumer;
		int want;
	} cases[] = {
		{"no callback", "callback", &inner, &empty, -EINVAL},
		{"no such symbol", "nothing", &missing, &a.consumer, -ENOENT},
		{"the middle of an instruction", "instruction", &middle, &a.consumer,
			-EINVAL},
		{"an offset behind the end", "offset", &past, &a.consumer, -EINVAL},
		{"an offset of data", "no code", &data, &a.consumer, -EINVAL},
		{"no such file", "No such file", &nowhere, &a.consumer, -ENOENT},
		{"no ELF file", "/etc/passwd", &text, &a.consumer, -ENOEXEC},
		{"a counter at an odd offset", "odd", &odd, &a.consumer, -EINVAL},
		{"a structure of another size", "8 bytes", &small, &a.consumer, -EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int got = uprobe_register(
			probes, cases[i].place, cases[i].consumer, NULL, &err);
		tap_ok(got == cases[i].want && strstr(err.message, cases[i].words),
			"%s: %d %s", cases[i].name, got, err.message);
	}
	struct uprobe_consumer native = {.code = (const void *)&a};
	tap_is_long(uprobe_register(probes, &inner, &native, NULL, &err), -EOPNOTSUPP,
		"native functions without in_process");
	tap_is_long(register_uretprobe(probes, &inner, &a.consumer, NULL, &err), -EINVAL,
		"a return probe without a ret_handler");
	tap_is_long(register_uretprobe(probes, &inner, &r.consumer, NULL, &err), 0,
		"and one with");
	tap_is_long(uprobe_register(probes, &inner, &r.consumer, NULL, &err), -EEXIST,
		"the same consumer twice");
	tap_is_long(
		uprobes_add_process(probes, 999999999, &err), -ESRCH, "no such process");
	if (geteuid() == 0)
		tap_skip("root may trace everything");
	else
		tap_is_long(uprobes_add_process(probes, 1, &err), -EPERM,
			"somebody else's process");
	end();
}

static void test_native(void)
{
	struct program p = start();
	long plain = tell(&p, "c 100\n");
	const struct uprobe_code *code = NULL, *none;
	struct utrace_error err = {0};

	begin(true);
	int r = uprobe_code_load(
		probes, push_rdi_shared, sizeof(push_rdi_shared) - 1, NULL, &code, &err);
	tap_ok(r == 0, "load machine code %s", err.message);
	tap_is_long(uprobe_code_load(probes, "\x0f\x28\xc1\xc3", 4, NULL, &none, &err),
		-ENOEXEC, "vector instructions are refused");
	tap_is_long(uprobe_code_load(probes, "\x0f\x05\xc3", 3, NULL, &none, &err),
		-ENOEXEC, "and system calls");
	tap_is_long(uprobe_code_load(probes, "junk", 4, "f", &none, &err), -ENOEXEC,
		"and what is no object");
	struct uprobe_consumer entry = {.code = code}, leave = {.ret_code = code};
	struct counter told = both();
	volatile uint64_t *count = uprobes_shared(probes);
	struct uprobe *inner = reg("inner", &entry);
	tap_ok(inner && add(&p), "a native consumer");
	tap_is_long(uprobe_code_load(probes, push_rdi_shared, sizeof(push_rdi_shared) - 1,
			    NULL, &none, &err),
		-EBUSY, "code has to come before processes");
	tap_is_long(tell(&p, "c 100\n"), plain, "the program computes what it did");
	tap_is_long((long)*count, 200, "the function runs in it");
	reg("inner", &leave);
	tell(&p, "c 100\n");
	tap_is_long((long)*count, 600, "and at returns");
	reg("inner", &told.consumer);
	tap_is_long(tell(&p, "c 100\n"), plain, "next to one in the tracer");
	tap_is_long((long)*count, 1000, "both run");
	tap_ok(told.entries == 200 && told.returns == 200,
		"the tracer's %ld and %ld times", told.entries, told.returns);
	tap_is_long(tell(&p, "f 10\n"), 0, "in a forked child");
	tap_is_long((long)*count, 1040, "too");
	uprobe_unregister(inner, &told.consumer);
	uprobe_unregister(inner, &leave);
	tell(&p, "c 100\n");
	tap_is_long((long)*count, 1240, "the entry alone again");
	uprobe_unregister(inner, &entry);
	tap_is_long(tell(&p, "c 100\n"), plain, "all are gone");
	tap_is_long((long)*count, 1240, "and nothing is counted");
	end();
	tap_is_long(tell(&p, "c 100\n"), plain, "nor after the end");
	tap_is_long(finish(&p), 0, "it ends as it should");
	tap_is_long(warnings, 0, "without a warning");
}

/* Exits that others leave by, too: only calls that were seen to begin count. */
static void test_shared_exits(void)
{
	struct program p = start();
	long plain = tell(&p, "n 50\n");
	const struct uprobe_code *code = NULL;
	struct utrace_error err = {0};

	begin(true);
	int r = uprobe_code_load(
		probes, push_rdi_shared, sizeof(push_rdi_shared) - 1, NULL, &code, &err);
	struct uprobe_consumer leave = {.ret_code = code}, again = {.ret_code = code};
	struct counter told = both();
	volatile uint64_t *count = uprobes_shared(probes);
	struct uprobe *runs_on = reg("runs_on", &leave), *neighbour;
	tap_ok(r == 0 && runs_on && add(&p), "shared exits: a native consumer %s",
		err.message);
	tap_is_long(tell(&p, "n 50\n"), plain, "the program computes what it did");
	tap_is_long((long)*count, 50, "returns of its own calls");
	neighbour = reg("neighbour", &again);
	tell(&p, "n 50\n");
	tap_is_long((long)*count, 50 + 50 + 550, "next to those of the neighbour");
	uprobe_unregister(neighbour, &again);
	reg("runs_on", &told.consumer);
	tap_is_long(tell(&p, "n 50\n"), plain, "next to a consumer in the tracer");
	tap_is_long((long)*count, 700, "both run");
	tap_ok(told.entries == 50 && told.returns == 50, "the tracer's %ld and %ld times",
		told.entries, told.returns);
	uprobe_unregister(runs_on, &told.consumer);
	uprobe_unregister(runs_on, &leave);
	tap_is_long(tell(&p, "n 50\n"), plain, "all are gone");
	tap_is_long((long)*count, 700, "and nothing is counted");
	end();
	tap_is_long(finish(&p), 0, "it ends as it should");
}

static int load(const char *name, const char *symbol, const struct uprobe_code **ret,
	struct utrace_error *err)
{
	static char bytes[65536];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/native-%s.o", tracee_dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	close(fd);
	return size < 0 ? -ENOENT
			: uprobe_code_load(probes, bytes, (size_t)size, symbol, ret, err);
}

/* What tests/tracees/native.c keeps. */
struct seen {
	uint64_t calls, cookies, text, unreadable, tids;
};

static void test_native_object(void)
{
	struct program p = start();
	long plain = tell(&p, "c 10\n");
	const struct uprobe_code *code = NULL, *none;
	struct utrace_error err = {0};
	const struct {
		const char *name, *symbol, *words;
		int want;
	} refused[] = {
		{"data", "probe_hit", ".bss", -ENOEXEC},
		{"libc", "probe_hit", "puts", -ENOEXEC},
		{"vectors", "probe_hit", "general-regs-only", -ENOEXEC},
		{"right", "no_such", "no_such", -ENOENT},
	};

	begin(true);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		int r = load(refused[i].name, refused[i].symbol, &none, &err);
		tap_ok(r == refused[i].want && strstr(err.message, refused[i].words),
			"refused: %d %s", r, err.message);
	}
	err.message[0] = 0;
	int r = load("right", "probe_hit", &code, &err);
	tap_ok(r == 0, "a relocatable object %s", err.message);
	struct uprobe_consumer first = {.code = code, .cookie = 1},
			       second = {.code = code, .cookie = 2};
	reg("inner", &first);
	reg("inner", &second);
	add(&p);
	tap_is_long(tell(&p, "c 10\n"), plain, "the program computes what it did");
	const struct seen *seen = uprobes_shared(probes);
	tap_is_long((long)seen->calls, 20 * (2 + 3),
		"both consumers run, with constants of their own");
	tap_is_long((long)seen->cookies, 20 * (1 + 2), "each with its cookie");
	tap_is_long((long)seen->text, 2 * 10 * ('a' + 'x'),
		"they read memory of the program");
	tap_is_long((long)seen->unreadable, 40, "and are told when there is none");
	tap_is_long((long)seen->tids, p.pid, "and know the thread");
	end();
	tap_is_long(tell(&p, "c 10\n"), plain, "the same after the end");
	tap_is_long(finish(&p), 0, "it ends as it should");
}

/* Launches a program, held, whose output comes from *ret_output. */
static struct utrace_task *launch_piped(const char *path, int *ret_output)
{
	char *argv[] = {(char *)(uintptr_t)path, NULL};
	struct utrace_error err = {0};
	struct utrace_task *task = NULL;
	int out[2], kept = dup(1);

	fflush(stdout);
	if (kept < 0 || pipe2(out, O_CLOEXEC) < 0 || dup2(out[1], 1) < 0)
		exit(99);
	int r = utrace_launch(utrace, argv, &task, &err);
	dup2(kept, 1);
	close(kept);
	close(out[1]);
	*ret_output = out[0];
	if (r < 0)
		printf("# %s\n", err.message);
	return task;
}

/* A fault there would cost the program its handler. */
static void test_native_blocked(void)
{
	char path[PATH_MAX], text[128] = {0};
	const struct uprobe_code *code = NULL;
	struct utrace_error err = {0};
	int output;

	begin(true);
	snprintf(path, sizeof(path), "%s/blocked", tracee_dir);
	bool ok = load("right", "probe_hit", &code, &err) == 0;
	struct uprobe_consumer consumer = {.code = code, .cookie = 1};
	struct uprobe_place look = {.size = sizeof(look), .path = path, .symbol = "look"};
	ok = ok && uprobe_register(probes, &look, &consumer, NULL, &err) == 0;
	struct utrace_task *task = launch_piped(path, &output);
	pid_t pid = task ? utrace_task_pid(task) : 0;
	ok = ok && pid && uprobes_add_process(probes, pid, &err) == 0;
	tap_ok(ok, "a native function in a program that blocks SIGSEGV %s", err.message);
	if (ok)
		ok = utrace_task_release(task) == 0;
	while (ok && utrace_first_task(utrace, pid))
		serve(100);
	ok = ok && read(output, text, sizeof(text) - 1) > 0;
	tap_is_string(text, "SIGSEGV blocked, its handler there, 1 caught\n",
		"it still has its handler");
	const struct seen *seen = uprobes_shared(probes);
	tap_is_long((long)seen->unreadable, 12, "... and each read of nothing was told");
	close(output);
	end();
}

/* Registered and unregistered again and again, in the middle of hits. */
static void test_unregister_during_hits(bool in_process)
{
	struct program p = start();
	const struct uprobe_code *code = NULL;
	struct utrace_error err = {0};
	struct counter a = both();
	struct pollfd answer = {.fd = p.from, .events = POLLIN};
	char line[32] = {0};
	int rounds = 0;

	const char *order = "c 2000000\n";
	long plain = tell(&p, order);
	begin(in_process);
	if (in_process && uprobe_code_load(probes, push_rdi_shared,
				  sizeof(push_rdi_shared) - 1, NULL, &code, &err) == 0)
		a.consumer = (struct uprobe_consumer){.code = code, .ret_code = code};
	add(&p);
	bool ok = true;
	while (ok && rounds <= 3) { /* it may be done before this process gets to run */
		ok = write(p.to, order, strlen(order)) > 0;
		while (rounds < 2000 && poll(&answer, 1, 0) == 0) {
			struct uprobe *u = reg("inner", &a.consumer);
			for (int i = 0; i < rounds % 7; i++)
				serve(0);
			ok &= u && uprobe_unregister(u, &a.consumer) == 0;
			serve(0);
			rounds++;
		}
		while (poll(&answer, 1, 0) == 0)
			serve(1);
		ok &= read(p.from, line, sizeof(line) - 1) > 0;
	}
	tap_ok(ok && rounds > 3, "registered and unregistered %d times while it works",
		rounds);
	tap_is_long(atol(line), plain, "it computes what it did");
	tap_is_long(a.wrong, 0, "and every return has its entry's data");
	end();
	tap_is_long(finish(&p), 0, "it ends as it should");
	tap_is_long(warnings, 0, "without a warning");
}

/* The tracer is killed while probes are in: the guardian takes them out. */
static void test_killed_tracer(bool in_process)
{
	struct program p = start();
	long plain = tell(&p, "c 5\n");
	int ready[2];
	char byte;

	if (pipe(ready) < 0)
		exit(99);
	pid_t tracer = fork();
	if (!tracer) {
		struct counter a = both();
		begin(in_process);
		if (!add(&p) || !reg("inner", &a.consumer))
			_exit(1);
		if (write(ready[1], "r", 1) < 0)
			_exit(1);
		for (;;)
			serve(1000);
	}
	close(ready[1]);
	bool ok = read(ready[0], &byte, 1) == 1;
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	close(ready[0]);
	tap_ok(ok, "a tracer is killed with probes in");
	for (int i = 0; i < 20; i++)
		ok &= tell(&p, "c 5\n") == plain;
	tap_ok(ok, "the program goes on");
	tap_is_long(finish(&p), 0, "and ends as it should");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	tracee_dir = argv[1];
	snprintf(program, sizeof(program), "%s/probed", argv[1]);
	snprintf(plugin, sizeof(plugin), "%s/libplugin.so", argv[1]);
	signal(SIGPIPE, SIG_IGN);
	test_killed_tracer(false);
	test_killed_tracer(true);
	test_two_consumers();
	test_returns();
	test_filter();
	test_unregister_inside();
	test_following();
	test_add_at_exec(false);
	test_add_at_exec(true);
	test_orphans(false);
	test_orphans(true);
	test_mapped_twice("0");
	test_mapped_twice("0x10000000");
	test_semaphore();
	test_errors();
	test_native();
	test_shared_exits();
	test_native_object();
	test_native_blocked();
	test_unregister_during_hits(false);
	test_unregister_during_hits(true);
	return tap_done();
}
