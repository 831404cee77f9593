/* SPDX-License-Identifier: MIT */
/* Names of system calls, signals, socket constants and resource limits. */
#include <stddef.h>

#include "runtime/errno_table.h"
#include "runtime/internal.h"
#include "runtime/name_tables.h"

/* A row of one of the tables; NULL: none. */
struct name_table {
	const char *rows;
	uint32_t width, count;
};

#define NAME_TABLE(names)                                              \
	((struct name_table){(names)[0], (uint32_t)sizeof((names)[0]), \
		(uint32_t)(sizeof(names) / sizeof((names)[0]))})

enum {
	/* KEEP IN SYNC: name tables (tapset/names.stp) */
	NAMES_SYSCALL,
	NAMES_SIGNAL,
	NAMES_PROTOCOL,
	NAMES_FAMILY,
	NAMES_SOCKET_TYPE,
	NAMES_SOCKET_STATE,
	NAMES_LIMIT,
};

/* No table of tables: it would hold pointers. */
static struct name_table find_table(int64_t which)
{
	switch (which) {
	case NAMES_SYSCALL:
		return NAME_TABLE(syscall_names);
	case NAMES_SIGNAL:
		return NAME_TABLE(signal_names);
	case NAMES_PROTOCOL:
		return NAME_TABLE(protocol_names);
	case NAMES_FAMILY:
		return NAME_TABLE(family_names);
	case NAMES_SOCKET_TYPE:
		return NAME_TABLE(socket_type_names);
	case NAMES_SOCKET_STATE:
		return NAME_TABLE(socket_state_names);
	case NAMES_LIMIT:
		return NAME_TABLE(limit_names);
	default:
		return (struct name_table){"", 1, 0};
	}
}

void rt_fn_name_of(struct abi_context *c, char *dst, int64_t which, int64_t number)
{
	struct name_table t = find_table(which);
	bool known = number >= 0 && number < t.count;
	rt_string_copy(c, dst, known ? t.rows + (uint64_t)number * t.width : "");
}

/* -1: no such name */
int64_t rt_fn_number_of(struct abi_context *c, int64_t which, const char *name)
{
	struct name_table t = find_table(which);
	for (uint32_t i = 0; i < t.count && *name; i++)
		if (rt_string_compare(t.rows + (uint64_t)i * t.width, name) == 0)
			return i;
	return -1;
}

/* ---- enumerators ---------------------------------------------------------- */

static const char *parse_number(const char *text, int64_t *ret)
{
	bool is_negative = *text == '-';
	uint64_t value = 0;
	for (text += is_negative; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	*ret = (int64_t)(is_negative ? -value : value);
	return text;
}

/* The table is a constant of the code: lines of a number and a name. */
void rt_fn_enum_name(struct abi_context *c, char *dst, int64_t number, const char *table)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	bool found = false;
	while (*table && !found) {
		int64_t value;
		table = parse_number(table, &value);
		found = value == number;
		for (table += *table == ' '; *table && *table != '\n'; table++)
			if (found)
				rt_text_char(&t, *table);
		table += *table == '\n';
	}
	if (!found)
		rt_text_decimal(&t, number, 0);
	rt_text_close(&t);
}

/* ---- error numbers ------------------------------------------------------- */

static const char *error_name(int64_t number)
{
	enum {
		NAME_COUNT = sizeof(errno_names) / sizeof(errno_names[0])
	};
	uint64_t index = number < 0 ? -(uint64_t)number : (uint64_t)number;
	return index < NAME_COUNT ? errno_names[index] : "";
}

void rt_fn_errno_str(struct abi_context *c, char *dst, int64_t number)
{
	rt_string_copy(c, dst, error_name(number));
}

/* The error number itself when it is one, else 0. */
int64_t rt_fn_errno_p(struct abi_context *c, int64_t number)
{
	return *error_name(number) ? (number < 0 ? -number : number) : 0;
}
