/* SPDX-License-Identifier: MIT */
/*
 * What was found out about files, kept from one run to the next: blobs by key in files of
 * $XDG_CACHE_HOME/utrace.
 *
 * Nothing in the directory is trusted further than that this user wrote it: files of others or
 * writable by others, of another utrace, of the wrong size, key or checksum count as absent.  Files
 * come into being by rename, so any number of runs can share the directory; whoever comes last wins.
 * All failures mean "not cached": no run ends because of its cache.  One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cache;

struct cache_options {
	bool is_write_only; /* what is there is not believed, but replaced */
};

/**
 * cache_open() - the user's cache; the directory is made when it is not there
 * Return: NULL, with the reason in @err, when there is none that can be used
 */
struct cache *cache_open(const struct cache_options *options, struct error *err);
/** cache_close() - removes the oldest files when the cache has become too large; NULL is fine */
void cache_close(struct cache *cache);

struct cache_blob {
	const uint8_t *bytes; /* 64-byte aligned */
	size_t size;
	void *map;
	size_t map_size;
};

/**
 * cache_get() - find a blob
 * @cache: may be NULL
 * @ret:   cache_blob_release() it
 */
bool cache_get(struct cache *cache, const char *key, struct cache_blob *ret);
void cache_blob_release(struct cache_blob *blob);

struct cache_part {
	const void *bytes;
	size_t size;
};

/** cache_put() - store the parts as one blob; each begins at a multiple of 8 bytes */
void cache_put(struct cache *cache, const char *key, const struct cache_part *parts,
	size_t count);

/** cache_hits() - how many blobs were found and not found, for -v */
void cache_hits(const struct cache *cache, unsigned *ret_found, unsigned *ret_missed);

/** cache_clean() - remove all that utrace keeps; 0 also when there is nothing */
must_check int cache_clean(struct error *err);
