/* SPDX-License-Identifier: MIT */
/*
 * Typed program to machine code.  The only folder that knows LLVM.  One object per
 * script, the same bytes for every process: handlers find everything through their
 * context argument, so the code is position independent and has no relocations left after
 * linking against the agent image.
 */
#pragma once

#include "abi/data.h"
#include "agent/link.h"
#include "stap/ast.h"

/* Objects of earlier runs.  find: malloc'ed, NULL: there is none. */
struct codegen_cache {
	void *(*find)(void *data, const char *key, size_t *ret_size);
	void (*keep)(void *data, const char *key, const void *bytes, size_t size);
	void *data;
};

struct codegen_options {
	const struct codegen_cache *cache; /* NULL: none */
	uint32_t max_string;               /* MAXSTRINGLEN */
	uint32_t max_map_entries;          /* MAXMAPENTRIES */
	uint32_t max_action, max_action_interruptible, max_nesting;
	uint32_t hist_width;  /* HIST_WIDTH */
	int32_t hist_elision; /* HIST_ELISION */
	bool suppress_time_limits;
	bool timing;  /* handlers count and time their runs */
	bool dump_ir; /* to stderr */
	/* set to what an error is about, whose text then does not tell the place; may be NULL */
	const struct stap_token **ret_blamed;
};

enum codegen_storage {
	CODEGEN_SCALAR_LONG,   /* int64 at offset */
	CODEGEN_SCALAR_STRING, /* char[max_string] at offset */
	CODEGEN_COUNTER, /* abi_shared_counter at offset; int64 shard at shard_offset */
	CODEGEN_STAT_SHARDED, /* abi_shared_stat at offset; abi_stat shard at shard_offset
			       */
	CODEGEN_MAP,          /* abi_map at offset */
};

/* Where a global lives.  offset: from the start of session memory; shard_offset: from the
 * start of a context. */
struct codegen_global {
	const struct stap_var *var;
	enum codegen_storage storage;
	uint32_t offset, shard_offset;
	uint64_t size;
	int lock;             /* index of its abi_lock, -1: none needed */
	uint32_t max_entries; /* MAP */
	/* statistics and maps of them; no buckets: the script's parameters make no sense */
	struct abi_stat_desc stat;
	/* MAP that handlers in programs only count up: without its lock, in cells of each thread */
	bool is_celled;
	struct abi_cells_desc cells;
};

/* A handler the trampolines or the tracer can call; see runtime.h for its signature. */
struct codegen_handler {
	const struct stap_derived_probe *probe;
	bool is_entry_part; /* the hidden entry handler of a return probe with entry
				    values */
	bool is_paired; /* of places that need it; see stap_derived_probe.is_paired_somewhere */
	uint32_t code_offset;    /* in the linked image */
	bool needs_callee_saved; /* trampoline must push all of struct abi_regs */
	bool needs_flags;
	/* The whole body is `counter++` on a CODEGEN_COUNTER: the trampoline does it
	 * inline, adding inline_increment to the int64 at context + inline_shard_offset.
	 */
	bool is_inline_count;
	uint32_t inline_shard_offset;
	int32_t inline_increment;
};

/* Statement places for error messages, indexed by abi_context.location. */
struct codegen_location {
	const struct stap_token *token;
};

/* PRINT record formats; record id is the index. */
struct codegen_format {
	const struct format *format;
	const struct abi_stat_desc **histograms; /* one per HISTOGRAM part, in order */
};

struct codegen_result {
	unsigned char *image; /* agent image and script code, linked; malloc'ed */
	size_t image_size;
	struct codegen_global *globals;
	uint32_t global_count;
	struct codegen_handler *handlers;
	uint32_t handler_count;
	struct codegen_location *locations;
	uint32_t location_count;
	struct codegen_format *formats;
	uint32_t format_count;
	struct agent_symbol *symbols;
	uint32_t symbol_count;
	uint32_t lock_count;
	uint64_t globals_size; /* bytes from ABI_GLOBALS_OFFSET on, locks included */
	uint32_t context_size; /* struct abi_context and all shards, a multiple of 4096 */
	bool reads_user_memory; /* handlers may fault: processes need the signal front */
	bool asks_symbols;      /* handlers ask what an address of a process is */
	bool walks_stacks;      /* handlers look at the stack of the program */
};

/**
 * codegen_compile() - compile and link
 * @agent_image, @agent_size: the ELF shared object of the agent (runtime + agent)
 * @ret: filled on success; codegen_result_free() it
 */
must_check int codegen_compile(const struct stap_program *program,
	const struct codegen_options *options, const void *agent_image, size_t agent_size,
	struct codegen_result *ret, struct error *err);
void codegen_result_free(struct codegen_result *result);

/** codegen_symbol() - offset in the image of an exported agent symbol; -ENOENT */
must_check int64_t codegen_symbol(const struct codegen_result *result, const char *name);

/** codegen_init_globals() - write initial values, map headers into fresh (zero) session
 * memory */
void codegen_init_globals(
	const struct codegen_result *result, void *session, uint32_t max_string);
