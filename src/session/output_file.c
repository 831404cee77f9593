/* SPDX-License-Identifier: MIT */
/* -o and -S: the files that output goes to, one after the other. */
#include "session/output_file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "session/monitor.h"

/* FILE with the time in place of % conversions, and ".N" when files are numbered. */
static int file_name(const struct session *s, unsigned number, char *ret, size_t size,
	struct error *err)
{
	const struct session_options *options = s->options;
	char name[PATH_MAX];
	time_t now = time(NULL);
	struct tm tm;
	if (!localtime_r(&now, &tm) ||
		strftime(name, sizeof(name), options->output_path, &tm) == 0)
		return error_set(err, -ENAMETOOLONG, "cannot make a file name of '%s'",
			options->output_path);
	int length = options->rotate_bytes ? snprintf(ret, size, "%s.%u", name, number)
					   : snprintf(ret, size, "%s", name);
	if (length < 0 || (size_t)length >= size)
		return error_set(
			err, -ENAMETOOLONG, "the name of the output file is too long");
	return 0;
}

static int open_next(struct session *s, const char *mode, struct error *err)
{
	struct session_output *o = &s->output;
	char path[PATH_MAX];
	int r = file_name(s, o->file_number, path, sizeof(path), err);
	if (r < 0)
		return r;
	FILE *file = fopen(path, mode);
	if (!file)
		return error_set(err, -errno, "cannot open output file %s: %s", path,
			strerror(errno));
	char *copy = strdup(path);
	if (!copy)
		abort();
	vec_append(&o->files, copy);
	o->file = file;
	o->file_size = 0;
	return 0;
}

int output_file_open(struct session *s, struct error *err)
{
	s->output.file = stdout;
	return s->options->output_path ? open_next(s, "we", err) : 0;
}

static void fail(struct session_output *o)
{
	o->failed = true;
	o->error = errno;
}

/* Those kept are the newest. */
static void remove_old(struct session *s)
{
	struct session_output *o = &s->output;
	unsigned keep = s->options->rotate_files;
	if (!s->options->rotate_bytes || !keep || o->files.count <= keep)
		return;
	char *oldest = o->files.items[0];
	(void)!unlink(oldest); /* somebody else may have taken it away */
	memmove(o->files.items, o->files.items + 1,
		(o->files.count - 1) * sizeof(*o->files.items));
	o->files.count--;
	free(oldest);
}

void output_file_switch(struct session *s)
{
	struct session_output *o = &s->output;
	struct error err = {0};
	FILE *before = o->file;
	if (!s->options->output_path || o->failed || !before)
		return;
	o->file_number++;
	if (open_next(s, s->options->rotate_bytes ? "we" : "ae", &err) < 0) {
		session_warn(s, "%s: the one before is used on", err.message);
		return;
	}
	if (fclose(before) != 0)
		fail(o);
	remove_old(s);
}

void output_file_write(struct session *s, const char *text, size_t size)
{
	struct session_output *o = &s->output;
	if (o->failed || !size || session_monitor_takes(s, text, size))
		return;
	uint64_t limit = s->options->output_path ? s->options->rotate_bytes : 0;
	/* between lines only */
	if (limit && o->line_ended && o->file_size + size > limit)
		output_file_switch(s);
	if (o->failed || fwrite(text, 1, size, o->file) != size) {
		fail(o);
		return;
	}
	o->file_size += size;
	o->line_ended = text[size - 1] == '\n';
}

void output_file_close(struct session *s)
{
	struct session_output *o = &s->output;
	if (s->options->output_path && fclose(o->file) != 0 && !o->failed)
		fail(o);
	o->file = NULL;
	for (size_t i = 0; i < o->files.count; i++)
		free(o->files.items[i]);
	vec_free(&o->files);
}
