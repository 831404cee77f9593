/* SPDX-License-Identifier: MIT */
/* Time stamps: TSC ticks turned into wall and monotonic time, for handlers and for the
 * tracer. */
#pragma once

#include "abi/session.h"

struct session_clock {
	uint64_t first_ticks, first_ns; /* baseline of the rate measurement */
};

/** session_clock_start() - note the baseline; early, so that the rate is good by the time
 * it counts */
void session_clock_start(struct session_clock *clock);
/** session_clock_publish() - measure the rate and write the first conversion into the
 * session */
void session_clock_publish(struct session_clock *clock, struct abi_session *session);
/** session_clock_refresh() - once a second: better rate, wall-clock steps; time never
 * runs backwards */
void session_clock_refresh(struct session_clock *clock, struct abi_session *session);
/** session_clock_now() - ticks, as handlers stamp their records */
uint64_t session_clock_now(const struct abi_session *session);
/** session_clock_ticks() - ticks in a number of nanoseconds */
uint64_t session_clock_ticks(const struct abi_session *session, uint64_t ns);
