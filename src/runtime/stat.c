/* SPDX-License-Identifier: MIT */
/*
 * Statistics.  Scalars are sharded: each thread adds to a struct of its own in its
 * context, and a reader sums up.  Clearing all of them is one increment of the variable's
 * epoch.
 *
 * The variance is SystemTap's: Welford's recurrence in integers, everything shifted left
 * by the script's shift, and the law of total variance where shards meet.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	LOG_ZERO = 64,
	SHIFT_MASK = 63
};

static int64_t divide(int64_t a, int64_t b)
{
	if (b == 0)
		return 0;
	return b == -1 ? (int64_t) - (uint64_t)a : a / b;
}

static inline int64_t shift_left(int64_t value, uint64_t shift)
{
	return (int64_t)((uint64_t)value << (shift & SHIFT_MASK));
}

static inline int64_t product(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* ---- adding -------------------------------------------------------------- */

static inline uint32_t log_bucket(int64_t value)
{
	if (value == 0)
		return LOG_ZERO;
	uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
	uint32_t bits = 64 - (uint32_t)__builtin_clzll(size);
	uint32_t bucket = value < 0 ? LOG_ZERO - bits : LOG_ZERO + bits;
	return bucket < ABI_HIST_LOG_BUCKETS ? bucket : ABI_HIST_LOG_BUCKETS - 1;
}

static inline uint32_t linear_bucket(const struct abi_stat_desc *d, int64_t value)
{
	if (value < d->low)
		return 0;
	uint64_t bucket = ((uint64_t)value - (uint64_t)d->low) / (uint64_t)d->width + 1;
	return bucket < d->bucket_count ? (uint32_t)bucket : d->bucket_count - 1;
}

static inline void add_to_variance(struct abi_stat *s, int64_t value)
{
	int64_t scaled = shift_left(value, s->variance_shift);
	int64_t delta = (int64_t)((uint64_t)scaled - (uint64_t)s->mean);
	s->mean += divide(delta, s->count);
	s->m2 = (int64_t)((uint64_t)s->m2 +
			  (uint64_t)product(delta,
				  (int64_t)((uint64_t)scaled - (uint64_t)s->mean)));
}

void rt_stat_add(struct abi_stat *s, const struct abi_stat_desc *d, int64_t value)
{
	if (RT_UNLIKELY(!s->count)) {
		s->sum = s->min = s->max = value;
		s->variance_shift = d->variance_shift & SHIFT_MASK;
		s->mean = shift_left(value, s->variance_shift);
		s->m2 = 0;
		s->count = 1;
	} else {
		s->count++;
		s->sum = (int64_t)((uint64_t)s->sum + (uint64_t)value);
		if (value < s->min)
			s->min = value;
		if (value > s->max)
			s->max = value;
		if (!(d->variance_shift & ABI_STAT_NO_VARIANCE))
			add_to_variance(s, value);
	}
	if (d->hist == ABI_HIST_LOG)
		s->buckets[log_bucket(value)]++;
	else if (d->hist == ABI_HIST_LINEAR && d->width > 0 && d->bucket_count)
		s->buckets[linear_bucket(d, value)]++;
}

static RT_NOINLINE void renew_shard(struct abi_stat *s, uint32_t size, uint64_t epoch)
{
	rt_zero(s, size);
	s->epoch = epoch;
}

void rt_stat_add_shard(struct abi_context *c, struct abi_shared_stat *v,
	uint32_t shard_offset, const struct abi_stat_desc *d, int64_t value)
{
	struct abi_stat *s = (struct abi_stat *)(void *)((char *)c + shard_offset);
	uint64_t epoch = __atomic_load_n(&v->epoch, __ATOMIC_RELAXED);
	if (RT_UNLIKELY(s->epoch != epoch))
		renew_shard(s, d->size, epoch);
	rt_stat_add(s, d, value);
}

void rt_stat_clear_shards(struct abi_context *c, struct abi_shared_stat *v)
{
	__atomic_fetch_add(&v->epoch, 1, __ATOMIC_RELEASE);
}

/* ---- reading ------------------------------------------------------------- */

static uint32_t desc_buckets(const struct abi_stat_desc *d)
{
	uint64_t room = d->size > sizeof(struct abi_stat)
				? (d->size - sizeof(struct abi_stat)) / sizeof(uint64_t)
				: 0;
	uint64_t count = d->hist == ABI_HIST_LOG      ? ABI_HIST_LOG_BUCKETS
			 : d->hist == ABI_HIST_LINEAR ? d->bucket_count
						      : 0;
	return (uint32_t)(count < room ? count : room);
}

static const struct abi_stat *shard_of(
	struct abi_session *session, uint32_t slot, uint32_t offset, uint64_t epoch)
{
	const struct abi_context *c = rt_context(session, slot);
	const struct abi_stat *s =
		(const struct abi_stat *)(const void *)((const char *)c + offset);
	return s->epoch == epoch && s->count > 0 ? s : NULL;
}

