/* SPDX-License-Identifier: MIT */
/* --monitor: what a run is doing, on a terminal, again and again. */
#include "session/monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "session/control_files.h"
#include "session/output_file.h"

enum {
	TAIL_MAX = 16 * 1024, /* of the script's own output */
	ROWS_DEFAULT = 24,
	COLUMNS_DEFAULT = 80,
	ROWS_MIN = 8
};

/* What the probes are sorted by: 's' goes to the next. */
enum monitor_order {
	ORDER_INDEX,
	ORDER_HITS,
	ORDER_AVERAGE,
	ORDER_MAXIMUM,
	ORDER_COUNT
};
static const char *const order_names[ORDER_COUNT] = {
	"as in the script", "by hits", "by average cycles", "by maximum cycles"};

struct monitor {
	enum monitor_order order;
	bool is_paused; /* the picture, not the script */
	bool has_keys;
	struct termios terminal; /* as it was */
	struct timespec start;
	struct strbuf tail, screen;
	size_t rows, columns, used; /* of the screen */
};

/* Keys are for the monitor unless the script reads standard input, or nobody types there. */
static void open_keys(struct session *s)
{
	struct monitor *m = s->monitor;
	if (session_control_reads_stdin(s) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
		tcgetattr(STDIN_FILENO, &m->terminal) < 0)
		return;
	struct termios raw = m->terminal;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	m->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

int session_monitor_keys(const struct session *s)
{
	return s->monitor && s->monitor->has_keys ? STDIN_FILENO : -1;
}

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
	open_keys(s);
	return 0;
}

void session_monitor_close(struct session *s)
{
	if (!s->monitor)
		return;
	if (s->monitor->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->monitor->terminal);
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
		"utrace %d, %ld s, target %u: %zu probes in %zu places, %u errors%s; q quits, s sorts, p holds",
		getpid(), (long)(now.tv_sec - m->start.tv_sec),
		s->memory.header->target_pid, s->program->probes.count, s->sites.count,
		s->memory.header->error_count, m->is_paused ? " (held)" : "");
	put_row(m, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

static uint64_t order_value(const struct session *s, enum monitor_order order,
	const struct stap_derived_probe *probe)
{
	struct session_timing t;
	session_probe_timing(s, probe, &t);
	return order == ORDER_HITS      ? t.hits
	       : order == ORDER_MAXIMUM ? t.cycles_max
	       : t.hits                 ? t.cycles / t.hits
					: 0;
}

static void put_probes(struct session *s, struct strbuf *out)
{
	struct monitor *m = s->monitor;
	VEC(struct {
		const struct stap_derived_probe *probe;
		uint64_t value;
	})
	list = {0};
	for (size_t i = 0; i < s->program->probes.count; i++) {
		const struct stap_derived_probe *probe = s->program->probes.items[i];
		uint64_t value =
			m->order == ORDER_INDEX ? 0 : order_value(s, m->order, probe);
		size_t at = list.count;
		vec_push(&list);
		for (; at > 0 && list.items[at - 1].value < value; at--)
			list.items[at] = list.items[at - 1];
		list.items[at].probe = probe;
		list.items[at].value = value;
	}
	for (size_t i = 0; i < list.count; i++)
		session_put_timing(s, list.items[i].probe, out);
	vec_free(&list);
}

static void draw(struct session *s)
{
	struct monitor *m = s->monitor;
	struct strbuf text;
	char title[64];
	measure(m);
	strbuf_clear(&m->screen);
	strbuf_puts(&m->screen, "\033[H");
	put_head(s);
	strbuf_init(&text);
	put_probes(s, &text);
	snprintf(title, sizeof(title), "probes %s", order_names[m->order]);
	put_title(m, title);
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

void session_monitor_draw(struct session *s)
{
	if (s->monitor && !s->monitor->is_paused)
		draw(s);
}

void session_monitor_key(struct session *s)
{
	struct monitor *m = s->monitor;
	char keys[16];
	ssize_t count = read(STDIN_FILENO, keys, sizeof(keys));
	for (ssize_t i = 0; i < count; i++) {
		if (keys[i] == 'q')
			s->stopping = true;
		else if (keys[i] == 's')
			m->order = (m->order + 1) % ORDER_COUNT;
		else if (keys[i] == 'p' || keys[i] == ' ')
			m->is_paused = !m->is_paused;
		draw(s); /* what several keys at once lead to is seen, too */
	}
}
