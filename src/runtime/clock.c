/* SPDX-License-Identifier: MIT */
/*
 * Time.  The tracer publishes how ticks become nanoseconds (struct abi_clock) under a
 * sequence count; reading it costs a few loads and no system call.
 *
 * Memory: an even sequence is acquired before the fields and read again after an acquire
 * fence.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	SYSCALL_CLOCK_GETTIME = 228,
	ID_REALTIME = 0,
	ID_MONOTONIC = 1,
	RETRIES = 100
};
__extension__ typedef unsigned __int128 wide_uint;

enum {
	NS_PER_S = 1000000000
};

static uint64_t kernel_clock(uint64_t id)
{
	int64_t ts[2] = {0, 0};
	rt_syscall(SYSCALL_CLOCK_GETTIME, id, (uint64_t)(uintptr_t)ts, 0, 0);
	return (uint64_t)ts[0] * NS_PER_S + (uint64_t)ts[1];
}

/* false: the tracer was interrupted, or killed, while it wrote; *ret is then not reliable. */
static bool read_ticks(const struct abi_clock *clock, bool wall, uint64_t *ret)
{
	for (int i = 0; i < RETRIES; i++) {
		uint32_t before = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
		uint64_t base = __atomic_load_n(
			wall ? &clock->wall_base : &clock->mono_base, __ATOMIC_RELAXED);
		uint64_t start = __atomic_load_n(&clock->tsc_base, __ATOMIC_RELAXED);
		uint64_t mult = __atomic_load_n(&clock->mult, __ATOMIC_RELAXED);
		uint64_t now = rt_tsc();
		/* another core's counter may be a few ticks behind the tracer's */
		uint64_t ticks = (int64_t)(now - start) < 0 ? 0 : now - start;
		*ret = base + (uint64_t)(((wide_uint)ticks * mult) >> 32);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		uint32_t after = __atomic_load_n(&clock->sequence, __ATOMIC_RELAXED);
		if (RT_LIKELY(before == after && !(before & 1)))
			return true;
		rt_pause();
	}
	return false;
}

static bool use_kernel(const struct abi_context *c)
{
	return RT_UNLIKELY(rt_session(c)->flags & ABI_FLAG_TSC_UNUSABLE) &&
	       rt_may_call(c);
}

static uint64_t read_clock(const struct abi_context *c, bool wall)
{
	uint64_t ns = 0;
	if (!use_kernel(c) && read_ticks(&rt_session(c)->clock, wall, &ns))
		return ns;
	return rt_may_call(c) ? kernel_clock(wall ? ID_REALTIME : ID_MONOTONIC) : ns;
}

uint64_t rt_clock_mono(const struct abi_context *c)
{
	return read_clock(c, false);
}

uint64_t rt_clock_wall(const struct abi_context *c)
{
	return read_clock(c, true);
}

uint64_t rt_stamp(const struct abi_context *c)
{
	return use_kernel(c) ? kernel_clock(ID_MONOTONIC) : rt_tsc();
}

#define CLOCK_FUNCTIONS(X)                \
	X(gettimeofday_ns, wall, 1)       \
	X(gettimeofday_us, wall, 1000)    \
	X(gettimeofday_ms, wall, 1000000) \
	X(gettimeofday_s, wall, NS_PER_S) \
	X(local_clock_ns, mono, 1)        \
	X(local_clock_us, mono, 1000)     \
	X(local_clock_ms, mono, 1000000)  \
	X(local_clock_s, mono, NS_PER_S)

