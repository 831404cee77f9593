/* SPDX-License-Identifier: MIT */
/* Where the output of a run goes: standard output, a file, or numbered files of limited size. */
#pragma once

#include "session/internal.h"

must_check int output_file_open(struct session *s, struct error *err);
/** output_file_write() - failures are noted in session_output; the run ends then */
void output_file_write(struct session *s, const char *text, size_t size);
/** output_file_switch() - go on in the next file; without -S in a new one of the same name, which
 * programs that rotate logs count on */
void output_file_switch(struct session *s);
void output_file_close(struct session *s);
