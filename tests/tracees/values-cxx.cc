/* SPDX-License-Identifier: MIT */
/* Values of C++ types and variables in scopes, for scripts to read: method() is called once. */
#include <cstdlib>

namespace shop
{
struct base {
	int number;
	virtual ~base() {}
};
struct other {
	long count;
};
enum class kind : short { small = 3, big };
template <typename T> struct box {
	T value;
	box *self;
};

class item : public base, public other
{
      public:
	int price;
	const int &link;
	shop::kind kind;
	box<int> inner;
	bool ready;
	static int made;
	explicit item(int &to) : price(33), link(to), kind(shop::kind::big), ready(true)
	{
		number = 11;
		count = 22;
		inner.value = 9;
		inner.self = &inner;
	}
	__attribute__((noinline, noclone, noipa)) int method(int more, const int &from)
	{
		return price + more + from + made;
	}
};
int item::made = 77;
int level = 55;
namespace cellar
{
int level = 66;
}
} // namespace shop
int level = 68;

int main(int argc, char **argv)
{
	int target = 44;
	shop::item thing(target);
	int sum = thing.method(5, target) + level + shop::level + shop::cellar::level;
	return sum > 0 ? std::atoi(argc > 1 ? argv[1] : "0") : 1;
}
