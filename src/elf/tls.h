/* SPDX-License-Identifier: MIT */
/* Where the thread-local variables of a module are, for the thread that runs into the probe. */
#pragma once

#include "elf/internal.h"
#include "elf/place.h"

/**
 * elf_tls_base() - emit the address of the thread's copy of the module's PT_TLS segment
 * Return: 0; -ENOTSUP: nothing in the file tells; *ret_why says what is missing
 */
must_check int elf_tls_base(
	struct elf_module *module, struct elf_op_list *ops, const char **ret_why);
