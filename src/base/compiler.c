/* SPDX-License-Identifier: MIT */
/*
 * Kept objects are named by a hash of the whole source, its flags and the compiler's identity included; the
 * source is kept too and compared, so that two texts with one hash are merely compiled again.  Files get their name when
 * they are complete: several tracers may write at once.
 */
#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

extern char **environ;

enum {
	MAX_FLAGS = 40
};

/* ---- the compiler ---------------------------------------------------------------------------- */

static bool is_program(const char *path, struct stat *ret)
{
	return stat(path, ret) == 0 && S_ISREG(ret->st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(const char *name, char ret[PATH_MAX], struct stat *status)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(ret, PATH_MAX, "%s", name);
		return is_program(ret, status);
	}
	for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
		int size = (int)strcspn(path, ":");

		if (size &&
			snprintf(ret, PATH_MAX, "%.*s/%s", size, path, name) < PATH_MAX &&
			is_program(ret, status))
			return true;
	}
	return false;
}

static bool find_compiler(char ret[PATH_MAX], struct stat *status)
{
	static const char *const names[] = {"cc", "gcc", "clang"};
	const char *chosen = getenv("CC");

	if (chosen && *chosen && !strchr(chosen, ' '))
		return find_in_path(chosen, ret, status);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (find_in_path(names[i], ret, status))
			return true;
	return false;
}

/* ---- files ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const char *text, size_t size)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
	return hash;
}

/* The directory that keeps objects, ours alone; false: there is none. */
static bool cache_directory(char *ret, size_t size)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char parent[PATH_MAX];
	struct stat status;

	if (cache && cache[0] == '/')
		snprintf(parent, sizeof(parent), "%s", cache);
	else if (home && home[0] == '/')
		snprintf(parent, sizeof(parent), "%s/.cache", home);
	else
		return false;
	mkdir(parent, 0700);
	if ((size_t)snprintf(ret, size, "%s/utrace", parent) >= size)
		return false;
	mkdir(ret, 0700);
	/* what somebody else can write to must not become our code */
	return stat(ret, &status) == 0 && S_ISDIR(status.st_mode) &&
	       status.st_uid == geteuid() && !(status.st_mode & 022) &&
	       access(ret, W_OK) == 0;
}

static bool is_kept(
	const char *source_path, const char *object, const struct strbuf *text)
{
	char *have = NULL;
	ssize_t size = fd_read_file(source_path, &have, NULL);
	bool same = size == (ssize_t)text->size &&
		    memcmp(have, text->data, text->size) == 0 &&
		    access(object, R_OK) == 0;

	free(have);
	return same;
}

