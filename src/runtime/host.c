/* SPDX-License-Identifier: MIT */
/*
 * The runtime as a library of the tracer: what is different from the agent.  Only the
 * functions that the tracer itself calls on session memory matter here (maps, statistics,
 * formats); handlers of begin and end probes run from the tracer's own copy of the agent
 * image.
 */
#include <stddef.h>

#include "runtime/internal.h"

bool rt_is_tracer(const struct abi_context *c)
{
	return c->slot == 0;
}

bool rt_drain(const struct abi_context *c)
{
	return false;
}

struct rt_read rt_read(uint64_t address, uint32_t size)
{
	return (struct rt_read){.fault = 1};
}

bool rt_ask_here(struct abi_context *c)
{
	return false;
}

bool rt_is_silent(void)
{
	return false;
}

bool rt_ask_page(struct abi_context *c, uint64_t page, bool for_writing)
{
	return false;
}

bool rt_write(uint64_t address, uint64_t value, uint32_t size)
{
	return false;
}

struct rt_read rt_tracer_read(uint64_t address, uint32_t size)
{
	return (struct rt_read){.fault = 1};
}

bool rt_tracer_write(uint64_t address, uint64_t value, uint32_t size)
{
	return false;
}

void rt_tracer_identity(void)
{
}

struct abi_regs *rt_tracer_regs(void)
{
	return NULL;
}

uint64_t rt_vector_here(uint32_t number)
{
	return 0;
}

struct rt_read rt_thread_pointer_here(void)
{
	return (struct rt_read){.fault = 1};
}

struct rt_read rt_thread_word_here(int64_t offset)
{
	return (struct rt_read){.fault = 1};
}

struct rt_read rt_tracer_state(enum rt_tracer_state what, uint32_t number)
{
	return (struct rt_read){.fault = 1};
}
