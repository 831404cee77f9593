/* SPDX-License-Identifier: MIT */
#include "runtime/histogram.h"

#include <stdbool.h>

#include "runtime/internal.h"

enum {
	LOG_ZERO_BUCKET = 64,
	LABEL_SIZE = 24,
	MINIMAL_LABEL = 5
};

/* Right-aligned in columns; returns its length. */
static RT_NOINLINE int put_right(struct rt_text *t, const char *text, int columns)
{
	int length = (int)rt_length(text, RT_STRING_LIMIT);
	if (t) {
		rt_text_fill(t, ' ', columns - length);
		rt_text_string(t, text);
	}
	return length;
}

static void number_text(char *to, uint64_t value)
{
	char digits[LABEL_SIZE];
	int n = 0;
	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (n)
		*to++ = digits[--n];
	*to = '\0';
}

static void signed_text(char *to, int64_t value)
{
	if (value < 0)
		*to++ = '-';
	number_text(to, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static int64_t log_bucket_value(uint32_t bucket)
{
	if (bucket == LOG_ZERO_BUCKET)
		return 0;
	if (bucket > LOG_ZERO_BUCKET)
		return (int64_t)(1ull << (bucket - LOG_ZERO_BUCKET - 1));
	return -(int64_t)(1ull << (LOG_ZERO_BUCKET - bucket - 1));
}

static RT_NOINLINE void bucket_label(
	const struct abi_stat_desc *desc, uint32_t bucket, char label[LABEL_SIZE])
{
	bool is_log = desc->hist == ABI_HIST_LOG;
	bool is_last = bucket == desc->bucket_count - 1;
	if (!is_log && (bucket == 0 || is_last))
		*label++ = bucket == 0 ? '<' : '>';
	/* above the last bucket of full width: where that starts, as below the first */
	int64_t index = bucket == 0 ? 0 : (int64_t)bucket - (is_last ? 2 : 1);
	signed_text(label,
		is_log ? log_bucket_value(bucket) : desc->low + index * desc->width);
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

struct shape {
	const struct abi_stat *stat;
	const struct abi_stat_desc *desc;
	uint32_t low, high;
	int width, label_width, count_width;
	uint64_t scale;
};

static int number_length(int64_t value)
{
	char text[LABEL_SIZE];
	signed_text(text, value);
	return put_right(NULL, text, 0);
}

/* As SystemTap has it: in a linear histogram by the value after the last row, not the row's. */
static RT_NOINLINE int label_width(const struct shape *s)
{
	const struct abi_stat_desc *desc = s->desc;
	bool is_log = desc->hist == ABI_HIST_LOG;
	int first = is_log ? number_length(log_bucket_value(s->low))
			   : number_length(desc->low) + (s->low == 0);
	int last = is_log ? number_length(log_bucket_value(s->high))
			  : number_length(desc->low + (int64_t)s->high * desc->width) +
				    (s->high == desc->bucket_count - 1);
	int longest = first > last ? first : last;
	return longest > MINIMAL_LABEL ? longest : MINIMAL_LABEL;
}

static RT_NOINLINE void shape_measure(struct shape *s)
{
	uint64_t largest = 0, bar = (uint64_t)s->width;
	for (uint32_t i = s->low; i <= s->high; i++)
		if (s->stat->buckets[i] > largest)
			largest = s->stat->buckets[i];
	s->label_width = label_width(s);
	s->scale = largest <= bar ? 1 : largest / bar + (largest % bar != 0);
	s->count_width = number_length((int64_t)largest);
}

static RT_NOINLINE void put_row(struct rt_text *t, const struct shape *s, uint32_t row)
{
	char label[LABEL_SIZE];
	int marks = (int)(s->stat->buckets[row] / s->scale);
	bucket_label(s->desc, row, label);
	put_right(t, label, s->label_width);
	rt_text_string(t, " |");
	rt_text_fill(t, '@', marks);
	number_text(label, s->stat->buckets[row]);
	put_right(t, label, s->width - marks + 1 + s->count_width);
	rt_text_char(t, '\n');
}

static RT_NOINLINE void put_rows(struct rt_text *t, const struct shape *s, int elision)
{
	bool gap = false;
	put_right(t, "value", s->label_width);
	rt_text_string(t, " |");
	rt_text_fill(t, '-', s->width);
	rt_text_string(t, " count\n");
	for (uint32_t i = s->low; i <= s->high; i++) {
		if (row_is_elided(s->stat, i, s->low, s->high, elision)) {
			gap = true;
			continue;
		}
		if (gap) {
			put_right(t, "", s->label_width);
			rt_text_string(t, " ~\n");
		}
		gap = false;
		put_row(t, s, i);
	}
	rt_text_char(t, '\n');
}

size_t histogram_text(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	int width, int elision, char *out, size_t capacity)
{
	struct rt_text t = rt_text_open(out, capacity);
	struct shape s = {.stat = stat, .desc = desc, .width = width < 1 ? 1 : width};
	if (desc->hist != ABI_HIST_NONE && shown_range(stat, desc, &s.low, &s.high)) {
		shape_measure(&s);
		put_rows(&t, &s, elision);
	}
	rt_text_close(&t);
	return (size_t)(t.at - out);
}

void rt_histogram_text(struct abi_context *c, char *dst, const struct abi_stat *stat,
	const struct abi_stat_desc *desc, int32_t width, int32_t elision)
{
	histogram_text(stat, desc, width, elision, dst, rt_session(c)->max_string);
}
