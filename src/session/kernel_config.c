/* SPDX-License-Identifier: MIT */
#include "session/kernel_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* The file is read when a script asks for the first time: few do. */
static const char *config_read(struct kernel_config *config)
{
	static const char *const places[][2] = {
		{"/boot/config-", ""},
		{"/lib/modules/", "/config"},
		{"/lib/modules/", "/build/.config"},
	};
	struct utsname names;

	if (uname(&names) < 0)
		return "";
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		CLEANUP(cleanup_free) char *text = NULL;
		const char *path = arena_printf(config->arena, "%s%s%s", places[i][0],
			names.release, places[i][1]);
		if (fd_read_file(path, &text, NULL) >= 0)
			return arena_printf(config->arena, "\n%s", text);
	}
	return "";
}

const char *kernel_config_find(void *data, const char *name)
{
	struct kernel_config *config = data;
	const char *line, *value;

	if (!config->text)
		config->text = config_read(config);
	line = strstr(config->text, arena_printf(config->arena, "\n%s=", name));
	if (!line)
		return NULL;
	value = line + strlen(name) + 2;
	return arena_strndup(config->arena, value, strcspn(value, "\n"));
}
