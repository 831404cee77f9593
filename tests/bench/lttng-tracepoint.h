/* SPDX-License-Identifier: MIT */
/* The peer's tracepoint: time stamp (LTTng adds it) and two integer arguments. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER utrace_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "lttng-tracepoint.h"
#if !defined(UTRACE_BENCH_TRACEPOINT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define UTRACE_BENCH_TRACEPOINT_H
#include <lttng/tracepoint.h>
LTTNG_UST_TRACEPOINT_EVENT(utrace_bench, work, LTTNG_UST_TP_ARGS(long, a, long, b),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(long, a, a) lttng_ust_field_integer(long, b, b)))
#endif
#include <lttng/tracepoint-event.h>