#define CLOCK_FUNCTION(name, which, unit)                       \
	int64_t rt_fn_##name(struct abi_context *c)             \
	{                                                       \
		return (int64_t)(rt_clock_##which(c) / (unit)); \
	}
CLOCK_FUNCTIONS(CLOCK_FUNCTION)

int64_t rt_fn_get_cycles(struct abi_context *c)
{
	return (int64_t)rt_tsc();
}

int64_t rt_fn_hz(struct abi_context *c)
{
	return rt_session(c)->hertz;
}

int64_t rt_fn_jiffies(struct abi_context *c)
{
	uint64_t hertz = rt_session(c)->hertz;
	return hertz && hertz <= NS_PER_S
		       ? (int64_t)(rt_clock_mono(c) / (NS_PER_S / hertz))
		       : 0;
}

/* ---- processor time ------------------------------------------------------ */

enum {
	SYSCALL_GETRUSAGE = 98,
	RUSAGE_THREAD = 1,
	RUSAGE_SIZE = 144, /* begins with struct timeval ru_utime, ru_stime */
	NS_PER_US = 1000
};

static int64_t thread_time(struct abi_context *c, uint32_t which)
{
	int64_t *usage = (int64_t *)(void *)rt_scratch(c, RUSAGE_SIZE);
	if (!usage || !rt_may_call(c) ||
		rt_syscall(SYSCALL_GETRUSAGE, RUSAGE_THREAD, (uint64_t)(uintptr_t)usage,
			0, 0) < 0)
		return 0;
	const int64_t *time = usage + (uint64_t)which * 2;
	return time[0] * NS_PER_S + time[1] * NS_PER_US;
}

int64_t rt_fn_task_utime(struct abi_context *c)
{
	if (rt_is_remote(c))
		return rt_fn_task_number(c, c->tid, ABI_TASK_USER_TIME, 0);
	return thread_time(c, 0);
}

int64_t rt_fn_task_stime(struct abi_context *c)
{
	if (rt_is_remote(c))
		return rt_fn_task_number(c, c->tid, ABI_TASK_SYSTEM_TIME, 0);
	return thread_time(c, 1);
}

/* Guru mode: hold the thread up, busily as SystemTap does. */
void rt_fn_udelay(struct abi_context *c, int64_t us)
{
	uint64_t start = rt_clock_mono(c);
	while (us > 0 && (rt_clock_mono(c) - start) / NS_PER_US < (uint64_t)us &&
		rt_state(rt_session(c)) != ABI_STATE_DEAD)
		rt_pause();
}

void rt_fn_mdelay(struct abi_context *c, int64_t ms)
{
	if (ms > 0 && ms <= INT32_MAX)
		rt_fn_udelay(c, ms * 1000);
}

/* ---- text ---------------------------------------------------------------- */

int64_t rt_fn_tz_gmtoff(struct abi_context *c)
{
	return rt_session(c)->tz_offset_seconds;
}

void rt_fn_tz_name(struct abi_context *c, char *dst)
{
	rt_string_copy(c, dst, rt_text(c, rt_session(c)->time_zone));
}

enum {
	DAY = 86400,
	EPOCH_WEEKDAY = 4,
	DAYS_PER_400_YEARS = 146097
};

struct civil_date {
	int64_t year;
	uint32_t month, day; /* from 0; from 1 */
};

/* Proleptic Gregorian calendar, in years that begin with March, so that leap days come
 * last. */
static struct civil_date date_of(int64_t days)
{
	days += 719468; /* 0000-03-01 */
	int64_t era =
		(days >= 0 ? days : days - DAYS_PER_400_YEARS + 1) / DAYS_PER_400_YEARS;
	uint32_t of_era = (uint32_t)(days - era * DAYS_PER_400_YEARS);
	uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint32_t march_month = (5 * of_year + 2) / 153;
	struct civil_date d = {.day = of_year - (153 * march_month + 2) / 5 + 1};
	d.month = (march_month + 2) % 12;
	d.year = (int64_t)year + era * 400 + (d.month < 2);
	return d;
}

static void put_three(struct rt_text *t, const char *names, uint64_t index)
{
	for (int i = 0; i < 3; i++)
		rt_text_char(t, names[3 * index + (uint64_t)i]);
}

void rt_fn_ctime(struct abi_context *c, char *dst, int64_t seconds)
{
	dst[0] = '\0';
	if (seconds > INT32_MAX || seconds < INT32_MIN) {
		rt_error(c, seconds > 0 ? "Time too far in the future to be converted"
					: "Time too far in the past to be converted");
		return;
	}
	int64_t days = (seconds >= 0 ? seconds : seconds - DAY + 1) / DAY;
	int64_t rest = seconds - days * DAY;
	struct civil_date d = date_of(days);
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	put_three(&t, "SunMonTueWedThuFriSat",
		(uint64_t)((days % 7 + EPOCH_WEEKDAY + 7) % 7));
	rt_text_char(&t, ' ');
	put_three(&t, "JanFebMarAprMayJunJulAugSepOctNovDec", d.month);
	rt_text_string(&t, d.day < 10 ? "  " : " ");
	rt_text_decimal(&t, d.day, 1);
	rt_text_char(&t, ' ');
	rt_text_decimal(&t, rest / 3600, 2);
	rt_text_char(&t, ':');
	rt_text_decimal(&t, rest / 60 % 60, 2);
	rt_text_char(&t, ':');
	rt_text_decimal(&t, rest % 60, 2);
	rt_text_char(&t, ' ');
	rt_text_decimal(&t, d.year, 1);
	rt_text_close(&t);
}

void rt_fn_ctime_now(struct abi_context *c, char *dst)
{
	rt_fn_ctime(c, dst, rt_fn_gettimeofday_s(c));
}

/* "1m1.000s": minutes, seconds and the rest with as many digits as the unit has. */
static void duration_text(
	struct abi_context *c, char *dst, int64_t value, int64_t unit, int digits)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	int64_t seconds = value / unit;
	rt_text_decimal(&t, seconds / 60, 1);
	rt_text_char(&t, 'm');
	rt_text_decimal(&t, seconds % 60, 1);
	rt_text_char(&t, '.');
	rt_text_decimal(&t, value % unit, digits);
	rt_text_char(&t, 's');
	rt_text_close(&t);
}

void rt_fn_msecs_to_string(struct abi_context *c, char *dst, int64_t value)
{
	duration_text(c, dst, value, 1000, 3);
}

void rt_fn_usecs_to_string(struct abi_context *c, char *dst, int64_t value)
{
	duration_text(c, dst, value, 1000000, 6);
}

void rt_fn_nsecs_to_string(struct abi_context *c, char *dst, int64_t value)
{
	duration_text(c, dst, value, NS_PER_S, 9);
}
