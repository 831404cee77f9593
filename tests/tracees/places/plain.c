/* SPDX-License-Identifier: MIT */
/* Variables of all kinds in C, for the comparison with gdb: main() calls everything, always alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP __attribute__((noinline))

enum shade {
	DARK = -3,
	BRIGHT = 70000
};

typedef struct vector {
	double x, y;
} vector_t;

struct pair {
	int left, right;
};

struct bits {
	unsigned low : 3;
	int middle : 7;
	unsigned long high : 50;
	_Bool flag : 1;
};

struct item {
	const char *name;
	int number;
	short half;
	signed char tiny;
	unsigned char octet;
	_Bool ready;
	float weight;
	double price;
	enum shade shade;
	struct bits bits;
	union {
		int whole;
		unsigned char bytes[4];
	};
	struct {
		struct pair inner;
		struct pair *outer;
	} nested;
	int grid[2][3];
	struct item *next;
	long tail[];
};

static struct item items[3];
static int calls;
long total = -5;
static __thread int of_thread = 9;

KEEP int sum_pair(struct pair pair)
{
	int sum = pair.left + pair.right;
	calls++;
	return sum * calls;
}

KEEP vector_t scale(vector_t v, double by)
{
	vector_t result = {v.x * by, v.y * by};
	of_thread += (int)result.x;
	return result;
}

static inline int inlined_helper(int number, const struct item *item)
{
	int half = number / 2;
	struct pair made = {half, item->number};
	for (int i = 0; i < 3; i++)
		half += item->grid[i & 1][i] * made.left;
	return half + made.right;
}

KEEP long many(int a, unsigned b, long c, short d, signed char e, unsigned char f, long g,
	float h, double i, const char *text)
{
	long sum = a + b + c + d + e + f + g;
	size_t length = strlen(text);
	if (h > 1) {
		double local = i * h;
		sum += (long)local;
		total += sum;
	}
	return sum + (long)length;
}

KEEP int walk(struct item *list, int limit)
{
	int found = 0;
	for (struct item *item = list; item && found < limit; item = item->next) {
		int number = item->number;
		struct bits bits = item->bits;
		found += number > 0;
		total += number * bits.low + bits.middle;
		found += inlined_helper(number, item) & 1;
	}
	return found;
}

static int partial(int number, int unused, struct item *item)
{
	if (number < 0)
		return -1;
	int copy = number * 3;
	puts(item->name);
	(void)unused;
	return copy + item->number + (int)strlen(item->name);
}

KEEP int recursive(int depth, struct pair pair)
{
	char buffer[16] = "";
	snprintf(buffer, sizeof(buffer), "%d", depth);
	if (depth <= 0)
		return pair.left + buffer[0];
	struct pair next = {pair.right, 0};
	next.right = pair.left + depth;
	return recursive(depth - 1, next) + buffer[0];
}

KEEP int swap_values(int *left, int *right)
{
	int old = *left;
	*left = *right;
	*right = old;
	return old - *left;
}

KEEP struct item *prepare(int count)
{
	static const char *const names[] = {"first", "second", "third"};
	for (int i = 0; i < count; i++) {
		struct item *item = &items[i];
		item->name = names[i];
		item->number = i * 11 - 5;
		item->half = (short)(i - 300);
		item->tiny = (signed char)(-i - 1);
		item->octet = (unsigned char)(250 + i);
		item->ready = i & 1;
		item->weight = (float)i + 0.5F;
		item->price = i * 1.25;
		item->shade = i == 1 ? BRIGHT : DARK;
		item->bits =
			(struct bits){(unsigned)i, -i, 1ul << 40 | (unsigned)i, i == 2};
		item->whole = 0x01020300 + i;
		item->nested.inner = (struct pair){i, -i};
		item->nested.outer = &item->nested.inner;
		for (int row = 0; row < 6; row++)
			item->grid[row / 3][row % 3] = row + i;
		item->next = i + 1 < count ? item + 1 : NULL;
	}
	return items;
}

int main(void)
{
	struct item *list = prepare(3);
	int result = sum_pair((struct pair){3, -4});
	int one = 1, two = 2;
	vector_t v = scale((vector_t){1.5, -2}, 3);
	result += (int)many(-1, 2, -3, 4, -5, 6, 7, 1.5F, 2.5, "text") + (int)v.y;
	result += walk(list, 10) + partial(7, 1, list) + partial(result, 2, list + 1);
	result += recursive(3, (struct pair){1, 2}) + swap_values(&one, &two);
	printf("%d %ld %d\n", result, total, of_thread);
	return 0;
}
