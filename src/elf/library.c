/* SPDX-License-Identifier: MIT */
#include "elf/library.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strbuf.h"
#include "elf/internal.h"

enum {
	SCRIPT_DEPTH_MAX = 4,
	CONF_DEPTH_MAX = 4,
	LIBRARIES_MAX = 4096
};

/* ---- roots ----------------------------------------------------------------------------------------------- */

/* What an open file is called, from our root or that of its mount namespace. */
static bool descriptor_path(int fd, char path[static PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t size = readlink(link, path, PATH_MAX - 1);
	path[size < 0 ? 0 : size] = '\0';
	return path[0] == '/';
}

/* What /proc/PID/exe reads may be the name of no file, or of another. */
static const char *resolve_own(const char *path, struct arena *arena)
{
	struct stat st, real_st;
	CLEANUP(cleanup_free) char *real = realpath(path, NULL);
	if (stat(path, &st) < 0)
		return NULL;
	bool is_same = real && stat(real, &real_st) == 0 && real_st.st_dev == st.st_dev &&
		       real_st.st_ino == st.st_ino;
	return arena_strdup(arena, is_same ? real : path);
}

const char *elf_root_resolve(const char *root, const char *path, struct arena *arena)
{
	if (!root[0])
		return resolve_own(path, arena);
	/* a link to an absolute path means the root's: the kernel would take it for ours */
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	CLEANUP(cleanup_fd) int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_fd)
	int fd = top < 0 ? -1 : (int)syscall(SYS_openat2, top, path, &how, sizeof(how));
	char top_path[PATH_MAX], real[PATH_MAX];
	if (fd < 0 || !descriptor_path(top, top_path) || !descriptor_path(fd, real))
		return NULL;
	size_t size = top_path[1] ? strlen(top_path) : 0;
	if (strncmp(real, top_path, size) != 0 || real[size] != '/')
		return NULL; /* a file bound from elsewhere has no name here */
	return arena_strdup(arena, real + size);
}

/* ---- programs -------------------------------------------------------------------------------------------- */

static bool is_regular_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* @ret: the same without links */
static bool find_regular_file(
	const char *root, const char *path, struct arena *arena, const char **ret)
{
	*ret = elf_root_resolve(root, path, arena);
	return *ret && is_regular_file(arena_printf(arena, "%s%s", root, *ret));
}

static const char *search_path(const char *root, const char *name, struct arena *arena)
{
	const char *found;
	if (strchr(name, '/'))
		return find_regular_file(root, name, arena, &found) ? found : NULL;
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (path) {
		size_t length = strcspn(path, ":");
		const char *candidate =
			length ? arena_printf(arena, "%.*s/%s", (int)length, path, name)
			       : name;
		if (find_regular_file(root, candidate, arena, &found) &&
			access(arena_printf(arena, "%s%s", root, found), X_OK) == 0)
			return found;
		path = path[length] ? path + length + 1 : NULL;
	}
	return NULL;
}

/* The interpreter in "#!/usr/bin/env python3" or "#!/bin/sh -e"; NULL: not a script. */
static const char *script_interpreter(const char *path, struct arena *arena)
{
	CLEANUP(cleanup_fd)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char line[PATH_MAX];
	ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (size < 3 || line[0] != '#' || line[1] != '!')
		return NULL;
	line[size] = '\0';
	line[strcspn(line, "\n")] = '\0';
	char *save, *interpreter = strtok_r(line + 2, " \t", &save);
	char *argument = interpreter ? strtok_r(NULL, " \t", &save) : NULL;
	if (!interpreter)
		return NULL;
	const char *base = strrchr(interpreter, '/');
	if (argument && strcmp(base ? base + 1 : interpreter, "env") == 0) {
		if (strcmp(argument, "-S") == 0)
			argument = strtok_r(NULL, " \t", &save);
		if (argument)
			return arena_strdup(arena, argument);
	}
	return arena_strdup(arena, interpreter);
}

int elf_program_find(
	const char *root, const char *name, struct arena *arena, const char **ret)
{
	const char *path = name;
	for (int depth = 0; depth < SCRIPT_DEPTH_MAX; depth++) {
		path = search_path(root, path, arena);
		if (!path)
			return -ENOENT;
		const char *interpreter = script_interpreter(
			arena_printf(arena, "%s%s", root, path), arena);
		if (!interpreter) {
			*ret = path;
			return 0;
		}
		path = interpreter;
	}
	return -ENOENT;
}

