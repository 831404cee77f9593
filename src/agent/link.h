/* SPDX-License-Identifier: MIT */
/*
 * In the tracer: makes the image that is copied into arenas, out of the agent and of code that is to run
 * beside it.  One flat piece, position independent, without writable data.
 */
#pragma once

#include <stddef.h>

#include "agent/agent.h"
#include "base/error.h"

/* The arena's own page (struct agent_arena) lies right before the image. */
#define AGENT_LINK_ARENA "agent_arena_block"

/* A symbol of the image: what the agent exports. */
struct agent_symbol {
	char *name;
	int64_t offset; /* negative: below the image, in the arena's first page */
};

struct agent_link {
	unsigned char *bytes; /* malloc'ed */
	size_t size;
	struct agent_symbol *symbols;
	uint32_t symbol_count;
};

/** agent_link_open() - begin with the agent, an ELF shared object; agent_link_close() also after a failure */
must_check int agent_link_open(
	const void *agent, size_t size, struct agent_link *ret, struct error *err);
void agent_link_close(struct agent_link *image);

/** agent_link_symbol() - offset in the image of what the agent exports; -ENOENT */
int64_t agent_link_symbol(const struct agent_link *image, const char *name);

struct agent_link_object {
	const char *what; /* for messages */
	const void *bytes;
	size_t size;
	/* may refuse the code of a section; NULL: none is looked at */
	int (*check)(const uint8_t *bytes, size_t size, struct error *err);
};
struct agent_link_function {
	const char *name;
	uint64_t offset; /* filled in: in the image */
};
/**
 * agent_link_add_object() - put a relocatable object behind what is there
 * It may use what the agent exports.  Unwind tables and notes are left out.
 * Return: 0; -ENOENT: one of @functions is not in it; -ENOEXEC: what the words say
 */
must_check int agent_link_add_object(struct agent_link *image,
	const struct agent_link_object *object, struct agent_link_function *functions,
	size_t count, struct error *err);
/** agent_link_export() - let objects that are added later use functions of one that was; names are copied */
must_check int agent_link_export(struct agent_link *image,
	const struct agent_link_function *functions, size_t count, struct error *err);
/** agent_link_add_bytes() - put code there as it is.  -E2BIG, -ENOMEM */
must_check int agent_link_add_bytes(
	struct agent_link *image, const void *bytes, size_t size, uint64_t *ret_offset);
