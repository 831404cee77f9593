/* SPDX-License-Identifier: MIT */
/* What one tracing run is asked to do; filled by the command line, read-only afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/vec.h"
#include "uprobes/uprobes.h"

struct session_text {
	const char *name; /* as diagnostics show it */
	char *own_name;   /* to free, NULL: none */
	const char *text;
	size_t size;
};

struct session_setting {
	const char *name, *value; /* value NULL: none given */
};

enum {
	SESSION_PASSES = 5
};

enum session_color {
	SESSION_COLOR_AUTO, /* on a terminal */
	SESSION_COLOR_ALWAYS,
	SESSION_COLOR_NEVER
};

struct session_options {
	VEC(struct session_text) scripts; /* the script itself, then those of -E */
	const char *const *arguments;     /* of the script */
	uint32_t argument_count;

	const char *command;                 /* -c, NULL: none */
	pid_t pid;                           /* -x, 0: none */
	const char *output_path;             /* -o, NULL: standard output */
	const char *tapset_dir;              /* NULL: found next to the program */
	VEC(const char *) include_dirs;      /* -I */
	VEC(struct session_setting) limits;  /* -D NAME[=VALUE] */
	VEC(struct session_setting) globals; /* -G NAME=VALUE */
	const char *compatible;
	char module_name[56];  /* -m, "": made up */
	const char *privilege; /* --privilege, NULL: stapdev */
	const char *runtime; /* --runtime, as conditionals see it; NULL: none was named */

	int verbose;
	int pass_verbose[SESSION_PASSES]; /* -v and --vp */
	int last_pass;                    /* -p, 5 by default */
	uint64_t rotate_bytes;            /* -S, 0: one file */
	unsigned rotate_files;            /* how many are kept, 0: all */
	unsigned monitor_seconds;         /* --monitor, 0: no */
	enum session_color color;
	bool timing, flight_recorder;
	unsigned timeout_ms; /* -T, 0: none */
	unsigned buffer_mb;  /* -s, 0: default */
	bool guru, unoptimized, no_warnings, warnings_are_errors, skip_badvars;
	bool suppress_handler_errors, suppress_time_limits, no_global_display;
	bool dump_ir;
	bool explain; /* a listing says why nothing matches */
	bool force;   /* inject in spite of a seccomp filter */
	enum uprobe_mode mode;
	/* the cache: not used at all; written only; emptied first */
	bool disable_cache, poison_cache, clean_cache;
};
