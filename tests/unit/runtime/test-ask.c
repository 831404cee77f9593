/* SPDX-License-Identifier: MIT */
/*
 * Questions to the tracer: answered by another thread as the tracer would, not answered at all,
 * and by a tracer that died.  The agent's image asks; the library is the tracer's side.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"
#include "image.h"

static struct fixture f;

static void futex(uint32_t *word, int op, uint32_t value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* Answers one question after the other until told that the last one came. */
static void *answer_all(void *unused)
{
	bool last = false;
	while (!last) {
		uint32_t seen = __atomic_load_n(&f.session->ask_bell, __ATOMIC_ACQUIRE);
		struct abi_ask *ask = &f.c->ask;
		uint32_t asked = ABI_ASK_ASKED;
		if (!__atomic_compare_exchange_n(&ask->state, &asked, ABI_ASK_BUSY, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			futex(&f.session->ask_bell, FUTEX_WAIT, seen);
			continue;
		}
		last = ask->arguments[0] == 99;
		ask->result = ask->arguments[0] * 1000 + ask->arguments[1] * 10 +
			      ask->arguments[2];
		if (ask->kind == ABI_ASK_ENVIRONMENT) {
			ask->failed = strcmp(ask->text, "HOME") != 0;
			strcpy(ask->text, "/home/me");
		}
		if (ask->kind == ABI_ASK_SYMBOL)
			strcpy(ask->text, "main+0x4");
		__atomic_store_n(&ask->state, ABI_ASK_ANSWERED, __ATOMIC_RELEASE);
		futex(&ask->state, FUTEX_WAKE, 1);
	}
	return NULL;
}

static void test_answers(void)
{
	static char dst[4096];
	pthread_t thread;
	pthread_create(&thread, NULL, answer_all, NULL);
	bool good = true;
	for (int64_t i = 0; i < 90; i++)
		good = good && SYMBOL(rt_fn_task_number)(f.c, i, 2, 3) == i * 1000 + 23;
	tap_ok(good, "each question gets its own answer");
	SYMBOL(rt_fn_env_var)(f.c, dst, "HOME");
	tap_is_string(dst, "/home/me", "text of an answer");
	SYMBOL(rt_fn_env_var)(f.c, dst, "NONE");
	tap_is_string(dst, "", "the answer that there is none");
	SYMBOL(rt_fn_symbol)(f.c, dst, 0x1234, 0);
	tap_is_string(dst, "main+0x4", "a symbol");
	tap_is_long(SYMBOL(rt_fn_task_number)(f.c, 99, 0, 0), 99000, "the last one");
	pthread_join(thread, NULL);
	tap_is_long(f.c->ask.state, ABI_ASK_IDLE, "nothing is left asked");
}

static void test_nobody(void)
{
	static char dst[4096];
	f.session->state = ABI_STATE_DEAD;
	tap_is_long(SYMBOL(rt_fn_task_number)(f.c, 1, 2, 3), 0, "a dead tracer: 0");
	SYMBOL(rt_fn_symbol)(f.c, dst, 0x1234, 0);
	tap_is_string(dst, "0x1234", "a dead tracer: the address itself");
	SYMBOL(rt_fn_umodname)(f.c, dst, 0x1234);
	tap_ok(f.c->error && !strcmp(f.c->error_text, "module cannot be found"),
		"a dead tracer: an error where there is one");
	f.c->error = 0;
	f.session->state = ABI_STATE_RUNNING;
	tap_is_long(SYMBOL(rt_fn_is_descendant)(f.c, 1), 0,
		"a tracer that does not answer is given up");
	tap_is_long(f.c->ask.state, ABI_ASK_IDLE, "and the question is taken back");
}

int main(void)
{
	fixture_init(&f);
	image_map(&f);
	test_answers();
	test_nobody();
	return tap_done();
}
