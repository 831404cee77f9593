/* SPDX-License-Identifier: MIT */
#include "stap/tapset.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* What the `arch` of conditionals compares with, too. */
#if defined(__x86_64__)
#define TAPSET_ARCH "x86_64"
#elif defined(__aarch64__)
#define TAPSET_ARCH "arm64"
#else
#define TAPSET_ARCH "unknown"
#endif

struct found {
	const char *path;
	const char
		*name; /* below the folder of -I: the same name elsewhere is shadowed */
	bool is_builtin;
	dev_t device;
	ino_t inode;
};

struct stap_tapset {
	struct arena *arena;
	struct stap_macros *macros;
	VEC(struct stap_file *) files;
	VEC(struct found) found;
};

static bool has_suffix(const char *name, const char *suffix)
{
	size_t size = strlen(name), suffix_size = strlen(suffix);

	return size > suffix_size && !strcmp(name + size - suffix_size, suffix);
}

static int is_script(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (has_suffix(entry->d_name, ".stp") || has_suffix(entry->d_name, ".stpm"));
}

/* The names of the program's own files are nobody's business: they shadow none. */
static bool is_shadowed(
	const struct stap_tapset *tapset, const char *name, const struct stat *info)
{
	for (size_t i = 0; i < tapset->found.count; i++) {
		const struct found *other = &tapset->found.items[i];

		if (other->device == info->st_dev && other->inode == info->st_ino)
			return true;
		if (!other->is_builtin && !strcmp(other->name, name))
			return true;
	}
	return false;
}

static void found_add(
	struct stap_tapset *tapset, const char *folder, const char *name, bool is_builtin)
{
	struct arena *arena = tapset->arena;
	const char *path = arena_printf(arena, "%s%s", folder, name);
	struct stat info;

	if (stat(path, &info) < 0 || !S_ISREG(info.st_mode) ||
		is_shadowed(tapset, name, &info))
		return;
	vec_append(&tapset->found, ((struct found){path, arena_strdup(arena, name),
					   is_builtin, info.st_dev, info.st_ino}));
}

