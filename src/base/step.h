/* SPDX-License-Identifier: MIT */
/*
 * step() stands before and after everything that changes a traced process.  A test that defines
 * test_step() can end the tracer at each of these moments in turn.
 */
#pragma once

void test_step(void) __attribute__((weak));

static inline void step(void)
{
	if (test_step)
		test_step();
}
