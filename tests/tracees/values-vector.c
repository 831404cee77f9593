/* SPDX-License-Identifier: MIT */
/* Values in vector registers, in pieces, and in thread-local storage: each function is called once. */
#include <stdio.h>
#include <stdlib.h>

#define KEEP __attribute__((noinline, noclone, noipa))

struct two_doubles {
	double first, second;
};
struct mixed {
	double real;
	long whole;
};
struct four {
	int first, second : 5, third, fourth[1];
};
struct floats {
	float x, y, z;
};
typedef float wide __attribute__((vector_size(16)));

__thread int per_thread = 42;
static __thread long hidden_per_thread = 77;

KEEP double scalars(double large, float small, int count)
{
	return large * 2 + (double)small + count;
}

KEEP struct two_doubles doubles(struct two_doubles pair, double factor)
{
	pair.first *= factor;
	pair.second *= factor;
	return pair;
}

KEEP struct mixed both(struct mixed mixed)
{
	mixed.whole++;
	return mixed;
}

KEEP struct four integers(struct four four)
{
	four.fourth[0]++;
	return four;
}

KEEP struct floats three(struct floats floats)
{
	floats.z += 1;
	return floats;
}

KEEP wide lanes(wide all, float last)
{
	return all + last;
}

KEEP int locals_of_thread(int more)
{
	per_thread += more;
	hidden_per_thread += more;
	return per_thread + (int)hidden_per_thread;
}

int main(void)
{
	double sum = scalars(1.5, 2.25F, 3);
	sum += doubles((struct two_doubles){1.5, 2.5}, 2).first;
	sum += both((struct mixed){3.5, -9}).real;
	sum += integers((struct four){1, -2, 3, {-4}}).first;
	sum += (double)three((struct floats){1, 2, 3}).x;
	sum += (double)lanes((wide){1, 2, 3, 4}, 0.5F)[0];
	sum += locals_of_thread(1);
	return sum > 0 ? 0 : 1;
}
