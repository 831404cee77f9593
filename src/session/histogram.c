/* SPDX-License-Identifier: MIT */
#include "session/histogram.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	LOG_ZERO_BUCKET = 64,
	LABEL_SIZE = 32,
	MINIMAL_LABEL = 5
};

static int64_t log_bucket_value(uint32_t bucket)
{
	if (bucket == LOG_ZERO_BUCKET)
		return 0;
	if (bucket > LOG_ZERO_BUCKET)
		return (int64_t)(1ull << (bucket - LOG_ZERO_BUCKET - 1));
	return -(int64_t)(1ull << (LOG_ZERO_BUCKET - bucket - 1));
}

static void bucket_label(
	const struct abi_stat_desc *desc, uint32_t bucket, char label[LABEL_SIZE])
{
	if (desc->hist == ABI_HIST_LOG)
		snprintf(label, LABEL_SIZE, "%" PRId64, log_bucket_value(bucket));
	else if (bucket == 0)
		snprintf(label, LABEL_SIZE, "<%" PRId64, desc->low);
	else if (bucket == desc->bucket_count - 1)
		snprintf(label, LABEL_SIZE, ">%" PRId64, desc->high);
	else
		snprintf(label, LABEL_SIZE, "%" PRId64,
			desc->low + (int64_t)(bucket - 1) * desc->width);
}

/* The rows to show: non-empty ones and two empty neighbours on each side, as far as they
 * exist. */
static bool shown_range(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	uint32_t *ret_low, uint32_t *ret_high)
{
	uint32_t low = UINT32_MAX, high = 0;
	for (uint32_t i = 0; i < desc->bucket_count; i++) {
		if (!stat->buckets[i])
			continue;
		if (low == UINT32_MAX)
			low = i;
		high = i;
	}
	if (low == UINT32_MAX)
		return false;
	uint32_t first = 0, last = desc->bucket_count - 1;
	if (desc->hist == ABI_HIST_LOG) {
		/* not widened below 0 unless there are negative values */
		first = low >= LOG_ZERO_BUCKET ? LOG_ZERO_BUCKET : 0;
	} else {
		/* empty under- and overflow rows are never shown */
		first = stat->buckets[0] ? 0 : 1;
		last = stat->buckets[last] ? last : last - 1;
	}
	*ret_low = low - first < 2 ? first : low - 2;
	*ret_high = last - high < 2 ? last : high + 2;
	return true;
}

static bool row_is_elided(const struct abi_stat *stat, uint32_t row, uint32_t low,
	uint32_t high, int elision)
{
	if (elision < 0)
		return false;
	uint32_t from = row - low > (uint32_t)elision ? row - (uint32_t)elision : low;
	uint32_t to = high - row > (uint32_t)elision ? row + (uint32_t)elision : high;
	for (uint32_t i = from; i <= to; i++)
		if (stat->buckets[i])
			return false;
	return true;
}

static uint64_t largest_count(const struct abi_stat *stat, uint32_t low, uint32_t high)
{
	uint64_t largest = 0;
	for (uint32_t i = low; i <= high; i++)
		if (stat->buckets[i] > largest)
			largest = stat->buckets[i];
	return largest;
}

void histogram_print(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	int width, int elision, struct strbuf *out)
{
	uint32_t low, high;
	if (width < 1)
		width = 1;
	if (desc->hist == ABI_HIST_NONE || !shown_range(stat, desc, &low, &high))
		return;
	char label[LABEL_SIZE];
	int label_width = MINIMAL_LABEL;
	for (uint32_t i = low; i <= high; i++) {
		bucket_label(desc, i, label);
		if ((int)strlen(label) > label_width)
			label_width = (int)strlen(label);
	}
	uint64_t largest = largest_count(stat, low, high);
	uint64_t bar = (uint64_t)width;
	uint64_t scale = largest <= bar ? 1 : largest / bar + (largest % bar != 0);
	int count_width = snprintf(label, sizeof(label), "%" PRIu64, largest);

	strbuf_printf(out, "%*s |", label_width, "value");
	strbuf_fill(out, '-', (size_t)width);
	strbuf_puts(out, " count\n");
	bool gap = false;
	for (uint32_t i = low; i <= high; i++) {
		if (row_is_elided(stat, i, low, high, elision)) {
			gap = true;
			continue;
		}
		if (gap)
			strbuf_printf(out, "%*s ~\n", label_width, "");
		gap = false;
		bucket_label(desc, i, label);
		uint64_t marks = stat->buckets[i] / scale;
		strbuf_printf(out, "%*s |", label_width, label);
		strbuf_fill(out, '@', (size_t)marks);
		strbuf_printf(out, "%*" PRIu64 "\n", width - (int)marks + 1 + count_width,
			stat->buckets[i]);
	}
	strbuf_putc(out, '\n');
}
