// SPDX-License-Identifier: MIT
// C++ exceptions through frames that are probed at entry and at return.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

extern "C" __attribute__((noinline)) int thrower(int n)
{
	if (n % 3 == 0)
		throw std::runtime_error("three");
	return n;
}

extern "C" __attribute__((noinline)) int middle(int n)
{
	int r = thrower(n);
	return r + 1;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000, caught = 0, sum = 0;
	for (int i = 0; i < rounds; i++) {
		try {
			sum += middle(i);
		} catch (const std::runtime_error &) {
			caught++;
		}
	}
	std::printf("caught=%d sum=%d\n", caught, sum);
}
