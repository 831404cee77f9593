/* SPDX-License-Identifier: MIT */
/*
 * Memory, registers and arguments of the traced program.  Every load may fault: rt_read()
 * is in the agent, where the signal front turns a fault into a result.  In the tracer
 * there is no program to read, and every read fails.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	WORD = 8,
	PAGE_SIZE = 4096,
	MESSAGE_SIZE = 128
};

struct rt_read rt_read_user(const struct abi_context *c, uint64_t address, uint32_t size)
{
	if (rt_is_tracer(c))
		return (struct rt_read){.fault = 1};
	return rt_read(address, size);
}

static int64_t read_fault(struct abi_context *c, int64_t address)
{
	rt_error_value(c, "read fault [man error::fault] at ", (uint64_t)address);
	return 0;
}

uint64_t rt_user_read(struct abi_context *c, uint64_t address, uint32_t size)
{
	struct rt_read r = rt_read_user(c, address, size);
	return r.fault ? (uint64_t)read_fault(c, (int64_t)address) : r.value;
}

/* ---- strings ------------------------------------------------------------- */

RT_NOINLINE bool rt_read_string(
	const struct abi_context *c, char *dst, uint64_t address, uint32_t size)
{
	uint32_t n = 0;
	while (n + 1 < size) {
		/* a word never reaches into the page after the string's end */
		bool word = n + WORD < size &&
			    (address & (PAGE_SIZE - 1)) <= PAGE_SIZE - WORD;
		uint32_t step = word ? WORD : 1;
		struct rt_read r = rt_read_user(c, address, step);
		if (r.fault)
			return false;
		for (uint32_t i = 0; i < step; i++, n++, r.value >>= 8) {
			dst[n] = (char)r.value;
			if (!dst[n])
				return true;
		}
		address += step;
	}
	dst[n] = '\0';
	return true;
}

static RT_NOINLINE void string_fault_text(char *text, int64_t address)
{
	struct rt_text t = rt_text_open(text, MESSAGE_SIZE);
	rt_text_string(&t, "user string copy fault -14 at ");
	rt_text_hex(&t, (uint64_t)address);
	rt_text_string(&t, " [man error::fault]");
	rt_text_close(&t);
}

/* Bytes for a string of at most n characters. */
static uint32_t string_size(const struct abi_context *c, int64_t n)
{
	uint32_t capacity = rt_session(c)->max_string;
	return n < 0 ? 1 : n < capacity ? (uint32_t)n + 1 : capacity;
}

void rt_fn_user_string_n_or(struct abi_context *c, char *dst, int64_t address,
	int64_t size, const char *otherwise)
{
	if (!rt_read_string(c, dst, (uint64_t)address, string_size(c, size)))
		rt_string_copy(c, dst, otherwise);
}

void rt_fn_user_string_n(struct abi_context *c, char *dst, int64_t address, int64_t size)
{
	if (rt_read_string(c, dst, (uint64_t)address, string_size(c, size)))
		return;
	dst[0] = '\0';
	if (c->error)
		return;
	string_fault_text(c->error_text, address);
	c->error = 1;
}

void rt_fn_user_string(struct abi_context *c, char *dst, int64_t address)
{
	rt_fn_user_string_n(c, dst, address, INT64_MAX);
}

void rt_fn_user_string_or(
	struct abi_context *c, char *dst, int64_t address, const char *otherwise)
{
	rt_fn_user_string_n_or(c, dst, address, INT64_MAX, otherwise);
}

void rt_fn_user_string_nofault(struct abi_context *c, char *dst, int64_t address)
{
	rt_fn_user_string_n_or(c, dst, address, INT64_MAX, "");
}

void rt_fn_user_string_warn(struct abi_context *c, char *dst, int64_t address)
{
	dst[0] = '\0';
	if (rt_read_string(c, dst, (uint64_t)address, string_size(c, INT64_MAX)))
		return;
	dst[0] = '\0';
	char *text = rt_scratch(c, MESSAGE_SIZE);
	if (!text)
		return;
	string_fault_text(text, address);
	rt_message(c, ABI_RECORD_WARN, text);
}

static void address_text(struct abi_context *c, char *dst, int64_t address)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	rt_text_hex(&t, (uint64_t)address);
	rt_text_close(&t);
}

void rt_fn_user_string_n_quoted(
	struct abi_context *c, char *dst, int64_t address, int64_t size)
{
	char *text = rt_scratch(c, rt_session(c)->max_string);
	if (text && rt_read_string(c, text, (uint64_t)address, string_size(c, size)))
		rt_fn_string_quoted(c, dst, text);
	else
		address_text(c, dst, address);
}

