/* SPDX-License-Identifier: MIT */
/* --monitor: what a run is doing, on a terminal, again and again. */
#include "session/monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "session/control_files.h"
#include "session/output_file.h"

enum {
	TAIL_MAX = 64 * 1024, /* of the script's own output */
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
	ORDER_MINIMUM,
	ORDER_NAME,
	ORDER_COUNT
};
static const char *const order_names[ORDER_COUNT] = {"as in the script", "by hits",
	"by average cycles", "by maximum cycles", "by minimum cycles", "by name"};

/* What keys are taken for. */
enum monitor_mode {
	MODE_COMMANDS,
	MODE_TOGGLE, /* digits: the probe to switch off or on */
	MODE_HELP    /* any key ends it */
};

struct monitor_row {
	const struct stap_derived_probe *probe;
	struct session_timing timing;
};

struct monitor {
	enum monitor_order order;
	enum monitor_mode mode;
	char typed[8];                 /* of a probe's index */
	size_t probes_down, output_up; /* rows that were scrolled */
	bool is_paused;                /* the picture, not the script */
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

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The newest rows of the output, or those above that were scrolled to. */
static void put_tail(struct monitor *m)
{
	size_t left = m->rows - m->used, rows = count_rows(&m->tail), at = 0;
	m->output_up = least(m->output_up, rows > left ? rows - left : 0);
	for (size_t skip = rows > left ? rows - left - m->output_up : 0;
		skip && at < m->tail.size;)
		skip -= m->tail.data[at++] == '\n';
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
		"utrace %d, %ld s, target %u: %u errors%s; q quits, h helps", getpid(),
		(long)(now.tv_sec - m->start.tv_sec), s->memory.header->target_pid,
		s->memory.header->error_count, m->is_paused ? " (held)" : "");
	put_row(m, text, least((size_t)size, sizeof(text) - 1));
}

/* ---- the probes --------------------------------------------------------------------------- */

static uint64_t average(const struct session_timing *t)
{
	return t->hits ? t->cycles / t->hits : 0;
}

static uint64_t minimum(const struct session_timing *t)
{
	return t->hits ? t->cycles_min : 0;
}

static bool comes_first(enum monitor_order order, const struct monitor_row *a,
	const struct monitor_row *b)
{
	switch (order) {
	case ORDER_HITS:
		return a->timing.hits > b->timing.hits;
	case ORDER_AVERAGE:
		return average(&a->timing) > average(&b->timing);
	case ORDER_MAXIMUM:
		return a->timing.cycles_max > b->timing.cycles_max;
	case ORDER_MINIMUM:
		return minimum(&a->timing) > minimum(&b->timing);
	case ORDER_NAME:
		return strcmp(session_probe_name(a->probe),
			       session_probe_name(b->probe)) < 0;
	case ORDER_INDEX:
	case ORDER_COUNT:
		break;
	}
	return false;
}

/* The sites of a probe, one after the other; *at is 0 at first.  NULL: no more. */
static struct abi_site *next_site(
	const struct session *s, const struct stap_derived_probe *probe, size_t *at)
{
	struct abi_site *sites = session_abi_sites(s);
	while (*at < s->sites.count) {
		size_t i = (*at)++;
		if (s->sites.items[i].handler->probe == probe)
			return &sites[i];
	}
	return NULL;
}

static bool is_off(const struct session *s, const struct stap_derived_probe *probe)
{
	size_t at = 0;
	const struct abi_site *site = next_site(s, probe, &at);
	return site && site->flags & ABI_SITE_OFF;
}

