/* SPDX-License-Identifier: MIT */
/*
 * The front end's view of programs, answered from ELF files and their debug information.
 * Locations handed out stay valid until stap_target_destroy().
 */
#pragma once

#include <sys/types.h>

#include "elf/module.h"
#include "stap/target.h"

struct stap_target_config {
	const char *
		target_path; /* program of -c, or executable of -x; NULL: `process` alone is an error */
	pid_t target_pid; /* -x, 0: none; its mount namespace is where target_path lives */
	void (*warn)(void *data, const char *text); /* may be NULL */
	void *warn_data;
	void (*notice)(
		void *data, const char *text); /* before something slow; may be NULL */
	void *notice_data;
	struct cache *cache; /* borrowed; NULL: nothing is kept */
};

/** stap_target_create() - @config is copied; release with stap_target_destroy() */
must_check int stap_target_create(const struct stap_target_config *config,
	struct stap_target *ret, struct error *err);
void stap_target_destroy(struct stap_target *target);

/** stap_target_is_library() - is the file, by its name, mapped by programs other than itself? */
bool stap_target_is_library(const char *path);
/** the opened module of a location, borrowed: patch planning need not open it again */
struct elf_module *stap_target_module(const struct stap_location *location);
