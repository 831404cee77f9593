/* SPDX-License-Identifier: MIT */
/* Uses library.c; each function is called once. */
struct item {
	int number;
	struct item *next;
};
struct item first = {5, &first};
__thread int count = 99;
int library_work(int more);

__attribute__((noinline)) int work(struct item *item)
{
	count++;
	return item->number;
}

int main(void)
{
	return work(&first) + library_work(4) ? 0 : 1;
}
