// SPDX-License-Identifier: MIT
// usage: work-sanitized ROUNDS: memory, threads, signals and jumps, for a program with a sanitizer in it; ends with 7
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long shared;

struct node {
	struct node *left, *right;
	unsigned key;
	char text[24];
};

static struct node *insert(struct node *tree, unsigned key)
{
	if (!tree) {
		tree = calloc(1, sizeof(*tree));
		tree->key = key;
		snprintf(tree->text, sizeof(tree->text), "%08x", key);
		return tree;
	}
	if (key < tree->key)
		tree->left = insert(tree->left, key);
	else
		tree->right = insert(tree->right, key);
	return tree;
}

static unsigned long sum(const struct node *tree)
{
	return tree ? strtoul(tree->text, NULL, 16) + sum(tree->left) + sum(tree->right) : 0;
}

static void release(struct node *tree)
{
	if (!tree)
		return;
	release(tree->left);
	release(tree->right);
	free(tree);
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 8;
}

static void add(long n)
{
	pthread_mutex_lock(&lock);
	shared += n;
	pthread_mutex_unlock(&lock);
}

static void *work(void *argument)
{
	unsigned seed = (unsigned)(long)argument;
	struct node *tree = NULL;
	for (int i = 0; i < 2000; i++)
		tree = insert(tree, next(&seed));
	add((long)(sum(tree) & 0xffff));
	release(tree);
	for (int i = 0; i < 200; i++)
		add(i);
	return NULL;
}

static __thread sigjmp_buf back;
static void jump_out(int signal) { siglongjmp(back, signal); }

static int deep(int n)
{
	char room[64];
	memset(room, n, sizeof(room));
	if (n == 0)
		raise(SIGUSR1);
	return deep(n - 1) + room[n & 63];
}

static int compare(const void *a, const void *b)
{
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void round_of_work(void)
{
	pthread_t threads[4];
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 50; i++)
		if (sigsetjmp(back, 1) == 0)
			deep(i % 20);
	int numbers[1000];
	unsigned seed = 4;
	for (int i = 0; i < 1000; i++)
		numbers[i] = (int)next(&seed);
	qsort(numbers, 1000, sizeof(int), compare);
	add(numbers[500]);
}

int main(int argc, char **argv)
{
	signal(SIGUSR1, jump_out);
	for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++)
		round_of_work();
	printf("%ld\n", shared);
	return 7;
}
