/* SPDX-License-Identifier: MIT */
/* Who calls the stubs of a module's .plt: found in one go for all of them, which lie close together. */
#include <stdlib.h>

#include "elf/plt.h"
#include "session/internal.h"

static void find_calls(struct session *s, struct session_module *m)
{
	struct elf_plt_entry *entries;
	uint64_t low = UINT64_MAX, high = 0;
	size_t count = elf_module_plt(m->elf, &s->arena, &entries);
	for (size_t i = 0; i < count; i++) {
		low = entries[i].start < low ? entries[i].start : low;
		high = entries[i].end > high ? entries[i].end : high;
	}
	m->has_calls = true;
	if (low < high)
		m->call_count = arch_text_calls(m->text, low, high, &m->calls);
}

static int compare_target(const void *key, const void *item)
{
	const struct stap_location *stub = key;
	const struct arch_call *call = item;
	if (call->target >= stub->function_start && call->target < stub->function_end)
		return 0;
	return stub->function_start < call->target ? -1 : 1;
}

const struct arch_call *session_stub_calls(struct session *s, struct session_module *m,
	const struct stap_location *stub, size_t *ret_count)
{
	*ret_count = 0;
	if (!m->has_calls)
		find_calls(s, m);
	if (!m->call_count)
		return NULL;
	const struct arch_call *end = m->calls + m->call_count;
	const struct arch_call *first =
		bsearch(stub, m->calls, m->call_count, sizeof(*m->calls), compare_target);
	const struct arch_call *last = first;
	if (!first)
		return NULL;
	while (first > m->calls && compare_target(stub, first - 1) == 0)
		first--;
	while (last < end && compare_target(stub, last) == 0)
		last++;
	*ret_count = (size_t)(last - first);
	return first;
}