static void folder_search(struct stap_tapset *tapset, const char *folder,
	const char *subfolder, bool is_builtin)
{
	const char *path = arena_printf(tapset->arena, "%s%s", folder, subfolder);
	struct dirent **entries;
	int count = scandir(path, &entries, is_script, alphasort);

	for (int i = 0; i < count; i++) {
		found_add(tapset, folder,
			arena_printf(
				tapset->arena, "%s/%s", subfolder, entries[i]->d_name),
			is_builtin);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* Below PATH/ folders stand for those of programs. */
static void path_search(
	struct stap_tapset *tapset, const char *folder, const char *subfolder)
{
	const char *path = arena_printf(tapset->arena, "%s%s", folder, subfolder);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *name =
			arena_printf(tapset->arena, "%s/%s", subfolder, entry->d_name);

		if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
			path_search(tapset, folder, name);
	}
	if (dir)
		closedir(dir);
	folder_search(tapset, folder, subfolder, false);
}

/* process("ls") in PATH/usr/bin/x.stp is process("/usr/bin/ls"). */
static void complete_paths(
	struct stap_tapset *tapset, const struct stap_probe *probe, const char *folder)
{
	for (uint32_t i = 0; i < probe->point_count; i++) {
		struct stap_component *first = &probe->points[i]->components[0];
		struct stap_expr *argument = first->has_argument ? first->argument : NULL;

		if (strcmp(first->name, "process") != 0 || !argument ||
			argument->kind != STAP_EXPR_STRING || argument->string[0] == '/')
			continue;
		argument->string =
			arena_printf(tapset->arena, "%s/%s", folder, argument->string);
	}
}

static void file_complete_paths(
	struct stap_tapset *tapset, const struct stap_file *file, const char *name)
{
	const char *below = strncmp(name, "/PATH/", 6) ? NULL : name + 5, *end;

	if (!below)
		return;
	end = strrchr(below, '/');
	below = arena_strndup(tapset->arena, below, (size_t)(end - below));
	for (size_t i = 0; i < file->aliases.count; i++)
		complete_paths(tapset, file->aliases.items[i], below);
	for (size_t i = 0; i < file->probes.count; i++)
		complete_paths(tapset, file->probes.items[i], below);
}

static struct stap_source *source_read(
	struct stap_tapset *tapset, const struct found *found)
{
	struct stap_source *source;
	CLEANUP(cleanup_free) char *text = NULL;
	ssize_t size = fd_read_file(found->path, &text, NULL);

	if (size < 0)
		return NULL;
	source = arena_new(tapset->arena, struct stap_source);
	source->name = found->path;
	source->text = arena_strndup(tapset->arena, text, (size_t)size);
	source->size = (size_t)size;
	source->is_library = true;
	source->is_builtin = found->is_builtin;
	return source;
}

static void macros_load(struct stap_tapset *tapset, const struct found *found,
	const struct stap_parse_options *options, struct stap_diagnostics *diag)
{
	struct stap_source *source = source_read(tapset, found);
	struct stap_parse_options with_syntax = *options;
	struct stap_diagnostics own;

	if (!source)
		return;
	stap_diagnostics_init(&own, tapset->arena);
	with_syntax.newest_syntax = found->is_builtin;
	if (!stap_macros_add(tapset->macros, source, &with_syntax, &own)) {
		stap_diagnostics_show(diag, &own);
		stap_diagnose(diag, STAP_WARNING, NULL,
			"macro tapset \"%s\" has errors, and will be skipped.",
			found->path);
	}
	stap_diagnostics_deinit(&own);
}

static void script_load(struct stap_tapset *tapset, const struct found *found,
	const struct stap_parse_options *options, struct stap_diagnostics *diag)
{
	struct stap_source *source = source_read(tapset, found);
	struct stap_parse_options with_arguments = *options;
	struct stap_diagnostics own;
	struct stap_file *file;

	if (!source)
		return;
	stap_diagnostics_init(&own, tapset->arena);
	with_arguments.newest_syntax = found->is_builtin;
	with_arguments.argument_used =
		arena_array(tapset->arena, bool, options->argument_count + 1);
	file = stap_parse(tapset->arena, source, &with_arguments, &own);
	file->argument_used = with_arguments.argument_used;
	if (own.error_count || file->error_count) {
		stap_file_deinit(file);
		stap_diagnostics_show(diag, &own);
		stap_diagnose(diag, STAP_WARNING, NULL,
			"tapset \"%s\" has errors, and will be skipped", found->path);
	} else {
		file_complete_paths(tapset, file, found->name);
		vec_append(&tapset->files, file);
	}
	stap_diagnostics_deinit(&own);
}

struct stap_tapset *stap_tapset_load(struct arena *arena, const char *const *dirs,
	uint32_t dir_count, const struct stap_parse_options *options,
	struct stap_diagnostics *diag)
{
	static const char *const subfolders[] = {
		"/dyninst/" TAPSET_ARCH, "/dyninst", "/" TAPSET_ARCH, ""};
	struct stap_tapset *tapset = arena_new(arena, struct stap_tapset);
	struct stap_parse_options own = *options;

	tapset->arena = arena;
	tapset->macros = stap_macros_create(arena);
	for (uint32_t i = 0; i < dir_count; i++) {
		for (size_t j = 0; j < sizeof(subfolders) / sizeof(subfolders[0]); j++)
			folder_search(tapset, dirs[i], subfolders[j], i == 0);
		path_search(tapset, dirs[i], "/PATH");
	}
	own.guru = true; /* the library is trusted */
	own.argument_used = NULL;
	own.macros = tapset->macros;
	for (size_t i = 0; i < tapset->found.count; i++) {
		if (has_suffix(tapset->found.items[i].name, ".stpm"))
			macros_load(tapset, &tapset->found.items[i], &own, diag);
	}
	for (size_t i = 0; i < tapset->found.count; i++) {
		if (has_suffix(tapset->found.items[i].name, ".stp"))
			script_load(tapset, &tapset->found.items[i], &own, diag);
	}
	return tapset;
}

void stap_tapset_free(struct stap_tapset *tapset)
{
	if (!tapset)
		return;
	for (size_t i = 0; i < tapset->files.count; i++)
		stap_file_deinit(tapset->files.items[i]);
	vec_free(&tapset->files);
	vec_free(&tapset->found);
	stap_macros_destroy(tapset->macros);
}

const struct stap_macros *stap_tapset_macros(const struct stap_tapset *tapset)
{
	return tapset->macros;
}

const struct stap_file *const *stap_tapset_files(
	const struct stap_tapset *tapset, uint32_t *ret_count)
{
	*ret_count = (uint32_t)tapset->files.count;
	return (const struct stap_file *const *)tapset->files.items;
}

uint32_t stap_tapset_file_count(const struct stap_tapset *tapset)
{
	return (uint32_t)tapset->files.count;
}

bool stap_tapset_holds(const struct stap_tapset *tapset, const char *path)
{
	struct stat info;

	if (stat(path, &info) < 0)
		return false;
	for (size_t i = 0; i < tapset->found.count; i++) {
		const struct found *found = &tapset->found.items[i];

		if (found->device == info.st_dev && found->inode == info.st_ino)
			return true;
	}
	return false;
}
