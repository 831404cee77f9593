/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes a library again and again, in every way there is.
 * usage: loader PLUGIN ROUNDS [OTHER]; prints how often plugin_work() was called
 * OTHER is opened in turn with PLUGIN, mostly at the same address, by a second thread.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const char *path, *other_path;
static int rounds;

/* Ten calls by the constructor, one here, one by the destructor. */
static int visit(void *library)
{
	long (*work)(long) = NULL;
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	*(void **)&work = dlsym(library, "plugin_work");
	if (!work || work(5) != 50)
		exit(3);
	if (dlclose(library) != 0)
		exit(4);
	return 12;
}

static void *second_thread(void *data)
{
	long calls = 0;
	for (int i = 0; i < rounds; i++)
		calls += visit(dlmopen(LM_ID_NEWLM, path, RTLD_NOW));
	*(long *)data = calls;
	return NULL;
}

static void *take_turns(void *data)
{
	for (int i = 0; i < rounds; i++)
		*(long *)data += visit(dlopen(i % 3 == 2 ? other_path : path, RTLD_NOW));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	long calls = 0, others = 0;
	if (argc < 3)
		return 2;
	path = argv[1];
	rounds = atoi(argv[2]);
	if (argc > 3) {
		other_path = argv[3];
		pthread_create(&thread, NULL, take_turns, &calls);
		pthread_join(thread, NULL);
	}
	for (int i = 0; i < rounds; i++)
		calls += visit(dlopen(path, i % 2 ? RTLD_NOW : RTLD_LAZY));
	/* namespaces are few: not too many rounds */
	rounds = rounds > 8 ? 8 : rounds;
	pthread_create(&thread, NULL, second_thread, &others);
	pthread_join(thread, NULL);
	printf("calls=%ld\n", calls + others);
	return 0;
}
