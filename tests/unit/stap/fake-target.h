/* SPDX-License-Identifier: MIT */
/*
 * A program that is not there, for tests of the semantic pass: process("/bin/app") with
 *
 *   int alpha(int n, char *s)    long total         at 0x1000
 *   int beta(int n, char *s)     struct pair p      at 0x2000  (n elsewhere than in alpha)
 *   void gamma(unsigned long u)                     at 0x3000  (u where alpha has n)
 *   delta, without debug info                       at 0x4000
 *
 * and a library /lib/libz.so with deflate(int level).
 */
#pragma once

#include "stap/target.h"

extern const struct stap_target fake_target;
