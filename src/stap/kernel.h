/* SPDX-License-Identifier: MIT */
/* Names of SystemTap's library that mean the kernel: nothing here can have them. */
#pragma once

#include <stdbool.h>

/** the first component of a probe point, such as vfs */
bool stap_is_kernel_family(const char *name);
bool stap_is_kernel_function(const char *name);
