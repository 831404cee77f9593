/* SPDX-License-Identifier: MIT */
#include "session/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "elf/unwind.h"
#include "session/control_files.h"
#include "session/perf_events.h"
#include "session/process.h"
#include "session/remote.h"
#include "session/unwind.h"

/* What /proc does not tell of a thread any more. */
struct ask_times {
	pid_t tid;
	int64_t numbers[3]; /* in the order of ask_time_kinds */
};

static const enum abi_task_number ask_time_kinds[] = {
	ABI_TASK_USER_TIME, ABI_TASK_SYSTEM_TIME, ABI_TASK_START_TIME};

/* A process of another namespace, where it has another number. */
struct asker_alias {
	pid_t pid, seen_pid;
};

struct session_asker {
	struct session *session;
	pthread_t thread, owner; /* owner: runs the tracer's own handlers */
	pthread_mutex_t lock;    /* of everything below */
	struct ask_symbols *symbols;
	struct elf_unwinder *unwinder;
	VEC(struct ask_times) times; /* of threads that are ending */
	struct ask_question question;
	struct ask_answer answer;
	uint64_t stacks; /* that were followed here */
	VEC(struct asker_alias) aliases;
	uint32_t stopping; /* atomic */
};

/* Shared futexes: the other side is another process. */
static void ask_futex(
	uint32_t *word, int operation, uint32_t value, const struct timespec *wait)
{
	syscall(SYS_futex, word, operation, value, wait, NULL, 0);
}

/* ---- answering ---------------------------------------------------------------------------- */

static void answer_kernel_log(
	const struct ask_question *question, struct ask_answer *answer)
{
	CLEANUP(cleanup_fd) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[ABI_ASK_TEXT_SIZE + 32];
	int size = snprintf(line, sizeof(line), "<%d>%s\n",
		(int)(question->arguments[0] & 7), question->text);
	answer->failed = fd < 0 || fd_write_all(fd, line, (size_t)size) < 0;
}

/* The text of the control file whose handler runs, in this very thread. */
static void answer_file(struct session_asker *asker, const struct ask_question *question,
	struct ask_answer *answer)
{
	struct strbuf *value = session_control_value(asker->session);
	answer->failed = !value || !pthread_equal(pthread_self(), asker->owner);
	if (answer->failed)
		return;
	if (question->kind == ABI_ASK_FILE_VALUE) {
		strbuf_append(&answer->text, value->data, value->size);
		return;
	}
	if (question->kind == ABI_ASK_FILE_SET)
		strbuf_clear(value);
	strbuf_puts(value, question->text);
}

static void answer_unwind(struct session_asker *asker,
	const struct ask_question *question, struct ask_answer *answer)
{
	uint64_t registers[ELF_UNWIND_REGISTERS] = {0}, frames[ABI_CONTEXT_FRAMES];
	uint64_t saved[6]; /* rbx rbp r12..r15 */
	size_t limit = ABI_CONTEXT_FRAMES;
	memcpy(saved, question->text, sizeof(saved));
	registers[ELF_UNWIND_RBX] = saved[0];
	registers[ELF_UNWIND_RBP] = saved[1];
	memcpy(&registers[ELF_UNWIND_R12], saved + 2, 4 * sizeof(saved[0]));
	registers[ELF_UNWIND_PC] = (uint64_t)question->arguments[0];
	registers[ELF_UNWIND_RSP] = (uint64_t)question->arguments[1];
	if (question->arguments[2] >= 0 && question->arguments[2] < ABI_CONTEXT_FRAMES)
		limit = (size_t)question->arguments[2];
	session_unwind_seek(asker->session, question->pid);
	asker->stacks++;
	bool is_owner = pthread_equal(pthread_self(), asker->owner);
	size_t count = elf_unwind(asker->unwinder, proc_task_with_memory(question->pid),
		registers, is_owner ? session_remote_stack() : NULL, frames, limit);
	answer->result = (int64_t)count;
	strbuf_append(&answer->text, (const char *)frames, count * sizeof(frames[0]));
}

static void answer_past_time(struct session_asker *asker,
	const struct ask_question *question, struct ask_answer *answer)
{
	for (size_t i = 0; i < asker->times.count; i++) {
		const struct ask_times *times = &asker->times.items[i];
		for (size_t k = 0; k < 3 && times->tid == question->arguments[0]; k++) {
			if (question->arguments[1] != ask_time_kinds[k])
				continue;
			answer->result = times->numbers[k];
			answer->failed = false;
		}
	}
}