/* ---- libraries -------------------------------------------------------------------------------------------- */

struct string_list {
	const char **items;
	size_t count, capacity;
};

static void list_add(struct string_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return;
	}
	if (list->count < LIBRARIES_MAX)
		vec_append(list, text);
}

/* /etc/ld.so.conf and what it includes. */
static void read_loader_conf(const char *root, const char *path, int depth,
	struct string_list *dirs, struct arena *arena)
{
	CLEANUP(cleanup_free) char *text = NULL;
	if (depth > CONF_DEPTH_MAX ||
		fd_read_file(arena_printf(arena, "%s%s", root, path), &text, NULL) < 0)
		return;
	char *save, *line = strtok_r(text, "\n", &save);
	for (; line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		line[strcspn(line, "#")] = '\0';
		if (line[0] == '/') {
			line[strcspn(line, " \t")] = '\0';
			list_add(dirs, arena_strdup(arena, line));
		}
		if (strncmp(line, "include ", 8) != 0)
			continue;
		glob_t found;
		char *pattern = line + 8 + strspn(line + 8, " \t");
		pattern[strcspn(pattern, " \t")] = '\0';
		if (glob(arena_printf(arena, "%s%s", root, pattern), 0, NULL, &found) !=
			0)
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++)
			read_loader_conf(root, found.gl_pathv[i] + strlen(root),
				depth + 1, dirs, arena);
		globfree(&found);
	}
}

static void default_directories(const char *root, const char *interpreter,
	struct string_list *dirs, struct arena *arena)
{
	static const char *const glibc[] = {"/lib/x86_64-linux-gnu",
		"/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"};
	static const char *const musl[] = {"/lib", "/usr/local/lib", "/usr/lib",
		"/lib/x86_64-linux-musl", "/usr/lib/x86_64-linux-musl"};
	if (interpreter && strstr(interpreter, "ld-musl")) {
		for (size_t i = 0; i < sizeof(musl) / sizeof(musl[0]); i++)
			list_add(dirs, musl[i]);
		return;
	}
	read_loader_conf(root, "/etc/ld.so.conf", 0, dirs, arena);
	for (size_t i = 0; i < sizeof(glibc) / sizeof(glibc[0]); i++)
		list_add(dirs, glibc[i]);
}

/* What one file asks of the loader. */
struct needs {
	struct string_list libraries;
	const char *rpath; /* DT_RUNPATH, else DT_RPATH */
};

static void read_needs(const struct elf_module *module, struct needs *ret)
{
	VEC(Elf64_Dyn) entries = {0};
	uint64_t strings = 0, strings_size = 0;
	for (size_t i = 0; i < module->image.program_header_count; i++) {
		const Elf64_Phdr *header = &module->image.program_headers[i];
		const uint8_t *bytes =
			header->p_type == PT_DYNAMIC
				? elf_image_range(&module->image, header->p_offset,
					  header->p_filesz)
				: NULL;
		for (uint64_t at = 0; bytes && header->p_filesz - at >= sizeof(Elf64_Dyn);
			at += sizeof(Elf64_Dyn)) {
			Elf64_Dyn entry;
			memcpy(&entry, bytes + at, sizeof(entry));
			if (entry.d_tag == DT_NULL)
				break;
			if (entry.d_tag == DT_STRTAB)
				strings = entry.d_un.d_ptr;
			if (entry.d_tag == DT_STRSZ)
				strings_size = entry.d_un.d_val;
			vec_append(&entries, entry);
		}
	}
	const uint8_t *table = elf_module_bytes(module, strings, strings_size);
	for (size_t i = 0; table && i < entries.count; i++) {
		uint64_t offset = entries.items[i].d_un.d_val;
		if (offset >= strings_size ||
			!memchr(table + offset, '\0', strings_size - offset))
			continue;
		const char *text = (const char *)table + offset;
		if (entries.items[i].d_tag == DT_NEEDED)
			list_add(&ret->libraries, text);
		else if (entries.items[i].d_tag == DT_RUNPATH ||
			 (entries.items[i].d_tag == DT_RPATH && !ret->rpath))
			ret->rpath = text;
	}
	vec_free(&entries);
}

