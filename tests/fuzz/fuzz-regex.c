/* SPDX-License-Identifier: MIT */
/* A pattern, a newline, a text: the pattern is refused in words, or runs within the memory it asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stap/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	arena_init(&arena);
	char *pattern = arena_strndup(&arena, (const char *)data, size);
	char *text = strchr(pattern, '\n');

	if (text)
		*text++ = '\0';
	for (int groups = 0; groups < 2; groups++) {
		struct stap_regex_result result =
			stap_regex_compile(&arena, pattern, groups);
		if (!result.regex && !result.message)
			abort();
		if (result.regex && rt_regex_memory(result.regex->count,
					    result.regex->slots) > RT_REGEX_MAX_MEMORY)
			abort();
	}
	int found = stap_regex_try(&arena, pattern, text ? text : "");
	if (found > 1)
		abort();
	arena_deinit(&arena);
	return 0;
}