void rt_fn_user_string_quoted(struct abi_context *c, char *dst, int64_t address)
{
	rt_fn_user_string_n_quoted(c, dst, address, INT64_MAX);
}

void rt_fn_user_buffer_quoted(
	struct abi_context *c, char *dst, int64_t address, int64_t size, int64_t limit)
{
	uint32_t capacity = rt_session(c)->max_string;
	char *text = rt_scratch(c, capacity);
	struct rt_quoting how = {.text = text, .quoted = true, .raw = true};
	how.size = size <= 0 || size >= capacity ? capacity - 1 : (uint32_t)size;
	how.limit = limit > 0 && limit < capacity ? (uint32_t)limit : 0;
	for (uint32_t i = 0; text && i < how.size; i++) {
		struct rt_read r = rt_read_user(c, (uint64_t)address + i, 1);
		if (r.fault)
			text = NULL;
		else
			text[i] = (char)r.value;
	}
	if (text)
		rt_quote(c, dst, &how);
	else
		address_text(c, dst, address);
}

/* ---- integers ------------------------------------------------------------ */

static inline int64_t sign_extend(uint64_t value, uint32_t size)
{
	switch (size) {
	case 1:
		return (int8_t)value;
	case 2:
		return (int16_t)value;
	case 4:
		return (int32_t)value;
	default:
		return (int64_t)value;
	}
}

static int64_t read_or_zero(struct abi_context *c, int64_t address, uint32_t size)
{
	struct rt_read r = rt_read_user(c, (uint64_t)address, size);
	return r.fault ? 0 : (int64_t)r.value;
}

int64_t rt_fn_user_char(struct abi_context *c, int64_t address)
{
	return (int8_t)read_or_zero(c, address, 1);
}

int64_t rt_fn_user_uint8(struct abi_context *c, int64_t address)
{
	return read_or_zero(c, address, 1);
}

int64_t rt_fn_user_short(struct abi_context *c, int64_t address)
{
	return (int16_t)read_or_zero(c, address, 2);
}

int64_t rt_fn_user_ushort(struct abi_context *c, int64_t address)
{
	return read_or_zero(c, address, 2);
}

int64_t rt_fn_user_int(struct abi_context *c, int64_t address)
{
	return (int32_t)read_or_zero(c, address, 4);
}

int64_t rt_fn_user_uint32(struct abi_context *c, int64_t address)
{
	return read_or_zero(c, address, 4);
}

int64_t rt_fn_user_long(struct abi_context *c, int64_t address)
{
	return read_or_zero(c, address, 8);
}

static int64_t read_or_error(struct abi_context *c, int64_t address, uint32_t size)
{
	struct rt_read r = rt_read_user(c, (uint64_t)address, size);
	return r.fault ? read_fault(c, address) : sign_extend(r.value, size);
}

int64_t rt_fn_user_char_error(struct abi_context *c, int64_t address)
{
	return read_or_error(c, address, 1);
}

int64_t rt_fn_user_short_error(struct abi_context *c, int64_t address)
{
	return read_or_error(c, address, 2);
}

int64_t rt_fn_user_int_error(struct abi_context *c, int64_t address)
{
	return read_or_error(c, address, 4);
}

int64_t rt_fn_user_long_error(struct abi_context *c, int64_t address)
{
	return read_or_error(c, address, 8);
}

static RT_NOINLINE void read_fault_text(char *text, int64_t address, const char *what)
{
	struct rt_text t = rt_text_open(text, MESSAGE_SIZE);
	rt_text_string(&t, what);
	rt_text_hex(&t, (uint64_t)address);
	rt_text_string(&t, " [man error::fault]");
	rt_text_close(&t);
}

static int64_t read_or_warn(
	struct abi_context *c, int64_t address, uint32_t size, const char *what)
{
	struct rt_read r = rt_read_user(c, (uint64_t)address, size);
	if (!r.fault)
		return sign_extend(r.value, size);
	char *text = rt_scratch(c, MESSAGE_SIZE);
	if (!text)
		return 0;
	read_fault_text(text, address, what);
	rt_message(c, ABI_RECORD_WARN, text);
	return 0;
}

int64_t rt_fn_user_char_warn(struct abi_context *c, int64_t address)
{
	return read_or_warn(c, address, 1, "user char copy fault at ");
}

int64_t rt_fn_user_short_warn(struct abi_context *c, int64_t address)
{
	return read_or_warn(c, address, 2, "user short copy fault ");
}

int64_t rt_fn_user_int_warn(struct abi_context *c, int64_t address)
{
	return read_or_warn(c, address, 4, "user int copy fault ");
}

int64_t rt_fn_user_long_warn(struct abi_context *c, int64_t address)
{
	return read_or_warn(c, address, 8, "user long copy fault ");
}