static const char *directory_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');
	return slash ? arena_strndup(arena, path, (size_t)(slash - path)) : ".";
}

static const char *below(const char *root, const char *path)
{
	size_t size = strlen(root);
	return strncmp(path, root, size) == 0 ? path + size : path;
}

/* $ORIGIN, ${ORIGIN} and $LIB in one RPATH element. */
static const char *expand_tokens(
	const char *element, size_t length, const char *origin, struct arena *arena)
{
	struct strbuf out;
	strbuf_init(&out);
	for (const char *p = element, *end = element + length; p < end;) {
		static const char *const tokens[] = {
			"$ORIGIN", "${ORIGIN}", "$LIB", "${LIB}"};
		size_t i = 0;
		while (i < 4 && strncmp(p, tokens[i], strlen(tokens[i])) != 0)
			i++;
		if (i == 4) {
			strbuf_putc(&out, *p++);
			continue;
		}
		strbuf_puts(&out, i < 2 ? origin : "lib/x86_64-linux-gnu");
		p += strlen(tokens[i]);
	}
	const char *text = arena_strdup(arena, out.data);
	strbuf_deinit(&out);
	return text;
}

/* The file without links, or NULL. */
static const char *find_loadable(const char *root, const char *path, struct arena *arena)
{
	struct elf_image image;
	const char *found;
	if (!find_regular_file(root, path, arena, &found))
		return NULL;
	const char *open_path = arena_printf(arena, "%s%s", root, found);
	if (elf_image_open(&image, open_path, open_path, NULL) < 0)
		return NULL;
	elf_image_close(&image);
	return found;
}

static const char *find_library(const char *name, const char *rpath, const char *origin,
	const struct string_list *dirs, const char *root, struct arena *arena)
{
	const char *found;
	if (strchr(name, '/'))
		return find_loadable(root, name, arena);
	while (rpath && *rpath) {
		size_t length = strcspn(rpath, ":");
		const char *path = arena_printf(arena, "%s/%s",
			expand_tokens(rpath, length, origin, arena), name);
		if ((found = find_loadable(root, path, arena)))
			return found;
		rpath += length + (rpath[length] == ':');
	}
	for (size_t i = 0; i < dirs->count; i++) {
		const char *path = arena_printf(arena, "%s/%s", dirs->items[i], name);
		if ((found = find_loadable(root, path, arena)))
			return found;
	}
	return NULL;
}

void elf_library_closure(const struct elf_module *module, const char *root,
	struct arena *arena, const char ***ret, size_t *ret_count)
{
	struct string_list dirs = {0}, found = {0};
	const char *interpreter = elf_module_interpreter(module);
	default_directories(root, interpreter, &dirs, arena);
	const char *loader = interpreter ? find_loadable(root, interpreter, arena) : NULL;
	if (loader)
		list_add(&found, loader);
	/* Breadth first: `found` is also the queue; index 0 of the walk is the module itself. */
	for (size_t next = 0; next <= found.count; next++) {
		struct elf_module *library = NULL;
		const struct elf_module *current = module;
		if (next > 0) {
			const char *path =
				arena_printf(arena, "%s%s", root, found.items[next - 1]);
			if (elf_module_open(path, &library, NULL) < 0)
				continue;
			current = library;
		}
		struct needs needs = {0};
		read_needs(current, &needs);
		const char *origin =
			directory_of(next ? found.items[next - 1]
					  : below(root, elf_module_path(module)),
				arena);
		for (size_t i = 0; i < needs.libraries.count; i++) {
			const char *path = find_library(needs.libraries.items[i],
				needs.rpath, origin, &dirs, root, arena);
			if (path)
				list_add(&found, path);
		}
		vec_free(&needs.libraries);
		elf_module_close(library);
	}
	*ret = arena_array(arena, const char *, found.count + 1);
	if (found.count)
		memcpy(*ret, found.items, found.count * sizeof(*found.items));
	*ret_count = found.count;
	vec_free(&found);
	vec_free(&dirs);
}
