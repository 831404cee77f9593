/* SPDX-License-Identifier: MIT */
/* --monitor: probes, globals and the last lines of output on a terminal while a script runs. */
#pragma once

#include "session/internal.h"

must_check int session_monitor_open(struct session *s, struct error *err);
void session_monitor_close(struct session *s);
/** session_monitor_takes() - output to be shown in the monitor instead of standard output? */
bool session_monitor_takes(struct session *s, const char *text, size_t size);
void session_monitor_draw(struct session *s);
/** session_monitor_keys() - the descriptor that keys come from; -1: none do */
int session_monitor_keys(const struct session *s);
/** session_monitor_key() - take what was typed */
void session_monitor_key(struct session *s);
