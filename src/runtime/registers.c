/* SPDX-License-Identifier: MIT */
/*
 * Registers by name and arguments by number.  x86-64 only: the names and the order of
 * struct abi_regs are the architecture's.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum register_width {
	WIDTH_64,
	WIDTH_32,
	WIDTH_16,
	WIDTH_8,
	WIDTH_8_HIGH
};

/* Where a value is: an index into struct abi_regs, or one of these. */
enum register_place {
	PLACE_SP = 32,
	PLACE_IP,
	PLACE_ORIG_AX, /* -1: not in a system call */
	PLACE_CS,
	PLACE_SS,
	PLACE_FLAGS,
	PLACE_NONE,
};

#define REGS_INDEX(field) (offsetof(struct abi_regs, field) / 8)

/* No pointers: the agent image has no relocations. */
struct register_name {
	char name[10];
	uint8_t width, place;
};

#define FULL(name, field)                         \
	{                                         \
		name, WIDTH_64, REGS_INDEX(field) \
	}
#define LEGACY(x, field)                                                            \
	{"r" x, WIDTH_64, REGS_INDEX(field)}, {"e" x, WIDTH_32, REGS_INDEX(field)}, \
	{                                                                           \
		x, WIDTH_16, REGS_INDEX(field)                                      \
	}
#define BYTES(x, field)                                \
	{x "l", WIDTH_8, REGS_INDEX(field)},           \
	{                                              \
		x "h", WIDTH_8_HIGH, REGS_INDEX(field) \
	}

static const struct register_name names[] = {
	LEGACY("ax", rax),
	LEGACY("bx", rbx),
	LEGACY("cx", rcx),
	LEGACY("dx", rdx),
	LEGACY("si", rsi),
	LEGACY("di", rdi),
	LEGACY("bp", rbp),
	BYTES("a", rax),
	BYTES("b", rbx),
	BYTES("c", rcx),
	BYTES("d", rdx),
	FULL("r8", r8),
	FULL("r9", r9),
	FULL("r10", r10),
	FULL("r11", r11),
	FULL("r12", r12),
	FULL("r13", r13),
	FULL("r14", r14),
	FULL("r15", r15),
	{"eflags", WIDTH_64, PLACE_FLAGS},
	{"flags", WIDTH_16, PLACE_FLAGS},
	{"rsp", WIDTH_64, PLACE_SP},
	{"esp", WIDTH_32, PLACE_SP},
	{"sp", WIDTH_16, PLACE_SP},
	{"rip", WIDTH_64, PLACE_IP},
	{"eip", WIDTH_32, PLACE_IP},
	{"ip", WIDTH_16, PLACE_IP},
	{"orig_rax", WIDTH_64, PLACE_ORIG_AX},
	{"orig_eax", WIDTH_32, PLACE_ORIG_AX},
	{"orig_ax", WIDTH_16, PLACE_ORIG_AX},
	{"xcs", WIDTH_64, PLACE_CS},
	{"cs", WIDTH_16, PLACE_CS},
	{"xss", WIDTH_64, PLACE_SS},
	{"ss", WIDTH_16, PLACE_SS},
};

enum {
	NAME_COUNT = sizeof(names) / sizeof(names[0]),
	USER_CS = 0x33,
	USER_SS = 0x2b
};

static struct abi_regs *regs_of(const struct abi_context *c)
{
	return rt_is_tracer(c) ? rt_tracer_regs() : (struct abi_regs *)(uintptr_t)c->regs;
}

struct abi_regs *rt_regs(struct abi_context *c)
{
	return regs_of(c);
}

/* As the processor has them: a trampoline saves what lahf and seto give (arch/arch.h).  Programs
 * run with interrupts on. */
static uint64_t flags_of(const struct abi_regs *regs)
{
	const uint64_t status = 0xd5, fixed = 0x202;
	return (regs->flags >> 8 & status) | (regs->flags & 1) << 11 | fixed;
}

static uint64_t value_at(
	const struct abi_context *c, const struct abi_regs *regs, uint32_t place)
{
	switch (place) {
	case PLACE_SP:
		return c->probe_sp;
	case PLACE_IP:
		return c->probe_ip;
	case PLACE_ORIG_AX:
		return ~0ull;
	case PLACE_CS:
		return USER_CS;
	case PLACE_SS:
		return USER_SS;
	case PLACE_FLAGS:
		return flags_of(regs);
	default:
		return ((const uint64_t *)(const void *)regs)[place];
	}
}

static int64_t narrow(uint64_t value, uint32_t width, bool is_signed)
{
	switch (width) {
	case WIDTH_32:
		return is_signed ? (int64_t)(int32_t)value : (int64_t)(uint32_t)value;
	case WIDTH_16:
		return is_signed ? (int64_t)(int16_t)value : (int64_t)(uint16_t)value;
	case WIDTH_8_HIGH:
		value >>= 8;
		return is_signed ? (int64_t)(int8_t)value : (int64_t)(uint8_t)value;
	case WIDTH_8:
		return is_signed ? (int64_t)(int8_t)value : (int64_t)(uint8_t)value;
	default:
		return (int64_t)value;
	}
}