/* Also the hidden part at the entry that a return's @entry() has. */
static void toggle(struct session *s, const struct stap_derived_probe *probe)
{
	size_t at = 0;
	bool off = !is_off(s, probe);
	for (struct abi_site *site; (site = next_site(s, probe, &at));) {
		if (off)
			__atomic_fetch_or(&site->flags, ABI_SITE_OFF, __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(
				&site->flags, ~(uint32_t)ABI_SITE_OFF, __ATOMIC_RELAXED);
	}
}

static void toggle_typed(struct session *s)
{
	struct monitor *m = s->monitor;
	char *end;
	unsigned long index = strtoul(m->typed, &end, 10);
	for (size_t i = 0; i < s->program->probes.count && end != m->typed; i++) {
		const struct stap_derived_probe *probe = s->program->probes.items[i];
		if (probe->index == index && !session_control_is_reset(probe))
			toggle(s, probe);
	}
}

/* Of a name that is too long the end tells more. */
static void put_probe(
	const struct session *s, const struct monitor_row *row, struct strbuf *out)
{
	enum {
		NUMBERS = 54 /* columns before the name */
	};
	const struct session_timing *t = &row->timing;
	const char *name = session_probe_name(row->probe), *cut = "";
	size_t size = strlen(name), columns = s->monitor->columns;
	size_t room = columns > NUMBERS + 20 ? columns - NUMBERS : 20;
	if (size > room) {
		cut = "...";
		name += size - room + 3;
	}
	strbuf_printf(out,
		"%5u %-5s %10" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  %s%s\n",
		row->probe->index, is_off(s, row->probe) ? "off" : "on", t->hits,
		minimum(t), average(t), t->cycles_max, cut, name);
}

static void put_probes(struct session *s, struct strbuf *out, size_t most)
{
	struct monitor *m = s->monitor;
	VEC(struct monitor_row) list = {0};
	for (size_t i = 0; i < s->program->probes.count; i++) {
		struct monitor_row row = {.probe = s->program->probes.items[i]};
		if (session_control_is_reset(row.probe))
			continue;
		session_probe_timing(s, row.probe, &row.timing);
		size_t at = list.count;
		vec_push(&list);
		for (; at > 0 && comes_first(m->order, &row, &list.items[at - 1]); at--)
			list.items[at] = list.items[at - 1];
		list.items[at] = row;
	}
	m->probes_down = least(m->probes_down, list.count > most ? list.count - most : 0);
	for (size_t i = m->probes_down; i < list.count; i++)
		put_probe(s, &list.items[i], out);
	vec_free(&list);
}

/* ---- the picture -------------------------------------------------------------------------- */

static void put_section(struct monitor *m, const char *title, struct strbuf *text)
{
	put_title(m, title);
	put_rows(m, text, m->rows / 3);
	strbuf_clear(text);
}

static void put_help(struct monitor *m)
{
	static const char *const lines[] = {"q  end the run",
		"s  sort the probes by another column",
		"t  switch a probe off, or on again: its index, then Enter",
		"r  reset the script's globals to their first values",
		"p  hold the picture, not the script; also the space bar",
		"j, k, down, up  scroll the probes",
		"d, u, page down, page up  scroll the output",
		"h  this page; any key leaves it"};
	put_title(m, "keys");
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		put_row(m, lines[i], strlen(lines[i]));
}

static void put_state(struct session *s)
{
	struct monitor *m = s->monitor;
	struct strbuf text;
	char title[96];
	strbuf_init(&text);
	put_probes(s, &text, m->rows / 3);
	snprintf(title, sizeof(title),
		"index state       hits       min       avg       max  probes %s",
		order_names[m->order]);
	put_section(m, title, &text);
	session_put_globals(s, &text);
	put_section(m, "globals", &text);
	strbuf_deinit(&text);
	put_title(m, "output");
	put_tail(m);
}

static void draw(struct session *s)
{
	struct monitor *m = s->monitor;
	char prompt[64];
	measure(m);
	strbuf_clear(&m->screen);
	strbuf_puts(&m->screen, "\033[H");
	put_head(s);
	if (m->mode == MODE_TOGGLE) {
		snprintf(prompt, sizeof(prompt),
			"index of the probe to switch off or on: %s", m->typed);
		put_row(m, prompt, strlen(prompt));
	}
	if (m->mode == MODE_HELP)
		put_help(m);
	else
		put_state(s);
	strbuf_puts(&m->screen, "\033[J");
	(void)!write(STDOUT_FILENO, m->screen.data, m->screen.size);
}

void session_monitor_draw(struct session *s)
{
	if (s->monitor && !s->monitor->is_paused)
		draw(s);
}

/* ---- keys --------------------------------------------------------------------------------- */

/* The letter that does the same as a key which sends several characters; how many those are in *size. */
static char letter_of(const char *keys, size_t count, size_t *size)
{
	static const struct {
		const char *keys;
		char letter;
	} known[] = {{"\033[A", 'k'}, {"\033[B", 'j'}, {"\033OA", 'k'}, {"\033OB", 'j'},
		{"\033[5~", 'u'}, {"\033[6~", 'd'}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		*size = strlen(known[i].keys);
		if (*size <= count && memcmp(keys, known[i].keys, *size) == 0)
			return known[i].letter;
	}
	*size = 1;
	return keys[0];
}

static void take_digit(struct session *s, char key)
{
	struct monitor *m = s->monitor;
	size_t used = strlen(m->typed);
	if (key >= '0' && key <= '9' && used + 1 < sizeof(m->typed)) {
		m->typed[used] = key;
		m->typed[used + 1] = '\0';
		return;
	}
	if (key == '\b' || key == '\177') {
		m->typed[used ? used - 1 : 0] = '\0';
		return;
	}
	if (key == '\n' || key == '\r')
		toggle_typed(s);
	m->mode = MODE_COMMANDS;
}

static void take_command(struct session *s, char key)
{
	struct monitor *m = s->monitor;
	size_t page = m->rows / 3;
	switch (key) {
	case 'q':
		s->stopping = true;
		break;
	case 's':
		m->order = (m->order + 1) % ORDER_COUNT;
		break;
	case 't':
		m->mode = MODE_TOGGLE;
		m->typed[0] = '\0';
		break;
	case 'r':
		session_control_reset(s);
		break;
	case 'h':
		m->mode = MODE_HELP;
		break;
	case 'p':
	case ' ':
		m->is_paused = !m->is_paused;
		break;
	case 'j':
		m->probes_down++;
		break;
	case 'k':
		m->probes_down -= m->probes_down > 0;
		break;
	case 'u':
		m->output_up += page;
		break;
	case 'd':
		m->output_up -= least(m->output_up, page);
		break;
	default:
		break;
	}
}

void session_monitor_key(struct session *s)
{
	struct monitor *m = s->monitor;
	char keys[16];
	ssize_t count = read(STDIN_FILENO, keys, sizeof(keys));
	for (ssize_t i = 0; i < count;) {
		size_t size;
		char key = letter_of(keys + i, (size_t)(count - i), &size);
		i += (ssize_t)size;
		if (m->mode == MODE_TOGGLE)
			take_digit(s, key);
		else if (m->mode == MODE_HELP)
			m->mode = MODE_COMMANDS;
		else
			take_command(s, key);
		draw(s); /* what several keys at once lead to is seen, too */
	}
}
