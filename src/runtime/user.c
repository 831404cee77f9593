/* SPDX-License-Identifier: MIT */
/*
 * Integers in the memory of the traced program.  Every load and store may fault: rt_read()
 * and rt_write() are in the agent, where the signal front turns a fault into a result.  A handler
 * that runs in the tracer reads the memory of a stopped program, or none.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	MESSAGE_SIZE = 128,
	PAGE = 4096,
	EFAULT = 14,
	SYSCALL_RT_SIGPROCMASK = 14,
	SYSCALL_MADVISE = 28,
	POPULATE_WRITE = 23, /* MADV_POPULATE_WRITE, Linux 5.14 */
	WORD = 8             /* of a set of signals, too */
};

/*
 * A fault is harmless only where its signal is not blocked.  Where it is, the kernel sets the program's action
 * for it back to default before anybody hears of it, and nobody can tell what it was: Go and the JVM would die of
 * their next nil.  So the kernel is asked before a page is read for the first time, by a call that copies from it and
 * then finds that it was told to do nothing.
 */
static RT_NOINLINE bool is_readable(struct abi_context *c, uint64_t page)
{
	uint64_t *known = &c->pages[page / PAGE % ABI_CONTEXT_PAGES];

	if (rt_is_silent()) {
		if (!rt_ask_page(c, page, false))
			return false;
	} else if (!rt_may_call(c)) {
		return true;
	} else if (rt_syscall(SYSCALL_RT_SIGPROCMASK, UINT64_MAX, page + WORD, 0, WORD) ==
		   -EFAULT) {
		return false;
	}
	*known = page + 1;
	return true;
}

static inline bool is_known(struct abi_context *c, uint64_t address)
{
	uint64_t page = address & -(uint64_t)PAGE;

	return c->pages[page / PAGE % ABI_CONTEXT_PAGES] == page + 1 ||
	       is_readable(c, page);
}

struct rt_read rt_read_here(struct abi_context *c, uint64_t address, uint32_t size)
{
	if (!is_known(c, address) || !is_known(c, address + size - 1))
		return (struct rt_read){.fault = 1};
	struct rt_read r = rt_read(address, size);
	if (RT_UNLIKELY(r.fault)) /* it is no more */
		rt_zero(c->pages, sizeof(c->pages));
	return r;
}

struct rt_read rt_read_user(struct abi_context *c, uint64_t address, uint32_t size)
{
	return rt_is_tracer(c) ? rt_tracer_read(address, size)
			       : rt_read_here(c, address, size);
}

static bool populate(uint64_t page)
{
	return rt_syscall(SYSCALL_MADVISE, page, PAGE, POPULATE_WRITE, 0) == 0;
}

/*
 * Asked each time: pages that were written to before may be read-only by now (fork, mprotect), and such a write
 * is rare.  The kernel does to the page what the write would do, short of it.
 */
static bool is_writable(struct abi_context *c, uint64_t address)
{
	uint64_t page = address & -(uint64_t)PAGE;

	if (rt_is_silent())
		return rt_ask_page(c, page, true);
	if (!rt_may_call(c) || populate(page))
		return true;
	/* a kernel that does not know it says so for our own memory, too */
	return !populate((uint64_t)(uintptr_t)c & -(uint64_t)PAGE) &&
	       is_known(c, address);
}

static bool write_here(
	struct abi_context *c, uint64_t address, uint64_t value, uint32_t size)
{
	return is_writable(c, address) && is_writable(c, address + size - 1) &&
	       rt_write(address, value, size);
}

