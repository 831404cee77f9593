/* SPDX-License-Identifier: MIT */
/*
 * What a function like malloc(3) is asked for, and how often it has nothing to give.
 *     malloc-sizes /lib/x86_64-linux-gnu/libc.so.6 malloc ls
 */
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"

static uint64_t sizes[65], bytes, failed;

static int handler(struct uprobe_consumer *self, struct utrace_task *task,
	struct user_regs_struct *regs, uint64_t *data)
{
	(void)self;
	(void)task;
	*data = regs->rdi; /* the argument may be overwritten until the function returns */
	return 0;
}

static int ret_handler(struct uprobe_consumer *self, struct utrace_task *task,
	uint64_t function, struct user_regs_struct *regs, uint64_t *data)
{
	(void)self;
	(void)task;
	(void)function;
	sizes[*data ? 64 - __builtin_clzll(*data) : 0]++;
	bytes += *data;
	failed += regs->rax == 0;
	return 0;
}

static struct uprobe_consumer consumer = {.handler = handler, .ret_handler = ret_handler};

static int begin(struct uprobes *uprobes, char **arguments, struct utrace_error *err)
{
	struct uprobe_place place = {
		.size = sizeof(place), .path = arguments[0], .symbol = arguments[1]};
	return register_uretprobe(uprobes, &place, &consumer, NULL, err);
}

static void end(void)
{
	uint64_t calls = 0;
	for (unsigned int i = 0; i < 65; i++) {
		calls += sizes[i];
		if (sizes[i])
			printf("%12llu bytes and more: %llu\n",
				i ? 1ull << (i - 1) : 0ull, (unsigned long long)sizes[i]);
	}
	printf("%llu calls, %llu bytes, %llu failed\n", (unsigned long long)calls,
		(unsigned long long)bytes, (unsigned long long)failed);
}

int main(int argc, char **argv)
{
	struct driver driver = {.arguments = "FILE FUNCTION",
		.argument_count = 2,
		.begin = begin,
		.end = end};
	return driver_main(argc, argv, &driver);
}
