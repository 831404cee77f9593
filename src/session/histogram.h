/* SPDX-License-Identifier: MIT */
/* Statistics as SystemTap prints them. */
#pragma once

#include "abi/data.h"
#include "base/strbuf.h"

/**
 * histogram_print() - one histogram, header line to the closing empty line
 * @width:   columns of the bar (HIST_WIDTH)
 * @elision: empty rows around a shown one that stay; negative: leave nothing out
 * (HIST_ELISION)
 */
void histogram_print(const struct abi_stat *stat, const struct abi_stat_desc *desc,
	int width, int elision, struct strbuf *out);
