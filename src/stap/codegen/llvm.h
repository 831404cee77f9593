/* SPDX-License-Identifier: MIT */
/* Which functions the names of LLVM lead to: LLVM's own once it is loaded, or others. */
#pragma once

#include <stddef.h>

#include "base/arena.h"

typedef void (*llvm_function)(void);

/** llvm_switch() - from now on calls go to what @find gives for a name; NULL: to LLVM, where it is loaded */
void llvm_switch(llvm_function (*find)(const char *name));

/** llvm_load() - before the first call; -ENOENT, -ENOSYS: it is not there */
must_check int llvm_load(struct error *err);

/* ---- record.c ------------------------------------------------------------ */

/** emit_record_begin() - calls are written down instead of made, until emit_record_end() */
void emit_record_begin(struct arena *arena);
/** emit_record_end() - what was written; free() it */
void *emit_record_end(size_t *ret_size);
