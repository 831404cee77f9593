/* SPDX-License-Identifier: MIT */
/*
 * Tables for handlers that walk stacks (abi/unwind.h): made once for each file, and a list of each
 * process's code.  Any thread.
 */
#pragma once

#include "session/internal.h"

struct session_unwind;

/** session_unwind_create() - NULL when the script looks at no stack; session memory must exist */
struct session_unwind *session_unwind_create(struct session *s);
void session_unwind_destroy(struct session_unwind *u);

/** session_unwind_follow() - what a process has mapped is what its handlers know from here on */
void session_unwind_follow(struct session *s, pid_t pid);
/** session_unwind_seek() - a handler did not find its way: look again, if that has not just been done */
void session_unwind_seek(struct session *s, pid_t pid);
/** session_unwind_forget() - it is gone, or runs another program */
void session_unwind_forget(struct session *s, pid_t pid);
