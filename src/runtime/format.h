/* SPDX-License-Identifier: MIT */
/*
 * Parsed printf formats, shared by the checker, the code in the target (sprintf) and the
 * tracer (records).  A struct format is position independent: offsets from its own start,
 * so codegen can place it in read-only data as it stands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum format_kind {
	FORMAT_LITERAL,
	FORMAT_LONG,      /* d i u x X o p c b m M; conversion holds which */
	FORMAT_STRING,    /* s */
	FORMAT_HISTOGRAM, /* print(@hist_*(x)): the argument is an abi_stat; desc gives
			     its shape */
};

enum {
	FORMAT_DYNAMIC = -2,
	FORMAT_NONE = -1
}; /* width/precision: `*` takes a long argument; absent */

struct format_part {
	uint8_t kind;       /* enum format_kind */
	uint8_t conversion; /* 'd', 'x', ... */
	uint8_t flag;       /* 0 or one of "0-+ #" */
	uint8_t reserved;
	int32_t width, precision;
	uint32_t text,
		text_size; /* LITERAL: offset from the struct format, escapes resolved */
};

struct format {
	uint32_t size; /* of everything, parts and text */
	uint32_t part_count;
	uint32_t argument_count; /* dynamic widths included, in order of use */
	uint32_t reserved;
	struct format_part parts[];
};

/**
 * format_text() - expand a format (freestanding; also in the agent)
 * @args:  a uint64 per argument; a string as the address of NUL-terminated bytes
 * @out:   called-for output is cut at capacity-1 and NUL-terminated
 * Return: length written.  HISTOGRAM parts print nothing here; the tracer has
 * histogram_print(). %m/%M read memory through @read (NULL: nothing printed).
 */
size_t format_text(
	const struct format *format, const uint64_t *args, char *out, size_t capacity);
