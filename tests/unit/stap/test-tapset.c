/* SPDX-License-Identifier: MIT */
/* Which library files are found, and that those shipped with the program are sound. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-target.h"
#include "stap/semantic.h"
#include "stap/tapset.h"
#include "tap.h"

static char root[] = "/tmp/utrace-tapset-XXXXXX";

/* Made in the temporary folder; all removed again at the end, in reverse. */
static const struct {
	const char *path, *text; /* NULL: a folder */
} tree[] = {
	{"a", NULL},
	{"a/dyninst", NULL},
	{"b", NULL},
	{"own", NULL},
	{"own/both.stp", "function own:string() { return \"own\" }"},
	{"a/both.stp", "function both:string() { return \"a\" }"},
	{"a/dyninst/special.stp", "function special:string() { return \"dyninst\" }"},
	{"a/special.stp", "function special:string() { return \"plain\" }"},
	{"a/broken.stp", "function {"},
	{"a/broken.stpm", "@define"},
	{"a/word.stpm", "@define word %( \"macro\" %)"},
	{"a/notes.txt", "function {"},
	{"b/both.stp", "function both:string() { return \"b\" }"},
	{"b/only_b.stp", "function only_b:string() { return @word }"},
};

enum {
	TREE_COUNT = sizeof(tree) / sizeof(tree[0])
};

static const char *tree_path(size_t at)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, tree[at].path);
	return path;
}

static void tree_make(void)
{
	for (size_t i = 0; i < TREE_COUNT; i++) {
		FILE *file;

		if (!tree[i].text) {
			mkdir(tree_path(i), 0700);
			continue;
		}
		file = fopen(tree_path(i), "w");
		if (file) {
			fputs(tree[i].text, file);
			fclose(file);
		}
	}
}

static void tree_remove(void)
{
	for (size_t i = TREE_COUNT; i-- > 0;)
		remove(tree_path(i));
	rmdir(root);
}

/* Path below the root of the file that defines a function. */
static const char *place_of(const struct stap_tapset *tapset, const char *name)
{
	uint32_t count;
	const struct stap_file *const *files = stap_tapset_files(tapset, &count);

	for (uint32_t i = 0; i < count; i++) {
		for (size_t j = 0; j < files[i]->functions.count; j++) {
			if (!strcmp(files[i]->functions.items[j]->name, name))
				return files[i]->source->name + strlen(root);
		}
	}
	return "nowhere";
}

static void test_search(void)
{
	struct stap_parse_options options = {0};
	struct stap_diagnostics diag;
	struct stap_tapset *tapset;
	struct arena arena;
	char dirs[4][256];

	arena_init(&arena);
	stap_diagnostics_init(&diag, &arena);
	snprintf(dirs[0], sizeof(dirs[0]), "%s/own", root);
	snprintf(dirs[1], sizeof(dirs[1]), "%s/a", root);
	snprintf(dirs[2], sizeof(dirs[2]), "%s/none", root);
	snprintf(dirs[3], sizeof(dirs[3]), "%s/b", root);
	tapset = stap_tapset_load(&arena,
		(const char *[]){dirs[0], dirs[1], dirs[2], dirs[3]}, 4, &options, &diag);
	tap_is_long(
		stap_tapset_file_count(tapset), 5, "broken and other files are left out");
	tap_is_string(place_of(tapset, "own"), "/own/both.stp",
		"the program's own files shadow none");
	tap_is_string(place_of(tapset, "both"), "/a/both.stp", "the first folder wins");
	tap_is_string(place_of(tapset, "special"), "/a/dyninst/special.stp",
		"the more special subfolder wins");
	tap_is_string(place_of(tapset, "only_b"), "/b/only_b.stp",
		"macros are there for scripts of another folder");
	tap_is_long((long long)diag.error_count, 0, "no error counts");
	tap_is_long((long long)diag.warning_count, 2, "one warning for each broken file");
	tap_ok(diag.list.count == 4 && diag.list.items[0]->severity == STAP_PARSE_ERROR &&
			strstr(diag.list.items[1]->message,
				"/a/broken.stpm\" has errors, and will be skipped.") &&
			diag.list.items[2]->severity == STAP_PARSE_ERROR &&
			strstr(diag.list.items[3]->message,
				"/a/broken.stp\" has errors, and will be skipped"),
		"they say what is wrong and name the file");
	stap_tapset_free(tapset);
	stap_diagnostics_deinit(&diag);
	arena_deinit(&arena);
}

static uint32_t count_scripts(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint32_t count = 0;

	while (dir && (entry = readdir(dir))) {
		size_t size = strlen(entry->d_name);

		count += size > 4 && !strcmp(entry->d_name + size - 4, ".stp");
	}
	if (dir)
		closedir(dir);
	return count;
}

/* Everything in the library is analysed, as if it were the user's, with nothing elided. */
static void test_shipped(const char *folder)
{
	/* macros, and the variables that only macros give a type */
	static const char text[] =
		"probe begin { println(@choose_defined($x, 1)); @this1 = @this2 = @this3 = @this4 = "
		"@this5 = @this6 = @this7 = @this8 = 1 }";
	struct stap_source source = {
		.name = "<input>", .text = text, .size = sizeof(text) - 1};
	struct stap_semantic_options options = {.unoptimized = true};
	const struct stap_file *user[64];
	const struct stap_file *const *files;
	struct stap_parse_options parse = {0};
	struct stap_diagnostics diag;
	struct stap_tapset *tapset;
	struct stap_file *file;
	struct arena arena;
	struct strbuf out;
	uint32_t count;

	arena_init(&arena);
	strbuf_init(&out);
	stap_diagnostics_init(&diag, &arena);
	tapset = stap_tapset_load(&arena, &folder, 1, &parse, &diag);
	tap_is_long(stap_tapset_file_count(tapset), count_scripts(folder),
		"every shipped script parses");
	parse.macros = stap_tapset_macros(tapset);
	file = stap_parse(&arena, &source, &parse, &diag);
	files = stap_tapset_files(tapset, &count);
	for (uint32_t i = 0; i < count && i < 63; i++)
		user[i] = files[i];
	user[count < 63 ? count : 63] = file;
	options.user_files = user;
	options.user_file_count = (count < 63 ? count : 63) + 1;
	tap_ok(stap_analyze(&arena, &options, &fake_target, &diag), "and is well typed");
	stap_diagnostics_render(&diag, true, &out);
	tap_is_string(out.data, "", "without a word");
	stap_file_deinit(file);
	stap_tapset_free(tapset);
	stap_diagnostics_deinit(&diag);
	strbuf_deinit(&out);
	arena_deinit(&arena);
}

int main(int argc, char **argv)
{
	if (!mkdtemp(root)) {
		perror(root);
		return 1;
	}
	tree_make();
	test_search();
	tree_remove();
	test_shipped(argc > 1 ? argv[1] : "tapset");
	return tap_done();
}
