/* SPDX-License-Identifier: MIT */
/* The flight recorder: a run that outlives the command that started it. */
#pragma once

#include "session/internal.h"

/**
 * session_background_start() - from here on in a child
 * Return: 0 in the child; 1 in the parent, where *@ret_status is what to exit with; negative errno
 */
must_check int session_background_start(
	struct session *s, int *ret_status, struct error *err);
/** session_background_ready() - the probes are in: let the parent go, and the terminal */
void session_background_ready(struct session *s);
