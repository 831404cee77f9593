/* SPDX-License-Identifier: MIT */
/*
 * The tracer's side of abi/ask.h: a thread that answers the questions of handlers, so that they
 * never wait for the event loop.  Handlers that run in the tracer ask directly.
 *
 * Everything here may run in two threads; one lock is held while a question is answered.
 */
#pragma once

#include "session/internal.h"

struct session_asker;

/** session_ask_start() - from here on questions are answered; session memory must exist */
must_check int session_ask_start(struct session *s, struct error *err);
void session_ask_stop(struct session *s);
/** session_ask_answer() - answer the question in a context of this process */
bool session_ask_answer(struct session *s, struct abi_context *c);
/** session_ask_remember() - what addresses of a process mean is to be known after its end, too */
void session_ask_remember(struct session *s, pid_t pid);
/**
 * session_ask_remember_times() - the thread is about to end: how much processor time it has used is
 * known until session_ask_forget_times()
 */
void session_ask_remember_times(struct session *s, pid_t tid);
void session_ask_forget_times(struct session *s, pid_t tid);
/**
 * session_ask_begin_past() - the process has called exec, but what is told now is about its former program
 * until session_ask_end_past()
 */
void session_ask_begin_past(struct session *s, pid_t pid);
void session_ask_end_past(struct session *s, pid_t pid);
/** session_ask_add_process() - Return: the number that it has in its own namespace */
pid_t session_ask_add_process(struct session *s, pid_t pid);
void session_ask_remove_process(struct session *s, pid_t pid);
/** session_ask_forget_maps() - what a process has mapped is not what it was */
void session_ask_forget_maps(struct session *s, pid_t pid);
/** session_ask_stacks() - how many stacks handlers could not walk by themselves */
uint64_t session_ask_stacks(struct session *s);
/** session_ask_symbol() - what an address of a process is; see enum abi_symbol_style */
void session_ask_symbol(struct session *s, pid_t pid, uint64_t address, uint32_t style,
	struct strbuf *out);

/* ---- between the files of this side ------------------------------------------------------- */

struct ask_question {
	uint32_t kind;
	pid_t pid; /* who asks: as the context says; 0: the tracer, about its targets */
	int64_t arguments[ABI_ASK_ARGUMENTS_MAX];
	char text[ABI_ASK_TEXT_SIZE];
};

struct ask_answer {
	int64_t result;
	bool failed;
	struct strbuf text;
};

void ask_task_number(const struct ask_question *question, struct ask_answer *answer);
void ask_task_text(const struct ask_question *question, struct ask_answer *answer);
void ask_arguments(const struct ask_question *question, struct ask_answer *answer);
void ask_environment(const struct ask_question *question, struct ask_answer *answer);
void ask_descendant(
	pid_t target, const struct ask_question *question, struct ask_answer *answer);

struct ask_symbols;
struct ask_symbols *ask_symbols_create(void);
void ask_symbols_destroy(struct ask_symbols *symbols);
void ask_symbols_remember(struct ask_symbols *symbols, pid_t pid);
void ask_symbols_set_past(struct ask_symbols *symbols, pid_t pid, bool is_past);
void ask_symbol_at(struct ask_symbols *symbols, pid_t pid, uint64_t address,
	uint32_t style, struct strbuf *out);
void ask_symbol(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer);
void ask_bias(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer);
void ask_module(struct ask_symbols *symbols, const struct ask_question *question,
	struct ask_answer *answer);