bool rt_write_user(struct abi_context *c, uint64_t address, uint64_t value, uint32_t size)
{
	return rt_is_tracer(c) ? rt_tracer_write(address, value, size)
			       : write_here(c, address, value, size);
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

void rt_user_write(struct abi_context *c, uint64_t address, uint64_t value, uint32_t size)
{
	if (!rt_write_user(c, address, value, size))
		rt_error_value(c, "write fault [man error::fault] at ", address);
}

/* ---- integers ------------------------------------------------------------ */

static int64_t read_or_zero(struct abi_context *c, int64_t address, uint32_t size)
{
	struct rt_read r = rt_read_user(c, (uint64_t)address, size);
	return r.fault ? 0 : (int64_t)r.value;
}

static int64_t read_or_error(struct abi_context *c, int64_t address, uint32_t size)
{
	struct rt_read r = rt_read_user(c, (uint64_t)address, size);
	return r.fault ? read_fault(c, address) : (int64_t)r.value;
}

static RT_NOINLINE void fault_text(char *text, int64_t address, const char *what)
{
	struct rt_text t = rt_text_open(text, MESSAGE_SIZE);
	rt_text_string(&t, "user ");
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
		return (int64_t)r.value;
	char *text = rt_scratch(c, MESSAGE_SIZE);
	if (!text)
		return 0;
	fault_text(text, address, what);
	rt_message(c, ABI_RECORD_WARN, text);
	return 0;
}

#define USER_INTEGER(name, type)                                                  \
	int64_t rt_fn_user_##name(struct abi_context *c, int64_t address)         \
	{                                                                         \
		return (type)read_or_zero(c, address, sizeof(type));              \
	}                                                                         \
	int64_t rt_fn_user_##name##_error(struct abi_context *c, int64_t address) \
	{                                                                         \
		return (type)read_or_error(c, address, sizeof(type));             \
	}
USER_INTEGER(char, int8_t)
USER_INTEGER(uint8, uint8_t)
USER_INTEGER(short, int16_t)
USER_INTEGER(ushort, uint16_t)
USER_INTEGER(int, int32_t)
USER_INTEGER(uint32, uint32_t)
USER_INTEGER(long, int64_t)
USER_INTEGER(ulong, int64_t)

/* The words are SystemTap's: "at" for char alone. */
#define USER_INTEGER_WARN(name, type, what)                                      \
	int64_t rt_fn_user_##name##_warn(struct abi_context *c, int64_t address) \
	{                                                                        \
		return (type)read_or_warn(c, address, sizeof(type), what);       \
	}
USER_INTEGER_WARN(char, int8_t, "char copy fault at ")
USER_INTEGER_WARN(short, int16_t, "short copy fault ")
USER_INTEGER_WARN(ushort, uint16_t, "unsigned short copy fault ")
USER_INTEGER_WARN(int, int32_t, "int copy fault ")
USER_INTEGER_WARN(long, int64_t, "long copy fault ")
USER_INTEGER_WARN(ulong, int64_t, "unsigned long copy fault ")

/* ---- writing: guru mode only --------------------------------------------- */

static void write_or_error(struct abi_context *c, int64_t address, int64_t value,
	uint32_t size, const char *what)
{
	if (rt_write_user(c, (uint64_t)address, (uint64_t)value, size) || c->error)
		return;
	fault_text(c->error_text, address, what);
	c->error = 1;
}

#define USER_STORE(name, size)                                                      \
	void rt_fn_set_user_##name(                                                 \
		struct abi_context *c, int64_t address, int64_t value)              \
	{                                                                           \
		write_or_error(c, address, value, (size), #name " copy fault at "); \
	}
USER_STORE(char, 1)
USER_STORE(short, 2)
USER_STORE(int, 4)
USER_STORE(long, 8)
USER_STORE(pointer, 8)

void rt_fn_set_user_string_n(
	struct abi_context *c, int64_t address, int64_t size, const char *text)
{
	int64_t i = 0;
	bool done = size < 0;
	for (; !done && i < size && text[i]; i++)
		done = !rt_write_user(c, (uint64_t)(address + i), (uint8_t)text[i], 1);
	if (!done && rt_write_user(c, (uint64_t)(address + i), 0, 1))
		return;
	if (size < 0 || c->error)
		return;
	fault_text(c->error_text, address, "string copy fault at ");
	c->error = 1;
}

void rt_fn_set_user_string(struct abi_context *c, int64_t address, const char *text)
{
	rt_fn_set_user_string_n(c, address, rt_session(c)->max_string, text);
}

/* An argument of the program that only ever is replaced by something else. */
void rt_fn_set_user_string_arg(struct abi_context *c, int64_t address, const char *text)
{
	char *old = rt_scratch(c, rt_session(c)->max_string);
	if (!old || c->error)
		return;
	if (rt_read_string(c, old, (uint64_t)address, rt_session(c)->max_string) &&
		rt_string_compare(old, text) == 0)
		return;
	rt_fn_set_user_string_n(c, address, rt_length(text, RT_STRING_LIMIT), text);
	if (!c->error)
		return;
	c->error = 0;
	struct rt_text t = rt_text_open(old, rt_session(c)->max_string);
	rt_text_string(&t, "unable to write ");
	rt_text_string(&t, text);
	rt_text_string(&t, " to ");
	rt_text_hex(&t, (uint64_t)address);
	rt_text_close(&t);
	rt_message(c, ABI_RECORD_WARN, old);
}
