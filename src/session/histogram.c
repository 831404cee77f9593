/* SPDX-License-Identifier: MIT */
#include "session/histogram.h"

#include <stdlib.h>

#include "runtime/histogram.h"

enum {
	ROW_SIZE = 64, /* at most, without the bar */
	MORE_ROWS = 4
};

void histogram_print(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	int width, int elision, struct strbuf *out)
{
	size_t row = ROW_SIZE + (width > 0 ? (size_t)width : 1);
	size_t capacity = (desc->bucket_count + MORE_ROWS) * row * 2;
	char *text = malloc(capacity);
	if (!text)
		abort();
	strbuf_append(
		out, text, histogram_text(stat, desc, width, elision, text, capacity));
	free(text);
}