static void merge_one(
	const struct abi_stat_desc *d, struct abi_stat *dst, const struct abi_stat *s)
{
	if (!dst->count || s->min < dst->min)
		dst->min = s->min;
	if (!dst->count || s->max > dst->max)
		dst->max = s->max;
	dst->count += s->count;
	dst->sum = (int64_t)((uint64_t)dst->sum + (uint64_t)s->sum);
	dst->variance_shift = s->variance_shift;
	uint32_t buckets = desc_buckets(d);
	for (uint32_t i = 0; i < buckets; i++)
		dst->buckets[i] += s->buckets[i];
}

void rt_stat_absorb(
	const struct abi_stat_desc *d, struct abi_stat *dst, const struct abi_stat *src)
{
	merge_one(d, dst, src);
}

/* What one shard adds to the sum of squares: its own, and its distance from the common
 * mean. */
static int64_t shard_squares(const struct abi_stat *s, int64_t mean)
{
	int64_t off = (int64_t)((uint64_t)s->mean - (uint64_t)mean);
	int64_t within = product(divide(s->m2, s->count - 1), s->count - 1);
	return (int64_t)((uint64_t)within +
			 (uint64_t)product(product(off, off), s->count));
}

void rt_stat_merge(struct abi_context *c, struct abi_shared_stat *v,
	uint32_t shard_offset, const struct abi_stat_desc *d, struct abi_stat *dst)
{
	struct abi_session *session = rt_session(c);
	uint32_t high = rt_context_high(session);
	uint64_t epoch = __atomic_load_n(&v->epoch, __ATOMIC_ACQUIRE);
	const struct abi_stat *s;
	rt_zero(dst, d->size);
	for (uint32_t slot = 0; slot < high; slot++)
		if ((s = shard_of(session, slot, shard_offset, epoch)))
			merge_one(d, dst, s);
	if (!dst->count)
		return;
	dst->mean = divide(shift_left(dst->sum, dst->variance_shift), dst->count);
	for (uint32_t slot = 0; slot < high; slot++)
		if ((s = shard_of(session, slot, shard_offset, epoch)))
			dst->m2 = (int64_t)((uint64_t)dst->m2 +
					    (uint64_t)shard_squares(s, dst->mean));
}

int64_t rt_stat_average(const struct abi_stat *s)
{
	return divide(s->sum, s->count);
}

int64_t rt_stat_variance(const struct abi_stat *s)
{
	if (s->count < 2)
		return 0;
	uint64_t shift = 2 * (s->variance_shift & SHIFT_MASK);
	return divide(s->m2, s->count - 1) >> (shift > SHIFT_MASK ? SHIFT_MASK : shift);
}

int64_t rt_stat_read(struct abi_context *c, const struct abi_stat *s, uint32_t op)
{
	if (op == RT_STAT_COUNT)
		return s->count;
	if (op == RT_STAT_SUM)
		return s->count ? s->sum : 0;
	if (!s->count) {
		rt_error(c, "empty aggregate");
		return 0;
	}
	switch (op) {
	case RT_STAT_MIN:
		return s->min;
	case RT_STAT_MAX:
		return s->max;
	case RT_STAT_AVG:
		return rt_stat_average(s);
	default:
		return rt_stat_variance(s);
	}
}

int64_t rt_hist_read(struct abi_context *c, const struct abi_stat *s,
	const struct abi_stat_desc *d, int64_t index)
{
	if (!s->count)
		rt_error(c, "empty aggregate");
	else if (index < 0 || index >= desc_buckets(d))
		rt_error(c, "histogram index out of range");
	else
		return (int64_t)s->buckets[index];
	return 0;
}

/* ---- counters ------------------------------------------------------------ */

static int64_t sum_of_shards(struct abi_context *c, uint32_t shard_offset)
{
	struct abi_session *session = rt_session(c);
	uint32_t high = rt_context_high(session);
	uint64_t sum = 0;
	for (uint32_t slot = 0; slot < high; slot++) {
		const char *shard =
			(const char *)rt_context(session, slot) + shard_offset;
		sum += __atomic_load_n(
			(const uint64_t *)(const void *)shard, __ATOMIC_RELAXED);
	}
	return (int64_t)sum;
}

int64_t rt_counter_read(
	struct abi_context *c, struct abi_shared_counter *v, uint32_t shard_offset)
{
	return (int64_t)(v->base + (uint64_t)sum_of_shards(c, shard_offset));
}

void rt_counter_write(struct abi_context *c, struct abi_shared_counter *v,
	uint32_t shard_offset, int64_t value)
{
	v->base = (uint64_t)value - (uint64_t)sum_of_shards(c, shard_offset);
}
