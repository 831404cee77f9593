/* SPDX-License-Identifier: MIT */
/* Variables of C++ types, for the comparison with gdb. */
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define KEEP __attribute__((noinline))

namespace store
{
enum class kind : short { none = -1, some = 3 };

struct base {
	int id = 4;
	virtual ~base() = default;
	virtual int value() const { return id; }
};

struct mixin {
	long weight = 77;
};

template <typename T, int N> struct array_of {
	T items[N];
	int used = 0;
	KEEP void add(T item)
	{
		T copy = item;
		if (used < N)
			items[used++] = copy;
	}
};

class product : public base, public mixin
{
      public:
	double price = 2.5;
	kind what = kind::some;
	int &counter;
	static int made;
	explicit product(int &c) : counter(c) { made++; }
	KEEP int value() const override
	{
		int local = id * 2;
		return local + static_cast<int>(weight) + counter;
	}
};
int product::made = 10;

KEEP int by_reference(const product &p, int &&moved, kind k)
{
	int sum = p.id + moved + static_cast<int>(k);
	return sum + p.value();
}
} // namespace store

struct small {
	int a, b, c;
};
struct owner {
	std::unique_ptr<int> pointer;
	small inner;
};

KEEP int nontrivial(owner o, small s)
{
	int sum = *o.pointer + s.a + s.c;
	return sum + o.inner.b;
}

KEEP size_t strings(const std::string &text, std::vector<int> numbers)
{
	size_t length = text.size();
	int first = numbers[0];
	for (int number : numbers)
		length += static_cast<size_t>(number);
	return length + static_cast<size_t>(first);
}

KEEP int closures(int start)
{
	int captured = start + 1;
	auto add = [captured, &start](int more) __attribute__((noinline))
	{
		int sum = captured + more + start;
		start++;
		return sum;
	};
	return add(5) + add(6);
}

KEEP int maybe(int number)
{
	try {
		if (number > 2)
			throw std::string("too big");
		return number;
	} catch (const std::string &error) {
		int size = static_cast<int>(error.size());
		return size;
	}
}

int main()
{
	int counter = 5;
	store::product product(counter);
	store::array_of<short, 4> shorts;
	shorts.add(-7);
	shorts.add(8);
	int result = store::by_reference(product, 9, store::kind::none);
	owner o{std::make_unique<int>(6), {1, 2, 3}};
	result += nontrivial(std::move(o), small{10, 20, 30});
	result += static_cast<int>(strings("some text", {1, 2, 3}));
	result += closures(3) + maybe(1) + maybe(3) + shorts.items[1];
	std::printf("%d\n", result);
	return 0;
}
