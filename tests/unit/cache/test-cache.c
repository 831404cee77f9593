/* SPDX-License-Identifier: MIT */
/* Blobs and answers that are kept, damaged in all ways, and pruned. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/memo.h"
#include "tap.h"

static char root[] = "/tmp/test-cache-XXXXXX";
static char directory[64];

static struct cache *open_cache(void)
{
	struct cache_options options = {0};
	struct error err = {0};
	struct cache *cache = cache_open(&options, &err);
	if (!cache)
		printf("# %s\n", err.message);
	return cache;
}

/* The only file of the cache. */
static void find_file(char *ret, size_t size)
{
	DIR *list = opendir(directory);
	ret[0] = '\0';
	for (struct dirent *d = list ? readdir(list) : NULL; d; d = readdir(list)) {
		if (d->d_name[0] != '.')
			snprintf(ret, size, "%s/%s", directory, d->d_name);
	}
	if (list)
		closedir(list);
}

static unsigned count_files(void)
{
	unsigned count = 0;
	DIR *list = opendir(directory);
	for (struct dirent *d = list ? readdir(list) : NULL; d; d = readdir(list))
		count += d->d_name[0] != '.';
	if (list)
		closedir(list);
	return count;
}

static void put(struct cache *cache, const char *key, const char *text)
{
	struct cache_part part = {text, strlen(text)};
	cache_put(cache, key, &part, 1);
}

static bool has(struct cache *cache, const char *key, const char *text)
{
	struct cache_blob blob;
	if (!cache_get(cache, key, &blob))
		return false;
	bool same =
		blob.size >= strlen(text) && memcmp(blob.bytes, text, strlen(text)) == 0;
	cache_blob_release(&blob);
	return same;
}

static void test_blobs(void)
{
	struct cache *cache = open_cache();
	struct cache_part parts[] = {{"abc", 3}, {NULL, 0}, {"0123456789", 10}};
	struct cache_blob blob = {0};
	tap_ok(cache && !has(cache, "a", ""), "an empty cache has nothing");
	cache_put(cache, "a", parts, 3);
	tap_ok(cache_get(cache, "a", &blob) && blob.size == 24 &&
			memcmp(blob.bytes,
				"abc\0\0\0\0\0"
				"0123456789",
				18) == 0 &&
			(uintptr_t)blob.bytes % 64 == 0,
		"parts come back, each at a multiple of 8");
	cache_blob_release(&blob);
	put(cache, "a", "other");
	tap_ok(has(cache, "a", "other") && count_files() == 1, "a blob is replaced");
	cache_close(cache);
	cache = open_cache();
	tap_ok(has(cache, "a", "other"), "it is there in the next run");
	unsigned found, missed;
	has(cache, "b", "");
	cache_hits(cache, &found, &missed);
	tap_ok(found == 1 && missed == 1, "hits and misses are counted");
	cache_close(cache);
}

static void spoil(const char *path, off_t at, char byte)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || pwrite(fd, &byte, 1, at) != 1)
		printf("# cannot write %s\n", path);
	close(fd);
}

static void test_damage(void)
{
	char path[400];
	struct stat st;
	struct cache *cache = open_cache();
	put(cache, "a", "some text that is kept");
	find_file(path, sizeof(path));
	stat(path, &st);
	unsigned believed = 0;
	for (off_t at = 0; at < st.st_size; at++) {
		char byte = 0, old = 0;
		int fd = open(path, O_RDONLY);
		if (pread(fd, &old, 1, at) == 1)
			byte = (char)(old ^ 0x10);
		close(fd);
		spoil(path, at, byte);
		believed += has(cache, "a", "");
		spoil(path, at, old);
	}
	/* what fills up the key to 64 bytes says nothing */
	tap_ok(believed < 64 && has(cache, "a", "some text that is kept"),
		"a changed byte is seen, wherever it is (%u are filling)", believed);
	believed = 0;
	for (off_t size = st.st_size - 1; size >= 0; size--) {
		if (truncate(path, size) == 0)
			believed += has(cache, "a", "");
	}
	tap_is_long(believed, 0, "a file that is cut is seen");
	put(cache, "a", "again");
	tap_ok(has(cache, "a", "again"), "it is written anew");
	chmod(path, 0666);
	tap_ok(!has(cache, "a", ""), "a file that others can write is not believed");
	chmod(path, 0600);
	if (geteuid() == 0) {
		tap_ok(chown(path, 65534, 65534) == 0 && !has(cache, "a", ""),
			"nor one that is another's");
		unlink(path);
	}
	unlink(path);
	tap_ok(symlink("/etc/passwd", path) == 0 && !has(cache, "a", ""), "nor a link");
	unlink(path);
	tap_ok(mkfifo(path, 0600) == 0 && !has(cache, "a", ""),
		"nor a pipe, which does not block");
	unlink(path);
	cache_close(cache);
}

