/* SPDX-License-Identifier: MIT */
/* Two engines on each thread: neither knows of the other. */
#include <stddef.h>

#include "tracer.h"

int main(int argc, char **argv)
{
	const struct example *const examples[] = {&trace_calls, &report_crashes, NULL};
	return example_main(argc, argv, examples);
}
