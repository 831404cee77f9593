/* SPDX-License-Identifier: MIT */
/* Nanoseconds per handler call and milliseconds per compilation; run by hand. */
#include <stdio.h>
#include <time.h>

#include "harness.h"

#define PROBE(body) "probe process(\"program\").function(\"f\") { " body " }\n"

static const struct {
	const char *name, *script;
} rows[] = {
	{"count", "global n\n" PROBE("n++") "probe end { println(n) }"},
	{"two counts", "global n, m\n" PROBE("n++; m++") "probe end { println(n, m) }"},
	{"locked count",
		"global n\n" PROBE("if (n++ < 0) n = 0") "probe end { println(n) }"},
	{"map[tid()]++", "global m\n" PROBE("m[tid()]++") "probe end { println(m[1]) }"},
	{"map[string]++",
		"global m\n" PROBE("m[execname()]++") "probe end { println(m[\"\"]) }"},
	{"printf(\"%d %d\")", PROBE("printf(\"%d %d\\n\", tid(), $rdi)")},
	{"printf(\"%s %d\")", PROBE("printf(\"%s %d\\n\", ppfunc(), $rdi)")},
	{"stat <<< time",
		"global s\n" PROBE(
			"s <<< gettimeofday_ns()") "probe end { println(@count(s)) }"},
	{"stat <<< time, log",
		"global s\n" PROBE(
			"s <<< gettimeofday_ns()") "probe end { print(@hist_log(s)) }"},
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double hit_time(struct harness *h)
{
	enum {
		BATCH = 1000,
		BATCHES = 1000
	};
	struct abi_context *c = harness_context(h, 1);
	double best = 1e9;

	for (uint32_t i = 0; i < h->code.handler_count; i++) {
		if (h->code.handlers[i].probe->kind != STAP_PROBE_UPROBE)
			continue;
		harness_handler_fn call = harness_function(h, i);
		for (int batch = 0; batch < BATCHES; batch++) {
			double start = now();
			for (int hit = 0; hit < BATCH; hit++)
				call(c, &h->regs, h->sp, HARNESS_LINK_ADDRESS, i);
			double each = (now() - start) / BATCH;
			if (each < best)
				best = each;
			c->ring_tail = c->ring_head;
		}
	}
	return best;
}

int main(void)
{
	struct codegen_options options = {0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct harness h;
		double start = now();
		if (!harness_open(&h, rows[i].script, &options)) {
			printf("%s: %s\n", rows[i].name, h.output.data);
			return 1;
		}
		double compile = now() - start;
		printf("%-20s %6.2f ns per call, compiled in %.2f ms\n", rows[i].name,
			hit_time(&h), compile / 1e6);
		harness_close(&h);
	}
	return 0;
}
