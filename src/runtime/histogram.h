/* SPDX-License-Identifier: MIT */
/* Histograms as SystemTap prints them; for the tracer and for handlers. */
#pragma once

#include <stddef.h>

#include "abi/data.h"

/**
 * histogram_text() - one histogram, header line to the closing empty line
 * @width:   columns of the bar (HIST_WIDTH)
 * @elision: empty rows around a shown one that stay; negative: leave nothing out
 * (HIST_ELISION)
 *
 * Return: bytes of text; what does not fit @capacity is cut off.
 */
size_t histogram_text(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	int width, int elision, char *out, size_t capacity);
