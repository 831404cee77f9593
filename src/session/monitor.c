/* SPDX-License-Identifier: MIT */
/* --monitor: what a run is doing, on a terminal, again and again. */
#include "session/monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "session/output_file.h"

enum {
	TAIL_MAX = 16 * 1024, /* of the script's own output */
	ROWS_DEFAULT = 24,
	COLUMNS_DEFAULT = 80,
	ROWS_MIN = 8
};

struct monitor {
	struct timespec start;
	struct strbuf tail, screen;
	size_t rows, columns, used; /* of the screen */
};

int session_monitor_open(struct session *s, struct error *err)
{
	if (!s->options->monitor_seconds)
		return 0;
	if (!isatty(STDOUT_FILENO))
		return error_set(err, -ENOTTY,
			"--monitor needs a terminal as its standard output");
	s->monitor = calloc(1, sizeof(*s->monitor));
	if (!s->monitor)
		abort();
	clock_gettime(CLOCK_MONOTONIC, &s->monitor->start);
	strbuf_init(&s->monitor->tail);
	strbuf_init(&s->monitor->screen);
	return 0;
}

void session_monitor_close(struct session *s)
{
	if (!s->monitor)
		return;
	if (s->monitor->used)
		(void)!write(STDOUT_FILENO, "\r\n", 2);
	strbuf_deinit(&s->monitor->tail);
	strbuf_deinit(&s->monitor->screen);
	free(s->monitor);
	s->monitor = NULL;
}

bool session_monitor_takes(struct session *s, const char *text, size_t size)
{
	struct monitor *m = s->monitor;
	if (!m || s->options->output_path)
		return false;
	strbuf_append(&m->tail, text, size);
	if (m->tail.size > TAIL_MAX) {
		size_t drop = m->tail.size - TAIL_MAX / 2;
		memmove(m->tail.data, m->tail.data + drop, m->tail.size - drop + 1);
		m->tail.size -= drop;
	}
	return true;
}

/* ---- drawing ------------------------------------------------------------------------------ */

/* One row, cut to the screen's width; control characters would move the cursor. */
static void put_row(struct monitor *m, const char *text, size_t size)
{
	if (m->used >= m->rows)
		return;
	for (size_t i = 0; i < size && i < m->columns; i++)
		strbuf_putc(&m->screen, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
	strbuf_puts(&m->screen, "\033[K");
	if (++m->used < m->rows)
		strbuf_puts(&m->screen, "\r\n");
}

static void put_rows(struct monitor *m, const struct strbuf *text, size_t most)
{
	for (size_t at = 0; at < text->size && most; most--) {
		const char *line = text->data + at, *end = strchr(line, '\n');
		size_t size = end ? (size_t)(end - line) : text->size - at;
		put_row(m, line, size);
		at += size + 1;
	}
}

static void put_title(struct monitor *m, const char *title)
{
	strbuf_puts(&m->screen, "\033[7m");
	put_row(m, title, strlen(title));
	strbuf_puts(&m->screen, "\033[0m");
}

static size_t count_rows(const struct strbuf *text)
{
	size_t rows = 0;
	for (size_t i = 0; i < text->size; i++)
		rows += text->data[i] == '\n';
	return rows;
}

/* The newest rows of the output. */
static void put_tail(struct monitor *m)
{
	size_t left = m->rows - m->used, rows = count_rows(&m->tail), at = 0;
	while (rows > left && at < m->tail.size)
		rows -= m->tail.data[at++] == '\n';
	struct strbuf newest;
	strbuf_init(&newest);
	strbuf_append(&newest, m->tail.data + at, m->tail.size - at);
	put_rows(m, &newest, left);
	strbuf_deinit(&newest);
}

static void measure(struct monitor *m)
{
	struct winsize size = {0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){ROWS_DEFAULT, COLUMNS_DEFAULT, 0, 0};
	m->rows = size.ws_row < ROWS_MIN ? ROWS_MIN : size.ws_row;
	m->columns = size.ws_col;
	m->used = 0;
}

static void put_head(struct session *s)
{
	struct monitor *m = s->monitor;
	struct timespec now;
	char text[160];
	clock_gettime(CLOCK_MONOTONIC, &now);
	int size = snprintf(text, sizeof(text),
		"utrace %d, %ld s, target %u: %zu probes in %zu places, %u errors; Ctrl-C ends the run",
		getpid(), (long)(now.tv_sec - m->start.tv_sec),
		s->memory.header->target_pid, s->program->probes.count, s->sites.count,
		s->memory.header->error_count);
	put_row(m, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

void session_monitor_draw(struct session *s)
{
	struct monitor *m = s->monitor;
	struct strbuf text;
	if (!m)
		return;
	measure(m);
	strbuf_clear(&m->screen);
	strbuf_puts(&m->screen, "\033[H");
	put_head(s);
	strbuf_init(&text);
	for (size_t i = 0; i < s->program->probes.count; i++)
		session_put_timing(s, s->program->probes.items[i], &text);
	put_title(m, "probes");
	put_rows(m, &text, m->rows / 3);
	strbuf_clear(&text);
	session_put_globals(s, &text);
	put_title(m, "globals");
	put_rows(m, &text, m->rows / 3);
	strbuf_deinit(&text);
	put_title(m, "output");
	put_tail(m);
	strbuf_puts(&m->screen, "\033[J");
	(void)!write(STDOUT_FILENO, m->screen.data, m->screen.size);
}