static void test_directory(void)
{
	chmod(directory, 0777);
	tap_ok(!open_cache(), "a directory that others can write to is refused");
	chmod(directory, 0700);
	setenv("XDG_CACHE_HOME", "relative", 1);
	setenv("HOME", "", 1);
	tap_ok(!open_cache(), "no directory, no cache");
	setenv("HOME", root, 1);
	struct cache *cache = open_cache();
	char path[128];
	snprintf(path, sizeof(path), "%s/.cache/utrace", root);
	struct stat st;
	tap_ok(cache && stat(path, &st) == 0 && (st.st_mode & 0777) == 0700,
		"~/.cache/utrace is made, for its owner alone");
	cache_close(cache);
	setenv("XDG_CACHE_HOME", root, 1);
}

static void test_options(void)
{
	struct cache_options options = {.is_write_only = true};
	struct cache *cache = cache_open(&options, NULL);
	put(cache, "a", "text");
	tap_ok(!has(cache, "a", "text"), "a poisoned cache has nothing");
	cache_close(cache);
	cache = open_cache();
	tap_ok(has(cache, "a", "text"), "... but keeps what is new");
	cache_close(cache);
	tap_ok(cache_clean(NULL) == 0 && count_files() == 0, "cleaning removes all");
	struct cache_blob blob;
	tap_ok(!cache_get(NULL, "a", &blob), "without a cache nothing is found");
}

static void test_pruning(void)
{
	char key[8];
	char *text = calloc(1, 100001);
	memset(text, 'x', 100000);
	setenv("UTRACE_CACHE_MB", "1", 1);
	struct cache *cache = open_cache();
	for (int i = 0; i < 15; i++) {
		snprintf(key, sizeof(key), "%d", i);
		put(cache, key, text);
		usleep(10000); /* times of files have the grain of a tick */
	}
	has(cache, "0", "x");
	cache_close(cache);
	cache = open_cache();
	unsigned left = count_files();
	tap_ok(left <= 10 && left >= 8, "%u files of 100 kB are left in 1 MB", left);
	tap_ok(has(cache, "0", "x") && has(cache, "14", "x") && !has(cache, "1", "x"),
		"those that were used least recently went");
	memset(text, 'y', 100000);
	text = realloc(text, 600001);
	memset(text, 'y', 600000);
	text[600000] = '\0';
	put(cache, "large", text);
	tap_ok(!has(cache, "large", "y"), "what fills half of it is not kept");
	cache_close(cache);
	unsetenv("UTRACE_CACHE_MB");
	free(text);
	(void)!cache_clean(NULL);
}

static bool answers(struct cache_memo *memo, const char *question, const char *want)
{
	size_t size;
	const void *got = cache_memo_find(memo, question, strlen(question), &size);
	return got && size == strlen(want) && memcmp(got, want, size) == 0;
}

static void test_memo(void)
{
	struct cache *cache = open_cache();
	struct cache_memo *memo = cache_memo_open(cache, "file");
	tap_ok(!answers(memo, "one", "1"), "nothing was asked before");
	cache_memo_add(memo, "one", 3, "1", 1);
	cache_memo_add(memo, "three", 5, "drei", 4);
	struct cache_memo *other = cache_memo_open(cache, "file");
	cache_memo_add(other, "two", 3, "2", 1);
	cache_memo_add(other, "none", 4, "", 0);
	cache_memo_close(memo);
	cache_memo_close(other);
	memo = cache_memo_open(cache, "file");
	tap_ok(answers(memo, "one", "1") && answers(memo, "two", "2") &&
			answers(memo, "three", "drei") && answers(memo, "none", "") &&
			!answers(memo, "four", ""),
		"answers of two runs at once are there");
	cache_memo_close(memo);
	tap_ok(!cache_memo_open(NULL, "file"), "no cache, no answers");
	cache_memo_close(NULL);
	cache_close(cache);
}

int main(void)
{
	if (!mkdtemp(root))
		return 1;
	setenv("XDG_CACHE_HOME", root, 1);
	snprintf(directory, sizeof(directory), "%s/utrace", root);
	test_blobs();
	test_damage();
	test_directory();
	test_options();
	test_pruning();
	test_memo();
	(void)!cache_clean(NULL);
	rmdir(directory);
	char path[128];
	snprintf(path, sizeof(path), "%s/.cache/utrace", root);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/.cache", root);
	rmdir(path);
	rmdir(root);
	return tap_done();
}
