/* SPDX-License-Identifier: MIT */
/*
 * Calls of the tracer by code of ours in a traced process.
 *
 * On the way of a hit no system call is made to find out who the thread is: a seccomp filter that the program
 * has put on may end it for that, and nothing tells of filters before it is too late.  The tracer finds out.
 * agent_call_tracer() is a breakpoint with the address of a context in %rdi and one of these in %rsi; %rax is
 * nonzero behind it when there was a tracer to answer.  Where threads have SIGTRAP blocked when probes are put in
 * system calls are made after all: such a thread would not survive the breakpoint when the tracer is killed.
 */
#pragma once

enum abi_call {
	/* Who the running thread is goes to the context, and its gs base leads there. */
	ABI_CALL_REGISTER = 1,
	/* May the page at call_argument be read, or written to? */
	ABI_CALL_READABLE = 2,
	ABI_CALL_WRITABLE = 3,
};
