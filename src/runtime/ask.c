/* SPDX-License-Identifier: MIT */
/*
 * Questions to the tracer, see abi/ask.h.  They cost tens of microseconds: two futex calls and
 * two switches of context.  Only functions that cannot do without use them.
 *
 * A handler never waits for a tracer that is not there: without an answer it takes its question
 * back after PATIENCE, and while the tracer is writing the answer it waits for that alone.
 */
#include <stddef.h>

#include "runtime/internal.h"

enum {
	SYSCALL_FUTEX = 202,
	FUTEX_WAIT = 0, /* shared: the tracer is another process */
	FUTEX_WAKE = 1,
	SLICE_NS = 20000000,
	PATIENCE = 100, /* slices */
	SPINS = 200000, /* where no system call may be made */
};

static void ring_bell(struct abi_session *s, bool may_call)
{
	__atomic_fetch_add(&s->ask_bell, 1, __ATOMIC_SEQ_CST);
	if (may_call)
		rt_syscall(SYSCALL_FUTEX, (uint64_t)(uintptr_t)&s->ask_bell, FUTEX_WAKE,
			1, 0);
}

static void wait_slice(const uint32_t *state, uint32_t seen, bool may_call)
{
	const int64_t slice[2] = {0, SLICE_NS};
	if (may_call)
		rt_syscall(SYSCALL_FUTEX, (uint64_t)(uintptr_t)state, FUTEX_WAIT, seen,
			(uint64_t)(uintptr_t)slice);
	for (int i = 0; !may_call && i < SPINS; i++) {
		if (__atomic_load_n(state, __ATOMIC_RELAXED) != seen)
			break;
		rt_pause();
	}
}

