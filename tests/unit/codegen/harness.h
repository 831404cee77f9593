/* SPDX-License-Identifier: MIT */
/*
 * Compile a script and run its handlers in this process: the tracer's on context 0, the target's on
 * context 1, both through the linked image as a traced process would.
 */
#pragma once

#include "abi/session.h"
#include "base/arena.h"
#include "base/strbuf.h"
#include "runtime/runtime.h"
#include "stap/codegen/codegen.h"
#include "stap/semantic.h"

struct harness {
	struct arena arena;
	struct stap_file *file;
	struct stap_program *program;
	struct codegen_result code;
	struct error error;
	/* arena page and image, executable: as the tracer and as a traced process has it */
	unsigned char *tracer_block, *target_block;
	size_t block_size;
	unsigned char *memory; /* session */
	struct abi_session *session;
	struct abi_regs regs; /* of the next hit */
	uint64_t sp;
	struct strbuf
		output; /* what the script printed so far; errors as "ERROR: text at L:C" */
};

enum {
	HARNESS_LINK_ADDRESS = 0x1000
};
#define HARNESS_BIAS 0x555500000000ull

/** harness_open() - compile; false: output holds the message.  @options: zeroes mean defaults */
bool harness_open(
	struct harness *h, const char *script, const struct codegen_options *options);
void harness_close(struct harness *h);
/** harness_mixes_up() - does the object kept of one script come out for another? */
bool harness_mixes_up(const char *kept, const char *script);

typedef void (*harness_handler_fn)(struct abi_context *c, struct abi_regs *regs,
	uint64_t sp, uint64_t ip, uint32_t site);

struct abi_context *harness_context(const struct harness *h, uint32_t slot);
harness_handler_fn harness_function(const struct harness *h, uint32_t handler);
/** harness_run() - every handler of a kind; UPROBE runs entry parts of return probes, too */
void harness_run(struct harness *h, enum stap_probe_kind kind);
void harness_drain(struct harness *h);
