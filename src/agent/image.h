/* SPDX-License-Identifier: MIT */
/* The agent image, linked and embedded in the tracer: an ELF shared object, see image.ld.
 */
#pragma once

#include <stddef.h>

extern const unsigned char utrace_agent_image[];
extern const size_t utrace_agent_image_size;
