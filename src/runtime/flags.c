/* SPDX-License-Identifier: MIT */
/*
 * Values in the arguments of system calls as the names they have in C: one of several, or flags with
 * `|` between them.  What has no name is told in hexadecimal.
 */
#include "runtime/flag_tables.h"
#include "runtime/internal.h"

struct flag_table {
	const struct flag_name *rows;
	uint32_t count;
};

enum {
#define X(name) FLAGS_##name,
	FLAG_TABLES(X)
#undef X
};

/* No table of tables: it would hold pointers. */
static struct flag_table find_table(int64_t which)
{
	switch (which) {
#define X(name)                             \
	case FLAGS_##name:                  \
		return (struct flag_table){ \
			name##_flags, sizeof(name##_flags) / sizeof(name##_flags[0])};
		FLAG_TABLES(X)
#undef X
	default:
		return (struct flag_table){NULL, 0};
	}
}

static bool put_choice(struct rt_text *text, struct flag_table table, uint64_t value)
{
	for (uint32_t i = 0; i < table.count; i++)
		if (table.rows[i].value == value) {
			rt_text_string(text, table.rows[i].name);
			return true;
		}
	return false;
}

static void put_flags(struct rt_text *text, struct flag_table table, uint64_t value)
{
	const char *between = "";

	for (uint32_t i = 0; i < table.count; i++) {
		if (!(table.rows[i].value & value))
			continue;
		rt_text_string(text, between);
		rt_text_string(text, table.rows[i].name);
		value &= ~(uint64_t)table.rows[i].value;
		between = "|";
	}
	if (value) {
		rt_text_string(text, between);
		rt_text_hex(text, value);
	}
}

void rt_fn_choice_name(struct abi_context *c, char *dst, int64_t which, int64_t value)
{
	struct rt_text text = rt_text_open(dst, rt_session(c)->max_string);

	if (!put_choice(&text, find_table(which), (uint64_t)value))
		rt_text_hex(&text, (uint64_t)value);
	rt_text_close(&text);
}

void rt_fn_flag_names(struct abi_context *c, char *dst, int64_t which, int64_t value)
{
	struct flag_table table = find_table(which);
	struct rt_text text = rt_text_open(dst, rt_session(c)->max_string);

	if (value)
		put_flags(&text, table, (uint64_t)value);
	else if (!put_choice(&text, table, 0))
		rt_text_hex(&text, 0);
	rt_text_close(&text);
}
