/* SPDX-License-Identifier: MIT */
/* Code that the variable tests stop in, compiled several ways: FIXTURE(f) is f_o0, f_o2, ... */
#pragma once

#include <stdbool.h>

enum color {
	RED,
	GREEN = 7,
	BLUE = -2
};

struct inner {
	short s;
	union {
		int a;
		unsigned char bytes[4];
	};
};

typedef struct node {
	int v;
	unsigned bf : 3;
	int sbf : 5;
	unsigned long wide : 40;
	char name[8];
	struct node *next;
	struct inner in[3];
	enum color c;
	bool flag;
	signed char sc;
	int matrix[2][3];
	double d;
} node_t;

struct small {
	int first;
	short second;
	char third;
};

struct big {
	long values[4];
};

typedef int (*callback)(int, char *);

#define FIXTURE_FUNCTIONS(S)                                                         \
	long walk_##S(node_t *p, int k, unsigned char u, const char *s, long i,      \
		short sh, int stacked, signed char also_stacked);                    \
	int by_value_##S(struct small small, struct big big, double x, int after);   \
	unsigned char taken_##S(int number, const volatile unsigned short *pointer); \
	int counted_##S(int step);                                                   \
	bool predicate_##S(callback call);                                           \
	void nothing_##S(void);                                                      \
	struct big makes_big_##S(int seed);                                          \
	extern long shared_##S;

FIXTURE_FUNCTIONS(o0)
FIXTURE_FUNCTIONS(o2)
FIXTURE_FUNCTIONS(dwarf4)
