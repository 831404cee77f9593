/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#define PASTE_(a, b)  a##_##b
#define PASTE(a, b)   PASTE_(a, b)
#define FIXTURE(name) PASTE(name, LEVEL)
#define KEEP          __attribute__((noinline, noclone))

long FIXTURE(shared) = 0x1122334455667788;
static int counter = -41;

static KEEP void use(void *pointer)
{
	__asm__ volatile("" : : "r"(pointer) : "memory");
}

KEEP long FIXTURE(walk)(node_t *p, int k, unsigned char u, const char *s, long i,
	short sh, int stacked, signed char also_stacked)
{
	int local = k * 2 + stacked;
	use(&local);
	return p->v + k + u + s[0] + i + sh + stacked + also_stacked + local;
}

KEEP int FIXTURE(by_value)(struct small small, struct big big, double x, int after)
{
	use(&big);
	return small.first + small.second + small.third + (int)big.values[1] + (int)x +
	       after;
}

/* an addressed parameter has only a stack slot, even in optimised code */
KEEP unsigned char FIXTURE(taken)(int number, const volatile unsigned short *pointer)
{
	use(&number);
	return (unsigned char)(number + *pointer);
}

KEEP int FIXTURE(counted)(int step)
{
	static int calls = 100;
	calls += step;
	counter += step;
	use(&calls);
	return counter + calls;
}

KEEP bool FIXTURE(predicate)(callback call)
{
	return call && call(1, (char *)0) != 0;
}

KEEP void FIXTURE(nothing)(void)
{
	use(&counter);
}

KEEP struct big FIXTURE(makes_big)(int seed)
{
	struct big big = {{seed, seed + 1, seed + 2, seed + 3}};
	use(&big);
	return big;
}
