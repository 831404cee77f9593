/* SPDX-License-Identifier: MIT */
/* Values of many C types in parameters and globals, for scripts to read: use() is called once. */
#include <stdio.h>
#include <stdlib.h>

enum color {
	RED,
	GREEN = 5
};

struct point {
	int x, y;
};

union mixed {
	int whole;
	char bytes[4];
};

struct node {
	int number;
	char letter;
	unsigned flag : 3;
	int level : 4;
	char name[8];
	struct node *next, *none;
	struct point place;
	enum color color;
	int list[3];
	union mixed mixed;
	_Bool ready;
	const char *text;
	short narrow;
	unsigned char octet;
	struct point corners[2];
};

static struct node first = {.number = 7,
	.letter = 'k',
	.flag = 5,
	.level = -3,
	.name = "bob",
	.place = {3, 4},
	.color = GREEN,
	.list = {9, 8, 7},
	.mixed = {258},
	.ready = 1,
	.text = "a \"q\" text",
	.narrow = -2,
	.octet = 200,
	.corners = {{1, 2}, {3, 4}}};
int counts[4] = {1, 2, 3, 4};
char title[] = "the title";
struct node *current = &first;

__attribute__((noinline, noclone, noipa)) int use(struct node *node, char letter)
{
	node->number++;
	return node->number + node->place.x + letter + counts[0] + title[0];
}

/* One instruction, which is its entry and its exit. */
__attribute__((noinline, noclone, noipa)) void nothing(void)
{
}

__attribute__((noinline, noclone, noipa)) struct point make(int x)
{
	return (struct point){x, x * 2};
}

int main(int argc, char **argv)
{
	first.next = &first;
	nothing();
	int sum = use(current, 'Z') + make(4).y;
	return sum > 0 ? atoi(argc > 1 ? argv[1] : "0") : 1;
}