static int write_file(const char *path, const struct strbuf *text, struct error *err)
{
	CLEANUP(cleanup_fd)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, text->data, text->size) < 0)
		return error_set(
			err, -errno, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* ---- running it --------------------------------------------------------------------------------- */

static int spawn(char *const argv[], const char *log, struct error *err)
{
	posix_spawn_file_actions_t actions;
	int status = 0;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(
		&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int r = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return error_set(err, -r, "cannot run %s: %s", argv[0], strerror(r));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* "t.stp:3:7: error: 'x' undeclared" is the line that tells; else whatever was said first. */
static int refuse(const struct compiler_request *request, const char *log,
	struct strbuf *messages, struct error *err)
{
	char *text = NULL;
	ssize_t size = fd_read_file(log, &text, NULL);

	if (size <= 0) {
		free(text);
		return error_set(err, -EINVAL, "cannot compile %s", request->what);
	}
	if (messages)
		strbuf_append(messages, text, (size_t)size);
	char *line = strstr(text, "error: ");
	while (line && line > text && line[-1] != '\n')
		line--;
	line = line ? line : text;
	line[strcspn(line, "\n")] = '\0';
	error_set(err, -EINVAL, "cannot compile %s: %s", request->what, line);
	free(text);
	return -EINVAL;
}

static int compile(const struct compiler_request *request, const char *compiler,
	const struct strbuf *text, const char *base, struct strbuf *messages,
	struct error *err)
{
	char source[PATH_MAX], object[PATH_MAX], log[PATH_MAX];
	const char *argv[MAX_FLAGS + 8];
	char *taken[MAX_FLAGS + 8]; /* posix_spawn() only reads them */
	size_t count = 0;

	snprintf(source, sizeof(source), "%s.c", base);
	snprintf(object, sizeof(object), "%s.o", base);
	snprintf(log, sizeof(log), "%s.log", base);
	int r = write_file(source, text, err);
	argv[count++] = compiler;
	for (size_t i = 0; request->flags[i] && i < MAX_FLAGS; i++)
		argv[count++] = request->flags[i];
	if (!request->is_linked)
		argv[count++] = "-c";
	argv[count++] = "-o";
	argv[count++] = object;
	argv[count++] = source;
	argv[count] = NULL;
	memcpy(taken, argv, sizeof(taken));
	if (r >= 0)
		r = spawn(taken, log, err);
	if (r > 0)
		r = refuse(request, log, messages, err);
	unlink(log);
	if (r < 0) {
		unlink(source);
		unlink(object);
	}
	return r;
}

static void source_text(const struct compiler_request *request, const char *compiler,
	const struct stat *status, struct strbuf *out)
{
	strbuf_init(out);
	strbuf_printf(out, "/* %s %lld %lld", compiler, (long long)status->st_size,
		(long long)status->st_mtime);
	for (size_t i = 0; request->flags[i]; i++)
		strbuf_printf(out, " %s", request->flags[i]);
	strbuf_puts(out, " */\n");
	strbuf_puts(out, request->source);
}

/* Compiled under a name of this process, then given its own. */
static int compile_kept(const struct compiler_request *request, const char *compiler,
	const struct strbuf *text, const char *directory, struct compiler_object *ret,
	struct strbuf *messages, struct error *err)
{
	char base[PATH_MAX], kept[PATH_MAX], from[PATH_MAX + 8], to[PATH_MAX + 8];

	snprintf(kept, sizeof(kept), "%.3500s/c-%016llx", directory,
		(unsigned long long)hash_of(text->data, text->size));
	snprintf(from, sizeof(from), "%s.c", kept);
	snprintf(to, sizeof(to), "%s.o", kept);
	if (!is_kept(from, to, text)) {
		snprintf(
			base, sizeof(base), "%.3500s/new-%ld", directory, (long)getpid());
		int r = compile(request, compiler, text, base, messages, err);
		if (r < 0)
			return r;
		/* the source last: it says that the object is whole */
		unlink(from);
		snprintf(from, sizeof(from), "%s.o", base);
		if (rename(from, to) < 0)
			return error_set(
				err, -errno, "cannot keep %s: %s", to, strerror(errno));
		snprintf(from, sizeof(from), "%s.c", base);
		snprintf(to, sizeof(to), "%s.c", kept);
		if (rename(from, to) < 0)
			unlink(from);
		snprintf(to, sizeof(to), "%s.o", kept);
	}
	ret->path = strdup(to);
	ret->is_temporary = false;
	return ret->path ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int compile_temporary(const struct compiler_request *request, const char *compiler,
	const struct strbuf *text, struct compiler_object *ret, struct strbuf *messages,
	struct error *err)
{
	char directory[] = "/tmp/utrace-XXXXXX", base[64], path[72];

	if (!mkdtemp(directory))
		return error_set(err, -errno, "cannot make a directory in /tmp: %s",
			strerror(errno));
	snprintf(base, sizeof(base), "%s/c", directory);
	int r = compile(request, compiler, text, base, messages, err);
	if (r < 0) {
		rmdir(directory);
		return r;
	}
	snprintf(path, sizeof(path), "%s.c", base);
	unlink(path);
	snprintf(path, sizeof(path), "%s.o", base);
	ret->path = strdup(path);
	ret->is_temporary = true;
	return ret->path ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int compiler_run(const struct compiler_request *request, struct compiler_object *ret,
	struct strbuf *messages, struct error *err)
{
	char compiler[PATH_MAX], directory[PATH_MAX];
	struct strbuf text;
	struct stat status;

	if (!find_compiler(compiler, &status)) {
		error_set(err, -ENOENT, "%s needs a C compiler, and there is none",
			request->what);
		error_hint(err,
			"install gcc or clang, or name one in the environment variable CC");
		return -ENOENT;
	}
	source_text(request, compiler, &status, &text);
	int r = cache_directory(directory, sizeof(directory))
			? compile_kept(
				  request, compiler, &text, directory, ret, messages, err)
			: compile_temporary(request, compiler, &text, ret, messages, err);
	strbuf_deinit(&text);
	return r;
}

void compiler_object_close(struct compiler_object *object)
{
	if (object->path && object->is_temporary) {
		unlink(object->path);
		char *slash = strrchr(object->path, '/');
		*slash = '\0';
		rmdir(object->path);
	}
	free(object->path);
	object->path = NULL;
}
