/* SPDX-License-Identifier: MIT */
/*
 * How a plain file is made to ask: the tracer holds a write lease (fcntl(2), F_SETLEASE) on it.
 * Whoever opens it is held up by the kernel until the lease is given back, which is when the
 * handler runs.
 *
 * 1. A lease is broken: another file, with a lease of its own, is renamed to the path.  The one
 *    who waits has got the old one to itself, so that no two of them get into each other's way.
 * 2. A reader (the lease is to become one for reading): the handler gives the text, which is
 *    written to the old file; then it is closed, and the reader goes on.
 * 3. A writer: the lease is given back; when the writer closes the file (inotify(7)) the handler
 *    runs on what is in it.
 */
#include "session/control_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "stap/parser.h"

#define STDIN_PATH "__stdin"
#define RESET_PATH "__monitor_reset"

enum control_fd {
	CONTROL_LEASES,
	CONTROL_CLOSED,
	CONTROL_STDIN
};

enum {
	NO_SITE = UINT32_MAX,
	VALUE_MAX = 1 << 20
};

struct control_sites {
	VEC(uint32_t) list;
};

struct control_file {
	const char *name;
	char *path;
	mode_t mode;
	uint32_t read_site;
	struct control_sites write_sites;
	size_t max; /* bytes of what a reader gets */
	int fd;     /* with the lease; -1: none */
};

/* A file that was opened for writing and is not at the path any more. */
struct control_writer {
	size_t file;
	int fd, watch;
};

struct control_files {
	VEC(struct control_file) files;
	VEC(struct control_writer) writers;
	int leases, closed;
	char *folder;
	struct control_sites stdin_sites, reset_sites;
	bool stdin_ended;
	struct strbuf value;
	bool running;
};

static int lease_signal(void)
{
	return SIGRTMIN + 5;
}

/* ---- the folder --------------------------------------------------------------------------- */

void session_control_folder(const char *module, struct strbuf *out)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (runtime && runtime[0] == '/')
		strbuf_printf(out, "%s/utrace/%s", runtime, module);
	else
		strbuf_printf(out, "/tmp/utrace-%u/%s", getuid(), module);
}