static void answer(struct session_asker *asker)
{
	const struct ask_question *question = &asker->question;
	struct ask_answer *answer = &asker->answer;
	switch (question->kind) {
	case ABI_ASK_TASK_NUMBER:
		ask_task_number(question, answer);
		if (answer->failed)
			answer_past_time(asker, question, answer);
		break;
	case ABI_ASK_TASK_TEXT:
		ask_task_text(question, answer);
		break;
	case ABI_ASK_ARGUMENTS:
		ask_arguments(question, answer);
		break;
	case ABI_ASK_ENVIRONMENT:
		ask_environment(question, answer);
		break;
	case ABI_ASK_SYMBOL:
		ask_symbol(asker->symbols, question, answer);
		break;
	case ABI_ASK_MODULE:
		ask_module(asker->symbols, question, answer);
		break;
	case ABI_ASK_BIAS:
		ask_bias(asker->symbols, question, answer);
		break;
	case ABI_ASK_KERNEL_LOG:
		answer_kernel_log(question, answer);
		break;
	case ABI_ASK_FILE_VALUE:
	case ABI_ASK_FILE_SET:
	case ABI_ASK_FILE_APPEND:
		answer_file(asker, question, answer);
		break;
	case ABI_ASK_UNWIND:
		answer_unwind(asker, question, answer);
		break;
	case ABI_ASK_DESCENDANT:
		ask_descendant((pid_t)asker->session->memory.header->target_pid, question,
			answer);
		break;
	case ABI_ASK_COUNTER:
		answer->failed = !session_perf_read(asker->session, question->pid,
			(pid_t)question->arguments[0], question->text, &answer->result);
		break;
	default:
		answer->failed = true;
		break;
	}
}

/* Handlers know their process by the number that it has for itself. */
static pid_t real_pid(const struct session_asker *asker, pid_t seen)
{
	for (size_t i = asker->aliases.count; i-- > 0;)
		if (asker->aliases.items[i].seen_pid == seen)
			return asker->aliases.items[i].pid;
	return seen;
}

pid_t session_ask_add_process(struct session *s, pid_t pid)
{
	struct proc_status status;
	if (!s->asker || proc_read_status(pid, &status, NULL) < 0 || !status.ns_pid ||
		status.ns_pid == pid)
		return pid;
	pthread_mutex_lock(&s->asker->lock);
	vec_append(&s->asker->aliases, ((struct asker_alias){pid, status.ns_pid}));
	pthread_mutex_unlock(&s->asker->lock);
	return status.ns_pid;
}

void session_ask_remove_process(struct session *s, pid_t pid)
{
	if (!s->asker)
		return;
	pthread_mutex_lock(&s->asker->lock);
	for (size_t i = 0; i < s->asker->aliases.count; i++)
		if (s->asker->aliases.items[i].pid == pid)
			s->asker->aliases.items[i--] =
				s->asker->aliases.items[--s->asker->aliases.count];
	pthread_mutex_unlock(&s->asker->lock);
}

/* What is asked is copied first: the asking process can change it meanwhile. */
static void answer_context(struct session_asker *asker, struct abi_context *c)
{
	struct ask_question *question = &asker->question;
	struct ask_answer *answered = &asker->answer;
	const volatile struct abi_ask *asked = &c->ask;
	pthread_mutex_lock(&asker->lock);
	question->kind = asked->kind;
	question->pid = (pid_t)c->pid == getpid() ? 0 : real_pid(asker, (pid_t)c->pid);
	for (size_t i = 0; i < ABI_ASK_ARGUMENTS_MAX; i++)
		question->arguments[i] = asked->arguments[i];
	memcpy(question->text, c->ask.text, sizeof(question->text));
	question->text[sizeof(question->text) - 1] = '\0';
	answered->result = 0;
	answered->failed = false;
	strbuf_clear(&answered->text);
	answer(asker);
	c->ask.result = answered->result;
	c->ask.failed = answered->failed;
	size_t size = answered->text.size;
	if (size > ABI_ASK_TEXT_SIZE - 1)
		size = ABI_ASK_TEXT_SIZE - 1;
	memcpy(c->ask.text, answered->text.data, size);
	c->ask.text[size] = '\0';
	pthread_mutex_unlock(&asker->lock);
}

static bool is_about_symbols(const struct abi_context *c)
{
	return c->ask.kind == ABI_ASK_SYMBOL || c->ask.kind == ABI_ASK_MODULE ||
	       c->ask.kind == ABI_ASK_BIAS;
}

void session_ask_remember(struct session *s, pid_t pid)
{
	if (!s->asker || !s->code.asks_symbols)
		return;
	pthread_mutex_lock(&s->asker->lock);
	ask_symbols_remember(s->asker->symbols, pid);
	pthread_mutex_unlock(&s->asker->lock);
}

void session_ask_remember_times(struct session *s, pid_t tid)
{
	struct ask_times times = {.tid = tid};
	if (!s->asker)
		return;
	for (size_t k = 0; k < 3; k++) {
		struct ask_question question = {.arguments = {tid, ask_time_kinds[k]}};
		struct ask_answer answer = {0};
		ask_task_number(&question, &answer);
		times.numbers[k] = answer.failed ? 0 : answer.result;
	}
	pthread_mutex_lock(&s->asker->lock);
	vec_append(&s->asker->times, times);
	pthread_mutex_unlock(&s->asker->lock);
}

void session_ask_forget_times(struct session *s, pid_t tid)
{
	if (!s->asker)
		return;
	pthread_mutex_lock(&s->asker->lock);
	for (size_t i = s->asker->times.count; i-- > 0;)
		if (s->asker->times.items[i].tid == tid)
			s->asker->times.items[i] =
				s->asker->times.items[--s->asker->times.count];
	pthread_mutex_unlock(&s->asker->lock);
}

