/* SPDX-License-Identifier: MIT */
/* C++ names: overloads, templates, constructors, an anonymous namespace. */
#include <cstdio>
#include <cstdlib>

namespace ns
{
template <class T> struct box {
	T value;
	__attribute__((noinline)) T get(int add) const
	{
		__asm__ volatile("");
		return value + add;
	}
};
struct thing {
	int x;
	__attribute__((noinline)) explicit thing(int v) : x(v)
	{
		__asm__ volatile("");
	}
	__attribute__((noinline)) ~thing()
	{
		__asm__ volatile("");
	}
	__attribute__((noinline)) int f(int a)
	{
		__asm__ volatile("");
		return a + x;
	}
	__attribute__((noinline)) int f(const char *text) const
	{
		__asm__ volatile("");
		return text[0] + x;
	}
	__attribute__((noinline)) bool operator<(const thing &o) const
	{
		__asm__ volatile("");
		return x < o.x;
	}
};
} // namespace ns

namespace
{
__attribute__((noinline)) int hidden(int a)
{
	__asm__ volatile("");
	return a * 2;
}
} // namespace

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
	long sum = 0;
	for (int i = 0; i < rounds; i++) {
		ns::thing a(i), b(2);
		ns::box<int> small{3};
		ns::box<long> large{4};
		sum += a.f(i) + a.f("text") + a.f("more") + (a < b) + small.get(i);
		sum += large.get(i) + large.get(1) + hidden(i) + hidden(1) + hidden(2);
	}
	std::printf("sum=%ld\n", sum);
}
