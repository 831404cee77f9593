/* SPDX-License-Identifier: MIT */
/* Functions of others in the target: what libutrace-uprobes brings there. */
#include <stddef.h>
#include <utrace/uprobe-native.h>

#include "abi/session.h"
#include "agent/agent.h"
#include "runtime/internal.h"

_Static_assert(sizeof(struct uprobe_native_regs) == sizeof(struct abi_regs) &&
		       offsetof(struct uprobe_native_regs, rax) ==
			       offsetof(struct abi_regs, rax) &&
		       offsetof(struct uprobe_native_regs, r15) ==
			       offsetof(struct abi_regs, r15),
	"the same registers by another name");

static int read_value(uint64_t address, uint64_t *value, uint32_t size)
{
	struct abi_context *c = agent_context();
	struct rt_read r = {.fault = 1};

	if (c)
		r = rt_read_here(c, address, size);
	*value = r.fault ? 0 : r.value;
	return r.fault ? -1 : 0;
}

static const struct abi_native *find_native(const struct abi_session *s, uint32_t site)
{
	const struct abi_native *natives =
		(const struct abi_native *)(const void *)((const char *)s +
							  s->native_offset);
	return site < s->native_count ? natives + site : NULL;
}

static bool keep_return_address(struct abi_context *c, uint32_t pair, uint64_t sp)
{
	struct rt_read from = rt_read_here(c, sp, sizeof(uint64_t));
	if (!from.fault)
		*(uint64_t *)rt_pair_push(c, pair, sp, sizeof(from.value)) = from.value;
	return false;
}

/* Is this the return of a call that was seen to begin? */
static bool is_own_return(struct abi_context *c, uint32_t pair, uint64_t sp)
{
	const uint64_t *kept = rt_pair_pop(c, pair, sp);
	struct rt_read to = rt_read_here(c, sp, sizeof(uint64_t));
	return kept && !to.fault && *kept == to.value;
}

static bool is_wanted(struct abi_context *c, const struct abi_native *native, uint64_t sp)
{
	if (!native->pair)
		return true;
	return native->is_entry ? keep_return_address(c, native->pair, sp)
				: is_own_return(c, native->pair, sp);
}

RT_EXPORT void agent_call_native(struct abi_context *c, struct abi_regs *regs,
	uint64_t sp, uint64_t ip, uint32_t site)
{
	struct abi_session *s = rt_session(c);
	const struct abi_native *native = find_native(s, site);
	if (!native || native->code_offset >= agent_arena_block.image_size ||
		!rt_enter(c, regs, sp, ip, site))
		return;
	if (!is_wanted(c, native, sp)) {
		rt_leave(c);
		return;
	}
	const struct uprobe_native_hit hit = {
		.regs = (struct uprobe_native_regs *)(void *)regs,
		.sp = sp,
		.ip = ip,
		.shared = (char *)s + s->shared_offset,
		.shared_size = s->shared_size,
		.cookie = native->cookie,
		.pid = c->pid,
		.tid = c->tid,
		.read = read_value,
	};
	((uprobe_native_fn *)(uintptr_t)(agent_arena_block.image + native->code_offset))(
		&hit);
	rt_leave(c);
}
