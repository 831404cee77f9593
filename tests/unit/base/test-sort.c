/* SPDX-License-Identifier: MIT */
/* Sorting against qsort(), and that equal keys stay in order. */
#include "base/sort.h"
#include "tap.h"

struct item {
	uint32_t place;
	uint64_t key;
	char text[5];
};

static int compare_words(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static bool same_as_qsort(size_t count, uint64_t mask, uint64_t base)
{
	uint64_t *items = calloc(count + 1, sizeof(*items)),
		 *want = calloc(count + 1, sizeof(*want));
	for (size_t i = 0; i < count; i++)
		items[i] = want[i] = base + (next_random() & mask);
	sort_words(items, count);
	qsort(want, count, sizeof(*want), compare_words);
	bool same = memcmp(items, want, count * sizeof(*items)) == 0;
	free(items);
	free(want);
	return same;
}

static bool is_stable(size_t count, uint64_t mask)
{
	struct item *items = calloc(count + 1, sizeof(*items));
	bool good = true;
	for (size_t i = 0; i < count; i++) {
		items[i].place = (uint32_t)i;
		items[i].key = next_random() & mask;
		snprintf(items[i].text, sizeof(items[i].text), "%03zu", i % 1000);
	}
	sort_by_word(items, count, sizeof(*items), offsetof(struct item, key));
	for (size_t i = 0; i < count; i++) {
		good &= (uint32_t)atoi(items[i].text) == items[i].place % 1000;
		good &= !i || items[i - 1].key < items[i].key ||
			(items[i - 1].key == items[i].key &&
				items[i - 1].place < items[i].place);
	}
	free(items);
	return good;
}

int main(void)
{
	static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1000, 50000};
	static const uint64_t masks[] = {0, 1, 0x7ff, 0x800, 0xffffffff, UINT64_MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (size_t k = 0; k < sizeof(masks) / sizeof(masks[0]); k++) {
			tap_ok(same_as_qsort(counts[i], masks[k], 0) &&
					same_as_qsort(counts[i], masks[k], 1ull << 40),
				"%zu words of %#llx", counts[i],
				(unsigned long long)masks[k]);
			tap_ok(is_stable(counts[i], masks[k]), "... and items");
		}
	}
	return tap_done();
}
