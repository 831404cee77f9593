/* SPDX-License-Identifier: MIT */
/* What the running kernel was configured with, for CONFIG_... in conditions of scripts. */
#pragma once

#include "base/arena.h"

struct kernel_config {
	struct arena *arena;
	const char *text; /* NULL: not read yet; "": there is no such file */
};

/** kernel_config_find() - the value as it stands in the file; NULL: not set, or nothing is known */
const char *kernel_config_find(void *config, const char *name);