void session_ask_begin_past(struct session *s, pid_t pid)
{
	if (!s->asker)
		return;
	pthread_mutex_lock(&s->asker->lock);
	ask_symbols_set_past(s->asker->symbols, pid, true);
	pthread_mutex_unlock(&s->asker->lock);
}

void session_ask_end_past(struct session *s, pid_t pid)
{
	if (!s->asker)
		return;
	pthread_mutex_lock(&s->asker->lock);
	ask_symbols_set_past(s->asker->symbols, pid, false);
	pthread_mutex_unlock(&s->asker->lock);
}

void session_ask_forget_maps(struct session *s, pid_t pid)
{
	if (!s->asker)
		return;
	pthread_mutex_lock(&s->asker->lock);
	elf_unwinder_forget(s->asker->unwinder, proc_task_with_memory(pid));
	pthread_mutex_unlock(&s->asker->lock);
}

uint64_t session_ask_stacks(struct session *s)
{
	if (!s->asker)
		return 0;
	pthread_mutex_lock(&s->asker->lock);
	uint64_t count = s->asker->stacks;
	pthread_mutex_unlock(&s->asker->lock);
	return count;
}

void session_ask_symbol(struct session *s, pid_t pid, uint64_t address, uint32_t style,
	struct strbuf *out)
{
	if (!s->asker) {
		strbuf_printf(out, "0x%llx", (unsigned long long)address);
		return;
	}
	pthread_mutex_lock(&s->asker->lock);
	ask_symbol_at(s->asker->symbols, real_pid(s->asker, pid), address, style, out);
	pthread_mutex_unlock(&s->asker->lock);
}

bool session_ask_answer(struct session *s, struct abi_context *c)
{
	if (!s->asker)
		return false;
	for (const struct session_process *p = s->processes; p && is_about_symbols(c);
		p = p->next)
		session_ask_remember(s, p->pid);
	answer_context(s->asker, c);
	return true;
}

/* ---- the thread --------------------------------------------------------------------------- */

static void answer_all(struct session_asker *asker)
{
	const struct session *s = asker->session;
	for (uint32_t slot = 1; slot < session_context_limit(s); slot++) {
		struct abi_context *c = session_context(s, slot);
		uint32_t asked = ABI_ASK_ASKED;
		if (!__atomic_compare_exchange_n(&c->ask.state, &asked, ABI_ASK_BUSY,
			    false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		answer_context(asker, c);
		__atomic_store_n(&c->ask.state, ABI_ASK_ANSWERED, __ATOMIC_RELEASE);
		ask_futex(&c->ask.state, FUTEX_WAKE, 1, NULL);
	}
}

static void *ask_thread(void *data)
{
	enum {
		POLL_NS = 500000 /* targets that may make no system call cannot wake us */
	};
	struct session_asker *asker = data;
	struct abi_session *h = asker->session->memory.header;
	const struct timespec poll = {.tv_nsec = POLL_NS};
	while (!__atomic_load_n(&asker->stopping, __ATOMIC_ACQUIRE)) {
		uint32_t seen = __atomic_load_n(&h->ask_bell, __ATOMIC_SEQ_CST);
		answer_all(asker);
		if (__atomic_load_n(&asker->stopping, __ATOMIC_ACQUIRE))
			break;
		bool may_call = !(h->flags & ABI_FLAG_NO_SYSCALLS);
		ask_futex(&h->ask_bell, FUTEX_WAIT, seen, may_call ? NULL : &poll);
	}
	return NULL;
}

int session_ask_start(struct session *s, struct error *err)
{
	struct session_asker *asker = calloc(1, sizeof(*asker));
	sigset_t all, old;
	if (!asker)
		abort();
	asker->session = s;
	asker->owner = pthread_self();
	asker->symbols = ask_symbols_create();
	asker->unwinder = elf_unwinder_create();
	strbuf_init(&asker->answer.text);
	pthread_mutex_init(&asker->lock, NULL);
	/* signals are for the loop */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int code = pthread_create(&asker->thread, NULL, ask_thread, asker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->asker = asker;
	if (code) {
		asker->stopping = 1;
		session_ask_stop(s);
		return error_set(err, -code, "cannot start a thread: %s", strerror(code));
	}
	return 0;
}

void session_ask_stop(struct session *s)
{
	struct session_asker *asker = s->asker;
	if (!asker)
		return;
	if (!asker->stopping) {
		__atomic_store_n(&asker->stopping, 1, __ATOMIC_RELEASE);
		__atomic_fetch_add(&s->memory.header->ask_bell, 1, __ATOMIC_SEQ_CST);
		ask_futex(&s->memory.header->ask_bell, FUTEX_WAKE, 1, NULL);
		pthread_join(asker->thread, NULL);
	}
	s->asker = NULL;
	vec_free(&asker->times);
	pthread_mutex_destroy(&asker->lock);
	ask_symbols_destroy(asker->symbols);
	elf_unwinder_destroy(asker->unwinder);
	strbuf_deinit(&asker->answer.text);
	vec_free(&asker->aliases);
	free(asker);
}
