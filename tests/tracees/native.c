/* SPDX-License-Identifier: MIT */
/* A native function of a probe, and (with -D) what one may not do. */
#include <utrace/uprobe-native.h>

#define HIDDEN __attribute__((visibility("hidden")))
uprobe_native_fn probe_hit;

struct seen {
	uint64_t calls, cookies, text, unreadable, tids;
};

static const uint64_t weights[] = {1, 2, 3, 4};

#ifdef USES_DATA
HIDDEN uint64_t calls;
#endif
#ifdef USES_LIBC
int puts(const char *text);
#endif

static __attribute__((noinline)) uint64_t weigh(uint64_t n)
{
	return weights[n & 3];
}

void probe_hit(const struct uprobe_native_hit *hit)
{
	struct seen *seen = hit->shared;
	uint64_t byte = 0, nothing = 1;
	__atomic_fetch_add(&seen->calls, weigh(hit->cookie), __ATOMIC_RELAXED);
	__atomic_fetch_add(&seen->cookies, hit->cookie, __ATOMIC_RELAXED);
	if (hit->read(hit->regs->rsi, &byte, 1) == 0)
		__atomic_fetch_add(&seen->text, byte, __ATOMIC_RELAXED);
	if (hit->read(16, &nothing, 8) < 0 && nothing == 0)
		__atomic_fetch_add(&seen->unreadable, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&seen->tids, hit->tid, __ATOMIC_RELAXED);
#ifdef USES_DATA
	calls++;
#endif
#ifdef USES_LIBC
	puts("hit");
#endif
#ifdef USES_VECTORS
	__asm__ volatile("pxor %xmm1, %xmm1");
#endif
}
