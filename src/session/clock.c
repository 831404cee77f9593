/* SPDX-License-Identifier: MIT */
#include "session/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

__extension__ typedef unsigned __int128 wide_uint;

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The kernel itself keeps time by the TSC, or the processor promises that it never stops.
 */
static bool clock_tsc_is_usable(void)
{
	char line[64] = "";
	FILE *f = fopen(
		"/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
	}
	if (strncmp(line, "tsc", 3) == 0 || strncmp(line, "kvm-clock", 9) == 0 ||
		strncmp(line, "hyperv", 6) == 0)
		return true;
	unsigned eax, ebx, ecx, edx;
	__asm__("cpuid"
		: "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx)
		: "a"(0x80000007u), "c"(0));
	return edx & (1u << 8);
}

/* A (ticks, ns) pair whose two halves were read as close together as this machine
 * manages. */
static void clock_sample(clockid_t id, uint64_t *ret_ticks, uint64_t *ret_ns)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc();
		uint64_t ns = clock_ns(id);
		uint64_t after = __rdtsc();
		if (after - before < best) {
			best = after - before;
			*ret_ticks = before + (after - before) / 2;
			*ret_ns = ns;
		}
	}
}

void session_clock_start(struct session_clock *clock)
{
	clock_sample(CLOCK_MONOTONIC, &clock->first_ticks, &clock->first_ns);
}

static uint64_t clock_rate(const struct session_clock *clock, uint64_t ticks, uint64_t ns)
{
	wide_uint span = (wide_uint)(ns - clock->first_ns) << 32;
	uint64_t elapsed = ticks - clock->first_ticks;
	return elapsed ? (uint64_t)(span / elapsed) : 1ull << 32;
}

static uint64_t clock_advance(const struct abi_clock *c, uint64_t base, uint64_t ticks)
{
	return base + (uint64_t)(((wide_uint)(ticks - c->tsc_base) * c->mult) >> 32);
}

static void clock_write(struct abi_clock *c, const struct abi_clock *next)
{
	uint32_t sequence = c->sequence;
	__atomic_store_n(&c->sequence, sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	c->tsc_base = next->tsc_base;
	c->wall_base = next->wall_base;
	c->mono_base = next->mono_base;
	c->mult = next->mult;
	__atomic_store_n(&c->sequence, sequence + 2, __ATOMIC_RELEASE);
}

void session_clock_publish(struct session_clock *clock, struct abi_session *session)
{
	struct abi_clock next = {0};
	if (!clock_tsc_is_usable()) {
		session->flags |= ABI_FLAG_TSC_UNUSABLE;
		next.mult = 1ull << 32; /* a tick is a nanosecond of CLOCK_MONOTONIC */
		next.tsc_base = next.mono_base = clock_ns(CLOCK_MONOTONIC);
		next.wall_base = clock_ns(CLOCK_REALTIME);
		clock_write(&session->clock, &next);
		return;
	}
	uint64_t ticks = 0, ns = 0;
	/* 10 ms with 50 ns of uncertainty at each end: the rate is good to 10 ppm. */
	do {
		struct timespec nap = {.tv_nsec = 1000000};
		clock_sample(CLOCK_MONOTONIC, &ticks, &ns);
		if (ns - clock->first_ns >= 10000000)
			break;
		nanosleep(&nap, NULL);
	} while (true);
	next.mult = clock_rate(clock, ticks, ns);
	next.tsc_base = ticks;
	next.mono_base = ns;
	uint64_t wall_ticks = 0, wall = 0;
	clock_sample(CLOCK_REALTIME, &wall_ticks, &wall);
	next.wall_base =
		wall - (uint64_t)(((wide_uint)(wall_ticks - ticks) * next.mult) >> 32);
	clock_write(&session->clock, &next);
}

void session_clock_refresh(struct session_clock *clock, struct abi_session *session)
{
	struct abi_clock *c = &session->clock;
	struct abi_clock next = {0};
	if (session->flags & ABI_FLAG_TSC_UNUSABLE) {
		next.mult = 1ull << 32;
		next.tsc_base = next.mono_base = clock_ns(CLOCK_MONOTONIC);
		next.wall_base = clock_ns(CLOCK_REALTIME);
		clock_write(c, &next);
		return;
	}
	uint64_t ticks = 0, ns = 0, wall_ticks = 0, wall = 0;
	clock_sample(CLOCK_MONOTONIC, &ticks, &ns);
	clock_sample(CLOCK_REALTIME, &wall_ticks, &wall);
	next.mult = clock_rate(clock, ticks, ns);
	next.tsc_base = ticks;
	/* Go on from where the old conversion is, so that differences never turn negative
	 * ... */
	next.mono_base = clock_advance(c, c->mono_base, ticks);
	next.wall_base = clock_advance(c, c->wall_base, ticks);
	/* ... and follow the kernel's clock only when somebody has set it. */
	uint64_t expected = clock_advance(c, c->wall_base, wall_ticks);
	uint64_t off = wall > expected ? wall - expected : expected - wall;
	if (off > 50000000)
		next.wall_base += wall - expected;
	clock_write(c, &next);
}

uint64_t session_clock_now(const struct abi_session *session)
{
	return session->flags & ABI_FLAG_TSC_UNUSABLE ? clock_ns(CLOCK_MONOTONIC)
						      : __rdtsc();
}

uint64_t session_clock_ticks(const struct abi_session *session, uint64_t ns)
{
	uint64_t mult = session->clock.mult ? session->clock.mult : 1ull << 32;
	return (uint64_t)(((wide_uint)ns << 32) / mult);
}
