/* SPDX-License-Identifier: MIT */
/*
 * How often a function is called, counted in the process itself: nothing is stopped.
 *     count-calls /lib/x86_64-linux-gnu/libc.so.6 malloc ls
 */
#include <stdio.h>
#include <stdlib.h>

#include "count-hit.h"
#include "driver.h"

static struct count_shared *shared;
static struct uprobe_consumer consumer;

/* count-hit.o, put here by the build. */
extern const unsigned char count_hit_object[];
extern const size_t count_hit_object_size;

static int begin(struct uprobes *uprobes, char **arguments, struct utrace_error *err)
{
	struct uprobe_place place = {
		.size = sizeof(place), .path = arguments[0], .symbol = arguments[1]};
	int r = uprobe_code_load(uprobes, count_hit_object, count_hit_object_size,
		"count_hit", &consumer.code, err);
	if (r < 0)
		return r;
	shared = uprobes_shared(uprobes);
	return uprobe_register(uprobes, &place, &consumer, NULL, err);
}

static void end(void)
{
	uint64_t total = 0;
	for (size_t i = 0; i < COUNT_SLOTS; i++)
		total += shared->calls[i];
	printf("%llu calls\n", (unsigned long long)total);
}

int main(int argc, char **argv)
{
	struct driver driver = {.arguments = "FILE FUNCTION",
		.argument_count = 2,
		.options = {.in_process = true,
			.shared_size = sizeof(struct count_shared)},
		.begin = begin,
		.end = end};
	return driver_main(argc, argv, &driver);
}
