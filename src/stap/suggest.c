/* SPDX-License-Identifier: MIT */
/* "similar:" hints: names by edit distance. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "stap/sema.h"

enum {
	SUGGEST_LIMIT = 5,
	SUGGEST_NAME_LIMIT = 127
};

void sema_names_add(struct sema_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (!strcmp(names->items[i], name))
			return;
	}
	names->items = sema_grow(names->arena, names->items, names->count,
		&names->capacity, sizeof(*names->items));
	names->items[names->count++] = name;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

enum {
	CHANGE = 2,
	CHANGE_OF_CASE = 1,
	ADDITION = 2, /* or loss; but 1 in front of all that the other name has */
};

/* SystemTap's measure, one row at a time. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[SUGGEST_NAME_LIMIT + 1];
	size_t size_a = strlen(a), size_b = strlen(b);

	if (size_a > SUGGEST_NAME_LIMIT || size_b > SUGGEST_NAME_LIMIT)
		return UINT32_MAX;
	for (unsigned j = 0; j <= size_b; j++)
		row[j] = j;
	for (unsigned i = 1; i <= size_a; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= size_b; j++) {
			unsigned above = row[j];
			char x = a[i - 1], y = b[j - 1];
			unsigned change =
				tolower((unsigned char)x) == tolower((unsigned char)y)
					? CHANGE_OF_CASE
					: CHANGE;

			row[j] = x == y ? diagonal
					: min3(above + ADDITION, row[j - 1] + ADDITION,
						  diagonal + change);
			diagonal = above;
		}
	}
	return row[size_b];
}

struct ranked {
	const char *name;
	unsigned distance;
};

static int ranked_compare(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;

	if (left->distance != right->distance)
		return left->distance < right->distance ? -1 : 1;
	return strcmp(left->name, right->name);
}

const char *sema_similar(struct sema_names *names, const char *name)
{
	struct ranked *ranked =
		arena_array(names->arena, struct ranked, names->count + 1);
	size_t count = 0;
	struct strbuf out;
	const char *text;

	for (size_t i = 0; i < names->count; i++) {
		unsigned far = distance(name, names->items[i]);

		if (far != UINT32_MAX)
			ranked[count++] = (struct ranked){names->items[i], far};
	}
	if (!count)
		return "";
	qsort(ranked, count, sizeof(*ranked), ranked_compare);
	strbuf_init(&out);
	for (size_t i = 0; i < count && i < SUGGEST_LIMIT; i++)
		strbuf_printf(&out, "%s%s", i ? ", " : " (similar: ", ranked[i].name);
	strbuf_putc(&out, ')');
	text = arena_strdup(names->arena, out.data);
	strbuf_deinit(&out);
	return text;
}