/* All folders that lead to a file, for this user alone. */
static int make_folders(const char *path)
{
	char part[PATH_MAX];
	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* A folder in /tmp that somebody else made for us would be theirs to play with. */
static int check_owner(const char *path)
{
	struct stat info;
	if (stat(path, &info) < 0)
		return -errno;
	return info.st_uid == getuid() ? 0 : -EPERM;
}

/* ---- leases ------------------------------------------------------------------------------- */

static int open_leased(const char *path, mode_t mode)
{
	CLEANUP(cleanup_fd)
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fchmod(fd, mode) < 0 || fcntl(fd, F_SETSIG, lease_signal()) < 0 ||
		fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int put_fresh(struct control_file *file)
{
	char path[PATH_MAX];
	if ((size_t)snprintf(path, sizeof(path), "%s.new", file->path) >= sizeof(path))
		return -ENAMETOOLONG;
	unlink(path);
	file->fd = open_leased(path, file->mode);
	if (file->fd < 0)
		return file->fd;
	return rename(path, file->path) < 0 ? -errno : 0;
}

/* ---- handlers ----------------------------------------------------------------------------- */

struct strbuf *session_control_value(const struct session *s)
{
	return s->control_files && s->control_files->running ? &s->control_files->value
							     : NULL;
}

static void run_handler(struct session *s, uint32_t site)
{
	struct control_files *control = s->control_files;
	if (site == NO_SITE || !session_is_running(s))
		return;
	control->running = true;
	session_host_call(s, site);
	control->running = false;
}

static void run_handlers(struct session *s, const struct control_sites *sites)
{
	for (size_t i = 0; i < sites->list.count; i++)
		run_handler(s, sites->list.items[i]);
}

static void answer_reader(struct session *s, struct control_file *file, int fd)
{
	struct strbuf *value = &s->control_files->value;
	strbuf_clear(value);
	run_handler(s, file->read_site);
	size_t size = value->size < file->max ? value->size : file->max;
	if (ftruncate(fd, 0) < 0 || fd_write_all(fd, value->data, size) < 0)
		session_warn(s, "cannot write %s: %s", file->path, strerror(errno));
	close(fd); /* gives the lease back */
}

static void take_written(struct session *s, const struct control_writer *writer)
{
	struct control_files *control = s->control_files;
	struct strbuf *value = &control->value;
	char bytes[4096];
	ssize_t size;
	strbuf_clear(value);
	for (off_t at = 0; at < VALUE_MAX; at += size) {
		size = pread(writer->fd, bytes, sizeof(bytes), at);
		if (size <= 0)
			break;
		strbuf_append(value, bytes, (size_t)size);
	}
	run_handlers(s, &control->files.items[writer->file].write_sites);
}

static void expect_writer(struct session *s, size_t index, int fd)
{
	struct control_files *control = s->control_files;
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int watch = inotify_add_watch(control->closed, path, IN_CLOSE_WRITE);
	if (watch < 0) {
		session_warn(s, "cannot watch %s: %s", control->files.items[index].path,
			strerror(errno));
		close(fd);
		return;
	}
	vec_append(&control->writers, ((struct control_writer){index, fd, watch}));
	fcntl(fd, F_SETLEASE, F_UNLCK);
}

/* Somebody waits for being allowed to open the file. */
static void lease_broken(struct session *s, int fd)
{
	struct control_files *control = s->control_files;
	for (size_t i = 0; i < control->files.count; i++) {
		struct control_file *file = &control->files.items[i];
		if (file->fd != fd)
			continue;
		int next = fcntl(fd, F_GETLEASE);
		int code = put_fresh(file);
		if (code < 0)
			session_warn(
				s, "cannot keep %s: %s", file->path, strerror(-code));
		if (next == F_UNLCK && file->write_sites.list.count)
			expect_writer(s, i, fd);
		else
			answer_reader(s, file, fd);
		return;
	}
}

static void writer_closed(struct session *s, int watch)
{
	struct control_files *control = s->control_files;
	for (size_t i = 0; i < control->writers.count; i++) {
		struct control_writer *writer = &control->writers.items[i];
		if (writer->watch != watch)
			continue;
		take_written(s, writer);
		/* no lease to be had: another one who waited with it has it open still */
		if (fcntl(writer->fd, F_SETLEASE, F_WRLCK) < 0 && errno == EAGAIN) {
			if (ftruncate(writer->fd, 0) == 0)
				return;
		}
		inotify_rm_watch(control->closed, watch);
		close(writer->fd);
		control->writers.items[i] =
			control->writers.items[--control->writers.count];
		return;
	}
}

/* ---- events ------------------------------------------------------------------------------- */

static void handle_leases(struct session *s)
{
	struct signalfd_siginfo info;
	while (read(s->control_files->leases, &info, sizeof(info)) == sizeof(info))
		lease_broken(s, info.ssi_fd);
}

static void handle_closed(struct session *s)
{
	_Alignas(struct inotify_event) char bytes[4096];
	ssize_t size;
	while ((size = read(s->control_files->closed, bytes, sizeof(bytes))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event = (const void *)(bytes + at);
			at += (ssize_t)(sizeof(*event) + event->len);
			if (event->mask & IN_CLOSE_WRITE)
				writer_closed(s, event->wd);
		}
	}
}

/* One character at a time, as stap has it. */
static void handle_stdin(struct session *s)
{
	struct control_files *control = s->control_files;
	char bytes[256];
	ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (size <= 0 && !(size < 0 && (errno == EAGAIN || errno == EINTR)))
		control->stdin_ended = true;
	for (ssize_t i = 0; i < size && session_is_running(s); i++) {
		strbuf_clear(&control->value);
		strbuf_append(&control->value, &bytes[i], 1);
		run_handlers(s, &control->stdin_sites);
	}
}

void session_control_handle(struct session *s, int which)
{
	if (which == CONTROL_LEASES)
		handle_leases(s);
	else if (which == CONTROL_CLOSED)
		handle_closed(s);
	else
		handle_stdin(s);
}

void session_control_reset(struct session *s)
{
	if (!s->control_files)
		return;
	strbuf_clear(&s->control_files->value);
	run_handlers(s, &s->control_files->reset_sites);
}

void session_control_fds(const struct session *s, int fds[CONTROL_FDS])
{
	const struct control_files *control = s->control_files;
	bool reads = control && control->stdin_sites.list.count && !control->stdin_ended;
	fds[CONTROL_LEASES] = control ? control->leases : -1;
	fds[CONTROL_CLOSED] = control ? control->closed : -1;
	fds[CONTROL_STDIN] = reads ? STDIN_FILENO : -1;
}

/* ---- life --------------------------------------------------------------------------------- */

static void add_probe(
	struct session *s, const struct stap_derived_probe *probe, uint32_t site)
{
	struct control_files *control = s->control_files;
	struct control_file *file = NULL;
	for (size_t i = 0; i < control->files.count && !file; i++)
		if (strcmp(control->files.items[i].name, probe->file_path) == 0)
			file = &control->files.items[i];
	if (!file) {
		file = vec_push(&control->files);
		*file = (struct control_file){.name = probe->file_path,
			.read_site = NO_SITE,
			.max = s->memory.header->max_string - 1,
			.fd = -1};
		size_t size = strlen(control->folder) + strlen(file->name) + 2;
		file->path = malloc(size);
		if (!file->path)
			abort();
		snprintf(file->path, size, "%s/%s", control->folder, file->name);
	}
	if (probe->file_is_read)
		file->read_site = site;
	else
		vec_append(&file->write_sites.list, site);
	if (probe->file_max)
		file->max = (size_t)probe->file_max;
	file->mode |= (probe->file_is_read ? 0444 : 0222) & ~probe->file_umask;
}

static bool takes_writes(const struct stap_derived_probe *probe, const char *path)
{
	return probe->kind == STAP_PROBE_CONTROL_FILE && !probe->file_is_read &&
	       strcmp(probe->file_path, path) == 0;
}

static bool is_stdin_probe(const struct stap_derived_probe *probe)
{
	return takes_writes(probe, STDIN_PATH);
}

bool session_control_is_reset(const struct stap_derived_probe *probe)
{
	return takes_writes(probe, RESET_PATH);
}

/* -G, or the declaration, says what a global starts with. */
static void put_first_value(
	const struct session *s, const struct stap_var *var, struct strbuf *out)
{
	struct stap_expr preset = {.kind = STAP_EXPR_STRING};
	const struct stap_expr *value = var->init;
	for (size_t i = 0; i < s->options->globals.count; i++) {
		const struct session_setting *set = &s->options->globals.items[i];
		if (strcmp(set->name, var->name) != 0 || !set->value)
			continue;
		preset.string = set->value;
		value = &preset;
	}
	if (!value)
		return;
	strbuf_printf(out, " %s = ", var->name);
	if (value == &preset && var->type != STAP_TYPE_STRING)
		strbuf_puts(out, preset.string);
	else
		stap_unparse_expr(value, out);
	strbuf_puts(out, ";");
}

/* `x = value` does not undo what `x++` in other threads adds to; `delete` does, for all kinds. */
void session_control_put_reset(const struct session *s, struct strbuf *out)
{
	strbuf_puts(out, "probe procfs(\"" RESET_PATH "\").write {");
	for (size_t i = 0; i < s->program->globals.count; i++) {
		const struct stap_var *var = s->program->globals.items[i];
		if (var->is_library || var->is_private)
			continue;
		strbuf_printf(out, " delete %s;", var->name);
		put_first_value(s, var, out);
	}
	strbuf_puts(out, " }");
}

static bool collect_probes(struct session *s)
{
	bool any = false;
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct stap_derived_probe *probe = s->sites.items[i].probe;
		if (probe->kind != STAP_PROBE_CONTROL_FILE)
			continue;
		any = true;
		if (is_stdin_probe(probe))
			vec_append(&s->control_files->stdin_sites.list, (uint32_t)i);
		else if (session_control_is_reset(probe))
			vec_append(&s->control_files->reset_sites.list, (uint32_t)i);
		else
			add_probe(s, probe, (uint32_t)i);
	}
	return any;
}

static int make_files(struct session *s, struct error *err)
{
	struct control_files *control = s->control_files;
	for (size_t i = 0; i < control->files.count; i++) {
		struct control_file *file = &control->files.items[i];
		int code = make_folders(file->path);
		if (code == 0)
			code = check_owner(control->folder);
		if (code == 0)
			code = put_fresh(file);
		if (code < 0)
			return error_set(err, code, "cannot make the control file %s: %s",
				file->path, strerror(-code));
		if (s->options->verbose)
			fprintf(stderr, "utrace: control file %s\n", file->path);
	}
	return 0;
}

int session_control_open(struct session *s, struct error *err)
{
	struct control_files *control = calloc(1, sizeof(*control));
	const struct abi_session *h = s->memory.header;
	struct strbuf folder;
	sigset_t mask;
	if (!control)
		abort();
	*control = (struct control_files){.leases = -1, .closed = -1};
	s->control_files = control;
	strbuf_init(&control->value);
	strbuf_init(&folder);
	session_control_folder(
		(const char *)h + h->string_offset + h->module_name, &folder);
	control->folder = strdup(folder.data);
	strbuf_deinit(&folder);
	if (!collect_probes(s) || !control->files.count) {
		if (!control->stdin_sites.list.count && !control->reset_sites.list.count)
			session_control_close(s);
		return 0;
	}
	sigemptyset(&mask);
	sigaddset(&mask, lease_signal());
	sigprocmask(SIG_BLOCK, &mask, NULL);
	control->leases = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	control->closed = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (control->leases < 0 || control->closed < 0)
		return error_set(
			err, -errno, "cannot watch control files: %s", strerror(errno));
	return make_files(s, err);
}

/* Folders that are empty now, from the file's own up to the module's. */
static void remove_folders(const struct control_files *control, const char *path)
{
	char part[PATH_MAX];
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strrchr(part, '/');
		slash && (size_t)(slash - part) >= strlen(control->folder);
		slash = strrchr(part, '/')) {
		*slash = '\0';
		if (rmdir(part) < 0)
			break;
	}
}

void session_control_close(struct session *s)
{
	struct control_files *control = s->control_files;
	if (!control)
		return;
	for (size_t i = 0; i < control->writers.count; i++)
		close(control->writers.items[i].fd);
	for (size_t i = 0; i < control->files.count; i++) {
		struct control_file *file = &control->files.items[i];
		if (file->fd >= 0) {
			unlink(file->path);
			close(file->fd);
			remove_folders(control, file->path);
		}
		vec_free(&file->write_sites.list);
		free(file->path);
	}
	if (control->leases >= 0)
		close(control->leases);
	if (control->closed >= 0)
		close(control->closed);
	vec_free(&control->files);
	vec_free(&control->writers);
	vec_free(&control->stdin_sites.list);
	vec_free(&control->reset_sites.list);
	strbuf_deinit(&control->value);
	free(control->folder);
	free(control);
	s->control_files = NULL;
}

bool session_control_reads_stdin(const struct session *s)
{
	for (size_t i = 0; i < s->sites.count; i++) {
		const struct stap_derived_probe *probe = s->sites.items[i].probe;
		if (is_stdin_probe(probe))
			return true;
	}
	return false;
}
