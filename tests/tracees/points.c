/* SPDX-License-Identifier: MIT */
/*
 * Every kind of probe point in one program, with its own count of what happened.  The tests name
 * lines by the marks in comments, so lines may move.
 */
#include <stdio.h>
#include <stdlib.h>

static int inlined, labels, leaves;
int shared_counter;

static inline __attribute__((always_inline)) int scale(int value, int factor)
{
	int product = value * factor; /* LINE product */
	inlined++;
	return product + 1;
}

__attribute__((noinline)) static int leaf(int depth)
{
	leaves++;
	__asm__ volatile("" : "+r"(depth));
	return depth + 1;
}

__attribute__((noinline)) static int branch(int n, const char *text)
{ /* LINE branch-open */
	int result = scale(n, 3);
	if (n % 2) {
		int odd = result + text[0];
		result += scale(odd, 2); /* LINE odd */
		goto done;
	}
	result -= leaf(n); /* LINE even */
done:
	__asm__ volatile("done_%=:" : "+r"(result)); /* one copy of the label only */
	labels++;                                    /* LINE done */
	shared_counter += n;
	return result;
}

__attribute__((noinline)) static int other(int n)
{
	__asm__ volatile("" : "+r"(n));
	int result = leaf(n);
	__asm__ volatile("" : "+r"(result));
	return result;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	long sum = 0;
	for (int i = 0; i < rounds; i++)
		sum += branch(i, argv[0]); /* LINE loop */
	for (int i = 0; i < rounds; i++)
		sum += other(i);
	printf("rounds=%d inlined=%d labels=%d leaves=%d shared=%d\n", rounds, inlined,
		labels, leaves, shared_counter);
	return sum == 12345;
}