static int64_t register_by_name(struct abi_context *c, const char *name, bool is_signed)
{
	struct abi_regs *regs = regs_of(c);
	if (!regs) {
		rt_error(c, "No registers available in this context");
		return 0;
	}
	for (uint32_t i = 0; i < NAME_COUNT; i++)
		if (rt_string_compare(names[i].name, name) == 0)
			return narrow(value_at(c, regs, names[i].place), names[i].width,
				is_signed);
	if (!c->error) {
		struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
		rt_text_string(&t, "Unknown register: ");
		rt_text_string(&t, name);
		rt_text_close(&t);
		c->error = 1;
	}
	return 0;
}

/* Nothing of ours touches vector registers: they are as the program left them. */
uint64_t rt_vector_read(struct abi_context *c, uint32_t number)
{
	if (!rt_is_tracer(c))
		return rt_vector_here(number);
	struct rt_read r = rt_tracer_state(RT_STATE_VECTOR, number);
	if (r.fault)
		rt_error(c, "vector registers cannot be read here");
	return r.value;
}

uint64_t rt_thread_pointer(struct abi_context *c)
{
	struct rt_read r = rt_is_tracer(c) ? rt_tracer_state(RT_STATE_THREAD_POINTER, 0)
					   : rt_thread_pointer_here();
	if (r.fault || !r.value)
		rt_error(c, "the thread has no thread-local variables yet");
	return r.value;
}

int64_t rt_fn_register(struct abi_context *c, const char *name)
{
	return register_by_name(c, name, true);
}

int64_t rt_fn_u_register(struct abi_context *c, const char *name)
{
	return register_by_name(c, name, false);
}

int64_t rt_fn_registers_valid(struct abi_context *c)
{
	return regs_of(c) != NULL;
}

int64_t rt_fn_uaddr(struct abi_context *c)
{
	return (int64_t)c->probe_ip;
}

/* ---- arguments ----------------------------------------------------------- */
/* System V AMD64 psABI 3.2.3.  They mean something at a function's first instruction only,
 * but scripts may ask anywhere there are registers, as in SystemTap. */

enum {
	IN_REGISTERS = 6,
	ARGUMENTS_MAX = 1000
};

static bool has_site_flag(const struct abi_context *c, uint32_t flag)
{
	const struct abi_site *site = rt_site(c);
	return site && (site->flags & flag);
}

static void bad_argument(struct abi_context *c, int64_t n)
{
	if (c->error)
		return;
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, "cannot access arg(");
	rt_text_decimal(&t, n, 1);
	rt_text_char(&t, ')');
	rt_text_close(&t);
	c->error = 1;
}

/* Where the n-th argument is kept; NULL: on the stack. */
static uint64_t *argument_register(struct abi_regs *regs, int64_t n)
{
	switch (n) {
	case 1:
		return &regs->rdi;
	case 2:
		return &regs->rsi;
	case 3:
		return &regs->rdx;
	case 4:
		return &regs->rcx;
	case 5:
		return &regs->r8;
	case 6:
		return &regs->r9;
	default:
		return NULL;
	}
}

/* The return address is at the top of the stack, the seventh argument above it. */
static uint64_t argument_address(const struct abi_context *c, int64_t n)
{
	return c->probe_sp + 8 * (uint64_t)(n - IN_REGISTERS);
}

static struct abi_regs *argument_regs(struct abi_context *c, int64_t n)
{
	struct abi_regs *regs = regs_of(c);
	if (!regs)
		rt_error(c, "cannot access function args in this context");
	else if (n < 1 || n > ARGUMENTS_MAX)
		bad_argument(c, n);
	return c->error ? NULL : regs;
}

int64_t rt_fn_long_arg(struct abi_context *c, int64_t n)
{
	struct abi_regs *regs = argument_regs(c, n);
	if (!regs)
		return 0;
	const uint64_t *place = argument_register(regs, n);
	if (place)
		return (int64_t)*place;
	struct rt_read r = rt_read_user(c, argument_address(c, n), 8);
	if (r.fault)
		bad_argument(c, n);
	return (int64_t)r.value;
}

int64_t rt_fn_int_arg(struct abi_context *c, int64_t n)
{
	return (int32_t)rt_fn_long_arg(c, n);
}

int64_t rt_fn_uint_arg(struct abi_context *c, int64_t n)
{
	return (uint32_t)rt_fn_long_arg(c, n);
}

/* The trampoline gives the program back what the handler leaves in its registers. */
void rt_fn_set_long_arg(struct abi_context *c, int64_t n, int64_t value)
{
	struct abi_regs *regs = argument_regs(c, n);
	if (!regs)
		return;
	uint64_t *place = argument_register(regs, n);
	if (place)
		*place = (uint64_t)value;
	else if (!rt_write_user(c, argument_address(c, n), (uint64_t)value, 8))
		bad_argument(c, n);
}

int64_t rt_fn_returnval(struct abi_context *c)
{
	struct abi_regs *regs = regs_of(c);
	if (regs)
		return (int64_t)regs->rax;
	if (c->error)
		return 0;
	const struct abi_site *site = rt_site(c);
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, "returnval() not defined in this context ");
	rt_text_string(&t, site ? rt_text(c, site->pp) : "");
	rt_text_close(&t);
	c->error = 1;
	return 0;
}

int64_t rt_fn_is_return(struct abi_context *c)
{
	return has_site_flag(c, ABI_SITE_RETURN);
}

int64_t rt_fn_user_mode(struct abi_context *c)
{
	return regs_of(c) != NULL;
}