/* false: nobody answers. */
static bool wait_answer(struct abi_context *c)
{
	struct abi_session *s = rt_session(c);
	bool may_call = rt_may_call(c);
	uint32_t *state = &c->ask.state;
	for (uint32_t slices = 0;; slices++) {
		uint32_t seen = __atomic_load_n(state, __ATOMIC_ACQUIRE);
		if (seen == ABI_ASK_ANSWERED)
			return true;
		if (rt_state(s) == ABI_STATE_DEAD)
			return false;
		if (seen != ABI_ASK_BUSY && slices >= PATIENCE &&
			__atomic_compare_exchange_n(state, &seen, ABI_ASK_IDLE, false,
				__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
			return false;
		wait_slice(state, seen, may_call);
	}
}

bool rt_ask(struct abi_context *c, uint32_t kind, int64_t first, int64_t second,
	int64_t third)
{
	struct abi_ask *ask = &c->ask;
	ask->kind = kind;
	ask->arguments[0] = first;
	ask->arguments[1] = second;
	ask->arguments[2] = third;
	ask->result = 0;
	ask->failed = 0;
	bool answered;
	if (rt_is_tracer(c)) {
		answered = rt_ask_here(c);
	} else {
		__atomic_store_n(&ask->state, ABI_ASK_ASKED, __ATOMIC_RELEASE);
		ring_bell(rt_session(c), rt_may_call(c));
		answered = wait_answer(c);
		__atomic_store_n(&ask->state, ABI_ASK_IDLE, __ATOMIC_RELAXED);
	}
	ask->text[ABI_ASK_TEXT_SIZE - 1] = '\0';
	if (!answered)
		ask->text[0] = '\0';
	return answered && !ask->failed;
}

void rt_ask_text(struct abi_context *c, const char *text)
{
	rt_put(c->ask.text, ABI_ASK_TEXT_SIZE, text);
}

/* ---- tasks --------------------------------------------------------------- */

int64_t rt_fn_task_number(
	struct abi_context *c, int64_t task, int64_t what, int64_t index)
{
	rt_ask_text(c, "");
	return rt_ask(c, ABI_ASK_TASK_NUMBER, task, what, index) ? c->ask.result : 0;
}

void rt_fn_task_text(
	struct abi_context *c, char *dst, int64_t task, int64_t what, int64_t index)
{
	rt_ask_text(c, "");
	bool found = rt_ask(c, ABI_ASK_TASK_TEXT, task, what, index);
	rt_string_copy(c, dst, found ? c->ask.text : "");
}

int64_t rt_fn_is_descendant(struct abi_context *c, int64_t pid)
{
	rt_ask_text(c, "");
	return rt_ask(c, ABI_ASK_DESCENDANT, pid, 0, 0) ? c->ask.result : 0;
}

int64_t rt_fn_perf_counter(struct abi_context *c, const char *name)
{
	rt_ask_text(c, name);
	if (rt_ask(c, ABI_ASK_COUNTER, c->tid, 0, 0))
		return c->ask.result;
	rt_error(c, "perf counter is not counted in this thread");
	return 0;
}

/* ---- what the process was started with ----------------------------------- */

void rt_fn_cmdline_args(struct abi_context *c, char *dst, int64_t first, int64_t last,
	const char *delimiter)
{
	rt_ask_text(c, delimiter);
	bool found = rt_ask(c, ABI_ASK_ARGUMENTS, first, last, 0);
	rt_string_copy(c, dst, found ? c->ask.text : "");
}

void rt_fn_env_var(struct abi_context *c, char *dst, const char *name)
{
	rt_ask_text(c, name);
	bool found = rt_ask(c, ABI_ASK_ENVIRONMENT, 0, 0, 0);
	rt_string_copy(c, dst, found ? c->ask.text : "");
}

/* ---- the kernel's log ---------------------------------------------------- */

void rt_fn_printk(struct abi_context *c, int64_t level, const char *text)
{
	rt_ask_text(c, text);
	if (!rt_ask(c, ABI_ASK_KERNEL_LOG, level, 0, 0))
		rt_message(c, ABI_RECORD_WARN, "cannot write to the kernel's log");
}

/* ---- control files: their handlers run in the tracer ---------------------- */

void rt_fn_file_value(struct abi_context *c, char *dst)
{
	rt_ask_text(c, "");
	bool found = rt_ask(c, ABI_ASK_FILE_VALUE, 0, 0, 0);
	rt_string_copy(c, dst, found ? c->ask.text : "");
}

static void give(struct abi_context *c, char *dst, const char *text, uint32_t how)
{
	rt_ask_text(c, text);
	rt_ask(c, how, 0, 0, 0);
	rt_string_copy(c, dst, text);
}

void rt_fn_file_set(struct abi_context *c, char *dst, const char *text)
{
	give(c, dst, text, ABI_ASK_FILE_SET);
}

void rt_fn_file_append(struct abi_context *c, char *dst, const char *text)
{
	give(c, dst, text, ABI_ASK_FILE_APPEND);
}

/* There is no kernel trace buffer to write to. */
void rt_fn_ftrace(struct abi_context *c, const char *text)
{
}

/* ---- symbols ------------------------------------------------------------- */

static RT_NOINLINE void fail_unmapped(struct abi_context *c, const char *path)
{
	if (c->error)
		return;
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, "no variables of ");
	rt_text_string(&t, path);
	rt_text_string(&t, ": the process has not mapped it");
	rt_text_close(&t);
	c->error = 1;
}

uint64_t rt_module_bias(struct abi_context *c, const char *path)
{
	rt_ask_text(c, path);
	if (rt_ask(c, ABI_ASK_BIAS, 0, 0, 0))
		return (uint64_t)c->ask.result;
	fail_unmapped(c, path);
	return 0;
}

void rt_symbol(struct abi_context *c, char *dst, uint64_t address, uint32_t style)
{
	struct rt_text t = rt_text_open(dst, rt_session(c)->max_string);
	rt_ask_text(c, "");
	if (rt_ask(c, ABI_ASK_SYMBOL, (int64_t)address, style, 0)) {
		rt_text_string(&t, c->ask.text);
	} else {
		rt_text_string(&t, style == ABI_SYMBOL_FULL || style == ABI_SYMBOL_FULLER
					   ? " "
					   : "");
		rt_text_hex(&t, address);
	}
	rt_text_close(&t);
}

void rt_fn_symbol(struct abi_context *c, char *dst, int64_t address, int64_t style)
{
	bool known = style >= 0 && style < ABI_SYMBOL_STYLES;
	rt_symbol(c, dst, (uint64_t)address, known ? (uint32_t)style : ABI_SYMBOL_NAME);
}

static RT_NOINLINE void fail_with(
	struct abi_context *c, const char *what, int64_t address, const char *rest)
{
	if (c->error)
		return;
	struct rt_text t = rt_text_open(c->error_text, ABI_ERROR_SIZE);
	rt_text_string(&t, what);
	rt_text_hex(&t, (uint64_t)address);
	rt_text_string(&t, rest);
	rt_text_close(&t);
	c->error = 1;
}

void rt_fn_umodname(struct abi_context *c, char *dst, int64_t address)
{
	rt_ask_text(c, "");
	bool found = rt_ask(c, ABI_ASK_MODULE, address, ABI_MODULE_PATH, 0);
	rt_string_copy(c, dst, found ? c->ask.text : "");
	if (!found)
		rt_error(c, "module cannot be found");
}

void rt_fn_umodbuildid(struct abi_context *c, char *dst, int64_t address)
{
	rt_ask_text(c, "");
	bool found = rt_ask(c, ABI_ASK_MODULE, address, ABI_MODULE_BUILD_ID, 0);
	rt_string_copy(c, dst, found ? c->ask.text : "");
	if (!found)
		fail_with(c, "umodbuildid ", address, " unknown");
}

int64_t rt_fn_umodaddr(struct abi_context *c, int64_t address)
{
	rt_ask_text(c, "");
	if (rt_ask(c, ABI_ASK_MODULE, address, ABI_MODULE_OFFSET, 0))
		return c->ask.result;
	fail_with(c, "umodaddr ", address, " unknown");
	return 0;
}
