/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over its corpus where there is no libFuzzer: every file is one check. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *f = fopen(path, "rb");
	if (!f)
		return -1;
	size_t size = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	LLVMFuzzerTestOneInput(bytes, size);
	return 0;
}

int main(int argc, char **argv)
{
	int count = 0, failed = 0;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	if (!dir)
		return 1;
	for (struct dirent *e; (e = readdir(dir));) {
		char path[4096];
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		int r = replay(path);
		failed += r < 0;
		printf("%sok %d - %s\n", r < 0 ? "not " : "", ++count, e->d_name);
	}
	closedir(dir);
	printf("1..%d\n", count);
	return failed || !count;
}
