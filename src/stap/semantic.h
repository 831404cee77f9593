/* SPDX-License-Identifier: MIT */
/*
 * Pass 2: aliases and library files pulled in, probe points expanded, names and overloads resolved,
 * types inferred, $variables compiled to accesses, unused things elided.
 */
#pragma once

#include "stap/ast.h"
#include "stap/parser.h"
#include "stap/target.h"

/* Jiffies as the scripts of timer.jiffies(N) mean them: those of distribution kernels. */
enum {
	STAP_JIFFIES_HZ = 250
};

struct stap_semantic_options {
	const struct stap_file *const *user_files; /* -E scripts and the script itself */
	uint32_t user_file_count;
	const struct stap_file *const *library_files; /* tapset, already parsed */
	uint32_t library_file_count;
	/* arguments of the script: those that library files in use refer to are marked here */
	const char *const *preset; /* globals that the command line sets */
	uint32_t preset_count;
	bool *argument_used;
	uint32_t argument_count;
	const char *privilege; /* NULL: "stapdev", which may do what its system lets it */
	bool guru, unoptimized, suppress_warnings, skip_badvars;
	bool has_target; /* -c or -x given: bare `process` is allowed */
	bool listing;    /* nothing will run: points that need a target may be named */
	bool whole;      /* also what nobody uses of the user's files is looked at */
};

/**
 * stap_analyze() - the semantic pass
 * Return: the program, or NULL when @diag holds errors (the caller renders them and prints
 * "Pass 2: analysis failed.  [man error::pass2]").
 */
struct stap_program *stap_analyze(struct arena *arena,
	const struct stap_semantic_options *options, const struct stap_target *target,
	struct stap_diagnostics *diag);

/**
 * stap_program_dump() - -p2: globals, functions and probes with their types and locals
 * @with_bodies: also what is left of their bodies, and initial values
 */
void stap_program_dump(
	const struct stap_program *program, bool with_bodies, struct strbuf *out);

/** stap_intrinsic_find() - by name and argument count; NULL: none */
struct stap_intrinsic {
	const char *name;
	enum stap_type result;      /* UNKNOWN: no value */
	const char *arguments;      /* "SL" */
	const char *argument_names; /* "str,pos" */
	unsigned flags;             /* enum stap_intrinsic_flag */
	const char *symbol;
};
enum stap_intrinsic_flag {
	STAP_INTRINSIC_FALLIBLE = 1,
	STAP_INTRINSIC_REGS = 2,
	STAP_INTRINSIC_PURE = 4,
	STAP_INTRINSIC_CALLEE_SAVED = 8,
	STAP_INTRINSIC_MEMORY = 16,
	STAP_INTRINSIC_GURU = 32,
	STAP_INTRINSIC_SYMBOLS = 64,
	STAP_INTRINSIC_STACKS = 128,
};
const struct stap_intrinsic *stap_intrinsic_find(
	const char *name, uint32_t argument_count);
bool stap_intrinsic_exists(const char *name);
/** stap_intrinsic_asks_groups() - is it about what =~ has matched */
bool stap_intrinsic_asks_groups(const struct stap_intrinsic *intrinsic);
/** for dumps and "similar" hints: NULL after the last */
const struct stap_intrinsic *stap_intrinsic_at(uint32_t index);

/* ---- listings: a line for each, in no order; names that begin with _ are left out ---- */

/** stap_dump_probe_types() - --dump-probe-types: the forms of points that can be probed */
void stap_dump_probe_types(struct arena *arena, struct strbuf *out);
/** stap_dump_aliases() - --dump-probe-aliases */
void stap_dump_aliases(
	const struct stap_file *const *files, uint32_t count, struct strbuf *out);
/** stap_dump_functions() - --dump-functions: those of a program and the runtime's */
void stap_dump_functions(const struct stap_program *program, struct strbuf *out);
